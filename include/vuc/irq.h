/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_IRQ_H
#define VUC_IRQ_H

/**
 * @file
 * Interrupts of a device: INTx, MSI, MSI-X, error and request notification.
 *
 * An eventfd that is assigned to an interrupt is signalled by the server itself, without vuc in
 * between, so a KVM irqfd reaches the guest directly. vuc_device_irq() tells what interrupts there
 * are and what can be done with them; what cannot be is refused here, before the server is asked.
 *
 * Like all functions that take a device, these are called by the thread that owns its poll group.
 * They poll the group until the server has answered, so callbacks of other devices in it may run;
 * those whose names end with _start do not wait: see vuc_done_fn. All messages of a call together
 * have timeout_ms.
 *
 * All return 0 or a negative errno, and vuc_device_reason() says why:
 *
 * - -EINVAL for an index without interrupts, a range that is empty or outside of the index, or an
 *   action that there is not;
 * - -EOPNOTSUPP for eventfds to a server that takes no descriptors;
 * - what the server answered, also about what the flags of the index rule out: servers forget
 * flags, so that is tried, with one warning to the log of the poll group;
 * - -ETIMEDOUT; -ENOMEM; what ended the connection;
 * - -EDEADLK from a completion callback, unless it does not wait.
 *
 * Specification: VFIO_USER_DEVICE_SET_IRQS.
 */

#include <stdbool.h>
#include <stdint.h>

#include <vuc/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Some interrupts of an IRQ index: start … start + count - 1. */
struct vuc_irq_range {
	uint32_t index; /**< VFIO_PCI_*_IRQ_INDEX of <linux/vfio.h>, or higher */
	uint32_t start; /**< the first one */
	uint32_t count; /**< how many, at least 1 */
};

/** What can be done with an interrupt, and what an eventfd can be told of. */
enum vuc_irq_action {
	VUC_IRQ_TRIGGER, /**< it is raised */
	VUC_IRQ_MASK,    /**< it is masked */
	VUC_IRQ_UNMASK,  /**< it is unmasked */
};

/**
 * Assign eventfds to interrupts, in place of those that were assigned before. Takes as many
 * messages as the server's max_msg_fds demands; an interrupt whose eventfd stays the same may
 * be assigned it anew.
 *
 * By the specification the server signals the eventfds for VUC_IRQ_MASK and VUC_IRQ_UNMASK as well.
 * VFIO in the kernel has that of VUC_IRQ_UNMASK the other way round: a client, or KVM as its
 * resamplefd, signals it to unmask INTx. Which of the two a server means is the server's affair,
 * and some servers do neither.
 *
 * The interrupts of an index with VFIO_IRQ_INFO_NORESIZE are set up together: those of the first
 * assignment for VUC_IRQ_TRIGGER, which must fit one message, are all there are until
 * vuc_irq_disable().
 *
 * @param dev       the device
 * @param range     the interrupts
 * @param action    what the eventfds are signalled for
 * @param eventfds  range->count of them, or -1 to take that interrupt's away. They stay the
 *                  caller's and may be closed after the call
 * @param done      set to the number of interrupts, from the first one on, for which it was done:
 *                  range->count on success; may be NULL
 * @return see above; also -EBADF for a descriptor that is not open, -EBUSY and -EMSGSIZE for what
 *         VFIO_IRQ_INFO_NORESIZE does not allow
 */
int vuc_irq_assign(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const int *eventfds, uint32_t *done);

/** The same without waiting. What dup(2) says of a descriptor is an error, too. */
int vuc_irq_assign_start(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const int *eventfds, vuc_done_fn done, void *arg);

/**
 * Take away the eventfds of interrupts, in one message.
 *
 * libvfio-user takes all of a range away only when the range begins with interrupt 0.
 */
int vuc_irq_deassign(
	struct vuc_device *dev, const struct vuc_irq_range *range, enum vuc_irq_action action);

/** The same without waiting. */
int vuc_irq_deassign_start(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, vuc_done_fn done, void *arg);

/** Trigger, mask or unmask all interrupts of a range. */
int vuc_irq_act(
	struct vuc_device *dev, const struct vuc_irq_range *range, enum vuc_irq_action action);

/** The same without waiting. */
int vuc_irq_act_start(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, vuc_done_fn done, void *arg);

/**
 * Trigger, mask or unmask some interrupts of a range.
 *
 * @param dev     the device
 * @param range   the interrupts
 * @param action  what to do
 * @param which   range->count of them: whether to do it with this one
 * @param done    set to the number of interrupts, from the first one on, that are dealt with; may
 *                be NULL. Below range->count only after an error, and with thousands of interrupts
 * @return see above
 */
int vuc_irq_select(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const bool *which, uint32_t *done);

/** The same without waiting. */
int vuc_irq_select_start(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const bool *which, vuc_done_fn done, void *arg);

/** Disable all interrupts of an index and take away their eventfds. */
int vuc_irq_disable(struct vuc_device *dev, uint32_t index);

/** The same without waiting. */
int vuc_irq_disable_start(struct vuc_device *dev, uint32_t index, vuc_done_fn done, void *arg);

#ifdef __cplusplus
}
#endif

#endif /* VUC_IRQ_H */
