/* SPDX-License-Identifier: BSD-3-Clause */

/* What a client asks about device and regions, and its reads and writes of them. */

#include <errno.h>

#include "device.h"

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

/* A reply with its capability, a struct vfio_user_cap_sparse_mmap with its areas. */
struct region_reply {
	struct vfio_user_region_info info;
	struct vfio_user_cap_header cap;
	uint32_t nr_areas;
	uint32_t reserved;
	struct vfio_user_sparse_area areas[REFDEV_MAX_AREAS];
} VFIO_USER_PACKED;

_Static_assert(offsetof(struct region_reply, areas) - offsetof(struct region_reply, cap) ==
		sizeof(struct vfio_user_cap_sparse_mmap),
	"sparse areas follow their capability");

static void
fill_region_reply(struct region_reply *reply, const struct refdev_region *region, uint32_t index,
	bool mappable)
{
	*reply = (struct region_reply){
		.info = {.argsz = sizeof(reply->info), .index = index, .size = region->size},
		.cap = {.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1},
		.nr_areas = region->nr_areas,
	};
	memcpy(reply->areas, region->areas, sizeof(reply->areas));
	if (region->size > 0)
		reply->info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	if (mappable)
		reply->info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
	if (mappable && region->nr_areas > 0) {
		reply->info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
		reply->info.cap_offset = offsetof(struct region_reply, cap);
		reply->info.argsz = (uint32_t)(offsetof(struct region_reply, areas) +
			region->nr_areas * sizeof(region->areas[0]));
	}
}

/* A client that can't receive descriptors gets regions that can't be mapped. */
int
refdev_region_info_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	struct vfio_user_region_info ask;
	struct region_reply reply;
	bool mappable;
	int rc;

	memcpy(&ask, in->bytes, sizeof(ask));
	if (ask.index >= REFDEV_NR_REGIONS || ask.flags != 0 || ask.cap_offset != 0 ||
		ask.size != 0 || ask.offset != 0)
		return -EINVAL;
	mappable = dev->client_max_msg_fds > 0 && dev->model->regions[ask.index].mappable;
	fill_region_reply(&reply, &dev->model->regions[ask.index], ask.index, mappable);
	rc = refdev_body_put(out, &reply, reply.info.argsz, sizeof(reply.info), ask.argsz);
	if (rc != 0 || !mappable || ask.argsz < reply.info.argsz)
		return rc;
	return refdev_body_attach(out, dev->memory[ask.index].fd);
}

/* Regions are far smaller than 4 GiB, so an offset that passed fits 32 bits. */
static const struct refdev_region *
find_region(const struct refdev *dev, const struct vfio_user_region_access *access)
{
	const struct refdev_region *region;

	if (access->region >= REFDEV_NR_REGIONS || access->count == 0)
		return NULL;
	if (access->count > dev->config.max_data_xfer_size)
		return NULL;
	region = &dev->model->regions[access->region];
	if (access->offset > region->size || access->count > region->size - access->offset)
		return NULL;
	return region;
}

int
refdev_region_read_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	const struct refdev_region *region;
	struct vfio_user_region_access access;
	int rc;

	memcpy(&access, in->bytes, sizeof(access));
	region = find_region(dev, &access);
	if (region == NULL)
		return -EINVAL;
	if (out->size < sizeof(access) + access.count)
		return -EMSGSIZE;
	rc = region->read(dev, (uint32_t)access.offset, out->bytes + sizeof(access), access.count);
	if (rc != 0)
		return rc;
	memcpy(out->bytes, &access, sizeof(access));
	out->len = sizeof(access) + access.count;
	return 0;
}

/* Write to a region, within its bounds or not: 0 or a negative errno. */
static int
region_write(struct refdev *dev, const struct vfio_user_region_access *access, const uint8_t *data)
{
	const struct refdev_region *region = find_region(dev, access);
	int rc;

	if (region == NULL)
		return -EINVAL;
	rc = region->write(dev, (uint32_t)access->offset, data, access->count);
	if (dev->reset_due)
		refdev_reset(dev);
	dev->reset_due = false;
	return rc;
}

int
refdev_region_write_handle(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	struct vfio_user_region_access access;
	int rc;

	memcpy(&access, in->bytes, sizeof(access));
	if (in->len - sizeof(access) != access.count)
		return -EINVAL;
	rc = region_write(dev, &access, in->bytes + sizeof(access));
	return rc != 0 ? rc : refdev_body_append(out, &access, sizeof(access));
}

static int
entry_write(struct refdev *dev, const uint8_t *at)
{
	struct vfio_user_write_multi_entry entry;

	memcpy(&entry, at, sizeof(entry));
	if (entry.count > sizeof(entry.data))
		return -EINVAL;
	return region_write(dev,
		&(struct vfio_user_region_access){
			.offset = entry.offset, .region = entry.region, .count = entry.count},
		entry.data);
}

/* One message stands for many, so that a write that fails keeps none behind it from being done. The
 * answer tells how many succeeded or, when none did, the first error. */
int
refdev_write_multi_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	const size_t each = sizeof(struct vfio_user_write_multi_entry);
	struct vfio_user_write_multi multi;
	size_t room = in->len - sizeof(multi);
	uint64_t done = 0;
	int error = 0;

	memcpy(&multi, in->bytes, sizeof(multi));
	if (multi.wr_cnt == 0 || room % each != 0 || room / each != multi.wr_cnt)
		return -EINVAL;
	for (uint64_t i = 0; i < multi.wr_cnt; i++) {
		int rc = entry_write(dev, in->bytes + sizeof(multi) + i * each);

		done += rc == 0;
		error = error == 0 ? rc : error;
	}
	if (done == 0)
		return error;
	multi.wr_cnt = done;
	return refdev_body_append(out, &multi, sizeof(multi));
}
