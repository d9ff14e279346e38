/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_QUEUE_PAIR_H
#define VUC_TESTS_QUEUE_PAIR_H

/*
 * Both ends of a queue, over memory of exactly the size that it needs, so that AddressSanitizer
 * sees what goes beyond; and payloads that can be told from one another.
 */

#include "back.h"
#include "front_state.h"
#include "tap.h"

#define PAIR_BELL_BIT (UINT64_C(1) << 41)

struct queue_pair {
	struct vuc_queue_geometry geometry;
	void *requests;
	void *completions;
	struct vuc_queue *front;
	struct vuc_queue_back back;
	_Atomic uint64_t
		bells; /* what a poller would have: its word, whether it sleeps, its kick */
	_Atomic uint32_t sleeps;
	int kick_fd;
};

#define PAIR_DEPTH 4u
#define PAIR_CHUNK 128u

/* A queue of this size, for the running test of a suite with these two; a test that hangs is ended
 * by an alarm. */
extern struct queue_pair q;
void pair_set_up(void);
void pair_tear_down(void);

/* The same anew, of another size. */
void pair_reopen(uint32_t depth, uint32_t chunk);

/* As if both ends, with nothing outstanding, had come to this position. */
void pair_start_at(uint32_t position);

/* Tags of the slots as the lap before this position left them. */
void pair_set_tags(uint32_t position);

struct queue_request_slot *pair_request_slot(uint32_t position);
struct queue_completion_slot *pair_completion_slot(uint32_t position);
struct queue_front_header *pair_front_header(void);
struct queue_back_header *pair_back_header(void);

/* Submit one read, into that queue; returns as vuc_queue_submit() does. */
int submit_read(void *data, uint32_t count, void *arg);

/* Take the next request, which must be there. */
void pair_take(struct vuc_queue_taken *taken);

/* Count bytes that follow from the seed. */
void payload_fill(void *bytes, size_t count, uint64_t seed);
bool payload_matches(const void *bytes, size_t count, uint64_t seed);

/* A sequence of numbers that follows from its first state. */
uint64_t random_next(uint64_t *state);

static inline uint32_t
random_below(uint64_t *state, uint32_t limit)
{
	return (uint32_t)((random_next(state) >> 32) * limit >> 32);
}

#endif /* VUC_TESTS_QUEUE_PAIR_H */
