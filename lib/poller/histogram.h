/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_HISTOGRAM_H
#define VUC_POLLER_HISTOGRAM_H

/*
 * Latencies, log-linear: 16 steps from one power of two to the next, in ticks of the time stamp
 * counter, which readers turn into nanoseconds. One thread adds, others read.
 */

#include "buckets.h"
#include "stats.h"

#define HISTOGRAM_BITS    4u
#define HISTOGRAM_STEPS   (1u << HISTOGRAM_BITS)
#define HISTOGRAM_POWERS  40u /* of the longest: some minutes; what is longer counts as that */
#define HISTOGRAM_BUCKETS ((HISTOGRAM_POWERS - HISTOGRAM_BITS + 1) * HISTOGRAM_STEPS)

struct histogram {
	_Atomic uint64_t max;
	_Atomic uint64_t sum;
	_Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline unsigned int
histogram_bucket(uint64_t ticks)
{
	return ticks >> HISTOGRAM_POWERS != 0 ? HISTOGRAM_BUCKETS - 1
					      : vuc_bucket_of(ticks, HISTOGRAM_BITS);
}

static inline void
histogram_add(struct histogram *h, uint64_t ticks)
{
	stats_add(&h->buckets[histogram_bucket(ticks)], 1);
	stats_add(&h->sum, ticks);
	if (ticks > stats_get(&h->max))
		atomic_store_explicit(&h->max, ticks, memory_order_relaxed);
}

/* Read it with the bounds of all histograms, of a counter of hz ticks a second. */
void vuc_histogram_read(const struct histogram *h, uint64_t hz, struct vuc_latency_histogram *to);

#endif /* VUC_POLLER_HISTOGRAM_H */
