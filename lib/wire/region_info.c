/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <string.h>

#include "check.h"
#include "command.h"
#include "info.h"

#define REGION_INFO VFIO_USER_DEVICE_GET_REGION_INFO

size_t
vuc_wire_region_info_encode(void *buf, uint32_t index, uint32_t argsz)
{
	const struct vfio_user_region_info info = {.argsz = argsz, .index = index};

	memcpy(buf, &info, sizeof(info));
	return sizeof(info);
}

void
vuc_wire_region_area(
	const struct vuc_wire_region_info *r, uint32_t i, struct vfio_user_sparse_area *area)
{
	memcpy(area, r->areas + i * sizeof(*area), sizeof(*area));
}

/* Areas lie in the region, in order and apart. */
static int
check_areas(const struct vuc_wire_region_info *r, struct vuc_error *err)
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < r->nr_areas; i++) {
		struct vfio_user_sparse_area area;
		uint64_t start;

		vuc_wire_region_area(r, i, &area);
		start = area.offset;
		if (area.size == 0 || start < end ||
			__builtin_add_overflow(start, area.size, &end) || end > r->info.size)
			return vuc_wire_refuse(err, REGION_INFO,
				"region %" PRIu32 ": sparse area %" PRIu32 " of 0x%" PRIx64
				" bytes at 0x%" PRIx64
				" is empty, outside the region or not after its predecessor",
				r->info.index, i, area.size, area.offset);
	}
	return 0;
}

/* cap is the capability and len what is left of the body; size is set to that of the former. */
static int
decode_sparse(const uint8_t *cap, size_t len, struct vuc_wire_region_info *out, size_t *size,
	struct vuc_error *err)
{
	struct vfio_user_cap_sparse_mmap sparse;

	if (out->has_sparse)
		return vuc_wire_refuse(err, REGION_INFO,
			"region %" PRIu32 ": capability VFIO_REGION_INFO_CAP_SPARSE_MMAP twice",
			out->info.index);
	if (len < sizeof(sparse))
		return vuc_wire_refuse(err, REGION_INFO,
			"region %" PRIu32 ": sparse mmap capability of %zu bytes, expected at "
			"least %zu",
			out->info.index, len, sizeof(sparse));
	memcpy(&sparse, cap, sizeof(sparse));
	if (sparse.nr_areas > VUC_WIRE_MAX_SPARSE_AREAS ||
		sparse.nr_areas > (len - sizeof(sparse)) / sizeof(sparse.areas[0]))
		return vuc_wire_refuse(err, REGION_INFO,
			"region %" PRIu32 ": nr_areas %" PRIu32 ", more than %u or than the %zu "
			"bytes behind it hold",
			out->info.index, sparse.nr_areas, VUC_WIRE_MAX_SPARSE_AREAS,
			len - sizeof(sparse));
	out->has_sparse = true;
	out->nr_areas = sparse.nr_areas;
	out->areas = cap + sizeof(sparse);
	*size = sizeof(sparse) + sparse.nr_areas * sizeof(sparse.areas[0]);
	return check_areas(out, err);
}

static int
decode_type(const uint8_t *cap, size_t len, struct vuc_wire_region_info *out, size_t *size,
	struct vuc_error *err)
{
	struct vfio_user_cap_type type;

	if (out->has_type)
		return vuc_wire_refuse(err, REGION_INFO,
			"region %" PRIu32 ": capability VFIO_REGION_INFO_CAP_TYPE twice",
			out->info.index);
	if (len < sizeof(type))
		return vuc_wire_refuse(err, REGION_INFO,
			"region %" PRIu32 ": type capability of %zu bytes, expected %zu",
			out->info.index, len, sizeof(type));
	memcpy(&type, cap, sizeof(type));
	out->has_type = true;
	out->type = type.type;
	out->subtype = type.subtype;
	*size = sizeof(type);
	return 0;
}

static int
decode_capability(const uint8_t *cap, size_t len, const struct vfio_user_cap_header *header,
	struct vuc_wire_region_info *out, size_t *size, struct vuc_error *err)
{
	switch (header->id) {
	case VFIO_REGION_INFO_CAP_SPARSE_MMAP:
		return decode_sparse(cap, len, out, size, err);
	case VFIO_REGION_INFO_CAP_TYPE:
		return decode_type(cap, len, out, size, err);
	default:
		*size = sizeof(*header);
		return 0;
	}
}

/*
 * Walk the chain of capabilities. Each begins behind the end of the one before it, so the walk
 * only goes forward and ends.
 */
static int
decode_capabilities(
	const uint8_t *body, size_t len, struct vuc_wire_region_info *out, struct vuc_error *err)
{
	size_t end = sizeof(struct vfio_user_region_info);
	uint32_t offset = out->info.cap_offset;

	for (unsigned int n = 0; n < VUC_WIRE_MAX_REGION_CAPS; n++) {
		struct vfio_user_cap_header header;
		size_t size = 0;
		int rc;

		if (offset < end && end > len - sizeof(header))
			return vuc_wire_refuse(err, REGION_INFO,
				"region %" PRIu32 ": capability at offset %" PRIu32
				", but the last one ends at %zu of %zu bytes",
				out->info.index, offset, end, len);
		if (offset < end || offset > len - sizeof(header))
			return vuc_wire_refuse(err, REGION_INFO,
				"region %" PRIu32 ": capability at offset %" PRIu32
				", expected %zu to %zu",
				out->info.index, offset, end, len - sizeof(header));
		memcpy(&header, body + offset, sizeof(header));
		rc = decode_capability(body + offset, len - offset, &header, out, &size, err);
		if (rc != 0 || header.next == 0)
			return rc;
		end = offset + size;
		offset = header.next;
	}
	return vuc_wire_refuse(err, REGION_INFO, "region %" PRIu32 ": more than %u capabilities",
		out->info.index, VUC_WIRE_MAX_REGION_CAPS);
}

static int
check_region_fixed(const struct vfio_user_region_info *info, uint32_t index, struct vuc_error *err)
{
	uint64_t end;
	int rc = vuc_wire_check_number(REGION_INFO, "index", info->index, index, err);

	if (rc != 0)
		return rc;
	rc = vuc_wire_check_most(REGION_INFO, "argsz", info->argsz, VUC_WIRE_MAX_ARGSZ, err);
	if (rc != 0)
		return rc;
	if (__builtin_add_overflow(info->size, info->offset, &end))
		return vuc_wire_refuse(err, REGION_INFO,
			"region %" PRIu32 ": size 0x%" PRIx64 " and offset 0x%" PRIx64 " overflow",
			index, info->size, info->offset);
	return 0;
}

int
vuc_wire_region_info_decode(const void *body, size_t len, uint32_t index, uint32_t argsz,
	struct vuc_wire_region_info *out, struct vuc_error *err)
{
	int rc = vuc_wire_check_min(REGION_INFO, len, sizeof(out->info), err);

	if (rc != 0)
		return rc;
	memset(out, 0, sizeof(*out));
	memcpy(&out->info, body, sizeof(out->info));
	rc = check_region_fixed(&out->info, index, err);
	if (rc != 0)
		return rc;
	if (out->info.argsz > argsz) {
		out->truncated = true;
		if (len > argsz)
			return vuc_wire_refuse(err, REGION_INFO,
				"body of %zu bytes, requested at most %" PRIu32, len, argsz);
		return 0;
	}
	if ((out->info.flags & VFIO_REGION_INFO_FLAG_CAPS) == 0 || out->info.cap_offset == 0)
		return 0;
	return decode_capabilities(body, len, out, err);
}
