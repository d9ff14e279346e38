/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DMA_H
#define VUC_DMA_H

/**
 * @file
 * The memory that a device may access.
 *
 * Mappings and unmappings are queued, and vuc_dma_commit() makes them so: it coalesces mappings
 * that run on, sends many messages without waiting in between, and waits for all answers at the
 * end. vuc_dma_commit_start() does the same without waiting.
 *
 * A mapping reaches the server in one of two ways. With a descriptor the server can map the memory
 * and access it by itself. Without one, or when the device was opened with VUC_DMA_MESSAGE, it has
 * to ask for each access, and vuc answers out of the mapping's addr while it polls: within the
 * mappings' bounds and permissions, and nothing else.
 *
 * Specification: VFIO_USER_DMA_MAP, VFIO_USER_DMA_UNMAP, VFIO_USER_DMA_READ, VFIO_USER_DMA_WRITE.
 */

#include <stddef.h>
#include <stdint.h>

#include <vuc/device.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VUC_DMA_READ    (1u << 0) /**< the device may read the memory */
#define VUC_DMA_WRITE   (1u << 1) /**< the device may write the memory */
#define VUC_DMA_MMAP    (1u << 2) /**< ask the server to map fd; older servers refuse it */
#define VUC_DMA_FILE_IO (1u << 3) /**< ask the server to pread and pwrite fd; likewise */

/** A piece of memory, and where the device sees it. */
struct vuc_dma_mapping {
	uint64_t iova;  /**< address as the device sees it, a multiple of the server's page size */
	uint64_t size;  /**< bytes, a multiple of the server's page size, not 0 */
	uint32_t flags; /**< VUC_DMA_READ and VUC_DMA_WRITE, at least one of them; the others only
			     with fd */
	int fd;         /**< a descriptor of the memory, or -1. Stays the caller's and may be closed
			     after the call: vuc keeps one duplicate per file */
	uint64_t
		offset; /**< of the memory in the file; a multiple of the page size; 0 without fd */
	void *addr;     /**< the memory in this process, for access by message, valid until the
			     commit of its unmapping; or NULL with fd */
};

/**
 * Queue a mapping.
 *
 * @return 0; -EINVAL for addresses, sizes, flags or descriptors that cannot be, -EEXIST when it
 *         overlaps another one, -ENOSPC when the server takes no more (max_dma_maps), -ENOMEM, what
 *         fstat(2) says of fd; vuc_device_reason() names the mapping and the value
 */
int vuc_dma_map(struct vuc_device *dev, const struct vuc_dma_mapping *mapping);

/**
 * Queue the unmapping of all mappings in [iova, iova + size). What was only queued is forgotten;
 * so is what belongs to a commit that was started and has not had its turn yet, which then does not
 * map it.
 * Where mappings had been coalesced, the server's one is taken away as a whole and what remains of
 * it is mapped again in the same commit: the device must not access it meanwhile.
 *
 * @return 0; -ENOENT when there is no mapping in the range, -EINVAL when the range cuts one,
 *         -EBUSY for one that a commit under way maps, or vuc_dma_unmap_dirty_start() unmaps;
 *         -ENOMEM
 */
int vuc_dma_unmap(struct vuc_device *dev, uint64_t iova, uint64_t size);

/** Queue the unmapping of everything. The commit unmaps each mapping and then tells the server to
 * forget all there may be (VFIO_DMA_UNMAP_FLAG_ALL of <linux/vfio.h>), which it may refuse.
 * @return 0, -EBUSY as vuc_dma_unmap(), -ENOMEM */
int vuc_dma_unmap_all(struct vuc_device *dev);

/**
 * Make what is queued so, and wait for it. All of it has long_timeout_ms. When 0 is returned, the
 * server has let go of all that was unmapped. After an error the rest was done all the same: a
 * mapping that the server refused is gone, one whose unmapping it refused is still there, and
 * nothing is mapped over that. A server that does not answer in time may hold the memory, so the
 * connection ends.
 *
 * @return 0, or the first error: what the server answered, -ETIMEDOUT, what ended the connection;
 *         -ENOMEM; -EDEADLK from a completion callback; vuc_device_reason() names the mapping, and
 *         each that was there before, was unmapped in part and could not be mapped again
 */
int vuc_dma_commit(struct vuc_device *dev);

/**
 * The same without waiting: see vuc_done_fn. What is mapped and unmapped after this call is for the
 * next commit, but an unmapping takes out of this one what it has not begun to map. Memory that is
 * unmapped stays in use until done is called.
 *
 * @return 0; -ENOMEM; what ended the connection
 */
int vuc_dma_commit_start(struct vuc_device *dev, vuc_done_fn done, void *arg);

/**
 * Unmap one mapping at once, wait for it, and get the pages that the device has written since they
 * were last asked for: those that the server knows of, by mapping or otherwise, are or'ed into
 * bitmap. Specification: VFIO_USER_DMA_UNMAP with the dirty bitmap of <linux/vfio.h>.
 *
 * @param dev     the device
 * @param iova    where the mapping begins
 * @param size    its bytes
 * @param pgsize  bytes per bit, a power of two
 * @param bitmap  bit n: page n from iova on
 * @param words   64-bit words in bitmap, enough for all pages
 * @return 0; -ENOENT unless [iova, iova + size) is exactly one mapping of the server; -EINVAL;
 *         -EBUSY while something is queued or a commit is under way; what the server answered
 */
int vuc_dma_unmap_dirty(struct vuc_device *dev, uint64_t iova, uint64_t size, uint64_t pgsize,
	uint64_t *bitmap, size_t words);

/**
 * The same without waiting: see vuc_done_fn; bitmap has to live until then. Until then the mapping
 * is there, can neither be unmapped otherwise (-EBUSY) nor be mapped over (-EEXIST).
 *
 * @return 0; -ENOENT; -EINVAL; -EBUSY; -ENOMEM; what ended the connection
 */
int vuc_dma_unmap_dirty_start(struct vuc_device *dev, uint64_t iova, uint64_t size, uint64_t pgsize,
	uint64_t *bitmap, size_t words, vuc_done_fn done, void *arg);

/** How many mappings there are, queued ones included. */
size_t vuc_dma_count(const struct vuc_device *dev);

/** How many mappings the server has: fewer, where they could be coalesced. */
size_t vuc_dma_server_count(const struct vuc_device *dev);

#ifdef __cplusplus
}
#endif

#endif /* VUC_DMA_H */
