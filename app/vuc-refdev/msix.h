/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_MSIX_H
#define REFDEV_MSIX_H

/* The MSI-X table and pending bits of a device, as a part of one of its regions, and MSI-X control
 * in config space. */

#include "device.h"

#define REFDEV_MSIX_ENTRY_SIZE 16u

struct refdev_msix {
	uint32_t vectors;
	uint32_t table_at; /* in the region */
	uint32_t pending_at;
	uint16_t cap; /* where the capability lies in config space */
	uint8_t table[REFDEV_MAX_VECTORS * REFDEV_MSIX_ENTRY_SIZE];
};

/* Of an access to the region, put what the table and the pending bits have into data. */
void refdev_msix_read(const struct refdev *dev, const struct refdev_msix *msix, uint32_t offset,
	uint8_t *data, uint32_t count);
void refdev_msix_write(struct refdev *dev, struct refdev_msix *msix, uint32_t offset,
	const uint8_t *data, uint32_t count);
bool refdev_msix_is_enabled(const struct refdev *dev, const struct refdev_msix *msix);
bool refdev_msix_is_masked(const struct refdev *dev, const struct refdev_msix *msix, uint32_t n);
/* Vectors begin unmasked, other than PCI has it: clients that keep the table to themselves, as VMMs
 * do, would never see an interrupt otherwise. */
void refdev_msix_reset(struct refdev_msix *msix);

#endif /* REFDEV_MSIX_H */
