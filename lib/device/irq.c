/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <vuc/irq.h>

#include "error.h"
#include "internal.h"
#include "irq.h"

/* Interrupts that one message selects from: no index of PCI has more than 2048. */
#define MAX_SELECT 4096u

static const enum vuc_wire_irq_action wire_actions[] = {
	[VUC_IRQ_TRIGGER] = VUC_WIRE_IRQ_TRIGGER,
	[VUC_IRQ_MASK] = VUC_WIRE_IRQ_MASK,
	[VUC_IRQ_UNMASK] = VUC_WIRE_IRQ_UNMASK,
};

static struct vuc_wire_irq_range
to_wire(const struct vuc_irq_range *range)
{
	return (struct vuc_wire_irq_range){
		.index = range->index,
		.start = range->start,
		.count = range->count,
	};
}

static int
check_index(struct vuc_device *dev, uint32_t index)
{
	const struct vuc_irq *irq = vuc_device_irq(dev, index);

	if (irq != NULL && irq->count > 0)
		return 0;
	return vuc_error_set(&dev->reason, -EINVAL, "IRQ index %u has no interrupts", index);
}

static int
check_range(struct vuc_device *dev, const struct vuc_irq_range *range)
{
	int rc = check_index(dev, range->index);
	uint32_t count;

	if (rc != 0)
		return rc;
	count = dev->irqs[range->index].count;
	if (range->count == 0)
		return vuc_error_set(&dev->reason, -EINVAL, "IRQ index %u: a range of 0 interrupts",
			range->index);
	if (range->count > count || range->start > count - range->count)
		return vuc_error_set(&dev->reason, -EINVAL,
			"IRQ index %u: %u interrupts from %u on are outside of its %u",
			range->index, range->count, range->start, count);
	return 0;
}

static int
check_action(struct vuc_device *dev, const struct vuc_irq_range *range, enum vuc_irq_action action)
{
	int rc = check_range(dev, range);

	if (rc != 0)
		return rc;
	switch (action) {
	case VUC_IRQ_TRIGGER:
	case VUC_IRQ_MASK:
	case VUC_IRQ_UNMASK:
		return 0;
	}
	return vuc_error_set(&dev->reason, -EINVAL, "IRQ index %u: there is no action %d",
		range->index, (int)action);
}

static int
check_eventfds(struct vuc_device *dev, const struct vuc_irq_range *range, const int *eventfds)
{
	for (uint32_t i = 0; i < range->count; i++) {
		if (eventfds[i] != -1 && fcntl(eventfds[i], F_GETFD) < 0)
			return vuc_error_set(&dev->reason, -EBADF,
				"IRQ index %u: descriptor %d for interrupt %u: %s", range->index,
				eventfds[i], range->start + i, strerror(EBADF));
	}
	return 0;
}

/* Most eventfds that one message carries to the server. */
static uint32_t
max_eventfds(const struct vuc_device *dev)
{
	uint32_t max = dev->version.max_msg_fds;

	return max < VUC_MAX_SEGMENT_FDS ? max : VUC_MAX_SEGMENT_FDS;
}

/* How many interrupts, from the first one on, one message can deal with: all have eventfds, or none
 * has. */
static uint32_t
run_length(const int *eventfds, uint32_t count, uint32_t max_fds)
{
	bool assigned = eventfds[0] >= 0;
	uint32_t max = assigned && count > max_fds ? max_fds : count;
	uint32_t n = 1;

	while (n < max && (eventfds[n] >= 0) == assigned)
		n++;
	return n;
}

/* The part of a range from its first eventfd to its last; count 0: there is none. */
static struct vuc_irq_range
span_of(const struct vuc_irq_range *range, const int *eventfds)
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
check_set(struct vuc_device *dev, const struct vuc_irq_range *range, const int *eventfds)
{
	const struct irq_set *set = &dev->irq_sets[range->index];
	struct vuc_irq_range span = span_of(range, eventfds);
	uint32_t end = span.start + span.count;
	const int *first;

	if (span.count == 0)
		return 0;
	first = eventfds + (span.start - range->start);
	if (set->start < set->end) {
		if (span.start >= set->start && end <= set->end)
			return 0;
		return vuc_error_set(&dev->reason, -EBUSY,
			"IRQ index %u: VFIO_IRQ_INFO_NORESIZE allows interrupts %u to %u only with "
			"%u to %u disabled",
			range->index, span.start, end - 1, set->start, set->end - 1);
	}
	if (run_length(first, span.count, max_eventfds(dev)) == span.count)
		return 0;
	return vuc_error_set(&dev->reason, -EMSGSIZE,
		"IRQ index %u: VFIO_IRQ_INFO_NORESIZE wants interrupts %u to %u in one message, "
		"without gaps and of at most %u descriptors",
		range->index, span.start, end - 1, max_eventfds(dev));
}

static int
check_assign(struct vuc_device *dev, const struct vuc_irq_range *range, enum vuc_irq_action action,
	const int *eventfds)
{
	int rc = check_action(dev, range, action);

	if (rc != 0 || eventfds == NULL)
		return rc;
	rc = check_eventfds(dev, range, eventfds);
	if (rc != 0)
		return rc;
	if (max_eventfds(dev) == 0 && span_of(range, eventfds).count > 0)
		return vuc_error_set(&dev->reason, -EOPNOTSUPP,
			"IRQ index %u: the server takes no descriptors (max_msg_fds 0)",
			range->index);
	if (action == VUC_IRQ_TRIGGER &&
		(dev->irqs[range->index].flags & VFIO_IRQ_INFO_NORESIZE) != 0)
		return check_set(dev, range, eventfds);
	return 0;
}

/* Send what was encoded for a range, and say of an error which interrupts it meets. */
static int
set_irqs(struct vuc_device *dev, const struct vuc_irq_range *range, const void *body, size_t len,
	const int *eventfds, uint32_t nr_eventfds)
{
	struct device_reply reply = {.status = 0};
	struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_SET_IRQS,
		.nr_fds = (uint16_t)nr_eventfds,
		.fds = eventfds,
		.body = body,
		.len = len,
	};
	int rc = device_ask(dev, &req, &reply);

	if (rc == 0)
		return 0;
	return vuc_error_set(&dev->reason, rc, "IRQ index %u, interrupts %u to %u: %s",
		range->index, range->start, range->start + range->count - 1, dev->reason.text);
}

/* Servers forget flags, and other clients try all the same: what was done says that it can be. */
static void
warn_of_flags(struct vuc_device *dev, uint32_t index, uint32_t flag, const char *name)
{
	uint32_t flags = dev->irqs[index].flags;

	if ((flags & flag) == 0)
		device_warn(dev, DEVICE_FAULT_IRQ_FLAGS,
			"IRQ index %u: its flags 0x%x lack %s, but the server does it", index,
			flags, name);
}

static void
warn_of_action(struct vuc_device *dev, uint32_t index, enum vuc_irq_action action)
{
	if (action != VUC_IRQ_TRIGGER)
		warn_of_flags(dev, index, VFIO_IRQ_INFO_MASKABLE, "VFIO_IRQ_INFO_MASKABLE");
}

/* A run of eventfds, or with none of them their absence. */
static int
assign_run(struct vuc_device *dev, const struct vuc_irq_range *run, enum vuc_irq_action action,
	const int *eventfds)
{
	struct irq_set *set = &dev->irq_sets[run->index];
	struct vuc_wire_irq_range wire = to_wire(run);
	uint8_t body[sizeof(struct vfio_user_irq_set)];
	size_t len = vuc_wire_irq_eventfd_encode(body, &wire, wire_actions[action]);
	int rc = set_irqs(dev, run, body, len, eventfds, eventfds != NULL ? run->count : 0);

	if (rc == 0 && eventfds != NULL) {
		warn_of_flags(dev, run->index, VFIO_IRQ_INFO_EVENTFD, "VFIO_IRQ_INFO_EVENTFD");
		warn_of_action(dev, run->index, action);
	}
	if (rc == 0 && eventfds != NULL && action == VUC_IRQ_TRIGGER && set->start == set->end) {
		set->start = run->start;
		set->end = run->start + run->count;
	}
	return rc;
}

VUC_EXPORT int
vuc_irq_assign(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const int *eventfds, uint32_t *done)
{
	int rc = check_assign(dev, range, action, eventfds);
	uint32_t n = 0;

	while (rc == 0 && n < range->count) {
		struct vuc_irq_range run = {.index = range->index, .start = range->start + n};
		const int *fds = eventfds + n;

		run.count = run_length(fds, range->count - n, max_eventfds(dev));
		rc = assign_run(dev, &run, action, fds[0] >= 0 ? fds : NULL);
		if (rc == 0)
			n += run.count;
	}
	if (done != NULL)
		*done = n;
	return rc;
}

VUC_EXPORT int
vuc_irq_deassign(
	struct vuc_device *dev, const struct vuc_irq_range *range, enum vuc_irq_action action)
{
	int rc = check_assign(dev, range, action, NULL);

	return rc != 0 ? rc : assign_run(dev, range, action, NULL);
}

VUC_EXPORT int
vuc_irq_act(struct vuc_device *dev, const struct vuc_irq_range *range, enum vuc_irq_action action)
{
	struct vuc_wire_irq_range wire = to_wire(range);
	uint8_t body[sizeof(struct vfio_user_irq_set)];
	int rc = check_action(dev, range, action);

	if (rc == 0)
		rc = set_irqs(dev, range, body,
			vuc_wire_irq_act_encode(body, &wire, wire_actions[action]), NULL, 0);
	if (rc == 0)
		warn_of_action(dev, range->index, action);
	return rc;
}

static int
select_run(struct vuc_device *dev, const struct vuc_irq_range *run, enum vuc_irq_action action,
	const bool *which)
{
	struct vuc_wire_irq_range wire = to_wire(run);
	uint8_t body[sizeof(struct vfio_user_irq_set) + MAX_SELECT];
	int len =
		vuc_wire_irq_select_encode(body, sizeof(body), &wire, wire_actions[action], which);

	return len < 0 ? len : set_irqs(dev, run, body, (size_t)len, NULL, 0);
}

VUC_EXPORT int
vuc_irq_select(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const bool *which, uint32_t *done)
{
	int rc = check_action(dev, range, action);
	uint32_t n = 0;

	while (rc == 0 && n < range->count) {
		struct vuc_irq_range run = *range;

		run.start += n;
		run.count = range->count - n < MAX_SELECT ? range->count - n : MAX_SELECT;
		rc = select_run(dev, &run, action, which + n);
		if (rc == 0) {
			warn_of_action(dev, range->index, action);
			n += run.count;
		}
	}
	if (done != NULL)
		*done = n;
	return rc;
}

VUC_EXPORT int
vuc_irq_disable(struct vuc_device *dev, uint32_t index)
{
	uint8_t body[sizeof(struct vfio_user_irq_set)];
	int rc = check_index(dev, index);
	struct vuc_irq_range all = {.index = index};

	if (rc != 0)
		return rc;
	all.count = dev->irqs[index].count;
	rc = set_irqs(dev, &all, body, vuc_wire_irq_disable_encode(body, index), NULL, 0);
	if (rc == 0)
		dev->irq_sets[index] = (struct irq_set){0};
	return rc;
}
