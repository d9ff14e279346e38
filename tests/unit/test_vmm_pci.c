/* SPDX-License-Identifier: BSD-3-Clause */
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "device.h"
#include "pci.h"
#include "tap.h"

#define IDS     0x76637675u
#define ADDRESS 0xcf8
#define DATA    0xcfc
#define DEVICE  (0x80000000u | PCI_DEVICE_NUMBER << 11)

/* A device behind the bus: its config space is memory. The functions below stand for device.c. */
static struct {
	uint8_t config[256];
	unsigned int reads;
	unsigned int writes;
	unsigned int bars_changed;
	unsigned int msix_changed;
	uint16_t msix_control;
	int error;
} fake;

static struct device device;
static struct pci pci;

int
device_read(struct device *given, uint32_t region, uint64_t offset, void *data, uint32_t count)
{
	CU_ASSERT_PTR_EQUAL(given, &device);
	CU_ASSERT_EQUAL(region, VFIO_PCI_CONFIG_REGION_INDEX);
	CU_ASSERT_FATAL(offset + count <= sizeof(fake.config));
	fake.reads++;
	memcpy(data, fake.config + offset, count);
	return fake.error;
}

int
device_write(
	struct device *given, uint32_t region, uint64_t offset, const void *data, uint32_t count)
{
	CU_ASSERT_PTR_EQUAL(given, &device);
	CU_ASSERT_EQUAL(region, VFIO_PCI_CONFIG_REGION_INDEX);
	CU_ASSERT_FATAL(offset + count <= sizeof(fake.config));
	fake.writes++;
	memcpy(fake.config + offset, data, count);
	return fake.error;
}

static void
fake_bars_changed(void *arg)
{
	CU_ASSERT_PTR_EQUAL(arg, &fake);
	fake.bars_changed++;
}

static void
fake_msix_control(void *arg, uint16_t control)
{
	CU_ASSERT_PTR_EQUAL(arg, &fake);
	fake.msix_changed++;
	fake.msix_control = control;
}

static const struct pci_ops ops = {fake_bars_changed, fake_msix_control};

static void
config_put(uint32_t offset, uint32_t value)
{
	memcpy(fake.config + offset, &value, sizeof(value));
}

/* BAR0 of memory, BAR1 of ports, BARs 2 and 3 of memory with 64 bits, BAR4 not there, BAR5 odd. */
static const uint64_t sizes[PCI_NR_BARS] = {0x1000, 0x100, 0x10000, 0, 0, 0x1234};

static void
prepare(void)
{
	memset(&fake, 0, sizeof(fake));
	config_put(PCI_VENDOR_ID, IDS);
	config_put(PCI_BASE_ADDRESS_1, PCI_BASE_ADDRESS_SPACE_IO);
	config_put(
		PCI_BASE_ADDRESS_2, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
	fake.config[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	fake.config[PCI_CAPABILITY_LIST] = 0x40;
	config_put(0x40, 0x5000 | PCI_CAP_ID_PM);
	config_put(0x50, 0x00070000 | PCI_CAP_ID_MSIX);
}

static void
begin(void)
{
	prepare();
	CU_ASSERT_EQUAL_FATAL(pci_init(&pci, &device, sizes, &ops, &fake), 0);
	fake.reads = 0;
}

static uint32_t
port_in(uint16_t port, uint32_t count)
{
	uint32_t value = 0;

	CU_ASSERT(pci_port_read(&pci, port, &value, count));
	return value;
}

static void
port_out(uint16_t port, uint32_t value, uint32_t count)
{
	CU_ASSERT(pci_port_write(&pci, port, &value, count));
}

static uint32_t
config_read(uint32_t reg, uint32_t count)
{
	port_out(ADDRESS, DEVICE | (reg & ~3u), 4);
	return port_in(DATA + (reg & 3), count);
}

static void
config_write(uint32_t reg, uint32_t value, uint32_t count)
{
	port_out(ADDRESS, DEVICE | (reg & ~3u), 4);
	port_out(DATA + (reg & 3), value, count);
}

/* What was told so far: writes to the device, changes of BARs and of MSI-X control. */
static void
expect_told(unsigned int writes, unsigned int bars, unsigned int msix)
{
	CU_ASSERT(fake.writes == writes && fake.bars_changed == bars && fake.msix_changed == msix);
}

/* 0: the BAR is not decoded. */
static void
expect_bar(uint32_t index, uint64_t expected)
{
	uint64_t address = 0;

	CU_ASSERT_EQUAL(pci_bar_address(&pci, index, &address), expected != 0);
	if (expected != 0)
		CU_ASSERT_EQUAL(address, expected);
}

/* pci_init() without the line on standard error that it is to make, which would be in the way of
 * the test's. */
static int
init_quietly(const uint64_t bar_sizes[PCI_NR_BARS])
{
	int saved = dup(STDERR_FILENO);
	int rc;

	close(STDERR_FILENO);
	rc = pci_init(&pci, &device, bar_sizes, &ops, &fake);
	CU_ASSERT_EQUAL(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	close(saved);
	return rc;
}

static void
test_mechanism(void)
{
	CU_ASSERT_EQUAL(pci_ids(&pci), IDS);
	CU_ASSERT_EQUAL(config_read(PCI_VENDOR_ID, 4), IDS);
	CU_ASSERT_EQUAL(port_in(ADDRESS, 4), DEVICE);
	CU_ASSERT_EQUAL(config_read(PCI_VENDOR_ID, 1), IDS & 0xff);
	CU_ASSERT_EQUAL(config_read(PCI_VENDOR_ID + 1, 1), IDS >> 8 & 0xff);
	CU_ASSERT_EQUAL(config_read(PCI_DEVICE_ID, 2), IDS >> 16);
	CU_ASSERT_EQUAL(config_read(PCI_VENDOR_ID + 3, 1), IDS >> 24);
	config_write(PCI_LATENCY_TIMER, 0x77, 1);
	CU_ASSERT_EQUAL(fake.config[PCI_LATENCY_TIMER], 0x77);
	expect_told(1, 0, 0);
}

static void
test_other_functions(void)
{
	static const uint32_t addresses[] = {
		DEVICE & 0x7fffffff, /* not enabled */
		DEVICE + (1u << 11), /* the next device */
		DEVICE + (1u << 8),  /* the next function */
		DEVICE + (1u << 16), /* the next bus */
		0x80000000u,         /* the first device */
	};

	for (size_t i = 0; i < NR(addresses); i++) {
		port_out(ADDRESS, addresses[i], 4);
		CU_ASSERT_EQUAL(port_in(DATA, 4), UINT32_MAX);
		CU_ASSERT_EQUAL(port_in(DATA + 2, 2), 0xffff);
		port_out(DATA, 0, 4);
	}
	CU_ASSERT_EQUAL(fake.reads, 0);
	expect_told(0, 0, 0);
}

/* Accesses that begin or end elsewhere. */
static void
test_odd_ports(void)
{
	static const struct {
		uint16_t port;
		uint32_t count;
	} others[] = {{ADDRESS, 1}, {ADDRESS + 1, 4}, {ADDRESS - 1, 4}, {DATA + 4, 1}};
	uint32_t value = 0;

	port_out(ADDRESS, DEVICE, 4);
	CU_ASSERT_EQUAL(port_in(DATA + 1, 4), UINT32_MAX);
	CU_ASSERT_EQUAL(port_in(DATA + 3, 2), 0xffff);
	port_out(DATA + 1, 0, 4);
	expect_told(0, 0, 0);
	for (size_t i = 0; i < NR(others); i++) {
		CU_ASSERT_FALSE(pci_port_read(&pci, others[i].port, &value, others[i].count));
		CU_ASSERT_FALSE(pci_port_write(&pci, others[i].port, &value, others[i].count));
	}
	CU_ASSERT_EQUAL(port_in(ADDRESS, 4), DEVICE);
}

/* BARs are none of the device's business, and nothing is decoded. */
static void
test_sizing(void)
{
	static const uint32_t sized[PCI_NR_BARS] = {
		0xfffff000, 0xffffff01, 0xffff000c, 0xffffffff, 0, 0xffffe000};

	for (uint32_t i = 0; i < PCI_NR_BARS; i++) {
		config_write(PCI_BASE_ADDRESS_0 + 4 * i, UINT32_MAX, 4);
		CU_ASSERT_EQUAL(config_read(PCI_BASE_ADDRESS_0 + 4 * i, 4), sized[i]);
	}
	config_write(PCI_ROM_ADDRESS, UINT32_MAX, 4);
	CU_ASSERT_EQUAL(config_read(PCI_ROM_ADDRESS, 4), 0);
	CU_ASSERT_EQUAL(fake.reads, 0);
	expect_told(0, 0, 0);
}

static void
test_placing(void)
{
	config_write(PCI_BASE_ADDRESS_0, 0xe0000fff, 4);
	CU_ASSERT_EQUAL(config_read(PCI_BASE_ADDRESS_0, 4), 0xe0000000);
	config_write(PCI_BASE_ADDRESS_1, 0xc0ff, 4);
	config_write(PCI_BASE_ADDRESS_2, 0x12340000, 4);
	config_write(PCI_BASE_ADDRESS_3, 0x56, 4);
	expect_bar(0, 0);
	config_write(PCI_COMMAND, PCI_COMMAND_MEMORY, 4);
	expect_told(1, 1, 0);
	expect_bar(0, 0xe0000000);
	expect_bar(1, 0);
	expect_bar(2, 0x5612340000);
	expect_bar(3, 0);
	expect_bar(4, 0);
	config_write(PCI_COMMAND, PCI_COMMAND_IO, 4);
	expect_bar(0, 0);
	expect_bar(1, 0xc000);
	config_write(PCI_BASE_ADDRESS_1, 0x1c000, 4); /* no port */
	expect_bar(1, 0);
}

/* Bytes below the size, and those that are the same, change nothing. */
static void
test_bytes_of_bars(void)
{
	config_write(PCI_COMMAND, PCI_COMMAND_MEMORY, 4);
	config_write(PCI_BASE_ADDRESS_0 + 3, 0xe1, 1);
	config_write(PCI_BASE_ADDRESS_0 + 1, 0x3456, 2);
	expect_told(1, 3, 0);
	expect_bar(0, 0xe1345000);
	CU_ASSERT_EQUAL(config_read(PCI_BASE_ADDRESS_0 + 1, 2), 0x3450);
	config_write(PCI_BASE_ADDRESS_0, 0xff, 1);
	config_write(PCI_BASE_ADDRESS_0 + 3, 0xe1, 1);
	expect_told(1, 3, 0);
}

/* The device gets what switches BARs on and off; a byte of the register is enough to. */
static void
test_command(void)
{
	config_write(PCI_COMMAND + 1, 0x04, 1); /* INTx off */
	expect_told(1, 0, 0);
	config_write(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_IO, 1);
	expect_told(2, 1, 0);
	CU_ASSERT_EQUAL(
		pci.command, PCI_COMMAND_INTX_DISABLE | PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	config_write(PCI_COMMAND, 7, 1); /* with bus mastering */
	expect_told(3, 1, 0);
	CU_ASSERT_EQUAL(fake.config[PCI_COMMAND], 7);
	config_write(PCI_STATUS, 0xffff, 2);
	CU_ASSERT_EQUAL(fake.bars_changed, 1);
}

static void
test_msix(void)
{
	CU_ASSERT_EQUAL(pci.msix, 0x50);
	config_write(0x50, 0x80070000 | PCI_CAP_ID_MSIX, 4);
	expect_told(1, 0, 1);
	CU_ASSERT_EQUAL(fake.msix_control, PCI_MSIX_FLAGS_ENABLE);
	config_write(0x53, 0xc0, 1);
	expect_told(2, 0, 2);
	CU_ASSERT_EQUAL(fake.msix_control, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	config_write(0x50, 0, 2); /* id and next */
	CU_ASSERT_EQUAL(fake.msix_changed, 2);
	CU_ASSERT_EQUAL(fake.config[0x53], 0xc0);
}

/* A device that was reset gets what the guest has written, and nothing else changes. */
static void
test_restore(void)
{
	config_write(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	config_write(0x50, 0x80070000 | PCI_CAP_ID_MSIX, 4);
	prepare();
	pci_restore(&pci);
	expect_told(2, 0, 0);
	CU_ASSERT_EQUAL(fake.config[PCI_COMMAND], PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	CU_ASSERT_EQUAL(fake.config[0x53], 0x80);
	pci.msix = 0;
	pci_restore(&pci);
	expect_told(3, 0, 0);
}

/* A device that fails is seen as one that is not there, and what it refuses has no effect. */
static void
test_device_fails(void)
{
	fake.error = -EIO;
	CU_ASSERT_EQUAL(config_read(PCI_VENDOR_ID, 4), UINT32_MAX);
	config_write(PCI_COMMAND, PCI_COMMAND_MEMORY, 4);
	config_write(0x50, UINT32_MAX, 4);
	expect_told(2, 0, 0);
	CU_ASSERT_EQUAL(init_quietly(sizes), -EIO);
}

/* Lists of capabilities that lead nowhere, in a circle, or to one that has no room, and none. */
static void
test_capabilities(void)
{
	static const uint32_t firsts[] = {0x4000, 0x1000, 0xfc00};

	for (unsigned int i = 0; i < 4; i++) {
		prepare();
		if (i < 3)
			config_put(0x40, firsts[i] | PCI_CAP_ID_PM);
		else
			fake.config[PCI_STATUS] = 0;
		config_put(0xfc, PCI_CAP_ID_MSIX);
		CU_ASSERT_EQUAL_FATAL(pci_init(&pci, &device, sizes, &ops, &fake), 0);
		CU_ASSERT_EQUAL(pci.msix, 0);
		config_write(0x50, UINT32_MAX, 4);
		CU_ASSERT_EQUAL(fake.msix_changed, 0);
	}
}

/* BARs that no device can have, and those at the limits. */
static void
test_impossible_bars(void)
{
	static const struct {
		unsigned int bar;
		uint64_t size;
		int rc;
	} rows[] = {
		{0, 0x80000001, -EPROTO}, /* decodes 4 GiB, with 32 bits of address */
		{0, 0x80000000, 0},
		{1, 0x10001, -EPROTO},
		{2, UINT64_MAX, -EPROTO},
		{5, 0x1000, -EPROTO}, /* has no upper half */
		{2, UINT64_C(1) << 63, 0},
	};

	config_put(PCI_BASE_ADDRESS_5, PCI_BASE_ADDRESS_MEM_TYPE_64);
	for (size_t i = 0; i < NR(rows); i++) {
		uint64_t wrong[PCI_NR_BARS] = {0};

		wrong[rows[i].bar] = rows[i].size;
		CU_ASSERT_EQUAL(init_quietly(wrong), rows[i].rc);
	}
	config_write(PCI_BASE_ADDRESS_2, UINT32_MAX, 4);
	config_write(PCI_BASE_ADDRESS_3, UINT32_MAX, 4);
	CU_ASSERT_EQUAL(config_read(PCI_BASE_ADDRESS_2, 4), 0xc);
	CU_ASSERT_EQUAL(config_read(PCI_BASE_ADDRESS_3, 4), 0x80000000);
}

/* The upper half of a BAR is not a BAR, whatever the device has behind its number. */
static void
test_upper_half(void)
{
	const uint64_t both[PCI_NR_BARS] = {0, 0, 0x1000, 0x1000, 0, 0};

	CU_ASSERT_EQUAL_FATAL(pci_init(&pci, &device, both, &ops, &fake), 0);
	config_write(PCI_BASE_ADDRESS_2, 0x10000, 4);
	config_write(PCI_COMMAND, PCI_COMMAND_MEMORY, 4);
	expect_bar(2, 0x10000);
	expect_bar(3, 0);
}

const struct tap_suite tap_suite = {"pci", begin, NULL,
	{
		{"mechanism 1", test_mechanism},
		{"other functions", test_other_functions},
		{"odd ports", test_odd_ports},
		{"sizing", test_sizing},
		{"placing", test_placing},
		{"bytes of BARs", test_bytes_of_bars},
		{"command", test_command},
		{"MSI-X control", test_msix},
		{"restore", test_restore},
		{"device fails", test_device_fails},
		{"capabilities", test_capabilities},
		{"impossible BARs", test_impossible_bars},
		{"upper half", test_upper_half},
	}};
