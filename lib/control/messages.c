/* SPDX-License-Identifier: BSD-3-Clause */

/* What a VMM may say, and when; HELLO and LIST. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "text.h"
#include "vmm.h"

/* ---- HELLO: who speaks, and in which version ---- */

static void
hello_keep_name(struct control_vmm *v, const char *name)
{
	pthread_mutex_lock(&v->control->lock);
	snprintf(v->name, sizeof(v->name), "%s", name);
	vuc_text_clean_name(v->name);
	pthread_mutex_unlock(&v->control->lock);
}

static int
hello_check(struct control_vmm *v)
{
	const struct vuc_shm_hello *h = &v->packet.hello;

	if (h->magic != VUC_SHM_MAGIC)
		return vmm_end(v, "magic 0x%" PRIx64, h->magic);
	if (h->reserved != 0)
		return vmm_end(v, "reserved is 0x%x", h->reserved);
	if (h->version_min == 0 || h->version_min > h->version_max)
		return vmm_end(v, "versions %u to %u", h->version_min, h->version_max);
	if (memchr(h->name, '\0', sizeof(h->name)) == NULL)
		return vmm_end(v, "unterminated name");
	return 0;
}

int
vmm_hello(struct control_vmm *v)
{
	const struct vuc_control_opts *opts = &v->control->opts;
	const struct vuc_shm_hello *h = &v->packet.hello;
	struct vuc_shm_hello_reply reply = {
		.version = VUC_SHM_VERSION,
		.max_queues = opts->max_queues,
		.max_depth = VUC_SHM_MAX_DEPTH,
		.max_data = VUC_SHM_MAX_DATA,
		.max_dma_maps = opts->max_dma_maps,
	};
	int rc = hello_check(v);

	if (rc != 0)
		return rc;
	hello_keep_name(v, h->name);
	if (h->version_min > VUC_SHM_VERSION || h->version_max < VUC_SHM_VERSION)
		return vmm_refuse(v, -EPROTONOSUPPORT,
			"the VMM supports versions %u to %u of the protocol, the daemon version %u",
			h->version_min, h->version_max, VUC_SHM_VERSION);
	v->state = VMM_GREETED;
	return vmm_reply(v, &reply.header, sizeof(reply), NULL, 0);
}

/* ---- LIST: the devices that a VMM's user may attach to ---- */

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

/* ---- all messages ---- */

struct message {
	size_t min; /* bytes */
	size_t max;
	unsigned int states;
	bool fds; /* descriptors may come; how many is for the handler to check */
	int (*handle)(struct control_vmm *v);
};

#define EXACTLY(type) sizeof(struct type), sizeof(struct type)

static const struct message messages[] = {
	[VUC_SHM_HELLO] = {EXACTLY(vuc_shm_hello), VMM_CONNECTED, false, vmm_hello},
	[VUC_SHM_ATTACH] = {EXACTLY(vuc_shm_attach), VMM_GREETED, false, vmm_attach},
	[VUC_SHM_REGION_INFO] = {EXACTLY(vuc_shm_index), VMM_ATTACHED, false, vmm_region_info},
	[VUC_SHM_IRQ_INFO] = {EXACTLY(vuc_shm_index), VMM_ATTACHED, false, vmm_irq_info},
	[VUC_SHM_OPEN_QUEUE] = {EXACTLY(vuc_shm_open_queue), VMM_ATTACHED, false, vmm_open_queue},
	[VUC_SHM_CLOSE_QUEUE] = {EXACTLY(vuc_shm_index), VMM_ATTACHED, false, vmm_close_queue},
	[VUC_SHM_DMA] = {sizeof(struct vuc_shm_dma),
		sizeof(struct vuc_shm_dma) + VUC_SHM_MAX_DMA * sizeof(struct vuc_shm_dma_entry),
		VMM_ATTACHED, true, vmm_dma},
	[VUC_SHM_SET_IRQS] = {sizeof(struct vuc_shm_set_irqs),
		sizeof(struct vuc_shm_set_irqs) + VUC_SHM_MAX_IRQS, VMM_ATTACHED, true,
		vmm_set_irqs},
	[VUC_SHM_IO_FDS] = {EXACTLY(vuc_shm_index), VMM_ATTACHED, false, vmm_io_fds},
	[VUC_SHM_RESET] = {EXACTLY(vuc_shm_plain), VMM_ATTACHED, false, vmm_reset},
	[VUC_SHM_DETACH] = {EXACTLY(vuc_shm_plain), VMM_ATTACHED, false, vmm_detach},
	[VUC_SHM_LIST] = {EXACTLY(vuc_shm_list), VMM_GREETED, false, vmm_list},
};

static const struct message *
message_find(uint16_t type)
{
	if (type >= sizeof(messages) / sizeof(messages[0]) || messages[type].handle == NULL)
		return NULL;
	return &messages[type];
}

static int
message_check_header(struct control_vmm *v, uint32_t last)
{
	const struct packet *p = &v->packet;
	const struct vuc_shm_header *h = &p->header;

	if (h->size != p->len)
		return vmm_end(v, "size %u, received %zu bytes", h->size, p->len);
	if (h->flags != 0)
		return vmm_end(v, "flags 0x%x instead of 0", h->flags);
	if (h->status != 0)
		return vmm_end(v, "status %d instead of 0", h->status);
	if (v->sequenced && h->sequence != last + 1)
		return vmm_end(v, "sequence %u after %u", h->sequence, last);
	return 0;
}

static const char *
state_name(enum vmm_state state)
{
	if (state == VMM_CONNECTED)
		return "before HELLO";
	return state == VMM_GREETED ? "between HELLO and ATTACH" : "after ATTACH";
}

static int
message_check_row(struct control_vmm *v, const struct message *m)
{
	const struct packet *p = &v->packet;

	if ((m->states & v->state) == 0)
		return vmm_end(v, "not allowed %s", state_name(v->state));
	if (p->len < m->min || p->len > m->max)
		return vmm_end(v, "%zu bytes, expected %zu to %zu", p->len, m->min, m->max);
	if (!m->fds && p->nr_fds > 0)
		return vmm_end(v, "%u unexpected descriptors", p->nr_fds);
	return 0;
}

int
vmm_dispatch(struct control_vmm *v)
{
	const struct packet *p = &v->packet;
	const struct message *m;
	int rc;

	if (p->len < sizeof(p->header))
		return vuc_error_set(&v->why, -EPROTO, "a packet of %zu bytes", p->len);
	m = message_find(p->header.type);
	if (m == NULL)
		return vuc_error_set(
			&v->why, -EPROTO, "a packet of unknown type %u", p->header.type);
	rc = message_check_header(v, v->sequence);
	v->sequence = p->header.sequence;
	v->sequenced = true;
	if (rc == 0)
		rc = message_check_row(v, m);
	return rc == 0 ? m->handle(v) : rc;
}
