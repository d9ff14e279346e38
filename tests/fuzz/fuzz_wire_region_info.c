/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The input is the index of the region and the argsz that was asked for, 4 bytes each, and the
 * body of a VFIO_USER_DEVICE_GET_REGION_INFO reply.
 */

#include <errno.h>

#include "command.h"
#include "fuzz.h"
#include "info.h"

static void
require_areas(const struct input *in, const struct vuc_wire_region_info *r)
{
	uint64_t end = 0;

	REQUIRE(r->nr_areas <= VUC_WIRE_MAX_SPARSE_AREAS);
	require_inside(in, r->areas, r->nr_areas * sizeof(struct vfio_user_sparse_area));
	for (uint32_t i = 0; i < r->nr_areas; i++) {
		struct vfio_user_sparse_area area;

		vuc_wire_region_area(r, i, &area);
		REQUIRE(area.size > 0);
		REQUIRE(area.offset >= end);
		REQUIRE(area.offset < r->info.size);
		REQUIRE(area.size <= r->info.size - area.offset);
		end = area.offset + area.size;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint32_t index = take_u32(&in);
	uint32_t argsz = take_u32(&in);
	struct vuc_wire_region_info out;
	struct vuc_error err = {""};
	int rc = vuc_wire_region_info_decode(in.data, in.size, index, argsz, &out, &err);

	if (rc != 0) {
		REQUIRE(rc == -EPROTO);
		require_line(&err);
		return 0;
	}
	REQUIRE(out.info.index == index);
	REQUIRE(out.info.argsz <= VUC_WIRE_MAX_ARGSZ);
	REQUIRE(out.info.size <= UINT64_MAX - out.info.offset);
	if (out.truncated) {
		REQUIRE(out.info.argsz > argsz && in.size <= argsz);
		REQUIRE(!out.has_sparse && !out.has_type);
		return 0;
	}
	if (out.has_sparse)
		require_areas(&in, &out);
	else
		REQUIRE(out.nr_areas == 0);
	return 0;
}
