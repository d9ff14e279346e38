/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define HEADER_SIZE sizeof(struct vfio_user_header)

/* Errors of a server are errno values; anything else is a plain I/O error. */
#define MAX_ERRNO 4095u

/* A message; a reply has the slot of its request. */
struct message {
	struct vfio_user_header header;
	struct slot *slot;
	const uint8_t *body;
	size_t len;
	int *fds;
	unsigned int nr_fds;
};

static struct slot *
find_slot(struct vuc_session *s, uint16_t id)
{
	struct slot *slot = &s->slots[id & s->index_mask];

	return slot->id == id && slot->state != SLOT_FREE ? slot : NULL;
}

static void
broken(struct vuc_session *s, const struct vfio_user_header *h, const char *what)
{
	vuc_session_end(s, -EPROTO, "message 0x%04x (%s %u, %s): %s", h->msg_id,
		vuc_wire_command_name(h->cmd), h->cmd,
		(h->flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_REPLY ? "reply" : "command",
		what);
}

static void
broken_size(struct vuc_session *s, const struct vfio_user_header *h, uint64_t min, uint64_t max)
{
	vuc_session_end(s, -EPROTO,
		"message 0x%04x (%s %u): msg_size %u, expected %" PRIu64 " to %" PRIu64, h->msg_id,
		vuc_wire_command_name(h->cmd), h->cmd, h->msg_size, HEADER_SIZE + min,
		HEADER_SIZE + max);
}

static bool
check_reply_header(struct vuc_session *s, const struct vfio_user_header *h, const struct slot *slot)
{
	uint32_t min;

	if (slot == NULL) {
		broken(s, h, "no request has this message id");
		return false;
	}
	if (slot->cmd != h->cmd) {
		vuc_session_end(s, -EPROTO, "message 0x%04x: a reply to command %u, sent was %s %u",
			h->msg_id, h->cmd, vuc_wire_command_name(slot->cmd), slot->cmd);
		return false;
	}
	if (session_is_queued(s, slot)) {
		broken(s, h, "its command was not sent yet");
		return false;
	}
	/* The specification wants the header alone behind an error; the rest is skipped. */
	min = h->flags & VFIO_USER_F_ERROR ? 0 : slot->reply_min;
	if (h->msg_size < HEADER_SIZE + min || h->msg_size - HEADER_SIZE > slot->reply_max) {
		broken_size(s, h, min, slot->reply_max);
		return false;
	}
	return true;
}

static bool
check_command_header(struct vuc_session *s, const struct vfio_user_header *h)
{
	const struct vuc_wire_command *row = vuc_wire_command(h->cmd);
	uint64_t max;

	if (row == NULL || !row->from_server) {
		broken(s, h, "not a command that a server may send");
		return false;
	}
	if (s->state == VUC_SESSION_NEGOTIATING) {
		broken(s, h, "a command before the reply to VFIO_USER_VERSION");
		return false;
	}
	if (h->flags & VFIO_USER_F_ERROR) {
		broken(s, h, "a command with the error flag");
		return false;
	}
	max = row->request_max;
	if (row->request_max == VUC_WIRE_DATA)
		max = (uint64_t)row->request_min + s->config.version.max_data_xfer_size;
	if (h->msg_size < HEADER_SIZE + row->request_min || h->msg_size - HEADER_SIZE > max) {
		broken_size(s, h, row->request_min, max);
		return false;
	}
	return true;
}

/*
 * Take a message's header and check all that it can tell; from here on msg_size is a bound that can
 * be trusted.
 */
static bool
take_header(struct vuc_session *s, struct message *m, const uint8_t *bytes)
{
	const struct vfio_user_header *h = &m->header;
	uint32_t type;

	memcpy(&m->header, bytes, HEADER_SIZE);
	type = h->flags & VFIO_USER_F_TYPE_MASK;
	if (type == VFIO_USER_F_TYPE_REPLY && (h->flags & ~VFIO_USER_F_KNOWN) == 0) {
		m->slot = find_slot(s, h->msg_id);
		return check_reply_header(s, h, m->slot);
	}
	m->slot = NULL;
	if (type == VFIO_USER_F_TYPE_COMMAND && (h->flags & ~VFIO_USER_F_KNOWN) == 0)
		return check_command_header(s, h);
	vuc_session_end(s, -EPROTO, "message 0x%04x (%s %u): flags 0x%x are not known", h->msg_id,
		vuc_wire_command_name(h->cmd), h->cmd, h->flags);
	return false;
}

/* A reply of a region access repeats the request, and a read has its data behind it. */
static bool
check_access(struct vuc_session *s, const struct slot *slot, const struct message *m)
{
	struct vfio_user_region_access got;

	memcpy(&got, m->body, sizeof(got));
	if (got.offset != slot->offset || got.region != slot->region) {
		vuc_session_end(s, -EPROTO,
			"message 0x%04x (%s): a reply for region %u offset 0x%" PRIx64
			", asked was region %u offset 0x%" PRIx64,
			m->header.msg_id, vuc_wire_command_name(slot->cmd), got.region, got.offset,
			slot->region, slot->offset);
		return false;
	}
	if (got.count != slot->count || m->len != slot->reply_max) {
		vuc_session_end(s, -EPROTO,
			"message 0x%04x (%s): count %u and %zu bytes of data, asked was a count of %u",
			m->header.msg_id, vuc_wire_command_name(slot->cmd), got.count,
			m->len - sizeof(got), slot->count);
		return false;
	}
	return true;
}

static void
handle_error_reply(struct vuc_session *s, struct slot *slot, const struct message *m)
{
	uint32_t error_no = m->header.error_no;
	struct vuc_error line = {0};
	struct vuc_session_reply reply = {.reason = line.text};

	if (error_no == 0 || error_no > MAX_ERRNO)
		error_no = EIO;
	reply.status = -(int)error_no;
	snprintf(line.text, sizeof(line.text), "the server answered %s with error %u (%s)",
		vuc_wire_command_name(slot->cmd), m->header.error_no, strerror((int)error_no));
	session_complete(s, slot, &reply);
}

static void
handle_reply(struct vuc_session *s, const struct message *m)
{
	struct slot *slot = m->slot;
	struct vuc_session_reply reply = {
		.body = m->body,
		.len = m->len,
		.fds = m->fds,
		.nr_fds = m->nr_fds,
	};

	if (m->nr_fds > 0 &&
		(!vuc_wire_command(slot->cmd)->reply_fds || m->header.flags & VFIO_USER_F_ERROR)) {
		vuc_session_end(s, -EPROTO,
			"message 0x%04x (%s): came with %u file descriptors that nobody asked for",
			m->header.msg_id, vuc_wire_command_name(slot->cmd), m->nr_fds);
		return;
	}
	if (m->header.flags & VFIO_USER_F_ERROR) {
		handle_error_reply(s, slot, m);
		return;
	}
	if (slot->access) {
		if (!check_access(s, slot, m))
			return;
		if (slot->cmd == VFIO_USER_REGION_READ && slot->state != SLOT_TIMED_OUT)
			memcpy(slot->data, m->body + sizeof(struct vfio_user_region_access),
				slot->count);
		reply.body = NULL;
		reply.len = 0;
	}
	session_complete(s, slot, &reply);
}

static void
handle_command(struct vuc_session *s, const struct message *m)
{
	const struct vuc_session_command command = {
		.id = m->header.msg_id,
		.cmd = m->header.cmd,
		.no_reply = (m->header.flags & VFIO_USER_F_NO_REPLY) != 0,
		.body = m->body,
		.len = m->len,
	};

	if (m->nr_fds > 0)
		broken(s, &m->header, "came with file descriptors");
	else if (s->config.command != NULL)
		s->config.command(s->config.command_arg, s, &command);
	else if (!command.no_reply)
		vuc_session_refuse(s, &command, EOPNOTSUPP);
}

/* A message that has come as a whole, and whose header was taken. */
static void
handle_message(struct vuc_session *s, struct message *m, const uint8_t *bytes)
{
	m->body = bytes + HEADER_SIZE;
	m->len = m->header.msg_size - HEADER_SIZE;
	s->received++;
	if (s->traced)
		s->config.trace(s->config.trace_arg, false, bytes, m->header.msg_size, m->nr_fds);
	if (m->slot != NULL)
		handle_reply(s, m);
	else
		handle_command(s, m);
	if (m->nr_fds > 0)
		session_close_fds(m->fds, m->nr_fds);
	session_settle(s);
}

/* The message in parts is complete: its buffer is free before anybody is told. */
static void
handle_assembled(struct vuc_session *s)
{
	int fds[MAX_MSG_FDS];
	struct message m = {.fds = fds, .nr_fds = s->rx.nr_fds};

	memcpy(fds, s->rx.fds, sizeof(fds));
	s->rx.nr_fds = 0;
	s->rx.len = 0;
	s->rx.total = 0;
	/* Again: its request may be over, if not its slot. */
	if (take_header(s, &m, s->rx.buf))
		handle_message(s, &m, s->rx.buf);
	else
		session_close_fds(fds, m.nr_fds);
}

static bool
grow_buffer(struct vuc_session *s, size_t size)
{
	uint8_t *buf;

	if (size <= s->rx.size)
		return true;
	buf = realloc(s->rx.buf, size);
	if (buf == NULL) {
		vuc_session_end(s, -ENOMEM, "no memory for a message of %zu bytes", size);
		return false;
	}
	s->rx.buf = buf;
	s->rx.size = size;
	return true;
}

/* Add what is there of the message in parts, up to len bytes of it in all. Returns bytes taken. */
static size_t
append(struct vuc_session *s, const uint8_t *bytes, size_t avail, size_t len)
{
	size_t n = len - s->rx.len;

	if (n > avail)
		n = avail;
	memcpy(s->rx.buf + s->rx.len, bytes, n);
	s->rx.len += n;
	return n;
}

/* Returns how many bytes belong to the message in parts, which may be complete then. */
static size_t
assemble(struct vuc_session *s, const uint8_t *bytes, size_t avail)
{
	struct message m;
	size_t n = 0;

	if (s->rx.total == 0) {
		if (!grow_buffer(s, HEADER_SIZE))
			return 0;
		n = append(s, bytes, avail, HEADER_SIZE);
		if (s->rx.len < HEADER_SIZE)
			return n;
		if (!take_header(s, &m, s->rx.buf) || !grow_buffer(s, m.header.msg_size))
			return n;
		s->rx.total = m.header.msg_size;
	}
	return n + append(s, bytes + n, avail - n, s->rx.total);
}

/* Keep descriptors for the message in parts. Those that are one too many are closed. */
static void
keep_fds(struct vuc_session *s, const int *fds, unsigned int nr_fds)
{
	unsigned int max = s->config.version.max_msg_fds;

	if (max > MAX_MSG_FDS)
		max = MAX_MSG_FDS;
	for (unsigned int i = 0; i < nr_fds; i++) {
		int fd = fds[i];

		if (s->state != VUC_SESSION_LOST && s->rx.nr_fds < max) {
			s->rx.fds[s->rx.nr_fds++] = fd;
			continue;
		}
		session_close_fds(&fd, 1);
		vuc_session_end(
			s, -EPROTO, "a message came with more than %u file descriptors", max);
	}
}

/*
 * A message that lies in these bytes as a whole is handled where it is. Returns its size, or 0
 * when it has to be assembled.
 */
static size_t
handle_in_place(struct vuc_session *s, const uint8_t *bytes, size_t avail)
{
	struct message m;

	if (s->rx.len > 0 || s->rx.nr_fds > 0 || avail < HEADER_SIZE)
		return 0;
	if (!take_header(s, &m, bytes) || avail < m.header.msg_size)
		return 0;
	m.fds = NULL;
	m.nr_fds = 0;
	handle_message(s, &m, bytes);
	return m.header.msg_size;
}

static bool
ended(const struct vuc_session *s)
{
	return s->state == VUC_SESSION_LOST || s->state == VUC_SESSION_CLOSED;
}

/* Whether the message that begins with these bytes, or goes on with them, reaches to their end. */
static bool
reaches_end(const struct vuc_session *s, const uint8_t *bytes, size_t avail)
{
	struct vfio_user_header header = {0};
	size_t have = s->rx.len;

	if (have + avail <= HEADER_SIZE)
		return true;
	if (s->rx.total != 0)
		return s->rx.total - have >= avail;
	if (have > HEADER_SIZE)
		have = HEADER_SIZE;
	if (have > 0)
		memcpy(&header, s->rx.buf, have);
	memcpy((uint8_t *)&header + have, bytes, HEADER_SIZE - have);
	return header.msg_size >= s->rx.len + avail;
}

void
vuc_session_received(struct vuc_session *s, const uint8_t *bytes, size_t len, const int *fds,
	unsigned int nr_fds)
{
	size_t pos = 0;

	while (pos < len && !ended(s)) {
		size_t n = 0;

		if (nr_fds > 0 && reaches_end(s, bytes + pos, len - pos)) {
			keep_fds(s, fds, nr_fds);
			nr_fds = 0;
			if (ended(s))
				break;
		}
		n = handle_in_place(s, bytes + pos, len - pos);
		if (n == 0 && !ended(s)) {
			n = assemble(s, bytes + pos, len - pos);
			if (!ended(s) && s->rx.total != 0 && s->rx.len == s->rx.total)
				handle_assembled(s);
		}
		pos += n;
	}
	/* The session has ended, or no message was there to carry them. */
	if (nr_fds > 0)
		keep_fds(s, fds, nr_fds);
	if (ended(s)) {
		session_close_fds(s->rx.fds, s->rx.nr_fds);
		s->rx.nr_fds = 0;
	}
}
