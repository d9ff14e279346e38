/* SPDX-License-Identifier: BSD-3-Clause */
#include "pci.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pci/header.h>
#include <pci/pci.h>

#include "command.h"

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

/* ---- capabilities ---- */

#define CAP_HEADER_SIZE     2
#define EXT_CAP_HEADER_SIZE 4
/* What a read yields where nothing answers. */
#define CAP_ID_DEAD     0xff
#define EXT_HEADER_DEAD UINT32_MAX

/* One bit for each place where a capability may begin. */
struct visited {
	uint32_t bits[VUCCTL_PCIE_CONFIG_SIZE / 4 / 32];
};

/* Returns whether a place was visited before. */
static bool
capability_visit(struct visited *visited, uint32_t offset)
{
	uint32_t *word = &visited->bits[offset / 4 / 32];
	uint32_t bit = UINT32_C(1) << (offset / 4 % 32);
	bool before = (*word & bit) != 0;

	*word |= bit;
	return before;
}

static void tell_problem(char problem[VUCCTL_PCI_PROBLEM_MAX], const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void
tell_problem(char problem[VUCCTL_PCI_PROBLEM_MAX], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(problem, VUCCTL_PCI_PROBLEM_MAX, fmt, args);
	va_end(args);
}

static void
add_cap(struct vucctl_pci_caps *caps, const struct vucctl_pci_cap *cap)
{
	caps->caps[caps->count++] = *cap;
}

/* Offset of the first standard capability; 0 for none. */
static uint32_t
first_cap(const struct vucctl_pci_image *image)
{
	uint32_t status, type, link;

	vucctl_pci_get(image, PCI_STATUS, 2, &status);
	if ((status & PCI_STATUS_CAP_LIST) == 0)
		return 0;
	vucctl_pci_get(image, PCI_HEADER_TYPE, 1, &type);
	type &= 0x7f;
	vucctl_pci_get(image,
		type == PCI_HEADER_TYPE_CARDBUS ? PCI_CB_CAPABILITY_LIST : PCI_CAPABILITY_LIST, 1,
		&link);
	return link & ~UINT32_C(3);
}

static void
walk_standard(const struct vucctl_pci_image *image, struct vucctl_pci_caps *caps)
{
	struct visited visited = {{0}};
	uint32_t offset = first_cap(image);
	uint32_t id, link;

	while (offset != 0) {
		if (offset < VUCCTL_PCI_HEADER_SIZE) {
			tell_problem(caps->problem, "link into the header, to 0x%02x", offset);
			return;
		}
		if (image->len < offset + CAP_HEADER_SIZE) {
			tell_problem(caps->problem, "link to 0x%02x, behind what was read", offset);
			return;
		}
		if (capability_visit(&visited, offset)) {
			tell_problem(caps->problem, "loop, back to 0x%02x", offset);
			return;
		}
		vucctl_pci_get(image, offset + PCI_CAP_LIST_ID, 1, &id);
		vucctl_pci_get(image, offset + PCI_CAP_LIST_NEXT, 1, &link);
		if (id == CAP_ID_DEAD) {
			tell_problem(caps->problem, "nothing answers at 0x%02x", offset);
			return;
		}
		add_cap(caps,
			&(struct vucctl_pci_cap){.offset = (uint16_t)offset, .id = (uint16_t)id});
		offset = link & ~UINT32_C(3);
	}
}

/* Returns the offset of the next one, 0 at the end. */
static uint32_t
take_extended(uint32_t offset, uint32_t header, struct vucctl_pci_caps *caps)
{
	struct vucctl_pci_cap cap = {
		.offset = (uint16_t)offset,
		.id = (uint16_t)header,
		.extended = true,
		.version = (uint8_t)(header >> 16 & 0xf),
	};

	add_cap(caps, &cap);
	return header >> 20 & 0xffc;
}

static void
walk_extended(const struct vucctl_pci_image *image, struct vucctl_pci_caps *caps)
{
	struct visited visited = {{0}};
	uint32_t offset = VUCCTL_PCI_CONFIG_SIZE;
	uint32_t header;

	while (offset != 0) {
		if (offset < VUCCTL_PCI_CONFIG_SIZE) {
			tell_problem(caps->ext_problem, "link to 0x%03x, below 0x100", offset);
			return;
		}
		if (!vucctl_pci_get(image, offset, EXT_CAP_HEADER_SIZE, &header)) {
			tell_problem(
				caps->ext_problem, "link to 0x%03x, behind what was read", offset);
			return;
		}
		if (capability_visit(&visited, offset)) {
			tell_problem(caps->ext_problem, "loop, back to 0x%03x", offset);
			return;
		}
		/* An empty list is a header of zeros, or what nobody answers. */
		if (offset == VUCCTL_PCI_CONFIG_SIZE && (header == 0 || header == EXT_HEADER_DEAD))
			return;
		if (header == EXT_HEADER_DEAD) {
			tell_problem(caps->ext_problem, "nothing answers at 0x%03x", offset);
			return;
		}
		offset = take_extended(offset, header, caps);
	}
}

void
vucctl_pci_caps_walk(const struct vucctl_pci_image *image, struct vucctl_pci_caps *caps)
{
	struct vucctl_pci_image standard = *image;
	struct vucctl_pci_image whole = *image;

	caps->count = 0;
	caps->problem[0] = '\0';
	caps->ext_problem[0] = '\0';
	if (standard.len > VUCCTL_PCI_CONFIG_SIZE)
		standard.len = VUCCTL_PCI_CONFIG_SIZE;
	if (whole.len > VUCCTL_PCIE_CONFIG_SIZE)
		whole.len = VUCCTL_PCIE_CONFIG_SIZE;
	if (image->len >= VUCCTL_PCI_HEADER_SIZE)
		walk_standard(&standard, caps);
	if (image->len > VUCCTL_PCI_CONFIG_SIZE)
		walk_extended(&whole, caps);
}

/* ---- names ---- */

static void handle_error(char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void ignore_message(char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void
handle_error(char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		text[0] = '\0';
	va_end(args);
	text[strcspn(text, "\n")] = '\0';
	exit(vucctl_fail("cannot use the PCI id database: %s; use --numeric", text));
}

static void
ignore_message(char *fmt, ...)
{
	(void)fmt;
}

/*
 * pci_init() stays away: it looks for a way to the machine's own devices, and gives up the program
 * where there is none. All that it does for names is to set these functions.
 */
static struct pci_access *
open_database(bool numeric)
{
	struct pci_access *access = pci_alloc();

	access->error = handle_error;
	access->warning = ignore_message;
	access->debug = ignore_message;
	access->numeric_ids = numeric;
	access->id_lookup_mode = 0; /* without the cache of names asked for by DNS */
	return access;
}

/* pci_lookup_name() returns the buffer, or a text of its own when it fails. */
static void
keep_name(char buf[VUCCTL_PCI_NAME_MAX], const char *name)
{
	if (name != buf)
		snprintf(buf, VUCCTL_PCI_NAME_MAX, "%s", name);
}

void
vucctl_pci_names_lookup(
	const struct vucctl_pci_header *header, bool numeric, struct vucctl_pci_names *names)
{
	struct pci_access *access = open_database(numeric);

	names->numeric = numeric;
	keep_name(names->class_name,
		pci_lookup_name(access, names->class_name, VUCCTL_PCI_NAME_MAX, PCI_LOOKUP_CLASS,
			(int)(header->class_code >> 8)));
	keep_name(names->device,
		pci_lookup_name(access, names->device, VUCCTL_PCI_NAME_MAX,
			PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE, header->vendor, header->device));
	names->subsystem[0] = '\0';
	if (header->has_subsystem)
		keep_name(names->subsystem,
			pci_lookup_name(access, names->subsystem, VUCCTL_PCI_NAME_MAX,
				PCI_LOOKUP_SUBSYSTEM | PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE,
				header->vendor, header->device, header->subsystem_vendor,
				header->subsystem_device));
	pci_cleanup(access);
}
