/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "report.h"

static struct bench_fact *
fact_add(struct bench_result *result, const char *key)
{
	struct bench_fact *fact = &result->facts[result->nr_facts++];

	assert(result->nr_facts <= BENCH_MAX_FACTS);
	fact->key = key;
	return fact;
}

void
bench_result_add_text(struct bench_result *result, const char *key, const char *text)
{
	fact_add(result, key)->text = text;
}

void
bench_result_add_number(struct bench_result *result, const char *key, uint64_t number)
{
	fact_add(result, key)->number = number;
}

struct bench_series *
bench_result_add_series(struct bench_result *result, const char *name,
	const struct bench_shape *shape, struct vuc_error *err)
{
	struct bench_series *series = &result->series[result->nr_series++];

	assert(result->nr_series <= BENCH_MAX_SERIES);
	if (bench_series_init(series, name, shape) == 0)
		return series;
	bench_fail(err, -ENOMEM, "no memory for %u times %zu samples", shape->rounds,
		shape->samples_per_round);
	return NULL;
}

int
bench_result_finish(struct bench_result *result, struct vuc_error *err)
{
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
