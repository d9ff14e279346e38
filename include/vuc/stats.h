/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_STATS_H
#define VUC_STATS_H

/**
 * @file
 * Counters of pollers: accesses through queues, use of the poller's time, and latencies.
 *
 * The poller's thread updates the counters without locks; any thread may read them at any time
 * without delaying others. Each counter is read atomically, but two counters may differ by the
 * requests that were outstanding meanwhile.
 *
 * Functions that run on the poller's thread through vuc_poller_call() bypass the queues; only
 * vuc_poller_stats.calls counts them.
 *
 * The same counters are in rte_telemetry as /vuc/devices, /vuc/device,NAME and /vuc/pollers.
 */

#include <stdbool.h>
#include <stdint.h>

#include <vuc/poller.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VUC_BURST_SIZES      6   /**< classes of burst sizes: 1, 2-3, 4-7, 8-15, 16-31, 32 */
#define VUC_DEVICE_NAME_SIZE 128 /**< bytes of a device's name, with its end */

/** Accesses through queues. */
struct vuc_access_stats {
	uint64_t reads;         /**< reads from queues, including failed ones */
	uint64_t writes;        /**< likewise, writes with a reply */
	uint64_t posted;        /**< likewise, posted writes */
	uint64_t read_bytes;    /**< bytes read */
	uint64_t written_bytes; /**< bytes sent to the server by both kinds of writes */
	uint64_t bursts;        /**< number of bursts taken from queues */
	/** Bursts by the number of requests in them: burst_sizes[n] counts those of 2^n to
	 * 2^(n+1) - 1 requests. */
	uint64_t burst_sizes[VUC_BURST_SIZES];
	uint64_t
		retries; /**< number of times that a request stayed in its queue for lack of room */
	uint64_t errors; /**< requests that failed, each of them once; of posted writes, those
			  * that could not be sent */
	uint64_t timeouts;      /**< of these, errors with -ETIMEDOUT */
	uint64_t broken_queues; /**< queues that were closed because of an invalid request */
	uint64_t held_reads;    /**< times that a read was kept until its device returns */
	/** Writes of both kinds that were dropped, and answered as done, because the device was
	 * away. Posted writes that were on their way to the server when it was lost are not known.
	 */
	uint64_t dropped_writes;
};

/**
 * Time from taking a request from its queue to its reply, without posted writes. A percentile is at
 * most 1/16 above the exact one, and never below it.
 */
struct vuc_latency {
	uint64_t count;   /**< number of measured requests; if 0, all other fields are 0 */
	uint64_t p50_ns;  /**< median in nanoseconds */
	uint64_t p99_ns;  /**< 99th percentile */
	uint64_t p999_ns; /**< 99.9th percentile */
	uint64_t max_ns;  /**< maximum, exact */
};

#define VUC_LATENCY_BOUNDS 22 /**< 1, 2.5 and 5 times each power of ten, from 1 µs to 10 s */

/** The latencies of a device as a histogram; see struct vuc_latency. */
struct vuc_latency_histogram {
	bool on;                                /**< they are being measured now */
	uint64_t sum_us;                        /**< sum of all, in microseconds */
	uint64_t bounds_ns[VUC_LATENCY_BOUNDS]; /**< bounds of the counts, ascending */
	/** Number of latencies of at most bounds_ns[n], and more than the bound before; the last:
	 * of those above all bounds. One that is up to 1/16 below a bound may be counted above. */
	uint64_t counts[VUC_LATENCY_BOUNDS + 1];
};

/** Counters of a device since it was opened; for a control plane, since it was added, including all
 * its connections. */
struct vuc_device_stats {
	/** Name in telemetry and log lines: its name in a control plane, else the path of its
	 * socket with '?' for characters that are not printable ASCII; followed by '#' and a number
	 * if the name is in use. */
	char name[VUC_DEVICE_NAME_SIZE];
	uint32_t id;    /**< ID of its last connection in traces; not reused in this process */
	bool connected; /**< as vuc_device_connected() was some milliseconds ago */
	/** Milliseconds for which the server has sent nothing while requests timed out; 0 while it
	 * replies. Reset by any message of the server. */
	uint64_t silent_ms;
	uint64_t outages; /**< times that the connection was lost */
	/** Milliseconds of all outages together, including one that has not ended. An outage ends
	 * with the next connection or, for a device that keeps its VMM, once it is restored. */
	uint64_t outage_ms;
	uint64_t outage_last_ms;          /**< milliseconds of the last outage that has ended */
	uint32_t queues;                  /**< number of open queues */
	struct vuc_access_stats accesses; /**< accesses through queues */
	struct vuc_latency latency;       /**< see vuc_poller_set_latency() */
};

/** Counters of a poller since it was created. */
struct vuc_poller_stats {
	uint32_t devices;                 /**< number of open devices */
	uint32_t queues;                  /**< number of open queues */
	struct vuc_access_stats accesses; /**< of all its devices, including closed ones */
	uint64_t loops_busy;              /**< loops with work to do */
	uint64_t loops_empty;             /**< idle loops */
	uint64_t sleeps;                  /**< number of sleeps, with VUC_IDLE_SLEEP */
	uint64_t calls;                   /**< calls on its thread for other threads */
};

/** Read the counters of a poller. Any thread. @return 0 */
int vuc_poller_get_stats(struct vuc_poller *poller, struct vuc_poller_stats *stats);

/**
 * Read the counters and latencies of a device of a poller. Any thread.
 *
 * @param poller  the poller
 * @param dev     the device; only compared, so that it may have been closed
 * @param stats   filled on success
 * @return 0; -ENODEV for a device that the poller does not have (any more)
 */
int vuc_poller_get_device_stats(
	struct vuc_poller *poller, const struct vuc_device *dev, struct vuc_device_stats *stats);

/**
 * Turn the measurement of latencies on or off; it is off in a new poller. It costs two reads of the
 * CPU's time stamp counter per request. Outstanding requests may not be measured; earlier
 * measurements are kept. Any thread.
 */
void vuc_poller_set_latency(struct vuc_poller *poller, bool on);

#ifdef __cplusplus
}
#endif

#endif /* VUC_STATS_H */
