/* SPDX-License-Identifier: BSD-3-Clause */
#include "number.h"
#include "tap.h"

static void
test_whole(void)
{
	static const struct {
		const char *text;
		int base;
		uint64_t min, max;
		int ret;
		uint64_t value;
	} cases[] = {
		{"0", 0, 0, UINT64_MAX, 0, 0},
		{"10", 0, 0, UINT64_MAX, 0, 10},
		{"010", 0, 0, UINT64_MAX, 0, 10},
		{"0x10", 0, 0, UINT64_MAX, 0, 16},
		{"0xAbC", 0, 0, UINT64_MAX, 0, 0xabc},
		{"18446744073709551615", 0, 0, UINT64_MAX, 0, UINT64_MAX},
		{"0xffffffffffffffff", 0, 0, UINT64_MAX, 0, UINT64_MAX},
		{"18446744073709551616", 0, 0, UINT64_MAX, -ERANGE, 0},
		{"0x10000000000000000", 0, 0, UINT64_MAX, -ERANGE, 0},
		{"4", 0, 5, 7, -ERANGE, 0},
		{"5", 0, 5, 7, 0, 5},
		{"7", 0, 5, 7, 0, 7},
		{"8", 0, 5, 7, -ERANGE, 0},
		{"", 0, 0, UINT64_MAX, -EINVAL, 0},
		{"-1", 0, 0, UINT64_MAX, -EINVAL, 0},
		{"+1", 0, 0, UINT64_MAX, -EINVAL, 0},
		{" 1", 0, 0, UINT64_MAX, -EINVAL, 0},
		{"1 ", 0, 0, UINT64_MAX, -EINVAL, 0},
		{"1k", 0, 0, UINT64_MAX, -EINVAL, 0},
		{"ff", 0, 0, UINT64_MAX, -EINVAL, 0},
		{"0x", 0, 0, UINT64_MAX, -EINVAL, 0},
		{"0xg", 0, 0, UINT64_MAX, -EINVAL, 0},
		{"0x-1", 0, 0, UINT64_MAX, -EINVAL, 0},
		{"0X10", 0, 0, UINT64_MAX, -EINVAL, 0},
		{"99999999999999999999x", 0, 0, UINT64_MAX, -EINVAL, 0},
		{"010", 10, 0, UINT64_MAX, 0, 10},
		{"0x10", 10, 0, UINT64_MAX, -EINVAL, 0},
		{"0660", 8, 0, 0777, 0, 0660},
		{"1000", 8, 0, 0777, -ERANGE, 0},
		{"8", 8, 0, 0777, -EINVAL, 0},
		{"-7", 8, 0, 0777, -EINVAL, 0},
	};
	size_t i;

	for (i = 0; i < NR(cases); i++) {
		uint64_t value = 0;

		CU_ASSERT_EQUAL(vuc_number_parse(cases[i].text, cases[i].base, cases[i].min,
					cases[i].max, &value),
			cases[i].ret);
		CU_ASSERT_EQUAL(value, cases[i].value);
	}
}

/* What stands behind the number is the caller's. */
static void
test_begin(void)
{
	static const struct {
		const char *text;
		int base, rc;
		const char *rest;
		uint64_t value;
	} cases[] = {
		{"12,3", 10, 0, ",3", 12},
		{"0x1f-", 0, 0, "-", 0x1f},
		{"0x1f-", 10, 0, "x1f-", 0},
		{"079", 8, 0, "9", 7},
		{"x1", 0, -EINVAL, "x1", 0},
		{"0xg", 0, -EINVAL, "0xg", 0},
		{"9", 8, -EINVAL, "9", 0},
		{"99999999999999999999,", 10, -ERANGE, ",", UINT64_MAX},
	};

	for (size_t i = 0; i < NR(cases); i++) {
		uint64_t value = 0;
		const char *end;

		CU_ASSERT_EQUAL(
			vuc_number_scan(cases[i].text, cases[i].base, &value, &end), cases[i].rc);
		CU_ASSERT_EQUAL(value, cases[i].value);
		CU_ASSERT_STRING_EQUAL(end, cases[i].rest);
	}
}

const struct tap_suite tap_suite = {"number", NULL, NULL,
	{
		{"a whole text is a number within its range, or is refused", test_whole},
		{"the number that a text begins with", test_begin},
	}};
