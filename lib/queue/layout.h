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

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

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

/* A look at memory that another core may change: give the sibling thread a turn. */
static inline void
queue_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/*
 * Between a store and a load of another place that must not come before it: the two sleeping
 * protocols. GCC warns that ThreadSanitizer does not know fences. Here it need not: no data is
 * handed over by a fence, only tags and counts do that, with release and acquire order; and at run
 * time the fence is one under it, too.
 */
static inline void
queue_fence(void)
{
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
	atomic_thread_fence(memory_order_seq_cst);
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
}

/*
 * After a copy out of memory that the other end may change at any time. From here on the compiler
 * uses the copy: without this it may as well read the memory again, after the checks.
 */
static inline void
queue_copied(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

/*
 * Sleep while the word has a value, for at most timeout_ms (negative: for ever). The word may lie
 * in memory that is shared between processes, and be mapped read-only here. Returns 0 when it was
 * woken or the value has changed or a signal came; -ETIMEDOUT; what else futex(2) says, without
 * sleeping.
 */
static inline int
queue_futex_wait(const _Atomic uint32_t *word, uint32_t value, int timeout_ms)
{
	const struct timespec timeout = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = (long)(timeout_ms % 1000) * 1000000,
	};
	long rc = syscall(
		SYS_futex, word, FUTEX_WAIT, value, timeout_ms < 0 ? NULL : &timeout, NULL, 0);

	return rc == 0 || errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* Wake whoever sleeps on the word: a queue has one thread that waits. */
static inline void
queue_futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Processors fetch cache lines in pairs. */
#define QUEUE_LINES 128u

/*
 * Zeroed memory with cache lines of its own, so that nothing which another thread writes lies on
 * one of them. To be freed by free(). Returns NULL when there is none.
 */
static inline void *
queue_alloc_lines(size_t size)
{
	void *lines = NULL;

	if (size > SIZE_MAX - QUEUE_LINES)
		return NULL;
	size = (size + QUEUE_LINES - 1) & ~(size_t)(QUEUE_LINES - 1);
	if (posix_memalign(&lines, QUEUE_LINES, size) != 0)
		return NULL;
	return memset(lines, 0, size);
}

#endif /* VUC_QUEUE_LAYOUT_H */
