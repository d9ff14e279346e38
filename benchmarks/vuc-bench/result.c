/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

const struct bench_time bench_times[BENCH_NR_TIMES] = {
	{"p50", "p50", 7, offsetof(struct bench_summary, p50)},
	{"p90", "p90", 7, offsetof(struct bench_summary, p90)},
	{"p99", "p99", 8, offsetof(struct bench_summary, p99)},
	{"p999", "p99.9", 9, offsetof(struct bench_summary, p999)},
	{"min", "min", 7, offsetof(struct bench_summary, min)},
	{"max", "max", 10, offsetof(struct bench_summary, max)},
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

static struct bench_fact *
fact_add(struct bench_result *result, const char *key)
{
	struct bench_fact *fact = &result->facts[result->nr_facts++];

	assert(result->nr_facts <= BENCH_MAX_FACTS);
	snprintf(fact->key, sizeof(fact->key), "%s", key);
	return fact;
}

void
bench_result_add_text(struct bench_result *result, const char *key, const char *text)
{
	struct bench_fact *fact = fact_add(result, key);

	fact->is_text = true;
	snprintf(fact->text, sizeof(fact->text), "%s", text);
	vuc_text_clean(fact->text);
}

void
bench_result_add_number(struct bench_result *result, const char *key, uint64_t number)
{
	fact_add(result, key)->number = number;
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
