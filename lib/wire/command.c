/* SPDX-License-Identifier: BSD-3-Clause */
#include <vuc/export.h>

#include "command.h"
#include "info.h"
#include "version.h"

#define VERSION_MIN  sizeof(struct vfio_user_version)
#define VERSION_MAX  (VERSION_MIN + VUC_WIRE_MAX_VERSION_JSON)
#define UNMAP_MIN    sizeof(struct vfio_user_dma_unmap)
#define UNMAP_MAX    (UNMAP_MIN + sizeof(struct vfio_user_bitmap))
#define SET_IRQS_MIN sizeof(struct vfio_user_irq_set)
#define SET_IRQS_MAX (SET_IRQS_MIN + VUC_WIRE_MAX_IRQ_COUNT)
#define ACCESS       sizeof(struct vfio_user_region_access)
#define DMA_ACCESS   sizeof(struct vfio_user_dma_region_access)
#define FEATURE_MIN  sizeof(struct vfio_user_device_feature)
#define MIG_DATA_MIN sizeof(struct vfio_user_mig_data)
#define MULTI_MIN    sizeof(struct vfio_user_write_multi)

/* clang-format off */
static const struct vuc_wire_command commands[VFIO_USER_MAX] = {
	[VFIO_USER_VERSION] = {
		.name = "VFIO_USER_VERSION",
		.reply_fds = true, /* the socket of twin-socket mode */
		.request_min = VERSION_MIN,
		.request_max = VERSION_MAX,
		.reply_min = VERSION_MIN,
		.reply_max = VERSION_MAX,
	},
	[VFIO_USER_DMA_MAP] = {
		.name = "VFIO_USER_DMA_MAP",
		.no_reply = true,
		.request_fds = true,
		.answer_is_vital = true,
		.request_min = sizeof(struct vfio_user_dma_map),
		.request_max = sizeof(struct vfio_user_dma_map),
	},
	[VFIO_USER_DMA_UNMAP] = {
		.name = "VFIO_USER_DMA_UNMAP",
		.no_reply = true,
		.answer_is_vital = true,
		.request_min = UNMAP_MIN,
		.request_max = UNMAP_MAX,
		.reply_min = 0, /* libvfio-user for a device that does no DMA */
		.reply_max = VUC_WIRE_DATA,
	},
	[VFIO_USER_DEVICE_GET_INFO] = {
		.name = "VFIO_USER_DEVICE_GET_INFO",
		.request_min = sizeof(struct vfio_user_device_info),
		.request_max = sizeof(struct vfio_user_device_info),
		.reply_min = sizeof(struct vfio_user_device_info),
		.reply_max = VUC_WIRE_MAX_ARGSZ,
	},
	[VFIO_USER_DEVICE_GET_REGION_INFO] = {
		.name = "VFIO_USER_DEVICE_GET_REGION_INFO",
		.reply_fds = true,
		.request_min = sizeof(struct vfio_user_region_info),
		.request_max = sizeof(struct vfio_user_region_info),
		.reply_min = sizeof(struct vfio_user_region_info),
		.reply_max = VUC_WIRE_MAX_ARGSZ,
	},
	[VFIO_USER_DEVICE_GET_REGION_IO_FDS] = {
		.name = "VFIO_USER_DEVICE_GET_REGION_IO_FDS",
		.reply_fds = true,
		.request_min = sizeof(struct vfio_user_region_io_fds),
		.request_max = sizeof(struct vfio_user_region_io_fds),
		.reply_min = sizeof(struct vfio_user_region_io_fds),
		.reply_max = VUC_WIRE_MAX_ARGSZ,
		.optional = true,
	},
	[VFIO_USER_DEVICE_GET_IRQ_INFO] = {
		.name = "VFIO_USER_DEVICE_GET_IRQ_INFO",
		.request_min = sizeof(struct vfio_user_irq_info),
		.request_max = sizeof(struct vfio_user_irq_info),
		.reply_min = sizeof(struct vfio_user_irq_info),
		.reply_max = VUC_WIRE_MAX_ARGSZ,
	},
	[VFIO_USER_DEVICE_SET_IRQS] = {
		.name = "VFIO_USER_DEVICE_SET_IRQS",
		.no_reply = true,
		.request_fds = true,
		.request_min = SET_IRQS_MIN,
		.request_max = SET_IRQS_MAX,
	},
	[VFIO_USER_REGION_READ] = {
		.name = "VFIO_USER_REGION_READ",
		.request_min = ACCESS,
		.request_max = ACCESS,
		.reply_min = ACCESS,
		.reply_max = VUC_WIRE_DATA,
	},
	[VFIO_USER_REGION_WRITE] = {
		.name = "VFIO_USER_REGION_WRITE",
		.no_reply = true,
		.request_min = ACCESS,
		.request_max = VUC_WIRE_DATA,
		.reply_min = ACCESS,
		.reply_max = ACCESS,
	},
	[VFIO_USER_DMA_READ] = {
		.name = "VFIO_USER_DMA_READ",
		.from_server = true,
		.request_min = DMA_ACCESS,
		.request_max = DMA_ACCESS,
		.reply_min = DMA_ACCESS,
		.reply_max = VUC_WIRE_DATA,
	},
	[VFIO_USER_DMA_WRITE] = {
		.name = "VFIO_USER_DMA_WRITE",
		.from_server = true,
		.no_reply = true,
		.request_min = DMA_ACCESS,
		.request_max = VUC_WIRE_DATA,
		.reply_min = DMA_ACCESS,
		.reply_max = DMA_ACCESS,
	},
	[VFIO_USER_DEVICE_RESET] = {
		.name = "VFIO_USER_DEVICE_RESET",
		.no_reply = true,
		.optional = true,
	},
	[VFIO_USER_REGION_WRITE_MULTI] = {
		.name = "VFIO_USER_REGION_WRITE_MULTI",
		.no_reply = true,
		.request_min = MULTI_MIN,
		.request_max = VUC_WIRE_DATA,
		.reply_min = MULTI_MIN,
		.reply_max = MULTI_MIN,
		.optional = true,
	},
	[VFIO_USER_DEVICE_FEATURE] = {
		.name = "VFIO_USER_DEVICE_FEATURE",
		.request_min = FEATURE_MIN,
		.request_max = VUC_WIRE_DATA,
		.reply_min = FEATURE_MIN,
		.reply_max = VUC_WIRE_DATA,
		.optional = true,
	},
	[VFIO_USER_MIG_DATA_READ] = {
		.name = "VFIO_USER_MIG_DATA_READ",
		.request_min = MIG_DATA_MIN,
		.request_max = MIG_DATA_MIN,
		.reply_min = MIG_DATA_MIN,
		.reply_max = VUC_WIRE_DATA,
		.optional = true,
	},
	[VFIO_USER_MIG_DATA_WRITE] = {
		.name = "VFIO_USER_MIG_DATA_WRITE",
		.no_reply = true,
		.request_min = MIG_DATA_MIN,
		.request_max = VUC_WIRE_DATA,
		.optional = true,
	},
};
/* clang-format on */

VUC_PRIVATE const struct vuc_wire_command *
vuc_wire_command(uint16_t cmd)
{
	if (cmd >= VFIO_USER_MAX || commands[cmd].name == NULL)
		return NULL;
	return &commands[cmd];
}

VUC_PRIVATE const char *
vuc_wire_command_name(uint16_t cmd)
{
	const struct vuc_wire_command *row = vuc_wire_command(cmd);

	return row != NULL ? row->name : "(unknown)";
}
