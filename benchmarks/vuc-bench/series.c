/* SPDX-License-Identifier: BSD-3-Clause */
#include "series.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int
bench_series_init(
	struct bench_series *series, const char *name, const struct bench_series_shape *shape)
{
	size_t samples;

	*series = (struct bench_series){
		.name = name,
		.transport = "",
		.ns_per_tick = shape->ns_per_tick / shape->per_sample,
		.per_sample = shape->per_sample,
		.max_rounds = shape->rounds,
	};
	series->round = calloc(shape->rounds, sizeof(*series->round));
	if (series->round == NULL)
		return -ENOMEM;
	if (__builtin_mul_overflow(shape->rounds, shape->samples_per_round, &samples))
		return -ENOMEM;
	return bench_samples_init(&series->samples, samples);
}

void
bench_series_fini(struct bench_series *series)
{
	bench_samples_fini(&series->samples);
	free(series->round);
	series->round = NULL;
}

void
bench_series_end_round(struct bench_series *series)
{
	struct bench_samples *all = &series->samples;
	const uint64_t *values = all->values + series->round_first;
	size_t nr = all->nr - series->round_first;
	double ns = series->ns_per_tick;

	if (series->rounds == series->max_rounds)
		return;
	bench_samples_sort(all, series->round_first);
	series->round[series->rounds++] = (struct bench_round){
		.p50 = ns * (double)bench_percentile(values, nr, 500),
		.mean = ns * bench_mean(values, nr),
		.end_to_end = nr > 0 ? ns * (double)series->round_end_to_end / (double)nr : 0,
	};
	series->round_first = all->nr;
	series->end_to_end += series->round_end_to_end;
	series->round_end_to_end = 0;
}

static double
divide(double a, double b)
{
	return b > 0 ? a / b : 0;
}

static double
percentile_ns(const struct bench_series *series, unsigned int permille)
{
	const struct bench_samples *samples = &series->samples;

	if (samples->nr < bench_percentile_needs(permille))
		return NAN;
	return series->ns_per_tick *
		(double)bench_percentile(samples->values, samples->nr, permille);
}

void
bench_series_finish(struct bench_series *series)
{
	const uint64_t *values = series->samples.values;
	size_t nr = series->samples.nr;
	double ns = series->ns_per_tick;
	struct bench_summary *sum = &series->summary;

	bench_samples_sort(&series->samples, 0);
	*sum = (struct bench_summary){0};
	if (nr == 0)
		return;
	sum->p50 = ns * (double)bench_percentile(values, nr, 500);
	sum->p90 = percentile_ns(series, 900);
	sum->p99 = percentile_ns(series, 990);
	sum->p999 = percentile_ns(series, 999);
	sum->min = ns * (double)values[0];
	sum->max = ns * (double)values[nr - 1];
	sum->mean = ns * bench_mean(values, nr);
	sum->per_second = divide(1e9, sum->mean);
	sum->end_to_end_per_second = divide(1e9 * (double)nr, ns * (double)series->end_to_end);
	sum->cpu_share = divide((double)series->idle_cpu_ns, (double)series->idle_ns);
	sum->syscalls = (double)series->syscalls / ((double)nr * series->per_sample);
}

/* A figure of a round, of which less is better. */
typedef double (*pick_fn)(const struct bench_round *round);

static double
pick_p50(const struct bench_round *round)
{
	return round->p50;
}

static double
pick_mean(const struct bench_round *round)
{
	return round->mean;
}

static double
pick_end_to_end(const struct bench_round *round)
{
	return round->end_to_end;
}

static struct bench_ratio
series_compare(const struct bench_series *over, const struct bench_series *under, pick_fn pick,
	double *ratios)
{
	unsigned int nr = over->rounds;

	for (unsigned int i = 0; i < nr; i++)
		ratios[i] = divide(pick(&over->round[i]), pick(&under->round[i]));
	bench_sort(ratios, nr);
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
	ratios->p50 = series_compare(series, floor, pick_p50, scratch);
	/* What takes half as long is done twice as often. */
	ratios->rate = series_compare(floor, series, pick_mean, scratch);
	ratios->end_to_end = series_compare(floor, series, pick_end_to_end, scratch);
	free(scratch);
	return 0;
}

void
bench_series_histogram(const struct bench_series *series, struct bench_histogram *histogram)
{
	memset(histogram, 0, sizeof(*histogram));
	for (size_t i = 0; i < series->samples.nr; i++)
		bench_histogram_add(histogram, (uint64_t)bench_series_ns(series, i));
}
