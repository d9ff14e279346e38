/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_IRQ_WATCH_H
#define VUCCTL_IRQ_WATCH_H

/* Eventfds for the interrupts of a range, and waiting for them. */

#include <poll.h>
#include <stdint.h>

#include <vuc/irq.h>

struct vucctl_irq_watch {
	struct vuc_irq_range range;
	int *eventfds;         /* range.count of them */
	struct pollfd *polled; /* likewise */
};

/* Make the eventfds. Returns 0; -errno. vucctl_irq_watch_close() is due in any case. */
int vucctl_irq_watch_open(struct vucctl_irq_watch *watch, const struct vuc_irq_range *range);

void vucctl_irq_watch_close(struct vucctl_irq_watch *watch);

/* Wait for an interrupt for at most timeout_ms, or until a signal comes. Returns how many vectors
 * were raised, 0 when none; -errno. */
int vucctl_irq_watch_wait(struct vucctl_irq_watch *watch, int timeout_ms);

/* How often vector i of the range was raised since it was last asked. */
uint64_t vucctl_irq_watch_take(struct vucctl_irq_watch *watch, uint32_t i);

#endif /* VUCCTL_IRQ_WATCH_H */
