/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Posted writes that wait to be sent together: the second of two neighbours turns the first into a
 * VFIO_USER_REGION_WRITE_MULTI, those that follow join it. A write that stays alone stays a
 * VFIO_USER_REGION_WRITE.
 */

#include <string.h>

#include "internal.h"

#define HEADER sizeof(struct vfio_user_header)
#define ACCESS sizeof(struct vfio_user_region_access)
#define MULTI  sizeof(struct vfio_user_write_multi)
#define ENTRY  sizeof(struct vfio_user_write_multi_entry)

#define MAX_COUNT 8u /* bytes of a write in a WRITE_MULTI */

/* Whether the message that was last noted is still the last one, and not on its way. */
static bool
is_write_last(const struct vuc_session *s)
{
	const struct tail_write *t = &s->tail_write;

	return t->len > 0 && session_tail_is(s, t->start + t->len);
}

static void
put_entry(uint8_t *at, const struct vuc_session_access *a)
{
	struct vfio_user_write_multi_entry e = {
		.offset = a->offset, .region = a->region, .count = a->count};

	memcpy(e.data, a->data, a->count);
	memcpy(at, &e, sizeof(e));
}

/* Write a REGION_WRITE anew as a WRITE_MULTI of one; there is room for what that takes more. */
static void
convert_to_multi(uint8_t *message)
{
	struct vfio_user_header header;
	struct vfio_user_region_access access;
	struct vuc_session_access first;
	const uint64_t one = 1;
	uint8_t data[MAX_COUNT];

	memcpy(&header, message, HEADER);
	memcpy(&access, message + HEADER, ACCESS);
	memcpy(data, message + HEADER + ACCESS, access.count);
	header.cmd = VFIO_USER_REGION_WRITE_MULTI;
	header.msg_size = HEADER + MULTI + ENTRY;
	memcpy(message, &header, HEADER);
	memcpy(message + HEADER, &one, sizeof(one));
	first = (struct vuc_session_access){
		.region = access.region,
		.offset = access.offset,
		.data = data,
		.count = access.count,
	};
	put_entry(message + HEADER + MULTI, &first);
}

static void
add_entry(uint8_t *message, const struct vuc_session_access *a)
{
	struct vfio_user_header header;
	uint64_t wr_cnt;

	memcpy(&header, message, HEADER);
	memcpy(&wr_cnt, message + HEADER, sizeof(wr_cnt));
	put_entry(message + header.msg_size, a);
	wr_cnt++;
	header.msg_size += (uint32_t)ENTRY;
	memcpy(message, &header, HEADER);
	memcpy(message + HEADER, &wr_cnt, sizeof(wr_cnt));
}

bool
session_join_write(struct vuc_session *s, const struct vuc_session_access *a)
{
	struct tail_write *t = &s->tail_write;
	uint32_t len = t->multi ? t->len + (uint32_t)ENTRY : (uint32_t)(HEADER + MULTI + 2 * ENTRY);
	uint8_t *message = s->tx.buf + t->start;

	if (a->count > MAX_COUNT || !is_write_last(s) ||
		(!t->multi && t->len > HEADER + ACCESS + MAX_COUNT) ||
		len - HEADER - MULTI > s->view.max_data || !session_grow_tail(s, len - t->len))
		return false;
	if (!t->multi)
		convert_to_multi(message);
	add_entry(message, a);
	t->multi = true;
	t->len = len;
	return true;
}
