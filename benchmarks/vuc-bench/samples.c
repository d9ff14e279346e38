/* SPDX-License-Identifier: BSD-3-Clause */
#include "samples.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int
bench_samples_init(struct bench_samples *samples, size_t max)
{
	size_t bytes;

	*samples = (struct bench_samples){0};
	if (__builtin_mul_overflow(max, sizeof(*samples->values), &bytes) || bytes > PTRDIFF_MAX)
		return -ENOMEM;
	samples->values = malloc(bytes);
	if (samples->values == NULL)
		return -ENOMEM;
	/* Not zero: the compiler would make calloc() of that, which touches nothing. */
	memset(samples->values, 0xff, bytes);
	samples->max = max;
	return 0;
}

void
bench_samples_fini(struct bench_samples *samples)
{
	free(samples->values);
	*samples = (struct bench_samples){0};
}

size_t
bench_samples_add(struct bench_samples *samples, const uint64_t *values, size_t nr)
{
	size_t room = samples->max - samples->nr;

	if (nr > room)
		nr = room;
	if (nr > 0)
		memcpy(samples->values + samples->nr, values, nr * sizeof(*values));
	samples->nr += nr;
	return nr;
}

static int
compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void
bench_samples_sort(struct bench_samples *samples, size_t from)
{
	if (from >= samples->nr)
		return;
	qsort(samples->values + from, samples->nr - from, sizeof(*samples->values), compare_u64);
}

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
bench_mean(const uint64_t *values, size_t nr)
{
	double sum = 0;

	for (size_t i = 0; i < nr; i++)
		sum += (double)values[i];
	return nr > 0 ? sum / (double)nr : 0;
}

static int
compare_double(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

void
bench_sort(double *values, size_t nr)
{
	qsort(values, nr, sizeof(*values), compare_double);
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
