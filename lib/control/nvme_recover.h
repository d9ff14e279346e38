/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_NVME_RECOVER_H
#define VUC_LIB_CONTROL_NVME_RECOVER_H

/*
 * After an outage, the driver of an NVMe controller waits for commands that the new server does not
 * know. Drivers reset the controller at once on the asynchronous event "persistent internal error".
 * So an outstanding event request of the driver is completed with this event in the guest's memory:
 * in the admin completion queue, where the old server would have written next.
 *
 * A driver that has begun to reset the controller by itself, during the outage, cannot do that: it
 * waits for other commands first, such as those that delete its queues. These are completed with an
 * error, until it writes CC.
 */

#include "dma_maps.h"
#include "record.h"

struct control_vmm;

/* Later commands overwrite an event request in its queue, so its id is kept. */
struct nvme_watch {
	uint64_t due_ms;    /* when to look at the controller next; 0: when it is enabled again */
	uint32_t enables;   /* number of enables, at the last look */
	unsigned int looks; /* how many are left */
	bool known;
	uint32_t cid;
	uint32_t told; /* number of enables of the driver that was sent the event; 0: none */
	unsigned int attempts; /* how often to complete other commands of it, at most */
};

/* A completion to be written. */
struct nvme_event {
	uint8_t *entry;
	uint32_t words[4];
};

/*
 * Find an outstanding event request and the entry in which to complete it; watch: a request that
 * was seen before counts unless it has a completion. All that is read is untrusted and may change
 * at any time; nothing beyond the mappings is accessed. Returns 0; or a negative errno with the
 * reason, and *event is unchanged: the queues are not in mapped memory, are invalid, or no request
 * is outstanding.
 */
int nvme_event_find(struct nvme_event *event, const struct vuc_nvme_queues *queues,
	const struct dma_maps *maps, const struct nvme_watch *watch, struct vuc_error *why);

/* Find commands in the submission queue from its head to its tail, but for event requests, and the
 * entries in which to complete them with an error. Likewise untrusted. Returns how many there are,
 * up to max. */
unsigned int nvme_errors_find(struct nvme_event *errors, unsigned int max,
	const struct vuc_nvme_queues *queues, const struct dma_maps *maps);

/* Write it so that the driver sees it as a whole or not at all. */
void nvme_event_write(const struct nvme_event *event);

/* Look once for an event request of an enabled controller. Returns whether it is known. */
bool nvme_watch_look(struct nvme_watch *watch, const struct vuc_nvme_queues *queues,
	const struct dma_maps *maps);

/* On the VMM's thread, when it is due or the controller was enabled: look for the event request of
 * the guest's driver, and after a return for commands that it waits for. */
void vmm_watch_nvme(struct control_vmm *v, uint64_t now_ms);

/* On the VMM's thread, after a return: complete that event request, unless the driver has begun to
 * reset the controller. The caller signals the interrupt. */
void vmm_recover_nvme(struct control_vmm *v);

#endif /* VUC_LIB_CONTROL_NVME_RECOVER_H */
