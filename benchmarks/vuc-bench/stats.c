/* SPDX-License-Identifier: BSD-3-Clause */
#include "stats.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

uint64_t
bench_percentile(const uint64_t *sorted, size_t nr, unsigned int permille)
{
	size_t rank;

	if (nr == 0)
		return 0;
	/* ceil(nr * permille / 1000) without an overflow */
	rank = nr / 1000 * permille + (nr % 1000 * permille + 999) / 1000;
	if (rank == 0)
		rank = 1;
	return sorted[rank <= nr ? rank - 1 : nr - 1];
}

size_t
bench_percentile_needs(unsigned int permille)
{
	return (1000 + 999 - permille) / (1000 - permille);
}

double
bench_quantile(const double *sorted, size_t nr, double part)
{
	double at = part * (double)(nr - 1);
	size_t below = (size_t)at;

	if (below + 1 >= nr)
		return sorted[nr - 1];
	return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

int
bench_series_init(struct bench_series *series, const char *name, const struct bench_shape *shape)
{
	size_t nr, bytes;

	*series = (struct bench_series){
		.name = name,
		.transport = "",
		.ns_per_tick = shape->ns_per_tick / shape->per_sample,
		.per_sample = shape->per_sample,
	};
	if (__builtin_mul_overflow(shape->rounds, shape->samples_per_round, &nr) ||
		__builtin_mul_overflow(nr, sizeof(*series->samples), &bytes) || bytes > PTRDIFF_MAX)
		return -ENOMEM;
	series->round = calloc(shape->rounds, sizeof(*series->round));
	series->samples = malloc(bytes);
	if (series->round == NULL || series->samples == NULL)
		return -ENOMEM;
	/* Not zero: the compiler would make calloc() of that, which touches nothing. */
	memset(series->samples, 0xff, bytes);
	series->max_samples = nr;
	series->max_rounds = shape->rounds;
	return 0;
}

void
bench_series_fini(struct bench_series *series)
{
	free(series->samples);
	free(series->round);
	series->samples = NULL;
	series->round = NULL;
}

void
bench_series_add(struct bench_series *series, const uint64_t *ticks, size_t nr)
{
	size_t room = series->max_samples - series->nr_samples;

	if (nr > room)
		nr = room;
	if (nr > 0)
		memcpy(series->samples + series->nr_samples, ticks, nr * sizeof(*ticks));
	series->nr_samples += nr;
}

static int
compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int
compare_double(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
mean_of(const uint64_t *values, size_t nr)
{
	double sum = 0;

	for (size_t i = 0; i < nr; i++)
		sum += (double)values[i];
	return nr > 0 ? sum / (double)nr : 0;
}

static double
divide(double a, double b)
{
	return b > 0 ? a / b : 0;
}

void
bench_series_end_round(struct bench_series *series)
{
	uint64_t *samples = series->samples + series->round_first;
	size_t nr = series->nr_samples - series->round_first;
	double ns = series->ns_per_tick;

	if (series->rounds == series->max_rounds)
		return;
	qsort(samples, nr, sizeof(*samples), compare_u64);
	series->round[series->rounds++] = (struct bench_round){
		.p50 = ns * (double)bench_percentile(samples, nr, 500),
		.mean = ns * mean_of(samples, nr),
		.end_to_end = divide(ns * (double)series->round_end_to_end, (double)nr),
	};
	series->round_first = series->nr_samples;
	series->end_to_end += series->round_end_to_end;
	series->round_end_to_end = 0;
}

static double
percentile_ns(const struct bench_series *series, unsigned int permille)
{
	if (series->nr_samples < bench_percentile_needs(permille))
		return NAN;
	return series->ns_per_tick *
		(double)bench_percentile(series->samples, series->nr_samples, permille);
}

void
bench_series_finish(struct bench_series *series)
{
	const uint64_t *samples = series->samples;
	size_t nr = series->nr_samples;
	double ns = series->ns_per_tick;
	double mean = ns * mean_of(samples, nr);

	series->summary = (struct bench_summary){0};
	if (nr == 0)
		return;
	qsort(series->samples, nr, sizeof(*samples), compare_u64);
	series->summary = (struct bench_summary){
		.p50 = ns * (double)bench_percentile(samples, nr, 500),
		.p90 = percentile_ns(series, 900),
		.p99 = percentile_ns(series, 990),
		.p999 = percentile_ns(series, 999),
		.min = ns * (double)samples[0],
		.max = ns * (double)samples[nr - 1],
		.mean = mean,
		.per_second = divide(1e9, mean),
		.end_to_end_per_second = divide(1e9 * (double)nr, ns * (double)series->end_to_end),
		.syscalls = (double)series->syscalls / ((double)nr * series->per_sample),
		.cpu_share = divide((double)series->idle_cpu_ns, (double)series->idle_ns),
	};
}

/* Of the figure at this place in a struct bench_round: that of `over` divided by that of `under`.
 */
static struct bench_ratio
rounds_compare(const struct bench_series *over, const struct bench_series *under, size_t figure,
	double *ratios)
{
	unsigned int nr = over->rounds;

	for (unsigned int i = 0; i < nr; i++)
		ratios[i] = divide(*(const double *)((const char *)&over->round[i] + figure),
			*(const double *)((const char *)&under->round[i] + figure));
	qsort(ratios, nr, sizeof(*ratios), compare_double);
	return (struct bench_ratio){
		.median = bench_quantile(ratios, nr, 0.5),
		.min = ratios[0],
		.max = ratios[nr - 1],
		.low = bench_quantile(ratios, nr, 0.25),
		.high = bench_quantile(ratios, nr, 0.75),
		.rounds = nr,
	};
}

bool
bench_ratio_is_unsteady(const struct bench_ratio *ratio)
{
	return ratio->rounds >= 4 && ratio->high - ratio->low > 0.2 * ratio->median;
}

int
bench_series_compare(const struct bench_series *floor, const struct bench_series *series,
	struct bench_ratios *ratios)
{
	double *scratch;

	*ratios = (struct bench_ratios){0};
	if (series->rounds == 0 || floor->rounds != series->rounds)
		return -EINVAL;
	scratch = calloc(series->rounds, sizeof(*scratch));
	if (scratch == NULL)
		return -ENOMEM;
	ratios->p50 = rounds_compare(series, floor, offsetof(struct bench_round, p50), scratch);
	/* What takes half as long is done twice as often. */
	ratios->rate = rounds_compare(floor, series, offsetof(struct bench_round, mean), scratch);
	ratios->end_to_end =
		rounds_compare(floor, series, offsetof(struct bench_round, end_to_end), scratch);
	free(scratch);
	return 0;
}

/* ---- results ---- */

const struct bench_time bench_times[BENCH_NR_TIMES] = {
	{"p50", "p50", offsetof(struct bench_summary, p50)},
	{"p90", "p90", offsetof(struct bench_summary, p90)},
	{"p99", "p99", offsetof(struct bench_summary, p99)},
	{"p999", "p99.9", offsetof(struct bench_summary, p999)},
	{"min", "min", offsetof(struct bench_summary, min)},
	{"max", "max", offsetof(struct bench_summary, max)},
};

void
bench_say(char text[BENCH_SAY_MAX], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, BENCH_SAY_MAX, fmt, args);
	va_end(args);
}

void
bench_say_more(char text[BENCH_SAY_MAX], const char *fmt, ...)
{
	size_t len = strlen(text);
	va_list args;

	va_start(args, fmt);
	vsnprintf(text + len, BENCH_SAY_MAX - len, fmt, args);
	va_end(args);
}

struct bench_series *
bench_result_add_series(
	struct bench_result *result, const char *name, const struct bench_shape *shape)
{
	struct bench_series *series = &result->series[result->nr_series++];

	assert(result->nr_series <= BENCH_MAX_SERIES);
	if (bench_series_init(series, name, shape) != 0)
		result->no_memory = true;
	return series;
}

int
bench_result_check_memory(const struct bench_result *result, struct vuc_error *err)
{
	return result->no_memory ? bench_fail(err, -ENOMEM, "no memory for the samples") : 0;
}

int
bench_result_finish(struct bench_result *result, struct vuc_error *err)
{
	int ret = bench_result_check_memory(result, err);

	if (ret != 0)
		return ret;
	for (unsigned int i = 0; i < result->nr_series; i++) {
		bench_series_finish(&result->series[i]);
		if (bench_series_compare(&result->series[bench_result_floor(result, i)],
			    &result->series[i], &result->ratios[i]) != 0)
			return bench_fail(err, -ENOMEM, "out of memory");
	}
	return 0;
}

void
bench_result_fini(struct bench_result *result)
{
	for (unsigned int i = 0; i < result->nr_series; i++)
		bench_series_fini(&result->series[i]);
	for (unsigned int i = 0; i < result->nr_parts; i++) {
		bench_result_fini(&result->parts[i].result);
		free(result->parts[i].state);
	}
	app_json_finish(&result->options);
	free(result->parts);
	result->parts = NULL;
	result->nr_parts = 0;
	result->nr_series = 0;
}

bool
bench_result_is_unsteady(const struct bench_result *result)
{
	for (unsigned int i = 0; i < result->nr_series; i++) {
		const struct bench_ratios *ratios = &result->ratios[i];

		if (bench_ratio_is_unsteady(
			    result->series[i].by_rate ? &ratios->rate : &ratios->p50))
			return true;
	}
	return false;
}
