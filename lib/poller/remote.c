/* SPDX-License-Identifier: BSD-3-Clause */
#include "remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "error.h"
#include "internal.h"
#include "sync.h"
#include "registry.h"
#include "source.h"

#define ALL_QUEUES UINT64_MAX

_Static_assert(VUC_SHM_MAX_QUEUES == BELL_BITS, "a bit of the bell's word for each queue");
_Static_assert(sizeof(struct vuc_shm_bell) == sizeof(_Atomic uint64_t), "it is the word alone");

/* ---- remotes ---- */

struct adding {
	struct vuc_poller *poller;
	const struct vuc_poller_remote_opts *opts;
	struct vuc_poller_remote *remote;
	struct vuc_error *err;
};

/* Only the poller's thread looks at the array. */
static int
listen_to(struct vuc_poller_remote *r, _Atomic uint64_t *bell)
{
	struct vuc_poller *p = r->poller;
	struct remote_bell *remotes =
		realloc(p->remotes, ((size_t)p->nr_remotes + 1) * sizeof(*remotes));

	if (remotes == NULL)
		return -ENOMEM;
	p->remotes = remotes;
	remotes[p->nr_remotes++] = (struct remote_bell){.word = bell, .remote = r};
	return 0;
}

static void
listen_no_more(const struct vuc_poller_remote *r)
{
	struct vuc_poller *p = r->poller;
	unsigned int i = 0;

	while (p->remotes[i].remote != r)
		i++;
	p->remotes[i] = p->remotes[--p->nr_remotes];
}

/* A poller that never sleeps is not woken. */
static int
watch_kicks(const struct vuc_poller_remote *r, struct vuc_error *err)
{
	int rc = 0;

	if (r->poller->idle == VUC_IDLE_SLEEP)
		rc = poller_wake_add(r->poller, r->kick_fd);
	if (rc != 0)
		return vuc_error_set(err, rc, "descriptor %d cannot wake a poller: %s", r->kick_fd,
			strerror(-rc));
	return 0;
}

static int
add_remote(void *arg)
{
	struct adding *a = arg;
	struct vuc_poller_remote *r = a->remote;
	int rc;

	r->device = vuc_registry_find_device(a->poller, a->opts->dev);
	if (r->device == NULL)
		return vuc_error_set(a->err, -EINVAL, "the device does not belong to poller %s",
			a->poller->name);
	rc = watch_kicks(r, a->err);
	if (rc != 0)
		return rc;
	if (listen_to(r, a->opts->bell) != 0) {
		poller_wake_remove(a->poller, r->kick_fd);
		return vuc_error_set(a->err, -ENOMEM, "no memory for another process's bell");
	}
	vuc_registry_add_remote(r);
	return 0;
}

int
vuc_poller_add_remote(struct vuc_poller *p, const struct vuc_poller_remote_opts *opts,
	struct vuc_poller_remote **remote, struct vuc_error *err)
{
	struct adding a = {.poller = p, .opts = opts, .err = err};
	int rc;

	*remote = NULL;
	if (p->sleeps_fd < 0)
		return vuc_error_set(err, p->sleeps_fd,
			"the kernel has no memory that others can only read (F_SEAL_FUTURE_WRITE)");
	a.remote = queue_alloc_lines(sizeof(*a.remote));
	if (a.remote == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for another process's queues");
	a.remote->poller = p;
	a.remote->kick_fd = opts->kick_fd;
	rc = vuc_poller_call(p, add_remote, &a);
	if (rc != 0) {
		free(a.remote);
		return rc;
	}
	*remote = a.remote;
	return 0;
}

unsigned int
vuc_poller_remote_broken(const struct vuc_poller_remote *r)
{
	return atomic_load_explicit(&r->broken, memory_order_relaxed);
}

void
vuc_poller_remote_counters(const struct vuc_poller_remote *r, struct vuc_access_stats *counters)
{
	*counters = (struct vuc_access_stats){0};
	vuc_stats_sum(counters, &r->counters);
}

/* ---- opening a queue ---- */

struct opening {
	struct vuc_poller_remote *remote;
	const struct vuc_queue_back_opts *memory;
	unsigned int index;
	struct vuc_error *err;
};

static int
check_geometry(const struct opening *o)
{
	const struct vuc_queue_geometry *g = &o->memory->geometry;
	uint32_t max = poller_max_chunk(o->remote->device->dev);

	if (!vuc_queue_geometry_valid(g))
		return vuc_error_set(o->err, -EINVAL,
			"invalid queue: depth %u, %u bytes per request", g->depth, g->chunk);
	if (g->chunk > max)
		return vuc_error_set(o->err, -EINVAL,
			"requests of %u bytes exceed the %u bytes of a message to the device",
			g->chunk, max);
	return 0;
}

static struct poller_queue *
alloc_queue(const struct opening *o)
{
	struct poller_queue *q = queue_alloc_lines(sizeof(*q));

	if (q == NULL)
		return NULL;
	q->poller = o->remote->poller;
	q->remote = o->remote;
	q->counters = &o->remote->counters;
	q->index = o->index;
	if (poller_alloc_back(q, o->memory) == 0)
		return q;
	poller_free_queue(q);
	return NULL;
}

static int
open_queue(void *arg)
{
	struct opening *o = arg;
	struct vuc_poller_remote *r = o->remote;
	struct poller_queue *q;
	int rc = check_geometry(o);

	if (rc != 0)
		return rc;
	while (o->index < VUC_SHM_MAX_QUEUES && r->queues[o->index] != NULL)
		o->index++;
	if (o->index == VUC_SHM_MAX_QUEUES)
		return vuc_error_set(
			o->err, -ENOSPC, "there are %u queues already", VUC_SHM_MAX_QUEUES);
	q = alloc_queue(o);
	if (q == NULL)
		return vuc_error_set(o->err, -ENOMEM, "no memory for a queue");
	r->queues[o->index] = q;
	poller_attach_queue(q, r->device);
	return 0;
}

int
vuc_poller_remote_open_queue(struct vuc_poller_remote *r, const struct vuc_queue_back_opts *memory,
	unsigned int *index, struct vuc_error *err)
{
	struct opening o = {.remote = r, .memory = memory, .err = err};
	int rc = vuc_poller_call(r->poller, open_queue, &o);

	if (rc == 0)
		*index = o.index;
	return rc;
}

/* ---- closing queues ---- */

/* The caller waits outside of the poller, which serves all others meanwhile. */
struct remote_closing {
	struct queue_closing closing;
	struct vuc_poller_remote *remote;
	uint64_t which; /* queues, by the bits of their indexes */
};

/* Returns how many queues there are to be closed. */
static int
begin_closing(void *arg)
{
	struct remote_closing *c = arg;
	int nr = 0;

	c->closing.deadline_ms = vuc_clock_ms() + vuc_device_timeout_ms(c->remote->device->dev);
	for (uint64_t bits = c->which; bits != 0; bits &= bits - 1) {
		struct poller_queue *q = c->remote->queues[__builtin_ctzll(bits)];

		if (q == NULL)
			continue;
		nr++;
		poller_begin_closing(q, &c->closing);
	}
	return nr;
}

static int
close_queues(struct vuc_poller_remote *r, uint64_t which)
{
	struct remote_closing c = {.closing.poller = r->poller, .remote = r, .which = which};
	int nr = vuc_poller_call(r->poller, begin_closing, &c);

	poller_await_closing(&c.closing);
	return nr;
}

int
vuc_poller_remote_close_queue(struct vuc_poller_remote *r, unsigned int index)
{
	if (index >= VUC_SHM_MAX_QUEUES)
		return -ENOENT;
	return close_queues(r, UINT64_C(1) << index) > 0 ? 0 : -ENOENT;
}

static int
remove_remote(void *arg)
{
	struct vuc_poller_remote *r = arg;

	if (r->poller->idle == VUC_IDLE_SLEEP)
		poller_wake_remove(r->poller, r->kick_fd);
	listen_no_more(r);
	vuc_registry_remove_remote(r);
	return 0;
}

void
vuc_poller_remove_remote(struct vuc_poller_remote *r)
{
	if (r == NULL)
		return;
	close_queues(r, ALL_QUEUES);
	vuc_poller_call(r->poller, remove_remote, r);
	free(r);
}
