/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_BUCKETS_H
#define VUC_BASE_BUCKETS_H

/*
 * The buckets of a histogram, log-linear: one for each value below 2^bits, then 2^bits of the same
 * width from each power of two to the next. So a bucket is at most 1/2^bits of its values wide.
 */

#include <stdint.h>

static inline unsigned int
vuc_bucket_of(uint64_t value, unsigned int bits)
{
	unsigned int shift;

	if (value >> bits == 0)
		return (unsigned int)value;
	shift = 63u - (unsigned int)__builtin_clzll(value) - bits;
	/* value >> shift is from 2^bits on: its top bit counts as one power of two more. */
	return (shift << bits) + (unsigned int)(value >> shift);
}

/* The greatest value of a bucket. */
static inline uint64_t
vuc_bucket_last(unsigned int bucket, unsigned int bits)
{
	uint64_t steps = UINT64_C(1) << bits, step = bucket & (steps - 1);
	unsigned int shift = bucket >> bits;

	return shift == 0 ? step : ((steps + step + 1) << (shift - 1)) - 1;
}

#endif /* VUC_BASE_BUCKETS_H */
