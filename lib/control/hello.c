/* SPDX-License-Identifier: BSD-3-Clause */

/* HELLO: who speaks, and in which version. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text.h"
#include "vmm.h"

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
