/* SPDX-License-Identifier: BSD-3-Clause */
#include "bitmap.h"
#include "tap.h"

#define BITS  200u
#define WORDS 4u
#define BASE  UINT64_C(0x100000)
#define HALF  (UINT64_C(1) << 63)

static bool
is_set(const uint64_t *map, uint64_t bit)
{
	return map[bit / 64] >> (bit % 64) & 1;
}

/* Whether exactly the bits first … first + count - 1 are set. */
static bool
only_set(const uint64_t *map, uint64_t first, uint64_t count)
{
	for (uint64_t i = 0; i < WORDS * 64; i++) {
		if (is_set(map, i) != (i >= first && i - first < count))
			return false;
	}
	return true;
}

static void
test_words(void)
{
	CU_ASSERT_EQUAL(vuc_bitmap_words(0), 0);
	CU_ASSERT_EQUAL(vuc_bitmap_words(1), 1);
	CU_ASSERT_EQUAL(vuc_bitmap_words(64), 1);
	CU_ASSERT_EQUAL(vuc_bitmap_words(65), 2);
	CU_ASSERT_EQUAL(vuc_bitmap_words(UINT64_MAX), UINT64_C(1) << 58);
}

static void
test_set_every_range(void)
{
	unsigned int wrong = 0;

	for (uint64_t first = 0; first < BITS; first++) {
		for (uint64_t count = 0; count <= BITS - first; count++) {
			uint64_t map[WORDS] = {0};

			vuc_bitmap_set(map, first, count);
			wrong += !only_set(map, first, count);
		}
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void
test_set_keeps(void)
{
	uint64_t map[WORDS] = {0x10, 0, 1, 0};

	vuc_bitmap_set(map, 60, 8);
	CU_ASSERT_EQUAL(map[0], 0xf000000000000010);
	CU_ASSERT_EQUAL(map[1], 0xf);
	CU_ASSERT_EQUAL(map[2], 1);
}

/* Bytes, and the first and the number of the pages that they set; also the first and the last byte
 * that there can be, with the smallest and the largest page. */
static void
test_set_range(void)
{
	static const struct {
		uint64_t base, pgsize, addr, len, first, pages;
	} cases[] = {
		{BASE, 4096, BASE + 4095, 0, 0, 0},
		{BASE, 4096, BASE + 4095, 1, 0, 1},
		{BASE, 4096, BASE + 4095, 2, 0, 2},
		{BASE, 4096, BASE + 0x2000, 4096, 2, 1},
		{BASE, 4096, BASE + 0x2fff, 63 * 4096, 2, 64},
		{UINT64_MAX - 127, 1, UINT64_MAX, 1, 127, 1},
		{0, HALF, 0, UINT64_MAX, 0, 2},
	};

	for (size_t i = 0; i < NR(cases); i++) {
		uint64_t map[WORDS] = {0};

		vuc_bitmap_set_range(
			map, cases[i].base, cases[i].pgsize, cases[i].addr, cases[i].len);
		CU_ASSERT(only_set(map, cases[i].first, cases[i].pages));
	}
}

static void
test_or(void)
{
	uint8_t from[2 * sizeof(uint64_t) + 1];
	uint64_t map[WORDS] = {1, 2, 4, 8};

	memset(from, 0xff, sizeof(from));
	vuc_bitmap_or(map, 64, from + 1, 0);
	CU_ASSERT_EQUAL(map[1], 2);
	vuc_bitmap_or(map, 64, from + 1, 70);
	CU_ASSERT_EQUAL(map[0], 1);
	CU_ASSERT_EQUAL(map[1], UINT64_MAX);
	CU_ASSERT_EQUAL(map[2], 0x3f);
	CU_ASSERT_EQUAL(map[3], 8);
	memset(from, 0, sizeof(from));
	vuc_bitmap_or(map, 0, from + 1, 128);
	CU_ASSERT_EQUAL(map[0], 1);
	CU_ASSERT_EQUAL(map[1], UINT64_MAX);
}

static void
test_count(void)
{
	const uint64_t map[WORDS] = {UINT64_MAX, 0, 5, UINT64_MAX};

	CU_ASSERT_EQUAL(vuc_bitmap_count(map, 0), 0);
	CU_ASSERT_EQUAL(vuc_bitmap_count(map, 3), 3);
	CU_ASSERT_EQUAL(vuc_bitmap_count(map, 64), 64);
	CU_ASSERT_EQUAL(vuc_bitmap_count(map, 129), 65);
	CU_ASSERT_EQUAL(vuc_bitmap_count(map, 131), 66);
	CU_ASSERT_EQUAL(vuc_bitmap_count(map, 256), 130);
}

const struct tap_suite tap_suite = {"bitmap", NULL, NULL,
	{
		{"words", test_words},
		{"set every range", test_set_every_range},
		{"set keeps what is set", test_set_keeps},
		{"pages of a range", test_set_range},
		{"or leaves out what is behind the last bit", test_or},
		{"count", test_count},
	}};
