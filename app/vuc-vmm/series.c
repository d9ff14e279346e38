/* SPDX-License-Identifier: BSD-3-Clause */
#include "series.h"

#include <stdlib.h>

static int
number_compare(const void *a, const void *b)
{
	const uint32_t *x = a;
	const uint32_t *y = b;

	return (*x > *y) - (*x < *y);
}

void
series_compute(struct series *series, uint32_t *ticks, size_t nr)
{
	qsort(ticks, nr, sizeof(*ticks), number_compare);
	*series = (struct series){
		.min = ticks[0],
		.median = ticks[nr / 2],
		.p99 = ticks[nr * 99 / 100],
		.max = ticks[nr - 1],
	};
}

uint64_t
series_ns(uint32_t ticks, uint32_t khz)
{
	return (uint64_t)ticks * 1000000 / khz;
}
