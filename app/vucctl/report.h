/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_REPORT_H
#define VUCCTL_REPORT_H

/* What `vucctl probe` found out, and its three forms of output. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <vuc/device.h>

#include "pci_caps.h"
#include "pci_header.h"
#include "pci_names.h"

/* What was learned of config space. */
struct vucctl_config {
	bool present;  /* the device has such a region */
	uint64_t size; /* of the region */
	uint8_t bytes[VUCCTL_PCIE_CONFIG_SIZE];
	size_t len;                /* bytes that could be read */
	char error[VUC_ERROR_MAX]; /* why not all of them; "" when all were */
};

/* What the bytes mean. */
struct vucctl_pci {
	bool valid; /* enough was read: the rest of this is filled in */
	struct vucctl_pci_header header;
	struct vucctl_pci_names names;
	struct vucctl_pci_caps caps;
};

/* Everything but the arrays stays the device's, and valid until that is closed. */
struct vucctl_report {
	const char *socket;
	const char *transport;
	const struct vuc_device_version *version;
	const struct vuc_device_info *info;
	struct vuc_region *regions; /* info->num_regions of them */
	struct vuc_irq *irqs;       /* info->num_irqs of them */
	struct vucctl_config config;
	struct vucctl_pci pci;
};

/*
 * Find out about a device. Only reads from it. numeric: ids instead of names. Returns 0 and the
 * report, to be destroyed before the device is closed; -ENOMEM; what ended the connection.
 */
int vucctl_report_create(
	struct vuc_device *dev, const char *socket, bool numeric, struct vucctl_report **report);

/* NULL does nothing. */
void vucctl_report_destroy(struct vucctl_report *report);

/* Understand config space: fill pci from config. */
void vucctl_report_decode_pci(struct vucctl_report *report, bool numeric);

/* Config space as an image. */
struct vucctl_pci_image vucctl_report_image(const struct vucctl_report *report);

/* Size of a region, 0 when there is none. */
uint64_t vucctl_report_region_size(const struct vucctl_report *report, uint32_t index);

/*
 * What BAR i of the header is. What reads 0 and has a region is 32-bit memory without an address:
 * BARs of all other kinds have bits that are never 0.
 */
enum vucctl_pci_bar_kind vucctl_report_bar_kind(const struct vucctl_report *report, unsigned int i);

/* For people. verbose: all of config space and all areas. */
void vucctl_report_print_text(FILE *out, const struct vucctl_report *report, bool verbose);

/* For programs: one JSON object, keys as in docs/vucctl.md. Returns 0; -ENOMEM. */
int vucctl_report_print_json(FILE *out, const struct vucctl_report *report);

/* For lspci -F. Returns 0; -ENODATA when less than the header of config space could be read. */
int vucctl_report_print_lspci(FILE *out, const struct vucctl_report *report);

#endif /* VUCCTL_REPORT_H */
