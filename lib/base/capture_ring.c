/* SPDX-License-Identifier: BSD-3-Clause */
#include "capture_ring.h"

#include <errno.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memfd.h"

#define RING_HEADER 4096u /* bytes before the data */
#define RING_MAX    (1u << 30)
#define RECORD_SIZE ((uint32_t)sizeof(struct vuc_capture_record))

/* Positions count on, and are multiples of 8. */
struct ring_shared {
	_Alignas(64) _Atomic uint64_t head; /* the producer's, as are the next two */
	_Atomic uint64_t dropped;
	_Atomic int state;
	_Alignas(64) _Atomic uint64_t tail; /* the consumer's */
};

_Static_assert(sizeof(struct ring_shared) <= RING_HEADER, "it is before the data");
_Static_assert(sizeof(struct vuc_capture_record) == 32, "it is shared");

/* What either side knows by itself: it does not read what it has written. */
struct vuc_capture_ring {
	struct ring_shared *shared;
	uint8_t *data;
	uint32_t size;
	int fd;
	uint64_t head;
	uint64_t tail;    /* of the producer: as it was seen last */
	uint64_t dropped; /* in all, */
	uint64_t told;    /* and as of the last record */
	bool broken;
};

static int
ring_map(int fd, uint32_t size, int flags, struct vuc_capture_ring **ring)
{
	struct vuc_capture_ring *r = calloc(1, sizeof(*r));
	void *map;

	if (r == NULL)
		return -ENOMEM;
	map = mmap(NULL, RING_HEADER + (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd,
		0);
	if (map == MAP_FAILED) {
		free(r);
		return -errno;
	}
	r->shared = map;
	r->data = (uint8_t *)map + RING_HEADER;
	r->size = size;
	r->fd = fd;
	*ring = r;
	return 0;
}

void
vuc_capture_ring_free(struct vuc_capture_ring *ring)
{
	if (ring == NULL)
		return;
	munmap(ring->shared, RING_HEADER + (size_t)ring->size);
	close(ring->fd);
	free(ring);
}

/* How much of len bytes from a position on lies before the end of the data. */
static uint32_t
ring_run(const struct vuc_capture_ring *r, uint64_t position, uint32_t len)
{
	uint32_t left = r->size - (uint32_t)(position & (r->size - 1));

	return len < left ? len : left;
}

static uint32_t
record_room(uint32_t captured)
{
	return RECORD_SIZE + ((captured + 7) & ~7u);
}

/* ---- the producer ---- */

int
vuc_capture_ring_create(uint32_t size, struct vuc_capture_ring **ring)
{
	int fd = vuc_memfd_create("vuc-capture", RING_HEADER + (uint64_t)size,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	int rc;

	if (fd < 0)
		return fd;
	/* The producer waits for no page. */
	rc = ring_map(fd, size, MAP_POPULATE, ring);
	if (rc != 0)
		close(fd);
	return rc;
}

int
vuc_capture_ring_fd(const struct vuc_capture_ring *ring)
{
	return ring->fd;
}

static void
ring_write(struct vuc_capture_ring *r, uint64_t position, const void *bytes, uint32_t len)
{
	uint32_t run = ring_run(r, position, len);

	memcpy(r->data + (position & (r->size - 1)), bytes, run);
	memcpy(r->data, (const uint8_t *)bytes + run, len - run);
}

/* Whether there is room. The consumer goes on, and not beyond what there is. */
static bool
ring_has_room(struct vuc_capture_ring *r, uint32_t room)
{
	uint64_t used = r->head - r->tail, taken;

	if (room <= r->size - used)
		return true;
	/* Pairs with vuc_capture_ring_take(). */
	taken = atomic_load_explicit(&r->shared->tail, memory_order_acquire) - r->tail;
	if (taken > used) {
		r->broken = true;
		vuc_capture_ring_end(r, VUC_CAPTURE_BROKEN);
		return false;
	}
	r->tail += taken;
	return room <= r->size - (used - taken);
}

void
vuc_capture_ring_put(
	struct vuc_capture_ring *r, struct vuc_capture_record *record, const void *bytes)
{
	uint32_t room = record_room(record->captured);
	uint64_t dropped = r->dropped - r->told;

	if (r->broken)
		return;
	if (!ring_has_room(r, room)) {
		atomic_store_explicit(&r->shared->dropped, ++r->dropped, memory_order_relaxed);
		return;
	}
	record->dropped = dropped < UINT32_MAX ? (uint32_t)dropped : UINT32_MAX;
	r->told = r->dropped;
	ring_write(r, r->head, record, RECORD_SIZE);
	ring_write(r, r->head + RECORD_SIZE, bytes, record->captured);
	r->head += room;
	/* Pairs with vuc_capture_ring_take(). */
	atomic_store_explicit(&r->shared->head, r->head, memory_order_release);
}

void
vuc_capture_ring_end(struct vuc_capture_ring *r, enum vuc_capture_state state)
{
	/* Pairs with vuc_capture_ring_state(). */
	atomic_store_explicit(&r->shared->state, state, memory_order_release);
}

/* ---- the consumer ---- */

int
vuc_capture_ring_open(int fd, struct vuc_capture_ring **ring)
{
	struct stat st;
	uint64_t size;
	int seals;

	if (fstat(fd, &st) != 0)
		return -errno;
	seals = fcntl(fd, F_GET_SEALS);
	size = (uint64_t)st.st_size - RING_HEADER;
	/* Memory that could shrink would end the consumer by SIGBUS. */
	if (seals < 0 || (seals & F_SEAL_SHRINK) == 0)
		return -EPROTO;
	if (st.st_size <= (off_t)RING_HEADER || size > RING_MAX || (size & (size - 1)) != 0)
		return -EPROTO;
	return ring_map(fd, (uint32_t)size, 0, ring);
}

static void
ring_read(const struct vuc_capture_ring *r, uint64_t position, void *bytes, uint32_t len)
{
	uint32_t run = ring_run(r, position, len);

	memcpy(bytes, r->data + (position & (r->size - 1)), run);
	memcpy((uint8_t *)bytes + run, r->data, len - run);
}

int
vuc_capture_ring_take(
	struct vuc_capture_ring *r, struct vuc_capture_record *record, void *bytes, uint32_t max)
{
	uint64_t there;

	if (r->head == r->tail) /* Pairs with vuc_capture_ring_put(). */
		r->head = atomic_load_explicit(&r->shared->head, memory_order_acquire);
	there = r->head - r->tail;
	if (there == 0)
		return 0;
	if (there > r->size || there < RECORD_SIZE)
		return -EPROTO;
	ring_read(r, r->tail, record, RECORD_SIZE);
	if (record->captured > max || record->captured > record->len ||
		record_room(record->captured) > there)
		return -EPROTO;
	ring_read(r, r->tail + RECORD_SIZE, bytes, record->captured);
	r->tail += record_room(record->captured);
	/* Pairs with ring_has_room(). */
	atomic_store_explicit(&r->shared->tail, r->tail, memory_order_release);
	return 1;
}

enum vuc_capture_state
vuc_capture_ring_state(const struct vuc_capture_ring *r)
{
	/* Pairs with vuc_capture_ring_end(). */
	return (enum vuc_capture_state)atomic_load_explicit(
		&r->shared->state, memory_order_acquire);
}

uint64_t
vuc_capture_ring_dropped(const struct vuc_capture_ring *r)
{
	return atomic_load_explicit(&r->shared->dropped, memory_order_relaxed);
}
