/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include <vuc/export.h>

#include "error.h"
#include "message.h"

_Static_assert((int)VUC_VMM_IRQ_TRIGGER == VUC_SHM_IRQ_TRIGGER &&
		(int)VUC_VMM_IRQ_MASK == VUC_SHM_IRQ_MASK &&
		(int)VUC_VMM_IRQ_UNMASK == VUC_SHM_IRQ_UNMASK,
	"actions");

static int
check_index(const struct vuc_vmm_device *dev, uint32_t index, struct vuc_error *err)
{
	if (index < dev->info.num_irqs)
		return 0;
	return vuc_error_set(err, -EINVAL,
		"there is no IRQ index %" PRIu32 ", the device has %" PRIu32, index,
		dev->info.num_irqs);
}

static int
ask_info(struct vuc_vmm_device *dev, uint32_t index, struct vuc_vmm_irq *irq, struct vuc_error *err)
{
	union vmm_packet packet = {.index = {.index = index}};
	const struct vuc_shm_irq_reply *r = &packet.irq_reply;
	int rc = vmm_ask(dev, VUC_SHM_IRQ_INFO, &packet, sizeof(packet.index), sizeof(*r), err);

	if (rc != 0)
		return rc;
	if (r->index != index)
		return vmm_reply_wrong(dev, &packet, err, "index", r->index);
	if (r->reserved != 0)
		return vmm_reply_wrong(dev, &packet, err, "reserved", r->reserved);
	*irq = (struct vuc_vmm_irq){.index = index, .flags = r->flags, .count = r->count};
	return 0;
}

VUC_EXPORT int
vuc_vmm_irq(
	struct vuc_vmm_device *dev, uint32_t index, struct vuc_vmm_irq *irq, struct vuc_error *err)
{
	int rc = check_index(dev, index, err);

	if (rc != 0)
		return rc;
	pthread_mutex_lock(&dev->lock);
	rc = ask_info(dev, index, irq, err);
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

static int
check_range(const struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, struct vuc_error *err)
{
	int rc = check_index(dev, range->index, err);

	if (rc != 0)
		return rc;
	if (action > VUC_VMM_IRQ_UNMASK)
		return vuc_error_set(err, -EINVAL, "%d is nothing to do with interrupts", action);
	if (range->count == 0 || range->count > UINT32_MAX - range->start)
		return vuc_error_set(err, -EINVAL,
			"%" PRIu32 " interrupts from %" PRIu32 " on of IRQ index %" PRIu32
			" cannot be",
			range->count, range->start, range->index);
	return 0;
}

/* Send one message, with r->count bytes behind it if it has any. Returns how many are done. */
static int
irqs_ask(struct vuc_vmm_device *dev, union vmm_packet *packet, struct vmm_fds *fds,
	struct vuc_error *err)
{
	const struct vuc_shm_set_irqs *r = &packet->set_irqs;
	const struct vuc_shm_irqs_reply *reply = &packet->irqs_reply;
	uint32_t count = r->count;
	size_t size = sizeof(*r) + (r->data != VUC_SHM_IRQ_ALL ? count : 0);
	int rc = vmm_ask_with(dev, VUC_SHM_SET_IRQS, packet, size, fds, err);

	if (rc == 0)
		rc = vmm_reply_is(dev, packet, sizeof(*reply), fds, 0, err);
	if (rc != 0)
		return rc;
	if (reply->done > count || (reply->done == 0 && count > 0))
		return vmm_reply_wrong(dev, packet, err, "done", reply->done);
	if (reply->reserved != 0)
		return vmm_reply_wrong(dev, packet, err, "reserved", reply->reserved);
	return (int)reply->done;
}

/* Write as many eventfds into a message as it takes. */
static void
put_eventfds(struct vuc_shm_set_irqs *r, struct vmm_fds *fds, const int *eventfds, uint32_t nr)
{
	fds->nr = 0;
	for (r->count = 0; r->count < nr && r->count < VUC_SHM_MAX_IRQS; r->count++) {
		int fd = eventfds[r->count];

		if (fd >= 0 && fds->nr == VUC_SHM_MAX_FDS)
			return;
		r->which[r->count] = fd >= 0;
		if (fd >= 0)
			fds->fd[fds->nr++] = fd;
	}
}

/* Returns how many interrupts are done, from the first one on. */
static int
send_some(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, const int *eventfds, struct vuc_error *err)
{
	union vmm_packet packet = {.set_irqs = {
					   .index = range->index,
					   .start = range->start,
					   .action = (uint16_t)action,
				   }};
	struct vuc_shm_set_irqs *r = &packet.set_irqs;
	struct vmm_fds fds = {.nr = 0};

	if (eventfds != NULL) {
		r->data = VUC_SHM_IRQ_EVENT;
		put_eventfds(r, &fds, eventfds, range->count);
	} else {
		r->data = VUC_SHM_IRQ_ALL;
		r->count = range->count < VUC_SHM_MAX_IRQS ? range->count : VUC_SHM_MAX_IRQS;
	}
	return irqs_ask(dev, &packet, &fds, err);
}

/* A message has room for some of the interrupts. */
static int
send_all(struct vuc_vmm_device *dev, struct vuc_vmm_irq_range left, enum vuc_vmm_irq_action action,
	const int *eventfds, struct vuc_error *err)
{
	while (left.count > 0) {
		int done = send_some(dev, &left, action, eventfds, err);

		if (done < 0)
			return done;
		left.start += (uint32_t)done;
		left.count -= (uint32_t)done;
		if (eventfds != NULL)
			eventfds += done;
	}
	return 0;
}

static int
set_irqs(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, const int *eventfds, struct vuc_error *err)
{
	int rc = check_range(dev, range, action, err);

	if (rc != 0)
		return rc;
	pthread_mutex_lock(&dev->lock);
	rc = send_all(dev, *range, action, eventfds, err);
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

VUC_EXPORT int
vuc_vmm_irq_assign(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, const int *eventfds, struct vuc_error *err)
{
	/* Before the first message: later ones would fail with some of the work done. */
	for (uint32_t i = 0; i < range->count; i++) {
		if (eventfds[i] < -1 || (eventfds[i] >= 0 && fcntl(eventfds[i], F_GETFD) < 0))
			return vuc_error_set(err, -EINVAL,
				"descriptor %d of interrupt %" PRIu64 " is not open", eventfds[i],
				(uint64_t)range->start + i);
	}
	return set_irqs(dev, range, action, eventfds, err);
}

VUC_EXPORT int
vuc_vmm_irq_act(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, struct vuc_error *err)
{
	return set_irqs(dev, range, action, NULL, err);
}

VUC_EXPORT int
vuc_vmm_irq_disable(struct vuc_vmm_device *dev, uint32_t index, struct vuc_error *err)
{
	union vmm_packet packet = {.set_irqs = {
					   .index = index,
					   .action = VUC_SHM_IRQ_DISABLE,
					   .data = VUC_SHM_IRQ_ALL,
				   }};
	struct vmm_fds fds = {.nr = 0};
	int rc = check_index(dev, index, err);

	if (rc != 0)
		return rc;
	pthread_mutex_lock(&dev->lock);
	rc = irqs_ask(dev, &packet, &fds, err);
	pthread_mutex_unlock(&dev->lock);
	return rc;
}
