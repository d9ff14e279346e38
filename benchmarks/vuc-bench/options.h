/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

/* The command line: options that every measurement has, and those of one. */

#include <stdbool.h>
#include <stdint.h>

#include <vuc/error.h>

#include "cpu.h"

/* An option that takes a value; a table of them ends with a NULL name. */
struct bench_option {
	const char *name;  /* without the dashes */
	const char *value; /* what it takes, for the help text */
	const char *help;
	/* Put the value into the struct that the table is about. Returns 0 or -EINVAL. */
	int (*parse)(void *options, const char *text, struct vuc_error *err);
};

/* Those of every measurement. */
struct bench_options {
	uint32_t rounds;
	struct bench_cpus cpus;
	const char *json; /* "-": stdout; NULL: none */
	const char *plot; /* a file, or a folder of `all`; NULL: none */
	const char *label;
	bool help;
};

#define BENCH_DEFAULT_ROUNDS 100

/* rounds: the default of the measurement; 0: the usual one. */
void bench_options_init(struct bench_options *options, uint32_t rounds);

/*
 * Parse the arguments behind the measurement's name.
 *
 * @param argv  argv[0] is the name
 * @param own   the measurement's table, and own_options the struct that it is about
 * @return 0; -EINVAL; -ENOMEM
 */
int bench_options_parse(struct bench_options *options, const struct bench_option *own,
	void *own_options, int argc, char **argv, struct vuc_error *err);

/* Print all options and the defaults in them, for --help. */
void bench_options_help(const struct bench_options *options, const struct bench_option *own);

/* Parse decimal or 0x… into min … max. Returns 0 or -EINVAL with a line that names the option. */
int bench_parse_number(const char *option, const char *text, uint64_t min, uint64_t max,
	uint64_t *value, struct vuc_error *err);

/* The same for what there is at least one of. */
int bench_parse_count(
	const char *option, const char *text, uint32_t max, uint32_t *value, struct vuc_error *err);

/* Parse one of several words, which end with NULL. Returns 0 or -EINVAL. */
int bench_parse_word(const char *option, const char *text, const char *const *words,
	unsigned int *index, struct vuc_error *err);

#endif /* BENCH_OPTIONS_H */
