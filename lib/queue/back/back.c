/* SPDX-License-Identifier: BSD-3-Clause */
#include "back.h"
#include "sync.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ID_BITS 64u

int
vuc_queue_back_init(struct vuc_queue_back *b, const struct vuc_queue_back_opts *opts)
{
	const struct vuc_queue_geometry *g = &opts->geometry;
	const uint8_t *requests = opts->requests;
	uint8_t *completions = opts->completions;

	*b = (struct vuc_queue_back){
		.ring = queue_ring_of(g),
		.depth = g->depth,
		.chunk = g->chunk,
		.front = opts->requests,
		.request_slots = requests + sizeof(struct queue_front_header),
		.header = opts->completions,
		.answer_slots = completions + sizeof(struct queue_back_header),
		.busy = queue_alloc_lines((g->depth + ID_BITS - 1) / ID_BITS * sizeof(uint64_t)),
		.answers = queue_alloc_lines((size_t)g->depth * QUEUE_SLOT_SIZE),
	};
	b->request_chunks = b->request_slots + (size_t)g->depth * QUEUE_SLOT_SIZE;
	b->answer_chunks = b->answer_slots + (size_t)g->depth * QUEUE_SLOT_SIZE;
	if (b->busy != NULL && b->answers != NULL)
		return 0;
	vuc_queue_back_fini(b);
	return -ENOMEM;
}

void
vuc_queue_back_fini(struct vuc_queue_back *b)
{
	free(b->busy);
	free(b->answers);
	b->busy = NULL;
	b->answers = NULL;
}

static const struct queue_request_slot *
request_at(const struct vuc_queue_back *b, uint32_t position)
{
	return (const struct queue_request_slot *)(b->request_slots +
		(size_t)(position & b->ring.mask) * QUEUE_SLOT_SIZE);
}

bool
vuc_queue_back_is_empty(const struct vuc_queue_back *b)
{
	/* Pairs with the release store of front_write_slot() in front.c. */
	return atomic_load_explicit(&request_at(b, b->head)->tag, memory_order_acquire) !=
		queue_tag(b->ring, b->head);
}

static bool
is_id_busy(const struct vuc_queue_back *b, uint16_t id)
{
	return (b->busy[id / ID_BITS] >> (id % ID_BITS)) & 1;
}

static bool
is_valid_request(const struct vuc_queue_back *b, const struct queue_request_slot *slot)
{
	if (slot->count == 0 || slot->count > b->chunk)
		return false;
	if (slot->op == VUC_QUEUE_WRITE_POSTED)
		return true;
	return (slot->op == VUC_QUEUE_READ || slot->op == VUC_QUEUE_WRITE ||
		       slot->op == VUC_QUEUE_WRITE_PCI) &&
		slot->id < b->depth && !is_id_busy(b, slot->id);
}

int
vuc_queue_back_peek(struct vuc_queue_back *b, struct vuc_queue_taken *taken)
{
	const struct queue_request_slot *slot = request_at(b, b->head);

	if (vuc_queue_back_is_empty(b))
		return 0;
	memcpy(&taken->slot, slot, offsetof(struct queue_request_slot, tag));
	/* The front may change the slot at any time: only the copy is looked at. */
	queue_copied();
	if (!is_valid_request(b, &taken->slot))
		return -EPROTO;
	taken->payload = taken->slot.data;
	if (taken->slot.count > QUEUE_REQUEST_MAX)
		taken->payload = b->request_chunks + (size_t)(b->head & b->ring.mask) * b->chunk;
	return 1;
}

void
vuc_queue_back_take(struct vuc_queue_back *b, const struct vuc_queue_taken *taken)
{
	uint16_t id = taken->slot.id;

	b->head++;
	b->unflushed = true;
	if (taken->slot.op == VUC_QUEUE_WRITE_POSTED)
		return;
	b->busy[id / ID_BITS] |= UINT64_C(1) << (id % ID_BITS);
	b->outstanding++;
}

void *
vuc_queue_back_room(struct vuc_queue_back *b, uint16_t id, uint32_t count)
{
	if (count <= QUEUE_ANSWER_MAX)
		return b->answers[id].data;
	return b->answer_chunks + (size_t)id * b->chunk;
}

/* Put an answer into the ring; the front may use its id again from here on. */
static void
back_publish(struct vuc_queue_back *b, uint16_t id)
{
	const struct queue_completion_slot *answer = &b->answers[id];
	struct queue_completion_slot *slot = (struct queue_completion_slot *)(b->answer_slots +
		(size_t)(b->tail & b->ring.mask) * QUEUE_SLOT_SIZE);

	slot->id = id;
	slot->reserved = 0;
	slot->status = answer->status;
	slot->count = answer->count;
	if (answer->count > 0 && answer->count <= QUEUE_ANSWER_MAX)
		queue_copy(slot->data, answer->data, answer->count);
	/* Pairs with front_has_result() in front.c. */
	atomic_store_explicit(&slot->tag, queue_tag(b->ring, b->tail), memory_order_release);
	b->tail++;
	b->busy[id / ID_BITS] &= ~(UINT64_C(1) << (id % ID_BITS));
}

/*
 * The front looks at the lines that answers go to, so each has to come from its core. Written one
 * behind the other, without the work for another request in between, they come at the same time.
 */
static void
back_publish_staged(struct vuc_queue_back *b)
{
	for (unsigned int i = 0; i < b->nr_staged; i++)
		back_publish(b, b->staged[i]);
	b->nr_staged = 0;
}

void
vuc_queue_back_complete(struct vuc_queue_back *b, uint16_t id, int status, uint32_t count)
{
	struct queue_completion_slot *answer = &b->answers[id];

	assert(is_id_busy(b, id) && status <= 0 && status >= -QUEUE_ERRNO_MAX);
	answer->status = status;
	answer->count = count;
	b->unflushed = true;
	b->staged[b->nr_staged++] = id;
	/* Nothing else can come that this one could wait for. */
	if (--b->outstanding == 0 || b->nr_staged == VUC_QUEUE_BACK_STAGED)
		back_publish_staged(b);
}

static void
wake_front(struct vuc_queue_back *b)
{
	/*
	 * Pairs with the load and the fence of front_sleep_until() in front.c. Without release
	 * order a front could see the new count before the reason for it, and sleep on the new
	 * count: the wake below, being over by then, would be its last one.
	 */
	atomic_fetch_add_explicit(&b->header->wakes, 1, memory_order_release);
	queue_futex_wake(&b->header->wakes);
}

void
vuc_queue_back_flush(struct vuc_queue_back *b)
{
	if (!b->unflushed)
		return;
	b->unflushed = false;
	back_publish_staged(b);
	/* Pairs with front_has_credit() in front.c: a slot may be written again once it was copied.
	 */
	atomic_store_explicit(&b->header->taken, b->head, memory_order_release);
	/*
	 * Store the tags and the count, fence, look at `sleeps`; front_sleep_until() in front.c:
	 * store `sleeps`, fence, look at the tags or the count. Whichever fence is second in the
	 * one order that all such fences have, its side sees what the other one stored: the front
	 * finds what it waits for, or is seen here to sleep. Release and acquire would not do,
	 * since a load may come before an earlier store to another place, on x86 as well.
	 */
	queue_fence();
	if (atomic_load_explicit(&b->front->sleeps, memory_order_relaxed) != 0)
		wake_front(b);
}

void
vuc_queue_back_set_bell(struct vuc_queue_back *b, bool on)
{
	atomic_store_explicit(&b->header->bell, on, memory_order_relaxed);
	/*
	 * Store the bell, fence, look at the tags (the caller does): the other half of the fence of
	 * ring() in front.c, which has the argument. Off needs none: who looks anyhow misses
	 * nothing, and a ring too many does no harm.
	 */
	if (on)
		queue_fence();
}

void
vuc_queue_back_close(struct vuc_queue_back *b, int error)
{
	assert(error < 0 && error >= -QUEUE_ERRNO_MAX);
	back_publish_staged(b);
	atomic_store_explicit(&b->header->taken, b->head, memory_order_release);
	/* Pairs with front_is_closed() in front.c: whoever sees it has seen every completion, too.
	 */
	atomic_store_explicit(&b->header->closed, error, memory_order_release);
	/* Without a look at `sleeps`, and so without a fence: once in the life of a queue. */
	wake_front(b);
}
