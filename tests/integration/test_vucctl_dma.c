/* SPDX-License-Identifier: BSD-3-Clause */

/* vucctl dma-selftest. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <CUnit/CUnit.h>

#include "tap.h"
#include "vucctl_run.h"

static struct vucctl_device device;

static void
start_device(void)
{
	vucctl_device_start(&device, NULL);
}

static void
stop_device(void)
{
	vucctl_device_stop(&device);
}

static size_t
count(const char *text, const char *word)
{
	size_t n = 0;

	while ((text = strstr(text, word)) != NULL) {
		text += strlen(word);
		n++;
	}
	return n;
}

static void
expect(const char *option, const char *other, size_t passed, size_t skipped)
{
	const char *args[] = {"dma-selftest", device.socket, option, other, NULL};
	struct vucctl_run run;

	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_STRING_EQUAL(run.err, "");
	CU_ASSERT_EQUAL(count(run.out, "PASS  "), passed);
	CU_ASSERT_EQUAL(count(run.out, "SKIP  "), skipped);
	CU_ASSERT_EQUAL(count(run.out, "\n"), passed + skipped);
	vucctl_run_free(&run);
}

static void
test_passes(void)
{
	expect(NULL, NULL, 14, 0);
	expect("--policy=shared", "--transport=posix", 14, 0);
	expect("--policy=message", NULL, 12, 2);
	expect("--size=32768", NULL, 14, 0);
	expect("--size=0x1000000", "--policy=message", 12, 2);
}

/* One that cannot be told to perform DMA, for its ids cannot be read. */
static void
test_foreign(void)
{
	struct vucctl_device foreign;
	const char *args[] = {"dma-selftest", foreign.socket, NULL};
	struct vucctl_run run;

	vucctl_device_start(&foreign, "error=5@region_read");
	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_EQUAL(count(run.out, "PASS  "), 8);
	CU_ASSERT_EQUAL(count(run.out, "SKIP  DMA "), 6);
	CU_ASSERT_EQUAL(count(run.out, ": only vuc-refdev can be told to perform DMA\n"), 6);
	vucctl_run_free(&run);
	vucctl_device_stop(&foreign);
}

static void
test_json(void)
{
	const char *args[] = {"dma-selftest", "--json", "--policy=message", device.socket, NULL};
	struct json_object *root, *steps, *failed, *policy;
	struct vucctl_run run;

	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 0);
	root = json_tokener_parse(run.out);
	CU_ASSERT_FATAL(json_object_object_get_ex(root, "steps", &steps));
	CU_ASSERT_FATAL(json_object_object_get_ex(root, "failed", &failed));
	CU_ASSERT_FATAL(json_object_object_get_ex(root, "policy", &policy));
	CU_ASSERT_EQUAL(json_object_array_length(steps), 14);
	CU_ASSERT_EQUAL(json_object_get_int(failed), 0);
	CU_ASSERT_STRING_EQUAL(json_object_get_string(policy), "message");
	json_object_put(root);
	vucctl_run_free(&run);
}

/* With a server that spoils what it answers: how many steps fail, and what is said in the end. */
static void
expect_failure(const char *fault, size_t failed, const char *text)
{
	struct vucctl_device bad;
	const char *args[] = {"dma-selftest", "--timeout=2000", bad.socket, NULL};
	struct vucctl_run run;

	vucctl_device_start(&bad, fault);
	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 1);
	CU_ASSERT_EQUAL(count(run.out, "FAIL  "), failed);
	CU_ASSERT(vucctl_run_complains(&run, text));
	vucctl_run_free(&run);
	vucctl_device_stop(&bad);
}

static void
test_failures(void)
{
	expect_failure("error=22@dma_map", 14, "14 of 14 steps failed");
	expect_failure("close@dma_map#2", 1, "gave up after 2 steps");
	expect_failure("never@dma_unmap", 1, "gave up after 1 steps");
}

static void
test_usage(void)
{
	static const struct {
		const char *option;
		int status;
		const char *text;
	} cases[] = {
		{"--size=0", 2, "size '0'"},
		{"--size=4294967297", 2, "size '4294967297'"},
		{"--policy=none", 2, "policy 'none'"},
		{"--size=4096", 1, "size 4096 is not a multiple of 32768"},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *args[] = {"dma-selftest", cases[i].option, device.socket, NULL};

		vucctl_run_expect(args, cases[i].status, NULL, cases[i].text);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"passes", test_passes},
		{"a device that cannot be told to", test_foreign},
		{"JSON", test_json},
		{"servers that fail", test_failures},
		{"usage", test_usage},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_dma", NULL, NULL, start_device, stop_device, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
