/* SPDX-License-Identifier: BSD-3-Clause */

/* The devices of a poller. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <vuc/export.h>

#include "clock.h"
#include "error.h"
#include "internal.h"
#include "sync.h"
#include "post.h"
#include "registry.h"
#include "source.h"
#include "text.h"
#include "trace.h"
#include "watch.h"

/* ---- what has become of a connection ---- */

/* That of a device which is being restored has gone to another one. */
static void
note_loss(struct vuc_poller *p, struct poller_device *d)
{
	poller_hold_keeps(d);
	if (poller_account_begin_outage(p, d->account))
		poller_log(p, VUC_LOG_WARNING, "%s: the connection has ended", d->account->name);
}

static void
watch_device_now(struct vuc_poller *p, struct poller_device *d)
{
	bool connected = vuc_device_connected(d->dev);
	uint64_t since_ms;
	uint64_t silent_ms = vuc_device_is_silent(d->dev, &since_ms) ? since_ms : 0;

	if (connected && silent_ms == atomic_load_explicit(&d->silent_ms, memory_order_relaxed))
		return;
	atomic_store_explicit(&d->silent_ms, silent_ms, memory_order_relaxed);
	atomic_store_explicit(&d->connected, connected, memory_order_relaxed);
	if (!connected)
		note_loss(p, d);
	if (d->watcher != NULL)
		d->watcher(d->watcher_arg, connected, silent_ms);
}

void
poller_watch_devices(void *arg)
{
	struct vuc_poller *p = arg;
	struct poller_device *d;

	TAILQ_FOREACH (d, &p->devices, link) {
		poller_hold_look(d);
		if (atomic_load_explicit(&d->connected, memory_order_relaxed))
			watch_device_now(p, d);
	}
}

static struct poller_account *
open_own_account(struct vuc_poller *p, const struct vuc_device_opts *opts)
{
	char name[32];

	if (opts->path != NULL)
		return vuc_poller_open_account(p, opts->path);
	snprintf(name, sizeof(name), opts->fd >= 0 ? "descriptor %d" : "loopback", opts->fd);
	return vuc_poller_open_account(p, name);
}

static void
free_device(struct vuc_poller *p, struct poller_device *d)
{
	poller_hold_free(d);
	if (!d->named)
		vuc_poller_close_account(p, d->account);
	free(d);
}

static struct poller_device *
alloc_device(
	struct vuc_poller *p, struct poller_account *account, const struct vuc_device_opts *opts)
{
	struct poller_device *d = queue_alloc_lines(sizeof(*d));

	if (d == NULL)
		return NULL;
	TAILQ_INIT(&d->active);
	TAILQ_INIT(&d->remotes);
	d->poller = p;
	d->named = account != NULL;
	d->account = d->named ? account : open_own_account(p, opts);
	d->id = vuc_registry_new_id();
	if (d->account != NULL)
		return d;
	free(d);
	return NULL;
}

/* A vuc_done_fn. */
static void
device_opened(void *arg, int status, const struct vuc_error *err)
{
	struct poller_device *d = arg;

	if (status == 0) {
		atomic_store_explicit(&d->connected, true, memory_order_relaxed);
		atomic_store_explicit(&d->open, true, memory_order_relaxed);
		poller_account_end_outage(d->poller, d->account);
		vuc_trace_open(d->id, d->account->name);
	}
	d->opened(d->opened_arg, status, err);
}

int
vuc_poller_open_start(struct vuc_poller *p, struct poller_account *account,
	const struct vuc_device_opts *opts, struct vuc_device **dev, vuc_done_fn done, void *arg,
	struct vuc_error *err)
{
	struct vuc_device_opts own;
	int rc = vuc_device_read_opts(&own, opts, err);
	struct poller_device *d;

	*dev = NULL;
	if (rc != 0)
		return rc;
	d = alloc_device(p, account, &own);
	if (d == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a device");
	d->opened = done;
	d->opened_arg = arg;
	own.group = p->group;
	poller_trace_new_device(d, &own);
	rc = vuc_device_open_known_start(
		&own, &d->account->faults, d->account->closer, &d->dev, device_opened, d, err);
	if (rc != 0) {
		free_device(p, d);
		return rc;
	}
	vuc_registry_add_device(p, d);
	*dev = d->dev;
	return 0;
}

/* A vuc_done_fn. */
static void
device_closed(void *arg, int status, const struct vuc_error *err)
{
	static const struct vuc_error none = {0};
	struct poller_device *d = arg;
	vuc_done_fn done = d->closed;
	void *done_arg = d->closed_arg;

	(void)status;
	(void)err;
	/* First: those who ask from other threads look at nothing that is gone. */
	vuc_registry_remove_device(d->poller, d);
	poller_account_end_outage(d->poller, d->account);
	if (atomic_load_explicit(&d->open, memory_order_relaxed))
		vuc_trace_close(d->id);
	free_device(d->poller, d);
	done(done_arg, 0, &none);
}

int
vuc_poller_close_start(
	struct vuc_poller *p, struct vuc_device *dev, bool drain, vuc_done_fn done, void *arg)
{
	struct poller_device *d = vuc_registry_find_device(p, dev);

	if (d == NULL)
		return -EINVAL;
	if (d->nr_queues > 0 || !TAILQ_EMPTY(&d->remotes))
		return -EBUSY;
	atomic_store_explicit(&d->closing, true, memory_order_relaxed);
	d->watcher = NULL;
	atomic_store_explicit(&d->connected, false, memory_order_relaxed);
	d->closed = done;
	d->closed_arg = arg;
	if (drain)
		vuc_device_drain_start(dev, device_closed, d);
	else
		vuc_device_close_start(dev, device_closed, d);
	return 0;
}

int
vuc_poller_watch_device(struct vuc_poller *p, struct vuc_device *dev, poller_watch_fn fn, void *arg)
{
	struct poller_device *d = vuc_registry_find_device(p, dev);

	if (d == NULL)
		return -EINVAL;
	d->watcher = fn;
	d->watcher_arg = arg;
	poller_hold_look(d);
	if (atomic_load_explicit(&d->connected, memory_order_relaxed))
		return 0;
	/* It was restored before anything was to be held. */
	if (vuc_device_connected(dev))
		poller_device_returned(d);
	else if (fn != NULL)
		d->watcher(d->watcher_arg, false, 0);
	return 0;
}

/* ---- the same for those who wait ---- */

struct waiter {
	struct vuc_poller *poller;
	const struct vuc_device_opts *opts;
	struct vuc_device *dev;
	struct vuc_post post;
	int status;
	bool done; /* guarded by the poller's lock */
	struct vuc_error *err;
};

static void
end_waiting(struct waiter *w)
{
	struct vuc_poller *p = w->poller;

	pthread_mutex_lock(&p->lock);
	w->done = true;
	pthread_cond_broadcast(&p->returned);
	pthread_mutex_unlock(&p->lock);
}

static int
wait_until_done(struct waiter *w)
{
	struct vuc_poller *p = w->poller;

	if (pthread_equal(pthread_self(), p->thread))
		return vuc_error_set(w->err, -EDEADLK, "a poller's thread would wait for itself");
	vuc_poller_post(p, &w->post);
	pthread_mutex_lock(&p->lock);
	while (!w->done)
		pthread_cond_wait(&p->returned, &p->lock);
	pthread_mutex_unlock(&p->lock);
	return w->status;
}

/* A vuc_done_fn. */
static void
waited_for_closing(void *arg, int status, const struct vuc_error *err)
{
	(void)status;
	(void)err;
	end_waiting(arg);
}

/* A vuc_done_fn. */
static void
waited_for_opening(void *arg, int status, const struct vuc_error *err)
{
	struct waiter *w = arg;

	w->status = status;
	if (status != 0) {
		vuc_error_set(w->err, status, "%s", err->text);
		vuc_poller_close_start(w->poller, w->dev, false, waited_for_closing, w);
	} else {
		end_waiting(w);
	}
}

static void
open_for_waiter(void *arg)
{
	struct waiter *w = arg;

	w->status = vuc_poller_open_start(
		w->poller, NULL, w->opts, &w->dev, waited_for_opening, w, w->err);
	if (w->status != 0)
		end_waiting(w);
}

VUC_EXPORT int
vuc_poller_open_device(struct vuc_poller *p, const struct vuc_device_opts *opts,
	struct vuc_device **dev, struct vuc_error *err)
{
	struct waiter w = {.poller = p, .opts = opts, .err = err};
	int rc;

	w.post = (struct vuc_post){.fn = open_for_waiter, .arg = &w};
	rc = wait_until_done(&w);
	*dev = rc == 0 ? w.dev : NULL;
	return rc;
}

static void
close_for_waiter(void *arg)
{
	struct waiter *w = arg;

	w->status = vuc_poller_close_start(w->poller, w->dev, true, waited_for_closing, w);
	if (w->status != 0)
		end_waiting(w);
}

VUC_EXPORT int
vuc_poller_close_device(struct vuc_poller *p, struct vuc_device *dev)
{
	struct waiter w = {.poller = p, .dev = dev};

	w.post = (struct vuc_post){.fn = close_for_waiter, .arg = &w};
	return dev != NULL ? wait_until_done(&w) : 0;
}
