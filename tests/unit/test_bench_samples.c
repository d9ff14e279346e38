/* SPDX-License-Identifier: BSD-3-Clause */

/* The arithmetic of vuc-bench: samples, histogram and series. */

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "histogram.h"
#include "samples.h"
#include "series.h"
#include "tap.h"

#define NEAR(actual, expected) CU_ASSERT_DOUBLE_EQUAL(actual, expected, 1e-9)

static void
test_add_fills_up(void)
{
	const uint64_t values[] = {5, 4, 3, 2, 1};
	struct bench_samples s;

	CU_ASSERT_EQUAL_FATAL(bench_samples_init(&s, 7), 0);
	CU_ASSERT_EQUAL(s.nr, 0);
	CU_ASSERT_EQUAL(bench_samples_add(&s, values, 0), 0);
	CU_ASSERT_EQUAL(bench_samples_add(&s, values, 5), 5);
	CU_ASSERT_EQUAL(bench_samples_add(&s, values, 5), 2);
	CU_ASSERT_EQUAL(bench_samples_add(&s, values, 5), 0);
	CU_ASSERT_EQUAL(s.nr, 7);
	CU_ASSERT_EQUAL(s.values[4], 1);
	CU_ASSERT_EQUAL(s.values[6], 4);
	bench_samples_fini(&s);
	CU_ASSERT_PTR_NULL(s.values);
	CU_ASSERT_EQUAL(s.max, 0);
}

static void
test_init_refuses_too_much(void)
{
	struct bench_samples s;

	CU_ASSERT_EQUAL(bench_samples_init(&s, SIZE_MAX / 2), -ENOMEM);
	bench_samples_fini(&s);
}

static void
test_sort_from(void)
{
	const uint64_t values[] = {9, 1, UINT64_MAX, 7, 0, 8};
	struct bench_samples s;

	CU_ASSERT_EQUAL_FATAL(bench_samples_init(&s, 6), 0);
	bench_samples_add(&s, values, 6);
	bench_samples_sort(&s, 6);
	bench_samples_sort(&s, 2);
	CU_ASSERT_EQUAL(s.values[0], 9);
	CU_ASSERT_EQUAL(s.values[1], 1);
	CU_ASSERT_EQUAL(s.values[2], 0);
	CU_ASSERT_EQUAL(s.values[5], UINT64_MAX);
	bench_samples_sort(&s, 0);
	CU_ASSERT_EQUAL(s.values[0], 0);
	CU_ASSERT_EQUAL(s.values[1], 1);
	CU_ASSERT_EQUAL(s.values[4], 9);
	bench_samples_fini(&s);
}

static void
test_percentile_is_nearest_rank(void)
{
	const uint64_t ten[] = {10, 20, 30, 40, 50, 60, 70, 80, 90, 100};

	CU_ASSERT_EQUAL(bench_percentile(ten, 10, 500), 50);
	CU_ASSERT_EQUAL(bench_percentile(ten, 10, 501), 60);
	CU_ASSERT_EQUAL(bench_percentile(ten, 10, 900), 90);
	CU_ASSERT_EQUAL(bench_percentile(ten, 10, 990), 100);
	CU_ASSERT_EQUAL(bench_percentile(ten, 10, 999), 100);
	CU_ASSERT_EQUAL(bench_percentile(ten, 10, 1000), 100);
	CU_ASSERT_EQUAL(bench_percentile(ten, 10, 0), 10);
	CU_ASSERT_EQUAL(bench_percentile(ten, 9, 500), 50);
}

static void
test_percentile_of_few(void)
{
	const uint64_t one[] = {42};

	CU_ASSERT_EQUAL(bench_percentile(one, 0, 500), 0);
	CU_ASSERT_EQUAL(bench_percentile(one, 1, 0), 42);
	CU_ASSERT_EQUAL(bench_percentile(one, 1, 1), 42);
	CU_ASSERT_EQUAL(bench_percentile(one, 1, 999), 42);
}

static void
test_percentile_of_many(void)
{
	uint64_t *values = malloc(20000 * sizeof(*values));

	CU_ASSERT_PTR_NOT_NULL_FATAL(values);
	for (uint64_t i = 0; i < 20000; i++)
		values[i] = i + 1;
	CU_ASSERT_EQUAL(bench_percentile(values, 20000, 500), 10000);
	CU_ASSERT_EQUAL(bench_percentile(values, 20000, 999), 19980);
	CU_ASSERT_EQUAL(bench_percentile(values, 1500, 999), 1499);
	CU_ASSERT_EQUAL(bench_percentile(values, 1001, 999), 1000);
	free(values);
}

static void
test_mean_and_quantiles(void)
{
	const uint64_t values[] = {1, 2, 3, 10};
	double odd[] = {3, 1, 2};
	double even[] = {4, 1, 3, 2};
	double single[] = {7};

	NEAR(bench_mean(values, 4), 4);
	NEAR(bench_mean(values, 0), 0);
	bench_sort(odd, 3);
	bench_sort(even, 4);
	NEAR(bench_quantile(odd, 3, 0.5), 2);
	NEAR(bench_quantile(odd, 3, 0.25), 1.5);
	NEAR(bench_quantile(odd, 3, 1), 3);
	NEAR(bench_quantile(even, 4, 0.5), 2.5);
	NEAR(bench_quantile(single, 1, 0.5), 7);
}

/* A percentile exists where at least one sample lies above it. */
static void
test_percentile_needs_samples(void)
{
	static const unsigned int permilles[] = {500, 900, 990, 999};

	for (size_t i = 0; i < sizeof(permilles) / sizeof(permilles[0]); i++) {
		unsigned int permille = permilles[i];
		size_t nr = bench_percentile_needs(permille);
		uint64_t *values = calloc(nr, sizeof(*values));

		CU_ASSERT_PTR_NOT_NULL_FATAL(values);
		values[nr - 1] = 1;
		CU_ASSERT_EQUAL(bench_percentile(values, nr, permille), 0);
		values[nr - 2] = nr > 2;
		CU_ASSERT_EQUAL(bench_percentile(values + 1, nr - 1, permille), 1);
		free(values);
	}
}

/* Every bucket begins where its predecessor ends, and its ends fall into it. */
static void
test_histogram_buckets_join(void)
{
	CU_ASSERT_EQUAL(bench_histogram_low(0), 0);
	for (size_t i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++) {
		uint64_t low = bench_histogram_low(i);
		uint64_t high = bench_histogram_high(i);

		CU_ASSERT_TRUE_FATAL(low <= high);
		CU_ASSERT_EQUAL_FATAL(bench_histogram_bucket(low), i);
		CU_ASSERT_EQUAL_FATAL(bench_histogram_bucket(high), i);
		if (i + 1 < BENCH_HISTOGRAM_BUCKETS)
			CU_ASSERT_EQUAL_FATAL(bench_histogram_low(i + 1), high + 1);
	}
	CU_ASSERT_EQUAL(bench_histogram_high(BENCH_HISTOGRAM_BUCKETS - 1), UINT64_MAX);
}

static void
test_histogram_is_fine(void)
{
	CU_ASSERT_EQUAL(bench_histogram_bucket(31), 31);
	CU_ASSERT_EQUAL(bench_histogram_bucket(63), 63);
	CU_ASSERT_EQUAL(bench_histogram_bucket(64), bench_histogram_bucket(65));
	CU_ASSERT_NOT_EQUAL(bench_histogram_bucket(65), bench_histogram_bucket(66));
	for (size_t i = 1; i < BENCH_HISTOGRAM_BUCKETS; i++) {
		uint64_t low = bench_histogram_low(i);

		CU_ASSERT_TRUE(bench_histogram_high(i) - low <= low / BENCH_HISTOGRAM_SUB);
	}
}

static int
init(struct bench_series *series, double ns_per_tick, unsigned int rounds, size_t samples)
{
	const struct bench_series_shape shape = {
		.ns_per_tick = ns_per_tick,
		.per_sample = 1,
		.rounds = rounds,
		.samples_per_round = samples,
	};

	return bench_series_init(series, "series", &shape);
}

static void
add_round(struct bench_series *series, uint64_t a, uint64_t b, uint64_t c)
{
	const uint64_t values[] = {a, b, c};

	CU_ASSERT_EQUAL(bench_samples_add(&series->samples, values, 3), 3);
	bench_series_end_round(series);
}

static void
test_series_sums_up(void)
{
	struct bench_series s;

	CU_ASSERT_EQUAL_FATAL(init(&s, 0.5, 2, 3), 0);
	add_round(&s, 300, 100, 200);
	add_round(&s, 600, 400, 500);
	s.syscalls = 15;
	NEAR(s.round[0].p50, 100);
	NEAR(s.round[1].p50, 250);
	bench_series_finish(&s);
	NEAR(s.summary.min, 50);
	NEAR(s.summary.p50, 150);
	CU_ASSERT_TRUE(isnan(s.summary.p90));
	CU_ASSERT_TRUE(isnan(s.summary.p999));
	NEAR(s.summary.max, 300);
	NEAR(s.summary.mean, 175);
	NEAR(s.summary.per_second, 1e9 / 175);
	NEAR(s.summary.syscalls, 2.5);
	NEAR(bench_series_ns(&s, 5), 300);
	bench_series_fini(&s);
}

static void
test_series_takes_no_more_rounds(void)
{
	struct bench_series s;

	CU_ASSERT_EQUAL_FATAL(init(&s, 1, 1, 3), 0);
	add_round(&s, 1, 2, 3);
	bench_series_end_round(&s);
	CU_ASSERT_EQUAL(s.rounds, 1);
	bench_series_fini(&s);
}

static void
test_series_without_samples(void)
{
	struct bench_series s;

	CU_ASSERT_EQUAL_FATAL(init(&s, 1, 1, 1), 0);
	bench_series_finish(&s);
	NEAR(s.summary.p50, 0);
	NEAR(s.summary.per_second, 0);
	bench_series_fini(&s);
}

static void
test_ratio_is_median_of_rounds(void)
{
	struct bench_series floor, vuc;
	struct bench_ratios ratios;

	CU_ASSERT_EQUAL_FATAL(init(&floor, 1, 3, 3), 0);
	CU_ASSERT_EQUAL_FATAL(init(&vuc, 1, 3, 3), 0);
	add_round(&floor, 1, 100, 200);
	add_round(&floor, 1, 200, 300);
	add_round(&floor, 1, 50, 100);
	add_round(&vuc, 1, 110, 900);
	add_round(&vuc, 1, 400, 900);
	CU_ASSERT_EQUAL(bench_series_compare(&floor, &vuc, &ratios), -EINVAL);
	add_round(&vuc, 1, 60, 900);
	CU_ASSERT_EQUAL(bench_series_compare(&floor, &vuc, &ratios), 0);
	NEAR(ratios.p50.median, 1.2);
	NEAR(ratios.p50.low, 1.15);
	NEAR(ratios.p50.high, 1.6);
	NEAR(ratios.p50.min, 1.1);
	NEAR(ratios.p50.max, 2);
	/* The rounds stay in their order. */
	NEAR(vuc.round[1].p50, 400);
	bench_series_fini(&floor);
	bench_series_fini(&vuc);
}

/* Two accesses in each sample, and half a nanosecond in each tick. */
static void
test_series_of_bundles(void)
{
	const struct bench_series_shape shape = {
		.ns_per_tick = 0.5, .per_sample = 2, .rounds = 2, .samples_per_round = 3};
	struct bench_series s;

	CU_ASSERT_EQUAL_FATAL(bench_series_init(&s, "vuc", &shape), 0);
	bench_series_add_end_to_end(&s, 600);
	bench_series_add_end_to_end(&s, 600);
	add_round(&s, 100, 200, 600);
	bench_series_add_end_to_end(&s, 2400);
	add_round(&s, 400, 800, 900);
	s.syscalls = 3;
	NEAR(s.round[0].p50, 50);
	NEAR(s.round[0].mean, 75);
	NEAR(s.round[0].end_to_end, 100);
	NEAR(s.round[1].mean, 175);
	NEAR(s.round[1].end_to_end, 200);
	bench_series_finish(&s);
	NEAR(s.summary.min, 25);
	NEAR(s.summary.p50, 100);
	NEAR(s.summary.mean, 125);
	NEAR(s.summary.per_second, 8e6);
	NEAR(s.summary.end_to_end_per_second, 1e9 / 150);
	NEAR(s.summary.syscalls, 0.25);
	NEAR(bench_series_ns(&s, 0), 25);
	bench_series_fini(&s);
}

/* The rate is of means, so that what is rare and slow counts; faster is more. */
static void
test_ratio_of_rates(void)
{
	struct bench_series floor, vuc;
	struct bench_ratios ratios;

	CU_ASSERT_EQUAL_FATAL(init(&floor, 1, 3, 3), 0);
	CU_ASSERT_EQUAL_FATAL(init(&vuc, 1, 3, 3), 0);
	for (uint64_t round = 1; round <= 3; round++) {
		bench_series_add_end_to_end(&floor, 900 * round);
		add_round(&floor, 100, 100, 400);
		bench_series_add_end_to_end(&vuc, 300 * round * round);
		add_round(&vuc, 10, 20, 60 * round);
	}
	CU_ASSERT_EQUAL(bench_series_compare(&floor, &vuc, &ratios), 0);
	NEAR(ratios.p50.median, 0.2);
	NEAR(ratios.rate.median, 200.0 / 50);
	NEAR(ratios.rate.min, 200.0 / 70);
	NEAR(ratios.rate.max, 200.0 / 30);
	NEAR(ratios.end_to_end.median, 600.0 / 400);
	NEAR(ratios.end_to_end.min, 1);
	NEAR(ratios.end_to_end.max, 3);
	bench_series_fini(&floor);
	bench_series_fini(&vuc);
}

/* Of eight rounds, the middle half lies between a and b times the floor. */
static bool
is_unsteady(unsigned int rounds, uint64_t a, uint64_t b)
{
	struct bench_series floor, vuc;
	struct bench_ratios ratios;

	CU_ASSERT_EQUAL_FATAL(init(&floor, 1, rounds, 3), 0);
	CU_ASSERT_EQUAL_FATAL(init(&vuc, 1, rounds, 3), 0);
	for (unsigned int i = 0; i < rounds; i++) {
		add_round(&floor, 100, 100, 100);
		add_round(&vuc, i % 2 == 0 ? a : b, i % 2 == 0 ? a : b, i % 2 == 0 ? a : b);
	}
	CU_ASSERT_EQUAL(bench_series_compare(&floor, &vuc, &ratios), 0);
	bench_series_fini(&floor);
	bench_series_fini(&vuc);
	return bench_ratio_is_unsteady(&ratios.p50);
}

static void
test_ratio_of_rounds_that_disagree(void)
{
	CU_ASSERT_FALSE(is_unsteady(8, 100, 100));
	CU_ASSERT_FALSE(is_unsteady(8, 100, 120));
	CU_ASSERT_TRUE(is_unsteady(8, 100, 130));
	CU_ASSERT_TRUE(is_unsteady(4, 100, 130));
	/* Too few to tell. */
	CU_ASSERT_FALSE(is_unsteady(3, 100, 300));
}

static void
test_ratio_without_end_to_end(void)
{
	struct bench_series s;
	struct bench_ratios ratios;

	CU_ASSERT_EQUAL_FATAL(init(&s, 1, 1, 3), 0);
	add_round(&s, 1, 2, 3);
	bench_series_finish(&s);
	CU_ASSERT_EQUAL(bench_series_compare(&s, &s, &ratios), 0);
	NEAR(ratios.rate.median, 1);
	NEAR(ratios.end_to_end.median, 0);
	NEAR(ratios.end_to_end.max, 0);
	NEAR(s.summary.end_to_end_per_second, 0);
	bench_series_fini(&s);
}

static void
test_series_histogram(void)
{
	struct bench_histogram h;
	struct bench_series s;

	CU_ASSERT_EQUAL_FATAL(init(&s, 0.5, 1, 3), 0);
	add_round(&s, 20, 21, 1000);
	bench_series_finish(&s);
	bench_series_histogram(&s, &h);
	CU_ASSERT_EQUAL(h.counts[bench_histogram_bucket(10)], 2);
	CU_ASSERT_EQUAL(h.counts[bench_histogram_bucket(500)], 1);
	CU_ASSERT_EQUAL(h.counts[bench_histogram_bucket(20)], 0);
	bench_series_fini(&s);
}

static CU_TestInfo samples_tests[] = {
	{"add fills up", test_add_fills_up},
	{"init refuses too much", test_init_refuses_too_much},
	{"sort from an index on", test_sort_from},
	{"percentile is nearest rank", test_percentile_is_nearest_rank},
	{"percentile of few", test_percentile_of_few},
	{"percentile of many", test_percentile_of_many},
	{"percentile needs samples", test_percentile_needs_samples},
	{"mean and quantiles", test_mean_and_quantiles},
	CU_TEST_INFO_NULL,
};

static CU_TestInfo histogram_tests[] = {
	{"buckets join", test_histogram_buckets_join},
	{"buckets are fine", test_histogram_is_fine},
	CU_TEST_INFO_NULL,
};

static CU_TestInfo series_tests[] = {
	{"sums up", test_series_sums_up},
	{"takes no more rounds than promised", test_series_takes_no_more_rounds},
	{"without samples", test_series_without_samples},
	{"ratio is the median of the rounds", test_ratio_is_median_of_rounds},
	{"samples of several accesses", test_series_of_bundles},
	{"ratio of rates", test_ratio_of_rates},
	{"ratio of rounds that disagree", test_ratio_of_rounds_that_disagree},
	{"ratio without end-to-end", test_ratio_without_end_to_end},
	{"histogram", test_series_histogram},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{.pName = "samples", .pTests = samples_tests},
	{.pName = "histogram", .pTests = histogram_tests},
	{.pName = "series", .pTests = series_tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
