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

VUC_PRIVATE void
vuc_dma_set_revoked(struct vuc_device *dev, const _Atomic bool *revoked)
{
	dev->dma_revoked = revoked;
}

/* Whether all of it may be accessed like that. Returns an errno, 0 for yes. */
static int
dma_check_access(
	const struct vuc_device *dev, const struct vuc_wire_dma_access *access, uint32_t flags)
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
dma_read_memory(const struct vuc_device *dev, const struct vuc_wire_dma_access *access, uint8_t *to)
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
dma_write_memory(struct vuc_device *dev, const struct vuc_wire_dma_access *access)
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

/* From here on a reply is sent from memory. What lies in more places is copied all the same. */
#define BULK_MIN  4096u
#define MAX_PARTS 64u

/* Find the places in which the memory lies. Returns how many, 0: too many. */
static unsigned int
dma_find_parts(
	const struct vuc_device *dev, const struct vuc_wire_dma_access *access, struct iovec *parts)
{
	unsigned int nr = 0;
	uint64_t len;
	int error;

	for (uint64_t done = 0; done < access->count; done += len) {
		if (nr == MAX_PARTS)
			return 0;
		len = access->count - done;
		parts[nr].iov_base = dma_table_translate(
			&dev->dma, access->addr + done, &len, VUC_DMA_READ, &error);
		parts[nr++].iov_len = len;
	}
	return nr;
}

/* Copy what lies behind the first `skip` bytes of all parts. */
static void
dma_copy_rest(uint8_t *to, const struct iovec *parts, unsigned int nr, size_t skip)
{
	for (unsigned int i = 0; i < nr; i++) {
		const uint8_t *from = parts[i].iov_base;
		size_t len = parts[i].iov_len;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		memcpy(to, from + skip, len - skip);
		to += len - skip;
		skip = 0;
	}
}

/*
 * Send a reply with the data straight out of memory. Nothing refers to the memory afterwards: what
 * the socket does not take now is copied. Memory that cannot be read, as behind the end of a file
 * that was cut, makes the kernel take nothing, and copying then fails in the way that guards know.
 * Returns false when nothing was sent.
 */
static bool
dma_send_memory(struct vuc_device *dev, struct vuc_session *s,
	const struct vuc_session_command *command, const struct vuc_wire_dma_access *access)
{
	uint8_t head[VUC_SESSION_HEADER + sizeof(struct vfio_user_dma_region_access)];
	struct iovec parts[1 + MAX_PARTS] = {{.iov_base = head, .iov_len = sizeof(head)}};
	const size_t size = sizeof(head) + access->count;
	unsigned int nr = dma_find_parts(dev, access, parts + 1);
	uint8_t *rest;
	size_t n;

	if (nr == 0)
		return false;
	vuc_session_reply_header(command, size - VUC_SESSION_HEADER, head);
	vuc_wire_dma_reply_encode(head + VUC_SESSION_HEADER, access);
	n = device_send_parts(dev, s, parts, 1 + nr);
	if (n == 0 || n == size)
		return n > 0;
	rest = vuc_session_answer_rest(s, size - n);
	if (rest != NULL)
		dma_copy_rest(rest, parts, 1 + nr, n);
	return true;
}

static int
dma_answer_read(
	struct vuc_device *dev, struct vuc_session *s, const struct vuc_session_command *command)
{
	uint8_t body[sizeof(struct vfio_user_dma_region_access)];
	struct vuc_wire_dma_access access;
	uint8_t *data;
	int error;

	if (vuc_wire_dma_read_decode(
		    command->body, command->len, dev->max_data_xfer_size, &access, NULL) != 0)
		return EINVAL;
	error = dma_check_access(dev, &access, VUC_DMA_READ);
	if (error != 0 || command->no_reply)
		return error;
	if (access.count >= BULK_MIN && dev->trace == NULL &&
		dma_send_memory(dev, s, command, &access))
		return 0;
	data = vuc_session_answer(
		s, command, body, vuc_wire_dma_reply_encode(body, &access), access.count);
	if (data != NULL)
		dma_read_memory(dev, &access, data);
	return 0;
}

static int
dma_answer_write(
	struct vuc_device *dev, struct vuc_session *s, const struct vuc_session_command *command)
{
	uint8_t body[sizeof(struct vfio_user_dma_region_access)];
	struct vuc_wire_dma_access access;
	int error;

	if (vuc_wire_dma_write_decode(
		    command->body, command->len, dev->max_data_xfer_size, &access, NULL) != 0)
		return EINVAL;
	error = dma_check_access(dev, &access, VUC_DMA_WRITE);
	if (error != 0)
		return error;
	dma_write_memory(dev, &access);
	if (!command->no_reply)
		vuc_session_answer(s, command, body, vuc_wire_dma_reply_encode(body, &access), 0);
	return 0;
}

void
device_command(void *arg, struct vuc_session *s, const struct vuc_session_command *command)
{
	struct vuc_device *dev = arg;
	int error = EOPNOTSUPP;

	/* The memory is its owner's again. */
	if (dev->closed)
		error = EFAULT;
	else if (command->cmd == VFIO_USER_DMA_READ)
		error = dma_answer_read(dev, s, command);
	else if (command->cmd == VFIO_USER_DMA_WRITE)
		error = dma_answer_write(dev, s, command);
	if (error != 0 && !command->no_reply)
		vuc_session_refuse(s, command, error);
}
