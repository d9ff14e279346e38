/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_INTERNAL_H
#define VUC_POLLER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include <vuc/poller.h>

#include "back.h"
#include "front.h"
#include "histogram.h"
#include "stats.h"

#define MAX_QUEUES  4096u
#define BELL_BITS   64u
#define BURST       32u   /* requests of a queue in one loop */
#define QUIET_LOOKS 1024u /* at a queue without anything in it, until it is left to its bell */

_Static_assert(BURST < 1u << VUC_BURST_SIZES, "each burst is of a size that is counted");

struct poller_queue;

/* A request that a device works on. */
struct poller_request {
	struct poller_queue *queue;
	uint32_t count; /* bytes that are read */
	uint16_t id;
	uint64_t begun; /* by the time stamp counter; 0: it is not timed */
};

/* The poller's end of a queue. */
struct poller_queue {
	struct vuc_queue_back back;
	struct vuc_queue *front;
	struct vuc_poller *poller;
	struct poller_device *device;
	unsigned int index;              /* of its bell, and in poller->queues */
	unsigned int quiet;              /* looks in vain */
	bool active;                     /* on the list of those that are looked at in each loop */
	bool broken;                     /* nothing more is taken */
	struct poller_request *requests; /* by id */
	void *memory[2];
	size_t size[2];
};

/* What the poller keeps of a device. */
struct poller_device {
	TAILQ_ENTRY(poller_device) link;
	struct vuc_device *dev;
	_Atomic unsigned int nr_queues;
	uint32_t id;                     /* in traces */
	char name[VUC_DEVICE_NAME_SIZE]; /* from its socket, and unique in the process */
	_Atomic bool connected;          /* as it was seen last */
	vuc_trace_fn trace;              /* what the device's opener wants, when messages go to */
	void *trace_arg;                 /* rte_trace as well */
	struct access_counters counters;
	struct histogram latency;
};

/* A function to be called on the poller's thread. */
struct poller_call {
	STAILQ_ENTRY(poller_call) link;
	vuc_poller_fn fn;
	void *arg;
	int result;
	bool done;
};

struct vuc_poller {
	/* What the poller's thread writes and reads all the time. */
	struct vuc_poll_group *group;
	unsigned int nr_active;
	unsigned int nr_words; /* of bells that are in use */
	unsigned int taken;    /* requests, in the loop under way */
	unsigned int answered;
	unsigned int empty; /* loops, since there was something */
	enum vuc_idle idle;
	uint32_t idle_loops;
	unsigned int unwatched; /* loops, since the devices' connections were looked at */
	_Atomic bool times;     /* requests; set by any thread, seldom */
	struct poller_stats stats;
	struct poller_queue *active[MAX_QUEUES];
	struct poller_queue *queues[MAX_QUEUES];

	/* What other threads write. */
	_Alignas(64) _Atomic uint64_t bells[MAX_QUEUES / BELL_BITS];
	_Alignas(64) _Atomic uint32_t sleeps;
	_Atomic bool called; /* there is something in calls */
	_Atomic bool stop;
	int kick_fd;

	/* Guarded by lock. */
	pthread_mutex_t lock;
	pthread_cond_t returned;
	STAILQ_HEAD(, poller_call) calls;

	/* Set before the thread runs. */
	pthread_t thread;
	int cpu;
	int node; /* of the CPU, or -1 */
	char name[16];
	char placement[VUC_ERROR_MAX];
	vuc_log_fn log;
	void *log_arg;

	TAILQ_HEAD(, poller_device) devices; /* the poller's thread; see registry.h */
	_Atomic unsigned int nr_queues;
	unsigned int nr_devices;

	/* Guarded by the registry's lock. */
	TAILQ_ENTRY(vuc_poller) registered;
	uint32_t number;
	struct vuc_access_stats closed; /* counters of devices that are closed */
};

/* loop.c: what the thread runs, and what wakes it */
void poller_loop(struct vuc_poller *p);
void poller_kick(struct vuc_poller *p);

/* serve.c: what happens in each poll of the group; see source.h */
void poller_begin(void *arg);
void poller_end(void *arg);
void poller_activate(struct poller_queue *q);
void poller_deactivate(struct poller_queue *q);

/* Whether a queue that the poller does not look at has rung. */
bool poller_hears_bell(const struct vuc_poller *p);

/* device.c: NULL for a device that is not the poller's */
struct poller_device *poller_find_device(struct vuc_poller *p, const struct vuc_device *dev);

/* device.c: see which connections have ended */
void poller_watch_devices(struct vuc_poller *p);

/* poller.c */
void poller_log(const struct vuc_poller *p, enum vuc_log_level level, const char *fmt, ...)
	__attribute__((cold, format(printf, 3, 4)));

#endif /* VUC_POLLER_INTERNAL_H */
