/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_INTERNAL_H
#define VUC_POLLER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include <vuc/poller.h>
#include <vuc/shm.h>

#include "attend.h"
#include "back.h"
#include "closers.h"
#include "front.h"
#include "histogram.h"
#include "post.h"
#include "remote.h"
#include "source.h"
#include "stats.h"
#include "watch.h"

#define MAX_QUEUES  4096u
#define BELL_BITS   64u
#define BURST       32u   /* requests of a device in one loop, by all its queues */
#define QUIET_LOOKS 1024u /* at a queue without anything in it, until it is left to its bell */

_Static_assert(BURST < 1u << VUC_BURST_SIZES, "each burst is of a size that is counted");

struct poller_queue;
struct poller_device;
struct poller_capture;
struct poller_hold;
struct last_read;
struct queue_closing;

/* A request that a device works on. */
struct poller_request {
	struct poller_queue *queue;
	uint32_t count; /* bytes that are read */
	uint16_t id;
	uint16_t region;
	uint64_t begun; /* by the time stamp counter; 0: it is not timed */
	uint64_t offset;
	uint32_t position; /* in the queue, among all of its requests */
	uint64_t end_ms;   /* until when it is held, after it was parked once */
	TAILQ_ENTRY(poller_request) parked_link;
};

TAILQ_HEAD(poller_request_list, poller_request);

/* The poller's end of a queue. */
struct poller_queue {
	struct vuc_queue_back back;
	TAILQ_ENTRY(poller_queue) active_link;
	struct vuc_poller *poller;
	struct poller_device *device;
	struct access_counters *counters; /* the device's or the remote's */
	unsigned int index;               /* of its bell, and in queues of poller or remote */
	unsigned int quiet;               /* looks in vain */
	bool active;                      /* on the list of those that are looked at in each loop */
	bool broken;                      /* nothing more is taken */
	struct poller_request *requests;  /* by id */
	struct poller_request_list parked; /* reads that wait for the device's return, */
	bool shuffled;                     /* not in order yet */
	struct vuc_poller_remote *remote; /* whose it is; NULL: front and memory are the poller's */
	struct queue_closing *closing;    /* who waits until nothing is left and outstanding */
	bool draining;                    /* a reset waits until what was in it then is taken */
	uint32_t last; /* requests that may still belong to that; or, while it is being closed, that
			  are still taken */
	struct vuc_queue *front;
	void *memory[2];
	size_t size[2];
};

/* What was counted of a device, over all its connections, of which it has one or more; of one that
 * is not named, over the only one. The poller's thread counts. */
struct poller_account {
	TAILQ_ENTRY(poller_account) link;
	char name[VUC_DEVICE_NAME_SIZE]; /* unique in the process */
	struct access_counters counters;
	struct histogram latency;
	struct vuc_server_faults faults;
	struct vuc_closer *closer; /* of what the server sends, over all connections */
	_Atomic(struct poller_capture *) capture; /* of its messages; NULL: none */
	_Atomic uint64_t outages;
	_Atomic uint64_t outage; /* see poller_account_outage_ms() */
	_Atomic uint64_t outage_last_ms;
	uint64_t outages_before_ms; /* of those before the last one */
};

/* What the poller keeps of a device. */
struct poller_device {
	struct vuc_device *dev;
	struct vuc_poller *poller;
	TAILQ_ENTRY(poller_device) active_link;
	TAILQ_HEAD(poller_queue_list, poller_queue) active; /* the next one to be served first */
	TAILQ_ENTRY(poller_device) link;
	TAILQ_HEAD(, vuc_poller_remote) remotes; /* the poller's thread; see registry.h */
	_Atomic unsigned int nr_queues;
	unsigned int nr_draining;   /* queues */
	_Atomic bool away;          /* it has a hold, and is lost or has parked reads */
	struct last_read *last;     /* NULL: what is read is not kept */
	struct poller_hold *hold;   /* what is done in outages; NULL: accesses fail */
	uint32_t id;                /* in traces */
	_Atomic bool open;          /* it was connected to, and has not been closed */
	_Atomic bool connected;     /* as it was seen last */
	_Atomic uint64_t silent_ms; /* since when the server is silent; 0: it is not */
	poller_watch_fn watcher;    /* told when one of them changes; NULL: nobody */
	void *watcher_arg;
	bool traced;        /* messages go to rte_trace: that was so when it was opened */
	vuc_trace_fn trace; /* of the device's opener; NULL: none */
	void *trace_arg;
	struct poller_account *account;
	bool named; /* the account is not the device's own */
	_Atomic bool closing;
	vuc_done_fn opened, closed; /* whom to tell */
	void *opened_arg, *closed_arg;
};

/* Another process with queues to a device; see remote.h. */
struct vuc_poller_remote {
	TAILQ_ENTRY(vuc_poller_remote) link;
	struct vuc_poller *poller;
	struct poller_device *device;
	int kick_fd;
	_Atomic unsigned int broken; /* queues that were closed for what they carried */
	struct poller_queue *queues[VUC_SHM_MAX_QUEUES];
	struct access_counters counters;
};

struct remote_bell {
	_Atomic uint64_t *word;
	struct vuc_poller_remote *remote;
};

struct vuc_poller {
	/* What the poller's thread writes and reads all the time. */
	struct vuc_poll_group *group;
	TAILQ_HEAD(, poller_device) active; /* those with queues that are looked at */
	unsigned int nr_words;              /* of bells that are in use */
	unsigned int nr_remotes;
	unsigned int next_remote;                      /* that is listened to */
	struct remote_bell *remotes;                   /* nr_remotes of them, in no order */
	TAILQ_HEAD(, poller_attendant) hot_attendants; /* those that are looked at */
	TAILQ_HEAD(, poller_attendant) attendants;
	unsigned int nr_attendants, nr_hot;
	unsigned int cold_loops; /* since the last look for quiet ones */
	unsigned int taken;      /* requests, in the loop under way */
	unsigned int answered;
	unsigned int empty; /* loops, since there was something */
	enum vuc_idle idle;
	uint32_t idle_loops;
	_Atomic bool times; /* requests; set by any thread, seldom */
	struct poller_stats stats;
	struct poller_queue *queues[MAX_QUEUES];

	/* What other threads write. */
	_Alignas(64) _Atomic uint64_t bells[MAX_QUEUES / BELL_BITS];
	_Alignas(64) _Atomic bool posted; /* there is something in posts */
	_Atomic bool stop;

	/* What the thread sleeps on: wake.c. */
	_Atomic uint32_t *sleeps; /* in memory that remotes can read */
	int sleeps_fd;            /* of that memory; -ENOTSUP: it is not for others */
	int kick_fd;
	int wake_fd; /* epoll: of kick_fd, and of those of remotes */

	/* Guarded by lock. */
	pthread_mutex_t lock;
	pthread_cond_t returned;
	struct vuc_post_list posts;

	/* Set before the thread runs. */
	pthread_t thread;
	struct vuc_closers *closers; /* of what servers send */
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
	TAILQ_HEAD(, poller_account) accounts;
	struct vuc_access_stats closed; /* counters of accounts that are closed */
};

/* loop.c: what the thread runs */
void poller_loop(struct vuc_poller *p);

/* wake.c: opened in part, it is to be closed as well */
int poller_wake_open(struct vuc_poller *p, struct vuc_error *err);
void poller_wake_close(struct vuc_poller *p);
int poller_wake_add(struct vuc_poller *p, int kick_fd);
void poller_wake_remove(struct vuc_poller *p, int kick_fd);
void poller_kick(struct vuc_poller *p);

/* After a sleep, and before bells, posts and stop are looked at. Returns whether somebody kicked.
 */
bool poller_wake_take(struct vuc_poller *p);

/* attend.c: take the events of wake_fd, and look at the attendants concerned from now on. Returns
 * whether there were any. */
bool poller_take_events(struct vuc_poller *p);

/* attend.c: called in each loop, before and after devices are served */
void poller_look_at_attendants(struct vuc_poller *p);
void poller_give_results(struct vuc_poller *p);

/* attend.c: call due ticks, with the group's tick; and the longest time that the poller may
 * sleep */
void poller_tick_attendants(struct vuc_poller *p);
unsigned int poller_attend_sleep_ms(const struct vuc_poller *p, unsigned int max);

/* serve.c: what happens in each poll of the group; see source.h */
void poller_begin(void *arg);
void poller_end(void *arg);

/* bell.c: a queue is looked at in each loop, or it is not and has to ring */
void poller_activate(struct poller_queue *q);
void poller_deactivate(struct poller_queue *q);

/* Leave a quiet queue to its bell, unless something has come just now. */
void poller_leave_to_bell(struct poller_queue *q);

/* Look at the queues that have rung from now on. */
void poller_hear_bells(struct vuc_poller *p);

/* Whether a queue that the poller does not look at has rung. */
bool poller_hears_bell(const struct vuc_poller *p);

/* Let every queue ring. Returns false when one of them has something already. */
bool poller_set_bells(struct vuc_poller *p);
void poller_clear_bells(struct vuc_poller *p);

/* queue.c: the back of a queue in this memory; poller_free_queue() is due either way */
int poller_alloc_back(struct poller_queue *q, const struct vuc_queue_back_opts *memory);
void poller_free_queue(struct poller_queue *q);

/* Begin and end to serve a queue to a device. */
void poller_attach_queue(struct poller_queue *q, struct poller_device *d);
void poller_detach_queue(struct poller_queue *q);

/* Most bytes of a request of a queue to that device: one request is one message. */
uint32_t poller_max_chunk(const struct vuc_device *dev);

/* queue.c: queues that are being closed, on the poller's thread, beside all that it does for
 * others: what was submitted before is taken, and each is gone with its last answer. */
struct queue_closing {
	struct vuc_poller *poller;
	uint64_t deadline_ms; /* nothing more is taken then */
	unsigned int left;    /* of them that are not closed; guarded by the poller's lock */
};
void poller_begin_closing(struct poller_queue *q, struct queue_closing *c);

/* queue.c: look whether a queue that is being closed has nothing left; it is gone then */
void poller_queue_drained(struct poller_queue *q);

/* queue.c: the drain of a struct vuc_poll_source */
bool poller_drain(void *arg, struct vuc_device *dev);

/* queue.c: that many were taken from a queue that is being drained */
void poller_queue_taken(struct poller_queue *q, unsigned int n);

/* queue.c: on another thread: wait until all of them are gone */
void poller_await_closing(struct queue_closing *c);

/* device.c: notice connections that have ended */
void poller_watch_devices(void *arg);

/* account.c: an outage of the account begins, if no device of it is connected: returns whether it
 * does; it ends, if there was one */
bool poller_account_begin_outage(const struct vuc_poller *p, struct poller_account *a);
void poller_account_end_outage(const struct vuc_poller *p, struct poller_account *a);

/* account.c: the time of all outages, including one that lasts. Any thread. */
uint64_t poller_account_outage_ms(struct poller_account *a);

/* account.c: a device that was away is connected again */
void poller_device_returned(struct poller_device *d);

/* capture.c: a device that is about to be opened is traced by whoever wants that. One whose
 * messages nobody wants does not spend a look at each of them. */
void poller_trace_new_device(struct poller_device *d, struct vuc_device_opts *opts);

/* capture.c: nothing is captured of an account any more */
void poller_capture_close_account(struct poller_account *a);

/* hold.c: the done of an access that is owed an answer, with its struct poller_request */
void poller_request_answered(void *arg, const struct vuc_session_reply *reply);

/*
 * hold.c: accesses during outages; see hold.h. A device with a hold that is lost is away from the
 * first one on that notes it, until it has returned and its parked reads were sent.
 */
static inline bool
poller_is_away(const struct poller_device *d)
{
	return atomic_load_explicit(&d->away, memory_order_relaxed);
}

/* Whether what a device does not take now is kept, or answered for it. */
bool poller_hold_keeps(struct poller_device *d);

/* Take a read, or return the status of a write, in place of the device. */
void poller_hold_read(struct poller_request *r);
int poller_hold_write(struct poller_queue *q, const struct vuc_queue_taken *taken);

/* In each poll, for a device that is away. Returns whether new requests may be taken. */
bool poller_hold_serve(struct poller_device *d);

/* See whether a device that is away has returned. */
void poller_hold_look(struct poller_device *d);

/* How long the poller may sleep at most, before it has to look at what is parked. */
unsigned int poller_hold_sleep_ms(const struct vuc_poller *p, unsigned int max);

/* End what is parked of a queue. */
void poller_hold_end_queue(struct poller_queue *q, int status);
void poller_hold_free(struct poller_device *d);

/* post.c */
bool poller_is_own_thread(const struct vuc_poller *p);
void poller_log(const struct vuc_poller *p, enum vuc_log_level level, const char *fmt, ...)
	__attribute__((cold, format(printf, 3, 4)));

#endif /* VUC_POLLER_INTERNAL_H */
