/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_WIRE_IO_FDS_H
#define VUC_WIRE_IO_FDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>

#include "vfio_user.h"

/* VFIO_USER_DEVICE_GET_REGION_IO_FDS: sub-regions that are accessed by way of an fd. */

/* The fd_index of a sub-region without an fd, as libvfio-user sends it. */
#define VUC_WIRE_NO_FD UINT32_MAX

/* What was asked for, and what came with the reply. */
struct vuc_wire_io_fds_request {
	uint32_t index;       /* of the region */
	uint32_t argsz;       /* that was sent */
	uint64_t region_size; /* bytes */
	unsigned int nr_fds;  /* that came with the reply */
};

/* A reply. */
struct vuc_wire_io_fds {
	bool truncated;             /* argsz says that there is more than asked for: ask again */
	uint32_t argsz;             /* what to ask for then */
	uint32_t count;             /* of sub-regions; 0 when truncated */
	uint32_t stride;            /* bytes from one sub-region to the next */
	const uint8_t *sub_regions; /* inside body, not aligned; see vuc_wire_io_fds_get() */
};

/* A sub-region of any type. */
struct vuc_wire_sub_region {
	uint64_t offset;   /* from the start of the region */
	uint64_t size;     /* bytes; 0: the size of an access does not matter */
	uint32_t type;     /* VFIO_USER_IO_FD_TYPE_* */
	uint32_t flags;    /* KVM_IOEVENTFD_FLAG_* or KVM_IOREGION_*, as the server gave them */
	uint32_t fd_index; /* below nr_fds, or VUC_WIRE_NO_FD: nothing to be used */
	uint32_t shadow_fd_index; /* below nr_fds; VUC_WIRE_NO_FD unless IOEVENTFD_SHADOW */
	uint64_t shadow_offset;   /* in the shadow fd, for IOEVENTFD_SHADOW, else 0 */
	uint64_t datamatch;       /* for both types of ioeventfd, else 0 */
	uint64_t user_data;       /* for IOREGIONFD, else 0 */
};

/* Body of the request. buf has room for struct vfio_user_region_io_fds. Returns the bytes
 * written. */
size_t vuc_wire_io_fds_encode(void *buf, uint32_t index, uint32_t argsz);

/*
 * Returns 0; -EPROTO for a short body, another index than the one asked for, flags, an argsz below
 * the struct or over VUC_WIRE_MAX_ARGSZ, an argsz that is not truncated but differs from len, a
 * truncated body of more than was asked for, an array that count does not divide or whose elements
 * are too small for their type, a type that is not known, a sub-region outside the region, or an
 * fd index for which no fd came. When truncated, sub-regions are not looked at.
 *
 * The distance of two elements follows from argsz and count, (argsz - 16) / count; the
 * specification's "argsz - 32" is not what servers send. Elements of 40 bytes have the layout of
 * the specification. libvfio-user's have 48 whatever their type, with the fields of the shadow
 * ioeventfd before datamatch.
 */
int vuc_wire_io_fds_decode(const void *body, size_t len,
	const struct vuc_wire_io_fds_request *asked, struct vuc_wire_io_fds *out,
	struct vuc_error *err);

/* Sub-region i, i < count, of a decoded reply that is not truncated. */
void vuc_wire_io_fds_get(
	const struct vuc_wire_io_fds *r, uint32_t i, struct vuc_wire_sub_region *sub);

#endif /* VUC_WIRE_IO_FDS_H */
