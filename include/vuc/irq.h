/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_IRQ_H
#define VUC_IRQ_H

/**
 * @file
 * Interrupts of a device: INTx, MSI, MSI-X, error and request notification.
 *
 * The server itself signals an eventfd that is assigned to an interrupt, so with a KVM irqfd, the
 * interrupt reaches the guest directly. vuc_device_irq() returns the interrupts and their flags.
 * Invalid arguments are refused without sending a message to the server.
 *
 * Call these functions on the thread that owns the device's poll group. They poll the group until
 * the server replies, so callbacks of other devices in it may run. Functions whose names end in
 * _start do not wait, see vuc_done_fn. timeout_ms applies to all messages of a call together.
 *
 * All functions return 0 or a negative errno, and vuc_device_reason() returns the error text:
 *
 * - -EINVAL for an index without interrupts, a range that is empty or outside of the index, or an
 *   unknown action;
 * - -EOPNOTSUPP for eventfds, if the server accepts no file descriptors;
 * - an error reply of the server. An action that the flags of the index do not allow is sent, too,
 *   with one warning in the log of the poll group, because some servers do not set all flags;
 * - -ETIMEDOUT; -ENOMEM; the error of the connection;
 * - -EDEADLK from a completion callback, for functions that wait.
 *
 * Specification: VFIO_USER_DEVICE_SET_IRQS.
 */

#include <stdbool.h>
#include <stdint.h>

#include <vuc/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A range of interrupts of an IRQ index: start … start + count - 1. */
struct vuc_irq_range {
	uint32_t index; /**< VFIO_PCI_*_IRQ_INDEX of <linux/vfio.h>, or higher */
	uint32_t start; /**< the first one */
	uint32_t count; /**< how many, at least 1 */
};

/** Actions on an interrupt, and events that an eventfd can signal. */
enum vuc_irq_action {
	VUC_IRQ_TRIGGER, /**< raise the interrupt */
	VUC_IRQ_MASK,    /**< mask the interrupt */
	VUC_IRQ_UNMASK,  /**< unmask the interrupt */
};

/**
 * Assign eventfds to interrupts, and replace those that were assigned before. The call sends
 * several messages if the server's max_msg_fds requires it. An eventfd may be assigned to the same
 * interrupt again.
 *
 * By the specification, the server also signals the eventfds for VUC_IRQ_MASK and VUC_IRQ_UNMASK.
 * In the kernel's VFIO, the eventfd for VUC_IRQ_UNMASK works in the other direction: a client, or
 * KVM by its resamplefd, signals it to unmask INTx. Servers implement either variant, or none.
 *
 * The interrupts of an index with VFIO_IRQ_INFO_NORESIZE must be set up together: the first
 * assignment for VUC_IRQ_TRIGGER must fit into one message, and no others can be added until
 * vuc_irq_disable().
 *
 * @param dev       the device
 * @param range     the interrupts
 * @param action    event that signals the eventfds
 * @param eventfds  range->count of them; -1 removes the eventfd of that interrupt. The caller owns
 *                  them and may close them after the call
 * @param done      set to the number of interrupts, from the first one on, that were assigned:
 *                  range->count on success; may be NULL
 * @return see above; also -EBADF for a closed file descriptor, -EBUSY and -EMSGSIZE for what
 *         VFIO_IRQ_INFO_NORESIZE does not allow
 */
int vuc_irq_assign(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const int *eventfds, uint32_t *done);

/** Asynchronous variant, see vuc_done_fn. @return see above; also the errors of dup(2) */
int vuc_irq_assign_start(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const int *eventfds, vuc_done_fn done, void *arg);

/**
 * Remove the eventfds of interrupts, with one message.
 *
 * libvfio-user removes the eventfds of a whole range only if the range begins with interrupt 0.
 */
int vuc_irq_deassign(
	struct vuc_device *dev, const struct vuc_irq_range *range, enum vuc_irq_action action);

/** Asynchronous variant, see vuc_done_fn. */
int vuc_irq_deassign_start(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, vuc_done_fn done, void *arg);

/** Trigger, mask or unmask all interrupts of a range. */
int vuc_irq_act(
	struct vuc_device *dev, const struct vuc_irq_range *range, enum vuc_irq_action action);

/** Asynchronous variant, see vuc_done_fn. */
int vuc_irq_act_start(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, vuc_done_fn done, void *arg);

/**
 * Trigger, mask or unmask some interrupts of a range.
 *
 * @param dev     the device
 * @param range   the interrupts
 * @param action  what to do
 * @param which   range->count of them: whether the action applies to this interrupt
 * @param done    set to the number of interrupts, from the first one on, that were processed; may
 * be NULL. Below range->count only after an error, with thousands of interrupts
 * @return see above
 */
int vuc_irq_select(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const bool *which, uint32_t *done);

/** Asynchronous variant, see vuc_done_fn. */
int vuc_irq_select_start(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const bool *which, vuc_done_fn done, void *arg);

/** Disable all interrupts of an index and remove their eventfds. */
int vuc_irq_disable(struct vuc_device *dev, uint32_t index);

/** Asynchronous variant, see vuc_done_fn. */
int vuc_irq_disable_start(struct vuc_device *dev, uint32_t index, vuc_done_fn done, void *arg);

#ifdef __cplusplus
}
#endif

#endif /* VUC_IRQ_H */
