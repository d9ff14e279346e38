/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_QUEUE_FRONT_STATE_H
#define VUC_QUEUE_FRONT_STATE_H

/* The inside of the submitting end: for front.c, and for tests that start where positions wrap. */

#include "front.h"

/* A request without a result so far. */
struct queue_pending {
	void *arg;
	void *data; /* of a read */
	uint64_t position;
	uint32_t count;
	bool busy;
};

/*
 * Positions that are compared with older ones have 64 bits here: a request may be outstanding while
 * 2^32 posted writes go by.
 */
struct vuc_queue {
	struct queue_ring ring;
	struct vuc_queue_geometry geometry;
	struct queue_front_header *header;
	const struct queue_back_header *back;
	uint8_t *request_slots;
	uint8_t *request_chunks;
	const uint8_t *answer_slots;
	const uint8_t *answer_chunks;
	uint64_t tail;  /* of requests: the position that comes next */
	uint64_t taken; /* requests that the back is known to have copied, counted */
	uint32_t head;  /* of completions */
	unsigned int nr_free;
	unsigned int spins;
	_Atomic int error; /* the back broke the rules, or the caller knows that it has closed, or
			      vuc_queue_cut(): no more results */
	int lost;          /* what check() has said */
	bool settled;      /* the caller knows that what is outstanding gets no result */
	int (*check)(void *arg);
	void *check_arg;
	int64_t check_ms; /* when it is to be called again */
	struct vuc_queue_bell bell;
	struct queue_pending *pending; /* by id */
	uint16_t *free_ids;
	struct vuc_queue_request failed; /* the last one that was waited for and failed, */
	int failure;                     /* and why; 0: none has */
	char reason[256];
	struct vuc_queue_renewal *_Atomic renewal; /* offered; NULL: none */
};

/*
 * renew.c, on the thread that uses the queue, which is closed with this error: begin anew in the
 * memory that was offered. Not while requests are outstanding whose results are wanted. Returns 0,
 * or the error when there is none.
 */
int queue_renew(struct vuc_queue *q, int error);

/* renew.c, likewise: results of requests that ended with the memory before: -ECONNRESET. */
unsigned int queue_poll_cut(
	struct vuc_queue *q, struct vuc_queue_result *results, unsigned int max);

#endif /* VUC_QUEUE_FRONT_STATE_H */
