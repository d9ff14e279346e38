/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_COMPARE_H
#define VUC_DEVICE_COMPARE_H

/* Whether a device that was opened anew is the one that a client has: what the client was told, and
 * other threads read, must not change under it. */

#include <stddef.h>

#include "internal.h"

/* What both were opened with, without their config spaces. Returns 0; or -ENODEV, and why says what
 * differs. */
int device_compare(
	const struct vuc_device *dev, const struct vuc_device *fresh, struct vuc_error *why);

/* The same of the beginnings of their config spaces, as they are right after opening. first_len 0:
 * the first one is not known, and passes. */
int device_compare_config(const uint8_t *first, size_t first_len, const uint8_t *config, size_t len,
	struct vuc_error *why);

#endif /* VUC_DEVICE_COMPARE_H */
