/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-vmm and its guest, with a vuc-refdev behind vucd: the whole way, from an instruction on. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "tap.h"
#include "vmm_rig.h"

static struct json_object *
member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(object, key, &value))
		printf("# there is no %s\n", key);
	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	return value;
}

static int64_t
number(struct json_object *object, const char *key)
{
	return json_object_get_int64(member(object, key));
}

static void
check_series(struct json_object *root, const char *name)
{
	struct json_object *series = member(member(root, "series"), name);

	CU_ASSERT(number(series, "min_ticks") > 0);
	CU_ASSERT(number(series, "median_ticks") >= number(series, "min_ticks"));
	CU_ASSERT(number(series, "p99_ticks") >= number(series, "median_ticks"));
	CU_ASSERT(number(series, "max_ticks") >= number(series, "p99_ticks"));
	if (number(root, "tsc_khz") > 0)
		CU_ASSERT(number(series, "median_ns") > 0);
}

static void
check_device(struct json_object *root)
{
	CU_ASSERT_STRING_EQUAL(json_object_get_string(member(root, "measurement")), "guest");
	CU_ASSERT_STRING_EQUAL(json_object_get_string(member(root, "device")), VMM_RIG_DEVICE);
	CU_ASSERT_STRING_EQUAL(json_object_get_string(member(root, "vendor_id")), "0x7675");
	CU_ASSERT_STRING_EQUAL(json_object_get_string(member(root, "device_id")), "0x7663");
	CU_ASSERT_STRING_EQUAL(json_object_get_string(member(root, "result")), "pass");
	CU_ASSERT_EQUAL(number(root, "mapped_areas"), 3);
	CU_ASSERT_EQUAL(number(root, "eventfds"), 1);
	CU_ASSERT(number(root, "exits") > 0);
}

/* Run the guest and check what it says. False: there is no KVM. */
static bool
run_guest(const struct vmm_rig *rig, const char *program, size_t nr_steps)
{
	const char *const args[] = {"--json", "--rounds=50", "--guest", program, NULL};
	bool drives = strcmp(program, "drive") == 0;
	struct json_object *root;
	struct vmm_run run;
	bool skipped;

	vmm_run_device(&run, &rig->vucd, args);
	skipped = vmm_run_skipped(&run);
	if (!skipped) {
		CU_ASSERT(vmm_run_passed(&run));
		root = json_tokener_parse(run.out);
		CU_ASSERT_PTR_NOT_NULL_FATAL(root);
		check_device(root);
		CU_ASSERT_EQUAL(number(root, "rounds"), 50);
		CU_ASSERT_EQUAL(json_object_array_length(member(root, "steps")), nr_steps);
		if (drives) {
			CU_ASSERT_EQUAL(number(root, "failed_accesses"), 0);
			check_series(root, "exit");
			check_series(root, "read");
			check_series(root, "post");
			check_series(root, "mapped");
		}
		json_object_put(root);
	}
	vmm_run_free(&run);
	return !skipped;
}

static void
test_shared(void)
{
	struct vmm_rig rig;

	vmm_rig_start(&rig, "shared", NULL);
	run_guest(&rig, "drive", 11);
	vmm_rig_stop(&rig);
}

/* The device is never given the guest's memory, and has to ask for each access. */
static void
test_message(void)
{
	struct vmm_rig rig;

	vmm_rig_start(&rig, "message", NULL);
	run_guest(&rig, "drive", 11);
	vmm_rig_stop(&rig);
}

/* What the guest of the first VMM has done, the one of the second does not see. */
static void
test_torment(void)
{
	struct vmm_rig rig;

	vmm_rig_start(&rig, "shared", NULL);
	if (run_guest(&rig, "torment", 9))
		run_guest(&rig, "drive", 11);
	vmm_rig_stop(&rig);
}

static void
test_text(void)
{
	static const char *const args[] = {"--rounds=5", NULL};
	struct vmm_run run;
	struct vmm_rig rig;

	vmm_rig_start(&rig, "shared", NULL);
	vmm_run_device(&run, &rig.vucd, args);
	if (!vmm_run_skipped(&run)) {
		CU_ASSERT(vmm_run_passed(&run));
		CU_ASSERT_PTR_NOT_NULL(strstr(run.out, "device " VMM_RIG_DEVICE ", 7675:7663\n"));
		CU_ASSERT_PTR_NOT_NULL(strstr(run.out, "\n  pass  find the device on the bus\n"));
		CU_ASSERT_PTR_NOT_NULL(strstr(run.out, "\n  read of a mapped BAR  "));
		CU_ASSERT_PTR_NULL(strstr(run.out, "FAIL"));
	}
	vmm_run_free(&run);
	vmm_rig_stop(&rig);
}

/* The device's server goes while the guest uses it: the VMM says so, and ends. */
static void
test_server_ends(void)
{
	static const char *const args[] = {"--rounds=500", NULL};
	struct vmm_run run;
	struct vmm_rig rig;

	vmm_rig_start(&rig, "shared", "--fault=close@region_read#450");
	vmm_run_device(&run, &rig.vucd, args);
	if (!vmm_run_skipped(&run)) {
		CU_ASSERT_EQUAL(run.exit, 1);
		CU_ASSERT(
			vmm_run_complains(&run, "device " VMM_RIG_DEVICE ": its server has ended"));
		CU_ASSERT_PTR_NOT_NULL(strstr(run.out, "\n  FAIL  time accesses\n"));
	}
	vmm_run_free(&run);
	vmm_rig_stop(&rig);
}

static void
test_no_device(void)
{
	static const char *const args[] = {"--device=other", NULL};
	struct vmm_run run;
	struct vmm_rig rig;

	vmm_rig_start(&rig, "shared", NULL);
	vmm_run_device(&run, &rig.vucd, args);
	if (!vmm_run_skipped(&run)) {
		CU_ASSERT_EQUAL(run.exit, 1);
		CU_ASSERT(vmm_run_complains(&run, "device other: "));
		CU_ASSERT_STRING_EQUAL(run.out, "");
	}
	vmm_run_free(&run);
	vmm_rig_stop(&rig);
}

static void
expect_wrong(const char *const *args, const char *text)
{
	struct vmm_run run;

	vmm_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 2);
	CU_ASSERT_EQUAL(strncmp(run.err, "vuc-vmm: ", 9), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, text));
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, "\nTry `vuc-vmm --help' or `vuc-vmm --usage'"));
	CU_ASSERT_STRING_EQUAL(run.out, "");
	vmm_run_free(&run);
}

static void
test_wrong_options(void)
{
	static const struct {
		const char *const args[4];
		const char *text;
	} rows[] = {
		{{NULL}, "no --device given"},
		{{"--device"}, "option '--device' requires an argument"},
		{{"--nonsense"}, "unrecognized option '--nonsense'"},
		{{"-x"}, "invalid option -- 'x'"},
		{{"--device=a", "b"}, "unexpected argument 'b'"},
		{{"--device=a", "--rounds=0"}, "--rounds: 0 is not within 1 ... 65536"},
		{{"--device=a", "--rounds=65537"}, "--rounds: 65537 is not within"},
		{{"--device=a", "--rounds=+1"}, "--rounds: '+1' is not a number"},
		{{"--device=a", "--timeout=99999999999999999999"},
			"--timeout: 99999999999999999999 is not within 1 ... 3600"},
		{{"--device=a", "--guest=other"}, "--guest: drive or torment, not 'other'"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_wrong(rows[i].args, rows[i].text);
}

static void
test_help(void)
{
	static const char *const help[] = {"--help", NULL};
	static const char *const usage[] = {"--usage", NULL};
	static const char *const version[] = {"--version", NULL};
	struct vmm_run run;

	vmm_run(&run, help);
	CU_ASSERT(vmm_run_passed(&run));
	CU_ASSERT_EQUAL(strncmp(run.out, "Usage: vuc-vmm ", 15), 0);
	vmm_run_free(&run);
	vmm_run(&run, usage);
	CU_ASSERT(vmm_run_passed(&run));
	CU_ASSERT_EQUAL(strncmp(run.out, "Usage: vuc-vmm ", 15), 0);
	vmm_run_free(&run);
	vmm_run(&run, version);
	CU_ASSERT(vmm_run_passed(&run));
	CU_ASSERT_EQUAL(strncmp(run.out, "vuc-vmm ", 8), 0);
	vmm_run_free(&run);
}

static CU_TestInfo tests[] = {
	{"memory shared", test_shared},
	{"memory by message", test_message},
	{"torment", test_torment},
	{"text", test_text},
	{"server ends", test_server_ends},
	{"no device", test_no_device},
	{"wrong options", test_wrong_options},
	{"help", test_help},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{"vuc-vmm", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
