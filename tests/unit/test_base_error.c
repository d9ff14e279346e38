/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "error.h"
#include "tap.h"

static void
test_returns_code(void)
{
	struct vuc_error err = {"before"};

	CU_ASSERT_EQUAL(vuc_error_set(&err, -EPROTO, "field %d", 7), -EPROTO);
	CU_ASSERT_STRING_EQUAL(err.text, "field 7");
	CU_ASSERT_EQUAL(vuc_error_set(&err, 0, "%s", ""), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
}

static void
test_no_error(void)
{
	CU_ASSERT_EQUAL(vuc_error_set(NULL, -ENOMEM, "%s", "nobody listens"), -ENOMEM);
}

static void
test_replaces_unprintable(void)
{
	struct vuc_error err;

	vuc_error_set(&err, -EPROTO, "%s%c", "a\nb\xc3\xa9", 255);
	CU_ASSERT_STRING_EQUAL(err.text, "a?b???");
}

static void
test_cuts_long_lines(void)
{
	struct vuc_error err;
	char text[2 * VUC_ERROR_MAX];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	CU_ASSERT_EQUAL(vuc_error_set(&err, -EIO, "%s", text), -EIO);
	CU_ASSERT_EQUAL(strlen(err.text), VUC_ERROR_MAX - 1);
	CU_ASSERT_EQUAL(strspn(err.text, "x"), VUC_ERROR_MAX - 1);
}

static void
test_words_around(void)
{
	struct vuc_error err;

	vuc_error_set(&err, -EPROTO, "index 4");
	CU_ASSERT_EQUAL(vuc_error_set(&err, -EPROTO, "device: %s!", err.text), -EPROTO);
	CU_ASSERT_STRING_EQUAL(err.text, "device: index 4!");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"returns the code it is given", test_returns_code},
		{"takes no error to fill", test_no_error},
		{"replaces what is not printable", test_replaces_unprintable},
		{"cuts a line that is too long", test_cuts_long_lines},
		{"can put words around its own text", test_words_around},
		CU_TEST_INFO_NULL,
	};
	return vuc_tap_tests("error", NULL, NULL, tests);
}
