/* SPDX-License-Identifier: BSD-3-Clause */

/* From queues to devices and back: what a poller does for each request. */

#include <errno.h>
#include <string.h>

#include "internal.h"
#include "source.h"
#include "trace.h"

static struct access_counters *
stats_of(struct poller_queue *q)
{
	return &q->device->counters;
}

static void
answered(void *arg, const struct vuc_session_reply *reply)
{
	struct poller_request *r = arg;
	struct poller_queue *q = r->queue;

	q->poller->answered++;
	if (reply->status == 0) {
		stats_add(&stats_of(q)->read_bytes, r->count);
	} else {
		stats_add(&stats_of(q)->errors, 1);
		if (reply->status == -ETIMEDOUT)
			stats_add(&stats_of(q)->timeouts, 1);
	}
	if (r->begun != 0)
		histogram_add(&q->device->latency, rte_rdtsc() - r->begun);
	vuc_trace_complete(q->device->id, q->index, r->id, reply->status);
	vuc_queue_back_complete(&q->back, r->id, reply->status, reply->status == 0 ? r->count : 0);
}

/* What the front may do wrong ends its queue, and nothing else. */
static void
break_queue(struct poller_queue *q)
{
	q->broken = true;
	vuc_queue_back_close(&q->back, -EPROTO);
	stats_add(&stats_of(q)->broken_queues, 1);
	poller_log(q->poller, VUC_LOG_WARNING,
		"%s: a queue was closed: request %u is none that a queue may carry",
		q->device->name, q->back.head);
}

/* A request was taken; status says whether the device has got it. */
static void
count(struct poller_queue *q, const struct vuc_device_access *access, int status)
{
	struct access_counters *counters = stats_of(q);

	switch (access->op) {
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
	else if (access->op != VUC_OP_READ)
		stats_add(&counters->written_bytes, access->count);
}

static enum vuc_op
op_of(const struct queue_request_slot *slot)
{
	switch ((enum vuc_queue_op)slot->op) {
	case VUC_QUEUE_READ:
		return VUC_OP_READ;
	case VUC_QUEUE_WRITE_POSTED:
		return VUC_OP_WRITE_POSTED;
	case VUC_QUEUE_WRITE:
		break;
	}
	return VUC_OP_WRITE;
}

static bool
times(const struct vuc_poller *p)
{
	return atomic_load_explicit(&p->times, memory_order_relaxed);
}

static void
refuse(struct poller_queue *q, uint16_t id, int status)
{
	vuc_trace_complete(q->device->id, q->index, id, status);
	vuc_queue_back_complete(&q->back, id, status, 0);
}

/* Returns false when there is no room for it now: it stays in its queue. */
static bool
serve_request(struct poller_queue *q, const struct vuc_queue_taken *taken)
{
	const struct queue_request_slot *slot = &taken->slot;
	struct vuc_device_access access = {
		.op = op_of(slot),
		.region = slot->region,
		.offset = slot->offset,
		.data = (void *)(uintptr_t)taken->payload,
		.count = slot->count,
		.done = answered,
	};
	int rc;

	if (access.op != VUC_OP_WRITE_POSTED) {
		struct poller_request *r = &q->requests[slot->id];

		r->count = 0;
		r->begun = times(q->poller) ? rte_rdtsc() : 0;
		if (access.op == VUC_OP_READ) {
			access.data = vuc_queue_back_room(&q->back, slot->id, slot->count);
			r->count = slot->count;
		}
		access.arg = r;
	}
	rc = vuc_device_access_begin(q->device->dev, &access);
	if (rc == -EAGAIN)
		return false;
	vuc_queue_back_take(&q->back, taken);
	count(q, &access, rc);
	vuc_trace_submit(q->device->id, q->index, slot->id, slot->op, slot->region, slot->offset,
		slot->count);
	if (rc == 0)
		return true;
	if (access.op != VUC_OP_WRITE_POSTED)
		refuse(q, slot->id, rc);
	return true;
}

/* Returns how many requests were taken. */
static unsigned int
serve_queue(struct poller_queue *q)
{
	struct vuc_queue_taken taken;
	unsigned int n = 0;
	int rc = 0;

	while (n < BURST && (rc = vuc_queue_back_peek(&q->back, &taken)) > 0) {
		if (!serve_request(q, &taken)) {
			stats_add(&stats_of(q)->retries, 1);
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

void
poller_activate(struct poller_queue *q)
{
	struct vuc_poller *p = q->poller;

	q->quiet = 0;
	if (q->active)
		return;
	q->active = true;
	vuc_queue_back_set_bell(&q->back, false);
	p->active[p->nr_active++] = q;
}

void
poller_deactivate(struct poller_queue *q)
{
	struct vuc_poller *p = q->poller;

	if (!q->active)
		return;
	q->active = false;
	for (unsigned int i = 0; i < p->nr_active; i++) {
		if (p->active[i] == q) {
			p->active[i] = p->active[--p->nr_active];
			return;
		}
	}
}

/* Leave a quiet queue to its bell, unless something has come just now. */
static void
leave_to_bell(struct poller_queue *q)
{
	q->quiet = 0;
	if (q->back.outstanding > 0)
		return;
	vuc_queue_back_set_bell(&q->back, true);
	if (q->broken || vuc_queue_back_is_empty(&q->back))
		poller_deactivate(q);
	else
		vuc_queue_back_set_bell(&q->back, false);
}

static void
activate_word(struct vuc_poller *p, unsigned int word, uint64_t bits)
{
	for (; bits != 0; bits &= bits - 1) {
		unsigned int index = word * BELL_BITS + (unsigned int)__builtin_ctzll(bits);

		if (p->queues[index] != NULL && !p->queues[index]->broken)
			poller_activate(p->queues[index]);
	}
}

static void
hear_bells(struct vuc_poller *p)
{
	for (unsigned int i = 0; i < p->nr_words; i++) {
		if (atomic_load_explicit(&p->bells[i], memory_order_relaxed) != 0)
			/* Pairs with ring() in front.c. */
			activate_word(p, i,
				atomic_exchange_explicit(&p->bells[i], 0, memory_order_seq_cst));
	}
}

bool
poller_hears_bell(const struct vuc_poller *p)
{
	for (unsigned int i = 0; i < p->nr_words; i++) {
		if (atomic_load_explicit(&p->bells[i], memory_order_seq_cst) != 0)
			return true;
	}
	return false;
}

void
poller_begin(void *arg)
{
	struct vuc_poller *p = arg;

	hear_bells(p);
	/* The last one of the list takes the place of one that leaves, and is looked at there. */
	for (unsigned int i = 0; i < p->nr_active;) {
		struct poller_queue *q = p->active[i];
		unsigned int n = q->broken ? 0 : serve_queue(q);

		p->taken += n;
		if (n > 0)
			q->quiet = 0;
		else if (++q->quiet > QUIET_LOOKS)
			leave_to_bell(q);
		if (q->active)
			i++;
	}
}

void
poller_end(void *arg)
{
	struct vuc_poller *p = arg;

	for (unsigned int i = 0; i < p->nr_active; i++)
		vuc_queue_back_flush(&p->active[i]->back);
}
