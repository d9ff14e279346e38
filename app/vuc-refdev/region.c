/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "device.h"

#define READ_WRITE (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

const struct refdev_region refdev_regions[REFDEV_NR_REGIONS] = {
	[VFIO_PCI_BAR0_REGION_INDEX] =
		{
			.size = REFDEV_BAR0_SIZE,
			.flags = READ_WRITE,
			.read = refdev_bar0_read,
			.write = refdev_bar0_write,
		},
	[VFIO_PCI_BAR2_REGION_INDEX] =
		{
			.size = REFDEV_BAR2_SIZE,
			.flags = READ_WRITE | VFIO_REGION_INFO_FLAG_MMAP,
			.read = refdev_bar2_read,
			.write = refdev_bar2_write,
		},
	[VFIO_PCI_BAR4_REGION_INDEX] =
		{
			.size = REFDEV_BAR4_SIZE,
			.flags = READ_WRITE | VFIO_REGION_INFO_FLAG_MMAP |
				VFIO_REGION_INFO_FLAG_CAPS,
			.read = refdev_bar4_read,
			.write = refdev_bar4_write,
		},
	[VFIO_PCI_CONFIG_REGION_INDEX] =
		{
			.size = REFDEV_CONFIG_SIZE,
			.flags = READ_WRITE,
			.read = refdev_config_space_read,
			.write = refdev_config_space_write,
		},
};

const struct refdev_memory *
refdev_region_memory(const struct refdev *dev, uint32_t index)
{
	switch (index) {
	case VFIO_PCI_BAR2_REGION_INDEX:
		return &dev->bar2;
	case VFIO_PCI_BAR4_REGION_INDEX:
		return &dev->bar4.memory;
	default:
		return NULL;
	}
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
	region = &refdev_regions[access->region];
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

int
refdev_region_write(
	struct refdev *dev, const struct vfio_user_region_access *access, const uint8_t *data)
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
	rc = refdev_region_write(dev, &access, in->bytes + sizeof(access));
	if (rc != 0)
		return rc;
	memcpy(out->bytes, &access, sizeof(access));
	out->len = sizeof(access);
	return 0;
}
