/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The server asks for memory by message: answered out of what is mapped for it, within bounds and
 * permissions, and refused otherwise. Whatever it asks for, the session goes on.
 */

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "dma.h"
#include "dma_dirty.h"
#include "internal.h"
#include "vfio_user.h"

#include <vuc/dma.h>

void
vuc_dma_set_revoked(struct vuc_device *dev, const _Atomic bool *revoked)
{
	dev->dma_revoked = revoked;
}

/* Whether all of it may be accessed like that. Returns an errno, 0 for yes. */
static int
check_access(const struct vuc_device *dev, const struct vuc_wire_dma_access *access, uint32_t flags)
{
	uint64_t len;
	int error = 0;

	if (dev->dma_revoked != NULL &&
		atomic_load_explicit(dev->dma_revoked, memory_order_relaxed))
		return EFAULT;
	for (uint64_t done = 0; done < access->count; done += len) {
		len = access->count - done;
		if (dma_table_translate(&dev->dma, access->addr + done, &len, flags, &error) ==
			NULL)
			return error;
	}
	return 0;
}

static void
read_memory(const struct vuc_device *dev, const struct vuc_wire_dma_access *access, uint8_t *to)
{
	uint64_t len;
	int error;

	for (uint64_t done = 0; done < access->count; done += len) {
		const uint8_t *from;

		len = access->count - done;
		from = dma_table_translate(
			&dev->dma, access->addr + done, &len, VUC_DMA_READ, &error);
		memcpy(to + done, from, len);
	}
}

static void
write_memory(struct vuc_device *dev, const struct vuc_wire_dma_access *access)
{
	uint64_t len;
	int error;

	for (uint64_t done = 0; done < access->count; done += len) {
		uint8_t *to;

		len = access->count - done;
		to = dma_table_translate(
			&dev->dma, access->addr + done, &len, VUC_DMA_WRITE, &error);
		memcpy(to, access->data + done, len);
		if (dev->logging)
			dma_dirty_mark(&dev->dma, access->addr + done, len);
	}
}

static int
answer_read(
	struct vuc_device *dev, struct vuc_session *s, const struct vuc_session_command *command)
{
	uint8_t body[sizeof(struct vfio_user_dma_region_access)];
	struct vuc_wire_dma_access access;
	uint8_t *data;
	int error;

	if (vuc_wire_dma_read_decode(
		    command->body, command->len, dev->max_data_xfer_size, &access, NULL) != 0)
		return EINVAL;
	error = check_access(dev, &access, VUC_DMA_READ);
	if (error != 0 || command->no_reply)
		return error;
	data = vuc_session_answer(
		s, command, body, vuc_wire_dma_reply_encode(body, &access), access.count);
	if (data != NULL)
		read_memory(dev, &access, data);
	return 0;
}

static int
answer_write(
	struct vuc_device *dev, struct vuc_session *s, const struct vuc_session_command *command)
{
	uint8_t body[sizeof(struct vfio_user_dma_region_access)];
	struct vuc_wire_dma_access access;
	int error;

	if (vuc_wire_dma_write_decode(
		    command->body, command->len, dev->max_data_xfer_size, &access, NULL) != 0)
		return EINVAL;
	error = check_access(dev, &access, VUC_DMA_WRITE);
	if (error != 0)
		return error;
	write_memory(dev, &access);
	if (!command->no_reply)
		vuc_session_answer(s, command, body, vuc_wire_dma_reply_encode(body, &access), 0);
	return 0;
}

void
device_command(void *arg, struct vuc_session *s, const struct vuc_session_command *command)
{
	struct vuc_device *dev = arg;
	int error = EOPNOTSUPP;

	if (command->cmd == VFIO_USER_DMA_READ)
		error = answer_read(dev, s, command);
	else if (command->cmd == VFIO_USER_DMA_WRITE)
		error = answer_write(dev, s, command);
	if (error != 0 && !command->no_reply)
		vuc_session_refuse(s, command, error);
}
