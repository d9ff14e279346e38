/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "daemon_command.h"
#include "device_list.h"
#include "format.h"
#include "message.h"
#include "table.h"

#define COMMAND "devices"

#define USER_SIZE   64
#define BUFFER_SIZE 16384 /* of an entry of the users' database */

static void
print_help(void)
{
	printf("Usage: vucctl devices [OPTION...]\n"
	       "\n"
	       "Lists the devices that the daemon offers, and who has them.\n"
	       "\n"
	       "Options:\n" VUCCTL_DAEMON_HELP "  -j, --json             print one JSON object\n"
	       "  -h, --help             print this help and exit\n");
}

/* The name of a user, or the number when it has none. */
static void
find_user(uint64_t uid, char name[USER_SIZE])
{
	char buffer[BUFFER_SIZE];
	struct passwd entry, *found = NULL;

	if (uid < UINT32_MAX)
		getpwuid_r((uid_t)uid, &entry, buffer, sizeof(buffer), &found);
	if (found != NULL)
		snprintf(name, USER_SIZE, "%s", found->pw_name);
	else
		snprintf(name, USER_SIZE, "%" PRIu64, uid);
}

/* The daemon says how long ago it was, so that its clock does not matter. */
static void
add_since(struct vucctl_table *table, uint64_t since_ms)
{
	struct timespec now;
	uint64_t now_ms;
	char text[32] = "";
	struct tm tm;
	time_t since;

	/* In milliseconds: the same state has the same second each time. */
	clock_gettime(CLOCK_REALTIME, &now);
	now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	if (since_ms < now_ms) {
		since = (time_t)((now_ms - since_ms) / 1000);
		localtime_r(&since, &tm);
		strftime(text, sizeof(text), "%F %T", &tm);
	}
	vucctl_table_add(table, "%s", text);
}

static void
add_row(struct vucctl_table *table, const struct vucctl_device_row *row)
{
	char user[USER_SIZE];

	vucctl_table_add(table, "%s", row->name);
	vucctl_table_add(table, "%s", row->state);
	add_since(table, row->since_ms);
	vucctl_table_add(table, "%" PRIu64, row->generation);
	vucctl_table_add(table, "%s", row->poller);
	if (row->vmm != NULL) {
		find_user(row->uid, user);
		vucctl_table_add(table, "%" PRIu64 " %s %s", row->pid, user, row->vmm_name);
		vucctl_table_add(table, "%" PRIu64, row->queues);
	} else {
		vucctl_table_add(table, "%s", "");
		vucctl_table_add(table, "%s", "");
	}
	vucctl_table_add(table, "%s", row->socket);
}

/* Behind the table, with an empty line between. */
static void
print_reasons(struct vucctl_reply *reply, struct json_object *array, size_t n)
{
	const char *before = "\n";
	struct vucctl_device_row row;
	size_t i;

	for (i = 0; i < n; i++) {
		vucctl_device_list_read(reply, array, i, &row);
		if (row.reason == NULL)
			continue;
		fputs(before, stdout);
		before = "";
		vucctl_foreign_print(stdout, row.name);
		fputs(": ", stdout);
		vucctl_foreign_print(stdout, row.reason);
		putchar('\n');
	}
}

static int
print_text(const struct vucctl_daemon *daemon, const struct app_json *list)
{
	static const struct vucctl_column columns[] = {
		{"NAME", false},
		{"STATE", false},
		{"SINCE", false},
		{"CONNECTION", true},
		{"POLLER", false},
		{"VMM", false},
		{"QUEUES", true},
		{"SOCKET", false},
	};
	struct vucctl_reply reply = {NULL};
	struct vucctl_device_row row;
	struct vucctl_table table;
	struct json_object *array;
	size_t i, n;
	int ret = 0;

	vucctl_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
	array = vucctl_reply_array(&reply, list->root, "devices", &n);
	for (i = 0; i < n; i++) {
		vucctl_device_list_read(&reply, array, i, &row);
		add_row(&table, &row);
	}
	if (reply.lacks != NULL)
		ret = vucctl_daemon_fail_answer(daemon, "devices.list", reply.lacks);
	else if (vucctl_table_print(stdout, &table) != 0)
		ret = vucctl_fail("%s", strerror(ENOMEM));
	else
		print_reasons(&reply, array, n);
	vucctl_table_free(&table);
	return ret;
}

static int
devices_command_run(void *arg, struct vucctl_daemon *daemon)
{
	struct app_json list;
	int ret = vucctl_device_list_get(daemon, &list);

	(void)arg;
	if (ret == 0 && daemon->json)
		return vucctl_daemon_print(&list);
	if (ret == 0)
		ret = print_text(daemon, &list);
	app_json_finish(&list);
	return ret;
}

int
vucctl_devices_command(int argc, char *argv[])
{
	static const struct vucctl_daemon_command command = {
		.name = COMMAND,
		.print_help = print_help,
		.run = devices_command_run,
	};

	return vucctl_daemon_command_run(&command, NULL, argc, argv);
}
