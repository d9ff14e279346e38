/* SPDX-License-Identifier: BSD-3-Clause */
#include "tap.h"
#include "text.h"

static void
test_clean(void)
{
	static const struct {
		void (*clean)(char *text);
		const char *text, *cleaned;
	} rows[] = {
		{vuc_text_clean, "a\nb\x1b[0m\tc\x7f\xc3\xa9 ~", "a?b?[0m?c??? ~"},
		{vuc_text_clean, "\"\\", "\"\\"},
		{vuc_text_clean, "\x80\xff", "??"},
		{vuc_text_clean_name, "a\"b\\c\nd", "a?b?c?d"},
		{vuc_text_clean_name, "disk0 ~", "disk0 ~"},
		{vuc_text_clean_controls, "\x01\r\n\x1b[2J\x7f", "????[2J?"},
		{vuc_text_clean_controls, "/tmp/\xc3\xa9\xe2\x82\xac", "/tmp/\xc3\xa9\xe2\x82\xac"},
		{vuc_text_clean_controls,
			"\xc2\x9b"
			"2J\xc2\x80\xc2\xa0",
			"??2J??\xc2\xa0"},
		{vuc_text_clean_controls, "\xc2", "\xc2"},
		{vuc_text_clean_controls, "", ""},
	};

	for (size_t i = 0; i < NR(rows); i++) {
		char text[32];

		snprintf(text, sizeof(text), "%s", rows[i].text);
		rows[i].clean(text);
		CU_ASSERT_STRING_EQUAL(text, rows[i].cleaned);
	}
}

static void
test_escape(void)
{
	static const struct {
		size_t size;
		const char *text, *escaped;
	} rows[] = {
		{16, "a b~", "a b~"},
		{16, "\x1b[\xc3\xa9", "\\x1b[\\xc3\\xa9"},
		{4, "abcd", "abc"},
		{5, "a\nb", "a"}, /* no part of an escape */
		{6, "a\nb", "a\\x0a"},
		{1, "a", ""},
	};

	for (size_t i = 0; i < NR(rows); i++) {
		char text[16];

		vuc_text_escape(text, rows[i].size, rows[i].text);
		CU_ASSERT_STRING_EQUAL(text, rows[i].escaped);
	}
}

const struct tap_suite tap_suite = {"text", NULL, NULL,
	{
		{"what would act on a terminal, or break a line or a name, is replaced",
			test_clean},
		{"a copy is cut off before what does not fit", test_escape},
	}};
