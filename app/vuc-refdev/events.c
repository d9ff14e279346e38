/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include <unistd.h>

#include "device.h"

void
refdev_events_init(struct refdev *dev)
{
	struct refdev_events *events = &dev->events;

	*events = (struct refdev_events){.ioregion = {-1, -1}, .shadow = {.fd = -1}};
	for (unsigned int i = 0; i < REFDEV_MAX_EVENT_FDS; i++)
		events->fds[i] = -1;
}

void
refdev_events_release(struct refdev *dev)
{
	struct refdev_events *events = &dev->events;

	for (unsigned int i = 0; i < REFDEV_MAX_EVENT_FDS; i++)
		if (events->fds[i] >= 0)
			close(events->fds[i]);
	for (unsigned int i = 0; i < 2; i++)
		if (events->ioregion[i] >= 0)
			close(events->ioregion[i]);
	refdev_memory_close(&events->shadow);
	refdev_events_init(dev);
}

static void
doorbell_ring(struct refdev *dev, uint32_t offset, uint32_t value)
{
	refdev_bar0_write(dev, offset, (const uint8_t *)&value, sizeof(value));
}

/* An ioeventfd tells how often it was written; all of them at once count as one write. */
static void
take_event(struct refdev *dev, enum refdev_event event)
{
	uint32_t value;

	switch (event) {
	case REFDEV_EVENT_DOORBELL:
		doorbell_ring(dev, REFDEV_REG_DOORBELL, REFDEV_DOORBELL_MATCH);
		break;
	case REFDEV_EVENT_DOORBELL2:
		memcpy(&value, dev->events.shadow.bytes, sizeof(value));
		doorbell_ring(dev, REFDEV_REG_DOORBELL2, value);
		break;
	case REFDEV_EVENT_TIMER:
		refdev_irq_raise(dev, VFIO_PCI_MSIX_IRQ_INDEX,
			(uint32_t)REFDEV_REG(dev, TIMER_VECTOR) % REFDEV_MSIX_VECTORS);
		break;
	}
}

void
refdev_take_events(struct refdev *dev)
{
	for (unsigned int i = 0; i < REFDEV_MAX_EVENT_FDS; i++) {
		uint64_t times;

		if (dev->events.fds[i] >= 0 &&
			read(dev->events.fds[i], &times, sizeof(times)) == (ssize_t)sizeof(times))
			take_event(dev, (enum refdev_event)i);
	}
}

unsigned int
refdev_event_fds(const struct refdev *dev, int *fds)
{
	if (dev->events.nr > 0)
		memcpy(fds, dev->events.fds, sizeof(dev->events.fds));
	return dev->events.nr;
}
