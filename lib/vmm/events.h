/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_EVENTS_H
#define VUC_VMM_EVENTS_H

#include "device.h"

/* Begin to listen on the eventfd: from what the reply to ATTACH has said. */
int vmm_events_open(struct vuc_vmm_device *dev, struct vuc_error *err);
void vmm_events_close(struct vuc_vmm_device *dev);

#endif /* VUC_VMM_EVENTS_H */
