/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_DMA_DIRTY_H
#define VUC_DEVICE_DMA_DIRTY_H

/*
 * The pages that the device has written by message, which the client itself has to know of: a
 * bitmap per mapping, made with the first write.
 */

#include "dma_table.h"

/* Bytes per bit. Reports in other page sizes are made of these. */
#define DMA_DIRTY_PAGE 4096u

/* Memory in one mapping was written. */
void dma_dirty_mark(struct dma_table *t, uint64_t iova, uint64_t len);

/* Set the bits of the pages in [iova, iova + size) that were written, and forget them. Bit 0 of
 * bitmap is the page at iova. */
void dma_dirty_collect(
	struct dma_table *t, uint64_t iova, uint64_t size, uint64_t pgsize, uint64_t *bitmap);

/* Forget all. */
void dma_dirty_forget(struct dma_table *t);

#endif /* VUC_DEVICE_DMA_DIRTY_H */
