/* SPDX-License-Identifier: BSD-3-Clause */

/* Config space, and the MSI-X table, which is a part of one of the regions. */

#include <linux/pci_regs.h>

#include "device.h"

#define COMMAND_WRITABLE                                                                   \
	(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR | \
		PCI_COMMAND_INTX_DISABLE)

#define DEVCTL_WRITABLE                                                                           \
	(PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE | \
		PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_NOSNOOP_EN |    \
		PCI_EXP_DEVCTL_READRQ)

/* A link of one lane at 2.5 GT/s. */
#define LINK_2_5GT_X1 0x0011u
#define SPEEDS_2_5GT  0x0002u

/* What all kinds of devices have in the header, ... */
static const struct refdev_field header[] = {
	{PCI_COMMAND, 2, 0, COMMAND_WRITABLE},
	{PCI_STATUS, 2, PCI_STATUS_CAP_LIST, 0},
	{PCI_CACHE_LINE_SIZE, 1, 0, 0xff},
	{PCI_INTERRUPT_LINE, 1, 0, 0xff},
	{PCI_INTERRUPT_PIN, 1, 1, 0},
};

/* ... and, but for the pointer to the next one, in the PCI Express capability. */
static const struct refdev_field pcie[] = {
	{PCI_EXP_FLAGS, 2, PCI_EXP_TYPE_ENDPOINT << 4 | 2, 0},
	{PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR, 0},
	{PCI_EXP_DEVCTL, 2,
		PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ_512B,
		DEVCTL_WRITABLE},
	{PCI_EXP_LNKCAP, 4, LINK_2_5GT_X1, 0},
	{PCI_EXP_LNKCTL, 2, 0, PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC},
	{PCI_EXP_LNKSTA, 2, LINK_2_5GT_X1, 0},
	{PCI_EXP_LNKCAP2, 4, SPEEDS_2_5GT, 0},
	{PCI_EXP_LNKCTL2, 2, PCI_EXP_LNKCTL2_TLS_2_5GT, PCI_EXP_LNKCTL2_TLS},
};

static void
fields_put(struct refdev *dev, uint16_t base, const struct refdev_field *fields, size_t nr)
{
	struct refdev_config_space *cs = &dev->config_space;

	for (size_t i = 0; i < nr; i++) {
		memcpy(cs->bytes + base + fields[i].offset, &fields[i].value, fields[i].bytes);
		memcpy(cs->writable + base + fields[i].offset, &fields[i].writable,
			fields[i].bytes);
	}
}

/* Vectors begin unmasked, unlike in PCI: clients that keep the table to themselves, as VMMs do,
 * would never see an interrupt otherwise. */
void
refdev_pci_reset(struct refdev *dev)
{
	const struct refdev_model *model = dev->model;
	const struct refdev_field msix[] = {
		{PCI_MSIX_FLAGS, 2, model->vectors - 1,
			PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL},
		{PCI_MSIX_TABLE, 4, model->msix_table, 0},
		{PCI_MSIX_PBA, 4, model->msix_pending, 0},
	};

	memset(&dev->config_space, 0, sizeof(dev->config_space));
	memset(dev->msix_table, 0, sizeof(dev->msix_table));
	fields_put(dev, 0, header, sizeof(header) / sizeof(header[0]));
	fields_put(dev, model->pcie_cap, pcie, sizeof(pcie) / sizeof(pcie[0]));
	fields_put(dev, model->msix_cap, msix, sizeof(msix) / sizeof(msix[0]));
	fields_put(dev, 0, model->fields, model->nr_fields);
}

int
refdev_config_space_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count)
{
	memcpy(data, dev->config_space.bytes + offset, count);
	return 0;
}

/* Whether a write sets the bit that resets the function, which always reads as 0. */
static bool
sets_flr(const struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	uint32_t at = dev->model->pcie_cap + PCI_EXP_DEVCTL + 1u;

	return offset <= at && at - offset < count &&
		(data[at - offset] & PCI_EXP_DEVCTL_BCR_FLR >> 8) != 0;
}

int
refdev_config_space_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	uint8_t *bytes = dev->config_space.bytes + offset;
	const uint8_t *writable = dev->config_space.writable + offset;

	for (uint32_t i = 0; i < count; i++)
		bytes[i] = (uint8_t)((bytes[i] & ~writable[i]) | (data[i] & writable[i]));
	dev->reset_due = sets_flr(dev, offset, data, count);
	if (!dev->reset_due)
		refdev_irq_refresh(dev);
	return 0;
}

/* Bits of a table entry that can be written: address, data, and the mask bit of vector control. */
static const uint8_t entry_writable[REFDEV_MSIX_ENTRY_SIZE] = {
	0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};

static struct refdev_overlap
table_overlap(const struct refdev *dev, uint32_t offset, uint32_t count)
{
	return refdev_overlap(offset, count, dev->model->msix_table & PCI_MSIX_TABLE_OFFSET,
		dev->model->vectors * REFDEV_MSIX_ENTRY_SIZE);
}

void
refdev_msix_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count)
{
	uint64_t pending = refdev_irq_pending_bits(dev);
	struct refdev_overlap o = table_overlap(dev, offset, count);

	memcpy(data + o.in_access, dev->msix_table + o.in_range, o.count);
	o = refdev_overlap(
		offset, count, dev->model->msix_pending & PCI_MSIX_PBA_OFFSET, sizeof(pending));
	memcpy(data + o.in_access, (const uint8_t *)&pending + o.in_range, o.count);
}

void
refdev_msix_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	struct refdev_overlap o = table_overlap(dev, offset, count);

	for (uint32_t i = 0; i < o.count; i++)
		dev->msix_table[o.in_range + i] = data[o.in_access + i] &
			entry_writable[(o.in_range + i) % REFDEV_MSIX_ENTRY_SIZE];
	if (o.count > 0)
		refdev_irq_refresh(dev);
}
