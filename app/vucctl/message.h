/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_MESSAGE_H
#define VUCCTL_MESSAGE_H

#include <vuc/log.h>

/* Exit status of wrong usage; everything else that fails is EXIT_FAILURE. */
#define VUCCTL_EXIT_USAGE 2

/*
 * Print exactly one line, "vucctl: " and the message, to stderr. Control characters in it become
 * '?': file names and arguments may hold them. Returns EXIT_FAILURE.
 */
int vucctl_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The library's log lines in the same form: warnings, and to a terminal the rest. A vuc_log_fn. */
void vucctl_log(void *arg, enum vuc_log_level level, const char *line);

/*
 * The same for wrong usage, with a hint to the help of command, or of vucctl itself when that is
 * NULL. Returns VUCCTL_EXIT_USAGE.
 */
int vucctl_fail_usage(const char *command, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * The same for what getopt_long() refused by returning result, ':' or '?'. short_options, which
 * begins with ':' or "+:", has a letter for each option. Returns VUCCTL_EXIT_USAGE.
 */
int vucctl_fail_option(
	const char *command, const char *short_options, int result, char *const argv[]);

#endif /* VUCCTL_MESSAGE_H */
