/* SPDX-License-Identifier: BSD-3-Clause */
#include "message.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

#define MESSAGE_MAX 1024

static void format_line(char line[MESSAGE_MAX], const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));

static void
format_line(char line[MESSAGE_MAX], const char *fmt, va_list args)
{
	int len = vsnprintf(line, MESSAGE_MAX, fmt, args);

	if (len < 0)
		line[0] = '\0';
	vuc_text_clean_controls(line);
}

int
vucctl_fail(const char *fmt, ...)
{
	char line[MESSAGE_MAX];
	va_list args;

	va_start(args, fmt);
	format_line(line, fmt, args);
	va_end(args);
	fprintf(stderr, "vucctl: %s\n", line);
	return EXIT_FAILURE;
}

int
vucctl_fail_usage(const char *command, const char *fmt, ...)
{
	char line[MESSAGE_MAX];
	va_list args;

	va_start(args, fmt);
	format_line(line, fmt, args);
	va_end(args);
	fprintf(stderr, "vucctl: %s; see 'vucctl %s%s--help'\n", line,
		command != NULL ? command : "", command != NULL ? " " : "");
	return VUCCTL_EXIT_USAGE;
}

int
vucctl_fail_option(const char *command, const char *short_options, int result, char *const argv[])
{
	const char *arg = argv[optind - 1];

	if (result == ':')
		return vucctl_fail_usage(command, "option '%s' requires an argument", arg);
	/* getopt_long() leaves 0 for a long option that is unknown or ambiguous, and the letter of
	 * a long option that was given a value but takes none. */
	if (optopt == 0)
		return vucctl_fail_usage(command, "unknown option '%s'", arg);
	if (strchr(short_options, optopt) != NULL)
		return vucctl_fail_usage(command, "option '%s' takes no argument", arg);
	return vucctl_fail_usage(command, "unknown option '-%c'", optopt);
}

void
vucctl_log(void *arg, enum vuc_log_level level, const char *line)
{
	(void)arg;
	if (level <= VUC_LOG_WARNING || isatty(STDERR_FILENO))
		vucctl_fail("%s", line);
}
