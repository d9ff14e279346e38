/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_MIGRATION_CHUNK_H
#define VUC_DEVICE_MIGRATION_CHUNK_H

#include <stdint.h>

struct vuc_device;

/* Most bytes of migration data in one message from and to the server. */
uint32_t migration_read_max(const struct vuc_device *dev);
uint32_t migration_write_max(const struct vuc_device *dev);

#endif /* VUC_DEVICE_MIGRATION_CHUNK_H */
