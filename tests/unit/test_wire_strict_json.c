/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "strict_json.h"
#include "tap.h"

static bool
parses(const char *text)
{
	struct json_object *root = NULL;
	struct vuc_error err = {""};
	int rc = vuc_wire_strict_json_parse(text, strlen(text), &root, &err);

	json_object_put(root);
	if (rc == 0)
		return true;
	printf("# %s: returned %d and \"%s\"\n", text, rc, err.text);
	return false;
}

static bool
fails(const char *text, const char *why)
{
	struct json_object *root = NULL;
	struct vuc_error err = {""};
	int rc = vuc_wire_strict_json_parse(text, strlen(text), &root, &err);

	if (rc == -EPROTO && root == NULL && strcmp(err.text, why) == 0)
		return true;
	printf("# %s: returned %d and \"%s\"\n", text, rc, err.text);
	json_object_put(root);
	return false;
}

static void
test_values(void)
{
	CU_ASSERT(parses("{}"));
	CU_ASSERT(parses(" \t\r\n{ } \t\r\n"));
	CU_ASSERT(parses("[]"));
	CU_ASSERT(parses("null"));
	CU_ASSERT(parses("-12.5e+3"));
	CU_ASSERT(parses("5"));
	CU_ASSERT(parses("\"\""));
	CU_ASSERT(parses("{\"a\":[true,false,null,-1,0.5,\"x\\\"y:z\\\\\",{\"a\":{\"a\":1}}]}"));
	CU_ASSERT(parses("[{\"a\":1},{\"a\":2}]"));
	CU_ASSERT(parses("{\"\\u00e9\":\"NaN 'x' :\xc3\xa9\"}"));
	CU_ASSERT(parses("{\":\":1,\"\\\":\":2}"));
}

static void
test_result(void)
{
	struct json_object *root = NULL, *value = NULL;
	struct vuc_error err;

	CU_ASSERT_EQUAL_FATAL(vuc_wire_strict_json_parse("{\"a\":-7}", 8, &root, &err), 0);
	CU_ASSERT_TRUE(json_object_object_get_ex(root, "a", &value));
	CU_ASSERT_EQUAL(json_object_get_int64(value), -7);
	json_object_put(root);
	CU_ASSERT_EQUAL(vuc_wire_strict_json_parse("null", 4, &root, &err), 0);
	CU_ASSERT_PTR_NULL(root);
}

static void
test_not_json(void)
{
	CU_ASSERT(fails("", "is not JSON at byte 0: unexpected end of data"));
	CU_ASSERT(fails("{", "is not JSON at byte 1: unexpected end of data"));
	CU_ASSERT(fails("{\"a", "is not JSON at byte 3: unexpected end of data"));
	CU_ASSERT(fails("{\"a\":1", "is not JSON at byte 6: unexpected end of data"));
	CU_ASSERT(fails("{\"a\":1}}", "is not JSON at byte 7: unexpected character"));
	CU_ASSERT(fails("{} {}", "is not JSON at byte 3: unexpected character"));
	CU_ASSERT(fails("[\"\\\n\"]", "is not JSON at byte 3: invalid string sequence"));
	CU_ASSERT(fails("{\"a\":1,}", "is not JSON at byte 7: unexpected character"));
}

/* What some versions of json-c take even when they are told to be strict. */
static void
test_extensions(void)
{
	CU_ASSERT(fails("/**/{}", "is not JSON at byte 0: unexpected character '/'"));
	CU_ASSERT(fails("{'a':1}", "is not JSON at byte 1: unexpected character '''"));
	CU_ASSERT(fails("{'a\"b':1}", "is not JSON at byte 1: unexpected character '''"));
	CU_ASSERT(fails("{\"a\":NaN}", "is not JSON at byte 5: unexpected character 'N'"));
	CU_ASSERT(fails("{\"a\":Infinity}", "is not JSON at byte 5: unexpected character 'I'"));
	CU_ASSERT(fails("[-Infinity]", "is not JSON at byte 2: unexpected character 'I'"));
	CU_ASSERT(fails("{}\v", "is not JSON at byte 2: unexpected character '?'"));
	CU_ASSERT(fails("[\"\\\"\n\"]", "is not JSON at byte 4: unexpected character '?'"));
	CU_ASSERT(fails("[\xc3\xa9]", "is not JSON at byte 1: unexpected character '?'"));
}

static void
test_depth(void)
{
	char text[2 * VUC_WIRE_JSON_DEPTH + 2];
	size_t n = VUC_WIRE_JSON_DEPTH;

	memset(text, '[', n);
	text[n] = '1';
	memset(text + n + 1, ']', n);
	text[2 * n + 1] = '\0';
	CU_ASSERT(fails(text, "is not JSON at byte 16: nesting too deep"));
	text[0] = ' ';
	text[2 * n] = ' ';
	CU_ASSERT(parses(text));
}

static void
test_duplicates(void)
{
	CU_ASSERT(fails("{\"a\":1,\"a\":1}", "has the member \"a\" twice"));
	CU_ASSERT(fails("{\"x\":{\"b\":1 , \"b\" :2}}", "has the member \"b\" twice"));
	CU_ASSERT(fails("[{\"b\":1},{\"c\":0,\"c\":0}]", "has the member \"c\" twice"));
	CU_ASSERT(fails("{\"a\":{\"m\":1},\"a\":{\"m\":1}}", "has the member \"a\" twice"));
	CU_ASSERT(fails(
		"{\"a\":{\"m\":1},\"m\":{\"m\":1},\"y\":1,\"y\":2}", "has the member \"y\" twice"));
	CU_ASSERT(fails("{\"\":1,\"\":2}", "has the member \"\" twice"));
	CU_ASSERT(fails("{\"a\\n\":1,\"a\\n\":2}", "has the member \"a\\n\" twice"));
	/* The same name in other letters. */
	CU_ASSERT(fails("{\"a\":1,\"\\u0061\":2}", "has a member twice"));
	CU_ASSERT(fails("{\"a\":1,\"a\\u0000b\":2}", "has a member twice"));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"values of all types", test_values},
		{"the result", test_result},
		{"text that is not JSON", test_not_json},
		{"text that only json-c takes", test_extensions},
		{"nesting", test_depth},
		{"members given twice", test_duplicates},
		CU_TEST_INFO_NULL,
	};
	return vuc_tap_tests("strict_json", NULL, NULL, tests);
}
