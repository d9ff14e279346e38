/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_SERIES_H
#define VMM_SERIES_H

/* Times that the guest has taken, in ticks of its time stamp counter. */

#include <stddef.h>
#include <stdint.h>

struct series {
	uint32_t min;
	uint32_t median;
	uint32_t p99;
	uint32_t max;
};

/* nr: at least 1. Sorts ticks. */
void series_compute(struct series *series, uint32_t *ticks, size_t nr);

/* khz: ticks in a millisecond, not 0. */
uint64_t series_ns(uint32_t ticks, uint32_t khz);

#endif /* VMM_SERIES_H */
