/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_DMA_WAY_H
#define BENCH_DMA_WAY_H

/* A way to map memory for a device: the floor, or vuc. */

#include <stdbool.h>
#include <stdint.h>

#include <vuc/device.h>
#include <vuc/poller.h>

#include "shm.h"
#include "spin.h"

/* What is mapped: pages of one file, each on its own. */
struct bench_dma_memory {
	int fd;
	bool apart; /* each lies a page away from the next one, so that no two can be one mapping */
	uint32_t nr;   /* of mappings */
	uint64_t size; /* of each: a page */
};

static inline uint64_t
bench_dma_iova(const struct bench_dma_memory *memory, uint32_t i)
{
	return (memory->apart ? 2 : 1) * i * memory->size;
}

static inline uint64_t
bench_dma_offset(const struct bench_dma_memory *memory, uint32_t i)
{
	return i * memory->size;
}

/* An implementation's own struct begins with it. */
struct bench_dma_way {
	const struct bench_dma_way_ops *ops;
	const struct bench_dma_memory *memory;
	const char *path;  /* of the server's socket */
	uint64_t syscalls; /* made so far, once count() was called where there is one */
};

/* Each but close returns 0, or a negative errno with a line in err. */
struct bench_dma_way_ops {
	int (*open)(struct bench_dma_way *way, struct vuc_error *err);
	void (*close)(struct bench_dma_way *way);
	/* Map all memory, or unmap all of it, and return when the server has done it. */
	int (*map)(struct bench_dma_way *way, struct vuc_error *err);
	int (*unmap)(struct bench_dma_way *way, struct vuc_error *err);
	/* Where counting system calls takes time; else NULL. */
	int (*count)(struct bench_dma_way *way, struct vuc_error *err);
};

#define BENCH_DMA_WINDOW 64

/* Written by hand: a message for each mapping, up to a window of them before their replies. */
struct bench_dma_floor {
	struct bench_dma_way way;
	unsigned int window; /* at most BENCH_DMA_WINDOW; 1: each waits for the reply before it */
	uint16_t id;         /* of the last message that was sent */
	struct bench_message map;
	struct bench_message unmap;
	struct bench_spin spin;
	size_t received; /* bytes of replies that were not looked at */
	uint8_t replies[BENCH_DMA_WINDOW * BENCH_MESSAGE_MAX];
};

void bench_dma_floor_init(struct bench_dma_floor *floor, unsigned int window,
	const struct bench_clock *clock, const struct bench_dma_memory *memory, const char *path);

/* vuc_dma_map() or vuc_dma_unmap() for each mapping, and one vuc_dma_commit(). */
struct bench_dma_subject {
	struct bench_dma_way way;
	struct vuc_poll_group *group;
	struct vuc_device *dev;
};

/* Without a poll group: that is the caller's to set, and so is the device. */
void bench_dma_subject_prepare(
	struct bench_dma_subject *subject, const struct bench_dma_memory *memory, const char *path);

/* Create the poll group; a transport of NULL is vuc's choice. Returns 0 or a negative errno; either
 * way the subject may be given to bench_dma_subject_fini(). */
int bench_dma_subject_init(struct bench_dma_subject *subject, const struct bench_dma_memory *memory,
	const char *path, const char *transport, struct vuc_error *err);
void bench_dma_subject_fini(struct bench_dma_subject *subject);

/* The same, called on the thread of a poller, which is there while the way is open. */
struct bench_dma_poller {
	struct bench_dma_way way;
	struct bench_dma_subject there; /* what the poller's thread does */
	struct vuc_poller_opts opts;
	struct vuc_poller *poller;
	char transport[16]; /* in use, once it was open */
};

/* bench_eal_init() comes before the way is opened. A transport of NULL is vuc's choice. */
void bench_dma_poller_init(struct bench_dma_poller *poller, const struct bench_dma_memory *memory,
	const char *path, const char *transport);

/* Where a poller runs; a shared CPU is that of its caller, too, and it sleeps when it is not
 * called. */
void bench_dma_place(struct vuc_poller_opts *opts, unsigned int cpu, bool shared);

/* By a daemon that has the device: vuc_vmm_dma_map() and one vuc_vmm_dma_commit(). The system calls
 * are those of the daemon's poller. */
struct bench_dma_shm {
	struct bench_dma_way way;
	struct bench_daemon *daemon;
	struct vuc_poller_opts opts; /* of the daemon's poller */
	struct vuc_vmm_device *dev;
	struct vuc_vmm_dma *mappings;
	char transport[BENCH_DAEMON_NAME_MAX]; /* in use, once it was open */
};

/* A transport of NULL is vuc's choice. Returns 0 or -ENOMEM; either way it may be given to
 * bench_dma_shm_fini(). */
int bench_dma_shm_init(struct bench_dma_shm *shm, const struct bench_dma_memory *memory,
	struct bench_daemon *daemon, const char *path, const char *transport);
void bench_dma_shm_fini(struct bench_dma_shm *shm);

#endif /* BENCH_DMA_WAY_H */
