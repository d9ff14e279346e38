/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_PROBE_H
#define VUCCTL_PROBE_H

/* What `vucctl probe` finds out: as JSON, of which the text is made. */

#include "command.h"
#include "pci.h"

/* What was read of config space. */
struct vucctl_config {
	bool present;  /* the device has such a region */
	uint64_t size; /* of the region */
	uint8_t bytes[VUCCTL_PCIE_CONFIG_SIZE];
	size_t len;                /* bytes that could be read */
	char error[VUC_ERROR_MAX]; /* why not all of them; "" when all were */
};

/* Build the object that docs/vucctl.md describes, to be finished by the caller. names is NULL when
 * too little of config space could be read. */
void vucctl_probe_json(const struct vucctl *ctl, const struct vucctl_config *config,
	const struct vucctl_pci_names *names, struct app_json *json);

/* Print such an object for people. verbose: all of config space and all areas. */
void vucctl_probe_text(const struct vucctl *ctl, struct json_object *root,
	const struct vucctl_config *config, bool verbose);

#endif /* VUCCTL_PROBE_H */
