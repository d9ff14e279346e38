/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_MSIX_H
#define VUC_DEVICE_MSIX_H

#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>

#define MSIX_CONFIG_SIZE 256u /* of config space, where its capabilities lie */

/* Bytes of a BAR. */
struct msix_place {
	uint32_t bar; /* 0 … 5 */
	uint64_t offset;
	uint64_t size; /* 0: there is no such place */
};

struct msix {
	struct msix_place table;
	struct msix_place pending;
};

/*
 * Find MSI-X in the first len bytes of config space, at most MSIX_CONFIG_SIZE of them looked at.
 * Returns 0, also when the device has no MSI-X; -EPROTO for a list of capabilities that leaves
 * config space, has a loop, or ends in the middle of MSI-X.
 */
int msix_find(const uint8_t *config, size_t len, struct msix *msix, struct vuc_error *err);

#endif /* VUC_DEVICE_MSIX_H */
