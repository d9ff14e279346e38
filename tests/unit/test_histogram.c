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

/* With the bounds of all, at a counter of a gigahertz: one tick is a nanosecond. */
static void
test_read(void)
{
	static const uint64_t ticks[] = {
		1, 900, 1200, 4500, 9000, 9400000000, 20000000000, UINT64_C(1) << HISTOGRAM_POWERS};
	/* Of the bounds 1, 2.5, 5, 10 µs; 10 s and none. */
	static const struct {
		unsigned int bound;
		uint64_t count;
	} rows[] = {{0, 2}, {1, 1}, {2, 1}, {3, 1}, {21, 1}, {22, 2}};
	static struct histogram h;
	struct vuc_latency_histogram read;
	uint64_t sum = 0, all = 0;

	for (size_t i = 0; i < NR(ticks); i++) {
		histogram_add(&h, ticks[i]);
		sum += ticks[i];
	}
	vuc_histogram_read(&h, 1000000000, &read);
	for (size_t i = 0; i < NR(rows); i++) {
		vuc_tap_row("bound %u", rows[i].bound);
		CU_ASSERT_EQUAL(read.counts[rows[i].bound], rows[i].count);
	}
	for (unsigned int i = 0; i <= VUC_LATENCY_BOUNDS; i++)
		all += read.counts[i];
	CU_ASSERT_EQUAL(all, NR(ticks));
	CU_ASSERT_EQUAL(read.sum_us, sum / 1000);
	CU_ASSERT_EQUAL(read.bounds_ns[0], 1000);
	CU_ASSERT_EQUAL(read.bounds_ns[1], 2500);
	CU_ASSERT_EQUAL(read.bounds_ns[VUC_LATENCY_BOUNDS - 1], 10000000000);
}

/* A latency is never counted below its bound, and above it only if it is up to 1/16 below. */
static void
test_read_near_bounds(void)
{
	for (uint64_t ticks = 3000; ticks < 40000; ticks += 7) {
		struct histogram h = {0};
		struct vuc_latency_histogram read;
		unsigned int i = 0;

		histogram_add(&h, ticks);
		vuc_histogram_read(&h, 2999999999, &read);
		while (read.counts[i] == 0)
			i++;
		CU_ASSERT_TRUE_FATAL(ticks / 3 <= read.bounds_ns[i]);
		CU_ASSERT_TRUE_FATAL(i == 0 || ticks / 3 + ticks / 48 + 1 >= read.bounds_ns[i - 1]);
	}
}

const struct tap_suite tap_suite = {"histogram", NULL, NULL,
	{
		{"buckets", test_buckets},
		{"the longest", test_longest},
		{"add", test_add},
		{"reading", test_read},
		{"reading near a bound", test_read_near_bounds},
	}};
