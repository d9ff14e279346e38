/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLL_GROUP_H
#define VUC_POLL_GROUP_H

/**
 * @file
 * A poll group: the devices that one thread drives.
 *
 * The group owns the resources that a thread needs only once: the io_uring of the `uring`
 * transport, the list of devices with something to send, the clock of the timeouts.
 *
 * A poll group and all devices in it belong to the thread that created the group. No function
 * that takes one of them may be called from another thread, and none of them locks.
 */

#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>
#include <vuc/log.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vuc_poll_group;

/** How to create a poll group. Fill it with vuc_poll_group_opts_init() first. */
struct vuc_poll_group_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_poll_group_opts_init(). */
	size_t size;
	/**
	 * Name of the transport: "uring", "posix" or "loopback". NULL selects "uring". If the
	 * kernel, a sysctl or seccomp does not allow io_uring, it selects "posix" and logs a line.
	 */
	const char *transport;
	/** Receives the library's log lines; NULL discards them. */
	vuc_log_fn log;
	/** First argument of log. */
	void *log_arg;
};

/** Set every field of opts to its default. Size is sizeof(*opts), so that the
 * library supports callers whose struct has more or fewer fields. */
void vuc_poll_group_opts_init(struct vuc_poll_group_opts *opts, size_t size);

/**
 * Create a poll group for the calling thread.
 *
 * @param opts   options; NULL: defaults
 * @param group  set to the new group on success, to NULL on failure
 * @param err    filled on failure; may be NULL
 * @return 0; -EINVAL for an unknown transport; -ENOMEM; if transport "uring" is requested by
 *         name, also the errors of io_uring_setup(2): -EPERM or -ENOSYS if it is not available
 */
int vuc_poll_group_create(const struct vuc_poll_group_opts *opts, struct vuc_poll_group **group,
	struct vuc_error *err);

/**
 * Destroy a poll group. All of its devices must have been closed. First sends the posted writes of
 * devices that were closed in a completion callback, for at most their timeouts. In a completion
 * callback, the call does not wait, and the group is freed at the end of the poll.
 *
 * @return 0, also for a NULL group; -EBUSY when a device is still open, or its
 *         vuc_device_close_start() has not called done (nothing is destroyed then)
 */
int vuc_poll_group_destroy(struct vuc_poll_group *group);

/**
 * Send queued messages, receive messages, complete requests and expire timeouts, for all devices of
 * the group. Never blocks. Completion callbacks run inside this call.
 *
 * @return number of requests completed; -EDEADLK when called from a completion callback
 */
int vuc_poll_group_poll(struct vuc_poll_group *group);

/**
 * Sleep until the group has something to do or wake_fd is readable.
 *
 * The call first sends queued messages. This may complete requests, so completion callbacks may run
 * inside this call, too. If a request has completed or there is other work to do at once, the call
 * does not sleep. The sleep is one system call for all devices and wake_fd. While requests are
 * outstanding, it ends after some milliseconds to check their timeouts.
 *
 * Call vuc_poll_group_poll() next, whatever this call returns: it receives nothing.
 *
 * @param group       the group
 * @param wake_fd     an eventfd by which another thread ends the sleep, or -1. The caller must read
 *                    it, before it looks for work of the other thread; while it is readable, no
 *                    call sleeps. The group keeps using it: before closing it, pass another one or
 *                    -1, or destroy the group
 * @param timeout_ms  longest sleep in milliseconds; 0 does not sleep
 * @return 1 when there may be work to do, in the group or for the reader of wake_fd; 0 when the
 * sleep ended by timeout or by a signal; -EDEADLK when called from a completion callback; -EBADF or
 * similar for an invalid wake_fd; otherwise the error of the system call
 */
int vuc_poll_group_wait(struct vuc_poll_group *group, int wake_fd, unsigned int timeout_ms);

/** Name of the transport in use: "uring", "posix" or "loopback". Never NULL. */
const char *vuc_poll_group_transport(const struct vuc_poll_group *group);

/** System calls that the group has made for its sockets since it was created. */
uint64_t vuc_poll_group_syscalls(const struct vuc_poll_group *group);

#ifdef __cplusplus
}
#endif

#endif /* VUC_POLL_GROUP_H */
