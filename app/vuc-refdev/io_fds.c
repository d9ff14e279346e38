/* SPDX-License-Identifier: BSD-3-Clause */

/* What reaches the device by descriptors of its own: ioeventfds and the timer, and
 * VFIO_USER_DEVICE_GET_REGION_IO_FDS, by which a client gets the former. */

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <linux/kvm.h>

#include "fds.h"
#include "reference.h"

void
refdev_io_fds_release(struct refdev *dev)
{
	struct refdev_reference *ref = dev->state;

	vuc_fds_close(ref->ioregion, 2);
	ref->ioregion[0] = -1;
	ref->ioregion[1] = -1;
	refdev_memory_close(&ref->shadow);
}

static void
doorbell_ring(struct refdev *dev, uint32_t offset, uint32_t value)
{
	refdev_bar0_write(dev, offset, (const uint8_t *)&value, sizeof(value));
}

/* An ioeventfd tells how often it was written; all of them at once count as one write. */
void
refdev_io_fds_take_event(struct refdev *dev, unsigned int event)
{
	uint32_t value;

	switch (event) {
	case REFDEV_EVENT_DOORBELL:
		doorbell_ring(dev, REFDEV_REG_DOORBELL, REFDEV_DOORBELL_MATCH);
		break;
	case REFDEV_EVENT_DOORBELL2:
		memcpy(&value, refdev_reference_of(dev)->shadow.bytes, sizeof(value));
		doorbell_ring(dev, REFDEV_REG_DOORBELL2, value);
		break;
	default:
		refdev_irq_raise(dev, VFIO_PCI_MSIX_IRQ_INDEX,
			(uint32_t)REFDEV_REG(dev, TIMER_VECTOR) % REFDEV_MSIX_VECTORS);
		break;
	}
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
	struct vfio_user_sub_region_ioeventfd doorbell;
	struct vfio_user_sub_region_ioregionfd ram;
	uint64_t padding;
	struct vfio_user_sub_region_ioeventfd doorbell2;
} VFIO_USER_PACKED;

static const struct io_fds_reply offer = {
	.fixed = {.argsz = sizeof(offer), .index = VFIO_PCI_BAR0_REGION_INDEX, .count = 3},
	.doorbell =
		{
			.offset = REFDEV_REG_DOORBELL,
			.size = 4,
			.fd_index = FD_DOORBELL,
			.type = VFIO_USER_IO_FD_TYPE_IOEVENTFD,
			.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
			.datamatch = REFDEV_DOORBELL_MATCH,
		},
	.ram =
		{
			.offset = REFDEV_RAM_OFFSET,
			.size = REFDEV_RAM_SIZE,
			.fd_index = FD_IOREGION,
			.type = VFIO_USER_IO_FD_TYPE_IOREGIONFD,
			.user_data = REFDEV_RAM_OFFSET,
		},
	.doorbell2 =
		{
			.offset = REFDEV_REG_DOORBELL2,
			.size = 4,
			.fd_index = FD_DOORBELL2,
			.type = VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW,
			.shadow_mem_fd_index = FD_SHADOW,
		},
};

static int
eventfd_open(int *fd)
{
	if (*fd < 0)
		*fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return *fd >= 0 ? 0 : -errno;
}

/* They are made when a client asks first, and stay until it leaves. */
static int
open_and_attach(struct refdev *dev, struct refdev_body *out)
{
	struct refdev_reference *ref = dev->state;
	int *events = dev->event_fds;
	int rc = eventfd_open(&events[REFDEV_EVENT_DOORBELL]);

	if (rc == 0)
		rc = eventfd_open(&events[REFDEV_EVENT_DOORBELL2]);
	if (rc == 0 && ref->ioregion[0] < 0 &&
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ref->ioregion) != 0)
		rc = -errno;
	if (rc == 0 && ref->shadow.fd < 0)
		rc = refdev_memory_open(&ref->shadow, "refdev-shadow", SHADOW_SIZE);
	if (rc != 0)
		return rc;

	const int fds[NR_FDS] = {
		[FD_DOORBELL] = events[REFDEV_EVENT_DOORBELL],
		[FD_IOREGION] = ref->ioregion[1],
		[FD_DOORBELL2] = events[REFDEV_EVENT_DOORBELL2],
		[FD_SHADOW] = ref->shadow.fd,
	};

	for (unsigned int i = 0; i < NR_FDS && rc == 0; i++)
		rc = refdev_body_attach(out, fds[i]);
	return rc;
}

/* Other regions have none, and neither has a client that can't receive as many descriptors. */
int
refdev_io_fds_get(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	struct vfio_user_region_io_fds ask, none;
	int rc;

	memcpy(&ask, in->bytes, sizeof(ask));
	none = (struct vfio_user_region_io_fds){.argsz = sizeof(none), .index = ask.index};
	if (ask.index >= REFDEV_NR_REGIONS || ask.flags != 0 || ask.count != 0)
		return -EINVAL;
	if (ask.index != offer.fixed.index || dev->client_max_msg_fds < NR_FDS)
		return refdev_body_put(out, &none, sizeof(none), sizeof(none), ask.argsz);
	rc = refdev_body_put(out, &offer, sizeof(offer), sizeof(none), ask.argsz);
	return rc != 0 || ask.argsz < sizeof(offer) ? rc : open_and_attach(dev, out);
}
