/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_H
#define VUC_LIB_CONTROL_H

/*
 * The control plane as a whole, and its devices. One lock guards who has what: it is held for
 * looking and changing only, never while anything is waited for but `changed`.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include <vuc/control.h>
#include <vuc/stats.h>

#include "event.h"
#include "listen.h"
#include "log.h"
#include "permission.h"

#define THREAD_STACK   (256u * 1024u)
#define LEAVE_GRACE_MS 100u /* for a VMM that is told to detach */

struct control_device;
struct control_vmm;

struct vuc_control {
	struct vuc_control_opts opts; /* without path and log */
	struct control_log log;
	struct control_listener listener;
	struct control_signaller signaller; /* guarded by lock */
	pthread_t acceptor;                 /* if it listens */
	bool listens;
	int wake_fd; /* an eventfd: somebody has finished, or it is the end */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop;
	TAILQ_HEAD(, control_device) devices;
	TAILQ_HEAD(control_vmms, control_vmm) vmms;
	struct control_vmms finished; /* their threads have nothing left to do */
	unsigned int nr_vmms;
};

/* A connection to the server of a device. When it ends, a new one takes its place; the old one is
 * kept for a VMM that has queues to it. */
struct control_link {
	struct control_device *device;
	struct vuc_device *dev;
	uint64_t generation;
	_Atomic bool ended;      /* set on the poller's thread, behind reason */
	struct vuc_error reason; /* why */
	_Atomic uint64_t
		silent_ms; /* since when its server is silent; 0: it is not; set likewise */
};

struct control_device {
	TAILQ_ENTRY(control_device) entry;
	struct vuc_control *control;
	char name[VUC_CONTROL_NAME_SIZE];
	char path[108];
	struct vuc_poller *poller;
	struct poller_account *account; /* of all its connections */
	struct vuc_device_opts opts;    /* path is that above */
	struct control_permission permission;
	enum vuc_control_reset reset;
	uint32_t retry_min_ms;
	uint32_t retry_max_ms;
	pthread_t keeper; /* connects, sees connections end, connects again */
	int wake_fd;      /* an eventfd: wakes the keeper */
	_Atomic bool stop;

	/* Guarded by the control's lock. */
	struct control_link *link; /* NULL while the server is away */
	struct control_vmm *vmm;   /* that has it, or whose traces are being removed */
	bool cleaning;             /* the latter, or `renewing` */
	bool renewing;             /* the connection was closed to be made anew */
	bool removing;             /* nobody finds it any more */
	bool tried;                /* to connect, once at least */
	unsigned int waiting;      /* threads that wait for something of it */
	uint64_t generation;
	uint64_t attaches;
	unsigned int reset_ends; /* connections in a row that ended on DEVICE_RESET */
	struct vuc_error reason; /* why it is away */
	uint64_t since_ms;       /* when link or vmm came or went */
	uint64_t silent_ms;      /* of link, as it was told and logged; 0: it answers */
	struct control_log_limit silent_lines;
};

/* With the lock held, but for the time in which it waits: for `changed`. Returns false when the
 * time is over. */
bool control_await(struct vuc_control *c, uint64_t end_ms);

/* An eventfd of the daemon's own. */
void control_wake(int fd);
void control_wait(int fd, int timeout_ms);

/* accept.c: the accepting thread; and what it does for those who have finished */
void *control_accept(void *arg);
void control_reap(struct vuc_control *c);

/* device.c: by name, with the lock held; NULL for none, or one that is being removed */
struct control_device *control_find(struct vuc_control *c, const char *name);
void control_remove_all(struct vuc_control *c);

/* device.c: the keeper's thread ends as soon as it can */
void control_stop_keeper(struct control_device *d);

/* keeper.c: the keeper's thread */
void *control_keep(void *arg);

/* link.c: open one, the device reset, if it has to be: -EPIPE for a server that has ended the
 * connection on that; close and free it */
int control_link_open(struct control_device *d, struct control_link **link, struct vuc_error *err);
void control_link_close(struct control_link *link);

/* call.c: call fn(dev, arg) on the poller's thread; err takes the device's reason when it fails.
 * Returns what fn does. */
typedef int (*control_device_fn)(struct vuc_device *dev, void *arg);
int control_link_call(
	struct control_link *link, control_device_fn fn, void *arg, struct vuc_error *err);

/* call.c: a function to be called so: reset the device, if it has a reset. -EPIPE: the connection
 * has ended on it. */
int control_forget_state(struct vuc_device *dev, void *arg);

#endif /* VUC_LIB_CONTROL_H */
