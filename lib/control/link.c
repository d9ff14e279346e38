/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Connections to servers. What is done with one is done on its poller's thread, and then posted to
 * the control thread.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include <linux/vfio.h>

#include "control.h"
#include "error.h"
#include "post.h"
#include "record.h"
#include "source.h"
#include "watch.h"

/* ---- on the control thread ---- */

static void link_end_opening(void *arg);
static void link_end_closing(void *arg);

static void
link_post_to_control(struct control_link *l, void (*fn)(void *arg))
{
	l->post.fn = fn;
	vuc_mailbox_post(&l->device->control->mailbox, &l->post);
}

/* Everything that was posted to the poller before has been run. */
static void
link_come_back(void *arg)
{
	const struct control_link *l = arg;

	link_post_to_control(arg, l->closed ? link_end_closing : link_end_opening);
}

static void
link_end_opening(void *arg)
{
	struct control_link *l = arg;
	int status = l->status;

	if (l->cancelled && !l->flushed) {
		l->flushed = true;
		l->post.fn = link_come_back;
		vuc_poller_post(l->device->poller, &l->post);
		return;
	}
	l->done(l, status, &l->err);
	if (status != 0)
		free(l);
}

/* Returns whether something else was posted to it before. */
static bool
link_end_posts(struct control_link *l)
{
	struct vuc_control *c = l->device->control;
	bool hurried;

	pthread_mutex_lock(&c->lock);
	l->closed = true;
	hurried = l->hurry.fn != NULL || l->visited;
	pthread_mutex_unlock(&c->lock);
	return hurried;
}

static void
link_end_closing(void *arg)
{
	struct control_link *l = arg;

	if (!l->closed && link_end_posts(l)) {
		l->post.fn = link_come_back;
		vuc_poller_post(l->device->poller, &l->post);
		return;
	}
	l->done(l, 0, &l->err);
	free(l);
}

/* ---- on the poller's thread: opening ---- */

static void
link_changed(void *arg, bool connected, uint64_t silent_ms)
{
	struct control_link *link = arg;

	if (!connected) {
		vuc_error_set(&link->reason, 0, "%s", vuc_device_reason(link->dev));
		/* Pairs with device_take_lost_link(). */
		atomic_store_explicit(&link->ended, true, memory_order_release);
	}
	/* Pairs with device_look_at_silence(): a reader that sees the end of the silence
	 * also sees whether the connection has ended. */
	atomic_store_explicit(&link->silent_ms, silent_ms, memory_order_release);
	control_poke(link->device);
}

/* A vuc_done_fn. */
static void
link_refused_closed(void *arg, int status, const struct vuc_error *err)
{
	(void)status;
	(void)err;
	link_post_to_control(arg, link_end_opening);
}

/* The first reason counts: it ends whatever is under way, which then comes here as well. */
static void
link_refuse(struct control_link *l, int status, const struct vuc_error *err)
{
	if (l->refused)
		return;
	l->refused = true;
	l->status = status;
	vuc_error_set(&l->err, status, "%s", err->text);
	vuc_poller_close_start(l->device->poller, l->dev, false, link_refused_closed, l);
}

void
control_link_watch(struct control_link *l)
{
	atomic_store_explicit(&l->silent_ms, 0, memory_order_relaxed);
	atomic_store_explicit(&l->ended, false, memory_order_relaxed);
	vuc_poller_watch_device(l->device->poller, l->dev, link_changed, l);
}

static void
link_accept_now(struct control_link *l)
{
	l->opened = true;
	control_link_watch(l);
	link_post_to_control(l, link_end_opening);
}

void
control_link_note_learned(struct control_link *link)
{
	atomic_store_explicit(
		&link->learned, vuc_device_record_has_config(link->dev), memory_order_relaxed);
}

/* A vuc_done_fn. A server that has not answered a read would be taken for one that does not answer
 * until somebody uses its device. */
static void
link_learned(void *arg, int status, const struct vuc_error *err)
{
	struct control_link *l = arg;
	struct vuc_error why = {0};
	uint64_t since_ms;

	if (status == -ECANCELED) {
		l->learn_done(l->learn_arg, status, err);
		return;
	}
	control_link_note_learned(l);
	status = 0;
	if (vuc_device_is_silent(l->dev, &since_ms))
		status = vuc_error_set(&why, -ETIMEDOUT,
			"no answer to a read of config space within %u ms",
			vuc_device_timeout_ms(l->dev));
	l->learn_done(l->learn_arg, status, &why);
}

int
control_link_learn(struct control_link *link, vuc_done_fn done, void *arg)
{
	const struct control_device *d = link->device;
	const struct vuc_record_opts opts = {
		.recovers_nvme = d->recover == VUC_CONTROL_RECOVER_NVME,
	};

	if (d->outage != VUC_CONTROL_OUTAGE_HOLD)
		return -EOPNOTSUPP;
	link->learn_done = done;
	link->learn_arg = arg;
	return vuc_device_record_start(link->dev, &opts, link_learned, link);
}

/* A vuc_done_fn. A record that was stopped is being closed. */
static void
link_recorded(void *arg, int status, const struct vuc_error *err)
{
	if (status == 0)
		link_accept_now(arg);
	else if (status != -ECANCELED)
		link_refuse(arg, status, err);
}

static void
link_accept(struct control_link *l)
{
	if (l->restore.old != NULL || control_link_learn(l, link_recorded, l) != 0)
		link_accept_now(l);
	else
		atomic_store_explicit(
			&l->device->awaited, "a read of config space", memory_order_relaxed);
}

/* A reset that is not answered in time ends the connection as well. */
static int
link_reset_failure(const struct control_link *l, int status)
{
	if (vuc_device_connected(l->dev))
		return status;
	return status == -ETIMEDOUT ? -ETIME : -EPIPE;
}

/* A vuc_done_fn. */
static void
link_reset(void *arg, int status, const struct vuc_error *err)
{
	struct control_link *l = arg;

	if (status == 0 || status == -EOPNOTSUPP)
		link_accept(l);
	else
		link_refuse(l, link_reset_failure(l, status), err);
}

/* A vuc_done_fn. A server keeps the state of a device beyond the end of a connection (Client
 * Disconnection). */
static void
link_opened(void *arg, int status, const struct vuc_error *err)
{
	struct control_link *l = arg;
	struct vuc_error why = {0};

	if (status != 0) {
		link_refuse(l, status, err);
		return;
	}
	if (l->restore.old != NULL || l->device->reset == VUC_CONTROL_RESET_NEVER ||
		(vuc_device_info(l->dev)->flags & VFIO_DEVICE_FLAGS_RESET) == 0) {
		link_accept(l);
		return;
	}
	status = vuc_device_reset_start(l->dev, link_reset, l);
	if (status == 0) {
		atomic_store_explicit(&l->device->awaited, "DEVICE_RESET", memory_order_relaxed);
		return;
	}
	vuc_error_set(&why, status, "%s", vuc_device_reason(l->dev));
	link_refuse(l, status, &why);
}

static void
link_open(void *arg)
{
	struct control_link *l = arg;
	struct control_device *d = l->device;

	l->status = vuc_poller_open_start(
		d->poller, d->account, &d->opts, &l->dev, link_opened, l, &l->err);
	if (l->status != 0)
		link_post_to_control(l, link_end_opening);
}

int
control_link_open_start(struct control_device *d, struct control_link *old,
	struct control_link **link, vuc_done_fn done)
{
	struct control_link *l = calloc(1, sizeof(*l));

	*link = l;
	if (l == NULL)
		return -ENOMEM;
	l->device = d;
	l->restore.old = old;
	l->done = done;
	l->post = (struct vuc_post){.fn = link_open, .arg = l};
	vuc_poller_post(d->poller, &l->post);
	return 0;
}

static void
link_cancel(void *arg)
{
	static const struct vuc_error why = {"the device is being removed"};
	struct control_link *l = arg;

	if (l->dev != NULL && !l->opened)
		link_refuse(l, -ECANCELED, &why);
}

void
control_link_cancel(struct control_link *l)
{
	if (l->cancelled)
		return;
	l->cancelled = true;
	l->cancel = (struct vuc_post){.fn = link_cancel, .arg = l};
	vuc_poller_post(l->device->poller, &l->cancel);
}

/* ---- ending and closing ---- */

static void
link_hurry(void *arg)
{
	struct control_link *l = arg;

	/* Pairs with control_link_hurry(). */
	atomic_exchange_explicit(&l->hurried, false, memory_order_acq_rel);
	/* NULL: it was closed before this came. */
	if (l->dev == NULL)
		return;
	vuc_device_hurry(l->dev, atomic_load_explicit(&l->patience_ms, memory_order_relaxed),
		CUT_MS, "the server did not answer while the device was taken away from its VMM");
}

/* The link is freed behind what is posted here: see link_end_closing(). */
void
control_link_hurry(struct control_link *l, uint32_t patience_ms)
{
	if (l->closed)
		return;
	atomic_store_explicit(&l->patience_ms, patience_ms, memory_order_relaxed);
	/* Pairs with link_hurry(). */
	if (atomic_exchange_explicit(&l->hurried, true, memory_order_acq_rel))
		return;
	l->hurry = (struct vuc_post){.fn = link_hurry, .arg = l};
	vuc_poller_post(l->device->poller, &l->hurry);
}

/* A vuc_done_fn. */
static void
link_closed(void *arg, int status, const struct vuc_error *err)
{
	struct control_link *l = arg;

	(void)status;
	(void)err;
	l->dev = NULL;
	link_post_to_control(l, link_end_closing);
}

static void
link_close(void *arg)
{
	struct control_link *l = arg;

	l->closing = true;
	vuc_poller_close_start(l->device->poller, l->dev, l->drain, link_closed, l);
}

void
control_link_close_start(struct control_link *l, bool drain, vuc_done_fn done)
{
	l->drain = drain;
	l->done = done;
	l->err.text[0] = '\0';
	l->post = (struct vuc_post){.fn = link_close, .arg = l};
	vuc_poller_post(l->device->poller, &l->post);
}
