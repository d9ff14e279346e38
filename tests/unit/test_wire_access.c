/* SPDX-License-Identifier: BSD-3-Clause */
#include "access.h"
#include "wire_body.h"

static struct vuc_wire_access asked = {.region = 2, .count = 4, .offset = 0x1000};
static struct vuc_wire_access huge = {.region = 2, .count = UINT32_MAX, .offset = 0x1000};

/* Reply of a read, or without its data that of a write. */
struct reply {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[4];
} __attribute__((packed));

#define OFFSET FIELD(struct reply, offset)
#define REGION FIELD(struct reply, region)
#define COUNT  FIELD(struct reply, count)

static const struct reply reply = {0x1000, 2, 4, {0xde, 0xad, 0xbe, 0xef}};

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

static int
decode_read(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	const uint8_t *data = NULL;
	int rc = vuc_wire_region_read_decode(body, len, arg, &data, err);

	CU_ASSERT(rc != 0 || data == (const uint8_t *)body + 16);
	return rc;
}

static const struct body_row read_rows[] = {
	{"offset 0x1001, expected 0x1000", {{OFFSET, 0x1001}}},
	{"region 4294967295, expected 2", {{REGION, UINT32_MAX}}},
	{"count 3, expected 4", {{COUNT, 3}}},
	{"count 5, expected 4", {{COUNT, 5}}},
	{"body of 21 bytes, expected 20", .len = 21},
	{"body of 19 bytes, expected 20", .len = 19},
	{"body of 20 bytes, expected 4294967311", {{COUNT, UINT32_MAX}}, .arg = &huge},
};

static int
decode_write(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	return vuc_wire_region_write_decode(body, len, arg, err);
}

static const struct body_row write_rows[] = {
	{"body of 20 bytes, expected 16", .len = 20},
	{"count 0, expected 4", {{COUNT, 0}}},
	{"region 1, expected 2", {{REGION, 1}}},
	{"offset 0xffffffffffffffff, expected 0x1000", {{OFFSET, UINT64_MAX}}},
};

static const struct vfio_user_write_multi_entry writes[2] = {
	{.offset = 8, .region = 0, .count = 8, .data = {1, 2, 3, 4, 5, 6, 7, 8}},
	{.offset = 64, .region = 5, .count = 1, .data = {9, 10, 11}},
};

static void
test_multi_encode(void)
{
	const struct vfio_user_write_multi_entry second = {64, 5, 1, {9}};
	uint8_t buf[8 + 2 * 24];

	CU_ASSERT_EQUAL_FATAL(vuc_wire_write_multi_encode(buf, sizeof(buf), writes, 2), 56);
	CU_ASSERT_EQUAL(memcmp(buf, &(uint64_t){2}, 8), 0);
	CU_ASSERT_EQUAL(memcmp(buf + 8, &writes[0], 24), 0);
	CU_ASSERT_EQUAL(memcmp(buf + 32, &second, 24), 0);
}

static void
test_multi_encode_bounds(void)
{
	static const struct {
		size_t size;
		uint32_t n, count;
		int rc;
	} cases[] = {
		{32, 0, 1, -EINVAL},
		{31, 1, 1, -ENOSPC},
		{32, UINT32_MAX, 1, -ENOSPC},
		{SIZE_MAX, UINT32_MAX, 1, -ENOSPC},
		{32, 1, 0, -EINVAL},
		{32, 1, 9, -EINVAL},
		{32, 1, 8, 32},
	};
	uint8_t buf[8 + 24];

	for (size_t i = 0; i < NR(cases); i++) {
		const struct vfio_user_write_multi_entry write = {.count = cases[i].count};

		CU_ASSERT_EQUAL(vuc_wire_write_multi_encode(buf, cases[i].size, &write, cases[i].n),
			cases[i].rc);
	}
}

static int
decode_multi(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	uint32_t done = UINT32_MAX;
	int rc = vuc_wire_write_multi_decode(body, len, *(uint32_t *)arg, &done, err);

	CU_ASSERT(rc != 0 || memcmp(&(uint64_t){done}, body, 8) == 0);
	return rc;
}

static const struct vfio_user_write_multi multi_good = {.wr_cnt = 3};
static uint32_t sent = 3;
static const struct body_row multi_rows[] = {
	{NULL, {{0, 8, 0}}},
	{"body of 9 bytes, expected 8", .len = 9},
	{"wr_cnt 4, expected at most 3", {{0, 8, 4}}},
	{"wr_cnt 4294967297, expected at most 3", {{0, 8, UINT64_C(0x100000001)}}},
};

static const struct decoder decoders[] = {
	{"reply of a read", decode_read, &asked, "VFIO_USER_REGION_READ reply", GOOD(reply),
		ROWS(read_rows)},
	{"reply of a write", decode_write, &asked, "VFIO_USER_REGION_WRITE reply", &reply, 16,
		ROWS(write_rows)},
	{"reply of several writes", decode_multi, &sent, "VFIO_USER_REGION_WRITE_MULTI reply",
		GOOD(multi_good), ROWS(multi_rows)},
};

const struct tap_suite tap_suite = {"access", NULL, NULL,
	{
		{"request of a read or write", test_encode},
		{"request of several writes", test_multi_encode},
		{"bounds of several writes", test_multi_encode_bounds},
	},
	TAP_ROWS(decoders, decoder_test)};
