/* SPDX-License-Identifier: BSD-3-Clause */

/* vucctl read, write and reset, and what --trace shows of them. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include <CUnit/CUnit.h>

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

static void
expect_read(const char *region, const char *offset, const char *size, const char *out)
{
	const char *args[] = {"read", device.socket, region, offset, size, NULL};

	vucctl_run_expect(args, 0, out, NULL);
}

static void
write_number(const char *offset, const char *size, const char *value)
{
	const char *args[] = {"write", device.socket, "bar0", offset, size, value, NULL};

	vucctl_run_expect(args, 0, NULL, NULL);
}

static void
test_read(void)
{
	expect_read("bar0", "0", "4", "0x52637576\n");
	expect_read("BAR0", "0x0", "1", "0x76\n");
	expect_read("0", "2", "2", "0x5263\n");
	expect_read("bar0", "0", "8", "0x0000000152637576\n");
	expect_read("config", "0x90", "3", "90: 09 00 10\n");
	expect_read("7", "0x92", "18",
		"92: 10 01 76 75 63 52 00 00 00 00 00 00 00 00 00 00\na2: 00 00\n");
}

static void
test_count(void)
{
	const char *args[] = {"read", "--count=3", device.socket, "bar0", "0x10", "8", NULL};
	struct vucctl_run run;
	unsigned long first;
	char expected[64];

	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 0);
	first = strtoul(run.out, NULL, 16);
	snprintf(expected, sizeof(expected), "0x%016lx\n0x%016lx\n0x%016lx\n", first, first + 1,
		first + 2);
	CU_ASSERT_STRING_EQUAL(run.out, expected);
	vucctl_run_free(&run);
}

static void
expect_json(const char *offset, const char *size, const char *value)
{
	const char *args[] = {"read", "-j", "-c2", device.socket, "bar0", offset, size, NULL};
	struct json_object *root, *values, *name;
	struct vucctl_run run;

	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 0);
	root = json_tokener_parse(run.out);
	CU_ASSERT_FATAL(json_object_object_get_ex(root, "values", &values));
	CU_ASSERT_FATAL(json_object_object_get_ex(root, "name", &name));
	CU_ASSERT_STRING_EQUAL(json_object_get_string(name), "BAR0");
	CU_ASSERT_EQUAL_FATAL(json_object_array_length(values), 2);
	CU_ASSERT_STRING_EQUAL(json_object_get_string(json_object_array_get_idx(values, 0)), value);
	CU_ASSERT_STRING_EQUAL(json_object_get_string(json_object_array_get_idx(values, 1)), value);
	json_object_put(root);
	vucctl_run_free(&run);
}

static void
test_json(void)
{
	expect_json("0", "4", "0x52637576");
	expect_json("0x7fd", "3", "000000");
}

static void
test_write(void)
{
	write_number("8", "8", "0x1122334455667788");
	expect_read("bar0", "8", "8", "0x1122334455667788\n");
	write_number("8", "1", "255");
	expect_read("bar0", "8", "8", "0x11223344556677ff\n");
	write_number("0x400", "3", "0x010203");
	expect_read("bar0", "0x400", "4", "0x00010203\n");
}

static void
test_write_posted(void)
{
	const char *args[] = {
		"write", "--posted", device.socket, "bar0", "0x18", "4", "0xabcd", NULL};

	vucctl_run_expect(args, 0, NULL, NULL);
	expect_read("bar0", "0x1c", "4", "0x0000abcd\n");
}

static void
test_write_data(void)
{
	const char *args[] = {
		"write", "--data", "de:ad:be ef01", device.socket, "bar0", "0x500", NULL};

	vucctl_run_expect(args, 0, NULL, NULL);
	expect_read("bar0", "0x500", "5", "500: de ad be ef 01\n");
}

/* What is written from a file comes back as it was. */
static void
test_write_file(void)
{
	enum {
		SIZE = 65536
	};
	char path[VUC_TEMPDIR_SIZE + 8];
	const char *write_args[] = {"write", "--file", path, device.socket, "bar2", "0", NULL};
	const char *script_args[] = {"-c", "\"$0\" read -r \"$1\" bar2 0 65536 | cmp - \"$2\"",
		getenv("VUCCTL"), device.socket, path, NULL};
	struct vucctl_run run;
	FILE *file;
	int i;

	snprintf(path, sizeof(path), "%s/data", device.folder);
	file = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	for (i = 0; i < SIZE; i++)
		putc((i * 7 + i / 256) & 0xff, file);
	CU_ASSERT_EQUAL_FATAL(fclose(file), 0);
	vucctl_run_expect(write_args, 0, NULL, NULL);
	vucctl_run_program(&run, "/bin/sh", script_args);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_STRING_EQUAL(run.out, "");
	vucctl_run_free(&run);
	unlink(path);
}

static void
test_reset(void)
{
	const char *args[] = {"reset", device.socket, NULL};

	write_number("8", "8", "1");
	vucctl_run_expect(args, 0, NULL, NULL);
	expect_read("bar0", "8", "8", "0x0000000000000000\n");
	expect_read("bar0", "0x30", "4", "0x00000001\n");
}

static void
test_trace(void)
{
	const char *args[] = {
		"read", "--trace", "--transport=posix", device.socket, "bar0", "0", "4", NULL};
	struct vucctl_run run;

	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_STRING_EQUAL(run.out, "0x52637576\n");
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, " -> #0     VERSION                  command "));
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, " flags (reset pci) num_regions 9 num_irqs 5\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err,
		" REGION_READ              command     32 bytes region 0 offset 0x0 count 4\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err,
		" REGION_READ              reply       36 bytes region 0 offset 0x0 count 4 data "
		"0x52637576\n"));
	vucctl_run_free(&run);
}

#define MAX_ARGS 8

/* A run that fails; S is the device's socket. */
struct failure {
	const char *args[MAX_ARGS + 1];
	const char *text;
};

static void
expect_failures(const struct failure *cases, size_t n, int status)
{
	size_t i, j;

	for (i = 0; i < n; i++) {
		const char *args[MAX_ARGS + 1] = {NULL};

		for (j = 0; cases[i].args[j] != NULL; j++) {
			bool socket = strcmp(cases[i].args[j], "S") == 0;

			args[j] = socket ? device.socket : cases[i].args[j];
		}
		vucctl_run_expect(args, status, NULL, cases[i].text);
	}
}

static void
test_usage(void)
{
	static const struct failure cases[] = {
		{{"read"}, "no socket given; see 'vucctl read --help'"},
		{{"read", "S"}, "no region given"},
		{{"read", "S", "bar0"}, "no offset given"},
		{{"read", "S", "bar0", "0"}, "no size given"},
		{{"read", "S", "bar0", "0", "4", "5"}, "unexpected argument '5'"},
		{{"read", "S", "bar6", "0", "4"}, "region 'bar6'"},
		{{"read", "S", "bar0", "-4", "4"}, "unknown option '-4'"},
		{{"read", "S", "bar0", "x", "4"}, "offset 'x'"},
		{{"read", "S", "bar0", "0", "0"}, "size '0'"},
		{{"read", "-c0", "S", "bar0", "0", "4"}, "count '0'"},
		{{"read", "-jr", "S", "bar0", "0", "4"}, "exclude each other"},
		{{"read", "--trace=1", "S", "bar0", "0", "4"}, "takes no argument"},
		{{"write", "S", "bar0", "0", "4"}, "no value given; see 'vucctl write --help'"},
		{{"write", "S", "bar0", "0", "9", "1"}, "size '9'"},
		{{"write", "S", "bar0", "0", "1", "256"}, "value '256' is not a number of 1 byte"},
		{{"write", "-d0", "S", "bar0", "0"}, "data '0'"},
		{{"write", "-d00", "S", "bar0", "0", "1"}, "unexpected argument '1'"},
		{{"write", "-d00", "-f/dev/null", "S", "bar0", "0"}, "exclude each other"},
		{{"reset", "S", "x"}, "unexpected argument 'x'"},
	};

	expect_failures(cases, sizeof(cases) / sizeof(cases[0]), 2);
}

static void
test_failures(void)
{
	static const struct failure cases[] = {
		{{"read", "S", "bar1", "0", "4"}, "the device has no BAR1"},
		{{"read", "S", "77", "0", "4"}, "the device has no region 77"},
		{{"read", "S", "bar0", "0xffd", "4"}, "4 bytes at 0xffd are outside of BAR0"},
		{{"read", "S", "bar0", "0xffffffffffffffff", "1"}, "outside of BAR0"},
		{{"read", "S", "bar0", "0", "0xffffffffffffffff"}, "outside of BAR0"},
		{{"read", "S", "bar0", "0x38", "4"}, "cannot read 4 bytes at 0x38 of BAR0"},
		{{"write", "S", "bar0", "0x38", "4", "1"}, "cannot write 4 bytes at 0x38 of BAR0"},
		{{"write", "-f/nonexistent/f", "S", "bar0", "0"}, "/nonexistent/f: "},
		{{"write", "-f/dev/null", "S", "bar0", "0"}, "no bytes to write"},
		{{"write", "-f-", "S", "bar0", "0"}, "standard input: there are no bytes"},
	};

	expect_failures(cases, sizeof(cases) / sizeof(cases[0]), 1);
}

static void
test_faults(void)
{
	static const struct {
		const char *fault, *command, *text;
	} cases[] = {
		{"close@region_read", "read", "closed the connection"},
		{"never@region_read", "read", "within 2000 ms"},
		{"error=5@device_reset", "reset", "cannot reset the device"},
		{"never@device_reset", "reset", "within 2000 ms"},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool read = strcmp(cases[i].command, "read") == 0;
		struct vucctl_device bad;
		const char *args[] = {cases[i].command, "--timeout=2000", bad.socket,
			read ? "bar0" : NULL, "0", "4", NULL};

		vucctl_device_start(&bad, cases[i].fault);
		vucctl_run_expect(args, 1, NULL, cases[i].text);
		vucctl_device_stop(&bad);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"read", test_read},
		{"read again and again", test_count},
		{"JSON", test_json},
		{"write", test_write},
		{"write, posted", test_write_posted},
		{"write bytes", test_write_data},
		{"write a file", test_write_file},
		{"reset", test_reset},
		{"trace", test_trace},
		{"usage", test_usage},
		{"failures", test_failures},
		{"servers that fail", test_faults},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_access", NULL, NULL, start_device, stop_device, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
