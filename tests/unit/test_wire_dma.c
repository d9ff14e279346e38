/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma.h"
#include "wire_body.h"

#define PGSIZE 4096u

static struct vuc_wire_dma_range range = {.addr = 0x100000000, .size = 65 * PGSIZE};

static void
test_bitmap_size(void)
{
	uint32_t size = 0;

	CU_ASSERT_EQUAL(vuc_wire_bitmap_size(1, 4096, &size), 0);
	CU_ASSERT_EQUAL(size, 8);
	CU_ASSERT_EQUAL(vuc_wire_bitmap_size(64 * 4096, 4096, &size), 0);
	CU_ASSERT_EQUAL(size, 8);
	CU_ASSERT_EQUAL(vuc_wire_bitmap_size(64 * 4096 + 1, 4096, &size), 0);
	CU_ASSERT_EQUAL(size, 16);
	CU_ASSERT_EQUAL(vuc_wire_bitmap_size(UINT64_MAX, UINT64_C(1) << 63, &size), 0);
	CU_ASSERT_EQUAL(size, 8);
	CU_ASSERT_EQUAL(vuc_wire_bitmap_size(0, 4096, &size), -EINVAL);
	CU_ASSERT_EQUAL(vuc_wire_bitmap_size(4096, 0, &size), -EINVAL);
	CU_ASSERT_EQUAL(vuc_wire_bitmap_size(4096, 4097, &size), -EINVAL);
	CU_ASSERT_EQUAL(vuc_wire_bitmap_size(UINT64_MAX, 1, &size), -EOVERFLOW);
	/* 2^32 - 72 bytes of bitmap are the most. */
	CU_ASSERT_EQUAL(vuc_wire_bitmap_size((UINT64_C(1) << 35) - 64 * 9, 1, &size), 0);
	CU_ASSERT_EQUAL(size, UINT32_MAX - 71);
	CU_ASSERT_EQUAL(
		vuc_wire_bitmap_size((UINT64_C(1) << 35) - 64 * 9 + 1, 1, &size), -EOVERFLOW);
}

static void
test_map(void)
{
	struct vfio_user_dma_map got;

	CU_ASSERT_EQUAL(vuc_wire_dma_map_encode(&got, &range,
				VFIO_USER_F_DMA_REGION_READ | VFIO_USER_F_DMA_REGION_WRITE, 0x2000),
		32);
	CU_ASSERT_EQUAL(got.argsz, 32);
	CU_ASSERT_EQUAL(got.flags, 3);
	CU_ASSERT_EQUAL(got.offset, 0x2000);
	CU_ASSERT_EQUAL(got.addr, range.addr);
	CU_ASSERT_EQUAL(got.size, range.size);
}

static void
test_unmap_encode(void)
{
	struct vfio_user_dma_unmap got;

	CU_ASSERT_EQUAL(vuc_wire_dma_unmap_encode(&got, &range), 24);
	CU_ASSERT_EQUAL(got.argsz, 24);
	CU_ASSERT_EQUAL(got.flags, 0);
	CU_ASSERT_EQUAL(got.addr, range.addr);
	CU_ASSERT_EQUAL(got.size, range.size);
	CU_ASSERT_EQUAL(vuc_wire_dma_unmap_all_encode(&got), 24);
	CU_ASSERT_EQUAL(got.argsz, 24);
	CU_ASSERT_EQUAL(got.flags, 2);
	CU_ASSERT_EQUAL(got.addr, 0);
	CU_ASSERT_EQUAL(got.size, 0);
}

static void
test_unmap_dirty_encode(void)
{
	const struct vuc_wire_dma_range all = {0, UINT64_MAX};
	struct vfio_user_dma_unmap unmap;
	struct vfio_user_bitmap bitmap;
	uint8_t buf[40];

	CU_ASSERT_EQUAL(vuc_wire_dma_unmap_dirty_encode(buf, &range, PGSIZE), 40);
	memcpy(&unmap, buf, sizeof(unmap));
	memcpy(&bitmap, buf + sizeof(unmap), sizeof(bitmap));
	CU_ASSERT_EQUAL(unmap.argsz, 40 + 16);
	CU_ASSERT_EQUAL(unmap.flags, 1);
	CU_ASSERT_EQUAL(unmap.addr, range.addr);
	CU_ASSERT_EQUAL(unmap.size, range.size);
	CU_ASSERT_EQUAL(bitmap.pgsize, PGSIZE);
	CU_ASSERT_EQUAL(bitmap.size, 16);
	CU_ASSERT_EQUAL(vuc_wire_dma_unmap_dirty_encode(buf, &range, 3), -EINVAL);
	CU_ASSERT_EQUAL(vuc_wire_dma_unmap_dirty_encode(buf, &all, PGSIZE), -EOVERFLOW);
}

static int
decode_unmap(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	return vuc_wire_dma_unmap_decode(body, len, arg, err);
}

static void
test_unmap(void)
{
	struct vfio_user_dma_unmap r;
	uint8_t longer[25] = {0};

	vuc_wire_dma_unmap_encode(&r, &range);
	CU_ASSERT(taken(decode_unmap, &range, &r, sizeof(r)));
	/* All but the empty body, which means that there is no DMA. */
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_unmap, &range, &r, sizeof(r)), 23);
	CU_ASSERT(taken(decode_unmap, &range, &r, 0));
	CU_ASSERT(refused(decode_unmap, &range, &r, 23,
		"VFIO_USER_DMA_UNMAP reply: body of 23 bytes, expected at least 24"));
	memcpy(longer, &r, sizeof(r));
	CU_ASSERT(refused(decode_unmap, &range, longer, sizeof(longer),
		"VFIO_USER_DMA_UNMAP reply: body of 25 bytes, expected 24"));
	r.argsz = 4096;
	CU_ASSERT(taken(decode_unmap, &range, &r, sizeof(r)));

	vuc_wire_dma_unmap_all_encode(&r);
	CU_ASSERT(taken(decode_unmap, NULL, &r, sizeof(r)));
	CU_ASSERT(taken(decode_unmap, NULL, &r, 0));
	CU_ASSERT(refused(decode_unmap, &range, &r, sizeof(r),
		"VFIO_USER_DMA_UNMAP reply: flags 0x2, expected 0x0"));
}

static void
test_unmap_mismatch(void)
{
	struct vfio_user_dma_unmap r;

	vuc_wire_dma_unmap_encode(&r, &range);
	r.argsz = 23;
	CU_ASSERT(refused(decode_unmap, &range, &r, sizeof(r),
		"VFIO_USER_DMA_UNMAP reply: argsz 23, expected at least 24"));
	vuc_wire_dma_unmap_encode(&r, &range);
	r.addr++;
	CU_ASSERT(refused(decode_unmap, &range, &r, sizeof(r),
		"VFIO_USER_DMA_UNMAP reply: address 0x100000001, expected 0x100000000"));
	vuc_wire_dma_unmap_encode(&r, &range);
	r.size = 0;
	CU_ASSERT(refused(decode_unmap, &range, &r, sizeof(r),
		"VFIO_USER_DMA_UNMAP reply: size 0x0, expected 0x41000"));
	CU_ASSERT(refused(decode_unmap, NULL, &r, sizeof(r),
		"VFIO_USER_DMA_UNMAP reply: flags 0x0, expected 0x2"));
}

/* A reply with dirty pages: 65 bits in two words. */
struct dirty_reply {
	struct vfio_user_dma_unmap unmap;
	uint64_t bitmap_pgsize;
	uint64_t bitmap_size;
	uint8_t bits[16];
} __attribute__((packed));

static struct dirty_reply
dirty_reply(void)
{
	struct dirty_reply r = {.bits = {0x81, 0, 0, 0, 0, 0, 0, 0, 1}};

	vuc_wire_dma_unmap_dirty_encode(&r, &range, PGSIZE);
	return r;
}

static int
decode_dirty(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	const uint8_t *bitmap;

	return vuc_wire_dma_unmap_dirty_decode(body, len, arg, PGSIZE, &bitmap, err);
}

static void
test_unmap_dirty(void)
{
	struct dirty_reply r = dirty_reply();
	const uint8_t *bitmap = NULL;
	uint8_t longer[sizeof(r) + 1] = {0};
	struct vuc_error err;

	CU_ASSERT_EQUAL(
		vuc_wire_dma_unmap_dirty_decode(&r, sizeof(r), &range, PGSIZE, &bitmap, &err), 0);
	CU_ASSERT_PTR_EQUAL(bitmap, r.bits);
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_dirty, &range, &r, sizeof(r)), sizeof(r));
	memcpy(longer, &r, sizeof(r));
	CU_ASSERT(refused(decode_dirty, &range, longer, sizeof(longer),
		"VFIO_USER_DMA_UNMAP reply: body of 57 bytes, expected 56"));
	CU_ASSERT_EQUAL(
		vuc_wire_dma_unmap_dirty_decode(&r, sizeof(r), &range, 0, &bitmap, &err), -EINVAL);
}

static void
test_unmap_dirty_mismatch(void)
{
	struct dirty_reply r = dirty_reply();

	r.unmap.flags = 0;
	CU_ASSERT(refused(decode_dirty, &range, &r, sizeof(r),
		"VFIO_USER_DMA_UNMAP reply: flags 0x0, expected 0x1"));
	r = dirty_reply();
	r.unmap.addr = 0;
	CU_ASSERT(refused(decode_dirty, &range, &r, sizeof(r),
		"VFIO_USER_DMA_UNMAP reply: address 0x0, expected 0x100000000"));
	r = dirty_reply();
	r.bitmap_pgsize = 2 * PGSIZE;
	CU_ASSERT(refused(decode_dirty, &range, &r, sizeof(r),
		"VFIO_USER_DMA_UNMAP reply: bitmap page size 0x2000, expected 0x1000"));
	r = dirty_reply();
	r.bitmap_size = 8;
	CU_ASSERT(refused(decode_dirty, &range, &r, sizeof(r),
		"VFIO_USER_DMA_UNMAP reply: bitmap size 8, expected 16"));
	r.bitmap_size = UINT64_MAX;
	CU_ASSERT(refused(decode_dirty, &range, &r, sizeof(r),
		"VFIO_USER_DMA_UNMAP reply: bitmap size 18446744073709551615, expected 16"));
}

static uint32_t max_data = 16;

static int
decode_read(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	struct vuc_wire_dma_access access;

	return vuc_wire_dma_read_decode(body, len, *(uint32_t *)arg, &access, err);
}

static int
decode_write(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	struct vuc_wire_dma_access access;

	return vuc_wire_dma_write_decode(body, len, *(uint32_t *)arg, &access, err);
}

static void
test_read(void)
{
	struct vfio_user_dma_region_access c = {.addr = 0x1000, .count = 16};
	struct vuc_wire_dma_access access;
	uint8_t longer[17] = {0};
	struct vuc_error err;

	memset(&access, 0xff, sizeof(access));
	CU_ASSERT_EQUAL(vuc_wire_dma_read_decode(&c, sizeof(c), max_data, &access, &err), 0);
	CU_ASSERT_EQUAL(access.addr, 0x1000);
	CU_ASSERT_EQUAL(access.count, 16);
	CU_ASSERT_PTR_NULL(access.data);
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_read, &max_data, &c, sizeof(c)), sizeof(c));
	CU_ASSERT(refused(decode_read, &max_data, &c, 15,
		"VFIO_USER_DMA_READ: body of 15 bytes, expected at least 16"));
	memcpy(longer, &c, sizeof(c));
	CU_ASSERT(refused(decode_read, &max_data, longer, sizeof(longer),
		"VFIO_USER_DMA_READ: body of 17 bytes, expected 16"));
}

static void
test_read_bounds(void)
{
	struct vfio_user_dma_region_access c = {.addr = 0x1000, .count = 0};

	CU_ASSERT(refused(decode_read, &max_data, &c, sizeof(c),
		"VFIO_USER_DMA_READ: count 0, expected 1 to 16"));
	c.count = 17;
	CU_ASSERT(refused(decode_read, &max_data, &c, sizeof(c),
		"VFIO_USER_DMA_READ: count 17, expected 1 to 16"));
	c.count = UINT64_C(0x100000010);
	CU_ASSERT(refused(decode_read, &max_data, &c, sizeof(c),
		"VFIO_USER_DMA_READ: count 4294967312, expected 1 to 16"));
	c.count = 16;
	c.addr = UINT64_MAX - 16;
	CU_ASSERT(taken(decode_read, &max_data, &c, sizeof(c)));
	c.addr++;
	CU_ASSERT(refused(decode_read, &max_data, &c, sizeof(c),
		"VFIO_USER_DMA_READ: address 0xfffffffffffffff0 and count 16 overflow"));
}

static void
test_write(void)
{
	struct {
		uint64_t addr;
		uint64_t count;
		uint8_t data[5];
	} __attribute__((packed)) c = {0x1000, 4, {1, 2, 3, 4, 5}};
	struct vuc_wire_dma_access access;
	struct vuc_error err;

	CU_ASSERT_EQUAL(vuc_wire_dma_write_decode(&c, 20, max_data, &access, &err), 0);
	CU_ASSERT_EQUAL(access.addr, 0x1000);
	CU_ASSERT_EQUAL(access.count, 4);
	CU_ASSERT_PTR_EQUAL(access.data, c.data);
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_write, &max_data, &c, 20), 20);
	CU_ASSERT(refused(decode_write, &max_data, &c, 21,
		"VFIO_USER_DMA_WRITE: body of 21 bytes, expected 20"));
	c.count = 17;
	CU_ASSERT(refused(decode_write, &max_data, &c, 20,
		"VFIO_USER_DMA_WRITE: count 17, expected 1 to 16"));
	c.count = 0;
	CU_ASSERT(refused(
		decode_write, &max_data, &c, 16, "VFIO_USER_DMA_WRITE: count 0, expected 1 to 16"));
}

static void
test_reply(void)
{
	const struct vuc_wire_dma_access access = {.addr = 0x1234, .count = 99};
	struct vfio_user_dma_region_access got;

	CU_ASSERT_EQUAL(vuc_wire_dma_reply_encode(&got, &access), 16);
	CU_ASSERT_EQUAL(got.addr, 0x1234);
	CU_ASSERT_EQUAL(got.count, 99);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"size of a bitmap", test_bitmap_size},
		{"request of a map", test_map},
		{"requests of an unmap", test_unmap_encode},
		{"request of an unmap with dirty pages", test_unmap_dirty_encode},
		{"reply of an unmap", test_unmap},
		{"reply of an unmap of something else", test_unmap_mismatch},
		{"reply of an unmap with dirty pages", test_unmap_dirty},
		{"reply with dirty pages of something else", test_unmap_dirty_mismatch},
		{"read of the server", test_read},
		{"read of the server out of bounds", test_read_bounds},
		{"write of the server", test_write},
		{"reply to the server", test_reply},
		CU_TEST_INFO_NULL,
	};
	return vuc_tap_tests("dma", NULL, NULL, tests);
}
