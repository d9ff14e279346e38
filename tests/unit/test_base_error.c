/* SPDX-License-Identifier: BSD-3-Clause */
#include "error.h"
#include "tap.h"

static void
test_set(void)
{
	struct vuc_error err = {"before"};

	CU_ASSERT_EQUAL(vuc_error_set(&err, -EPROTO, "field %d", 7), -EPROTO);
	CU_ASSERT_STRING_EQUAL(err.text, "field 7");
	CU_ASSERT_EQUAL(vuc_error_set(&err, 0, "%s", ""), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
	CU_ASSERT_EQUAL(vuc_error_set(NULL, -ENOMEM, "%s", "nobody listens"), -ENOMEM);
	vuc_error_set(&err, -EPROTO, "%s%c", "a\nb\xc3\xa9", 255);
	CU_ASSERT_STRING_EQUAL(err.text, "a?b???");
	vuc_error_set(&err, -EPROTO, "index 4");
	CU_ASSERT_EQUAL(vuc_error_set(&err, -EPROTO, "device: %s!", err.text), -EPROTO);
	CU_ASSERT_STRING_EQUAL(err.text, "device: index 4!");
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

const struct tap_suite tap_suite = {"error", NULL, NULL,
	{
		{"the code is returned, the text printable, its own words may be in it", test_set},
		{"cuts a line that is too long", test_cuts_long_lines},
	}};
