/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_SERIES_H
#define BENCH_SERIES_H

/* What one way of doing a thing took, over all rounds. */

#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"
#include "samples.h"

/*
 * Of one access; in nanoseconds, but for the last three. A percentile is NAN unless at least one
 * sample lies above it: 20 samples have no p99.
 */
struct bench_summary {
	double p50;
	double p90;
	double p99;
	double p999;
	double min;
	double max;
	double mean;
	double per_second;            /* one after the other: what the mean comes to */
	double end_to_end_per_second; /* the same until the server has caught up; 0: not measured */
	double syscalls;              /* per access */
	double cpu_share;             /* of a CPU, that its thread took while idle */
};

/* What a round came to, in nanoseconds of an access. */
struct bench_round {
	double p50;
	double mean;
	double end_to_end; /* a mean, too; 0: not measured */
};

struct bench_series {
	const char *topic; /* what is done, where a result has more than one; else NULL */
	const char *name;
	const char *transport;
	const char *subject; /* of the sentence that says how it compares; NULL: its name */
	bool by_rate;        /* what counts is how many in a second, else how long one takes */
	bool ticks;          /* of a guest, and told as such, too */
	struct bench_samples samples; /* in ticks; by round, and sorted within, until finished */
	double ns_per_tick;           /* of one access */
	unsigned int per_sample;      /* accesses that a sample is the time of */
	size_t round_first;           /* where the samples of the running round begin */
	uint64_t round_end_to_end;    /* of the running round, in ticks */
	uint64_t end_to_end;          /* of the rounds before */
	struct bench_round *round;
	unsigned int rounds;
	unsigned int max_rounds;
	uint64_t syscalls;
	uint64_t futexes;             /* of these, where they are told apart */
	bool traced;                  /* they are all of the measuring thread's, whatever for */
	uint64_t idle_ns;             /* that its thread was idle for on purpose; 0: it was not */
	uint64_t idle_cpu_ns;         /* that it took meanwhile */
	struct bench_summary summary; /* once finished */
};

/* Against the floor: each round has a ratio of its own, and these are their order statistics. */
struct bench_ratio {
	double median;
	double min;
	double max;
	double low;  /* the lower quartile */
	double high; /* the upper one */
	unsigned int rounds;
};

struct bench_ratios {
	struct bench_ratio p50;
	struct bench_ratio rate;       /* of accesses per second: above 1 is faster */
	struct bench_ratio end_to_end; /* 0: not measured */
};

/* What the samples of a series are. */
struct bench_series_shape {
	double ns_per_tick;      /* samples are given in ticks */
	unsigned int per_sample; /* accesses, which each sample is the time of; at least 1 */
	unsigned int rounds;
	size_t samples_per_round;
};

/* Returns 0 or -ENOMEM; either way the series may be given to bench_series_fini(). */
int bench_series_init(
	struct bench_series *series, const char *name, const struct bench_series_shape *shape);
void bench_series_fini(struct bench_series *series);

/* What accesses took from the first one's beginning until the server had caught up, in ticks: for
 * all samples of a round, or for none. */
static inline void
bench_series_add_end_to_end(struct bench_series *series, uint64_t ticks)
{
	series->round_end_to_end += ticks;
}

/* A round is over: what was added since the last one is its samples. */
void bench_series_end_round(struct bench_series *series);

/* No more rounds: merge them and sum up. */
void bench_series_finish(struct bench_series *series);

/* Both finished. Returns 0; -EINVAL unless both have the same number of rounds, at least one;
 * -ENOMEM. */
int bench_series_compare(const struct bench_series *floor, const struct bench_series *series,
	struct bench_ratios *ratios);

/* Whether the rounds differ so much that the median says little: their middle half spans more than
 * a fifth of it. Fewer than four rounds cannot tell. */
bool bench_ratio_is_unsteady(const struct bench_ratio *ratio);

/* Of the samples of a finished series, in nanoseconds of an access. */
void bench_series_histogram(const struct bench_series *series, struct bench_histogram *histogram);

/* Sample i, in nanoseconds of an access; ascending once finished. */
static inline double
bench_series_ns(const struct bench_series *series, size_t i)
{
	return (double)series->samples.values[i] * series->ns_per_tick;
}

/* p50 of a finished series, in ticks of a sample. */
static inline uint64_t
bench_series_p50_ticks(const struct bench_series *series)
{
	return bench_percentile(series->samples.values, series->samples.nr, 500);
}

#endif /* BENCH_SERIES_H */
