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

/* Requests outstanding are forgotten: results of reads go nowhere any more. NULL does nothing. */
void vuc_queue_destroy(struct vuc_queue *queue);

#endif /* VUC_QUEUE_FRONT_H */
