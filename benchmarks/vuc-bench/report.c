/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "buckets.h"
#include "json_build.h"

#define HISTOGRAM_BITS 5 /* a bucket is at most 1/32 of its values wide */

const char bench_not_quiet[] = "the machine was not quiet: do not quote this";

/* ---- what the text and the page show alike ---- */

const char *
bench_number(double value, char buf[BENCH_NUMBER_MAX])
{
	char digits[BENCH_NUMBER_MAX];
	size_t len, out = 0;

	if (isnan(value))
		return "-";
	if (value < 99.95) {
		snprintf(buf, BENCH_NUMBER_MAX, "%.1f", value);
		return buf;
	}
	/* 1e15 and its commas leave room. */
	snprintf(digits, sizeof(digits), "%.0f", value < 1e15 ? value : 1e15);
	len = strlen(digits);
	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			buf[out++] = ',';
		buf[out++] = digits[i];
	}
	buf[out] = '\0';
	return buf;
}

const char *
bench_series_title(const struct bench_series *series, const char *name, char buf[BENCH_TITLE_MAX])
{
	const char *topic = series->topic != NULL ? series->topic : "";

	snprintf(buf, BENCH_TITLE_MAX, "%s%s%s", topic, topic[0] != '\0' ? ": " : "", name);
	return buf;
}

void
bench_lines_of_run(const struct bench_result *result, bench_line_fn print, void *arg)
{
	const struct bench_env *env = result->env;
	char text[512], steal[48] = "";

	if (result->label != NULL)
		print(arg, "label", result->label);
	print(arg, "date", env->date);
	snprintf(text, sizeof(text), "%s, measuring on CPU %u", env->cpu, env->cpus.cpu[0]);
	print(arg, "cpu", text);
	snprintf(text, sizeof(text), "%s, cpu_dma_latency %s", env->kernel, env->dma_latency);
	print(arg, "kernel", text);
	snprintf(text, sizeof(text), "vuc %s", bench_versions);
	print(arg, "versions", text);
	print(arg, "clock", env->clock);
	if (env->steal >= 0)
		snprintf(
			steal, sizeof(steal), " %.1f %% of the CPU time stolen;", 100 * env->steal);
	snprintf(text, sizeof(text),
		"load %.2f before, %.2f after;%s %" PRIu64 " involuntary context switches",
		env->load_before, env->load_after, steal, env->preemptions);
	print(arg, "machine", text);
}

void
bench_lines_of_result(const struct bench_result *result, bench_line_fn print, void *arg)
{
	print(arg, "server", result->server);
	print(arg, "floor", result->floor);
	if (result->timed[0] != '\0')
		print(arg, "timed", result->timed);
	if (result->note[0] != '\0')
		print(arg, "note", result->note);
}

static void __attribute__((format(printf, 3, 4)))
cell_set(struct bench_cells *cells, size_t i, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(cells->text[i], sizeof(cells->text[i]), fmt, args);
	va_end(args);
}

struct bench_cells
bench_cells_head(const struct bench_result *result)
{
	struct bench_cells cells;

	cell_set(&cells, 0, "ns");
	for (size_t i = 0; i < BENCH_NR_TIMES; i++)
		cell_set(&cells, 1 + i, "%s", bench_times[i].head);
	cell_set(&cells, BENCH_NR_CELLS - 3, "%s/s", result->units);
	cell_set(&cells, BENCH_NR_CELLS - 2, "syscalls\n/%s", result->unit);
	cell_set(&cells, BENCH_NR_CELLS - 1, "p50 to\nfloor");
	return cells;
}

struct bench_cells
bench_cells_row(const struct bench_result *result, unsigned int i)
{
	const struct bench_series *series = &result->series[i];
	const struct bench_summary *sum = &series->summary;
	struct bench_cells cells;
	char number[BENCH_NUMBER_MAX];

	if (strcmp(series->name, series->transport) == 0)
		cell_set(&cells, 0, "%s", series->name);
	else
		cell_set(&cells, 0, "%s (%s)", series->name, series->transport);
	for (size_t c = 0; c < BENCH_NR_TIMES; c++)
		cell_set(&cells, 1 + c, "%s",
			bench_number(bench_time_of(sum, &bench_times[c]), number));
	cell_set(&cells, BENCH_NR_CELLS - 3, "%s", bench_number(sum->per_second, number));
	cell_set(&cells, BENCH_NR_CELLS - 2, "%.2f", sum->syscalls);
	cell_set(&cells, BENCH_NR_CELLS - 1, "%.2f", result->ratios[i].p50.median);
	return cells;
}

/* ---- JSON ---- */

/* A double with its significant digits; empty if the series has no such percentile. */
static void
put_double(struct app_json *json, struct json_object *object, const char *key, double value,
	const char *format)
{
	if (!isnan(value))
		app_json_double(json, object, key, value, format);
}

/* The same with a key that is put together. */
static void
put_joined(struct app_json *json, struct json_object *object, const char *before, const char *after,
	double value, const char *format)
{
	char key[48];

	snprintf(key, sizeof(key), "%s%s", before, after);
	put_double(json, object, key, value, format);
}

/* The median ratio as `key`, with the extremes and the quartiles. */
static void
put_ratios(struct app_json *json, struct json_object *object, const char *key,
	const struct bench_ratio *ratio)
{
	put_double(json, object, key, ratio->median, "%.4f");
	put_joined(json, object, key, "_min", ratio->min, "%.4f");
	put_joined(json, object, key, "_max", ratio->max, "%.4f");
	put_joined(json, object, key, "_q1", ratio->low, "%.4f");
	put_joined(json, object, key, "_q3", ratio->high, "%.4f");
}

static void
put_versions(struct app_json *json, struct json_object *object, const struct bench_env *env)
{
	app_json_text(json, object, "git", env->git);
	app_json_text(json, object, "kernel", env->kernel);
	app_json_text(json, object, "cpu", env->cpu);
	app_json_text(json, object, "vuc", env->vuc);
	app_json_text(json, object, "dpdk", env->dpdk);
	app_json_text(json, object, "liburing", env->liburing);
}

static void
put_environment(struct app_json *json, struct json_object *root, const struct bench_env *env)
{
	struct json_object *object = app_json_object(json, root, "environment");
	struct json_object *cpus;

	app_json_text(json, object, "date", env->date);
	put_versions(json, object, env);
	cpus = app_json_array(json, object, "cpus");
	for (unsigned int i = 0; i < env->cpus.nr; i++)
		app_json_number(json, cpus, NULL, env->cpus.cpu[i]);
	app_json_text(json, object, "cpu_dma_latency", env->dma_latency);
	app_json_text(json, object, "clock", env->clock);
	put_double(json, object, "load_before", env->load_before, "%.4f");
	put_double(json, object, "load_after", env->load_after, "%.4f");
	put_double(json, object, "steal", env->steal, "%.4f");
	app_json_number(json, object, "involuntary_context_switches", env->preemptions);
}

static void
put_options(struct app_json *json, struct json_object *root, const struct bench_result *result)
{
	struct json_object *object = NULL;

	json->failed |= result->options.failed;
	app_json_copy(json, root, "options", result->options.root);
	json_object_object_get_ex(root, "options", &object);
	if (result->label != NULL)
		app_json_text(json, object, "label", result->label);
	if (result->note[0] != '\0')
		app_json_text(json, object, "note", result->note);
}

/* The buckets that are not empty; samples ascend. */
static void
put_histogram(struct app_json *json, struct json_object *object, const struct bench_series *series)
{
	struct json_object *array = app_json_array(json, object, "histogram");
	size_t i = 0;

	while (i < series->nr_samples) {
		size_t first = i;
		unsigned int bucket =
			vuc_bucket_of((uint64_t)bench_series_ns(series, i), HISTOGRAM_BITS);
		uint64_t last = vuc_bucket_last(bucket, HISTOGRAM_BITS);
		struct json_object *one = app_json_object(json, array, NULL);

		while (i < series->nr_samples && (uint64_t)bench_series_ns(series, i) <= last)
			i++;
		app_json_number(json, one, "from_ns",
			bucket > 0 ? vuc_bucket_last(bucket - 1, HISTOGRAM_BITS) + 1 : 0);
		app_json_number(json, one, "to_ns", last);
		app_json_number(json, one, "count", i - first);
	}
}

static void
put_rates(struct app_json *json, struct json_object *object, const struct bench_result *result,
	unsigned int i)
{
	const struct bench_series *series = &result->series[i];
	const struct bench_summary *sum = &series->summary;
	const struct bench_ratios *ratios = &result->ratios[i];

	put_joined(json, object, result->units, "_per_second", sum->per_second, "%.0f");
	put_joined(json, object, "syscalls_per_", result->unit, sum->syscalls, "%.4f");
	put_joined(json, object, result->units, "_per_sample", series->per_sample, "%.0f");
	if (result->bytes > 0)
		put_double(json, object, "gigabytes_per_second",
			sum->per_second * result->bytes / 1e9, "%.4f");
	put_double(json, object, "ratio_p50", ratios->p50.median, "%.4f");
	put_double(json, object, "ratio_rate", ratios->rate.median, "%.4f");
	if (series->idle_ns > 0)
		put_double(json, object, "cpu_share", sum->cpu_share, "%.6f");
	if (sum->end_to_end_per_second <= 0)
		return;
	put_double(json, object, "end_to_end_per_second", sum->end_to_end_per_second, "%.0f");
	put_double(json, object, "ratio_end_to_end", ratios->end_to_end.median, "%.4f");
}

static void
put_series(struct app_json *json, struct json_object *array, const struct bench_result *result,
	unsigned int i)
{
	const struct bench_series *series = &result->series[i];
	const struct bench_summary *sum = &series->summary;
	struct json_object *object = app_json_object(json, array, NULL);
	struct json_object *rounds;

	if (series->topic != NULL)
		app_json_text(json, object, "topic", series->topic);
	app_json_text(json, object, "name", series->name);
	app_json_text(json, object, "transport", series->transport);
	for (size_t t = 0; t < BENCH_NR_TIMES; t++)
		put_joined(json, object, bench_times[t].key, "_ns",
			bench_time_of(sum, &bench_times[t]), "%.1f");
	put_double(json, object, "mean_ns", sum->mean, "%.1f");
	put_rates(json, object, result, i);
	app_json_number(json, object, "samples", series->nr_samples);
	if (series->guest_ticks)
		app_json_number(json, object, "p50_ticks",
			bench_percentile(series->samples, series->nr_samples, 500));
	if (series->traced) {
		app_json_number(json, object, "thread_syscalls", series->syscalls);
		app_json_number(json, object, "thread_futexes", series->futexes);
	}
	put_versions(json, object, result->env);
	rounds = app_json_array(json, object, "rounds");
	for (unsigned int r = 0; r < series->rounds; r++)
		app_json_double(json, rounds, NULL, series->round[r].p50, "%.1f");
	put_histogram(json, object, series);
}

/* An object in an object, made when it is not there yet. */
static struct json_object *
member_object(struct app_json *json, struct json_object *object, const char *key)
{
	struct json_object *member = NULL;

	if (object != NULL && json_object_object_get_ex(object, key, &member))
		return member;
	return app_json_object(json, object, key);
}

/* Against the floor. In an object by topic where there are some, and all but vuc in one by name
 * where a floor has several next to it. */
static void
put_verdict(struct app_json *json, struct json_object *root, const struct bench_result *result,
	unsigned int i)
{
	const struct bench_series *series = &result->series[i];
	const struct bench_series *floor = &result->series[bench_result_floor(result, i)];
	const struct bench_ratios *ratios = &result->ratios[i];
	struct json_object *object = root;

	if (series->topic != NULL)
		object = member_object(json, object, series->topic);
	if (result->per_group > 2 && strcmp(series->name, "vuc") != 0)
		object = member_object(json, object, series->name);
	put_ratios(json, object, "ratio_p50", &ratios->p50);
	if (result->shows_more)
		put_double(
			json, object, "more_ns", series->summary.p50 - floor->summary.p50, "%.1f");
	put_ratios(json, object, "ratio_rate", &ratios->rate);
	if (series->summary.end_to_end_per_second > 0)
		put_ratios(json, object, "ratio_end_to_end", &ratios->end_to_end);
}

static void
put_result(struct app_json *json, struct json_object *root, const struct bench_result *result)
{
	struct json_object *series;

	app_json_text(json, root, "measurement", result->measurement);
	put_environment(json, root, result->env);
	put_options(json, root, result);
	series = app_json_array(json, root, "series");
	for (unsigned int i = 0; i < result->nr_series; i++)
		put_series(json, series, result, i);
	app_json_bool(json, root, "quiet", !bench_result_is_unsteady(result));
	for (unsigned int i = 0; i < result->nr_series; i++) {
		if (i != bench_result_floor(result, i))
			put_verdict(json, root, result, i);
	}
}

static void
put_part(struct app_json *json, struct json_object *array, const struct bench_part *part)
{
	struct json_object *object = app_json_object(json, array, NULL);

	if (part->skipped[0] == '\0') {
		put_result(json, object, &part->result);
	} else {
		app_json_text(json, object, "measurement", part->result.measurement);
		app_json_text(json, object, "skipped", part->skipped);
	}
	app_json_text(json, object, "part", part->name);
}

static void
put_goal(struct app_json *json, struct json_object *array, const struct bench_verdict *verdict)
{
	struct json_object *object = app_json_object(json, array, NULL);

	app_json_text(json, object, "figure", verdict->figure);
	app_json_text(json, object, "floor", verdict->floor);
	app_json_text(json, object, "goal", verdict->goal);
	if (!verdict->known)
		return;
	put_double(json, object, "value", verdict->value, "%.6f");
	app_json_text(json, object, "measured", verdict->measured);
	app_json_bool(json, object, "met", verdict->met);
	app_json_bool(json, object, "quiet", !verdict->unsteady);
}

static void
put_summary(struct app_json *json, const struct bench_result *result)
{
	struct json_object *goals, *parts;

	app_json_text(json, json->root, "measurement", result->measurement);
	put_environment(json, json->root, result->env);
	put_options(json, json->root, result);
	goals = app_json_array(json, json->root, "summary");
	for (unsigned int i = 0; i < result->nr_verdicts; i++)
		put_goal(json, goals, &result->verdicts[i]);
	parts = app_json_array(json, json->root, "results");
	for (unsigned int i = 0; i < result->nr_parts; i++)
		put_part(json, parts, &result->parts[i]);
}

int
bench_report_json(FILE *out, const struct bench_result *result)
{
	struct app_json json;
	int ret;

	app_json_init(&json);
	if (result->nr_parts > 0)
		put_summary(&json, result);
	else
		put_result(&json, json.root, result);
	ret = app_json_print(out, &json);
	app_json_finish(&json);
	return ret;
}
