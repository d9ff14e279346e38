/* SPDX-License-Identifier: BSD-3-Clause */
#include "pci_names.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pci/pci.h>

#include "message.h"

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
	exit(vucctl_fail("cannot use the PCI id database: %s; --numeric does without", text));
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
