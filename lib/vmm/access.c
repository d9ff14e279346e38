/* SPDX-License-Identifier: BSD-3-Clause */

/* Accesses of threads that have no queue of their own. */

#include <errno.h>
#include <inttypes.h>

#include <vuc/export.h>

#include "clock.h"
#include "device.h"
#include "error.h"

typedef int (*access_fn)(
	struct vuc_queue *queue, uint32_t region, uint64_t offset, void *data, uint32_t count);

static int
access_fail(const struct vuc_vmm_device *dev, int rc, const char *reason, struct vuc_error *err)
{
	uint64_t lost_ms = __atomic_load_n(&dev->lost_ms, __ATOMIC_RELAXED);
	uint64_t away_ms = vuc_clock_ms() - lost_ms;

	if (rc != -ENOTCONN || lost_ms == 0)
		return vuc_error_set(err, rc, "%s", reason);
	return vuc_error_set(err, rc, "%s, for %" PRIu64 ".%" PRIu64 " s", reason, away_ms / 1000,
		away_ms / 100 % 10);
}

/* With the lock of the accesses held. */
static int
access_locked(struct vuc_vmm_device *dev, access_fn access, const struct vuc_queue_request *r,
	struct vuc_error *err)
{
	struct vmm_access *a = &dev->access;
	int rc = a->queue == NULL ? vuc_vmm_open_queue(dev, NULL, &a->queue, err) : 0;

	if (rc != 0)
		return rc;
	rc = access(a->queue, r->region, r->offset, r->data, r->count);
	return rc == 0 ? 0 : access_fail(dev, rc, vuc_queue_reason(a->queue), err);
}

static int
access_perform(struct vuc_vmm_device *dev, access_fn access, const struct vuc_queue_request *r,
	struct vuc_error *err)
{
	int rc;

	pthread_mutex_lock(&dev->access.lock);
	rc = access_locked(dev, access, r, err);
	pthread_mutex_unlock(&dev->access.lock);
	return rc;
}

VUC_EXPORT int
vuc_vmm_read(struct vuc_vmm_device *dev, uint32_t region, uint64_t offset, void *data,
	uint32_t count, struct vuc_error *err)
{
	const struct vuc_queue_request r = {
		.region = region, .offset = offset, .data = data, .count = count};

	return access_perform(dev, vuc_queue_read, &r, err);
}

static int
write_awaited(struct vuc_queue *queue, uint32_t region, uint64_t offset, void *data, uint32_t count)
{
	return vuc_queue_write(queue, region, offset, data, count);
}

static int
write_as_pci(struct vuc_queue *queue, uint32_t region, uint64_t offset, void *data, uint32_t count)
{
	return vuc_queue_write_pci(queue, region, offset, data, count);
}

VUC_EXPORT int
vuc_vmm_write(struct vuc_vmm_device *dev, uint32_t region, uint64_t offset, const void *data,
	uint32_t count, struct vuc_error *err)
{
	const struct vuc_queue_request r = {.region = region,
		.offset = offset,
		.data = (void *)(uintptr_t)data,
		.count = count};

	return access_perform(dev, write_awaited, &r, err);
}

VUC_EXPORT int
vuc_vmm_write_pci(struct vuc_vmm_device *dev, uint32_t region, uint64_t offset, const void *data,
	uint32_t count, struct vuc_error *err)
{
	const struct vuc_queue_request r = {.region = region,
		.offset = offset,
		.data = (void *)(uintptr_t)data,
		.count = count};

	return access_perform(dev, write_as_pci, &r, err);
}
