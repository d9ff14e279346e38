/* SPDX-License-Identifier: BSD-3-Clause */

/* What the handlers of commands share: bodies of replies, and why a client is disconnected. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "device.h"

const char *
refdev_reason(const struct refdev *dev)
{
	return dev->reason;
}

int
refdev_hang_up(struct refdev *dev, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(dev->reason, sizeof(dev->reason), fmt, ap);
	va_end(ap);
	return REFDEV_HANG_UP;
}

int
refdev_body_put(struct refdev_body *out, const void *bytes, size_t len, size_t min, uint32_t argsz)
{
	if (argsz < min)
		return -EINVAL;
	if (len > argsz)
		len = argsz;
	if (len > out->size)
		return -EMSGSIZE;
	memcpy(out->bytes, bytes, len);
	out->len = len;
	return 0;
}

int
refdev_feature_reply(
	struct refdev_body *out, const struct refdev_body *in, const void *data, size_t data_len)
{
	struct vfio_user_device_feature fixed;
	size_t len = sizeof(fixed) + data_len;

	memcpy(&fixed, in->bytes, sizeof(fixed));
	if (fixed.argsz < len)
		return -EINVAL;
	if (out->size < len)
		return -EMSGSIZE;
	fixed.argsz = (uint32_t)len;
	memcpy(out->bytes, &fixed, sizeof(fixed));
	if (data_len > 0)
		memcpy(out->bytes + sizeof(fixed), data, data_len);
	out->len = len;
	return 0;
}
