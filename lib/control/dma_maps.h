/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_DMA_MAPS_H
#define VUC_LIB_CONTROL_DMA_MAPS_H

/*
 * Memory of a VMM that is mapped here, for accesses of its device by message. It stays mapped until
 * the device has let go of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/device.h>
#include <vuc/shm.h>

#include "guard.h"

struct dma_map {
	uint64_t iova;
	uint64_t length; /* of the memory */
	bool writable;
	uint8_t *addr; /* of the memory; in what is mapped of its file: whole pages */
	void *base;
	size_t size;
	uint64_t cost; /* taken off the budget while it is mapped */
	bool leaves;   /* it is unmapped with the next commit */
};

/* All zero: there are none, and never are. */
struct dma_maps {
	struct guard *guard;
	struct dma_map *at;
	size_t nr;
	size_t max;
	uint64_t bytes; /* of address space that they take */
	uint64_t max_bytes;
};

struct dma_maps_opts {
	size_t max;         /* of them */
	uint64_t max_bytes; /* of address space that they take */
	uint64_t budget;    /* bytes of memory that they may cost the daemon */
	int wake_fd;        /* as for guard_create() */
};

/* Returns 0; -ENOMEM; -ENOSPC when there are more VMMs than can be guarded. */
int dma_maps_init(struct dma_maps *m, const struct dma_maps_opts *opts);

/* Unmap all of them; nobody accesses them any more. */
void dma_maps_fini(struct dma_maps *m);

/*
 * Map what an entry says of a file, whose size has been checked, and which is mapped by pages of a
 * size. -ENOSPC when there are max of them, -EFBIG beyond max_bytes, -EDQUOT beyond the budget;
 * what mmap(2) says.
 */
int dma_maps_add(struct dma_maps *m, const struct vuc_shm_dma_entry *entry, int fd, uint64_t page,
	void **addr);

/* Let the pages that there are of what was added last be found without a fault. Takes its time:
 * look(arg) is called after each 64 MiB, or less. */
void dma_maps_populate(const struct dma_maps *m, const struct vuc_shm_dma_entry *entry, int fd,
	void (*look)(void *arg), void *arg);

/* Returns the address of size bytes from iova on, or NULL unless a single permanent mapping has all
 * of them, writable if that is required. */
uint8_t *dma_maps_find(const struct dma_maps *m, uint64_t iova, uint64_t size, bool writes);

/* Unmap those that were added last, all but nr of them; the device has never had them. */
void dma_maps_undo(struct dma_maps *m, size_t nr);

/* The device has been told to let go of [iova, iova + size), which is of the first nr of them. */
void dma_maps_leave(struct dma_maps *m, size_t nr, uint64_t iova, uint64_t size);

/* On the poller's thread: after a commit that has failed, find those that the device does not use
 * any more. Takes its time, in which the poller does nothing else. */
void dma_maps_find_unused(struct dma_maps *m, const struct vuc_device *dev);

/* After a commit: unmap those that have left. */
void dma_maps_sweep(struct dma_maps *m);

/* Why the VMM cannot go on, or NULL. */
const char *dma_maps_problem(const struct dma_maps *m);

#endif /* VUC_LIB_CONTROL_DMA_MAPS_H */
