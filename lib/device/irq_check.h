/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_IRQ_CHECK_H
#define VUC_DEVICE_IRQ_CHECK_H

/* Checks of a client's interrupt requests, before anything is sent. */

#include <stdint.h>

#include <vuc/error.h>
#include <vuc/irq.h>

/* Each returns 0 or a negative errno, with err. They check whether an index has interrupts; whether
 * the action is possible for this range; and whether these interrupts can be assigned (eventfds
 * NULL: deassigned), including the rules of VFIO_IRQ_INFO_NORESIZE. */
int irq_check_index(const struct vuc_device *dev, uint32_t index, struct vuc_error *err);
int irq_check_action(const struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, struct vuc_error *err);
int irq_check_assign(const struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const int *eventfds, struct vuc_error *err);

/* Most eventfds that one message carries to the server. */
uint32_t irq_max_eventfds(const struct vuc_device *dev);

/* How many interrupts, from the first one on, fit into one message: either all or none of them have
 * eventfds. */
uint32_t irq_run_length(const int *eventfds, uint32_t count, uint32_t max_fds);

/* The part of a range from its first to its last eventfd; count 0: it has none. */
struct vuc_irq_range irq_span_of(const struct vuc_irq_range *range, const int *eventfds);

#endif /* VUC_DEVICE_IRQ_CHECK_H */
