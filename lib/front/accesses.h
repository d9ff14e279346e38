/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_FRONT_ACCESSES_H
#define VUC_FRONT_ACCESSES_H

/*
 * Accesses of a stock VMM that a device works on. Each is cut into what the device takes at once;
 * while that is away, its record answers reads of config space.
 *
 * Accesses are begun, and results taken, by the poller in its turn: see serve.h.
 */

#include <vuc/queue.h>

#include "machine.h"

/* Bytes of an access that every slot has room for. */
#define FRONT_SMALL_ACCESS 64u

/* An access that the device works on, in one part after the other. */
struct front_access_slot {
	unsigned int token;
	bool write;
	uint32_t region;
	uint64_t offset;
	uint32_t count;
	struct front_piece pieces[FRONT_MAX_PIECES];
	unsigned int nr_pieces;
	unsigned int piece; /* that is in turn */
	uint32_t done;      /* bytes of it */
	uint32_t part;      /* bytes that are under way */
	uint8_t *data;      /* small, or in large */
	uint8_t small[FRONT_SMALL_ACCESS];
	struct front_access_slot *next; /* that is free */
};

struct front_accesses {
	struct front *front;
	struct vuc_device *dev;
	struct vuc_queue *queue;
	unsigned int nr_busy; /* parts that are under way */
	struct front_access_slot *free;
	struct front_access_slot slots[FRONT_MAX_REQUESTS];
	/* Memory for larger ones: as much as one may have, given out from its beginning and taken
	 * back when nobody uses it any more. */
	uint8_t *large;
	uint32_t large_size, large_used;
	unsigned int nr_large; /* slots that use it */
};

/* In zeroed memory. front, dev and queue are the caller's, and live longer. Returns 0 or -ENOMEM;
 * front_accesses_free() is called in any case. */
int front_accesses_init(struct front_accesses *a, struct front *front, struct vuc_device *dev,
	struct vuc_queue *queue);

/* Results that are awaited may not be taken any more. */
void front_accesses_free(struct front_accesses *a);

/* Carry out a FRONT_ACCESS, or begin to: it gets its answer from here, or from a result. Returns
 * false if nothing was done because others use the memory: repeat it after a result. */
bool front_accesses_begin(struct front_accesses *a, const struct front_request *r);

/* A result of the queue. */
void front_accesses_take(struct front_accesses *a, const struct vuc_queue_result *result);

#endif /* VUC_FRONT_ACCESSES_H */
