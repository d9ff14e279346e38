/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "device.h"
#include "fds.h"

/* What one command may look like, and who answers it. */
struct command {
	refdev_command_fn handle;
	uint32_t min; /* body of the request */
	uint32_t max; /* 0: min; what begins with argsz may be longer, and the rest is not read */
	bool takes_fds;
};

#define MAX_BODY UINT32_MAX

static const struct command commands[VFIO_USER_MAX] = {
	[VFIO_USER_VERSION] =
		{
			.handle = refdev_version_handle,
			.min = sizeof(struct vfio_user_version),
			.max = MAX_BODY,
		},
	[VFIO_USER_DMA_MAP] =
		{
			.handle = refdev_dma_map_handle,
			.min = sizeof(struct vfio_user_dma_map),
			.takes_fds = true,
		},
	[VFIO_USER_DMA_UNMAP] =
		{
			.handle = refdev_dma_unmap_handle,
			.min = sizeof(struct vfio_user_dma_unmap),
			.max = sizeof(struct vfio_user_dma_unmap) + sizeof(struct vfio_user_bitmap),
		},
	[VFIO_USER_DEVICE_GET_INFO] =
		{
			.handle = refdev_device_info_handle,
			.min = sizeof(struct vfio_user_device_info),
			.max = MAX_BODY,
		},
	[VFIO_USER_DEVICE_GET_REGION_INFO] =
		{
			.handle = refdev_region_info_handle,
			.min = sizeof(struct vfio_user_region_info),
			.max = MAX_BODY,
		},
	[VFIO_USER_DEVICE_GET_REGION_IO_FDS] =
		{
			.handle = refdev_io_fds_handle,
			.min = sizeof(struct vfio_user_region_io_fds),
			.max = MAX_BODY,
		},
	[VFIO_USER_DEVICE_GET_IRQ_INFO] =
		{
			.handle = refdev_irq_info_handle,
			.min = sizeof(struct vfio_user_irq_info),
			.max = MAX_BODY,
		},
	[VFIO_USER_DEVICE_SET_IRQS] =
		{
			.handle = refdev_set_irqs_handle,
			.min = sizeof(struct vfio_user_irq_set),
			.max = MAX_BODY,
			.takes_fds = true,
		},
	[VFIO_USER_REGION_READ] =
		{
			.handle = refdev_region_read_handle,
			.min = sizeof(struct vfio_user_region_access),
		},
	[VFIO_USER_REGION_WRITE] =
		{
			.handle = refdev_region_write_handle,
			.min = sizeof(struct vfio_user_region_access),
			.max = MAX_BODY,
		},
	[VFIO_USER_DEVICE_RESET] =
		{
			.handle = refdev_reset_handle,
		},
	[VFIO_USER_REGION_WRITE_MULTI] =
		{
			.handle = refdev_write_multi_handle,
			.min = sizeof(struct vfio_user_write_multi),
			.max = MAX_BODY,
		},
	[VFIO_USER_DEVICE_FEATURE] =
		{
			.handle = refdev_feature_handle,
			.min = sizeof(struct vfio_user_device_feature),
			.max = MAX_BODY,
		},
	[VFIO_USER_MIG_DATA_READ] =
		{
			.handle = refdev_mig_data_read_handle,
			.min = sizeof(struct vfio_user_mig_data),
		},
	[VFIO_USER_MIG_DATA_WRITE] =
		{
			.handle = refdev_mig_data_write_handle,
			.min = sizeof(struct vfio_user_mig_data),
			.max = MAX_BODY,
		},
};

/* Whether a command of the specification is switched off. */
static bool
is_unsupported(const struct refdev *dev, uint16_t cmd)
{
	switch (cmd) {
	case VFIO_USER_DEVICE_GET_REGION_IO_FDS:
		return !dev->config.io_fds;
	case VFIO_USER_REGION_WRITE_MULTI:
		return !dev->write_multi;
	case VFIO_USER_DEVICE_FEATURE:
		return !dev->config.migration && !dev->config.dirty_log;
	case VFIO_USER_MIG_DATA_READ:
	case VFIO_USER_MIG_DATA_WRITE:
		return !dev->config.migration;
	default:
		return false;
	}
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
		refdev_hang_up(
			dev, "message %u is no command: flags 0x%x", header.msg_id, header.flags);
		return -EPROTO;
	}
	if (header.msg_size < sizeof(header) || header.msg_size > refdev_max_message(dev)) {
		refdev_hang_up(dev, "message %u has size %u, not %zu ... %zu", header.msg_id,
			header.msg_size, sizeof(header), refdev_max_message(dev));
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
		return refdev_hang_up(dev, "message %u has command %u before VFIO_USER_VERSION",
			header->msg_id, header->cmd);
	if (is_unsupported(dev, header->cmd))
		return -EOPNOTSUPP;
	if (header->cmd >= VFIO_USER_MAX || commands[header->cmd].handle == NULL)
		return -EINVAL;
	command = &commands[header->cmd];
	if (in->len < command->min || in->len > (command->max > 0 ? command->max : command->min))
		return -EINVAL;
	if (in->nr_fds > 0 && !command->takes_fds)
		return -EINVAL;
	if ((header->flags & ~VFIO_USER_F_NO_REPLY) != 0)
		return -EINVAL;
	return command->handle(dev, in, out);
}

static void
drop_reply_fds(struct refdev_body *out)
{
	vuc_fds_close(out->fds, out->nr_fds);
	out->nr_fds = 0;
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
	reply->nr_fds = out->nr_fds;
	header.msg_size = (uint32_t)reply->len;
	if (rc != 0) {
		header.flags |= VFIO_USER_F_ERROR;
		header.error_no = (uint32_t)-rc;
	}
	memcpy(reply->bytes, &header, sizeof(header));
}

/* What the stream around messages has checked already comes from an in-process client unchecked. */
static int
check_frame(struct refdev *dev, const struct vuc_loopback_msg *req,
	const struct vuc_loopback_msg *reply)
{
	ssize_t size = refdev_message_size(dev, req->bytes, req->len);

	if (size < 0)
		return (int)size;
	if ((size_t)size != req->len || size == 0) {
		refdev_hang_up(dev, "message of %zu bytes has size %zd", req->len, size);
		return -EPROTO;
	}
	if (req->nr_fds > dev->config.max_msg_fds) {
		refdev_hang_up(dev, "message carries %u descriptors, not 0 ... %u", req->nr_fds,
			dev->config.max_msg_fds);
		return -EPROTO;
	}
	if (reply->size < sizeof(struct vfio_user_header)) {
		refdev_hang_up(dev, "no room for a reply: %zu bytes", reply->size);
		return -EMSGSIZE;
	}
	return 0;
}

/* By the main socket or by the twin: there is one of them that replies come by. */
static int
handle_reply(struct refdev *dev, const struct vuc_loopback_msg *msg, bool by_twin)
{
	if (by_twin != dev->twin) {
		refdev_hang_up(dev, "reply by the %s socket", by_twin ? "twin" : "main");
		return -EPROTO;
	}
	return refdev_answer_handle(dev, msg) == 0 ? 0 : -EPROTO;
}

int
refdev_handle(struct refdev *dev, struct vuc_loopback_msg *req, struct vuc_loopback_msg *reply)
{
	struct vfio_user_header header;
	struct refdev_body in;
	struct refdev_body out;
	int rc = check_frame(dev, req, reply);

	if (rc != 0)
		return rc;
	memcpy(&header, req->bytes, sizeof(header));
	if (is_reply(dev, &header))
		return handle_reply(dev, req, false);
	in = (struct refdev_body){
		.bytes = req->bytes + sizeof(header),
		.len = req->len - sizeof(header),
		.fds = req->fds,
		.nr_fds = req->nr_fds,
	};
	out = (struct refdev_body){
		.bytes = reply->bytes + sizeof(header),
		.size = reply->size - sizeof(header),
		.fds = reply->fds,
	};
	rc = command_dispatch(dev, &header, &in, &out);
	if (rc == REFDEV_HANG_UP)
		return -EPROTO;
	if (rc != 0 || (header.flags & VFIO_USER_F_NO_REPLY) != 0)
		drop_reply_fds(&out);
	if ((header.flags & VFIO_USER_F_NO_REPLY) == 0)
		finish_reply(reply, &header, rc, &out);
	return 0;
}

int
refdev_handle_twin(struct refdev *dev, const struct vuc_loopback_msg *msg)
{
	struct vfio_user_header header;

	memcpy(&header, msg->bytes, sizeof(header));
	if (!is_reply(dev, &header)) {
		refdev_hang_up(dev, "message %u by the twin socket is no reply: flags 0x%x",
			header.msg_id, header.flags);
		return -EPROTO;
	}
	return handle_reply(dev, msg, true);
}
