/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

/* Samples, their percentiles, and how series of them compare. Pure arithmetic. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The value that `permille` of 1000 of nr sorted values do not exceed (nearest rank: always one of
 * them). 0 when there are none.
 */
uint64_t bench_percentile(const uint64_t *sorted, size_t nr, unsigned int permille);

/* The smallest number of samples that has one above this percentile. */
size_t bench_percentile_needs(unsigned int permille);

/* The value that a part (0 to 1) of nr sorted values, at least one, do not exceed; interpolated
 * between two of them: 0.5 is the median. */
double bench_quantile(const double *sorted, size_t nr, double part);

/*
 * A histogram has one bucket for each value below 32, then 32 buckets of the same width from each
 * power of two to the next. So a bucket is at most 1/32 of its values wide.
 */
#define BENCH_HISTOGRAM_SUB_BITS 5
#define BENCH_HISTOGRAM_SUB      (1u << BENCH_HISTOGRAM_SUB_BITS)
#define BENCH_HISTOGRAM_BUCKETS  ((64 - BENCH_HISTOGRAM_SUB_BITS + 1) * BENCH_HISTOGRAM_SUB)

size_t bench_histogram_bucket(uint64_t value);
uint64_t bench_histogram_low(size_t bucket);  /* its least value */
uint64_t bench_histogram_high(size_t bucket); /* its greatest value */

/*
 * Of one access; in nanoseconds, but for the last four. A percentile is NAN unless at least one
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

/* A round's figures, in nanoseconds of an access. */
struct bench_round {
	double p50;
	double mean;
	double end_to_end; /* a mean, too; 0: not measured */
};

/* The samples of one way to do a thing, over all rounds. */
struct bench_series {
	const char *topic; /* what is done, where a result has more than one; else NULL */
	const char *name;
	const char *transport;
	const char *subject; /* of the sentence that says how it compares; NULL: its name */
	bool by_rate;        /* what counts is the rate, else the time */
	bool guest_ticks;    /* measured by a guest's counter; the report has ticks as well */
	bool traced;         /* the system calls are all of the measuring thread's */
	uint64_t *samples;   /* in ticks; by round, and sorted within, until finished */
	size_t nr_samples;
	size_t max_samples;
	double ns_per_tick;        /* of one access */
	unsigned int per_sample;   /* accesses that a sample is the time of */
	size_t round_first;        /* where the samples of the running round begin */
	uint64_t round_end_to_end; /* of the running round, in ticks: until the server has caught up
				    */
	uint64_t end_to_end;       /* of the rounds before */
	struct bench_round *round;
	unsigned int rounds;
	unsigned int max_rounds;
	uint64_t syscalls;
	uint64_t futexes;             /* of these, where they are told apart */
	uint64_t idle_ns;             /* that its thread was idle for on purpose; 0: it was not */
	uint64_t idle_cpu_ns;         /* CPU time that it took meanwhile */
	struct bench_summary summary; /* once finished */
};

/* What the samples of a series are. */
struct bench_shape {
	double ns_per_tick;      /* samples are given in ticks */
	unsigned int per_sample; /* accesses, which each sample is the time of; at least 1 */
	unsigned int rounds;
	size_t samples_per_round;
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

/* Allocate, and touch, all memory. Returns 0 or -ENOMEM; either way the series may be given to
 * bench_series_fini(). */
int bench_series_init(
	struct bench_series *series, const char *name, const struct bench_shape *shape);
void bench_series_fini(struct bench_series *series);

/* Append samples; those that there is no room for are dropped. */
void bench_series_add(struct bench_series *series, const uint64_t *ticks, size_t nr);

/* End a round: what was added since the last one is its samples. Nothing happens when there were as
 * many as promised. */
void bench_series_end_round(struct bench_series *series);

/* Merge the rounds and sum up. */
void bench_series_finish(struct bench_series *series);

/* Compare series of as many rounds, at least one. Returns 0; -EINVAL for others; -ENOMEM. */
int bench_series_compare(const struct bench_series *floor, const struct bench_series *series,
	struct bench_ratios *ratios);

/* Whether the rounds differ so much that the median says little: their middle half spans more than
 * a fifth of it. Fewer than four rounds cannot tell. */
bool bench_ratio_is_unsteady(const struct bench_ratio *ratio);

/* Sample i, in nanoseconds of an access; ascending once finished. */
static inline double
bench_series_ns(const struct bench_series *series, size_t i)
{
	return (double)series->samples[i] * series->ns_per_tick;
}

#endif /* BENCH_STATS_H */
