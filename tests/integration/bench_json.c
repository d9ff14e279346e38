/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench_json.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <CUnit/CUnit.h>

static const char *
text_of(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(object, key, &value) ||
		!json_object_is_type(value, json_type_string))
		return "(missing)";
	return json_object_get_string(value);
}

static double
number_of(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(object, key, &value) ||
		(!json_object_is_type(value, json_type_int) &&
			!json_object_is_type(value, json_type_double)))
		return -1;
	return json_object_get_double(value);
}

static struct json_object *
array_of(struct json_object *object, const char *key, size_t len)
{
	struct json_object *value = NULL;

	CU_ASSERT_TRUE_FATAL(json_object_object_get_ex(object, key, &value));
	CU_ASSERT_TRUE_FATAL(json_object_is_type(value, json_type_array));
	if (len > 0)
		CU_ASSERT_EQUAL_FATAL(json_object_array_length(value), len);
	return value;
}

static void
check_versions(struct json_object *object)
{
	static const char *const keys[] = {"git", "kernel", "cpu", "vuc", "dpdk", "liburing"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		CU_ASSERT_STRING_NOT_EQUAL(text_of(object, keys[i]), "(missing)");
		CU_ASSERT_STRING_NOT_EQUAL(text_of(object, keys[i]), "");
	}
}

/* Buckets ascend and hold every sample. */
static void
check_histogram(struct json_object *series, unsigned int samples)
{
	struct json_object *buckets = array_of(series, "histogram", 0);
	double total = 0, last = -1;

	for (size_t i = 0; i < json_object_array_length(buckets); i++) {
		struct json_object *bucket = json_object_array_get_idx(buckets, i);

		CU_ASSERT_TRUE(number_of(bucket, "from_ns") > last);
		CU_ASSERT_TRUE(number_of(bucket, "to_ns") >= number_of(bucket, "from_ns"));
		CU_ASSERT_TRUE(number_of(bucket, "count") > 0);
		last = number_of(bucket, "to_ns");
		total += number_of(bucket, "count");
	}
	CU_ASSERT_EQUAL(total, samples);
}

/* What every series has, whatever it is of. */
static void
check_times(struct json_object *series, unsigned int samples, unsigned int nr_rounds)
{
	struct json_object *rounds = array_of(series, "rounds", nr_rounds);
	static const struct {
		const char *key;
		unsigned int samples; /* that it takes */
	} times[] = {{"min_ns", 1}, {"p50_ns", 1}, {"p90_ns", 10}, {"p99_ns", 100},
		{"p999_ns", 1000}, {"max_ns", 1}};
	double last = 0;

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		double ns = number_of(series, times[i].key);

		CU_ASSERT_EQUAL(ns >= 0, samples >= times[i].samples);
		CU_ASSERT_TRUE(ns < 0 || ns >= last);
		last = ns < 0 ? last : ns;
	}
	for (size_t i = 0; i < nr_rounds; i++)
		CU_ASSERT_TRUE(json_object_get_double(json_object_array_get_idx(rounds, i)) > 0);
	CU_ASSERT_TRUE(number_of(series, "mean_ns") > 0);
	CU_ASSERT_TRUE(number_of(series, "ratio_p50") > 0);
	CU_ASSERT_TRUE(number_of(series, "ratio_rate") > 0);
	CU_ASSERT_EQUAL(number_of(series, "samples"), samples);
	check_versions(series);
	check_histogram(series, samples);
}

/* Only posted writes are faster to hand over than the server is to take them. */
static void
check_end_to_end(struct json_object *series, const char *op)
{
	struct json_object *value;

	if (strcmp(op, "posted") != 0) {
		CU_ASSERT_FALSE(json_object_object_get_ex(series, "end_to_end_per_second", &value));
		CU_ASSERT_FALSE(json_object_object_get_ex(series, "ratio_end_to_end", &value));
		return;
	}
	CU_ASSERT_TRUE(number_of(series, "ratio_end_to_end") > 0);
	CU_ASSERT_TRUE(number_of(series, "end_to_end_per_second") > 0);
	CU_ASSERT_TRUE(number_of(series, "end_to_end_per_second") <
		number_of(series, "accesses_per_second"));
}

static void
check_series(struct json_object *series, const struct bench_expected *expected)
{
	check_times(series, expected->ops / expected->burst * expected->rounds, expected->rounds);
	check_end_to_end(series, expected->op);
	CU_ASSERT_TRUE(number_of(series, "accesses_per_second") > 0);
	CU_ASSERT_EQUAL(number_of(series, "accesses_per_sample"), expected->burst);
}

/* The floor takes a send and at least one receive, or a send for all that is posted together; vuc
 * bundles that, too. */
static void
check_syscalls(struct json_object *series, const struct bench_expected *expected)
{
	const char *transport = text_of(series, "transport");
	double syscalls = number_of(series, "syscalls_per_access");
	bool posted = strcmp(expected->op, "posted") == 0;

	if (strcmp(transport, "loopback") == 0 && expected->may_sleep) {
		CU_ASSERT_TRUE(syscalls < 10);
	} else if (strcmp(transport, "loopback") == 0 || strcmp(transport, "call") == 0) {
		CU_ASSERT_EQUAL(syscalls, 0);
	} else if (posted && strcmp(text_of(series, "name"), "floor") == 0) {
		CU_ASSERT_DOUBLE_EQUAL(syscalls, 1.0 / expected->burst, 1e-3);
	} else if (strcmp(transport, "socket") == 0) {
		CU_ASSERT_TRUE(syscalls >= (posted ? 1 : 2));
	} else {
		CU_ASSERT_TRUE(syscalls > 0);
		if (expected->burst >= 32)
			CU_ASSERT_TRUE(syscalls < 0.1);
	}
}

static void
check_options(struct json_object *root, const struct bench_expected *expected)
{
	struct json_object *options = NULL;

	CU_ASSERT_TRUE_FATAL(json_object_object_get_ex(root, "options", &options));
	CU_ASSERT_STRING_EQUAL(text_of(options, "op"), expected->op);
	CU_ASSERT_STRING_EQUAL(text_of(options, "floor"), expected->floor);
	CU_ASSERT_EQUAL(number_of(options, "ops"), expected->ops);
	CU_ASSERT_EQUAL(number_of(options, "rounds"), expected->rounds);
	CU_ASSERT_EQUAL(number_of(options, "size"), 4);
	if (strcmp(expected->op, "posted") == 0)
		CU_ASSERT_EQUAL(number_of(options, "burst"), expected->burst);
}

static void
check_environment(struct json_object *root)
{
	struct json_object *environment = NULL;

	CU_ASSERT_TRUE_FATAL(json_object_object_get_ex(root, "environment", &environment));
	check_versions(environment);
	CU_ASSERT_STRING_NOT_EQUAL(text_of(environment, "cpu_dma_latency"), "(missing)");
	CU_ASSERT_STRING_NOT_EQUAL(text_of(environment, "cpu_dma_latency"), "");
	CU_ASSERT_STRING_NOT_EQUAL(text_of(environment, "clock"), "(missing)");
	CU_ASSERT_TRUE(number_of(environment, "load_before") >= 0);
	CU_ASSERT_TRUE(number_of(environment, "load_after") >= 0);
	CU_ASSERT_TRUE(number_of(environment, "steal") <= 1);
	CU_ASSERT_TRUE(number_of(environment, "involuntary_context_switches") >= 0);
	CU_ASSERT_TRUE(json_object_array_length(array_of(environment, "cpus", 0)) > 0);
}

/* The ratio stands in the verdict, too, between the extremes over the rounds. */
static void
check_ratio(struct json_object *verdict, struct json_object *floor, struct json_object *vuc,
	const char *key)
{
	static const char *const order[] = {"_min", "_q1", "", "_q3", "_max"};
	double last = 0;

	CU_ASSERT_EQUAL(number_of(floor, key), 1);
	CU_ASSERT_EQUAL(number_of(vuc, key), number_of(verdict, key));
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s%s", key, order[i]);
		CU_ASSERT_TRUE(number_of(verdict, name) > 0);
		CU_ASSERT_TRUE(number_of(verdict, name) >= last);
		last = number_of(verdict, name);
	}
}

static void
check_ratios(struct json_object *verdict, struct json_object *floor, struct json_object *vuc)
{
	check_ratio(verdict, floor, vuc, "ratio_p50");
	check_ratio(verdict, floor, vuc, "ratio_rate");
}

static void
check_names(struct json_object *floor, struct json_object *vuc, const char *transport)
{
	CU_ASSERT_STRING_EQUAL(text_of(floor, "name"), "floor");
	CU_ASSERT_STRING_EQUAL(text_of(vuc, "name"), "vuc");
	if (transport != NULL)
		CU_ASSERT_STRING_EQUAL(text_of(vuc, "transport"), transport);
}

static struct json_object *
object_of(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	CU_ASSERT_TRUE_FATAL(json_object_object_get_ex(object, key, &value));
	CU_ASSERT_TRUE_FATAL(json_object_is_type(value, json_type_object));
	return value;
}

static unsigned int
count_names(const char *const *names, unsigned int max)
{
	unsigned int nr = 0;

	while (nr < max && names[nr] != NULL)
		nr++;
	return nr;
}

/* What else is held next to the floor has its ratios in an object by its name. */
static void
check_other(struct json_object *root, struct json_object *series,
	const struct bench_expected *expected, unsigned int i)
{
	struct json_object *floor = json_object_array_get_idx(array_of(root, "series", 0), 0);

	CU_ASSERT_STRING_EQUAL(text_of(series, "name"), expected->others[i]);
	check_series(series, expected);
	check_syscalls(series, expected);
	check_ratios(object_of(root, expected->others[i]), floor, series);
}

void
bench_json_check(const char *text, const struct bench_expected *expected)
{
	struct json_object *root = json_tokener_parse(text);
	struct json_object *series, *floor, *vuc;

	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	CU_ASSERT_STRING_EQUAL(text_of(root, "measurement"), "mmio");
	check_environment(root);
	check_options(root, expected);
	series = array_of(root, "series", 2 + count_names(expected->others, 2));
	floor = json_object_array_get_idx(series, 0);
	vuc = json_object_array_get_idx(series, 1);
	for (unsigned int i = 0; i < count_names(expected->others, 2); i++)
		check_other(root, json_object_array_get_idx(series, 2 + i), expected, i);
	check_names(floor, vuc, expected->transport);
	check_series(floor, expected);
	check_series(vuc, expected);
	check_syscalls(floor, expected);
	check_syscalls(vuc, expected);
	check_ratios(root, floor, vuc);
	if (strcmp(expected->op, "posted") == 0)
		check_ratio(root, floor, vuc, "ratio_end_to_end");
	json_object_put(root);
}

static void
check_dma_options(struct json_object *root, const struct bench_expected_dma *expected)
{
	struct json_object *options = NULL;

	CU_ASSERT_TRUE_FATAL(json_object_object_get_ex(root, "options", &options));
	CU_ASSERT_EQUAL(number_of(options, "maps"), expected->maps);
	CU_ASSERT_STRING_EQUAL(text_of(options, "layout"), expected->layout);
	CU_ASSERT_EQUAL(number_of(options, "rounds"), expected->rounds);
	CU_ASSERT_TRUE(number_of(options, "cycles") > 0);
	CU_ASSERT_TRUE(number_of(options, "page") >= 4096);
}

static void
check_dma_series(struct json_object *root, struct json_object *series,
	const struct bench_expected_dma *expected)
{
	struct json_object *options = NULL;

	json_object_object_get_ex(root, "options", &options);
	check_times(series, (unsigned int)number_of(options, "cycles") * expected->rounds,
		expected->rounds);
	CU_ASSERT_TRUE(number_of(series, "mappings_per_second") > 0);
	CU_ASSERT_TRUE(number_of(series, "syscalls_per_mapping") > 0);
	CU_ASSERT_EQUAL(number_of(series, "mappings_per_sample"), expected->maps);
}

/* Three series from `first` on, of which the root has a verdict by the same name. */
static void
check_dma_topic(struct json_object *root, size_t first, const char *topic,
	const struct bench_expected_dma *expected)
{
	struct json_object *series = array_of(root, "series", 6);
	struct json_object *floor = json_object_array_get_idx(series, first);
	struct json_object *vuc = json_object_array_get_idx(series, first + 1);
	struct json_object *slow = json_object_array_get_idx(series, first + 2);
	struct json_object *verdict = NULL;

	CU_ASSERT_STRING_EQUAL(text_of(floor, "topic"), topic);
	CU_ASSERT_STRING_EQUAL(text_of(vuc, "topic"), topic);
	check_names(floor, vuc, expected->transport);
	check_dma_series(root, floor, expected);
	check_dma_series(root, vuc, expected);
	check_dma_series(root, slow, expected);
	/* A send, and a receive at least. */
	CU_ASSERT_TRUE(number_of(slow, "syscalls_per_mapping") >= 2);
	CU_ASSERT_STRING_EQUAL(text_of(slow, "name"), "one by one");
	CU_ASSERT_TRUE_FATAL(json_object_object_get_ex(root, topic, &verdict));
	check_ratios(verdict, floor, vuc);
	check_ratios(object_of(verdict, "one by one"), floor, slow);
}

void
bench_json_check_dma(const char *text, const struct bench_expected_dma *expected)
{
	struct json_object *root = json_tokener_parse(text);

	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	CU_ASSERT_STRING_EQUAL(text_of(root, "measurement"), "dma");
	check_environment(root);
	check_dma_options(root, expected);
	check_dma_topic(root, 0, "map", expected);
	check_dma_topic(root, 3, "unmap", expected);
	json_object_put(root);
}

static void
check_transfer_options(struct json_object *root, const struct bench_expected_transfers *expected)
{
	struct json_object *options = NULL;

	CU_ASSERT_TRUE_FATAL(json_object_object_get_ex(root, "options", &options));
	CU_ASSERT_STRING_EQUAL(text_of(options, "op"), expected->op);
	CU_ASSERT_EQUAL(number_of(options, "size"), expected->size);
	CU_ASSERT_EQUAL(number_of(options, "depth"), expected->depth);
	CU_ASSERT_EQUAL(number_of(options, "transfers"), expected->transfers);
	CU_ASSERT_EQUAL(number_of(options, "rounds"), expected->rounds);
}

static void
check_transfer_series(struct json_object *series, const struct bench_expected_transfers *expected)
{
	/* Bytes in a nanosecond. */
	double gigabytes = expected->size / number_of(series, "mean_ns");

	check_times(series, expected->transfers / 16 * expected->rounds, expected->rounds);
	CU_ASSERT_EQUAL(number_of(series, "transfers_per_sample"), 16);
	CU_ASSERT_TRUE(number_of(series, "syscalls_per_transfer") > 0);
	CU_ASSERT_TRUE(number_of(series, "transfers_per_second") > 0);
	CU_ASSERT_DOUBLE_EQUAL(number_of(series, "gigabytes_per_second"), gigabytes, 1e-3);
}

void
bench_json_check_transfers(const char *text, const struct bench_expected_transfers *expected)
{
	struct json_object *root = json_tokener_parse(text);
	struct json_object *series, *floor, *vuc;

	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	CU_ASSERT_STRING_EQUAL(text_of(root, "measurement"), "dma-message");
	check_environment(root);
	check_transfer_options(root, expected);
	series = array_of(root, "series", 2);
	floor = json_object_array_get_idx(series, 0);
	vuc = json_object_array_get_idx(series, 1);
	check_names(floor, vuc, expected->transport);
	check_transfer_series(floor, expected);
	check_transfer_series(vuc, expected);
	/* One to receive with, and one to send with. */
	CU_ASSERT_TRUE(number_of(floor, "syscalls_per_transfer") >= 2);
	check_ratios(root, floor, vuc);
	json_object_put(root);
}

/* Where a series is held next to its floor: by topic, and by name where there are several. */
static struct json_object *
verdict_of(struct json_object *root, const char *topic, const char *name)
{
	struct json_object *object = topic != NULL ? object_of(root, topic) : root;

	return name != NULL ? object_of(object, name) : object;
}

static void
check_group_series(struct json_object *series, const struct bench_expected_groups *expected,
	unsigned int t, unsigned int i)
{
	char rate[48], per_sample[48];

	snprintf(rate, sizeof(rate), "%s_per_second", expected->units);
	snprintf(per_sample, sizeof(per_sample), "%s_per_sample", expected->units);
	CU_ASSERT_STRING_EQUAL(text_of(series, "name"), expected->names[i]);
	if (expected->topics[t] != NULL)
		CU_ASSERT_STRING_EQUAL(text_of(series, "topic"), expected->topics[t]);
	if (expected->transport != NULL && i > 0)
		CU_ASSERT_STRING_EQUAL(text_of(series, "transport"), expected->transport);
	check_times(series, expected->samples[t] * expected->rounds, expected->rounds);
	CU_ASSERT_TRUE(number_of(series, rate) > 0);
	CU_ASSERT_EQUAL(number_of(series, per_sample), expected->per_sample[t]);
}

static void
check_group(struct json_object *root, struct json_object *series,
	const struct bench_expected_groups *expected, unsigned int t)
{
	unsigned int nr = count_names(expected->names, BENCH_MAX_NAMES);
	struct json_object *floor = json_object_array_get_idx(series, (size_t)t * nr);

	for (unsigned int i = 0; i < nr; i++) {
		struct json_object *one = json_object_array_get_idx(series, (size_t)t * nr + i);

		check_group_series(one, expected, t, i);
		if (i > 0)
			check_ratios(verdict_of(root, expected->topics[t],
					     nr > 2 ? expected->names[i] : NULL),
				floor, one);
	}
}

void
bench_json_check_groups(const char *text, const struct bench_expected_groups *expected)
{
	struct json_object *root = json_tokener_parse(text);
	unsigned int names = count_names(expected->names, BENCH_MAX_NAMES);
	unsigned int topics = count_names(expected->topics, BENCH_MAX_TOPICS);
	struct json_object *series;

	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	CU_ASSERT_STRING_EQUAL(text_of(root, "measurement"), expected->measurement);
	check_environment(root);
	CU_ASSERT_EQUAL(number_of(object_of(root, "options"), "rounds"), expected->rounds);
	topics = topics > 0 ? topics : 1;
	series = array_of(root, "series", (size_t)topics * names);
	for (unsigned int t = 0; t < topics; t++)
		check_group(root, series, expected, t);
	json_object_put(root);
}

static void
check_range(struct json_object *object, const char *key, double low, double high)
{
	CU_ASSERT_TRUE(number_of(object, key) >= low);
	CU_ASSERT_TRUE(number_of(object, key) <= high);
}

void
bench_json_check_number(
	const char *text, const char *object, const char *key, double low, double high)
{
	struct json_object *root = json_tokener_parse(text);
	struct json_object *series;

	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	if (object != NULL) {
		check_range(object_of(root, object), key, low, high);
	} else {
		series = array_of(root, "series", 0);
		for (size_t i = 0; i < json_object_array_length(series); i++)
			check_range(json_object_array_get_idx(series, i), key, low, high);
	}
	json_object_put(root);
}

void
bench_json_check_option(const char *text, const char *key, const char *value)
{
	struct json_object *root = json_tokener_parse(text);

	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	CU_ASSERT_STRING_EQUAL(text_of(object_of(root, "options"), key), value);
	json_object_put(root);
}

/* One of them is about system calls, which cannot be counted everywhere. */
#define GOALS 10u

/* What was measured says how it stands to its goal. Returns whether it was. */
static bool
check_goal(struct json_object *goal)
{
	static const char *const texts[] = {"figure", "floor", "goal"};
	struct json_object *value;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		CU_ASSERT_STRING_NOT_EQUAL(text_of(goal, texts[i]), "(missing)");
	if (!json_object_object_get_ex(goal, "value", &value))
		return false;
	CU_ASSERT_TRUE(number_of(goal, "value") >= 0);
	CU_ASSERT_STRING_NOT_EQUAL(text_of(goal, "measured"), "(missing)");
	CU_ASSERT_TRUE(json_object_object_get_ex(goal, "met", &value));
	return true;
}

void
bench_json_check_all(
	const char *text, unsigned int measurements, unsigned int skipped, bool all_goals)
{
	struct json_object *root = json_tokener_parse(text);
	struct json_object *goals, *results;
	unsigned int nr_skipped = 0, nr_measured = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	CU_ASSERT_STRING_EQUAL(text_of(root, "measurement"), "all");
	check_environment(root);
	results = array_of(root, "results", measurements);
	for (size_t i = 0; i < measurements; i++) {
		struct json_object *result = json_object_array_get_idx(results, i);
		struct json_object *value;

		CU_ASSERT_STRING_NOT_EQUAL(text_of(result, "measurement"), "(missing)");
		CU_ASSERT_STRING_NOT_EQUAL(text_of(result, "part"), "(missing)");
		if (json_object_object_get_ex(result, "skipped", &value))
			nr_skipped++;
		else
			CU_ASSERT_TRUE(json_object_array_length(array_of(result, "series", 0)) > 1);
	}
	CU_ASSERT_EQUAL(nr_skipped, skipped);
	goals = array_of(root, "summary", GOALS);
	for (size_t i = 0; i < GOALS; i++)
		nr_measured += check_goal(json_object_array_get_idx(goals, i));
	CU_ASSERT_TRUE(all_goals ? nr_measured >= GOALS - 1 : nr_measured < GOALS - 1);
	json_object_put(root);
}
