/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_STATS_H
#define VUC_POLLER_STATS_H

/*
 * Counters of devices and pollers. The poller's thread counts, others look: each counter is read
 * and written as a whole, and no two of them agree to the last request. <vuc/stats.h> says what
 * each of them counts.
 */

#include <stdatomic.h>
#include <stdint.h>

#include <vuc/stats.h>

/* Of a device. */
struct access_counters {
	_Atomic uint64_t reads;
	_Atomic uint64_t writes;
	_Atomic uint64_t posted;
	_Atomic uint64_t read_bytes;
	_Atomic uint64_t written_bytes;
	_Atomic uint64_t bursts;
	_Atomic uint64_t burst_sizes[VUC_BURST_SIZES];
	_Atomic uint64_t errors;
	_Atomic uint64_t timeouts;
	_Atomic uint64_t retries;
	_Atomic uint64_t broken_queues;
	_Atomic uint64_t held_reads;
	_Atomic uint64_t dropped_writes;
};

/* Of a poller. */
struct poller_stats {
	_Atomic uint64_t loops_busy;
	_Atomic uint64_t loops_empty;
	_Atomic uint64_t sleeps;
	_Atomic uint64_t calls;
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

/* A burst of 1 … 2^VUC_BURST_SIZES - 1 requests. */
static inline void
stats_add_burst(struct access_counters *c, unsigned int n)
{
	stats_add(&c->bursts, 1);
	stats_add(&c->burst_sizes[31u - (unsigned int)__builtin_clz(n)], 1);
}

/* Add counters as they are now to a sum. */
void vuc_stats_sum(struct vuc_access_stats *sum, const struct access_counters *c);

struct poller_account;

/* Both with the registry locked, from any thread. */
void vuc_stats_read_account(
	const struct vuc_poller *p, struct poller_account *a, struct vuc_device_stats *stats);
void vuc_stats_read_poller(const struct vuc_poller *p, struct vuc_poller_stats *stats);

/* Let telemetry tell of all pollers and devices, from the first call on. Returns 0 or a negative
 * errno. */
int vuc_stats_publish(void);

#endif /* VUC_POLLER_STATS_H */
