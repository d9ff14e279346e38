/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A queue whose back has died goes on with other memory. The thread that uses the queue takes no
 * lock for that: another one stores an error, as if the queue had closed, and the queue's own
 * thread, which has to look at the error anyway, finds what was offered.
 */

#include "front_state.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <vuc/export.h>

VUC_PRIVATE struct vuc_queue_renewal *
vuc_queue_cut(struct vuc_queue *q, int error)
{
	/* In this order: see queue_renew(). */
	struct vuc_queue_renewal *r = atomic_exchange(&q->renewal, NULL);

	atomic_store(&q->error, error);
	return r;
}

VUC_PRIVATE void
vuc_queue_offer(struct vuc_queue *q, struct vuc_queue_renewal *r)
{
	atomic_store_explicit(&q->renewal, r, memory_order_release);
}

static bool
memory_move(void *to, void *from, size_t size)
{
	return mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to;
}

/* Addresses stay the same: whoever frees the memory need not know of it. */
static int
memory_replace(struct vuc_queue *q, const struct vuc_queue_renewal *r)
{
	size_t requests_size = vuc_queue_requests_size(&q->geometry);
	size_t completions_size = vuc_queue_completions_size(&q->geometry);

	if (!memory_move(q->header, r->requests, requests_size))
		munmap(r->requests, requests_size);
	else if (memory_move((void *)(uintptr_t)q->back, r->completions, completions_size))
		return 0;
	munmap(r->completions, completions_size);
	return -ENOMEM;
}

static void
front_begin_anew(struct vuc_queue *q, uint64_t bit)
{
	uint32_t depth = q->geometry.depth;

	q->bell.bit = bit;
	q->tail = 0;
	q->taken = 0;
	q->head = 0;
	q->lost = 0;
	q->settled = false;
	q->nr_free = depth;
	for (uint32_t i = 0; i < depth; i++) {
		q->pending[i].busy = false;
		q->free_ids[i] = (uint16_t)(depth - 1 - i);
	}
}

int
queue_renew(struct vuc_queue *q, int error)
{
	struct vuc_queue_renewal *r;
	int rc;

	if (atomic_load_explicit(&q->renewal, memory_order_relaxed) == NULL ||
		(q->nr_free < q->geometry.depth && !q->settled))
		return error;
	/*
	 * Clear the error, then take the offer; vuc_queue_cut() takes the offer, then stores the
	 * error. So the error of a cut that finds no offer, for it was taken here, stays; and a cut
	 * that is first leaves none here.
	 */
	atomic_store(&q->error, 0);
	r = atomic_exchange(&q->renewal, NULL);
	if (r == NULL) {
		atomic_store(&q->error, error);
		return error;
	}
	rc = memory_replace(q, r);
	if (rc == 0)
		front_begin_anew(q, r->bit);
	free(r);
	if (rc == 0)
		return 0;
	atomic_store(&q->error, rc);
	return rc;
}

unsigned int
queue_poll_cut(struct vuc_queue *q, struct vuc_queue_result *results, unsigned int max)
{
	unsigned int n = 0;

	if (atomic_load_explicit(&q->renewal, memory_order_relaxed) == NULL || q->settled)
		return 0;
	for (uint32_t id = 0; id < q->geometry.depth && n < max; id++) {
		struct queue_pending *p = &q->pending[id];

		if (!p->busy)
			continue;
		p->busy = false;
		q->free_ids[q->nr_free++] = (uint16_t)id;
		results[n++] = (struct vuc_queue_result){.arg = p->arg, .status = -ECONNRESET};
	}
	return n;
}
