/* SPDX-License-Identifier: BSD-3-Clause */

/* Commands that the device sends to its client, up to their answers. */

#include <errno.h>

#include "device.h"

/* A free place in the table; there is one. */
static struct refdev_command *
take_place(struct refdev_outgoing *out, struct refdev_command command)
{
	struct refdev_command *place;

	do {
		command.id = out->next_id++;
		place = &out->commands[command.id % REFDEV_MAX_COMMANDS];
	} while (place->state != REFDEV_COMMAND_NONE);
	*place = command;
	place->state = REFDEV_COMMAND_SENT;
	out->nr++;
	return place;
}

static void
free_place(struct refdev_outgoing *out, struct refdev_command *place)
{
	place->state = REFDEV_COMMAND_NONE;
	out->nr--;
}

void
refdev_command_put(struct refdev *dev, struct refdev_command command, uint32_t flags,
	const void *data, size_t len, struct vuc_loopback_msg *msg)
{
	struct refdev_command *place = take_place(&dev->outgoing, command);
	const struct vfio_user_dma_region_access access = {
		.addr = command.addr, .count = command.count};
	const struct vfio_user_header header = {
		.msg_id = place->id,
		.cmd = command.cmd,
		.msg_size = (uint32_t)(sizeof(header) + sizeof(access) + len),
		.flags = flags,
	};
	uint8_t *behind = msg->bytes + sizeof(header) + sizeof(access);

	memcpy(msg->bytes, &header, sizeof(header));
	memcpy(msg->bytes + sizeof(header), &access, sizeof(access));
	if (data != NULL)
		memcpy(behind, data, len);
	else
		memset(behind, 0, len);
	msg->len = header.msg_size;
	msg->nr_fds = 0;
	if (flags & VFIO_USER_F_NO_REPLY)
		free_place(&dev->outgoing, place);
}

void
refdev_commands_forget(struct refdev *dev)
{
	for (unsigned int i = 0; i < REFDEV_MAX_COMMANDS; i++)
		if (dev->outgoing.commands[i].state == REFDEV_COMMAND_SENT)
			dev->outgoing.commands[i].state = REFDEV_COMMAND_GONE;
}

bool
refdev_has_command(const struct refdev *dev)
{
	return dev->outgoing.nr < REFDEV_MAX_COMMANDS && dev->model->has_command(dev);
}

bool
refdev_next_command(struct refdev *dev, struct vuc_loopback_msg *msg)
{
	if (!refdev_has_command(dev) || msg->size < dev->max_message)
		return false;
	dev->model->next_command(dev, msg);
	return true;
}

bool
refdev_awaits_answers(const struct refdev *dev)
{
	return dev->outgoing.nr > 0;
}

int
refdev_answer_handle(struct refdev *dev, const struct vuc_loopback_msg *msg)
{
	const size_t head = sizeof(struct vfio_user_header);
	struct refdev_answer answer = {.len = msg->len - head};
	struct refdev_command *place, command;

	memcpy(&answer.header, msg->bytes, head);
	memcpy(&answer.access, msg->bytes + head,
		answer.len < sizeof(answer.access) ? answer.len : sizeof(answer.access));
	answer.data = msg->bytes + head + sizeof(answer.access);
	place = &dev->outgoing.commands[answer.header.msg_id % REFDEV_MAX_COMMANDS];
	if (place->state == REFDEV_COMMAND_NONE || place->id != answer.header.msg_id ||
		place->cmd != answer.header.cmd || msg->nr_fds > 0)
		return refdev_hang_up(dev, "unexpected reply to command %u, message %u",
			answer.header.cmd, answer.header.msg_id);
	command = *place;
	free_place(&dev->outgoing, place);
	return command.state == REFDEV_COMMAND_SENT ? dev->model->answer(dev, &command, &answer)
						    : 0;
}

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

int
refdev_answer_check(struct refdev *dev, const struct refdev_command *command,
	const struct refdev_answer *answer)
{
	int error = error_of(&answer->header);

	if (error == 0 && !answer_fits(command, answer))
		return refdev_hang_up(dev,
			"reply to command %u, message %u: expected %llu bytes at 0x%llx",
			command->cmd, command->id, (unsigned long long)command->count,
			(unsigned long long)command->addr);
	return error;
}
