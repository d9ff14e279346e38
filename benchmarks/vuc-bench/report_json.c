/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Adds to objects; remembers when there was no memory, so that one look at the end is enough. */
struct writer {
	bool failed;
};

static void
put(struct writer *w, struct json_object *object, const char *key, struct json_object *value)
{
	if (value == NULL || object == NULL || json_object_object_add(object, key, value) != 0) {
		json_object_put(value);
		w->failed = true;
	}
}

static void
append(struct writer *w, struct json_object *array, struct json_object *value)
{
	if (value == NULL || array == NULL || json_object_array_add(array, value) != 0) {
		json_object_put(value);
		w->failed = true;
	}
}

static void
put_text(struct writer *w, struct json_object *object, const char *key, const char *text)
{
	put(w, object, key, json_object_new_string(text));
}

static void
put_number(struct writer *w, struct json_object *object, const char *key, uint64_t number)
{
	put(w, object, key, json_object_new_uint64(number));
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

static void
put_ns(struct writer *w, struct json_object *object, const char *key, double ns)
{
	put(w, object, key, new_double(ns, "%.1f"));
}

static void
put_ratio(struct writer *w, struct json_object *object, const char *key, double ratio)
{
	put(w, object, key, new_double(ratio, "%.4f"));
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
		append(w, cpus, json_object_new_int64(env->cpus.cpu[i]));
	put(w, object, "cpus", cpus);
	put_text(w, object, "cpu_dma_latency", env->dma_latency);
	put_text(w, object, "clock", env->clock);
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
	return object;
}

static struct json_object *
rounds_array(struct writer *w, const struct bench_series *series)
{
	struct json_object *array = json_object_new_array();

	for (unsigned int i = 0; i < series->rounds; i++)
		append(w, array, new_double(series->round_p50[i], "%.1f"));
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
		append(w, array, bucket);
	}
	return array;
}

static struct json_object *
series_object(struct writer *w, const struct bench_env *env, const struct bench_result *result,
	unsigned int i)
{
	const struct bench_series *series = &result->series[i];
	const struct bench_summary *sum = &series->summary;
	struct json_object *object = json_object_new_object();

	put_text(w, object, "name", series->name);
	put_text(w, object, "transport", series->transport);
	put_ns(w, object, "p50_ns", sum->p50);
	put_ns(w, object, "p90_ns", sum->p90);
	put_ns(w, object, "p99_ns", sum->p99);
	put_ns(w, object, "p999_ns", sum->p999);
	put_ns(w, object, "min_ns", sum->min);
	put_ns(w, object, "max_ns", sum->max);
	put_ns(w, object, "mean_ns", sum->mean);
	put(w, object, "accesses_per_second", new_double(sum->per_second, "%.0f"));
	put_ratio(w, object, "syscalls_per_access", sum->syscalls);
	put_ratio(w, object, "ratio_p50", result->ratios[i].p50);
	put_number(w, object, "samples", series->samples.nr);
	put_versions(w, object, env);
	put(w, object, "rounds", rounds_array(w, series));
	put(w, object, "histogram", histogram_array(w, series));
	return object;
}

static struct json_object *
result_object(struct writer *w, const struct bench_env *env, const struct bench_result *result)
{
	/* What the run is about: the last series against the floor. */
	const struct bench_ratio *ratio = &result->ratios[result->nr_series - 1];
	struct json_object *root = json_object_new_object();
	struct json_object *series = json_object_new_array();

	put_text(w, root, "measurement", result->measurement);
	put(w, root, "environment", environment_object(w, env));
	put(w, root, "options", options_object(w, result));
	for (unsigned int i = 0; i < result->nr_series; i++)
		append(w, series, series_object(w, env, result, i));
	put(w, root, "series", series);
	put_ratio(w, root, "ratio_p50", ratio->p50);
	put_ratio(w, root, "ratio_p50_min", ratio->min);
	put_ratio(w, root, "ratio_p50_max", ratio->max);
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
	struct json_object *root = result_object(&w, env, result);
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
