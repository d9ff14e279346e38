/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_TERM_H
#define BENCH_TERM_H

/* How the text report may look where it goes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct bench_term {
	FILE *out;
	bool colour; /* a terminal, and nobody set NO_COLOR */
	bool utf8;   /* the locale says so */
	unsigned int width;
};

void bench_term_init(struct bench_term *term, FILE *out);

/* Switch to a style, "" where there are no colours. */
const char *bench_term_bold(const struct bench_term *term);
const char *bench_term_dim(const struct bench_term *term);
const char *bench_term_series(const struct bench_term *term, unsigned int series);
const char *bench_term_plain(const struct bench_term *term);

/* A number with its thousands set off: "12,345"; one digit behind the point below 100,
 * "-" for what is not a number. */
#define BENCH_NUMBER_MAX 32
const char *bench_term_number(double value, char buf[BENCH_NUMBER_MAX]);

/* A time with its unit: "850 ns", "4.2 us". */
const char *bench_term_time(const struct bench_term *term, double ns, char buf[BENCH_NUMBER_MAX]);

#endif /* BENCH_TERM_H */
