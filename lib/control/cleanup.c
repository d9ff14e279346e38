/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * When a VMM leaves, however it does, the device forgets it: its queues first, so that nobody
 * touches its memory any more, then its interrupts and its mappings. Then the connection is closed
 * and made anew, for servers answer a reset without doing it; or, where the operator trusts the
 * reset, the device is reset.
 */

#include <errno.h>

#include <vuc/dma.h>
#include <vuc/irq.h>

#include "clock.h"
#include "error.h"
#include "source.h"
#include "vmm.h"

static int
disable_irqs(struct vuc_device *dev, const struct control_vmm *v)
{
	uint32_t nr = vuc_device_info(dev)->num_irqs;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < nr; i++) {
		const struct vuc_irq *irq = vuc_device_irq(dev, i);

		if (v->irqs != NULL && v->irqs[i] && irq->count > 0)
			rc = vuc_irq_disable(dev, i);
	}
	return rc;
}

/* Where the connection stays, the server also forgets what nobody here knows of. */
static int
unmap(struct vuc_device *dev, enum vuc_control_reset reset)
{
	if (reset == VUC_CONTROL_RESET_TRUST)
		return vuc_dma_unmap_all(dev);
	return vuc_dma_count(dev) > 0 ? vuc_dma_unmap(dev, 0, UINT64_MAX) : 0;
}

struct leaving {
	const struct control_vmm *v;
	bool asks; /* the server is asked to let go, before its connection is closed */
	struct held_files held;
};

/* On the poller's thread. */
static int
clean(struct vuc_device *dev, void *arg)
{
	struct leaving *leaving = arg;
	int rc;

	vmm_hold_files(dev, &leaving->held);
	if (!vuc_device_connected(dev))
		return -ENOTCONN;
	if (!leaving->asks)
		return 0;
	rc = disable_irqs(dev, leaving->v);
	if (rc == 0)
		rc = unmap(dev, leaving->v->device->reset);
	if (rc == 0)
		rc = vuc_dma_commit(dev);
	if (rc == 0 && vuc_dma_count(dev) > 0)
		rc = -EBUSY;
	if (rc == 0) {
		vuc_dma_set_revoked(dev, NULL);
		vuc_device_forget_bypasses(dev);
	}
	if (rc == 0 && leaving->v->device->reset == VUC_CONTROL_RESET_TRUST)
		rc = control_forget_state(dev, NULL);
	return rc;
}

/* A VMM that has detached is told when the server has let go of its memory. One that has hung up
 * waits for nothing, and a server that a reset ends may end of an unmapping, too: closing the
 * connection is all that other clients do. When the daemon ends, all connections are closed, and
 * no VMM waits for the timeouts of other servers. */
static bool
asks_server(const struct control_vmm *v, bool stopping)
{
	if (stopping)
		return false;
	return v->device->reset == VUC_CONTROL_RESET_TRUST ||
		(v->device->reset == VUC_CONTROL_RESET_ON && !v->hung_up);
}

static void
begin(struct leaving *leaving)
{
	const struct control_vmm *v = leaving->v;
	struct vuc_control *c = v->control;

	pthread_mutex_lock(&c->lock);
	leaving->asks = asks_server(v, c->stop);
	v->device->cleaning = true;
	v->device->since_ms = vuc_clock_ms();
	pthread_mutex_unlock(&c->lock);
}

/* Returns the connection that is to be closed, if it is: all but one whose server was trusted, and
 * asked. */
static struct control_link *
give_up(struct control_vmm *v, const struct leaving *leaving, int rc, const struct vuc_error *err)
{
	struct control_device *d = v->device;
	struct control_link *link = v->link;
	bool current, kept;

	pthread_mutex_lock(&v->control->lock);
	current = d->link == link;
	kept = current && rc == 0 && leaving->asks && d->reset == VUC_CONTROL_RESET_TRUST;
	if (current && !kept) {
		d->link = NULL;
		d->silent_ms = 0;
	}
	if (current && rc != 0)
		d->reason = *err;
	v->link = NULL;
	/* One that is closed in any case need not have let go before. */
	d->renewing = current && !kept && (rc == 0 || d->reset != VUC_CONTROL_RESET_TRUST);
	pthread_mutex_unlock(&v->control->lock);
	/* The control thread may have seen first that the reset has ended it. */
	if ((current && rc != 0) || rc == -EPIPE)
		vmm_log(v, VUC_LOG_WARNING,
			"the server does not let go, so its connection is closed: %s%s",
			rc == -EPIPE ? "it ended on DEVICE_RESET: " : "", err->text);
	return kept ? NULL : link;
}

/* The next one may have it; or it is connected to again. */
static void
end(struct control_vmm *v)
{
	struct control_device *d = v->device;

	pthread_mutex_lock(&v->control->lock);
	d->vmm = NULL;
	d->cleaning = d->renewing;
	d->since_ms = vuc_clock_ms();
	v->device = NULL;
	pthread_cond_broadcast(&v->control->changed);
	control_poke(d);
	pthread_mutex_unlock(&v->control->lock);
}

void
vmm_release(struct control_vmm *v)
{
	struct leaving leaving = {.v = v};
	struct control_link *link;
	struct vuc_error err = {0};
	int rc;

	begin(&leaving);
	vuc_poller_remove_remote(v->remote);
	v->remote = NULL;
	vmm_free_queues(v);
	rc = vmm_call(v, clean, &leaving, &err);
	link = give_up(v, &leaving, rc, &err);
	if (link != NULL)
		control_link_close(link);
	vmm_close_files(&leaving.held);
	vmm_free_attachment(v);
	atomic_store_explicit(&v->nr_dma_maps, 0, memory_order_relaxed);
	end(v);
}
