/* SPDX-License-Identifier: BSD-3-Clause */
#include "pci.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>
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

/* ---- the header ---- */

/* Size of a region, 0 when there is none. */
static uint64_t
region_size(const struct vuc_device *dev, uint32_t index)
{
	const struct vuc_region *region = vuc_device_region(dev, index);

	return region != NULL ? region->size : 0;
}

/* high is the register behind the BAR's, 0 behind the last one. Returns whether it belongs to the
 * BAR. */
static bool
decode_memory(struct vucctl_pci_bar *bar, uint32_t reg, uint32_t high, bool last)
{
	bar->type = "invalid";
	bar->text = "invalid type";
	bar->prefetchable = (reg & PCI_BASE_ADDRESS_MEM_PREFETCH) != 0;
	bar->address = reg & BAR_MEMORY_MASK;
	switch (reg & PCI_BASE_ADDRESS_MEM_TYPE_MASK) {
	case PCI_BASE_ADDRESS_MEM_TYPE_32:
		bar->type = "memory32";
		bar->text = "memory, 32 bits";
		return false;
	case PCI_BASE_ADDRESS_MEM_TYPE_1M:
		bar->type = "memory1m";
		bar->text = "memory, below 1 MiB";
		return false;
	case PCI_BASE_ADDRESS_MEM_TYPE_64:
		if (last)
			return false;
		bar->type = "memory64";
		bar->text = "memory, 64 bits";
		bar->address |= (uint64_t)high << 32;
		return true;
	default:
		return false;
	}
}

/* n: how many the type of the header has. What reads 0 and has a region is 32-bit memory without an
 * address: BARs of all other kinds have bits that are never 0. */
static void
decode_bars(struct vucctl_pci *pci, unsigned int n, const struct vuc_device *dev)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct vucctl_pci_bar *bar = &pci->bars[pci->nr_bars];
		size_t offset = PCI_BASE_ADDRESS_0 + 4 * i;
		uint32_t reg = get32(&pci->image, offset);
		bool last = i + 1 == n;

		bar->index = i;
		bar->size = region_size(dev, i);
		if (reg == 0 && bar->size == 0)
			continue;
		pci->nr_bars++;
		if ((reg & PCI_BASE_ADDRESS_SPACE_IO) != 0) {
			bar->type = "io";
			bar->text = "I/O ports";
			bar->address = reg & BAR_IO_MASK;
		} else {
			i += decode_memory(
				bar, reg, last ? 0 : get32(&pci->image, offset + 4), last);
		}
	}
}

/* offset: 0 in a header without this register. */
static void
decode_rom(struct vucctl_pci *pci, size_t offset, const struct vuc_device *dev)
{
	uint32_t reg = offset > 0 ? get32(&pci->image, offset) : 0;

	pci->rom_bar = (struct vucctl_pci_bar){
		.address = reg & ROM_MASK,
		.enabled = (reg & PCI_ROM_ADDRESS_ENABLE) != 0,
		.size = region_size(dev, VFIO_PCI_ROM_REGION_INDEX),
	};
	if (pci->rom_bar.address != 0 || pci->rom_bar.size != 0)
		pci->rom = &pci->rom_bar;
}

static void
decode_type(struct vucctl_pci *pci, const struct vuc_device *dev)
{
	static const struct {
		unsigned int nr_bars;
		size_t rom; /* 0: none */
	} types[] = {
		[PCI_HEADER_TYPE_NORMAL] = {6, PCI_ROM_ADDRESS},
		[PCI_HEADER_TYPE_BRIDGE] = {2, PCI_ROM_ADDRESS1},
		[PCI_HEADER_TYPE_CARDBUS] = {1, 0},
	};
	bool known = pci->type < sizeof(types) / sizeof(types[0]);

	decode_bars(pci, known ? types[pci->type].nr_bars : 0, dev);
	decode_rom(pci, known ? types[pci->type].rom : 0, dev);
	if (pci->type != PCI_HEADER_TYPE_NORMAL)
		return;
	pci->subsystem_ids.vendor = get16(&pci->image, PCI_SUBSYSTEM_VENDOR_ID);
	pci->subsystem_ids.device = get16(&pci->image, PCI_SUBSYSTEM_ID);
	if (pci->subsystem_ids.vendor != 0 && pci->subsystem_ids.vendor != 0xffff)
		pci->subsystem = &pci->subsystem_ids;
}

static void
decode_header(struct vucctl_pci *pci, const struct vuc_device *dev)
{
	const struct vucctl_pci_image *image = &pci->image;
	uint8_t type = get8(image, PCI_HEADER_TYPE);

	pci->ids.vendor = get16(image, PCI_VENDOR_ID);
	pci->ids.device = get16(image, PCI_DEVICE_ID);
	pci->class_code = get32(image, PCI_CLASS_REVISION) >> 8;
	pci->revision = get8(image, PCI_REVISION_ID);
	pci->command = get16(image, PCI_COMMAND);
	pci->status = get16(image, PCI_STATUS);
	pci->type = type & HEADER_TYPE_MASK;
	pci->multifunction = (type & HEADER_TYPE_MULTIFUNCTION) != 0;
	pci->interrupt_line = get8(image, PCI_INTERRUPT_LINE);
	pci->interrupt_pin = get8(image, PCI_INTERRUPT_PIN);
	decode_type(pci, dev);
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

/* One of the two lists. Both have links that are multiples of 4. */
struct list {
	bool extended;
	uint32_t start; /* of config space that it can be in */
	unsigned int header_size;
	uint32_t dead; /* a header that nobody answered; of a standard one, its id */
	char *problem;
};

/* Take the capability at offset. Returns the offset of the next one, 0 at the end. */
static uint32_t
capability_take(
	const struct list *list, uint32_t offset, uint32_t header, struct vucctl_pci_caps *caps)
{
	caps->caps[caps->count++] = (struct vucctl_pci_cap){
		.offset = (uint16_t)offset,
		.id = (uint16_t)(list->extended ? header : header & 0xff),
		.extended = list->extended,
		.version = list->extended ? (uint8_t)(header >> 16 & 0xf) : 0,
	};
	return (list->extended ? header >> 20 : header >> 8) & ~UINT32_C(3);
}

static void
list_walk(const struct list *list, const struct vucctl_pci_image *image, uint32_t offset,
	struct vucctl_pci_caps *caps)
{
	const int digits = list->extended ? 3 : 2;
	struct visited visited = {{0}};
	uint32_t header;

	while (offset != 0) {
		if (offset < list->start) {
			tell_problem(list->problem,
				list->extended ? "link to 0x%03x, below 0x100"
					       : "link into the header, to 0x%02x",
				offset);
			return;
		}
		if (!vucctl_pci_get(image, offset, list->header_size, &header)) {
			tell_problem(list->problem, "link to 0x%0*x, behind what was read", digits,
				offset);
			return;
		}
		if (capability_visit(&visited, offset)) {
			tell_problem(list->problem, "loop, back to 0x%0*x", digits, offset);
			return;
		}
		/* An empty extended list is a header of zeros, or what nobody answers. */
		if (list->extended && offset == list->start &&
			(header == 0 || header == list->dead))
			return;
		if ((list->extended ? header : header & 0xff) == list->dead) {
			tell_problem(list->problem, "nothing answers at 0x%0*x", digits, offset);
			return;
		}
		offset = capability_take(list, offset, header, caps);
	}
}

static struct vucctl_pci_image
image_of(const struct vucctl_pci_image *image, size_t most)
{
	return (struct vucctl_pci_image){image->bytes, image->len < most ? image->len : most};
}

void
vucctl_pci_caps_walk(const struct vucctl_pci_image *image, struct vucctl_pci_caps *caps)
{
	const struct vucctl_pci_image standard = image_of(image, VUCCTL_PCI_CONFIG_SIZE);
	const struct vucctl_pci_image whole = image_of(image, VUCCTL_PCIE_CONFIG_SIZE);
	const struct list lists[] = {
		{false, VUCCTL_PCI_HEADER_SIZE, CAP_HEADER_SIZE, CAP_ID_DEAD, caps->problem},
		{true, VUCCTL_PCI_CONFIG_SIZE, EXT_CAP_HEADER_SIZE, EXT_HEADER_DEAD,
			caps->ext_problem},
	};

	caps->count = 0;
	caps->problem[0] = '\0';
	caps->ext_problem[0] = '\0';
	if (image->len >= VUCCTL_PCI_HEADER_SIZE)
		list_walk(&lists[0], &standard, first_cap(image), caps);
	if (image->len > VUCCTL_PCI_CONFIG_SIZE)
		list_walk(&lists[1], &whole, VUCCTL_PCI_CONFIG_SIZE, caps);
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

static void
names_lookup(struct vucctl_pci *pci, bool numeric)
{
	const struct vucctl_pci_ids *sub = &pci->subsystem_ids;
	struct pci_access *access = open_database(numeric);

	keep_name(pci->class_text,
		pci_lookup_name(access, pci->class_text, VUCCTL_PCI_NAME_MAX, PCI_LOOKUP_CLASS,
			(int)(pci->class_code >> 8)));
	keep_name(pci->device_text,
		pci_lookup_name(access, pci->device_text, VUCCTL_PCI_NAME_MAX,
			PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE, pci->ids.vendor, pci->ids.device));
	if (pci->subsystem != NULL)
		keep_name(pci->subsystem_text,
			pci_lookup_name(access, pci->subsystem_text, VUCCTL_PCI_NAME_MAX,
				PCI_LOOKUP_SUBSYSTEM | PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE,
				pci->ids.vendor, pci->ids.device, sub->vendor, sub->device));
	pci_cleanup(access);
	if (numeric)
		return;
	pci->class_name = pci->class_text;
	pci->ids.name = pci->device_text;
	pci->subsystem_ids.name = pci->subsystem_text;
}

bool
vucctl_pci_decode(struct vucctl_pci *pci, const uint8_t *bytes, size_t len,
	const struct vuc_device *dev, bool numeric)
{
	*pci = (struct vucctl_pci){.image = {bytes, len}};
	if (len < VUCCTL_PCI_HEADER_SIZE)
		return false;
	decode_header(pci, dev);
	names_lookup(pci, numeric);
	vucctl_pci_caps_walk(&pci->image, &pci->caps);
	return true;
}
