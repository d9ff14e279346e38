/* SPDX-License-Identifier: BSD-3-Clause */
#include "histogram.h"
#include "tap.h"

/* Every bucket begins where the one before ends, its ends fall into it, and it is at most 1/2^bits
 * of its values wide, up to the last one of all 64 bits. */
static void
test_buckets(void)
{
	for (unsigned int bits = 4; bits <= 5; bits++) {
		unsigned int nr = (64 - bits + 1) << bits;
		uint64_t first = 0;

		for (unsigned int bucket = 0; bucket < nr; bucket++) {
			uint64_t last = vuc_bucket_last(bucket, bits);

			CU_ASSERT_TRUE_FATAL(last >= first && last - first <= first >> bits);
			CU_ASSERT_EQUAL_FATAL(vuc_bucket_of(first, bits), bucket);
			CU_ASSERT_EQUAL_FATAL(vuc_bucket_of(last, bits), bucket);
			first = last + 1;
		}
		CU_ASSERT_EQUAL(first, 0);
	}
	CU_ASSERT_EQUAL(vuc_bucket_of(63, 5), 63);
	CU_ASSERT_EQUAL(vuc_bucket_of(64, 5), vuc_bucket_of(65, 5));
}

static void
test_longest(void)
{
	uint64_t most = UINT64_C(1) << HISTOGRAM_POWERS;

	CU_ASSERT_EQUAL(histogram_bucket(most - 1), HISTOGRAM_BUCKETS - 1);
	CU_ASSERT_EQUAL(vuc_bucket_last(HISTOGRAM_BUCKETS - 1, HISTOGRAM_BITS), most - 1);
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
