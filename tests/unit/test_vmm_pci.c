/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "pci.h"
#include "tap.h"

#define IDS     0x76637675u
#define ADDRESS 0xcf8
#define DATA    0xcfc
#define DEVICE  (0x80000000u | PCI_DEVICE_NUMBER << 11)

/* A device behind the bus: its config space is memory. */
static struct {
	uint8_t config[256];
	unsigned int reads;
	unsigned int writes;
	unsigned int bars_changed;
	unsigned int msix_changed;
	uint16_t msix_control;
	int error;
} fake;

static struct pci pci;

static int
fake_read(void *arg, uint32_t offset, void *data, uint32_t count)
{
	CU_ASSERT_PTR_EQUAL(arg, &fake);
	CU_ASSERT_FATAL(offset + count <= sizeof(fake.config));
	fake.reads++;
	memcpy(data, fake.config + offset, count);
	return fake.error;
}

static int
fake_write(void *arg, uint32_t offset, const void *data, uint32_t count)
{
	CU_ASSERT_PTR_EQUAL(arg, &fake);
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

static const struct pci_ops ops = {fake_read, fake_write, fake_bars_changed, fake_msix_control};

static void
put_long(uint32_t offset, uint32_t value)
{
	memcpy(fake.config + offset, &value, sizeof(value));
}

/* BAR0 of memory, BAR1 of ports, BARs 2 and 3 of memory with 64 bits, BAR4 not there, BAR5 odd. */
static const uint64_t sizes[PCI_NR_BARS] = {0x1000, 0x100, 0x10000, 0, 0, 0x1234};

static void
prepare(void)
{
	memset(&fake, 0, sizeof(fake));
	put_long(PCI_VENDOR_ID, IDS);
	put_long(PCI_BASE_ADDRESS_1, PCI_BASE_ADDRESS_SPACE_IO);
	put_long(PCI_BASE_ADDRESS_2, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
	fake.config[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	fake.config[PCI_CAPABILITY_LIST] = 0x40;
	put_long(0x40, 0x5000 | PCI_CAP_ID_PM);
	put_long(0x50, 0x00070000 | PCI_CAP_ID_MSIX);
}

static void
begin(void)
{
	prepare();
	CU_ASSERT_EQUAL_FATAL(pci_init(&pci, sizes, &ops, &fake), 0);
	fake.reads = 0;
}

static uint32_t
in(uint16_t port, uint32_t count)
{
	uint32_t value = 0;

	CU_ASSERT(pci_port_read(&pci, port, &value, count));
	return value;
}

static void
out(uint16_t port, uint32_t value, uint32_t count)
{
	CU_ASSERT(pci_port_write(&pci, port, &value, count));
}

static uint32_t
config_read(uint32_t reg)
{
	out(ADDRESS, DEVICE | reg, 4);
	return in(DATA, 4);
}

static void
config_write(uint32_t reg, uint32_t value)
{
	out(ADDRESS, DEVICE | reg, 4);
	out(DATA, value, 4);
}

/* A line on standard error is expected of what follows; it would be in the way of the test's. */
static int
init_refused(const uint64_t bar_sizes[PCI_NR_BARS])
{
	int saved = dup(STDERR_FILENO);
	int rc;

	close(STDERR_FILENO);
	rc = pci_init(&pci, bar_sizes, &ops, &fake);
	CU_ASSERT_EQUAL(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	close(saved);
	return rc;
}

static void
test_mechanism(void)
{
	begin();
	CU_ASSERT_EQUAL(pci_ids(&pci), IDS);
	CU_ASSERT_EQUAL(config_read(PCI_VENDOR_ID), IDS);
	CU_ASSERT_EQUAL(in(ADDRESS, 4), DEVICE);
	CU_ASSERT_EQUAL(in(DATA, 1), IDS & 0xff);
	CU_ASSERT_EQUAL(in(DATA + 1, 1), IDS >> 8 & 0xff);
	CU_ASSERT_EQUAL(in(DATA + 2, 2), IDS >> 16);
	CU_ASSERT_EQUAL(in(DATA + 3, 1), IDS >> 24);
	config_write(PCI_CACHE_LINE_SIZE, 0);
	out(DATA + 1, 0x77, 1);
	CU_ASSERT_EQUAL(fake.config[PCI_LATENCY_TIMER], 0x77);
	CU_ASSERT_EQUAL(fake.writes, 2);
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

	begin();
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		out(ADDRESS, addresses[i], 4);
		CU_ASSERT_EQUAL(in(DATA, 4), UINT32_MAX);
		CU_ASSERT_EQUAL(in(DATA + 2, 2), 0xffff);
		out(DATA, 0, 4);
	}
	CU_ASSERT_EQUAL(fake.reads, 0);
	CU_ASSERT_EQUAL(fake.writes, 0);
}

/* Accesses that begin or end elsewhere. */
static void
test_odd_ports(void)
{
	uint32_t value = 0;

	begin();
	out(ADDRESS, DEVICE, 4);
	CU_ASSERT_EQUAL(in(DATA + 1, 4), UINT32_MAX);
	CU_ASSERT_EQUAL(in(DATA + 3, 2), 0xffff);
	out(DATA + 1, 0, 4);
	CU_ASSERT_EQUAL(fake.writes, 0);
	CU_ASSERT_FALSE(pci_port_read(&pci, ADDRESS, &value, 1));
	CU_ASSERT_FALSE(pci_port_read(&pci, ADDRESS + 1, &value, 4));
	CU_ASSERT_FALSE(pci_port_write(&pci, ADDRESS + 1, &value, 1));
	CU_ASSERT_FALSE(pci_port_read(&pci, ADDRESS - 1, &value, 4));
	CU_ASSERT_FALSE(pci_port_read(&pci, DATA + 4, &value, 1));
	CU_ASSERT_EQUAL(in(ADDRESS, 4), DEVICE);
}

static void
test_sizing(void)
{
	static const uint32_t sized[PCI_NR_BARS] = {
		0xfffff000, 0xffffff01, 0xffff000c, 0xffffffff, 0, 0xffffe000};

	begin();
	for (uint32_t i = 0; i < PCI_NR_BARS; i++) {
		config_write(PCI_BASE_ADDRESS_0 + 4 * i, UINT32_MAX);
		CU_ASSERT_EQUAL(config_read(PCI_BASE_ADDRESS_0 + 4 * i), sized[i]);
	}
	CU_ASSERT_EQUAL(fake.bars_changed, 0); /* nothing is decoded */
	CU_ASSERT_EQUAL(fake.writes, 0);       /* BARs are none of the device's business */
	CU_ASSERT_EQUAL(fake.reads, 0);
	config_write(PCI_ROM_ADDRESS, UINT32_MAX);
	CU_ASSERT_EQUAL(config_read(PCI_ROM_ADDRESS), 0);
	CU_ASSERT_EQUAL(fake.writes, 0);
}

static void
test_placing(void)
{
	uint64_t address = 0;

	begin();
	config_write(PCI_BASE_ADDRESS_0, 0xe0000fff);
	CU_ASSERT_EQUAL(config_read(PCI_BASE_ADDRESS_0), 0xe0000000);
	config_write(PCI_BASE_ADDRESS_1, 0xc0ff);
	config_write(PCI_BASE_ADDRESS_2, 0x12340000);
	config_write(PCI_BASE_ADDRESS_3, 0x56);
	CU_ASSERT_FALSE(pci_bar_address(&pci, 0, &address));
	config_write(PCI_COMMAND, PCI_COMMAND_MEMORY);
	CU_ASSERT_EQUAL(fake.bars_changed, 1);
	CU_ASSERT(pci_bar_address(&pci, 0, &address));
	CU_ASSERT_EQUAL(address, 0xe0000000);
	CU_ASSERT(pci_bar_address(&pci, 2, &address));
	CU_ASSERT_EQUAL(address, 0x5612340000);
	CU_ASSERT_FALSE(pci_bar_address(&pci, 1, &address));
	CU_ASSERT_FALSE(pci_bar_address(&pci, 3, &address));
	CU_ASSERT_FALSE(pci_bar_address(&pci, 4, &address));
	config_write(PCI_COMMAND, PCI_COMMAND_IO);
	CU_ASSERT(pci_bar_address(&pci, 1, &address));
	CU_ASSERT_EQUAL(address, 0xc000);
	CU_ASSERT_FALSE(pci_bar_address(&pci, 0, &address));
	config_write(PCI_BASE_ADDRESS_1, 0x1c000); /* no port */
	CU_ASSERT_FALSE(pci_bar_address(&pci, 1, &address));
}

static void
test_bytes_of_bars(void)
{
	uint64_t address = 0;

	begin();
	config_write(PCI_COMMAND, PCI_COMMAND_MEMORY);
	fake.bars_changed = 0;
	out(ADDRESS, DEVICE | PCI_BASE_ADDRESS_0, 4);
	out(DATA + 3, 0xe1, 1);
	out(DATA + 1, 0x3456, 2);
	CU_ASSERT_EQUAL(fake.bars_changed, 2);
	CU_ASSERT(pci_bar_address(&pci, 0, &address));
	CU_ASSERT_EQUAL(address, 0xe1345000);
	CU_ASSERT_EQUAL(in(DATA + 1, 2), 0x3450);
	out(DATA, 0xff, 1); /* below the size */
	out(DATA + 3, 0xe1, 1);
	CU_ASSERT_EQUAL(fake.bars_changed, 2);
}

/* The device gets what switches BARs on and off; a byte of the register is enough to. */
static void
test_command(void)
{
	begin();
	out(ADDRESS, DEVICE | PCI_COMMAND, 4);
	out(DATA + 1, 0x04, 1); /* INTx off */
	CU_ASSERT_EQUAL(fake.bars_changed, 0);
	out(DATA, PCI_COMMAND_MEMORY | PCI_COMMAND_IO, 1);
	CU_ASSERT_EQUAL(fake.bars_changed, 1);
	CU_ASSERT_EQUAL(
		pci.command, PCI_COMMAND_INTX_DISABLE | PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	out(DATA, PCI_COMMAND_MEMORY | PCI_COMMAND_IO | PCI_COMMAND_MASTER, 1);
	CU_ASSERT_EQUAL(fake.bars_changed, 1);
	CU_ASSERT_EQUAL(fake.writes, 3);
	CU_ASSERT_EQUAL(fake.config[PCI_COMMAND], 7);
	out(DATA + 2, 0xffff, 2); /* the status */
	CU_ASSERT_EQUAL(fake.bars_changed, 1);
}

static void
test_msix(void)
{
	begin();
	CU_ASSERT_EQUAL(pci.msix, 0x50);
	config_write(0x50, 0x80070000 | PCI_CAP_ID_MSIX);
	CU_ASSERT_EQUAL(fake.msix_changed, 1);
	CU_ASSERT_EQUAL(fake.msix_control, PCI_MSIX_FLAGS_ENABLE);
	out(DATA + 3, 0xc0, 1);
	CU_ASSERT_EQUAL(fake.msix_changed, 2);
	CU_ASSERT_EQUAL(fake.msix_control, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	out(DATA, 0, 2); /* id and next */
	CU_ASSERT_EQUAL(fake.msix_changed, 2);
	CU_ASSERT_EQUAL(fake.config[0x53], 0xc0);
}

/* A device that fails is seen as one that is not there, and what it refuses has no effect. */
static void
test_device_fails(void)
{
	begin();
	fake.error = -EIO;
	CU_ASSERT_EQUAL(config_read(PCI_VENDOR_ID), UINT32_MAX);
	config_write(PCI_COMMAND, PCI_COMMAND_MEMORY);
	CU_ASSERT_EQUAL(fake.bars_changed, 0);
	config_write(0x50, UINT32_MAX);
	CU_ASSERT_EQUAL(fake.msix_changed, 0);
	CU_ASSERT_EQUAL(init_refused(sizes), -EIO);
}

/* Lists of capabilities that lead nowhere, in a circle, or to one that has no room. */
static void
test_capabilities(void)
{
	prepare();
	put_long(0x40, 0x4000 | PCI_CAP_ID_PM);
	CU_ASSERT_EQUAL_FATAL(pci_init(&pci, sizes, &ops, &fake), 0);
	CU_ASSERT_EQUAL(pci.msix, 0);
	prepare();
	put_long(0x40, 0x1000 | PCI_CAP_ID_PM);
	CU_ASSERT_EQUAL_FATAL(pci_init(&pci, sizes, &ops, &fake), 0);
	CU_ASSERT_EQUAL(pci.msix, 0);
	prepare();
	put_long(0x40, 0xfc00 | PCI_CAP_ID_PM);
	put_long(0xfc, PCI_CAP_ID_MSIX);
	CU_ASSERT_EQUAL_FATAL(pci_init(&pci, sizes, &ops, &fake), 0);
	CU_ASSERT_EQUAL(pci.msix, 0);
	prepare();
	fake.config[PCI_STATUS] = 0;
	CU_ASSERT_EQUAL_FATAL(pci_init(&pci, sizes, &ops, &fake), 0);
	CU_ASSERT_EQUAL(pci.msix, 0);
	config_write(0x50, UINT32_MAX);
	CU_ASSERT_EQUAL(fake.msix_changed, 0);
}

/* BARs that no device can have. */
static void
test_impossible_bars(void)
{
	uint64_t wrong[PCI_NR_BARS] = {0};

	prepare();
	wrong[0] = 0x80000001; /* decodes 4 GiB, with 32 bits of address */
	CU_ASSERT_EQUAL(init_refused(wrong), -EPROTO);
	wrong[0] = 0x80000000;
	CU_ASSERT_EQUAL(pci_init(&pci, wrong, &ops, &fake), 0);
	wrong[0] = 0;
	wrong[1] = 0x10001;
	CU_ASSERT_EQUAL(init_refused(wrong), -EPROTO);
	wrong[1] = 0;
	wrong[2] = UINT64_MAX;
	CU_ASSERT_EQUAL(init_refused(wrong), -EPROTO);
	wrong[2] = UINT64_C(1) << 63;
	CU_ASSERT_EQUAL(pci_init(&pci, wrong, &ops, &fake), 0);
	config_write(PCI_BASE_ADDRESS_2, UINT32_MAX);
	config_write(PCI_BASE_ADDRESS_3, UINT32_MAX);
	CU_ASSERT_EQUAL(config_read(PCI_BASE_ADDRESS_2), 0xc);
	CU_ASSERT_EQUAL(config_read(PCI_BASE_ADDRESS_3), 0x80000000);
	wrong[2] = 0;
	wrong[5] = 0x1000;
	put_long(PCI_BASE_ADDRESS_5, PCI_BASE_ADDRESS_MEM_TYPE_64);
	CU_ASSERT_EQUAL(init_refused(wrong), -EPROTO);
}

/* The upper half of a BAR is not a BAR, whatever the device has behind its number. */
static void
test_upper_half(void)
{
	uint64_t both[PCI_NR_BARS] = {0, 0, 0x1000, 0x1000, 0, 0};
	uint64_t address = 0;

	prepare();
	CU_ASSERT_EQUAL_FATAL(pci_init(&pci, both, &ops, &fake), 0);
	config_write(PCI_COMMAND, PCI_COMMAND_MEMORY);
	CU_ASSERT(pci_bar_address(&pci, 2, &address));
	CU_ASSERT_FALSE(pci_bar_address(&pci, 3, &address));
}

static CU_TestInfo tests[] = {
	{"mechanism 1", test_mechanism},
	{"other functions", test_other_functions},
	{"odd ports", test_odd_ports},
	{"sizing", test_sizing},
	{"placing", test_placing},
	{"bytes of BARs", test_bytes_of_bars},
	{"command", test_command},
	{"MSI-X control", test_msix},
	{"device fails", test_device_fails},
	{"capabilities", test_capabilities},
	{"impossible BARs", test_impossible_bars},
	{"upper half", test_upper_half},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{"pci", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
