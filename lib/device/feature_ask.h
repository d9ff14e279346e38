/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_FEATURE_ASK_H
#define VUC_DEVICE_FEATURE_ASK_H

#include "internal.h"

/*
 * VFIO_USER_DEVICE_FEATURE, awaited: len bytes of request, and the reply into reply->body, which
 * has room for reply->size bytes and gets reply->len. timeout_ms 0 is the device's. Returns as
 * device_ask().
 */
int device_feature_ask(struct vuc_device *dev, const void *request, size_t len, uint32_t timeout_ms,
	struct device_reply *reply);

/* Whether an error is one by which servers say that they do not have a feature. */
bool device_feature_is_missing(const struct vuc_device *dev, int error);

#endif /* VUC_DEVICE_FEATURE_ASK_H */
