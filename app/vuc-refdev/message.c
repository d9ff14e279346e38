/* SPDX-License-Identifier: BSD-3-Clause */

/* Messages: the table of commands, what is refused before a handler sees it, and replies. */

#include <errno.h>

#include "device.h"
#include "fds.h"

/* What a command may look like, who handles it, and what lets a client use it. */
struct command {
	const char *name;
	refdev_handler *handle; /* NULL: a command of the server */
	uint32_t min;           /* body of the request */
	uint32_t max; /* what begins with argsz may be longer than min; the rest is ignored */
	bool takes_fds;
	uint32_t features; /* REFDEV_F_*: refused to clients that have none of these; 0: never */
};

#define SIZE(type) sizeof(struct vfio_user_##type)

/* A body of this size; of at least this size. */
#define EXACTLY(type)  SIZE(type), SIZE(type)
#define AT_LEAST(type) SIZE(type), UINT32_MAX

#define FEATURES (REFDEV_F_MIGRATION | REFDEV_F_DIRTY_LOG)

/* clang-format off */
static const struct command commands[VFIO_USER_MAX] = {
	[VFIO_USER_VERSION] =
		{"version", refdev_version_handle, AT_LEAST(version)},
	[VFIO_USER_DMA_MAP] =
		{"dma_map", refdev_dma_map_handle, EXACTLY(dma_map), .takes_fds = true},
	[VFIO_USER_DMA_UNMAP] =
		{"dma_unmap", refdev_dma_unmap_handle, SIZE(dma_unmap), SIZE(dma_unmap) + SIZE(bitmap)},
	[VFIO_USER_DEVICE_GET_INFO] =
		{"device_get_info", refdev_device_info_handle, AT_LEAST(device_info)},
	[VFIO_USER_DEVICE_GET_REGION_INFO] =
		{"device_get_region_info", refdev_region_info_handle, AT_LEAST(region_info)},
	[VFIO_USER_DEVICE_GET_REGION_IO_FDS] =
		{"device_get_region_io_fds", refdev_io_fds_handle, AT_LEAST(region_io_fds),
		.features = REFDEV_F_IO_FDS},
	[VFIO_USER_DEVICE_GET_IRQ_INFO] =
		{"device_get_irq_info", refdev_irq_info_handle, AT_LEAST(irq_info)},
	[VFIO_USER_DEVICE_SET_IRQS] =
		{"device_set_irqs", refdev_set_irqs_handle, AT_LEAST(irq_set), .takes_fds = true},
	[VFIO_USER_REGION_READ] =
		{"region_read", refdev_region_read_handle, EXACTLY(region_access)},
	[VFIO_USER_REGION_WRITE] =
		{"region_write", refdev_region_write_handle, AT_LEAST(region_access)},
	[VFIO_USER_DMA_READ] = {"dma_read"},
	[VFIO_USER_DMA_WRITE] = {"dma_write"},
	[VFIO_USER_DEVICE_RESET] =
		{"device_reset", refdev_reset_handle},
	[VFIO_USER_REGION_WRITE_MULTI] =
		{"region_write_multi", refdev_write_multi_handle, AT_LEAST(write_multi),
		.features = REFDEV_F_WRITE_MULTI},
	[VFIO_USER_DEVICE_FEATURE] =
		{"device_feature", refdev_feature_handle, AT_LEAST(device_feature),
		.features = FEATURES},
	[VFIO_USER_MIG_DATA_READ] =
		{"mig_data_read", refdev_mig_data_read_handle, EXACTLY(mig_data),
		.features = REFDEV_F_MIGRATION},
	[VFIO_USER_MIG_DATA_WRITE] =
		{"mig_data_write", refdev_mig_data_write_handle, AT_LEAST(mig_data),
		.features = REFDEV_F_MIGRATION},
};
/* clang-format on */

const char *
refdev_command_name(uint16_t cmd)
{
	return cmd < VFIO_USER_MAX && commands[cmd].name != NULL ? commands[cmd].name : "unknown";
}

uint16_t
refdev_command_find(const char *name)
{
	for (uint16_t cmd = 1; cmd < VFIO_USER_MAX; cmd++)
		if (commands[cmd].name != NULL && strcmp(commands[cmd].name, name) == 0)
			return cmd;
	return 0;
}

/* Replies make sense as long as some are to come. */
static bool
is_reply(const struct refdev *dev, const struct vfio_user_header *header)
{
	return (header->flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_REPLY &&
		refdev_awaits_answers(dev);
}

ssize_t
refdev_message_size(struct refdev *dev, const uint8_t *bytes, size_t len)
{
	struct vfio_user_header header;

	if (len < sizeof(header))
		return 0;
	memcpy(&header, bytes, sizeof(header));
	if ((header.flags & VFIO_USER_F_TYPE_MASK) != VFIO_USER_F_TYPE_COMMAND &&
		!is_reply(dev, &header)) {
		refdev_hang_up(dev, "message %u is not a command: flags 0x%x", header.msg_id,
			header.flags);
		return -EPROTO;
	}
	if (header.msg_size < sizeof(header) || header.msg_size > dev->max_message) {
		refdev_hang_up(dev, "message %u has size %u, expected %zu to %zu", header.msg_id,
			header.msg_size, sizeof(header), dev->max_message);
		return -EPROTO;
	}
	return (ssize_t)header.msg_size;
}

bool
refdev_message_takes_fds(const uint8_t *bytes)
{
	struct vfio_user_header header;

	memcpy(&header, bytes, sizeof(header));
	return header.cmd < VFIO_USER_MAX && commands[header.cmd].takes_fds;
}

/* Returns what a handler returns. */
static int
command_dispatch(struct refdev *dev, const struct vfio_user_header *header,
	const struct refdev_body *in, struct refdev_body *out)
{
	const struct command *command;

	if (!dev->negotiated && header->cmd != VFIO_USER_VERSION)
		return refdev_hang_up(dev,
			"message %u has command %u (%s), expected VFIO_USER_VERSION first",
			header->msg_id, header->cmd, refdev_command_name(header->cmd));
	if (header->cmd >= VFIO_USER_MAX)
		return -EINVAL;
	command = &commands[header->cmd];
	if (command->features != 0 && (command->features & dev->features) == 0)
		return -EOPNOTSUPP;
	if (command->handle == NULL || in->len < command->min || in->len > command->max ||
		(in->nr_fds > 0 && !command->takes_fds) ||
		(header->flags & ~VFIO_USER_F_NO_REPLY) != 0)
		return -EINVAL;
	return command->handle(dev, in, out);
}

static void
finish_reply(struct vuc_loopback_msg *reply, const struct vfio_user_header *command, int rc,
	const struct refdev_body *out)
{
	struct vfio_user_header header = {
		.msg_id = command->msg_id,
		.cmd = command->cmd,
		.flags = VFIO_USER_F_TYPE_REPLY,
	};

	reply->len = sizeof(header) + (rc == 0 ? out->len : 0);
	reply->nr_fds = rc == 0 ? out->nr_fds : 0;
	header.msg_size = (uint32_t)reply->len;
	if (rc != 0) {
		header.flags |= VFIO_USER_F_ERROR;
		header.error_no = (uint32_t)-rc;
	}
	memcpy(reply->bytes, &header, sizeof(header));
}

static int
command_handle(struct refdev *dev, const struct vfio_user_header *header,
	struct vuc_loopback_msg *req, struct vuc_loopback_msg *reply)
{
	const struct refdev_body in = {
		.bytes = req->bytes + sizeof(*header),
		.len = req->len - sizeof(*header),
		.fds = req->fds,
		.nr_fds = req->nr_fds,
	};
	struct refdev_body out = {
		.bytes = reply->bytes + sizeof(*header),
		.size = reply->size - sizeof(*header),
		.fds = reply->fds,
	};
	int rc = command_dispatch(dev, header, &in, &out);

	if (rc == REFDEV_HANG_UP)
		return rc;
	if (rc != 0 || (header->flags & VFIO_USER_F_NO_REPLY) != 0)
		vuc_fds_close(out.fds, out.nr_fds);
	if ((header->flags & VFIO_USER_F_NO_REPLY) == 0)
		finish_reply(reply, header, rc, &out);
	return 0;
}

/* An in-process client sends messages that no stream has checked. */
static int
check_frame(struct refdev *dev, const struct vuc_loopback_msg *req)
{
	ssize_t size = refdev_message_size(dev, req->bytes, req->len);

	if (size < 0)
		return REFDEV_HANG_UP;
	if ((size_t)size != req->len || size == 0)
		return refdev_hang_up(
			dev, "message of %zu bytes has size %zd in its header", req->len, size);
	if (req->nr_fds > dev->config.max_msg_fds)
		return refdev_hang_up(dev, "message has %u file descriptors, expected at most %u",
			req->nr_fds, dev->config.max_msg_fds);
	return 0;
}

/* Replies come by the main socket or by the twin socket, whichever commands are sent over. */
static int
message_handle(struct refdev *dev, struct vuc_loopback_msg *msg, struct vuc_loopback_msg *reply)
{
	struct vfio_user_header header;
	bool by_twin = reply == NULL;
	int rc = check_frame(dev, msg);

	if (rc != 0)
		return rc;
	memcpy(&header, msg->bytes, sizeof(header));
	if (is_reply(dev, &header))
		return by_twin == dev->twin
			? refdev_answer_handle(dev, msg)
			: refdev_hang_up(dev, "reply on the %s socket, expected on the other one",
				  by_twin ? "twin" : "main");
	if (by_twin)
		return refdev_hang_up(dev,
			"message %u on the twin socket is not a reply: flags 0x%x", header.msg_id,
			header.flags);
	return command_handle(dev, &header, msg, reply);
}

int
refdev_handle(struct refdev *dev, struct vuc_loopback_msg *msg, struct vuc_loopback_msg *reply)
{
	if (reply != NULL && reply->size < sizeof(struct vfio_user_header))
		return -EMSGSIZE;
	return message_handle(dev, msg, reply) == 0 ? 0 : -EPROTO;
}

static int
loopback_handle(void *arg, struct vuc_loopback_msg *req, struct vuc_loopback_msg *reply)
{
	return refdev_handle(arg, req, reply);
}

static void
loopback_disconnect(void *arg)
{
	refdev_disconnect(arg);
}

void
refdev_loopback(struct refdev *dev, struct vuc_loopback_server *out)
{
	*out = (struct vuc_loopback_server){
		.handle = loopback_handle,
		.disconnect = loopback_disconnect,
		.arg = dev,
	};
}
