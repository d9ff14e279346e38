/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DMA_H
#define VUC_DMA_H

/**
 * @file
 * DMA mappings: the memory that a device may access.
 *
 * Mappings and unmappings are queued, and vuc_dma_commit() executes them: it merges adjacent
 * mappings, sends many messages without waiting in between, and waits for all replies at the end.
 * vuc_dma_commit_start() is the asynchronous variant.
 *
 * The server accesses a mapping in one of two ways. With a file descriptor, the server maps the
 * memory and accesses it directly. Without one, or if the device was opened with VUC_DMA_MESSAGE,
 * the server sends a message for each access, and the library copies from or to the mapping's addr
 * while it polls, only within the bounds and permissions of the mappings.
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

/** A DMA mapping: a range of memory and its address for the device. */
struct vuc_dma_mapping {
	uint64_t iova;  /**< address for the device, a multiple of the server's page size */
	uint64_t size;  /**< bytes, a multiple of the server's page size, not 0 */
	uint32_t flags; /**< VUC_DMA_READ and VUC_DMA_WRITE, at least one of them; other flags
			     only with fd */
	int fd; /**< file descriptor of the memory, or -1. The caller owns it and may close it
		     after the call: the library keeps one duplicate per file */
	uint64_t
		offset; /**< of the memory in the file; a multiple of the page size; 0 without fd */
	void *addr;     /**< the memory in this process, for access by message, valid until the
			     commit of its unmapping; or NULL with fd */
};

/**
 * Queue a mapping.
 *
 * @return 0; -EINVAL for invalid addresses, sizes, flags or file descriptors, -EEXIST when it
 *         overlaps another mapping, -ENOSPC when max_dma_maps is reached, -ENOMEM, the errors of
 *         fstat(2); vuc_device_reason() returns the mapping and the value
 */
int vuc_dma_map(struct vuc_device *dev, const struct vuc_dma_mapping *mapping);

/**
 * Queue the unmapping of all mappings in [iova, iova + size). Mappings that are only queued, or
 * that belong to a started commit that is not running yet, are dropped and never mapped. If
 * mappings were merged, the commit unmaps the merged mapping as a whole and maps its remaining part
 * again; the device must not access it meanwhile.
 *
 * @return 0; -ENOENT when there is no mapping in the range, -EINVAL when the range contains only a
 *         part of one, -EBUSY for one that a running commit maps or vuc_dma_unmap_dirty_start()
 *         unmaps; -ENOMEM
 */
int vuc_dma_unmap(struct vuc_device *dev, uint64_t iova, uint64_t size);

/** Queue the unmapping of all mappings. The commit unmaps each mapping and then sends an unmapping
 * of everything (VFIO_DMA_UNMAP_FLAG_ALL of <linux/vfio.h>), which the server may refuse.
 * @return 0, -EBUSY as vuc_dma_unmap(), -ENOMEM */
int vuc_dma_unmap_all(struct vuc_device *dev);

/**
 * Execute all queued mappings and unmappings, and wait for completion. long_timeout_ms applies to
 * the whole commit. After 0, the server no longer accesses unmapped memory. After an error, the
 * rest of the commit was still executed: mappings that the server refused do not exist, mappings
 * whose unmapping it refused still do, and nothing is mapped over those. If the server does not
 * reply in time, the connection is closed, because the server may still use the memory.
 *
 * @return 0, or the first error: an error reply of the server, -ETIMEDOUT, the error of the
 *         connection; -ENOMEM; -EDEADLK from a completion callback; vuc_device_reason() returns the
 *         mapping, and existing mappings that were unmapped in part and could not be mapped again
 */
int vuc_dma_commit(struct vuc_device *dev);

/**
 * Asynchronous variant, see vuc_done_fn. Mappings and unmappings that are queued after this call
 * belong to the next commit, but an unmapping removes mappings from this commit that it has not
 * begun to map. Unmapped memory stays in use until done is called.
 *
 * @return 0; -ENOMEM; the error of the connection
 */
int vuc_dma_commit_start(struct vuc_device *dev, vuc_done_fn done, void *arg);

/**
 * Unmap one mapping immediately, wait for completion, and get the pages that the device has written
 * since the last query. The server's dirty pages are or'ed into bitmap. Specification:
 * VFIO_USER_DMA_UNMAP with the dirty bitmap of <linux/vfio.h>.
 *
 * @param dev     the device
 * @param iova    start of the mapping
 * @param size    bytes of the mapping
 * @param pgsize  bytes per bit, a power of two
 * @param bitmap  bit n: page n from iova on
 * @param words   64-bit words in bitmap, enough for all pages
 * @return 0; -ENOENT unless [iova, iova + size) is exactly one mapping of the server; -EINVAL;
 *         -EBUSY while changes are queued or a commit is running; an error reply of the server
 */
int vuc_dma_unmap_dirty(struct vuc_device *dev, uint64_t iova, uint64_t size, uint64_t pgsize,
	uint64_t *bitmap, size_t words);

/**
 * Asynchronous variant, see vuc_done_fn; bitmap must stay valid until then. Until then, the mapping
 * exists: it cannot be unmapped by another call (-EBUSY), nor mapped over (-EEXIST).
 *
 * @return 0; -ENOENT; -EINVAL; -EBUSY; -ENOMEM; the error of the connection
 */
int vuc_dma_unmap_dirty_start(struct vuc_device *dev, uint64_t iova, uint64_t size, uint64_t pgsize,
	uint64_t *bitmap, size_t words, vuc_done_fn done, void *arg);

/** Number of mappings, including queued ones. */
size_t vuc_dma_count(const struct vuc_device *dev);

/** Number of mappings of the server: fewer, if mappings were merged. */
size_t vuc_dma_server_count(const struct vuc_device *dev);

#ifdef __cplusplus
}
#endif

#endif /* VUC_DMA_H */
