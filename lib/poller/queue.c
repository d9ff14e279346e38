/* SPDX-License-Identifier: BSD-3-Clause */

/* Opening and closing the queues of a poller. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <vuc/export.h>

#include "clock.h"
#include "error.h"
#include "internal.h"
#include "layout.h"
#include "registry.h"
#include "source.h"
#include "sync.h"

enum area {
	REQUESTS,
	COMPLETIONS,
};

struct opening {
	struct vuc_poller *poller;
	struct vuc_device *dev;
	struct vuc_queue_geometry geometry;
	struct vuc_queue *front;
	struct vuc_error *err;
};

void
poller_free_queue(struct poller_queue *q)
{
	vuc_queue_destroy(q->front);
	vuc_queue_back_fini(&q->back);
	for (unsigned int i = REQUESTS; i <= COMPLETIONS; i++) {
		if (q->memory[i] != NULL)
			munmap(q->memory[i], q->size[i]);
	}
	free(q->requests);
	free(q);
}

/* The poller's thread touches the pages first, so they come from its node. */
static int
map_area(struct poller_queue *q, enum area i, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	q->memory[i] = memory;
	q->size[i] = size;
	return 0;
}

int
poller_alloc_back(struct poller_queue *q, const struct vuc_queue_back_opts *memory)
{
	uint32_t depth = memory->geometry.depth;
	int rc = vuc_queue_back_init(&q->back, memory);

	TAILQ_INIT(&q->parked);
	q->requests = queue_alloc_lines(depth * sizeof(*q->requests));
	if (rc != 0 || q->requests == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < depth; i++) {
		q->requests[i].queue = q;
		q->requests[i].id = (uint16_t)i;
	}
	return 0;
}

static int
alloc_ends(struct poller_queue *q, const struct vuc_queue_geometry *g)
{
	struct vuc_poller *p = q->poller;
	const struct vuc_queue_back_opts back = {
		.geometry = *g,
		.requests = q->memory[REQUESTS],
		.completions = q->memory[COMPLETIONS],
	};
	const struct vuc_queue_front_opts front = {
		.geometry = *g,
		.requests = q->memory[REQUESTS],
		.completions = q->memory[COMPLETIONS],
		.bell =
			{
				.word = &p->bells[q->index / BELL_BITS],
				.bit = UINT64_C(1) << (q->index % BELL_BITS),
				.sleeps = p->sleeps,
				.kick_fd = p->kick_fd,
			},
	};

	q->front = vuc_queue_create(&front);
	return q->front != NULL ? poller_alloc_back(q, &back) : -ENOMEM;
}

static int
find_index(const struct vuc_poller *p)
{
	for (unsigned int i = 0; i < MAX_QUEUES; i++) {
		if (p->queues[i] == NULL)
			return (int)i;
	}
	return -ENOSPC;
}

static int
alloc_queue(struct vuc_poller *p, int index, const struct vuc_queue_geometry *g,
	struct poller_queue **queue)
{
	struct poller_queue *q = queue_alloc_lines(sizeof(*q));
	int rc;

	if (q == NULL)
		return -ENOMEM;
	q->poller = p;
	q->index = (unsigned int)index;
	rc = map_area(q, REQUESTS, vuc_queue_requests_size(g));
	if (rc == 0)
		rc = map_area(q, COMPLETIONS, vuc_queue_completions_size(g));
	if (rc == 0)
		rc = alloc_ends(q, g);
	if (rc != 0) {
		poller_free_queue(q);
		return rc;
	}
	*queue = q;
	return 0;
}

uint32_t
poller_max_chunk(const struct vuc_device *dev)
{
	uint32_t max = vuc_device_access_max(dev) / QUEUE_SLOT_SIZE * QUEUE_SLOT_SIZE;

	return max > QUEUE_SLOT_SIZE ? max : QUEUE_SLOT_SIZE;
}

void
poller_attach_queue(struct poller_queue *q, struct poller_device *d)
{
	q->device = d;
	d->nr_queues++;
	q->poller->nr_queues++;
	poller_activate(q);
}

void
poller_detach_queue(struct poller_queue *q)
{
	poller_deactivate(q);
	q->poller->nr_queues--;
	q->device->nr_queues--;
}

static int
open_queue(void *arg)
{
	struct opening *o = arg;
	struct vuc_poller *p = o->poller;
	struct poller_device *d = vuc_registry_find_device(p, o->dev);
	struct poller_queue *q;
	int rc, index;

	if (d == NULL)
		return vuc_error_set(
			o->err, -EINVAL, "the device does not belong to poller %s", p->name);
	index = find_index(p);
	if (index < 0)
		return vuc_error_set(
			o->err, index, "poller %s has %u queues already", p->name, MAX_QUEUES);
	if (o->geometry.chunk > poller_max_chunk(o->dev))
		o->geometry.chunk = poller_max_chunk(o->dev);
	rc = alloc_queue(p, index, &o->geometry, &q);
	if (rc != 0)
		return vuc_error_set(o->err, rc, "no memory for a queue");
	q->counters = &d->account->counters;
	p->queues[index] = q;
	if (p->nr_words <= q->index / BELL_BITS)
		p->nr_words = q->index / BELL_BITS + 1;
	poller_attach_queue(q, d);
	o->front = q->front;
	return 0;
}

VUC_EXPORT int
vuc_poller_open_queue(struct vuc_poller *p, struct vuc_device *dev,
	const struct vuc_queue_opts *opts, struct vuc_queue **queue, struct vuc_error *err)
{
	struct opening o = {.poller = p, .dev = dev, .err = err};
	struct vuc_queue_opts known;
	int rc;

	*queue = NULL;
	rc = vuc_queue_read_opts(&known, opts, err);
	if (rc != 0)
		return rc;
	o.geometry.depth = known.depth;
	o.geometry.chunk = known.max_data;
	if (!vuc_queue_geometry_valid(&o.geometry))
		return vuc_error_set(err, -EINVAL,
			"queue of depth %u with %u bytes per request: the depth must be a power of two "
			"up to %u, the bytes a multiple of %u up to %u",
			known.depth, known.max_data, QUEUE_DEPTH_MAX, QUEUE_SLOT_SIZE,
			QUEUE_CHUNK_MAX);
	rc = vuc_poller_call(p, open_queue, &o);
	*queue = o.front;
	return rc;
}

/* ---- draining queues ---- */

static void
queue_end_drain(struct poller_queue *q)
{
	struct poller_device *d = q->device;

	q->draining = false;
	if (--d->nr_draining == 0)
		vuc_device_drained(d->dev);
}

/* One that is being closed is drained when it is gone. */
static void
queue_begin_drain(struct poller_queue *q)
{
	/* One whose reads are sent again has no more to take, but these go before. */
	if (q->broken || (vuc_queue_back_is_empty(&q->back) && TAILQ_EMPTY(&q->parked)))
		return;
	if (!q->draining)
		q->device->nr_draining++;
	q->draining = true;
	if (q->closing != NULL)
		return;
	/* There were not more before. */
	q->last = q->back.depth;
	poller_activate(q);
}

bool
poller_drain(void *arg, struct vuc_device *dev)
{
	struct vuc_poller *p = arg;
	struct poller_device *d = vuc_registry_find_device(p, dev);
	struct vuc_poller_remote *r;

	if (d == NULL)
		return false;
	for (unsigned int i = 0; i < p->nr_words * BELL_BITS; i++) {
		if (p->queues[i] != NULL && p->queues[i]->device == d)
			queue_begin_drain(p->queues[i]);
	}
	TAILQ_FOREACH (r, &d->remotes, link) {
		for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++) {
			if (r->queues[i] != NULL)
				queue_begin_drain(r->queues[i]);
		}
	}
	return d->nr_draining > 0;
}

void
poller_queue_taken(struct poller_queue *q, unsigned int n)
{
	q->last -= n < q->last ? n : q->last;
	if (q->last == 0 || q->broken || vuc_queue_back_is_empty(&q->back))
		queue_end_drain(q);
}

/* ---- closing queues ---- */

static void
close_now(struct poller_queue *q)
{
	struct poller_queue **place =
		q->remote != NULL ? &q->remote->queues[q->index] : &q->poller->queues[q->index];

	/* A front of another process that broke the rules is to know that, whenever it looks. */
	if (q->remote != NULL &&
		atomic_load_explicit(&q->back.header->closed, memory_order_relaxed) == 0)
		vuc_queue_back_close(&q->back, -ECONNRESET);
	if (q->draining)
		queue_end_drain(q);
	poller_detach_queue(q);
	*place = NULL;
	poller_free_queue(q);
}

static bool
has_nothing_left(const struct poller_queue *q)
{
	return q->back.outstanding == 0 && (q->broken || vuc_queue_back_is_empty(&q->back));
}

void
poller_begin_closing(struct poller_queue *q, struct queue_closing *c)
{
	poller_hold_end_queue(q, -ECANCELED);
	if (has_nothing_left(q)) {
		close_now(q);
		return;
	}
	/* Whatever a front submits from now on: there were not more before. */
	q->last = q->back.depth;
	q->closing = c;
	c->left++;
	poller_activate(q);
}

void
poller_queue_drained(struct poller_queue *q)
{
	struct queue_closing *c = q->closing;
	struct vuc_poller *p = q->poller;

	if (q->last == 0 || vuc_queue_back_is_empty(&q->back) || vuc_clock_ms() >= c->deadline_ms)
		q->broken = true;
	if (!q->broken || q->back.outstanding > 0)
		return;
	close_now(q);
	pthread_mutex_lock(&p->lock);
	c->left--;
	pthread_cond_broadcast(&p->returned);
	pthread_mutex_unlock(&p->lock);
}

void
poller_await_closing(struct queue_closing *c)
{
	pthread_mutex_lock(&c->poller->lock);
	while (c->left > 0)
		pthread_cond_wait(&c->poller->returned, &c->poller->lock);
	pthread_mutex_unlock(&c->poller->lock);
}

struct closing {
	struct queue_closing closing;
	struct vuc_queue *front;
};

static struct poller_queue *
find_queue(const struct vuc_poller *p, const struct vuc_queue *front)
{
	for (unsigned int i = 0; i < p->nr_words * BELL_BITS; i++) {
		if (p->queues[i] != NULL && p->queues[i]->front == front)
			return p->queues[i];
	}
	return NULL;
}

static int
close_queue(void *arg)
{
	struct closing *c = arg;
	struct poller_queue *q = find_queue(c->closing.poller, c->front);

	if (q == NULL)
		return -EINVAL;
	c->closing.deadline_ms = vuc_clock_ms() + vuc_device_timeout_ms(q->device->dev);
	poller_begin_closing(q, &c->closing);
	return 0;
}

VUC_EXPORT int
vuc_poller_close_queue(struct vuc_poller *p, struct vuc_queue *queue)
{
	struct closing c = {.closing.poller = p, .front = queue};
	int rc;

	if (queue == NULL)
		return 0;
	if (pthread_equal(pthread_self(), p->thread))
		return -EDEADLK;
	rc = vuc_poller_call(p, close_queue, &c);
	poller_await_closing(&c.closing);
	return rc;
}
