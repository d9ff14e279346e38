/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_NVME_RECOVER_H
#define VUC_LIB_CONTROL_NVME_RECOVER_H

/*
 * After an outage the driver of an NVMe controller waits for commands that the new server knows
 * nothing of. Drivers reset the controller at once when an asynchronous event says "persistent
 * internal error"; so the event request that they have outstanding is completed with it, in the
 * guest's memory: in the admin completion queue, where the old server would have written next.
 */

#include "dma_maps.h"
#include "record.h"
#include "vmm.h"

/* A completion that is to be written. */
struct nvme_event {
	uint8_t *entry;
	uint32_t words[4];
};

/*
 * Find an event request that is outstanding, and where it is to be completed. All that is read may
 * be anything, and change at any time; nothing beyond the mappings is touched. Returns 0; or a
 * negative errno with the reason, and the event is left alone: the queues are not where memory is
 * mapped, or are no queues, or no request is outstanding.
 */
int nvme_event_find(struct nvme_event *event, const struct vuc_nvme_queues *queues,
	const struct dma_maps *maps, struct vuc_error *why);

/* Write it, so that who looks for it finds all of it. */
void nvme_event_write(const struct nvme_event *event);

/* On the VMM's thread, after a return: complete the event request of the guest's driver, unless it
 * has begun to reset the controller. Its interrupt is still to be signalled. */
void vmm_recover_nvme(struct control_vmm *v);

#endif /* VUC_LIB_CONTROL_NVME_RECOVER_H */
