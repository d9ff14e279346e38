/* SPDX-License-Identifier: BSD-3-Clause */

/* What there is to say of devices. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/export.h>

#include "clock.h"
#include "control.h"
#include "vmm.h"
#include "watch.h"

static enum vuc_control_state
list_state_of(const struct control_device *d)
{
	if (d->cleaning)
		return VUC_CONTROL_CLEANING;
	if (d->link == NULL && d->stage != CONTROL_STAGE_NONE)
		return d->stage == CONTROL_STAGE_FENCED ? VUC_CONTROL_FENCED
							: VUC_CONTROL_RESTORING;
	if (d->link == NULL)
		return VUC_CONTROL_AWAY;
	if (d->vmm != NULL && d->vmm->link != d->link)
		return VUC_CONTROL_STALE;
	if (d->silent_ms != 0)
		return VUC_CONTROL_NOT_ANSWERING;
	return d->vmm != NULL ? VUC_CONTROL_ATTACHED : VUC_CONTROL_FREE;
}

/* Whatever else there is to say of it. */
static void
list_explain_release(const struct control_device *d, struct vuc_control_device *to)
{
	uint64_t now = vuc_clock_ms();

	if (d->release_end_ms != 0)
		snprintf(to->reason, sizeof(to->reason),
			"the VMM has been asked to release the device, which is taken away in %" PRIu64
			" ms",
			d->release_end_ms > now ? d->release_end_ms - now : 0);
}

static void
list_explain(const struct control_device *d, struct vuc_control_device *to)
{
	const char *awaited;

	to->since_ms = vuc_clock_ms() - d->since_ms;
	switch (to->state) {
	case VUC_CONTROL_AWAY:
		awaited = atomic_load_explicit(&d->awaited, memory_order_relaxed);
		if (awaited != NULL)
			snprintf(to->reason, sizeof(to->reason),
				"connected, waiting for the answer to %s", awaited);
		else
			snprintf(to->reason, sizeof(to->reason), "%s", d->reason.text);
		break;
	case VUC_CONTROL_FENCED:
	case VUC_CONTROL_RESTORING:
		snprintf(to->reason, sizeof(to->reason), "%s", d->reason.text);
		break;
	case VUC_CONTROL_NOT_ANSWERING:
		to->since_ms = vuc_clock_ms() - d->silent_ms;
		snprintf(to->reason, sizeof(to->reason),
			"requests time out: the server has sent nothing for %" PRIu64 " ms",
			to->since_ms);
		break;
	case VUC_CONTROL_STALE:
		snprintf(to->reason, sizeof(to->reason),
			"reconnected; the VMM still has the previous connection, and has to detach "
			"and to attach again");
		break;
	case VUC_CONTROL_FREE:
	case VUC_CONTROL_ATTACHED:
	case VUC_CONTROL_CLEANING:
		break;
	}
	list_explain_release(d, to);
}

static void
list_look_at_counters(const struct control_device *d, struct vuc_control_device *to)
{
	struct vuc_device_stats stats;

	vuc_poller_account_stats(d->poller, d->account, &stats);
	to->reads = stats.accesses.reads;
	to->writes = stats.accesses.writes;
	to->posted = stats.accesses.posted;
	to->errors = stats.accesses.errors;
	to->timeouts = stats.accesses.timeouts;
	to->outages = stats.outages;
	to->outage_ms = stats.outage_ms;
	to->outage_last_ms = stats.outage_last_ms;
	to->held_reads = stats.accesses.held_reads;
	to->dropped_writes = stats.accesses.dropped_writes;
	to->read_bytes = stats.accesses.read_bytes;
	to->written_bytes = stats.accesses.written_bytes;
	vuc_poller_account_latency(d->poller, d->account, &to->latency);
}

static void
list_look_at_vmm(const struct control_vmm *v, struct vuc_control_device *to)
{
	to->vmm_pid = v->user.pid;
	to->vmm_uid = v->user.uid;
	snprintf(to->vmm_name, sizeof(to->vmm_name), "%s", v->name);
	to->vmm_exported = v->exported[0] != '\0';
	to->queues = atomic_load_explicit(&v->nr_queues, memory_order_relaxed);
	to->dma_maps = atomic_load_explicit(&v->nr_dma_maps, memory_order_relaxed);
	to->attached_ms = vuc_clock_ms() - v->attached_ms;
}

/* With the lock held. */
static void
list_look_at_device(const struct control_device *d, struct vuc_control_device *to)
{
	*to = (struct vuc_control_device){
		.state = list_state_of(d),
		.generation = d->generation,
		.attaches = d->attaches,
	};
	snprintf(to->name, sizeof(to->name), "%s", d->name);
	snprintf(to->socket, sizeof(to->socket), "%s", d->path);
	snprintf(to->export_path, sizeof(to->export_path), "%s",
		d->exported.listener.fd >= 0 ? d->exported.listener.address.sun_path : "");
	snprintf(to->poller, sizeof(to->poller), "%s", vuc_poller_name(d->poller));
	list_explain(d, to);
	list_look_at_counters(d, to);
	if (d->vmm != NULL && !d->cleaning)
		list_look_at_vmm(d->vmm, to);
}

/* A copy of all, so that fn may take its time, and call what it likes. */
static struct vuc_control_device *
list_copy_all(struct vuc_control *c, size_t *nr)
{
	const struct control_device *d;
	struct vuc_control_device *list;

	pthread_mutex_lock(&c->lock);
	*nr = 0;
	TAILQ_FOREACH (d, &c->devices, entry)
		++*nr;
	list = calloc(*nr + 1, sizeof(*list));
	*nr = 0;
	if (list != NULL) {
		TAILQ_FOREACH (d, &c->devices, entry)
			list_look_at_device(d, &list[(*nr)++]);
	}
	pthread_mutex_unlock(&c->lock);
	return list;
}

VUC_EXPORT void
vuc_control_list(struct vuc_control *c, vuc_control_device_fn fn, void *arg)
{
	struct vuc_control_device *list;
	size_t nr;

	list = list_copy_all(c, &nr);
	for (size_t i = 0; i < nr; i++)
		fn(arg, &list[i]);
	free(list);
}

VUC_EXPORT int
vuc_control_look(struct vuc_control *c, const char *name, struct vuc_control_device *device)
{
	const struct control_device *d;

	pthread_mutex_lock(&c->lock);
	d = control_find(c, name);
	if (d != NULL)
		list_look_at_device(d, device);
	pthread_mutex_unlock(&c->lock);
	return d != NULL ? 0 : -ENOENT;
}
