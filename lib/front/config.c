/* SPDX-License-Identifier: BSD-3-Clause */

/* Registers of configuration space that are kept for the client. What a client writes to find out
 * sizes and to place regions is meaningless to a device whose regions are accessed by messages. */

#include <linux/pci_regs.h>

#include "internal.h"

#define ROM_REGISTER FRONT_NR_BARS

/* Offset of register i. */
static uint64_t
bar_offset(unsigned int i)
{
	return i == ROM_REGISTER ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4 * i;
}

static uint32_t
read_register(const uint8_t config[FRONT_CONFIG_HEADER], unsigned int i)
{
	uint32_t value;

	memcpy(&value, config + bar_offset(i), sizeof(value));
	return value;
}

/* Writable bits of an address: those of a multiple of the BAR's size, which is the region's size
 * rounded up to a power of two. */
static uint64_t
address_mask(uint64_t size, uint64_t least)
{
	uint64_t room = least;

	if (size == 0)
		return 0;
	while (room < size && room != 0)
		room <<= 1;
	return ~(room - 1);
}

/* Returns the number of registers of the BAR. */
static unsigned int
init_bar(struct front *f, const uint8_t config[FRONT_CONFIG_HEADER], unsigned int i)
{
	uint32_t value = read_register(config, i);
	uint64_t size = f->regions[i].size;
	uint64_t mask;

	if (size == 0)
		return 1;
	if ((value & PCI_BASE_ADDRESS_SPACE) == PCI_BASE_ADDRESS_SPACE_IO) {
		f->bar_type[i] = PCI_BASE_ADDRESS_SPACE_IO;
		f->bar_mask[i] = (uint32_t)address_mask(size, 4);
		return 1;
	}
	mask = address_mask(size, 16);
	f->bar_type[i] = value & ~(uint32_t)PCI_BASE_ADDRESS_MEM_MASK;
	f->bar_mask[i] = (uint32_t)mask;
	if ((value & PCI_BASE_ADDRESS_MEM_TYPE_MASK) != PCI_BASE_ADDRESS_MEM_TYPE_64 ||
		i + 1 == FRONT_NR_BARS)
		return 1;
	f->bar_mask[i + 1] = (uint32_t)(mask >> 32);
	return 2;
}

void
front_config_init(struct front *f, const uint8_t config[FRONT_CONFIG_HEADER])
{
	f->has_bars = (config[PCI_HEADER_TYPE] & 0x7f) == PCI_HEADER_TYPE_NORMAL;
	if (!f->has_bars)
		return;
	for (unsigned int i = 0; i < FRONT_NR_BARS;)
		i += init_bar(f, config, i);
	f->bar_mask[ROM_REGISTER] =
		(uint32_t)address_mask(f->regions[VFIO_PCI_ROM_REGION_INDEX].size, 2048);
	if (f->bar_mask[ROM_REGISTER] != 0)
		f->bar_mask[ROM_REGISTER] |= PCI_ROM_ADDRESS_ENABLE;
	for (unsigned int i = 0; i <= ROM_REGISTER; i++)
		f->bar[i] = read_register(config, i) & f->bar_mask[i];
}

/* The register that contains the byte; FRONT_NR_BARS + 1: none. */
static unsigned int
register_of(const struct front *f, uint64_t offset)
{
	if (!f->has_bars)
		return FRONT_NR_BARS + 1;
	if (offset >= PCI_BASE_ADDRESS_0 && offset < bar_offset(FRONT_NR_BARS - 1) + 4)
		return (unsigned int)(offset - PCI_BASE_ADDRESS_0) / 4;
	if (offset >= PCI_ROM_ADDRESS && offset < PCI_ROM_ADDRESS + 4)
		return ROM_REGISTER;
	return FRONT_NR_BARS + 1;
}

static bool
is_kept(const struct front *f, uint64_t offset)
{
	return register_of(f, offset) <= ROM_REGISTER;
}

unsigned int
front_config_pieces(const struct front *f, uint64_t offset, uint32_t count,
	struct front_piece pieces[FRONT_MAX_PIECES])
{
	uint32_t near = 0;
	unsigned int n = 0;
	bool in_piece = false;

	/* Everything behind the header belongs to the device. */
	if (offset < FRONT_CONFIG_HEADER)
		near = (uint32_t)(FRONT_CONFIG_HEADER - offset);
	if (near > count)
		near = count;
	for (uint32_t at = 0; at < near; at++) {
		if (is_kept(f, offset + at)) {
			in_piece = false;
			continue;
		}
		if (!in_piece)
			pieces[n++] = (struct front_piece){.at = at, .offset = offset + at};
		in_piece = true;
		pieces[n - 1].count++;
	}
	if (near == count)
		return n;
	if (!in_piece)
		pieces[n++] = (struct front_piece){.at = near, .offset = offset + near};
	pieces[n - 1].count += count - near;
	return n;
}

unsigned int
front_config_write(struct front *f, uint64_t offset, uint32_t count, const void *data,
	struct front_piece pieces[FRONT_MAX_PIECES])
{
	const uint8_t *bytes = data;

	for (uint32_t at = 0; at < count && offset + at < FRONT_CONFIG_HEADER; at++) {
		unsigned int i = register_of(f, offset + at);
		unsigned int shift;

		if (i > ROM_REGISTER)
			continue;
		shift = 8 * (unsigned int)(offset + at - bar_offset(i));
		f->bar[i] &= ~(0xffu << shift);
		f->bar[i] |= (uint32_t)bytes[at] << shift & f->bar_mask[i];
	}
	return front_config_pieces(f, offset, count, pieces);
}

void
front_config_merge(const struct front *f, uint64_t offset, uint32_t count, void *data)
{
	uint8_t *bytes = data;

	for (uint32_t at = 0; at < count && offset + at < FRONT_CONFIG_HEADER; at++) {
		unsigned int i = register_of(f, offset + at);

		if (i <= ROM_REGISTER)
			bytes[at] = (uint8_t)((f->bar[i] | f->bar_type[i]) >>
				8 * (unsigned int)(offset + at - bar_offset(i)));
	}
}
