/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "tap.h"
#include "vfio_names.h"

typedef int (*parse_fn)(const char *text, uint32_t *index);

static void
expect(parse_fn parse, const char *text, int ret, uint32_t expected)
{
	uint32_t index = 0;

	CU_ASSERT_EQUAL(parse(text, &index), ret);
	CU_ASSERT_EQUAL(index, expected);
}

static void
test_regions(void)
{
	expect(vucctl_region_parse, "bar0", 0, 0);
	expect(vucctl_region_parse, "BAR5", 0, 5);
	expect(vucctl_region_parse, "rom", 0, 6);
	expect(vucctl_region_parse, "config", 0, 7);
	expect(vucctl_region_parse, "Vga", 0, 8);
	expect(vucctl_region_parse, "3", 0, 3);
	expect(vucctl_region_parse, "0x20", 0, 32);
	expect(vucctl_region_parse, "4294967295", 0, UINT32_MAX);
	expect(vucctl_region_parse, "4294967296", -EINVAL, 0);
	expect(vucctl_region_parse, "bar6", -EINVAL, 0);
	expect(vucctl_region_parse, "bar", -EINVAL, 0);
	expect(vucctl_region_parse, "bar00", -EINVAL, 0);
	expect(vucctl_region_parse, "", -EINVAL, 0);
}

static void
test_irqs(void)
{
	expect(vucctl_irq_parse, "intx", 0, 0);
	expect(vucctl_irq_parse, "MSI", 0, 1);
	expect(vucctl_irq_parse, "msix", 0, 2);
	expect(vucctl_irq_parse, "MSI-X", 0, 2);
	expect(vucctl_irq_parse, "err", 0, 3);
	expect(vucctl_irq_parse, "req", 0, 4);
	expect(vucctl_irq_parse, "17", 0, 17);
	expect(vucctl_irq_parse, "int", -EINVAL, 0);
	expect(vucctl_irq_parse, "-1", -EINVAL, 0);
}

/* What is printed can be typed. */
static void
test_round_trip(void)
{
	uint32_t i;

	for (i = 0; i < 9; i++)
		expect(vucctl_region_parse, vucctl_region_name(i).text, 0, i);
	for (i = 0; i < 5; i++)
		expect(vucctl_irq_parse, vucctl_irq_name(i).text, 0, i);
	CU_ASSERT_STRING_EQUAL(vucctl_region_name(9).text, "region 9");
	CU_ASSERT_STRING_EQUAL(vucctl_irq_name(5).text, "IRQ 5");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"regions", test_regions},
		{"interrupts", test_irqs},
		{"round trip", test_round_trip},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_vfio_names", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
