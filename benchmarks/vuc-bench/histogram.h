/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

/*
 * Counts by size: one bucket for each value below 32, then 32 buckets of the same width from each
 * power of two to the next. So a bucket is at most 1/32 of its values wide.
 */

#include <stddef.h>
#include <stdint.h>

#define BENCH_HISTOGRAM_SUB_BITS 5
#define BENCH_HISTOGRAM_SUB      (1u << BENCH_HISTOGRAM_SUB_BITS)
#define BENCH_HISTOGRAM_BUCKETS  ((64 - BENCH_HISTOGRAM_SUB_BITS + 1) * BENCH_HISTOGRAM_SUB)

struct bench_histogram {
	uint64_t counts[BENCH_HISTOGRAM_BUCKETS];
};

/* The bucket that a value falls into. */
size_t bench_histogram_bucket(uint64_t value);

/* The least value of a bucket. */
uint64_t bench_histogram_low(size_t bucket);

/* The greatest value of a bucket. */
uint64_t bench_histogram_high(size_t bucket);

static inline void
bench_histogram_add(struct bench_histogram *h, uint64_t value)
{
	h->counts[bench_histogram_bucket(value)]++;
}

#endif /* BENCH_HISTOGRAM_H */
