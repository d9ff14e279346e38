/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"
#include "info.h"
#include "wire_body.h"

#define NAME   "VFIO_USER_DEVICE_GET_REGION_INFO reply"
#define INDEX  1u
#define ASKED  4096u
#define TYPE   VFIO_REGION_INFO_CAP_TYPE
#define SPARSE VFIO_REGION_INFO_CAP_SPARSE_MMAP

#define INFO(member)  FIELD(struct vfio_user_region_info, member)
#define NEXT(cap)     (cap) + offsetof(struct vfio_user_cap_header, next), 4
#define ID(cap)       (cap), 2
#define NR_AREAS(cap) (cap) + sizeof(struct vfio_user_cap_header), 4

static uint32_t asked = ASKED, few = 40, most = VUC_WIRE_MAX_ARGSZ;

/* A capability without more than a word pair behind its header. */
struct cap {
	struct vfio_user_cap_header header;
	uint32_t words[2]; /* number of areas and 0; or type and subtype */
} __attribute__((packed));

struct reply {
	struct vfio_user_region_info info;
	struct cap caps[3];
	struct vfio_user_sparse_area areas[3];
} __attribute__((packed));

/* A region of 64 KiB whose capabilities, if any, begin at cap_offset. */
#define REGION(len, at)                                                                     \
	{                                                                                   \
		.argsz = (len),                                                             \
		.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |         \
			((at) != 0 ? VFIO_REGION_INFO_FLAG_CAPS : 0),                       \
		.index = INDEX, .cap_offset = (at), .size = 0x10000, .offset = 0x100000000, \
	}

static int
decode(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	struct vuc_wire_region_info out;
	int rc = vuc_wire_region_info_decode(body, len, INDEX, *(uint32_t *)arg, &out, err);

	CU_ASSERT(rc != 0 || memcmp(&out.info, body, 32) == 0);
	return rc;
}

/* The result of a reply that is taken. */
static struct vuc_wire_region_info
decoded(const void *body, size_t len)
{
	struct vuc_wire_region_info out;
	struct vuc_error err;

	memset(&out, 0xff, sizeof(out));
	CU_ASSERT_EQUAL_FATAL(vuc_wire_region_info_decode(body, len, INDEX, ASKED, &out, &err), 0);
	CU_ASSERT_FALSE(out.truncated);
	return out;
}

static void
test_request(void)
{
	const struct vfio_user_region_info expected = {.argsz = 4096, .index = 7};
	struct vfio_user_region_info got;

	memset(&got, 0xff, sizeof(got));
	CU_ASSERT_EQUAL(vuc_wire_region_info_encode(&got, 7, 4096), 32);
	CU_ASSERT_EQUAL(memcmp(&got, &expected, 32), 0);
}

static void
test_region(void)
{
	static const struct vfio_user_region_info good = REGION(32, 0);
	static const struct body_row rows[] = {
		{"index 0, expected 1", {{INFO(index), 0}}},
		{NULL, {{INFO(size), UINT64_MAX - 0x100000000}}},
		{"region 1: size 0xffffffff00000000 and offset 0x100000000 overflow",
			{{INFO(size), 0xffffffff00000000}}},
		{NULL, {{INFO(size), 0}, {INFO(offset), UINT64_MAX}}},
		{"argsz 65537, expected at most 65536", {{INFO(argsz), VUC_WIRE_MAX_ARGSZ + 1}}},
		/* Too little, the argsz of the request, more than there is: the body counts. */
		{NULL, {{INFO(argsz), 0}}},
		{NULL, {{INFO(argsz), 31}}},
		{NULL, {{INFO(argsz), 33}}},
		{NULL, {{INFO(argsz), ASKED}}},
		{NULL, .len = 33},
	};
	static const struct decoder decoder = {"", decode, &asked, NAME, GOOD(good), ROWS(rows)};
	struct vuc_wire_region_info out = decoded(&good, sizeof(good));

	CU_ASSERT_FALSE(out.has_sparse || out.has_type);
	CU_ASSERT_EQUAL(out.nr_areas, 0);
	decoder_test(&decoder);
}

static void
test_truncated(void)
{
	/* Capabilities that would be refused, were they looked at. */
	static const struct {
		struct vfio_user_region_info info;
		struct vfio_user_cap_header cap;
	} __attribute__((packed)) more = {REGION(41, 4), {SPARSE, 1, 1}};
	static const struct body_row rows[] = {
		{NULL, .len = 40},
		{NULL, {{INFO(argsz), VUC_WIRE_MAX_ARGSZ}}},
		/* Exactly what was asked for is not truncated: the chain is looked at. */
		{"region 1: capability at offset 4, expected 32 to 32", {{INFO(argsz), 40}},
			.len = 40},
		{"body of 41 bytes, requested at most 40", {{INFO(argsz), VUC_WIRE_MAX_ARGSZ}},
			.len = 41},
	};
	static const struct decoder decoder = {"", decode, &few, NAME, &more, 32, ROWS(rows)};
	struct vuc_wire_region_info out;
	struct vuc_error err;

	decoder_test(&decoder);
	CU_ASSERT_EQUAL(vuc_wire_region_info_decode(&more, 40, INDEX, few, &out, &err), 0);
	CU_ASSERT_TRUE(out.truncated);
	CU_ASSERT_EQUAL(out.info.argsz, 41);
	CU_ASSERT_FALSE(out.has_sparse);
}

/* One sparse capability at offset 32. */
struct sparse {
	struct vfio_user_region_info info;
	struct cap cap;
	struct vfio_user_sparse_area areas[3];
} __attribute__((packed));

static const struct sparse sparse = {REGION(96, 32), {{SPARSE, 1, 0}, {3, 0}},
	{{0x1000, 0x1000}, {0x2000, 0x1000}, {0xf000, 0x1000}}};

/* The areas, and the capability itself cut at every length. */
static void
test_sparse(void)
{
	static const struct body_row rows[] = {
		{"region 1: sparse mmap capability of 15 bytes, expected at least 16", .len = 47},
		{"region 1: nr_areas 3, more than 1024 or than the 47 bytes behind it hold",
			.len = 95},
		/* The bytes of so many areas overflow 32 bits to 16. */
		{"region 1: nr_areas 268435457, more than 1024 or than the 48 bytes behind it hold",
			{{NR_AREAS(32), 0x10000001}}},
		/* All of the region trapped: a sparse capability without areas. */
		{NULL, {{NR_AREAS(32), 0}}, .len = 48},
	};
	static const struct decoder decoder = {"", decode, &asked, NAME, GOOD(sparse), ROWS(rows)};
	struct vuc_wire_region_info out = decoded(&sparse, sizeof(sparse));

	CU_ASSERT_TRUE(out.has_sparse);
	CU_ASSERT_EQUAL_FATAL(out.nr_areas, 3);
	for (uint32_t i = 0; i < 3; i++) {
		struct vfio_user_sparse_area area;

		vuc_wire_region_area(&out, i, &area);
		CU_ASSERT_EQUAL(memcmp(&area, &sparse.areas[i], sizeof(area)), 0);
	}
	decoder_test(&decoder);
	for (uint32_t len = 32; len < sizeof(sparse); len++) {
		struct sparse cut = sparse;
		struct vuc_error err;

		cut.info.argsz = len;
		CU_ASSERT_EQUAL(decode_copy(decode, &asked, &cut, len, &err), -EPROTO);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "region 1: "));
	}
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

	for (size_t i = 0; i < NR(cases); i++) {
		const struct sparse body = {REGION(48 + 16 * cases[i].n, 32),
			{{SPARSE, 1, 0}, {cases[i].n, 0}}, {cases[i].areas[0], cases[i].areas[1]}};
		const struct decoder decoder = {
			"", decode, &asked, NAME, &body, 48 + 16 * (size_t)cases[i].n};
		char why[VUC_ERROR_MAX];
		const struct body_row row = {cases[i].why != NULL ? why : NULL};

		snprintf(why, sizeof(why),
			"region 1: %s is empty, outside the region or not after its predecessor",
			cases[i].why != NULL ? cases[i].why : "");
		CU_ASSERT(row_holds(&decoder, &row));
	}
}

static void
test_sparse_many(void)
{
	static struct {
		struct vfio_user_region_info info;
		struct cap cap;
		struct vfio_user_sparse_area areas[VUC_WIRE_MAX_SPARSE_AREAS + 1];
	} __attribute__((packed))
	body = {REGION(0, 32), {{SPARSE, 1, 0}, {VUC_WIRE_MAX_SPARSE_AREAS, 0}}, {{0}}};
	static const struct body_row rows[] = {
		{"region 1: nr_areas 1025, more than 1024 or than the 16400 bytes behind it hold",
			{{NR_AREAS(32), VUC_WIRE_MAX_SPARSE_AREAS + 1}}, .len = sizeof(body)},
	};
	const struct decoder decoder = {
		"", decode, &most, NAME, &body, sizeof(body) - sizeof(body.areas[0]), ROWS(rows)};

	for (uint64_t i = 0; i <= VUC_WIRE_MAX_SPARSE_AREAS; i++)
		body.areas[i] = (struct vfio_user_sparse_area){2 * i, 1};
	decoder_test(&decoder);
}

/* unknown at 32, type at 48, sparse at 64 */
static const struct reply chain = {REGION(96, 32),
	{{{77, 1, 48}, {1, 2}}, {{TYPE, 1, 64}, {3, 0x80008086}}, {{SPARSE, 1, 0}, {1, 0}}},
	{{0x1000, 0x1000}}};

static void
test_chain(void)
{
	static const struct body_row rows[] = {
		/* The first one: inside the fixed part, behind the end, none in spite of the flag.
		 */
		{"region 1: capability at offset 31, expected 32 to 88", {{INFO(cap_offset), 31}}},
		{"region 1: capability at offset 89, expected 32 to 88", {{INFO(cap_offset), 89}}},
		{"region 1: capability at offset 4294967295, expected 32 to 88",
			{{INFO(cap_offset), UINT32_MAX}}},
		{NULL, {{INFO(cap_offset), 0}}},
		/* The next one: itself, backwards, into its predecessor, behind the end. */
		{"region 1: capability at offset 32, expected 40 to 88", {{NEXT(32), 32}}},
		{"region 1: capability at offset 32, expected 64 to 88", {{NEXT(48), 32}}},
		{"region 1: capability at offset 63, expected 64 to 88", {{NEXT(48), 63}}},
		{"region 1: capability at offset 95, but the last one ends at 96 of 96 bytes",
			{{NEXT(64), 95}}},
		{"region 1: capability at offset 4294967295, expected 64 to 88",
			{{NEXT(48), UINT32_MAX}}},
		{"region 1: type capability of 15 bytes, expected 16", {{NEXT(48), 0}}, .len = 63},
		{"region 1: type capability of 8 bytes, expected 16", {{NEXT(48), 0}}, .len = 56},
		{"region 1: capability VFIO_REGION_INFO_CAP_TYPE twice", {{ID(32), TYPE}}},
		{"region 1: capability VFIO_REGION_INFO_CAP_SPARSE_MMAP twice",
			{{ID(32), SPARSE}, {NR_AREAS(32), 0}}},
	};
	static const struct decoder decoder = {"", decode, &asked, NAME, &chain, 96, ROWS(rows)};
	struct vuc_wire_region_info out = decoded(&chain, 96);
	struct reply unflagged = chain;

	CU_ASSERT_TRUE(out.has_type);
	CU_ASSERT_EQUAL(out.type, 3);
	CU_ASSERT_EQUAL(out.subtype, 0x80008086);
	CU_ASSERT_TRUE(out.has_sparse);
	CU_ASSERT_EQUAL(out.nr_areas, 1);
	decoder_test(&decoder);

	unflagged.info.cap_offset = 0;
	out = decoded(&unflagged, 96);
	CU_ASSERT_FALSE(out.has_type || out.has_sparse);
	/* Without the flag there is no chain, whatever the bytes say. */
	unflagged = chain;
	unflagged.info.flags &= ~(uint32_t)VFIO_REGION_INFO_FLAG_CAPS;
	out = decoded(&unflagged, 96);
	CU_ASSERT_FALSE(out.has_type || out.has_sparse);
}

static void
test_short_header(void)
{
	static const struct {
		struct vfio_user_region_info info;
		struct vfio_user_cap_header cap;
	} __attribute__((packed)) good = {REGION(40, 32), {77, 1, 0}};
	static const struct body_row rows[] = {
		{"region 1: capability at offset 32, expected 32 to 24", .len = 32},
	};
	static const struct decoder decoder = {"", decode, &asked, NAME, GOOD(good), ROWS(rows)};

	decoder_test(&decoder);
	for (uint32_t len = 33; len < 40; len++) {
		struct vuc_error err;

		CU_ASSERT_EQUAL(decode_copy(decode, &asked, &good, len, &err), -EPROTO);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "region 1: capability at offset 32, "));
	}
}

static void
test_misaligned(void)
{
	static const struct {
		struct vfio_user_region_info info;
		uint8_t one;
		struct vfio_user_cap_header first;
		uint8_t three[3];
		struct cap type;
	} __attribute__((packed))
	body = {REGION(60, 33), 0, {77, 1, 44}, {'a', 'b', 'c'}, {{TYPE, 1, 0}, {5, 6}}};
	struct vuc_wire_region_info out = decoded(&body, sizeof(body));

	CU_ASSERT_EQUAL(out.type, 5);
	CU_ASSERT_EQUAL(out.subtype, 6);
	CU_ASSERT_FALSE(out.has_sparse);
}

static void
test_many(void)
{
	struct {
		struct vfio_user_region_info info;
		struct vfio_user_cap_header caps[VUC_WIRE_MAX_REGION_CAPS + 1];
	} __attribute__((packed)) body = {REGION(sizeof(body), 32), {{0}}};
	const struct decoder decoder = {"", decode, &asked, NAME, GOOD(body)};
	static const struct body_row more = {"region 1: more than 32 capabilities"};
	/* The end of the chain is one earlier. */
	static const struct body_row enough = {
		NULL, {{NEXT(32 + 8 * (VUC_WIRE_MAX_REGION_CAPS - 1)), 0}}};

	for (uint32_t i = 0; i < VUC_WIRE_MAX_REGION_CAPS; i++)
		body.caps[i] = (struct vfio_user_cap_header){100, 1, 32 + 8 * (i + 1)};
	body.caps[VUC_WIRE_MAX_REGION_CAPS].id = 100;
	CU_ASSERT(row_holds(&decoder, &more));
	CU_ASSERT(row_holds(&decoder, &enough));
}

const struct tap_suite tap_suite = {"region info", NULL, NULL,
	{
		{"request", test_request},
		{"without capabilities", test_region},
		{"more than was asked for", test_truncated},
		{"sparse areas", test_sparse},
		{"sparse areas out of bounds", test_sparse_areas},
		{"sparse areas in large numbers", test_sparse_many},
		{"several capabilities, out of bounds and twice", test_chain},
		{"a header cut at every length", test_short_header},
		{"capabilities aligned to nothing", test_misaligned},
		{"too many capabilities", test_many},
	}};
