/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static struct tx_segment *
segment_at(struct tx *tx, uint32_t n)
{
	return &tx->segments[(n - tx->first + tx->place) % MAX_SEGMENTS];
}

static struct tx_segment *
last_segment(struct tx *tx)
{
	return segment_at(tx, tx->first + tx->count - 1);
}

/* Move the tail to where len bytes are free behind each other; false when they are nowhere. */
static bool
find_room(struct tx *tx, uint32_t len)
{
	uint32_t oldest = segment_at(tx, tx->first)->start;

	if (tx->count == 0)
		tx->tail = 0;
	else if (tx->tail < oldest)
		return len < oldest - tx->tail;
	if (len <= TX_BUFFER_SIZE - tx->tail)
		return true;
	if (tx->count == 0 || len >= oldest)
		return false;
	tx->tail = 0;
	return true;
}

static bool
can_extend(struct vuc_session *s, uint32_t len)
{
	const struct tx_segment *last;

	if (s->tx.count == 0)
		return false;
	last = last_segment(&s->tx);
	return !last->handed && last->own == NULL && last->nr_fds == 0 &&
		last->start + last->len == s->tx.tail && last->len + len <= s->tx.segment_max;
}

bool
session_tail_is(const struct vuc_session *s, uint32_t end)
{
	const struct tx *tx = &s->tx;
	const struct tx_segment *last = session_segment(s, tx->first + tx->count - 1);

	return tx->count > 0 && !last->handed && last->own == NULL && tx->tail == end &&
		last->start + last->len == end;
}

bool
session_grow_tail(struct vuc_session *s, uint32_t len)
{
	struct tx *tx = &s->tx;
	uint32_t oldest = segment_at(tx, tx->first)->start;
	uint32_t end = tx->tail < oldest ? oldest - 1 : TX_BUFFER_SIZE;

	if (len + KEPT_BYTES > end - tx->tail || last_segment(tx)->len + len > s->tx.segment_max)
		return false;
	last_segment(tx)->len += len;
	tx->tail += len;
	return true;
}

static void
begin_segment(struct tx *tx, const int *fds, uint16_t nr_fds)
{
	struct tx_segment *segment;

	tx->count++;
	segment = last_segment(tx);
	segment->start = tx->tail;
	segment->len = 0;
	segment->own = NULL;
	segment->handed = false;
	segment->nr_fds = nr_fds;
	if (nr_fds > 0)
		memcpy(segment->fds, fds, nr_fds * sizeof(*fds));
}

/*
 * Room for a message of len bytes at the end of the last segment; NULL when there is none.
 * Descriptors begin a segment of their own, so that they ride on the first byte of their message;
 * they are the segment's from then on.
 */
static uint8_t *
reserve(struct vuc_session *s, uint32_t len, const int *fds, uint16_t nr_fds, bool reply)
{
	uint32_t max_segments = reply ? MAX_SEGMENTS : MAX_SEGMENTS - KEPT_SEGMENTS;
	struct tx *tx = &s->tx;
	uint8_t *at;

	if (!find_room(tx, reply ? len : len + KEPT_BYTES))
		return NULL;
	if (nr_fds > 0 || !can_extend(s, len)) {
		if (tx->count >= max_segments)
			return NULL;
		begin_segment(tx, fds, nr_fds);
	}
	last_segment(tx)->len += len;
	s->tail_write.len = 0;
	at = tx->buf + tx->tail;
	tx->tail += len;
	return at;
}

/* For the message that was last put into the last segment. */
static struct slot *
take_slot(struct vuc_session *s, uint16_t cmd, vuc_session_fn done, void *arg)
{
	struct slot *slot = &s->slots[s->first_free];

	s->first_free = slot->next_free;
	slot->state = SLOT_WAITING;
	slot->cmd = cmd;
	slot->access = false;
	slot->segment = s->tx.first + s->tx.count - 1;
	slot->done = done;
	slot->arg = arg;
	slot->timeout_ms = 0;
	s->outstanding++;
	return slot;
}

#define LITTLE_ENDIAN_HOST (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

/* Two fields as they lie beside each other. */
static uint32_t
pair16(uint16_t first, uint16_t second)
{
	return LITTLE_ENDIAN_HOST ? first | (uint32_t)second << 16 : (uint32_t)first << 16 | second;
}

static uint64_t
pair32(uint32_t first, uint32_t second)
{
	return LITTLE_ENDIAN_HOST ? first | (uint64_t)second << 32 : (uint64_t)first << 32 | second;
}

/*
 * A struct is put together in registers and written as words, for whoever comes next reads words:
 * one that lies in several stores still under way reaches him only when all of them are over, which
 * takes longer than everything else here.
 */
static void
put_words(uint8_t *at, uint64_t first, uint64_t second)
{
	memcpy(at, &first, sizeof(first));
	memcpy(at + sizeof(first), &second, sizeof(second));
}

static void
put_header(uint8_t *at, uint16_t id, uint16_t cmd, uint32_t size, uint32_t flags, uint32_t error_no)
{
	_Static_assert(sizeof(struct vfio_user_header) == 16, "two words");
	put_words(at, pair32(pair16(id, cmd), size), pair32(flags, error_no));
}

static uint32_t
reply_bound(const struct vuc_session *s, const struct vuc_wire_command *row)
{
	if (row->reply_max == VUC_WIRE_DATA)
		return row->reply_min + s->max_data;
	return row->reply_max;
}

static int
check_request(const struct vuc_session *s, const struct vuc_wire_command *row,
	const struct vuc_session_request *req, size_t len)
{
	size_t max;

	if (s->config.twin || row == NULL || row->from_server || (req->no_reply && !row->no_reply))
		return -EINVAL;
	if (req->nr_fds > MAX_MSG_FDS || (req->nr_fds > 0 && !row->request_fds))
		return -EINVAL;
	if (s->state != VUC_SESSION_NEGOTIATING && req->nr_fds > s->peer.max_msg_fds)
		return -EINVAL;
	max = row->request_max == VUC_WIRE_DATA ? (size_t)row->request_min + s->max_data
						: row->request_max;
	if (len < row->request_min || len > max)
		return -EMSGSIZE;
	if (len + sizeof(struct vfio_user_header) > s->tx.segment_max)
		return -EMSGSIZE;
	return 0;
}

/* A request may be over, and the caller's descriptors closed, before they have been sent. */
static int
copy_fds(const struct vuc_session_request *req, int *fds)
{
	for (unsigned int i = 0; i < req->nr_fds; i++) {
		fds[i] = fcntl(req->fds[i], F_DUPFD_CLOEXEC, 0);
		if (fds[i] < 0) {
			int rc = -errno;

			session_close_fds(fds, i);
			return rc;
		}
	}
	return 0;
}

int
session_queue(struct vuc_session *s, const struct vuc_session_request *req)
{
	const struct vuc_wire_command *row = vuc_wire_command(req->cmd);
	size_t len = req->len + req->data_len;
	uint32_t size = (uint32_t)(sizeof(struct vfio_user_header) + len);
	uint32_t flags = VFIO_USER_F_TYPE_COMMAND;
	uint16_t id = POSTED_ID;
	int fds[MAX_MSG_FDS];
	uint8_t *at;
	int rc = check_request(s, row, req, len);

	if (rc != 0)
		return rc;
	if (!req->no_reply && s->first_free == NO_SLOT)
		return -EAGAIN;
	rc = copy_fds(req, fds);
	if (rc != 0)
		return rc;
	at = reserve(s, size, fds, req->nr_fds, false);
	if (at == NULL) {
		session_close_fds(fds, req->nr_fds);
		return -EAGAIN;
	}

	if (req->no_reply) {
		s->posted = true;
		flags |= VFIO_USER_F_NO_REPLY;
	} else {
		struct slot *slot = take_slot(s, req->cmd, req->done, req->arg);

		s->commands++;
		slot->timeout_ms = req->timeout_ms;
		if (req->deadline_ms != 0) {
			slot->deadline_ms = req->deadline_ms;
			slot->state = SLOT_WATCHED;
		}
		slot->reply_min = row->reply_min;
		slot->reply_max = req->reply_max != 0 ? req->reply_max : reply_bound(s, row);
		id = slot->id;
	}
	put_header(at, id, req->cmd, size, flags, 0);
	at += sizeof(struct vfio_user_header);
	if (req->len > 0)
		memcpy(at, req->body, req->len);
	if (req->data_len > 0)
		memcpy(at + req->len, req->data, req->data_len);
	return 0;
}

static int
not_ready(const struct vuc_session *s)
{
	return s->state == VUC_SESSION_LOST ? s->error : -ENOTCONN;
}

int
vuc_session_request(struct vuc_session *s, const struct vuc_session_request *req)
{
	if (s->state != VUC_SESSION_READY)
		return not_ready(s);
	return session_queue(s, req);
}

/* A reply that is too long for the buffer has one of its own. */
static uint8_t *
reserve_own(struct vuc_session *s, uint32_t len)
{
	struct tx_segment *segment;
	uint8_t *own;

	if (s->tx.count == MAX_SEGMENTS)
		return NULL;
	own = malloc(len);
	if (own == NULL) {
		vuc_session_end(s, -ENOMEM, "no memory for a reply of %u bytes", len);
		return NULL;
	}
	begin_segment(&s->tx, NULL, 0);
	segment = last_segment(&s->tx);
	segment->own = own;
	segment->len = len;
	return own;
}

static uint8_t *
reserve_reply(struct vuc_session *s, uint32_t len)
{
	uint8_t *at;

	if (s->state == VUC_SESSION_LOST || s->state == VUC_SESSION_CLOSED)
		return NULL;
	at = len <= KEPT_BYTES ? reserve(s, len, NULL, 0, true) : reserve_own(s, len);
	if (at == NULL)
		vuc_session_end(s, -ENOBUFS,
			"the server sends commands faster than it takes their replies");
	return at;
}

uint8_t *
vuc_session_answer(struct vuc_session *s, const struct vuc_session_command *command,
	const void *body, size_t len, size_t data_len)
{
	uint32_t size = (uint32_t)(sizeof(struct vfio_user_header) + len + data_len);
	uint8_t *at = reserve_reply(s, size);

	if (at == NULL)
		return NULL;
	vuc_session_reply_header(command, len + data_len, at);
	at += sizeof(struct vfio_user_header);
	memcpy(at, body, len);
	return at + len;
}

void
vuc_session_reply_header(
	const struct vuc_session_command *command, size_t len, uint8_t header[VUC_SESSION_HEADER])
{
	_Static_assert(
		sizeof(struct vfio_user_header) == VUC_SESSION_HEADER, "as the interface says");
	put_header(header, command->id, command->cmd,
		(uint32_t)(sizeof(struct vfio_user_header) + len), VFIO_USER_F_TYPE_REPLY, 0);
}

uint8_t *
vuc_session_answer_rest(struct vuc_session *s, size_t len)
{
	return reserve_reply(s, (uint32_t)len);
}

void
vuc_session_refuse(struct vuc_session *s, const struct vuc_session_command *command, int error)
{
	uint8_t *at = reserve_reply(s, sizeof(struct vfio_user_header));

	if (at != NULL)
		put_header(at, command->id, command->cmd, sizeof(struct vfio_user_header),
			VFIO_USER_F_TYPE_REPLY | VFIO_USER_F_ERROR, (uint32_t)error);
}

static void
put_access(uint8_t *at, uint32_t region, uint64_t offset, uint32_t count)
{
	_Static_assert(sizeof(struct vfio_user_region_access) == 16, "two words");
	put_words(at, offset, pair32(region, count));
}

#define ACCESS_SIZE \
	((uint32_t)(sizeof(struct vfio_user_header) + sizeof(struct vfio_user_region_access)))

static struct slot *
take_access_slot(struct vuc_session *s, uint16_t cmd, uint32_t region, uint64_t offset,
	uint32_t count, vuc_session_fn done, void *arg)
{
	struct slot *slot = take_slot(s, cmd, done, arg);

	slot->access = true;
	slot->region = region;
	slot->offset = offset;
	slot->count = count;
	slot->reply_min = sizeof(struct vfio_user_region_access);
	slot->reply_max = slot->reply_min;
	return slot;
}

int
vuc_session_region_read(struct vuc_session *s, uint32_t region, uint64_t offset, void *data,
	uint32_t count, vuc_session_fn done, void *arg)
{
	struct slot *slot;
	uint8_t *at;

	if (s->state != VUC_SESSION_READY)
		return not_ready(s);
	if (count > s->max_data)
		return -EMSGSIZE;
	if (s->first_free == NO_SLOT)
		return -EAGAIN;
	at = reserve(s, ACCESS_SIZE, NULL, 0, false);
	if (at == NULL)
		return -EAGAIN;

	slot = take_access_slot(s, VFIO_USER_REGION_READ, region, offset, count, done, arg);
	slot->reply_max += count;
	slot->data = data;
	put_header(at, slot->id, VFIO_USER_REGION_READ, ACCESS_SIZE, VFIO_USER_F_TYPE_COMMAND, 0);
	put_access(at + sizeof(struct vfio_user_header), region, offset, count);
	return 0;
}

uint32_t
vuc_session_max_write(const struct vuc_session *s)
{
	uint32_t room = s->tx.segment_max - ACCESS_SIZE;

	return s->max_data < room ? s->max_data : room;
}

static void
put_write(uint8_t *at, uint16_t id, uint32_t flags, uint32_t region, uint64_t offset,
	const void *data, uint32_t count)
{
	put_header(at, id, VFIO_USER_REGION_WRITE, ACCESS_SIZE + count, flags, 0);
	put_access(at + sizeof(struct vfio_user_header), region, offset, count);
	memcpy(at + ACCESS_SIZE, data, count);
}

static int
post_write(
	struct vuc_session *s, uint32_t region, uint64_t offset, const void *data, uint32_t count)
{
	uint8_t *at;

	if (s->peer.write_multiple && session_join_write(s, region, offset, data, count))
		return 0;
	at = reserve(s, ACCESS_SIZE + count, NULL, 0, false);
	if (at == NULL)
		return -EAGAIN;
	put_write(at, POSTED_ID, VFIO_USER_F_TYPE_COMMAND | VFIO_USER_F_NO_REPLY, region, offset,
		data, count);
	s->posted = true;
	s->tail_write = (struct tail_write){
		.start = (uint32_t)(at - s->tx.buf), .len = ACCESS_SIZE + count};
	return 0;
}

/* Nobody waits for a write that was to be posted. */
static void
ignore_reply(void *arg, const struct vuc_session_reply *reply)
{
	(void)arg;
	(void)reply;
}

int
vuc_session_region_write(struct vuc_session *s, uint32_t region, uint64_t offset, const void *data,
	uint32_t count, bool no_reply, vuc_session_fn done, void *arg)
{
	struct slot *slot;
	uint8_t *at;

	if (s->state != VUC_SESSION_READY)
		return not_ready(s);
	if (count > vuc_session_max_write(s))
		return -EMSGSIZE;
	if (no_reply && !s->awaits_posted)
		return post_write(s, region, offset, data, count);
	if (no_reply)
		done = ignore_reply;
	if (s->first_free == NO_SLOT)
		return -EAGAIN;
	at = reserve(s, ACCESS_SIZE + count, NULL, 0, false);
	if (at == NULL)
		return -EAGAIN;
	slot = take_access_slot(s, VFIO_USER_REGION_WRITE, region, offset, count, done, arg);
	put_write(at, slot->id, VFIO_USER_F_TYPE_COMMAND, region, offset, data, count);
	return 0;
}

bool
vuc_session_has_segment(const struct vuc_session *s)
{
	return s->tx.count > 0 && s->state != VUC_SESSION_LOST;
}

static const uint8_t *
segment_bytes(const struct vuc_session *s, const struct tx_segment *segment)
{
	return segment->own != NULL ? segment->own : s->tx.buf + segment->start;
}

static void
trace_segment(const struct vuc_session *s, const struct tx_segment *segment)
{
	const uint8_t *at = segment_bytes(s, segment);
	unsigned int nr_fds = segment->nr_fds;
	struct vfio_user_header header;

	for (uint32_t left = segment->len; left > 0; left -= header.msg_size) {
		memcpy(&header, at, sizeof(header));
		s->config.trace(s->config.trace_arg, true, at, header.msg_size, nr_fds);
		at += header.msg_size;
		nr_fds = 0;
	}
}

bool
vuc_session_next_segment(struct vuc_session *s, struct vuc_session_segment *segment)
{
	struct tx_segment *first = segment_at(&s->tx, s->tx.first);

	if (!vuc_session_has_segment(s))
		return false;
	if (s->traced && !first->handed)
		trace_segment(s, first);
	first->handed = true;
	segment->bytes = segment_bytes(s, first);
	segment->len = first->len;
	segment->fds = first->fds;
	segment->nr_fds = first->nr_fds;
	return true;
}

static void
drop_segment(struct vuc_session *s)
{
	struct tx_segment *first = segment_at(&s->tx, s->tx.first);

	session_close_fds(first->fds, first->nr_fds);
	free(first->own);
	s->tx.first++;
	s->tx.place = s->tx.count == 1 ? 0 : s->tx.place + 1;
	s->tx.count--;
}

void
session_drop_segments(struct vuc_session *s)
{
	while (s->tx.count > 0)
		drop_segment(s);
}

void
vuc_session_sent(struct vuc_session *s)
{
	if (s->tx.count == 0)
		return;
	drop_segment(s);
	session_settle(s);
}

void
vuc_session_sent_part(struct vuc_session *s)
{
	s->send_watched = false;
}
