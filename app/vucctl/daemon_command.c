/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "message.h"
#include "number.h"

static int
take_path(struct vucctl_daemon *daemon, const char *command, const char *value)
{
	if (value[0] == '\0' || strlen(value) >= sizeof(daemon->path))
		return vucctl_fail_usage(command, "path '%s' of a socket has not 1 to %zu bytes",
			value, sizeof(daemon->path) - 1);
	memcpy(daemon->path, value, strlen(value) + 1);
	return 0;
}

static int
take_timeout(struct vucctl_daemon *daemon, const char *command, const char *value)
{
	uint64_t timeout_ms;

	if (vuc_number_parse(value, 0, 1, UINT32_MAX, &timeout_ms) != 0)
		return vucctl_fail_usage(command,
			"timeout '%s' is not a number of milliseconds, 1 to 4294967295", value);
	daemon->timeout_ms = (uint32_t)timeout_ms;
	return 0;
}

static int
take_option(const struct vucctl_daemon_command *command, struct vucctl_daemon *daemon, void *arg,
	int opt, const char *value)
{
	switch (opt) {
	case 'm':
		return take_path(daemon, command->name, value);
	case 't':
		return take_timeout(daemon, command->name, value);
	case 'j':
		daemon->json = true;
		return 0;
	default:
		return command->take_option(arg, opt, value);
	}
}

/* Sets help when that was asked for: nothing behind it counts. */
static int
parse_command_line(const struct vucctl_daemon_command *command, struct vucctl_daemon *daemon,
	void *arg, int argc, char *argv[], bool *help)
{
	static const struct option none_of_its_own[] = {
		VUCCTL_DAEMON_LONG_OPTIONS,
		{NULL, 0, NULL, 0},
	};
	const struct option *options = command->options;
	const char *letters = command->short_options;
	int opt, ret;

	if (options == NULL) {
		options = none_of_its_own;
		letters = ":" VUCCTL_DAEMON_SHORT_OPTIONS;
	}
	*help = false;
	while ((opt = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		if (opt == '?' || opt == ':')
			return vucctl_fail_option(command->name, letters, opt, argv);
		*help = opt == 'h';
		if (*help)
			return 0;
		ret = take_option(command, daemon, arg, opt, optarg);
		if (ret != 0)
			return ret;
	}
	argc -= optind;
	argv += optind;
	return command->take_arguments != NULL
		? command->take_arguments(arg, argc, argv)
		: vucctl_arguments_check(command->name, "", argc, argv);
}

/* Where the daemon is when the command line does not say so. */
static int
find_path(struct vucctl_daemon *daemon, const char *command)
{
	const char *value = getenv("VUCD_MANAGEMENT_SOCKET");

	if (value != NULL && value[0] != '\0')
		return take_path(daemon, command, value);
	vucctl_daemon_path(daemon->path);
	return 0;
}

int
vucctl_daemon_command_run(
	const struct vucctl_daemon_command *command, void *arg, int argc, char *argv[])
{
	struct vucctl_daemon daemon = {.timeout_ms = command->timeout_ms > 0
			? command->timeout_ms
			: VUCCTL_DAEMON_TIMEOUT_MS,
		.rpc.fd = -1};
	bool help;
	int ret = parse_command_line(command, &daemon, arg, argc, argv, &help);

	if (ret != 0)
		return ret;
	if (help) {
		command->print_help();
		return EXIT_SUCCESS;
	}
	if (daemon.path[0] == '\0') {
		ret = find_path(&daemon, command->name);
		if (ret != 0)
			return ret;
	}
	if (vucctl_rpc_open(&daemon.rpc, daemon.path, daemon.timeout_ms) == 0)
		ret = command->run(arg, &daemon);
	else
		ret = vucctl_fail("%s: %s", daemon.path, daemon.rpc.why);
	vucctl_rpc_close(&daemon.rpc);
	return ret;
}

int
vucctl_daemon_call(struct vucctl_daemon *daemon, const char *method, struct app_json *params,
	struct json_object **result)
{
	int ret = vucctl_rpc_call(&daemon->rpc, method, params, result);

	if (ret == 0)
		return 0;
	if (ret == -EINTR)
		return EXIT_FAILURE;
	return vucctl_fail("%s: %s", daemon->path, daemon->rpc.why);
}

int
vucctl_daemon_do(struct vucctl_daemon *daemon, const char *method, struct app_json *params)
{
	struct json_object *result;
	int ret = vucctl_daemon_call(daemon, method, params, &result);

	json_object_put(result);
	return ret;
}

int
vucctl_daemon_fail_answer(const struct vucctl_daemon *daemon, const char *method, const char *lacks)
{
	return vucctl_fail(
		"%s: the answer to %s has no '%s' as it should be", daemon->path, method, lacks);
}

/* Returns the exit status for what a print of JSON has returned. */
static int
end_print(struct app_json *json, int ret)
{
	app_json_finish(json);
	return ret != 0 ? vucctl_fail("%s", strerror(-ret)) : EXIT_SUCCESS;
}

int
vucctl_daemon_print(struct app_json *json)
{
	return end_print(json, app_json_print(stdout, json));
}

int
vucctl_daemon_print_line(struct app_json *json)
{
	return end_print(json, app_json_print_line(stdout, json));
}

int
vucctl_daemon_print_done(const struct vucctl_daemon *daemon, const char *device, const char *what)
{
	struct app_json json;

	if (!daemon->json)
		return EXIT_SUCCESS;
	app_json_init(&json);
	app_json_text(&json, json.root, "device", device);
	app_json_bool(&json, json.root, what, true);
	return vucctl_daemon_print(&json);
}
