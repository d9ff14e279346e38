/* SPDX-License-Identifier: BSD-3-Clause */
#include "histogram.h"
#include "tap.h"

static void
expect_bucket(uint64_t ticks)
{
	unsigned int bucket = histogram_bucket(ticks);

	CU_ASSERT_TRUE_FATAL(bucket < HISTOGRAM_BUCKETS - 1);
	CU_ASSERT_TRUE(histogram_last(bucket) >= ticks);
	CU_ASSERT_TRUE(histogram_last(bucket) - ticks <= ticks / HISTOGRAM_STEPS);
	CU_ASSERT_TRUE(bucket == 0 || histogram_last(bucket - 1) < ticks);
}

static void
test_buckets(void)
{
	for (uint64_t ticks = 0; ticks < 5000; ticks++)
		expect_bucket(ticks);
	for (unsigned int power = 6; power < HISTOGRAM_POWERS; power++) {
		expect_bucket((UINT64_C(1) << power) - 1);
		expect_bucket(UINT64_C(1) << power);
		expect_bucket((UINT64_C(1) << power) + 1);
		expect_bucket(UINT64_C(3) << (power - 1));
	}
}

static void
test_longest(void)
{
	uint64_t most = UINT64_C(1) << HISTOGRAM_POWERS;

	CU_ASSERT_EQUAL(histogram_bucket(most - 1), HISTOGRAM_BUCKETS - 1);
	CU_ASSERT_EQUAL(histogram_last(HISTOGRAM_BUCKETS - 1), most - 1);
	CU_ASSERT_EQUAL(histogram_bucket(most), HISTOGRAM_BUCKETS - 1);
	CU_ASSERT_EQUAL(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void
test_add(void)
{
	static struct histogram h;

	histogram_add(&h, 5);
	histogram_add(&h, 5000);
	histogram_add(&h, 5);
	CU_ASSERT_EQUAL(stats_get(&h.max), 5000);
	CU_ASSERT_EQUAL(stats_get(&h.buckets[5]), 2);
	CU_ASSERT_EQUAL(stats_get(&h.buckets[histogram_bucket(5000)]), 1);
}

static CU_TestInfo tests[] = {
	{"buckets", test_buckets},
	{"the longest", test_longest},
	{"add", test_add},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_tests("histogram", NULL, NULL, tests);
}
