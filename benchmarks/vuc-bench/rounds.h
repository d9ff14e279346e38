/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

/* Measuring ways to access a register in turn. */

#include <stdbool.h>
#include <stdint.h>

#include "series.h"
#include "ticks.h"
#include "way.h"

#define BENCH_MAX_WAYS  4
#define BENCH_MAX_GROUP 64

struct bench_rounds {
	const struct bench_clock *clock;
	struct bench_way *ways[BENCH_MAX_WAYS];
	struct bench_series *series[BENCH_MAX_WAYS]; /* where the samples of each go */
	unsigned int nr_ways;
	uint32_t rounds;
	uint32_t samples;   /* of each way in a round */
	unsigned int group; /* samples in a row, at most BENCH_MAX_GROUP */
	bool keep_open;     /* the ways are open and stay so, else each is open for its turn only */
	bool settle;        /* let the server catch up after each group, and time that apart */
	const char *name;   /* for the progress bar */
};

/* Run all rounds, as bench_turns_run(). Returns 0; -EINTR after a signal; what a way says. */
int bench_rounds_run(const struct bench_rounds *rounds, struct vuc_error *err);

#endif /* BENCH_ROUNDS_H */
