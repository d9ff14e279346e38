/* SPDX-License-Identifier: BSD-3-Clause */
#include <sys/eventfd.h>

#include <linux/pci_regs.h>

#include "device.h"
#include "fd_count.h"
#include "kvm.h"
#include "msix.h"
#include "tap.h"

#define VECTORS 70u /* more than one word of pending bits has */
#define BAR     4u
#define TABLE   0x800u
#define PENDING 0x2000u
#define ON      PCI_MSIX_FLAGS_ENABLE
#define MASKED  PCI_MSIX_FLAGS_MASKALL

/* KVM and device, as far as they are seen from here: the functions below stand for theirs. */
static struct {
	const int *eventfds; /* that the device has; NULL: none */
	bool connected[VECTORS];
	uint64_t address[VECTORS];
	uint32_t data[VECTORS];
	int route_error, connect_error;
} fake;

static struct device device;
static struct vm vm;
static struct msix msix;

int
device_enable_msix(struct device *given, const int *eventfds, uint32_t nr_vectors)
{
	CU_ASSERT_PTR_EQUAL(given, &device);
	CU_ASSERT_EQUAL(nr_vectors, VECTORS);
	CU_ASSERT_PTR_NULL(fake.eventfds);
	fake.eventfds = eventfds;
	return 0;
}

void
device_disable_msix(struct device *given)
{
	CU_ASSERT_PTR_EQUAL(given, &device);
	CU_ASSERT_PTR_NOT_NULL(fake.eventfds);
	fake.eventfds = NULL;
}

int
vm_route_msi(struct vm *given, uint32_t msi, uint64_t address, uint32_t data)
{
	CU_ASSERT_PTR_EQUAL(given, &vm);
	CU_ASSERT_FATAL(msi < VECTORS);
	fake.address[msi] = address;
	fake.data[msi] = data;
	return fake.route_error;
}

int
vm_connect_msi(struct vm *given, uint32_t msi, int eventfd)
{
	CU_ASSERT_PTR_EQUAL(given, &vm);
	CU_ASSERT_FATAL(msi < VECTORS);
	CU_ASSERT_EQUAL(eventfd, msix.eventfds[msi]);
	CU_ASSERT_FALSE(fake.connected[msi]);
	fake.connected[msi] = fake.connect_error == 0;
	return fake.connect_error;
}

void
vm_disconnect_msi(struct vm *given, uint32_t msi, int eventfd)
{
	CU_ASSERT_PTR_EQUAL(given, &vm);
	CU_ASSERT_FATAL(msi < VECTORS);
	CU_ASSERT_EQUAL(eventfd, msix.eventfds[msi]);
	CU_ASSERT_TRUE(fake.connected[msi]);
	fake.connected[msi] = false;
}

static void
msix_begin(void)
{
	uint8_t capability[PCI_CAP_MSIX_SIZEOF] = {PCI_CAP_ID_MSIX, 0, VECTORS - 1, 0};
	uint32_t table = TABLE | BAR;
	uint32_t pending = PENDING | BAR;

	memset(&fake, 0, sizeof(fake));
	memcpy(capability + PCI_MSIX_TABLE, &table, sizeof(table));
	memcpy(capability + PCI_MSIX_PBA, &pending, sizeof(pending));
	CU_ASSERT_EQUAL_FATAL(msix_init(&msix, capability, &device, &vm), 0);
	CU_ASSERT_EQUAL(msix.nr_vectors, VECTORS);
}

static void
msix_end(void)
{
	msix_destroy(&msix);
	for (unsigned int i = 0; i < VECTORS; i++)
		CU_ASSERT_FALSE(fake.connected[i]);
}

static uint32_t
bar_get(uint64_t offset, uint32_t count)
{
	uint32_t value = 0;

	CU_ASSERT(msix_read(&msix, BAR, offset, &value, count));
	return value;
}

static void
bar_put(uint64_t offset, uint32_t value, uint32_t count)
{
	CU_ASSERT(msix_write(&msix, BAR, offset, &value, count));
}

static uint64_t
entry(uint32_t vector, uint32_t field)
{
	return TABLE + vector * MSIX_ENTRY_BYTES + field;
}

static void
set_vector(uint32_t vector, uint32_t data)
{
	bar_put(entry(vector, PCI_MSIX_ENTRY_LOWER_ADDR), 0xfee00000, 4);
	bar_put(entry(vector, PCI_MSIX_ENTRY_UPPER_ADDR), 0x12, 4);
	bar_put(entry(vector, PCI_MSIX_ENTRY_DATA), data, 4);
	bar_put(entry(vector, PCI_MSIX_ENTRY_VECTOR_CTRL), 0, 4);
}

static void
test_table(void)
{
	CU_ASSERT_EQUAL(bar_get(entry(0, PCI_MSIX_ENTRY_VECTOR_CTRL), 4), 1);
	bar_put(entry(3, PCI_MSIX_ENTRY_LOWER_ADDR), 0x12345677, 4);
	CU_ASSERT_EQUAL(bar_get(entry(3, PCI_MSIX_ENTRY_LOWER_ADDR), 4), 0x12345674);
	bar_put(entry(3, PCI_MSIX_ENTRY_DATA), 0xa1b2c3d4, 4);
	CU_ASSERT_EQUAL(bar_get(entry(3, PCI_MSIX_ENTRY_DATA) + 1, 2), 0xb2c3);
	bar_put(entry(3, PCI_MSIX_ENTRY_VECTOR_CTRL), 0xffffffff, 4);
	CU_ASSERT_EQUAL(bar_get(entry(3, PCI_MSIX_ENTRY_VECTOR_CTRL), 4), 1);
	bar_put(entry(VECTORS - 1, PCI_MSIX_ENTRY_VECTOR_CTRL), 0, 4);
	CU_ASSERT_EQUAL(bar_get(entry(VECTORS - 1, PCI_MSIX_ENTRY_VECTOR_CTRL), 4), 0);
}

/* What lies beside the table is the device's; what lies across its ends is nobody's. */
static void
test_bounds(void)
{
	const uint64_t behind = entry(VECTORS, 0);
	const uint64_t beside[][2] = {
		{BAR, TABLE - 4}, {BAR, behind}, {BAR - 1, TABLE}, {BAR, PENDING + 16}};
	uint64_t value = 0;

	for (unsigned int i = 0; i < 4; i++) {
		CU_ASSERT_FALSE(msix_read(&msix, (uint32_t)beside[i][0], beside[i][1], &value, 4));
		CU_ASSERT_FALSE(msix_write(&msix, (uint32_t)beside[i][0], beside[i][1], &value, 4));
	}
	CU_ASSERT_EQUAL(bar_get(TABLE - 2, 4), 0xffffffff);
	CU_ASSERT_EQUAL(bar_get(behind - 2, 4), 0xffffffff);
	CU_ASSERT_EQUAL(bar_get(PENDING - 1, 2), 0xffff);
	bar_put(behind - 2, 0x55555555, 4);
	bar_put(TABLE - 2, 0x55555555, 4);
	CU_ASSERT_EQUAL(bar_get(behind - 4, 4), 1);
	CU_ASSERT_EQUAL(bar_get(TABLE, 4), 0);
	bar_put(PENDING, 0xffffffff, 4); /* cannot be written */
	CU_ASSERT_EQUAL(bar_get(PENDING, 4), 0);
}

/* data 0: KVM does not listen to the vector. */
static void
expect_connected(uint32_t vector, uint32_t data)
{
	CU_ASSERT_EQUAL(fake.connected[vector], data != 0);
	if (data != 0)
		CU_ASSERT(fake.address[vector] == 0x12fee00000 && fake.data[vector] == data);
}

static void
test_enable(void)
{
	static const struct {
		uint16_t control;
		bool enabled, connected;
	} steps[] = {{0, false, false}, {ON, true, true}, {ON | MASKED, true, false},
		{ON, true, true}, {0, false, false}};

	set_vector(2, 0x42);
	for (size_t i = 0; i < NR(steps); i++) {
		msix_set_control(&msix, steps[i].control);
		CU_ASSERT_EQUAL(fake.eventfds != NULL, steps[i].enabled);
		expect_connected(2, steps[i].connected ? 0x42 : 0);
		expect_connected(1, 0);
	}
}

/* A message that changes while the vector is on, and one that KVM does not take. */
static void
test_reroute(void)
{
	msix_set_control(&msix, ON);
	set_vector(1, 0x41);
	expect_connected(1, 0x41);
	for (uint32_t data = 0x51; data <= 0x91; data += 0x10) {
		fake.route_error = data == 0x61 ? -EINVAL : 0;
		fake.connect_error = data == 0x81 ? -EINVAL : 0;
		bar_put(entry(1, PCI_MSIX_ENTRY_DATA), data, 4);
		expect_connected(1, data == 0x61 || data == 0x81 ? 0 : data);
	}
}

static void
test_pending(void)
{
	static const uint32_t signalled[] = {0, 65, 9};

	msix_set_control(&msix, ON);
	set_vector(65, 0x41);
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(eventfd_write(msix.eventfds[signalled[i]], 1), 0);
	CU_ASSERT_EQUAL(bar_get(PENDING, 4), 0x201);
	CU_ASSERT_EQUAL(bar_get(PENDING + 1, 1), 0x02);
	CU_ASSERT_EQUAL(bar_get(PENDING + 8, 4), 0); /* KVM has it */
	bar_put(entry(65, PCI_MSIX_ENTRY_VECTOR_CTRL), 1, 1);
	CU_ASSERT_EQUAL(bar_get(PENDING + 8, 4), 0x2);
	set_vector(9, 0x49); /* KVM finds it when it begins to listen */
	CU_ASSERT_EQUAL(bar_get(PENDING, 4), 0x001);
	msix_set_control(&msix, 0);
	msix_set_control(&msix, ON | MASKED);
	CU_ASSERT_EQUAL(bar_get(PENDING, 4), 0);
	CU_ASSERT_EQUAL(bar_get(PENDING + 8, 4), 0);
}

/* Without MSI-X, every access is the device's, and no descriptor is left. */
static void
test_none(void)
{
	unsigned int with = fd_count();
	uint32_t value = 0;

	msix_destroy(&msix);
	CU_ASSERT_EQUAL(fd_count(), with - VECTORS);
	memset(&msix, 0, sizeof(msix));
	CU_ASSERT_FALSE(msix_read(&msix, 0, 0, &value, 4));
	CU_ASSERT_FALSE(msix_write(&msix, 0, 0, &value, 4));
}

const struct tap_suite tap_suite = {"msix", msix_begin, msix_end,
	{
		{"table", test_table},
		{"bounds", test_bounds},
		{"enable", test_enable},
		{"reroute", test_reroute},
		{"pending", test_pending},
		{"none", test_none},
	}};
