/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

/* Measuring several ways to do a thing in turns, so that what changes on the machine meanwhile hits
 * all of them alike. */

#include <stdbool.h>
#include <stdint.h>

#include "bench.h"

/* Take the first CPUs, or those of --cpus, and keep them awake; with `pin` move to the first one.
 * too_few ends the message for too few. Returns 0 or a negative errno. */
int bench_take_cpus(
	struct bench *bench, unsigned int nr, bool pin, const char *too_few, struct vuc_error *err);
void bench_release_cpus(struct bench *bench);

struct bench_turns {
	const char *name; /* for the progress bar */
	uint32_t rounds;
	unsigned int nr_ways;
	/* The turn of way i. Returns 0, or a negative errno with a line in err. */
	int (*turn)(void *arg, unsigned int i, struct vuc_error *err);
	void *arg;
};

/* Run all rounds: a turn of each way, and every round begins with the next way. Returns 0, or what
 * the first turn that failed returned. */
int bench_turns_run(const struct bench_turns *turns, struct vuc_error *err);

#define BENCH_ACCESS_MAX 8
#define BENCH_MAX_BURST  256

/* The access that is made again and again; what writes write is zero. */
struct bench_access {
	enum bench_access_op op;
	uint32_t region;
	uint64_t offset;
	uint32_t size;      /* at most BENCH_ACCESS_MAX */
	uint32_t together;  /* made at once, which is a sample; at most BENCH_MAX_BURST */
	const char *server; /* named where its region is too small; NULL: it is known to be right */
};

/* A read that every PCI device answers and that changes nothing: the ids in config space. */
extern const struct bench_access bench_settle_access;

/* The scratch register of vuc-refdev. */
extern const struct bench_access bench_scratch_access;

/* A way to make an access: a floor, or vuc. An implementation's own struct begins with it. */
struct bench_way {
	const struct bench_way_ops *ops;
	uint64_t syscalls; /* made for accesses, up to the last burst */
	uint64_t futexes;  /* of these, where they are told apart */
};

/* Each but close returns 0 or a negative errno with a line in err. */
struct bench_way_ops {
	int (*open)(struct bench_way *way, struct vuc_error *err);
	void (*close)(struct bench_way *way);
	/* Take nr samples one after the other; ticks gets the time of each: from the first call
	 * until the access is answered or, when posted, all of them are with the kernel. */
	int (*burst)(
		struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err);
	/* Let the server catch up: bench_settle_access, answered after everything before it. */
	int (*settle)(struct bench_way *way, struct vuc_error *err);
};

#define BENCH_MAX_WAYS 4

/* Ways to make one access, and the series that their samples go to. */
struct bench_rounds {
	const struct bench_clock *clock;
	struct bench_way *ways[BENCH_MAX_WAYS];
	struct bench_series *series[BENCH_MAX_WAYS];
	unsigned int nr_ways;
	uint32_t rounds;
	uint32_t samples; /* of each way in a round */
	bool apart;       /* one sample in a row, else up to 64 */
	bool keep_open; /* the second way is open for the whole run and the others need no opening,
			 * else each is open for its turn only */
	bool settle;    /* let the server catch up after each row, and time that apart */
	const char *name; /* for the progress bar */
};

/* Returns 0; -EINTR after a signal; what a way returned. */
int bench_rounds_run(const struct bench_rounds *rounds, struct vuc_error *err);

/* A measurement of one access: a floor, vuc, and what else is compared with the floor. */
struct bench_comparison {
	struct bench_way *ways[BENCH_MAX_WAYS];
	const char *names[BENCH_MAX_WAYS]; /* of the series: "floor", "vuc", ... */
	const char *transports[BENCH_MAX_WAYS];
	unsigned int nr_ways;
	bool by_rate; /* what counts is how many in a second */
	bool apart;
	bool keep_open;
};

/* Look at --ops, and round it up to whole samples. Returns 0 or -EINVAL. */
int bench_comparison_check(struct bench_options *options, struct vuc_error *err);

/* "posted write", "read" or "write" */
const char *bench_comparison_what(const struct bench_options *options);

/* Tell a result what was done. */
void bench_comparison_describe(const struct bench_options *options, struct bench_result *result);

/* Run all rounds into a result of a series for each way, and finish it. Returns 0 or a negative
 * errno. */
int bench_comparison_run(const struct bench_comparison *comparison, const struct bench *bench,
	struct bench_result *result, struct vuc_error *err);

#endif /* BENCH_ROUNDS_H */
