/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_CAPTURE_RING_H
#define VUC_BASE_CAPTURE_RING_H

/*
 * Captured messages on their way to another process, in memory that both map: a single producer,
 * who never waits, and a single consumer. The memory is the producer's, sealed in its size; nothing
 * that the consumer writes there can harm the producer.
 */

#include <stdint.h>

#define VUC_CAPTURE_LAYOUT 1u /* of records and memory; another one with each change */

/* What is known of a message beside its bytes. */
struct vuc_capture_record {
	uint64_t time_ns;    /* CLOCK_REALTIME */
	uint32_t len;        /* of the message */
	uint32_t captured;   /* bytes of it that follow */
	uint32_t connection; /* as in struct vuc_trace_message */
	uint32_t dropped;    /* messages before it that there was no room for */
	uint8_t nr_fds;
	uint8_t sent; /* to the server */
	uint8_t twin;
	uint8_t reserved[5];
};

enum vuc_capture_state {
	VUC_CAPTURE_RUNS,
	VUC_CAPTURE_REMOVED, /* the device is */
	VUC_CAPTURE_BROKEN,  /* the consumer has written what it may not */
};

struct vuc_capture_ring;

/* Most bytes of a message: with what goes before them in a file, all that Wireshark reads. */
#define VUC_CAPTURE_SNAPLEN_MAX (262144u - 12)

/* ---- the producer ---- */

/* Create a ring of so many bytes, a power of two, all in memory. Returns 0 or a negative errno. */
int vuc_capture_ring_create(uint32_t size, struct vuc_capture_ring **ring);

/* For the consumer; stays the ring's. */
int vuc_capture_ring_fd(const struct vuc_capture_ring *ring);

/* Put a message into it, or count it as dropped; dropped is filled in here. */
void vuc_capture_ring_put(
	struct vuc_capture_ring *ring, struct vuc_capture_record *record, const void *bytes);

/* Nothing is put into it any more. Any thread. */
void vuc_capture_ring_end(struct vuc_capture_ring *ring, enum vuc_capture_state state);

/* ---- the consumer ---- */

/* Map a ring by its descriptor, which is the ring's from then on. Returns 0 or a negative errno. */
int vuc_capture_ring_open(int fd, struct vuc_capture_ring **ring);

/* Take a message, of whose bytes there is room for max. Returns 1; 0: there is none now; -EPROTO:
 * this is no such ring. */
int vuc_capture_ring_take(struct vuc_capture_ring *ring, struct vuc_capture_record *record,
	void *bytes, uint32_t max);

/* To be asked before the last look for messages. */
enum vuc_capture_state vuc_capture_ring_state(const struct vuc_capture_ring *ring);

/* Messages that were dropped, also those behind the last one that was not. */
uint64_t vuc_capture_ring_dropped(const struct vuc_capture_ring *ring);

/* ---- both ---- */

/* NULL does nothing. */
void vuc_capture_ring_free(struct vuc_capture_ring *ring);

#endif /* VUC_BASE_CAPTURE_RING_H */
