/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_STATS_H
#define VUC_STATS_H

/**
 * @file
 * What pollers count: accesses by queues, how the poller spent its time, and latencies.
 *
 * The poller's thread counts, without locks; any thread may read at any time, and delays nobody.
 * Each counter is read as a whole, and together they are of about the same moment: two of them may
 * differ by the requests that were under way.
 *
 * What is called on the poller's thread by vuc_poller_call() goes past the queues, and is not in
 * these counters but in vuc_poller_stats.calls.
 *
 * The same figures are in rte_telemetry as /vuc/devices, /vuc/device,NAME and /vuc/pollers.
 */

#include <stdbool.h>
#include <stdint.h>

#include <vuc/poller.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VUC_BURST_SIZES      6   /**< classes of burst sizes: 1, 2-3, 4-7, 8-15, 16-31, 32 */
#define VUC_DEVICE_NAME_SIZE 128 /**< bytes of a device's name, with its end */

/** What came by queues. */
struct vuc_access_stats {
	uint64_t reads;         /**< reads that were taken from queues, failed ones among them */
	uint64_t writes;        /**< the same of writes that are answered */
	uint64_t posted;        /**< the same of posted writes */
	uint64_t read_bytes;    /**< bytes that reads have brought */
	uint64_t written_bytes; /**< bytes that were given to the server, by both kinds of writes */
	uint64_t bursts;        /**< times that something was taken from a queue */
	/** Bursts by the number of requests in them: burst_sizes[n] counts those of 2^n to
	 * 2^(n+1) - 1 requests. */
	uint64_t burst_sizes[VUC_BURST_SIZES];
	uint64_t retries;  /**< looks at a request that had to stay in its queue for want of room */
	uint64_t errors;   /**< requests that failed, each of them once; of posted writes, those
			    * that could not be sent */
	uint64_t timeouts; /**< those of the errors that are -ETIMEDOUT */
	uint64_t broken_queues; /**< queues that were closed for a request that makes no sense */
};

/**
 * Time from taking a request from its queue to its answer, posted writes excepted. A percentile is
 * at most 1/16 above the true one, and never below it.
 */
struct vuc_latency {
	uint64_t count;   /**< requests that were timed; all else is 0 without any */
	uint64_t p50_ns;  /**< half of them took no longer, in nanoseconds */
	uint64_t p99_ns;  /**< 99 % of them took no longer */
	uint64_t p999_ns; /**< 99.9 % of them took no longer */
	uint64_t max_ns;  /**< the longest, exactly */
};

/** A device since it was opened; of a control plane, since it was added, over all connections. */
struct vuc_device_stats {
	/** Names it in telemetry and in log lines: its name in a control plane, else the path of
	 * its socket, with '?' for what is not printable ASCII; followed by '#' and a number when
	 * that name was taken. */
	char name[VUC_DEVICE_NAME_SIZE];
	uint32_t id; /**< names its last connection in traces; never used again in this process */
	bool connected; /**< as vuc_device_connected() was some milliseconds ago */
	/** How long the server has been silent while requests timed out, in milliseconds; 0 while
	 * it answers. Anything that it sends ends it. */
	uint64_t silent_ms;
	uint32_t queues;                  /**< that are open */
	struct vuc_access_stats accesses; /**< by queues */
	struct vuc_latency latency;       /**< see vuc_poller_set_latency() */
};

/** A poller since it was created. */
struct vuc_poller_stats {
	uint32_t devices;                 /**< that are open */
	uint32_t queues;                  /**< that are open */
	struct vuc_access_stats accesses; /**< of all its devices, those that are closed too */
	uint64_t loops_busy;              /**< loops in which there was something to do */
	uint64_t loops_empty;             /**< loops in which there was nothing */
	uint64_t sleeps;                  /**< times that it slept, with VUC_IDLE_SLEEP */
	uint64_t calls;                   /**< calls made on its thread for other threads */
};

/** Read the counters of a poller. Any thread. @return 0 */
int vuc_poller_get_stats(struct vuc_poller *poller, struct vuc_poller_stats *stats);

/**
 * Read the counters and latencies of a device of a poller. Any thread.
 *
 * @param poller  the poller
 * @param dev     the device; only compared, so that it may have been closed
 * @param stats   filled on success
 * @return 0; -ENODEV for a device that is not, or not any more, one of the poller's
 */
int vuc_poller_get_device_stats(
	struct vuc_poller *poller, const struct vuc_device *dev, struct vuc_device_stats *stats);

/**
 * Whether the poller times requests; off in a new poller. It takes two reads of the CPU's time
 * stamp counter for each request. Any thread; requests that are under way may be left out. What was
 * timed before stays.
 */
void vuc_poller_set_latency(struct vuc_poller *poller, bool on);

#ifdef __cplusplus
}
#endif

#endif /* VUC_STATS_H */
