/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_FEATURE_H
#define VUC_FEATURE_H

/**
 * @file
 * Features of a device by number: to query which exist, and for those without functions of their
 * own. The features of the specification have them, in <vuc/migration.h> and <vuc/dirty.h>.
 *
 * Call these functions on the thread that owns the device's poll group. They poll the group until
 * the device replies, so callbacks of other devices in it may run. Functions whose names end in
 * _start do not wait, see vuc_done_fn.
 *
 * Specification: VFIO_USER_DEVICE_FEATURE.
 */

#include <stddef.h>
#include <stdint.h>

#include <vuc/device.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VUC_FEATURE_GET (1u << 16) /**< the feature's data can be read */
#define VUC_FEATURE_SET (1u << 17) /**< the feature's data can be set */

#define VUC_FEATURE_MAX_DATA 32768 /**< most bytes of data that a feature can have here */

/**
 * Query whether a device supports a feature.
 *
 * @param dev      the device
 * @param feature  VFIO_DEVICE_FEATURE_* of <linux/vfio.h>, without flags
 * @param methods  VUC_FEATURE_GET and VUC_FEATURE_SET: all of them must be supported; 0 queries
 *                 only the feature
 * @return 0 when it is supported; else an error reply of the server, most often -EINVAL, -ENOTTY or
 *         -EOPNOTSUPP; -EINVAL for other methods; -EPROTO for a reply that violates the protocol;
 *         -ETIMEDOUT; the error of the connection; -EDEADLK from a completion callback
 */
int vuc_feature_probe(struct vuc_device *dev, uint16_t feature, uint32_t methods);

/** Asynchronous variant, see vuc_done_fn. @return 0; -EINVAL; -ENOMEM; the error of the connection
 */
int vuc_feature_probe_start(
	struct vuc_device *dev, uint16_t feature, uint32_t methods, vuc_done_fn done, void *arg);

/**
 * Get the data of a feature.
 *
 * @param dev      the device
 * @param feature  as in vuc_feature_probe()
 * @param data     set to the data
 * @param size     bytes that data has room for, at most VUC_FEATURE_MAX_DATA and at most
 *                 max_data_xfer_size
 * @param len      set to the number of bytes received
 * @return 0; -EMSGSIZE for a size over the limits; -ENOMEM; otherwise as vuc_feature_probe()
 */
int vuc_feature_get(struct vuc_device *dev, uint16_t feature, void *data, size_t size, size_t *len);

/** Asynchronous variant, see vuc_done_fn: data and len must stay valid until done is called.
 * @return 0; -EMSGSIZE; -ENOMEM; the error of the connection */
int vuc_feature_get_start(struct vuc_device *dev, uint16_t feature, void *data, size_t size,
	size_t *len, vuc_done_fn done, void *arg);

/**
 * Set the data of a feature. The server may take as long as long_timeout_ms.
 *
 * @param dev      the device
 * @param feature  as in vuc_feature_probe()
 * @param data     len bytes; may be NULL when len is 0
 * @param len      bytes, at most VUC_FEATURE_MAX_DATA and at most max_data_xfer_size
 * @return as vuc_feature_get()
 */
int vuc_feature_set(struct vuc_device *dev, uint16_t feature, const void *data, size_t len);

/** Asynchronous variant, see vuc_done_fn. @return as vuc_feature_get_start() */
int vuc_feature_set_start(struct vuc_device *dev, uint16_t feature, const void *data, size_t len,
	vuc_done_fn done, void *arg);

#ifdef __cplusplus
}
#endif

#endif /* VUC_FEATURE_H */
