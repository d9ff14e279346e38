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
 * Map what can be mapped of a region: all of it, or its areas, without the pages of MSI-X. Reads
 * config space to find these. Does nothing more when the region is mapped already.
 *
 * Files are checked to be as long as what is mapped of them. A server that truncates one later
 * makes accesses to it raise SIGBUS; whoever does not trust the server handles that.
 *
 * @param dev       the device
 * @param region    index of the region
 * @param mappings  set to what is mapped, ascending and apart; the device's, valid until
 *                  vuc_region_unmap() or vuc_device_close(). NULL after an error. May be NULL
 * @return how many mappings there are: 0 when the pages of MSI-X are all that could be mapped;
 *         -EINVAL for a region that does not exist; -EOPNOTSUPP for one that the server does not
 *         offer to map; -EPROTO for an offer that is not aligned to pages or beyond its file, and
 *         for capabilities in config space that make no sense (the connection stands);
 *         -ENOMEM; what fstat(2) or mmap(2) says; the errors of vuc_device_read(); with one of
 *         these nothing is mapped, and vuc_device_reason() says why
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
 *                     vuc_region_map(); what ended the connection, if it is lost before
 * @param arg          first argument of done
 * @return 0; -EINVAL, -EOPNOTSUPP and -ENOMEM as vuc_region_map(), -EINVAL also if mappings or
 *         nr_mappings is NULL; -ENOTCONN or what ended the
 *         connection. After an error done is not called, and vuc_device_reason() returns the error
 *         text
 */
int vuc_region_map_start(struct vuc_device *dev, uint32_t region,
	const struct vuc_region_mapping **mappings, uint32_t *nr_mappings, vuc_done_fn done,
	void *arg);

/** Unmap a region. Does nothing when it is not mapped or does not exist. */
void vuc_region_unmap(struct vuc_device *dev, uint32_t region);

/**
 * Read from a region: through its mapping where there is one, by message and waiting for the
 * answer elsewhere. What a mapping serves of an access, if 1, 2, 4 or 8 bytes and naturally
 * aligned, is one load; anything else is copied in an order that is not defined.
 *
 * @param dev     the device
 * @param region  index of the region, mapped or not
 * @param offset  bytes from the start of the region
 * @param data    where count bytes go; some of them may have been written after an error
 * @param count   bytes, at least 1
 * @return as vuc_device_read(); -EDEADLK only where it takes a message: who must not wait finds
 *         out by the mappings whether it does, and then submits a request by vuc_device_submit()
 */
int vuc_region_load(
	struct vuc_device *dev, uint32_t region, uint64_t offset, void *data, size_t count);

/**
 * Write to a region; otherwise like vuc_region_load(). Of an access that is partly mapped, some may
 * have been written after an error.
 *
 * @return as vuc_device_write(); -EDEADLK only where it takes a message
 */
int vuc_region_store(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count);

#ifdef __cplusplus
}
#endif

#endif /* VUC_REGION_MAP_H */
