/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"
#include "tap.h"

#define DATA VUC_WIRE_DATA

/* Written down once more from the specification, as plain numbers. */
static const struct {
	uint16_t cmd;
	struct vuc_wire_command
		row; /* name, from_server, no_reply, request_fds, reply_fds, sizes, optional */
} expected[] = {
	{1, {"VFIO_USER_VERSION", false, false, false, true, 4, 4100, 4, 4100}},
	{2, {"VFIO_USER_DMA_MAP", false, true, true, false, 32, 32, 0, 0}},
	{3, {"VFIO_USER_DMA_UNMAP", false, true, false, false, 24, 40, 0, DATA}},
	{4, {"VFIO_USER_DEVICE_GET_INFO", false, false, false, false, 16, 16, 16, 65536}},
	{5, {"VFIO_USER_DEVICE_GET_REGION_INFO", false, false, false, true, 32, 32, 32, 65536}},
	{6,
		{"VFIO_USER_DEVICE_GET_REGION_IO_FDS", false, false, false, true, 16, 16, 16, 65536,
			true}},
	{7, {"VFIO_USER_DEVICE_GET_IRQ_INFO", false, false, false, false, 16, 16, 16, 65536}},
	{8, {"VFIO_USER_DEVICE_SET_IRQS", false, true, true, false, 20, 65556, 0, 0}},
	{9, {"VFIO_USER_REGION_READ", false, false, false, false, 16, 16, 16, DATA}},
	{10, {"VFIO_USER_REGION_WRITE", false, true, false, false, 16, DATA, 16, 16}},
	{11, {"VFIO_USER_DMA_READ", true, false, false, false, 16, 16, 16, DATA}},
	{12, {"VFIO_USER_DMA_WRITE", true, true, false, false, 16, DATA, 16, 16}},
	{13, {"VFIO_USER_DEVICE_RESET", false, true, false, false, 0, 0, 0, 0, true}},
	{15, {"VFIO_USER_REGION_WRITE_MULTI", false, true, false, false, 8, DATA, 8, 8, true}},
	{16, {"VFIO_USER_DEVICE_FEATURE", false, false, false, false, 8, DATA, 8, DATA, true}},
	{17, {"VFIO_USER_MIG_DATA_READ", false, false, false, false, 8, 8, 8, DATA, true}},
	{18, {"VFIO_USER_MIG_DATA_WRITE", false, true, false, false, 8, DATA, 0, 0, true}},
};

#define NR_EXPECTED (NR(expected))

static void
test_rows(void)
{
	for (size_t i = 0; i < NR_EXPECTED; i++) {
		const struct vuc_wire_command *want = &expected[i].row;
		const struct vuc_wire_command *row = vuc_wire_command(expected[i].cmd);

		CU_ASSERT_PTR_NOT_NULL_FATAL(row);
		CU_ASSERT_STRING_EQUAL(row->name, want->name);
		CU_ASSERT_STRING_EQUAL(vuc_wire_command_name(expected[i].cmd), want->name);
		CU_ASSERT_EQUAL(row->from_server, want->from_server);
		CU_ASSERT_EQUAL(row->no_reply, want->no_reply);
		CU_ASSERT_EQUAL(row->request_fds, want->request_fds);
		CU_ASSERT_EQUAL(row->reply_fds, want->reply_fds);
		CU_ASSERT_EQUAL(row->request_min, want->request_min);
		CU_ASSERT_EQUAL(row->request_max, want->request_max);
		CU_ASSERT_EQUAL(row->reply_min, want->reply_min);
		CU_ASSERT_EQUAL(row->reply_max, want->reply_max);
		CU_ASSERT_EQUAL(row->optional, want->optional);
	}
}

static void
test_unknown(void)
{
	size_t known = 0;

	for (uint32_t cmd = 0; cmd <= UINT16_MAX; cmd++) {
		if (vuc_wire_command((uint16_t)cmd) != NULL)
			known++;
		else
			CU_ASSERT_STRING_EQUAL(vuc_wire_command_name((uint16_t)cmd), "(unknown)");
	}
	CU_ASSERT_EQUAL(known, NR_EXPECTED);
	CU_ASSERT_PTR_NULL(vuc_wire_command(0));
	CU_ASSERT_PTR_NULL(vuc_wire_command(14));
	CU_ASSERT_PTR_NULL(vuc_wire_command(VFIO_USER_MAX));
}

const struct tap_suite tap_suite = {"command", NULL, NULL,
	{
		{"every command of the specification", test_rows},
		{"numbers that are not assigned", test_unknown},
	}};
