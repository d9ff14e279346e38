/* SPDX-License-Identifier: BSD-3-Clause */

/* Replies and their output. An error reply is as long as a successful one, because clients read as
 * many bytes as they expect. */

#include <errno.h>

#include "command.h"
#include "internal.h"

/* Maximum size of several replies that are sent together. The kernel accepts so many bytes as a
 * whole or not at all; QEMU closes the connection when a header arrives in two parts. */
#define MAX_SEND 32768u

static uint32_t
fixed_len_of(uint16_t cmd)
{
	switch (cmd) {
	case VFIO_USER_VERSION:
		return sizeof(struct vfio_user_version);
	case VFIO_USER_DMA_UNMAP:
		return sizeof(struct vfio_user_dma_unmap);
	case VFIO_USER_DEVICE_GET_INFO:
		return sizeof(struct vfio_user_device_info);
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		return sizeof(struct vfio_user_region_info);
	case VFIO_USER_DEVICE_GET_REGION_IO_FDS:
		return sizeof(struct vfio_user_region_io_fds);
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		return sizeof(struct vfio_user_irq_info);
	case VFIO_USER_REGION_READ:
	case VFIO_USER_REGION_WRITE:
		return sizeof(struct vfio_user_region_access);
	case VFIO_USER_REGION_WRITE_MULTI:
		return sizeof(struct vfio_user_write_multi);
	case VFIO_USER_DEVICE_FEATURE:
		return sizeof(struct vfio_user_device_feature);
	case VFIO_USER_MIG_DATA_READ:
		return sizeof(struct vfio_user_mig_data);
	default:
		return 0;
	}
}

void
front_reply_shape(const struct front *f, const struct front_message *m, uint32_t *fixed_len,
	uint32_t *body_len)
{
	struct vfio_user_region_access access;

	*fixed_len = fixed_len_of(m->header.cmd);
	*body_len = *fixed_len;
	if (m->header.cmd != VFIO_USER_REGION_READ || m->len < sizeof(access))
		return;
	memcpy(&access, m->body, sizeof(access));
	if (access.count <= f->max_data)
		*body_len += access.count;
}

bool
front_has_room(const struct front *f, uint32_t body_len)
{
	return f->out_size - f->out_len - f->out_kept >= FRONT_HEADER_SIZE + body_len;
}

static uint8_t *
append_output(struct front *f, size_t len)
{
	uint8_t *at;

	assert(f->out_len + len <= f->out_size);
	if (f->out_head + f->out_len + len > f->out_size) {
		memmove(f->out, f->out + f->out_head, f->out_len);
		f->out_head = 0;
	}
	at = f->out + f->out_head + f->out_len;
	f->out_len += len;
	return at;
}

void
front_put_reply(struct front *f, const struct vfio_user_header *request, int status,
	const struct front_body *body)
{
	uint32_t len = status != 0 && f->short_errors ? 0 : body->body_len;
	uint32_t fixed_len = body->fixed_len < len ? body->fixed_len : len;
	struct vfio_user_header header = {
		.msg_id = request->msg_id,
		.cmd = request->cmd,
		.msg_size = (uint32_t)FRONT_HEADER_SIZE + len,
		.flags = VFIO_USER_F_TYPE_REPLY,
	};
	uint8_t *at = append_output(f, header.msg_size);

	if (status != 0) {
		header.flags |= VFIO_USER_F_ERROR;
		header.error_no = status < 0 ? (uint32_t)-status : EIO;
	}
	memcpy(at, &header, sizeof(header));
	at += sizeof(header);
	if (fixed_len > 0)
		memcpy(at, body->fixed, fixed_len);
	if (len == fixed_len)
		return;
	if (body->data != NULL)
		memcpy(at + fixed_len, body->data, len - fixed_len);
	else
		memset(at + fixed_len, body->fill, len - fixed_len);
}

void
front_put_refusal(struct front *f, const struct front_message *m, int status)
{
	uint8_t fixed[FRONT_MAX_FIXED] = {0};
	struct front_body body = {.fixed = fixed, .fill = 0xff};
	uint32_t known;

	if ((m->header.flags & VFIO_USER_F_NO_REPLY) != 0)
		return;
	front_reply_shape(f, m, &body.fixed_len, &body.body_len);
	known = m->len < body.fixed_len ? m->len : body.fixed_len;
	if (known > 0 && m->header.cmd != VFIO_USER_REGION_WRITE_MULTI)
		memcpy(fixed, m->body, known);
	front_put_reply(f, &m->header, status, &body);
}

/* Size of the reply that begins at this offset from the first one. */
static size_t
reply_size_at(const struct front *f, size_t at)
{
	struct vfio_user_header header;

	memcpy(&header, f->out + f->out_head + at, sizeof(header));
	return header.msg_size;
}

const void *
front_output(struct front *f, size_t *size, int *fd)
{
	size_t len = f->out_rest;

	*fd = f->out_fd != -1 && f->out_fd_at == 0 ? f->out_fd : -1;
	/* A descriptor goes with the first byte of what is sent. */
	while (len < f->out_len && (f->out_fd == -1 || *fd != -1 || len < f->out_fd_at)) {
		size_t next = reply_size_at(f, len);

		if (len > 0 && len + next > MAX_SEND)
			break;
		len += next;
	}
	*size = len;
	return len > 0 ? f->out + f->out_head : NULL;
}

/* End of the first reply that has not been sent completely. */
static void
skip_sent(struct front *f, size_t bytes)
{
	while (bytes > 0) {
		size_t step;

		if (f->out_rest == 0)
			f->out_rest = reply_size_at(f, 0);
		step = bytes < f->out_rest ? bytes : f->out_rest;
		f->out_rest -= step;
		f->out_head += step;
		f->out_len -= step;
		bytes -= step;
	}
	if (f->out_len == 0)
		f->out_head = 0;
}

void
front_sent(struct front *f, size_t bytes, uint64_t now_ms)
{
	assert(bytes <= f->out_len);
	if (bytes == 0) {
		if (f->stall_ms == 0 && f->out_len > 0)
			f->stall_ms = now_ms + f->reply_ms;
		return;
	}
	if (f->out_fd != -1 && f->out_fd_at == 0) {
		f->stray[f->nr_stray++] = f->out_fd;
		f->out_fd = -1;
	} else if (f->out_fd != -1) {
		f->out_fd_at -= bytes;
	}
	skip_sent(f, bytes);
	f->stall_ms = f->out_len > 0 ? now_ms + f->reply_ms : 0;
	f->no_room = false;
}
