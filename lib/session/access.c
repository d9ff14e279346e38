/* SPDX-License-Identifier: BSD-3-Clause */

/* Region accesses: what MMIO takes of a session, to the server and back. */

#include <errno.h>
#include <string.h>

#include "internal.h"
#include "outgoing.h"

/* Of a message about an access, without its data. */
#define ACCESS_SIZE \
	((uint32_t)(sizeof(struct vfio_user_header) + sizeof(struct vfio_user_region_access)))

/* What a register holds is copied without a call. */
static inline void
copy_data(void *to, const void *from, uint32_t count)
{
	if (count == sizeof(uint32_t))
		memcpy(to, from, sizeof(uint32_t));
	else
		memcpy(to, from, count);
}

/* Say what is accessed, in a message or where its reply is compared with it. */
static inline void
put_access(void *at, const struct vuc_session_access *a)
{
	_Static_assert(sizeof(struct vfio_user_region_access) == 16, "two words");
	put_words(at, a->offset, pair32(a->region, a->count));
}

/* data: bytes of it that come with the reply. */
static inline struct slot *
take_access_slot(
	struct vuc_session *s, uint16_t cmd, const struct vuc_session_access *a, uint32_t data)
{
	struct slot *slot = session_take_slot(s, cmd, a->done, a->arg);

	slot->access = true;
	put_access(&slot->asked, a);
	slot->reply_max = sizeof(struct vfio_user_region_access) + data;
	slot->reply = pair32(
		pair16(slot->id, cmd), (uint32_t)sizeof(struct vfio_user_header) + slot->reply_max);
	return slot;
}

int
vuc_session_region_read(struct vuc_session *s, const struct vuc_session_access *a)
{
	struct slot *slot;
	uint8_t *at;

	if (s->view.state != VUC_SESSION_READY)
		return session_not_ready(s);
	if (a->count > s->view.max_data)
		return -EMSGSIZE;
	if (s->first_free == NO_SLOT)
		return -EAGAIN;
	at = session_reserve(s, ACCESS_SIZE, NULL, 0, false);
	if (at == NULL)
		return -EAGAIN;

	slot = take_access_slot(s, VFIO_USER_REGION_READ, a, a->count);
	slot->data = a->data;
	put_header(at, slot->id, VFIO_USER_REGION_READ, ACCESS_SIZE, VFIO_USER_F_TYPE_COMMAND, 0);
	put_access(at + sizeof(struct vfio_user_header), a);
	return 0;
}

uint32_t
vuc_session_max_write(const struct vuc_session *s)
{
	uint32_t room = s->tx.segment_max - ACCESS_SIZE;

	return s->view.max_data < room ? s->view.max_data : room;
}

static void
put_write(uint8_t *at, uint16_t id, uint32_t flags, const struct vuc_session_access *a)
{
	put_header(at, id, VFIO_USER_REGION_WRITE, ACCESS_SIZE + a->count, flags, 0);
	put_access(at + sizeof(struct vfio_user_header), a);
	copy_data(at + ACCESS_SIZE, a->data, a->count);
}

static int
post_write(struct vuc_session *s, const struct vuc_session_access *a)
{
	uint8_t *at;

	if (s->peer.write_multiple && session_join_write(s, a))
		return 0;
	at = session_reserve(s, ACCESS_SIZE + a->count, NULL, 0, false);
	if (at == NULL)
		return -EAGAIN;
	put_write(at, POSTED_ID, VFIO_USER_F_TYPE_COMMAND | VFIO_USER_F_NO_REPLY, a);
	s->posted = true;
	s->tail_write = (struct tail_write){
		.start = (uint32_t)(at - s->tx.buf), .len = ACCESS_SIZE + a->count};
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
vuc_session_region_write(struct vuc_session *s, const struct vuc_session_access *a, bool no_reply)
{
	struct slot *slot;
	uint8_t *at;

	if (s->view.state != VUC_SESSION_READY)
		return session_not_ready(s);
	if (a->count > vuc_session_max_write(s))
		return -EMSGSIZE;
	if (no_reply && !s->awaits_posted)
		return post_write(s, a);
	if (s->first_free == NO_SLOT)
		return -EAGAIN;
	at = session_reserve(s, ACCESS_SIZE + a->count, NULL, 0, false);
	if (at == NULL)
		return -EAGAIN;
	slot = take_access_slot(s, VFIO_USER_REGION_WRITE, a, 0);
	if (no_reply)
		slot->done = ignore_reply;
	put_write(at, slot->id, VFIO_USER_F_TYPE_COMMAND, a);
	return 0;
}

static inline uint64_t
word_at(const void *bytes, size_t n)
{
	uint64_t word;

	memcpy(&word, (const uint8_t *)bytes + n * sizeof(word), sizeof(word));
	return word;
}

/* Whether these bytes begin with the reply that the slot waits for, its data left out. */
static inline bool
is_expected(const struct slot *slot, const uint8_t *bytes)
{
	_Static_assert(ACCESS_SIZE == 4 * sizeof(uint64_t), "four words");
	return slot->reply != 0 && word_at(bytes, 0) == slot->reply &&
		word_at(bytes, 1) == pair32(VFIO_USER_F_TYPE_REPLY, 0) &&
		word_at(bytes, 2) == word_at(&slot->asked, 0) &&
		word_at(bytes, 3) == word_at(&slot->asked, 1);
}

/* What is right needs no error, no trace and no second look: all its checks are here. */
size_t
session_take_expected(struct vuc_session *s, const uint8_t *bytes, size_t avail)
{
	static const struct vuc_session_reply good;
	struct slot *slot;
	uint16_t id;
	size_t size;

	if ((s->view.part_len | s->nr_part_fds) > 0 || s->traced || avail < ACCESS_SIZE)
		return 0;
	memcpy(&id, bytes, sizeof(id));
	slot = &s->slots[id & s->index_mask];
	size = sizeof(struct vfio_user_header) + slot->reply_max;
	if (avail < size || !is_expected(slot, bytes) || session_is_queued(s, slot))
		return 0;
	if (slot->cmd == VFIO_USER_REGION_READ)
		copy_data(slot->data, bytes + ACCESS_SIZE, slot->asked.count);
	s->view.received++;
	s->view.outstanding--;
	s->suspect = 0;
	session_free_slot(s, slot);
	/* Until another request takes the slot, it says whom to tell. */
	slot->done(slot->arg, &good);
	session_settle(s);
	return size;
}
