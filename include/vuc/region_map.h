/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_REGION_MAP_H
#define VUC_REGION_MAP_H

/**
 * @file
 * Memory-mapped regions: map a region, or parts of it, for which the server sent file descriptors,
 * and access a region through its mapping where it is mapped and by messages elsewhere.
 *
 * The pages of the MSI-X table and PBA, as config space describes them, are never mapped: accesses
 * to them always reach the server.
 *
 * vuc_device_read(), vuc_device_write() and vuc_device_submit() always send messages, even if a
 * region is mapped. There is no order between outstanding messages and accesses to a mapping.
 *
 * Call these functions on the thread that owns the device's poll group.
 *
 * Specification: VFIO_USER_DEVICE_GET_REGION_INFO, its sparse mmap capability.
 */

#include <stddef.h>
#include <stdint.h>

#include <vuc/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A part of a region that is mapped. */
struct vuc_region_mapping {
	uint64_t offset; /**< from the start of the region; a multiple of the page size */
	uint64_t size;   /**< bytes, never 0; a multiple of the page size */
	void *addr;      /**< where it is; readable and writable as the region is */
};

/**
 * Map the mappable part of a region: all of it, or its areas, without the pages of MSI-X. Reads
 * config space to find these. Does nothing more when the region is mapped already.
 *
 * Each file is checked to be long enough. If the server truncates one later, accesses to the
 * mapping raise SIGBUS: handle it if the server is not trusted.
 *
 * @param dev       the device
 * @param region    index of the region
 * @param mappings  set to the mappings, ascending, without overlaps; owned by the device, valid
 * until vuc_region_unmap() or vuc_device_close(). NULL after an error. May be NULL
 * @return how many mappings there are: 0 when the pages of MSI-X are all that could be mapped;
 *         -EINVAL for a region that does not exist; -EOPNOTSUPP for one that the server does not
 *         offer to map; -EPROTO for an area that is not aligned to pages or is beyond its file,
 *         and for invalid capabilities in config space (the connection stays open); -ENOMEM; the
 *         errors of fstat(2), mmap(2) and vuc_device_read(). After an error nothing is mapped, and
 *         vuc_device_reason() returns the error text
 */
int vuc_region_map(
	struct vuc_device *dev, uint32_t region, const struct vuc_region_mapping **mappings);

/**
 * Asynchronous variant: asks the server for config space without waiting. The mmap(2) calls
 * themselves are made on the polling thread when the reply has been received. Call it on the thread
 * that owns the device's poll group, also from a completion callback. The reply has to be received
 * within the timeout_ms of the device. If the region is mapped already, done is called from the
 * next poll with what is mapped.
 *
 * @param dev          the device
 * @param region       index of the region
 * @param mappings     not NULL; set to NULL, and before done is called with 0 to what is mapped, as
 *                     by vuc_region_map(). It must stay valid until done is called
 * @param nr_mappings  not NULL; set likewise to the number of mappings. It must stay valid until
 *                     done is called
 * @param done         called from a later poll: status 0, or a negative errno as of
 *                     vuc_region_map(), or the error of the connection
 * @param arg          first argument of done
 * @return 0; -EINVAL, -EOPNOTSUPP and -ENOMEM as vuc_region_map(), -EINVAL also if mappings or
 *         nr_mappings is NULL; the error of the connection. After an error done
 *         is not called, and vuc_device_reason() returns the error text
 */
int vuc_region_map_start(struct vuc_device *dev, uint32_t region,
	const struct vuc_region_mapping **mappings, uint32_t *nr_mappings, vuc_done_fn done,
	void *arg);

/** Unmap a region. Does nothing when it is not mapped or does not exist. */
void vuc_region_unmap(struct vuc_device *dev, uint32_t region);

/**
 * Read from a region: through its mapping where there is one, elsewhere by a message, whose reply
 * is waited for. A mapped part of 1, 2, 4 or 8 naturally aligned bytes is one load; any other is
 * copied in an undefined order.
 *
 * @param dev     the device
 * @param region  index of the region, mapped or not
 * @param offset  bytes from the start of the region
 * @param data    where count bytes go; some of them may have been written after an error
 * @param count   bytes, at least 1
 * @return as vuc_device_read(); -EDEADLK only if a message is needed: a caller that must not
 *         wait checks the mappings first, and uses vuc_device_submit() for the rest
 */
int vuc_region_load(
	struct vuc_device *dev, uint32_t region, uint64_t offset, void *data, size_t count);

/**
 * Write to a region; otherwise like vuc_region_load(). After an error, a part may have been
 * written.
 *
 * @return as vuc_device_write(); -EDEADLK only if a message is needed
 */
int vuc_region_store(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count);

#ifdef __cplusplus
}
#endif

#endif /* VUC_REGION_MAP_H */
