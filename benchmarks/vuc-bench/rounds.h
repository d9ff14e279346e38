/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

/* Measuring ways in turn, so that what changes on the machine meanwhile hits them alike. */

#include <stdbool.h>
#include <stdint.h>

#include "series.h"
#include "way.h"

#define BENCH_MAX_WAYS 2

struct bench_rounds {
	struct bench_way *ways[BENCH_MAX_WAYS];
	struct bench_series *series[BENCH_MAX_WAYS]; /* where the samples of each go */
	unsigned int nr_ways;
	uint32_t rounds;
	uint32_t ops;     /* of each way in a round */
	bool keep_open;   /* the ways are open and stay so, else each is open for its turn only */
	bool settle;      /* let the server catch up after each burst, untimed */
	const char *name; /* for the progress bar */
};

/* Run all rounds; every round begins with the next way. Returns 0; -EINTR after a signal; what a
 * way says. */
int bench_rounds_run(const struct bench_rounds *rounds, struct vuc_error *err);

#endif /* BENCH_ROUNDS_H */
