/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_DEVICE_COMMAND_H
#define VUCCTL_DEVICE_COMMAND_H

/* What the commands that talk to one device have in common: command line, opening, closing. */

#include <getopt.h>

#include "target.h"

struct vucctl_device_command {
	const char *name; /* as it is typed, "irq wait" */
	/* For getopt_long(), those of the target and "help", 'h', included. An option that takes no
	 * value has a letter. */
	const char *short_options;
	const struct option *options;
	void (*print_help)(void);
	/* Take an option of the command's own; NULL: there are none. Returns 0; the exit status,
	 * the error said. */
	int (*take_option)(void *arg, int opt, const char *value);
	/* Take the arguments behind SOCKET, and check what the options are together; NULL: there
	 * are no more. Returns likewise. */
	int (*take_arguments)(void *arg, int argc, char *const argv[]);
	/* Do it. Returns the exit status. */
	int (*run)(void *arg, struct vuc_device *dev);
};

/* Run a command, arg being its own. target has been initialised. Returns the exit status. */
int vucctl_device_command_run(const struct vucctl_device_command *command,
	struct vucctl_target *target, void *arg, int argc, char *argv[]);

#endif /* VUCCTL_DEVICE_COMMAND_H */
