/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_VFIO_NAMES_H
#define VUCCTL_VFIO_NAMES_H

/* What <linux/vfio.h> calls the parts of a PCI device, in the words of output. */

#include <stdint.h>

#include "format.h"

/* Name of an index that has none of its own: "region 12". */
struct vucctl_index_name {
	char text[24];
};

struct vucctl_index_name vucctl_region_name(uint32_t index);
struct vucctl_index_name vucctl_irq_name(uint32_t index);

/* The index that a command line calls by name, in any case, or by number. Returns
 * 0; -EINVAL. */
int vucctl_region_parse(const char *text, uint32_t *index);
int vucctl_irq_parse(const char *text, uint32_t *index);

extern const struct vucctl_flag vucctl_device_flags[];
extern const struct vucctl_flag vucctl_region_flags[];
extern const struct vucctl_flag vucctl_irq_flags[];

#endif /* VUCCTL_VFIO_NAMES_H */
