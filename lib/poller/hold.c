/* SPDX-License-Identifier: BSD-3-Clause */

/* Answers to requests; and while the device is away, what is done instead. */

#include "hold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include "clock.h"
#include "eal.h"
#include "internal.h"
#include "record.h"
#include "registry.h"
#include "source.h"
#include "trace.h"

/* Registers of a device whose last values are known, at most. */
#define LAST_READS 256u

struct last_read {
	uint64_t offset;
	uint16_t region;
	uint8_t count; /* 0: there is none */
	uint8_t data[sizeof(uint64_t)];
};

struct poller_hold {
	struct poller_hold_opts opts;
	uint64_t end_ms; /* until then reads are kept; 0: there is no outage */
	uint64_t due_ms; /* when the first parked read or the hold ends; UINT64_MAX: never */
	bool over;       /* it has passed */
};

/* ---- answers ---- */

static inline __attribute__((always_inline)) void
request_end(struct poller_request *r, int status)
{
	struct poller_queue *q = r->queue;

	q->poller->answered++;
	if (status == 0) {
		stats_add(&q->counters->read_bytes, r->count);
	} else {
		stats_add(&q->counters->errors, 1);
		if (status == -ETIMEDOUT)
			stats_add(&q->counters->timeouts, 1);
	}
	if (r->begun != 0)
		histogram_add(&q->device->account->latency, vuc_eal_ticks() - r->begun);
	vuc_trace_complete(q->device->id, q->index, r->id, status);
	vuc_queue_back_complete(&q->back, r->id, status, status == 0 ? r->count : 0);
}

static __attribute__((cold, noinline)) void
request_answer_now(struct poller_request *r, int status)
{
	request_end(r, status);
}

/* ---- what was read last ---- */

static struct last_read *
find_last(const struct poller_request *r)
{
	uint64_t key = (r->offset ^ ((uint64_t)r->region << 32)) * UINT64_C(0x9e3779b97f4a7c15);

	return &r->queue->device->last[(key >> 32) % LAST_READS];
}

static void
hold_note_read(struct poller_request *r)
{
	struct last_read *last;

	if (r->count == 0 || r->count > sizeof(last->data))
		return;
	last = find_last(r);
	last->offset = r->offset;
	last->region = r->region;
	last->count = (uint8_t)r->count;
	memcpy(last->data, vuc_queue_back_room(&r->queue->back, r->id, r->count), r->count);
}

static int
read_last(const struct poller_device *d, const struct poller_request *r, void *data)
{
	const struct last_read *last;

	if (r->region == VFIO_PCI_CONFIG_REGION_INDEX)
		return vuc_device_record_read_config(d->dev, r->offset, data, r->count);
	last = find_last(r);
	if (last->count != r->count || last->offset != r->offset || last->region != r->region)
		return -ENODATA;
	memcpy(data, last->data, r->count);
	return 0;
}

/* ---- accesses of a device that is away ---- */

static enum poller_after
after_of(const struct poller_hold *hold, uint16_t region)
{
	return region == VFIO_PCI_CONFIG_REGION_INDEX ? hold->opts.after_config
						      : hold->opts.after_rest;
}

static void
set_away(struct poller_device *d, bool away)
{
	atomic_store_explicit(&d->away, away, memory_order_relaxed);
}

static void
hold_begin(struct poller_device *d)
{
	struct poller_hold *hold = d->hold;

	set_away(d, true);
	if (hold->end_ms != 0)
		return;
	hold->end_ms = vuc_clock_coarse_ms() + hold->opts.hold_ms;
	hold->due_ms = hold->end_ms;
	hold->over = hold->opts.hold_ms == 0;
}

bool
poller_hold_keeps(struct poller_device *d)
{
	if (d->hold == NULL || vuc_device_connected(d->dev))
		return false;
	hold_begin(d);
	return true;
}

/* The outage has lasted too long for this one. */
static void
answer_instead(struct poller_device *d, struct poller_request *r)
{
	void *data = vuc_queue_back_room(&r->queue->back, r->id, r->count);
	int status = -ENOTCONN;

	switch (after_of(d->hold, r->region)) {
	case POLLER_AFTER_LAST:
		if (read_last(d, r, data) == 0)
			status = 0;
		break;
	case POLLER_AFTER_ONES:
		memset(data, 0xff, r->count);
		status = 0;
		break;
	case POLLER_AFTER_HOLD:
	case POLLER_AFTER_ERROR:
		break;
	}
	request_answer_now(r, status);
}

static bool
read_is_before(const struct poller_request *a, const struct poller_request *b)
{
	return (int32_t)(a->position - b->position) < 0;
}

static void
park_read(struct poller_request *r)
{
	struct poller_queue *q = r->queue;
	const struct poller_request *last = TAILQ_LAST(&q->parked, poller_request_list);

	q->shuffled = q->shuffled || (last != NULL && read_is_before(r, last));
	TAILQ_INSERT_TAIL(&q->parked, r, parked_link);
	stats_add(&q->counters->held_reads, 1);
}

/* Merge another list into this one, in order. */
static void
merge_reads(struct poller_request_list *into, struct poller_request_list *from)
{
	struct poller_request *at = TAILQ_FIRST(into), *r;

	while ((r = TAILQ_FIRST(from)) != NULL) {
		while (at != NULL && read_is_before(at, r))
			at = TAILQ_NEXT(at, parked_link);
		if (at == NULL)
			break;
		TAILQ_REMOVE(from, r, parked_link);
		TAILQ_INSERT_BEFORE(at, r, parked_link);
	}
	TAILQ_CONCAT(into, from, parked_link);
}

/* Bottom-up merge sort: the server influences the order in which the loss has ended the reads, and
 * must not make sorting slow. */
static void
sort_parked(struct poller_queue *q)
{
	struct poller_request_list lists[32], *l = lists;
	struct poller_request *r;
	unsigned int n = 0;

	for (; (r = TAILQ_FIRST(&q->parked)) != NULL; l++) {
		TAILQ_REMOVE(&q->parked, r, parked_link);
		TAILQ_INIT(l);
		TAILQ_INSERT_TAIL(l, r, parked_link);
		n++;
		for (unsigned int bits = n; (bits & 1) == 0; bits >>= 1, l--)
			merge_reads(l - 1, l);
	}
	while (l > lists)
		merge_reads(&q->parked, --l);
	q->shuffled = false;
}

/* The first one that is parked; NULL: there is none. */
static struct poller_request *
first_parked(struct poller_queue *q)
{
	if (q->shuffled)
		sort_parked(q);
	return TAILQ_FIRST(&q->parked);
}

static bool
read_is_held(const struct poller_hold *hold, const struct poller_request *r)
{
	return after_of(hold, r->region) == POLLER_AFTER_HOLD ||
		(!hold->over && vuc_clock_coarse_ms() < r->end_ms);
}

static void
hold_read(struct poller_device *d, struct poller_request *r)
{
	struct poller_hold *hold = d->hold;

	if (!read_is_held(hold, r)) {
		answer_instead(d, r);
		return;
	}
	park_read(r);
	if (r->end_ms < hold->due_ms && after_of(hold, r->region) != POLLER_AFTER_HOLD)
		hold->due_ms = r->end_ms;
}

/* Until the end of this outage's hold, even if other outages follow. */
static void
hold_new_read(struct poller_device *d, struct poller_request *r)
{
	r->end_ms = d->hold->end_ms;
	hold_read(d, r);
}

/* Returns the status that a write gets. */
static int
drop_write(const struct poller_queue *q, uint16_t region)
{
	const struct poller_hold *hold = q->device->hold;

	if (hold->over && after_of(hold, region) == POLLER_AFTER_ERROR)
		return -ENOTCONN;
	stats_add(&q->counters->dropped_writes, 1);
	return 0;
}

/* Whether the outage has ended the request, and not an answer. Closing the queue or the device does
 * not wait for the return. */
static bool
is_lost(const struct poller_queue *q, int status)
{
	return status != 0 && status != -ECANCELED && q->closing == NULL &&
		poller_hold_keeps(q->device);
}

static __attribute__((cold, noinline)) void
request_failed(struct poller_request *r, int status)
{
	struct poller_queue *q = r->queue;

	if (!is_lost(q, status))
		request_end(r, status);
	else if (r->count > 0)
		hold_new_read(q->device, r);
	else
		request_answer_now(r, drop_write(q, r->region));
}

static __attribute__((noinline)) void
request_noted(struct poller_request *r)
{
	hold_note_read(r);
	request_end(r, 0);
}

void
poller_request_answered(void *arg, const struct vuc_session_reply *reply)
{
	struct poller_request *r = arg;

	if (reply->status != 0)
		request_failed(r, reply->status);
	else if (r->queue->device->last != NULL)
		request_noted(r);
	else
		request_end(r, 0);
}

int
poller_hold_write(struct poller_queue *q, const struct vuc_queue_taken *taken)
{
	const struct queue_request_slot *slot = &taken->slot;
	struct vuc_device *dev = q->device->dev;
	int rc =
		vuc_device_check_access(dev, VUC_OP_WRITE, slot->region, slot->offset, slot->count);

	if (rc != 0)
		return rc;
	vuc_device_record_dropped(dev, slot->region, slot->offset, taken->payload, slot->count);
	return drop_write(q, slot->region);
}

void
poller_hold_read(struct poller_request *r)
{
	struct poller_device *d = r->queue->device;
	int rc = vuc_device_check_access(d->dev, VUC_OP_READ, r->region, r->offset, r->count);

	if (rc == 0 && r->queue->closing != NULL)
		rc = -ECANCELED;
	if (rc == 0)
		hold_new_read(d, r);
	else
		request_answer_now(r, rc);
}

/* ---- the end of an outage, or of what it may last ---- */

static void
queue_expire(struct poller_queue *q)
{
	struct poller_request_list parked = TAILQ_HEAD_INITIALIZER(parked);
	struct poller_hold *hold = q->device->hold;
	struct poller_request *r;

	if (q->shuffled)
		sort_parked(q);
	TAILQ_CONCAT(&parked, &q->parked, parked_link);
	while ((r = TAILQ_FIRST(&parked)) != NULL) {
		TAILQ_REMOVE(&parked, r, parked_link);
		if (!read_is_held(hold, r)) {
			answer_instead(q->device, r);
			continue;
		}
		TAILQ_INSERT_TAIL(&q->parked, r, parked_link);
		if (r->end_ms < hold->due_ms && !hold->over)
			hold->due_ms = r->end_ms;
	}
}

static void
hold_expire(struct poller_device *d)
{
	struct poller_hold *hold = d->hold;
	struct poller_queue *q;

	hold->over = vuc_clock_coarse_ms() >= hold->end_ms;
	hold->due_ms = hold->over ? UINT64_MAX : hold->end_ms;
	TAILQ_FOREACH (q, &d->active, active_link)
		queue_expire(q);
}

static bool
has_parked(const struct poller_device *d)
{
	const struct poller_queue *q;

	/* A queue with an outstanding request is active. */
	TAILQ_FOREACH (q, &d->active, active_link) {
		if (!TAILQ_EMPTY(&q->parked))
			return true;
	}
	return false;
}

void
poller_hold_look(struct poller_device *d)
{
	if (d->hold == NULL || d->hold->end_ms == 0 || !vuc_device_connected(d->dev))
		return;
	d->hold->end_ms = 0;
	poller_device_returned(d);
	if (!has_parked(d))
		set_away(d, false);
}

/* A read that was sent again. */
static void
held_read_answered(void *arg, const struct vuc_session_reply *reply)
{
	struct poller_request *r = arg;

	if (is_lost(r->queue, reply->status))
		hold_read(r->queue->device, r);
	else
		poller_request_answered(arg, reply);
}

static int
read_send(struct poller_request *r)
{
	const struct vuc_session_access access = {
		.region = r->region,
		.offset = r->offset,
		.data = vuc_queue_back_room(&r->queue->back, r->id, r->count),
		.count = r->count,
		.done = held_read_answered,
		.arg = r,
	};

	return vuc_device_access_begin(r->queue->device->dev, VUC_OP_READ, &access);
}

/* Returns whether all were sent. */
static bool
send_parked(struct poller_device *d)
{
	unsigned int left = BURST;
	struct poller_queue *q;

	TAILQ_FOREACH (q, &d->active, active_link) {
		struct poller_request *r;

		while ((r = first_parked(q)) != NULL) {
			int rc = left-- > 0 ? read_send(r) : -EAGAIN;

			if (rc == -EAGAIN)
				return false;
			TAILQ_REMOVE(&q->parked, r, parked_link);
			d->poller->taken++;
			if (rc != 0)
				request_answer_now(r, rc);
		}
	}
	return true;
}

bool
poller_hold_serve(struct poller_device *d)
{
	if (poller_hold_keeps(d)) {
		if (vuc_clock_coarse_ms() >= d->hold->due_ms)
			hold_expire(d);
		return true;
	}
	poller_hold_look(d);
	if (!send_parked(d))
		return false;
	set_away(d, false);
	return true;
}

unsigned int
poller_hold_sleep_ms(const struct vuc_poller *p, unsigned int max)
{
	const struct poller_device *d;
	uint64_t now = vuc_clock_coarse_ms();

	TAILQ_FOREACH (d, &p->active, active_link) {
		uint64_t left;

		if (!poller_is_away(d) || !has_parked(d))
			continue;
		if (vuc_device_connected(d->dev))
			return 0;
		left = d->hold->due_ms > now ? d->hold->due_ms - now : 0;
		max = left < max ? (unsigned int)left : max;
	}
	return max;
}

void
poller_hold_end_queue(struct poller_queue *q, int status)
{
	struct poller_request *r;

	while ((r = first_parked(q)) != NULL) {
		TAILQ_REMOVE(&q->parked, r, parked_link);
		request_answer_now(r, status);
	}
}

/* ---- the policy ---- */

void
poller_hold_free(struct poller_device *d)
{
	if (d->hold == NULL)
		return;
	free(d->last);
	free(d->hold);
	d->last = NULL;
	d->hold = NULL;
}

static void
remove_hold(struct poller_device *d)
{
	struct poller_queue *q;

	TAILQ_FOREACH (q, &d->active, active_link)
		poller_hold_end_queue(q, -ENOTCONN);
	poller_hold_free(d);
	set_away(d, false);
}

static int
set_hold(struct poller_device *d, const struct poller_hold_opts *opts)
{
	struct last_read *last = NULL;

	if (opts->after_rest == POLLER_AFTER_LAST) {
		last = calloc(LAST_READS, sizeof(*last));
		if (last == NULL)
			return -ENOMEM;
	}
	if (d->hold == NULL)
		d->hold = calloc(1, sizeof(*d->hold));
	if (d->hold == NULL) {
		free(last);
		return -ENOMEM;
	}
	free(d->last);
	d->last = last;
	d->hold->opts = *opts;
	if (atomic_load_explicit(&d->open, memory_order_relaxed))
		poller_hold_keeps(d);
	return 0;
}

int
vuc_poller_set_hold(
	struct vuc_poller *p, struct vuc_device *dev, const struct poller_hold_opts *opts)
{
	struct poller_device *d = vuc_registry_find_device(p, dev);

	if (d == NULL)
		return -EINVAL;
	if (opts != NULL)
		return set_hold(d, opts);
	remove_hold(d);
	return 0;
}
