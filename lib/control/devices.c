/* SPDX-License-Identifier: BSD-3-Clause */

/* The list of devices: one is found, looked at, taken away from its VMM, and freed. */

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "control.h"
#include "vmm.h"
#include "watch.h"

void
control_device_free(struct control_device *d)
{
	control_export_close(d);
	control_permission_fini(&d->permission);
	vuc_poller_close_account(d->poller, d->account);
	free(d);
}

struct control_device *
control_find(struct vuc_control *c, const char *name)
{
	struct control_device *d;

	TAILQ_FOREACH (d, &c->devices, entry) {
		if (!d->removing && strcmp(d->name, name) == 0)
			return d;
	}
	return NULL;
}

uint64_t
control_count_dropped(const struct control_device *d)
{
	struct vuc_device_stats stats;

	vuc_poller_account_stats(d->poller, d->account, &stats);
	return stats.accesses.dropped_writes;
}

void
control_poke(struct control_device *d)
{
	/* Pairs with control_look_at_poked(). */
	if (!atomic_exchange_explicit(&d->poked, true, memory_order_acq_rel))
		vuc_mailbox_post(&d->control->mailbox, &d->poke);
}

void
control_insert_request(struct control_device *d, struct control_request *r)
{
	r->attaches = d->attaches;
	STAILQ_INSERT_TAIL(&d->requests, r, link);
	control_poke(d);
}

bool
control_has_vmm(const struct control_device *d)
{
	return d->vmm != NULL && !d->cleaning;
}

void
control_take_away(struct control_device *d)
{
	vmm_tell(d->vmm, VUC_SHM_REMOVED, d->generation);
	vmm_leave(d->vmm, vuc_clock_ms() + LEAVE_GRACE_MS, "the device was taken away");
}

void
control_answer(struct control_requests *requests)
{
	static const struct vuc_error none = {0};
	struct control_request *r;

	while ((r = STAILQ_FIRST(requests)) != NULL) {
		STAILQ_REMOVE_HEAD(requests, link);
		r->done(r->arg, 0, &none);
		free(r);
	}
}

void
control_drop_device(struct control_device *d)
{
	struct control_requests requests = STAILQ_HEAD_INITIALIZER(requests);
	struct vuc_control *c = d->control;
	bool poked;

	/* What was poked is looked at once more. Nobody pokes it from now on: it is not found. */
	pthread_mutex_lock(&c->lock);
	poked = atomic_load_explicit(&d->poked, memory_order_relaxed);
	pthread_mutex_unlock(&c->lock);
	if (poked)
		return;
	control_bar0_remove(d);
	control_log(&c->log, VUC_LOG_NOTICE, "%s: removed", d->name);
	pthread_mutex_lock(&c->lock);
	TAILQ_REMOVE(&c->devices, d, entry);
	STAILQ_CONCAT(&requests, &d->requests);
	control_device_free(d);
	pthread_mutex_unlock(&c->lock);
	control_answer(&requests);
}
