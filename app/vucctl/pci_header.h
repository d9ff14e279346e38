/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_PCI_HEADER_H
#define VUCCTL_PCI_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VUCCTL_PCI_HEADER_SIZE  64
#define VUCCTL_PCI_CONFIG_SIZE  256
#define VUCCTL_PCIE_CONFIG_SIZE 4096
#define VUCCTL_PCI_MAX_BARS     6

/* Config space as it was read: len bytes of it, which may be less than the device has. */
struct vucctl_pci_image {
	const uint8_t *bytes;
	size_t len;
};

/*
 * Read width (1, 2 or 4) bytes at offset, little endian. Returns false, and value as 0, when they
 * are not all inside of the image.
 */
bool vucctl_pci_get(
	const struct vucctl_pci_image *image, size_t offset, unsigned int width, uint32_t *value);

enum vucctl_pci_bar_kind {
	VUCCTL_PCI_BAR_ZERO,  /* reads 0: none, or 32-bit memory without an address yet */
	VUCCTL_PCI_BAR_UPPER, /* upper half of the one before it */
	VUCCTL_PCI_BAR_IO,
	VUCCTL_PCI_BAR_MEM32,
	VUCCTL_PCI_BAR_MEM1M,
	VUCCTL_PCI_BAR_MEM64,
	VUCCTL_PCI_BAR_INVALID, /* reserved type, or 64 bits in the last BAR */
};

struct vucctl_pci_bar {
	enum vucctl_pci_bar_kind kind;
	bool prefetchable;
	uint64_t address;
};

/* The first 64 bytes, decoded. */
struct vucctl_pci_header {
	uint16_t vendor;
	uint16_t device;
	bool has_subsystem; /* header type 0 only, and only with a vendor */
	uint16_t subsystem_vendor;
	uint16_t subsystem_device;
	uint32_t class_code; /* class, subclass and programming interface: 24 bits */
	uint8_t revision;
	uint16_t command;
	uint16_t status;
	uint8_t type; /* 0 device, 1 bridge, 2 CardBus; others are unknown */
	bool multifunction;
	uint8_t interrupt_line;
	uint8_t interrupt_pin; /* 0: none, 1: A … 4: D */
	unsigned int nr_bars;  /* that this header type has */
	struct vucctl_pci_bar bars[VUCCTL_PCI_MAX_BARS];
	uint32_t rom_address; /* of the expansion ROM; 0 where the header type has none */
	bool rom_enabled;
};

/* Decode the header. Returns false when the image has less than VUCCTL_PCI_HEADER_SIZE bytes. */
bool vucctl_pci_header_decode(
	const struct vucctl_pci_image *image, struct vucctl_pci_header *header);

#endif /* VUCCTL_PCI_HEADER_H */
