/* SPDX-License-Identifier: BSD-3-Clause */

/* The devices of a poller. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <vuc/export.h>

#include "error.h"
#include "internal.h"
#include "lines.h"
#include "registry.h"
#include "source.h"
#include "text.h"
#include "trace.h"
#include "watch.h"

struct opening {
	struct vuc_poller *poller;
	struct vuc_device_opts opts;
	struct poller_account *account; /* NULL: one of its own */
	const _Atomic bool *stop;       /* true: it is not wanted any more; or NULL */
	struct vuc_device *dev;
	struct vuc_error *err;
};

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
		poller_log(p, VUC_LOG_WARNING, "%s: the connection has ended", d->account->name);
	if (d->watcher != NULL)
		d->watcher(d->watcher_arg, connected, silent_ms);
}

void
poller_watch_devices(struct vuc_poller *p)
{
	struct poller_device *d;

	p->unwatched = 0;
	TAILQ_FOREACH (d, &p->devices, link) {
		if (atomic_load_explicit(&d->connected, memory_order_relaxed))
			watch_device_now(p, d);
	}
}

struct poller_account *
vuc_poller_open_account(struct vuc_poller *p, const char *name)
{
	struct poller_account *a = queue_alloc_lines(sizeof(*a));

	if (a == NULL)
		return NULL;
	snprintf(a->name, sizeof(a->name), "%s", name);
	vuc_text_clean_name(a->name);
	vuc_registry_add_account(p, a);
	return a;
}

void
vuc_poller_close_account(struct vuc_poller *p, struct poller_account *account)
{
	if (account == NULL)
		return;
	vuc_registry_remove_account(p, account);
	free(account);
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
	if (!d->named)
		vuc_poller_close_account(p, d->account);
	free(d);
}

static struct poller_device *
alloc_device(struct opening *o)
{
	struct poller_device *d = queue_alloc_lines(sizeof(*d));

	if (d == NULL)
		return NULL;
	TAILQ_INIT(&d->active);
	TAILQ_INIT(&d->remotes);
	d->named = o->account != NULL;
	d->account = d->named ? o->account : open_own_account(o->poller, &o->opts);
	d->id = vuc_registry_new_id();
	if (d->account != NULL)
		return d;
	free(d);
	return NULL;
}

static void
trace_message(void *arg, const struct vuc_trace_message *message)
{
	const struct poller_device *d = arg;

	vuc_trace_message(d->id, message);
	if (d->trace != NULL)
		d->trace(d->trace_arg, message);
}

/* A device whose messages nobody traces when it is opened does not spend a look at each of them. */
static void
trace_device(struct poller_device *d, struct vuc_device_opts *opts)
{
	if (!vuc_trace_messages())
		return;
	d->trace = opts->trace;
	d->trace_arg = opts->trace_arg;
	opts->trace = trace_message;
	opts->trace_arg = d;
}

static int
open_device(void *arg)
{
	struct opening *o = arg;
	struct vuc_poller *p = o->poller;
	struct poller_device *d;
	int rc;

	if (o->stop != NULL && atomic_load_explicit(o->stop, memory_order_acquire))
		return vuc_error_set(o->err, -ECANCELED, "the device is being closed");
	d = alloc_device(o);
	if (d == NULL)
		return vuc_error_set(o->err, -ENOMEM, "no memory for a device");
	o->opts.group = p->group;
	trace_device(d, &o->opts);
	rc = vuc_device_open_known(&o->opts, &d->account->faults, &d->dev, o->err);
	if (rc != 0) {
		free_device(p, d);
		return rc;
	}
	d->connected = true;
	vuc_registry_add_device(p, d);
	vuc_trace_open(d->id, d->account->name);
	o->dev = d->dev;
	return 0;
}

int
vuc_poller_open_named(struct vuc_poller *p, struct poller_account *account,
	const struct vuc_device_opts *opts, const _Atomic bool *stop, struct vuc_device **dev,
	struct vuc_error *err)
{
	struct opening o = {
		.poller = p,
		.account = account,
		.stop = stop,
		.err = err,
	};
	int rc = vuc_device_read_opts(&o.opts, opts, err);

	*dev = NULL;
	if (rc != 0)
		return rc;
	rc = vuc_poller_call(p, open_device, &o);
	*dev = o.dev;
	return rc;
}

VUC_EXPORT int
vuc_poller_open_device(struct vuc_poller *p, const struct vuc_device_opts *opts,
	struct vuc_device **dev, struct vuc_error *err)
{
	return vuc_poller_open_named(p, NULL, opts, NULL, dev, err);
}

struct watching {
	struct vuc_poller *poller;
	struct vuc_device *dev;
	poller_watch_fn fn;
	void *arg;
};

static int
watch_device(void *arg)
{
	const struct watching *w = arg;
	struct poller_device *d = vuc_registry_find_device(w->poller, w->dev);

	if (d == NULL)
		return -EINVAL;
	d->watcher = w->fn;
	d->watcher_arg = w->arg;
	/* Else it is told when it is seen next. */
	if (!atomic_load_explicit(&d->connected, memory_order_relaxed))
		d->watcher(d->watcher_arg, false, 0);
	return 0;
}

int
vuc_poller_watch_device(struct vuc_poller *p, struct vuc_device *dev, poller_watch_fn fn, void *arg)
{
	struct watching w = {.poller = p, .dev = dev, .fn = fn, .arg = arg};

	return vuc_poller_call(p, watch_device, &w);
}

struct closing {
	struct vuc_poller *poller;
	struct vuc_device *dev;
};

static int
close_device(void *arg)
{
	const struct closing *c = arg;
	struct vuc_poller *p = c->poller;
	struct poller_device *d = vuc_registry_find_device(p, c->dev);

	if (d == NULL)
		return -EINVAL;
	if (d->nr_queues > 0 || !TAILQ_EMPTY(&d->remotes))
		return -EBUSY;
	/* First: those who ask from other threads look at nothing that is being closed. */
	vuc_registry_remove_device(p, d);
	vuc_device_close(d->dev);
	vuc_trace_close(d->id);
	free_device(p, d);
	return 0;
}

VUC_EXPORT int
vuc_poller_close_device(struct vuc_poller *p, struct vuc_device *dev)
{
	struct closing c = {.poller = p, .dev = dev};

	return dev != NULL ? vuc_poller_call(p, close_device, &c) : 0;
}
