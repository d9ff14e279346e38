/* SPDX-License-Identifier: BSD-3-Clause */

/* LIST: the devices that a VMM's user may attach to. */

#include <stdio.h>
#include <string.h>

#include "vmm.h"

static uint32_t
offer_flags(const struct control_device *d)
{
	uint32_t flags = d->vmm != NULL || d->cleaning ? VUC_SHM_LISTED_IN_USE : 0;

	return d->link != NULL ? flags | VUC_SHM_LISTED_CONNECTED : flags;
}

/* Those from the first one on, as many as there is room for. */
static void
offers_list(struct control_vmm *v, uint32_t first, struct vuc_shm_list_reply *r)
{
	struct control_device *d;
	uint32_t i = 0;

	pthread_mutex_lock(&v->control->lock);
	TAILQ_FOREACH (d, &v->control->devices, entry) {
		if (d->removing || !control_may(&d->permission, &v->user) || i++ < first)
			continue;
		if (r->nr == VUC_SHM_MAX_LIST) {
			r->more++;
			continue;
		}
		r->devices[r->nr].flags = offer_flags(d);
		snprintf(r->devices[r->nr].name, sizeof(r->devices[r->nr].name), "%s", d->name);
		r->nr++;
	}
	pthread_mutex_unlock(&v->control->lock);
}

int
vmm_list(struct control_vmm *v)
{
	const struct vuc_shm_list *request = &v->packet.list;
	union {
		struct vuc_shm_list_reply reply;
		uint8_t bytes[VUC_SHM_MAX_PACKET];
	} packet = {.bytes = {0}};
	struct vuc_shm_list_reply *r = &packet.reply;

	if (request->reserved != 0)
		return vmm_end(v, "reserved is 0x%x", request->reserved);
	offers_list(v, request->first, r);
	return vmm_reply(v, &r->header, sizeof(*r) + r->nr * sizeof(r->devices[0]), NULL, 0);
}
