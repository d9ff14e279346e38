/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "device.h"

/* Bits of a table entry that can be written: address, data, and the mask bit of vector control. */
static const uint8_t entry_writable[REFDEV_MSIX_ENTRY_SIZE] = {
	0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};

/*
 * Vectors begin unmasked, other than PCI has it: clients that keep the table to themselves, as VMMs
 * do, would never see an interrupt otherwise.
 */
void
refdev_bar4_reset(struct refdev *dev)
{
	memset(dev->bar4.table, 0, sizeof(dev->bar4.table));
	memset(dev->bar4.memory.bytes, 0, dev->bar4.memory.size);
}

/* Read from a page that begins with len bytes of src and is 0 behind them. */
static void
read_sparse(uint8_t *data, uint32_t offset, uint32_t count, const void *src, uint32_t len)
{
	uint32_t there = 0;

	if (offset < len)
		there = count < len - offset ? count : len - offset;
	memcpy(data, (const uint8_t *)src + (there > 0 ? offset : 0), there);
	memset(data + there, 0, count - there);
}

static void
table_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	for (uint32_t i = 0; i < count && offset + i < sizeof(dev->bar4.table); i++)
		dev->bar4.table[offset + i] =
			data[i] & entry_writable[(offset + i) % REFDEV_MSIX_ENTRY_SIZE];
	refdev_irq_refresh(dev);
}

static void
page_read(struct refdev *dev, uint32_t page, uint32_t offset, uint8_t *data, uint32_t count)
{
	uint64_t pending = refdev_irq_pending_bits(dev);

	switch (page) {
	case REFDEV_BAR4_TABLE:
		read_sparse(data, offset, count, dev->bar4.table, sizeof(dev->bar4.table));
		break;
	case REFDEV_BAR4_PBA:
		read_sparse(data, offset, count, &pending, sizeof(pending));
		break;
	default:
		memcpy(data, dev->bar4.memory.bytes + page + offset, count);
		break;
	}
}

static void
page_write(struct refdev *dev, uint32_t page, uint32_t offset, const uint8_t *data, uint32_t count)
{
	switch (page) {
	case REFDEV_BAR4_TABLE:
		table_write(dev, offset, data, count);
		break;
	case REFDEV_BAR4_PBA:
		break;
	default:
		memcpy(dev->bar4.memory.bytes + page + offset, data, count);
		break;
	}
}

/* Bytes of an access that lie in the page of its first one. */
static uint32_t
in_page(uint32_t offset, uint32_t count)
{
	uint32_t left = REFDEV_PAGE_SIZE - offset % REFDEV_PAGE_SIZE;

	return count < left ? count : left;
}

int
refdev_bar4_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count)
{
	while (count > 0) {
		uint32_t part = in_page(offset, count);
		uint32_t in = offset % REFDEV_PAGE_SIZE;

		page_read(dev, offset - in, in, data, part);
		offset += part;
		data += part;
		count -= part;
	}
	return 0;
}

int
refdev_bar4_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	while (count > 0) {
		uint32_t part = in_page(offset, count);
		uint32_t in = offset % REFDEV_PAGE_SIZE;

		page_write(dev, offset - in, in, data, part);
		offset += part;
		data += part;
		count -= part;
	}
	return 0;
}
