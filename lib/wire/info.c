/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <string.h>

#include "check.h"
#include "info.h"

#define DEVICE_INFO VFIO_USER_DEVICE_GET_INFO
#define IRQ_INFO    VFIO_USER_DEVICE_GET_IRQ_INFO

size_t
vuc_wire_device_info_encode(void *buf)
{
	const struct vfio_user_device_info info = {.argsz = sizeof(info)};

	memcpy(buf, &info, sizeof(info));
	return sizeof(info);
}

size_t
vuc_wire_irq_info_encode(void *buf, uint32_t index)
{
	const struct vfio_user_irq_info info = {.argsz = sizeof(info), .index = index};

	memcpy(buf, &info, sizeof(info));
	return sizeof(info);
}

int
vuc_wire_device_info_decode(
	const void *body, size_t len, struct vfio_user_device_info *info, struct vuc_error *err)
{
	int rc = vuc_wire_check_min(DEVICE_INFO, len, sizeof(*info), err);

	if (rc != 0)
		return rc;
	memcpy(info, body, sizeof(*info));
	rc = vuc_wire_check_most(
		DEVICE_INFO, "num_regions", info->num_regions, VUC_WIRE_MAX_REGIONS, err);
	if (rc != 0)
		return rc;
	return vuc_wire_check_most(DEVICE_INFO, "num_irqs", info->num_irqs, VUC_WIRE_MAX_IRQS, err);
}

int
vuc_wire_irq_info_decode(const void *body, size_t len, uint32_t index,
	struct vfio_user_irq_info *info, struct vuc_error *err)
{
	int rc = vuc_wire_check_min(IRQ_INFO, len, sizeof(*info), err);

	if (rc != 0)
		return rc;
	memcpy(info, body, sizeof(*info));
	rc = vuc_wire_check_number(IRQ_INFO, "index", info->index, index, err);
	if (rc != 0)
		return rc;
	return vuc_wire_check_most(IRQ_INFO, "count", info->count, VUC_WIRE_MAX_IRQ_COUNT, err);
}
