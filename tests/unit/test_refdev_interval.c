/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "device.h"
#include "tap.h"

static void
add(struct refdev_intervals *set, uint64_t first, uint64_t last)
{
	CU_ASSERT_EQUAL(refdev_intervals_add(set, (struct refdev_interval){first, last}), 0);
}

static void
cut(struct refdev_intervals *set, uint64_t first, uint64_t last)
{
	CU_ASSERT_EQUAL(refdev_intervals_remove(set, (struct refdev_interval){first, last}), 0);
}

static bool
has(const struct refdev_intervals *set, uint64_t first, uint64_t last)
{
	return refdev_intervals_contain(set, (struct refdev_interval){first, last});
}

static void
test_merge(void)
{
	struct refdev_intervals set = {0};

	add(&set, 10, 19);
	add(&set, 40, 49);
	add(&set, 30, 34);
	CU_ASSERT_EQUAL(set.nr, 3);
	add(&set, 20, 29);
	CU_ASSERT_EQUAL(set.nr, 2);
	CU_ASSERT(has(&set, 10, 34));
	CU_ASSERT_FALSE(has(&set, 10, 35));
	add(&set, 12, 13);
	CU_ASSERT_EQUAL(set.nr, 2);
	add(&set, 0, UINT64_MAX);
	CU_ASSERT_EQUAL(set.nr, 1);
	add(&set, UINT64_MAX, UINT64_MAX);
	CU_ASSERT_EQUAL(set.nr, 1);
	refdev_intervals_clear(&set);
	CU_ASSERT_EQUAL(set.nr, 0);
}

static void
test_remove(void)
{
	struct refdev_intervals set = {0};

	cut(&set, 0, UINT64_MAX);
	add(&set, 0, UINT64_MAX);
	cut(&set, 100, 199);
	CU_ASSERT_EQUAL(set.nr, 2);
	CU_ASSERT(has(&set, 0, 99));
	CU_ASSERT(has(&set, 200, UINT64_MAX));
	CU_ASSERT_FALSE(refdev_intervals_touch(&set, (struct refdev_interval){100, 199}));
	CU_ASSERT(refdev_intervals_touch(&set, (struct refdev_interval){99, 199}));
	cut(&set, 50, 249);
	CU_ASSERT(has(&set, 0, 49));
	CU_ASSERT(has(&set, 250, UINT64_MAX));
	cut(&set, 0, 0);
	cut(&set, UINT64_MAX, UINT64_MAX);
	CU_ASSERT(has(&set, 1, 49));
	CU_ASSERT(has(&set, 250, UINT64_MAX - 1));
	cut(&set, 0, UINT64_MAX);
	CU_ASSERT_EQUAL(set.nr, 0);
	refdev_intervals_clear(&set);
}

#define WIDTH 512u

/* Against a plain array, with a sequence that is the same each time. */
static void
test_model(void)
{
	struct refdev_intervals set = {0};
	bool model[WIDTH] = {false};
	uint32_t seed = 12345;

	for (int step = 0; step < 4000; step++) {
		uint64_t first;
		uint64_t last;

		seed = seed * 1664525 + 1013904223;
		first = (seed >> 8) % WIDTH;
		last = first + (seed >> 20) % 24;
		last = last < WIDTH ? last : WIDTH - 1;
		if (seed & 0x80)
			add(&set, first, last);
		else
			cut(&set, first, last);
		memset(model + first, (seed & 0x80) != 0, (last - first + 1) * sizeof(model[0]));
		for (uint64_t i = 0; i < WIDTH; i++)
			if (has(&set, i, i) != model[i])
				CU_FAIL_FATAL("a set that differs from its model");
		for (size_t i = 1; i < set.nr; i++)
			CU_ASSERT_FATAL(set.list[i - 1].last + 1 < set.list[i].first);
	}
	refdev_intervals_clear(&set);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"merge", test_merge},
		{"remove", test_remove},
		{"against a model", test_model},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"refdev intervals", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
