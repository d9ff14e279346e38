/* SPDX-License-Identifier: BSD-3-Clause */
#include <CUnit/CUnit.h>

#include "pci_header.h"
#include "tap.h"
#include "vucctl_sample.h"

static uint8_t bytes[VUCCTL_PCIE_CONFIG_SIZE];
static struct vucctl_pci_header header;

static void
decode(void)
{
	struct vucctl_pci_image image = {bytes, VUCCTL_PCI_HEADER_SIZE};

	CU_ASSERT_FATAL(vucctl_pci_header_decode(&image, &header));
}

static void
test_get(void)
{
	static const uint8_t four[] = {1, 2, 3, 4};
	struct vucctl_pci_image image = {four, sizeof(four)};
	uint32_t value;

	CU_ASSERT(vucctl_pci_get(&image, 0, 4, &value));
	CU_ASSERT_EQUAL(value, 0x04030201);
	CU_ASSERT(vucctl_pci_get(&image, 2, 2, &value));
	CU_ASSERT_EQUAL(value, 0x0403);
	CU_ASSERT(vucctl_pci_get(&image, 3, 1, &value));
	CU_ASSERT_EQUAL(value, 4);
	CU_ASSERT_FALSE(vucctl_pci_get(&image, 1, 4, &value));
	CU_ASSERT_EQUAL(value, 0);
	CU_ASSERT_FALSE(vucctl_pci_get(&image, 4, 1, &value));
	CU_ASSERT_FALSE(vucctl_pci_get(&image, SIZE_MAX, 2, &value));
}

static void
test_fields(void)
{
	sample_fill_config(bytes);
	bytes[0x0e] = 0x80;
	decode();
	CU_ASSERT_EQUAL(header.vendor, 0x7675);
	CU_ASSERT_EQUAL(header.device, 0x7663);
	CU_ASSERT(header.has_subsystem);
	CU_ASSERT_EQUAL(header.subsystem_vendor, 0xfffd);
	CU_ASSERT_EQUAL(header.subsystem_device, 0x0042);
	CU_ASSERT_EQUAL(header.class_code, 0x088000);
	CU_ASSERT_EQUAL(header.revision, 1);
	CU_ASSERT_EQUAL(header.command, 0x0006);
	CU_ASSERT_EQUAL(header.status, 0x0010);
	CU_ASSERT_EQUAL(header.type, 0);
	CU_ASSERT(header.multifunction);
	CU_ASSERT_EQUAL(header.interrupt_pin, 1);
	CU_ASSERT_EQUAL(header.interrupt_line, 11);
}

static void
test_bars(void)
{
	sample_fill_config(bytes);
	decode();
	CU_ASSERT_EQUAL(header.nr_bars, 6);
	CU_ASSERT_EQUAL(header.bars[0].kind, VUCCTL_PCI_BAR_MEM32);
	CU_ASSERT_EQUAL(header.bars[0].address, 0xfebf0000);
	CU_ASSERT_FALSE(header.bars[0].prefetchable);
	CU_ASSERT_EQUAL(header.bars[1].kind, VUCCTL_PCI_BAR_ZERO);
	CU_ASSERT_EQUAL(header.bars[2].kind, VUCCTL_PCI_BAR_MEM64);
	CU_ASSERT_EQUAL(header.bars[2].address, UINT64_C(0x3800000000));
	CU_ASSERT(header.bars[2].prefetchable);
	CU_ASSERT_EQUAL(header.bars[3].kind, VUCCTL_PCI_BAR_UPPER);
	CU_ASSERT_EQUAL(header.bars[5].kind, VUCCTL_PCI_BAR_IO);
	CU_ASSERT_EQUAL(header.bars[5].address, 0xc000);
}

static void
test_odd_bars(void)
{
	sample_fill_config(bytes);
	sample_put32(bytes, 0x10, 0x000a0002); /* below 1 MiB */
	sample_put32(bytes, 0x14, 0x00000006); /* reserved type */
	sample_put32(bytes, 0x24, 0x00000004); /* 64 bits, but the last one */
	decode();
	CU_ASSERT_EQUAL(header.bars[0].kind, VUCCTL_PCI_BAR_MEM1M);
	CU_ASSERT_EQUAL(header.bars[0].address, 0xa0000);
	CU_ASSERT_EQUAL(header.bars[1].kind, VUCCTL_PCI_BAR_INVALID);
	CU_ASSERT_EQUAL(header.bars[5].kind, VUCCTL_PCI_BAR_INVALID);
}

static void
test_bridge(void)
{
	sample_fill_config(bytes);
	bytes[0x0e] = 1;
	sample_put32(bytes, 0x30, 0xdeadbeef);
	sample_put32(bytes, 0x38, 0xfeb00001);
	decode();
	CU_ASSERT_EQUAL(header.type, 1);
	CU_ASSERT_EQUAL(header.nr_bars, 2);
	CU_ASSERT_FALSE(header.has_subsystem);
	CU_ASSERT_EQUAL(header.subsystem_vendor, 0);
	CU_ASSERT_EQUAL(header.rom_address, 0xfeb00000);
	CU_ASSERT(header.rom_enabled);
}

static void
test_rom(void)
{
	sample_fill_config(bytes);
	sample_put32(bytes, 0x30, 0xfeb007fe);
	decode();
	CU_ASSERT_EQUAL(header.rom_address, 0xfeb00000);
	CU_ASSERT_FALSE(header.rom_enabled);
}

static void
test_no_subsystem(void)
{
	sample_fill_config(bytes);
	sample_put16(bytes, 0x2c, 0);
	decode();
	CU_ASSERT_FALSE(header.has_subsystem);
	sample_put16(bytes, 0x2c, 0xffff);
	decode();
	CU_ASSERT_FALSE(header.has_subsystem);
}

static void
test_unknown_type(void)
{
	sample_fill_config(bytes);
	bytes[0x0e] = 0x7f;
	decode();
	CU_ASSERT_EQUAL(header.type, 0x7f);
	CU_ASSERT_EQUAL(header.nr_bars, 0);
}

static void
test_short_image(void)
{
	struct vucctl_pci_image image = {bytes, VUCCTL_PCI_HEADER_SIZE - 1};

	sample_fill_config(bytes);
	CU_ASSERT_FALSE(vucctl_pci_header_decode(&image, &header));
	CU_ASSERT_EQUAL(header.vendor, 0);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"bounds of the image", test_get},
		{"fields", test_fields},
		{"BARs", test_bars},
		{"odd BARs", test_odd_bars},
		{"bridge", test_bridge},
		{"ROM", test_rom},
		{"no subsystem", test_no_subsystem},
		{"unknown header type", test_unknown_type},
		{"short image", test_short_image},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_pci_header", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
