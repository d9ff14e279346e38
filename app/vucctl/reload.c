/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "daemon_command.h"
#include "format.h"
#include "message.h"
#include "reply.h"

#define COMMAND "reload"

static void
print_help(void)
{
	printf("Usage: vucctl reload [OPTION...]\n"
	       "\n"
	       "Reloads the configuration: the daemon adds, removes and changes devices accordingly.\n"
	       "\n"
	       "Options:\n" VUCCTL_DAEMON_LONG_HELP
	       "  -j, --json             print one JSON object\n"
	       "  -h, --help             print this help and exit\n");
}

/* The devices of an array, a line each. Returns how many there are. */
static size_t
print_devices(struct vucctl_reply *reply, struct json_object *result, const char *key)
{
	struct json_object *array;
	size_t i, n;

	array = vucctl_reply_array(reply, result, key, &n);
	for (i = 0; i < n; i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(array, i));

		printf("%s ", key);
		vucctl_foreign_print(stdout, name != NULL ? name : "");
		putchar('\n');
	}
	return n;
}

/* What was not done, to file, a line each. Returns how many there are. */
static size_t
print_rest(FILE *file, struct vucctl_reply *reply, struct json_object *result, const char *key,
	const char *before)
{
	struct json_object *array;
	size_t i, n;

	array = vucctl_reply_array(reply, result, key, &n);
	for (i = 0; i < n; i++) {
		struct json_object *item = json_object_array_get_idx(array, i);
		const char *reason = vucctl_reply_text_or_null(reply, item, "reason");

		fputs(before, file);
		vucctl_foreign_print(file, vucctl_reply_text(reply, item, "what"));
		if (reason != NULL) {
			fputs(": ", file);
			vucctl_foreign_print(file, reason);
		}
		putc('\n', file);
	}
	return n;
}

static int
print_text(const struct vucctl_daemon *daemon, struct json_object *result)
{
	struct vucctl_reply reply = {NULL};
	size_t done, failed;

	done = print_devices(&reply, result, "added");
	done += print_devices(&reply, result, "removed");
	done += print_devices(&reply, result, "changed");
	done += print_rest(stdout, &reply, result, "restart", "needs a restart: ");
	failed = print_rest(stderr, &reply, result, "failed", "vucctl: ");
	if (reply.lacks != NULL)
		return vucctl_daemon_fail_answer(daemon, COMMAND, reply.lacks);
	if (done == 0 && failed == 0)
		puts("no changes");
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
print_json(struct json_object *result)
{
	struct vucctl_reply reply = {NULL};
	struct app_json json;
	size_t failed;
	int ret;

	vucctl_reply_array(&reply, result, "failed", &failed);
	app_json_init_copy(&json, result);
	ret = vucctl_daemon_print(&json);
	return failed == 0 ? ret : EXIT_FAILURE;
}

static int
reload_command_run(void *arg, struct vucctl_daemon *daemon)
{
	struct json_object *result;
	int ret = vucctl_daemon_call(daemon, "reload", NULL, &result);

	(void)arg;
	if (ret == 0)
		ret = daemon->json ? print_json(result) : print_text(daemon, result);
	json_object_put(result);
	return ret;
}

int
vucctl_reload_command(int argc, char *argv[])
{
	static const struct vucctl_daemon_command command = {
		.name = COMMAND,
		.timeout_ms = VUCCTL_DAEMON_LONG_TIMEOUT_MS,
		.print_help = print_help,
		.run = reload_command_run,
	};

	return vucctl_daemon_command_run(&command, NULL, argc, argv);
}
