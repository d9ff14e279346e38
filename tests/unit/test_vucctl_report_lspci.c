/* SPDX-License-Identifier: BSD-3-Clause */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "tap.h"
#include "vucctl_sample.h"

static char *text;
static size_t text_len;

/* Print the sample, with len bytes of config space read. */
static int
print(size_t len, const char *name)
{
	struct vucctl_report *report = sample_report_create();
	FILE *out = open_memstream(&text, &text_len);
	int ret;

	CU_ASSERT_PTR_NOT_NULL_FATAL(report);
	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	report->config.len = len;
	vucctl_report_decode_pci(report, true);
	snprintf(report->pci.names.device, sizeof(report->pci.names.device), "%s", name);
	ret = vucctl_report_print_lspci(out, report);
	CU_ASSERT_EQUAL(fclose(out), 0);
	vucctl_report_destroy(report);
	return ret;
}

static unsigned int
count_lines(void)
{
	unsigned int count = 0;
	const char *c;

	for (c = text; *c != '\0'; c++)
		count += *c == '\n';
	return count;
}

static void
test_whole(void)
{
	CU_ASSERT_EQUAL(print(4096, "Device 7675:7663"), 0);
	CU_ASSERT_EQUAL(strncmp(text,
				"00:00.0 0880: Device 7675:7663 (rev 01)\n"
				"00: 75 76 63 76 06 00 10 00 01 00 80 08 00 00 00 00\n",
				92),
		0);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(text, "\n140: 00 00 00 00 00 00 00 00 03 00 01 00 88 77 66 55\n"));
	CU_ASSERT_PTR_NOT_NULL(
		strstr(text, "\nff0: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00\n\n"));
	CU_ASSERT_EQUAL(count_lines(), 1 + 256 + 1);
	free(text);
}

/* lspci has no use for lengths between those that PCI knows. */
static void
test_lengths(void)
{
	static const struct {
		size_t len;
		unsigned int rows;
	} cases[] = {{4095, 16}, {257, 16}, {256, 16}, {255, 4}, {64, 4}};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CU_ASSERT_EQUAL(print(cases[i].len, "x"), 0);
		CU_ASSERT_EQUAL(count_lines(), 1 + cases[i].rows + 1);
		free(text);
	}
}

static void
test_too_short(void)
{
	CU_ASSERT_EQUAL(print(63, "x"), -ENODATA);
	CU_ASSERT_EQUAL(text_len, 0);
	free(text);
	CU_ASSERT_EQUAL(print(0, "x"), -ENODATA);
	free(text);
}

/* lspci refuses lines of 255 bytes. */
static void
test_long_name(void)
{
	char name[VUCCTL_PCI_NAME_MAX];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	CU_ASSERT_EQUAL(print(64, name), 0);
	CU_ASSERT(strchr(text, '\n') - text < 255);
	free(text);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"whole", test_whole},
		{"lengths", test_lengths},
		{"too short", test_too_short},
		{"long name", test_long_name},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_report_lspci", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
