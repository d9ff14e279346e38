/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * All messages but VERSION and region info. The input is one byte that says which, what the
 * decoder has to know of the request, and the body. seeds.py writes the same layout.
 */

#include <errno.h>

#include "access.h"
#include "command.h"
#include "dma.h"
#include "feature.h"
#include "fuzz.h"
#include "info.h"
#include "io_fds.h"
#include "migdata.h"

/* A decoder with the rest of the input. Returns what the decoder has. */
typedef int (*message_fn)(struct input *in, struct vuc_error *err);

static int
device_info(struct input *in, struct vuc_error *err)
{
	struct vfio_user_device_info info;
	int rc = vuc_wire_device_info_decode(in->data, in->size, &info, err);

	if (rc == 0)
		REQUIRE(info.num_regions <= VUC_WIRE_MAX_REGIONS &&
			info.num_irqs <= VUC_WIRE_MAX_IRQS);
	return rc;
}

static int
irq_info(struct input *in, struct vuc_error *err)
{
	uint32_t index = take_u32(in);
	struct vfio_user_irq_info info;
	int rc = vuc_wire_irq_info_decode(in->data, in->size, index, &info, err);

	if (rc == 0)
		REQUIRE(info.index == index && info.count <= VUC_WIRE_MAX_IRQ_COUNT);
	return rc;
}

static struct vuc_wire_access
take_access(struct input *in)
{
	struct vuc_wire_access access;

	access.region = take_u32(in);
	access.count = take_u32(in);
	access.offset = take_u64(in);
	return access;
}

static int
region_read(struct input *in, struct vuc_error *err)
{
	struct vuc_wire_access asked = take_access(in);
	const uint8_t *data;
	int rc = vuc_wire_region_read_decode(in->data, in->size, &asked, &data, err);

	if (rc == 0) {
		require_inside(in, data, asked.count);
		REQUIRE(data + asked.count == in->data + in->size);
	}
	return rc;
}

static int
region_write(struct input *in, struct vuc_error *err)
{
	struct vuc_wire_access asked = take_access(in);

	return vuc_wire_region_write_decode(in->data, in->size, &asked, err);
}

static int
write_multi(struct input *in, struct vuc_error *err)
{
	uint32_t n = take_u32(in), done;
	int rc = vuc_wire_write_multi_decode(in->data, in->size, n, &done, err);

	if (rc == 0)
		REQUIRE(done <= n);
	return rc;
}

static struct vuc_wire_dma_range
take_range(struct input *in)
{
	struct vuc_wire_dma_range range;

	range.addr = take_u64(in);
	range.size = take_u64(in);
	return range;
}

static int
unmap(struct input *in, struct vuc_error *err)
{
	struct vuc_wire_dma_range range = take_range(in);

	return vuc_wire_dma_unmap_decode(in->data, in->size, &range, err);
}

static int
unmap_all(struct input *in, struct vuc_error *err)
{
	return vuc_wire_dma_unmap_decode(in->data, in->size, NULL, err);
}

/* What a decoder with a bitmap has found, as it is known from the request. */
static void
require_bitmap(const struct input *in, const struct vuc_wire_dma_range *range, uint64_t pgsize,
	const uint8_t *bitmap)
{
	uint32_t size;

	REQUIRE(vuc_wire_bitmap_size(range->size, pgsize, &size) == 0);
	require_inside(in, bitmap, size);
	REQUIRE(bitmap + size == in->data + in->size);
}

static int
unmap_dirty(struct input *in, struct vuc_error *err)
{
	struct vuc_wire_dma_range range = take_range(in);
	uint64_t pgsize = take_u64(in);
	const uint8_t *bitmap;
	uint8_t request[64];
	int encoded = vuc_wire_dma_unmap_dirty_encode(request, &range, pgsize);
	int rc = vuc_wire_dma_unmap_dirty_decode(in->data, in->size, &range, pgsize, &bitmap, err);

	if (rc == 0)
		require_bitmap(in, &range, pgsize, bitmap);
	REQUIRE(encoded > 0 || rc == encoded);
	return rc == encoded ? 0 : rc;
}

static int
dma_read(struct input *in, struct vuc_error *err)
{
	uint32_t max_data = take_u32(in);
	struct vuc_wire_dma_access access;
	int rc = vuc_wire_dma_read_decode(in->data, in->size, max_data, &access, err);

	if (rc == 0)
		REQUIRE(access.count >= 1 && access.count <= max_data && access.data == NULL);
	return rc;
}

static int
dma_write(struct input *in, struct vuc_error *err)
{
	uint32_t max_data = take_u32(in);
	struct vuc_wire_dma_access access;
	int rc = vuc_wire_dma_write_decode(in->data, in->size, max_data, &access, err);

	if (rc != 0)
		return rc;
	REQUIRE(access.count >= 1 && access.count <= max_data);
	REQUIRE(access.addr <= UINT64_MAX - access.count);
	require_inside(in, access.data, access.count);
	return 0;
}

static int
io_fds(struct input *in, struct vuc_error *err)
{
	struct vuc_wire_io_fds_request asked;
	struct vuc_wire_io_fds out;
	int rc;

	asked.index = take_u32(in);
	asked.argsz = take_u32(in);
	asked.region_size = take_u64(in);
	asked.nr_fds = take_u8(in);
	rc = vuc_wire_io_fds_decode(in->data, in->size, &asked, &out, err);
	if (rc != 0)
		return rc;
	for (uint32_t i = 0; i < out.count; i++) {
		struct vuc_wire_sub_region sub;

		vuc_wire_io_fds_get(&out, i, &sub);
		REQUIRE(sub.offset < asked.region_size);
		REQUIRE(sub.size <= asked.region_size - sub.offset);
		REQUIRE(sub.fd_index < asked.nr_fds || sub.fd_index == VUC_WIRE_NO_FD);
		if (sub.type == VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW)
			REQUIRE(sub.shadow_fd_index < asked.nr_fds);
		else
			REQUIRE(sub.shadow_fd_index == VUC_WIRE_NO_FD);
	}
	return 0;
}

static int
probe(struct input *in, struct vuc_error *err)
{
	uint32_t flags = take_u32(in);

	return vuc_wire_feature_probe_decode(in->data, in->size, (uint16_t)flags,
		flags & (VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET), err);
}

static int
migration(struct input *in, struct vuc_error *err)
{
	uint64_t flags;
	int rc = vuc_wire_migration_decode(in->data, in->size, &flags, err);

	if (rc == 0)
		REQUIRE(flags & VFIO_MIGRATION_STOP_COPY);
	return rc;
}

static int
state_get(struct input *in, struct vuc_error *err)
{
	enum vfio_user_device_mig_state state;
	int rc = vuc_wire_mig_state_get_decode(in->data, in->size, &state, err);

	if (rc == 0)
		REQUIRE(state <= VFIO_USER_DEVICE_STATE_PRE_COPY_P2P);
	return rc;
}

static int
state_set(struct input *in, struct vuc_error *err)
{
	enum vfio_user_device_mig_state state = (enum vfio_user_device_mig_state)take_u8(in);

	return vuc_wire_mig_state_set_decode(in->data, in->size, state, err);
}

static int
logging_start(struct input *in, struct vuc_error *err)
{
	uint32_t n = take_u32(in);
	uint64_t page_size;
	int rc = vuc_wire_dma_logging_start_decode(in->data, in->size, n, &page_size, err);

	if (rc == 0)
		REQUIRE(page_size != 0 && (page_size & (page_size - 1)) == 0);
	return rc;
}

static int
logging_stop(struct input *in, struct vuc_error *err)
{
	return vuc_wire_dma_logging_stop_decode(in->data, in->size, err);
}

static int
logging_report(struct input *in, struct vuc_error *err)
{
	struct vuc_wire_dma_range range = take_range(in);
	uint64_t page_size = take_u64(in);
	const uint8_t *bitmap;
	uint8_t request[64];
	int encoded = vuc_wire_dma_logging_report_encode(request, &range, page_size);
	int rc = vuc_wire_dma_logging_report_decode(
		in->data, in->size, &range, page_size, &bitmap, err);

	if (rc == 0)
		require_bitmap(in, &range, page_size, bitmap);
	REQUIRE(encoded > 0 || rc == encoded);
	return rc == encoded ? 0 : rc;
}

static int
mig_data(struct input *in, struct vuc_error *err)
{
	uint32_t asked = take_u32(in), count;
	const uint8_t *data;
	int rc = vuc_wire_mig_data_decode(in->data, in->size, asked, &data, &count, err);

	if (rc == 0) {
		REQUIRE(count <= asked);
		require_inside(in, data, count);
	}
	return rc;
}

/* In the order of seeds.py; add at the end, so that the corpus keeps its meaning. */
static const message_fn messages[] = {
	device_info,
	irq_info,
	region_read,
	region_write,
	write_multi,
	unmap,
	unmap_all,
	unmap_dirty,
	dma_read,
	dma_write,
	io_fds,
	probe,
	migration,
	state_get,
	state_set,
	logging_start,
	logging_stop,
	logging_report,
	mig_data,
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t which = take_u8(&in);
	struct vuc_error err = {""};
	int rc;

	if (which >= sizeof(messages) / sizeof(messages[0]))
		return 0;
	rc = messages[which](&in, &err);
	REQUIRE(rc == 0 || rc == -EPROTO);
	if (rc != 0)
		require_line(&err);
	return 0;
}
