/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_DEVICE_H
#define VUC_VMM_DEVICE_H

/* The inside of an attached device. */

#include <pthread.h>

#include <vuc/vmm.h>

#include "dma.h"
#include "link.h"
#include "pages.h"

/* Requests name a region by 16 bits. */
#define VMM_MAX_REGIONS 65536u

/* What the daemon has said of a region, with the descriptors of its areas. */
struct vmm_region {
	struct vuc_vmm_region region;
	struct vmm_fds fds;
	struct vuc_vmm_area areas[];
};

/* What has been told of the device's state, and where more is heard. */
struct vmm_events {
	int epoll_fd; /* -1: there is none */
	int event_fd;
	uint32_t state; /* enum vuc_shm_device_state */
	uint64_t generation;
	uint64_t resets;
	bool gone;
};

struct vmm_queue;

struct vuc_vmm_device {
	pthread_mutex_t lock; /* for link, regions, queues and dma */
	struct vmm_link link;
	struct vmm_region **regions;                  /* by index; NULL: not asked yet */
	struct vmm_queue *queues[VUC_SHM_MAX_QUEUES]; /* by index */
	struct vmm_dma_queue dma;
	/* Not changed once the device is attached. */
	struct vuc_vmm_info info;
	struct vmm_pages pages;
	int kick_fd;
	/* Of the one thread that takes events. */
	struct vmm_events events;
};

#endif /* VUC_VMM_DEVICE_H */
