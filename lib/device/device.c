/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "internal.h"
#include "opts.h"
#include "vfio_user.h"

VUC_EXPORT void
vuc_device_opts_init(struct vuc_device_opts *opts, size_t size)
{
	const struct vuc_device_opts defaults = {
		.fd = -1,
		.timeout_ms = VUC_DEFAULT_TIMEOUT_MS,
		.long_timeout_ms = VUC_DEFAULT_LONG_TIMEOUT_MS,
		.max_data_xfer_size = VUC_DEFAULT_MAX_DATA_XFER_SIZE,
		.max_msg_fds = VUC_DEFAULT_MAX_MSG_FDS,
		.max_requests = VUC_DEFAULT_MAX_REQUESTS,
		.dma = VUC_DMA_SHARED,
		.max_dma_maps = VUC_DEFAULT_MAX_DMA_MAPS,
		.io_fds = true,
		.twin_socket = true,
		.write_multiple = true,
		.posted_writes = VUC_POSTED_WRITES_AUTO,
	};

	vuc_opts_init(opts, size, &defaults, sizeof(defaults));
}

static int
check_opts(const struct vuc_device_opts *o, struct vuc_error *err)
{
	if ((o->path != NULL) + (o->fd >= 0) + (o->loopback != NULL) != 1)
		return vuc_error_set(
			err, -EINVAL, "a device is opened by one of path, fd and loopback");
	if (o->timeout_ms == 0)
		return vuc_error_set(err, -EINVAL, "timeout_ms is 0");
	if (o->long_timeout_ms == 0)
		return vuc_error_set(err, -EINVAL, "long_timeout_ms is 0");
	if (o->max_data_xfer_size < VUC_MIN_DATA_XFER_SIZE ||
		o->max_data_xfer_size > VUC_DEFAULT_MAX_DATA_XFER_SIZE)
		return vuc_error_set(err, -EINVAL, "max_data_xfer_size %u is not in %d to %d",
			o->max_data_xfer_size, VUC_MIN_DATA_XFER_SIZE,
			VUC_DEFAULT_MAX_DATA_XFER_SIZE);
	if (o->max_dma_maps == 0)
		return vuc_error_set(err, -EINVAL, "max_dma_maps is 0");
	if (o->max_msg_fds > VUC_MAX_MSG_FDS)
		return vuc_error_set(
			err, -EINVAL, "max_msg_fds %u is over %d", o->max_msg_fds, VUC_MAX_MSG_FDS);
	if (o->max_requests == 0 || o->max_requests > VUC_MAX_REQUESTS ||
		(o->max_requests & (o->max_requests - 1)) != 0)
		return vuc_error_set(err, -EINVAL,
			"max_requests %u is not a power of two in 1 to %d", o->max_requests,
			VUC_MAX_REQUESTS);
	return 0;
}

VUC_PRIVATE int
vuc_device_read_opts(
	struct vuc_device_opts *known, const struct vuc_device_opts *opts, struct vuc_error *err)
{
	int rc;

	vuc_device_opts_init(known, sizeof(*known));
	rc = vuc_opts_read(known, sizeof(*known), opts,
		VUC_OPTS_LEAST(struct vuc_device_opts, trace_arg), "vuc_device_opts", err);
	return rc == 0 ? check_opts(known, err) : rc;
}

void
device_log_warning(void *arg, const char *line)
{
	const struct vuc_device *dev = arg;
	char text[VUC_PLACE_SIZE + VUC_ERROR_MAX];

	if (dev->closed)
		return;
	snprintf(text, sizeof(text), "%s: %s", dev->place, line);
	group_log(dev->group, VUC_LOG_WARNING, text);
}

void
device_warn(struct vuc_device *dev, enum device_fault fault, const char *fmt, ...)
{
	uint32_t bit = UINT32_C(1) << fault;
	char line[VUC_ERROR_MAX];
	va_list args;

	if ((dev->faults->warned & bit) != 0)
		return;
	dev->faults->warned |= bit;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	device_log_warning(dev, line);
}

int
device_check_connected(struct vuc_device *dev)
{
	int error;

	if (vuc_device_connected(dev))
		return 0;
	error = vuc_session_error(dev->session);
	if (error != 0)
		return vuc_error_set(&dev->reason, error, "%s", vuc_session_reason(dev->session));
	return vuc_error_set(&dev->reason, -ENOTCONN, "the device is being %s",
		dev->opening != NULL ? "opened" : "closed");
}

VUC_EXPORT const struct vuc_device_version *
vuc_device_version(const struct vuc_device *dev)
{
	return &dev->version;
}

VUC_EXPORT const struct vuc_device_info *
vuc_device_info(const struct vuc_device *dev)
{
	return &dev->info;
}

VUC_EXPORT const struct vuc_region *
vuc_device_region(const struct vuc_device *dev, uint32_t index)
{
	return index < dev->info.num_regions ? &dev->regions[index].info : NULL;
}

VUC_EXPORT const struct vuc_irq *
vuc_device_irq(const struct vuc_device *dev, uint32_t index)
{
	return index < dev->info.num_irqs ? &dev->irqs[index] : NULL;
}

VUC_EXPORT struct vuc_poll_group *
vuc_device_poll_group(const struct vuc_device *dev)
{
	return dev->group;
}

VUC_PRIVATE void
vuc_device_end(struct vuc_device *dev, const char *why)
{
	struct vuc_poll_group *group = dev->group;
	bool outermost = group_begin_callbacks(group);

	vuc_session_end(dev->session, -ECANCELED, "%s", why);
	device_mark_dirty(dev);
	group_end_callbacks(group, outermost);
}

VUC_EXPORT const char *
vuc_device_reason(const struct vuc_device *dev)
{
	/* The connection may have ended in a poll, with nobody's call to blame. */
	if (vuc_session_error(dev->session) != 0)
		return vuc_session_reason(dev->session);
	return dev->reason.text;
}

VUC_PRIVATE bool
vuc_device_is_silent(const struct vuc_device *dev, uint64_t *since_ms)
{
	return vuc_session_silent(dev->session, since_ms);
}

VUC_EXPORT bool
vuc_device_connected(const struct vuc_device *dev)
{
	return dev->step == NULL && vuc_session_state(dev->session) == VUC_SESSION_READY;
}
