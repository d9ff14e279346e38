/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_DMA_H
#define VUC_VMM_DMA_H

#include <stddef.h>
#include <stdint.h>

/* What is done to the device's memory; fields that op does not use are 0, and fd is -1. */
struct vmm_dma_entry {
	uint16_t op; /* enum vuc_shm_dma_op */
	uint32_t flags;
	uint64_t iova;
	uint64_t size;
	uint64_t offset;
	int fd; /* the caller's */
};

/* Entries that wait for their commit. */
struct vmm_dma_queue {
	struct vmm_dma_entry *entries;
	size_t nr;
	size_t room;
};

#endif /* VUC_VMM_DMA_H */
