/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_DMA_PEER_H
#define BENCH_DMA_PEER_H

/*
 * A device that does nothing but DMA by message: a process of its own that accesses the memory of
 * its client again and again and times that. Just enough of a server for vuc to open it.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <vuc/error.h>

#include "ticks.h"

/* Bytes of memory have this value on either side. */
#define BENCH_DMA_FILL 0x5a

/* What it does. */
struct bench_dma_plan {
	bool negotiate; /* begin with the protocol's negotiation, else with the first access */
	bool write;     /* into the client's memory, else read from it */
	uint32_t size;  /* bytes of an access */
	uint32_t depth; /* accesses under way at once; number i is at address i % depth * size */
	uint32_t samples;
	uint32_t per_sample;     /* accesses, of which the last one's reply ends the sample */
	unsigned int timeout_ms; /* for all of it */
};

/* What both processes see. */
struct bench_dma_shared {
	_Atomic int status; /* 0: at work; 1: done, ticks are there; else a negative errno */
	uint64_t ticks[];   /* of each sample */
};

struct bench_dma_peer {
	pid_t pid;
	int fd; /* our end of the connection */
	struct bench_dma_shared *shared;
	size_t shared_size;
};

/* Bytes of the message before the data of an access or its reply. */
#define BENCH_DMA_HEAD 32

/* Make the head of an access that of its reply. */
void bench_dma_head_reply(uint8_t head[BENCH_DMA_HEAD], const struct bench_dma_plan *plan);

/* Start the process on a CPU. Returns 0 or a negative errno; on failure nothing is left behind. */
int bench_dma_peer_start(struct bench_dma_peer *peer, const struct bench_dma_plan *plan,
	const struct bench_clock *clock, unsigned int cpu, struct vuc_error *err);

/* 0 while it is at work, 1 when it is done, a negative errno. */
static inline int
bench_dma_peer_status(const struct bench_dma_peer *peer)
{
	/* Pairs with the release in the peer's process, run_peer(). */
	return atomic_load_explicit(&peer->shared->status, memory_order_acquire);
}

/* End it at once, also in the middle of its work. */
void bench_dma_peer_stop(struct bench_dma_peer *peer);

#endif /* BENCH_DMA_PEER_H */
