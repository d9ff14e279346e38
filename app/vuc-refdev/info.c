/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "device.h"

#define NR_AREAS 2

/* The capability chain of BAR4: one link, a struct vfio_user_cap_sparse_mmap with its areas. */
struct sparse_caps {
	struct vfio_user_cap_header header;
	uint32_t nr_areas;
	uint32_t reserved;
	struct vfio_user_sparse_area areas[NR_AREAS];
} VFIO_USER_PACKED;

_Static_assert(offsetof(struct sparse_caps, areas) == sizeof(struct vfio_user_cap_sparse_mmap),
	"sparse areas follow their capability");

static const struct sparse_caps bar4_caps = {
	.header = {.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1},
	.nr_areas = NR_AREAS,
	.areas =
		{
			{.offset = REFDEV_BAR4_AREA_0, .size = REFDEV_PAGE_SIZE},
			{.offset = REFDEV_BAR4_AREA_1, .size = REFDEV_PAGE_SIZE},
		},
};

int
refdev_device_info_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	const struct vfio_user_device_info reply = {
		.argsz = sizeof(reply),
		.flags = VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI,
		.num_regions = REFDEV_NR_REGIONS,
		.num_irqs = REFDEV_NR_IRQ_INDEXES,
	};
	struct vfio_user_device_info ask;

	(void)dev;
	memcpy(&ask, in->bytes, sizeof(ask));
	if (ask.flags != 0 || ask.num_regions != 0 || ask.num_irqs != 0)
		return -EINVAL;
	return refdev_body_put(out, &reply, sizeof(reply), sizeof(reply), ask.argsz);
}

/* The client's own descriptor for a region's memory. */
static int
attach_memory(struct refdev_body *out, const struct refdev_memory *mem)
{
	int fd = fcntl(mem->fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	out->fds[0] = fd;
	out->nr_fds = 1;
	return 0;
}

/* Region info and capabilities as they are told in full. */
struct region_reply {
	struct vfio_user_region_info info;
	struct sparse_caps caps;
} VFIO_USER_PACKED;

static void
fill_region_reply(struct region_reply *reply, uint32_t index, bool mappable)
{
	const struct refdev_region *region = &refdev_regions[index];
	uint32_t flags = region->flags;

	if (!mappable)
		flags &= ~(uint32_t)(VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS);
	*reply = (struct region_reply){
		.info =
			{
				.argsz = sizeof(reply->info),
				.flags = flags,
				.index = index,
				.size = region->size,
			},
	};
	if (flags & VFIO_REGION_INFO_FLAG_CAPS) {
		reply->info.argsz = sizeof(*reply);
		reply->info.cap_offset = sizeof(reply->info);
		reply->caps = bar4_caps;
	}
}

/* A client that can't receive descriptors gets regions that can't be mapped. */
int
refdev_region_info_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	const struct refdev_memory *mem;
	struct vfio_user_region_info ask;
	struct region_reply reply;
	int rc;

	memcpy(&ask, in->bytes, sizeof(ask));
	if (ask.index >= REFDEV_NR_REGIONS || ask.flags != 0 || ask.cap_offset != 0 ||
		ask.size != 0 || ask.offset != 0)
		return -EINVAL;
	mem = dev->client_max_msg_fds > 0 ? refdev_region_memory(dev, ask.index) : NULL;
	fill_region_reply(&reply, ask.index, mem != NULL);
	rc = refdev_body_put(out, &reply, reply.info.argsz, sizeof(reply.info), ask.argsz);
	if (rc != 0)
		return rc;
	return mem != NULL && ask.argsz >= reply.info.argsz ? attach_memory(out, mem) : 0;
}

int
refdev_irq_info_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	struct vfio_user_irq_info ask;
	struct vfio_user_irq_info reply;

	(void)dev;
	memcpy(&ask, in->bytes, sizeof(ask));
	if (ask.index >= REFDEV_NR_IRQ_INDEXES || ask.flags != 0 || ask.count != 0)
		return -EINVAL;
	reply = (struct vfio_user_irq_info){
		.argsz = sizeof(reply),
		.flags = refdev_irq_indexes[ask.index].flags,
		.index = ask.index,
		.count = refdev_irq_indexes[ask.index].count,
	};
	return refdev_body_put(out, &reply, sizeof(reply), sizeof(reply), ask.argsz);
}
