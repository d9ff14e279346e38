/* SPDX-License-Identifier: BSD-3-Clause */
#include "histogram.h"

size_t
bench_histogram_bucket(uint64_t value)
{
	unsigned int shift;

	if (value < BENCH_HISTOGRAM_SUB)
		return (size_t)value;
	shift = 63u - (unsigned int)__builtin_clzll(value) - BENCH_HISTOGRAM_SUB_BITS;
	/* value >> shift is from SUB to 2 * SUB - 1: its top bit counts as one octave more. */
	return (size_t)shift * BENCH_HISTOGRAM_SUB + (size_t)(value >> shift);
}

uint64_t
bench_histogram_low(size_t bucket)
{
	size_t shift;

	if (bucket < 2 * BENCH_HISTOGRAM_SUB)
		return bucket;
	shift = bucket / BENCH_HISTOGRAM_SUB - 1;
	return (uint64_t)(bucket - shift * BENCH_HISTOGRAM_SUB) << shift;
}

uint64_t
bench_histogram_high(size_t bucket)
{
	if (bucket + 1 >= BENCH_HISTOGRAM_BUCKETS)
		return UINT64_MAX;
	return bench_histogram_low(bucket + 1) - 1;
}
