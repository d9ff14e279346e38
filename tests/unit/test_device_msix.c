/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "msix.h"
#include "tap.h"

static uint8_t config[MSIX_CONFIG_SIZE];

static void
put_cap(uint8_t offset, uint8_t id, uint8_t next)
{
	config[offset] = id;
	config[offset + 1] = next;
}

static void
begin(uint8_t first)
{
	memset(config, 0, sizeof(config));
	config[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	config[PCI_CAPABILITY_LIST] = first;
}

static void
put_long(size_t offset, uint32_t value)
{
	for (size_t i = 0; i < sizeof(value); i++)
		config[offset + i] = (uint8_t)(value >> (8 * i));
}

/* Out of memory that ends where config space does. */
static int
find(size_t len, struct msix *msix, struct vuc_error *err)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	int rc;

	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, config, len);
	rc = msix_find(copy, len, msix, err);
	free(copy);
	return rc;
}

static bool
has_none(size_t len)
{
	struct msix msix;

	return find(len, &msix, NULL) == 0 && msix.table.size == 0 && msix.pending.size == 0;
}

static void
refused(size_t len, const char *reason)
{
	struct vuc_error err = {0};
	struct msix msix;

	CU_ASSERT_EQUAL(find(len, &msix, &err), -EPROTO);
	CU_ASSERT_STRING_EQUAL(err.text, reason);
}

static void
test_found(void)
{
	struct msix msix;

	begin(0x42); /* the lower two bits are reserved */
	put_cap(0x40, PCI_CAP_ID_PM, 0x50);
	put_cap(0x50, PCI_CAP_ID_MSIX, 0x51);
	config[0x52] = 0x40;
	config[0x53] = 0xf8; /* but for 3 of them, not the size */
	put_long(0x54, 0x12345000 | 4);
	put_long(0x58, 0xfffffff8 | 2);
	CU_ASSERT_EQUAL(find(sizeof(config), &msix, NULL), 0);
	CU_ASSERT_EQUAL(msix.table.bar, 4);
	CU_ASSERT_EQUAL(msix.table.offset, 0x12345000);
	CU_ASSERT_EQUAL(msix.table.size, 65 * 16);
	CU_ASSERT_EQUAL(msix.pending.bar, 2);
	CU_ASSERT_EQUAL(msix.pending.offset, 0xfffffff8);
	CU_ASSERT_EQUAL(msix.pending.size, 16);
}

static void
test_sizes(void)
{
	struct msix msix;

	begin(0x40);
	put_cap(0x40, PCI_CAP_ID_MSIX, 0);
	put_long(0x48, 6);
	CU_ASSERT_EQUAL(find(sizeof(config), &msix, NULL), 0);
	CU_ASSERT_EQUAL(msix.table.size, 16);
	CU_ASSERT_EQUAL(msix.pending.size, 0);
	config[0x42] = 0xff;
	config[0x43] = 0x07;
	put_long(0x48, 5);
	CU_ASSERT_EQUAL(find(sizeof(config), &msix, NULL), 0);
	CU_ASSERT_EQUAL(msix.table.size, 32768);
	CU_ASSERT_EQUAL(msix.pending.size, 256);
}

static void
test_none(void)
{
	memset(config, 0, sizeof(config));
	CU_ASSERT_TRUE(has_none(sizeof(config)));
	CU_ASSERT_TRUE(has_none(0));
	config[PCI_CAPABILITY_LIST] = 0x40;
	put_cap(0x40, PCI_CAP_ID_MSIX, 0);
	CU_ASSERT_TRUE(has_none(sizeof(config)));
	begin(0);
	CU_ASSERT_TRUE(has_none(sizeof(config)));
	begin(0x40);
	put_cap(0x40, PCI_CAP_ID_EXP, 0);
	CU_ASSERT_TRUE(has_none(sizeof(config)));
	CU_ASSERT_TRUE(has_none(63));
}

static void
test_cardbus(void)
{
	struct msix msix;

	begin(0);
	config[PCI_HEADER_TYPE] = 0x80 | PCI_HEADER_TYPE_CARDBUS;
	config[PCI_CB_CAPABILITY_LIST] = 0x80;
	put_cap(0x80, PCI_CAP_ID_MSIX, 0);
	CU_ASSERT_EQUAL(find(sizeof(config), &msix, NULL), 0);
	CU_ASSERT_EQUAL(msix.table.size, 16);
}

static void
test_loops(void)
{
	begin(0x40);
	put_cap(0x40, PCI_CAP_ID_PM, 0x40);
	refused(sizeof(config), "config space: the list of capabilities has a loop at 0x40");
	put_cap(0x40, PCI_CAP_ID_PM, 0x60);
	put_cap(0x60, PCI_CAP_ID_PM, 0x40);
	refused(sizeof(config), "config space: the list of capabilities has a loop at 0x40");
}

/* As many as there is room for are no loop. */
static void
test_most(void)
{
	struct msix msix;

	begin(0x40);
	for (unsigned int offset = 0x40; offset < 0xf4; offset += 4)
		put_cap((uint8_t)offset, PCI_CAP_ID_PM, (uint8_t)(offset + 4));
	put_cap(0xf4, PCI_CAP_ID_MSIX, 0);
	CU_ASSERT_EQUAL(find(sizeof(config), &msix, NULL), 0);
	CU_ASSERT_EQUAL(msix.table.size, 16);
	for (unsigned int offset = 0xf4; offset < 0x100; offset += 4)
		put_cap((uint8_t)offset, PCI_CAP_ID_PM, (uint8_t)(offset + 4));
	CU_ASSERT_TRUE(has_none(sizeof(config)));
}

static void
test_out_of_bounds(void)
{
	begin(0x3c);
	refused(sizeof(config),
		"config space: a capability of 4 bytes at 0x3c, expected in 0x40 to 0x100");
	begin(0xf8);
	put_cap(0xf8, PCI_CAP_ID_MSIX, 0);
	refused(sizeof(config),
		"config space: a capability of 12 bytes at 0xf8, expected in 0x40 to 0x100");
	begin(0x40);
	put_cap(0x40, PCI_CAP_ID_PM, 0x80);
	refused(0x82, "config space: a capability of 4 bytes at 0x80, expected in 0x40 to 0x82");
	refused(64, "config space: a capability of 4 bytes at 0x40, expected in 0x40 to 0x40");
}

static CU_TestInfo tests[] = {
	{"found", test_found},
	{"sizes", test_sizes},
	{"none", test_none},
	{"cardbus", test_cardbus},
	{"loops", test_loops},
	{"most", test_most},
	{"out of bounds", test_out_of_bounds},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_tests("msix", NULL, NULL, tests);
}
