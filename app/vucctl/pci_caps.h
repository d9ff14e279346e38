/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_PCI_CAPS_H
#define VUCCTL_PCI_CAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pci_header.h"

/* A capability begins at a multiple of 4 and no two begin at the same place. */
#define VUCCTL_PCI_MAX_CAPS     ((VUCCTL_PCI_CONFIG_SIZE - VUCCTL_PCI_HEADER_SIZE) / 4)
#define VUCCTL_PCI_MAX_EXT_CAPS ((VUCCTL_PCIE_CONFIG_SIZE - VUCCTL_PCI_CONFIG_SIZE) / 4)

/* Longest text of struct vucctl_pci_caps, terminating NUL included. */
#define VUCCTL_PCI_PROBLEM_MAX 64

struct vucctl_pci_cap {
	uint16_t offset; /* in config space */
	uint16_t id;     /* of its kind of list */
	bool extended;   /* in the list of PCI Express extended capabilities */
	uint8_t version; /* extended ones only */
};

/* Both lists, the standard one first, each in the order of its links. */
struct vucctl_pci_caps {
	unsigned int count;
	struct vucctl_pci_cap caps[VUCCTL_PCI_MAX_CAPS + VUCCTL_PCI_MAX_EXT_CAPS];
	/* Why the walk of a list ended early; "" when it reached the list's end. */
	char problem[VUCCTL_PCI_PROBLEM_MAX];
	char ext_problem[VUCCTL_PCI_PROBLEM_MAX];
};

/*
 * Walk both lists. Whatever the image holds, the walk ends: a link back, out of place or out of
 * the image is a problem that is told. The extended list is looked at when the image goes beyond
 * the first 256 bytes.
 */
void vucctl_pci_caps_walk(const struct vucctl_pci_image *image, struct vucctl_pci_caps *caps);

#endif /* VUCCTL_PCI_CAPS_H */
