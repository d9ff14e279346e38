/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include <linux/pci_regs.h>

#include "refdev_peer.h"
#include "tap.h"

#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

static uint32_t
get(struct refdev_peer *p, uint32_t offset, uint32_t count)
{
	return (uint32_t)refdev_peer_read(p, CONFIG, offset, count);
}

static void
set(struct refdev_peer *p, uint32_t offset, uint32_t count, uint32_t value)
{
	refdev_peer_write(p, CONFIG, offset, count, value);
}

static void
test_identity(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(get(&p, PCI_VENDOR_ID, 2), 0x7675);
	CU_ASSERT_EQUAL(get(&p, PCI_DEVICE_ID, 2), 0x7663);
	CU_ASSERT_EQUAL(get(&p, PCI_SUBSYSTEM_VENDOR_ID, 2), 0x7675);
	CU_ASSERT_EQUAL(get(&p, PCI_SUBSYSTEM_ID, 2), 0x7663);
	CU_ASSERT_EQUAL(get(&p, PCI_CLASS_REVISION, 4), 0x08800001);
	CU_ASSERT_EQUAL(get(&p, PCI_HEADER_TYPE, 1), 0);
	CU_ASSERT_EQUAL(get(&p, PCI_INTERRUPT_PIN, 1), 1);
	CU_ASSERT_EQUAL(get(&p, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
	refdev_peer_close(&p);
}

/* Writing all ones reads back the mask of the BAR's size, and its type bits. */
static void
test_bar_sizing(void)
{
	static const uint32_t masks[6] = {0xfffff000, 0, 0xffff000c, 0xffffffff, 0xffffc000, 0};
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (uint32_t bar = 0; bar < 6; bar++) {
		uint32_t offset = PCI_BASE_ADDRESS_0 + 4 * bar;

		set(&p, offset, 4, 0xffffffff);
		CU_ASSERT_EQUAL(get(&p, offset, 4), masks[bar]);
	}
	set(&p, PCI_ROM_ADDRESS, 4, 0xffffffff);
	CU_ASSERT_EQUAL(get(&p, PCI_ROM_ADDRESS, 4), 0);
	refdev_peer_close(&p);
}

static void
test_bar_address(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	set(&p, PCI_BASE_ADDRESS_0, 4, 0xfebf1234);
	CU_ASSERT_EQUAL(get(&p, PCI_BASE_ADDRESS_0, 4), 0xfebf1000);
	set(&p, PCI_BASE_ADDRESS_2, 4, 0x80010000);
	set(&p, PCI_BASE_ADDRESS_3, 4, 0x40);
	CU_ASSERT_EQUAL(get(&p, PCI_BASE_ADDRESS_2, 4), 0x8001000c);
	CU_ASSERT_EQUAL(get(&p, PCI_BASE_ADDRESS_3, 4), 0x40);
	set(&p, PCI_BASE_ADDRESS_0 + 3, 1, 0x12);
	CU_ASSERT_EQUAL(get(&p, PCI_BASE_ADDRESS_0, 4), 0x12bf1000);
	refdev_peer_close(&p);
}

/* What all ones and all zeros change, over the whole of config space. */
static uint32_t
writable_bits(struct refdev_peer *p, uint32_t offset)
{
	/* But for the bit that would reset the rest. */
	uint32_t flr = offset == REFDEV_CAP_PCIE + PCI_EXP_DEVCTL ? PCI_EXP_DEVCTL_BCR_FLR : 0;
	uint32_t ones;

	set(p, offset, 4, ~flr);
	ones = get(p, offset, 4);
	set(p, offset, 4, 0);
	return ones ^ get(p, offset, 4);
}

static void
test_read_only_bits(void)
{
	static const struct {
		uint32_t offset;
		uint32_t writable;
	} dwords[] = {
		{PCI_COMMAND, 0x0546},
		{PCI_CACHE_LINE_SIZE, 0xff},
		{PCI_BASE_ADDRESS_0, 0xfffff000},
		{PCI_BASE_ADDRESS_2, 0xffff0000},
		{PCI_BASE_ADDRESS_3, 0xffffffff},
		{PCI_BASE_ADDRESS_4, 0xffffc000},
		{PCI_INTERRUPT_LINE, 0xff},
		{REFDEV_CAP_PCIE + PCI_EXP_DEVCTL, 0x78ff},
		{REFDEV_CAP_PCIE + PCI_EXP_LNKCTL, 0x48},
		{REFDEV_CAP_PCIE + PCI_EXP_LNKCTL2, 0xf},
		{REFDEV_CAP_MSIX, 0xc0000000},
		{REFDEV_VENDOR_SCRATCH, 0xffffffff},
	};
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (uint32_t offset = 0; offset < REFDEV_CONFIG_SIZE; offset += 4) {
		uint32_t expected = 0;

		for (size_t i = 0; i < sizeof(dwords) / sizeof(dwords[0]); i++)
			if (dwords[i].offset == offset)
				expected = dwords[i].writable;
		CU_ASSERT_EQUAL(writable_bits(&p, offset), expected);
	}
	refdev_peer_close(&p);
}

static void
test_capabilities(void)
{
	static const struct {
		uint8_t id;
		uint8_t offset;
	} expected[] = {
		{PCI_CAP_ID_EXP, REFDEV_CAP_PCIE},
		{PCI_CAP_ID_MSIX, REFDEV_CAP_MSIX},
		{PCI_CAP_ID_VNDR, REFDEV_CAP_VENDOR},
	};
	struct refdev_peer p;
	uint32_t at;

	refdev_peer_open(&p);
	at = get(&p, PCI_CAPABILITY_LIST, 1);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		CU_ASSERT_EQUAL_FATAL(at, expected[i].offset);
		CU_ASSERT_EQUAL(get(&p, at, 1), expected[i].id);
		at = get(&p, at + 1, 1);
	}
	CU_ASSERT_EQUAL(at, 0);
	refdev_peer_close(&p);
}

static void
test_pcie(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(get(&p, REFDEV_CAP_PCIE + PCI_EXP_FLAGS, 2), 0x0002);
	CU_ASSERT_EQUAL(get(&p, REFDEV_CAP_PCIE + PCI_EXP_LNKSTA, 2), 0x0011);
	refdev_peer_close(&p);
}

/* By the whole register and by its upper byte, as guests write it. */
static void
test_flr(void)
{
	const uint32_t devctl = REFDEV_CAP_PCIE + PCI_EXP_DEVCTL;
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_NOT_EQUAL(get(&p, REFDEV_CAP_PCIE + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR, 0);
	for (uint32_t upper = 0; upper < 2; upper++) {
		uint64_t before = refdev_peer_read(&p, 0, REFDEV_REG_RESETS, 4);

		set(&p, REFDEV_VENDOR_SCRATCH, 4, 0xdeadbeef);
		set(&p, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
		if (upper)
			set(&p, devctl + 1, 1, 0x80);
		else
			set(&p, devctl, 2, 0xffff);
		CU_ASSERT_EQUAL(refdev_peer_read(&p, 0, REFDEV_REG_RESETS, 4), before + 1);
		CU_ASSERT_EQUAL(get(&p, REFDEV_VENDOR_SCRATCH, 4), 0);
		CU_ASSERT_EQUAL(get(&p, PCI_COMMAND, 2), 0);
		CU_ASSERT_EQUAL(get(&p, devctl, 2) & PCI_EXP_DEVCTL_BCR_FLR, 0);
		set(&p, devctl, 2, 0x7fff);
		set(&p, devctl - 1, 1, 0x80);
		CU_ASSERT_EQUAL(refdev_peer_read(&p, 0, REFDEV_REG_RESETS, 4), before + 1);
	}
	refdev_peer_close(&p);
}

static void
test_msix(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(get(&p, REFDEV_CAP_MSIX + PCI_MSIX_FLAGS, 2), 7);
	CU_ASSERT_EQUAL(get(&p, REFDEV_CAP_MSIX + PCI_MSIX_TABLE, 4), 0x0000 | 4);
	CU_ASSERT_EQUAL(get(&p, REFDEV_CAP_MSIX + PCI_MSIX_PBA, 4), 0x2000 | 4);
	set(&p, REFDEV_CAP_MSIX + PCI_MSIX_FLAGS, 2, 0xffff);
	CU_ASSERT_EQUAL(get(&p, REFDEV_CAP_MSIX + PCI_MSIX_FLAGS, 2), 0xc007);
	refdev_peer_close(&p);
}

static void
test_vendor(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(get(&p, REFDEV_CAP_VENDOR + 2, 1), 16);
	CU_ASSERT_EQUAL(get(&p, REFDEV_CAP_VENDOR + 4, 4), REFDEV_ID_VALUE);
	set(&p, REFDEV_VENDOR_SCRATCH, 4, 0xdeadbeef);
	CU_ASSERT_EQUAL(get(&p, REFDEV_VENDOR_SCRATCH, 4), 0xdeadbeef);
	refdev_peer_close(&p);
}

static void
test_serial(void)
{
	struct refdev_config config;
	struct refdev_peer p;
	const uint32_t version[] = {2u << 16};

	refdev_config_init(&config);
	config.serial = 0x1122334455667788;
	refdev_peer_make(&p, &config);
	CU_ASSERT_EQUAL_FATAL(refdev_peer_ask(&p, VFIO_USER_VERSION, version, sizeof(version)), 0);
	CU_ASSERT_EQUAL(get(&p, REFDEV_CAP_SERIAL, 4), 0x00010003);
	CU_ASSERT_EQUAL(refdev_peer_read(&p, CONFIG, REFDEV_CAP_SERIAL + 4, 8), config.serial);
	refdev_peer_close(&p);
}

/* Bytes behind the last field read as 0, up to the end and no further. */
static void
test_bounds(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(get(&p, 4092, 4), 0);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, CONFIG, 0, 4096), 0);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, CONFIG, 0, 4097), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, CONFIG, 4093, 4), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, CONFIG, UINT64_MAX, 1), -EINVAL);
	refdev_peer_close(&p);
}

static void
test_reset(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	set(&p, PCI_BASE_ADDRESS_0, 4, 0xfebf1000);
	set(&p, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	CU_ASSERT_EQUAL(get(&p, PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	CU_ASSERT_EQUAL(get(&p, PCI_BASE_ADDRESS_0, 4), 0);
	CU_ASSERT_EQUAL(get(&p, PCI_COMMAND, 2), 0);
	CU_ASSERT_EQUAL(get(&p, PCI_VENDOR_ID, 2), 0x7675);
	refdev_peer_close(&p);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"identity", test_identity},
		{"BAR sizing", test_bar_sizing},
		{"BAR addresses", test_bar_address},
		{"read-only bits", test_read_only_bits},
		{"capability list", test_capabilities},
		{"PCI Express", test_pcie},
		{"function-level reset", test_flr},
		{"MSI-X", test_msix},
		{"vendor-specific", test_vendor},
		{"serial number", test_serial},
		{"bounds", test_bounds},
		{"reset", test_reset},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"refdev config space", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
