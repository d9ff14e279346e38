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

/* Whether text is taken and means the same as json-c's own text of it. */
static bool
means(const char *text, const char *same)
{
	struct json_object *root;
	struct vuc_error err = {""};
	int rc = parse(text, strlen(text), &root, &err);
	const char *made = json_object_to_json_string_ext(
		root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	bool ok = rc == 0 && strcmp(made, same) == 0;

	if (!ok)
		printf("# %s: returned %d, %s, \"%s\"\n", text, rc, made, err.text);
	json_object_put(root);
	return ok;
}

static bool
fails_bytes(const char *text, size_t len, const char *why)
{
	struct json_object *root;
	struct vuc_error err = {""};
	int rc = parse(text, len, &root, &err);

	if (rc == -EINVAL && root == NULL && strcmp(err.text, why) == 0)
		return true;
	printf("# %s: returned %d, \"%s\"\n", text, rc, err.text);
	json_object_put(root);
	return false;
}

static bool
fails(const char *text, const char *why)
{
	return fails_bytes(text, strlen(text), why);
}

static void
test_values(void)
{
	CU_ASSERT(means("null", "null"));
	CU_ASSERT(means(" \t\r\n[ true , false ] \n", "[true,false]"));
	CU_ASSERT(means("{}", "{}"));
	CU_ASSERT(means("[]", "[]"));
	CU_ASSERT(means("{\"a\":{\"b\":[1,{}]},\"\":\"\"}", "{\"a\":{\"b\":[1,{}]},\"\":\"\"}"));
	CU_ASSERT(means("0", "0"));
	CU_ASSERT(means("-7", "-7"));
	CU_ASSERT(means("999999999999999999", "999999999999999999"));
	CU_ASSERT(means("-1.5e+3", "-1.5e+3"));
	CU_ASSERT(means("\"a\\n\\u0041\\\"/\"", "\"a\\nA\\\"/\""));
	CU_ASSERT(means("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
		"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""));
	CU_ASSERT(means("\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""));
}

static void
test_not_json(void)
{
	CU_ASSERT(fails("", "byte 0: expected a value"));
	CU_ASSERT(fails("{", "byte 1: expected a name in quotes"));
	CU_ASSERT(fails("{\"a\"", "byte 4: expected ':'"));
	CU_ASSERT(fails("{\"a\":", "byte 5: expected a value"));
	CU_ASSERT(fails("{\"a\":1", "byte 6: expected ',' or '}'"));
	CU_ASSERT(fails("{\"a\":1,}", "byte 7: expected a name in quotes"));
	CU_ASSERT(fails("{a:1}", "byte 1: expected a name in quotes"));
	CU_ASSERT(fails("[1", "byte 2: expected ',' or ']'"));
	CU_ASSERT(fails("[1,]", "byte 3: expected a value"));
	CU_ASSERT(fails("[1 2]", "byte 3: expected ',' or ']'"));
	CU_ASSERT(fails("[1}", "byte 2: expected ',' or ']'"));
	CU_ASSERT(fails("1 2", "byte 2: something behind the value"));
	CU_ASSERT(fails("nul", "byte 0: expected a value"));
	CU_ASSERT(fails("True", "byte 0: expected a value"));
	CU_ASSERT(fails("NaN", "byte 0: expected a value"));
	CU_ASSERT(fails("Infinity", "byte 0: expected a value"));
	CU_ASSERT(fails("'a'", "byte 0: expected a value"));
	CU_ASSERT(fails("/**/1", "byte 0: expected a value"));
}

/* Which of them counts would be a matter of the parser. */
static void
test_duplicates(void)
{
	static const char why[] = "an object has two members of one name";

	CU_ASSERT(fails("{\"a\":1,\"a\":1}", why));
	CU_ASSERT(fails("{\"a\":1,\"\\u0061\":2}", why));
	CU_ASSERT(fails("[{\"b\":{\"a\":1,\"c\":[],\"a\":{\"x\":1}}}]", why));
	CU_ASSERT(means("[{\"a\":{\"a\":\":\"}},{\"a\":1}]", "[{\"a\":{\"a\":\":\"}},{\"a\":1}]"));
}

static void
test_numbers(void)
{
	CU_ASSERT(fails("01", "byte 1: something behind the value"));
	CU_ASSERT(fails("-", "byte 1: expected a digit"));
	CU_ASSERT(fails("+1", "byte 0: expected a value"));
	CU_ASSERT(fails("1.", "byte 2: expected a digit"));
	CU_ASSERT(fails(".5", "byte 0: expected a value"));
	CU_ASSERT(fails("1e", "byte 2: expected a digit"));
	CU_ASSERT(fails("1e+", "byte 3: expected a digit"));
	CU_ASSERT(fails("0x10", "byte 1: something behind the value"));
	CU_ASSERT(fails("1000000000000000000", "byte 19: a number too long"));
}

static void
test_strings(void)
{
	CU_ASSERT(fails("\"a", "byte 2: a string without an end"));
	CU_ASSERT(fails("\"a\\", "byte 3: an unknown escape"));
	CU_ASSERT(fails("\"\\x41\"", "byte 2: an unknown escape"));
	CU_ASSERT(fails("\"\\u12g4\"", "byte 5: \\u wants four hexadecimal digits"));
	CU_ASSERT(fails("\"\\u0000\"", "byte 7: U+0000 in a string"));
	CU_ASSERT(fails("\"a\tb\"", "byte 2: a control character in a string"));
	CU_ASSERT(fails_bytes("\"a\0b\"", 5, "byte 2: a control character in a string"));
	CU_ASSERT(fails_bytes("1\0", 2, "byte 1: something behind the value"));
	CU_ASSERT(fails_bytes("\"\\\0\"", 4, "byte 2: an unknown escape"));
}

static void
test_utf8(void)
{
	static const char *const bad[] = {
		"\"\x80\"",             /* a continuation alone */
		"\"\xc3\"",             /* none behind the first byte */
		"\"\xc0\x80\"",         /* an overlong NUL */
		"\"\xc1\xbf\"",         /* overlong */
		"\"\xe0\x9f\xbf\"",     /* overlong */
		"\"\xed\xa0\x80\"",     /* a surrogate */
		"\"\xf0\x8f\xbf\xbf\"", /* overlong */
		"\"\xf4\x90\x80\x80\"", /* behind the last code point */
		"\"\xf5\x80\x80\x80\"", /* no first byte */
		"\"\xe2\x82\"",         /* cut off */
		"\"\xf0\x9f\x98\"",     /* cut off */
		"\"\xff\"",             /* no byte of UTF-8 */
		"\"\xe2\x82",           /* cut off by the end */
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT(fails(bad[i], "byte 1: not UTF-8"));
	CU_ASSERT(fails("\xef\xbb\xbf{}", "byte 0: expected a value"));
}

static void
test_depth(void)
{
	CU_ASSERT(means("[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]", "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]"));
	CU_ASSERT(fails("[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "byte 17: nested too deeply"));
	CU_ASSERT(fails("{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", "byte 21: nested too deeply"));
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

int
main(void)
{
	CU_TestInfo tests[] = {
		{"values", test_values},
		{"text that is not JSON", test_not_json},
		{"duplicates", test_duplicates},
		{"numbers", test_numbers},
		{"strings", test_strings},
		{"UTF-8", test_utf8},
		{"nesting", test_depth},
		{"text made clean", test_clean},
		CU_TEST_INFO_NULL,
	};
	return vuc_tap_tests("app_json_text", NULL, NULL, tests);
}
