/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define HEADER_SIZE sizeof(struct vfio_user_header)

/* Errors of a server are errno values; anything else is a plain I/O error. */
#define MAX_ERRNO 4095u

/* Most bytes of what is of no use and skipped: the body of an error, or of a reply that nobody
 * waits for. */
#define MAX_SKIPPED 4096u

/* A message; a reply has the slot of its request, unless that asked for none. */
struct message {
	struct vfio_user_header header;
	struct slot *slot;
	const uint8_t *body;
	size_t len;
	bool surplus; /* a reply to a command that asked for none */
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
end_broken(struct vuc_session *s, const struct vfio_user_header *h, const char *what)
{
	vuc_session_end(s, -EPROTO, "message 0x%04x (%s %u, %s): %s", h->msg_id,
		vuc_wire_command_name(h->cmd), h->cmd,
		(h->flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_REPLY ? "reply" : "command",
		what);
}

static void
end_broken_size(struct vuc_session *s, const struct vfio_user_header *h, uint64_t min, uint64_t max)
{
	vuc_session_end(s, -EPROTO,
		"message 0x%04x (%s %u): msg_size %u, expected %" PRIu64 " to %" PRIu64, h->msg_id,
		vuc_wire_command_name(h->cmd), h->cmd, h->msg_size, HEADER_SIZE + min,
		HEADER_SIZE + max);
}

/* Some servers answer commands that asked for no reply, with their id, which no slot has. */
static bool
is_surplus_reply(const struct vuc_session *s, const struct vfio_user_header *h)
{
	const struct vuc_wire_command *row = vuc_wire_command(h->cmd);

	return s->posted && h->msg_id == POSTED_ID && row != NULL && row->no_reply;
}

static bool
check_reply_size(
	struct vuc_session *s, const struct vfio_user_header *h, uint32_t min, uint32_t max)
{
	if (h->msg_size >= HEADER_SIZE + min && h->msg_size - HEADER_SIZE <= max)
		return true;
	end_broken_size(s, h, min, max);
	return false;
}

static uint32_t
max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint32_t
reply_min(const struct vuc_session *s, const struct slot *slot)
{
	if (slot->access)
		return sizeof(struct vfio_user_region_access);
	return session_rest(s, slot)->reply_min;
}

static bool
check_reply_header(struct vuc_session *s, const struct vfio_user_header *h, const struct slot *slot)
{
	if (slot == NULL) {
		end_broken(s, h, "no request has this message id");
		return false;
	}
	if (slot->cmd != h->cmd) {
		vuc_session_end(s, -EPROTO, "message 0x%04x: a reply to command %u, sent was %s %u",
			h->msg_id, h->cmd, vuc_wire_command_name(slot->cmd), slot->cmd);
		return false;
	}
	if (session_is_queued(s, slot)) {
		end_broken(s, h, "its request was not sent yet");
		return false;
	}
	/* The specification wants the header alone behind an error; the rest is skipped. */
	if (h->flags & VFIO_USER_F_ERROR)
		return check_reply_size(s, h, 0, max_u32(slot->reply_max, MAX_SKIPPED));
	/* An access can do without a body; see check_access(). */
	if (slot->access && h->msg_size == HEADER_SIZE)
		return true;
	return check_reply_size(s, h, reply_min(s, slot), slot->reply_max);
}

static bool
check_command_header(struct vuc_session *s, const struct vfio_user_header *h)
{
	const struct vuc_wire_command *row = vuc_wire_command(h->cmd);
	uint64_t max;

	if (row == NULL || !row->from_server) {
		end_broken(s, h, "not a command that a server may send");
		return false;
	}
	if (s->view.state == VUC_SESSION_NEGOTIATING) {
		end_broken(s, h, "a command before the reply to VFIO_USER_VERSION");
		return false;
	}
	if (h->flags & VFIO_USER_F_ERROR) {
		end_broken(s, h, "a command with the error flag");
		return false;
	}
	max = row->request_max;
	if (row->request_max == VUC_WIRE_DATA)
		max = (uint64_t)row->request_min + s->config.version.max_data_xfer_size;
	if (h->msg_size < HEADER_SIZE + row->request_min || h->msg_size - HEADER_SIZE > max) {
		end_broken_size(s, h, row->request_min, max);
		return false;
	}
	return true;
}

/* Whether it is an error reply of a server that leaves out the type of those. */
static bool
reply_lacks_type(const struct vfio_user_header *h)
{
	const struct vuc_wire_command *row;

	if ((h->flags & VFIO_USER_F_TYPE_MASK) != VFIO_USER_F_TYPE_COMMAND ||
		(h->flags & VFIO_USER_F_ERROR) == 0)
		return false;
	row = vuc_wire_command(h->cmd);
	return row != NULL && !row->from_server;
}

/* Check all that a header can tell; from here on msg_size is a bound that can be trusted. */
static bool
check_header(struct vuc_session *s, struct message *m)
{
	const struct vfio_user_header *h = &m->header;
	uint32_t type;

	m->surplus = false;
	type = h->flags & VFIO_USER_F_TYPE_MASK;
	if (reply_lacks_type(h))
		type = VFIO_USER_F_TYPE_REPLY;
	if (type == VFIO_USER_F_TYPE_REPLY && (h->flags & ~VFIO_USER_F_KNOWN) == 0) {
		m->slot = find_slot(s, h->msg_id);
		m->surplus = m->slot == NULL && is_surplus_reply(s, h);
		return m->surplus ? check_reply_size(s, h, 0, MAX_SKIPPED)
				  : check_reply_header(s, h, m->slot);
	}
	m->slot = NULL;
	if (type == VFIO_USER_F_TYPE_COMMAND && (h->flags & ~VFIO_USER_F_KNOWN) == 0)
		return check_command_header(s, h);
	vuc_session_end(s, -EPROTO, "message 0x%04x (%s %u): flags 0x%x are unknown", h->msg_id,
		vuc_wire_command_name(h->cmd), h->cmd, h->flags);
	return false;
}

/* Take the header of a message, unless it is refused, which ends the session. */
static bool
take_header(struct vuc_session *s, struct message *m, const uint8_t *bytes)
{
	memcpy(&m->header, bytes, HEADER_SIZE);
	if (check_header(s, m))
		return true;
	if (s->traced)
		s->config.trace(s->config.trace_arg, false, bytes, HEADER_SIZE, 0);
	return false;
}

/* The reply is no good, but the next message begins behind it. */
static void fail_access(struct vuc_session *s, struct slot *slot, const struct message *m,
	const char *fmt, ...) __attribute__((cold, format(printf, 4, 5)));

static void
fail_access(struct vuc_session *s, struct slot *slot, const struct message *m, const char *fmt, ...)
{
	struct vuc_error line = {0};
	struct vuc_session_reply reply = {.status = -EPROTO, .reason = line.text};
	va_list args;
	int n = snprintf(line.text, sizeof(line.text), "message 0x%04x (%s): ", m->header.msg_id,
		vuc_wire_command_name(slot->cmd));

	va_start(args, fmt);
	vsnprintf(line.text + n, sizeof(line.text) - (size_t)n, fmt, args);
	va_end(args);
	if (session_is_new_fault(s, VUC_FAULT_ACCESS_REPLY))
		session_warn(s, "%s", line.text);
	session_complete(s, slot, &reply);
}

/* A reply of a region access repeats the request, and a read has its data behind it. */
static bool
check_access(struct vuc_session *s, struct slot *slot, const struct message *m)
{
	struct vfio_user_region_access got;
	bool right_size = m->len == slot->reply_max;

	if (m->len == 0 && slot->cmd == VFIO_USER_REGION_READ) {
		fail_access(s, slot, m, "a reply without data to a request of count %u",
			slot->asked.count);
		return false;
	}
	if (m->len == 0)
		return true;
	memcpy(&got, m->body, sizeof(got));
	if (got.offset != slot->asked.offset || got.region != slot->asked.region) {
		vuc_session_end(s, -EPROTO,
			"message 0x%04x (%s): a reply for region %u offset 0x%" PRIx64
			", requested region %u offset 0x%" PRIx64,
			m->header.msg_id, vuc_wire_command_name(slot->cmd), got.region, got.offset,
			slot->asked.region, slot->asked.offset);
		return false;
	}
	if (!right_size)
		fail_access(s, slot, m, "count %u and %zu bytes of data, requested count %u",
			got.count, m->len - sizeof(got), slot->asked.count);
	return right_size;
}

/* What is wrong with a reply that was taken. */
static void
warn_of_access(struct vuc_session *s, const struct slot *slot, const struct message *m)
{
	struct vfio_user_region_access got = {0};

	if (m->len >= sizeof(got))
		memcpy(&got, m->body, sizeof(got));
	if (got.count != slot->asked.count && session_is_new_fault(s, VUC_FAULT_ACCESS_REPLY))
		session_warn(s,
			"message 0x%04x (%s): a reply of %zu bytes with count %u, requested %u",
			m->header.msg_id, vuc_wire_command_name(slot->cmd), m->len, got.count,
			slot->asked.count);
}

static void
warn_of_error(struct vuc_session *s, const struct slot *slot, const struct message *m)
{
	const char *name = vuc_wire_command_name(slot->cmd);

	if ((m->header.flags & VFIO_USER_F_TYPE_MASK) != VFIO_USER_F_TYPE_REPLY &&
		session_is_new_fault(s, VUC_FAULT_ERROR_TYPE))
		session_warn(s, "an error reply to %s has the type of a command", name);
	if (m->len > slot->reply_max && session_is_new_fault(s, VUC_FAULT_ERROR_BODY))
		session_warn(s, "an error reply to %s has a body of %zu bytes", name, m->len);
}

static void
handle_error_reply(struct vuc_session *s, struct slot *slot, const struct message *m)
{
	const struct vuc_wire_command *row = vuc_wire_command(slot->cmd);
	uint32_t error_no = m->header.error_no;
	struct vuc_error line = {0};
	struct vuc_session_reply reply = {.refused = true, .reason = line.text};

	/* How some say that they do not have a command. */
	if (error_no == 0 && row->optional)
		error_no = EOPNOTSUPP;
	if (error_no == 0 || error_no > MAX_ERRNO)
		error_no = EIO;
	if (row->optional && row->request_min > 0)
		s->suspect = (uint8_t)slot->cmd;
	warn_of_error(s, slot, m);
	reply.status = -(int)error_no;
	snprintf(line.text, sizeof(line.text), "the server answered %s with error %u (%s)",
		vuc_wire_command_name(slot->cmd), m->header.error_no, strerror((int)error_no));
	session_complete(s, slot, &reply);
}

static bool
check_reply_fds(struct vuc_session *s, const struct message *m)
{
	if (m->nr_fds == 0 ||
		(!m->surplus && vuc_wire_command(m->header.cmd)->reply_fds &&
			(m->header.flags & VFIO_USER_F_ERROR) == 0))
		return true;
	vuc_session_end(s, -EPROTO, "message 0x%04x (%s): carried %u unexpected file descriptors",
		m->header.msg_id, vuc_wire_command_name(m->header.cmd), m->nr_fds);
	return false;
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

	if (!check_reply_fds(s, m))
		return;
	s->suspect = 0;
	if (m->header.flags & VFIO_USER_F_ERROR) {
		handle_error_reply(s, slot, m);
		return;
	}
	if (slot->access) {
		if (!check_access(s, slot, m))
			return;
		warn_of_access(s, slot, m);
		if (slot->cmd == VFIO_USER_REGION_READ && slot->state != SLOT_TIMED_OUT)
			memcpy(slot->data, m->body + sizeof(struct vfio_user_region_access),
				slot->asked.count);
		reply.body = NULL;
		reply.len = 0;
	}
	session_complete(s, slot, &reply);
}

/* Nobody waits for it. From now on all writes are awaited, so that its order is known again. */
static void
drop_surplus(struct vuc_session *s, const struct message *m)
{
	bool error = (m->header.flags & VFIO_USER_F_ERROR) != 0;

	if (!check_reply_fds(s, m))
		return;
	s->awaits_posted = true;
	s->config.faults->answers_posted = true;
	if (session_is_new_fault(s, VUC_FAULT_ANSWERS_POSTED))
		session_warn(s, "the server answered a posted %s%s: later writes request a reply",
			vuc_wire_command_name(m->header.cmd), error ? " with an error" : "");
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
		end_broken(s, &m->header, "carried unexpected file descriptors");
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
	s->view.received++;
	if (s->traced)
		s->config.trace(s->config.trace_arg, false, bytes, m->header.msg_size, m->nr_fds);
	if (m->slot != NULL)
		handle_reply(s, m);
	else if (m->surplus)
		drop_surplus(s, m);
	else
		handle_command(s, m);
	if (m->nr_fds > 0)
		session_drop_fds(s, m->fds, m->nr_fds);
	session_settle(s);
}

/* The message in parts is complete: its buffer is free before anybody is told. */
static void
handle_assembled(struct vuc_session *s)
{
	int fds[MAX_MSG_FDS];
	struct message m = {.fds = fds, .nr_fds = s->nr_part_fds};

	memcpy(fds, s->part_fds, sizeof(fds));
	s->nr_part_fds = 0;
	s->view.part_len = 0;
	s->view.part_total = 0;
	/* Again: its request may be over, if not its slot. */
	if (take_header(s, &m, s->view.part))
		handle_message(s, &m, s->view.part);
	else
		session_drop_fds(s, fds, m.nr_fds);
}

static bool
grow_part_buffer(struct vuc_session *s, size_t size)
{
	uint8_t *buf;

	if (size <= s->part_size)
		return true;
	buf = realloc(s->view.part, size);
	if (buf == NULL) {
		vuc_session_end(s, -ENOMEM, "no memory for a message of %zu bytes", size);
		return false;
	}
	s->view.part = buf;
	s->part_size = size;
	return true;
}

/* Add what is there of the message in parts, up to len bytes of it in all. Returns bytes taken. */
static size_t
append_part(struct vuc_session *s, const uint8_t *bytes, size_t avail, size_t len)
{
	size_t n = len - s->view.part_len;

	if (n > avail)
		n = avail;
	/* Else they were received where they belong. */
	if (bytes != s->view.part + s->view.part_len)
		memcpy(s->view.part + s->view.part_len, bytes, n);
	s->view.part_len += (uint32_t)n;
	return n;
}

/* Returns how many bytes belong to the message in parts, which may be complete then. */
static size_t
assemble_message(struct vuc_session *s, const uint8_t *bytes, size_t avail)
{
	struct message m;
	size_t n = 0;

	if (s->view.part_total == 0) {
		if (!grow_part_buffer(s, HEADER_SIZE))
			return 0;
		n = append_part(s, bytes, avail, HEADER_SIZE);
		if (s->view.part_len < HEADER_SIZE)
			return n;
		if (!take_header(s, &m, s->view.part) || !grow_part_buffer(s, m.header.msg_size))
			return n;
		s->view.part_total = m.header.msg_size;
	}
	return n + append_part(s, bytes + n, avail - n, s->view.part_total);
}

/* Keep descriptors for the message in parts. Those that are one too many are closed. */
static void
keep_part_fds(struct vuc_session *s, const int *fds, unsigned int nr_fds)
{
	unsigned int max = s->config.version.max_msg_fds;

	if (max > MAX_MSG_FDS)
		max = MAX_MSG_FDS;
	for (unsigned int i = 0; i < nr_fds; i++) {
		int fd = fds[i];

		if (s->view.state != VUC_SESSION_LOST && s->nr_part_fds < max) {
			s->part_fds[s->nr_part_fds++] = fd;
			continue;
		}
		session_drop_fds(s, &fd, 1);
		vuc_session_end(s, -EPROTO, "a message carried more than %u file descriptors", max);
	}
}

/*
 * A message that lies in these bytes as a whole is handled where it is. Returns its size, or 0
 * when it has to be assembled.
 */
static size_t
handle_whole_message(struct vuc_session *s, const uint8_t *bytes, size_t avail)
{
	struct message m;

	if (s->view.part_len > 0 || s->nr_part_fds > 0 || avail < HEADER_SIZE)
		return 0;
	if (!take_header(s, &m, bytes) || avail < m.header.msg_size)
		return 0;
	m.fds = NULL;
	m.nr_fds = 0;
	handle_message(s, &m, bytes);
	return m.header.msg_size;
}

static bool
has_ended(const struct vuc_session *s)
{
	return s->view.state == VUC_SESSION_LOST || s->view.state == VUC_SESSION_CLOSED;
}

/* Whether the message that begins with these bytes, or goes on with them, reaches to their end. */
static bool
message_reaches_end(const struct vuc_session *s, const uint8_t *bytes, size_t avail)
{
	struct vfio_user_header header = {0};
	size_t have = s->view.part_len;

	if (have + avail <= HEADER_SIZE)
		return true;
	if (s->view.part_total != 0)
		return s->view.part_total - have >= avail;
	if (have > HEADER_SIZE)
		have = HEADER_SIZE;
	if (have > 0)
		memcpy(&header, s->view.part, have);
	memcpy((uint8_t *)&header + have, bytes, HEADER_SIZE - have);
	return header.msg_size >= s->view.part_len + avail;
}

static __attribute__((noinline)) void
receive_bytes(struct vuc_session *s, const uint8_t *bytes, size_t len, const int *fds,
	unsigned int nr_fds)
{
	size_t pos = 0;

	while (pos < len && !has_ended(s)) {
		size_t n = 0;

		if (nr_fds > 0 && message_reaches_end(s, bytes + pos, len - pos)) {
			keep_part_fds(s, fds, nr_fds);
			nr_fds = 0;
			if (has_ended(s))
				break;
		}
		n = session_take_expected(s, bytes + pos, len - pos);
		if (n == 0)
			n = handle_whole_message(s, bytes + pos, len - pos);
		if (n == 0 && !has_ended(s)) {
			n = assemble_message(s, bytes + pos, len - pos);
			if (!has_ended(s) && s->view.part_total != 0 &&
				s->view.part_len == s->view.part_total)
				handle_assembled(s);
		}
		pos += n;
	}
	/* The session has ended, or no message was there to carry them. */
	if (nr_fds > 0)
		keep_part_fds(s, fds, nr_fds);
	if (has_ended(s)) {
		session_drop_fds(s, s->part_fds, s->nr_part_fds);
		s->nr_part_fds = 0;
	}
}

void
vuc_session_received(struct vuc_session *s, const uint8_t *bytes, size_t len, const int *fds,
	unsigned int nr_fds)
{
	size_t n = nr_fds == 0 ? session_take_expected(s, bytes, len) : 0;

	if (n != len || nr_fds > 0)
		receive_bytes(s, bytes + n, len - n, fds, nr_fds);
}
