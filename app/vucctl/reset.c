/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "device_command.h"

static void
print_help(void)
{
	printf("Usage: vucctl reset [OPTION...] SOCKET\n"
	       "\n"
	       "Resets the device behind SOCKET.\n"
	       "\n"
	       "Options:\n" VUCCTL_TARGET_HELP_RESET
	       "  -h, --help            print this help and exit\n");
}

static int
reset_command_run(void *arg, struct vuc_device *dev)
{
	const struct vucctl_target *target = arg;
	int ret = vuc_device_reset(dev);

	if (ret != 0)
		return vucctl_target_fail(target, dev, ret, "cannot reset the device");
	return EXIT_SUCCESS;
}

int
vucctl_reset_command(int argc, char *argv[])
{
	static const struct option options[] = {
		VUCCTL_TARGET_LONG_OPTIONS,
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static const struct vucctl_device_command command = {
		.name = "reset",
		.short_options = ":" VUCCTL_TARGET_SHORT_OPTIONS "h",
		.options = options,
		.print_help = print_help,
		.run = reset_command_run,
	};
	struct vucctl_target target;

	vucctl_target_init(&target);
	return vucctl_device_command_run(&command, &target, &target, argc, argv);
}
