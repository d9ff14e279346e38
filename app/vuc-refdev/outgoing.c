/* SPDX-License-Identifier: BSD-3-Clause */

/* Commands of the device to its client, and the answers to them. */

#include <errno.h>
#include <string.h>

#include "device.h"

#define ACCESS_SIZE sizeof(struct vfio_user_dma_region_access)

static uint64_t
at_least_one(uint64_t n)
{
	return n > 0 ? n : 1;
}

int
refdev_outgoing_raw(struct refdev *dev, uint32_t cmd)
{
	struct refdev_outgoing *out = &dev->outgoing;

	if (cmd != VFIO_USER_DMA_READ && cmd != VFIO_USER_DMA_WRITE)
		return -EINVAL;
	if (REFDEV_REG(dev, RAW_LEN) > REFDEV_RAW_MAX_LEN)
		return -EINVAL;
	if (!dev->config.commands)
		return -EOPNOTSUPP;
	if (out->raw_left > 0)
		return -EBUSY;
	out->raw_cmd = (uint16_t)cmd;
	out->raw_left = (uint32_t)at_least_one(REFDEV_REG(dev, RAW_TIMES));
	return 0;
}

bool
refdev_has_command(const struct refdev *dev)
{
	struct vfio_user_dma_region_access access;

	if (dev->engine.phase == REFDEV_ENGINE_IDLE && dev->outgoing.raw_left == 0)
		return false;
	if (dev->outgoing.nr == REFDEV_MAX_COMMANDS)
		return false;
	return dev->outgoing.raw_left > 0 || refdev_engine_due(dev, &access);
}

/* A free place in the table; there is one. */
static struct refdev_outgoing_command *
take_place(struct refdev_outgoing *out)
{
	struct refdev_outgoing_command *command;

	do {
		command = &out->commands[out->next_id % REFDEV_MAX_COMMANDS];
		command->id = command->owner == REFDEV_OWNER_NONE ? out->next_id : command->id;
		out->next_id++;
	} while (command->owner != REFDEV_OWNER_NONE);
	out->nr++;
	return command;
}

static void
free_place(struct refdev_outgoing *out, struct refdev_outgoing_command *command)
{
	command->owner = REFDEV_OWNER_NONE;
	out->nr--;
}

/* Put a message together; data NULL: zeros. */
static void
put_message(struct vuc_loopback_msg *msg, const struct refdev_outgoing_command *command,
	uint32_t flags, const uint8_t *data, size_t data_len)
{
	const struct vfio_user_dma_region_access access = {
		.addr = command->addr, .count = command->count};
	const struct vfio_user_header header = {
		.msg_id = command->id,
		.cmd = command->cmd,
		.msg_size = (uint32_t)(sizeof(header) + ACCESS_SIZE + data_len),
		.flags = flags,
	};
	uint8_t *at = msg->bytes;

	memcpy(at, &header, sizeof(header));
	memcpy(at + sizeof(header), &access, sizeof(access));
	at += sizeof(header) + sizeof(access);
	if (data != NULL)
		memcpy(at, data, data_len);
	else
		memset(at, 0, data_len);
	msg->len = header.msg_size;
	msg->nr_fds = 0;
}

static void
next_raw(struct refdev *dev, struct vuc_loopback_msg *msg)
{
	struct refdev_outgoing *out = &dev->outgoing;
	struct refdev_outgoing_command *command = take_place(out);
	uint32_t flags = (uint32_t)REFDEV_REG(dev, RAW_FLAGS);
	size_t len = (size_t)REFDEV_REG(dev, RAW_LEN);

	command->owner = REFDEV_OWNER_RAW;
	command->cmd = out->raw_cmd;
	command->addr = REFDEV_REG(dev, RAW_ADDR);
	command->count = REFDEV_REG(dev, RAW_COUNT);
	if (len > REFDEV_RAW_MAX_LEN ||
		len > msg->size - sizeof(struct vfio_user_header) - ACCESS_SIZE)
		len = 0;
	put_message(msg, command, flags, NULL, len);
	out->raw_left--;
	REFDEV_REG(dev, RAW_SENT)++;
	if (flags & VFIO_USER_F_NO_REPLY)
		free_place(out, command);
}

static void
next_of_engine(struct refdev *dev, const struct vfio_user_dma_region_access *access,
	struct vuc_loopback_msg *msg)
{
	struct refdev_outgoing_command *command = take_place(&dev->outgoing);
	bool write = dev->engine.phase == REFDEV_ENGINE_WRITING;

	command->owner = REFDEV_OWNER_ENGINE;
	command->cmd = write ? VFIO_USER_DMA_WRITE : VFIO_USER_DMA_READ;
	command->addr = access->addr;
	command->count = access->count;
	command->offset = refdev_engine_sent(dev, (uint32_t)access->count);
	put_message(msg, command, 0, dev->engine.buffer.bytes + command->offset,
		write ? (size_t)access->count : 0);
}

bool
refdev_next_command(struct refdev *dev, struct vuc_loopback_msg *msg)
{
	struct vfio_user_dma_region_access access;

	if (!refdev_has_command(dev) || msg->size < refdev_max_message(dev))
		return false;
	if (dev->outgoing.raw_left > 0) {
		next_raw(dev, msg);
		return true;
	}
	if (!refdev_engine_due(dev, &access))
		return false;
	next_of_engine(dev, &access, msg);
	return true;
}

bool
refdev_awaits_answers(const struct refdev *dev)
{
	return dev->outgoing.nr > 0;
}

static void
answer_raw(struct refdev *dev, const struct vfio_user_header *header,
	const struct vfio_user_dma_region_access *access, size_t data_len)
{
	REFDEV_REG(dev, RAW_ANSWERS)++;
	REFDEV_REG(dev, RAW_ANSWER_FLAGS) = header->flags;
	REFDEV_REG(dev, RAW_ANSWER_ERRNO) = header->error_no;
	REFDEV_REG(dev, RAW_ANSWER_COUNT) = access->count;
	REFDEV_REG(dev, RAW_ANSWER_LEN) = data_len;
}

/* Whether a good answer repeats what was asked and has the data. The specification gives the count
 * in the answer to a write 4 bytes: whoever keeps to that is understood, too. */
static bool
answer_fits(const struct refdev_outgoing_command *command,
	const struct vfio_user_dma_region_access *got, size_t len)
{
	if (got->addr != command->addr || got->count != command->count)
		return false;
	if (command->cmd == VFIO_USER_DMA_READ)
		return len >= ACCESS_SIZE && len - ACCESS_SIZE == command->count;
	return len == ACCESS_SIZE || len == ACCESS_SIZE - sizeof(uint32_t);
}

/* An error without a number is one all the same. */
static int
error_of(const struct vfio_user_header *header)
{
	if ((header->flags & VFIO_USER_F_ERROR) == 0)
		return 0;
	return header->error_no > 0 && header->error_no < 4096 ? -(int)header->error_no : -EIO;
}

static int
answer_engine(struct refdev *dev, const struct refdev_outgoing_command *command,
	const struct vfio_user_header *header, const uint8_t *body, size_t len)
{
	struct vfio_user_dma_region_access got = {0};
	int error = error_of(header);

	memcpy(&got, body, len < sizeof(got) ? len : sizeof(got));
	if (error == 0 && !answer_fits(command, &got, len))
		return refdev_hang_up(dev,
			"answer to command %u, message %u, is not of %llu bytes at 0x%llx",
			command->cmd, command->id, (unsigned long long)command->count,
			(unsigned long long)command->addr);
	refdev_engine_answer(
		dev, command->offset, (uint32_t)command->count, body + sizeof(got), error);
	return 0;
}

int
refdev_answer_handle(struct refdev *dev, const struct vuc_loopback_msg *msg)
{
	const uint8_t *body = msg->bytes + sizeof(struct vfio_user_header);
	size_t len = msg->len - sizeof(struct vfio_user_header);
	struct vfio_user_dma_region_access got = {0};
	struct refdev_outgoing_command command;
	struct refdev_outgoing_command *place;
	struct vfio_user_header header;

	memcpy(&header, msg->bytes, sizeof(header));
	place = &dev->outgoing.commands[header.msg_id % REFDEV_MAX_COMMANDS];
	if (place->owner == REFDEV_OWNER_NONE || place->id != header.msg_id ||
		place->cmd != header.cmd || msg->nr_fds > 0)
		return refdev_hang_up(dev, "reply to command %u, message %u, that was not sent",
			header.cmd, header.msg_id);
	command = *place;
	free_place(&dev->outgoing, place);
	if (command.owner == REFDEV_OWNER_ENGINE)
		return answer_engine(dev, &command, &header, body, len);
	memcpy(&got, body, len < sizeof(got) ? len : sizeof(got));
	if (command.owner == REFDEV_OWNER_RAW)
		answer_raw(dev, &header, &got, len > sizeof(got) ? len - sizeof(got) : 0);
	return 0;
}

void
refdev_outgoing_abandon(struct refdev *dev)
{
	struct refdev_outgoing *out = &dev->outgoing;

	out->raw_left = 0;
	for (unsigned int i = 0; i < REFDEV_MAX_COMMANDS; i++)
		if (out->commands[i].owner != REFDEV_OWNER_NONE)
			out->commands[i].owner = REFDEV_OWNER_GONE;
}

void
refdev_outgoing_release(struct refdev *dev)
{
	memset(&dev->outgoing, 0, sizeof(dev->outgoing));
}
