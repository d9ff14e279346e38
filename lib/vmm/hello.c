/* SPDX-License-Identifier: BSD-3-Clause */
#include "hello.h"

#include <stdio.h>

#include "message.h"

static int
hello_check(struct vuc_vmm_device *dev, const union vmm_packet *packet, struct vuc_error *err)
{
	const struct vuc_shm_hello_reply *r = &packet->hello_reply;

	if (r->version != VUC_SHM_VERSION)
		return vmm_reply_wrong(dev, packet, err, "version", r->version);
	if (r->reserved != 0 || r->pad != 0)
		return vmm_reply_wrong(dev, packet, err, "reserved", r->reserved | r->pad);
	if (r->max_queues > VUC_SHM_MAX_QUEUES)
		return vmm_reply_wrong(dev, packet, err, "max_queues", r->max_queues);
	if (r->max_depth == 0 || r->max_depth > VUC_SHM_MAX_DEPTH)
		return vmm_reply_wrong(dev, packet, err, "max_depth", r->max_depth);
	if (r->max_data == 0 || r->max_data > VUC_SHM_MAX_DATA)
		return vmm_reply_wrong(dev, packet, err, "max_data", r->max_data);
	return 0;
}

int
vmm_say_hello(struct vuc_vmm_device *dev, const char *name, struct vuc_error *err)
{
	union vmm_packet packet = {.hello = {
					   .magic = VUC_SHM_MAGIC,
					   .version_min = VUC_SHM_VERSION,
					   .version_max = VUC_SHM_VERSION,
				   }};
	int rc;

	/* The name is for logs only: a long one is cut. */
	snprintf(packet.hello.name, sizeof(packet.hello.name), "%s", name);
	rc = vmm_ask(
		dev, VUC_SHM_HELLO, &packet, sizeof(packet.hello), sizeof(packet.hello_reply), err);
	if (rc == 0)
		rc = hello_check(dev, &packet, err);
	if (rc != 0)
		return rc;
	dev->info.max_queues = packet.hello_reply.max_queues;
	dev->info.max_depth = packet.hello_reply.max_depth;
	dev->info.max_data = packet.hello_reply.max_data;
	dev->info.max_dma_maps = packet.hello_reply.max_dma_maps;
	return 0;
}
