/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "command.h"
#include "vfio_user.h"

static const char *const names[VFIO_USER_MAX] = {
	[VFIO_USER_VERSION] = "version",
	[VFIO_USER_DMA_MAP] = "dma_map",
	[VFIO_USER_DMA_UNMAP] = "dma_unmap",
	[VFIO_USER_DEVICE_GET_INFO] = "device_get_info",
	[VFIO_USER_DEVICE_GET_REGION_INFO] = "device_get_region_info",
	[VFIO_USER_DEVICE_GET_REGION_IO_FDS] = "device_get_region_io_fds",
	[VFIO_USER_DEVICE_GET_IRQ_INFO] = "device_get_irq_info",
	[VFIO_USER_DEVICE_SET_IRQS] = "device_set_irqs",
	[VFIO_USER_REGION_READ] = "region_read",
	[VFIO_USER_REGION_WRITE] = "region_write",
	[VFIO_USER_DMA_READ] = "dma_read",
	[VFIO_USER_DMA_WRITE] = "dma_write",
	[VFIO_USER_DEVICE_RESET] = "device_reset",
	[VFIO_USER_REGION_WRITE_MULTI] = "region_write_multi",
	[VFIO_USER_DEVICE_FEATURE] = "device_feature",
	[VFIO_USER_MIG_DATA_READ] = "mig_data_read",
	[VFIO_USER_MIG_DATA_WRITE] = "mig_data_write",
};

const char *
refdev_command_name(uint16_t cmd)
{
	return cmd < VFIO_USER_MAX && names[cmd] != NULL ? names[cmd] : "unknown";
}

uint16_t
refdev_command_find(const char *name)
{
	for (unsigned int cmd = 1; cmd < VFIO_USER_MAX; cmd++)
		if (names[cmd] != NULL && strcmp(names[cmd], name) == 0)
			return (uint16_t)cmd;
	return 0;
}
