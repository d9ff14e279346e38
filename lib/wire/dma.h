/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_WIRE_DMA_H
#define VUC_WIRE_DMA_H

#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>

#include "vfio_user.h"

/* DMA memory: VFIO_USER_DMA_MAP, VFIO_USER_DMA_UNMAP, VFIO_USER_DMA_READ, VFIO_USER_DMA_WRITE. */

/* A range of DMA addresses. */
struct vuc_wire_dma_range {
	uint64_t addr;
	uint64_t size;
};

/*
 * Bytes of the bitmap that has one bit for each page of pgsize bytes, or part of one, in length
 * bytes: whole 64-bit words. Returns 0; -EINVAL for a length of 0 or a pgsize that is not a power
 * of two; -EOVERFLOW when a message with the bitmap in it cannot have an argsz.
 */
int vuc_wire_bitmap_size(uint64_t length, uint64_t pgsize, uint32_t *size);

/*
 * Body of a DMA_MAP. flags are VFIO_USER_F_DMA_REGION_*; offset is that in the fd which rides
 * along, 0 without one. buf has room for struct vfio_user_dma_map. Returns the bytes written.
 * There is no body in the reply.
 */
size_t vuc_wire_dma_map_encode(
	void *buf, const struct vuc_wire_dma_range *range, uint32_t flags, uint64_t offset);

/* Body of a DMA_UNMAP: of one mapping, or of all there are. buf has room for struct
 * vfio_user_dma_unmap. Each returns the bytes written. */
size_t vuc_wire_dma_unmap_encode(void *buf, const struct vuc_wire_dma_range *range);
size_t vuc_wire_dma_unmap_all_encode(void *buf);

/* Body of a DMA_UNMAP that asks for the dirty pages as well. buf has room for struct
 * vfio_user_dma_unmap and struct vfio_user_bitmap. Returns the bytes written, or as
 * vuc_wire_bitmap_size(). */
int vuc_wire_dma_unmap_dirty_encode(
	void *buf, const struct vuc_wire_dma_range *range, uint64_t pgsize);

/*
 * Reply of a DMA_UNMAP of one mapping, or with range NULL of all. Returns 0, also for an empty
 * body: that is how libvfio-user answers for a device that does no DMA. -EPROTO when the reply
 * has another address, size or flags than were sent, or a length that is not its own.
 */
int vuc_wire_dma_unmap_decode(const void *body, size_t len, const struct vuc_wire_dma_range *range,
	struct vuc_error *err);

/*
 * Reply of a DMA_UNMAP that asked for dirty pages. Sets bitmap to the bytes inside body,
 * vuc_wire_bitmap_size() of them, not aligned; bits behind the last page have no meaning.
 * Returns 0; -EPROTO as above, and for another page size or bitmap size than were sent; -EINVAL
 * or -EOVERFLOW for a range and pgsize that cannot have been encoded.
 */
int vuc_wire_dma_unmap_dirty_decode(const void *body, size_t len,
	const struct vuc_wire_dma_range *range, uint64_t pgsize, const uint8_t **bitmap,
	struct vuc_error *err);

/* A DMA_READ or DMA_WRITE of the server. */
struct vuc_wire_dma_access {
	uint64_t addr;
	uint32_t count;
	const uint8_t *data; /* of a write, count bytes inside body; NULL of a read */
};

/*
 * Command of the server; max_data is the max_data_xfer_size that it was told. Returns 0; -EPROTO
 * for a count of 0 or over max_data, an address and count whose sum overflows, or a body that is
 * not exactly as long as that. Whether the range is mapped is for the caller to say.
 */
int vuc_wire_dma_read_decode(const void *body, size_t len, uint32_t max_data,
	struct vuc_wire_dma_access *access, struct vuc_error *err);
int vuc_wire_dma_write_decode(const void *body, size_t len, uint32_t max_data,
	struct vuc_wire_dma_access *access, struct vuc_error *err);

/*
 * Body of the reply to either; that to a read is followed by count bytes of data. buf has room for
 * struct vfio_user_dma_region_access. Returns the bytes written.
 */
size_t vuc_wire_dma_reply_encode(void *buf, const struct vuc_wire_dma_access *access);

#endif /* VUC_WIRE_DMA_H */
