/* SPDX-License-Identifier: BSD-3-Clause */

/* Commands to the client: their table, the transfers that they make up, and answers to them. */

#include <errno.h>

#include "device.h"

/* A free entry of the table; there is one. */
static struct refdev_command *
command_add(struct refdev_outgoing *out, struct refdev_command command)
{
	struct refdev_command *entry;

	do {
		command.id = out->next_id++;
		entry = &out->commands[command.id % REFDEV_MAX_COMMANDS];
	} while (entry->state != REFDEV_COMMAND_NONE);
	*entry = command;
	entry->state = REFDEV_COMMAND_SENT;
	out->nr++;
	return entry;
}

static void
command_remove(struct refdev_outgoing *out, struct refdev_command *entry)
{
	entry->state = REFDEV_COMMAND_NONE;
	out->nr--;
}

void
refdev_command_put(struct refdev *dev, struct refdev_command command, uint32_t flags,
	const void *data, size_t len, struct vuc_loopback_msg *msg)
{
	struct refdev_command *entry = command_add(&dev->outgoing, command);
	const struct {
		struct vfio_user_header header;
		struct vfio_user_dma_region_access access;
	} VFIO_USER_PACKED head = {
		.header.msg_id = entry->id,
		.header.cmd = command.cmd,
		.header.msg_size = (uint32_t)(sizeof(head) + len),
		.header.flags = flags,
		.access.addr = command.addr,
		.access.count = command.count,
	};

	memcpy(msg->bytes, &head, sizeof(head));
	if (data != NULL)
		memcpy(msg->bytes + sizeof(head), data, len);
	else
		memset(msg->bytes + sizeof(head), 0, len);
	msg->len = head.header.msg_size;
	msg->nr_fds = 0;
	if (flags & VFIO_USER_F_NO_REPLY)
		command_remove(&dev->outgoing, entry);
}

void
refdev_commands_forget(struct refdev *dev)
{
	for (unsigned int i = 0; i < REFDEV_MAX_COMMANDS; i++)
		if (dev->outgoing.commands[i].state == REFDEV_COMMAND_SENT)
			dev->outgoing.commands[i].state = REFDEV_COMMAND_GONE;
	dev->outgoing.raw_left = 0;
	dev->transfer.active = false;
}

bool
refdev_awaits_answers(const struct refdev *dev)
{
	return dev->outgoing.nr > 0;
}

/* ---- Transfers ---- */

uint32_t
refdev_max_data(const struct refdev *dev)
{
	return refdev_smaller(dev->client_max_data_xfer_size, dev->config.max_data_xfer_size);
}

int
refdev_transfer_start(struct refdev *dev, const struct refdev_memory *buffer,
	const struct refdev_dma_range *range, uint32_t chunk, uint32_t window)
{
	if (!dev->config.commands)
		return -EOPNOTSUPP;
	dev->transfer = (struct refdev_transfer){
		.active = true,
		.buffer = buffer,
		.range = *range,
		.chunk = chunk,
		.window = window,
	};
	return 0;
}

static void
transfer_next(struct refdev *dev, struct vuc_loopback_msg *msg)
{
	struct refdev_transfer *t = &dev->transfer;
	uint32_t count = refdev_smaller(t->chunk, t->range.len - t->asked);
	const struct refdev_command command = {
		.cmd = t->range.write ? VFIO_USER_DMA_WRITE : VFIO_USER_DMA_READ,
		.at = t->range.at + t->asked,
		.addr = t->range.addr + t->asked,
		.count = count,
	};

	refdev_command_put(
		dev, command, 0, t->buffer->bytes + command.at, t->range.write ? count : 0, msg);
	t->asked += count;
	t->in_flight++;
}

bool
refdev_has_command(const struct refdev *dev)
{
	const struct refdev_transfer *t = &dev->transfer;

	if (dev->outgoing.nr == REFDEV_MAX_COMMANDS)
		return false;
	return dev->outgoing.raw_left > 0 ||
		(t->active && t->error == 0 && t->asked < t->range.len && t->in_flight < t->window);
}

bool
refdev_next_command(struct refdev *dev, struct vuc_loopback_msg *msg)
{
	if (!refdev_has_command(dev) || msg->size < dev->max_message)
		return false;
	if (dev->outgoing.raw_left > 0) {
		dev->outgoing.raw_left--;
		dev->model->raw_next(dev, msg);
	} else {
		transfer_next(dev, msg);
	}
	return true;
}

/* ---- Answers ---- */

/* Whether a good answer repeats what was asked and has the data. The count in the answer to a write
 * has 4 bytes in the specification and 8 in some clients: both are accepted. */
static bool
answer_fits(const struct refdev_command *command, const struct refdev_answer *answer)
{
	if (answer->access.addr != command->addr || answer->access.count != command->count)
		return false;
	if (command->cmd == VFIO_USER_DMA_READ)
		return answer->len >= sizeof(answer->access) &&
			answer->len - sizeof(answer->access) == command->count;
	return answer->len == sizeof(answer->access) ||
		answer->len == sizeof(answer->access) - sizeof(uint32_t);
}

/* An error without a number is one all the same. */
static int
error_of(const struct vfio_user_header *header)
{
	if ((header->flags & VFIO_USER_F_ERROR) == 0)
		return 0;
	return header->error_no > 0 && header->error_no < 4096 ? -(int)header->error_no : -EIO;
}

/* A transfer that has failed ends when nothing is outstanding any more. */
static int
transfer_answered(struct refdev *dev, const struct refdev_command *command,
	const struct refdev_answer *answer)
{
	struct refdev_transfer *t = &dev->transfer;
	int error = error_of(&answer->header);

	if (error == 0 && !answer_fits(command, answer))
		return refdev_hang_up(dev,
			"reply to command %u, message %u does not match: expected %llu bytes at "
			"0x%llx",
			command->cmd, command->id, (unsigned long long)command->count,
			(unsigned long long)command->addr);
	t->in_flight--;
	if (error == 0) {
		t->answered += (uint32_t)command->count;
		if (!t->range.write)
			memcpy(t->buffer->bytes + command->at, answer->data, command->count);
	} else if (t->error == 0) {
		t->error = error;
	}
	if (t->in_flight == 0 && (t->error != 0 || t->asked == t->range.len)) {
		t->active = false;
		dev->model->transferred(dev);
	}
	return 0;
}

int
refdev_answer_handle(struct refdev *dev, const struct vuc_loopback_msg *msg)
{
	const size_t head = sizeof(struct vfio_user_header);
	struct refdev_answer answer = {.len = msg->len - head};
	struct refdev_command *entry, command;

	memcpy(&answer.header, msg->bytes, head);
	memcpy(&answer.access, msg->bytes + head,
		answer.len < sizeof(answer.access) ? answer.len : sizeof(answer.access));
	answer.data = msg->bytes + head + sizeof(answer.access);
	entry = &dev->outgoing.commands[answer.header.msg_id % REFDEV_MAX_COMMANDS];
	if (entry->state == REFDEV_COMMAND_NONE || entry->id != answer.header.msg_id ||
		entry->cmd != answer.header.cmd || msg->nr_fds > 0)
		return refdev_hang_up(dev, "unexpected reply to command %u, message %u",
			answer.header.cmd, answer.header.msg_id);
	command = *entry;
	command_remove(&dev->outgoing, entry);
	if (command.state == REFDEV_COMMAND_GONE)
		return 0;
	if (!command.raw)
		return transfer_answered(dev, &command, &answer);
	dev->model->raw_answered(dev, &answer);
	return 0;
}
