/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_WIRE_IRQ_H
#define VUC_WIRE_IRQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vfio_user.h"

/*
 * VFIO_USER_DEVICE_SET_IRQS in its forms. The data and the action of a request are one each, so
 * the data is chosen by the function and the action by its argument. There is no body in the
 * reply.
 */

/* Some interrupts of an IRQ index: start … start + count - 1. */
struct vuc_wire_irq_range {
	uint32_t index;
	uint32_t start;
	uint32_t count;
};

enum vuc_wire_irq_action {
	VUC_WIRE_IRQ_MASK = VFIO_IRQ_SET_ACTION_MASK,
	VUC_WIRE_IRQ_UNMASK = VFIO_IRQ_SET_ACTION_UNMASK,
	VUC_WIRE_IRQ_TRIGGER = VFIO_IRQ_SET_ACTION_TRIGGER,
};

/*
 * Act on all interrupts of the range. buf has room for struct vfio_user_irq_set. Returns the bytes
 * written.
 */
size_t vuc_wire_irq_act_encode(
	void *buf, const struct vuc_wire_irq_range *range, enum vuc_wire_irq_action action);

/*
 * Act on those interrupts of the range whose flag, one of range->count, is set. Returns the bytes
 * written; -EINVAL for a count of 0 or over VUC_WIRE_MAX_IRQ_COUNT; -ENOSPC.
 */
int vuc_wire_irq_select_encode(void *buf, size_t size, const struct vuc_wire_irq_range *range,
	enum vuc_wire_irq_action action, const bool *flags);

/*
 * Assign eventfds: that of each interrupt is signalled when the action happens. The fds,
 * range->count of them, ride along; with none, those that were assigned are taken away. buf has
 * room for struct vfio_user_irq_set. Returns the bytes written.
 */
size_t vuc_wire_irq_eventfd_encode(
	void *buf, const struct vuc_wire_irq_range *range, enum vuc_wire_irq_action action);

/* Disable all interrupts of an index. buf and what is returned: as above. */
size_t vuc_wire_irq_disable_encode(void *buf, uint32_t index);

#endif /* VUC_WIRE_IRQ_H */
