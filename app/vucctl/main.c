/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

static const struct vucctl_command *const commands[] = {
	&vucctl_probe,
	&vucctl_read,
	&vucctl_write,
	&vucctl_reset,
	&vucctl_irq_wait,
	&vucctl_irq_mask,
	&vucctl_irq_unmask,
	&vucctl_irq_trigger,
	&vucctl_dma_selftest,
	&vucctl_migrate_save,
	&vucctl_migrate_load,
	&vucctl_status,
	&vucctl_devices,
	&vucctl_stats,
	&vucctl_metrics,
	&vucctl_add,
	&vucctl_remove,
	&vucctl_detach,
	&vucctl_capture,
	&vucctl_reload,
};

#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* The first words of commands that have two; the first is vucctl itself. */
struct group {
	const char *name;
	const char *summary;
	const char *doc;
};

static const struct group groups[] = {
	{"", NULL,
		"Inspects vfio-user devices, and manages the daemon vucd, which offers devices to "
		"VMMs."},
	{"irq", "wait for, mask, unmask or trigger interrupts",
		"Waits for interrupts of a device, or masks, unmasks or triggers them."},
	{"migrate", "save or load the state of a device",
		"Saves the state of a device to a file, or loads it from a file."},
};

#define NR_GROUPS (sizeof(groups) / sizeof(groups[0]))

/* A word of the command line that is to be followed by another one. */
struct level {
	const struct group *group;
	int status;
};

static int group_run(const struct group *group, int argc, char *argv[]);

/* What is left of a command's name behind the name of a group; NULL when it is of another one. */
static const char *
word_in(const struct group *group, const char *name)
{
	size_t len = strlen(group->name);

	if (len == 0)
		return name;
	return strncmp(name, group->name, len) == 0 && name[len] == ' ' ? name + len + 1 : NULL;
}

static int
word_run(const struct level *level, struct argp_state *state)
{
	char **argv = state->argv + state->next - 1;
	int argc = state->argc - state->next + 1;
	size_t i;

	for (i = 0; i < NR_COMMANDS; i++) {
		const char *word = word_in(level->group, commands[i]->name);

		if (word != NULL && strcmp(word, argv[0]) == 0)
			return vucctl_command_run(commands[i], argc, argv);
	}
	for (i = 1; i < NR_GROUPS && level->group == &groups[0]; i++) {
		if (strcmp(groups[i].name, argv[0]) == 0)
			return group_run(&groups[i], argc, argv);
	}
	app_args_error(state, "unknown command '%s'", argv[0]);
}

static error_t
take_key(int key, char *arg, struct argp_state *state)
{
	struct level *level = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_ARG:
		level->status = word_run(level, state);
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		app_args_error(state, "no command given");
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The list of commands, behind the rest of the help. */
static char *
list_commands(int key, const char *text, void *input)
{
	const struct level *level = input;
	const struct group *group = level->group;
	char *list = NULL;
	size_t len, i, g = 1;
	FILE *out;

	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)(uintptr_t)text;
	out = open_memstream(&list, &len);
	if (out == NULL)
		return NULL;
	fputs("Commands:\n", out);
	for (i = 0; i < NR_COMMANDS; i++) {
		const char *word = word_in(group, commands[i]->name);

		if (word != NULL && strchr(word, ' ') == NULL)
			fprintf(out, "  %-13s %s\n", word, commands[i]->summary);
		if (g < NR_GROUPS && group == &groups[0] &&
			word_in(&groups[g], commands[i]->name) != NULL) {
			fprintf(out, "  %-13s %s\n", groups[g].name, groups[g].summary);
			g++;
		}
	}
	fprintf(out, "\n'vucctl%s%s COMMAND --help' describes a command.",
		group->name[0] != '\0' ? " " : "", group->name);
	fclose(out);
	return list;
}

static int
group_run(const struct group *group, int argc, char *argv[])
{
	const struct argp argp = {
		.parser = take_key,
		.args_doc = "COMMAND [ARGUMENT...]",
		.doc = group->doc,
		.children = app_args_children,
		.help_filter = list_commands,
	};
	struct level level = {.group = group};
	char name[32];

	snprintf(name, sizeof(name), "vucctl%s%s", group->name[0] != '\0' ? " " : "", group->name);
	argv[0] = name;
	app_args_prepare(&argp, argc, argv, true);
	argp_parse(&argp, argc, argv, ARGP_NO_HELP | ARGP_IN_ORDER, NULL, &level);
	return level.status;
}

/* Errors of a write may show only when the file is closed. What went wrong before has been said. */
static void
finish_output(int status, void *arg)
{
	bool failed = ferror(stdout) != 0;

	(void)arg;
	errno = 0;
	if ((fclose(stdout) == 0 && !failed) || status != EXIT_SUCCESS)
		return;
	if (errno == 0) /* an earlier write has failed, and its reason is gone */
		vucctl_fail("cannot write the output");
	else
		vucctl_fail("cannot write the output: %s", strerror(errno));
	_exit(EXIT_FAILURE);
}

int
main(int argc, char *argv[])
{
	if (!app_args_occupy_standard_fds() || argc < 1 || on_exit(finish_output, NULL) != 0)
		return EXIT_FAILURE;
	/* A reader that goes away shows as an error of the write, like a full disk. */
	signal(SIGPIPE, SIG_IGN);
	argp_err_exit_status = APP_EXIT_USAGE;
	return group_run(&groups[0], argc, argv);
}
