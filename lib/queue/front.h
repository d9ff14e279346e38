/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_QUEUE_FRONT_H
#define VUC_QUEUE_FRONT_H

/* Making the submitting end of a queue; <vuc/queue.h> has what it does then. */

#include <vuc/error.h>
#include <vuc/queue.h>

#include "layout.h"

/*
 * How a front wakes the thread that serves its back: it sets a bit of a word that this thread looks
 * at, and writes to an eventfd if the thread sleeps. A word of NULL: the back is polled all the
 * time.
 */
struct vuc_queue_bell {
	_Atomic uint64_t *word;
	uint64_t bit;
	const _Atomic uint32_t *sleeps;
	int kick_fd;
};

struct vuc_queue_front_opts {
	struct vuc_queue_geometry geometry; /* a valid one */
	void *requests;          /* zeroed, vuc_queue_requests_size() bytes on a cache line */
	const void *completions; /* zeroed, vuc_queue_completions_size() bytes on a cache line */
	struct vuc_queue_bell bell;
	int (*check)(void *arg); /* whether the back's process is still there: 0 or a negative
				    errno, which closes the queue. Called by a front that waits in
				    vain, not more often than each 100 ms; NULL: it always is */
	void *check_arg;
};

/* The memory stays the caller's and lives as long as the queue. Returns NULL when out of memory. */
struct vuc_queue *vuc_queue_create(const struct vuc_queue_front_opts *opts);

/*
 * Options of a program that was built with another version of the header; NULL: the defaults.
 * Returns 0, or -EINVAL for a size that is none, or bytes that are not known here.
 */
int vuc_queue_read_opts(
	struct vuc_queue_opts *known, const struct vuc_queue_opts *opts, struct vuc_error *err);

/* Other memory for a queue whose back has died: mappings as large as those before, zeroed; and its
 * bit in the word of the bell. */
struct vuc_queue_renewal {
	void *requests;
	void *completions;
	uint64_t bit;
};

/*
 * The back has died. Whatever was submitted ends with this error, at the owner's next call or, when
 * it sleeps, within 100 ms. Returns the memory that was offered and not taken, to be freed; NULL.
 * Any thread; not at the same time as vuc_queue_offer(). The queue may be in use.
 */
struct vuc_queue_renewal *vuc_queue_cut(struct vuc_queue *queue, int error);

/*
 * Offer memory to a queue that was cut. The thread that uses it moves the memory to the addresses
 * of the old one when it next submits something, and frees the renewal. The queue begins anew then.
 */
void vuc_queue_offer(struct vuc_queue *queue, struct vuc_queue_renewal *renewal);

/* Requests outstanding are forgotten: results of reads go nowhere any more. NULL does nothing. */
void vuc_queue_destroy(struct vuc_queue *queue);

#endif /* VUC_QUEUE_FRONT_H */
