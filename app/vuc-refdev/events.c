/* SPDX-License-Identifier: BSD-3-Clause */

/* What reaches the device by descriptors of its own: ioeventfds and the timer, and
 * VFIO_USER_DEVICE_GET_REGION_IO_FDS, by which a client gets the former. */

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "device.h"
#include "fds.h"

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

/* The descriptors of a reply, by fd_index. */
enum {
	FD_DOORBELL,
	FD_IOREGION,
	FD_DOORBELL2,
	FD_SHADOW,
	NR_FDS,
};

#define SHADOW_SIZE 4096u

/* Sub-regions are as long as the longest kind, so that they can be told apart by division. */
struct io_fds_reply {
	struct vfio_user_region_io_fds fixed;
	struct vfio_user_sub_region_ioeventfd sub[3];
} VFIO_USER_PACKED;

static const struct vfio_user_sub_region_ioeventfd doorbell = {
	.offset = REFDEV_REG_DOORBELL,
	.size = 4,
	.fd_index = FD_DOORBELL,
	.type = VFIO_USER_IO_FD_TYPE_IOEVENTFD,
	.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	.datamatch = REFDEV_DOORBELL_MATCH,
};

static const struct vfio_user_sub_region_ioregionfd ram = {
	.offset = REFDEV_RAM_OFFSET,
	.size = REFDEV_RAM_SIZE,
	.fd_index = FD_IOREGION,
	.type = VFIO_USER_IO_FD_TYPE_IOREGIONFD,
	.user_data = REFDEV_RAM_OFFSET,
};

static const struct vfio_user_sub_region_ioeventfd doorbell2 = {
	.offset = REFDEV_REG_DOORBELL2,
	.size = 4,
	.fd_index = FD_DOORBELL2,
	.type = VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW,
	.shadow_mem_fd_index = FD_SHADOW,
};

static int
open_eventfd(struct refdev_events *events, enum refdev_event event)
{
	int fd;

	if (events->fds[event] >= 0)
		return 0;
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	events->fds[event] = fd;
	events->nr++;
	return 0;
}

static int
open_ioregion(struct refdev_events *events)
{
	if (events->ioregion[0] >= 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events->ioregion) != 0)
		return -errno;
	return 0;
}

/* They are made when a client asks first, and stay until it leaves. */
static int
open_all(struct refdev *dev)
{
	struct refdev_events *events = &dev->events;
	int rc = open_eventfd(events, REFDEV_EVENT_DOORBELL);

	if (rc == 0)
		rc = open_eventfd(events, REFDEV_EVENT_DOORBELL2);
	if (rc == 0)
		rc = open_ioregion(events);
	if (rc == 0 && events->shadow.fd < 0)
		rc = refdev_memory_open(&events->shadow, "refdev-shadow", SHADOW_SIZE);
	return rc;
}

static int
io_fd_attach(const struct refdev *dev, struct refdev_body *out)
{
	const struct refdev_events *events = &dev->events;
	const int own[NR_FDS] = {
		[FD_DOORBELL] = events->fds[REFDEV_EVENT_DOORBELL],
		[FD_IOREGION] = events->ioregion[1],
		[FD_DOORBELL2] = events->fds[REFDEV_EVENT_DOORBELL2],
		[FD_SHADOW] = events->shadow.fd,
	};

	for (unsigned int i = 0; i < NR_FDS; i++) {
		int fd = fcntl(own[i], F_DUPFD_CLOEXEC, 0);

		if (fd < 0)
			return -errno;
		out->fds[out->nr_fds++] = fd;
	}
	return 0;
}

static void
fill_reply(struct io_fds_reply *reply, uint32_t index, bool offered)
{
	*reply = (struct io_fds_reply){.fixed = {.argsz = sizeof(reply->fixed), .index = index}};
	if (!offered)
		return;
	reply->fixed.argsz = sizeof(*reply);
	reply->fixed.count = sizeof(reply->sub) / sizeof(reply->sub[0]);
	reply->sub[0] = doorbell;
	memcpy(&reply->sub[1], &ram, sizeof(ram));
	reply->sub[2] = doorbell2;
}

/* Other regions have none, and neither has a client that can't receive as many descriptors. */
int
refdev_io_fds_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	struct vfio_user_region_io_fds ask;
	struct io_fds_reply reply;
	bool offered;
	int rc;

	if (!dev->config.io_fds)
		return -EOPNOTSUPP;
	memcpy(&ask, in->bytes, sizeof(ask));
	if (ask.index >= REFDEV_NR_REGIONS || ask.flags != 0 || ask.count != 0)
		return -EINVAL;
	offered = ask.index == VFIO_PCI_BAR0_REGION_INDEX && dev->client_max_msg_fds >= NR_FDS;
	fill_reply(&reply, ask.index, offered);
	rc = refdev_body_put(out, &reply, reply.fixed.argsz, sizeof(reply.fixed), ask.argsz);
	if (rc != 0 || !offered || ask.argsz < reply.fixed.argsz)
		return rc;
	rc = open_all(dev);
	return rc != 0 ? rc : io_fd_attach(dev, out);
}
