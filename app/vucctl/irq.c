/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

static const struct vucctl_command commands[] = {
	{"wait", "wait for interrupts and print them", vucctl_irq_wait_command},
	{"mask", "mask interrupts", vucctl_irq_mask_command},
	{"unmask", "unmask interrupts", vucctl_irq_unmask_command},
	{"trigger", "have the server raise interrupts", vucctl_irq_trigger_command},
};

int
vucctl_irq_command(int argc, char *argv[])
{
	static const struct vucctl_group group = {
		.name = "irq",
		.purpose = "Looks after the interrupts of a device.",
		.commands = commands,
		.nr_commands = sizeof(commands) / sizeof(commands[0]),
	};

	return vucctl_group_run(&group, argc, argv);
}
