/* SPDX-License-Identifier: BSD-3-Clause */

/* irq mask, irq unmask, irq trigger: the same but for what the server is told. */

#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "device_command.h"
#include "irq_select.h"
#include "vfio_names.h"

static const struct {
	const char *name;
	const char *verb;
	const char *purpose;
} actions[] = {
	[VUC_IRQ_TRIGGER] = {"irq trigger", "trigger", "Has the server raise interrupts"},
	[VUC_IRQ_MASK] = {"irq mask", "mask", "Masks interrupts"},
	[VUC_IRQ_UNMASK] = {"irq unmask", "unmask", "Unmasks interrupts"},
};

struct act {
	struct vucctl_target target;
	struct vucctl_irq_select select;
	enum vuc_irq_action action;
};

static void
print_help(enum vuc_irq_action action)
{
	printf("Usage: vucctl %s [OPTION...] SOCKET\n"
	       "\n"
	       "%s of the device behind SOCKET. A server may forget what was\n"
	       "masked, and drops eventfds, as soon as the client is gone.\n"
	       "\n"
	       "Options:\n" VUCCTL_IRQ_SELECT_HELP VUCCTL_TARGET_HELP
	       "  -h, --help            print this help and exit\n",
		actions[action].name, actions[action].purpose);
}

static void
print_trigger_help(void)
{
	print_help(VUC_IRQ_TRIGGER);
}

static void
print_mask_help(void)
{
	print_help(VUC_IRQ_MASK);
}

static void
print_unmask_help(void)
{
	print_help(VUC_IRQ_UNMASK);
}

static int
take_option(void *arg, int opt, const char *value)
{
	struct act *act = arg;

	return vucctl_irq_select_option(&act->select, actions[act->action].name, opt, value);
}

static int
irq_act_command_run(void *arg, struct vuc_device *dev)
{
	const struct act *act = arg;
	struct vuc_irq_range range;
	int ret = vucctl_irq_select_range(&act->select, &act->target, dev, &range);

	if (ret != 0)
		return ret;
	ret = vuc_irq_act(dev, &range, act->action);
	if (ret != 0)
		return vucctl_target_fail(&act->target, dev, ret, "cannot %s %s",
			actions[act->action].verb, vucctl_irq_name(range.index).text);
	return EXIT_SUCCESS;
}

static int
act_command(enum vuc_irq_action action, void (*help)(void), int argc, char *argv[])
{
	static const struct option options[] = {
		VUCCTL_TARGET_LONG_OPTIONS,
		VUCCTL_IRQ_SELECT_LONG_OPTIONS,
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const struct vucctl_device_command command = {
		.name = actions[action].name,
		.short_options =
			":" VUCCTL_TARGET_SHORT_OPTIONS VUCCTL_IRQ_SELECT_SHORT_OPTIONS "h",
		.options = options,
		.print_help = help,
		.take_option = take_option,
		.run = irq_act_command_run,
	};
	struct act act = {.action = action};

	vucctl_target_init(&act.target);
	return vucctl_device_command_run(&command, &act.target, &act, argc, argv);
}

int
vucctl_irq_trigger_command(int argc, char *argv[])
{
	return act_command(VUC_IRQ_TRIGGER, print_trigger_help, argc, argv);
}

int
vucctl_irq_mask_command(int argc, char *argv[])
{
	return act_command(VUC_IRQ_MASK, print_mask_help, argc, argv);
}

int
vucctl_irq_unmask_command(int argc, char *argv[])
{
	return act_command(VUC_IRQ_UNMASK, print_unmask_help, argc, argv);
}
