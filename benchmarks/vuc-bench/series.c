/* SPDX-License-Identifier: BSD-3-Clause */
#include "series.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
bench_series_init(struct bench_series *series, const char *name, double ns_per_tick,
	unsigned int rounds, size_t samples_per_round)
{
	size_t samples;

	*series = (struct bench_series){
		.name = name,
		.transport = "",
		.ns_per_tick = ns_per_tick,
		.max_rounds = rounds,
	};
	series->round_p50 = calloc(rounds, sizeof(*series->round_p50));
	if (series->round_p50 == NULL)
		return -ENOMEM;
	if (__builtin_mul_overflow(rounds, samples_per_round, &samples))
		return -ENOMEM;
	return bench_samples_init(&series->samples, samples);
}

void
bench_series_fini(struct bench_series *series)
{
	bench_samples_fini(&series->samples);
	free(series->round_p50);
	series->round_p50 = NULL;
}

void
bench_series_end_round(struct bench_series *series)
{
	struct bench_samples *all = &series->samples;
	size_t first = series->round_first;

	if (series->rounds == series->max_rounds)
		return;
	bench_samples_sort(all, first);
	series->round_p50[series->rounds++] = series->ns_per_tick *
		(double)bench_percentile(all->values + first, all->nr - first, 500);
	series->round_first = all->nr;
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
	sum->per_second = sum->mean > 0 ? 1e9 / sum->mean : 0;
	sum->syscalls = (double)series->syscalls / (double)nr;
}

static double
median_of_copy(const double *values, double *copy, unsigned int nr)
{
	memcpy(copy, values, nr * sizeof(*values));
	return bench_median(copy, nr);
}

static double
divide(double a, double b)
{
	return b > 0 ? a / b : 0;
}

int
bench_series_ratio(const struct bench_series *floor, const struct bench_series *series,
	struct bench_ratio *ratio)
{
	unsigned int rounds = series->rounds;
	double *copy;
	double least;

	*ratio = (struct bench_ratio){0};
	if (rounds == 0 || floor->rounds != rounds)
		return -EINVAL;
	copy = calloc(rounds, sizeof(*copy));
	if (copy == NULL)
		return -ENOMEM;
	least = median_of_copy(floor->round_p50, copy, rounds);
	ratio->p50 = divide(median_of_copy(series->round_p50, copy, rounds), least);
	for (unsigned int i = 0; i < rounds; i++) {
		double r = divide(series->round_p50[i], floor->round_p50[i]);

		if (i == 0 || r < ratio->min)
			ratio->min = r;
		if (r > ratio->max)
			ratio->max = r;
	}
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
