/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "daemon_command.h"
#include "format.h"
#include "reply.h"

#define COMMAND "status"

static void
print_help(void)
{
	printf("Usage: vucctl status [OPTION...]\n"
	       "\n"
	       "Shows the status of the daemon vucd.\n"
	       "\n"
	       "Options:\n" VUCCTL_DAEMON_HELP "  -j, --json             print one JSON object\n"
	       "  -h, --help             print this help and exit\n");
}

struct status {
	const char *version;
	const char *state;
	const char *directory;
	const char *vmm_socket;
	const char *log_level;
	uint64_t pid;
	uint64_t uptime_ms;
	uint64_t connections;
	uint64_t pollers;
	uint64_t away, free, attached, cleaning, not_answering, stale; /* devices */
};

static void
read_status(struct status *status, struct vucctl_reply *reply, struct json_object *result)
{
	struct json_object *devices = vucctl_reply_object(reply, result, "devices");

	*status = (struct status){
		.version = vucctl_reply_text(reply, result, "version"),
		.state = vucctl_reply_text(reply, result, "state"),
		.directory = vucctl_reply_text(reply, result, "directory"),
		.vmm_socket = vucctl_reply_text(reply, result, "vmm_socket"),
		.log_level = vucctl_reply_text(reply, result, "log_level"),
		.pid = vucctl_reply_number(reply, result, "pid"),
		.uptime_ms = vucctl_reply_number(reply, result, "uptime_ms"),
		.connections = vucctl_reply_number(reply, result, "connections"),
		.pollers = vucctl_reply_number(reply, result, "pollers"),
		.away = vucctl_reply_number(reply, devices, "away"),
		.free = vucctl_reply_number(reply, devices, "free"),
		.attached = vucctl_reply_number(reply, devices, "attached"),
		.cleaning = vucctl_reply_number(reply, devices, "cleaning"),
		.not_answering = vucctl_reply_number(reply, devices, "not-answering"),
		.stale = vucctl_reply_number(reply, devices, "stale"),
	};
}

static void
print_line(const char *label, const char *text)
{
	vucctl_label_print(stdout, label);
	vucctl_foreign_print(stdout, text);
	putchar('\n');
}

static void
print_number(const char *label, uint64_t number)
{
	vucctl_label_print(stdout, label);
	printf("%" PRIu64 "\n", number);
}

static void
print_devices(const struct status *status)
{
	vucctl_label_print(stdout, "devices");
	printf("%" PRIu64 " attached, %" PRIu64 " free, %" PRIu64 " away, %" PRIu64 " cleaning",
		status->attached, status->free, status->away, status->cleaning);
	if (status->not_answering > 0)
		printf(", %" PRIu64 " not answering", status->not_answering);
	if (status->stale > 0)
		printf(", %" PRIu64 " stale", status->stale);
	putchar('\n');
}

static void
print_status(const struct status *status)
{
	puts("Daemon");
	print_line("version", status->version);
	print_number("pid", status->pid);
	print_line("state", status->state);
	print_line("running for", vucctl_duration_format(status->uptime_ms / 1000).text);
	print_line("directory", status->directory);
	print_line("VMM socket", status->vmm_socket);
	print_line("log level", status->log_level);
	print_number("pollers", status->pollers);
	print_devices(status);
	print_number("VMM connections", status->connections);
}

static int
print_text(const struct vucctl_daemon *daemon, struct json_object *result)
{
	struct vucctl_reply reply = {NULL};
	struct status status;

	read_status(&status, &reply, result);
	if (reply.lacks != NULL)
		return vucctl_daemon_fail_answer(daemon, "status", reply.lacks);
	print_status(&status);
	return EXIT_SUCCESS;
}

static int
print_json(struct json_object *result)
{
	struct app_json json;

	app_json_init_copy(&json, result);
	return vucctl_daemon_print(&json);
}

static int
status_command_run(void *arg, struct vucctl_daemon *daemon)
{
	struct json_object *result;
	int ret = vucctl_daemon_call(daemon, "status", NULL, &result);

	(void)arg;
	if (ret == 0)
		ret = daemon->json ? print_json(result) : print_text(daemon, result);
	json_object_put(result);
	return ret;
}

int
vucctl_status_command(int argc, char *argv[])
{
	static const struct vucctl_daemon_command command = {
		.name = COMMAND,
		.print_help = print_help,
		.run = status_command_run,
	};

	return vucctl_daemon_command_run(&command, NULL, argc, argv);
}
