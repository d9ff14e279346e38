/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_SESSION_OUTGOING_H
#define VUC_SESSION_OUTGOING_H

/* Writing messages, and the slots of those that are answered. */

#include <string.h>

#include "internal.h"

/* For the message that was last put into the last segment. */
static inline struct slot *
session_take_slot(struct vuc_session *s, uint16_t cmd, vuc_session_fn done, void *arg)
{
	struct slot *slot = &s->slots[s->first_free];

	s->first_free = slot->next_free;
	slot->state = SLOT_WAITING;
	slot->cmd = cmd;
	slot->access = false;
	slot->segment = s->tx.first + s->view.nr_segments - 1;
	slot->done = done;
	slot->arg = arg;
	s->view.outstanding++;
	return slot;
}

#define LITTLE_ENDIAN_HOST (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

/* Two fields as they lie beside each other. */
static inline uint32_t
pair16(uint16_t first, uint16_t second)
{
	return LITTLE_ENDIAN_HOST ? first | (uint32_t)second << 16 : (uint32_t)first << 16 | second;
}

static inline uint64_t
pair32(uint32_t first, uint32_t second)
{
	return LITTLE_ENDIAN_HOST ? first | (uint64_t)second << 32 : (uint64_t)first << 32 | second;
}

/*
 * A struct is put together in registers and written as words, for whoever comes next reads words:
 * one that lies in several stores still under way reaches him only when all of them are over, which
 * takes longer than everything else here.
 */
static inline void
put_words(void *at, uint64_t first, uint64_t second)
{
	memcpy(at, &first, sizeof(first));
	memcpy((uint8_t *)at + sizeof(first), &second, sizeof(second));
}

static inline void
put_header(uint8_t *at, uint16_t id, uint16_t cmd, uint32_t size, uint32_t flags, uint32_t error_no)
{
	_Static_assert(sizeof(struct vfio_user_header) == 16, "two words");
	put_words(at, pair32(pair16(id, cmd), size), pair32(flags, error_no));
}

#endif /* VUC_SESSION_OUTGOING_H */
