/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A VMM keeps its device while the server is away: the connection that has ended stays the VMM's,
 * with its record. The next one is opened without a reset; once the process of the old server has
 * ended, it takes the place of the old connection, and the record is replayed by it.
 */

#include "outage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "error.h"
#include "hold.h"
#include "post.h"
#include "record.h"
#include "watch.h"

#define FENCE_RETRY_MS 50u /* until it is seen again whether the old process has ended */
#define STEP_LOOK_MS   50u /* until it is seen again what a restore is at */

/* ---- the record, on the VMM's thread ---- */

/* A driver that reads all ones gives up an NVMe controller for good; a driver that reads the last
 * values of its registers waits for its commands. */
static void
link_choose_hold(const struct control_link *link)
{
	const struct control_device *d = link->device;
	struct poller_hold_opts hold = d->hold;

	if (!d->hold_is_auto || vuc_device_nvme_enables(link->dev) == 0)
		return;
	hold.after_rest = POLLER_AFTER_LAST;
	vuc_poller_set_hold(d->poller, link->dev, &hold);
}

/* A vuc_done_fn, on the poller's thread. Without a record, the device is lost with its connection.
 */
static void
record_started(void *arg, int status, const struct vuc_error *err)
{
	struct control_link *link = arg;

	(void)err;
	if (status == 0) {
		control_link_note_learned(link);
		link_choose_hold(link);
	}
	if (status == 0 || status == -ECANCELED)
		return;
	atomic_store_explicit(&link->recorded, false, memory_order_relaxed);
	vuc_poller_set_hold(link->device->poller, link->dev, NULL);
}

/* On the poller's thread. */
static void
record_nvme_enabled(void *arg)
{
	const struct control_vmm *v = arg;

	control_wake(v->wake_fd);
}

/* A control_device_fn. */
static int
record_start(struct vuc_device *dev, void *arg)
{
	const struct control_vmm *v = arg;
	const struct vuc_record_opts opts = {
		.closer = v->closer,
		.recovers_nvme = v->device->recover == VUC_CONTROL_RECOVER_NVME,
		.nvme_enabled = record_nvme_enabled,
		.arg = arg,
	};
	int rc = vuc_poller_set_hold(v->device->poller, dev, &v->device->hold);

	/* Unless config space could not be read, there is a record already. */
	if (rc == 0 && atomic_load_explicit(&v->link->learned, memory_order_relaxed)) {
		vuc_device_record_set_client(dev, &opts);
		link_choose_hold(v->link);
		return 0;
	}
	if (rc == 0) {
		vuc_device_record_stop(dev);
		atomic_store_explicit(&v->link->recorded, true, memory_order_relaxed);
		rc = vuc_device_record_start(dev, &opts, record_started, v->link);
	}
	if (rc == 0)
		return 0;
	atomic_store_explicit(&v->link->recorded, false, memory_order_relaxed);
	vuc_poller_set_hold(v->device->poller, dev, NULL);
	return rc;
}

void
vmm_start_record(struct control_vmm *v)
{
	struct vuc_error err = {0};

	if (v->device->outage == VUC_CONTROL_OUTAGE_HOLD && vmm_call(v, record_start, v, &err) != 0)
		vmm_log(v, VUC_LOG_WARNING, "will not keep the device through an outage: %s",
			err.text);
}

static void
link_stop_record(struct control_link *link)
{
	atomic_store_explicit(&link->learned, false, memory_order_relaxed);
	atomic_store_explicit(&link->recorded, false, memory_order_relaxed);
	vuc_poller_set_hold(link->device->poller, link->dev, NULL);
	vuc_device_record_stop(link->dev);
}

struct record_end {
	struct control_link *link;
	struct held_files *held;
};

/* A control_device_fn: 1 when what was learned of the device is kept. Only at an export can a VMM
 * start while the server is away. */
static int
record_end(struct vuc_device *dev, void *arg)
{
	const struct record_end *end = arg;
	struct control_link *link = end->link;

	vmm_hold_files(dev, end->held);
	if (!link->device->exported.on ||
		!atomic_load_explicit(&link->learned, memory_order_relaxed) ||
		vuc_device_record_forget_client(dev) != 0) {
		link_stop_record(link);
		return 0;
	}
	atomic_store_explicit(&link->recorded, false, memory_order_relaxed);
	vuc_poller_set_hold(link->device->poller, dev, NULL);
	return 1;
}

bool
vmm_end_record(struct control_vmm *v, struct held_files *held)
{
	struct record_end end = {.link = v->link, .held = held};

	return v->device->outage == VUC_CONTROL_OUTAGE_HOLD &&
		vmm_call(v, record_end, &end, NULL) > 0;
}

/* ---- interrupts after a return, on the VMM's thread ---- */

static bool
vmm_take_return(struct control_vmm *v)
{
	bool returned;

	pthread_mutex_lock(&v->control->lock);
	returned = v->returned;
	v->returned = false;
	pthread_mutex_unlock(&v->control->lock);
	return returned;
}

void
vmm_signal_return(struct control_vmm *v)
{
	if (!vmm_take_return(v))
		return;
	vmm_recover_nvme(v);
	vmm_signal_interrupts(v);
}

/* ---- the connection that is to be restored ---- */

struct control_link *
device_kept_link(const struct control_device *d)
{
	struct control_link *link = d->vmm != NULL ? d->vmm->link : NULL;

	if (link == NULL || d->cleaning || d->removing)
		return NULL;
	return atomic_load_explicit(&link->recorded, memory_order_relaxed) ? link : NULL;
}

bool
control_restore_is_wanted(const struct control_link *fresh)
{
	struct control_device *d = fresh->device;
	bool wanted;

	pthread_mutex_lock(&d->control->lock);
	wanted = device_kept_link(d) == fresh->restore.old && !d->control->stop;
	pthread_mutex_unlock(&d->control->lock);
	return wanted;
}

/* ---- a restore, on the poller's thread ---- */

static void restore_ended(void *arg);
static void restore_fenced(void *arg);

static void
restore_post_to_control(struct control_link *fresh, void (*fn)(void *arg))
{
	fresh->post.fn = fn;
	vuc_mailbox_post(&fresh->device->control->mailbox, &fresh->post);
}

/* A vuc_done_fn. */
static void
restore_closed(void *arg, int status, const struct vuc_error *err)
{
	struct control_link *fresh = arg;

	(void)status;
	(void)err;
	fresh->dev = NULL;
	restore_post_to_control(fresh, restore_ended);
}

static void
restore_close(void *arg)
{
	struct control_link *fresh = arg;

	vuc_poller_close_start(fresh->device->poller, fresh->dev, false, restore_closed, fresh);
}

/* A vuc_done_fn. Of one that differs nothing is kept: who waits for it gets an error. */
static void
restore_done(void *arg, int status, const struct vuc_error *err)
{
	struct control_link *fresh = arg;

	fresh->status = status;
	fresh->err = *err;
	if (status == 0) {
		fresh->restore.remapped = vuc_device_take_remapped(fresh->restore.old->dev);
		control_link_watch(fresh->restore.old);
	} else if (status == -ENODEV)
		link_stop_record(fresh->restore.old);
	restore_close(fresh);
}

/* Whether the old one has a VMM that waits. It is there as long as it is not closed, see
 * link_end_closing(). */
static bool
link_is_away(const struct control_link *old)
{
	return old->dev != NULL && !old->closing &&
		atomic_load_explicit(&old->recorded, memory_order_relaxed) &&
		vuc_device_is_away(old->dev);
}

static int
restore_start(struct control_link *fresh)
{
	const struct control_device *d = fresh->device;
	struct control_link *old = fresh->restore.old;
	const struct vuc_restore_opts opts = {
		.reset = d->reset != VUC_CONTROL_RESET_NEVER,
		.kept_files = atomic_load_explicit(&old->kept_files, memory_order_relaxed),
	};
	int rc;

	if (!link_is_away(old))
		return vuc_error_set(&fresh->err, -ECANCELED, "the VMM has left");
	if (!vuc_device_connected(fresh->dev))
		return vuc_error_set(&fresh->err, -ENOTCONN, "%s", vuc_device_reason(fresh->dev));
	rc = vuc_device_fence(old->dev, fresh->dev, d->fence, &fresh->err);
	if (rc != 0)
		return rc;
	/* Its connection is about to go to the old one. */
	vuc_poller_watch_device(d->poller, fresh->dev, NULL, NULL);
	vuc_device_record_stop(fresh->dev);
	return vuc_device_restore_start(
		old->dev, fresh->dev, &opts, restore_done, fresh, &fresh->err);
}

static void
restore_try(void *arg)
{
	struct control_link *fresh = arg;

	fresh->status = restore_start(fresh);
	if (fresh->status == -ENODEV)
		link_stop_record(fresh->restore.old);
	if (fresh->status == -EAGAIN)
		restore_post_to_control(fresh, restore_fenced);
	else if (fresh->status != 0)
		restore_close(fresh);
}

/* ---- a restore, on the control thread ---- */

static void
restore_post_to_poller(struct control_link *fresh, void (*fn)(void *arg))
{
	fresh->restore.fenced = false;
	fresh->post.fn = fn;
	vuc_poller_post(fresh->device->poller, &fresh->post);
}

static void
restore_finish(struct control_link *fresh)
{
	struct control_device *d = fresh->device;

	pthread_mutex_lock(&d->control->lock);
	d->stage = CONTROL_STAGE_NONE;
	pthread_mutex_unlock(&d->control->lock);
	fresh->done(fresh, fresh->status, &fresh->err);
	free(fresh);
}

static void
restore_ended(void *arg)
{
	struct control_link *fresh = arg;

	fresh->restore.ended = true;
	if (!fresh->restore.looking)
		restore_finish(fresh);
}

static void
restore_explain(struct control_device *d, enum control_stage stage, const char *why)
{
	pthread_mutex_lock(&d->control->lock);
	if (device_kept_link(d) != NULL) {
		d->stage = stage;
		vuc_error_set(&d->reason, 0, "%s", why);
	}
	pthread_mutex_unlock(&d->control->lock);
}

/* The old process has the VMM's memory. */
static void
restore_fenced(void *arg)
{
	struct control_link *fresh = arg;
	struct control_device *d = fresh->device;
	char why[VUC_ERROR_MAX];

	snprintf(why, sizeof(why), "waiting for %.160s of the old server to end", fresh->err.text);
	restore_explain(d, CONTROL_STAGE_FENCED, why);
	if (!fresh->restore.logged)
		control_log(&d->control->log, VUC_LOG_WARNING, "%s: %s", d->name, why);
	fresh->restore.logged = true;
	fresh->restore.fenced = true;
	fresh->restore.due_ms = vuc_clock_ms() + FENCE_RETRY_MS;
	control_restore_look_at(fresh);
}

static void
restore_looked(void *arg)
{
	struct control_link *fresh = arg;
	char why[VUC_ERROR_MAX];

	fresh->restore.looking = false;
	fresh->restore.due_ms = vuc_clock_ms() + STEP_LOOK_MS;
	if (fresh->restore.ended) {
		restore_finish(fresh);
		return;
	}
	if (fresh->restore.step[0] != '\0') {
		snprintf(why, sizeof(why), "restoring: %s", fresh->restore.step);
		restore_explain(fresh->device, CONTROL_STAGE_RESTORING, why);
	}
	control_restore_look_at(fresh);
}

/* On the poller's thread. */
static void
restore_look(void *arg)
{
	struct control_link *fresh = arg;
	struct control_link *old = fresh->restore.old;

	fresh->restore.step[0] = '\0';
	if (link_is_away(old))
		snprintf(fresh->restore.step, sizeof(fresh->restore.step), "%s",
			vuc_device_restore_step(old->dev));
	fresh->restore.look.fn = restore_looked;
	vuc_mailbox_post(&fresh->device->control->mailbox, &fresh->restore.look);
}

static void
restore_look_start(struct control_link *fresh)
{
	fresh->restore.looking = true;
	fresh->restore.look = (struct vuc_post){.fn = restore_look, .arg = fresh};
	vuc_poller_post(fresh->device->poller, &fresh->restore.look);
}

static void
restore_look_later(struct control_link *fresh)
{
	struct control_device *d = fresh->device;

	if (d->due_ms == 0 || d->due_ms > fresh->restore.due_ms)
		d->due_ms = fresh->restore.due_ms;
}

static void
restore_try_start(struct control_link *fresh)
{
	restore_post_to_poller(fresh, restore_try);
	fresh->restore.due_ms = vuc_clock_ms() + STEP_LOOK_MS;
	restore_look_later(fresh);
}

/* It ends without having begun. */
static void
restore_give_up(struct control_link *fresh, int status, const char *why)
{
	fresh->status = vuc_error_set(&fresh->err, status, "%s", why);
	restore_post_to_poller(fresh, restore_close);
}

void
control_restore_start(struct control_link *fresh, vuc_done_fn done)
{
	fresh->done = done;
	fresh->restore.started = true;
	if (!control_restore_is_wanted(fresh)) {
		restore_give_up(fresh, -ECANCELED, "the VMM has left");
		return;
	}
	fresh->restore.old->visited = true;
	restore_try_start(fresh);
}

static void
restore_look_at_fenced(struct control_link *fresh)
{
	if (!control_restore_is_wanted(fresh))
		restore_give_up(fresh, -ECANCELED, "the VMM has left");
	else if (atomic_load_explicit(&fresh->ended, memory_order_acquire))
		restore_give_up(fresh, -ENOTCONN, fresh->reason.text);
	else if (vuc_clock_ms() >= fresh->restore.due_ms)
		restore_try_start(fresh);
	else
		restore_look_later(fresh);
}

/* One that runs on the poller's thread ends at once when the VMM leaves, for that stops the record.
 */
void
control_restore_look_at(struct control_link *fresh)
{
	if (fresh->restore.fenced)
		restore_look_at_fenced(fresh);
	else if (fresh->restore.looking || !control_restore_is_wanted(fresh))
		return; /* something is going to come from the poller */
	else if (vuc_clock_ms() >= fresh->restore.due_ms)
		restore_look_start(fresh);
	else
		restore_look_later(fresh);
}
