/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_H
#define VUC_POLLER_H

/**
 * @file
 * A poller: a thread on a CPU of its own that drives devices for other threads. Link with
 * -lvuc-poller -lvuc -lvuc-vmm; pkg-config knows them all as libvuc-poller.
 *
 * The devices of a poller are in its poll group, so all that is said in <vuc/device.h>,
 * <vuc/dma.h>, <vuc/irq.h> and so on of "the thread that owns the poll group" means the poller's
 * thread. Other threads reach a device in two ways:
 *
 * - register accesses go through a queue (<vuc/queue.h>), one per thread and device, without a lock
 *   or a system call;
 * - everything else is called on the poller's thread by vuc_poller_call().
 *
 * Calls are made one after the other. A function that waits for a server, called inside of
 * vuc_poller_call(), polls the group until the server has answered or the timeout is over: the
 * queues of all devices are served meanwhile, but no other call is made, whichever device it is
 * for, and the poller's loop does nothing else. Where a server that hangs must not hold up calls
 * for other devices, use the functions whose names end with _start inside of vuc_poller_call():
 * they return at once, and their callback runs on the poller's thread. vuc_poller_open_device(),
 * vuc_poller_close_device() and vuc_poller_close_queue() hold up their caller only.
 *
 * Functions here may be called by any thread unless said otherwise. vuc_eal_init() comes first.
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

/** What a poller does while there is nothing to do. */
enum vuc_idle {
	VUC_IDLE_SPIN,  /**< keeps its CPU: answers soonest */
	VUC_IDLE_YIELD, /**< lets others have the CPU: for CPUs that are shared */
	VUC_IDLE_SLEEP, /**< sleeps until a device or a queue wakes it: no CPU time while idle */
};

#define VUC_DEFAULT_IDLE_LOOPS 10000 /**< default of idle_loops: some milliseconds at most */

/** How to create a poller. Fill it with vuc_poller_opts_init() first. */
struct vuc_poller_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_poller_opts_init(). */
	size_t size;
	/** Names the thread, and the poller in log lines and telemetry; at most 15 bytes, copied.
	 */
	const char *name;
	/** CPU to run on, VUC_POLLER_CPU_AUTO or VUC_POLLER_CPU_NONE. VUC_POLLER_CPU_AUTO considers
	 * the CPUs that the thread which calls vuc_poller_create() may run on, and no others. */
	int cpu;
	/** For VUC_POLLER_CPU_AUTO: path of a server's socket, whose NUMA node is preferred; NULL:
	 * none. It is connected to and closed again. */
	const char *near_socket;
	/** For VUC_POLLER_CPU_AUTO: an address in guest memory, whose NUMA node comes next. */
	const void *near_memory;
	/** What to do while there is nothing to do. */
	enum vuc_idle idle;
	/** Loops without anything to do before it yields or sleeps. */
	uint32_t idle_loops;
	/** Transport of the poll group, as in struct vuc_poll_group_opts. */
	const char *transport;
	/** Takes the log lines of poller and poll group, on the poller's thread; NULL gives them to
	 * rte_log, see docs/polling.md. */
	vuc_log_fn log;
	/** First argument of log. */
	void *log_arg;
};

/** Set every field of opts to its default: CPU chosen, spinning. Size is sizeof(*opts): a
 * library that knows more fields, or fewer, heeds it. */
void vuc_poller_opts_init(struct vuc_poller_opts *opts, size_t size);

/**
 * Create a poller and start its thread, which takes no signals but those of faults.
 *
 * @param opts    options; NULL takes the defaults; not used after the call
 * @param poller  set to the new poller on success, to NULL on failure
 * @param err     filled on failure; may be NULL
 * @return 0; -EINVAL for options out of bounds or a CPU that the process may not use; as
 *         vuc_poll_group_create(); -ENODEV without a vuc_eal_init() before; -EAGAIN or -ENOMEM
 *         when there can be no thread
 */
int vuc_poller_create(
	const struct vuc_poller_opts *opts, struct vuc_poller **poller, struct vuc_error *err);

/**
 * Stop the thread and free the poller. Its queues and devices must have been closed. Not from the
 * poller's own thread.
 *
 * @return 0, also for NULL; -EBUSY while there are devices or queues; -EDEADLK on its own thread
 */
int vuc_poller_destroy(struct vuc_poller *poller);

/** What vuc_poller_call() calls. */
typedef int (*vuc_poller_fn)(void *arg);

/**
 * Call fn(arg) on the poller's thread, and wait until it has returned: no other call is made
 * before. There it may use the poll group and its devices as it likes, and vuc_poller_call() again,
 * which then calls at once.
 *
 * @return what fn returned
 */
int vuc_poller_call(struct vuc_poller *poller, vuc_poller_fn fn, void *arg);

/** The poll group, to be used on the poller's thread only. */
struct vuc_poll_group *vuc_poller_poll_group(struct vuc_poller *poller);

/** The name it was given. */
const char *vuc_poller_name(const struct vuc_poller *poller);

/** The CPU it runs on, or VUC_POLLER_CPU_NONE. */
int vuc_poller_cpu(const struct vuc_poller *poller);

/** Why it runs there: one line. */
const char *vuc_poller_placement(const struct vuc_poller *poller);

/**
 * Open a device in the poller's poll group; as vuc_device_open(), with opts->group not used. The
 * caller waits; the poller goes on with all else. -EDEADLK on the poller's own thread.
 */
int vuc_poller_open_device(struct vuc_poller *poller, const struct vuc_device_opts *opts,
	struct vuc_device **dev, struct vuc_error *err);

/**
 * Close a device of the poller; as vuc_device_close().
 *
 * @return 0, also for NULL; -EBUSY while one of its queues is open; -EINVAL for a device of others;
 *         -EDEADLK on the poller's own thread
 */
int vuc_poller_close_device(struct vuc_poller *poller, struct vuc_device *dev);

/**
 * Open a queue to a device of the poller, for one thread at a time.
 *
 * @param poller  the poller
 * @param dev     a device that vuc_poller_open_device() has opened in it
 * @param opts    options; NULL takes the defaults; not used after the call
 * @param queue   set to the new queue on success, to NULL on failure
 * @param err     filled on failure; may be NULL
 * @return 0; -EINVAL for options out of bounds; -ENOSPC when the poller has as many queues as it
 * can have; -ENOMEM
 */
int vuc_poller_open_queue(struct vuc_poller *poller, struct vuc_device *dev,
	const struct vuc_queue_opts *opts, struct vuc_queue **queue, struct vuc_error *err);

/**
 * Close a queue that no thread uses any more. What was submitted is carried out, as far as the
 * device takes it within its timeout; results are dropped, and what is read goes nowhere. Waits
 * until the device has answered, or the requests' timeouts are over, while the poller serves all
 * others. NULL does nothing.
 *
 * @return 0; -EINVAL for a queue of others; -EDEADLK on the poller's own thread, and the queue is
 *         as it was
 */
int vuc_poller_close_queue(struct vuc_poller *poller, struct vuc_queue *queue);

#ifdef __cplusplus
}
#endif

#endif /* VUC_POLLER_H */
