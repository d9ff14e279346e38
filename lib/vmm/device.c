/* SPDX-License-Identifier: BSD-3-Clause */

/* A device: its memory, resetting it, and detaching from it. */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <vuc/export.h>

#include "error.h"
#include "operation.h"
#include "state.h"

void
vmm_device_free(struct vuc_vmm_device *dev)
{
	vmm_queues_free(dev);
	vmm_regions_free(dev);
	vmm_watch_close(&dev->watch);
	vmm_pages_unmap(&dev->pages);
	if (dev->kick_fd >= 0)
		close(dev->kick_fd);
	vmm_link_close(&dev->link);
	free(dev->dma.entries);
	free(dev->unshared.ranges);
	vmm_record_free(&dev->record);
	pthread_cond_destroy(&dev->ops.turn);
	pthread_mutex_destroy(&dev->access.lock);
	pthread_mutex_destroy(&dev->lock);
	free(dev);
}

struct vuc_vmm_device *
vmm_device_create(void)
{
	struct vuc_vmm_device *dev = calloc(1, sizeof(*dev));

	if (dev == NULL)
		return NULL;
	dev->info.argsz = sizeof(dev->info);
	dev->link.fd = -1;
	dev->kick_fd = -1;
	dev->watch.epoll_fd = -1;
	dev->watch.timer_fd = -1;
	dev->watch.event_fd = -1;
	LIST_INIT(&dev->record.files);
	SLIST_INIT(&dev->record.irqs);
	TAILQ_INIT(&dev->ops.queue);
	TAILQ_INIT(&dev->ops.ended);
	pthread_cond_init(&dev->ops.turn, NULL);
	pthread_mutex_init(&dev->lock, NULL);
	pthread_mutex_init(&dev->access.lock, NULL);
	return dev;
}

VUC_EXPORT const struct vuc_vmm_info *
vuc_vmm_info(const struct vuc_vmm_device *dev)
{
	return &dev->info;
}

/* A request without a body: RESET or DETACH. */
struct plain_operation {
	struct vmm_operation op;
	enum vuc_shm_type type;
};

static bool
plain_ask(struct vmm_operation *op, union vmm_packet *request, struct vmm_fds *fds)
{
	struct plain_operation *p = (struct plain_operation *)op;

	(void)fds;
	vmm_request_set(request, p->type, sizeof(request->plain));
	return true;
}

static int
plain_take(struct vmm_operation *op, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	return vmm_reply_is(op->dev, reply, sizeof(reply->plain), fds, 0, err);
}

static const struct vmm_operation_ops plain_ops = {.ask = plain_ask, .take = plain_take};

static struct plain_operation *
plain_create(struct vuc_vmm_device *dev, enum vuc_shm_type type, struct vuc_error *err)
{
	struct plain_operation *p = vmm_operation_create(dev, &plain_ops, sizeof(*p), err);

	if (p != NULL)
		p->type = type;
	return p;
}

static int
reset_begin(
	struct vuc_vmm_device *dev, const struct vmm_completion *completion, struct vuc_error *err)
{
	struct plain_operation *p = plain_create(dev, VUC_SHM_RESET, err);

	return p != NULL ? vmm_operation_begin(&p->op, completion, err) : -ENOMEM;
}

VUC_EXPORT int
vuc_vmm_reset(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	return reset_begin(dev, NULL, err);
}

VUC_EXPORT int
vuc_vmm_reset_start(
	struct vuc_vmm_device *dev, vuc_vmm_done_fn done, void *arg, struct vuc_error *err)
{
	return reset_begin(dev, &(const struct vmm_completion){done, arg}, err);
}

/* What a device is attached with again is of no use any more; the daemon sees that it has hung up.
 */
static void
reattach_abandon(struct vuc_vmm_device *dev)
{
	if (dev->reattaching != NULL)
		vmm_link_end(&dev->link, NULL, -ECANCELED, "the device is being detached");
}

/* Whether the daemon has the device for this VMM, and can be asked to take it back. */
static bool
has_to_be_told(const struct vuc_vmm_device *dev)
{
	return dev->info.generation != 0 && !dev->link.ended;
}

VUC_EXPORT int
vuc_vmm_detach_start(
	struct vuc_vmm_device *dev, vuc_vmm_done_fn done, void *arg, struct vuc_error *err)
{
	const struct vmm_completion completion = {done, arg};
	struct plain_operation *p;
	int rc = 0;

	if (done == NULL)
		return vuc_error_set(err, -EINVAL, "no completion callback");
	p = plain_create(dev, VUC_SHM_DETACH, err);
	if (p == NULL)
		return -ENOMEM;
	p->op.phase = VMM_DETACHED;
	pthread_mutex_lock(&dev->lock);
	if (dev->phase >= VMM_DETACHING) {
		free(p);
		rc = vuc_error_set(err, -EALREADY, "the device is being detached");
	} else {
		dev->phase = VMM_DETACHING;
		reattach_abandon(dev);
		vmm_operations_cancel(dev);
		if (dev->info.generation == 0) /* there is nothing to give back */
			vmm_operation_end_at_once(&p->op, &completion);
		else
			vmm_operation_start(&p->op, &completion);
	}
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

/* With the lock held. Should it fail: hanging up says the same, only that there is nothing to wait
 * for. */
static void
device_leave(struct vuc_vmm_device *dev)
{
	struct plain_operation *p;

	dev->phase = VMM_DETACHING;
	reattach_abandon(dev);
	vmm_operations_cancel(dev);
	while (!TAILQ_EMPTY(&dev->ops.ended))
		vmm_operations_tell(dev);
	p = has_to_be_told(dev) ? plain_create(dev, VUC_SHM_DETACH, NULL) : NULL;
	if (p != NULL)
		vmm_operation_wait(&p->op, NULL);
	dev->phase = VMM_DETACHED;
}

VUC_EXPORT void
vuc_vmm_detach(struct vuc_vmm_device *dev)
{
	bool in_callback;

	if (dev == NULL)
		return;
	pthread_mutex_lock(&dev->lock);
	in_callback = vmm_is_callback(dev);
	device_leave(dev);
	pthread_mutex_unlock(&dev->lock);
	/* vuc_vmm_events() is not done with it. */
	if (!in_callback)
		vmm_device_free(dev);
}
