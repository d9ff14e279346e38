/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_STATS_H
#define VUC_POLLER_STATS_H

/*
 * Counters of a device, or of a poller as a whole. The poller's thread counts, others look: each
 * counter is read and written as a whole, and no two of them agree to the last request.
 */

#include <stdatomic.h>
#include <stdint.h>

/* Latencies: 16 steps from one power of two of nanoseconds to the next. */
#define STATS_STEPS   16u
#define STATS_POWERS  40u
#define STATS_BUCKETS (STATS_STEPS * STATS_POWERS)

struct poller_stats {
	_Atomic uint64_t reads;
	_Atomic uint64_t writes;
	_Atomic uint64_t posted;
	_Atomic uint64_t read_bytes;
	_Atomic uint64_t written_bytes;
	_Atomic uint64_t bursts; /* that were taken from queues */
	_Atomic uint64_t errors; /* requests that failed, timeouts among them */
	_Atomic uint64_t timeouts;
	_Atomic uint64_t retries;     /* looks at a request for which there was no room */
	_Atomic uint64_t broken;      /* queues that were closed for breaking the rules */
	_Atomic uint64_t loops_busy;  /* of the poller */
	_Atomic uint64_t loops_empty; /* of the poller */
	_Atomic uint64_t sleeps;      /* of the poller */
	_Atomic uint64_t calls;       /* of the poller */
};

/* One thread writes, so no atomic addition is needed. */
static inline void
stats_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
		memory_order_relaxed);
}

static inline uint64_t
stats_get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif /* VUC_POLLER_STATS_H */
