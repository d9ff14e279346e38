/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"
#include "info.h"
#include "wire_body.h"

static void
test_request(void)
{
	static const uint8_t zero[20];
	struct vfio_user_region_info region;

	memset(&region, 0xff, sizeof(region));
	CU_ASSERT_EQUAL(vuc_wire_region_info_encode(&region, 7, 4096), 32);
	CU_ASSERT_EQUAL(region.argsz, 4096);
	CU_ASSERT_EQUAL(region.flags, 0);
	CU_ASSERT_EQUAL(region.index, 7);
	CU_ASSERT_EQUAL(memcmp((uint8_t *)&region + 12, zero, 20), 0);
}

#define INDEX 1u
#define ASKED 4096u

/* A reply of region info with capabilities, put together piece by piece. */
struct reply {
	uint8_t bytes[32 * 1024];
	size_t len;
};

static int
decode_region(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	struct vuc_wire_region_info out;

	return vuc_wire_region_info_decode(body, len, INDEX, *(uint32_t *)arg, &out, err);
}

static uint32_t asked = ASKED;

static void
put(struct reply *r, const void *bytes, size_t len)
{
	memcpy(r->bytes + r->len, bytes, len);
	r->len += len;
}

static struct vfio_user_region_info *
info_of(struct reply *r)
{
	return (struct vfio_user_region_info *)r->bytes;
}

/* A region of 64 KiB whose capabilities, if any, begin at cap_offset. */
static void
begin(struct reply *r, uint32_t cap_offset)
{
	const struct vfio_user_region_info info = {
		.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
			(cap_offset != 0 ? VFIO_REGION_INFO_FLAG_CAPS : 0),
		.index = INDEX,
		.cap_offset = cap_offset,
		.size = 0x10000,
		.offset = 0x100000000,
	};

	r->len = 0;
	put(r, &info, sizeof(info));
}

static void
put_cap(struct reply *r, uint16_t id, uint32_t next)
{
	const struct vfio_user_cap_header header = {.id = id, .version = 1, .next = next};

	put(r, &header, sizeof(header));
}

/* The part of a sparse mmap capability behind its header, without areas. */
static void
put_nr_areas(struct reply *r, uint32_t nr_areas)
{
	const uint32_t words[2] = {nr_areas, 0};

	put(r, words, sizeof(words));
}

static void
put_area(struct reply *r, uint64_t offset, uint64_t size)
{
	const struct vfio_user_sparse_area area = {.offset = offset, .size = size};

	put(r, &area, sizeof(area));
}

static void
put_type(struct reply *r, uint32_t type, uint32_t subtype)
{
	const uint32_t words[2] = {type, subtype};

	put(r, words, sizeof(words));
}

/* Set argsz, and whether the reply is taken. */
static bool
is_taken(struct reply *r)
{
	info_of(r)->argsz = (uint32_t)r->len;
	return taken(decode_region, &asked, r->bytes, r->len);
}

static bool
is_refused(struct reply *r, const char *why)
{
	char text[VUC_ERROR_MAX];

	snprintf(text, sizeof(text), "VFIO_USER_DEVICE_GET_REGION_INFO reply: %s", why);
	info_of(r)->argsz = (uint32_t)r->len;
	return refused(decode_region, &asked, r->bytes, r->len, text);
}

/* One sparse capability with these areas, at offset 32. */
static void
sparse(struct reply *r, const struct vfio_user_sparse_area *areas, uint32_t n)
{
	begin(r, 32);
	put_cap(r, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0);
	put_nr_areas(r, n);
	for (uint32_t i = 0; i < n; i++)
		put_area(r, areas[i].offset, areas[i].size);
}

static void
test_region(void)
{
	struct vuc_wire_region_info out;
	struct vuc_error err;
	struct reply r;

	begin(&r, 0);
	info_of(&r)->argsz = 32;
	memset(&out, 0xff, sizeof(out));
	CU_ASSERT_EQUAL(vuc_wire_region_info_decode(r.bytes, 32, INDEX, ASKED, &out, &err), 0);
	CU_ASSERT_EQUAL(memcmp(&out.info, r.bytes, 32), 0);
	CU_ASSERT_FALSE(out.truncated);
	CU_ASSERT_FALSE(out.has_sparse);
	CU_ASSERT_FALSE(out.has_type);
	CU_ASSERT_EQUAL(out.nr_areas, 0);
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_region, &asked, r.bytes, 32), 32);
}

static void
test_region_fields(void)
{
	struct reply r;

	begin(&r, 0);
	info_of(&r)->index = 0;
	CU_ASSERT(is_refused(&r, "index 0, expected 1"));
	begin(&r, 0);
	info_of(&r)->size = UINT64_MAX - info_of(&r)->offset;
	CU_ASSERT(is_taken(&r));
	info_of(&r)->size++;
	CU_ASSERT(is_refused(
		&r, "region 1: size 0xffffffff00000000 and offset 0x100000000 overflow"));
	begin(&r, 0);
	info_of(&r)->size = 0;
	info_of(&r)->offset = UINT64_MAX;
	CU_ASSERT(is_taken(&r));
}

static void
test_region_argsz(void)
{
	struct reply r;

	begin(&r, 0);
	info_of(&r)->argsz = VUC_WIRE_MAX_ARGSZ + 1;
	CU_ASSERT(refused(decode_region, &asked, r.bytes, 32,
		"VFIO_USER_DEVICE_GET_REGION_INFO reply: argsz 65537, expected at most 65536"));
	/* Too little, the argsz of the request, and more than there is: the body counts. */
	for (uint32_t argsz = 0; argsz <= asked; argsz++) {
		info_of(&r)->argsz = argsz;
		CU_ASSERT(taken(decode_region, &asked, r.bytes, 32));
	}
	r.bytes[32] = 0;
	info_of(&r)->argsz = 32;
	CU_ASSERT(taken(decode_region, &asked, r.bytes, 33));
}

static void
test_region_truncated(void)
{
	struct vuc_wire_region_info out;
	struct vuc_error err;
	uint32_t few = 40;
	struct reply r;

	/* Capabilities that would be refused, were they looked at. */
	begin(&r, 4);
	put_cap(&r, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1);
	info_of(&r)->argsz = 41;
	CU_ASSERT_EQUAL(vuc_wire_region_info_decode(r.bytes, 40, INDEX, few, &out, &err), 0);
	CU_ASSERT_TRUE(out.truncated);
	CU_ASSERT_EQUAL(out.info.argsz, 41);
	CU_ASSERT_FALSE(out.has_sparse);
	info_of(&r)->argsz = VUC_WIRE_MAX_ARGSZ;
	CU_ASSERT(taken(decode_region, &few, r.bytes, 32));
	/* Exactly what was asked for is not truncated: the chain is looked at. */
	info_of(&r)->argsz = few;
	CU_ASSERT(refused(decode_region, &few, r.bytes, 40,
		"VFIO_USER_DEVICE_GET_REGION_INFO reply: region 1: capability at offset 4, expected "
		"32 to 32"));
	info_of(&r)->argsz = VUC_WIRE_MAX_ARGSZ;
	r.bytes[40] = 0;
	CU_ASSERT(refused(decode_region, &few, r.bytes, 41,
		"VFIO_USER_DEVICE_GET_REGION_INFO reply: body of 41 bytes, asked for at most 40"));
}

static void
test_sparse(void)
{
	static const struct vfio_user_sparse_area areas[] = {
		{0x1000, 0x1000}, {0x2000, 0x1000}, {0xf000, 0x1000}};
	struct vfio_user_sparse_area area;
	struct vuc_wire_region_info out;
	struct vuc_error err;
	struct reply r;

	sparse(&r, areas, 3);
	CU_ASSERT_FATAL(is_taken(&r));
	CU_ASSERT_EQUAL(vuc_wire_region_info_decode(r.bytes, r.len, INDEX, ASKED, &out, &err), 0);
	CU_ASSERT_TRUE(out.has_sparse);
	CU_ASSERT_EQUAL_FATAL(out.nr_areas, 3);
	for (uint32_t i = 0; i < 3; i++) {
		vuc_wire_region_area(&out, i, &area);
		CU_ASSERT_EQUAL(area.offset, areas[i].offset);
		CU_ASSERT_EQUAL(area.size, areas[i].size);
	}
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_region, &asked, r.bytes, r.len), r.len);
}

/* The same with an argsz that agrees with each length, so that the capability itself is short. */
static void
test_sparse_short(void)
{
	static const struct vfio_user_sparse_area areas[] = {{0, 0x1000}, {0x2000, 0x1000}};
	struct reply r;
	size_t full;

	sparse(&r, areas, 2);
	full = r.len;
	for (r.len = 32; r.len < full; r.len++) {
		struct vuc_error err;

		info_of(&r)->argsz = (uint32_t)r.len;
		CU_ASSERT_EQUAL(decode_copy(decode_region, &asked, r.bytes, r.len, &err), -EPROTO);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "region 1: "));
	}
	r.len = 47;
	CU_ASSERT(is_refused(
		&r, "region 1: sparse mmap capability of 15 bytes, expected at least 16"));
	r.len = 79;
	CU_ASSERT(is_refused(
		&r, "region 1: nr_areas 2, more than 1024 or than the 31 bytes behind it hold"));
}

static void
test_sparse_areas(void)
{
	static const struct {
		struct vfio_user_sparse_area areas[2];
		uint32_t n;
		const char *why; /* NULL: taken */
	} cases[] = {
		{{{0, 0x10000}}, 1, NULL},
		{{{0xffff, 1}}, 1, NULL},
		{{{0, 1}, {1, 1}}, 2, NULL},
		{{{0, 0}}, 1, "sparse area 0 of 0x0 bytes at 0x0"},
		{{{0, 0x10001}}, 1, "sparse area 0 of 0x10001 bytes at 0x0"},
		{{{0x10000, 1}}, 1, "sparse area 0 of 0x1 bytes at 0x10000"},
		{{{UINT64_MAX, 1}}, 1, "sparse area 0 of 0x1 bytes at 0xffffffffffffffff"},
		{{{0x1000, UINT64_MAX}}, 1, "sparse area 0 of 0xffffffffffffffff bytes at 0x1000"},
		{{{0, 2}, {1, 2}}, 2, "sparse area 1 of 0x2 bytes at 0x1"},
		{{{8, 8}, {0, 8}}, 2, "sparse area 1 of 0x8 bytes at 0x0"},
		{{{8, 8}, {8, 8}}, 2, "sparse area 1 of 0x8 bytes at 0x8"},
	};
	struct reply r;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char why[VUC_ERROR_MAX];

		sparse(&r, cases[i].areas, cases[i].n);
		if (cases[i].why == NULL) {
			CU_ASSERT(is_taken(&r));
			continue;
		}
		snprintf(why, sizeof(why),
			"region 1: %s is empty, outside the region or not after its predecessor",
			cases[i].why);
		CU_ASSERT(is_refused(&r, why));
	}
	/* All of the region trapped: a sparse capability without areas. */
	sparse(&r, NULL, 0);
	CU_ASSERT(is_taken(&r));
}

static void
test_sparse_many(void)
{
	uint32_t most = VUC_WIRE_MAX_ARGSZ;
	struct reply r;

	begin(&r, 32);
	put_cap(&r, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0);
	put_nr_areas(&r, VUC_WIRE_MAX_SPARSE_AREAS);
	for (uint64_t i = 0; i < VUC_WIRE_MAX_SPARSE_AREAS; i++)
		put_area(&r, 2 * i, 1);
	info_of(&r)->argsz = (uint32_t)r.len;
	CU_ASSERT(taken(decode_region, &most, r.bytes, r.len));

	begin(&r, 32);
	put_cap(&r, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0);
	put_nr_areas(&r, VUC_WIRE_MAX_SPARSE_AREAS + 1);
	for (uint64_t i = 0; i < VUC_WIRE_MAX_SPARSE_AREAS + 1; i++)
		put_area(&r, 2 * i, 1);
	info_of(&r)->argsz = (uint32_t)r.len;
	CU_ASSERT(refused(decode_region, &most, r.bytes, r.len,
		"VFIO_USER_DEVICE_GET_REGION_INFO reply: region 1: nr_areas 1025, more than 1024 or "
		"than the 16400 bytes behind it hold"));

	/* The bytes of so many areas overflow 32 bits to 16. */
	begin(&r, 32);
	put_cap(&r, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0);
	put_nr_areas(&r, 0x10000001);
	put_area(&r, 0, 1);
	CU_ASSERT(is_refused(&r,
		"region 1: nr_areas 268435457, more than 1024 or than the 16 bytes behind it hold"));
}

static void
test_type(void)
{
	struct vuc_wire_region_info out;
	struct vuc_error err;
	struct reply r;

	begin(&r, 32);
	put_cap(&r, VFIO_REGION_INFO_CAP_TYPE, 0);
	put_type(&r, 0x80008086, 3);
	CU_ASSERT_FATAL(is_taken(&r));
	CU_ASSERT_EQUAL(vuc_wire_region_info_decode(r.bytes, r.len, INDEX, ASKED, &out, &err), 0);
	CU_ASSERT_TRUE(out.has_type);
	CU_ASSERT_EQUAL(out.type, 0x80008086);
	CU_ASSERT_EQUAL(out.subtype, 3);
	CU_ASSERT_FALSE(out.has_sparse);
	r.len--;
	CU_ASSERT(is_refused(&r, "region 1: type capability of 15 bytes, expected 16"));
	r.len = 40;
	CU_ASSERT(is_refused(&r, "region 1: type capability of 8 bytes, expected 16"));
}

/* unknown at 32, type at 48, sparse at 64 */
static void
chain(struct reply *r)
{
	begin(r, 32);
	put_cap(r, 77, 48);
	put_type(r, 1, 2);
	put_cap(r, VFIO_REGION_INFO_CAP_TYPE, 64);
	put_type(r, 3, 4);
	put_cap(r, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0);
	put_nr_areas(r, 1);
	put_area(r, 0x1000, 0x1000);
}

static void
set_next(struct reply *r, size_t cap, uint32_t next)
{
	memcpy(r->bytes + cap + 4, &next, sizeof(next));
}

static void
test_chain(void)
{
	struct vuc_wire_region_info out;
	struct vuc_error err;
	struct reply r;

	chain(&r);
	CU_ASSERT_FATAL(is_taken(&r));
	CU_ASSERT_EQUAL(vuc_wire_region_info_decode(r.bytes, r.len, INDEX, ASKED, &out, &err), 0);
	CU_ASSERT_TRUE(out.has_type);
	CU_ASSERT_EQUAL(out.subtype, 4);
	CU_ASSERT_TRUE(out.has_sparse);
	CU_ASSERT_EQUAL(out.nr_areas, 1);
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_region, &asked, r.bytes, r.len), r.len);

	/* Without the flag there is no chain, whatever the bytes say. */
	info_of(&r)->flags &= ~(uint32_t)VFIO_REGION_INFO_FLAG_CAPS;
	CU_ASSERT_EQUAL(vuc_wire_region_info_decode(r.bytes, r.len, INDEX, ASKED, &out, &err), 0);
	CU_ASSERT_FALSE(out.has_type);
	CU_ASSERT_FALSE(out.has_sparse);
}

static void
test_chain_offsets(void)
{
	struct vuc_wire_region_info out;
	struct vuc_error err;
	struct reply r;

	/* The first one: inside the fixed part, behind the end, cut. */
	chain(&r);
	info_of(&r)->cap_offset = 31;
	CU_ASSERT(is_refused(&r, "region 1: capability at offset 31, expected 32 to 88"));
	info_of(&r)->cap_offset = 89;
	CU_ASSERT(is_refused(&r, "region 1: capability at offset 89, expected 32 to 88"));
	info_of(&r)->cap_offset = UINT32_MAX;
	CU_ASSERT(is_refused(&r, "region 1: capability at offset 4294967295, expected 32 to 88"));
	/* None, in spite of the flag. */
	info_of(&r)->cap_offset = 0;
	CU_ASSERT(is_taken(&r));
	CU_ASSERT_EQUAL(vuc_wire_region_info_decode(r.bytes, r.len, INDEX, ASKED, &out, &err), 0);
	CU_ASSERT_FALSE(out.has_type || out.has_sparse);

	/* The next one: itself, backwards, into its predecessor, behind the end. */
	chain(&r);
	set_next(&r, 32, 32);
	CU_ASSERT(is_refused(&r, "region 1: capability at offset 32, expected 40 to 88"));
	chain(&r);
	set_next(&r, 48, 32);
	CU_ASSERT(is_refused(&r, "region 1: capability at offset 32, expected 64 to 88"));
	chain(&r);
	set_next(&r, 48, 63);
	CU_ASSERT(is_refused(&r, "region 1: capability at offset 63, expected 64 to 88"));
	chain(&r);
	set_next(&r, 64, 95);
	CU_ASSERT(is_refused(
		&r, "region 1: capability at offset 95, but the last one ends at 96 of 96 bytes"));
	chain(&r);
	set_next(&r, 48, UINT32_MAX);
	CU_ASSERT(is_refused(&r, "region 1: capability at offset 4294967295, expected 64 to 88"));
}

static void
test_chain_short_header(void)
{
	struct reply r;

	begin(&r, 32);
	CU_ASSERT(is_refused(&r, "region 1: capability at offset 32, expected 32 to 24"));
	put_cap(&r, 77, 0);
	CU_ASSERT(is_taken(&r));
	for (r.len = 33; r.len < 40; r.len++) {
		struct vuc_error err;

		info_of(&r)->argsz = (uint32_t)r.len;
		CU_ASSERT_EQUAL(decode_copy(decode_region, &asked, r.bytes, r.len, &err), -EPROTO);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "region 1: capability at offset 32, "));
	}
}

static void
test_chain_misaligned(void)
{
	struct vuc_wire_region_info out;
	struct vuc_error err;
	struct reply r;

	begin(&r, 33);
	put(&r, "", 1);
	put_cap(&r, 77, 44);
	put(&r, "abc", 3);
	put_cap(&r, VFIO_REGION_INFO_CAP_TYPE, 0);
	put_type(&r, 5, 6);
	CU_ASSERT_FATAL(is_taken(&r));
	CU_ASSERT_EQUAL(vuc_wire_region_info_decode(r.bytes, r.len, INDEX, ASKED, &out, &err), 0);
	CU_ASSERT_EQUAL(out.type, 5);
}

static void
test_chain_twice(void)
{
	struct reply r;

	begin(&r, 32);
	put_cap(&r, VFIO_REGION_INFO_CAP_TYPE, 48);
	put_type(&r, 1, 2);
	put_cap(&r, VFIO_REGION_INFO_CAP_TYPE, 0);
	put_type(&r, 1, 2);
	CU_ASSERT(is_refused(&r, "region 1: capability VFIO_REGION_INFO_CAP_TYPE twice"));
	begin(&r, 32);
	put_cap(&r, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 48);
	put_nr_areas(&r, 0);
	put_cap(&r, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0);
	put_nr_areas(&r, 0);
	CU_ASSERT(is_refused(&r, "region 1: capability VFIO_REGION_INFO_CAP_SPARSE_MMAP twice"));
}

static void
put_unknown_caps(struct reply *r, uint32_t n)
{
	begin(r, 32);
	for (uint32_t i = 1; i <= n; i++)
		put_cap(r, 100, i < n ? 32 + 8 * i : 0);
}

static void
test_chain_many(void)
{
	struct reply r;

	put_unknown_caps(&r, VUC_WIRE_MAX_REGION_CAPS);
	CU_ASSERT(is_taken(&r));
	put_unknown_caps(&r, VUC_WIRE_MAX_REGION_CAPS + 1);
	CU_ASSERT(is_refused(&r, "region 1: more than 32 capabilities"));
}

int
main(void)
{
	CU_TestInfo regions[] = {
		{"request", test_request},
		{"without capabilities", test_region},
		{"fields out of bounds", test_region_fields},
		{"argsz out of bounds", test_region_argsz},
		{"more than was asked for", test_region_truncated},
		{"sparse areas", test_sparse},
		{"sparse areas cut at every length", test_sparse_short},
		{"sparse areas out of bounds", test_sparse_areas},
		{"sparse areas in large numbers", test_sparse_many},
		{"type", test_type},
		CU_TEST_INFO_NULL,
	};
	CU_TestInfo chains[] = {
		{"several capabilities", test_chain},
		{"loops, backwards and out of bounds", test_chain_offsets},
		{"header cut at every length", test_chain_short_header},
		{"aligned to nothing", test_chain_misaligned},
		{"one of a kind twice", test_chain_twice},
		{"too many", test_chain_many},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"region info", NULL, NULL, NULL, NULL, regions},
		{"capability chain", NULL, NULL, NULL, NULL, chains},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
