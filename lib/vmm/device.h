/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_DEVICE_H
#define VUC_VMM_DEVICE_H

/* The inside of a device. */

#include <pthread.h>
#include <sys/queue.h>

#include <vuc/vmm.h>

#include "link.h"
#include "record.h"

/* Requests name a region by 16 bits. */
#define VMM_MAX_REGIONS 65536u

/* What the daemon has said of a region, with the descriptors of its areas. */
struct vmm_region {
	struct vmm_region *next; /* of the old ones */
	bool told;               /* the VMM was told of a change since it is old */
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
	int fd;                /* the caller's, until the commit */
	struct vmm_file *file; /* from then on */
};

/* Entries that wait for their commit. */
struct vmm_dma_queue {
	struct vmm_dma_entry *entries;
	size_t nr;
	size_t room;
};

/* The queue of vuc_vmm_read() and the like. */
struct vmm_access {
	pthread_mutex_t lock; /* outside of the device's */
	struct vuc_queue *queue;
};

/* Memory without a descriptor: the device has no access to it, and the daemon never hears of it. */
struct vmm_unshared {
	struct vmm_range {
		uint64_t iova;
		uint64_t size;
	} * ranges;
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
	struct vmm_operation *reattaching; /* attaches to a new daemon; NULL: none */
	uint64_t reattached; /* the generation of one that has the device, to be told; 0: none */
	char name[VUC_SHM_NAME_SIZE];   /* of the VMM */
	char device[VUC_SHM_NAME_SIZE]; /* at the daemon */
	struct vmm_link link;
	struct vmm_operations ops;
	struct vmm_watch watch;
	struct vmm_region **regions;                  /* by index; NULL: not asked yet */
	struct vmm_region *old_regions;               /* that the VMM may still have */
	uint64_t region_epoch;                        /* counts changes */
	struct vmm_queue *queues[VUC_SHM_MAX_QUEUES]; /* NULL: none */
	struct vmm_queue *opening;                    /* asked for once more; NULL: none */
	struct vmm_dma_queue dma;
	struct vmm_unshared unshared;
	struct vmm_record record;
	struct vmm_access access;
	/* Not changed once the device is attached. */
	struct vuc_vmm_info info;
	struct vmm_pages pages;
	int kick_fd;
	struct vmm_told told;
	uint64_t lost_ms; /* atomic: when it was reported that the server is away; 0: it is not */
};

/* device.c */
struct vuc_vmm_device *vmm_device_create(void);
void vmm_device_free(struct vuc_vmm_device *dev);

/* reattach.c: the events of a new daemon, once; 0: none. On the thread that takes events. */
uint32_t vmm_take_reattached(struct vuc_vmm_device *dev);

/* region.c: room for what the daemon says of regions. Returns 0 or -ENOMEM. */
int vmm_regions_alloc(struct vuc_vmm_device *dev, struct vuc_error *err);
void vmm_regions_free(struct vuc_vmm_device *dev);
void vmm_region_free(struct vmm_region *region);

/* region.c: regions have changed: fresh is what the daemon says of them now, which is taken; NULL:
 * they are to be asked for. What was said before lives until the second change that is told. */
void vmm_regions_renew(struct vuc_vmm_device *dev, struct vmm_region **fresh);

/* region.c: the VMM is about to be told of a change. */
void vmm_regions_tell(struct vuc_vmm_device *dev);

/* region.c: ask for a region, and take the reply. Returns 0 or a negative errno. */
void vmm_region_ask(uint32_t index, union vmm_packet *request);
int vmm_region_take(struct vuc_vmm_device *dev, uint32_t index, const union vmm_packet *reply,
	struct vmm_fds *fds, struct vmm_region **region, struct vuc_error *err);

/* queue.c: free the memory of all queues, without telling the daemon. */
void vmm_queues_free(struct vuc_vmm_device *dev);

/* queue.c: the daemon has gone: what was submitted ends with -ECONNRESET. No queue is open. */
void vmm_queues_cut(struct vuc_vmm_device *dev);

/*
 * queue.c: open those queues with a new daemon, one after the other: find one that is not open,
 * NULL for none; ask; take the reply, with 0 or a negative errno. The queue must not be freed
 * between asking and taking. In the end threads are offered the new memory.
 */
struct vmm_queue *vmm_queue_to_open(const struct vuc_vmm_device *dev);
void vmm_queue_open_ask(const struct vmm_queue *q, union vmm_packet *request);
int vmm_queue_open_take(struct vuc_vmm_device *dev, struct vmm_queue *q,
	const union vmm_packet *reply, const struct vmm_fds *fds, struct vuc_error *err);
void vmm_queues_offer(struct vuc_vmm_device *dev);

#endif /* VUC_VMM_DEVICE_H */
