/* SPDX-License-Identifier: BSD-3-Clause */
#include "pci_header.h"

#include <pci/header.h>

#define HEADER_TYPE_MASK          0x7f
#define HEADER_TYPE_MULTIFUNCTION 0x80
#define BAR_IO_MASK               (~UINT32_C(0x3))
#define BAR_MEMORY_MASK           (~UINT32_C(0xf))
#define ROM_MASK                  (~UINT32_C(0x7ff))

bool
vucctl_pci_get(
	const struct vucctl_pci_image *image, size_t offset, unsigned int width, uint32_t *value)
{
	unsigned int i;

	*value = 0;
	if (offset > image->len || width > image->len - offset)
		return false;
	for (i = 0; i < width; i++)
		*value |= (uint32_t)image->bytes[offset + i] << (8 * i);
	return true;
}

static uint8_t
get8(const struct vucctl_pci_image *image, size_t offset)
{
	uint32_t value;

	vucctl_pci_get(image, offset, 1, &value);
	return (uint8_t)value;
}

static uint16_t
get16(const struct vucctl_pci_image *image, size_t offset)
{
	uint32_t value;

	vucctl_pci_get(image, offset, 2, &value);
	return (uint16_t)value;
}

static uint32_t
get32(const struct vucctl_pci_image *image, size_t offset)
{
	uint32_t value;

	vucctl_pci_get(image, offset, 4, &value);
	return value;
}

static enum vucctl_pci_bar_kind
memory_bar_kind(uint32_t reg, bool last)
{
	switch (reg & PCI_BASE_ADDRESS_MEM_TYPE_MASK) {
	case PCI_BASE_ADDRESS_MEM_TYPE_32:
		return VUCCTL_PCI_BAR_MEM32;
	case PCI_BASE_ADDRESS_MEM_TYPE_1M:
		return VUCCTL_PCI_BAR_MEM1M;
	case PCI_BASE_ADDRESS_MEM_TYPE_64:
		return last ? VUCCTL_PCI_BAR_INVALID : VUCCTL_PCI_BAR_MEM64;
	default:
		return VUCCTL_PCI_BAR_INVALID;
	}
}

/* Decode the BAR at a register; high is the register behind it. */
static struct vucctl_pci_bar
decode_bar(uint32_t reg, uint32_t high, bool last)
{
	struct vucctl_pci_bar bar = {.kind = VUCCTL_PCI_BAR_ZERO};

	if (reg == 0)
		return bar;
	if ((reg & PCI_BASE_ADDRESS_SPACE_IO) != 0) {
		bar.kind = VUCCTL_PCI_BAR_IO;
		bar.address = reg & BAR_IO_MASK;
		return bar;
	}
	bar.kind = memory_bar_kind(reg, last);
	bar.prefetchable = (reg & PCI_BASE_ADDRESS_MEM_PREFETCH) != 0;
	bar.address = reg & BAR_MEMORY_MASK;
	if (bar.kind == VUCCTL_PCI_BAR_MEM64)
		bar.address |= (uint64_t)high << 32;
	return bar;
}

static void
decode_bars(const struct vucctl_pci_image *image, struct vucctl_pci_header *header)
{
	unsigned int i;

	for (i = 0; i < header->nr_bars; i++) {
		size_t offset = PCI_BASE_ADDRESS_0 + 4 * i;
		bool last = i + 1 == header->nr_bars;

		header->bars[i] =
			decode_bar(get32(image, offset), last ? 0 : get32(image, offset + 4), last);
		if (header->bars[i].kind == VUCCTL_PCI_BAR_MEM64)
			header->bars[++i].kind = VUCCTL_PCI_BAR_UPPER;
	}
}

static void
decode_rom(const struct vucctl_pci_image *image, size_t offset, struct vucctl_pci_header *header)
{
	uint32_t reg = get32(image, offset);

	header->rom_address = reg & ROM_MASK;
	header->rom_enabled = (reg & PCI_ROM_ADDRESS_ENABLE) != 0;
}

static void
decode_type(const struct vucctl_pci_image *image, struct vucctl_pci_header *header)
{
	switch (header->type) {
	case PCI_HEADER_TYPE_NORMAL:
		header->nr_bars = 6;
		decode_rom(image, PCI_ROM_ADDRESS, header);
		header->subsystem_vendor = get16(image, PCI_SUBSYSTEM_VENDOR_ID);
		header->subsystem_device = get16(image, PCI_SUBSYSTEM_ID);
		header->has_subsystem =
			header->subsystem_vendor != 0 && header->subsystem_vendor != 0xffff;
		break;
	case PCI_HEADER_TYPE_BRIDGE:
		header->nr_bars = 2;
		decode_rom(image, PCI_ROM_ADDRESS1, header);
		break;
	case PCI_HEADER_TYPE_CARDBUS:
		header->nr_bars = 1;
		break;
	default:
		break;
	}
}

bool
vucctl_pci_header_decode(const struct vucctl_pci_image *image, struct vucctl_pci_header *header)
{
	uint8_t type;

	*header = (struct vucctl_pci_header){0};
	if (image->len < VUCCTL_PCI_HEADER_SIZE)
		return false;
	type = get8(image, PCI_HEADER_TYPE);
	header->vendor = get16(image, PCI_VENDOR_ID);
	header->device = get16(image, PCI_DEVICE_ID);
	header->class_code = get32(image, PCI_CLASS_REVISION) >> 8;
	header->revision = get8(image, PCI_REVISION_ID);
	header->command = get16(image, PCI_COMMAND);
	header->status = get16(image, PCI_STATUS);
	header->type = type & HEADER_TYPE_MASK;
	header->multifunction = (type & HEADER_TYPE_MULTIFUNCTION) != 0;
	header->interrupt_line = get8(image, PCI_INTERRUPT_LINE);
	header->interrupt_pin = get8(image, PCI_INTERRUPT_PIN);
	decode_type(image, header);
	decode_bars(image, header);
	return true;
}
