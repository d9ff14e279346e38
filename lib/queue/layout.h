/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_QUEUE_LAYOUT_H
#define VUC_QUEUE_LAYOUT_H

/*
 * The memory of a queue: two areas, each written by one end only and read by the other one, so that
 * in two processes each can map the other's read-only. The *front* submits, the *back* serves.
 *
 *   requests (front writes):     | header | slot 0 … depth-1 | chunk 0 … depth-1 |
 *   completions (back writes):   | header | slot 0 … depth-1 | chunk 0 … depth-1 |
 *
 * There is no shared head or tail. The slot of position p is p % depth, and holds something new
 * when its tag is that of p: the number of laps around the ring, p / depth + 1, which differs from
 * what the lap before left there and from the zeros that the ring begins with. An end writes the
 * tag last, with release order, and the other one reads it first, with acquire order.
 *
 * A payload longer than the slot's own bytes lies in a chunk: what is written in that of the
 * request's slot, what was read in that of the request's id. So there is no pointer and no offset
 * that would have to be checked.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <vuc/queue.h>
#include <vuc/shm.h>

#define QUEUE_SLOT_SIZE   64u
#define QUEUE_REQUEST_MAX 32u /* bytes of payload in the slot itself */
#define QUEUE_ANSWER_MAX  48u
#define QUEUE_DEPTH_MAX   4096u
#define QUEUE_CHUNK_MAX   (1024u * 1024u)
#define QUEUE_ERRNO_MAX   4095 /* a status is 0 or a negative errno, down to the negative of it */

struct queue_request_slot {
	uint64_t offset;
	uint32_t count;
	uint16_t op;
	uint16_t region;
	uint16_t id; /* names the request in its completion; below depth; not used by a posted write
		      */
	uint16_t reserved[5];
	uint8_t data[QUEUE_REQUEST_MAX];
	_Atomic uint32_t tag;
};

struct queue_completion_slot {
	uint16_t id;
	uint16_t reserved;
	int32_t status; /* 0 or a negative errno */
	uint32_t count; /* bytes that were read */
	uint8_t data[QUEUE_ANSWER_MAX];
	_Atomic uint32_t tag;
};

/* Written by the front. */
struct queue_front_header {
	_Atomic uint32_t sleeps; /* it waits for `wakes` to change */
	uint8_t pad[QUEUE_SLOT_SIZE - sizeof(uint32_t)];
};

/* Written by the back. The first line changes seldom, the second one with each burst. */
struct queue_back_header {
	_Atomic uint32_t wakes; /* counts; the word that the front sleeps on */
	_Atomic uint32_t bell;  /* the front is to ring after it has submitted */
	_Atomic int32_t closed; /* a negative errno: nothing more is taken */
	uint8_t pad1[QUEUE_SLOT_SIZE - 3 * sizeof(uint32_t)];
	_Atomic uint32_t taken; /* requests, counted: the credits of posted writes */
	uint8_t pad2[QUEUE_SLOT_SIZE - sizeof(uint32_t)];
};

_Static_assert(sizeof(struct queue_request_slot) == QUEUE_SLOT_SIZE, "a cache line");
_Static_assert(sizeof(struct queue_completion_slot) == QUEUE_SLOT_SIZE, "a cache line");
_Static_assert(sizeof(struct queue_front_header) == QUEUE_SLOT_SIZE, "a cache line");
_Static_assert(sizeof(struct queue_back_header) == 2 * QUEUE_SLOT_SIZE, "two cache lines");
_Static_assert(offsetof(struct queue_request_slot, tag) == 60, "last");
_Static_assert(offsetof(struct queue_completion_slot, tag) == 60, "last");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2,
	"atomics that work between processes");

/* It is what <vuc/shm.h> tells other implementations. */
#define SAME_SIZE(ours, theirs) \
	_Static_assert(sizeof(struct ours) == sizeof(struct theirs), #ours " and " #theirs)
#define SAME_FIELD(ours, theirs, field)                                                  \
	_Static_assert(offsetof(struct ours, field) == offsetof(struct theirs, field) && \
			sizeof(((struct ours *)NULL)->field) ==                          \
				sizeof(((struct theirs *)NULL)->field),                  \
		#ours "." #field)

SAME_SIZE(queue_request_slot, vuc_shm_request);
SAME_FIELD(queue_request_slot, vuc_shm_request, offset);
SAME_FIELD(queue_request_slot, vuc_shm_request, count);
SAME_FIELD(queue_request_slot, vuc_shm_request, op);
SAME_FIELD(queue_request_slot, vuc_shm_request, region);
SAME_FIELD(queue_request_slot, vuc_shm_request, id);
SAME_FIELD(queue_request_slot, vuc_shm_request, data);
SAME_FIELD(queue_request_slot, vuc_shm_request, tag);

SAME_SIZE(queue_completion_slot, vuc_shm_completion);
SAME_FIELD(queue_completion_slot, vuc_shm_completion, id);
SAME_FIELD(queue_completion_slot, vuc_shm_completion, status);
SAME_FIELD(queue_completion_slot, vuc_shm_completion, count);
SAME_FIELD(queue_completion_slot, vuc_shm_completion, data);
SAME_FIELD(queue_completion_slot, vuc_shm_completion, tag);

SAME_SIZE(queue_front_header, vuc_shm_front);
SAME_FIELD(queue_front_header, vuc_shm_front, sleeps);

SAME_SIZE(queue_back_header, vuc_shm_back);
SAME_FIELD(queue_back_header, vuc_shm_back, wakes);
SAME_FIELD(queue_back_header, vuc_shm_back, bell);
SAME_FIELD(queue_back_header, vuc_shm_back, closed);
SAME_FIELD(queue_back_header, vuc_shm_back, taken);

_Static_assert(QUEUE_SLOT_SIZE == VUC_SHM_SLOT_SIZE && QUEUE_REQUEST_MAX == VUC_SHM_REQUEST_MAX &&
		QUEUE_ANSWER_MAX == VUC_SHM_ANSWER_MAX && QUEUE_DEPTH_MAX == VUC_SHM_MAX_DEPTH &&
		QUEUE_CHUNK_MAX == VUC_SHM_MAX_DATA,
	"limits");
_Static_assert((int)VUC_QUEUE_READ == VUC_SHM_READ && (int)VUC_QUEUE_WRITE == VUC_SHM_WRITE &&
		(int)VUC_QUEUE_WRITE_POSTED == VUC_SHM_WRITE_POSTED &&
		(int)VUC_QUEUE_WRITE_PCI == VUC_SHM_WRITE_PCI,
	"operations");
#undef SAME_SIZE
#undef SAME_FIELD

/* What both ends agree on before there is any memory. */
struct vuc_queue_geometry {
	uint32_t depth; /* a power of two, 1 … QUEUE_DEPTH_MAX */
	uint32_t
		chunk; /* bytes of payload of one request, a multiple of 64, 64 … QUEUE_CHUNK_MAX */
};

static inline bool
vuc_queue_geometry_valid(const struct vuc_queue_geometry *g)
{
	return g->depth >= 1 && g->depth <= QUEUE_DEPTH_MAX && (g->depth & (g->depth - 1)) == 0 &&
		g->chunk >= QUEUE_SLOT_SIZE && g->chunk <= QUEUE_CHUNK_MAX &&
		g->chunk % QUEUE_SLOT_SIZE == 0;
}

static inline size_t
vuc_queue_requests_size(const struct vuc_queue_geometry *g)
{
	return sizeof(struct queue_front_header) + (size_t)g->depth * (QUEUE_SLOT_SIZE + g->chunk);
}

static inline size_t
vuc_queue_completions_size(const struct vuc_queue_geometry *g)
{
	return sizeof(struct queue_back_header) + (size_t)g->depth * (QUEUE_SLOT_SIZE + g->chunk);
}

/* The positions of a ring, counted modulo 2^32. */
struct queue_ring {
	uint32_t mask;  /* depth - 1 */
	uint32_t shift; /* log2(depth) */
};

static inline struct queue_ring
queue_ring_of(const struct vuc_queue_geometry *g)
{
	return (struct queue_ring){
		.mask = g->depth - 1,
		.shift = (uint32_t)__builtin_ctz(g->depth),
	};
}

static inline uint32_t
queue_tag(struct queue_ring ring, uint32_t position)
{
	return (position >> ring.shift) + 1;
}

/* What a register has is copied in place, without a call. */
static inline void
queue_copy(void *to, const void *from, size_t size)
{
	if (size == sizeof(uint32_t))
		memcpy(to, from, sizeof(uint32_t));
	else if (size == sizeof(uint64_t))
		memcpy(to, from, sizeof(uint64_t));
	else
		memcpy(to, from, size);
}

#endif /* VUC_QUEUE_LAYOUT_H */
