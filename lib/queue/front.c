/* SPDX-License-Identifier: BSD-3-Clause */
#include "clock.h"
#include "front_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <vuc/export.h>

#include "opts.h"
#include "sync.h"

/* Some times what a register access takes: a thread that sleeps wakes up late. */
#define DEFAULT_SPINS 2000u

/* Looks at a result between two at the clock. */
#define LOOKS 256u

/* Between two looks whether the back's process is still there. */
#define CHECK_MS 100

VUC_EXPORT void
vuc_queue_opts_init(struct vuc_queue_opts *opts, size_t size)
{
	const struct vuc_queue_opts defaults = {
		.depth = VUC_DEFAULT_QUEUE_DEPTH,
		.max_data = VUC_DEFAULT_QUEUE_MAX_DATA,
	};

	vuc_opts_init(opts, size, &defaults, sizeof(defaults));
}

VUC_PRIVATE int
vuc_queue_read_opts(
	struct vuc_queue_opts *known, const struct vuc_queue_opts *opts, struct vuc_error *err)
{
	vuc_queue_opts_init(known, sizeof(*known));
	return vuc_opts_read(known, sizeof(*known), opts,
		VUC_OPTS_LEAST(struct vuc_queue_opts, max_data), "vuc_queue_opts", err);
}

VUC_PRIVATE struct vuc_queue *
vuc_queue_create(const struct vuc_queue_front_opts *opts)
{
	struct vuc_queue *q = queue_alloc_lines(sizeof(*q));
	uint32_t depth = opts->geometry.depth;

	if (q == NULL)
		return NULL;
	q->geometry = opts->geometry;
	q->ring = queue_ring_of(&opts->geometry);
	q->header = opts->requests;
	q->request_slots = (uint8_t *)opts->requests + sizeof(*q->header);
	q->request_chunks = q->request_slots + (size_t)depth * QUEUE_SLOT_SIZE;
	q->back = opts->completions;
	q->answer_slots = (const uint8_t *)opts->completions + sizeof(*q->back);
	q->answer_chunks = q->answer_slots + (size_t)depth * QUEUE_SLOT_SIZE;
	q->bell = opts->bell;
	q->check = opts->check;
	q->check_arg = opts->check_arg;
	q->spins = DEFAULT_SPINS;
	q->pending = queue_alloc_lines(depth * sizeof(*q->pending));
	q->free_ids = queue_alloc_lines(depth * sizeof(*q->free_ids));
	if (q->pending == NULL || q->free_ids == NULL) {
		vuc_queue_destroy(q);
		return NULL;
	}
	for (uint32_t i = 0; i < depth; i++)
		q->free_ids[i] = (uint16_t)(depth - 1 - i);
	q->nr_free = depth;
	return q;
}

VUC_PRIVATE void
vuc_queue_destroy(struct vuc_queue *q)
{
	if (q == NULL)
		return;
	free(q->pending);
	free(q->free_ids);
	free(q);
}

/* Whether the back may say so: callers take what is positive for a count. */
static bool
is_status(int status)
{
	return status <= 0 && status >= -QUEUE_ERRNO_MAX;
}

static int
front_error(const struct vuc_queue *q)
{
	return atomic_load_explicit(&q->error, memory_order_relaxed);
}

static int
front_fail(struct vuc_queue *q, int error)
{
	atomic_store_explicit(&q->error, error, memory_order_relaxed);
	return error;
}

/* The caller hears of the end of the queue, and lets go of its buffers: no result is taken after
 * it. */
static int
front_settle(struct vuc_queue *q, int error)
{
	q->settled = true;
	return front_fail(q, error);
}

static int
front_is_closed(const struct vuc_queue *q)
{
	int error = front_error(q);

	if (error != 0)
		return error;
	/* Pairs with vuc_queue_back_close(). */
	error = atomic_load_explicit(&q->back->closed, memory_order_acquire);
	if (error == 0)
		return q->lost;
	return is_status(error) ? error : -EPROTO;
}

/* Whether the slot of the next position is free: what it held a lap ago was copied. */
static bool
front_has_credit(struct vuc_queue *q)
{
	uint32_t ahead;

	if (q->tail - q->taken < q->geometry.depth)
		return true;
	/* Pairs with vuc_queue_back_flush(). A count that cannot be is no credit. */
	ahead = (uint32_t)q->tail - atomic_load_explicit(&q->back->taken, memory_order_acquire);
	if (ahead >= q->geometry.depth)
		return false;
	q->taken = q->tail - ahead;
	return true;
}

static bool
is_valid_request(const struct vuc_queue *q, const struct vuc_queue_request *r)
{
	return r->op >= VUC_QUEUE_READ && r->op <= VUC_QUEUE_WRITE_PCI && r->region <= UINT16_MAX &&
		r->count > 0 && r->count <= q->geometry.chunk;
}

static uint16_t
front_take_id(struct vuc_queue *q, const struct vuc_queue_request *r)
{
	uint16_t id = q->free_ids[--q->nr_free];

	q->pending[id] = (struct queue_pending){
		.arg = r->arg,
		.data = r->op == VUC_QUEUE_READ ? r->data : NULL,
		.count = r->count,
		.position = q->tail,
		.busy = true,
	};
	return id;
}

static void
front_write_slot(struct vuc_queue *q, const struct vuc_queue_request *r, uint16_t id)
{
	uint32_t position = (uint32_t)q->tail;
	size_t i = position & q->ring.mask;
	struct queue_request_slot *slot =
		(struct queue_request_slot *)(q->request_slots + i * QUEUE_SLOT_SIZE);

	slot->offset = r->offset;
	slot->count = r->count;
	slot->op = (uint16_t)r->op;
	slot->region = (uint16_t)r->region;
	slot->id = id;
	if (r->op != VUC_QUEUE_READ) {
		if (r->count <= QUEUE_REQUEST_MAX)
			queue_copy(slot->data, r->data, r->count);
		else
			memcpy(q->request_chunks + i * q->geometry.chunk, r->data, r->count);
	}
	/* Pairs with vuc_queue_back_is_empty(). */
	atomic_store_explicit(&slot->tag, queue_tag(q->ring, position), memory_order_release);
	q->tail++;
}

/* Let the back know, if it wants to be told. */
static void
bell_ring(struct vuc_queue *q)
{
	const struct vuc_queue_bell *bell = &q->bell;

	if (bell->word == NULL)
		return;
	/*
	 * Store the tags, fence, look at the bell; vuc_queue_back_set_bell() and who calls it:
	 * store the bell, fence, look at the tags. Whichever fence is second in the one order that
	 * all such fences have, its side sees what the other one stored: the back finds the
	 * request, or the bell is seen here. The release order of the tags would not do, since a
	 * load may come before an earlier store to another place, on x86 as well.
	 */
	queue_fence();
	if (atomic_load_explicit(&q->back->bell, memory_order_relaxed) == 0)
		return;
	/*
	 * Pairs with the poller's exchange of the word, which comes before it looks at the queue.
	 * And once more a store before a load: the poller sets `sleeps`, fences, and looks at the
	 * word before it sleeps, so that it finds the bit, or is seen here to sleep.
	 */
	atomic_fetch_or_explicit(bell->word, bell->bit, memory_order_seq_cst);
	if (atomic_load_explicit(bell->sleeps, memory_order_seq_cst) != 0) {
		const uint64_t one = 1;
		ssize_t n = write(bell->kick_fd, &one, sizeof(one));

		/* It fails only when it is readable already, which is all that is wanted. */
		(void)n;
	}
}

static int
front_submit(struct vuc_queue *q, const struct vuc_queue_request *requests, unsigned int nr)
{
	unsigned int n = 0;
	int error = 0;

	for (; n < nr; n++) {
		const struct vuc_queue_request *r = &requests[n];
		bool posted = r->op == VUC_QUEUE_WRITE_POSTED;

		if (!is_valid_request(q, r)) {
			error = -EINVAL;
			break;
		}
		if ((!posted && q->nr_free == 0) || !front_has_credit(q))
			break;
		front_write_slot(q, r, posted ? 0 : front_take_id(q, r));
	}
	if (n > 0)
		bell_ring(q);
	return n > 0 ? (int)n : error;
}

/* Apart, so that a queue that is open pays for nothing of it. */
static __attribute__((cold, noinline)) int
front_submit_anew(struct vuc_queue *q, const struct vuc_queue_request *requests, unsigned int nr)
{
	int error = queue_renew(q, front_is_closed(q));

	return error != 0 ? error : front_submit(q, requests, nr);
}

VUC_EXPORT int
vuc_queue_submit(struct vuc_queue *q, const struct vuc_queue_request *requests, unsigned int nr)
{
	if (front_is_closed(q) != 0)
		return front_submit_anew(q, requests, nr);
	return front_submit(q, requests, nr);
}

static const struct queue_completion_slot *
answer_at(const struct vuc_queue *q, uint32_t position)
{
	return (const struct queue_completion_slot *)(q->answer_slots +
		(size_t)(position & q->ring.mask) * QUEUE_SLOT_SIZE);
}

static bool
front_has_result(struct vuc_queue *q)
{
	/* Pairs with vuc_queue_back_complete(). */
	return atomic_load_explicit(&answer_at(q, q->head)->tag, memory_order_acquire) ==
		queue_tag(q->ring, q->head);
}

static void
copy_answer(const struct vuc_queue *q, const struct queue_completion_slot *slot,
	const struct queue_pending *p)
{
	size_t id = (size_t)(p - q->pending);

	if (p->count <= QUEUE_ANSWER_MAX)
		queue_copy(p->data, slot->data, p->count);
	else
		memcpy(p->data, q->answer_chunks + id * q->geometry.chunk, p->count);
}

/* Whether an answer is one to what was asked; p is NULL when it names no request. */
static bool
is_answer(const struct queue_pending *p, int status, uint32_t count)
{
	if (p == NULL || !p->busy || !is_status(status))
		return false;
	return status != 0 || p->data == NULL || count == p->count;
}

/* Returns false when the back answers what was not asked. */
static bool
front_take_result(struct vuc_queue *q, struct vuc_queue_result *result)
{
	const struct queue_completion_slot *slot = answer_at(q, q->head);
	uint16_t id = slot->id;
	int status = slot->status;
	uint32_t count = slot->count;
	struct queue_pending *p = id < q->geometry.depth ? &q->pending[id] : NULL;

	queue_copied();
	if (!is_answer(p, status, count)) {
		front_fail(q, -EPROTO);
		return false;
	}
	if (status == 0 && p->data != NULL)
		copy_answer(q, slot, p);
	/* What was submitted up to there has been copied, and needs no look at the back's count. */
	if (p->position >= q->taken)
		q->taken = p->position + 1;
	*result = (struct vuc_queue_result){.arg = p->arg, .status = status};
	p->busy = false;
	q->free_ids[q->nr_free++] = id;
	q->head++;
	return true;
}

VUC_EXPORT unsigned int
vuc_queue_poll(struct vuc_queue *q, struct vuc_queue_result *results, unsigned int max)
{
	unsigned int n = 0;

	if (front_error(q) != 0)
		return queue_poll_cut(q, results, max);
	while (n < max && front_has_result(q) && front_take_result(q, &results[n]))
		n++;
	return n;
}

/* Who waits in vain looks from time to time whether anybody is left to wait for. */
static void
front_check_back(struct vuc_queue *q, int64_t now)
{
	if (q->check == NULL || q->lost != 0 || now < q->check_ms)
		return;
	q->check_ms = now + CHECK_MS;
	q->lost = q->check(q->check_arg);
}

/* How long to sleep at once, in milliseconds; -1: for ever. */
static int
sleep_slice_ms(const struct vuc_queue *q, int64_t now, int64_t deadline_ms)
{
	int64_t slice = deadline_ms < 0 ? -1 : deadline_ms - now;

	if (q->check != NULL && (slice < 0 || slice > q->check_ms - now))
		slice = q->check_ms - now;
	return (int)slice;
}

/* Returns 0 when ready() says so; 1 when the time is up; the error that closed the queue. */
static int
front_sleep_until(struct vuc_queue *q, bool (*ready)(struct vuc_queue *), int64_t deadline_ms)
{
	int rc = 0;

	atomic_store_explicit(&q->header->sleeps, 1, memory_order_relaxed);
	while (rc == 0) {
		uint32_t wakes = atomic_load_explicit(&q->back->wakes, memory_order_relaxed);
		int64_t now = (int64_t)vuc_clock_ms();

		front_check_back(q, now);
		/*
		 * Store `sleeps`, fence, look at tags and count: the other half of the fence of
		 * vuc_queue_back_flush(), which has the argument. It also puts the load of `wakes`
		 * before these looks, and as an acquire fence pairs with the release increment of
		 * wake_front(): a wake that `wakes` counts already is seen by its effect, and one
		 * that it does not count lets the kernel's comparison fail.
		 */
		queue_fence();
		rc = front_is_closed(q);
		/* After front_is_closed(): what was completed before the close is there by now. */
		if (ready(q)) {
			rc = 0;
			break;
		}
		if (rc == 0 && deadline_ms >= 0 && now >= deadline_ms)
			rc = 1;
		if (rc == 0)
			rc = queue_futex_wait(
				&q->back->wakes, wakes, sleep_slice_ms(q, now, deadline_ms));
		if (rc == -ETIMEDOUT)
			rc = 0;
	}
	atomic_store_explicit(&q->header->sleeps, 0, memory_order_relaxed);
	return rc;
}

/* As front_sleep_until(), but spin first. Inlined, so that no look is an indirect call. */
static inline __attribute__((always_inline)) int
front_wait_until(struct vuc_queue *q, bool (*ready)(struct vuc_queue *), int timeout_ms)
{
	int64_t deadline_ms = -1;

	if (ready(q))
		return 0;
	if (timeout_ms >= 0)
		deadline_ms = (int64_t)vuc_clock_ms() + timeout_ms;
	for (unsigned int spins = q->spins; spins > 0; spins--) {
		queue_pause();
		if (ready(q))
			return 0;
		if (spins % LOOKS == 0 &&
			(front_is_closed(q) != 0 ||
				(deadline_ms >= 0 && (int64_t)vuc_clock_ms() >= deadline_ms)))
			break;
	}
	return front_sleep_until(q, ready, deadline_ms);
}

VUC_EXPORT int
vuc_queue_wait(struct vuc_queue *q, int timeout_ms)
{
	int rc;

	rc = front_error(q);
	if (rc != 0)
		return front_settle(q, rc);
	if (vuc_queue_outstanding(q) == 0)
		return -ENOENT;
	rc = front_wait_until(q, front_has_result, timeout_ms);
	if (rc < 0)
		front_settle(q, rc);
	return rc > 0 ? -ETIMEDOUT : rc;
}

/* Submit when there is room. Posted writes before it may take all of it for a while. */
static int
front_submit_one(struct vuc_queue *q, const struct vuc_queue_request *r)
{
	int rc;

	while ((rc = vuc_queue_submit(q, r, 1)) == 0) {
		rc = front_wait_until(q, front_has_credit, -1);
		if (rc != 0)
			return rc;
	}
	return rc < 0 ? rc : 0;
}

/* Submit one that fits the queue, and wait for it if it is not posted. */
static int
perform_piece(struct vuc_queue *q, const struct vuc_queue_request *r)
{
	struct vuc_queue_result result;
	int rc;

	if (r->op == VUC_QUEUE_WRITE_POSTED)
		return front_submit_one(q, r);
	rc = front_error(q);
	if (rc != 0)
		rc = queue_renew(q, rc);
	if (rc != 0)
		return rc;
	if (vuc_queue_outstanding(q) > 0)
		return -EBUSY;
	rc = front_submit_one(q, r);
	if (rc == 0)
		rc = vuc_queue_wait(q, -1);
	if (rc != 0)
		return rc;
	if (vuc_queue_poll(q, &result, 1) == 1)
		return result.status;
	/* Also a result that was there and is gone, unless the queue was cut meanwhile. */
	rc = front_error(q);
	return front_settle(q, rc != 0 ? rc : -EPROTO);
}

static int
access_perform(struct vuc_queue *q, enum vuc_queue_op op, uint32_t region, uint64_t offset,
	const void *data, uint32_t count)
{
	struct vuc_queue_request r = {.op = op, .region = region};
	uint32_t done = 0;
	int rc;

	do {
		r.offset = offset + done;
		r.data = (uint8_t *)(uintptr_t)data + done;
		r.count = count - done < q->geometry.chunk ? count - done : q->geometry.chunk;
		rc = perform_piece(q, &r);
		done += r.count;
	} while (rc == 0 && done < count);
	if (rc != 0) {
		q->failed = r;
		q->failure = rc;
	}
	return rc;
}

VUC_EXPORT int
vuc_queue_read(struct vuc_queue *q, uint32_t region, uint64_t offset, void *data, uint32_t count)
{
	return access_perform(q, VUC_QUEUE_READ, region, offset, data, count);
}

VUC_EXPORT int
vuc_queue_write(
	struct vuc_queue *q, uint32_t region, uint64_t offset, const void *data, uint32_t count)
{
	return access_perform(q, VUC_QUEUE_WRITE, region, offset, data, count);
}

VUC_EXPORT int
vuc_queue_write_pci(
	struct vuc_queue *q, uint32_t region, uint64_t offset, const void *data, uint32_t count)
{
	return access_perform(q, VUC_QUEUE_WRITE_PCI, region, offset, data, count);
}

VUC_EXPORT int
vuc_queue_post(
	struct vuc_queue *q, uint32_t region, uint64_t offset, const void *data, uint32_t count)
{
	return access_perform(q, VUC_QUEUE_WRITE_POSTED, region, offset, data, count);
}

static const char *
failure_text(int failure)
{
	switch (failure) {
	case -EINVAL:
		return "no such region, an access outside of it, or the server answered EINVAL";
	case -EBUSY:
		return "other requests of the queue are outstanding";
	case -ENOTCONN:
		return "the device's server is away";
	case -ECONNRESET:
		return "the connection to the device or the daemon is closed";
	case -EPROTO:
		return "the other side of the queue or the server violated the protocol";
	default:
		return strerror(-failure);
	}
}

VUC_EXPORT const char *
vuc_queue_reason(struct vuc_queue *q)
{
	if (q->failure == 0)
		return "";
	snprintf(q->reason, sizeof(q->reason),
		"a %s of %" PRIu32 " bytes at 0x%" PRIx64 " of region %" PRIu32 ": %s",
		q->failed.op == VUC_QUEUE_READ ? "read" : "write", q->failed.count,
		q->failed.offset, q->failed.region, failure_text(q->failure));
	return q->reason;
}

VUC_EXPORT uint32_t
vuc_queue_max_data(const struct vuc_queue *q)
{
	return q->geometry.chunk;
}

VUC_EXPORT unsigned int
vuc_queue_depth(const struct vuc_queue *q)
{
	return q->geometry.depth;
}

VUC_EXPORT unsigned int
vuc_queue_outstanding(const struct vuc_queue *q)
{
	return q->geometry.depth - q->nr_free;
}

VUC_EXPORT void
vuc_queue_set_spin(struct vuc_queue *q, unsigned int spins)
{
	q->spins = spins;
}
