/* SPDX-License-Identifier: BSD-3-Clause */

/* devices, detach, remove: those that the daemon has; add.c is another one. */

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"

#define BUFFER_SIZE 16384 /* of an entry of the users' database */

/* ---- devices ---- */

/* The daemon says how long ago it was, so that its clock does not matter. */
static void
format_since(struct vucctl_cell *cell, struct json_object *value)
{
	uint64_t since_ms = app_reply_number(cell->reply, value, "since_ms");
	struct timespec now;
	uint64_t now_ms;
	char text[32];
	struct tm tm;
	time_t since;

	/* In milliseconds: the same state has the same second each time. */
	clock_gettime(CLOCK_REALTIME, &now);
	now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	if (since_ms >= now_ms)
		return;
	since = (time_t)((now_ms - since_ms) / 1000);
	localtime_r(&since, &tm);
	strftime(text, sizeof(text), "%F %T", &tm);
	fputs(text, cell->out);
}

/* The process, its user by name or, without one, by number, the VMM's name, and whether it is a
 * vfio-user client. */
static void
format_vmm(struct vucctl_cell *cell, struct json_object *value)
{
	struct json_object *vmm = app_reply_object_or_null(cell->reply, value, "vmm");
	char buffer[BUFFER_SIZE], number[24];
	struct passwd entry, *user = NULL;
	uint64_t pid, uid;

	if (vmm == NULL)
		return;
	pid = app_reply_number(cell->reply, vmm, "pid");
	uid = app_reply_number(cell->reply, vmm, "uid");
	snprintf(number, sizeof(number), "%" PRIu64, uid);
	if (uid < UINT32_MAX)
		getpwuid_r((uid_t)uid, &entry, buffer, sizeof(buffer), &user);
	fprintf(cell->out, "%" PRIu64 " %s %s%s", pid, user != NULL ? user->pw_name : number,
		app_reply_text(cell->reply, vmm, "name"),
		strcmp(app_reply_text(cell->reply, vmm, "plane"), "vfio-user") == 0 ? " (vfio-user)"
										    : "");
}

static void
format_queues(struct vucctl_cell *cell, struct json_object *value)
{
	struct json_object *vmm = app_reply_object_or_null(cell->reply, value, "vmm");

	if (vmm != NULL)
		fprintf(cell->out, "%" PRIu64, app_reply_number(cell->reply, vmm, "queues"));
}

static const struct vucctl_field fields[] = {
	{"NAME", "name"},
	{"STATE", "state"},
	{"SINCE", "", .format = format_since},
	{"CONNECTION", "generation", true},
	{"POLLER", "poller"},
	{"VMM", "", .format = format_vmm},
	{"QUEUES", "", true, .format = format_queues},
	{"SOCKET", "socket"},
	{"EXPORT", "export", .nullable = true},
	{0},
};

/* Behind the table, with an empty line between. */
static void
print_reasons(struct app_reply *reply, struct json_object *array, size_t n)
{
	const char *before = "\n";
	size_t i;

	for (i = 0; i < n; i++) {
		struct json_object *device = json_object_array_get_idx(array, i);
		const char *reason = app_reply_text_or_null(reply, device, "reason");

		if (reason == NULL)
			continue;
		fputs(before, stdout);
		before = "";
		vucctl_foreign_print(stdout, app_reply_text(reply, device, "name"));
		fputs(": ", stdout);
		vucctl_foreign_print(stdout, reason);
		putchar('\n');
	}
}

static int
devices_run(struct vucctl *ctl)
{
	struct vucctl_table table = {fields, {0}};
	struct app_reply reply = {NULL};
	struct json_object *result, *array;
	int ret = vucctl_ask(ctl, "devices.list", NULL, &result);
	size_t n;

	if (ret != 0)
		return ret;
	array = app_reply_array(&reply, result, "devices", &n);
	if (reply.lacks == NULL && ctl->json)
		ret = vucctl_print_result(result);
	if (!ctl->json) {
		vucctl_table_print(stdout, &table, &reply, array, true);
		if (reply.lacks == NULL)
			print_reasons(&reply, array, n);
	}
	if (reply.lacks != NULL)
		ret = vucctl_fail_answer(ctl, "devices.list", reply.lacks);
	json_object_put(result);
	return ret;
}

const struct vucctl_command vucctl_devices = {
	.name = "devices",
	.summary = "list the daemon's devices",
	.doc = "Lists the daemon's devices, their states, and the attached VMMs.",
	.arguments = "",
	.daemon = true,
	.run = devices_run,
};

/* ---- detach, remove ---- */

static int
detach_run(struct vucctl *ctl)
{
	return vucctl_ask_done(ctl, "vmms.detach", "device", "detached");
}

const struct vucctl_command vucctl_detach = {
	.name = "detach",
	.summary = "detach the VMM from a device",
	.doc = "Detaches the VMM from a device, so that another VMM can attach to it.",
	.arguments = "DEVICE",
	.daemon = true,
	.timeout_ms = VUCCTL_DAEMON_LONG_TIMEOUT_MS,
	.run = detach_run,
};

static const struct vucctl_option remove_options[] = {
	{"force", 'f', NULL, "Detach the VMM that uses the device first", VUCCTL_SET,
		.parameter = "force"},
	{0},
};

static int
remove_run(struct vucctl *ctl)
{
	return vucctl_ask_done(ctl, "devices.remove", "name", "removed");
}

const struct vucctl_command vucctl_remove = {
	.name = "remove",
	.summary = "remove a device from the daemon",
	.doc = "Removes a device from the daemon, which closes its connection to the server.",
	.arguments = "DEVICE",
	.daemon = true,
	.timeout_ms = VUCCTL_DAEMON_LONG_TIMEOUT_MS,
	.options = remove_options,
	.run = remove_run,
};
