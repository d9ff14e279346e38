/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_MIGRATION_CHUNK_H
#define VUC_DEVICE_MIGRATION_CHUNK_H

#include "internal.h"
#include "vfio_user.h"

/* Migration data, a message at a time. */

/* What a buffer for a message has room for before the data. */
#define MIGRATION_CHUNK_FIXED sizeof(struct vfio_user_mig_data)

/* Most bytes of data in one message from and to the server. */
uint32_t migration_read_max(const struct vuc_device *dev);
uint32_t migration_write_max(const struct vuc_device *dev);

/* Read at most size bytes, by way of body, which has room for MIGRATION_CHUNK_FIXED bytes more.
 * Sets data to the count bytes in it. */
int migration_read_chunk(struct vuc_device *dev, uint8_t *body, uint32_t size, const uint8_t **data,
	uint32_t *count);

int migration_write_chunk(struct vuc_device *dev, const void *data, uint32_t size);

#endif /* VUC_DEVICE_MIGRATION_CHUNK_H */
