/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>

#include "command.h"
#include "daemon_command.h"

#define COMMAND "detach"

static void
print_help(void)
{
	printf("Usage: vucctl detach [OPTION...] DEVICE\n"
	       "\n"
	       "Takes a device away from the VMM that has it, so that another VMM can attach to it.\n"
	       "\n"
	       "Options:\n" VUCCTL_DAEMON_LONG_HELP
	       "  -j, --json             print one JSON object\n"
	       "  -h, --help             print this help and exit\n");
}

static int
take_arguments(void *arg, int argc, char *const argv[])
{
	const char **device = arg;
	int ret = vucctl_arguments_check(COMMAND, "device", argc, argv);

	if (ret == 0)
		*device = argv[0];
	return ret;
}

static int
detach_command_run(void *arg, struct vucctl_daemon *daemon)
{
	const char *const *device = arg;
	struct app_json params;
	int ret;

	app_json_init(&params);
	app_json_text(&params, params.root, "device", *device);
	ret = vucctl_daemon_do(daemon, "vmms.detach", &params);
	return ret == 0 ? vucctl_daemon_print_done(daemon, *device, "detached") : ret;
}

int
vucctl_detach_command(int argc, char *argv[])
{
	static const struct vucctl_daemon_command command = {
		.name = COMMAND,
		.timeout_ms = VUCCTL_DAEMON_LONG_TIMEOUT_MS,
		.print_help = print_help,
		.take_arguments = take_arguments,
		.run = detach_command_run,
	};
	const char *device = NULL;

	return vucctl_daemon_command_run(&command, &device, argc, argv);
}
