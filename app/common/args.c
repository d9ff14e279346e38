/* SPDX-License-Identifier: BSD-3-Clause */
#include "args.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"
#include "text.h"

#define KEY_USAGE   0x1000
#define MESSAGE_MAX 1024

static const struct argp_option options[] = {
	{"help", 'h', NULL, 0, "Print this help and exit", -1},
	{"usage", KEY_USAGE, NULL, 0, "Print a short usage message and exit", -1},
	{"version", 'V', NULL, 0, "Print the version and exit", -1},
	{0},
};

/* Standard output may be full. */
static void
args_exit(void)
{
	exit(fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_FAILURE);
}

static error_t
parse_option(int key, char *text, struct argp_state *state)
{
	(void)text;
	switch (key) {
	case 'h':
		argp_state_help(
			state, stdout, ARGP_HELP_STD_HELP & ~(unsigned int)ARGP_HELP_EXIT_OK);
		args_exit();
		return 0;
	case KEY_USAGE:
		argp_state_help(state, stdout, ARGP_HELP_USAGE);
		args_exit();
		return 0;
	case 'V':
		/* Of a command, too, whose name stands behind the program's. */
		printf("%.*s " VUC_VERSION "\n", (int)strcspn(state->name, " "), state->name);
		args_exit();
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp common = {.options = options, .parser = parse_option};
const struct argp_child app_args_children[] = {{.argp = &common}, {0}};

void
app_args_parse(const struct argp *argp, int argc, char *argv[], void *input)
{
	argp_err_exit_status = APP_EXIT_USAGE;
	argv[0] = program_invocation_short_name; /* what argp says comes from one and the same */
	if (argp_parse(argp, argc, argv, ARGP_NO_HELP, NULL, input) != 0)
		exit(APP_EXIT_USAGE);
}

void
app_args_error(const struct argp_state *state, const char *fmt, ...)
{
	char line[MESSAGE_MAX];
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(line, sizeof(line), fmt, args) < 0)
		line[0] = '\0';
	va_end(args);
	vuc_text_clean_controls(line);
	argp_error(state, "%s", line);
	exit(APP_EXIT_USAGE);
}

static const char *
option_name(const struct argp_state *state, int key)
{
	const struct argp_option *option = state->root_argp->options;

	while (option->key != key)
		option++;
	return option->name;
}

uint64_t
app_args_number(
	const struct argp_state *state, int key, const char *text, uint64_t min, uint64_t max)
{
	uint64_t number = 0;
	int rc = vuc_number_parse(text, 0, min, max, &number);

	if (rc == -EINVAL)
		app_args_error(state, "--%s: '%s' is not a number", option_name(state, key), text);
	else if (rc != 0)
		app_args_error(state, "--%s: %s is not within %llu ... %llu",
			option_name(state, key), text, (unsigned long long)min,
			(unsigned long long)max);
	return number;
}
