/* SPDX-License-Identifier: BSD-3-Clause */
#include <linux/pci_regs.h>

#include "front_fixture.h"

#define RW (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

/* BAR 0: 8 KiB; BAR 1: 100 bytes of ports; BAR 2: 4 GiB, 64 bits, prefetchable; BAR 4: 3000 bytes,
 * 64 bits; ROM: 5000 bytes. */
static const struct front_region regions[] = {
	{.size = 8192, .flags = RW},
	{.size = 100, .flags = RW},
	{.size = UINT64_C(1) << 32, .flags = RW},
	{0},
	{.size = 3000, .flags = RW},
	{0},
	{.size = 5000, .flags = VFIO_REGION_INFO_FLAG_READ},
	{.size = 4096, .flags = RW},
};

static void
create_front(const uint8_t config[FRONT_CONFIG_HEADER])
{
	struct front_shape shape = {.nr_regions = 8, .regions = regions};
	const struct front_opts opts = {.shape = &shape};

	memcpy(shape.config, config, FRONT_CONFIG_HEADER);
	front_rig_create_with(&opts);
}

static void
create_device(void)
{
	static const uint8_t config[FRONT_CONFIG_HEADER] = {[PCI_HEADER_TYPE] = 0x80,
		[0x14] = 0x01,
		[0x18] = 0x0c,
		[0x20] = 0x04,
		[0x30] = 0x01,
		[0x12] = 0xfe,
		[0x11] = 0xff};

	create_front(config);
}

static uint32_t
read_register(uint64_t offset)
{
	uint32_t value = 0x55555555;

	front_config_merge(front, offset, 4, &value);
	return value;
}

static unsigned int
write_register(uint64_t offset, uint32_t value)
{
	struct front_piece pieces[FRONT_MAX_PIECES];

	return front_config_write(front, offset, 4, &value, pieces);
}

/* Sizes are what a client finds by writing ones; then addresses are kept, and type bits stay. */
static void
test_sizes(void)
{
	static const struct {
		uint64_t offset;
		uint32_t before, ones, address, after, cleared;
	} rows[] = {
		{0x10, 0x00fee000, 0xffffe000, 0xfebf1234, 0xfebf0000, 0},
		{0x14, 0x1, 0xffffff81, 0x0000c1ff, 0x0000c181, 0x1},
		{0x18, 0xc, 0x0000000c, 0x12345678, 0x0000000c, 0xc},
		{0x1c, 0, 0xffffffff, 0x00000012, 0x00000012, 0},
		{0x20, 0x4, 0xfffff004, 0xfebf1fff, 0xfebf1004, 0x4},
		{0x24, 0, 0xffffffff, 0x00000038, 0x00000038, 0},
		{0x30, 0x1, 0xffffe001, 0xfeb02800, 0xfeb02000, 0},
	};

	create_device();
	for (size_t i = 0; i < NR(rows); i++) {
		vuc_tap_row("register 0x%x", (unsigned int)rows[i].offset);
		CU_ASSERT_EQUAL(read_register(rows[i].offset), rows[i].before);
		CU_ASSERT_EQUAL(write_register(rows[i].offset, UINT32_MAX), 0);
		CU_ASSERT_EQUAL(read_register(rows[i].offset), rows[i].ones);
		CU_ASSERT_EQUAL(write_register(rows[i].offset, rows[i].address), 0);
		CU_ASSERT_EQUAL(read_register(rows[i].offset), rows[i].after);
		CU_ASSERT_EQUAL(write_register(rows[i].offset, 0), 0);
		CU_ASSERT_EQUAL(read_register(rows[i].offset), rows[i].cleared);
	}
}

static void
test_absent(void)
{
	static const struct front_region none[1];
	const struct front_shape shape = {.nr_regions = 1, .regions = none};
	const struct front_opts opts = {.shape = &shape};

	front_rig_create_with(&opts);
	for (uint64_t offset = 0x10; offset < 0x34; offset += offset == 0x24 ? 0xc : 4) {
		CU_ASSERT_EQUAL(write_register(offset, UINT32_MAX), 0);
		CU_ASSERT_EQUAL(read_register(offset), 0);
	}
}

/* Writes of one and two bytes, and across registers. */
static void
test_widths(void)
{
	struct front_piece pieces[FRONT_MAX_PIECES];
	static const uint8_t ones[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint8_t bytes[8] = {0};

	create_device();
	write_register(0x10, 0);
	CU_ASSERT_EQUAL(front_config_write(front, 0x13, 1, "\xfe", pieces), 0);
	CU_ASSERT_EQUAL(read_register(0x10), 0xfe000000);
	CU_ASSERT_EQUAL(front_config_write(front, 0x12, 2, "\x34\x12", pieces), 0);
	CU_ASSERT_EQUAL(read_register(0x10), 0x12340000);
	write_register(0x14, 0);
	CU_ASSERT_EQUAL(front_config_write(front, 0x12, 4, ones, pieces), 0);
	CU_ASSERT_EQUAL(read_register(0x10), 0xffff0000);
	CU_ASSERT_EQUAL(read_register(0x14), 0x0000ff81);
	CU_ASSERT_EQUAL(front_config_write(front, 0x18, 8, ones, pieces), 0);
	front_config_merge(front, 0x18, 8, bytes);
	CU_ASSERT_EQUAL(memcmp(bytes, "\x0c\0\0\0\xff\xff\xff\xff", 8), 0);
	front_config_merge(front, 0x1e, 1, bytes);
	CU_ASSERT_EQUAL(bytes[0], 0xff);
}

/* Which parts of an access go to the device. */
static void
test_pieces(void)
{
	static const struct {
		uint64_t offset;
		uint32_t count;
		unsigned int n;
		struct front_piece pieces[FRONT_MAX_PIECES];
	} rows[] = {
		{0, 4, 1, {{0, 4, 0}}},
		{4, 2, 1, {{0, 2, 4}}},
		{0x0c, 4, 1, {{0, 4, 0x0c}}},
		{0x0e, 4, 1, {{0, 2, 0x0e}}},
		{0x10, 4, 0, {{0}}},
		{0x10, 24, 0, {{0}}},
		{0x26, 4, 1, {{2, 2, 0x28}}},
		{0x28, 8, 1, {{0, 8, 0x28}}},
		{0x2c, 8, 1, {{0, 4, 0x2c}}},
		{0x30, 4, 0, {{0}}},
		{0x30, 8, 1, {{4, 4, 0x34}}},
		{0x33, 2, 1, {{1, 1, 0x34}}},
		{0, 64, 3, {{0, 16, 0}, {40, 8, 40}, {52, 12, 52}}},
		{0, 4096, 3, {{0, 16, 0}, {40, 8, 40}, {52, 4044, 52}}},
		{0x3c, 8, 1, {{0, 8, 0x3c}}},
		{0x33, 4093 - 0x33 + 3, 1, {{1, 4093 - 0x33 + 2, 0x34}}},
		{0x40, 4, 1, {{0, 4, 0x40}}},
		{4092, 4, 1, {{0, 4, 4092}}},
	};
	static uint8_t data[4096];

	create_device();
	for (size_t i = 0; i < NR(rows); i++) {
		struct front_piece got[FRONT_MAX_PIECES];

		vuc_tap_row("%u bytes at 0x%x", rows[i].count, (unsigned int)rows[i].offset);
		CU_ASSERT_EQUAL(
			front_config_pieces(front, rows[i].offset, rows[i].count, got), rows[i].n);
		CU_ASSERT_EQUAL(front_config_write(front, rows[i].offset, rows[i].count, data, got),
			rows[i].n);
		for (unsigned int k = 0; k < rows[i].n; k++)
			CU_ASSERT(got[k].at == rows[i].pieces[k].at &&
				got[k].count == rows[i].pieces[k].count &&
				got[k].offset == rows[i].pieces[k].offset);
	}
}

/* QEMU reads all of configuration space at once: only the registers are other than the device's. */
static void
test_merge(void)
{
	uint8_t data[4096];

	create_device();
	write_register(0x10, 0xfebf0000);
	memset(data, 0xaa, sizeof(data));
	front_config_merge(front, 0, sizeof(data), data);
	for (size_t i = 0; i < sizeof(data); i++) {
		if (i < 0x10 || (i >= 0x28 && i < 0x30) || i >= 0x34)
			CU_ASSERT_EQUAL(data[i], 0xaa);
	}
	CU_ASSERT_EQUAL(memcmp(data + 0x10, "\0\0\xbf\xfe\1\0\0\0\x0c", 9), 0);
	CU_ASSERT_EQUAL(data[0x30], 1);
}

/* A bridge has other registers there. */
static void
test_bridge(void)
{
	static const uint8_t config[FRONT_CONFIG_HEADER] = {[PCI_HEADER_TYPE] = 0x81};
	struct front_piece pieces[FRONT_MAX_PIECES];

	create_front(config);
	CU_ASSERT_EQUAL(front_config_pieces(front, 0, 64, pieces), 1);
	CU_ASSERT_EQUAL(pieces[0].count, 64);
	CU_ASSERT_EQUAL(read_register(0x10), 0x55555555);
	CU_ASSERT_EQUAL(write_register(0x10, 0), 1);
}

const struct tap_suite tap_suite = {"front_config", NULL, front_rig_destroy,
	{
		{"sizes, addresses and types of BARs and the ROM", test_sizes},
		{"BARs of regions that do not exist", test_absent},
		{"writes of any width", test_widths},
		{"what goes to the device", test_pieces},
		{"what is laid over a read", test_merge},
		{"bridges have their own registers", test_bridge},
	}};
