/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_REGION_H
#define VUC_VMM_REGION_H

#include "device.h"

/* Room for what the daemon says of regions. Returns 0 or -ENOMEM. */
int vmm_regions_alloc(struct vuc_vmm_device *dev, struct vuc_error *err);
void vmm_regions_free(struct vuc_vmm_device *dev);

#endif /* VUC_VMM_REGION_H */
