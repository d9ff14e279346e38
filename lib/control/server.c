/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A device's server: connected to, lost, connected to again. Each device is a state machine, all of
 * them on the control thread, which waits for no server: what is started here says when it is done,
 * and is followed by a look at the device. A device has no more than one operation in progress.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "control.h"
#include "error.h"
#include "outage.h"
#include "watch.h"

#define MAX_RESET_ENDS     3u  /* in a row, until it is tried seldom */
#define RESET_RETRY_FACTOR 12u /* how much more seldom */

/* ---- attempts to connect ---- */

/* A server that a reset ends may be started again by somebody each time, to no avail. */
static uint32_t
device_next_delay(const struct control_device *d)
{
	if (d->reset_ends >= MAX_RESET_ENDS)
		return d->retry_max_ms < UINT32_MAX / RESET_RETRY_FACTOR
			? d->retry_max_ms * RESET_RETRY_FACTOR
			: UINT32_MAX;
	if (d->delay == 0)
		return d->retry_min_ms;
	return d->delay > d->retry_max_ms / 2 ? d->retry_max_ms : d->delay * 2;
}

/* Whether the last connection was more than one that a server takes only to end it. */
static bool
device_has_lasted(const struct control_device *d)
{
	return d->connected_ms != 0 && vuc_clock_ms() - d->connected_ms >= d->retry_max_ms;
}

/* A server that ends each connection does not keep its poller busy. */
static void
device_pace_attempt(struct control_device *d)
{
	if (d->paced)
		return;
	if (device_has_lasted(d))
		d->delay = 0;
	d->connected_ms = 0;
	d->next_ms = vuc_clock_ms() + d->delay;
	d->paced = true;
	control_arrival_watch(d);
}

/* With the lock held. */
static void
device_end_attempt(struct control_device *d)
{
	d->tried = true;
	d->cleaning = d->cleaning && !d->renewing;
	d->renewing = false;
	pthread_cond_broadcast(&d->control->changed);
}

/* With the lock held: returns the connection's generation. */
static uint64_t
device_take_link(struct control_device *d, struct control_link *link)
{
	/* One that was closed to be made anew has not failed. */
	if (!d->renewing) {
		d->connected_ms = vuc_clock_ms();
		d->delay = device_next_delay(d);
	}
	link->generation = ++d->generation;
	d->link = link;
	d->since_ms = vuc_clock_ms();
	d->reset_ends = 0;
	d->reason.text[0] = '\0';
	return d->generation;
}

/*
 * A VMM may attach, leave and have the connection closed as soon as the lock is released. Returns
 * NULL; or the connection of a VMM that has attached meanwhile to what was known of the device: the
 * new connection is to replace that one.
 */
static struct control_link *
device_connected(struct control_device *d, struct control_link *link)
{
	struct vuc_control *c = d->control;
	struct control_link *kept;
	uint64_t generation;

	pthread_mutex_lock(&c->lock);
	kept = device_kept_link(d);
	if (kept != NULL) {
		pthread_mutex_unlock(&c->lock);
		return kept;
	}
	generation = device_take_link(d, link);
	/* It uses the previous connection, which has ended. */
	if (d->vmm != NULL)
		vmm_tell(d->vmm, VUC_SHM_STALE, generation);
	device_end_attempt(d);
	pthread_mutex_unlock(&c->lock);
	control_log(&c->log, VUC_LOG_NOTICE, "%s: connected to %s, generation %" PRIu64, d->name,
		d->path, generation);
	return NULL;
}

/* With the lock held: a reset that has ended the server is why it is away, whatever is seen
 * afterwards. */
static void
device_explain_failure(struct control_device *d, int rc, struct vuc_error *err)
{
	struct vuc_error seen = *err;
	char what[64];

	if (rc == -EPIPE || rc == -ETIME) {
		d->reset_ends++;
		d->reset_unanswered = rc == -ETIME;
	}
	if (d->reset_ends == 0)
		return;
	if (d->reset_unanswered)
		snprintf(
			what, sizeof(what), "DEVICE_RESET was not answered on the last connection");
	else if (d->reset_ends == 1)
		snprintf(what, sizeof(what), "DEVICE_RESET has ended the last connection");
	else
		snprintf(what, sizeof(what), "DEVICE_RESET has ended the last %u connections",
			d->reset_ends);
	vuc_error_set(err, rc, "%s (\"reset = never\" avoids it): %.120s", what, seen.text);
}

/* The same reason again is no news. A look at a socket on which nobody listens costs no server
 * anything, and a VMM waits for one. */
static void
device_not_connected(struct control_device *d, int rc, const struct vuc_error *err)
{
	bool early = control_arrival_was_early(d, rc), news;
	struct vuc_control *c = d->control;

	pthread_mutex_lock(&c->lock);
	d->connected_ms = 0;
	if ((rc == -ENOENT || rc == -ECONNREFUSED) && device_kept_link(d) != NULL)
		d->delay = d->retry_min_ms;
	else if (!early)
		d->delay = device_next_delay(d);
	news = !early && strcmp(d->reason.text, err->text) != 0;
	if (news)
		d->reason = *err;
	device_end_attempt(d);
	pthread_mutex_unlock(&c->lock);
	if (news)
		control_log(&c->log, VUC_LOG_WARNING, "%s: away: %s", d->name, err->text);
}

/* ---- a VMM's device that has returned ---- */

/* The VMM may have left meanwhile, and closes the connection then. */
static void
device_returned(struct control_device *d, struct control_link *link, uint64_t remapped)
{
	struct vuc_control *c = d->control;
	uint64_t generation, dropped, ms = 0;

	pthread_mutex_lock(&c->lock);
	if (device_kept_link(d) != link) {
		pthread_mutex_unlock(&c->lock);
		return;
	}
	ms = vuc_clock_ms() - d->since_ms;
	dropped = control_count_dropped(d) - d->dropped;
	d->dropped += dropped;
	generation = device_take_link(d, link);
	if ((atomic_load_explicit(&d->vmm->mapped, memory_order_relaxed) & remapped) != 0)
		vmm_tell_remap(d->vmm);
	vmm_tell(d->vmm, VUC_SHM_BACK, generation);
	d->vmm->returned = true;
	control_wake(d->vmm->wake_fd);
	device_end_attempt(d);
	pthread_mutex_unlock(&c->lock);
	control_log(&c->log, VUC_LOG_NOTICE,
		"%s: restored for its VMM after %" PRIu64 " ms, generation %" PRIu64
		"; dropped writes: %" PRIu64,
		d->name, ms, generation, dropped);
}

/* What there is now is not what the VMM has. */
static void
device_differs(struct control_device *d, const struct vuc_error *err)
{
	struct vuc_control *c = d->control;

	pthread_mutex_lock(&c->lock);
	vuc_error_set(&d->reason, -ENODEV, "another device has come back: %.200s", err->text);
	d->differs = d->vmm != NULL;
	if (d->vmm != NULL)
		vmm_tell(d->vmm, VUC_SHM_REMOVED, d->generation);
	device_end_attempt(d);
	pthread_mutex_unlock(&c->lock);
	control_log(&c->log, VUC_LOG_ERROR,
		"%s: another device has come back, the VMM has to detach: %s", d->name, err->text);
}

/* The VMM has left meanwhile: the next attempt is for others, and does not wait for what it has
 * waited for. */
static void
device_not_wanted(struct control_device *d)
{
	pthread_mutex_lock(&d->control->lock);
	d->delay = 0;
	vuc_error_set(&d->reason, 0, "connecting again, its VMM has left");
	pthread_mutex_unlock(&d->control->lock);
}

/* A vuc_done_fn. A new connection that was not wanted any more has not failed. */
static void
link_restored(void *arg, int status, const struct vuc_error *err)
{
	struct control_link *link = arg;
	struct control_device *d = link->device;

	d->coming = NULL;
	if (status == 0)
		device_returned(d, link->restore.old, link->restore.remapped);
	else if (status == -ENODEV)
		device_differs(d, err);
	else if (status != -ECANCELED)
		device_not_connected(d, status, err);
	else
		device_not_wanted(d);
	control_look_at(d);
}

/* ---- the end of an attempt ---- */

static void
device_not_opened(struct control_device *d, int status, const struct vuc_error *err)
{
	struct vuc_error why = *err;

	pthread_mutex_lock(&d->control->lock);
	device_explain_failure(d, status, &why);
	pthread_mutex_unlock(&d->control->lock);
	device_not_connected(d, status, &why);
}

/* The ended connection that a VMM keeps during an outage, or NULL. */
static struct control_link *
device_find_kept(struct control_device *d)
{
	struct control_link *link;

	pthread_mutex_lock(&d->control->lock);
	link = device_kept_link(d);
	pthread_mutex_unlock(&d->control->lock);
	return link;
}

/* A vuc_done_fn. */
static void
link_opened(void *arg, int status, const struct vuc_error *err)
{
	struct control_link *link = arg;
	struct control_device *d = link->device;

	atomic_store_explicit(&d->awaited, NULL, memory_order_relaxed);
	/* A daemon that was killed may have left the device in the state of its VMM. */
	if (status == 0 && d->generation == 0)
		control_bar0_clear(d);
	if (status == 0 && link->restore.old == NULL)
		link->restore.old = device_connected(d, link);
	if (status == 0 && link->restore.old != NULL) {
		control_restore_start(link, link_restored);
		return;
	}
	d->coming = NULL;
	if (status != 0 && !atomic_load_explicit(&d->stop, memory_order_relaxed) &&
		status != -ECANCELED)
		device_not_opened(d, status, err);
	control_look_at(d);
}

static void
device_start_attempt(struct control_device *d, bool hurried)
{
	struct vuc_error err = d->bar0.err;
	int rc = d->bar0.status;

	d->paced = false;
	control_arrival_begin(d, hurried);
	if (rc == 0) {
		rc = control_link_open_start(d, device_find_kept(d), &d->coming, link_opened);
		if (rc == 0)
			return;
		vuc_error_set(&err, rc, "no memory for a connection");
	}
	device_not_connected(d, rc, &err);
	control_poke(d);
}

/* ---- connections that end ---- */

/* With the lock held. */
static void
device_log_loss(struct control_device *d, const struct control_link *link)
{
	struct control_log *log = &d->control->log;

	if (device_kept_link(d) == link)
		control_log(log, VUC_LOG_WARNING,
			"%s: lost: %.160s; VMM %s (pid %d) keeps it, it is restored when its "
			"server is back",
			d->name, link->reason.text, d->vmm->name, (int)d->vmm->user.pid);
	else
		control_log(log, VUC_LOG_WARNING, "%s: lost: %s", d->name, link->reason.text);
}

/* Returns the connection that is to be closed here: a VMM that has one closes it when it leaves. */
static struct control_link *
device_take_lost_link(struct control_device *d)
{
	struct vuc_control *c = d->control;
	struct control_link *link;
	bool theirs, kept;

	pthread_mutex_lock(&c->lock);
	link = d->link;
	if (link == NULL || !atomic_load_explicit(&link->ended, memory_order_acquire)) {
		pthread_mutex_unlock(&c->lock);
		return NULL;
	}
	theirs = d->vmm != NULL && d->vmm->link == link;
	kept = d->vmm == NULL && !d->removing && d->exported.on &&
		atomic_load_explicit(&link->learned, memory_order_relaxed);
	if (kept)
		d->learned = link;
	/* Whoever is told finds the line in the log. */
	device_log_loss(d, link);
	if (d->vmm != NULL)
		vmm_tell(d->vmm, VUC_SHM_LOST, link->generation);
	if (theirs && d->removing)
		vmm_leave_lost(d->vmm);
	d->link = NULL;
	d->silent_ms = 0;
	d->since_ms = vuc_clock_ms();
	d->reason = link->reason;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	return theirs || kept ? NULL : link;
}

/* What was kept for a VMM that starts while the server is away is no longer needed. */
static struct control_link *
device_take_learned_link(struct control_device *d)
{
	struct control_link *link = NULL;

	pthread_mutex_lock(&d->control->lock);
	if (d->link != NULL || d->removing) {
		link = d->learned;
		d->learned = NULL;
	}
	pthread_mutex_unlock(&d->control->lock);
	return link;
}

/* That of a device that is being removed, and that no VMM has. */
static struct control_link *
device_take_last_link(struct control_device *d)
{
	struct vuc_control *c = d->control;
	struct control_link *link = NULL;

	pthread_mutex_lock(&c->lock);
	if (d->removing && d->vmm == NULL) {
		link = d->link;
		d->link = NULL;
		d->silent_ms = 0;
	}
	pthread_mutex_unlock(&c->lock);
	return link;
}

/* A vuc_done_fn. */
static void
link_closed(void *arg, int status, const struct vuc_error *err)
{
	struct control_link *link = arg;
	struct control_device *d = link->device;

	(void)status;
	(void)err;
	d->going = NULL;
	control_look_at(d);
}

static void
device_close_link(struct control_device *d, struct control_link *link)
{
	d->going = link;
	control_link_close_start(link, false, link_closed);
}

/* ---- silence ---- */

static void
device_log_silence(struct control_device *d, uint64_t before, uint64_t now)
{
	struct control_log *log = &d->control->log;

	if (now != 0 && before == 0)
		control_log_limited(log, &d->silent_lines, VUC_LOG_WARNING,
			"%s: the server is not answering: requests time out, and it has sent "
			"nothing for %" PRIu64 " ms",
			d->name, vuc_clock_ms() - now);
	else if (now == 0)
		control_log_limited(log, &d->silent_lines, VUC_LOG_NOTICE,
			"%s: the server answers again, after %" PRIu64 " ms", d->name,
			vuc_clock_ms() - before);
}

/* Whoever sees the state, or is told, finds the line in the log. */
static void
device_look_at_silence(struct control_device *d)
{
	struct vuc_control *c = d->control;
	struct control_link *link;
	uint64_t before, generation, now = 0;
	bool over = true; /* the connection, and device_take_lost_link() says so */

	pthread_mutex_lock(&c->lock);
	link = d->link;
	before = d->silent_ms;
	generation = d->generation;
	if (link != NULL) {
		/* Pairs with link_changed(). */
		now = atomic_load_explicit(&link->silent_ms, memory_order_acquire);
		over = atomic_load_explicit(&link->ended, memory_order_relaxed);
	}
	pthread_mutex_unlock(&c->lock);
	if (now == before || over)
		return;
	device_log_silence(d, before, now);
	pthread_mutex_lock(&c->lock);
	/* Another connection may lie where this one lay. */
	if (d->link == link && d->generation == generation) {
		d->silent_ms = now;
		if (d->vmm != NULL && d->vmm->link == link)
			vmm_tell(d->vmm, now != 0 ? VUC_SHM_SILENT : VUC_SHM_ATTACHED, generation);
	}
	pthread_mutex_unlock(&c->lock);
}

/* ---- what is due ---- */

enum want {
	WANT_NOTHING,
	WANT_ATTEMPT,
	WANT_RENEWAL, /* at once: a VMM has left, and the connection is only made anew */
	WANT_END,
};

/* No connection while a VMM still has the one before and leaves: a server may take one at a time
 * only. */
static enum want
device_find_wanted(struct control_device *d)
{
	enum want want = WANT_NOTHING;

	pthread_mutex_lock(&d->control->lock);
	if (d->removing)
		want = d->vmm == NULL ? WANT_END : WANT_NOTHING;
	else if (d->link == NULL && !(d->cleaning && d->vmm != NULL) && !d->differs &&
		!d->control->stop)
		want = d->renewing ? WANT_RENEWAL : WANT_ATTEMPT;
	pthread_mutex_unlock(&d->control->lock);
	return want;
}

static void
device_attempt_in_time(struct control_device *d)
{
	uint64_t now = vuc_clock_ms(), due = control_arrival_next(d);

	if (now >= due)
		device_start_attempt(d, now < d->next_ms);
	else if (d->due_ms == 0 || d->due_ms > due)
		d->due_ms = due;
}

static void
device_do_wanted(struct control_device *d)
{
	switch (device_find_wanted(d)) {
	case WANT_NOTHING:
		control_arrival_forget(d);
		break;
	case WANT_ATTEMPT:
		device_pace_attempt(d);
		device_attempt_in_time(d);
		break;
	case WANT_RENEWAL:
		device_start_attempt(d, false);
		break;
	case WANT_END:
		control_arrival_forget(d);
		control_drop_device(d);
		break;
	}
}

static void
device_look_at_coming(struct control_device *d)
{
	struct control_link *link = d->coming;

	if (link->restore.started)
		control_restore_look_at(link);
	else if (atomic_load_explicit(&d->stop, memory_order_acquire) ||
		(link->restore.old != NULL && !control_restore_is_wanted(link)))
		control_link_cancel(link);
}

void
control_look_at(struct control_device *d)
{
	struct control_link *link;

	d->due_ms = 0;
	control_answer_fulfilled(d);
	device_look_at_silence(d);
	control_look_at_release(d);
	if (!atomic_load_explicit(&d->stop, memory_order_acquire))
		control_bar0_place(d);
	else
		control_export_close(d);
	if (d->coming != NULL)
		device_look_at_coming(d);
	if (d->coming != NULL || d->going != NULL)
		return;
	link = device_take_lost_link(d);
	if (link == NULL)
		link = device_take_last_link(d);
	if (link == NULL)
		link = device_take_learned_link(d);
	if (link != NULL)
		device_close_link(d, link);
	else
		device_do_wanted(d);
}

void
control_look_at_poked(void *arg)
{
	struct control_device *d = arg;

	/* Pairs with control_poke(): what was changed before is seen now. */
	atomic_exchange_explicit(&d->poked, false, memory_order_acq_rel);
	control_look_at(d);
}
