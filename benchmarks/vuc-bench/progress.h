/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_PROGRESS_H
#define BENCH_PROGRESS_H

/* A bar on stderr while a measurement runs, when stderr is a terminal. */

#include <stdbool.h>

struct bench_progress {
	const char *name;
	unsigned int total;
	bool shown;
};

void bench_progress_begin(struct bench_progress *progress, const char *name, unsigned int total);
void bench_progress_step(struct bench_progress *progress, unsigned int done);

/* Take the bar away again. */
void bench_progress_end(struct bench_progress *progress);

#endif /* BENCH_PROGRESS_H */
