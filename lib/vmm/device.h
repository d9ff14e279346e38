/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_DEVICE_H
#define VUC_VMM_DEVICE_H

/* The inside of a device. */

#include <pthread.h>
#include <sys/queue.h>

#include <vuc/vmm.h>

#include "link.h"

/* Requests name a region by 16 bits. */
#define VMM_MAX_REGIONS 65536u

/* What the daemon has said of a region, with the descriptors of its areas. */
struct vmm_region {
	struct vuc_vmm_region region;
	struct vmm_fds fds;
	struct vuc_vmm_area areas[];
};

/* The memory that every attached VMM shares with the daemon. */
struct vmm_pages {
	const struct vuc_shm_state *state;
	struct vuc_shm_bell *bell;
	const struct vuc_shm_poller *poller;
};

/* Where the VMM's main loop hears of the device. */
struct vmm_watch {
	int epoll_fd;       /* of the three others */
	int timer_fd;       /* operations have ended, or have to be looked at */
	uint64_t timer_ms;  /* when it goes off at the latest; 0: it is not set */
	uint32_t link_mask; /* what is listened for on the socket; 0: nothing */
	int event_fd;       /* the daemon's */
};

/* What has been told of the device's state; of the one thread that takes events. */
struct vmm_told {
	uint32_t state; /* enum vuc_shm_device_state */
	uint64_t generation;
	uint64_t resets;
	uint64_t remaps;
	uint64_t releases;
	bool gone;
};

TAILQ_HEAD(vmm_operation_list, vmm_operation);

struct vmm_operations {
	struct vmm_operation_list queue; /* in the order of their start; the first one runs */
	struct vmm_operation_list ended; /* to be told of by vuc_vmm_events() */
	unsigned int nr_started;         /* in the queue, that no thread waits for */
	unsigned int waiting;            /* threads that wait; one of them receives, */
	bool receiving;                  /* and is about it; the others wait for their turn */
	pthread_cond_t turn;
	unsigned int asked;          /* the type of the request that waits for its reply; 0: none */
	struct vmm_operation *asker; /* NULL: it was cancelled, and nobody wants the reply */
	bool telling;                /* callbacks run, on this thread */
	pthread_t teller;
};

/* What is done to the device's memory; fields that op does not use are 0, and fd is -1. */
struct vmm_dma_entry {
	uint16_t op; /* enum vuc_shm_dma_op */
	uint32_t flags;
	uint64_t iova;
	uint64_t size;
	uint64_t offset;
	int fd;
};

/* Entries that wait for their commit; descriptors are the caller's. */
struct vmm_dma_queue {
	struct vmm_dma_entry *entries;
	size_t nr;
	size_t room;
};

enum vmm_phase {
	VMM_ATTACHING,
	VMM_ATTACHED,
	VMM_DETACHING, /* nothing more can be started */
	VMM_DETACHED,  /* to be freed */
};

struct vmm_queue;

struct vuc_vmm_device {
	pthread_mutex_t lock; /* for all down to dma; held for no longer than it takes */
	enum vmm_phase phase;
	struct vmm_link link;
	struct vmm_operations ops;
	struct vmm_watch watch;
	struct vmm_region **regions;                  /* by index; NULL: not asked yet */
	struct vmm_queue *queues[VUC_SHM_MAX_QUEUES]; /* by index */
	struct vmm_dma_queue dma;
	/* Not changed once the device is attached. */
	struct vuc_vmm_info info;
	struct vmm_pages pages;
	int kick_fd;
	struct vmm_told told;
};

/* region.c: room for what the daemon says of regions. Returns 0 or -ENOMEM. */
int vmm_regions_alloc(struct vuc_vmm_device *dev, struct vuc_error *err);
void vmm_regions_free(struct vuc_vmm_device *dev);

/* queue.c: free the memory of all queues, without telling the daemon. */
void vmm_queues_free(struct vuc_vmm_device *dev);

#endif /* VUC_VMM_DEVICE_H */
