/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

static const struct vucctl_command commands[] = {
	{"save", "save the state of a device to a file", vucctl_migrate_save_command},
	{"load", "load the state of a device from a file", vucctl_migrate_load_command},
};

int
vucctl_migrate_command(int argc, char *argv[])
{
	static const struct vucctl_group group = {
		.name = "migrate",
		.purpose = "Moves the state of a device to a file, and back into another server.",
		.commands = commands,
		.nr_commands = sizeof(commands) / sizeof(commands[0]),
	};

	return vucctl_group_run(&group, argc, argv);
}
