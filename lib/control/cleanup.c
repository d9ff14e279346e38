/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * When a VMM leaves, however it does, the device forgets it: its queues first, so that nobody
 * touches its memory any more, then its interrupts and its mappings. Then the connection is closed
 * and made anew, for servers answer a reset without doing it; or, where the operator trusts the
 * reset, the device is reset. While the server is away there is no connection; an exported device
 * is left to the next VMM as it was learned.
 */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/dma.h>
#include <vuc/irq.h>

#include "clock.h"
#include "error.h"
#include "outage.h"
#include "source.h"
#include "vmm.h"

struct leaving {
	const struct control_vmm *v;
	bool asks;    /* the server is asked to let go, before its connection is closed */
	bool learned; /* the device is away, and has forgotten the VMM */
	struct held_files held;

	/* On the poller's thread. */
	struct vuc_device *dev;
	unsigned int left; /* operations that have not ended, and one while they are started */
	int status;        /* the first error */
	struct vuc_error err;
	vuc_done_fn done;
	void *done_arg;
};

static void
leaving_note_failure(struct leaving *l, int status, const char *why)
{
	if (l->status == 0)
		l->status = vuc_error_set(&l->err, status, "%s", why);
}

/* A vuc_done_fn. */
static void
leaving_learned(void *arg, int status, const struct vuc_error *err)
{
	struct leaving *l = arg;

	vuc_device_hurry(l->dev, 0, 0, NULL);
	if (status != 0)
		leaving_note_failure(l, status, err->text);
	l->done(l->done_arg, l->status, &l->err);
}

/* The device is as it was before the VMM came, as far as that can be seen from here. Returns
 * whether the record of a connection that stays is awaited. */
static bool
leaving_end_cleaning(struct leaving *l)
{
	if (l->status == 0 && vuc_dma_count(l->dev) > 0)
		leaving_note_failure(l, -EBUSY, "DMA mappings are left");
	if (l->status != 0)
		return false;
	vuc_dma_set_revoked(l->dev, NULL);
	vuc_device_forget_bypasses(l->dev);
	if (l->v->device->reset != VUC_CONTROL_RESET_TRUST)
		return false;
	/* A connection with features set does not stay. */
	if (!l->v->features_set && control_link_learn(l->v->link, leaving_learned, l) == 0)
		return true;
	/* Nobody waits for its server any more. */
	vuc_device_hurry(l->dev, 0, 0, NULL);
	return false;
}

/* A vuc_done_fn. */
static void
leaving_step_ended(void *arg, int status, const struct vuc_error *err)
{
	struct leaving *l = arg;

	if (status != 0)
		leaving_note_failure(l, status, err->text);
	if (--l->left > 0)
		return;
	if (!leaving_end_cleaning(l))
		l->done(l->done_arg, l->status, &l->err);
}

/* A vuc_done_fn. Some servers have the flag but no reset, and some end on it. */
static void
leaving_reset_ended(void *arg, int status, const struct vuc_error *err)
{
	struct leaving *l = arg;

	if (status == -EOPNOTSUPP)
		status = 0;
	else if (status != 0 && !vuc_device_connected(l->dev))
		status = -EPIPE;
	leaving_step_ended(l, status, err);
}

/* rc: of what has started it. */
static void
leaving_step_started(struct leaving *l, int rc)
{
	if (rc == 0)
		l->left++;
	else
		leaving_note_failure(l, rc, vuc_device_reason(l->dev));
}

static void
leaving_disable_irqs(struct leaving *l)
{
	uint32_t nr = vuc_device_info(l->dev)->num_irqs;

	for (uint32_t i = 0; i < nr; i++) {
		const struct vuc_irq *irq = vuc_device_irq(l->dev, i);

		if (l->v->irqs != NULL && l->v->irqs[i] && irq->count > 0)
			leaving_step_started(
				l, vuc_irq_disable_start(l->dev, i, leaving_step_ended, l));
	}
}

/* Where the connection stays, the server also forgets what nobody here knows of. */
static void
leaving_unmap(struct leaving *l)
{
	int rc = 0;

	if (l->v->device->reset == VUC_CONTROL_RESET_TRUST)
		rc = vuc_dma_unmap_all(l->dev);
	else if (vuc_dma_count(l->dev) > 0)
		rc = vuc_dma_unmap(l->dev, 0, UINT64_MAX);
	leaving_step_started(l, rc != 0 ? rc : vuc_dma_commit_start(l->dev, leaving_step_ended, l));
}

static void
leaving_reset(struct leaving *l)
{
	if ((vuc_device_info(l->dev)->flags & VFIO_DEVICE_FLAGS_RESET) != 0)
		leaving_step_started(l, vuc_device_reset_start(l->dev, leaving_reset_ended, l));
}

/* A control_start_fn. The device carries its operations out in this order, and their time runs from
 * here on, so that a server that hangs in all of them has no more than that of one. */
static int
leaving_clean(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	struct leaving *l = arg;

	if (l->learned)
		return OPERATION_DONE;
	if (l->held.nr == 0)
		vmm_hold_files(dev, &l->held);
	if (!vuc_device_connected(dev))
		return -ENOTCONN;
	if (!l->asks)
		return OPERATION_DONE;
	l->dev = dev;
	l->done = done;
	l->done_arg = done_arg;
	l->left = 1;
	leaving_disable_irqs(l);
	leaving_unmap(l);
	if (l->v->device->reset == VUC_CONTROL_RESET_TRUST)
		leaving_reset(l);
	if (--l->left > 0)
		return 0;
	if (leaving_end_cleaning(l))
		return 0;
	return l->status != 0 ? l->status : OPERATION_DONE;
}

/* A VMM that has detached is told when the server has let go of its memory. One that has hung up
 * waits for nothing, and a server that a reset ends may end of an unmapping, too: closing the
 * connection is all that other clients do. When the daemon ends, all connections are closed, and
 * no VMM waits for the timeouts of other servers. */
static bool
leaving_asks_server(const struct control_vmm *v, bool stopping)
{
	if (stopping)
		return false;
	return v->device->reset == VUC_CONTROL_RESET_TRUST ||
		(v->device->reset == VUC_CONTROL_RESET_ON && !v->hung_up);
}

static void
leaving_begin(struct leaving *leaving)
{
	const struct control_vmm *v = leaving->v;
	struct vuc_control *c = v->control;

	pthread_mutex_lock(&c->lock);
	leaving->asks = leaving_asks_server(v, c->stop);
	v->device->cleaning = true;
	v->device->since_ms = vuc_clock_ms();
	control_end_release(v->device);
	/* A new connection that was to be restored is not wanted any more. */
	if (v->device->link != v->link)
		control_poke(v->device);
	if (v->device->stage != CONTROL_STAGE_NONE) {
		v->device->stage = CONTROL_STAGE_NONE;
		vuc_error_set(&v->device->reason, 0, "the VMM left before it was restored");
	}
	pthread_mutex_unlock(&c->lock);
}

/* With the lock held: whether the connection stays for the next VMM: one that has ended, if there
 * is no newer one; or one whose server was trusted, and asked. */
static bool
leaving_keeps_link(const struct leaving *leaving, int rc)
{
	const struct control_vmm *v = leaving->v;
	const struct control_device *d = v->device;
	bool current = d->link == v->link;

	if (leaving->learned)
		return !d->removing && (current || (d->link == NULL && d->learned == NULL));
	return current && rc == 0 && leaving->asks && d->reset == VUC_CONTROL_RESET_TRUST &&
		!v->features_set;
}

/* Returns whether the connection is to be closed. Until it is closed, it stays that of the VMM: a
 * removal of the device hurries it. */
static bool
leaving_give_up_link(
	struct control_vmm *v, const struct leaving *leaving, int rc, const struct vuc_error *err)
{
	struct control_device *d = v->device;
	struct control_link *link = v->link;
	bool current, kept;

	pthread_mutex_lock(&v->control->lock);
	current = d->link == link;
	kept = leaving_keeps_link(leaving, rc);
	if (kept) {
		atomic_store_explicit(&link->kept_files, 0, memory_order_relaxed);
		if (!current)
			d->learned = link;
		v->link = NULL;
	} else if (current) {
		d->link = NULL;
		d->silent_ms = 0;
	}
	if (current && rc != 0)
		d->reason = *err;
	if (!kept && d->removing)
		control_hurry_removal(d);
	/* One that is closed in any case need not have let go before. A connection that was
	 * restored just now is not the device's yet. */
	if (kept)
		d->renewing = false;
	else if (current)
		d->renewing = rc == 0 || d->reset != VUC_CONTROL_RESET_TRUST;
	else
		d->renewing = rc == 0 && d->link == NULL;
	pthread_mutex_unlock(&v->control->lock);
	/* The control thread may have seen first that the reset has ended it. */
	if ((current && rc != 0) || rc == -EPIPE)
		vmm_log(v, VUC_LOG_WARNING,
			"cleanup failed, closing the connection to the server: %s%s",
			rc == -EPIPE ? "disconnected on DEVICE_RESET: " : "", err->text);
	return !kept;
}

/* A vuc_done_fn, on the control thread. */
static void
leaving_link_closed(void *arg, int status, const struct vuc_error *err)
{
	struct control_link *link = arg;
	struct control_device *d = link->device;

	(void)status;
	(void)err;
	pthread_mutex_lock(&d->control->lock);
	d->vmm->link = NULL;
	pthread_cond_broadcast(&d->control->changed);
	pthread_mutex_unlock(&d->control->lock);
}

static void
leaving_close_link(struct control_vmm *v)
{
	struct vuc_control *c = v->control;

	control_link_close_start(v->link, true, leaving_link_closed);
	pthread_mutex_lock(&c->lock);
	while (v->link != NULL)
		pthread_cond_wait(&c->changed, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

/* The next one may have it; or it is connected to again. */
static void
leaving_end(struct control_vmm *v)
{
	struct control_device *d = v->device;

	pthread_mutex_lock(&v->control->lock);
	d->vmm = NULL;
	d->differs = false;
	d->cleaning = d->renewing;
	d->since_ms = vuc_clock_ms();
	v->device = NULL;
	pthread_cond_broadcast(&v->control->changed);
	control_poke(d);
	pthread_mutex_unlock(&v->control->lock);
}

static void
vmm_free_attachment(struct control_vmm *v)
{
	struct vuc_control *c = v->control;

	int request_fd;

	pthread_mutex_lock(&c->lock);
	v->page = NULL;
	request_fd = v->request_fd;
	v->request_fd = -1;
	pthread_mutex_unlock(&c->lock);
	vmm_close_fds(v, &request_fd, 1);
	memory_free(&v->state_memory);
	memory_free(&v->bell);
	if (v->kick_fd >= 0)
		close(v->kick_fd);
	if (v->event_fd >= 0)
		close(v->event_fd);
	v->kick_fd = -1;
	v->event_fd = -1;
	free(v->irqs);
	v->irqs = NULL;
	dma_maps_fini(&v->maps);
}

void
vmm_release(struct control_vmm *v)
{
	struct leaving leaving = {.v = v};
	struct vuc_error err = {0};
	int rc;

	leaving_begin(&leaving);
	leaving.learned = vmm_end_record(v, &leaving.held);
	vuc_poller_remove_remote(v->remote);
	v->remote = NULL;
	vmm_free_queues(v);
	rc = vmm_operate(v, leaving_clean, &leaving, &err);
	if (leaving_give_up_link(v, &leaving, rc, &err))
		leaving_close_link(v);
	/* A server that keeps its connection may still use it. */
	if (v->device->reset != VUC_CONTROL_RESET_TRUST)
		control_bar0_clear(v->device);
	vmm_close_files(&leaving.held);
	vmm_free_attachment(v);
	atomic_store_explicit(&v->nr_dma_maps, 0, memory_order_relaxed);
	leaving_end(v);
}
