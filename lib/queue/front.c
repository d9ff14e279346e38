/* SPDX-License-Identifier: BSD-3-Clause */
#include "front.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <vuc/export.h>

#include "futex.h"

/* Some times what a register access takes: a thread that sleeps wakes up late. */
#define DEFAULT_SPINS 2000u

/* A request without a result so far. */
struct pending {
	void *arg;
	void *data; /* of a read */
	uint32_t count;
	uint32_t position;
	bool busy;
};

struct vuc_queue {
	struct queue_ring ring;
	struct vuc_queue_geometry geometry;
	struct queue_front_header *header;
	const struct queue_back_header *back;
	uint8_t *request_slots;
	uint8_t *request_chunks;
	const uint8_t *answer_slots;
	const uint8_t *answer_chunks;
	uint32_t tail;  /* of requests: the position that comes next */
	uint32_t head;  /* of completions */
	uint32_t taken; /* requests that the back is known to have copied, counted */
	unsigned int nr_free;
	unsigned int spins;
	int error; /* the back broke the rules */
	struct vuc_queue_bell bell;
	struct pending *pending; /* by id */
	uint16_t *free_ids;
};

struct vuc_queue *
vuc_queue_create(const struct vuc_queue_front_opts *opts)
{
	struct vuc_queue *q = calloc(1, sizeof(*q));
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
	q->spins = DEFAULT_SPINS;
	q->pending = calloc(depth, sizeof(*q->pending));
	q->free_ids = calloc(depth, sizeof(*q->free_ids));
	if (q->pending == NULL || q->free_ids == NULL) {
		vuc_queue_destroy(q);
		return NULL;
	}
	for (uint32_t i = 0; i < depth; i++)
		q->free_ids[i] = (uint16_t)(depth - 1 - i);
	q->nr_free = depth;
	return q;
}

void
vuc_queue_destroy(struct vuc_queue *q)
{
	if (q == NULL)
		return;
	free(q->pending);
	free(q->free_ids);
	free(q);
}

static int
closed(const struct vuc_queue *q)
{
	if (q->error != 0)
		return q->error;
	/* Pairs with vuc_queue_back_close(). */
	return atomic_load_explicit(&q->back->closed, memory_order_acquire);
}

/* Whether the slot of the next position is free: what it held a lap ago was copied. */
static bool
has_credit(struct vuc_queue *q)
{
	if (q->tail - q->taken < q->geometry.depth)
		return true;
	/* Pairs with vuc_queue_back_flush(). A count that cannot be is no credit. */
	uint32_t taken = atomic_load_explicit(&q->back->taken, memory_order_acquire);

	if (q->tail - taken >= q->geometry.depth)
		return false;
	q->taken = taken;
	return true;
}

static bool
is_valid(const struct vuc_queue *q, const struct vuc_queue_request *r)
{
	return r->op >= VUC_QUEUE_READ && r->op <= VUC_QUEUE_WRITE_POSTED &&
		r->region <= UINT16_MAX && r->count > 0 && r->count <= q->geometry.chunk;
}

static uint16_t
take_id(struct vuc_queue *q, const struct vuc_queue_request *r)
{
	uint16_t id = q->free_ids[--q->nr_free];

	q->pending[id] = (struct pending){
		.arg = r->arg,
		.data = r->op == VUC_QUEUE_READ ? r->data : NULL,
		.count = r->count,
		.position = q->tail,
		.busy = true,
	};
	return id;
}

static void
write_slot(struct vuc_queue *q, const struct vuc_queue_request *r, uint16_t id)
{
	size_t i = q->tail & q->ring.mask;
	struct queue_request_slot *slot =
		(struct queue_request_slot *)(q->request_slots + i * QUEUE_SLOT_SIZE);

	slot->offset = r->offset;
	slot->count = r->count;
	slot->op = (uint16_t)r->op;
	slot->region = (uint16_t)r->region;
	slot->id = id;
	if (r->op != VUC_QUEUE_READ) {
		if (r->count <= QUEUE_REQUEST_MAX)
			memcpy(slot->data, r->data, r->count);
		else
			memcpy(q->request_chunks + i * q->geometry.chunk, r->data, r->count);
	}
	/* Pairs with vuc_queue_back_is_empty(). */
	atomic_store_explicit(&slot->tag, queue_tag(q->ring, q->tail), memory_order_release);
	q->tail++;
}

/* Let the back know, if it wants to be told. */
static void
ring(struct vuc_queue *q)
{
	const struct vuc_queue_bell *bell = &q->bell;

	if (bell->word == NULL)
		return;
	/* Either the back sees the tags written before, or the bell is seen here:
	 * vuc_queue_back_set_bell() has the other half. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&q->back->bell, memory_order_relaxed) == 0)
		return;
	/* Pairs with the poller's exchange of the word, which comes before it looks at the queue.
	 */
	atomic_fetch_or_explicit(bell->word, bell->bit, memory_order_seq_cst);
	if (atomic_load_explicit(bell->sleeps, memory_order_seq_cst) != 0) {
		const uint64_t one = 1;
		ssize_t n = write(bell->kick_fd, &one, sizeof(one));

		/* It fails only when it is readable already, which is all that is wanted. */
		(void)n;
	}
}

VUC_EXPORT int
vuc_queue_submit(struct vuc_queue *q, const struct vuc_queue_request *requests, unsigned int nr)
{
	int error = closed(q);
	unsigned int n = 0;

	if (error != 0)
		return error;
	for (; n < nr; n++) {
		const struct vuc_queue_request *r = &requests[n];
		bool posted = r->op == VUC_QUEUE_WRITE_POSTED;

		if (!is_valid(q, r)) {
			error = -EINVAL;
			break;
		}
		if ((!posted && q->nr_free == 0) || !has_credit(q))
			break;
		write_slot(q, r, posted ? 0 : take_id(q, r));
	}
	if (n > 0)
		ring(q);
	return n > 0 ? (int)n : error;
}

static const struct queue_completion_slot *
answer_at(const struct vuc_queue *q, uint32_t position)
{
	return (const struct queue_completion_slot *)(q->answer_slots +
		(size_t)(position & q->ring.mask) * QUEUE_SLOT_SIZE);
}

static bool
has_result(const struct vuc_queue *q)
{
	/* Pairs with vuc_queue_back_complete(). */
	return atomic_load_explicit(&answer_at(q, q->head)->tag, memory_order_acquire) ==
		queue_tag(q->ring, q->head);
}

static void
copy_answer(const struct vuc_queue *q, const struct queue_completion_slot *slot,
	const struct pending *p)
{
	size_t id = (size_t)(p - q->pending);

	if (p->count <= QUEUE_ANSWER_MAX)
		memcpy(p->data, slot->data, p->count);
	else
		memcpy(p->data, q->answer_chunks + id * q->geometry.chunk, p->count);
}

/* Returns false when the back answers what was not asked. */
static bool
take_result(struct vuc_queue *q, struct vuc_queue_result *result)
{
	const struct queue_completion_slot *slot = answer_at(q, q->head);
	uint16_t id = slot->id;
	int status = slot->status;
	struct pending *p;

	if (id >= q->geometry.depth || !q->pending[id].busy) {
		q->error = -EPROTO;
		return false;
	}
	p = &q->pending[id];
	if (status == 0 && p->data != NULL)
		copy_answer(q, slot, p);
	/* What was submitted up to there has been copied, and needs no look at the back's count. */
	if ((int32_t)(p->position + 1 - q->taken) > 0)
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

	while (n < max && has_result(q) && take_result(q, &results[n]))
		n++;
	return n;
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Why there is no sense in waiting for a result any more, or 0. */
static int
hopeless(const struct vuc_queue *q)
{
	int error = closed(q);

	return error != 0 && !has_result(q) ? error : 0;
}

static int
sleep_until(struct vuc_queue *q, int64_t deadline_ms)
{
	int rc = 0;

	atomic_store_explicit(&q->header->sleeps, 1, memory_order_relaxed);
	while (rc == 0) {
		uint32_t wakes = atomic_load_explicit(&q->back->wakes, memory_order_relaxed);
		int64_t left = deadline_ms < 0 ? -1 : deadline_ms - now_ms();

		/* The other half of the fence of vuc_queue_back_flush(). */
		atomic_thread_fence(memory_order_seq_cst);
		if (has_result(q))
			break;
		rc = hopeless(q);
		if (rc == 0 && deadline_ms >= 0 && left <= 0)
			rc = -ETIMEDOUT;
		if (rc == 0)
			queue_futex_wait(&q->back->wakes, wakes, (int)left);
	}
	atomic_store_explicit(&q->header->sleeps, 0, memory_order_relaxed);
	return rc;
}

VUC_EXPORT int
vuc_queue_wait(struct vuc_queue *q, int timeout_ms)
{
	for (unsigned int i = 0; i < q->spins; i++) {
		if (has_result(q))
			return 0;
		queue_pause();
	}
	if (has_result(q))
		return 0;
	if (vuc_queue_outstanding(q) == 0)
		return -ENOENT;
	return sleep_until(q, timeout_ms < 0 ? -1 : now_ms() + timeout_ms);
}

/* Submit when there is room. Posted writes before it may take all of it for a while. */
static int
submit_one(struct vuc_queue *q, const struct vuc_queue_request *r)
{
	int rc;

	for (unsigned int i = 0; (rc = vuc_queue_submit(q, r, 1)) == 0; i++) {
		queue_pause();
		if (i >= q->spins)
			sched_yield();
	}
	return rc < 0 ? rc : 0;
}

static int
perform(struct vuc_queue *q, const struct vuc_queue_request *r)
{
	struct vuc_queue_result result;
	int rc;

	if (vuc_queue_outstanding(q) > 0)
		return -EBUSY;
	rc = submit_one(q, r);
	if (rc == 0)
		rc = vuc_queue_wait(q, -1);
	if (rc != 0)
		return rc;
	return vuc_queue_poll(q, &result, 1) == 1 ? result.status : q->error;
}

VUC_EXPORT int
vuc_queue_read(struct vuc_queue *q, uint32_t region, uint64_t offset, void *data, uint32_t count)
{
	const struct vuc_queue_request r = {
		.op = VUC_QUEUE_READ,
		.region = region,
		.offset = offset,
		.count = count,
		.data = data,
	};

	return perform(q, &r);
}

VUC_EXPORT int
vuc_queue_write(
	struct vuc_queue *q, uint32_t region, uint64_t offset, const void *data, uint32_t count)
{
	const struct vuc_queue_request r = {
		.op = VUC_QUEUE_WRITE,
		.region = region,
		.offset = offset,
		.count = count,
		.data = (void *)(uintptr_t)data,
	};

	return perform(q, &r);
}

VUC_EXPORT int
vuc_queue_post(
	struct vuc_queue *q, uint32_t region, uint64_t offset, const void *data, uint32_t count)
{
	const struct vuc_queue_request r = {
		.op = VUC_QUEUE_WRITE_POSTED,
		.region = region,
		.offset = offset,
		.count = count,
		.data = (void *)(uintptr_t)data,
	};

	return submit_one(q, &r);
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
