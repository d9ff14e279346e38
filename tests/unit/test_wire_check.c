/* SPDX-License-Identifier: BSD-3-Clause */
#include "check.h"
#include "tap.h"
#include "vfio_user.h"

#define VERSION VFIO_USER_VERSION
#define WRITE   VFIO_USER_DMA_WRITE

static void
test_names_the_message(void)
{
	struct vuc_error err;

	CU_ASSERT_EQUAL(vuc_wire_refuse(&err, VFIO_USER_REGION_READ, "count %d", 3), -EPROTO);
	CU_ASSERT_STRING_EQUAL(err.text, "VFIO_USER_REGION_READ reply: count 3");
	CU_ASSERT_EQUAL(vuc_wire_refuse(&err, VFIO_USER_DMA_READ, "count %d", 3), -EPROTO);
	CU_ASSERT_STRING_EQUAL(err.text, "VFIO_USER_DMA_READ: count 3");
	CU_ASSERT_EQUAL(vuc_wire_refuse(NULL, VFIO_USER_DMA_READ, "count %d", 3), -EPROTO);
}

/* Whether a check has found nothing, or this; why NULL: nothing. */
static void
check_found(int rc, struct vuc_error *err, const char *why)
{
	CU_ASSERT_EQUAL(rc, why != NULL ? -EPROTO : 0);
	CU_ASSERT(tap_text_is(err->text, why != NULL ? why : ""));
	err->text[0] = '\0';
}

static void
test_sizes(void)
{
	struct vuc_error err = {""};

	check_found(vuc_wire_check_min(VERSION, 4, 4, &err), &err, NULL);
	check_found(vuc_wire_check_min(VERSION, SIZE_MAX, 4, &err), &err, NULL);
	check_found(vuc_wire_check_min(VERSION, 3, 4, &err), &err,
		"VFIO_USER_VERSION reply: body of 3 bytes, expected at least 4");
	check_found(vuc_wire_check_size(WRITE, 17, 17, &err), &err, NULL);
	check_found(vuc_wire_check_size(WRITE, 16, 17, &err), &err,
		"VFIO_USER_DMA_WRITE: body of 16 bytes, expected 17");
	check_found(vuc_wire_check_size(WRITE, 18, UINT64_C(1) << 32, &err), &err,
		"VFIO_USER_DMA_WRITE: body of 18 bytes, expected 4294967296");
}

static void
test_fields(void)
{
	struct vuc_error err = {""};

	check_found(vuc_wire_check_number(VERSION, "major", 0, 0, &err), &err, NULL);
	check_found(vuc_wire_check_hex(VERSION, "flags", 7, 7, &err), &err, NULL);
	check_found(vuc_wire_check_number(VERSION, "major", 12, 0, &err), &err,
		"VFIO_USER_VERSION reply: major 12, expected 0");
	check_found(vuc_wire_check_hex(VERSION, "flags", UINT64_MAX, 31, &err), &err,
		"VFIO_USER_VERSION reply: flags 0xffffffffffffffff, expected 0x1f");
	check_found(vuc_wire_check_least(VERSION, "argsz", 8, 8, &err), &err, NULL);
	check_found(vuc_wire_check_most(VERSION, "minor", 8, 8, &err), &err, NULL);
	check_found(vuc_wire_check_least(VERSION, "argsz", 7, 8, &err), &err,
		"VFIO_USER_VERSION reply: argsz 7, expected at least 8");
	check_found(vuc_wire_check_most(VERSION, "minor", 9, 8, &err), &err,
		"VFIO_USER_VERSION reply: minor 9, expected at most 8");
}

const struct tap_suite tap_suite = {"check", NULL, NULL,
	{
		{"begins with the name of the message", test_names_the_message},
		{"a body's least and only size", test_sizes},
		{"a field's only value and bounds", test_fields},
	}};
