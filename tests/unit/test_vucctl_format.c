/* SPDX-License-Identifier: BSD-3-Clause */
#include <CUnit/CUnit.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "tap.h"
#include "utf8.h"

static char *text;
static size_t text_len;

static FILE *
begin(void)
{
	FILE *out = open_memstream(&text, &text_len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	return out;
}

static void
expect(FILE *out, const char *expected)
{
	fclose(out);
	CU_ASSERT_STRING_EQUAL(text, expected);
	free(text);
}

static void
test_sizes(void)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{0, "0 bytes"},
		{1, "1 byte"},
		{1023, "1023 bytes"},
		{1024, "1 KiB"},
		{1536, "1.5 KiB"},
		{4096, "4 KiB"},
		{1048575, "1024.0 KiB"},
		{1048576, "1 MiB"},
		{UINT64_C(1) << 40, "1 TiB"},
		{UINT64_C(1) << 63, "8 EiB"},
		{UINT64_MAX, "16.0 EiB"},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CU_ASSERT_STRING_EQUAL(vucctl_size_format(cases[i].bytes).text, cases[i].text);
}

static void
test_flags(void)
{
	static const struct vucctl_flag flags[] = {{1, "one"}, {6, "both"}, {0, NULL}};
	FILE *out = begin();

	vucctl_flags_print(out, 0, flags);
	putc('\n', out);
	vucctl_flags_print(out, 7, flags);
	putc('\n', out);
	vucctl_flags_print(out, 0x85, flags);
	expect(out, "none\none both\none 0x84");
}

static void
test_foreign_text(void)
{
	FILE *out = begin();

	vucctl_foreign_print(out, "{\"a\": 1}\n\x1b[31m\x7f\xc3\xa4\xff");
	expect(out, "{\"a\": 1}\\x0a\\x1b[31m\\x7f\\xc3\\xa4\\xff");
}

static void
test_hexdump(void)
{
	uint8_t bytes[70];
	FILE *out = begin();

	memset(bytes, 0xaa, sizeof(bytes));
	bytes[0] = 0;
	vucctl_hexdump_print(out, "  ", bytes, sizeof(bytes));
	expect(out,
		"  00: 00 aa aa aa aa aa aa aa aa aa aa aa aa aa aa aa\n"
		"  10: aa aa aa aa aa aa aa aa aa aa aa aa aa aa aa aa\n"
		"  *\n"
		"  40: aa aa aa aa aa aa\n");
	out = begin();
	vucctl_hexdump_print(out, "  ", bytes, 0);
	expect(out, "");
	out = begin();
	vucctl_hexdump_print_at(out, "", 0xfffffffffffffff8, bytes, 2);
	expect(out, "fffffffffffffff8: 00 aa\n");
}

static void
test_values(void)
{
	static const uint8_t bytes[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0};
	FILE *out = begin();
	size_t len;

	for (len = 0; len <= sizeof(bytes); len++) {
		bool number = len == 1 || len == 2 || len == 4 || len == 8;

		CU_ASSERT_EQUAL(vucctl_value_print(out, bytes, len), number);
		if (number)
			putc('\n', out);
	}
	expect(out, "0x01\n0x2301\n0x67452301\n0xefcdab8967452301\n");
}

#define R "\xef\xbf\xbd"

static void
test_utf8(void)
{
	static const char *const cases[][2] = {
		{"", ""}, {"plain \x01\n", "plain \x01\n"},
		{"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
			"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
		{"\x7f \xc2\x85 \xc2\xa0", R " " R " \xc2\xa0"}, {"\xff\xfe", R R},
		{"\xc0\xaf", R R},             /* over-long */
		{"\xe0\x80\xaf", R R R},       /* over-long */
		{"\xed\xa0\x80", R R R},       /* surrogate */
		{"\xf4\x90\x80\x80", R R R R}, /* behind the last code point */
		{"\xe2\x82", R R},             /* ends too early */
		{"\xe2(\xa1", R "(" R},        /* broken off */
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *clean = app_utf8_clean(cases[i][0]);

		CU_ASSERT_PTR_NOT_NULL_FATAL(clean);
		CU_ASSERT_STRING_EQUAL(clean, cases[i][1]);
		free(clean);
	}
}

static void
test_durations(void)
{
	CU_ASSERT_STRING_EQUAL(vucctl_duration_format(0).text, "0 s");
	CU_ASSERT_STRING_EQUAL(vucctl_duration_format(59).text, "59 s");
	CU_ASSERT_STRING_EQUAL(vucctl_duration_format(60).text, "1 min 0 s");
	CU_ASSERT_STRING_EQUAL(vucctl_duration_format(3599).text, "59 min 59 s");
	CU_ASSERT_STRING_EQUAL(vucctl_duration_format(7260).text, "2 h 1 min");
	CU_ASSERT_STRING_EQUAL(vucctl_duration_format(86400).text, "1 day 0 h");
	CU_ASSERT_STRING_EQUAL(vucctl_duration_format(3 * 86400 + 7200).text, "3 days 2 h");
	CU_ASSERT_STRING_EQUAL(vucctl_duration_format(UINT64_MAX).text, "213503982334601 days 7 h");
}

static void
test_foreign_copy(void)
{
	char copy[8];

	vucctl_foreign_copy(copy, sizeof(copy), "a\033b");
	CU_ASSERT_STRING_EQUAL(copy, "a\\x1bb");
	vucctl_foreign_copy(copy, sizeof(copy), "abcdefgh");
	CU_ASSERT_STRING_EQUAL(copy, "abcdefg");
	vucctl_foreign_copy(copy, sizeof(copy), "abcd\n");
	CU_ASSERT_STRING_EQUAL(copy, "abcd");
	vucctl_foreign_copy(copy, sizeof(copy), "");
	CU_ASSERT_STRING_EQUAL(copy, "");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"sizes", test_sizes},
		{"durations", test_durations},
		{"flags", test_flags},
		{"text from outside", test_foreign_text},
		{"a copy of it", test_foreign_copy},
		{"hexdump", test_hexdump},
		{"values", test_values},
		{"UTF-8", test_utf8},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_format", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
