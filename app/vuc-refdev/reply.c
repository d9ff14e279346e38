/* SPDX-License-Identifier: BSD-3-Clause */

/* What handlers of commands share: bodies of replies, and why a client is disconnected. */

#include <errno.h>
#include <fcntl.h>
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
refdev_body_append(struct refdev_body *out, const void *bytes, size_t len)
{
	if (len > out->size - out->len)
		return -EMSGSIZE;
	if (len > 0)
		memcpy(out->bytes + out->len, bytes, len);
	out->len += len;
	return 0;
}

int
refdev_body_put(struct refdev_body *out, const void *bytes, size_t len, size_t min, uint32_t argsz)
{
	out->len = 0;
	if (argsz < min)
		return -EINVAL;
	return refdev_body_append(out, bytes, len < argsz ? len : argsz);
}

int
refdev_feature_reply(
	struct refdev_body *out, const struct refdev_body *in, const void *data, size_t data_len)
{
	struct vfio_user_device_feature fixed;
	size_t len = sizeof(fixed) + data_len;
	int rc;

	memcpy(&fixed, in->bytes, sizeof(fixed));
	if (fixed.argsz < len)
		return -EINVAL;
	fixed.argsz = (uint32_t)len;
	out->len = 0;
	rc = refdev_body_append(out, &fixed, sizeof(fixed));
	return rc != 0 ? rc : refdev_body_append(out, data, data_len);
}

int
refdev_body_attach(struct refdev_body *out, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return -errno;
	out->fds[out->nr_fds++] = copy;
	return 0;
}
