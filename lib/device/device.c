/* SPDX-License-Identifier: BSD-3-Clause */

/* A device: what is known of it, whether it is there, and what waits to be sent. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "error.h"
#include "internal.h"
#include "msix.h"
#include "record.h"
#include "vfio_user.h"

static void
request_prepare(struct vuc_device *dev, struct vuc_request *req)
{
	req->priv.next = NULL;
	req->priv.dev = dev;
	req->priv.submitted = 0;
	req->priv.outstanding = 0;
	req->priv.status = 0;
}

void
device_enqueue(struct vuc_device *dev, struct vuc_request *req)
{
	request_prepare(dev, req);
	*dev->last = req;
	dev->last = &req->priv.next;
}

void
device_enqueue_first(struct vuc_device *dev, struct vuc_request *req)
{
	request_prepare(dev, req);
	req->priv.next = dev->first;
	if (dev->first == NULL)
		dev->last = &req->priv.next;
	dev->first = req;
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
device_check_connected(const struct vuc_device *dev, struct vuc_error *err)
{
	int error;

	if (vuc_device_connected(dev) || dev->replaying)
		return 0;
	error = vuc_session_error(dev->session);
	if (error != 0)
		return vuc_error_set(err, error, "%s", vuc_session_reason(dev->session));
	return vuc_error_set(err, -ENOTCONN, "the device is being %s",
		dev->opening != NULL              ? "opened"
			: vuc_device_is_away(dev) ? "restored"
						  : "closed");
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

VUC_PRIVATE bool
vuc_device_is_away(const struct vuc_device *dev)
{
	return dev->record != NULL &&
		(dev->restoring != RESTORE_NONE ||
			vuc_session_state(dev->session) == VUC_SESSION_LOST);
}

VUC_EXPORT bool
vuc_device_connected(const struct vuc_device *dev)
{
	return dev->step == NULL && vuc_session_state(dev->session) == VUC_SESSION_READY;
}

size_t
device_config_size(const struct vuc_device *dev)
{
	const struct vuc_region *config = vuc_device_region(dev, VFIO_PCI_CONFIG_REGION_INDEX);

	if (config == NULL || (config->flags & VFIO_REGION_INFO_FLAG_READ) == 0)
		return 0;
	return config->size < MSIX_CONFIG_SIZE ? (size_t)config->size : MSIX_CONFIG_SIZE;
}
