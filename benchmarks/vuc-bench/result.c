/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <assert.h>
#include <stdlib.h>

static struct bench_fact *
new_fact(struct bench_result *result)
{
	assert(result->nr_facts < BENCH_MAX_FACTS);
	return &result->facts[result->nr_facts++];
}

void
bench_result_add_text(struct bench_result *result, const char *key, const char *text)
{
	*new_fact(result) = (struct bench_fact){.key = key, .text = text};
}

void
bench_result_add_number(struct bench_result *result, const char *key, uint64_t number)
{
	*new_fact(result) = (struct bench_fact){.key = key, .number = number};
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

int
bench_result_finish(struct bench_result *result)
{
	for (unsigned int i = 0; i < result->nr_series; i++) {
		int ret;

		bench_series_finish(&result->series[i]);
		ret = bench_series_compare(&result->series[bench_result_floor(result, i)],
			&result->series[i], &result->ratios[i]);
		if (ret != 0)
			return ret;
	}
	return 0;
}

void
bench_result_fini(struct bench_result *result)
{
	for (unsigned int i = 0; i < result->nr_series; i++)
		bench_series_fini(&result->series[i]);
	result->nr_series = 0;
	for (unsigned int i = 0; i < result->nr_parts; i++) {
		bench_result_fini(&result->parts[i].result);
		free(result->parts[i].state);
	}
	free(result->parts);
	result->parts = NULL;
	result->nr_parts = 0;
}
