/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_DMA_ANSWER_H
#define BENCH_DMA_ANSWER_H

/* Answering a peer's DMA by message: by hand, or by vuc. Each is one turn. */

#include <vuc/poller.h>

#include "dma_peer.h"
#include "ticks.h"

struct bench_dma_answer {
	const struct bench_clock *clock;
	const struct bench_dma_plan *plan;
	const struct bench_dma_peer *peer;
	const char *transport; /* NULL: vuc's choice */
	unsigned int cpu;      /* of the poller: this thread's, which sleeps meanwhile */
	uint8_t *memory;       /* of depth accesses */
	size_t memory_size;

	uint64_t syscalls;       /* of the turn */
	char transport_text[16]; /* in use, in a turn of vuc */

	/* While vuc has its turn. */
	struct vuc_poller *poller;
	struct vuc_poll_group *group;
	struct vuc_device *dev;
};

/* Each answers until the peer is done, and returns 0, or a negative errno with a line in err. */
typedef int (*bench_dma_answer_fn)(struct bench_dma_answer *answer, struct vuc_error *err);

/* The floor: take a head, copy the data from or to where it belongs, send a head. */
int bench_dma_answer_floor(struct bench_dma_answer *answer, struct vuc_error *err);

/* vuc, in this thread. */
int bench_dma_answer_inline(struct bench_dma_answer *answer, struct vuc_error *err);

/* vuc, in a poller that spins; needs bench_eal_init(). */
int bench_dma_answer_poller(struct bench_dma_answer *answer, struct vuc_error *err);

#endif /* BENCH_DMA_ANSWER_H */
