/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "stats_sample.h"
#include "tap.h"

#define DEVICE(name, reads)                                                                       \
	"{\"name\":\"" name "\",\"state\":\"free\",\"generation\":1,\"queues\":2,\"dma_maps\":3," \
	"\"reads\":" reads ",\"writes\":20,\"posted\":30,\"errors\":40,\"timeouts\":6,"           \
	"\"attaches\":5}"

/* Read a text. Returns what it lacks, NULL for nothing. */
static const char *
read_text(struct vucctl_stats_sample *sample, const char *text)
{
	struct json_object *result = json_tokener_parse(text);
	struct vucctl_reply reply = {NULL};

	CU_ASSERT_PTR_NOT_NULL_FATAL(result);
	CU_ASSERT_EQUAL_FATAL(vucctl_stats_sample_read(sample, &reply, result), 0);
	json_object_put(result);
	return reply.lacks;
}

static void
test_read(void)
{
	struct vucctl_stats_sample sample;

	CU_ASSERT_PTR_NULL(read_text(&sample,
		"{\"time_ms\":77,\"devices\":[" DEVICE("a", "18446744073709551615") "," DEVICE(
			"b\\u001b", "10") "]}"));
	CU_ASSERT_EQUAL(sample.time_ms, 77);
	CU_ASSERT_EQUAL_FATAL(sample.nr_devices, 2);
	CU_ASSERT_STRING_EQUAL(sample.devices[0].name, "a");
	CU_ASSERT_STRING_EQUAL(sample.devices[0].state, "free");
	CU_ASSERT_EQUAL(sample.devices[0].reads, UINT64_MAX);
	CU_ASSERT_STRING_EQUAL(sample.devices[1].name, "b\\x1b");
	CU_ASSERT_EQUAL(sample.devices[1].writes, 20);
	CU_ASSERT_EQUAL(sample.devices[1].posted, 30);
	CU_ASSERT_EQUAL(sample.devices[1].errors, 40);
	CU_ASSERT_EQUAL(sample.devices[1].timeouts, 6);
	CU_ASSERT_EQUAL(sample.devices[1].attaches, 5);
	CU_ASSERT_EQUAL(sample.devices[1].queues, 2);
	CU_ASSERT_EQUAL(sample.devices[1].dma_maps, 3);
	CU_ASSERT_PTR_EQUAL(vucctl_stats_sample_find(&sample, 1, "a"), &sample.devices[0]);
	CU_ASSERT_PTR_EQUAL(vucctl_stats_sample_find(&sample, 7, "b\\x1b"), &sample.devices[1]);
	CU_ASSERT_PTR_NULL(vucctl_stats_sample_find(&sample, 0, "c"));
	vucctl_stats_sample_free(&sample);
	CU_ASSERT_PTR_NULL(vucctl_stats_sample_find(&sample, 0, "a"));
}

static void
test_lies(void)
{
	static const struct {
		const char *text;
		const char *lacks;
	} cases[] = {
		{"{\"devices\":[]}", "time_ms"},
		{"{\"time_ms\":1}", "devices"},
		{"{\"time_ms\":1,\"devices\":{}}", "devices"},
		{"{\"time_ms\":\"1\",\"devices\":[]}", "time_ms"},
		{"{\"time_ms\":1,\"devices\":[null]}", "name"},
		{"{\"time_ms\":1,\"devices\":[[]]}", "name"},
		{"{\"time_ms\":1,\"devices\":[" DEVICE("a", "-1") "]}", "reads"},
		{"{\"time_ms\":1,\"devices\":[" DEVICE("a", "1.5") "]}", "reads"},
		{"{\"time_ms\":1,\"devices\":[" DEVICE("a", "null") "]}", "reads"},
	};
	struct vucctl_stats_sample sample;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *lacks = read_text(&sample, cases[i].text);

		CU_ASSERT_PTR_NOT_NULL_FATAL(lacks);
		CU_ASSERT_STRING_EQUAL(lacks, cases[i].lacks);
		vucctl_stats_sample_free(&sample);
	}
}

static void
test_rates(void)
{
	struct vucctl_device_sample before = {.reads = 100, .attaches = 1};
	struct vucctl_device_sample now = {
		.reads = 600, .writes = 1, .posted = UINT64_MAX, .errors = 3, .attaches = 2};
	struct vucctl_rates rates;

	CU_ASSERT_TRUE(vucctl_rates_between(&rates, &before, &now, 500));
	CU_ASSERT_EQUAL(rates.reads, 1000);
	CU_ASSERT_EQUAL(rates.writes, 2);
	CU_ASSERT(rates.posted > 3.6e19 && rates.posted < 3.7e19);
	CU_ASSERT_EQUAL(rates.errors, 6);
	CU_ASSERT_TRUE(vucctl_rates_between(&rates, &now, &now, 1));
	CU_ASSERT_EQUAL(rates.reads, 0);
	/* A device that was removed and added again begins anew. */
	CU_ASSERT_FALSE(vucctl_rates_between(&rates, &now, &before, 500));
	CU_ASSERT_FALSE(vucctl_rates_between(&rates, NULL, &now, 500));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"read", test_read},
		{"answers that lack something", test_lies},
		{"rates", test_rates},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_stats_sample", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
