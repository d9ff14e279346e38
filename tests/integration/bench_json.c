/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench_json.h"

#include <json-c/json.h>
#include <stdbool.h>
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

static void
check_series(struct json_object *series, const struct bench_expected *expected)
{
	unsigned int samples = expected->ops * expected->rounds;
	struct json_object *rounds = array_of(series, "rounds", expected->rounds);
	const double times[] = {number_of(series, "min_ns"), number_of(series, "p50_ns"),
		number_of(series, "p90_ns"), number_of(series, "p99_ns"),
		number_of(series, "p999_ns"), number_of(series, "max_ns")};

	CU_ASSERT_TRUE(times[0] >= 0);
	for (size_t i = 1; i < sizeof(times) / sizeof(times[0]); i++)
		CU_ASSERT_TRUE(times[i] >= times[i - 1]);
	for (size_t i = 0; i < expected->rounds; i++)
		CU_ASSERT_TRUE(json_object_get_double(json_object_array_get_idx(rounds, i)) > 0);
	CU_ASSERT_TRUE(number_of(series, "mean_ns") > 0);
	CU_ASSERT_TRUE(number_of(series, "accesses_per_second") > 0);
	CU_ASSERT_TRUE(number_of(series, "ratio_p50") > 0);
	CU_ASSERT_EQUAL(number_of(series, "samples"), samples);
	check_versions(series);
	check_histogram(series, samples);
}

/* The floor takes a send and at least one receive, or a send alone; vuc may bundle. */
static void
check_syscalls(struct json_object *series, const char *transport, const char *op)
{
	double syscalls = number_of(series, "syscalls_per_access");

	if (strcmp(transport, "loopback") == 0 || strcmp(transport, "call") == 0) {
		CU_ASSERT_EQUAL(syscalls, 0);
	} else if (strcmp(transport, "socket") == 0) {
		CU_ASSERT_TRUE(syscalls >= (strcmp(op, "posted") == 0 ? 1 : 2));
	} else {
		CU_ASSERT_TRUE(syscalls > 0);
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
}

static void
check_environment(struct json_object *root)
{
	struct json_object *environment = NULL;

	CU_ASSERT_TRUE_FATAL(json_object_object_get_ex(root, "environment", &environment));
	check_versions(environment);
	CU_ASSERT_STRING_NOT_EQUAL(text_of(environment, "cpu_dma_latency"), "(missing)");
	CU_ASSERT_STRING_NOT_EQUAL(text_of(environment, "clock"), "(missing)");
	CU_ASSERT_TRUE(json_object_array_length(array_of(environment, "cpus", 0)) > 0);
}

/* The ratio stands at the top, too. It need not lie between the extremes: it is one of medians. */
static void
check_ratio(struct json_object *root, struct json_object *floor, struct json_object *vuc)
{
	CU_ASSERT_EQUAL(number_of(floor, "ratio_p50"), 1);
	CU_ASSERT_EQUAL(number_of(vuc, "ratio_p50"), number_of(root, "ratio_p50"));
	CU_ASSERT_TRUE(number_of(root, "ratio_p50_min") > 0);
	CU_ASSERT_TRUE(number_of(root, "ratio_p50_min") <= number_of(root, "ratio_p50_max"));
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
	series = array_of(root, "series", 2);
	floor = json_object_array_get_idx(series, 0);
	vuc = json_object_array_get_idx(series, 1);
	CU_ASSERT_STRING_EQUAL(text_of(floor, "name"), "floor");
	CU_ASSERT_STRING_EQUAL(text_of(vuc, "name"), "vuc");
	if (expected->transport != NULL)
		CU_ASSERT_STRING_EQUAL(text_of(vuc, "transport"), expected->transport);
	check_series(floor, expected);
	check_series(vuc, expected);
	check_syscalls(floor, text_of(floor, "transport"), expected->op);
	check_syscalls(vuc, text_of(vuc, "transport"), expected->op);
	check_ratio(root, floor, vuc);
	json_object_put(root);
}
