/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_PCI_NAMES_H
#define VUCCTL_PCI_NAMES_H

#include <stdbool.h>

#include "pci_header.h"

#define VUCCTL_PCI_NAME_MAX 128

/*
 * What the PCI id database calls a device. What it does not know is told in numbers the way lspci
 * does, "Device 1234:5678" or "Class 0880".
 */
struct vucctl_pci_names {
	bool numeric; /* not looked up: numbers without words, "1234:5678" and "0880" */
	char class_name[VUCCTL_PCI_NAME_MAX];
	char device[VUCCTL_PCI_NAME_MAX];    /* vendor and device */
	char subsystem[VUCCTL_PCI_NAME_MAX]; /* "" where the header has none */
};

/*
 * Look up the names for a header in the system's database, whose absence is no error, or with
 * numeric not at all. A database that can't be understood ends the program, the error said: libpci
 * gives no other choice.
 */
void vucctl_pci_names_lookup(
	const struct vucctl_pci_header *header, bool numeric, struct vucctl_pci_names *names);

#endif /* VUCCTL_PCI_NAMES_H */
