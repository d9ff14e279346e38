/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/kvm.h>

#include <vuc/io_fds.h>

#include "error.h"
#include "internal.h"
#include "io_fds.h"

/* A server may add sub-regions between two questions, but not for ever. */
#define MAX_QUESTIONS 4u

/* The flags of the specification. KVM_IOEVENTFD_FLAG_DEASSIGN is not among them: it would take away
 * what the caller has set up. */
#define IOEVENTFD_FLAGS                                                     \
	((uint32_t)(KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | \
		KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY))

/* KVM_IOREGION_PIO and KVM_IOREGION_POSTED_WRITES, which no kernel header has yet. */
#define IOREGION_FLAGS 3u

static const enum vuc_io_fd_type types[] = {
	[VFIO_USER_IO_FD_TYPE_IOEVENTFD] = VUC_IO_FD_IOEVENTFD,
	[VFIO_USER_IO_FD_TYPE_IOREGIONFD] = VUC_IO_FD_IOREGIONFD,
	[VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW] = VUC_IO_FD_IOEVENTFD_SHADOW,
};

static int
check_flags(
	struct vuc_device *dev, uint32_t region, uint32_t i, const struct vuc_wire_sub_region *sub)
{
	uint32_t known =
		sub->type == VFIO_USER_IO_FD_TYPE_IOREGIONFD ? IOREGION_FLAGS : IOEVENTFD_FLAGS;

	if ((sub->flags & ~known) == 0)
		return 0;
	return vuc_error_set(&dev->reason, -EPROTO,
		"VFIO_USER_DEVICE_GET_REGION_IO_FDS reply: region %u: sub-region %u: flags 0x%x, "
		"known are 0x%x",
		region, i, sub->flags, known);
}

static int
index_of(uint32_t fd_index)
{
	return fd_index == VUC_WIRE_NO_FD ? -1 : (int)fd_index;
}

static void
convert(struct vuc_io_sub_region *to, const struct vuc_wire_sub_region *from)
{
	*to = (struct vuc_io_sub_region){
		.type = types[from->type],
		.flags = from->flags,
		.offset = from->offset,
		.size = from->size,
		.fd_index = index_of(from->fd_index),
		.shadow_fd_index = index_of(from->shadow_fd_index),
		.shadow_offset = from->shadow_offset,
		.datamatch = from->datamatch,
		.user_data = from->user_data,
	};
}

/* Sub-regions lie behind the struct that points to them. */
static struct vuc_io_fds *
allocate(uint32_t count)
{
	struct vuc_io_fds *io_fds =
		calloc(1, sizeof(*io_fds) + count * sizeof(*io_fds->sub_regions));

	if (io_fds != NULL)
		io_fds->sub_regions = (const struct vuc_io_sub_region *)(io_fds + 1);
	return io_fds;
}

static void
take_fds(struct vuc_io_fds *io_fds, struct device_reply *reply)
{
	memcpy(io_fds->fds, reply->fds, reply->nr_fds * sizeof(*reply->fds));
	io_fds->nr_fds = reply->nr_fds;
	reply->nr_fds = 0;
}

static int
keep(struct vuc_device *dev, uint32_t region, const struct vuc_wire_io_fds *wire,
	struct device_reply *reply, struct vuc_io_fds **io_fds)
{
	struct vuc_io_fds *kept = allocate(wire->count);
	struct vuc_io_sub_region *subs;

	if (kept == NULL)
		return vuc_error_set(&dev->reason, -ENOMEM,
			"no memory for %u sub-regions of region %u", wire->count, region);
	subs = (struct vuc_io_sub_region *)(kept + 1);
	for (uint32_t i = 0; i < wire->count; i++) {
		struct vuc_wire_sub_region sub;
		int rc;

		vuc_wire_io_fds_get(wire, i, &sub);
		rc = check_flags(dev, region, i, &sub);
		if (rc != 0) {
			free(kept);
			return rc;
		}
		convert(&subs[i], &sub);
	}
	kept->nr_sub_regions = wire->count;
	take_fds(kept, reply);
	*io_fds = kept;
	return 0;
}

/* Ask with room for *argsz bytes. It becomes what is needed when the server has more to say. */
static int
ask(struct vuc_device *dev, uint32_t region, uint32_t *argsz, struct vuc_io_fds **io_fds)
{
	uint8_t request[sizeof(struct vfio_user_region_io_fds)];
	struct device_reply reply = {.body = malloc(*argsz), .size = *argsz};
	struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_GET_REGION_IO_FDS,
		.body = request,
		.len = vuc_wire_io_fds_encode(request, region, *argsz),
		.reply_max = *argsz,
	};
	struct vuc_wire_io_fds_request asked = {
		.index = region,
		.argsz = *argsz,
		.region_size = dev->regions[region].info.size,
	};
	struct vuc_wire_io_fds wire;
	int rc;

	if (reply.body == NULL)
		return vuc_error_set(&dev->reason, -ENOMEM,
			"no memory for %u bytes about sub-regions of region %u", *argsz, region);
	rc = device_ask(dev, &req, &reply);
	if (device_lacks_command(&reply))
		rc = -EOPNOTSUPP;
	asked.nr_fds = reply.nr_fds;
	if (rc == 0)
		rc = vuc_wire_io_fds_decode(reply.body, reply.len, &asked, &wire, &dev->reason);
	if (rc == 0 && wire.truncated)
		*argsz = wire.argsz;
	else if (rc == 0)
		rc = keep(dev, region, &wire, &reply, io_fds);
	device_close_fds(&reply);
	free(reply.body);
	return rc;
}

VUC_EXPORT int
vuc_io_fds_get(struct vuc_device *dev, uint32_t region, struct vuc_io_fds **io_fds)
{
	const struct vuc_region *r = vuc_device_region(dev, region);
	uint32_t argsz = sizeof(struct vfio_user_region_io_fds);
	int rc = 0;

	*io_fds = NULL;
	if (r == NULL || r->size == 0)
		return vuc_error_set(&dev->reason, -EINVAL, "there is no region %u", region);
	if (!dev->io_fds)
		return vuc_error_set(&dev->reason, -EOPNOTSUPP,
			"region %u: the server is not asked for its sub-regions (io_fds is off)",
			region);
	for (unsigned int n = 0; rc == 0 && *io_fds == NULL; n++) {
		if (n == MAX_QUESTIONS)
			return vuc_error_set(&dev->reason, -EPROTO,
				"VFIO_USER_DEVICE_GET_REGION_IO_FDS: region %u: asked %u times, "
				"and the server wants an argsz of %u now",
				region, n, argsz);
		rc = ask(dev, region, &argsz, io_fds);
	}
	if (rc == 0 && (*io_fds)->nr_fds > 0)
		dev->bypassed = true;
	return rc;
}

VUC_EXPORT void
vuc_io_fds_free(struct vuc_io_fds *io_fds)
{
	if (io_fds == NULL)
		return;
	for (uint32_t i = 0; i < io_fds->nr_fds; i++) {
		if (io_fds->fds[i] >= 0)
			close(io_fds->fds[i]);
	}
	free(io_fds);
}
