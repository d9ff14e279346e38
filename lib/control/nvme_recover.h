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

struct control_vmm;

/* Other commands take the place of an event request in its queue, so its id is kept. */
struct nvme_watch {
	uint64_t due_ms;    /* when the controller is looked at next; 0: when there is time */
	uint32_t enables;   /* of the controller, when it was looked for last */
	unsigned int looks; /* that are left */
	bool known;
	uint32_t cid;
};

/* A completion that is to be written. */
struct nvme_event {
	uint8_t *entry;
	uint32_t words[4];
};

/*
 * Find an event request that is outstanding, and where it is to be completed; watch: one that was
 * seen before counts unless there is a completion of it. All that is read may be anything, and
 * change at any time; nothing beyond the mappings is touched. Returns 0; or a negative errno with
 * the reason, and the event is left alone: the queues are not where memory is mapped, or are no
 * queues, or no request is outstanding.
 */
int nvme_event_find(struct nvme_event *event, const struct vuc_nvme_queues *queues,
	const struct dma_maps *maps, const struct nvme_watch *watch, struct vuc_error *why);

/* Write it, so that who looks for it finds all of it. */
void nvme_event_write(const struct nvme_event *event);

/* Look once for an event request of a controller that was enabled. Returns whether it is known. */
bool nvme_watch_look(struct nvme_watch *watch, const struct vuc_nvme_queues *queues,
	const struct dma_maps *maps);

/* On the VMM's thread, when it is due: look for the event request of the guest's driver. */
void vmm_watch_nvme(struct control_vmm *v, uint64_t now_ms);

/* On the VMM's thread, after a return: complete that event request, unless the driver has begun to
 * reset the controller. Its interrupt is still to be signalled. */
void vmm_recover_nvme(struct control_vmm *v);

#endif /* VUC_LIB_CONTROL_NVME_RECOVER_H */
