/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_QUEUE_BACK_H
#define VUC_QUEUE_BACK_H

/*
 * The serving end of a queue. All of it is called by one thread. What the front wrote is not to be
 * trusted: a slot is copied once, and the copy is checked and used. Only the payload of a long
 * write is read where it lies, once, by whoever takes it.
 */

#include <vuc/queue.h>

#include "layout.h"

struct vuc_queue_back_opts {
	struct vuc_queue_geometry geometry; /* a valid one */
	const void *requests;               /* as those of the front */
	void *completions;
};

/* A request as it was when it was looked at. */
struct vuc_queue_taken {
	struct queue_request_slot slot;
	const uint8_t *payload; /* of a write: count bytes; in slot, or where the front can change
				 * them, and then only until vuc_queue_back_take() */
};

/* Answers that go into the ring together, at most. */
#define VUC_QUEUE_BACK_STAGED 8u

struct vuc_queue_back {
	struct queue_ring ring;
	uint32_t depth;
	uint32_t chunk;
	const struct queue_front_header *front;
	const uint8_t *request_slots;
	const uint8_t *request_chunks;
	struct queue_back_header *header;
	uint8_t *answer_slots;
	uint8_t *answer_chunks;
	uint32_t head; /* of requests: the position that comes next */
	uint32_t tail; /* of completions */
	bool unflushed;
	unsigned int outstanding;
	unsigned int nr_staged;
	uint16_t staged[VUC_QUEUE_BACK_STAGED]; /* ids of answers that are not in the ring yet */
	uint64_t *busy; /* a bit for each id that the front may not use again so far */
	struct queue_completion_slot *answers; /* by id: on their way, without id and tag */
};

/* Returns 0 or -ENOMEM. The memory stays the caller's and lives as long as the back. */
int vuc_queue_back_init(struct vuc_queue_back *back, const struct vuc_queue_back_opts *opts);
void vuc_queue_back_fini(struct vuc_queue_back *back);

/*
 * Look at the next request, which stays there until vuc_queue_back_take().
 * Returns 1; 0 when there is none; -EPROTO for one that no front may write: an unknown op, a count
 * of 0 or over the chunk, an id that is out of range or outstanding.
 */
int vuc_queue_back_peek(struct vuc_queue_back *back, struct vuc_queue_taken *taken);

/* Whether a request is there, without looking at it. */
bool vuc_queue_back_is_empty(const struct vuc_queue_back *back);

/* Let the request that is this far behind the next one come into the cache, if it is there. */
static inline void
vuc_queue_back_prefetch(const struct vuc_queue_back *back, uint32_t ahead)
{
	uint32_t position = (back->head + ahead) & back->ring.mask;

	__builtin_prefetch(back->request_slots + (size_t)position * QUEUE_SLOT_SIZE);
}

/*
 * The request that was looked at is carried out from here on, and not completed before. The front
 * may use its slot again, and its chunk: the payload of a write has been copied or sent by now.
 */
void vuc_queue_back_take(struct vuc_queue_back *back, const struct vuc_queue_taken *taken);

/* Where a read of count bytes is to go, until it is complete. */
void *vuc_queue_back_room(struct vuc_queue_back *back, uint16_t id, uint32_t count);

/*
 * Answer a request that was taken and not posted. Status is 0 or a negative errno; count that of
 * the request for a read that went well, else 0. While other requests are outstanding the front may
 * see it later, with vuc_queue_back_flush() at the latest.
 */
void vuc_queue_back_complete(struct vuc_queue_back *back, uint16_t id, int status, uint32_t count);

/* After a burst of the above: what was taken and answered is told, and a front that sleeps is
 * woken.
 */
void vuc_queue_back_flush(struct vuc_queue_back *back);

/*
 * Whether the front is to ring its bell. After turning it on, look whether the queue is empty once
 * more: what was submitted before may have come without a ring.
 */
void vuc_queue_back_set_bell(struct vuc_queue_back *back, bool on);

/* Take nothing more, tell what was answered, and say so, with a negative errno; the front wakes up.
 */
void vuc_queue_back_close(struct vuc_queue_back *back, int error);

#endif /* VUC_QUEUE_BACK_H */
