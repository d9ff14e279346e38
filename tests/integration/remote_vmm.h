/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_REMOTE_VMM_H
#define VUC_TESTS_REMOTE_VMM_H

/*
 * Both sides of queues between processes, without a control plane: the memory and descriptors of a
 * struct vmm are made by the poller's process, and any process that has forked from it maps them as
 * the other one would. Nothing of its own mappings is used by the other side.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include <vuc/poller.h>
#include <vuc/shm.h>

#include "back.h"
#include "front.h"
#include "remote.h"
#include "tap.h"

/* Threads in place of processes: ThreadSanitizer sees one process only. */
#define VMM_IS_THREAD VUC_TAP_TSAN

/* A memory file, mapped by its maker. */
struct vmm_memory {
	int fd;
	size_t size;
	void *addr;
};

struct vmm_queue {
	struct vuc_queue_geometry geometry;
	struct vmm_memory requests, completions;
	unsigned int index;
};

struct vmm {
	struct vuc_poller_remote *remote;
	struct vmm_memory bell;
	int kick_fd;
	unsigned int nr_queues;
	struct vmm_queue queues[VUC_SHM_MAX_QUEUES];
};

#define VMM_DEPTH    32
#define VMM_MAX_DATA 1024

/* The side of the rig's poller, for a device of the rig; each asserts that it works. Queues are
 * closed by vmm_detach_device() as well. */
void vmm_attach_device(struct vmm *v, unsigned int device);
struct vmm_queue *vmm_add_queue(struct vmm *v, uint32_t depth, uint32_t max_data);
void vmm_detach_device(struct vmm *v);

/* The other side: a queue with mappings of its own. queue is NULL when that failed. */
struct vmm_front {
	struct vuc_queue *queue;
	struct vuc_queue_front_opts opts; /* where it is mapped */
	const struct vmm *vmm;
	const struct vmm_queue *memory;
};

void vmm_front_open(struct vmm_front *f, const struct vmm *v, unsigned int nr);
void vmm_front_close(struct vmm_front *f);

/* Attach to a device, and open a queue of VMM_DEPTH and VMM_MAX_DATA. */
void vmm_attach_one(struct vmm *v, unsigned int device);

/* Close its first queue, as a thread; whether that waits for the device, on the poller's thread. */
void *vmm_run_closing(void *vmm);
int vmm_sees_closing(void *vmm);

/* Both sides of that in this process. */
struct vmm_pair {
	struct vmm vmm;
	struct vmm_front front;
};

void vmm_pair_start(struct vmm_pair *p, unsigned int device);
void vmm_pair_stop(struct vmm_pair *p);

/* Memory that this process and those that it starts write. */
struct vmm_shared {
	_Atomic bool stop;
	_Atomic uint32_t progress;
};

/* A process that runs fn, which returns what it exits with: 0 when all was well. */
struct vmm_process {
	int (*fn)(const struct vmm *v, struct vmm_shared *shared);
	const struct vmm *vmm;
	struct vmm_shared *shared;
	pid_t pid;
	pthread_t thread;
	int result;
};

void vmm_start(struct vmm_process *process,
	int (*fn)(const struct vmm *v, struct vmm_shared *shared), const struct vmm *v);

/* Wait until it has made so much progress; or has ended without it, which is an error. */
void vmm_await(struct vmm_process *process, uint32_t progress);

/* Tell it to stop, and wait until it has; asserts that it returned 0. */
void vmm_stop(struct vmm_process *process);

/* End it where it is. Not for threads. */
void vmm_kill(struct vmm_process *process);

/* In such a process: say what was expected, and end with it. */
#define VMM_EXPECT(what)                                                                     \
	do {                                                                                 \
		if (!(what)) {                                                               \
			fprintf(stderr, "# %s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
			return 1;                                                            \
		}                                                                            \
	} while (0)

#endif /* VUC_TESTS_REMOTE_VMM_H */
