/* SPDX-License-Identifier: BSD-3-Clause */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "error.h"
#include "msix.h"

/* Capabilities are 4 bytes or more, so there cannot be more of them behind the header. */
#define MAX_CAPS ((MSIX_CONFIG_SIZE - PCI_STD_HEADER_SIZEOF) / 4)

#define NR_BARS 6u

static uint32_t
config_get_word(const uint8_t *config, uint32_t offset)
{
	uint16_t word;

	memcpy(&word, config + offset, sizeof(word));
	return le16toh(word);
}

static uint32_t
config_get_long(const uint8_t *config, uint32_t offset)
{
	uint32_t word;

	memcpy(&word, config + offset, sizeof(word));
	return le32toh(word);
}

/* The lower three bits of the register name the BAR; numbers without one are reserved. */
static struct msix_place
msix_place_of(uint32_t reg, uint64_t size)
{
	uint32_t bar = reg & PCI_MSIX_TABLE_BIR;

	return (struct msix_place){
		.bar = bar,
		.offset = reg & PCI_MSIX_TABLE_OFFSET,
		.size = bar < NR_BARS ? size : 0,
	};
}

static void
msix_decode(const uint8_t *cap, struct msix *msix)
{
	uint32_t vectors = (config_get_word(cap, PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1;

	msix->table = msix_place_of(
		config_get_long(cap, PCI_MSIX_TABLE), (uint64_t)vectors * PCI_MSIX_ENTRY_SIZE);
	msix->pending = msix_place_of(
		config_get_long(cap, PCI_MSIX_PBA), (vectors + 63) / 64 * sizeof(uint64_t));
}

/* Offset of the first capability, 0 when there is none. */
static uint32_t
config_first_capability(const uint8_t *config, size_t len)
{
	if (len < PCI_STD_HEADER_SIZEOF)
		return 0;
	if ((config_get_word(config, PCI_STATUS) & PCI_STATUS_CAP_LIST) == 0)
		return 0;
	if ((config[PCI_HEADER_TYPE] & 0x7f) == PCI_HEADER_TYPE_CARDBUS)
		return config[PCI_CB_CAPABILITY_LIST] & ~3u;
	return config[PCI_CAPABILITY_LIST] & ~3u;
}

int
msix_find(const uint8_t *config, size_t len, struct msix *msix, struct vuc_error *err)
{
	uint32_t offset = config_first_capability(config, len);

	*msix = (struct msix){0};
	if (len > MSIX_CONFIG_SIZE)
		len = MSIX_CONFIG_SIZE;
	for (unsigned int n = 0; offset != 0; n++) {
		size_t size = PCI_CAP_SIZEOF;

		if (n == MAX_CAPS)
			return vuc_error_set(err, -EPROTO,
				"config space: the list of capabilities has a loop at 0x%x",
				offset);
		if (offset + size <= len && config[offset] == PCI_CAP_ID_MSIX)
			size = PCI_CAP_MSIX_SIZEOF;
		if (offset < PCI_STD_HEADER_SIZEOF || offset + size > len)
			return vuc_error_set(err, -EPROTO,
				"config space: a capability of %zu bytes at 0x%x, expected in 0x%x "
				"to 0x%zx",
				size, offset, PCI_STD_HEADER_SIZEOF, len);
		if (size == PCI_CAP_MSIX_SIZEOF) {
			msix_decode(config + offset, msix);
			return 0;
		}
		offset = config[offset + PCI_CAP_LIST_NEXT] & ~3u;
	}
	return 0;
}
