/* SPDX-License-Identifier: BSD-3-Clause */
#include "strict_json.h"
#include "tap.h"

#define NOT_JSON(byte, what) "is not JSON at byte " #byte ": " what
#define CHARACTER(c)         "unexpected character '" c "'"
#define TWICE(name)          "has the member \"" name "\" twice"

struct json_row {
	const char *text;
	const char *why; /* NULL: it is taken */
};

static void
check_rows(const struct json_row *rows, size_t nr_rows)
{
	for (const struct json_row *r = rows; r < rows + nr_rows; r++) {
		struct json_object *root = NULL;
		struct vuc_error err = {""};
		int rc = vuc_wire_strict_json_parse(r->text, strlen(r->text), &root, &err);
		bool right = r->why == NULL
			? rc == 0
			: rc == -EPROTO && root == NULL && strcmp(err.text, r->why) == 0;

		json_object_put(root);
		if (!right)
			printf("# %s: returned %d and \"%s\"\n", r->text, rc, err.text);
		CU_ASSERT(right);
	}
}

#define CHECK_ROWS(rows) check_rows(rows, NR(rows))

static void
test_values(void)
{
	static const struct json_row rows[] = {
		{"{}"},
		{" \t\r\n{ } \t\r\n"},
		{"[]"},
		{"null"},
		{"-12.5e+3"},
		{"5"},
		{"\"\""},
		{"{\"a\":[true,false,null,-1,0.5,\"x\\\"y:z\\\\\",{\"a\":{\"a\":1}}]}"},
		{"[{\"a\":1},{\"a\":2}]"},
		{"{\"\\u00e9\":\"NaN 'x' :\xc3\xa9\"}"},
		{"{\":\":1,\"\\\":\":2}"},
	};
	struct json_object *root = NULL, *value = NULL;
	struct vuc_error err;

	CHECK_ROWS(rows);
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
	static const struct json_row rows[] = {
		{"", NOT_JSON(0, "unexpected end of data")},
		{"{", NOT_JSON(1, "unexpected end of data")},
		{"{\"a", NOT_JSON(3, "unexpected end of data")},
		{"{\"a\":1", NOT_JSON(6, "unexpected end of data")},
		{"{\"a\":1}}", NOT_JSON(7, "unexpected character")},
		{"{} {}", NOT_JSON(3, "unexpected character")},
		{"[\"\\\n\"]", NOT_JSON(3, "invalid string sequence")},
		{"{\"a\":1,}", NOT_JSON(7, "unexpected character")},
		/* What some versions of json-c take even when they are told to be strict. */
		{"/**/{}", NOT_JSON(0, CHARACTER("/"))},
		{"{'a':1}", NOT_JSON(1, CHARACTER("'"))},
		{"{'a\"b':1}", NOT_JSON(1, CHARACTER("'"))},
		{"{\"a\":NaN}", NOT_JSON(5, CHARACTER("N"))},
		{"{\"a\":Infinity}", NOT_JSON(5, CHARACTER("I"))},
		{"[-Infinity]", NOT_JSON(2, CHARACTER("I"))},
		{"{}\v", NOT_JSON(2, CHARACTER("?"))},
		{"[\"\\\"\n\"]", NOT_JSON(4, CHARACTER("?"))},
		{"[\xc3\xa9]", NOT_JSON(1, CHARACTER("?"))},
	};

	CHECK_ROWS(rows);
}

static void
test_depth(void)
{
	char text[2 * VUC_WIRE_JSON_DEPTH + 2];
	const struct json_row deep = {text, NOT_JSON(16, "nesting too deep")}, right = {text};
	size_t n = VUC_WIRE_JSON_DEPTH;

	memset(text, '[', n);
	text[n] = '1';
	memset(text + n + 1, ']', n);
	text[2 * n + 1] = '\0';
	check_rows(&deep, 1);
	text[0] = ' ';
	text[2 * n] = ' ';
	check_rows(&right, 1);
}

static void
test_duplicates(void)
{
	static const struct json_row rows[] = {
		{"{\"a\":1,\"a\":1}", TWICE("a")},
		{"{\"x\":{\"b\":1 , \"b\" :2}}", TWICE("b")},
		{"[{\"b\":1},{\"c\":0,\"c\":0}]", TWICE("c")},
		{"{\"a\":{\"m\":1},\"a\":{\"m\":1}}", TWICE("a")},
		{"{\"a\":{\"m\":1},\"m\":{\"m\":1},\"y\":1,\"y\":2}", TWICE("y")},
		{"{\"\":1,\"\":2}", TWICE("")},
		{"{\"a\\n\":1,\"a\\n\":2}", TWICE("a\\n")},
		/* The same name in other letters. */
		{"{\"a\":1,\"\\u0061\":2}", "has a member twice"},
		{"{\"a\":1,\"a\\u0000b\":2}", "has a member twice"},
	};

	CHECK_ROWS(rows);
}

const struct tap_suite tap_suite = {"strict_json", NULL, NULL,
	{
		{"values of all types", test_values},
		{"text that is not JSON", test_not_json},
		{"nesting", test_depth},
		{"members given twice", test_duplicates},
	}};
