/* SPDX-License-Identifier: BSD-3-Clause */

/* Devices that are offered: added, removed, taken away. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/export.h>

#include "clock.h"
#include "control.h"
#include "error.h"
#include "opts.h"
#include "source.h"
#include "vmm.h"
#include "watch.h"

VUC_EXPORT void
vuc_control_device_opts_init(struct vuc_control_device_opts *opts, size_t size)
{
	const struct vuc_control_device_opts defaults = {
		.reset = VUC_CONTROL_RESET_ON,
		.retry_min_ms = 100,
		.retry_max_ms = 5000,
		.outage = VUC_CONTROL_OUTAGE_HOLD,
		.hold_ms = 4000,
		.fence = true,
		.recover = VUC_CONTROL_RECOVER_NVME,
		.export_mode = 0600,
		.export_group = (gid_t)-1,
		.reply_ms = 4000,
	};

	vuc_opts_init(opts, size, &defaults, sizeof(defaults));
}

static bool
device_is_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t len = name != NULL ? strlen(name) : 0;

	return len > 0 && len < VUC_CONTROL_NAME_SIZE && strspn(name, allowed) == len;
}

static int
device_check_opts(const struct vuc_control_device_opts *o, struct vuc_error *err)
{
	if (!device_is_name(o->name))
		return vuc_error_set(err, -EINVAL,
			"a device's name has 1 to %d letters, digits and \"._-\", and is not %s",
			VUC_CONTROL_NAME_SIZE - 1, o->name != NULL ? o->name : "NULL");
	if (o->poller == NULL)
		return vuc_error_set(err, -EINVAL, "device %s has no poller", o->name);
	if (o->device == NULL)
		return vuc_error_set(err, -EINVAL, "device %s has no server", o->name);
	if (o->reset > VUC_CONTROL_RESET_NEVER)
		return vuc_error_set(
			err, -EINVAL, "device %s: unknown reset %d", o->name, (int)o->reset);
	if (o->retry_min_ms == 0 || o->retry_min_ms > o->retry_max_ms ||
		o->retry_max_ms > INT32_MAX)
		return vuc_error_set(err, -EINVAL, "device %s: retries between %u and %u ms",
			o->name, o->retry_min_ms, o->retry_max_ms);
	if (o->outage > VUC_CONTROL_OUTAGE_HOLD || o->after_hold > VUC_CONTROL_AFTER_ERROR)
		return vuc_error_set(err, -EINVAL, "device %s: unknown outage %d or after_hold %d",
			o->name, (int)o->outage, (int)o->after_hold);
	if (o->map > VUC_CONTROL_MAP_NONE)
		return vuc_error_set(
			err, -EINVAL, "device %s: unknown map %d", o->name, (int)o->map);
	if (o->recover > VUC_CONTROL_RECOVER_NVME)
		return vuc_error_set(
			err, -EINVAL, "device %s: unknown recover %d", o->name, (int)o->recover);
	if (o->hold_ms == 0 || o->hold_ms > INT32_MAX || o->release_ms > INT32_MAX)
		return vuc_error_set(err, -EINVAL, "device %s: hold_ms %u, release_ms %u", o->name,
			o->hold_ms, o->release_ms);
	if (o->export_mode == 0 || (o->export_mode & ~(mode_t)0777) != 0 || o->reply_ms == 0 ||
		o->reply_ms > INT32_MAX)
		return vuc_error_set(err, -EINVAL, "device %s: export_mode 0%o, reply_ms %u",
			o->name, o->export_mode, o->reply_ms);
	return 0;
}

static int
device_read_server_opts(const char *name, struct vuc_device_opts *known,
	const struct vuc_device_opts *opts, struct vuc_error *err)
{
	int rc = vuc_device_read_opts(known, opts, err);

	if (rc != 0)
		return rc;
	if (known->fd >= 0)
		return vuc_error_set(err, -EINVAL,
			"device %s: reconnecting takes a path, not a file descriptor", name);
	if (known->path != NULL &&
		strlen(known->path) >= sizeof(((struct control_device *)NULL)->path))
		return vuc_error_set(
			err, -EINVAL, "device %s: the path of the socket is too long", name);
	known->group = NULL;
	known->transport = NULL;
	/* What servers tell of ioeventfds takes as many. */
	known->max_msg_fds = VUC_MAX_MSG_FDS;
	return 0;
}

static int
device_read_opts(struct vuc_control_device_opts *known, const struct vuc_control_device_opts *opts,
	struct vuc_error *err)
{
	int rc;

	vuc_control_device_opts_init(known, sizeof(*known));
	rc = vuc_opts_read(known, sizeof(*known), opts,
		VUC_OPTS_LEAST(struct vuc_control_device_opts, retry_max_ms),
		"vuc_control_device_opts", err);
	return rc == 0 ? device_check_opts(known, err) : rc;
}

static struct poller_hold_opts
device_hold_opts(const struct vuc_control_device_opts *opts)
{
	static const enum poller_after after[] = {
		[VUC_CONTROL_AFTER_HOLD] = POLLER_AFTER_HOLD,
		[VUC_CONTROL_AFTER_LAST] = POLLER_AFTER_LAST,
		[VUC_CONTROL_AFTER_ONES] = POLLER_AFTER_ONES,
		[VUC_CONTROL_AFTER_ERROR] = POLLER_AFTER_ERROR,
	};
	struct poller_hold_opts hold = {
		.hold_ms = opts->hold_ms,
		.after_config = POLLER_AFTER_LAST,
		.after_rest = POLLER_AFTER_ERROR,
	};

	if (opts->after_hold != VUC_CONTROL_AFTER_AUTO)
		hold.after_config = hold.after_rest = after[opts->after_hold];
	return hold;
}

static struct control_device *
device_alloc(struct vuc_control *c, const struct vuc_control_device_opts *opts,
	const struct vuc_device_opts *device)
{
	struct control_device *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->control = c;
	d->poller = opts->poller;
	d->reset = opts->reset;
	d->map = opts->map;
	d->retry_min_ms = opts->retry_min_ms;
	d->retry_max_ms = opts->retry_max_ms;
	d->outage = opts->outage;
	d->hold = device_hold_opts(opts);
	d->hold_is_auto = opts->after_hold == VUC_CONTROL_AFTER_AUTO;
	d->fence = opts->fence;
	d->recover = opts->recover;
	d->release_ms = opts->release_ms;
	d->reply_ms = opts->reply_ms;
	d->exported.listener.fd = -1;
	snprintf(d->name, sizeof(d->name), "%s", opts->name);
	d->opts = *device;
	if (device->path != NULL) {
		snprintf(d->path, sizeof(d->path), "%s", device->path);
		d->opts.path = d->path;
	}
	control_arrival_init(d);
	vuc_error_set(&d->reason, 0, "not connected yet");
	d->since_ms = vuc_clock_ms();
	d->poke = (struct vuc_post){.fn = control_look_at_poked, .arg = d};
	STAILQ_INIT(&d->requests);
	d->account = vuc_poller_open_account(d->poller, d->name);
	if (d->account != NULL && control_permission_init(&d->permission, opts) == 0)
		return d;
	control_device_free(d);
	return NULL;
}

/* ---- requests, which the control thread answers ---- */

static struct control_request *
request_alloc(enum control_request_kind kind, vuc_done_fn done, void *arg)
{
	struct control_request *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->kind = kind;
	r->done = done;
	r->arg = arg;
	return r;
}

/* With the lock held. */
static int
device_insert(struct control_device *d, struct vuc_error *err)
{
	struct vuc_control *c = d->control;
	const struct control_device *other;
	int rc;

	if (c->stop)
		return vuc_error_set(err, -ESHUTDOWN, "the daemon is stopping");
	TAILQ_FOREACH (other, &c->devices, entry) {
		/* Those that are being removed as well: their names are not free yet. */
		if (strcmp(d->name, other->name) == 0)
			return vuc_error_set(err, -EEXIST, "device %s exists already", d->name);
		if (control_bar0_collides(d, other))
			return vuc_error_set(err, -EEXIST,
				"device %s: keep_bar0 is on for device %s in folder %s already",
				d->name, other->name, d->bar0.folder);
	}
	rc = control_export_watch(d);
	if (rc != 0)
		return vuc_error_set(err, rc, "device %s: epoll: %s", d->name, strerror(-rc));
	TAILQ_INSERT_TAIL(&c->devices, d, entry);
	control_poke(d);
	return 0;
}

VUC_EXPORT int
vuc_control_add_device_start(struct vuc_control *c, const struct vuc_control_device_opts *opts,
	vuc_done_fn done, void *arg, struct vuc_error *err)
{
	struct vuc_control_device_opts known;
	struct vuc_device_opts device;
	struct control_request *r;
	struct control_device *d;
	int rc = device_read_opts(&known, opts, err);

	if (rc == 0)
		rc = device_read_server_opts(known.name, &device, known.device, err);
	if (rc != 0)
		return rc;
	d = device_alloc(c, &known, &device);
	if (d != NULL && known.keep_bar0)
		rc = control_bar0_init(d, err);
	if (d != NULL && rc == 0 && known.export_path != NULL)
		rc = control_export_open(d, &known, err);
	if (rc != 0) {
		control_device_free(d);
		return rc;
	}
	r = request_alloc(CONTROL_TRIED, done, arg);
	if (d == NULL || r == NULL) {
		if (d != NULL)
			control_device_free(d);
		free(r);
		return vuc_error_set(err, -ENOMEM, "no memory for device %s", known.name);
	}
	pthread_mutex_lock(&c->lock);
	rc = device_insert(d, err);
	if (rc == 0)
		control_insert_request(d, r);
	pthread_mutex_unlock(&c->lock);
	if (rc != 0) {
		control_device_free(d);
		free(r);
	}
	return rc;
}

/* With the lock held. */
static int
device_start_removal(struct vuc_control *c, const char *name, bool force, struct control_request *r,
	struct vuc_error *err)
{
	struct control_device *d = control_find(c, name);

	if (d == NULL)
		return vuc_error_set(err, -ENOENT, "there is no device %.64s", name);
	if (control_has_vmm(d) && !force)
		return vuc_error_set(err, -EBUSY, "device %s is in use by VMM %s (pid %d)", name,
			d->vmm->name, (int)d->vmm->user.pid);
	control_insert_request(d, r);
	if (control_start_release(d, true))
		return 0;
	control_log_leaving(d);
	control_stop_device(d);
	return 0;
}

VUC_EXPORT int
vuc_control_remove_device_start(struct vuc_control *c, const char *name, bool force,
	vuc_done_fn done, void *arg, struct vuc_error *err)
{
	struct control_request *r = request_alloc(CONTROL_REMOVED, done, arg);
	int rc;

	if (r == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory to remove device %.64s", name);
	pthread_mutex_lock(&c->lock);
	rc = device_start_removal(c, name, force, r, err);
	pthread_mutex_unlock(&c->lock);
	if (rc != 0)
		free(r);
	return rc;
}

/* With the lock held. */
static int
device_start_detaching(
	struct vuc_control *c, const char *name, struct control_request *r, struct vuc_error *err)
{
	struct control_device *d = control_find(c, name);

	if (d == NULL)
		return vuc_error_set(err, -ENOENT, "there is no device %.64s", name);
	if (!control_has_vmm(d))
		return vuc_error_set(err, -ENOTCONN, "no VMM has device %s", name);
	control_insert_request(d, r);
	if (control_start_release(d, false))
		return 0;
	control_log_leaving(d);
	control_detach(d);
	return 0;
}

VUC_EXPORT int
vuc_control_detach_start(
	struct vuc_control *c, const char *name, vuc_done_fn done, void *arg, struct vuc_error *err)
{
	struct control_request *r = request_alloc(CONTROL_DETACHED, done, arg);
	int rc;

	if (r == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory to detach device %.64s", name);
	pthread_mutex_lock(&c->lock);
	rc = device_start_detaching(c, name, r, err);
	pthread_mutex_unlock(&c->lock);
	if (rc != 0)
		free(r);
	return rc;
}

/* ---- the same for those who wait ---- */

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool done;
	int status;
	struct vuc_error *err;
};

static void
waiter_init(struct waiter *w, struct vuc_error *err)
{
	*w = (struct waiter){.err = err};
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->ended, NULL);
}

/* A vuc_done_fn. */
static void
waiter_end(void *arg, int status, const struct vuc_error *err)
{
	struct waiter *w = arg;

	pthread_mutex_lock(&w->lock);
	w->done = true;
	w->status = status;
	if (status != 0)
		vuc_error_set(w->err, status, "%s", err->text);
	pthread_cond_signal(&w->ended);
	pthread_mutex_unlock(&w->lock);
}

/* rc: of what has started it. */
static int
waiter_wait(struct waiter *w, int rc)
{
	pthread_mutex_lock(&w->lock);
	while (rc == 0 && !w->done)
		pthread_cond_wait(&w->ended, &w->lock);
	pthread_mutex_unlock(&w->lock);
	pthread_cond_destroy(&w->ended);
	pthread_mutex_destroy(&w->lock);
	return rc != 0 ? rc : w->status;
}

static int
control_check_thread(const struct vuc_control *c, struct vuc_error *err)
{
	if (pthread_equal(pthread_self(), c->thread))
		return vuc_error_set(
			err, -EDEADLK, "a synchronous call from a completion callback");
	return 0;
}

VUC_EXPORT int
vuc_control_add_device(
	struct vuc_control *c, const struct vuc_control_device_opts *opts, struct vuc_error *err)
{
	int rc = control_check_thread(c, err);
	struct waiter w;

	if (rc != 0)
		return rc;
	waiter_init(&w, err);
	return waiter_wait(&w, vuc_control_add_device_start(c, opts, waiter_end, &w, err));
}

VUC_EXPORT int
vuc_control_remove_device(
	struct vuc_control *c, const char *name, bool force, struct vuc_error *err)
{
	int rc = control_check_thread(c, err);
	struct waiter w;

	if (rc != 0)
		return rc;
	waiter_init(&w, err);
	return waiter_wait(
		&w, vuc_control_remove_device_start(c, name, force, waiter_end, &w, err));
}

VUC_EXPORT int
vuc_control_detach(struct vuc_control *c, const char *name, struct vuc_error *err)
{
	int rc = control_check_thread(c, err);
	struct waiter w;

	if (rc != 0)
		return rc;
	waiter_init(&w, err);
	return waiter_wait(&w, vuc_control_detach_start(c, name, waiter_end, &w, err));
}
