/* SPDX-License-Identifier: BSD-3-Clause */
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "device.h"

#define VECTOR_CONTROL 12u /* of an entry of the MSI-X table */

#define INTX_FLAGS (VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED)

const struct refdev_irq_index refdev_irq_indexes[REFDEV_NR_IRQ_INDEXES] = {
	[VFIO_PCI_INTX_IRQ_INDEX] = {.flags = INTX_FLAGS, .count = 1, .first = 0},
	[VFIO_PCI_MSIX_IRQ_INDEX] =
		{
			.flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE,
			.count = REFDEV_MSIX_VECTORS,
			.first = 1,
		},
	[VFIO_PCI_ERR_IRQ_INDEX] =
		{
			.flags = VFIO_IRQ_INFO_EVENTFD,
			.count = 1,
			.first = 1 + REFDEV_MSIX_VECTORS,
		},
	[VFIO_PCI_REQ_IRQ_INDEX] =
		{
			.flags = VFIO_IRQ_INFO_EVENTFD,
			.count = 1,
			.first = 2 + REFDEV_MSIX_VECTORS,
		},
};

static struct refdev_irq *
irq_at(struct refdev *dev, uint32_t index, uint32_t n)
{
	return &dev->irq[refdev_irq_indexes[index].first + n];
}

void
refdev_irq_init(struct refdev *dev)
{
	for (uint32_t i = 0; i < REFDEV_NR_IRQS; i++)
		for (int event = 0; event < REFDEV_IRQ_NR_EVENTS; event++)
			dev->irq[i].eventfd[event] = -1;
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

static uint16_t
get_word(const struct refdev *dev, uint32_t offset)
{
	uint16_t word;

	memcpy(&word, dev->config_space.bytes + offset, sizeof(word));
	return word;
}

static bool
is_intx_disabled(const struct refdev *dev)
{
	return (get_word(dev, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE) != 0;
}

static bool
is_msix_masked(const struct refdev *dev)
{
	return (get_word(dev, REFDEV_CAP_MSIX + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_MASKALL) != 0;
}

static bool
is_vector_masked(const struct refdev *dev, uint32_t vector)
{
	return (dev->bar4.table[vector * REFDEV_MSIX_ENTRY_SIZE + VECTOR_CONTROL] & 1) != 0;
}

static bool
is_masked(struct refdev *dev, uint32_t index, uint32_t n)
{
	if (irq_at(dev, index, n)->client_masked)
		return true;
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return is_intx_disabled(dev);
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return is_msix_masked(dev) || is_vector_masked(dev, n);
	default:
		return false;
	}
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
	if (refdev_irq_indexes[index].flags & VFIO_IRQ_INFO_AUTOMASKED) {
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

static void
irq_refresh(struct refdev *dev, uint32_t index, uint32_t n)
{
	set_masked(irq_at(dev, index, n), is_masked(dev, index, n));
	deliver_if_due(dev, index, n);
}

void
refdev_irq_refresh(struct refdev *dev)
{
	for (uint32_t index = 0; index < REFDEV_NR_IRQ_INDEXES; index++)
		for (uint32_t n = 0; n < refdev_irq_indexes[index].count; n++)
			irq_refresh(dev, index, n);
}

/* The eventfds are the client's affair and stay, and so does what it has masked. */
void
refdev_irq_reset(struct refdev *dev)
{
	refdev_irq_set_intx(dev, false);
	for (uint32_t i = 0; i < REFDEV_NR_IRQS; i++)
		dev->irq[i].pending = false;
}

/* Eventfds go first, so that what becomes unmasked is lost instead of delivered. */
void
refdev_irq_release(struct refdev *dev, uint32_t index)
{
	for (uint32_t n = 0; n < refdev_irq_indexes[index].count; n++) {
		for (int event = 0; event < REFDEV_IRQ_NR_EVENTS; event++)
			refdev_irq_assign(dev, index, n, (enum refdev_irq_event)event, -1);
		irq_at(dev, index, n)->client_masked = false;
		irq_refresh(dev, index, n);
	}
}

void
refdev_irq_assign(
	struct refdev *dev, uint32_t index, uint32_t n, enum refdev_irq_event event, int fd)
{
	struct refdev_irq *irq = irq_at(dev, index, n);

	if (irq->eventfd[event] >= 0)
		close(irq->eventfd[event]);
	irq->eventfd[event] = fd;
	if (fd >= 0)
		deliver_if_due(dev, index, n);
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
refdev_irq_set_client_mask(struct refdev *dev, uint32_t index, uint32_t n, bool masked)
{
	irq_at(dev, index, n)->client_masked = masked;
	irq_refresh(dev, index, n);
}

static void
set_intx_status(struct refdev *dev, bool level)
{
	uint16_t status = PCI_STATUS_CAP_LIST | (level ? PCI_STATUS_INTERRUPT : 0);

	memcpy(dev->config_space.bytes + PCI_STATUS, &status, sizeof(status));
}

void
refdev_irq_set_intx(struct refdev *dev, bool level)
{
	if (dev->intx_level == level)
		return;
	dev->intx_level = level;
	set_intx_status(dev, level);
	if (level)
		refdev_irq_raise(dev, VFIO_PCI_INTX_IRQ_INDEX, 0);
	else
		irq_at(dev, VFIO_PCI_INTX_IRQ_INDEX, 0)->pending = false;
}

uint64_t
refdev_irq_pending_bits(const struct refdev *dev)
{
	const struct refdev_irq *irq = &dev->irq[refdev_irq_indexes[VFIO_PCI_MSIX_IRQ_INDEX].first];
	uint64_t bits = 0;

	for (uint32_t n = 0; n < REFDEV_MSIX_VECTORS; n++)
		bits |= (uint64_t)irq[n].pending << n;
	return bits;
}
