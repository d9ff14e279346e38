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

/* Region info and capabilities as they are told in full. */
struct region_reply {
	struct vfio_user_region_info info;
	uint8_t caps[REFDEV_MAX_CAPS];
} VFIO_USER_PACKED;

static void
fill_region_reply(struct region_reply *reply, const struct refdev_region *region, uint32_t index,
	bool mappable)
{
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
		reply->info.argsz += region->caps_size;
		reply->info.cap_offset = sizeof(reply->info);
		memcpy(reply->caps, region->caps, region->caps_size);
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
	mem = dev->client_max_msg_fds > 0 ? dev->model->memory(dev, ask.index) : NULL;
	fill_region_reply(&reply, &dev->model->regions[ask.index], ask.index, mem != NULL);
	rc = refdev_body_put(out, &reply, reply.info.argsz, sizeof(reply.info), ask.argsz);
	if (rc != 0)
		return rc;
	return mem != NULL && ask.argsz >= reply.info.argsz ? refdev_body_attach(out, mem->fd) : 0;
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
	if (out->size < sizeof(access))
		return -EMSGSIZE;
	rc = region_write(dev, &access, in->bytes + sizeof(access));
	if (rc != 0)
		return rc;
	memcpy(out->bytes, &access, sizeof(access));
	out->len = sizeof(access);
	return 0;
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
	return refdev_body_put(out, &multi, sizeof(multi), sizeof(multi), sizeof(multi));
}
