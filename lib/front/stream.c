/* SPDX-License-Identifier: BSD-3-Clause */

/* What a client sends: bytes to messages, with their descriptors and the time of their arrival; and
 * the end of that. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "command.h"
#include "error.h"
#include "internal.h"

void
front_drop_fd(struct front *f, int fd)
{
	assert(f->nr_stray < FRONT_MAX_STRAY);
	f->stray[f->nr_stray++] = fd;
}

void
front_drop_fds(struct front *f, const int *fds, unsigned int nr_fds)
{
	for (unsigned int i = 0; i < nr_fds; i++)
		front_drop_fd(f, fds[i]);
}

int
front_fail(struct front *f, int error, const char *fmt, ...)
{
	struct vuc_error line;
	va_list args;

	if (f->ended)
		return f->error;
	va_start(args, fmt);
	vsnprintf(line.text, sizeof(line.text), fmt, args);
	va_end(args);
	f->error = error;
	front_end(f, line.text);
	return error;
}

void
front_end(struct front *f, const char *why)
{
	struct vuc_error line = {0};

	if (f->ended)
		return;
	f->ended = true;
	if (f->error == 0)
		f->error = -EPROTO;
	vuc_error_set(&line, 0, "%s", why != NULL ? why : "");
	memcpy(f->why, line.text, sizeof(f->why));
	front_drop_fds(f, f->pending, f->nr_pending);
	if (f->out_fd != -1)
		front_drop_fd(f, f->out_fd);
	f->out_fd = -1;
	f->nr_pending = f->nr_batches = f->nr_marks = 0;
	f->in_len = f->out_len = f->out_kept = f->out_rest = 0;
	f->used = 0;
	f->stall_ms = f->hello_ms = 0;
}

const char *
front_why(const struct front *f)
{
	return f->ended ? f->why : NULL;
}

unsigned int
front_take_stray_fds(struct front *f, int *fds, unsigned int max)
{
	unsigned int n = f->nr_stray < max ? f->nr_stray : max;

	f->nr_stray -= n;
	memcpy(fds, f->stray + f->nr_stray, n * sizeof(*fds));
	return n;
}

bool
front_head_message(const struct front *f, struct front_message *m)
{
	const uint8_t *at = f->in + f->in_head;

	if (f->in_len < FRONT_HEADER_SIZE)
		return false;
	memcpy(&m->header, at, sizeof(m->header));
	if (f->in_len < m->header.msg_size)
		return false;
	m->body = at + FRONT_HEADER_SIZE;
	m->len = m->header.msg_size - (uint32_t)FRONT_HEADER_SIZE;
	m->nr_fds = 0;
	if (f->nr_batches > 0 && f->batches[0].pos == f->in_pos)
		m->nr_fds = f->batches[0].nr_fds;
	return true;
}

/* How much of the stream may be received now. */
static size_t
wanted_bytes(const struct front *f)
{
	size_t ahead = f->in_len < FRONT_READ_AHEAD ? FRONT_READ_AHEAD - f->in_len : 0;
	struct vfio_user_header header;

	if (f->ended || f->nr_stray > 0 || f->nr_pending > FRONT_MAX_PENDING - FRONT_MAX_FDS)
		return 0;
	if (f->in_len < FRONT_HEADER_SIZE)
		return ahead;
	memcpy(&header, f->in + f->in_head, sizeof(header));
	if (header.msg_size > f->in_len && header.msg_size - f->in_len > ahead)
		return header.msg_size - f->in_len;
	return ahead;
}

void *
front_room(struct front *f, size_t *size)
{
	*size = wanted_bytes(f);
	if (*size > 0 && (f->in_len == 0 || f->in_head + f->in_len + *size > f->in_size)) {
		memmove(f->in, f->in + f->in_head, f->in_len);
		f->in_head = 0;
	}
	return f->in + f->in_head + f->in_len;
}

/* Find where messages begin, up to the end of what has been received. Returns 0 or -EPROTO. */
static int
find_messages(struct front *f)
{
	uint64_t end = f->in_pos + f->in_len;

	while (f->in_next + FRONT_HEADER_SIZE <= end) {
		struct vfio_user_header header;

		memcpy(&header, f->in + f->in_head + (f->in_next - f->in_pos), sizeof(header));
		if (header.msg_size < FRONT_HEADER_SIZE || header.msg_size > f->max_message)
			return front_fail(f, -EPROTO,
				"message 0x%04x (%s): msg_size %u, expected %zu to %u",
				header.msg_id, vuc_wire_command_name(header.cmd), header.msg_size,
				FRONT_HEADER_SIZE, f->max_message);
		f->in_last = f->in_next;
		f->in_next += header.msg_size;
	}
	return 0;
}

/* Descriptors belong to the message that begins last, be it with a part of its header. */
static int
take_fds(struct front *f, const int *fds, unsigned int nr_fds)
{
	uint64_t pos = f->in_next < f->in_pos + f->in_len ? f->in_next : f->in_last;
	struct front_batch *batch = NULL;
	unsigned int before = 0;

	if (f->nr_batches > 0 && f->batches[f->nr_batches - 1].pos == pos) {
		batch = &f->batches[f->nr_batches - 1];
		before = batch->nr_fds;
	}
	if (nr_fds > FRONT_MAX_FDS - before) {
		front_drop_fds(f, fds, nr_fds);
		return front_fail(f, -EPROTO,
			"a message has %u file descriptors, expected at most %u", before + nr_fds,
			FRONT_MAX_FDS);
	}
	if (batch == NULL) {
		batch = &f->batches[f->nr_batches++];
		*batch = (struct front_batch){.pos = pos};
	}
	batch->nr_fds += nr_fds;
	memcpy(f->pending + f->nr_pending, fds, nr_fds * sizeof(*fds));
	f->nr_pending += nr_fds;
	return 0;
}

/* Times that are close count as the first of them. */
static void
mark_arrival(struct front *f, uint64_t now_ms)
{
	uint64_t end = f->in_pos + f->in_len;
	struct front_mark *last = f->nr_marks > 0 ? &f->marks[f->nr_marks - 1] : NULL;

	if (last != NULL &&
		(f->nr_marks == FRONT_MARKS || now_ms - last->ms < f->reply_ms / FRONT_MARKS)) {
		last->end = end;
		return;
	}
	f->marks[f->nr_marks++] = (struct front_mark){.end = end, .ms = now_ms};
}

int
front_received(struct front *f, size_t bytes, const int *fds, unsigned int nr_fds, uint64_t now_ms)
{
	if (f->ended) {
		front_drop_fds(f, fds, nr_fds);
		return f->error;
	}
	assert(f->in_head + f->in_len + bytes <= f->in_size);
	f->in_len += bytes;
	mark_arrival(f, now_ms);
	if (find_messages(f) != 0) {
		front_drop_fds(f, fds, nr_fds);
		return f->error;
	}
	return nr_fds > 0 ? take_fds(f, fds, nr_fds) : 0;
}

uint64_t
front_head_due_ms(const struct front *f, const struct front_message *m)
{
	uint64_t end = f->in_pos + m->header.msg_size;

	for (unsigned int i = 0; i < f->nr_marks; i++) {
		if (f->marks[i].end >= end)
			return f->marks[i].ms + f->reply_ms;
	}
	return UINT64_MAX;
}

void
front_consume(struct front *f, const struct front_message *m)
{
	unsigned int passed = 0;

	f->in_head += m->header.msg_size;
	f->in_len -= m->header.msg_size;
	f->in_pos += m->header.msg_size;
	while (passed < f->nr_marks && f->marks[passed].end <= f->in_pos)
		passed++;
	f->nr_marks -= passed;
	memmove(f->marks, f->marks + passed, f->nr_marks * sizeof(f->marks[0]));
	if (m->nr_fds == 0)
		return;
	memcpy(f->taken, f->pending, m->nr_fds * sizeof(f->taken[0]));
	f->nr_pending -= m->nr_fds;
	memmove(f->pending, f->pending + m->nr_fds, f->nr_pending * sizeof(f->pending[0]));
	f->nr_batches--;
	memmove(f->batches, f->batches + 1, f->nr_batches * sizeof(f->batches[0]));
}
