/* SPDX-License-Identifier: BSD-3-Clause */
#include <CUnit/CUnit.h>

#include "pci_caps.h"
#include "tap.h"
#include "vucctl_sample.h"

static uint8_t bytes[VUCCTL_PCIE_CONFIG_SIZE];
static struct vucctl_pci_caps caps;

static void
walk(size_t len)
{
	struct vucctl_pci_image image = {bytes, len};

	vucctl_pci_caps_walk(&image, &caps);
}

static void
test_both_lists(void)
{
	static const struct vucctl_pci_cap expected[] = {
		{SAMPLE_PM, 0x01, false, 0},
		{SAMPLE_MSI, 0x05, false, 0},
		{SAMPLE_EXP, 0x10, false, 0},
		{SAMPLE_MSIX, 0x11, false, 0},
		{SAMPLE_VNDR, 0x09, false, 0},
		{SAMPLE_AER, 0x0001, true, 2},
		{SAMPLE_DSN, 0x0003, true, 1},
	};
	unsigned int i;

	sample_fill_config(bytes);
	walk(sizeof(bytes));
	CU_ASSERT_EQUAL_FATAL(caps.count, 7);
	for (i = 0; i < 7; i++) {
		CU_ASSERT_EQUAL(caps.caps[i].offset, expected[i].offset);
		CU_ASSERT_EQUAL(caps.caps[i].id, expected[i].id);
		CU_ASSERT_EQUAL(caps.caps[i].extended, expected[i].extended);
		CU_ASSERT_EQUAL(caps.caps[i].version, expected[i].version);
	}
	CU_ASSERT_STRING_EQUAL(caps.problem, "");
	CU_ASSERT_STRING_EQUAL(caps.ext_problem, "");
}

static void
test_no_extended_space(void)
{
	sample_fill_config(bytes);
	walk(VUCCTL_PCI_CONFIG_SIZE);
	CU_ASSERT_EQUAL(caps.count, 5);
	CU_ASSERT_STRING_EQUAL(caps.ext_problem, "");
}

static void
test_status_says_no_list(void)
{
	sample_fill_config(bytes);
	bytes[0x06] = 0;
	walk(VUCCTL_PCI_CONFIG_SIZE);
	CU_ASSERT_EQUAL(caps.count, 0);
	CU_ASSERT_STRING_EQUAL(caps.problem, "");
}

static void
test_cardbus_pointer(void)
{
	sample_fill_config(bytes);
	bytes[0x0e] = 0x82;
	bytes[0x34] = 0;
	bytes[0x14] = SAMPLE_VNDR;
	walk(VUCCTL_PCI_CONFIG_SIZE);
	CU_ASSERT_EQUAL_FATAL(caps.count, 1);
	CU_ASSERT_EQUAL(caps.caps[0].offset, SAMPLE_VNDR);
}

static void
test_reserved_pointer_bits(void)
{
	sample_fill_config(bytes);
	bytes[0x34] = SAMPLE_VNDR | 3;
	bytes[SAMPLE_VNDR + 1] = 2;
	walk(VUCCTL_PCI_CONFIG_SIZE);
	CU_ASSERT_EQUAL(caps.count, 1);
	CU_ASSERT_STRING_EQUAL(caps.problem, "");
}

static void
test_loops(void)
{
	sample_fill_config(bytes);
	bytes[SAMPLE_VNDR + 1] = SAMPLE_MSI;
	sample_put_ext_cap(bytes, SAMPLE_DSN, 3, 1, SAMPLE_DSN);
	walk(sizeof(bytes));
	CU_ASSERT_EQUAL(caps.count, 7);
	CU_ASSERT_STRING_EQUAL(caps.problem, "loop, back to 0x48");
	CU_ASSERT_STRING_EQUAL(caps.ext_problem, "loop, back to 0x148");
}

static void
test_link_into_header(void)
{
	sample_fill_config(bytes);
	bytes[SAMPLE_PM + 1] = 0x3c;
	sample_put_ext_cap(bytes, SAMPLE_AER, 1, 1, 0xfc);
	walk(sizeof(bytes));
	CU_ASSERT_EQUAL(caps.count, 2);
	CU_ASSERT_STRING_EQUAL(caps.problem, "link into the header, to 0x3c");
	CU_ASSERT_STRING_EQUAL(caps.ext_problem, "link to 0x0fc, below 0x100");
}

static void
test_truncated_image(void)
{
	sample_fill_config(bytes);
	walk(SAMPLE_MSIX + 1);
	CU_ASSERT_EQUAL(caps.count, 3);
	CU_ASSERT_STRING_EQUAL(caps.problem, "link to 0xa0, behind what was read");
	walk(SAMPLE_MSIX + 2);
	CU_ASSERT_EQUAL(caps.count, 4);
	walk(SAMPLE_DSN + 3);
	CU_ASSERT_EQUAL(caps.count, 6);
	CU_ASSERT_STRING_EQUAL(caps.ext_problem, "link to 0x148, behind what was read");
	walk(SAMPLE_DSN + 4);
	CU_ASSERT_EQUAL(caps.count, 7);
	CU_ASSERT_STRING_EQUAL(caps.ext_problem, "");
}

static void
test_nothing_answers(void)
{
	sample_fill_config(bytes);
	bytes[SAMPLE_MSI] = 0xff;
	sample_put32(bytes, SAMPLE_DSN, UINT32_MAX);
	walk(sizeof(bytes));
	CU_ASSERT_EQUAL(caps.count, 2);
	CU_ASSERT_STRING_EQUAL(caps.problem, "nothing answers at 0x48");
	CU_ASSERT_STRING_EQUAL(caps.ext_problem, "nothing answers at 0x148");
	sample_put32(bytes, SAMPLE_AER, UINT32_MAX);
	walk(sizeof(bytes));
	CU_ASSERT_EQUAL(caps.count, 1);
	CU_ASSERT_STRING_EQUAL(caps.ext_problem, "");
}

static void
test_empty_extended_list(void)
{
	sample_fill_config(bytes);
	sample_put32(bytes, SAMPLE_AER, 0);
	walk(sizeof(bytes));
	CU_ASSERT_EQUAL(caps.count, 5);
	CU_ASSERT_STRING_EQUAL(caps.ext_problem, "");
}

/* Both lists as long as they can be, then closed to a circle. */
static void
test_longest_lists(void)
{
	unsigned int offset;

	memset(bytes, 0, sizeof(bytes));
	bytes[0x06] = 0x10;
	bytes[0x34] = 0x40;
	for (offset = 0x40; offset < 0x100; offset += 4)
		sample_put_cap(bytes, offset, 0x09, (uint8_t)(offset + 4));
	for (offset = 0x100; offset < 0x1000; offset += 4)
		sample_put_ext_cap(bytes, offset, 0x0b, 1, offset + 4);
	walk(sizeof(bytes));
	CU_ASSERT_EQUAL(caps.count, VUCCTL_PCI_MAX_CAPS + VUCCTL_PCI_MAX_EXT_CAPS);
	CU_ASSERT_STRING_EQUAL(caps.problem, "");
	CU_ASSERT_STRING_EQUAL(caps.ext_problem, "");
	bytes[0xfd] = 0x40;
	sample_put_ext_cap(bytes, 0xffc, 0x0b, 1, 0x100);
	walk(sizeof(bytes));
	CU_ASSERT_EQUAL(caps.count, VUCCTL_PCI_MAX_CAPS + VUCCTL_PCI_MAX_EXT_CAPS);
	CU_ASSERT_STRING_EQUAL(caps.problem, "loop, back to 0x40");
	CU_ASSERT_STRING_EQUAL(caps.ext_problem, "loop, back to 0x100");
}

/* Whatever the bytes and however many, the walk ends and stays inside of what it was given. */
static void
test_noise(void)
{
	uint32_t state = 1, round;
	uint8_t *exact;
	size_t len, i;

	for (round = 0; round < 2000; round++) {
		state = state * 1664525 + 1013904223;
		len = (state >> 8) % (sizeof(bytes) + 1);
		/* A block of its own, so that sanitizers see an access behind it. */
		exact = malloc(len + 1);
		CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
		for (i = 0; i < len; i++) {
			state = state * 1664525 + 1013904223;
			exact[i] = (uint8_t)(state >> 16);
		}
		exact = realloc(exact, len > 0 ? len : 1);
		CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
		vucctl_pci_caps_walk(&(struct vucctl_pci_image){exact, len}, &caps);
		CU_ASSERT(caps.count <= VUCCTL_PCI_MAX_CAPS + VUCCTL_PCI_MAX_EXT_CAPS);
		for (i = 0; i < caps.count; i++)
			CU_ASSERT(caps.caps[i].offset + 2u <= len);
		free(exact);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"both lists", test_both_lists},
		{"no extended space", test_no_extended_space},
		{"status says no list", test_status_says_no_list},
		{"CardBus pointer", test_cardbus_pointer},
		{"reserved bits of pointers", test_reserved_pointer_bits},
		{"loops", test_loops},
		{"link into header", test_link_into_header},
		{"truncated image", test_truncated_image},
		{"nothing answers", test_nothing_answers},
		{"empty extended list", test_empty_extended_list},
		{"longest lists", test_longest_lists},
		{"noise", test_noise},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_pci_caps", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
