/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_COMMAND_H
#define VUCCTL_COMMAND_H

#include <stddef.h>

/* A command of vucctl: a row of the table in main.c or in a group's file, and a file of its own. */
struct vucctl_command {
	const char *name;
	const char *summary; /* one line for the list of commands */
	/* argv[0] is the command's name. Prints to stdout, whose errors main() looks at, and says
	 * by vucctl_fail() what went wrong. Returns the exit status. */
	int (*run)(int argc, char *argv[]);
};

/* Print the list of commands for a help text. */
void vucctl_commands_print(const struct vucctl_command *commands, size_t n);

/* Run the command that argv[0] names. group is the name of the group whose commands these are, NULL
 * for those of vucctl itself. Returns the exit status. */
int vucctl_commands_run(
	const char *group, const struct vucctl_command *commands, size_t n, int argc, char *argv[]);

/* A command that has commands of its own, like "irq". */
struct vucctl_group {
	const char *name;
	const char *purpose; /* a sentence for its help */
	const struct vucctl_command *commands;
	size_t nr_commands;
};

/* Run a group: argv[0] is its name. Returns the exit status. */
int vucctl_group_run(const struct vucctl_group *group, int argc, char *argv[]);

/* For take_arguments: check that there are exactly those that names names, separated by blanks.
 * Returns 0; VUCCTL_EXIT_USAGE, the error said. */
int vucctl_arguments_check(const char *command, const char *names, int argc, char *const argv[]);

int vucctl_probe_command(int argc, char *argv[]);
int vucctl_read_command(int argc, char *argv[]);
int vucctl_write_command(int argc, char *argv[]);
int vucctl_reset_command(int argc, char *argv[]);
int vucctl_irq_command(int argc, char *argv[]);
int vucctl_irq_wait_command(int argc, char *argv[]);
int vucctl_irq_mask_command(int argc, char *argv[]);
int vucctl_irq_unmask_command(int argc, char *argv[]);
int vucctl_irq_trigger_command(int argc, char *argv[]);
int vucctl_dma_selftest_command(int argc, char *argv[]);
int vucctl_migrate_command(int argc, char *argv[]);
int vucctl_migrate_save_command(int argc, char *argv[]);
int vucctl_migrate_load_command(int argc, char *argv[]);
int vucctl_status_command(int argc, char *argv[]);
int vucctl_devices_command(int argc, char *argv[]);
int vucctl_stats_command(int argc, char *argv[]);
int vucctl_add_command(int argc, char *argv[]);
int vucctl_remove_command(int argc, char *argv[]);
int vucctl_detach_command(int argc, char *argv[]);
int vucctl_reload_command(int argc, char *argv[]);

#endif /* VUCCTL_COMMAND_H */
