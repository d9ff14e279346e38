/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

void
vucctl_commands_print(const struct vucctl_command *commands, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		printf("  %-13s %s\n", commands[i].name, commands[i].summary);
}

static const struct vucctl_command *
find_command(const struct vucctl_command *commands, size_t n, const char *name)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

int
vucctl_commands_run(
	const char *group, const struct vucctl_command *commands, size_t n, int argc, char *argv[])
{
	const struct vucctl_command *command;

	if (argc == 0)
		return vucctl_fail_usage(group, "no command given");
	command = find_command(commands, n, argv[0]);
	if (command == NULL)
		return vucctl_fail_usage(group, "unknown command '%s'", argv[0]);
	optind = 0; /* the command's options are a new list to getopt_long() */
	return command->run(argc, argv);
}

static void
print_group_help(const struct vucctl_group *group)
{
	printf("Usage: vucctl %s [--help] COMMAND [ARGUMENT...]\n"
	       "\n"
	       "%s\n"
	       "\n"
	       "Commands:\n",
		group->name, group->purpose);
	vucctl_commands_print(group->commands, group->nr_commands);
	printf("\n"
	       "Options:\n"
	       "  -h, --help  print this help and exit\n"
	       "\n"
	       "'vucctl %s COMMAND --help' describes a command.\n",
		group->name);
}

int
vucctl_group_run(const struct vucctl_group *group, int argc, char *argv[])
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static const char short_options[] = "+:h";
	int opt = getopt_long(argc, argv, short_options, options, NULL);

	switch (opt) {
	case -1:
		return vucctl_commands_run(group->name, group->commands, group->nr_commands,
			argc - optind, argv + optind);
	case 'h':
		print_group_help(group);
		return EXIT_SUCCESS;
	default:
		return vucctl_fail_option(group->name, short_options, opt, argv);
	}
}

int
vucctl_arguments_check(const char *command, const char *names, int argc, char *const argv[])
{
	int i;

	for (i = 0; i < argc && names[0] != '\0'; i++) {
		names += strcspn(names, " ");
		names += names[0] == ' ';
	}
	if (names[0] != '\0')
		return vucctl_fail_usage(command, "no %.*s given", (int)strcspn(names, " "), names);
	if (i < argc)
		return vucctl_fail_usage(command, "unexpected argument '%s'", argv[i]);
	return 0;
}
