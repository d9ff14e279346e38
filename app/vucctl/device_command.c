/* SPDX-License-Identifier: BSD-3-Clause */
#include "device_command.h"

#include <stdlib.h>

#include "message.h"

static int
take_option(const struct vucctl_device_command *command, struct vucctl_target *target, void *arg,
	int opt, const char *value)
{
	if (opt == 't' || opt == 'T' || opt == 'P')
		return vucctl_target_option(target, command->name, opt, value);
	return command->take_option(arg, opt, value);
}

static int
take_arguments(const struct vucctl_device_command *command, struct vucctl_target *target, void *arg,
	int argc, char *const argv[])
{
	bool more = command->take_arguments != NULL && argc > 1;
	int ret = vucctl_target_arguments(target, command->name, more ? 1 : argc, argv);

	if (ret != 0 || command->take_arguments == NULL)
		return ret;
	return command->take_arguments(arg, argc - 1, argv + 1);
}

/* Sets help when that was asked for: nothing behind it counts. */
static int
parse_command_line(const struct vucctl_device_command *command, struct vucctl_target *target,
	void *arg, int argc, char *argv[], bool *help)
{
	int opt, ret;

	*help = false;
	while ((opt = getopt_long(argc, argv, command->short_options, command->options, NULL)) !=
		-1) {
		if (opt == '?' || opt == ':')
			return vucctl_fail_option(command->name, command->short_options, opt, argv);
		*help = opt == 'h';
		if (*help)
			return 0;
		ret = take_option(command, target, arg, opt, optarg);
		if (ret != 0)
			return ret;
	}
	return take_arguments(command, target, arg, argc - optind, argv + optind);
}

int
vucctl_device_command_run(const struct vucctl_device_command *command, struct vucctl_target *target,
	void *arg, int argc, char *argv[])
{
	struct vuc_device *dev;
	bool help;
	int ret = parse_command_line(command, target, arg, argc, argv, &help);

	if (ret != 0)
		return ret;
	if (help) {
		command->print_help();
		return EXIT_SUCCESS;
	}
	dev = vucctl_target_open(target);
	if (dev == NULL)
		return EXIT_FAILURE;
	ret = command->run(arg, dev);
	vuc_device_close(dev);
	return ret;
}
