/* SPDX-License-Identifier: BSD-3-Clause */

/* What waits to be sent: messages behind each other in segments. */

#include <stdlib.h>
#include <string.h>

#include "fds.h"
#include "internal.h"

static struct tx_segment *
segment_at(struct tx *tx, uint32_t n)
{
	return &tx->segments[(n - tx->first + tx->place) % MAX_SEGMENTS];
}

static struct tx_segment *
last_segment(struct vuc_session *s)
{
	return segment_at(&s->tx, s->tx.first + s->view.nr_segments - 1);
}

/* Move the tail to where len bytes are free behind each other; false when they are nowhere. */
static bool
find_buffer_room(struct vuc_session *s, uint32_t len)
{
	struct tx *tx = &s->tx;
	uint32_t oldest;

	if (s->view.nr_segments == 0) {
		tx->tail = 0;
		return len <= TX_BUFFER_SIZE;
	}
	oldest = segment_at(tx, tx->first)->start;
	if (tx->tail < oldest)
		return len < oldest - tx->tail;
	if (len <= TX_BUFFER_SIZE - tx->tail)
		return true;
	if (len >= oldest)
		return false;
	tx->tail = 0;
	return true;
}

/* The last segment, if so many bytes can be added to it; or NULL. */
static struct tx_segment *
extensible_segment(struct vuc_session *s, uint32_t len)
{
	struct tx_segment *last;

	if (s->view.nr_segments == 0)
		return NULL;
	last = last_segment(s);
	if (last->handed || last->own || last->out.nr_fds > 0 ||
		last->start + last->out.len != s->tx.tail ||
		last->out.len + len > s->tx.segment_max)
		return NULL;
	return last;
}

bool
session_tail_is(const struct vuc_session *s, uint32_t end)
{
	const struct tx *tx = &s->tx;
	const struct tx_segment *last = session_segment(s, tx->first + s->view.nr_segments - 1);

	return s->view.nr_segments > 0 && !last->handed && !last->own && tx->tail == end &&
		last->start + last->out.len == end;
}

bool
session_grow_tail(struct vuc_session *s, uint32_t len)
{
	struct tx *tx = &s->tx;
	uint32_t oldest = segment_at(tx, tx->first)->start;
	uint32_t end = tx->tail < oldest ? oldest - 1 : TX_BUFFER_SIZE;

	if (len + KEPT_BYTES > end - tx->tail || last_segment(s)->out.len + len > s->tx.segment_max)
		return false;
	last_segment(s)->out.len += len;
	tx->tail += len;
	return true;
}

/* Fill in a segment whose place is given, behind all others. */
static inline void
begin_segment(struct vuc_session *s, struct tx_segment *segment, uint32_t len)
{
	s->view.nr_segments++;
	segment->out = (struct vuc_segment){.bytes = s->tx.buf + s->tx.tail, .len = len};
	segment->start = s->tx.tail;
	segment->own = false;
	segment->handed = false;
}

static struct tx_segment *
append_segment(struct vuc_session *s, uint32_t len)
{
	struct tx_segment *segment = segment_at(&s->tx, s->tx.first + s->view.nr_segments);

	begin_segment(s, segment, len);
	return segment;
}

static void
give_segment_fds(struct vuc_session *s, struct tx_segment *segment, const int *fds, uint16_t nr_fds)
{
	int *kept = s->tx.fds[segment - s->tx.segments];

	memcpy(kept, fds, nr_fds * sizeof(*fds));
	segment->out.fds = kept;
	segment->out.nr_fds = nr_fds;
}

/* As session_reserve(), behind what waits already. */
static __attribute__((noinline)) uint8_t *
reserve_behind_others(
	struct vuc_session *s, uint32_t len, const int *fds, uint16_t nr_fds, bool reply)
{
	uint32_t max_segments = reply ? MAX_SEGMENTS : MAX_SEGMENTS - KEPT_SEGMENTS;
	struct tx_segment *segment = NULL;

	if (!find_buffer_room(s, reply ? len : len + KEPT_BYTES))
		return NULL;
	if (nr_fds == 0)
		segment = extensible_segment(s, len);
	if (segment != NULL) {
		segment->out.len += len;
	} else {
		if (s->view.nr_segments >= max_segments)
			return NULL;
		segment = append_segment(s, len);
		if (nr_fds > 0)
			give_segment_fds(s, segment, fds, nr_fds);
	}
	s->tx.tail += len;
	return s->tx.buf + s->tx.tail - len;
}

uint8_t *
session_reserve(struct vuc_session *s, uint32_t len, const int *fds, uint16_t nr_fds, bool reply)
{
	s->tail_write.len = 0;
	if (s->view.nr_segments > 0 || nr_fds > 0)
		return reserve_behind_others(s, len, fds, nr_fds, reply);
	/* Alone: no message is longer than the buffer. */
	s->tx.tail = 0;
	begin_segment(s, &s->tx.segments[0], len);
	s->tx.tail = len;
	return s->tx.buf;
}

uint8_t *
session_reserve_own(struct vuc_session *s, uint32_t len)
{
	struct tx_segment *segment;
	uint8_t *own;

	if (s->view.nr_segments == MAX_SEGMENTS)
		return NULL;
	own = malloc(len);
	if (own == NULL) {
		vuc_session_end(s, -ENOMEM, "no memory for a reply of %u bytes", len);
		return NULL;
	}
	segment = append_segment(s, len);
	segment->own = true;
	segment->out.bytes = own;
	return own;
}

void
session_close_tail(struct vuc_session *s)
{
	last_segment(s)->handed = true;
}

static __attribute__((cold, noinline)) void
trace_segment(const struct vuc_session *s, const struct tx_segment *segment)
{
	const uint8_t *at = segment->out.bytes;
	unsigned int nr_fds = segment->out.nr_fds;
	struct vfio_user_header header;

	for (size_t left = segment->out.len; left > 0; left -= header.msg_size) {
		memcpy(&header, at, sizeof(header));
		s->config.trace(s->config.trace_arg, true, at, header.msg_size, nr_fds);
		at += header.msg_size;
		nr_fds = 0;
	}
}

const struct vuc_segment *
vuc_session_next_segment(struct vuc_session *s)
{
	struct tx_segment *first;

	if (!vuc_session_has_segment(s))
		return NULL;
	first = &s->tx.segments[s->tx.place];
	if (s->traced && !first->handed)
		trace_segment(s, first);
	first->handed = true;
	return &first->out;
}

static __attribute__((cold, noinline)) void
release_segment(struct tx_segment *segment)
{
	vuc_fds_close(segment->out.fds, segment->out.nr_fds);
	if (segment->own)
		free((void *)(uintptr_t)segment->out.bytes);
}

static void
drop_segment(struct vuc_session *s)
{
	struct tx_segment *first = &s->tx.segments[s->tx.place];

	if (first->out.nr_fds > 0 || first->own)
		release_segment(first);
	s->tx.first++;
	s->tx.place = s->view.nr_segments == 1 ? 0 : (s->tx.place + 1) % MAX_SEGMENTS;
	s->view.nr_segments--;
}

void
session_drop_segments(struct vuc_session *s)
{
	while (s->view.nr_segments > 0)
		drop_segment(s);
}

void
vuc_session_sent(struct vuc_session *s)
{
	if (s->view.nr_segments == 0)
		return;
	drop_segment(s);
	session_settle(s);
}

void
vuc_session_sent_part(struct vuc_session *s)
{
	s->send_watched = false;
}
