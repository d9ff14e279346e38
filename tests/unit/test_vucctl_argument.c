/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "argument.h"
#include "tap.h"

static void
test_ranges(void)
{
	static const struct {
		const char *text;
		int ret;
		uint64_t first, last;
	} cases[] = {
		{"3", 0, 3, 3},
		{"0-0", 0, 0, 0},
		{"2-5", 0, 2, 5},
		{"0x1-0x10", 0, 1, 16},
		{"100", 0, 100, 100},
		{"101", -ERANGE, 0, 0},
		{"5-101", -ERANGE, 0, 0},
		{"5-4", -ERANGE, 0, 0},
		{"99999999999999999999-1", -ERANGE, 0, 0},
		{"", -EINVAL, 0, 0},
		{"-", -EINVAL, 0, 0},
		{"-5", -EINVAL, 0, 0},
		{"5-", -EINVAL, 0, 0},
		{"5--6", -EINVAL, 0, 0},
		{"1-2-3", -EINVAL, 0, 0},
		{"1,2", -EINVAL, 0, 0},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t first = 0, last = 0;

		CU_ASSERT_EQUAL(
			vucctl_number_parse_range(cases[i].text, 100, &first, &last), cases[i].ret);
		if (cases[i].ret != 0)
			continue;
		CU_ASSERT_EQUAL(first, cases[i].first);
		CU_ASSERT_EQUAL(last, cases[i].last);
	}
}

static void
test_bytes(void)
{
	static const uint8_t expected[] = {0x01, 0xab, 0xff};
	static const char *const well[] = {"01abff", "01ABfF", "01:ab:ff", "01 ab ff", "01:abff"};
	static const char *const bad[] = {
		"", "0", "1", "0g", "g0", "010", "01:", ":01", "01::02", "01-02", "0x01", "01\n"};
	uint8_t bytes[8];
	size_t i, len;

	for (i = 0; i < sizeof(well) / sizeof(well[0]); i++) {
		memset(bytes, 0, sizeof(bytes));
		CU_ASSERT_EQUAL(vucctl_bytes_parse(well[i], bytes, &len), 0);
		CU_ASSERT_EQUAL(len, sizeof(expected));
		CU_ASSERT_EQUAL(memcmp(bytes, expected, sizeof(expected)), 0);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_EQUAL(vucctl_bytes_parse(bad[i], bytes, &len), -EINVAL);
}

static void
test_seconds(void)
{
	static const struct {
		const char *text;
		int ret;
		uint32_t ms;
	} cases[] = {
		{"1", 0, 1000},
		{"0.1", 0, 100},
		{"1.5", 0, 1500},
		{"2.050", 0, 2050},
		{"10", 0, 10000},
		{"10.001", -ERANGE, 0},
		{"0.099", -ERANGE, 0},
		{"0", -ERANGE, 0},
		{"4294968", -ERANGE, 0},
		{"18446744073709551617", -ERANGE, 0},
		{"", -EINVAL, 0},
		{".5", -EINVAL, 0},
		{"1.", -EINVAL, 0},
		{"1.0001", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"0x1", -EINVAL, 0},
		{"1s", -EINVAL, 0},
		{"1.5s", -EINVAL, 0},
		{"nan", -EINVAL, 0},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t ms = 0;

		CU_ASSERT_EQUAL(vucctl_seconds_parse(cases[i].text, 100, 10000, &ms), cases[i].ret);
		CU_ASSERT_EQUAL(ms, cases[i].ms);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"ranges", test_ranges},
		{"seconds", test_seconds},
		{"bytes", test_bytes},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_number", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
