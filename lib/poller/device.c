/* SPDX-License-Identifier: BSD-3-Clause */

/* The devices of a poller. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <vuc/export.h>

#include "connect.h"
#include "error.h"
#include "internal.h"
#include "source.h"

struct poller_device *
poller_find_device(struct vuc_poller *p, const struct vuc_device *dev)
{
	struct poller_device *d;

	TAILQ_FOREACH (d, &p->devices, link) {
		if (d->dev == dev)
			return d;
	}
	return NULL;
}

struct opening {
	struct vuc_poller *poller;
	struct vuc_device_opts opts;
	int fd; /* connected to opts.path; -1 */
	struct vuc_device *dev;
	struct vuc_error *err;
};

static struct poller_device *
alloc_device(const struct vuc_device_opts *opts)
{
	struct poller_device *d = aligned_alloc(64, (sizeof(*d) + 63) / 64 * 64);

	if (d == NULL)
		return NULL;
	*d = (struct poller_device){0};
	if (opts->path != NULL)
		snprintf(d->name, sizeof(d->name), "%s", opts->path);
	else if (opts->fd >= 0)
		snprintf(d->name, sizeof(d->name), "descriptor %d", opts->fd);
	else
		snprintf(d->name, sizeof(d->name), "loopback");
	return d;
}

static int
open_device(void *arg)
{
	struct opening *o = arg;
	struct vuc_poller *p = o->poller;
	struct poller_device *d = alloc_device(&o->opts);
	int rc;

	o->opts.group = p->group;
	if (d == NULL) {
		if (o->fd >= 0)
			close(o->fd);
		return vuc_error_set(o->err, -ENOMEM, "no memory for a device");
	}
	rc = device_open(&o->opts, o->fd, &d->dev, o->err);
	if (rc != 0) {
		free(d);
		return rc;
	}
	TAILQ_INSERT_TAIL(&p->devices, d, link);
	p->nr_devices++;
	o->dev = d->dev;
	return 0;
}

VUC_EXPORT int
vuc_poller_open_device(struct vuc_poller *p, const struct vuc_device_opts *opts,
	struct vuc_device **dev, struct vuc_error *err)
{
	struct opening o = {.poller = p, .opts = *opts, .fd = -1, .err = err};
	struct vuc_error why = {0};
	int rc = device_check_opts(opts, err);

	*dev = NULL;
	if (rc != 0)
		return rc;
	if (opts->path != NULL) {
		o.fd = device_connect(opts->path, opts->timeout_ms, &why);
		if (o.fd < 0)
			return vuc_error_set(err, o.fd, "%.100s: %s", opts->path, why.text);
	}
	rc = vuc_poller_call(p, open_device, &o);
	*dev = o.dev;
	return rc;
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
	struct poller_device *d = poller_find_device(p, c->dev);

	if (d == NULL)
		return -EINVAL;
	if (d->nr_queues > 0)
		return -EBUSY;
	vuc_device_close(d->dev);
	TAILQ_REMOVE(&p->devices, d, link);
	p->nr_devices--;
	free(d);
	return 0;
}

VUC_EXPORT int
vuc_poller_close_device(struct vuc_poller *p, struct vuc_device *dev)
{
	struct closing c = {.poller = p, .dev = dev};

	return dev != NULL ? vuc_poller_call(p, close_device, &c) : 0;
}
