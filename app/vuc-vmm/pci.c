/* SPDX-License-Identifier: BSD-3-Clause */
#include "pci.h"

#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "device.h"
#include "fail.h"

#define CONFIG_REGION VFIO_PCI_CONFIG_REGION_INDEX

#define PORT_ADDRESS 0xcf8u
#define PORT_DATA    0xcfcu

#define ADDRESS_ENABLE   (1u << 31)
#define ADDRESS_FUNCTION 0x00ffff00u /* bus, device and function */
#define ADDRESS_REGISTER 0x000000fcu

#define BAR_BYTES       4u
#define BARS_END        (PCI_BASE_ADDRESS_0 + PCI_NR_BARS * BAR_BYTES)
#define MIN_MEMORY_SIZE 16u
#define MIN_IO_SIZE     4u
#define IO_SPACE_SIZE   0x10000u

/* Each capability has 4 bytes at least, so there are no more of them behind the header. */
#define MAX_CAPABILITIES ((PCI_CONFIG_BYTES - PCI_STD_HEADER_SIZEOF) / 4)

#define COMMAND_DECODE (PCI_COMMAND_IO | PCI_COMMAND_MEMORY)

static uint16_t
initial_word(const struct pci *pci, uint32_t offset)
{
	uint16_t word;

	memcpy(&word, pci->initial + offset, sizeof(word));
	return word;
}

static uint32_t
initial_long(const struct pci *pci, uint32_t offset)
{
	uint32_t value;

	memcpy(&value, pci->initial + offset, sizeof(value));
	return value;
}

/* The list is the device's, which may have written anything into it. */
static uint32_t
find_capability(const struct pci *pci, uint8_t id, uint32_t size)
{
	uint32_t at = pci->initial[PCI_CAPABILITY_LIST] & ~3u;

	if ((initial_word(pci, PCI_STATUS) & PCI_STATUS_CAP_LIST) == 0)
		return 0;
	for (uint32_t n = 0; n < MAX_CAPABILITIES && at >= PCI_STD_HEADER_SIZEOF; n++) {
		if (pci->initial[at] == id && at + size <= PCI_CONFIG_BYTES)
			return at;
		at = pci->initial[at + PCI_CAP_LIST_NEXT] & ~3u;
	}
	return 0;
}

/* A BAR decodes a power of two; the region behind it may end before that. */
static uint64_t
decoded_size(uint64_t size, uint64_t least)
{
	uint64_t decoded = least;

	while (decoded != 0 && decoded < size)
		decoded <<= 1;
	return decoded;
}

static int
init_io_bar(struct pci_bar *bar, uint32_t index, uint64_t size)
{
	uint64_t decoded = decoded_size(size, MIN_IO_SIZE);

	if (decoded == 0 || decoded > IO_SPACE_SIZE)
		return vmm_fail(-EPROTO, "BAR%u: invalid size of I/O ports, 0x%llx bytes", index,
			(unsigned long long)size);
	*bar = (struct pci_bar){
		.value = PCI_BASE_ADDRESS_SPACE_IO,
		.writable = (uint32_t) ~(decoded - 1),
		.size = decoded,
		.is_io = true,
	};
	return 0;
}

static int
init_memory_bar(struct pci_bar *bar, uint32_t index, uint64_t size, uint32_t flags)
{
	uint64_t decoded = decoded_size(size, MIN_MEMORY_SIZE);
	bool is_64 = (flags & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64;

	if (is_64 && index + 1 == PCI_NR_BARS)
		return vmm_fail(-EPROTO, "BAR%u: 64-bit BAR without an upper half", index);
	if (decoded == 0 || (!is_64 && decoded > UINT32_MAX))
		return vmm_fail(-EPROTO, "BAR%u: size of 0x%llx bytes exceeds its address width",
			index, (unsigned long long)size);
	bar[0] = (struct pci_bar){
		.value = flags & ~(uint32_t)PCI_BASE_ADDRESS_MEM_MASK,
		.writable = (uint32_t) ~(decoded - 1),
		.size = decoded,
		.is_64 = is_64,
	};
	if (is_64)
		bar[1] = (struct pci_bar){.writable = (uint32_t)(~(decoded - 1) >> 32)};
	return 0;
}

/* What a BAR is, the device's config space says; how large it is, the size of its region. */
static int
init_bars(struct pci *pci, const uint64_t sizes[PCI_NR_BARS])
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < PCI_NR_BARS; i += pci->bars[i].is_64 ? 2 : 1) {
		uint32_t flags = initial_long(pci, PCI_BASE_ADDRESS_0 + i * BAR_BYTES);

		if (sizes[i] == 0)
			continue;
		if (flags & PCI_BASE_ADDRESS_SPACE_IO)
			rc = init_io_bar(&pci->bars[i], i, sizes[i]);
		else
			rc = init_memory_bar(&pci->bars[i], i, sizes[i], flags);
	}
	return rc;
}

int
pci_init(struct pci *pci, struct device *device, const uint64_t sizes[PCI_NR_BARS],
	const struct pci_ops *ops, void *arg)
{
	int rc;

	*pci = (struct pci){.device = device, .ops = ops, .arg = arg};
	rc = device_read(device, CONFIG_REGION, 0, pci->initial, sizeof(pci->initial));
	if (rc != 0)
		return vmm_fail(rc, "cannot read the device's config space: %s", strerror(-rc));
	pci->msix = find_capability(pci, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
	return init_bars(pci, sizes);
}

uint32_t
pci_ids(const struct pci *pci)
{
	return initial_long(pci, PCI_VENDOR_ID);
}

bool
pci_bar_address(const struct pci *pci, uint32_t index, uint64_t *address)
{
	const struct pci_bar *bar = &pci->bars[index];

	if (bar->size == 0)
		return false;
	if (bar->is_io) {
		*address = bar->value & (uint32_t)PCI_BASE_ADDRESS_IO_MASK;
		return (pci->command & PCI_COMMAND_IO) != 0 && *address < IO_SPACE_SIZE;
	}
	*address = bar->value & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;
	if (bar->is_64)
		*address |= (uint64_t)bar[1].value << 32;
	return (pci->command & PCI_COMMAND_MEMORY) != 0;
}

/* The registers that are the VMM's alone: the BARs, and the ROM's, of which there is none. */
static bool
is_bar(uint32_t offset)
{
	return offset >= PCI_BASE_ADDRESS_0 && offset < BARS_END;
}

static bool
is_rom(uint32_t offset)
{
	return offset >= PCI_ROM_ADDRESS && offset < PCI_ROM_ADDRESS + BAR_BYTES;
}

static void
config_read(struct pci *pci, uint32_t offset, void *data, uint32_t count)
{
	if (is_bar(offset)) {
		const struct pci_bar *bar = &pci->bars[(offset - PCI_BASE_ADDRESS_0) / BAR_BYTES];

		memcpy(data, (const uint8_t *)&bar->value + offset % BAR_BYTES, count);
	} else if (is_rom(offset)) {
		memset(data, 0, count);
	} else if (device_read(pci->device, CONFIG_REGION, offset, data, count) != 0) {
		memset(data, 0xff, count);
	}
}

/* Sizing needs nothing special: the bits below the size cannot be written, and read as 0. */
static void
write_bar(struct pci *pci, uint32_t offset, const void *data, uint32_t count)
{
	struct pci_bar *bar = &pci->bars[(offset - PCI_BASE_ADDRESS_0) / BAR_BYTES];
	uint32_t written = bar->value;
	uint32_t value;

	memcpy((uint8_t *)&written + offset % BAR_BYTES, data, count);
	value = (bar->value & ~bar->writable) | (written & bar->writable);
	if (value == bar->value)
		return;
	bar->value = value;
	if (pci->command & COMMAND_DECODE)
		pci->ops->bars_changed(pci->arg);
}

/* Put into a register of 2 bytes what a write brings of it. False: the write is for others. */
static bool
merge_word(uint16_t *word, uint32_t at, uint32_t offset, const void *data, uint32_t count)
{
	const uint8_t *bytes = data;
	bool touched = false;

	for (uint32_t i = 0; i < count; i++) {
		if (offset + i < at || offset + i >= at + sizeof(*word))
			continue;
		((uint8_t *)word)[offset + i - at] = bytes[i];
		touched = true;
	}
	return touched;
}

/* A write has gone to the device; some of it may be for the VMM as well. */
static void
follow_write(struct pci *pci, uint32_t offset, const void *data, uint32_t count)
{
	uint16_t command = pci->command;

	if (merge_word(&command, PCI_COMMAND, offset, data, count)) {
		bool changed = ((command ^ pci->command) & COMMAND_DECODE) != 0;

		pci->command = command;
		if (changed)
			pci->ops->bars_changed(pci->arg);
	}
	if (pci->msix != 0 &&
		merge_word(&pci->msix_control, pci->msix + PCI_MSIX_FLAGS, offset, data, count))
		pci->ops->msix_control(pci->arg,
			pci->msix_control & (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL));
}

static void
config_write(struct pci *pci, uint32_t offset, const void *data, uint32_t count)
{
	if (is_bar(offset))
		write_bar(pci, offset, data, count);
	else if (!is_rom(offset) &&
		device_write(pci->device, CONFIG_REGION, offset, data, count) == 0)
		follow_write(pci, offset, data, count);
}

/* The command register is the last one: from there on the device decodes its BARs. An error is
 * handled as for any access. */
void
pci_restore(const struct pci *pci)
{
	if (pci->msix != 0)
		device_write(pci->device, CONFIG_REGION, pci->msix + PCI_MSIX_FLAGS,
			&pci->msix_control, sizeof(pci->msix_control));
	device_write(pci->device, CONFIG_REGION, PCI_COMMAND, &pci->command, sizeof(pci->command));
}

/* The offset in our device's config space that an access to the data port means. */
static bool
selected_offset(const struct pci *pci, uint16_t port, uint32_t count, uint32_t *offset)
{
	uint32_t within = port - PORT_DATA;

	if ((pci->address & ADDRESS_ENABLE) == 0 || within + count > 4)
		return false;
	if ((pci->address & ADDRESS_FUNCTION) != PCI_DEVICE_NUMBER << 11)
		return false;
	*offset = (pci->address & ADDRESS_REGISTER) + within;
	return true;
}

static bool
is_address_port(uint16_t port, uint32_t count)
{
	return port == PORT_ADDRESS && count == sizeof(uint32_t);
}

static bool
is_data_port(uint16_t port)
{
	return port >= PORT_DATA && port < PORT_DATA + 4;
}

bool
pci_port_read(struct pci *pci, uint16_t port, void *data, uint32_t count)
{
	uint32_t offset;

	if (is_address_port(port, count)) {
		memcpy(data, &pci->address, count);
		return true;
	}
	if (!is_data_port(port))
		return false;
	if (selected_offset(pci, port, count, &offset))
		config_read(pci, offset, data, count);
	else
		memset(data, 0xff, count);
	return true;
}

bool
pci_port_write(struct pci *pci, uint16_t port, const void *data, uint32_t count)
{
	uint32_t offset;

	if (is_address_port(port, count)) {
		memcpy(&pci->address, data, count);
		return true;
	}
	if (!is_data_port(port))
		return false;
	if (selected_offset(pci, port, count, &offset))
		config_write(pci, offset, data, count);
	return true;
}
