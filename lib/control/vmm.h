/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_VMM_H
#define VUC_LIB_CONTROL_VMM_H

/*
 * A VMM's connection. It has a thread, which does all that the VMM asks for: while it waits, the
 * control plane goes on. What a poller does for it, though, other VMMs of that poller wait for.
 */

#include <stdatomic.h>

#include <vuc/irq.h>

#include "control.h"
#include "dma_maps.h"
#include "guard.h"
#include "nvme_recover.h"
#include "packet.h"
#include "region_areas.h"
#include "remote.h"
#include "shared_memory.h"
#include "state_page.h"

/* Files behind the mappings of one VMM: of each, a descriptor is kept. */
#define VMM_MAX_FILES 64u

/* Regions of which a VMM may map areas: a bit for each of them says that it does. */
#define VMM_MAPPED_REGIONS 64u

/* Where a connection is, and with bits or'ed together where a message may come. */
enum vmm_state {
	VMM_CONNECTED = 1 << 0,
	VMM_GREETED = 1 << 1,  /* after HELLO */
	VMM_ATTACHED = 1 << 2, /* after ATTACH */
	VMM_DETACHED = 1 << 3, /* after DETACH: all is over */
};

struct vmm_queue {
	struct memory requests;
	struct memory completions;
	bool open;
};

struct control_vmm {
	TAILQ_ENTRY(control_vmm) entry; /* of the control's lists, guarded by its lock */
	struct vuc_control *control;
	pthread_t thread;
	int fd;
	int wake_fd; /* an eventfd: look at what is below */
	struct vuc_peer user;
	char exported[VUC_CONTROL_NAME_SIZE]; /* the device that it has connected to; "": it says
						 which one it wants */
	struct control_log_limit log_limit;
	uint64_t deadline_ms; /* to be attached */

	/* Guarded by the control's lock. */
	char name[VUC_CONTROL_NAME_SIZE];
	struct control_device *device; /* that it has; else NULL */
	struct control_link *link;     /* by which it has it */
	struct state_page *page;
	enum vuc_shm_device_state told;
	uint64_t leave_ms; /* when its connection is ended; 0: not */
	const char *leave_why;
	uint64_t attached_ms;
	int request_fd; /* of a stock VMM: the eventfd of REQ, which asks it to release the device;
			   -1 */
	bool returned;  /* the device is back, and its interrupts are to be signalled */

	_Atomic unsigned int nr_queues;
	_Atomic unsigned int nr_dma_maps;
	_Atomic uint64_t mapped; /* bits of regions that it has asked for areas of */

	/* The thread's own. */
	enum vmm_state state;
	struct vuc_error why; /* the connection has to be ended */
	bool hung_up;         /* the VMM itself has ended it */
	bool sequenced;       /* a request has come, */
	uint32_t sequence;    /* and this was its number */
	struct stock *stock;  /* of a stock VMM */
	/* Called while the thread waits for the server, or populates memory; returns the time of
	 * the next call, 0: none. */
	uint64_t (*while_waiting)(struct control_vmm *v);
	struct vuc_poller_remote *remote;
	struct memory state_memory;
	struct memory bell;
	int kick_fd;
	int event_fd;
	uint64_t publish_ms; /* when counters are published next */
	uint32_t max_data;   /* of a request of a queue */
	uint64_t queue_memory;
	struct vmm_queue queues[VUC_SHM_MAX_QUEUES];
	bool *irqs; /* by index: something was done with it */
	struct dma_maps maps;
	struct nvme_watch nvme;
	bool features_set;           /* something that no reset of the device undoes for sure */
	bool migrates;               /* the device is in another state than RUNNING, */
	uint64_t migrates_since;     /* on this connection: vuc_device_record_renewals() */
	struct packet packet;        /* the request at hand */
	struct vuc_closers *closers; /* of its descriptors, and of its socket */
	struct vuc_closer *closer;
};

/* vmm.c: one that has connected by fd, which is its own then. NULL: no memory or descriptors. */
struct control_vmm *vmm_alloc(struct vuc_control *c, int fd);

/* connection.c: the thread, which puts itself among those that have finished */
void *vmm_run(void *arg);

/* connection.c: what it does again and again: carry out a packet, if there is one, and see what has
 * happened elsewhere. Returns 0; or an error that ends the connection, with why. */
int vmm_step(struct control_vmm *v, bool packet);

/* vmm.c: with the lock held: what has become of its device */
void vmm_tell(struct control_vmm *v, enum vuc_shm_device_state state, uint64_t generation);

/* vmm.c: with the lock held: the memory of its regions is another one */
void vmm_tell_remap(struct control_vmm *v);

/* vmm.c: with the lock held: the operator wants the device back */
void vmm_tell_release(struct control_vmm *v);

/* vmm.c: with the lock held: end its connection at a time, unless it is ended before */
void vmm_leave(struct control_vmm *v, uint64_t when_ms, const char *why);

/* vmm.c: with the lock held: end it now, for its device is removed and its connection to the server
 * has ended: there is nothing left that it could end in order */
void vmm_leave_lost(struct control_vmm *v);

/* vmm.c: why it has to leave now; NULL: it has not. */
const char *vmm_leaves(struct control_vmm *v, uint64_t now);

/* vmm.c: close what the VMM, or its server, has sent, which may take as long as they like; likewise
 * the connection, with what lies unread in it. Waits for that unless the VMM has to leave: then the
 * closing is left to itself. */
void vmm_close_fds(struct control_vmm *v, int *fds, unsigned int nr_fds);
void vmm_close_socket(struct control_vmm *v);

/* vmm.c: free one whose thread has ended */
void vmm_free(struct control_vmm *v);

/* messages.c: carry out the packet. Returns 0; or an error that ends the connection, with why. */
int vmm_dispatch(struct control_vmm *v);

/*
 * reply.c: what handlers return.
 *
 * vmm_reply() fills the header, and gives the descriptors to the VMM as well; vmm_refuse() sends a
 * failure; vmm_end() has the connection ended.
 */
int vmm_reply(struct control_vmm *v, struct vuc_shm_header *reply, size_t size, const int *fds,
	unsigned int nr_fds);
int vmm_refuse(struct control_vmm *v, int status, const char *fmt, ...)
	__attribute__((cold, format(printf, 3, 4)));
int vmm_end(struct control_vmm *v, const char *fmt, ...)
	__attribute__((cold, format(printf, 2, 3)));

/* vmm.c: a line that names VMM and device. */
void vmm_log(struct control_vmm *v, enum vuc_log_level level, const char *fmt, ...)
	__attribute__((cold, format(printf, 3, 4)));

/* call.c: call fn(dev, arg) on the poller's thread: what asks the server nothing. err takes the
 * device's reason when it fails. Returns what fn does. */
typedef int (*control_device_fn)(struct vuc_device *dev, void *arg);
int vmm_call(struct control_vmm *v, control_device_fn fn, void *arg, struct vuc_error *err);

/*
 * call.c: what asks the server. start(dev, arg, done, done_arg) is called on the poller's thread,
 * and returns 0 when it has begun: done is going to be called with done_arg; a negative errno when
 * it has not, with the device's reason; OPERATION_DONE when there is nothing to wait for. It may
 * call done itself, and its argument lives until it has returned all the same. Waits for the end,
 * for which the operation has a deadline. Returns 0 or a negative errno.
 */
#define OPERATION_DONE 1
typedef int (*control_start_fn)(
	struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg);
int vmm_operate(struct control_vmm *v, control_start_fn start, void *arg, struct vuc_error *err);

/* call.c: on the poller's thread: whether its connection has ended for good */
bool vmm_device_is_lost(const struct vuc_device *dev);

/* call.c: add to an error that the VMM has to attach again. @return rc */
int vmm_error_lost(struct vuc_error *err, int rc);

/* cleanup.c: remove all traces of the VMM from its device, and let the next one have it */
void vmm_release(struct control_vmm *v);

/* queues.c: the memory of all queues, which nobody uses any more */
void vmm_free_queues(struct control_vmm *v);

/* dma.c: on the poller's thread, before the device lets go of memory: hold its files. Then, on
 * another thread, let go of them. */
struct held_files {
	int fds[VMM_MAX_FILES];
	unsigned int nr;
};
void vmm_hold_files(const struct vuc_device *dev, struct held_files *held);
void vmm_close_files(struct held_files *held);

/*
 * What handlers of both planes do. Each returns 0 or a negative errno, with err.
 *
 * attach.c: vmm_claim_device(): from here on the device is this VMM's; a device that is being
 * connected or cleaned is waited for until end_ms. vmm_prepare_device(): set up what is kept for
 * each VMM. vmm_device_flags(): the device's flags, without those that VMMs may not use.
 */
int vmm_claim_device(
	struct control_vmm *v, const char *name, uint64_t end_ms, struct vuc_error *err);
int vmm_prepare_device(struct control_vmm *v);
uint32_t vmm_device_flags(const struct control_vmm *v);

/*
 * dma.c: entries that have been checked; fds: by their fd_index. statuses: one of each entry, all
 * 0, for independent entries, that are mappings of the server's own each, and that are committed:
 * those that are refused get their negative errno, and the last of these is returned. NULL: what is
 * behind a refused entry is refused as well.
 */
int vmm_apply_dma(struct control_vmm *v, const struct vuc_shm_dma *request, const int *fds,
	int *statuses, struct vuc_error *err);

/* irqs.c */
struct vmm_irqs {
	struct vuc_irq_range range;
	enum vuc_shm_irq_action action;
	const int *eventfds; /* range.count of them, -1: deassign; NULL: no eventfds */
	const bool *which;   /* likewise; NULL: all of the range */
};
int vmm_apply_irqs(struct control_vmm *v, const struct vmm_irqs *irqs, struct vuc_error *err);

/* irqs.c: signal each interrupt once, since one may have been lost */
void vmm_signal_interrupts(struct control_vmm *v);

/* info.c: the areas of a region that the VMM may map, possibly none; to be dropped in any case,
 * also after an error. fds: of its files; indexes: of each area's file in them */
struct vmm_areas {
	struct device_areas found;
	uint32_t indexes[VUC_SHM_MAX_AREAS];
	int fds[VUC_SHM_MAX_FDS];
	uint32_t nr_fds;
};
int vmm_find_areas(
	struct control_vmm *v, uint32_t region, struct vmm_areas *areas, struct vuc_error *err);
void vmm_drop_areas(struct control_vmm *v, struct vmm_areas *areas);
int vmm_apply_reset(struct control_vmm *v, struct vuc_error *err);

/* The handlers of messages; the packet has been checked as far as its row in messages.c says. */
int vmm_hello(struct control_vmm *v);
int vmm_attach(struct control_vmm *v);
int vmm_region_info(struct control_vmm *v);
int vmm_irq_info(struct control_vmm *v);
int vmm_open_queue(struct control_vmm *v);
int vmm_close_queue(struct control_vmm *v);
int vmm_dma(struct control_vmm *v);
int vmm_set_irqs(struct control_vmm *v);
int vmm_io_fds(struct control_vmm *v);
int vmm_reset(struct control_vmm *v);
int vmm_detach(struct control_vmm *v);
int vmm_list(struct control_vmm *v);

#endif /* VUC_LIB_CONTROL_VMM_H */
