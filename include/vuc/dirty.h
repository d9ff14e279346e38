/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DIRTY_H
#define VUC_DIRTY_H

/**
 * @file
 * Logging of dirty pages: the pages of memory that a device has written, for migration.
 *
 * The server logs writes to memory that it has mapped. Writes by message (VFIO_USER_DMA_WRITE) are
 * logged by the library, and the server need not log them: a report contains both. Reports are
 * or'ed into the caller's bitmap.
 *
 * Call these functions on the thread that owns the device's poll group. They poll the group until
 * the device replies, so callbacks of other devices in it may run. Functions whose names end in
 * _start do not wait, see vuc_done_fn. After a failure, vuc_device_reason() returns the error text.
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

/** A range of DMA addresses. */
struct vuc_dirty_range {
	uint64_t iova; /**< first address */
	uint64_t size; /**< bytes, at least 1; iova + size is below 2^64 */
};

/**
 * Query whether the device supports logging of dirty pages.
 *
 * @param dev        the device
 * @param supported  set to whether start, stop and report are all supported
 * @return 0; -EPROTO for a reply that violates the protocol; -ETIMEDOUT; the error of the
 * connection; -EDEADLK from a completion callback
 */
int vuc_dirty_supported(struct vuc_device *dev, bool *supported);

/** Asynchronous variant: supported must stay valid until done is called, and is undefined after an
 * error. @return 0; -ENOMEM; the error of the connection */
int vuc_dirty_supported_start(struct vuc_device *dev, bool *supported, vuc_done_fn done, void *arg);

/**
 * Start logging.
 *
 * @param dev        the device
 * @param page_size  requested bytes per bit, a power of two; set to the page size of the server's
 * log, which may differ. Reports can use any page size
 * @param ranges     nr_ranges ranges that are to be logged, each a multiple of page_size in
 *                   address and size; not used after the call
 * @param nr_ranges  at most VUC_DIRTY_MAX_RANGES, and as many as max_data_xfer_size has room for
 *                   at 16 bytes each; 0 logs all memory
 * @return 0; -EINVAL for an invalid page size or range; -E2BIG for too many ranges;
 *         -ENOMEM; an error reply of the server; otherwise as vuc_dirty_supported()
 */
int vuc_dirty_enable(struct vuc_device *dev, uint64_t *page_size,
	const struct vuc_dirty_range *ranges, uint32_t nr_ranges);

/** Asynchronous variant: page_size must stay valid until done is called. @return 0; -EINVAL;
 * -E2BIG; -ENOMEM; the error of the connection */
int vuc_dirty_enable_start(struct vuc_device *dev, uint64_t *page_size,
	const struct vuc_dirty_range *ranges, uint32_t nr_ranges, vuc_done_fn done, void *arg);

/** Stop logging. @return 0; an error reply of the server; otherwise as vuc_dirty_supported() */
int vuc_dirty_disable(struct vuc_device *dev);

/** Asynchronous variant, see vuc_done_fn. @return 0; -ENOMEM; the error of the connection */
int vuc_dirty_disable_start(struct vuc_device *dev, vuc_done_fn done, void *arg);

/**
 * Get the pages that the device has written since logging was started or since the last report. The
 * server clears its log with the reply, so after an error, treat all pages of the range as dirty. A
 * bitmap that does not fit into max_data_xfer_size is requested in parts; long_timeout_ms applies
 * to all of them together. Some servers, such as those of libvfio-user, report only whole mappings.
 *
 * @param dev        the device
 * @param range      what to report, a multiple of page_size in address and size
 * @param page_size  bytes that one bit stands for, a power of two
 * @param bitmap     bit n % 64 of word n / 64 is set for a page n from range->iova on that was
 *                   written; all other bits stay as they are
 * @param words      64-bit words in bitmap, at least one for every 64 pages or part of them
 * @return 0; -EINVAL for an invalid page size or range, or too few words; -EMSGSIZE when
 *         max_data_xfer_size is below 32; -ENOMEM; an error reply of the server, also for a range
 * that it does not log; otherwise as vuc_dirty_supported()
 */
int vuc_dirty_report(struct vuc_device *dev, const struct vuc_dirty_range *range,
	uint64_t page_size, uint64_t *bitmap, size_t words);

/** Asynchronous variant: bitmap must stay valid until done is called. @return 0; -EINVAL;
 * -EMSGSIZE; -ENOMEM; the error of the connection */
int vuc_dirty_report_start(struct vuc_device *dev, const struct vuc_dirty_range *range,
	uint64_t page_size, uint64_t *bitmap, size_t words, vuc_done_fn done, void *arg);

#ifdef __cplusplus
}
#endif

#endif /* VUC_DIRTY_H */
