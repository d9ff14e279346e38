/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_QUEUE_H
#define VUC_VMM_QUEUE_H

#include "device.h"

/* Free the memory of all queues, without telling the daemon. */
void vmm_queues_free(struct vuc_vmm_device *dev);

#endif /* VUC_VMM_QUEUE_H */
