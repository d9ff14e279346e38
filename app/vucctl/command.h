/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_COMMAND_H
#define VUCCTL_COMMAND_H

/* A command of vucctl: a row of the table in main.c, and a file of its own. */
struct vucctl_command {
	const char *name;
	const char *summary; /* one line for the list of commands */
	/* argv[0] is the command's name. Prints to stdout, whose errors main() looks at, and says
	 * by vucctl_fail() what went wrong. Returns the exit status. */
	int (*run)(int argc, char *argv[]);
};

int vucctl_probe_command(int argc, char *argv[]);

#endif /* VUCCTL_COMMAND_H */
