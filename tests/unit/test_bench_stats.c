/* SPDX-License-Identifier: BSD-3-Clause */

/* The arithmetic of vuc-bench: percentiles and series. */

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "stats.h"
#include "tap.h"

#define NEAR(actual, expected) CU_ASSERT_DOUBLE_EQUAL(actual, expected, 1e-9)

/* A percentile is the nearest rank. */
static void
test_percentile(void)
{
	static const struct {
		size_t nr; /* of 1, 2, 3, ... */
		unsigned int permille;
		uint64_t expected;
	} rows[] = {
		{10, 500, 5},
		{10, 501, 6},
		{10, 900, 9},
		{10, 990, 10},
		{10, 999, 10},
		{10, 1000, 10},
		{10, 0, 1},
		{9, 500, 5},
		{0, 500, 0},
		{1, 0, 1},
		{1, 1, 1},
		{1, 999, 1},
		{20000, 500, 10000},
		{20000, 999, 19980},
		{1500, 999, 1499},
		{1001, 999, 1000},
	};
	uint64_t *values = malloc(20000 * sizeof(*values));

	CU_ASSERT_PTR_NOT_NULL_FATAL(values);
	for (uint64_t i = 0; i < 20000; i++)
		values[i] = i + 1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CU_ASSERT_EQUAL(
			bench_percentile(values, rows[i].nr, rows[i].permille), rows[i].expected);
	free(values);
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

static void
test_quantile(void)
{
	static const double values[] = {1, 2, 3, 4};
	static const struct {
		size_t nr;
		double part;
		double expected;
	} rows[] = {{3, 0.5, 2}, {3, 0.25, 1.5}, {3, 1, 3}, {4, 0.5, 2.5}, {1, 0.5, 1}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		NEAR(bench_quantile(values, rows[i].nr, rows[i].part), rows[i].expected);
}

/* A series that has room for a number of rounds of three samples. */
static void
series_init(
	struct bench_series *s, double ns_per_tick, unsigned int per_sample, unsigned int rounds)
{
	const struct bench_shape shape = {
		.ns_per_tick = ns_per_tick,
		.per_sample = per_sample,
		.rounds = rounds,
		.samples_per_round = 3,
	};

	CU_ASSERT_EQUAL_FATAL(bench_series_init(s, "series", &shape), 0);
}

static void
series_add_round(struct bench_series *s, uint64_t a, uint64_t b, uint64_t c)
{
	bench_series_add(s, (const uint64_t[]){a, b, c}, 3);
	bench_series_end_round(s);
}

/* Samples and rounds beyond those promised are dropped, and too many promised ones are refused. */
static void
test_series_fills_up(void)
{
	const struct bench_shape too_much = {
		.ns_per_tick = 1, .per_sample = 1, .rounds = 2, .samples_per_round = SIZE_MAX / 4};
	const uint64_t values[] = {5, 4, 3, 2, 1};
	struct bench_series s;

	CU_ASSERT_EQUAL(bench_series_init(&s, "series", &too_much), -ENOMEM);
	bench_series_fini(&s);
	series_init(&s, 1, 1, 1);
	bench_series_add(&s, values, 0);
	CU_ASSERT_EQUAL(s.nr_samples, 0);
	bench_series_add(&s, values, 5);
	bench_series_add(&s, values, 5);
	CU_ASSERT(s.nr_samples == 3 && s.samples[2] == 3);
	bench_series_end_round(&s);
	bench_series_end_round(&s);
	CU_ASSERT_EQUAL(s.rounds, 1);
	bench_series_fini(&s);
	CU_ASSERT_PTR_NULL(s.samples);
}

static void
test_series_sums_up(void)
{
	struct bench_series s;

	series_init(&s, 0.5, 1, 2);
	series_add_round(&s, 300, 100, 200);
	series_add_round(&s, 600, 400, 500);
	s.syscalls = 15;
	NEAR(s.round[0].p50, 100);
	NEAR(s.round[1].p50, 250);
	CU_ASSERT(s.samples[0] == 100 && s.samples[3] == 400);
	bench_series_finish(&s);
	NEAR(s.summary.min, 50);
	NEAR(s.summary.p50, 150);
	CU_ASSERT(isnan(s.summary.p90) && isnan(s.summary.p999));
	NEAR(s.summary.max, 300);
	NEAR(s.summary.mean, 175);
	NEAR(s.summary.per_second, 1e9 / 175);
	NEAR(s.summary.syscalls, 2.5);
	NEAR(bench_series_ns(&s, 5), 300);
	bench_series_fini(&s);
	/* Without any. */
	series_init(&s, 1, 1, 1);
	bench_series_finish(&s);
	NEAR(s.summary.p50, 0);
	NEAR(s.summary.per_second, 0);
	bench_series_fini(&s);
}

/* Two accesses in each sample, and half a nanosecond in each tick. */
static void
test_series_of_bundles(void)
{
	struct bench_series s;

	series_init(&s, 0.5, 2, 2);
	s.round_end_to_end = 1200;
	series_add_round(&s, 100, 200, 600);
	s.round_end_to_end = 2400;
	series_add_round(&s, 400, 800, 900);
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

/* A floor and vuc, with ratios of nothing so far. */
static struct bench_series base, vuc;
static struct bench_ratios ratios;

static void
pair_init(unsigned int rounds)
{
	series_init(&base, 1, 1, rounds);
	series_init(&vuc, 1, 1, rounds);
}

static void
pair_compare(void)
{
	CU_ASSERT_EQUAL(bench_series_compare(&base, &vuc, &ratios), 0);
	bench_series_fini(&base);
	bench_series_fini(&vuc);
}

static void
test_ratio_is_median_of_rounds(void)
{
	pair_init(3);
	series_add_round(&base, 1, 100, 200);
	series_add_round(&base, 1, 200, 300);
	series_add_round(&base, 1, 50, 100);
	series_add_round(&vuc, 1, 110, 900);
	series_add_round(&vuc, 1, 400, 900);
	CU_ASSERT_EQUAL(bench_series_compare(&base, &vuc, &ratios), -EINVAL);
	series_add_round(&vuc, 1, 60, 900);
	CU_ASSERT_EQUAL(bench_series_compare(&base, &vuc, &ratios), 0);
	NEAR(vuc.round[1].p50, 400); /* the rounds stay in their order */
	pair_compare();
	NEAR(ratios.p50.median, 1.2);
	NEAR(ratios.p50.low, 1.15);
	NEAR(ratios.p50.high, 1.6);
	NEAR(ratios.p50.min, 1.1);
	NEAR(ratios.p50.max, 2);
}

/* The rate is of means, so that what is rare and slow counts; faster is more. */
static void
test_ratio_of_rates(void)
{
	pair_init(3);
	for (uint64_t round = 1; round <= 3; round++) {
		base.round_end_to_end = 900 * round;
		series_add_round(&base, 100, 100, 400);
		vuc.round_end_to_end = 300 * round * round;
		series_add_round(&vuc, 10, 20, 60 * round);
	}
	pair_compare();
	NEAR(ratios.p50.median, 0.2);
	NEAR(ratios.rate.median, 200.0 / 50);
	NEAR(ratios.rate.min, 200.0 / 70);
	NEAR(ratios.rate.max, 200.0 / 30);
	NEAR(ratios.end_to_end.median, 600.0 / 400);
	NEAR(ratios.end_to_end.min, 1);
	NEAR(ratios.end_to_end.max, 3);
	/* Without end-to-end. */
	pair_init(1);
	series_add_round(&base, 1, 2, 3);
	series_add_round(&vuc, 1, 2, 3);
	bench_series_finish(&vuc);
	NEAR(vuc.summary.end_to_end_per_second, 0);
	pair_compare();
	NEAR(ratios.rate.median, 1);
	NEAR(ratios.end_to_end.max, 0);
}

/* Rounds whose ratios are a and b percent in turns: unsteady when these lie far apart. */
static void
test_ratio_is_unsteady(void)
{
	static const struct {
		unsigned int rounds;
		uint64_t a, b;
		bool expected;
	} rows[] = {
		{8, 100, 100, false},
		{8, 100, 120, false},
		{8, 100, 130, true},
		{4, 100, 130, true},
		/* Too few to tell. */
		{3, 100, 300, false},
	};

	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		pair_init(rows[row].rounds);
		for (unsigned int i = 0; i < rows[row].rounds; i++) {
			uint64_t ticks = i % 2 == 0 ? rows[row].a : rows[row].b;

			series_add_round(&base, 100, 100, 100);
			series_add_round(&vuc, ticks, ticks, ticks);
		}
		pair_compare();
		CU_ASSERT_EQUAL(bench_ratio_is_unsteady(&ratios.p50), rows[row].expected);
	}
}

const struct tap_suite tap_suite = {"stats", NULL, NULL,
	{
		{"percentile", test_percentile},
		{"percentile needs samples", test_percentile_needs_samples},
		{"quantile", test_quantile},
		{"series fills up", test_series_fills_up},
		{"series sums up", test_series_sums_up},
		{"series of several accesses a sample", test_series_of_bundles},
		{"ratio is the median of the rounds", test_ratio_is_median_of_rounds},
		{"ratio of rates", test_ratio_of_rates},
		{"ratio of rounds that disagree", test_ratio_is_unsteady},
	}};
