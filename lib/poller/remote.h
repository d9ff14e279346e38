/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_REMOTE_H
#define VUC_POLLER_REMOTE_H

/*
 * Queues of a poller whose submitting end is in another process, as <vuc/shm.h> describes it. That
 * process may be hostile: whatever it writes, whenever it dies, what it loses is its own queues.
 *
 * Any thread but the poller's may call these; one thread at a time for a remote.
 */

#include <stdatomic.h>
#include <stdint.h>

#include <vuc/device.h>
#include <vuc/poller.h>
#include <vuc/stats.h>

#include "back.h"

/* One process that has queues to one device. */
struct vuc_poller_remote;

struct vuc_poller_remote_opts {
	struct vuc_device *dev; /* one that vuc_poller_open_device() has opened in the poller */
	_Atomic uint64_t *bell; /* struct vuc_shm_bell: a bit for each queue, by its index. Memory
				   that both sides write; the caller's, mapped until the removal */
	int kick_fd; /* an eventfd, new and known to nobody else so far: the other process gets it
			afterwards. The caller's, open until the removal. It is never read */
};

/*
 * Returns 0; -EINVAL for a device that is not the poller's; -ENOTSUP where the kernel cannot share
 * memory for reading only; -ENOMEM; what epoll_ctl(2) says of kick_fd.
 */
int vuc_poller_add_remote(struct vuc_poller *p, const struct vuc_poller_remote_opts *opts,
	struct vuc_poller_remote **remote, struct vuc_error *err);

/*
 * Open a queue with zeroed memory that stays the caller's, and mapped, until the queue is closed.
 * index: the lowest one that is free, below VUC_SHM_MAX_QUEUES.
 * Returns 0; -EINVAL for a geometry out of bounds, or requests that are longer than one message to
 * the device; -ENOSPC when all are open; -ENOMEM.
 */
int vuc_poller_remote_open_queue(struct vuc_poller_remote *r,
	const struct vuc_queue_back_opts *memory, unsigned int *index, struct vuc_error *err);

/*
 * Close a queue: nothing more is taken from it, and what the device works on is waited for until it
 * is answered or timed out; nobody touches its memory then. Meanwhile the poller serves all others,
 * and makes calls. A front that is still there is told -ECONNRESET.
 * Returns 0; -ENOENT when there is no such queue.
 */
int vuc_poller_remote_close_queue(struct vuc_poller_remote *r, unsigned int index);

/* Close all queues likewise, and free the remote. NULL does nothing. */
void vuc_poller_remove_remote(struct vuc_poller_remote *r);

/* Queues that were closed with -EPROTO so far, for a request that makes no sense. They have to be
 * closed all the same. Any thread. */
unsigned int vuc_poller_remote_broken(const struct vuc_poller_remote *r);

/* What came by its queues so far. Any thread. */
void vuc_poller_remote_counters(
	const struct vuc_poller_remote *r, struct vuc_access_stats *counters);

/*
 * Memory of struct vuc_shm_poller: whoever gets the descriptor can map it for reading only. The
 * poller's, as long as there is one; -ENOTSUP where there can be no remotes.
 */
int vuc_poller_sleeps_fd(const struct vuc_poller *p);

#endif /* VUC_POLLER_REMOTE_H */
