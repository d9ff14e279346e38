/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Config space in the record: what the server had there last, and what it took. Registers of the
 * standard header and of known capabilities are replayed at their own width and in their own order,
 * all others as they were written.
 */

#include <string.h>

#include <linux/pci_regs.h>

#include "recorded.h"
#include "vfio_user.h"

#define ALL UINT32_MAX

/* Of each device; bytes that are not named here or in a capability are written as they were. */
static const struct record_register header_registers[] = {
	{PCI_VENDOR_ID, 4, RECORD_NEVER, 0, 0},
	{PCI_COMMAND, 2, RECORD_COMMAND, 0x7ff, 0},
	{PCI_STATUS, 2, RECORD_NEVER, 0, 0xf900},
	{PCI_CLASS_REVISION, 4, RECORD_NEVER, 0, 0},
	{PCI_CACHE_LINE_SIZE, 1, RECORD_OTHERS, ALL, 0},
	{PCI_LATENCY_TIMER, 1, RECORD_OTHERS, ALL, 0},
	{PCI_HEADER_TYPE, 1, RECORD_NEVER, 0, 0},
	{PCI_BIST, 1, RECORD_NEVER, 0, 0},
	{PCI_CAPABILITY_LIST, 1, RECORD_NEVER, 0, 0},
	{PCI_INTERRUPT_LINE, 1, RECORD_OTHERS, ALL, 0},
	{PCI_INTERRUPT_PIN, 1, RECORD_NEVER, 0, 0},
};

static const struct record_register type0_registers[] = {
	{PCI_CARDBUS_CIS, 4, RECORD_NEVER, 0, 0},
	{PCI_SUBSYSTEM_VENDOR_ID, 4, RECORD_NEVER, 0, 0},
	{PCI_ROM_ADDRESS, 4, RECORD_BARS, 0xfffff801, 0},
	{PCI_MIN_GNT, 2, RECORD_NEVER, 0, 0},
};

/* Capabilities; at counts from their beginning. */
static const struct record_register pm_registers[] = {
	{PCI_PM_PMC, 2, RECORD_NEVER, 0, 0},
	{PCI_PM_CTRL, 2, RECORD_OTHERS, 0x1f03, PCI_PM_CTRL_PME_STATUS},
};

/* Address and data come before what enables them. */
static const struct record_register msi32_registers[] = {
	{PCI_MSI_ADDRESS_LO, 4, RECORD_MESSAGES, ~UINT32_C(3), 0},
	{PCI_MSI_DATA_32, 2, RECORD_MESSAGES, ALL, 0},
};

static const struct record_register msi64_registers[] = {
	{PCI_MSI_ADDRESS_LO, 4, RECORD_MESSAGES, ~UINT32_C(3), 0},
	{PCI_MSI_ADDRESS_HI, 4, RECORD_MESSAGES, ALL, 0},
	{PCI_MSI_DATA_64, 2, RECORD_MESSAGES, ALL, 0},
};

static const struct record_register msi_masks[] = {
	{PCI_MSI_MASK_32, 4, RECORD_MESSAGES, ALL, 0},
	{PCI_MSI_MASK_64, 4, RECORD_MESSAGES, ALL, 0},
};

static const struct record_register msi_control = {
	PCI_MSI_FLAGS, 2, RECORD_MESSAGES, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE, 0};

static const struct record_register msix_registers[] = {
	{PCI_MSIX_FLAGS, 2, RECORD_MESSAGES, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 0},
	{PCI_MSIX_TABLE, 4, RECORD_NEVER, 0, 0},
	{PCI_MSIX_PBA, 4, RECORD_NEVER, 0, 0},
};

static const struct record_register express_registers[] = {
	{PCI_EXP_FLAGS, 2, RECORD_NEVER, 0, 0},
	{PCI_EXP_DEVCAP, 4, RECORD_NEVER, 0, 0},
	{PCI_EXP_DEVCTL, 2, RECORD_DEVICE, 0x7fff, PCI_EXP_DEVCTL_BCR_FLR},
	{PCI_EXP_DEVSTA, 2, RECORD_NEVER, 0, 0xffff},
	{PCI_EXP_LNKCTL, 2, RECORD_OTHERS, 0xffdf, PCI_EXP_LNKCTL_RL},
	{PCI_EXP_LNKSTA, 2, RECORD_NEVER, 0, 0xffff},
	{PCI_EXP_SLTCTL, 2, RECORD_OTHERS, 0xffff, 0},
	{PCI_EXP_SLTSTA, 2, RECORD_NEVER, 0, 0xffff},
	{PCI_EXP_RTCTL, 2, RECORD_OTHERS, 0xffff, 0},
	{PCI_EXP_RTSTA, 4, RECORD_NEVER, 0, ALL},
	{PCI_EXP_DEVCTL2, 2, RECORD_DEVICE, 0xffff, 0},
	{PCI_EXP_DEVSTA2, 2, RECORD_NEVER, 0, 0xffff},
	{PCI_EXP_LNKCTL2, 2, RECORD_OTHERS, 0xffff, 0},
	{PCI_EXP_LNKSTA2, 2, RECORD_NEVER, 0, 0xffff},
};

#define NR_EXPRESS_1 6u /* all that the first version of the capability has for sure */

/* Each write of the address begins a transfer. */
static const struct record_register vpd_registers[] = {
	{PCI_VPD_ADDR, 2, RECORD_NEVER, 0, 0},
	{PCI_VPD_DATA, 4, RECORD_NEVER, 0, 0},
};

static const struct record_register af_registers[] = {
	{PCI_AF_CTRL, 1, RECORD_NEVER, 0, PCI_AF_CTRL_FLR},
};

#define NR(registers) (sizeof(registers) / sizeof((registers)[0]))

static void
add_register(
	struct record_config *c, uint32_t base, const struct record_register *added, size_t len)
{
	struct record_register *reg = &c->registers[c->nr_registers];
	uint32_t at = base + added->at;

	/* A register that another one has already: the lists of a broken device overlap. */
	if (c->nr_registers == RECORD_MAX_REGISTERS || at + added->width > len ||
		memchr(c->owner + at, 0, added->width) != c->owner + at)
		return;
	*reg = *added;
	reg->at = (uint16_t)at;
	c->nr_registers++;
	memset(c->owner + at, (int)c->nr_registers, added->width);
}

static void
add_registers(struct record_config *c, uint32_t base, const struct record_register *added,
	size_t nr, size_t len)
{
	for (size_t i = 0; i < nr; i++)
		add_register(c, base, &added[i], len);
}

static void
find_bars(struct record_config *c, const uint8_t *config, size_t len)
{
	bool is_upper = false;

	for (uint8_t i = 0; i < PCI_STD_NUM_BARS; i++) {
		struct record_register bar = {.at = (uint16_t)(PCI_BASE_ADDRESS_0 + 4 * i),
			.width = 4,
			.order = RECORD_BARS,
			.writable = ALL};
		uint8_t low = config[bar.at];
		bool is_io = (low & PCI_BASE_ADDRESS_SPACE_IO) != 0;

		if (!is_upper)
			bar.writable = is_io ? ~UINT32_C(3) : ~UINT32_C(15);
		add_register(c, 0, &bar, len);
		is_upper = !is_upper && !is_io && (low & PCI_BASE_ADDRESS_MEM_TYPE_64) != 0;
	}
}

static void
find_msi(struct record_config *c, const uint8_t *config, uint32_t at, size_t len)
{
	uint32_t flags = config[at + PCI_MSI_FLAGS] | config[at + PCI_MSI_FLAGS + 1] << 8;
	bool is_long = (flags & PCI_MSI_FLAGS_64BIT) != 0;

	if (is_long)
		add_registers(c, at, msi64_registers, NR(msi64_registers), len);
	else
		add_registers(c, at, msi32_registers, NR(msi32_registers), len);
	if ((flags & PCI_MSI_FLAGS_MASKBIT) != 0)
		add_register(c, at, &msi_masks[is_long], len);
	add_register(c, at, &msi_control, len);
}

static void
find_capability(struct record_config *c, const uint8_t *config, uint32_t at, size_t len)
{
	static const struct record_register link = {PCI_CAP_LIST_ID, 2, RECORD_NEVER, 0, 0};

	add_register(c, at, &link, len);
	switch (config[at]) {
	case PCI_CAP_ID_PM:
		add_registers(c, at, pm_registers, NR(pm_registers), len);
		c->power = at + PCI_PM_CTRL + 2u <= len ? at + PCI_PM_CTRL : 0;
		break;
	case PCI_CAP_ID_VPD:
		add_registers(c, at, vpd_registers, NR(vpd_registers), len);
		break;
	case PCI_CAP_ID_MSI:
		find_msi(c, config, at, len);
		break;
	case PCI_CAP_ID_MSIX:
		add_registers(c, at, msix_registers, NR(msix_registers), len);
		break;
	case PCI_CAP_ID_EXP:
		add_registers(c, at, express_registers,
			(config[at + PCI_EXP_FLAGS] & PCI_EXP_FLAGS_VERS) > 1
				? NR(express_registers)
				: NR_EXPRESS_1,
			len);
		if (at + PCI_EXP_DEVCTL + 2u <= len &&
			(config[at + PCI_EXP_DEVCAP + 3] & PCI_EXP_DEVCAP_FLR >> 24) != 0)
			c->express = at + PCI_EXP_DEVCTL;
		break;
	case PCI_CAP_ID_AF:
		add_registers(c, at, af_registers, NR(af_registers), len);
		break;
	default:
		break;
	}
}

void
record_find_registers(struct device_record *r)
{
	struct record_config *c = &r->config;
	const uint8_t *config = r->first;
	size_t len = r->first_len;
	uint32_t at;

	if (len < PCI_STD_HEADER_SIZEOF)
		return;
	add_registers(c, 0, header_registers, NR(header_registers), len);
	if ((config[PCI_HEADER_TYPE] & 0x7f) == PCI_HEADER_TYPE_NORMAL) {
		add_registers(c, 0, type0_registers, NR(type0_registers), len);
		find_bars(c, config, len);
	}
	at = (config[PCI_STATUS] & PCI_STATUS_CAP_LIST) != 0 ? config[PCI_CAPABILITY_LIST] & 0xfcu
							     : 0;
	for (unsigned int n = 0; at >= PCI_STD_HEADER_SIZEOF && at + PCI_CAP_FLAGS + 2u <= len &&
		n < MSIX_CONFIG_SIZE / 4;
		n++) {
		find_capability(c, config, at, len);
		at = config[at + PCI_CAP_LIST_NEXT] & 0xfcu;
	}
}

void
record_note_read(struct device_record *r, uint64_t offset, const void *data, size_t count)
{
	if (offset >= RECORD_CONFIG_SIZE || count > RECORD_CONFIG_SIZE - offset)
		return;
	memcpy(r->config.last + offset, data, count);
	memset(r->config.is_known + offset, 1, count);
}

/* A byte as it is read after a write. */
static void
merge_byte(struct record_config *c, uint32_t at, uint8_t byte)
{
	const struct record_register *reg =
		c->owner[at] != 0 ? &c->registers[c->owner[at] - 1] : NULL;
	unsigned int shift = reg != NULL ? 8 * (at - reg->at) : 0;
	uint32_t writable = reg != NULL ? reg->writable >> shift : UINT8_MAX;
	uint32_t cleared = reg != NULL ? reg->cleared >> shift : 0;

	c->last[at] = (uint8_t)((byte & writable) | (c->last[at] & ~writable & ~(byte & cleared)));
	c->is_known[at] |= reg == NULL;
	c->taken[at] = byte;
	c->is_taken[at] = 1;
}

/* The device resets itself then, and its server forgets what was written. */
static bool
is_function_reset(const struct record_config *c, uint32_t at, const uint8_t *data, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint8_t owner = c->owner[at + i];
		const struct record_register *reg = owner != 0 ? &c->registers[owner - 1] : NULL;

		if (c->express != 0 && at + i == c->express + 1)
			return (data[i] & PCI_EXP_DEVCTL_BCR_FLR >> 8) != 0;
		if (reg != NULL && reg->width == 1 && reg->cleared == PCI_AF_CTRL_FLR)
			return (data[i] & PCI_AF_CTRL_FLR) != 0;
	}
	return false;
}

void
record_note_write(struct device_record *r, uint64_t offset, const void *data, size_t count)
{
	struct record_config *c = &r->config;
	const uint8_t *bytes = data;

	if (offset >= RECORD_CONFIG_SIZE || count > RECORD_CONFIG_SIZE - offset)
		return;
	/* One message, or one for each register. */
	for (uint32_t at = (uint32_t)offset, n; count > 0; at += n, bytes += n, count -= n) {
		bool is_one = (count == 1 || count == 2 || count == 4 || count == 8) &&
			(at & (count - 1)) == 0;

		n = is_one ? (uint32_t)count : config_register_size(at, count);
		for (uint32_t i = 0; i < n; i++)
			merge_byte(c, at + i, bytes[i]);
		memset(c->width + at, 0, n);
		c->width[at] = (uint8_t)n;
		if (is_function_reset(c, at, bytes, n))
			record_forget_registers(r);
	}
}

/* Its last value; bytes that were not written are as they were read. */
static bool
register_was_taken(const struct record_config *c, const struct record_register *reg,
	struct record_write *write)
{
	if (memchr(c->is_taken + reg->at, 1, reg->width) == NULL)
		return false;
	write->offset = reg->at;
	write->width = reg->width;
	for (uint32_t i = 0; i < reg->width; i++) {
		uint32_t at = reg->at + i;
		uint8_t byte = c->is_taken[at] != 0 ? c->taken[at] : c->last[at];

		write->value[i] = (uint8_t)(byte & ~(reg->cleared >> 8 * i));
	}
	return true;
}

/* Bytes that belong to no register, as they were written last. */
static bool
next_unknown(const struct record_config *c, uint32_t *at, struct record_write *write)
{
	for (; *at < RECORD_CONFIG_SIZE; ++*at) {
		uint32_t width = c->width[*at], n = 0;

		while (n < width && c->owner[*at + n] == 0)
			n++;
		/* One that touches a known register, too: byte by byte. */
		if (width == 0 && (c->is_taken[*at] == 0 || c->owner[*at] != 0))
			continue;
		if (n == 0 && c->owner[*at] != 0)
			continue;
		if (width == 0 || n < width)
			n = 1;
		write->offset = *at;
		write->width = n;
		memcpy(write->value, c->taken + *at, n);
		*at += n;
		return true;
	}
	return false;
}

bool
record_next_write(const struct device_record *r, enum record_order order, uint32_t *cursor,
	struct record_write *write)
{
	const struct record_config *c = &r->config;
	uint32_t at;

	write->region = VFIO_PCI_CONFIG_REGION_INDEX;
	while (*cursor < c->nr_registers) {
		const struct record_register *reg = &c->registers[(*cursor)++];

		if (reg->order == order && register_was_taken(c, reg, write))
			return true;
	}
	if (order != RECORD_OTHERS)
		return false;
	at = *cursor - c->nr_registers;
	if (!next_unknown(c, &at, write))
		return false;
	*cursor = at + c->nr_registers;
	return true;
}

void
record_forget_registers(struct device_record *r)
{
	struct record_config *c = &r->config;

	memset(c->is_taken, 0, sizeof(c->is_taken));
	memset(c->width, 0, sizeof(c->width));
	memset(c->is_known, 0, sizeof(c->is_known));
	memcpy(c->last, r->first, r->first_len);
	memset(c->is_known, 1, r->first_len);
	if (r->table.place.size > 0)
		memset(r->table.is_taken, 0, r->table.place.size);
	record_forget_nvme(r);
}
