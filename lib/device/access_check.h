/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_ACCESS_CHECK_H
#define VUC_DEVICE_ACCESS_CHECK_H

/* What is asked of each region access before it is made. */

#include <errno.h>

#include "internal.h"
#include "vfio_user.h"

/* Whether an access is one of the device. Says nothing: whoever serves others is asked for
 * anything, and text takes longer than the access. */
static inline int
device_check_access(const struct vuc_device *dev, enum vuc_op op, uint32_t index, uint64_t offset,
	uint64_t count)
{
	uint32_t flag =
		op == VUC_OP_READ ? VFIO_REGION_INFO_FLAG_READ : VFIO_REGION_INFO_FLAG_WRITE;
	const struct vuc_region *region;

	if (index >= dev->info.num_regions)
		return -EINVAL;
	region = &dev->regions[index].info;
	if (count == 0 || count > region->size || offset > region->size - count)
		return -EINVAL;
	return (region->flags & flag) != 0 ? 0 : -EACCES;
}

/* Config space is made of aligned registers of at most 4 bytes, and some servers die of any other
 * access to it. What the caller asks for as one register goes as it is. */
static inline bool
device_goes_by_registers(uint32_t region, uint64_t offset, size_t count)
{
	if (region != VFIO_PCI_CONFIG_REGION_INDEX)
		return false;
	return (count != 1 && count != 2 && count != 4 && count != 8) ||
		(offset & (count - 1)) != 0;
}

/* Whether a request can be made now; says why not. */
int device_check_request(
	const struct vuc_device *dev, const struct vuc_request *req, struct vuc_error *err);

#endif /* VUC_DEVICE_ACCESS_CHECK_H */
