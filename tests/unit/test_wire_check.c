/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdint.h>

#include "check.h"
#include "tap.h"
#include "vfio_user.h"

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

static void
test_min(void)
{
	struct vuc_error err = {""};

	CU_ASSERT_EQUAL(vuc_wire_check_min(VFIO_USER_VERSION, 4, 4, &err), 0);
	CU_ASSERT_EQUAL(vuc_wire_check_min(VFIO_USER_VERSION, SIZE_MAX, 4, &err), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
	CU_ASSERT_EQUAL(vuc_wire_check_min(VFIO_USER_VERSION, 3, 4, &err), -EPROTO);
	CU_ASSERT_STRING_EQUAL(
		err.text, "VFIO_USER_VERSION reply: body of 3 bytes, expected at least 4");
}

static void
test_size(void)
{
	struct vuc_error err = {""};

	CU_ASSERT_EQUAL(vuc_wire_check_size(VFIO_USER_DMA_WRITE, 17, 17, &err), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
	CU_ASSERT_EQUAL(vuc_wire_check_size(VFIO_USER_DMA_WRITE, 16, 17, &err), -EPROTO);
	CU_ASSERT_STRING_EQUAL(err.text, "VFIO_USER_DMA_WRITE: body of 16 bytes, expected 17");
	CU_ASSERT_EQUAL(
		vuc_wire_check_size(VFIO_USER_DMA_WRITE, 18, UINT64_C(1) << 32, &err), -EPROTO);
	CU_ASSERT_STRING_EQUAL(
		err.text, "VFIO_USER_DMA_WRITE: body of 18 bytes, expected 4294967296");
}

static void
test_fields(void)
{
	struct vuc_error err = {""};

	CU_ASSERT_EQUAL(vuc_wire_check_number(VFIO_USER_VERSION, "major", 0, 0, &err), 0);
	CU_ASSERT_EQUAL(vuc_wire_check_hex(VFIO_USER_VERSION, "flags", 7, 7, &err), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
	CU_ASSERT_EQUAL(vuc_wire_check_number(VFIO_USER_VERSION, "major", 12, 0, &err), -EPROTO);
	CU_ASSERT_STRING_EQUAL(err.text, "VFIO_USER_VERSION reply: major 12, expected 0");
	CU_ASSERT_EQUAL(
		vuc_wire_check_hex(VFIO_USER_VERSION, "flags", UINT64_MAX, 31, &err), -EPROTO);
	CU_ASSERT_STRING_EQUAL(
		err.text, "VFIO_USER_VERSION reply: flags 0xffffffffffffffff, expected 0x1f");
}

static void
test_bounds(void)
{
	struct vuc_error err = {""};

	CU_ASSERT_EQUAL(vuc_wire_check_least(VFIO_USER_VERSION, "argsz", 8, 8, &err), 0);
	CU_ASSERT_EQUAL(vuc_wire_check_most(VFIO_USER_VERSION, "minor", 8, 8, &err), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
	CU_ASSERT_EQUAL(vuc_wire_check_least(VFIO_USER_VERSION, "argsz", 7, 8, &err), -EPROTO);
	CU_ASSERT_STRING_EQUAL(err.text, "VFIO_USER_VERSION reply: argsz 7, expected at least 8");
	CU_ASSERT_EQUAL(vuc_wire_check_most(VFIO_USER_VERSION, "minor", 9, 8, &err), -EPROTO);
	CU_ASSERT_STRING_EQUAL(err.text, "VFIO_USER_VERSION reply: minor 9, expected at most 8");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"begins with the name of the message", test_names_the_message},
		{"a body's least size", test_min},
		{"a body's only size", test_size},
		{"a field's only value", test_fields},
		{"a field's bounds", test_bounds},
		CU_TEST_INFO_NULL,
	};
	return vuc_tap_tests("check", NULL, NULL, tests);
}
