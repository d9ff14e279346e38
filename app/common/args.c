/* SPDX-License-Identifier: BSD-3-Clause */
#include "args.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

int
app_args_finish_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	fprintf(stderr, "%s: cannot write the output: %s\n", program_invocation_short_name,
		strerror(errno));
	return EXIT_FAILURE;
}

static error_t
parse_option(int key, char *text, struct argp_state *state)
{
	(void)text;
	switch (key) {
	case 'h':
		argp_state_help(
			state, stdout, ARGP_HELP_STD_HELP & ~(unsigned int)ARGP_HELP_EXIT_OK);
		break;
	case KEY_USAGE:
		argp_state_help(state, stdout, ARGP_HELP_USAGE);
		break;
	case 'V':
		/* Of a command, too, whose name stands behind the program's. */
		printf("%.*s %s\n", (int)strcspn(state->name, " "), state->name,
			state->input != NULL ? (const char *)state->input : VUC_VERSION);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	exit(app_args_finish_output());
}

static const struct argp common = {.options = options, .parser = parse_option};
const struct argp_child app_args_children[] = {{.argp = &common}, {0}};

static bool
takes_argument(const struct argp_option *option, char key)
{
	while (option != NULL && (option->name != NULL || option->key != 0)) {
		if (option->key == key)
			return option->arg != NULL;
		option++;
	}
	return false;
}

/* Whether a long option, perhaps cut short, is one of a parser's or of app_args_children. */
static bool
is_known(const struct argp_option *option, const char *name, size_t len)
{
	for (; option != NULL && (option->name != NULL || option->key != 0); option++) {
		if (option->name != NULL && strncmp(option->name, name, len) == 0)
			return true;
	}
	return false;
}

/* Where the argument of an option begins, which is nobody's business here. */
static char *
option_end(const struct argp *argp, char *text)
{
	size_t len = strcspn(text, "=");
	char *c;

	if (text[1] == '-') {
		bool known = is_known(argp->options, text + 2, len - 2) ||
			is_known(options, text + 2, len - 2);

		return text + (known ? len : strlen(text));
	}
	for (c = text + 1; *c != '\0' && !takes_argument(argp->options, *c); c++)
		continue;
	return c;
}

static void
option_clean(const struct argp *argp, char *text)
{
	const char *end = option_end(argp, text);

	for (; text < end; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

void
app_args_prepare(const struct argp *argp, int argc, char *argv[], bool in_order)
{
	int i;

	setenv("ARGP_HELP_FMT", "no-dup-args-note", 1);
	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (argv[i][0] == '-')
			option_clean(argp, argv[i]);
		else if (in_order)
			break;
	}
}

void
app_args_parse(const struct argp *argp, int argc, char *argv[], void *input)
{
	argp_err_exit_status = APP_EXIT_USAGE;
	argv[0] = program_invocation_short_name; /* what argp says comes from one and the same */
	app_args_prepare(argp, argc, argv, false);
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

bool
app_args_occupy_standard_fds(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
			return false;
	}
	return true;
}
