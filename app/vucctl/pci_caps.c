/* SPDX-License-Identifier: BSD-3-Clause */
#include "pci_caps.h"

#include <stdarg.h>
#include <stdio.h>

#include <pci/header.h>

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
