/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <string.h>

#include "check.h"
#include "command.h"
#include "io_fds.h"

#define IO_FDS VFIO_USER_DEVICE_GET_REGION_IO_FDS

#define SHORT_SIZE sizeof(struct vfio_user_sub_region_ioregionfd)
#define LONG_SIZE  sizeof(struct vfio_user_sub_region_ioeventfd)

size_t
vuc_wire_io_fds_encode(void *buf, uint32_t index, uint32_t argsz)
{
	const struct vfio_user_region_io_fds request = {.argsz = argsz, .index = index};

	memcpy(buf, &request, sizeof(request));
	return sizeof(request);
}

void
vuc_wire_io_fds_get(const struct vuc_wire_io_fds *r, uint32_t i, struct vuc_wire_sub_region *sub)
{
	const uint8_t *at = r->sub_regions + (size_t)i * r->stride;
	struct vfio_user_sub_region_ioregionfd common;
	struct vfio_user_sub_region_ioeventfd event = {0};

	memcpy(&common, at, sizeof(common));
	*sub = (struct vuc_wire_sub_region){
		.offset = common.offset,
		.size = common.size,
		.type = common.type,
		.flags = common.flags,
		.fd_index = common.fd_index,
		.shadow_fd_index = VUC_WIRE_NO_FD,
	};
	if (r->stride >= LONG_SIZE)
		memcpy(&event, at, sizeof(event));
	else
		event.datamatch = common.user_data;

	if (common.type == VFIO_USER_IO_FD_TYPE_IOREGIONFD)
		sub->user_data = common.user_data;
	else
		sub->datamatch = event.datamatch;
	if (common.type == VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW) {
		sub->shadow_fd_index = event.shadow_mem_fd_index;
		sub->shadow_offset = event.shadow_offset;
	}
}

static int
sub_region_refuse(const struct vuc_wire_io_fds_request *asked, uint32_t i, const char *field,
	uint64_t value, const char *expected, struct vuc_error *err)
{
	return vuc_wire_refuse(err, IO_FDS,
		"region %" PRIu32 ": sub-region %" PRIu32 ": %s %" PRIu64 ", expected %s",
		asked->index, i, field, value, expected);
}

static int
check_type(const struct vuc_wire_io_fds *r, const struct vuc_wire_io_fds_request *asked, uint32_t i,
	const struct vuc_wire_sub_region *sub, struct vuc_error *err)
{
	if (sub->type > VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW)
		return sub_region_refuse(asked, i, "type", sub->type, "0, 1 or 2", err);
	if (sub->type == VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW && r->stride < LONG_SIZE)
		return sub_region_refuse(asked, i, "size in the message", r->stride,
			"at least 48 for a shadow ioeventfd", err);
	return 0;
}

static int
check_fds(const struct vuc_wire_io_fds_request *asked, uint32_t i,
	const struct vuc_wire_sub_region *sub, struct vuc_error *err)
{
	if (sub->fd_index >= asked->nr_fds && sub->fd_index != VUC_WIRE_NO_FD)
		return sub_region_refuse(
			asked, i, "fd_index", sub->fd_index, "the index of a received fd", err);
	if (sub->type == VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW &&
		sub->shadow_fd_index >= asked->nr_fds)
		return sub_region_refuse(asked, i, "shadow_mem_fd_index", sub->shadow_fd_index,
			"the index of a received fd", err);
	return 0;
}

static int
check_bounds(const struct vuc_wire_io_fds_request *asked, uint32_t i,
	const struct vuc_wire_sub_region *sub, struct vuc_error *err)
{
	uint64_t end;

	if (sub->offset < asked->region_size &&
		!__builtin_add_overflow(sub->offset, sub->size, &end) && end <= asked->region_size)
		return 0;
	return vuc_wire_refuse(err, IO_FDS,
		"region %" PRIu32 ": sub-region %" PRIu32 " of 0x%" PRIx64 " bytes at 0x%" PRIx64
		" is outside the region's 0x%" PRIx64,
		asked->index, i, sub->size, sub->offset, asked->region_size);
}

static int
check_sub_regions(const struct vuc_wire_io_fds *r, const struct vuc_wire_io_fds_request *asked,
	struct vuc_error *err)
{
	int rc = 0;

	for (uint32_t i = 0; i < r->count && rc == 0; i++) {
		struct vuc_wire_sub_region sub;

		vuc_wire_io_fds_get(r, i, &sub);
		rc = check_type(r, asked, i, &sub, err);
		if (rc == 0)
			rc = check_bounds(asked, i, &sub, err);
		if (rc == 0)
			rc = check_fds(asked, i, &sub, err);
	}
	return rc;
}

/* Bytes of all sub-regions are there; find out how they are divided. */
static int
decode_array(const uint8_t *body, size_t len, uint32_t count,
	const struct vuc_wire_io_fds_request *asked, struct vuc_wire_io_fds *out,
	struct vuc_error *err)
{
	size_t bytes = len - sizeof(struct vfio_user_region_io_fds);

	if (count == 0)
		return vuc_wire_check_size(
			IO_FDS, len, sizeof(struct vfio_user_region_io_fds), err);
	if (bytes % count != 0 || bytes / count < SHORT_SIZE)
		return vuc_wire_refuse(err, IO_FDS,
			"region %" PRIu32 ": %zu bytes of sub-regions, expected count %" PRIu32
			" times %zu or more",
			asked->index, bytes, count, SHORT_SIZE);
	out->count = count;
	out->stride = (uint32_t)(bytes / count);
	out->sub_regions = body + sizeof(struct vfio_user_region_io_fds);
	return check_sub_regions(out, asked, err);
}

static int
check_fixed(const struct vfio_user_region_io_fds *got, const struct vuc_wire_io_fds_request *asked,
	struct vuc_error *err)
{
	int rc = vuc_wire_check_number(IO_FDS, "index", got->index, asked->index, err);

	if (rc == 0)
		rc = vuc_wire_check_hex(IO_FDS, "flags", got->flags, 0, err);
	if (rc != 0)
		return rc;
	if (got->argsz < sizeof(*got) || got->argsz > VUC_WIRE_MAX_ARGSZ)
		return vuc_wire_refuse(err, IO_FDS,
			"region %" PRIu32 ": argsz %" PRIu32 ", expected %zu to %u", asked->index,
			got->argsz, sizeof(*got), VUC_WIRE_MAX_ARGSZ);
	return 0;
}

int
vuc_wire_io_fds_decode(const void *body, size_t len, const struct vuc_wire_io_fds_request *asked,
	struct vuc_wire_io_fds *out, struct vuc_error *err)
{
	struct vfio_user_region_io_fds got;
	int rc = vuc_wire_check_min(IO_FDS, len, sizeof(got), err);

	if (rc != 0)
		return rc;
	memcpy(&got, body, sizeof(got));
	rc = check_fixed(&got, asked, err);
	if (rc != 0)
		return rc;
	*out = (struct vuc_wire_io_fds){.argsz = got.argsz};
	if (got.argsz > asked->argsz) {
		out->truncated = true;
		if (len > asked->argsz)
			return vuc_wire_refuse(err, IO_FDS,
				"body of %zu bytes, requested at most %" PRIu32, len, asked->argsz);
		return 0;
	}
	rc = vuc_wire_check_size(IO_FDS, len, got.argsz, err);
	if (rc != 0)
		return rc;
	return decode_array(body, len, got.count, asked, out, err);
}
