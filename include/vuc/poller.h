/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_H
#define VUC_POLLER_H

/**
 * @file
 * A poller: a thread that drives devices for other threads, usually on a dedicated CPU. Link with
 * -lvuc-poller -lvuc -lvuc-vmm; the pkg-config name is libvuc-poller.
 *
 * The devices of a poller are in its poll group. So in <vuc/device.h>, <vuc/dma.h>, <vuc/irq.h> and
 * so on, "the thread that owns the poll group" is the poller's thread. Other threads access a
 * device in two ways:
 *
 * - register accesses go through a queue (<vuc/queue.h>), one per thread and device, without a lock
 *   or a system call;
 * - all other functions run on the poller's thread through vuc_poller_call().
 *
 * Calls are executed one after another. A function that waits for a server inside vuc_poller_call()
 * polls the group until the server replies or the timeout expires. Meanwhile, the poller serves the
 * queues of all devices, but executes no other call for any device. If a hung server must not delay
 * calls for other devices, use the functions whose names end in _start inside vuc_poller_call():
 * they return at once, and their callback runs on the poller's thread. vuc_poller_open_device(),
 * vuc_poller_close_device() and vuc_poller_close_queue() delay only their caller.
 *
 * Any thread may call these functions unless noted otherwise. Call vuc_eal_init() first.
 */

#include <stddef.h>
#include <stdint.h>

#include <vuc/device.h>
#include <vuc/error.h>
#include <vuc/log.h>
#include <vuc/poll_group.h>
#include <vuc/queue.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vuc_poller;

#define VUC_POLLER_CPU_AUTO (-1) /**< let vuc choose a CPU */
#define VUC_POLLER_CPU_NONE (-2) /**< do not pin the thread */

/** What a poller does while it is idle. */
enum vuc_idle {
	VUC_IDLE_SPIN,  /**< polls without a pause: lowest latency, uses a whole CPU */
	VUC_IDLE_YIELD, /**< yields the CPU: for shared CPUs */
	VUC_IDLE_SLEEP, /**< sleeps until a device or a queue wakes it: no CPU time while idle */
};

#define VUC_DEFAULT_IDLE_LOOPS 10000 /**< default of idle_loops: some milliseconds at most */

/** How to create a poller. Fill it with vuc_poller_opts_init() first. */
struct vuc_poller_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_poller_opts_init(). */
	size_t size;
	/** Name of the thread and of the poller in log lines and telemetry; at most 15 bytes,
	 * copied. */
	const char *name;
	/** CPU to run on, VUC_POLLER_CPU_AUTO or VUC_POLLER_CPU_NONE. VUC_POLLER_CPU_AUTO considers
	 * only CPUs that the thread that calls vuc_poller_create() may run on. */
	int cpu;
	/** For VUC_POLLER_CPU_AUTO: path of the socket of a server whose NUMA node is preferred;
	 * NULL: none. The function connects to the socket and closes the connection. */
	const char *near_socket;
	/** For VUC_POLLER_CPU_AUTO: an address in guest memory; its NUMA node is the second choice.
	 */
	const void *near_memory;
	/** What to do while idle. */
	enum vuc_idle idle;
	/** Idle loops before the poller yields or sleeps. */
	uint32_t idle_loops;
	/** Transport of the poll group, as in struct vuc_poll_group_opts. */
	const char *transport;
	/** Receives the log lines of the poller and its poll group, on the poller's thread; NULL
	 * passes them to rte_log, see docs/polling.md. */
	vuc_log_fn log;
	/** First argument of log. */
	void *log_arg;
};

/** Set every field of opts to its default: CPU selected automatically, spinning. Size is
 * sizeof(*opts), so that the library supports callers whose struct has more or fewer fields. */
void vuc_poller_opts_init(struct vuc_poller_opts *opts, size_t size);

/**
 * Create a poller and start its thread, which blocks all signals except those of faults.
 *
 * @param opts    options; NULL: defaults; not used after the call
 * @param poller  set to the new poller on success, to NULL on failure
 * @param err     filled on failure; may be NULL
 * @return 0; -EINVAL for options out of range or a CPU that the process may not use; as
 *         vuc_poll_group_create(); -ENODEV if vuc_eal_init() was not called; -EAGAIN or -ENOMEM
 *         when the thread cannot be created
 */
int vuc_poller_create(
	const struct vuc_poller_opts *opts, struct vuc_poller **poller, struct vuc_error *err);

/**
 * Stop the thread and free the poller. Its queues and devices must have been closed. Must not be
 * called on the poller's own thread.
 *
 * @return 0, also for NULL; -EBUSY while there are devices or queues; -EDEADLK on its own thread
 */
int vuc_poller_destroy(struct vuc_poller *poller);

/** A function that vuc_poller_call() calls. */
typedef int (*vuc_poller_fn)(void *arg);

/**
 * Call fn(arg) on the poller's thread, and wait until it returns. The poller executes no other call
 * meanwhile. fn may use the poll group and its devices, and may call vuc_poller_call(), which then
 * calls its function at once.
 *
 * @return the return value of fn
 */
int vuc_poller_call(struct vuc_poller *poller, vuc_poller_fn fn, void *arg);

/** The poll group, to be used on the poller's thread only. */
struct vuc_poll_group *vuc_poller_poll_group(struct vuc_poller *poller);

/** The poller's name. */
const char *vuc_poller_name(const struct vuc_poller *poller);

/** The CPU that the poller runs on, or VUC_POLLER_CPU_NONE. */
int vuc_poller_cpu(const struct vuc_poller *poller);

/** Why it runs there: one line. */
const char *vuc_poller_placement(const struct vuc_poller *poller);

/**
 * Open a device in the poller's poll group; as vuc_device_open(), but opts->group is not used. The
 * caller waits, while the poller continues to serve other devices. -EDEADLK on the poller's own
 * thread.
 */
int vuc_poller_open_device(struct vuc_poller *poller, const struct vuc_device_opts *opts,
	struct vuc_device **dev, struct vuc_error *err);

/**
 * Close a device of the poller; as vuc_device_close().
 *
 * @return 0, also for NULL; -EBUSY while one of its queues is open; -EINVAL for a device of another
 *         poller; -EDEADLK on the poller's own thread
 */
int vuc_poller_close_device(struct vuc_poller *poller, struct vuc_device *dev);

/**
 * Open a queue to a device of the poller, for one thread at a time.
 *
 * @param poller  the poller
 * @param dev     a device that vuc_poller_open_device() has opened in it
 * @param opts    options; NULL: defaults; not used after the call
 * @param queue   set to the new queue on success, to NULL on failure
 * @param err     filled on failure; may be NULL
 * @return 0; -EINVAL for options out of range; -ENOSPC when the poller has its maximum number of
 *         queues; -ENOMEM
 */
int vuc_poller_open_queue(struct vuc_poller *poller, struct vuc_device *dev,
	const struct vuc_queue_opts *opts, struct vuc_queue **queue, struct vuc_error *err);

/**
 * Close a queue that no thread uses any more. Submitted requests are still executed, unless the
 * server does not read them within its timeout; their results and the data of reads are discarded.
 * Waits for the replies or the timeouts of the requests, while the poller serves other queues. NULL
 * is ignored.
 *
 * @return 0; -EINVAL for a queue of another poller; -EDEADLK on the poller's own thread, which
 * leaves the queue unchanged
 */
int vuc_poller_close_queue(struct vuc_poller *poller, struct vuc_queue *queue);

#ifdef __cplusplus
}
#endif

#endif /* VUC_POLLER_H */
