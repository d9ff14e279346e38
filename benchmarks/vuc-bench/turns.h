/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_TURNS_H
#define BENCH_TURNS_H

/* Taking turns, so that what changes on the machine meanwhile hits all ways alike. */

#include <stdint.h>

#include <vuc/error.h>

struct bench_turns {
	const char *name; /* for the progress bar */
	uint32_t rounds;
	unsigned int nr_ways;
	/* The turn of way i. Returns 0, or a negative errno with a line in err. */
	int (*turn)(void *arg, unsigned int i, struct vuc_error *err);
	void *arg;
};

/* Run all rounds: a turn of each way, and every round begins with the next way. Returns 0, or what
 * the first turn that failed says. */
int bench_turns_run(const struct bench_turns *turns, struct vuc_error *err);

#endif /* BENCH_TURNS_H */
