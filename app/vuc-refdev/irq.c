/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts: what masks and delivers them, and the client's DEVICE_GET_IRQ_INFO and SET_IRQS. */

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "device.h"

#define EVENTFD    VFIO_IRQ_INFO_EVENTFD
#define MASKABLE   VFIO_IRQ_INFO_MASKABLE
#define AUTOMASKED VFIO_IRQ_INFO_AUTOMASKED

/* VFIO_IRQ_INFO_* of each index; those without any have no interrupts. */
static const uint32_t index_flags[REFDEV_NR_IRQ_INDEXES] = {
	[VFIO_PCI_INTX_IRQ_INDEX] = EVENTFD | MASKABLE | AUTOMASKED,
	[VFIO_PCI_MSIX_IRQ_INDEX] = EVENTFD | MASKABLE,
	[VFIO_PCI_ERR_IRQ_INDEX] = EVENTFD,
	[VFIO_PCI_REQ_IRQ_INDEX] = EVENTFD,
};

static uint32_t
index_count(const struct refdev *dev, uint32_t index)
{
	if (index == VFIO_PCI_MSIX_IRQ_INDEX)
		return dev->model->vectors;
	return index_flags[index] != 0 ? 1 : 0;
}

static struct refdev_irq *
irq_at(struct refdev *dev, uint32_t index, uint32_t n)
{
	return &dev->irq[index][n];
}

void
refdev_irq_init(struct refdev *dev)
{
	for (uint32_t index = 0; index < REFDEV_NR_IRQ_INDEXES; index++)
		for (uint32_t n = 0; n < REFDEV_MAX_VECTORS; n++)
			memset(dev->irq[index][n].eventfd, -1, sizeof(dev->irq[index][n].eventfd));
}

/*
 * The descriptor is whatever the client sent. A full one is skipped rather than waited for: an
 * eventfd that can't be written holds an event already.
 */
static void
signal_event(const struct refdev_irq *irq, enum refdev_irq_event event)
{
	struct pollfd pfd = {.fd = irq->eventfd[event], .events = POLLOUT};
	uint64_t one = 1;
	ssize_t n;

	if (pfd.fd < 0 || poll(&pfd, 1, 0) != 1 || (pfd.revents & POLLOUT) == 0)
		return;
	n = write(pfd.fd, &one, sizeof(one));
	(void)n;
}

static void
set_masked(struct refdev_irq *irq, bool masked)
{
	if (irq->masked == masked)
		return;
	irq->masked = masked;
	signal_event(irq, masked ? REFDEV_IRQ_MASKED : REFDEV_IRQ_UNMASKED);
}

/* INTx is a level: without an eventfd it waits for one. Messages to nobody are lost. */
static void
irq_deliver(struct refdev *dev, uint32_t index, uint32_t n)
{
	struct refdev_irq *irq = irq_at(dev, index, n);

	if (index == VFIO_PCI_INTX_IRQ_INDEX && irq->eventfd[REFDEV_IRQ_TRIGGERED] < 0) {
		irq->pending = true;
		return;
	}
	irq->pending = false;
	signal_event(irq, REFDEV_IRQ_TRIGGERED);
	if (index_flags[index] & AUTOMASKED) {
		irq->client_masked = true;
		set_masked(irq, true);
	}
}

static void
deliver_if_due(struct refdev *dev, uint32_t index, uint32_t n)
{
	const struct refdev_irq *irq = irq_at(dev, index, n);
	bool level = index == VFIO_PCI_INTX_IRQ_INDEX && dev->intx_level;

	if (!irq->masked && (irq->pending || level))
		irq_deliver(dev, index, n);
}

static bool
config_has(const struct refdev *dev, uint32_t offset, uint16_t bit)
{
	uint16_t value;

	memcpy(&value, dev->config_space.bytes + offset, sizeof(value));
	return (value & bit) != 0;
}

bool
refdev_irq_msix_is_enabled(const struct refdev *dev)
{
	return config_has(dev, dev->model->msix_cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE);
}

/* Whether config space or the MSI-X table mask an interrupt. */
static bool
device_masks(const struct refdev *dev, uint32_t index, uint32_t n)
{
	uint32_t control = n * REFDEV_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL;

	if (index == VFIO_PCI_INTX_IRQ_INDEX)
		return config_has(dev, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE);
	return index == VFIO_PCI_MSIX_IRQ_INDEX &&
		(config_has(dev, dev->model->msix_cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_MASKALL) ||
			(dev->msix_table[control] & PCI_MSIX_ENTRY_CTRL_MASKBIT) != 0);
}

static void
irq_refresh(struct refdev *dev, uint32_t index, uint32_t n)
{
	struct refdev_irq *irq = irq_at(dev, index, n);

	set_masked(irq, irq->client_masked || device_masks(dev, index, n));
	deliver_if_due(dev, index, n);
}

void
refdev_irq_refresh(struct refdev *dev)
{
	for (uint32_t index = 0; index < REFDEV_NR_IRQ_INDEXES; index++)
		for (uint32_t n = 0; n < index_count(dev, index); n++)
			irq_refresh(dev, index, n);
}

/* The eventfds are the client's affair and stay, and so does what it has masked. */
void
refdev_irq_reset(struct refdev *dev)
{
	refdev_irq_set_intx(dev, false);
	for (uint32_t index = 0; index < REFDEV_NR_IRQ_INDEXES; index++)
		for (uint32_t n = 0; n < index_count(dev, index); n++)
			dev->irq[index][n].pending = false;
}

/* Takes fd, which may be -1. */
static void
irq_assign(struct refdev *dev, uint32_t index, uint32_t n, enum refdev_irq_event event, int fd)
{
	struct refdev_irq *irq = irq_at(dev, index, n);

	if (irq->eventfd[event] >= 0)
		close(irq->eventfd[event]);
	irq->eventfd[event] = fd;
	if (fd >= 0)
		deliver_if_due(dev, index, n);
}

/* Eventfds go first, so that what becomes unmasked is lost instead of delivered. */
void
refdev_irq_release(struct refdev *dev, uint32_t index)
{
	for (uint32_t n = 0; n < index_count(dev, index); n++) {
		for (int event = 0; event < REFDEV_IRQ_NR_EVENTS; event++)
			irq_assign(dev, index, n, (enum refdev_irq_event)event, -1);
		irq_at(dev, index, n)->client_masked = false;
		irq_refresh(dev, index, n);
	}
}

void
refdev_irq_raise(struct refdev *dev, uint32_t index, uint32_t n)
{
	struct refdev_irq *irq = irq_at(dev, index, n);

	if (irq->masked)
		irq->pending = true;
	else
		irq_deliver(dev, index, n);
}

void
refdev_irq_set_intx(struct refdev *dev, bool level)
{
	uint16_t status = PCI_STATUS_CAP_LIST | (level ? PCI_STATUS_INTERRUPT : 0);

	if (dev->intx_level == level)
		return;
	dev->intx_level = level;
	memcpy(dev->config_space.bytes + PCI_STATUS, &status, sizeof(status));
	if (level)
		refdev_irq_raise(dev, VFIO_PCI_INTX_IRQ_INDEX, 0);
	else
		irq_at(dev, VFIO_PCI_INTX_IRQ_INDEX, 0)->pending = false;
}

uint64_t
refdev_irq_pending_bits(const struct refdev *dev)
{
	const struct refdev_irq *irq = dev->irq[VFIO_PCI_MSIX_IRQ_INDEX];
	uint64_t bits = 0;

	for (uint32_t n = 0; n < dev->model->vectors; n++)
		bits |= (uint64_t)irq[n].pending << n;
	return bits;
}

int
refdev_irq_info_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	struct vfio_user_irq_info ask, reply;

	memcpy(&ask, in->bytes, sizeof(ask));
	if (ask.index >= REFDEV_NR_IRQ_INDEXES || ask.flags != 0 || ask.count != 0)
		return -EINVAL;
	reply = (struct vfio_user_irq_info){
		.argsz = sizeof(reply),
		.flags = index_flags[ask.index],
		.index = ask.index,
		.count = index_count(dev, ask.index),
	};
	return refdev_body_put(out, &reply, sizeof(reply), sizeof(reply), ask.argsz);
}

#define DATA_FLAGS   ((uint32_t)VFIO_IRQ_SET_DATA_TYPE_MASK)
#define ACTION_FLAGS ((uint32_t)VFIO_IRQ_SET_ACTION_TYPE_MASK)

static bool
is_one_bit(uint32_t flags)
{
	return flags != 0 && (flags & (flags - 1)) == 0;
}

/* What comes behind the fixed part: a byte an interrupt, a descriptor an interrupt, or nothing. */
static bool
payload_fits(const struct vfio_user_irq_set *set, size_t bytes, unsigned int nr_fds)
{
	switch (set->flags & DATA_FLAGS) {
	case VFIO_IRQ_SET_DATA_BOOL:
		return bytes == set->count && nr_fds == 0;
	case VFIO_IRQ_SET_DATA_EVENTFD:
		return bytes == 0 && (nr_fds == 0 || nr_fds == set->count);
	default:
		return bytes == 0 && nr_fds == 0;
	}
}

/* No interrupts at all stands for all of them, and only when they are to be disabled. */
static bool
is_disable(const struct vfio_user_irq_set *set)
{
	return set->count == 0 && set->start == 0 &&
		set->flags == (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER);
}

static bool
irq_set_is_valid(const struct refdev *dev, const struct vfio_user_irq_set *set)
{
	uint32_t count;

	if ((set->flags & ~(DATA_FLAGS | ACTION_FLAGS)) != 0 ||
		!is_one_bit(set->flags & DATA_FLAGS) || !is_one_bit(set->flags & ACTION_FLAGS) ||
		set->index >= REFDEV_NR_IRQ_INDEXES)
		return false;
	if (is_disable(set))
		return true;
	count = index_count(dev, set->index);
	if (set->count == 0 || set->start > count || set->count > count - set->start)
		return false;
	return (set->flags & VFIO_IRQ_SET_ACTION_TRIGGER) != 0 ||
		(index_flags[set->index] & MASKABLE) != 0;
}

static void
irq_set_act(struct refdev *dev, const struct vfio_user_irq_set *set, uint32_t n)
{
	if (set->flags & VFIO_IRQ_SET_ACTION_TRIGGER) {
		refdev_irq_raise(dev, set->index, n);
		return;
	}
	irq_at(dev, set->index, n)->client_masked = (set->flags & VFIO_IRQ_SET_ACTION_MASK) != 0;
	irq_refresh(dev, set->index, n);
}

/* Takes the i-th descriptor; without any, the eventfds are de-assigned. */
static void
irq_set_assign(struct refdev *dev, const struct vfio_user_irq_set *set,
	const struct refdev_body *in, uint32_t i)
{
	enum refdev_irq_event event = REFDEV_IRQ_TRIGGERED;
	int fd = -1;

	if (set->flags & VFIO_IRQ_SET_ACTION_MASK)
		event = REFDEV_IRQ_MASKED;
	else if (set->flags & VFIO_IRQ_SET_ACTION_UNMASK)
		event = REFDEV_IRQ_UNMASKED;
	if (in->nr_fds > 0) {
		fd = in->fds[i];
		in->fds[i] = -1;
	}
	irq_assign(dev, set->index, set->start + i, event, fd);
}

int
refdev_set_irqs_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	const uint8_t *bools = in->bytes + sizeof(struct vfio_user_irq_set);
	struct vfio_user_irq_set set;

	(void)out;
	memcpy(&set, in->bytes, sizeof(set));
	if (set.argsz != in->len || !irq_set_is_valid(dev, &set) ||
		!payload_fits(&set, in->len - sizeof(set), in->nr_fds))
		return -EINVAL;
	if (is_disable(&set))
		refdev_irq_release(dev, set.index);
	for (uint32_t i = 0; i < set.count; i++) {
		if (set.flags & VFIO_IRQ_SET_DATA_EVENTFD)
			irq_set_assign(dev, &set, in, i);
		else if ((set.flags & VFIO_IRQ_SET_DATA_NONE) != 0 || bools[i] != 0)
			irq_set_act(dev, &set, set.start + i);
	}
	return 0;
}
