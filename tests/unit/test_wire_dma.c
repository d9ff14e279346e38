/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma.h"
#include "wire_body.h"

#define PGSIZE 4096u

static struct vuc_wire_dma_range range = {.addr = 0x100000000, .size = 65 * PGSIZE};

static void
test_bitmap_size(void)
{
	static const struct {
		uint64_t length, pgsize;
		int rc;
		uint32_t size;
	} cases[] = {
		{1, 4096, 0, 8},
		{64 * 4096, 4096, 0, 8},
		{64 * 4096 + 1, 4096, 0, 16},
		{UINT64_MAX, UINT64_C(1) << 63, 0, 8},
		{0, 4096, -EINVAL},
		{4096, 0, -EINVAL},
		{4096, 4097, -EINVAL},
		{UINT64_MAX, 1, -EOVERFLOW},
		/* 2^32 - 72 bytes of bitmap are the most. */
		{(UINT64_C(1) << 35) - 64 * 9, 1, 0, UINT32_MAX - 71},
		{(UINT64_C(1) << 35) - 64 * 9 + 1, 1, -EOVERFLOW},
	};

	for (size_t i = 0; i < NR(cases); i++) {
		uint32_t size = 0;

		CU_ASSERT_EQUAL(
			vuc_wire_bitmap_size(cases[i].length, cases[i].pgsize, &size), cases[i].rc);
		CU_ASSERT_EQUAL(size, cases[i].size);
	}
}

/* Requests, and the reply to one of the server. */
static void
test_encode(void)
{
	const struct vfio_user_dma_map map = {32, 3, 0x2000, range.addr, range.size};
	const struct vfio_user_dma_unmap unmap = {24, 0, range.addr, range.size};
	const struct vfio_user_dma_unmap unmap_all = {24, 2, 0, 0};
	const struct vfio_user_dma_unmap unmap_dirty = {40 + 16, 1, range.addr, range.size};
	const struct vfio_user_bitmap bitmap = {PGSIZE, 16};
	const struct vfio_user_dma_region_access reply = {.addr = 0x1234, .count = 99};
	const struct vuc_wire_dma_access access = {.addr = 0x1234, .count = 99};
	const struct vuc_wire_dma_range all = {0, UINT64_MAX};
	uint8_t buf[40];

	CU_ASSERT_EQUAL(vuc_wire_dma_map_encode(buf, &range,
				VFIO_USER_F_DMA_REGION_READ | VFIO_USER_F_DMA_REGION_WRITE, 0x2000),
		32);
	CU_ASSERT_EQUAL(memcmp(buf, &map, 32), 0);
	CU_ASSERT_EQUAL(vuc_wire_dma_unmap_encode(buf, &range), 24);
	CU_ASSERT_EQUAL(memcmp(buf, &unmap, 24), 0);
	CU_ASSERT_EQUAL(vuc_wire_dma_unmap_all_encode(buf), 24);
	CU_ASSERT_EQUAL(memcmp(buf, &unmap_all, 24), 0);
	CU_ASSERT_EQUAL(vuc_wire_dma_unmap_dirty_encode(buf, &range, PGSIZE), 40);
	CU_ASSERT_EQUAL(memcmp(buf, &unmap_dirty, 24), 0);
	CU_ASSERT_EQUAL(memcmp(buf + 24, &bitmap, 16), 0);
	CU_ASSERT_EQUAL(vuc_wire_dma_unmap_dirty_encode(buf, &range, 3), -EINVAL);
	CU_ASSERT_EQUAL(vuc_wire_dma_unmap_dirty_encode(buf, &all, PGSIZE), -EOVERFLOW);
	CU_ASSERT_EQUAL(vuc_wire_dma_reply_encode(buf, &access), 16);
	CU_ASSERT_EQUAL(memcmp(buf, &reply, 16), 0);
}

#define UNMAP(member) FIELD(struct vfio_user_dma_unmap, member)

static int
decode_unmap(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	/* The empty body means that there is no DMA. */
	if (len == 0) {
		CU_ASSERT_EQUAL(vuc_wire_dma_unmap_decode(body, len, arg, err), 0);
		snprintf(err->text, sizeof(err->text), "taken");
		return -EPROTO;
	}
	return vuc_wire_dma_unmap_decode(body, len, arg, err);
}

static const struct vfio_user_dma_unmap unmap_good = {24, 0, 0x100000000, 65 * PGSIZE};
static const struct vfio_user_dma_unmap unmap_all_good = {24, VFIO_DMA_UNMAP_FLAG_ALL};
static const struct body_row unmap_rows[] = {
	{"body of 23 bytes, expected at least 24", .len = 23},
	{"body of 25 bytes, expected 24", .len = 25},
	{NULL, {{UNMAP(argsz), 4096}}},
	{"argsz 23, expected at least 24", {{UNMAP(argsz), 23}}},
	{"flags 0x2, expected 0x0", {{UNMAP(flags), 2}}},
	{"address 0x100000001, expected 0x100000000", {{UNMAP(addr), 0x100000001}}},
	{"size 0x0, expected 0x41000", {{UNMAP(size), 0}}},
};
static const struct body_row unmap_all_rows[] = {
	{"flags 0x0, expected 0x2", {{UNMAP(flags), 0}}},
};

/* A reply with dirty pages: 65 bits in two words. */
struct dirty_reply {
	struct vfio_user_dma_unmap unmap;
	uint64_t pgsize;
	uint64_t size;
	uint8_t bits[16];
} __attribute__((packed));

#define DIRTY(member) FIELD(struct dirty_reply, member)

/* arg is the size of pages. */
static int
decode_dirty(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	const uint8_t *bitmap = NULL;
	int rc = vuc_wire_dma_unmap_dirty_decode(
		body, len, &range, *(const uint32_t *)arg, &bitmap, err);

	CU_ASSERT(rc != 0 || bitmap == (const uint8_t *)body + 40);
	return rc;
}

static uint32_t pgsize = PGSIZE;
static const struct dirty_reply dirty_good = {
	{56, VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, 0x100000000, 65 * PGSIZE},
	PGSIZE,
	16,
	{0x81, 0, 0, 0, 0, 0, 0, 0, 1},
};
static const struct body_row dirty_rows[] = {
	{"body of 57 bytes, expected 56", .len = 57},
	{"flags 0x0, expected 0x1", {{DIRTY(unmap.flags), 0}}},
	{"address 0x0, expected 0x100000000", {{DIRTY(unmap.addr), 0}}},
	{"bitmap page size 0x2000, expected 0x1000", {{DIRTY(pgsize), 2 * PGSIZE}}},
	{"bitmap size 8, expected 16", {{DIRTY(size), 8}}},
	{"bitmap size 18446744073709551615, expected 16", {{DIRTY(size), UINT64_MAX}}},
};

/* Of a request that cannot have been sent. */
static void
test_no_page_size(void)
{
	struct vuc_error err;

	CU_ASSERT_EQUAL(
		decode_dirty(&dirty_good, sizeof(dirty_good), &(uint32_t){0}, &err), -EINVAL);
}

/* An access of the server, with the data of a write. */
struct command {
	uint64_t addr;
	uint64_t count;
	uint8_t data[4];
} __attribute__((packed));

#define ADDR  FIELD(struct command, addr)
#define COUNT FIELD(struct command, count)

static int
check_access(int rc, const void *body, const struct vuc_wire_dma_access *access, const void *data)
{
	const struct vfio_user_dma_region_access got = {.addr = access->addr, access->count};

	CU_ASSERT(rc != 0 || (memcmp(&got, body, 16) == 0 && access->data == data));
	return rc;
}

static int
decode_read(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	struct vuc_wire_dma_access access = {.data = body};

	(void)arg;
	return check_access(
		vuc_wire_dma_read_decode(body, len, 16, &access, err), body, &access, NULL);
}

static int
decode_write(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	struct vuc_wire_dma_access access = {0};

	(void)arg;
	return check_access(vuc_wire_dma_write_decode(body, len, 16, &access, err), body, &access,
		(const uint8_t *)body + 16);
}

static const struct command read_good = {0x1000, 16, {0}};
static const struct body_row read_rows[] = {
	{"body of 15 bytes, expected at least 16", .len = 15},
	{"body of 17 bytes, expected 16", .len = 17},
	{"count 0, expected 1 to 16", {{COUNT, 0}}},
	{"count 17, expected 1 to 16", {{COUNT, 17}}},
	{"count 4294967312, expected 1 to 16", {{COUNT, UINT64_C(0x100000010)}}},
	{NULL, {{ADDR, UINT64_MAX - 16}}},
	{"address 0xfffffffffffffff0 and count 16 overflow", {{ADDR, UINT64_MAX - 15}}},
};

static const struct command write_good = {0x1000, 4, {1, 2, 3, 4}};
static const struct body_row write_rows[] = {
	{"body of 21 bytes, expected 20", .len = 21},
	{"count 17, expected 1 to 16", {{COUNT, 17}}},
	{"count 0, expected 1 to 16", {{COUNT, 0}}, .len = 16},
};

static const struct decoder decoders[] = {
	{"reply of an unmap", decode_unmap, &range, "VFIO_USER_DMA_UNMAP reply", GOOD(unmap_good),
		ROWS(unmap_rows)},
	{"reply of an unmap of all", decode_unmap, NULL, "VFIO_USER_DMA_UNMAP reply",
		GOOD(unmap_all_good), ROWS(unmap_all_rows)},
	{"reply of an unmap with dirty pages", decode_dirty, &pgsize, "VFIO_USER_DMA_UNMAP reply",
		GOOD(dirty_good), ROWS(dirty_rows)},
	{"read of the server", decode_read, NULL, "VFIO_USER_DMA_READ", &read_good, 16,
		ROWS(read_rows)},
	{"write of the server", decode_write, NULL, "VFIO_USER_DMA_WRITE", &write_good, 20,
		ROWS(write_rows)},
};

const struct tap_suite tap_suite = {"dma", NULL, NULL,
	{
		{"size of a bitmap", test_bitmap_size},
		{"requests", test_encode},
		{"dirty pages without a size", test_no_page_size},
	},
	TAP_ROWS(decoders, decoder_test)};
