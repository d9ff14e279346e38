/* SPDX-License-Identifier: BSD-3-Clause */

#include <linux/pci_regs.h>

#include "device.h"

/* One field of config space: its value after a reset, and the bits that a write changes. */
struct field {
	uint16_t offset;
	uint8_t bytes;
	uint32_t value;
	uint32_t writable;
};

#define BAR_MASK(size) (~((size)-1u))

#define COMMAND_WRITABLE                                                                   \
	(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR | \
		PCI_COMMAND_INTX_DISABLE)

static const struct field header_fields[] = {
	{PCI_VENDOR_ID, 2, REFDEV_VENDOR_ID, 0},
	{PCI_DEVICE_ID, 2, REFDEV_DEVICE_ID, 0},
	{PCI_COMMAND, 2, 0, COMMAND_WRITABLE},
	{PCI_STATUS, 2, PCI_STATUS_CAP_LIST, 0},
	{PCI_CLASS_REVISION, 4, REFDEV_CLASS_CODE << 8 | REFDEV_REVISION, 0},
	{PCI_CACHE_LINE_SIZE, 1, 0, 0xff},
	{PCI_HEADER_TYPE, 1, PCI_HEADER_TYPE_NORMAL, 0},
	{PCI_BASE_ADDRESS_0, 4, PCI_BASE_ADDRESS_MEM_TYPE_32, BAR_MASK(REFDEV_BAR0_SIZE)},
	{PCI_BASE_ADDRESS_2, 4, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH,
		BAR_MASK(REFDEV_BAR2_SIZE)},
	{PCI_BASE_ADDRESS_3, 4, 0, 0xffffffff},
	{PCI_BASE_ADDRESS_4, 4, PCI_BASE_ADDRESS_MEM_TYPE_32, BAR_MASK(REFDEV_BAR4_SIZE)},
	{PCI_SUBSYSTEM_VENDOR_ID, 2, REFDEV_VENDOR_ID, 0},
	{PCI_SUBSYSTEM_ID, 2, REFDEV_DEVICE_ID, 0},
	{PCI_CAPABILITY_LIST, 1, REFDEV_CAP_PCIE, 0},
	{PCI_INTERRUPT_LINE, 1, 0, 0xff},
	{PCI_INTERRUPT_PIN, 1, 1, 0},
};

/* A root complex would see a link of one lane at 2.5 GT/s. */
#define LINK_2_5GT_X1 0x0011u
#define SPEEDS_2_5GT  0x0002u

#define DEVCTL_WRITABLE                                                                           \
	(PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE | \
		PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_NOSNOOP_EN |    \
		PCI_EXP_DEVCTL_READRQ)

static const struct field capability_fields[] = {
	{REFDEV_CAP_PCIE, 2, REFDEV_CAP_MSIX << 8 | PCI_CAP_ID_EXP, 0},
	{REFDEV_CAP_PCIE + PCI_EXP_FLAGS, 2, PCI_EXP_TYPE_ENDPOINT << 4 | 2, 0},
	{REFDEV_CAP_PCIE + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR, 0},
	{REFDEV_CAP_PCIE + PCI_EXP_DEVCTL, 2,
		PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ_512B,
		DEVCTL_WRITABLE},
	{REFDEV_CAP_PCIE + PCI_EXP_LNKCAP, 4, LINK_2_5GT_X1, 0},
	{REFDEV_CAP_PCIE + PCI_EXP_LNKCTL, 2, 0, PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC},
	{REFDEV_CAP_PCIE + PCI_EXP_LNKSTA, 2, LINK_2_5GT_X1, 0},
	{REFDEV_CAP_PCIE + PCI_EXP_LNKCAP2, 4, SPEEDS_2_5GT, 0},
	{REFDEV_CAP_PCIE + PCI_EXP_LNKCTL2, 2, PCI_EXP_LNKCTL2_TLS_2_5GT, PCI_EXP_LNKCTL2_TLS},
	{REFDEV_CAP_MSIX, 2, REFDEV_CAP_VENDOR << 8 | PCI_CAP_ID_MSIX, 0},
	{REFDEV_CAP_MSIX + PCI_MSIX_FLAGS, 2, REFDEV_MSIX_VECTORS - 1,
		PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL},
	{REFDEV_CAP_MSIX + PCI_MSIX_TABLE, 4, REFDEV_BAR4_TABLE | VFIO_PCI_BAR4_REGION_INDEX, 0},
	{REFDEV_CAP_MSIX + PCI_MSIX_PBA, 4, REFDEV_BAR4_PBA | VFIO_PCI_BAR4_REGION_INDEX, 0},
	{REFDEV_CAP_VENDOR, 2, PCI_CAP_ID_VNDR, 0},
	{REFDEV_CAP_VENDOR + 2, 2, 1 << 8 | 16, 0}, /* length, and the version of this content */
	{REFDEV_CAP_VENDOR + 4, 4, REFDEV_ID_VALUE, 0},
	{REFDEV_VENDOR_SCRATCH, 4, 0, 0xffffffff},
	{REFDEV_CAP_SERIAL, 4, 1 << 16 | PCI_EXT_CAP_ID_DSN, 0},
};

static void
set_fields(struct refdev_config_space *cs, const struct field *fields, size_t nr_fields)
{
	for (size_t i = 0; i < nr_fields; i++) {
		memcpy(cs->bytes + fields[i].offset, &fields[i].value, fields[i].bytes);
		memcpy(cs->writable + fields[i].offset, &fields[i].writable, fields[i].bytes);
	}
}

void
refdev_config_space_reset(struct refdev *dev)
{
	struct refdev_config_space *cs = &dev->config_space;

	memset(cs, 0, sizeof(*cs));
	set_fields(cs, header_fields, sizeof(header_fields) / sizeof(header_fields[0]));
	set_fields(cs, capability_fields, sizeof(capability_fields) / sizeof(capability_fields[0]));
	memcpy(cs->bytes + REFDEV_CAP_SERIAL + 4, &dev->config.serial, sizeof(uint64_t));
}

int
refdev_config_space_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count)
{
	memcpy(data, dev->config_space.bytes + offset, count);
	return 0;
}

/* Whether a write sets the bit that resets the function, which always reads as 0. */
static bool
sets_flr(uint32_t offset, const uint8_t *data, uint32_t count)
{
	uint32_t at = REFDEV_CAP_PCIE + PCI_EXP_DEVCTL + 1;

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
	dev->reset_due = sets_flr(offset, data, count);
	if (!dev->reset_due)
		refdev_irq_refresh(dev);
	return 0;
}
