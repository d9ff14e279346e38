/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLL_GROUP_H
#define VUC_POLL_GROUP_H

/**
 * @file
 * A poll group: the devices that one thread drives.
 *
 * The group owns what such a thread needs once and not per device: the io_uring of the `uring`
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
	 * Transport by name: "uring", "posix" or "loopback". NULL takes "uring", and "posix" with
	 * one line to the log where the kernel, a sysctl or seccomp does not allow io_uring.
	 */
	const char *transport;
	/** Takes the library's few log lines; NULL drops them. */
	vuc_log_fn log;
	/** First argument of log. */
	void *log_arg;
};

/** Set every field of opts to its default. Size is sizeof(*opts): a library that
 * knows more fields, or fewer, heeds it. */
void vuc_poll_group_opts_init(struct vuc_poll_group_opts *opts, size_t size);

/**
 * Create a poll group for the calling thread.
 *
 * @param opts   options; NULL takes the defaults
 * @param group  set to the new group on success, to NULL on failure
 * @param err    filled on failure; may be NULL
 * @return 0; -EINVAL for an unknown transport; -ENOMEM; with transport "uring" asked for by name
 *         also what io_uring_setup(2) says, -EPERM or -ENOSYS where it is not allowed or not there
 */
int vuc_poll_group_create(const struct vuc_poll_group_opts *opts, struct vuc_poll_group **group,
	struct vuc_error *err);

/**
 * Destroy a poll group. All of its devices must have been closed: what those that were closed in a
 * completion callback have posted is sent before, for at most their timeouts. In such a callback
 * the call does not wait, and the group is freed at the end of the poll.
 *
 * @return 0, also for a NULL group; -EBUSY when a device is still open, or its
 *         vuc_device_close_start() has not called done (nothing is destroyed then)
 */
int vuc_poll_group_destroy(struct vuc_poll_group *group);

/**
 * Send what is queued, receive what is there, complete requests and expire timeouts, for all
 * devices of the group. Never blocks. Completion callbacks run inside this call.
 *
 * @return number of requests completed; -EDEADLK when called from a completion callback
 */
int vuc_poll_group_poll(struct vuc_poll_group *group);

/**
 * Sleep until the group has something to do, and until wake_fd can be read, whichever is first.
 *
 * What is queued is sent before, which may complete requests; so completion callbacks may run
 * inside this call, too. When something is left that can be done at once, or a request has
 * completed, the call does not sleep. The sleep is one system call for all devices and wake_fd.
 * While requests await an answer it ends after some milliseconds, for the sake of their timeouts.
 *
 * Whatever it returns, vuc_poll_group_poll() comes next: this call receives nothing.
 *
 * @param group       the group
 * @param wake_fd     an eventfd by which another thread ends the sleep, or -1. The caller reads it,
 *                    before it looks at what the other thread has left for it; while it can be
 *                    read, no call sleeps. The group keeps it in mind: before it is closed, another
 *                    one or -1 has to be given, or the group destroyed
 * @param timeout_ms  longest sleep in milliseconds; 0 does not sleep
 * @return 1 when there may be something to do, in the group or for the reader of wake_fd; 0 when
 *         the sleep has ended without that, by time or by a signal; -EDEADLK when called from a
 *         completion callback; -EBADF and the like for a wake_fd that cannot be waited for;
 *         otherwise what the system call says
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
