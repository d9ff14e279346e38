/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_WIRE_INFO_H
#define VUC_WIRE_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>

#include "vfio_user.h"

/* Replies with more than this are absurd and refused. */
#define VUC_WIRE_MAX_REGIONS      256u
#define VUC_WIRE_MAX_IRQS         256u
#define VUC_WIRE_MAX_IRQ_COUNT    65536u
#define VUC_WIRE_MAX_SPARSE_AREAS 1024u
#define VUC_WIRE_MAX_REGION_CAPS  32u

/* Bodies of the requests. Each returns the bytes written; buf has room for the struct named. */
size_t vuc_wire_device_info_encode(void *buf); /* struct vfio_user_device_info */
size_t vuc_wire_region_info_encode(void *buf, uint32_t index, uint32_t argsz);
size_t vuc_wire_irq_info_encode(void *buf, uint32_t index);

/*
 * Reply of VFIO_USER_DEVICE_GET_INFO. Returns 0; -EPROTO for a short body, or counts over the
 * bounds above. argsz and flags are not looked at.
 */
int vuc_wire_device_info_decode(
	const void *body, size_t len, struct vfio_user_device_info *info, struct vuc_error *err);

/* Reply of VFIO_USER_DEVICE_GET_REGION_INFO. */
struct vuc_wire_region_info {
	struct vfio_user_region_info info;
	bool truncated;       /* argsz says that there is more than was asked for: ask again */
	bool has_sparse;      /* VFIO_REGION_INFO_CAP_SPARSE_MMAP is there */
	uint32_t nr_areas;    /* of it */
	const uint8_t *areas; /* of it, inside body, not aligned; see vuc_wire_region_area() */
	bool has_type;        /* VFIO_REGION_INFO_CAP_TYPE is there */
	uint32_t type;
	uint32_t subtype;
};

/*
 * argsz is the one that was sent. Returns 0; -EPROTO for a short body, another index than the one
 * asked for, an argsz over VUC_WIRE_MAX_ARGSZ, a truncated body of more than was asked for, a
 * capability out of the bounds of len bytes, before the end of its predecessor (so that no loop can
 * be), too many of them, one of a kind twice, sparse areas that are too many, empty, outside the
 * region, not ascending or overlapping. An argsz that is not truncated may differ from len.
 * Unknown capabilities are skipped, and the version of known ones is not looked at, as in other
 * clients. Nothing says that a capability must be aligned. A size and offset whose sum overflows
 * are refused. When truncated, capabilities are not looked at: ask again with info.argsz. On
 * failure out holds nothing of use.
 */
int vuc_wire_region_info_decode(const void *body, size_t len, uint32_t index, uint32_t argsz,
	struct vuc_wire_region_info *out, struct vuc_error *err);

/* Area i, i < nr_areas, of a decoded reply. */
void vuc_wire_region_area(
	const struct vuc_wire_region_info *r, uint32_t i, struct vfio_user_sparse_area *area);

/*
 * Reply of VFIO_USER_DEVICE_GET_IRQ_INFO. Returns 0; -EPROTO for a short body, another index than
 * the one asked for, or a count over VUC_WIRE_MAX_IRQ_COUNT. argsz is not looked at.
 */
int vuc_wire_irq_info_decode(const void *body, size_t len, uint32_t index,
	struct vfio_user_irq_info *info, struct vuc_error *err);

#endif /* VUC_WIRE_INFO_H */
