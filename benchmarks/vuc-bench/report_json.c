/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Adds to objects; remembers when there was no memory, so that one look at the end is enough. */
struct writer {
	bool failed;
};

static void
json_put(struct writer *w, struct json_object *object, const char *key, struct json_object *value)
{
	if (value == NULL || object == NULL || json_object_object_add(object, key, value) != 0) {
		json_object_put(value);
		w->failed = true;
	}
}

static void
array_append(struct writer *w, struct json_object *array, struct json_object *value)
{
	if (value == NULL || array == NULL || json_object_array_add(array, value) != 0) {
		json_object_put(value);
		w->failed = true;
	}
}

static void
put_text(struct writer *w, struct json_object *object, const char *key, const char *text)
{
	json_put(w, object, key, json_object_new_string(text));
}

static void
put_number(struct writer *w, struct json_object *object, const char *key, uint64_t number)
{
	json_put(w, object, key, json_object_new_uint64(number));
}

/* With the digits that mean something. */
static struct json_object *
new_double(double value, const char *format)
{
	struct json_object *o = json_object_new_double(value);

	if (o != NULL)
		json_object_set_serializer(
			o, json_object_double_to_json_string, (void *)(uintptr_t)format, NULL);
	return o;
}

/* Nothing for a percentile that so few samples do not have. */
static void
put_ns(struct writer *w, struct json_object *object, const char *key, double ns)
{
	if (!isnan(ns))
		json_put(w, object, key, new_double(ns, "%.1f"));
}

static void
put_ratio(struct writer *w, struct json_object *object, const char *key, double ratio)
{
	json_put(w, object, key, new_double(ratio, "%.4f"));
}

/* A key that is put together. */
static void
put_per(struct writer *w, struct json_object *object, const char *before, const char *middle,
	const char *after, struct json_object *value)
{
	char key[48];

	snprintf(key, sizeof(key), "%s%s%s", before, middle, after);
	json_put(w, object, key, value);
}

/* The median ratio as `key`, the extremes and the quartiles behind it. */
static void
put_ratios(struct writer *w, struct json_object *object, const char *key,
	const struct bench_ratio *ratio)
{
	put_ratio(w, object, key, ratio->median);
	put_per(w, object, key, "_min", "", new_double(ratio->min, "%.4f"));
	put_per(w, object, key, "_max", "", new_double(ratio->max, "%.4f"));
	put_per(w, object, key, "_q1", "", new_double(ratio->low, "%.4f"));
	put_per(w, object, key, "_q3", "", new_double(ratio->high, "%.4f"));
}

static void
put_versions(struct writer *w, struct json_object *object, const struct bench_env *env)
{
	put_text(w, object, "git", env->git);
	put_text(w, object, "kernel", env->kernel);
	put_text(w, object, "cpu", env->cpu);
	put_text(w, object, "vuc", env->vuc);
	put_text(w, object, "dpdk", env->dpdk);
	put_text(w, object, "liburing", env->liburing);
}

static struct json_object *
environment_object(struct writer *w, const struct bench_env *env)
{
	struct json_object *object = json_object_new_object();
	struct json_object *cpus = json_object_new_array();

	put_versions(w, object, env);
	for (unsigned int i = 0; i < env->cpus.nr; i++)
		array_append(w, cpus, json_object_new_int64(env->cpus.cpu[i]));
	json_put(w, object, "cpus", cpus);
	put_text(w, object, "cpu_dma_latency", env->dma_latency);
	put_text(w, object, "clock", env->clock);
	put_ratio(w, object, "load_before", env->load_before);
	put_ratio(w, object, "load_after", env->load_after);
	put_ratio(w, object, "steal", env->steal);
	put_number(w, object, "involuntary_context_switches", env->preemptions);
	return object;
}

static struct json_object *
options_object(struct writer *w, const struct bench_result *result)
{
	struct json_object *object = json_object_new_object();

	for (unsigned int i = 0; i < result->nr_facts; i++) {
		const struct bench_fact *fact = &result->facts[i];

		if (fact->text != NULL)
			put_text(w, object, fact->key, fact->text);
		else
			put_number(w, object, fact->key, fact->number);
	}
	if (result->label != NULL)
		put_text(w, object, "label", result->label);
	if (result->note[0] != '\0')
		put_text(w, object, "note", result->note);
	return object;
}

static struct json_object *
rounds_array(struct writer *w, const struct bench_series *series)
{
	struct json_object *array = json_object_new_array();

	for (unsigned int i = 0; i < series->rounds; i++)
		array_append(w, array, new_double(series->round[i].p50, "%.1f"));
	return array;
}

/* The buckets that are not empty. */
static struct json_object *
histogram_array(struct writer *w, const struct bench_series *series)
{
	struct json_object *array = json_object_new_array();
	struct bench_histogram histogram;

	bench_series_histogram(series, &histogram);
	for (size_t i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++) {
		struct json_object *bucket;

		if (histogram.counts[i] == 0)
			continue;
		bucket = json_object_new_object();
		put_number(w, bucket, "from_ns", bench_histogram_low(i));
		put_number(w, bucket, "to_ns", bench_histogram_high(i));
		put_number(w, bucket, "count", histogram.counts[i]);
		array_append(w, array, bucket);
	}
	return array;
}

static void
put_rates(struct writer *w, struct json_object *object, const struct bench_result *result,
	unsigned int i)
{
	const struct bench_series *series = &result->series[i];
	const struct bench_summary *sum = &series->summary;
	const struct bench_ratios *ratios = &result->ratios[i];

	put_per(w, object, "", result->units, "_per_second", new_double(sum->per_second, "%.0f"));
	put_per(w, object, "syscalls_per_", result->unit, "", new_double(sum->syscalls, "%.4f"));
	put_per(w, object, "", result->units, "_per_sample",
		json_object_new_uint64(series->per_sample));
	if (result->bytes > 0)
		put_ratio(w, object, "gigabytes_per_second", sum->per_second * result->bytes / 1e9);
	put_ratio(w, object, "ratio_p50", ratios->p50.median);
	put_ratio(w, object, "ratio_rate", ratios->rate.median);
	if (series->idle_ns > 0)
		json_put(w, object, "cpu_share", new_double(sum->cpu_share, "%.6f"));
	if (sum->end_to_end_per_second <= 0)
		return;
	json_put(
		w, object, "end_to_end_per_second", new_double(sum->end_to_end_per_second, "%.0f"));
	put_ratio(w, object, "ratio_end_to_end", ratios->end_to_end.median);
}

static struct json_object *
series_object(struct writer *w, const struct bench_env *env, const struct bench_result *result,
	unsigned int i)
{
	const struct bench_series *series = &result->series[i];
	const struct bench_summary *sum = &series->summary;
	struct json_object *object = json_object_new_object();

	if (series->topic != NULL)
		put_text(w, object, "topic", series->topic);
	put_text(w, object, "name", series->name);
	put_text(w, object, "transport", series->transport);
	put_ns(w, object, "p50_ns", sum->p50);
	put_ns(w, object, "p90_ns", sum->p90);
	put_ns(w, object, "p99_ns", sum->p99);
	put_ns(w, object, "p999_ns", sum->p999);
	put_ns(w, object, "min_ns", sum->min);
	put_ns(w, object, "max_ns", sum->max);
	put_ns(w, object, "mean_ns", sum->mean);
	put_rates(w, object, result, i);
	put_number(w, object, "samples", series->samples.nr);
	if (series->ticks)
		put_number(w, object, "p50_ticks", bench_series_p50_ticks(series));
	if (series->traced) {
		put_number(w, object, "thread_syscalls", series->syscalls);
		put_number(w, object, "thread_futexes", series->futexes);
	}
	put_versions(w, object, env);
	json_put(w, object, "rounds", rounds_array(w, series));
	json_put(w, object, "histogram", histogram_array(w, series));
	return object;
}

/* An object in an object, made when it is not there yet. */
static struct json_object *
member(struct writer *w, struct json_object *object, const char *key)
{
	struct json_object *inner = NULL;

	if (object == NULL || json_object_object_get_ex(object, key, &inner))
		return inner;
	inner = json_object_new_object();
	json_put(w, object, key, inner);
	return w->failed ? NULL : inner;
}

/* Against the floor. In an object by topic where there are some, and all but vuc in one by name
 * where a floor has several next to it. */
static void
put_verdict(struct writer *w, struct json_object *root, const struct bench_result *result,
	unsigned int i)
{
	const struct bench_series *series = &result->series[i];
	const struct bench_ratios *ratios = &result->ratios[i];
	struct json_object *object = root;

	if (series->topic != NULL)
		object = member(w, object, series->topic);
	if (result->per_group > 2 && strcmp(series->name, "vuc") != 0)
		object = member(w, object, series->name);
	put_ratios(w, object, "ratio_p50", &ratios->p50);
	if (result->shows_more)
		put_ns(w, object, "more_ns",
			series->summary.p50 -
				result->series[bench_result_floor(result, i)].summary.p50);
	put_ratios(w, object, "ratio_rate", &ratios->rate);
	if (series->summary.end_to_end_per_second > 0)
		put_ratios(w, object, "ratio_end_to_end", &ratios->end_to_end);
}

static struct json_object *
result_object(struct writer *w, const struct bench_env *env, const struct bench_result *result)
{
	struct json_object *root = json_object_new_object();
	struct json_object *series = json_object_new_array();

	put_text(w, root, "measurement", result->measurement);
	json_put(w, root, "environment", environment_object(w, env));
	json_put(w, root, "options", options_object(w, result));
	for (unsigned int i = 0; i < result->nr_series; i++)
		array_append(w, series, series_object(w, env, result, i));
	json_put(w, root, "series", series);
	json_put(w, root, "quiet", json_object_new_boolean(!bench_result_is_unsteady(result)));
	for (unsigned int i = 0; i < result->nr_series; i++) {
		if (i != bench_result_floor(result, i))
			put_verdict(w, root, result, i);
	}
	return root;
}

static struct json_object *
part_object(struct writer *w, const struct bench_env *env, const struct bench_part *part)
{
	struct json_object *object;

	if (part->skipped[0] == '\0') {
		object = result_object(w, env, &part->result);
	} else {
		object = json_object_new_object();
		put_text(w, object, "measurement", part->result.measurement);
		put_text(w, object, "skipped", part->skipped);
	}
	put_text(w, object, "part", part->name);
	return object;
}

static struct json_object *
verdict_object(struct writer *w, const struct bench_verdict *verdict)
{
	struct json_object *object = json_object_new_object();

	put_text(w, object, "figure", verdict->figure);
	put_text(w, object, "floor", verdict->floor);
	put_text(w, object, "goal", verdict->goal);
	if (!verdict->known)
		return object;
	json_put(w, object, "value", new_double(verdict->value, "%.6f"));
	put_text(w, object, "measured", verdict->measured);
	json_put(w, object, "met", json_object_new_boolean(verdict->met));
	json_put(w, object, "quiet", json_object_new_boolean(!verdict->unsteady));
	return object;
}

static struct json_object *
summary_object(struct writer *w, const struct bench_env *env, const struct bench_result *result)
{
	struct json_object *root = json_object_new_object();
	struct json_object *parts = json_object_new_array();
	struct json_object *verdicts = json_object_new_array();

	put_text(w, root, "measurement", result->measurement);
	json_put(w, root, "environment", environment_object(w, env));
	json_put(w, root, "options", options_object(w, result));
	for (unsigned int i = 0; i < result->nr_verdicts; i++)
		array_append(w, verdicts, verdict_object(w, &result->verdicts[i]));
	json_put(w, root, "summary", verdicts);
	for (unsigned int i = 0; i < result->nr_parts; i++)
		array_append(w, parts, part_object(w, env, &result->parts[i]));
	json_put(w, root, "results", parts);
	return root;
}

static int
write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

int
bench_report_json(int fd, const struct bench_env *env, const struct bench_result *result)
{
	struct writer w = {false};
	struct json_object *root = result->nr_parts > 0 ? summary_object(&w, env, result)
							: result_object(&w, env, result);
	const char *text = NULL;
	size_t len;
	int ret;

	if (!w.failed)
		text = json_object_to_json_string_length(
			root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	if (text != NULL) {
		ret = write_all(fd, text, len);
		if (ret == 0)
			ret = write_all(fd, "\n", 1);
	} else {
		ret = -ENOMEM;
	}
	json_object_put(root);
	return ret;
}
