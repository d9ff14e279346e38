/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_QUEUE_H
#define VUC_QUEUE_H

/**
 * @file
 * The submitting end of a request queue: how a thread reaches a device that a polling core drives.
 *
 * A queue belongs to one thread at a time and takes no lock: whatever one thread submits is
 * written into slots that the polling core reads, and answers come back the same way. One queue per
 * thread and device. Where the other end is, in this process or in another one, makes no
 * difference.
 *
 * Requests reach the device in the order in which they were submitted, posted writes included;
 * there is no order between queues. Answers come in the order in which the device gives them.
 *
 * Closing a queue (vuc_poller_close_queue(), vuc_vmm_close_queue(), vuc_vmm_detach()) carries out
 * what was submitted before, unless the device's server does not take it within its timeout. The
 * same holds for a queue of another process that ends.
 *
 * Unless said otherwise, each function is called by the thread that uses the queue. All of them are
 * in libvuc-vmm, also for queues of this process.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The submitting end of a queue; vuc_poller_open_queue() or vuc_vmm_open_queue() makes one. */
struct vuc_queue;

/** How to open a queue. Fill it with vuc_queue_opts_init() first. */
struct vuc_queue_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_queue_opts_init(). */
	size_t size;
	/** Requests that can be outstanding; a power of two, 1 to 4096. */
	uint32_t depth;
	/** Most bytes of one request: a multiple of 64, 64 to 1048576. The queue's own maximum is
	 * lower when one message to the server holds less. */
	uint32_t max_data;
};

#define VUC_DEFAULT_QUEUE_DEPTH    64   /**< default of depth */
#define VUC_DEFAULT_QUEUE_MAX_DATA 4096 /**< default of max_data */

/** Set every field of opts to its default. Size is sizeof(*opts): a library that
 * knows more fields, or fewer, heeds it. */
void vuc_queue_opts_init(struct vuc_queue_opts *opts, size_t size);

/** What a request does. */
enum vuc_queue_op {
	VUC_QUEUE_READ = 1,         /**< read from a region */
	VUC_QUEUE_WRITE = 2,        /**< write to a region, and be told when it is done */
	VUC_QUEUE_WRITE_POSTED = 3, /**< write to a region, and never be told */
	VUC_QUEUE_WRITE_PCI = 4,    /**< write as PCI does, see VUC_OP_WRITE_PCI: posted if the
				       device's posted_writes allows for it, and complete when it is
				       on its way; else complete when it is done */
};

/** A request, copied by vuc_queue_submit(). */
struct vuc_queue_request {
	enum vuc_queue_op op; /**< what to do */
	uint32_t region;      /**< index of the region, below 65536 */
	uint64_t offset;      /**< bytes from the start of the region */
	uint32_t count;       /**< bytes, 1 to vuc_queue_max_data() */
	void *data; /**< written from at once; or read into, by vuc_queue_poll(), so that it
		     * must live until then */
	void *arg;  /**< comes back with the result; not used by a posted write */
};

/** What became of a request. */
struct vuc_queue_result {
	void *arg;  /**< of the request */
	int status; /**< 0, or a negative errno: what the server answered, -EINVAL for an access
		     * outside of the region, -ETIMEDOUT, or what ended the connection. Where that
		     * is vucd, which stops or takes the device away: -ECANCELED when it has cut
		     * what was under way, -ECONNRESET when it has closed the queue before */
};

/**
 * Submit requests, as many as there is room for.
 *
 * @return how many of them were taken, from the first one on: fewer than nr when as many are
 *         outstanding as the queue is deep, or when the polling core has not yet taken that many
 *         posted writes: poll, and try again. -EINVAL when the first one is none (op, region or
 *         count); the error that closed the queue, -EPROTO when the other end has broken its rules
 */
int vuc_queue_submit(
	struct vuc_queue *queue, const struct vuc_queue_request *requests, unsigned int nr);

/**
 * Take results, as many as are there. Never blocks.
 *
 * @return how many, at most max
 */
unsigned int vuc_queue_poll(
	struct vuc_queue *queue, struct vuc_queue_result *results, unsigned int max);

/**
 * Wait until there is a result to poll: spin for a while, then sleep.
 *
 * @param queue       the queue
 * @param timeout_ms  at most this long, in milliseconds; negative: for ever
 * @return 0; -ETIMEDOUT; -ENOENT when nothing is outstanding; the error that closed the queue, when
 *         no result is left to come: then vuc_queue_poll() gives nothing more, and the memory of
 *         all requests is the caller's
 */
int vuc_queue_wait(struct vuc_queue *queue, int timeout_ms);

/**
 * Read count bytes at offset of a region, and wait for them. Spins, then sleeps. A posted write is
 * on its way before it. What one request does not hold (vuc_queue_max_data()) is read in pieces, up
 * to the first one that fails.
 *
 * @return 0; the result's status; -EBUSY when other requests are outstanding; as
 *         vuc_queue_submit(). vuc_queue_reason() has it in words
 */
int vuc_queue_read(
	struct vuc_queue *queue, uint32_t region, uint64_t offset, void *data, uint32_t count);

/** Write count bytes at offset of a region, and wait until that is done; as vuc_queue_read(). */
int vuc_queue_write(struct vuc_queue *queue, uint32_t region, uint64_t offset, const void *data,
	uint32_t count);

/**
 * Write count bytes at offset of a region as PCI does (VUC_QUEUE_WRITE_PCI), and wait until that is
 * on its way, or done where it is not posted; as vuc_queue_read(). Who accesses parts of the device
 * that are mapped, too, gets PCI's order with it.
 */
int vuc_queue_write_pci(struct vuc_queue *queue, uint32_t region, uint64_t offset, const void *data,
	uint32_t count);

/**
 * Write count bytes at offset of a region without waiting for the device. Waits only for room,
 * which is there unless posted writes come faster than the device takes them. What becomes of the
 * write is not told; an error of the connection shows in later calls.
 *
 * @return 0; as vuc_queue_submit()
 */
int vuc_queue_post(struct vuc_queue *queue, uint32_t region, uint64_t offset, const void *data,
	uint32_t count);

/** @return which access by the four functions above has failed last, and why, in one line; empty
 * when none has. Valid until the next call for this queue */
const char *vuc_queue_reason(struct vuc_queue *queue);

/** @return most bytes of one request */
uint32_t vuc_queue_max_data(const struct vuc_queue *queue);

/** @return requests that can be outstanding */
unsigned int vuc_queue_depth(const struct vuc_queue *queue);

/** @return requests without a result so far, posted writes not counted */
unsigned int vuc_queue_outstanding(const struct vuc_queue *queue);

/**
 * How long to spin before sleeping.
 *
 * @param queue  the queue
 * @param spins  looks at the next result, some nanoseconds each; 0: sleep at once. The default is
 *               a few times what a register access takes
 */
void vuc_queue_set_spin(struct vuc_queue *queue, unsigned int spins);

#ifdef __cplusplus
}
#endif

#endif /* VUC_QUEUE_H */
