/* SPDX-License-Identifier: BSD-3-Clause */

/* From queues to devices and back: what a poller does for each request. */

#include <errno.h>
#include <string.h>

#include "eal.h"
#include "internal.h"
#include "source.h"
#include "trace.h"

/* What else there is comes from the front's core while a request is served. */
#define LOOK_AHEAD 2u

static struct access_counters *
stats_of(struct poller_queue *q)
{
	return q->counters;
}

/* What the front may do wrong ends its queue, and nothing else. */
static void
break_queue(struct poller_queue *q)
{
	q->broken = true;
	stats_add(&stats_of(q)->broken_queues, 1);
	if (q->remote != NULL)
		atomic_fetch_add_explicit(&q->remote->broken, 1, memory_order_relaxed);
	/* Last: who sees that it is closed sees it counted. */
	vuc_queue_back_close(&q->back, -EPROTO);
	/* Another process could fill the log; whoever serves it says what is to be said. */
	if (q->remote == NULL)
		poller_log(q->poller, VUC_LOG_WARNING, "%s: a queue was closed: invalid request %u",
			q->device->account->name, q->back.head);
}

/* A request was taken; status says whether the device has got it. */
static void
request_count(struct poller_queue *q, enum vuc_op op, uint32_t bytes, int status)
{
	struct access_counters *counters = stats_of(q);

	switch (op) {
	case VUC_OP_READ:
		stats_add(&counters->reads, 1);
		break;
	case VUC_OP_WRITE_POSTED:
		stats_add(&counters->posted, 1);
		break;
	default:
		stats_add(&counters->writes, 1);
		break;
	}
	if (status != 0)
		stats_add(&counters->errors, 1);
	else if (op != VUC_OP_READ)
		stats_add(&counters->written_bytes, bytes);
}

/* What the device does: whether it posts a write is not for the front to say. */
static enum vuc_op
op_of(const struct poller_queue *q, const struct queue_request_slot *slot)
{
	enum vuc_op op = VUC_OP_WRITE;

	switch ((enum vuc_queue_op)slot->op) {
	case VUC_QUEUE_READ:
		return VUC_OP_READ;
	case VUC_QUEUE_WRITE:
		return VUC_OP_WRITE;
	case VUC_QUEUE_WRITE_POSTED:
		op = VUC_OP_WRITE_POSTED;
		break;
	case VUC_QUEUE_WRITE_PCI:
		op = VUC_OP_WRITE_PCI;
		break;
	}
	return vuc_device_posts(q->device->dev, op, slot->region) ? VUC_OP_WRITE_POSTED
								  : VUC_OP_WRITE;
}

/* A write that the front wants to hear nothing of, and the device does not post. The queue may be
 * gone by now. */
static void
answered_nobody(void *arg, const struct vuc_session_reply *reply)
{
	struct poller_device *d = arg;

	if (reply->status != 0 && reply->status != -ECANCELED && poller_hold_keeps(d)) {
		stats_add(&d->account->counters.dropped_writes, 1);
		return;
	}
	if (reply->status != 0)
		stats_add(&d->account->counters.errors, 1);
	if (reply->status == -ETIMEDOUT)
		stats_add(&d->account->counters.timeouts, 1);
}

static bool
poller_times_requests(const struct vuc_poller *p)
{
	return atomic_load_explicit(&p->times, memory_order_relaxed);
}

/* What the device owes no answer. */
static void
request_answer(struct poller_queue *q, uint16_t id, int status)
{
	vuc_trace_complete(q->device->id, q->index, id, status);
	vuc_queue_back_complete(&q->back, id, status, 0);
}

/* A request of a device that is away. */
static void
keep_request(struct poller_queue *q, const struct vuc_queue_taken *taken)
{
	const struct queue_request_slot *slot = &taken->slot;
	int status;

	if (slot->op == VUC_QUEUE_READ) {
		request_count(q, VUC_OP_READ, slot->count, 0);
		poller_hold_read(&q->requests[slot->id]);
		return;
	}
	status = poller_hold_write(q, taken);
	request_count(q, slot->op == VUC_QUEUE_WRITE_POSTED ? VUC_OP_WRITE_POSTED : VUC_OP_WRITE, 0,
		status);
	if (slot->op != VUC_QUEUE_WRITE_POSTED)
		request_answer(q, slot->id, status);
}

/* A request that the device does not take. Returns as serve_request(). */
static __attribute__((noinline)) bool
refuse_request(
	struct poller_queue *q, const struct vuc_queue_taken *taken, enum vuc_op op, int status)
{
	const struct queue_request_slot *slot = &taken->slot;

	if (status == -EAGAIN)
		return false;
	vuc_queue_back_take(&q->back, taken);
	vuc_trace_submit(q->device->id, q->index, slot->id, slot->op, slot->region, slot->offset,
		slot->count);
	if (poller_hold_keeps(q->device)) {
		keep_request(q, taken);
		return true;
	}
	request_count(q, op, slot->count, status);
	if (slot->op != VUC_QUEUE_WRITE_POSTED)
		request_answer(q, slot->id, status);
	return true;
}

/* Returns false when there is no room for it now: it stays in its queue. */
static bool
serve_request(struct poller_queue *q, const struct vuc_queue_taken *taken)
{
	const struct queue_request_slot *slot = &taken->slot;
	enum vuc_op op = op_of(q, slot);
	struct vuc_session_access access = {
		.region = slot->region,
		.offset = slot->offset,
		.data = (void *)(uintptr_t)taken->payload,
		.count = slot->count,
		.done = poller_request_answered,
	};
	bool owed = slot->op != VUC_QUEUE_WRITE_POSTED;
	int rc;

	if (!owed) {
		access.done = answered_nobody;
		access.arg = q->device;
	} else if (op != VUC_OP_WRITE_POSTED) {
		struct poller_request *r = &q->requests[slot->id];

		r->region = slot->region;
		r->offset = slot->offset;
		r->position = q->back.head;
		r->begun = poller_times_requests(q->poller) ? vuc_eal_ticks() : 0;
		r->count = op == VUC_OP_READ ? slot->count : 0;
		if (op == VUC_OP_READ)
			access.data = vuc_queue_back_room(&q->back, slot->id, slot->count);
		access.arg = r;
	}
	rc = vuc_device_access_begin(q->device->dev, op, &access);
	if (rc != 0)
		return refuse_request(q, taken, op, rc);
	vuc_queue_back_take(&q->back, taken);
	request_count(q, op, slot->count, 0);
	vuc_trace_submit(q->device->id, q->index, slot->id, slot->op, slot->region, slot->offset,
		slot->count);
	if (owed && op == VUC_OP_WRITE_POSTED)
		request_answer(q, slot->id, 0);
	return true;
}

/* Returns how many requests were taken. */
static unsigned int
serve_queue(struct poller_queue *q, unsigned int max, bool *full)
{
	struct vuc_queue_taken taken;
	unsigned int n = 0;
	int rc = 0;

	while (n < max && (rc = vuc_queue_back_peek(&q->back, &taken)) > 0) {
		/* Not behind the first one: the front may be about to write what follows. */
		if (n > 0)
			vuc_queue_back_prefetch(&q->back, LOOK_AHEAD);
		if (!serve_request(q, &taken)) {
			stats_add(&stats_of(q)->retries, 1);
			*full = true;
			break;
		}
		n++;
	}
	if (rc < 0)
		break_queue(q);
	if (n > 0)
		stats_add_burst(stats_of(q), n);
	return n;
}

/* A queue that is being closed: what was submitted before is taken, and nothing more. */
static unsigned int
look_at_closing(struct poller_queue *q, unsigned int max, bool *full)
{
	unsigned int n = 0;

	if (!q->broken)
		n = serve_queue(q, max < q->last ? max : q->last, full);
	q->last -= n;
	poller_queue_drained(q);
	return n;
}

/* Returns how many requests were taken. */
static unsigned int
look_at_queue(struct poller_queue *q, unsigned int max, bool *full)
{
	unsigned int n;

	if (q->closing != NULL)
		return look_at_closing(q, max, full);
	n = q->broken ? 0 : serve_queue(q, max, full);
	if (q->draining)
		poller_queue_taken(q, n);
	if (n > 0)
		q->quiet = 0;
	else if (++q->quiet > QUIET_LOOKS)
		poller_leave_to_bell(q);
	return n;
}

static void
begin_with(struct poller_device *d, const struct poller_queue *q)
{
	struct poller_queue *first;

	while ((first = TAILQ_FIRST(&d->active)) != q) {
		TAILQ_REMOVE(&d->active, first, active_link);
		TAILQ_INSERT_TAIL(&d->active, first, active_link);
	}
}

/* While the device takes nothing new: the patience of those who close queues may end. */
static __attribute__((cold, noinline)) void
drain_closing(struct poller_device *d)
{
	struct poller_queue *q, *next;

	for (q = TAILQ_FIRST(&d->active); q != NULL; q = next) {
		next = TAILQ_NEXT(q, active_link);
		if (q->closing != NULL)
			poller_queue_drained(q);
	}
}

/*
 * All queues of a device share one burst, so that a process with many of them gets no more of the
 * poller than one with a single one. When it did not suffice, or the device has no room now,
 * those that were not looked at come first in the next loop.
 */
static void
serve_device(struct vuc_poller *p, struct poller_device *d)
{
	struct poller_queue *q = TAILQ_FIRST(&d->active);
	unsigned int left = BURST;
	bool full = false;

	if (poller_is_away(d) && !poller_hold_serve(d)) {
		drain_closing(d);
		return;
	}
	while (q != NULL && left > 0 && !full) {
		struct poller_queue *next = TAILQ_NEXT(q, active_link);

		left -= look_at_queue(q, left, &full);
		q = next;
	}
	p->taken += BURST - left;
	if (q != NULL)
		begin_with(d, q);
}

void
poller_begin(void *arg)
{
	struct vuc_poller *p = arg;
	struct poller_device *d, *next;

	if (p->nr_attendants > 0)
		poller_look_at_attendants(p);
	poller_hear_bells(p);
	for (d = TAILQ_FIRST(&p->active); d != NULL; d = next) {
		next = TAILQ_NEXT(d, active_link);
		serve_device(p, d);
	}
}

void
poller_end(void *arg)
{
	struct vuc_poller *p = arg;
	struct poller_device *d;
	struct poller_queue *q;

	TAILQ_FOREACH (d, &p->active, active_link) {
		TAILQ_FOREACH (q, &d->active, active_link)
			vuc_queue_back_flush(&q->back);
	}
	if (p->nr_attendants > 0)
		poller_give_results(p);
}
