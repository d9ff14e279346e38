/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

/* Recorded times, in an array that is there before the measurement begins. */

#include <stddef.h>
#include <stdint.h>

struct bench_samples {
	uint64_t *values;
	size_t nr;
	size_t max;
};

/* Allocate room for max values and touch it. Returns 0 or -ENOMEM. */
int bench_samples_init(struct bench_samples *samples, size_t max);
void bench_samples_fini(struct bench_samples *samples);

/* Append values. Returns how many there was room for. */
size_t bench_samples_add(struct bench_samples *samples, const uint64_t *values, size_t nr);

/* Sort the values from index `from` on. */
void bench_samples_sort(struct bench_samples *samples, size_t from);

/*
 * The value that `permille` of 1000 of nr sorted values do not exceed (nearest rank: always one of
 * them). 0 when there are none.
 */
uint64_t bench_percentile(const uint64_t *sorted, size_t nr, unsigned int permille);

/* The smallest number of samples that has one above this percentile. */
size_t bench_percentile_needs(unsigned int permille);

/* 0 when there are none. */
double bench_mean(const uint64_t *values, size_t nr);

/* Sort nr values. */
void bench_sort(double *values, size_t nr);

/* The value that a part (0 to 1) of nr sorted values, at least one, do not exceed; between two of
 * them where it falls there: 0.5 is the median. */
double bench_quantile(const double *sorted, size_t nr, double part);

#endif /* BENCH_SAMPLES_H */
