/* SPDX-License-Identifier: BSD-3-Clause */
#include <CUnit/CUnit.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "report.h"
#include "tap.h"
#include "vucctl_sample.h"

static struct vucctl_report *
sample(void)
{
	struct vucctl_report *report = sample_report_create();

	CU_ASSERT_PTR_NOT_NULL_FATAL(report);
	return report;
}

/* Print a report, destroy it, and parse what was printed. */
static struct json_object *
print(struct vucctl_report *report)
{
	struct json_object *root;
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	CU_ASSERT_EQUAL(vucctl_report_print_json(out, report), 0);
	CU_ASSERT_EQUAL(fclose(out), 0);
	vucctl_report_destroy(report);
	root = json_tokener_parse(text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	free(text);
	return root;
}

/* A value by a path like "regions/4/size"; fails the test when it is not there. */
static struct json_object *
at(struct json_object *object, const char *path)
{
	char key[64];

	while (*path != '\0') {
		size_t len = strcspn(path, "/");

		snprintf(key, sizeof(key), "%.*s", (int)len, path);
		if (json_object_is_type(object, json_type_array))
			object = json_object_array_get_idx(object, strtoul(key, NULL, 10));
		else if (!json_object_object_get_ex(object, key, &object))
			CU_FAIL_FATAL("no such key");
		path += len;
		path += *path == '/';
	}
	return object;
}

static uint64_t
number(struct json_object *root, const char *path)
{
	struct json_object *value = at(root, path);

	CU_ASSERT(json_object_is_type(value, json_type_int));
	return json_object_get_uint64(value);
}

static const char *
string(struct json_object *root, const char *path)
{
	struct json_object *value = at(root, path);

	CU_ASSERT_FATAL(json_object_is_type(value, json_type_string));
	return json_object_get_string(value);
}

static bool
boolean(struct json_object *root, const char *path)
{
	struct json_object *value = at(root, path);

	CU_ASSERT(json_object_is_type(value, json_type_boolean));
	return json_object_get_boolean(value);
}

static void
test_version_and_device(void)
{
	struct json_object *root = print(sample());

	CU_ASSERT_STRING_EQUAL(string(root, "socket"), "/run/dev.sock");
	CU_ASSERT_STRING_EQUAL(string(root, "transport"), "posix");
	CU_ASSERT_EQUAL(number(root, "version/major"), 0);
	CU_ASSERT_EQUAL(number(root, "version/minor"), 1);
	CU_ASSERT_EQUAL(number(root, "version/max_msg_fds"), 8);
	CU_ASSERT_EQUAL(number(root, "version/max_data_xfer_size"), 1048576);
	CU_ASSERT_EQUAL(number(root, "version/max_dma_maps"), 65535);
	CU_ASSERT_EQUAL(number(root, "version/pgsizes"), 0x201000);
	CU_ASSERT_FALSE(boolean(root, "version/twin_socket"));
	CU_ASSERT(boolean(root, "version/write_multiple"));
	CU_ASSERT_STRING_EQUAL(
		string(root, "version/server_data"), "{\"capabilities\":{\"max_msg_fds\":8}}");
	CU_ASSERT_STRING_EQUAL(string(root, "device/flags"), "0x3");
	CU_ASSERT_STRING_EQUAL(string(root, "device/flag_names/1"), "pci");
	CU_ASSERT_EQUAL(number(root, "device/num_regions"), 10);
	CU_ASSERT_EQUAL(number(root, "device/num_irqs"), 3);
	json_object_put(root);
}

static void
test_regions(void)
{
	struct json_object *root = print(sample());

	CU_ASSERT_EQUAL(json_object_array_length(at(root, "regions")), 10);
	CU_ASSERT_STRING_EQUAL(string(root, "regions/2/name"), "BAR2");
	CU_ASSERT_EQUAL(number(root, "regions/2/size"), UINT64_C(0x8000000000000000));
	CU_ASSERT_EQUAL(number(root, "regions/2/offset"), 0x10000);
	CU_ASSERT_EQUAL(number(root, "regions/2/fds"), 1);
	CU_ASSERT_EQUAL(json_object_array_length(at(root, "regions/2/areas")), 0);
	CU_ASSERT_STRING_EQUAL(string(root, "regions/4/flags"), "0xf");
	CU_ASSERT_EQUAL(json_object_array_length(at(root, "regions/4/areas")), 2);
	CU_ASSERT_EQUAL(number(root, "regions/4/areas/1/offset"), 0x3000);
	CU_ASSERT_EQUAL(number(root, "regions/4/areas/1/size"), 0x1000);
	CU_ASSERT_EQUAL(number(root, "regions/1/size"), 0);
	CU_ASSERT_STRING_EQUAL(string(root, "regions/9/name"), "region 9");
	CU_ASSERT_STRING_EQUAL(string(root, "regions/9/type"), "0x80001af4");
	CU_ASSERT_STRING_EQUAL(string(root, "regions/9/subtype"), "0x1");
	json_object_put(root);
}

static void
test_irqs(void)
{
	struct json_object *root = print(sample());

	CU_ASSERT_EQUAL(json_object_array_length(at(root, "irqs")), 3);
	CU_ASSERT_EQUAL(number(root, "irqs/2/index"), 2);
	CU_ASSERT_STRING_EQUAL(string(root, "irqs/2/name"), "MSI-X");
	CU_ASSERT_EQUAL(number(root, "irqs/2/count"), 8);
	CU_ASSERT_STRING_EQUAL(string(root, "irqs/2/flags"), "0x9");
	CU_ASSERT_STRING_EQUAL(string(root, "irqs/2/flag_names/1"), "noresize");
	CU_ASSERT_EQUAL(number(root, "irqs/1/count"), 0);
	json_object_put(root);
}

static void
test_pci(void)
{
	struct json_object *root = print(sample());

	CU_ASSERT_STRING_EQUAL(string(root, "pci/vendor"), "0x7675");
	CU_ASSERT_STRING_EQUAL(string(root, "pci/device"), "0x7663");
	CU_ASSERT_STRING_EQUAL(string(root, "pci/class"), "0x088000");
	CU_ASSERT_STRING_EQUAL(string(root, "pci/subsystem/vendor"), "0xfffd");
	CU_ASSERT_STRING_EQUAL(string(root, "pci/subsystem/device"), "0x0042");
	CU_ASSERT_PTR_NULL(at(root, "pci/name")); /* numeric: nothing was looked up */
	CU_ASSERT_EQUAL(number(root, "pci/revision"), 1);
	CU_ASSERT_STRING_EQUAL(string(root, "pci/command"), "0x0006");
	CU_ASSERT_EQUAL(number(root, "pci/interrupt_pin"), 1);
	CU_ASSERT_EQUAL(json_object_array_length(at(root, "pci/bars")), 4);
	CU_ASSERT_EQUAL(number(root, "pci/bars/1/index"), 2);
	CU_ASSERT_STRING_EQUAL(string(root, "pci/bars/1/type"), "memory64");
	CU_ASSERT(boolean(root, "pci/bars/1/prefetchable"));
	CU_ASSERT_EQUAL(number(root, "pci/bars/1/address"), UINT64_C(0x3800000000));
	CU_ASSERT_EQUAL(number(root, "pci/bars/2/index"), 4);
	CU_ASSERT_STRING_EQUAL(string(root, "pci/bars/2/type"), "memory32");
	CU_ASSERT_PTR_NULL(at(root, "pci/rom"));
	json_object_put(root);
}

static void
test_caps(void)
{
	struct json_object *root = print(sample());

	CU_ASSERT_EQUAL(json_object_array_length(at(root, "pci/capabilities")), 7);
	CU_ASSERT_STRING_EQUAL(string(root, "pci/capabilities/0/fields/state"), "D3hot");
	CU_ASSERT_EQUAL(number(root, "pci/capabilities/3/offset"), SAMPLE_MSIX);
	CU_ASSERT_STRING_EQUAL(string(root, "pci/capabilities/3/id"), "0x11");
	CU_ASSERT_STRING_EQUAL(string(root, "pci/capabilities/3/type"), "msix");
	CU_ASSERT_EQUAL(number(root, "pci/capabilities/3/fields/vectors"), 8);
	CU_ASSERT_EQUAL(number(root, "pci/capabilities/3/fields/pba_offset"), 0x2000);
	CU_ASSERT(boolean(root, "pci/capabilities/3/fields/enabled"));
	CU_ASSERT_FALSE(boolean(root, "pci/capabilities/3/extended"));
	CU_ASSERT(boolean(root, "pci/capabilities/6/extended"));
	CU_ASSERT_EQUAL(number(root, "pci/capabilities/6/version"), 1);
	CU_ASSERT_STRING_EQUAL(string(root, "pci/capabilities/6/fields/high"), "0x11223344");
	CU_ASSERT_PTR_NULL(at(root, "pci/capabilities_problem"));
	CU_ASSERT_PTR_NULL(at(root, "pci/extended_capabilities_problem"));
	json_object_put(root);
}

static void
test_config(void)
{
	struct json_object *root = print(sample());
	const char *digits = string(root, "config/bytes");

	CU_ASSERT_EQUAL(number(root, "config/size"), 4096);
	CU_ASSERT_EQUAL(number(root, "config/read"), 4096);
	CU_ASSERT_PTR_NULL(at(root, "config/error"));
	CU_ASSERT_EQUAL(strlen(digits), 8192);
	CU_ASSERT_EQUAL(strncmp(digits, "7576637606001000", 16), 0);
	json_object_put(root);
}

static void
test_no_config(void)
{
	struct vucctl_report *report = sample();
	struct json_object *root;

	report->config = (struct vucctl_config){0};
	vucctl_report_decode_pci(report, true);
	root = print(report);
	CU_ASSERT_PTR_NULL(at(root, "config"));
	CU_ASSERT_PTR_NULL(at(root, "pci"));
	json_object_put(root);
}

static void
test_config_unreadable(void)
{
	struct vucctl_report *report = sample();
	struct json_object *root;

	report->config.len = 0;
	snprintf(report->config.error, sizeof(report->config.error), "%s", "Permission denied");
	vucctl_report_decode_pci(report, true);
	root = print(report);
	CU_ASSERT_EQUAL(number(root, "config/read"), 0);
	CU_ASSERT_STRING_EQUAL(string(root, "config/error"), "Permission denied");
	CU_ASSERT_STRING_EQUAL(string(root, "config/bytes"), "");
	CU_ASSERT_PTR_NULL(at(root, "pci"));
	json_object_put(root);
}

static void
test_broken_lists(void)
{
	struct vucctl_report *report = sample();
	struct json_object *root;

	report->config.bytes[SAMPLE_VNDR] = 0x7e;
	report->config.bytes[SAMPLE_VNDR + 1] = SAMPLE_VNDR;
	vucctl_report_decode_pci(report, true);
	root = print(report);
	CU_ASSERT_STRING_EQUAL(string(root, "pci/capabilities/4/type"), "unknown");
	CU_ASSERT_STRING_EQUAL(string(root, "pci/capabilities_problem"), "loop, back to 0xb0");
	json_object_put(root);
}

static void
test_foreign_text(void)
{
	struct vuc_device_version version = sample_version;
	struct vucctl_report *report = sample();
	struct json_object *root;

	version.json = "{\"\x1b\": \"\\\\\xff\"}";
	report->version = &version;
	root = print(report);
	CU_ASSERT_STRING_EQUAL(
		string(root, "version/server_data"), "{\"\x1b\": \"\\\\\xef\xbf\xbd\"}");
	json_object_put(root);
	report = sample();
	version.json = "";
	report->version = &version;
	root = print(report);
	CU_ASSERT_PTR_NULL(at(root, "version/server_data"));
	json_object_put(root);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"version and device", test_version_and_device},
		{"regions", test_regions},
		{"IRQs", test_irqs},
		{"PCI", test_pci},
		{"capabilities", test_caps},
		{"config space", test_config},
		{"no config space", test_no_config},
		{"config space unreadable", test_config_unreadable},
		{"broken lists", test_broken_lists},
		{"text from outside", test_foreign_text},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_report_json", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
