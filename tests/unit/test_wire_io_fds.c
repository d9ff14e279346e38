/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"
#include "io_fds.h"
#include "wire_body.h"

/* What was asked for by most tests, and 3 fds that came. */
static struct vuc_wire_io_fds_request asked = {
	.index = 2,
	.argsz = 4096,
	.region_size = 0x1000,
	.nr_fds = 3,
};

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

static const struct long_reply long_reply = {
	.fixed = {.argsz = sizeof(struct long_reply), .index = 2, .count = 3},
	.subs =
		{
			{
				.offset = 0x10,
				.size = 4,
				.fd_index = 0,
				.type = VFIO_USER_IO_FD_TYPE_IOEVENTFD,
				.flags = 1,
				.datamatch = 77,
			},
			{
				.offset = 0xff8,
				.size = 8,
				.fd_index = 1,
				.type = VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW,
				.shadow_mem_fd_index = 2,
				.shadow_offset = 0x2000,
				.datamatch = 88,
			},
			{
				.offset = 0xfff,
				.size = 0,
				.fd_index = VUC_WIRE_NO_FD,
				.type = VFIO_USER_IO_FD_TYPE_IOREGIONFD,
				.flags = 2,
				.shadow_offset = 99, /* where user_data is */
			},
		},
};

static const struct short_reply short_reply = {
	.fixed = {.argsz = sizeof(struct short_reply), .index = 2, .count = 2},
	.subs =
		{
			{
				.offset = 0,
				.size = 0x1000,
				.fd_index = 2,
				.type = VFIO_USER_IO_FD_TYPE_IOREGIONFD,
				.user_data = 55,
			},
			{
				.offset = 8,
				.size = 2,
				.fd_index = 2,
				.type = VFIO_USER_IO_FD_TYPE_IOEVENTFD,
				.user_data = 66, /* where datamatch is */
			},
		},
};

static int
decode(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	struct vuc_wire_io_fds out;

	return vuc_wire_io_fds_decode(body, len, arg, &out, err);
}

static bool
is_refused(const void *body, size_t len, const char *why)
{
	char text[VUC_ERROR_MAX];

	snprintf(text, sizeof(text), "VFIO_USER_DEVICE_GET_REGION_IO_FDS reply: %s", why);
	return refused(decode, &asked, body, len, text);
}

static void
test_encode(void)
{
	struct vfio_user_region_io_fds got;

	CU_ASSERT_EQUAL(vuc_wire_io_fds_encode(&got, 2, 4096), 16);
	CU_ASSERT_EQUAL(got.argsz, 4096);
	CU_ASSERT_EQUAL(got.flags, 0);
	CU_ASSERT_EQUAL(got.index, 2);
	CU_ASSERT_EQUAL(got.count, 0);
}

static void
test_long(void)
{
	struct vuc_wire_sub_region sub;
	struct vuc_wire_io_fds out;
	struct vuc_error err;

	CU_ASSERT_EQUAL_FATAL(
		vuc_wire_io_fds_decode(&long_reply, sizeof(long_reply), &asked, &out, &err), 0);
	CU_ASSERT_FALSE(out.truncated);
	CU_ASSERT_EQUAL(out.argsz, 160);
	CU_ASSERT_EQUAL(out.count, 3);
	CU_ASSERT_EQUAL(out.stride, 48);
	vuc_wire_io_fds_get(&out, 0, &sub);
	CU_ASSERT_EQUAL(sub.offset, 0x10);
	CU_ASSERT_EQUAL(sub.size, 4);
	CU_ASSERT_EQUAL(sub.type, VFIO_USER_IO_FD_TYPE_IOEVENTFD);
	CU_ASSERT_EQUAL(sub.flags, 1);
	CU_ASSERT_EQUAL(sub.fd_index, 0);
	CU_ASSERT_EQUAL(sub.shadow_fd_index, VUC_WIRE_NO_FD);
	CU_ASSERT_EQUAL(sub.shadow_offset, 0);
	CU_ASSERT_EQUAL(sub.datamatch, 77);
	CU_ASSERT_EQUAL(sub.user_data, 0);
	vuc_wire_io_fds_get(&out, 1, &sub);
	CU_ASSERT_EQUAL(sub.offset, 0xff8);
	CU_ASSERT_EQUAL(sub.type, VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW);
	CU_ASSERT_EQUAL(sub.fd_index, 1);
	CU_ASSERT_EQUAL(sub.shadow_fd_index, 2);
	CU_ASSERT_EQUAL(sub.shadow_offset, 0x2000);
	CU_ASSERT_EQUAL(sub.datamatch, 88);
	vuc_wire_io_fds_get(&out, 2, &sub);
	CU_ASSERT_EQUAL(sub.type, VFIO_USER_IO_FD_TYPE_IOREGIONFD);
	CU_ASSERT_EQUAL(sub.fd_index, VUC_WIRE_NO_FD);
	CU_ASSERT_EQUAL(sub.shadow_fd_index, VUC_WIRE_NO_FD);
	CU_ASSERT_EQUAL(sub.shadow_offset, 0);
	CU_ASSERT_EQUAL(sub.datamatch, 0);
	CU_ASSERT_EQUAL(sub.user_data, 99);
}

static void
test_short(void)
{
	struct vuc_wire_sub_region sub;
	struct vuc_wire_io_fds out;
	struct vuc_error err;

	CU_ASSERT_EQUAL_FATAL(
		vuc_wire_io_fds_decode(&short_reply, sizeof(short_reply), &asked, &out, &err), 0);
	CU_ASSERT_EQUAL(out.count, 2);
	CU_ASSERT_EQUAL(out.stride, 40);
	vuc_wire_io_fds_get(&out, 0, &sub);
	CU_ASSERT_EQUAL(sub.size, 0x1000);
	CU_ASSERT_EQUAL(sub.fd_index, 2);
	CU_ASSERT_EQUAL(sub.user_data, 55);
	CU_ASSERT_EQUAL(sub.datamatch, 0);
	vuc_wire_io_fds_get(&out, 1, &sub);
	CU_ASSERT_EQUAL(sub.offset, 8);
	CU_ASSERT_EQUAL(sub.datamatch, 66);
	CU_ASSERT_EQUAL(sub.user_data, 0);
	CU_ASSERT_EQUAL(sub.shadow_fd_index, VUC_WIRE_NO_FD);
}

static void
test_cut(void)
{
	CU_ASSERT(taken(decode, &asked, &long_reply, sizeof(long_reply)));
	CU_ASSERT_EQUAL(count_refused_prefixes(decode, &asked, &long_reply, sizeof(long_reply)),
		sizeof(long_reply));
	CU_ASSERT(taken(decode, &asked, &short_reply, sizeof(short_reply)));
	CU_ASSERT_EQUAL(count_refused_prefixes(decode, &asked, &short_reply, sizeof(short_reply)),
		sizeof(short_reply));
}

static void
test_none(void)
{
	struct long_reply r = {.fixed = {.argsz = 16, .index = 2, .count = 0}};

	CU_ASSERT(taken(decode, &asked, &r, 16));
	r.fixed.argsz = 64;
	CU_ASSERT(is_refused(&r, 64, "body of 64 bytes, expected 16"));
}

static void
test_truncated(void)
{
	struct vuc_wire_io_fds_request few = {.index = 2, .argsz = 63, .region_size = 0x1000};
	struct long_reply r = {.fixed = {.argsz = 64, .index = 2, .count = 1}};
	struct vuc_wire_io_fds out;
	struct vuc_error err;

	CU_ASSERT_EQUAL(vuc_wire_io_fds_decode(&r, 16, &few, &out, &err), 0);
	CU_ASSERT_TRUE(out.truncated);
	CU_ASSERT_EQUAL(out.argsz, 64);
	CU_ASSERT_EQUAL(out.count, 0);
	CU_ASSERT(taken(decode, &few, &r, 63));
	CU_ASSERT(refused(decode, &few, &r, 64,
		"VFIO_USER_DEVICE_GET_REGION_IO_FDS reply: body of 64 bytes, asked for at most 63"));
	r.fixed.argsz = VUC_WIRE_MAX_ARGSZ;
	CU_ASSERT(taken(decode, &few, &r, 16));
	/* Exactly what was asked for is not truncated: the sub-region is looked at. */
	r.fixed.argsz = 64;
	few.argsz = 64;
	CU_ASSERT(refused(decode, &few, &r, 64,
		"VFIO_USER_DEVICE_GET_REGION_IO_FDS reply: region 2: sub-region 0: fd_index 0, "
		"expected one for which an fd came"));
}

static void
test_fields(void)
{
	struct long_reply r = long_reply;

	r.fixed.index = 0;
	CU_ASSERT(is_refused(&r, sizeof(r), "index 0, expected 2"));
	r = long_reply;
	r.fixed.flags = 4;
	CU_ASSERT(is_refused(&r, sizeof(r), "flags 0x4, expected 0x0"));
	r = long_reply;
	r.fixed.argsz = 15;
	CU_ASSERT(is_refused(&r, sizeof(r), "region 2: argsz 15, expected 16 to 65536"));
	r.fixed.argsz = VUC_WIRE_MAX_ARGSZ + 1;
	CU_ASSERT(is_refused(&r, sizeof(r), "region 2: argsz 65537, expected 16 to 65536"));
	r.fixed.argsz = 159;
	CU_ASSERT(is_refused(&r, sizeof(r), "body of 160 bytes, expected 159"));
}

static void
test_stride(void)
{
	struct long_reply r = long_reply;

	r.fixed.count = 5;
	CU_ASSERT(is_refused(&r, sizeof(r),
		"region 2: 144 bytes of sub-regions, expected count 5 times 40 or more"));
	r.fixed.count = 4;
	CU_ASSERT(is_refused(&r, sizeof(r),
		"region 2: 144 bytes of sub-regions, expected count 4 times 40 or more"));
	r.fixed.count = UINT32_MAX;
	CU_ASSERT(is_refused(&r, sizeof(r),
		"region 2: 144 bytes of sub-regions, expected count 4294967295 times 40 or more"));
	/* Longer elements than any that is known: what is behind the known part is skipped. */
	r = long_reply;
	r.fixed.count = 1;
	CU_ASSERT(taken(decode, &asked, &r, sizeof(r)));
}

static void
test_types(void)
{
	struct short_reply s = short_reply;
	struct long_reply r = long_reply;

	r.subs[2].type = 3;
	CU_ASSERT(is_refused(&r, sizeof(r), "region 2: sub-region 2: type 3, expected 0, 1 or 2"));
	s.subs[1].type = VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW;
	CU_ASSERT(is_refused(&s, sizeof(s),
		"region 2: sub-region 1: size in the message 40, expected at least 48 for a shadow "
		"ioeventfd"));
}

static void
test_fd_indexes(void)
{
	struct long_reply r = long_reply;

	r.subs[0].fd_index = 2;
	CU_ASSERT(taken(decode, &asked, &r, sizeof(r)));
	r.subs[0].fd_index = 3;
	CU_ASSERT(is_refused(&r, sizeof(r),
		"region 2: sub-region 0: fd_index 3, expected one for which an fd came"));
	r.subs[0].fd_index = UINT32_MAX - 1;
	CU_ASSERT(is_refused(&r, sizeof(r),
		"region 2: sub-region 0: fd_index 4294967294, expected one for which an fd came"));
	r = long_reply;
	r.subs[1].shadow_mem_fd_index = 3;
	CU_ASSERT(is_refused(&r, sizeof(r),
		"region 2: sub-region 1: shadow_mem_fd_index 3, expected one for which an fd came"));
	r.subs[1].shadow_mem_fd_index = UINT32_MAX;
	CU_ASSERT(is_refused(&r, sizeof(r),
		"region 2: sub-region 1: shadow_mem_fd_index 4294967295, expected one for which an "
		"fd came"));
}

static void
test_bounds(void)
{
	struct long_reply r = long_reply;

	r.subs[0].offset = 0xffc;
	CU_ASSERT(taken(decode, &asked, &r, sizeof(r)));
	r.subs[0].offset = 0xffd;
	CU_ASSERT(is_refused(&r, sizeof(r),
		"region 2: sub-region 0 of 0x4 bytes at 0xffd is outside the region's 0x1000"));
	r.subs[0].offset = UINT64_MAX;
	CU_ASSERT(is_refused(&r, sizeof(r),
		"region 2: sub-region 0 of 0x4 bytes at 0xffffffffffffffff is outside the region's "
		"0x1000"));
	r = long_reply;
	r.subs[0].size = UINT64_MAX;
	CU_ASSERT(is_refused(&r, sizeof(r),
		"region 2: sub-region 0 of 0xffffffffffffffff bytes at 0x10 is outside the "
		"region's 0x1000"));
	r = long_reply;
	r.subs[2].offset = 0x1000;
	CU_ASSERT(is_refused(&r, sizeof(r),
		"region 2: sub-region 2 of 0x0 bytes at 0x1000 is outside the region's 0x1000"));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"request", test_encode},
		{"elements of 48 bytes", test_long},
		{"elements of 40 bytes", test_short},
		{"cut at every length", test_cut},
		{"no sub-regions", test_none},
		{"more than was asked for", test_truncated},
		{"fields out of bounds", test_fields},
		{"elements of other sizes", test_stride},
		{"types", test_types},
		{"fd indexes", test_fd_indexes},
		{"sub-regions out of bounds", test_bounds},
		CU_TEST_INFO_NULL,
	};
	return vuc_tap_tests("io_fds", NULL, NULL, tests);
}
