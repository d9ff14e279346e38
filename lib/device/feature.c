/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/feature.h>

#include "check.h"
#include "error.h"
#include "feature.h"
#include "feature_ask.h"

#define FIXED_LEN sizeof(struct vfio_user_device_feature)
#define METHODS   (VUC_FEATURE_GET | VUC_FEATURE_SET)

int
device_feature_ask(struct vuc_device *dev, const void *request, size_t len, uint32_t timeout_ms,
	struct device_reply *reply)
{
	struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_FEATURE,
		.body = request,
		.len = len,
		.reply_max = (uint32_t)reply->size,
		.timeout_ms = timeout_ms,
	};

	return device_ask(dev, &req, reply);
}

bool
device_feature_is_missing(const struct vuc_device *dev, int error)
{
	if (!vuc_device_connected(dev))
		return false;
	return error == -EINVAL || error == -ENOTTY || error == -EOPNOTSUPP || error == -ENOSYS;
}

VUC_EXPORT int
vuc_feature_probe(struct vuc_device *dev, uint16_t feature, uint32_t methods)
{
	uint8_t request[FIXED_LEN], body[FIXED_LEN];
	struct device_reply reply = {.body = body, .size = sizeof(body)};
	size_t len;
	int rc;

	if ((methods & ~METHODS) != 0)
		return vuc_error_set(&dev->reason, -EINVAL,
			"feature %u: methods 0x%x are not among get and set", feature, methods);
	len = vuc_wire_feature_probe_encode(request, feature, methods);
	rc = device_feature_ask(dev, request, len, 0, &reply);
	if (rc != 0)
		return rc;
	return vuc_wire_feature_probe_decode(body, reply.len, feature, methods, &dev->reason);
}

static int
check_size(struct vuc_device *dev, uint16_t feature, size_t size)
{
	size_t max = vuc_session_max_data(dev->session);

	if (max > VUC_FEATURE_MAX_DATA)
		max = VUC_FEATURE_MAX_DATA;
	if (size > max)
		return vuc_error_set(&dev->reason, -EMSGSIZE,
			"feature %u: %zu bytes of data are over the limit of %zu", feature, size,
			max);
	return 0;
}

/* A reply repeats the flags, and its argsz is its length. */
static int
check_reply(struct vuc_device *dev, uint32_t flags, const struct device_reply *reply)
{
	const uint16_t cmd = VFIO_USER_DEVICE_FEATURE;
	struct vfio_user_device_feature got;
	int rc = vuc_wire_check_min(cmd, reply->len, FIXED_LEN, &dev->reason);

	if (rc != 0)
		return rc;
	memcpy(&got, reply->body, FIXED_LEN);
	rc = vuc_wire_check_hex(cmd, "flags", got.flags, flags, &dev->reason);
	if (rc == 0)
		rc = vuc_wire_check_number(cmd, "argsz", got.argsz, reply->len, &dev->reason);
	return rc;
}

/* Send len bytes of data behind the fixed part, and get a reply with at most size of them. buf has
 * room for either. */
static int
exchange(struct vuc_device *dev, uint32_t flags, uint8_t *buf, size_t len, uint32_t timeout_ms,
	struct device_reply *reply)
{
	const struct vfio_user_device_feature fixed = {
		.argsz = (uint32_t)reply->size,
		.flags = flags,
	};
	int rc;

	memcpy(buf, &fixed, FIXED_LEN);
	rc = device_feature_ask(dev, buf, FIXED_LEN + len, timeout_ms, reply);
	return rc == 0 ? check_reply(dev, flags, reply) : rc;
}

VUC_EXPORT int
vuc_feature_get(struct vuc_device *dev, uint16_t feature, void *data, size_t size, size_t *len)
{
	struct device_reply reply = {.size = FIXED_LEN + size};
	uint8_t *buf;
	int rc = check_size(dev, feature, size);

	if (rc != 0)
		return rc;
	buf = malloc(reply.size);
	if (buf == NULL)
		return vuc_error_set(&dev->reason, -ENOMEM, "no memory for feature %u", feature);
	reply.body = buf;
	rc = exchange(dev, VUC_FEATURE_GET | feature, buf, 0, 0, &reply);
	if (rc == 0) {
		*len = reply.len - FIXED_LEN;
		if (*len > 0)
			memcpy(data, buf + FIXED_LEN, *len);
	}
	free(buf);
	return rc;
}

VUC_EXPORT int
vuc_feature_set(struct vuc_device *dev, uint16_t feature, const void *data, size_t len)
{
	struct device_reply reply = {.size = FIXED_LEN + len};
	uint8_t *buf;
	int rc = check_size(dev, feature, len);

	if (rc != 0)
		return rc;
	buf = malloc(reply.size);
	if (buf == NULL)
		return vuc_error_set(&dev->reason, -ENOMEM, "no memory for feature %u", feature);
	if (len > 0)
		memcpy(buf + FIXED_LEN, data, len);
	reply.body = buf;
	rc = exchange(dev, VUC_FEATURE_SET | feature, buf, len, dev->long_timeout_ms, &reply);
	if (rc == 0)
		rc = vuc_wire_check_size(
			VFIO_USER_DEVICE_FEATURE, reply.len, reply.size, &dev->reason);
	free(buf);
	return rc;
}
