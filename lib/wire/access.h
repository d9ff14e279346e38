/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_WIRE_ACCESS_H
#define VUC_WIRE_ACCESS_H

#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>

#include "vfio_user.h"

/* Region accesses: VFIO_USER_REGION_READ, VFIO_USER_REGION_WRITE, VFIO_USER_REGION_WRITE_MULTI. */

/* Most bytes that one write of a REGION_WRITE_MULTI carries. */
#define VUC_WIRE_MULTI_DATA_MAX 8u

/* What a request asks for and its reply repeats. */
struct vuc_wire_access {
	uint32_t region;
	uint32_t count;
	uint64_t offset;
};

/*
 * Body of a read, or of a write without its data, which follows. buf has room for struct
 * vfio_user_region_access. Returns the bytes written.
 */
size_t vuc_wire_region_access_encode(void *buf, const struct vuc_wire_access *access);

/*
 * Reply of a read. Sets data to the count bytes inside body. Returns 0; -EPROTO when the reply is
 * for another region, offset or count than asked for, or is not exactly as long as count says.
 */
int vuc_wire_region_read_decode(const void *body, size_t len, const struct vuc_wire_access *asked,
	const uint8_t **data, struct vuc_error *err);

/* Reply of a write; otherwise like that of a read, but there is no data. */
int vuc_wire_region_write_decode(
	const void *body, size_t len, const struct vuc_wire_access *asked, struct vuc_error *err);

/*
 * Body of n writes in one message. Of each, bytes of data behind count are sent as 0.
 * Returns the bytes written; -EINVAL for an n of 0, or a write of 0 or more than
 * VUC_WIRE_MULTI_DATA_MAX bytes; -ENOSPC.
 */
int vuc_wire_write_multi_encode(
	void *buf, size_t size, const struct vfio_user_write_multi_entry *writes, uint32_t n);

/* Reply to n writes. Sets done to how many the server has made. Returns 0; -EPROTO for a body of
 * another size or for more writes than were sent. */
int vuc_wire_write_multi_decode(
	const void *body, size_t len, uint32_t n, uint32_t *done, struct vuc_error *err);

#endif /* VUC_WIRE_ACCESS_H */
