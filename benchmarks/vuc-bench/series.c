/* SPDX-License-Identifier: BSD-3-Clause */
#include "series.h"

#include <errno.h>
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
	sum->p90 = ns * (double)bench_percentile(values, nr, 900);
	sum->p99 = ns * (double)bench_percentile(values, nr, 990);
	sum->p999 = ns * (double)bench_percentile(values, nr, 999);
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

static double
median_of(const struct bench_series *series, pick_fn pick, double *copy)
{
	for (unsigned int i = 0; i < series->rounds; i++)
		copy[i] = pick(&series->round[i]);
	return bench_median(copy, series->rounds);
}

static struct bench_ratio
compare(const struct bench_series *over, const struct bench_series *under, pick_fn pick,
	double *copy)
{
	double dividend = median_of(over, pick, copy);
	struct bench_ratio ratio = {.median = divide(dividend, median_of(under, pick, copy))};

	for (unsigned int i = 0; i < over->rounds; i++) {
		double r = divide(pick(&over->round[i]), pick(&under->round[i]));

		if (i == 0 || r < ratio.min)
			ratio.min = r;
		if (r > ratio.max)
			ratio.max = r;
	}
	return ratio;
}

int
bench_series_compare(const struct bench_series *floor, const struct bench_series *series,
	struct bench_ratios *ratios)
{
	double *copy;

	*ratios = (struct bench_ratios){0};
	if (series->rounds == 0 || floor->rounds != series->rounds)
		return -EINVAL;
	copy = calloc(series->rounds, sizeof(*copy));
	if (copy == NULL)
		return -ENOMEM;
	ratios->p50 = compare(series, floor, pick_p50, copy);
	/* What takes half as long is done twice as often. */
	ratios->rate = compare(floor, series, pick_mean, copy);
	ratios->end_to_end = compare(floor, series, pick_end_to_end, copy);
	free(copy);
	return 0;
}

void
bench_series_histogram(const struct bench_series *series, struct bench_histogram *histogram)
{
	memset(histogram, 0, sizeof(*histogram));
	for (size_t i = 0; i < series->samples.nr; i++)
		bench_histogram_add(histogram, (uint64_t)bench_series_ns(series, i));
}
