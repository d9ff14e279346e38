/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_COMPARE_H
#define VUC_DEVICE_COMPARE_H

/* Whether a device that was opened anew is the one that a client has: what the client was told, and
 * other threads read, must not change under it. */

#include <stddef.h>

#include "internal.h"
#include "msix.h"

/*
 * first and config are the beginnings of both devices' config spaces, as they were right after
 * opening; a length of 0: unknown. Returns 0; or -ENODEV, and why says what differs.
 */
int device_compare(const struct vuc_device *dev, const uint8_t *first, size_t first_len,
	const struct vuc_device *fresh, const uint8_t *config, size_t len, struct vuc_error *why);

#endif /* VUC_DEVICE_COMPARE_H */
