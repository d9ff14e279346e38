/* SPDX-License-Identifier: BSD-3-Clause */
#include <linux/pci_regs.h>

#include "msix.h"

/* Bits of a table entry that can be written: address, data, and the mask bit of vector control. */
static const uint8_t entry_writable[REFDEV_MSIX_ENTRY_SIZE] = {
	0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};

static struct refdev_overlap
table_overlap(const struct refdev_msix *msix, uint32_t offset, uint32_t count)
{
	return refdev_overlap(
		offset, count, msix->table_at, msix->vectors * REFDEV_MSIX_ENTRY_SIZE);
}

void
refdev_msix_read(const struct refdev *dev, const struct refdev_msix *msix, uint32_t offset,
	uint8_t *data, uint32_t count)
{
	uint64_t pending = refdev_irq_pending_bits(dev);
	struct refdev_overlap o = table_overlap(msix, offset, count);

	memcpy(data + o.in_access, msix->table + o.in_range, o.count);
	o = refdev_overlap(offset, count, msix->pending_at, sizeof(pending));
	memcpy(data + o.in_access, (const uint8_t *)&pending + o.in_range, o.count);
}

void
refdev_msix_write(struct refdev *dev, struct refdev_msix *msix, uint32_t offset,
	const uint8_t *data, uint32_t count)
{
	struct refdev_overlap o = table_overlap(msix, offset, count);

	for (uint32_t i = 0; i < o.count; i++)
		msix->table[o.in_range + i] = data[o.in_access + i] &
			entry_writable[(o.in_range + i) % REFDEV_MSIX_ENTRY_SIZE];
	if (o.count > 0)
		refdev_irq_refresh(dev);
}

static bool
control_has(const struct refdev *dev, const struct refdev_msix *msix, uint16_t bit)
{
	uint16_t control;

	memcpy(&control, dev->config_space.bytes + msix->cap + PCI_MSIX_FLAGS, sizeof(control));
	return (control & bit) != 0;
}

bool
refdev_msix_is_enabled(const struct refdev *dev, const struct refdev_msix *msix)
{
	return control_has(dev, msix, PCI_MSIX_FLAGS_ENABLE);
}

bool
refdev_msix_is_masked(const struct refdev *dev, const struct refdev_msix *msix, uint32_t n)
{
	uint32_t control = n * REFDEV_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL;

	return control_has(dev, msix, PCI_MSIX_FLAGS_MASKALL) || (msix->table[control] & 1) != 0;
}

void
refdev_msix_reset(struct refdev_msix *msix)
{
	memset(msix->table, 0, sizeof(msix->table));
}
