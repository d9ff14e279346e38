/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_WIRE_FEATURE_H
#define VUC_WIRE_FEATURE_H

#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>

#include "dma.h"
#include "vfio_user.h"

/*
 * VFIO_USER_DEVICE_FEATURE: probe, get and set, and the features that the specification has.
 *
 * Encoders write the body of a request, with an argsz of exactly the reply that is expected, and
 * return the bytes written. A buf without a size has room for struct vfio_user_device_feature and
 * the struct of the feature.
 *
 * Decoders return 0; -EPROTO when the reply has other flags than were sent, or an argsz or length
 * other than the one expected, and for what stands with them.
 */

/* Ask whether all of methods, VFIO_DEVICE_FEATURE_GET and _SET, are supported of a feature. */
size_t vuc_wire_feature_probe_encode(void *buf, uint16_t feature, uint32_t methods);
int vuc_wire_feature_probe_decode(
	const void *body, size_t len, uint16_t feature, uint32_t methods, struct vuc_error *err);

/* VFIO_DEVICE_FEATURE_MIGRATION. Sets flags to VFIO_MIGRATION_*; they must have STOP_COPY. */
size_t vuc_wire_migration_encode(void *buf);
int vuc_wire_migration_decode(const void *body, size_t len, uint64_t *flags, struct vuc_error *err);

/* VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE: get; the state must be one that is known. */
size_t vuc_wire_mig_state_get_encode(void *buf);
int vuc_wire_mig_state_get_decode(const void *body, size_t len,
	enum vfio_user_device_mig_state *state, struct vuc_error *err);

/* VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE: set; the reply must repeat the state. */
size_t vuc_wire_mig_state_set_encode(void *buf, enum vfio_user_device_mig_state state);
int vuc_wire_mig_state_set_decode(
	const void *body, size_t len, enum vfio_user_device_mig_state state, struct vuc_error *err);

/*
 * VFIO_DEVICE_FEATURE_DMA_LOGGING_START for n ranges, 0 for all memory; page_size is a hint. The
 * encoder also returns -EINVAL for a page_size that is not a power of two or a range that is empty
 * or overflows; -ENOSPC. The decoder sets page_size to what the server has chosen: it must be a
 * power of two, and num_ranges be n.
 */
int vuc_wire_dma_logging_start_encode(void *buf, size_t size, uint64_t page_size,
	const struct vuc_wire_dma_range *ranges, uint32_t n);
int vuc_wire_dma_logging_start_decode(
	const void *body, size_t len, uint32_t n, uint64_t *page_size, struct vuc_error *err);

/* VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP. */
size_t vuc_wire_dma_logging_stop_encode(void *buf);
int vuc_wire_dma_logging_stop_decode(const void *body, size_t len, struct vuc_error *err);

/*
 * VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT. Both also return as vuc_wire_bitmap_size(), and -EINVAL
 * for a range that overflows. The decoder sets bitmap to the bytes inside body,
 * vuc_wire_bitmap_size() of them, not aligned; bits behind the last page have no meaning. The
 * range and page size must be repeated.
 */
int vuc_wire_dma_logging_report_encode(
	void *buf, const struct vuc_wire_dma_range *range, uint64_t page_size);
int vuc_wire_dma_logging_report_decode(const void *body, size_t len,
	const struct vuc_wire_dma_range *range, uint64_t page_size, const uint8_t **bitmap,
	struct vuc_error *err);

#endif /* VUC_WIRE_FEATURE_H */
