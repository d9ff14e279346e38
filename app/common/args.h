/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_APP_ARGS_H
#define VUC_APP_ARGS_H

/*
 * What the command lines of all programs have in common, on glibc's argp: --help, -h, --usage,
 * --version and -V, and exit status 2 after a wrong option, which argp_error() reports.
 */

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit status of a program that was called the wrong way. */
#define APP_EXIT_USAGE 2

/* Parse the command line with a parser that has app_args_children. The program ends after a wrong
 * option, and after --help and the like: with status 1 when that could not be printed. */
void app_args_parse(const struct argp *argp, int argc, char *argv[], void *input);

/* Its input is NULL, or the text that --version prints behind the name of the program. */
extern const struct argp_child app_args_children[];

/*
 * What comes before argp_parse() where that is called by itself: control characters in options
 * become '?', for getopt_long() prints those that it does not know as they are, and $ARGP_HELP_FMT
 * goes, as argp never ends on margins of less than some 20 columns. in_order: the options end at
 * the first argument.
 */
void app_args_prepare(const struct argp *argp, int argc, char *argv[], bool in_order);

/* As argp_error(), with control characters replaced by '?': arguments may hold them. */
void app_args_error(const struct argp_state *state, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 2, 3)));

/* The number that an option has as its argument, decimal, or hexadecimal behind 0x. The program
 * ends if it is none or not within the bounds. key is the option's own. */
uint64_t app_args_number(
	const struct argp_state *state, int key, const char *text, uint64_t min, uint64_t max);

/* Write out what was printed to stdout. Returns an exit status: of failure, having said so, when
 * not all of it could be written. */
int app_args_finish_output(void);

/*
 * Started with a closed stdin, stdout or stderr, the next socket would get its number, and output
 * would go to whoever is at its other end. Descriptors that cannot be written take their places.
 * Returns false when there are none.
 */
bool app_args_occupy_standard_fds(void);

#endif /* VUC_APP_ARGS_H */
