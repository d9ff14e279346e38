/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>

#include "command.h"
#include "daemon_command.h"

#define COMMAND "remove"

struct removal {
	const char *device;
	bool force;
};

static void
print_help(void)
{
	printf("Usage: vucctl remove [OPTION...] DEVICE\n"
	       "\n"
	       "Removes a device from the daemon, which closes its connection to the server.\n"
	       "\n"
	       "Options:\n" VUCCTL_DAEMON_LONG_HELP
	       "  -f, --force            take it away from the VMM that has it\n"
	       "  -j, --json             print one JSON object\n"
	       "  -h, --help             print this help and exit\n");
}

static int
take_option(void *arg, int opt, const char *value)
{
	struct removal *removal = arg;

	(void)opt;
	(void)value;
	removal->force = true;
	return 0;
}

static int
take_arguments(void *arg, int argc, char *const argv[])
{
	struct removal *removal = arg;
	int ret = vucctl_arguments_check(COMMAND, "device", argc, argv);

	if (ret == 0)
		removal->device = argv[0];
	return ret;
}

static int
remove_command_run(void *arg, struct vucctl_daemon *daemon)
{
	const struct removal *removal = arg;
	struct app_json params;
	int ret;

	app_json_init(&params);
	app_json_text(&params, params.root, "name", removal->device);
	app_json_bool(&params, params.root, "force", removal->force);
	ret = vucctl_daemon_do(daemon, "devices.remove", &params);
	return ret == 0 ? vucctl_daemon_print_done(daemon, removal->device, "removed") : ret;
}

int
vucctl_remove_command(int argc, char *argv[])
{
	static const struct option options[] = {
		VUCCTL_DAEMON_LONG_OPTIONS,
		{"force", no_argument, NULL, 'f'},
		{NULL, 0, NULL, 0},
	};
	static const struct vucctl_daemon_command command = {
		.name = COMMAND,
		.timeout_ms = VUCCTL_DAEMON_LONG_TIMEOUT_MS,
		.short_options = ":" VUCCTL_DAEMON_SHORT_OPTIONS "f",
		.options = options,
		.print_help = print_help,
		.take_option = take_option,
		.take_arguments = take_arguments,
		.run = remove_command_run,
	};
	struct removal removal = {NULL, false};

	return vucctl_daemon_command_run(&command, &removal, argc, argv);
}
