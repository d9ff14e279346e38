/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DIRTY_H
#define VUC_DIRTY_H

/**
 * @file
 * Which pages of memory a device has written, as a migration needs to know.
 *
 * The server logs what it writes through mappings that it has descriptors of. What it writes by
 * message (VFIO_USER_DMA_WRITE) vuc sees itself, and a server need not log it: a report has both.
 * Reports are or'ed into what is there.
 *
 * All functions are called by the thread that owns the device's poll group, and poll the group
 * until the device has answered, so callbacks of other devices in it may run; those whose names end
 * with _start do not wait: see vuc_done_fn. After a failure vuc_device_reason() says why.
 *
 * Specification: VFIO_DEVICE_FEATURE_DMA_LOGGING_START, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
 * VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Most ranges that one vuc_dirty_enable() can have. */
#define VUC_DIRTY_MAX_RANGES 2048

/** A range of addresses as the device sees them. */
struct vuc_dirty_range {
	uint64_t iova; /**< first address */
	uint64_t size; /**< bytes, at least 1; iova + size is below 2^64 */
};

/**
 * Ask whether the device can log what it writes.
 *
 * @param dev        the device
 * @param supported  set to whether start, stop and report are all there
 * @return 0; -EPROTO for a reply that breaks the protocol; -ETIMEDOUT; what ended the connection;
 *         -EDEADLK from a completion callback
 */
int vuc_dirty_supported(struct vuc_device *dev, bool *supported);

/** The same without waiting: supported has to live until done is called, and means nothing after an
 * error. @return 0; -ENOMEM; what ended the connection */
int vuc_dirty_supported_start(struct vuc_device *dev, bool *supported, vuc_done_fn done, void *arg);

/**
 * Start logging.
 *
 * @param dev        the device
 * @param page_size  bytes that one bit should stand for, a power of two; set to what the server
 *                   has chosen for its log, which may be another. Reports can be asked for in any
 *                   page size all the same
 * @param ranges     nr_ranges ranges that are to be logged, each a multiple of page_size in
 *                   address and size; not used after the call
 * @param nr_ranges  at most VUC_DIRTY_MAX_RANGES, and as many as max_data_xfer_size has room for
 *                   at 16 bytes each; 0 logs all memory
 * @return 0; -EINVAL for a page size or a range that cannot be; -E2BIG for too many ranges;
 *         -ENOMEM; what the server answered; otherwise as vuc_dirty_supported()
 */
int vuc_dirty_enable(struct vuc_device *dev, uint64_t *page_size,
	const struct vuc_dirty_range *ranges, uint32_t nr_ranges);

/** The same without waiting: page_size has to live until done is called. @return 0; -EINVAL;
 * -E2BIG; -ENOMEM; what ended the connection */
int vuc_dirty_enable_start(struct vuc_device *dev, uint64_t *page_size,
	const struct vuc_dirty_range *ranges, uint32_t nr_ranges, vuc_done_fn done, void *arg);

/** Stop logging. @return 0; what the server answered; otherwise as vuc_dirty_supported() */
int vuc_dirty_disable(struct vuc_device *dev);

/** The same without waiting. @return 0; -ENOMEM; what ended the connection */
int vuc_dirty_disable_start(struct vuc_device *dev, vuc_done_fn done, void *arg);

/**
 * Get the pages that the device has written since logging was started or they were last asked for.
 * The server forgets them with the answer, so after an error pages may be known to nobody: those
 * of the range count as dirty then. A bitmap that does not fit into max_data_xfer_size is asked for
 * in parts, which have long_timeout_ms together. Some servers, libvfio-user's among them, report
 * nothing but whole mappings of theirs.
 *
 * @param dev        the device
 * @param range      what to report, a multiple of page_size in address and size
 * @param page_size  bytes that one bit stands for, a power of two
 * @param bitmap     bit n % 64 of word n / 64 is set for a page n from range->iova on that was
 *                   written; all other bits stay as they are
 * @param words      64-bit words in bitmap, at least one for every 64 pages or part of them
 * @return 0; -EINVAL for a page size or range that cannot be, or too few words; -EMSGSIZE when
 *         max_data_xfer_size is below 32; -ENOMEM; what the server answered, also for a range that
 *         it does not log; otherwise as vuc_dirty_supported()
 */
int vuc_dirty_report(struct vuc_device *dev, const struct vuc_dirty_range *range,
	uint64_t page_size, uint64_t *bitmap, size_t words);

/** The same without waiting: bitmap has to live until done is called. @return 0; -EINVAL;
 * -EMSGSIZE; -ENOMEM; what ended the connection */
int vuc_dirty_report_start(struct vuc_device *dev, const struct vuc_dirty_range *range,
	uint64_t page_size, uint64_t *bitmap, size_t words, vuc_done_fn done, void *arg);

#ifdef __cplusplus
}
#endif

#endif /* VUC_DIRTY_H */
