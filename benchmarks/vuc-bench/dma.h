/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_DMA_H
#define BENCH_DMA_H

/* Mapping memory, and memory that a device accesses by message. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "floor.h"
#include "subject.h"

/* What is mapped: pages of one file, each by itself. */
struct bench_dma_memory {
	int fd;
	uint32_t nr;                  /* of mappings */
	uint64_t size;                /* of each: a page */
	struct vuc_vmm_dma *mappings; /* as a VMM asks for them */
};

/* Make the file. With apart, each mapping lies a page away from the next one, so that no two can be
 * joined. bench_dma_memory_free() is due in any case. */
int bench_dma_memory_make(
	struct bench_dma_memory *memory, uint32_t nr, bool apart, struct vuc_error *err);
void bench_dma_memory_free(struct bench_dma_memory *memory);

/* Map the first nr mappings, or unmap them, by one commit: of a device that this thread drives, or
 * by a daemon. */
int bench_dma_act(
	struct vuc_device *dev, const struct bench_dma_memory *memory, uint32_t nr, bool unmap);
int bench_dma_act_vmm(struct vuc_vmm_device *dev, const struct bench_dma_memory *memory,
	uint32_t nr, bool unmap, struct vuc_error *err);

/* The hand-written floor: a message for each mapping, up to a window of them before their
 * replies. */
#define BENCH_DMA_WINDOW 64

struct bench_dma_floor {
	const struct bench_dma_memory *memory;
	unsigned int window;
	uint16_t id; /* of the last message that was sent */
	struct bench_message map;
	struct bench_message unmap;
	struct bench_wire wire; /* the caller closes its descriptor */
	size_t received;        /* bytes of replies that were not processed */
	uint8_t replies[BENCH_DMA_WINDOW * BENCH_MESSAGE_MAX];
};

/* The window is at most BENCH_DMA_WINDOW. */
void bench_dma_floor_init(struct bench_dma_floor *floor, const struct bench_clock *clock,
	const struct bench_dma_memory *memory, unsigned int window);

/* Connect, and exchange VERSION. */
int bench_dma_floor_open(struct bench_dma_floor *floor, const char *path, struct vuc_error *err);

/* Map all memory, or unmap all of it. */
int bench_dma_floor_act(struct bench_dma_floor *floor, bool unmap, struct vuc_error *err);

/* What a device that does nothing but DMA by message does. */
struct bench_dma_plan {
	bool negotiate; /* begin with the protocol's negotiation, else with the first access */
	bool write;     /* into the client's memory, else read from it */
	uint32_t size;  /* bytes of an access */
	uint32_t depth; /* accesses under way at once; number i is at address i % depth * size */
	uint32_t samples;
	uint32_t per_sample;     /* accesses, of which the last one's reply ends the sample */
	unsigned int timeout_ms; /* for all of it */
};

/* Such a device, on a thread of its own. */
struct bench_dma_device {
	const struct bench_dma_plan *plan;
	pthread_t thread;
	struct bench_wire wire;
	_Atomic int status; /* 0: at work; 1: done, ticks are there; else a negative errno */
	uint8_t *data;      /* of an access */
	uint64_t *ticks;    /* of each sample */
	uint64_t last;      /* end of the last sample, in ticks */
};

/* It, and who answers it. */
struct bench_dma_peer {
	const struct bench_clock *clock;
	struct bench_dma_plan plan;
	unsigned int cpu; /* of the device */
	uint8_t *memory;  /* of depth accesses */
	size_t memory_size;
	struct bench_subject subject; /* vuc; path, transport and CPU are set */
	uint64_t syscalls;            /* of the turn */
	int fd;                       /* our end of the connection */
	struct bench_dma_device device;
};

/* Allocate the memory; plan is the caller's to set before. */
int bench_dma_peer_init(struct bench_dma_peer *peer, struct bench *bench, enum bench_path path,
	struct vuc_error *err);
void bench_dma_peer_fini(struct bench_dma_peer *peer);

/* A turn: the device runs, answered by the floor or by vuc over a transport; its times go to the
 * series, and a round of that ends. */
int bench_dma_peer_turn(struct bench_dma_peer *peer, bool floor, const char *transport,
	struct bench_series *series, struct vuc_error *err);

#endif /* BENCH_DMA_H */
