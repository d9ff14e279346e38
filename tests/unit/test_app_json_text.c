/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "tap.h"
#include "utf8.h"

/* What is parsed stands in an array without a NUL behind it. */
static int
parse(const char *text, size_t len, struct json_object **root, struct vuc_error *err)
{
	char copy[256];

	memset(copy, '7', sizeof(copy));
	memcpy(copy, text, len);
	return app_json_parse(copy, len, root, err);
}

/* Text, and what json-c makes of what it means. */
static void
test_taken(void)
{
	static const char *const rows[][2] = {
		{"null", "null"},
		{" \t\r\n[ true , false ] \n", "[true,false]"},
		{"{}", "{}"},
		{"[]", "[]"},
		{"{\"a\":{\"b\":[1,{}]},\"\":\"\"}", "{\"a\":{\"b\":[1,{}]},\"\":\"\"}"},
		{"0", "0"},
		{"-7", "-7"},
		{"999999999999999999", "999999999999999999"},
		{"-1.5e+3", "-1.5e+3"},
		{"[0.0,-0.00e-01,10.01E+00]", "[0.0,-0.00e-01,10.01E+00]"},
		{"\"a\\n\\u0041\\\"/\"", "\"a\\nA\\\"/\""},
		{"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
			"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
		{"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
		{"[{\"a\":{\"a\":\":\"}},{\"a\":1}]", "[{\"a\":{\"a\":\":\"}},{\"a\":1}]"},
		{"[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]", "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json_object *root;
		struct vuc_error err = {""};
		int rc = parse(rows[i][0], strlen(rows[i][0]), &root, &err);
		const char *made = json_object_to_json_string_ext(
			root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

		CU_ASSERT(rc == 0 && strcmp(made, rows[i][1]) == 0);
		if (rc != 0 || strcmp(made, rows[i][1]) != 0)
			printf("# %s: returned %d, %s, \"%s\"\n", rows[i][0], rc, made, err.text);
		json_object_put(root);
	}
}

#define BYTES(text) text, sizeof(text) - 1
#define TWICE       "an object has two members of one name"
#define NOT_UTF8    "byte 1: not UTF-8"

static const struct {
	const char *text;
	size_t len;
	const char *why;
} refused[] = {
	{BYTES(""), "byte 0: unexpected end of data"},
	{BYTES("{"), "byte 1: unexpected end of data"},
	{BYTES("{\"a\""), "byte 4: unexpected end of data"},
	{BYTES("{\"a\":"), "byte 5: unexpected end of data"},
	{BYTES("{\"a\":1"), "byte 6: unexpected end of data"},
	{BYTES("{\"a\":1,}"), "byte 7: unexpected character"},
	{BYTES("{a:1}"), "byte 1: quoted object property name expected"},
	{BYTES("[1"), "byte 2: unexpected end of data"},
	{BYTES("[1,]"), "byte 3: unexpected character"},
	{BYTES("[1 2]"), "byte 3: array value separator ',' expected"},
	{BYTES("[1}"), "byte 2: array value separator ',' expected"},
	{BYTES("1 2"), "byte 2: unexpected character"},
	{BYTES("nul"), "byte 3: unexpected end of data"},
	{BYTES("True"), "byte 0: unexpected character"},
	{BYTES("NaN"), "byte 0: unexpected character"},
	{BYTES("Infinity"), "byte 0: unexpected character"},
	{BYTES("'a'"), "byte 0: unexpected character"},
	{BYTES("/**/1"), "byte 0: unexpected character"},
	/* Which of them counts would be a matter of the parser. */
	{BYTES("{\"a\":1,\"a\":1}"), TWICE},
	{BYTES("{\"a\":1,\"\\u0061\":2}"), TWICE},
	{BYTES("[{\"b\":{\"a\":1,\"c\":[],\"a\":{\"x\":1}}}]"), TWICE},
	/* Numbers. */
	{BYTES("01"), "byte 0: invalid number"},
	{BYTES("-"), "byte 1: unexpected end of data"},
	{BYTES("+1"), "byte 0: unexpected character"},
	{BYTES(".5"), "byte 0: invalid number"},
	{BYTES("1e"), "byte 2: unexpected end of data"},
	{BYTES("1e+"), "byte 3: unexpected end of data"},
	{BYTES("0x10"), "byte 1: unexpected character"},
	{BYTES("1."), "byte 1: invalid number"},
	{BYTES("-.5"), "byte 1: invalid number"},
	{BYTES("[1.e5]"), "byte 2: invalid number"},
	{BYTES("[00]"), "byte 1: invalid number"},
	{BYTES("-01"), "byte 1: invalid number"},
	{BYTES("1000000000000000000"), "byte 18: a number too long"},
	/* Strings. */
	{BYTES("\"a"), "byte 2: unexpected end of data"},
	{BYTES("\"a\\"), "byte 3: unexpected end of data"},
	{BYTES("\"\\x41\""), "byte 2: invalid string sequence"},
	{BYTES("\"\\u12g4\""), "byte 5: invalid string sequence"},
	{BYTES("\"\\u0000\""), "byte 1: U+0000 in a string"},
	{BYTES("\"a\tb\""), "byte 2: a control character in a string"},
	{BYTES("\"a\0b\""), "byte 2: a control character in a string"},
	{BYTES("1\0"), "byte 1: unexpected character"},
	{BYTES("\"\\\0\""), "byte 2: unexpected end of data"},
	/* UTF-8: a continuation alone, or none; over-long; a surrogate; behind the last
	 * code point; no first byte; cut off. */
	{BYTES("\"\x80\""), NOT_UTF8},
	{BYTES("\"\xc3\""), NOT_UTF8},
	{BYTES("\"\xc0\x80\""), NOT_UTF8},
	{BYTES("\"\xc1\xbf\""), NOT_UTF8},
	{BYTES("\"\xe0\x9f\xbf\""), NOT_UTF8},
	{BYTES("\"\xed\xa0\x80\""), NOT_UTF8},
	{BYTES("\"\xf0\x8f\xbf\xbf\""), NOT_UTF8},
	{BYTES("\"\xf4\x90\x80\x80\""), NOT_UTF8},
	{BYTES("\"\xf5\x80\x80\x80\""), NOT_UTF8},
	{BYTES("\"\xe2\x82\""), NOT_UTF8},
	{BYTES("\"\xf0\x9f\x98\""), NOT_UTF8},
	{BYTES("\"\xff\""), NOT_UTF8},
	{BYTES("\"\xe2\x82"), NOT_UTF8},
	{BYTES("\xef\xbb\xbf{}"), "byte 0: unexpected character"},
	/* Nesting. */
	{BYTES("[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]"), "byte 17: nesting too deep"},
	{BYTES("{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}"), "byte 21: nesting too deep"},
};

static void
test_refused(void)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct json_object *root;
		struct vuc_error err = {""};
		int rc = parse(refused[i].text, refused[i].len, &root, &err);

		CU_ASSERT(rc == -EINVAL && root == NULL && strcmp(err.text, refused[i].why) == 0);
		if (rc != -EINVAL || strcmp(err.text, refused[i].why) != 0)
			printf("# %s: returned %d, \"%s\"\n", refused[i].text, rc, err.text);
		json_object_put(root);
	}
}

/* ---- text from anywhere ---- */

#define R "\xef\xbf\xbd"

static void
test_clean(void)
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

const struct tap_suite tap_suite = {"app_json_text", NULL, NULL,
	{
		{"text that is JSON", test_taken},
		{"text that is not", test_refused},
		{"text made clean", test_clean},
	}};
