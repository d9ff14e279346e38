/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"
#include "io_fds.h"
#include "wire_body.h"

#define NAME    "VFIO_USER_DEVICE_GET_REGION_IO_FDS reply"
#define EVENTFD VFIO_USER_IO_FD_TYPE_IOEVENTFD
#define SHADOW  VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW
#define REGION  VFIO_USER_IO_FD_TYPE_IOREGIONFD
#define NO_FD   VUC_WIRE_NO_FD

/* What was asked for, and 3 fds that came; argsz in two other requests. */
static struct vuc_wire_io_fds_request asked = {2, 4096, 0x1000, 3};
static struct vuc_wire_io_fds_request asked_63 = {2, 63, 0x1000, 0};
static struct vuc_wire_io_fds_request asked_64 = {2, 64, 0x1000, 0};

/* A reply with elements as libvfio-user sends them. */
struct long_reply {
	struct vfio_user_region_io_fds fixed;
	struct vfio_user_sub_region_ioeventfd subs[3];
} __attribute__((packed));

/* A reply with elements as in the specification. */
struct short_reply {
	struct vfio_user_region_io_fds fixed;
	struct vfio_user_sub_region_ioregionfd subs[2];
} __attribute__((packed));

#define LONG(member)  FIELD(struct long_reply, member)
#define SHORT(member) FIELD(struct short_reply, member)

static const struct long_reply long_reply = {
	.fixed = {.argsz = sizeof(struct long_reply), .index = 2, .count = 3},
	.subs =
		{
			{.offset = 0x10,
				.size = 4,
				.fd_index = 0,
				.type = EVENTFD,
				.flags = 1,
				.datamatch = 77},
			{.offset = 0xff8,
				.size = 8,
				.fd_index = 1,
				.type = SHADOW,
				.shadow_mem_fd_index = 2,
				.shadow_offset = 0x2000,
				.datamatch = 88},
			/* Of this type, user_data is where shadow_offset is. */
			{.offset = 0xfff,
				.size = 0,
				.fd_index = NO_FD,
				.type = REGION,
				.flags = 2,
				.shadow_offset = 99},
		},
};

static const struct short_reply short_reply = {
	.fixed = {.argsz = sizeof(struct short_reply), .index = 2, .count = 2},
	.subs =
		{
			{.offset = 0,
				.size = 0x1000,
				.fd_index = 2,
				.type = REGION,
				.user_data = 55},
			/* Of this type, datamatch is where user_data is. */
			{.offset = 8, .size = 2, .fd_index = 2, .type = EVENTFD, .user_data = 66},
		},
};

static int
decode(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	struct vuc_wire_io_fds out;

	return vuc_wire_io_fds_decode(body, len, arg, &out, err);
}

static void
test_encode(void)
{
	const struct vfio_user_region_io_fds expected = {.argsz = 4096, .index = 2};
	struct vfio_user_region_io_fds got;

	CU_ASSERT_EQUAL(vuc_wire_io_fds_encode(&got, 2, 4096), 16);
	CU_ASSERT_EQUAL(memcmp(&got, &expected, 16), 0);
}

/* Whether a reply is decoded into these sub-regions. */
static void
check_subs(const void *body, size_t len, uint32_t stride,
	const struct vuc_wire_sub_region *expected, uint32_t count)
{
	struct vuc_wire_io_fds out;
	struct vuc_error err;

	CU_ASSERT_EQUAL_FATAL(vuc_wire_io_fds_decode(body, len, &asked, &out, &err), 0);
	CU_ASSERT_FALSE(out.truncated);
	CU_ASSERT_EQUAL(out.argsz, len);
	CU_ASSERT_EQUAL(out.stride, stride);
	CU_ASSERT_EQUAL_FATAL(out.count, count);
	for (uint32_t i = 0; i < count; i++) {
		struct vuc_wire_sub_region sub;

		memset(&sub, 0xff, sizeof(sub));
		vuc_wire_io_fds_get(&out, i, &sub);
		CU_ASSERT_EQUAL(memcmp(&sub, &expected[i], sizeof(sub)), 0);
	}
}

static void
test_sub_regions(void)
{
	/* offset, size, type, flags, fd, shadow fd and offset, datamatch, user_data */
	static const struct vuc_wire_sub_region of_long[] = {
		{0x10, 4, EVENTFD, 1, 0, NO_FD, 0, 77, 0},
		{0xff8, 8, SHADOW, 0, 1, 2, 0x2000, 88, 0},
		{0xfff, 0, REGION, 2, NO_FD, NO_FD, 0, 0, 99},
	};
	static const struct vuc_wire_sub_region of_short[] = {
		{0, 0x1000, REGION, 0, 2, NO_FD, 0, 0, 55},
		{8, 2, EVENTFD, 0, 2, NO_FD, 0, 66, 0},
	};

	check_subs(&long_reply, sizeof(long_reply), 48, of_long, 3);
	check_subs(&short_reply, sizeof(short_reply), 40, of_short, 2);
}

static const struct body_row long_bounds_rows[] = {
	{"index 0, expected 2", {{LONG(fixed.index), 0}}},
	{"flags 0x4, expected 0x0", {{LONG(fixed.flags), 4}}},
	{"region 2: argsz 15, expected 16 to 65536", {{LONG(fixed.argsz), 15}}},
	{"region 2: argsz 65537, expected 16 to 65536", {{LONG(fixed.argsz), 65537}}},
	{"body of 160 bytes, expected 159", {{LONG(fixed.argsz), 159}}},
	{"region 2: 144 bytes of sub-regions, expected count 5 times 40 or more",
		{{LONG(fixed.count), 5}}},
	{"region 2: 144 bytes of sub-regions, expected count 4 times 40 or more",
		{{LONG(fixed.count), 4}}},
	{"region 2: 144 bytes of sub-regions, expected count 4294967295 times 40 or more",
		{{LONG(fixed.count), UINT32_MAX}}},
	/* Longer elements than any that is known: what is behind is skipped. */
	{NULL, {{LONG(fixed.count), 1}}},
	{"region 2: sub-region 2: type 3, expected 0, 1 or 2", {{LONG(subs[2].type), 3}}},
	{NULL, {{LONG(subs[0].fd_index), 2}}},
	{"region 2: sub-region 0: fd_index 3, expected the index of a received fd",
		{{LONG(subs[0].fd_index), 3}}},
	{"region 2: sub-region 0: fd_index 4294967294, expected the index of a received fd",
		{{LONG(subs[0].fd_index), NO_FD - 1}}},
	{"region 2: sub-region 1: shadow_mem_fd_index 3, expected the index of a received fd",
		{{LONG(subs[1].shadow_mem_fd_index), 3}}},
	{"region 2: sub-region 1: shadow_mem_fd_index 4294967295, expected the index of a "
	 "received fd",
		{{LONG(subs[1].shadow_mem_fd_index), NO_FD}}},
	{NULL, {{LONG(subs[0].offset), 0xffc}}},
	{"region 2: sub-region 0 of 0x4 bytes at 0xffd is outside the region's 0x1000",
		{{LONG(subs[0].offset), 0xffd}}},
	{"region 2: sub-region 0 of 0x4 bytes at 0xffffffffffffffff is outside the region's "
	 "0x1000",
		{{LONG(subs[0].offset), UINT64_MAX}}},
	{"region 2: sub-region 0 of 0xffffffffffffffff bytes at 0x10 is outside the "
	 "region's 0x1000",
		{{LONG(subs[0].size), UINT64_MAX}}},
	{"region 2: sub-region 2 of 0x0 bytes at 0x1000 is outside the region's 0x1000",
		{{LONG(subs[2].offset), 0x1000}}},
};

static const struct body_row short_bounds_rows[] = {
	{"region 2: sub-region 1: size in the message 40, expected at least 48 for a shadow "
	 "ioeventfd",
		{{SHORT(subs[1].type), SHADOW}}},
};

static const struct vfio_user_region_io_fds none = {.argsz = 16, .index = 2};
static const struct body_row none_rows[] = {
	{"body of 64 bytes, expected 16", {{FIELD(struct vfio_user_region_io_fds, argsz), 64}},
		.len = 64},
};

static void
test_truncated(void)
{
	static const struct vfio_user_region_io_fds one = {.argsz = 64, .index = 2, .count = 1};
	static const struct body_row rows[] = {
		{NULL, .len = 63},
		{"body of 64 bytes, requested at most 63", .len = 64},
		{NULL, {{FIELD(struct vfio_user_region_io_fds, argsz), VUC_WIRE_MAX_ARGSZ}}},
		/* Exactly what was asked for is not truncated: the sub-region is looked at. */
		{"region 2: sub-region 0: fd_index 0, expected the index of a received fd",
			.len = 64, .arg = &asked_64},
	};
	static const struct decoder decoder = {"", decode, &asked_63, NAME, GOOD(one), ROWS(rows)};
	struct vuc_wire_io_fds out;
	struct vuc_error err;

	decoder_test(&decoder);
	CU_ASSERT_EQUAL(vuc_wire_io_fds_decode(&one, 16, &asked_63, &out, &err), 0);
	CU_ASSERT_TRUE(out.truncated);
	CU_ASSERT_EQUAL(out.argsz, 64);
	CU_ASSERT_EQUAL(out.count, 0);
}

static const struct decoder decoders[] = {
	{"bounds of elements of 48 bytes", decode, &asked, NAME, GOOD(long_reply),
		ROWS(long_bounds_rows)},
	{"bounds of elements of 40 bytes", decode, &asked, NAME, GOOD(short_reply),
		ROWS(short_bounds_rows)},
	{"no sub-regions", decode, &asked, NAME, GOOD(none), ROWS(none_rows)},
};

const struct tap_suite tap_suite = {"io_fds", NULL, NULL,
	{
		{"request", test_encode},
		{"sub-regions of 48 and 40 bytes", test_sub_regions},
		{"more than was asked for", test_truncated},
	},
	TAP_ROWS(decoders, decoder_test)};
