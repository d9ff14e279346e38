/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_QUEUE_H
#define VUC_QUEUE_H

/**
 * @file
 * The producer side of a request queue, through which a thread accesses a device that a polling
 * core drives.
 *
 * One thread at a time may use a queue; open one queue per thread and device. Queues have no locks:
 * the thread writes requests into entries that the polling core reads, and results come back in the
 * same way. The functions are the same whether the poller is in this process or in another one.
 *
 * Requests, including posted writes, reach the device in the order in which they were submitted.
 * There is no order between queues. Results arrive in the order of the device's replies.
 *
 * When a queue is closed (vuc_poller_close_queue(), vuc_vmm_close_queue(), vuc_vmm_detach()), or a
 * process that has a queue exits, the requests that were submitted before are still executed,
 * unless the server does not read them within its timeout.
 *
 * Unless noted otherwise, call each function on the thread that uses the queue. All functions are
 * in libvuc-vmm, including those for queues inside this process.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The producer side of a queue; see vuc_poller_open_queue() and vuc_vmm_open_queue(). */
struct vuc_queue;

/** How to open a queue. Fill it with vuc_queue_opts_init() first. */
struct vuc_queue_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_queue_opts_init(). */
	size_t size;
	/** Maximum number of outstanding requests; a power of two, 1 to 4096. */
	uint32_t depth;
	/** Maximum bytes of one request: a multiple of 64, 64 to 1048576. The maximum of the queue
	 * is lower if a message to the server cannot carry as much. */
	uint32_t max_data;
};

#define VUC_DEFAULT_QUEUE_DEPTH    64   /**< default of depth */
#define VUC_DEFAULT_QUEUE_MAX_DATA 4096 /**< default of max_data */

/** Set every field of opts to its default. Size is sizeof(*opts), so that the
 * library supports callers whose struct has more or fewer fields. */
void vuc_queue_opts_init(struct vuc_queue_opts *opts, size_t size);

/** What a request does. */
enum vuc_queue_op {
	VUC_QUEUE_READ = 1,         /**< read from a region */
	VUC_QUEUE_WRITE = 2,        /**< write to a region, and return a result when it is done */
	VUC_QUEUE_WRITE_POSTED = 3, /**< write to a region without a result */
	VUC_QUEUE_WRITE_PCI = 4, /**< write as PCI does, see VUC_OP_WRITE_PCI: if posted_writes of
				    the device allows it, posted and complete when it is sent;
				    else complete when it is done */
};

/** A request, copied by vuc_queue_submit(). */
struct vuc_queue_request {
	enum vuc_queue_op op; /**< what to do */
	uint32_t region;      /**< index of the region, below 65536 */
	uint64_t offset;      /**< bytes from the start of the region */
	uint32_t count;       /**< bytes, 1 to vuc_queue_max_data() */
	void *data; /**< source of a write, copied at once; or destination of a read, which
		     * vuc_queue_poll() fills, so it must stay valid until then */
	void *arg;  /**< returned with the result; not used by a posted write */
};

/** The result of a request. */
struct vuc_queue_result {
	void *arg;  /**< of the request */
	int status; /**< 0, or a negative errno: an error reply of the server, -EINVAL for an access
		     * outside of the region, -ETIMEDOUT, or the error of the connection. If vucd
		     * stops or detaches the device: -ECANCELED when it has canceled the request,
		     * -ECONNRESET when it has closed the queue before */
};

/**
 * Submit as many requests as there are free entries for.
 *
 * @return number of submitted requests, from the first one on. It is less than nr when the queue is
 *         full of outstanding requests, or of posted writes that the polling core has not read yet:
 *         call vuc_queue_poll(), and try again. -EINVAL when the first request is invalid (op,
 *         region or count); the error that closed the queue; -EPROTO when the other side has
 *         violated the protocol of the queue
 */
int vuc_queue_submit(
	struct vuc_queue *queue, const struct vuc_queue_request *requests, unsigned int nr);

/**
 * Get the available results. Never blocks.
 *
 * @return number of results, at most max
 */
unsigned int vuc_queue_poll(
	struct vuc_queue *queue, struct vuc_queue_result *results, unsigned int max);

/**
 * Wait until a result is available: spin for a while, then sleep.
 *
 * @param queue       the queue
 * @param timeout_ms  timeout in milliseconds; negative: no timeout
 * @return 0; -ETIMEDOUT; -ENOENT when nothing is outstanding; the error that closed the queue, when
 *         no more results will arrive: vuc_queue_poll() returns none, and the caller may reuse the
 *         memory of all requests
 */
int vuc_queue_wait(struct vuc_queue *queue, int timeout_ms);

/**
 * Read count bytes at offset of a region, and wait for the result. Spins, then sleeps. Earlier
 * posted writes are sent before the read. A read of more than vuc_queue_max_data() bytes is split
 * into several requests, and stops at the first one that fails.
 *
 * @return 0; the result's status; -EBUSY when other requests are outstanding; as
 *         vuc_queue_submit(). vuc_queue_reason() returns the error text
 */
int vuc_queue_read(
	struct vuc_queue *queue, uint32_t region, uint64_t offset, void *data, uint32_t count);

/** Write count bytes at offset of a region, and wait for the result; as vuc_queue_read(). */
int vuc_queue_write(struct vuc_queue *queue, uint32_t region, uint64_t offset, const void *data,
	uint32_t count);

/**
 * Write count bytes at offset of a region as PCI does (VUC_QUEUE_WRITE_PCI). Wait until a posted
 * write is sent, or until any other write is done; as vuc_queue_read(). This keeps the order of PCI
 * for callers that also access mapped parts of the device.
 */
int vuc_queue_write_pci(struct vuc_queue *queue, uint32_t region, uint64_t offset, const void *data,
	uint32_t count);

/**
 * Write count bytes at offset of a region without waiting for the device. Waits only for a free
 * entry, if posted writes are submitted faster than the device reads them. The result of the write
 * is not reported; later calls return an error of the connection.
 *
 * @return 0; as vuc_queue_submit()
 */
int vuc_queue_post(struct vuc_queue *queue, uint32_t region, uint64_t offset, const void *data,
	uint32_t count);

/** @return one-line error text of the last failed access by the four functions above; empty if none
 * has failed. Valid until the next call for this queue */
const char *vuc_queue_reason(struct vuc_queue *queue);

/** @return maximum bytes of one request */
uint32_t vuc_queue_max_data(const struct vuc_queue *queue);

/** @return maximum number of outstanding requests */
unsigned int vuc_queue_depth(const struct vuc_queue *queue);

/** @return number of outstanding requests, without posted writes */
unsigned int vuc_queue_outstanding(const struct vuc_queue *queue);

/**
 * Set how long to spin before sleeping.
 *
 * @param queue  the queue
 * @param spins  number of polls for the next result, some nanoseconds each; 0: sleep at once. The
 *               default is a few times the duration of a register access
 */
void vuc_queue_set_spin(struct vuc_queue *queue, unsigned int spins);

#ifdef __cplusplus
}
#endif

#endif /* VUC_QUEUE_H */
