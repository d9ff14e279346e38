/* SPDX-License-Identifier: BSD-3-Clause */

/* Replies that the machine makes itself: the version, and the description of the device. */

#include <errno.h>

#include "check.h"
#include "command.h"
#include "error.h"
#include "info.h"
#include "internal.h"
#include "version.h"

/* The newest version that is implemented here. */
#define MAX_MINOR 1u

/* From this version on, a client expects error replies as the specification defines them. */
#define SHORT_ERRORS_MINOR 2u

/* QEMU accepts at most 16, and Cloud Hypervisor only 16. */
#define ANNOUNCED_FDS 16u

/* QEMU has room for a reply of 214 bytes. */
#define MAX_VERSION_BODY (sizeof(struct vfio_user_version) + 194)

static int
put_version(struct front *f, const struct front_message *m, const struct vuc_wire_version *theirs)
{
	struct vuc_wire_version ours;
	struct front_body body = {0};
	uint8_t bytes[MAX_VERSION_BODY];
	int len;

	vuc_wire_version_init(&ours);
	ours.minor = theirs->minor < MAX_MINOR ? theirs->minor : MAX_MINOR;
	ours.max_msg_fds = ANNOUNCED_FDS;
	ours.max_data_xfer_size = f->max_data;
	ours.max_dma_maps = f->max_dma_maps;
	ours.pgsizes = f->pgsizes;
	/* Cloud Hypervisor proposes it, and wants a page size then; QEMU takes a bitmap size that
	 * is not above its own. */
	ours.migration.present = theirs->migration.present && f->migration_pgsize != 0;
	ours.migration.pgsize = f->migration_pgsize;
	ours.migration.max_bitmap_size = theirs->migration.max_bitmap_size < f->max_data
		? theirs->migration.max_bitmap_size
		: f->max_data;
	len = vuc_wire_version_encode(bytes, sizeof(bytes), &ours);
	if (len < 0)
		return len;
	body.fixed = bytes;
	body.fixed_len = body.body_len = (uint32_t)len;
	front_put_reply(f, &m->header, 0, &body);
	return 0;
}

int
front_answer_version(struct front *f, const struct front_message *m, struct vuc_error *err)
{
	struct vuc_wire_version theirs;
	struct vuc_error what = {0};
	int rc = vuc_wire_version_decode(m->body, m->len, &theirs, &what);

	if (rc != 0) {
		/* The decoder's text is about a server's version. */
		const char *text = strstr(what.text, ": ");

		return vuc_error_set(err, -EPROTO, "%s: %s",
			vuc_wire_command_name(VFIO_USER_VERSION),
			text != NULL ? text + 2 : what.text);
	}
	if (theirs.major != VFIO_USER_MAJOR)
		return vuc_error_set(err, -EPROTO, "client has version %u.%u, supported is %d.%u",
			theirs.major, theirs.minor, VFIO_USER_MAJOR, MAX_MINOR);
	f->negotiated = true;
	f->hello_ms = 0;
	f->takes_fds = theirs.max_msg_fds > 0;
	f->short_errors = theirs.minor >= SHORT_ERRORS_MINOR;
	return put_version(f, m, &theirs);
}

static bool
is_mapped(const struct front_region *region, bool mapped)
{
	return mapped && (region->flags & VFIO_REGION_INFO_FLAG_MMAP) != 0;
}

/* A region without areas can be mapped as a whole, which is described as one area, since a client's
 * behaviour without any area is unknown. */
uint32_t
front_region_info_len(const struct front *f, uint32_t index, bool mapped)
{
	const struct front_region *region = &f->regions[index];
	uint32_t nr_areas = region->nr_areas > 0 ? region->nr_areas : 1;

	if (!is_mapped(region, mapped))
		return sizeof(struct vfio_user_region_info);
	return (uint32_t)(sizeof(struct vfio_user_region_info) +
		sizeof(struct vfio_user_cap_sparse_mmap) +
		nr_areas * sizeof(struct vfio_user_sparse_area));
}

uint32_t
front_max_region_info(const struct front *f)
{
	uint32_t max = 0;

	for (uint32_t i = 0; i < f->nr_regions; i++) {
		uint32_t len = front_region_info_len(f, i, true);

		if (len > max)
			max = len;
	}
	return max;
}

/* The sparse mmap capability with all areas of a region. */
static void
put_sparse(uint8_t *at, const struct front_region *region)
{
	const struct vfio_user_sparse_area whole = {.size = region->size};
	const struct vfio_user_cap_sparse_mmap sparse = {
		.header = {.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1},
		.nr_areas = region->nr_areas > 0 ? region->nr_areas : 1,
	};

	memcpy(at, &sparse, sizeof(sparse));
	memcpy(at + sizeof(sparse), region->nr_areas > 0 ? region->areas : &whole,
		sparse.nr_areas * sizeof(whole));
}

/* If argsz is too small, the capabilities are left out. cap_offset is set nevertheless, since QEMU
 * refuses the capability flag without an offset. */
void
front_put_region_info(struct front *f, const struct vfio_user_header *request,
	const struct vfio_user_region_info *ask, bool mapped)
{
	const struct front_region *region = &f->regions[ask->index];
	struct front_body body = {.body_len = front_region_info_len(f, ask->index, mapped)};
	struct vfio_user_region_info info = {
		.argsz = body.body_len,
		.flags = region->flags & (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE),
		.index = ask->index,
		.size = region->size,
	};
	uint8_t caps[sizeof(struct vfio_user_cap_sparse_mmap) +
		VUC_WIRE_MAX_SPARSE_AREAS * sizeof(struct vfio_user_sparse_area)];

	body.fixed = &info;
	body.fixed_len = sizeof(info);
	if (is_mapped(region, mapped)) {
		info.flags |= VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;
		info.cap_offset = sizeof(info);
		info.offset = region->fd_offset;
		put_sparse(caps, region);
		body.data = caps;
		if (ask->argsz < body.body_len)
			body.body_len = sizeof(info);
	}
	front_put_reply(f, request, 0, &body);
}

static void
put_device_info(struct front *f, const struct vfio_user_header *request)
{
	const struct vfio_user_device_info info = {
		.argsz = sizeof(info),
		.flags = f->flags,
		.num_regions = f->nr_regions,
		.num_irqs = f->nr_irqs,
	};
	const struct front_body body = {
		.fixed = &info, .fixed_len = sizeof(info), .body_len = sizeof(info)};

	front_put_reply(f, request, 0, &body);
}

static void
put_irq_info(struct front *f, const struct front_message *m)
{
	struct vfio_user_irq_info info;
	const struct front_body body = {
		.fixed = &info, .fixed_len = sizeof(info), .body_len = sizeof(info)};

	memcpy(&info, m->body, sizeof(info));
	info.argsz = sizeof(info);
	info.flags = f->irqs[info.index].flags;
	info.count = f->irqs[info.index].count;
	front_put_reply(f, &m->header, 0, &body);
}

/* There are none. */
static void
put_io_fds(struct front *f, const struct front_message *m)
{
	struct vfio_user_region_io_fds info;
	const struct front_body body = {
		.fixed = &info, .fixed_len = sizeof(info), .body_len = sizeof(info)};

	memcpy(&info, m->body, sizeof(info));
	info.argsz = sizeof(info);
	info.flags = 0;
	info.count = 0;
	front_put_reply(f, &m->header, 0, &body);
}

void
front_answer_info(struct front *f, const struct front_message *m)
{
	static const struct front_body nothing = {0};
	struct vfio_user_region_info ask;

	if ((m->header.flags & VFIO_USER_F_NO_REPLY) != 0)
		return;
	switch (m->header.cmd) {
	case VFIO_USER_DEVICE_GET_INFO:
		put_device_info(f, &m->header);
		break;
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		memcpy(&ask, m->body, sizeof(ask));
		front_put_region_info(f, &m->header, &ask, false);
		break;
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		put_irq_info(f, m);
		break;
	case VFIO_USER_DEVICE_GET_REGION_IO_FDS:
		put_io_fds(f, m);
		break;
	default:
		front_put_reply(f, &m->header, 0, &nothing); /* SET_IRQS that asks for nothing */
	}
}
