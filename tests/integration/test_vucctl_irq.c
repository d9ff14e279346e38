/* SPDX-License-Identifier: BSD-3-Clause */

/* vucctl irq: wait, mask, unmask, trigger. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include <CUnit/CUnit.h>

#include "clock.h"
#include "refdev_regs.h"
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
count_lines(const char *text)
{
	size_t n = 0;

	while ((text = strchr(text, '\n')) != NULL) {
		text++;
		n++;
	}
	return n;
}

/* Run irq wait with --trigger and two more options, and assert how many lines it prints, all with
 * text in it. */
static void
expect_lines(const char *option, const char *other, size_t n, const char *text)
{
	const char *args[] = {
		"irq", "wait", "--trigger", "--wait=5000", device.socket, option, other, NULL};
	struct vucctl_run run;
	const char *at;
	size_t found = 0;

	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_STRING_EQUAL(run.err, "");
	CU_ASSERT_EQUAL(count_lines(run.out), n);
	for (at = run.out; (at = strstr(at, text)) != NULL; at++)
		found++;
	CU_ASSERT_EQUAL(found, n);
	vucctl_run_free(&run);
}

static void
test_wait(void)
{
	expect_lines("--count=8", NULL, 8, "  MSI-X vector ");
	expect_lines("--count=2", "--vector=3-4", 2, "  count 1\n");
	expect_lines("--vector=7", NULL, 1, "  MSI-X vector 7  count 1\n");
	expect_lines("--index=intx", NULL, 1, "  INTx  vector 0  count 1\n");
	expect_lines("--index=err", "--count=1", 1, "  ERR   vector 0  count 1\n");
	expect_lines("--index=4", NULL, 1, "  REQ   vector 0  count 1\n");
}

static uint64_t
number(struct json_object *object, const char *key)
{
	struct json_object *value;

	CU_ASSERT_FATAL(json_object_object_get_ex(object, key, &value));
	CU_ASSERT(json_object_is_type(value, json_type_int));
	return json_object_get_uint64(value);
}

static void
test_json(void)
{
	const char *args[] = {"irq", "wait", "-jg", "-w5000", "-c2", "-v5-6", device.socket, NULL};
	struct vucctl_run run;
	char *line, *rest;
	uint64_t vector;

	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_EQUAL_FATAL(count_lines(run.out), 2);
	line = strtok_r(run.out, "\n", &rest);
	for (vector = 5; vector <= 6; vector++) {
		struct json_object *root = json_tokener_parse(line);

		CU_ASSERT_PTR_NOT_NULL_FATAL(root);
		CU_ASSERT_EQUAL(number(root, "index"), 2);
		CU_ASSERT_EQUAL(number(root, "vector"), vector);
		CU_ASSERT_EQUAL(number(root, "count"), 1);
		CU_ASSERT(number(root, "time_ns") > 0);
		json_object_put(root);
		line = strtok_r(NULL, "\n", &rest);
	}
	vucctl_run_free(&run);
}

/* INTx is a level that nobody acknowledges: unmasked it comes again. */
static void
test_unmasked_again(void)
{
	const char *level[] = {"write", device.socket, "bar0", "0x2c", "4", "1", NULL};
	const char *acknowledge[] = {"write", device.socket, "bar0", "0x2c", "4", "0", NULL};

	vucctl_run_expect(level, 0, NULL, NULL);
	expect_lines("--index=intx", "--count=3", 3, "  INTx  vector 0  count 1\n");
	vucctl_run_expect(acknowledge, 0, NULL, NULL);
}

static void
test_time_is_over(void)
{
	const char *args[] = {"irq", "wait", "--wait=50", device.socket, NULL};
	const char *forever[] = {"irq", "wait", "--wait=50", "--count=0", device.socket, NULL};

	vucctl_run_expect(args, 1, NULL, "0 of 1 interrupts came before the time was over");
	vucctl_run_expect(forever, 0, NULL, NULL);
}

/* Wait for the first line of a program that prints as it goes. */
static void
await_line(const struct vuc_spawn *spawn)
{
	int i;

	for (i = 0; i < VUC_SPAWN_TIMEOUT_MS / 5; i++) {
		char *out = vuc_spawn_output(spawn);
		size_t n = out != NULL ? count_lines(out) : 0;

		free(out);
		if (n > 0)
			return;
		vuc_clock_sleep_ms(5);
	}
	CU_FAIL("nothing was printed");
}

/* Told to end, it ends well, and the server sees a client that has left in order. */
static void
test_signal(void)
{
	const char *args[] = {
		"irq", "wait", "--count=0", "--trigger", "--vector=1", device.socket, NULL};
	struct vuc_spawn spawn;
	char *errors;

	CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(&spawn, getenv("VUCCTL"), args), 0);
	await_line(&spawn);
	CU_ASSERT_EQUAL(vuc_spawn_stop(&spawn), 0);
	CU_ASSERT_EQUAL(vuc_spawn_status(&spawn), 0);
	errors = vuc_spawn_errors(&spawn);
	CU_ASSERT_STRING_EQUAL(errors, "");
	free(errors);
	vuc_spawn_free(&spawn);
}

static void
test_server_dies(void)
{
	struct vucctl_device mortal;
	const char *args[] = {
		"irq", "wait", "--count=0", "--trigger", "--vector=1", mortal.socket, NULL};
	struct vuc_spawn spawn;
	char *errors;

	vucctl_device_start(&mortal, NULL);
	CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(&spawn, getenv("VUCCTL"), args), 0);
	await_line(&spawn);
	vucctl_device_stop(&mortal);
	CU_ASSERT_EQUAL(vuc_spawn_wait(&spawn), 0);
	CU_ASSERT_EQUAL(vuc_spawn_status(&spawn), 1);
	errors = vuc_spawn_errors(&spawn);
	CU_ASSERT_PTR_NOT_NULL(strstr(errors, "closed the connection"));
	free(errors);
	vuc_spawn_free(&spawn);
}

static void
test_acts(void)
{
	static const char *const verbs[] = {"mask", "unmask", "trigger"};
	size_t i;

	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		const char *all[] = {"irq", verbs[i], device.socket, NULL};
		const char *one[] = {"irq", verbs[i], "-imsix", "-v1", device.socket, NULL};

		vucctl_run_expect(all, 0, NULL, NULL);
		vucctl_run_expect(one, 0, NULL, NULL);
	}
}

static void
test_trace(void)
{
	const char *args[] = {"irq", "mask", "--trace", "-v2-3", device.socket, NULL};
	struct vucctl_run run;

	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(run.err, " argsz 20 flags (none mask) index 2 start 2 count 2\n"));
	vucctl_run_free(&run);
}

static void
test_errors(void)
{
	static const struct {
		const char *args[5];
		int status;
		const char *text;
	} cases[] = {
		{{"irq"}, 2, "no command given; see 'vucctl irq --help'"},
		{{"irq", "frob"}, 2, "unknown command 'frob'; see 'vucctl irq --help'"},
		{{"irq", "--frob"}, 2, "unknown option '--frob'; see 'vucctl irq --help'"},
		{{"irq", "wait"}, 2, "no socket given; see 'vucctl irq wait --help'"},
		{{"irq", "wait", "-v3-2", "S"}, 2, "vector '3-2'"},
		{{"irq", "wait", "-ifoo", "S"}, 2, "index 'foo'"},
		{{"irq", "wait", "-w0", "S"}, 2, "wait '0'"},
		{{"irq", "wait", "-cx", "S"}, 2, "count 'x'"},
		{{"irq", "mask", "--count=1", "S"}, 2, "unknown option '--count=1'"},
		{{"irq", "wait", "-v8", "S"}, 1, "there is no vector 8, MSI-X has 8"},
		{{"irq", "wait", "-imsi", "S"}, 1, "the device has no MSI interrupt"},
		{{"irq", "mask", "-i9", "S"}, 1, "the device has no IRQ 9 interrupt"},
		{{"irq", "mask", "-ireq", "S"}, 1, "cannot mask REQ"},
	};
	size_t i, j;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *args[5] = {NULL};

		for (j = 0; cases[i].args[j] != NULL; j++) {
			bool socket = strcmp(cases[i].args[j], "S") == 0;

			args[j] = socket ? device.socket : cases[i].args[j];
		}
		vucctl_run_expect(args, cases[i].status, NULL, cases[i].text);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"wait", test_wait},
		{"JSON", test_json},
		{"unmasked again", test_unmasked_again},
		{"the time is over", test_time_is_over},
		{"signal", test_signal},
		{"server dies", test_server_dies},
		{"mask, unmask, trigger", test_acts},
		{"trace", test_trace},
		{"errors", test_errors},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_irq", NULL, NULL, start_device, stop_device, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
