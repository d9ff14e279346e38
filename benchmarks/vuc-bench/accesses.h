/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_ACCESSES_H
#define BENCH_ACCESSES_H

/* What measurements of one access have in common: a floor and vuc, access by access. */

#include "rounds.h"
#include "target.h"
#include "way.h"

/* The struct of such a measurement begins with it. */
struct bench_accesses {
	struct bench_target target;
	struct bench_access access;
	uint32_t ops;     /* of each series in a round */
	uint32_t samples; /* that they make */
};

#define BENCH_MAX_OTHERS (BENCH_MAX_WAYS - 2)

/* What is measured, and how it is told. */
struct bench_pair {
	struct bench_way *floor;
	struct bench_way *subject;
	const char *floor_name;
	const char *subject_name;
	struct {
		struct bench_way *way;
		const char *name;
	} others[BENCH_MAX_OTHERS]; /* that are held next to the floor, too */
	unsigned int nr_others;
	bool by_rate;   /* what counts is how many in a second */
	bool apart;     /* each sample is settled, so that nothing of it is in the next one's way */
	bool keep_open; /* one connection is both ways', for the whole run */
};

/* Parse --op, --size and --ops. Each returns 0 or -EINVAL. */
int bench_accesses_parse_op(void *accesses, const char *text, struct vuc_error *err);
int bench_accesses_parse_size(void *accesses, const char *text, struct vuc_error *err);
int bench_accesses_parse_ops(void *accesses, const char *text, struct vuc_error *err);

/* Settle how many there are: whole samples. Returns 0 or -EINVAL. */
int bench_accesses_settle(
	struct bench_accesses *accesses, const struct bench *bench, struct vuc_error *err);

/* Tell a result what was done. */
void bench_accesses_describe(const struct bench_accesses *accesses, const struct bench *bench,
	struct bench_result *result);

/* "posted write", "read" or "write" */
const char *bench_accesses_what(const struct bench_accesses *accesses);

/* Run all rounds into a result of a series for each way, and finish it. Returns 0 or a negative
 * errno. */
int bench_accesses_run(struct bench_accesses *accesses, const struct bench *bench,
	const struct bench_pair *pair, struct bench_result *result, struct vuc_error *err);

#endif /* BENCH_ACCESSES_H */
