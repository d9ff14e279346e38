/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_SERIES_H
#define BENCH_SERIES_H

/* What one way of doing a thing took, over all rounds. */

#include <stdint.h>

#include "histogram.h"
#include "samples.h"

/* In nanoseconds, but for the last two. */
struct bench_summary {
	double p50;
	double p90;
	double p99;
	double p999;
	double min;
	double max;
	double mean;
	double per_second; /* one after the other: what the mean comes to */
	double syscalls;   /* per sample */
};

struct bench_series {
	const char *name;
	const char *transport;
	struct bench_samples samples; /* in ticks; by round, and sorted within, until finished */
	double ns_per_tick;
	size_t round_first; /* where the samples of the running round begin */
	double *round_p50;  /* in nanoseconds */
	unsigned int rounds;
	unsigned int max_rounds;
	uint64_t syscalls;
	struct bench_summary summary; /* once finished */
};

/* p50 against that of the floor: of the medians over the rounds, and the extremes over rounds. */
struct bench_ratio {
	double p50;
	double min;
	double max;
};

/* Samples are given in ticks of ns_per_tick nanoseconds. Returns 0 or -ENOMEM; either way the
 * series may be given to bench_series_fini(). */
int bench_series_init(struct bench_series *series, const char *name, double ns_per_tick,
	unsigned int rounds, size_t samples_per_round);
void bench_series_fini(struct bench_series *series);

/* A round is over: what was added since the last one is its samples. */
void bench_series_end_round(struct bench_series *series);

/* No more rounds: merge them and sum up. */
void bench_series_finish(struct bench_series *series);

/* Both finished. Returns 0; -EINVAL unless both have the same number of rounds, at least one;
 * -ENOMEM. */
int bench_series_ratio(const struct bench_series *floor, const struct bench_series *series,
	struct bench_ratio *ratio);

/* Of a finished series, in nanoseconds. */
void bench_series_histogram(const struct bench_series *series, struct bench_histogram *histogram);

/* Sample i, in nanoseconds; ascending once finished. */
static inline double
bench_series_ns(const struct bench_series *series, size_t i)
{
	return (double)series->samples.values[i] * series->ns_per_tick;
}

#endif /* BENCH_SERIES_H */
