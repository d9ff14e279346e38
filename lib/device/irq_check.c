/* SPDX-License-Identifier: BSD-3-Clause */
#include "irq_check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "error.h"
#include "internal.h"

int
irq_check_index(const struct vuc_device *dev, uint32_t index, struct vuc_error *err)
{
	const struct vuc_irq *irq = vuc_device_irq(dev, index);

	if (irq != NULL && irq->count > 0)
		return 0;
	return vuc_error_set(err, -EINVAL, "IRQ index %u has no interrupts", index);
}

static int
irq_check_range(
	const struct vuc_device *dev, const struct vuc_irq_range *range, struct vuc_error *err)
{
	int rc = irq_check_index(dev, range->index, err);
	uint32_t count;

	if (rc != 0)
		return rc;
	count = dev->irqs[range->index].count;
	if (range->count == 0)
		return vuc_error_set(
			err, -EINVAL, "IRQ index %u: a range of 0 interrupts", range->index);
	if (range->count > count || range->start > count - range->count)
		return vuc_error_set(err, -EINVAL,
			"IRQ index %u: %u interrupts from %u on are beyond its %u", range->index,
			range->count, range->start, count);
	return 0;
}

int
irq_check_action(const struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, struct vuc_error *err)
{
	int rc = irq_check_range(dev, range, err);

	if (rc != 0)
		return rc;
	switch (action) {
	case VUC_IRQ_TRIGGER:
	case VUC_IRQ_MASK:
	case VUC_IRQ_UNMASK:
		return 0;
	}
	return vuc_error_set(
		err, -EINVAL, "IRQ index %u: unknown action %d", range->index, (int)action);
}

static int
irq_check_eventfds(const struct vuc_irq_range *range, const int *eventfds, struct vuc_error *err)
{
	for (uint32_t i = 0; i < range->count; i++) {
		if (eventfds[i] != -1 && fcntl(eventfds[i], F_GETFD) < 0)
			return vuc_error_set(err, -EBADF,
				"IRQ index %u: descriptor %d for interrupt %u: %s", range->index,
				eventfds[i], range->start + i, strerror(EBADF));
	}
	return 0;
}

uint32_t
irq_max_eventfds(const struct vuc_device *dev)
{
	uint32_t max = dev->version.max_msg_fds;

	return max < VUC_MAX_SEGMENT_FDS ? max : VUC_MAX_SEGMENT_FDS;
}

uint32_t
irq_run_length(const int *eventfds, uint32_t count, uint32_t max_fds)
{
	bool assigned = eventfds[0] >= 0;
	uint32_t max = assigned && count > max_fds ? max_fds : count;
	uint32_t n = 1;

	while (n < max && (eventfds[n] >= 0) == assigned)
		n++;
	return n;
}

struct vuc_irq_range
irq_span_of(const struct vuc_irq_range *range, const int *eventfds)
{
	struct vuc_irq_range span = {.index = range->index};

	for (uint32_t i = 0; i < range->count; i++) {
		if (eventfds[i] < 0)
			continue;
		if (span.count == 0)
			span.start = range->start + i;
		span.count = range->start + i - span.start + 1;
	}
	return span;
}

/* What VFIO_IRQ_INFO_NORESIZE demands of an assignment. */
static int
irq_check_set(const struct vuc_device *dev, const struct vuc_irq_range *range, const int *eventfds,
	struct vuc_error *err)
{
	const struct irq_set *set = &dev->irq_sets[range->index];
	struct vuc_irq_range span = irq_span_of(range, eventfds);
	uint32_t end = span.start + span.count;
	const int *first;

	if (span.count == 0)
		return 0;
	first = eventfds + (span.start - range->start);
	if (set->start < set->end) {
		if (span.start >= set->start && end <= set->end)
			return 0;
		return vuc_error_set(err, -EBUSY,
			"IRQ index %u: VFIO_IRQ_INFO_NORESIZE allows interrupts %u to %u only with "
			"%u to %u disabled",
			range->index, span.start, end - 1, set->start, set->end - 1);
	}
	if (irq_run_length(first, span.count, irq_max_eventfds(dev)) == span.count)
		return 0;
	return vuc_error_set(err, -EMSGSIZE,
		"IRQ index %u: VFIO_IRQ_INFO_NORESIZE requires interrupts %u to %u in one "
		"message, without gaps and with at most %u descriptors",
		range->index, span.start, end - 1, irq_max_eventfds(dev));
}

int
irq_check_assign(const struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const int *eventfds, struct vuc_error *err)
{
	int rc = irq_check_action(dev, range, action, err);

	if (rc != 0 || eventfds == NULL)
		return rc;
	rc = irq_check_eventfds(range, eventfds, err);
	if (rc != 0)
		return rc;
	if (irq_max_eventfds(dev) == 0 && irq_span_of(range, eventfds).count > 0)
		return vuc_error_set(err, -EOPNOTSUPP,
			"IRQ index %u: the server accepts no file descriptors (max_msg_fds 0)",
			range->index);
	if (action == VUC_IRQ_TRIGGER &&
		(dev->irqs[range->index].flags & VFIO_IRQ_INFO_NORESIZE) != 0)
		return irq_check_set(dev, range, eventfds, err);
	return 0;
}
