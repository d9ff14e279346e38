/* SPDX-License-Identifier: BSD-3-Clause */
#include "access.h"
#include "wire_body.h"

static struct vuc_wire_access asked = {.region = 2, .count = 4, .offset = 0x1000};

/* Reply of a read, or without its data that of a write. */
struct reply {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[4];
} __attribute__((packed));

#define FIXED_LEN offsetof(struct reply, data)

static const struct reply reply = {
	.offset = 0x1000,
	.region = 2,
	.count = 4,
	.data = {0xde, 0xad, 0xbe, 0xef},
};

static int
decode_read(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	const uint8_t *data;

	return vuc_wire_region_read_decode(body, len, arg, &data, err);
}

static int
decode_write(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	return vuc_wire_region_write_decode(body, len, arg, err);
}

static int
decode_multi(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	uint32_t done;

	return vuc_wire_write_multi_decode(body, len, *(uint32_t *)arg, &done, err);
}

static void
test_encode(void)
{
	const struct vuc_wire_access access = {
		.region = 0x01020304,
		.count = 0x11121314,
		.offset = UINT64_C(0x2122232425262728),
	};
	struct vfio_user_region_access got;

	CU_ASSERT_EQUAL(vuc_wire_region_access_encode(&got, &access), 16);
	CU_ASSERT_EQUAL(got.region, access.region);
	CU_ASSERT_EQUAL(got.count, access.count);
	CU_ASSERT_EQUAL(got.offset, access.offset);
}

static void
test_read(void)
{
	const uint8_t *data = NULL;
	struct vuc_error err;

	CU_ASSERT_EQUAL(vuc_wire_region_read_decode(&reply, sizeof(reply), &asked, &data, &err), 0);
	CU_ASSERT_PTR_EQUAL(data, reply.data);
	CU_ASSERT_EQUAL(
		count_refused_prefixes(decode_read, &asked, &reply, sizeof(reply)), sizeof(reply));
}

static void
test_read_mismatch(void)
{
	struct reply r = reply;

	r.offset++;
	CU_ASSERT(refused(decode_read, &asked, &r, sizeof(r),
		"VFIO_USER_REGION_READ reply: offset 0x1001, expected 0x1000"));
	r = reply;
	r.region = UINT32_MAX;
	CU_ASSERT(refused(decode_read, &asked, &r, sizeof(r),
		"VFIO_USER_REGION_READ reply: region 4294967295, expected 2"));
	r = reply;
	r.count = 3;
	CU_ASSERT(refused(decode_read, &asked, &r, sizeof(r),
		"VFIO_USER_REGION_READ reply: count 3, expected 4"));
	r.count = 5;
	CU_ASSERT(refused(decode_read, &asked, &r, sizeof(r),
		"VFIO_USER_REGION_READ reply: count 5, expected 4"));
}

static void
test_read_length(void)
{
	struct vuc_wire_access huge = {.region = 2, .count = UINT32_MAX, .offset = 0x1000};
	uint8_t longer[sizeof(reply) + 1] = {0};
	struct reply r = reply;

	memcpy(longer, &reply, sizeof(reply));
	CU_ASSERT(refused(decode_read, &asked, longer, sizeof(longer),
		"VFIO_USER_REGION_READ reply: body of 21 bytes, expected 20"));
	CU_ASSERT(refused(decode_read, &asked, longer, 19,
		"VFIO_USER_REGION_READ reply: body of 19 bytes, expected 20"));
	r.count = UINT32_MAX;
	CU_ASSERT(refused(decode_read, &huge, &r, sizeof(r),
		"VFIO_USER_REGION_READ reply: body of 20 bytes, expected 4294967311"));
}

static void
test_write(void)
{
	struct reply r = reply;

	CU_ASSERT(taken(decode_write, &asked, &r, FIXED_LEN));
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_write, &asked, &r, FIXED_LEN), FIXED_LEN);
	CU_ASSERT(refused(decode_write, &asked, &reply, sizeof(reply),
		"VFIO_USER_REGION_WRITE reply: body of 20 bytes, expected 16"));
	r.count = 0;
	CU_ASSERT(refused(decode_write, &asked, &r, FIXED_LEN,
		"VFIO_USER_REGION_WRITE reply: count 0, expected 4"));
	r = reply;
	r.region = 1;
	CU_ASSERT(refused(decode_write, &asked, &r, FIXED_LEN,
		"VFIO_USER_REGION_WRITE reply: region 1, expected 2"));
	r = reply;
	r.offset = UINT64_MAX;
	CU_ASSERT(refused(decode_write, &asked, &r, FIXED_LEN,
		"VFIO_USER_REGION_WRITE reply: offset 0xffffffffffffffff, expected 0x1000"));
}

static void
test_multi_encode(void)
{
	const struct vfio_user_write_multi_entry writes[2] = {
		{.offset = 8, .region = 0, .count = 8, .data = {1, 2, 3, 4, 5, 6, 7, 8}},
		{.offset = 64, .region = 5, .count = 1, .data = {9, 10, 11}},
	};
	uint8_t buf[8 + 2 * 24];
	struct vfio_user_write_multi fixed;
	struct vfio_user_write_multi_entry entry;

	CU_ASSERT_EQUAL_FATAL(vuc_wire_write_multi_encode(buf, sizeof(buf), writes, 2), 56);
	memcpy(&fixed, buf, sizeof(fixed));
	CU_ASSERT_EQUAL(fixed.wr_cnt, 2);
	CU_ASSERT_EQUAL(memcmp(buf + 8, &writes[0], 24), 0);
	memcpy(&entry, buf + 32, sizeof(entry));
	CU_ASSERT_EQUAL(entry.offset, 64);
	CU_ASSERT_EQUAL(entry.region, 5);
	CU_ASSERT_EQUAL(entry.count, 1);
	CU_ASSERT_EQUAL(memcmp(entry.data, "\x09\0\0\0\0\0\0\0", 8), 0);
}

static void
test_multi_encode_bounds(void)
{
	struct vfio_user_write_multi_entry write = {.count = 1};
	uint8_t buf[8 + 24];

	CU_ASSERT_EQUAL(vuc_wire_write_multi_encode(buf, sizeof(buf), &write, 0), -EINVAL);
	CU_ASSERT_EQUAL(vuc_wire_write_multi_encode(buf, sizeof(buf) - 1, &write, 1), -ENOSPC);
	CU_ASSERT_EQUAL(vuc_wire_write_multi_encode(buf, sizeof(buf), &write, UINT32_MAX), -ENOSPC);
	CU_ASSERT_EQUAL(vuc_wire_write_multi_encode(buf, SIZE_MAX, &write, UINT32_MAX), -ENOSPC);
	write.count = 0;
	CU_ASSERT_EQUAL(vuc_wire_write_multi_encode(buf, sizeof(buf), &write, 1), -EINVAL);
	write.count = 9;
	CU_ASSERT_EQUAL(vuc_wire_write_multi_encode(buf, sizeof(buf), &write, 1), -EINVAL);
	write.count = 8;
	CU_ASSERT_EQUAL(vuc_wire_write_multi_encode(buf, sizeof(buf), &write, 1), 32);
}

static void
test_multi_decode(void)
{
	struct vfio_user_write_multi r = {.wr_cnt = 3};
	uint32_t sent = 3, done = 0;
	uint8_t longer[9] = {3};
	struct vuc_error err;

	CU_ASSERT_EQUAL(vuc_wire_write_multi_decode(&r, sizeof(r), sent, &done, &err), 0);
	CU_ASSERT_EQUAL(done, 3);
	r.wr_cnt = 0;
	CU_ASSERT_EQUAL(vuc_wire_write_multi_decode(&r, sizeof(r), sent, &done, &err), 0);
	CU_ASSERT_EQUAL(done, 0);
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_multi, &sent, &r, sizeof(r)), sizeof(r));
	CU_ASSERT(refused(decode_multi, &sent, longer, sizeof(longer),
		"VFIO_USER_REGION_WRITE_MULTI reply: body of 9 bytes, expected 8"));
	r.wr_cnt = 4;
	CU_ASSERT(refused(decode_multi, &sent, &r, sizeof(r),
		"VFIO_USER_REGION_WRITE_MULTI reply: wr_cnt 4, expected at most 3"));
	r.wr_cnt = UINT64_C(0x100000001);
	CU_ASSERT(refused(decode_multi, &sent, &r, sizeof(r),
		"VFIO_USER_REGION_WRITE_MULTI reply: wr_cnt 4294967297, expected at most 3"));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"request of a read or write", test_encode},
		{"reply of a read", test_read},
		{"reply of a read of something else", test_read_mismatch},
		{"reply of a read with another length", test_read_length},
		{"reply of a write", test_write},
		{"request of several writes", test_multi_encode},
		{"bounds of several writes", test_multi_encode_bounds},
		{"reply of several writes", test_multi_decode},
		CU_TEST_INFO_NULL,
	};
	return vuc_tap_tests("access", NULL, NULL, tests);
}
