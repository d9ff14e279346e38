/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_WIRE_MIGDATA_H
#define VUC_WIRE_MIGDATA_H

#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>

#include "vfio_user.h"

/* The stream of migration data: VFIO_USER_MIG_DATA_READ and VFIO_USER_MIG_DATA_WRITE. */

/*
 * Body of a read of at most size bytes, or of a write of size bytes, whose data follows. buf has
 * room for struct vfio_user_mig_data. Returns the bytes written; -EOVERFLOW for a size that leaves
 * no room in argsz.
 */
int vuc_wire_mig_data_encode(void *buf, uint32_t size);

/*
 * Reply to a read of at most size bytes. Sets data and count to the bytes inside body; a count
 * below size means that the stream has ended. Bytes behind them, up to the size asked for, are
 * ignored: libvfio-user always sends as many as were asked for. Returns 0; -EPROTO for a count over
 * size, an argsz other than that of the fields and count bytes, or a body that is too short or
 * longer than was asked for. There is no body in the reply to a write.
 */
int vuc_wire_mig_data_decode(const void *body, size_t len, uint32_t size, const uint8_t **data,
	uint32_t *count, struct vuc_error *err);

#endif /* VUC_WIRE_MIGDATA_H */
