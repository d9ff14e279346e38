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

#include "arrival.h"
#include "bar0.h"
#include "closers.h"
#include "event.h"
#include "hold.h"
#include "listener.h"
#include "log.h"
#include "mailbox.h"
#include "peer.h"

#define THREAD_STACK   (256u * 1024u)
#define LEAVE_GRACE_MS 100u  /* for a VMM that is told to detach */
#define CUT_MS         1000u /* for a server, when its device's VMM has to leave */
#define STUCK_MS       30u   /* likewise for one that does nothing, when the daemon ends */

struct control_device;
struct control_vmm;

/* The socket of an exported device: a vfio-user server for stock VMMs. Without one, all is zero
 * except for an fd of -1. */
struct control_export {
	bool on; /* there is one, or was until the removal of the device began */
	struct vuc_listener listener;
};

/* Who may have a device. */
struct control_permission {
	uid_t *users;
	unsigned int nr_users;
	gid_t *groups;
	unsigned int nr_groups;
};

struct vuc_control {
	struct vuc_control_opts opts; /* without path and log */
	struct control_log log;
	struct control_signaller signaller; /* guarded by lock */
	pthread_t thread;                   /* the control thread */
	struct vuc_mailbox mailbox;         /* of the control thread */

	/* The control thread's own. */
	struct vuc_listener listener;
	uint64_t accept_ms;          /* connections are accepted from then on */
	struct vuc_closers *closers; /* of connections that are not taken, and heir of the VMMs' */
	uint64_t closers_ms;         /* when a thread for them is tried again; 0: none is missing */
	struct vuc_closer *closer;
	uint64_t stopping_ms; /* when what is waited for at the end is logged next */
	int inotify_fd;       /* of folders, for keep_bar0 and for arrivals; or -errno */
	struct control_folders *folders;
	bool watch_logged; /* that folders cannot be watched */
	int exports_fd;    /* epoll for the sockets of exported devices; any thread adds them */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool listens; /* the listener is looked at */
	bool stop;
	TAILQ_HEAD(control_devices, control_device) devices;
	TAILQ_HEAD(control_vmms, control_vmm) vmms;
	struct control_vmms finished; /* their threads have nothing left to do */
	unsigned int nr_vmms;
	TAILQ_HEAD(, vuc_control_capture) captures; /* newest first */
};

/* What a connection does that is to take the place of another one; the control thread's. */
struct control_restore {
	struct control_link *old; /* NULL: it is one of its own */
	bool started;             /* it is open */
	bool fenced;              /* it waits for the end of the old server's process */
	bool logged;              /* that was said */
	bool ended;               /* and its end is to be told */
	bool looking;             /* look is on its way to the poller, or back */
	uint64_t due_ms;          /* when it is tried, or looked at, again */
	struct vuc_post look;
	char step[64];     /* what was seen by it */
	uint64_t remapped; /* bits of regions that have another file than before */
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

	/* Of the operation in progress: opening or closing it. */
	vuc_done_fn done;
	int status;
	struct vuc_error err;
	struct vuc_post post;
	struct vuc_post cancel;
	bool cancelled; /* the control thread's: cancel is, or was, on its way to the poller */
	bool flushed;   /* likewise: it has been there */
	bool refused;   /* the poller's thread's: it is being closed, for it cannot be opened */
	bool opened;    /* likewise: it can be */
	bool drain;     /* closing it sends what was posted first */
	bool closed;    /* guarded by the control's lock: no hurry is posted any more */
	bool closing;   /* the poller's thread's: it is being closed */
	struct vuc_post hurry;
	_Atomic bool hurried;         /* hurry is on its way to the poller */
	_Atomic uint32_t patience_ms; /* that it takes there */

	_Atomic uint64_t
		kept_files;     /* bits of regions that its VMM has mapped and cannot map again */
	vuc_done_fn learn_done; /* the poller's thread's: of a record that is begun */
	void *learn_arg;
	_Atomic bool learned;  /* its record has config space; set on the poller's thread */
	_Atomic bool recorded; /* what the VMM sets is kept; cleared before it is closed */
	bool visited;          /* the control thread's: others posted something to it */
	struct control_restore restore;
};

/* What is being done to restore a device. */
enum control_stage {
	CONTROL_STAGE_NONE,
	CONTROL_STAGE_FENCED,
	CONTROL_STAGE_RESTORING,
};

/* Somebody waits for something of a device. */
enum control_request_kind {
	CONTROL_TRIED,    /* the first attempt to connect has ended */
	CONTROL_DETACHED, /* its VMM has left */
	CONTROL_REMOVED,  /* it is closed */
};

struct control_request {
	STAILQ_ENTRY(control_request) link;
	enum control_request_kind kind;
	uint64_t attaches; /* of the device, when its VMM was told to leave */
	vuc_done_fn done;
	void *arg;
};

STAILQ_HEAD(control_requests, control_request);

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
	enum vuc_control_map map;
	uint32_t retry_min_ms;
	uint32_t retry_max_ms;
	enum vuc_control_outage outage;
	struct poller_hold_opts hold; /* of outages that its VMM survives */
	bool hold_is_auto;            /* it depends on the kind of device */
	bool fence;
	enum vuc_control_recover recover;
	uint32_t release_ms;
	uint32_t reply_ms;  /* of a stock VMM */
	_Atomic bool poked; /* the control thread is going to look at it */
	struct vuc_post poke;
	_Atomic bool stop;           /* it is not to be connected to any more */
	const char *_Atomic awaited; /* while it is connected to: what has no answer yet; or NULL */

	/* The control thread's own. */
	struct control_link *coming; /* is being opened */
	struct control_link *going;  /* is being closed */
	uint64_t due_ms;             /* when it is looked at again; 0: when it is poked */
	bool paced;                  /* the next attempt has its time, */
	uint64_t next_ms;            /* which is this one */
	uint64_t connected_ms;       /* when it was, with the last attempt; 0: not */
	uint32_t delay;              /* before the next attempt */
	struct control_arrival arrival;
	struct control_bar0 bar0;
	struct control_export exported;

	/* Guarded by the control's lock. */
	struct control_link *link; /* NULL while the server is away */
	/* The connection to the last server of an exported device that is away and has no VMM: a
	 * VMM that starts meanwhile gets it. */
	struct control_link *learned;
	struct control_vmm *vmm; /* that has it, or whose traces are being removed */
	bool cleaning;           /* the latter, or renewing */
	bool renewing;           /* the connection was closed and is opened again */
	bool removing;           /* it can no longer be found by its name */
	uint64_t release_end_ms; /* its VMM has been asked to release it by then; 0: it has not */
	bool release_removes;    /* and it is removed afterwards */
	bool tried;              /* an attempt to connect has been made */
	struct control_requests requests;
	uint64_t generation;
	uint64_t attaches;
	unsigned int reset_ends; /* connections in a row that ended on DEVICE_RESET, */
	bool reset_unanswered;   /* the last of them since that was not answered */
	struct vuc_error reason; /* why it is away */
	enum control_stage stage;
	bool differs;      /* it has come back as another one: it stays away while it has the VMM */
	uint64_t dropped;  /* writes, when its VMM attached or was restored */
	uint64_t since_ms; /* when link or vmm came or went */
	uint64_t silent_ms; /* of link, as it was told and logged; 0: it answers */
	struct control_log_limit silent_lines;
};

/* loop.c: what the control thread runs */
void *control_run(void *arg);

/* accept.c: accept connections, also on the sockets of exported devices; free those of VMMs that
 * have finished */
void control_accept(struct vuc_control *c);
void control_accept_exported(struct vuc_control *c);
void control_reap(struct vuc_control *c);

/* export.c: listen at the path that the options name. Any thread, before the device is in the list.
 * Returns 0 or a negative errno. */
int control_export_open(struct control_device *d, const struct vuc_control_device_opts *opts,
	struct vuc_error *err);

/* export.c: with the lock held: let the control thread accept connections. Returns 0 or a negative
 * errno. */
int control_export_watch(struct control_device *d);

/* export.c: stop listening. On the control thread, or while the device is not in the list. */
void control_export_close(struct control_device *d);

/* devices.c: by name, with the lock held; NULL for none, or one that is being removed */
struct control_device *control_find(struct vuc_control *c, const char *name);

/* devices.c: copy what the options say: 0 or -ENOMEM */
int control_permission_init(
	struct control_permission *p, const struct vuc_control_device_opts *opts);
bool control_may(const struct control_permission *p, const struct vuc_peer *peer);

/* devices.c: writes that were dropped in its outages so far */
uint64_t control_count_dropped(const struct control_device *d);

/* devices.c: have the control thread look at a device. Any thread, while the device is sure to be
 * there: the lock is held, or it has a connection. */
void control_poke(struct control_device *d);

/* devices.c: with the lock held: have the control thread answer a request */
void control_insert_request(struct control_device *d, struct control_request *r);

/* devices.c: with the lock held: whether a VMM has it, and is not leaving it */
bool control_has_vmm(const struct control_device *d);

/* devices.c: with the lock held: let that VMM leave */
void control_take_away(struct control_device *d);

/* release.c: with the lock held: not to be connected to any more; and its VMM, if it has one, has
 * to leave */
void control_stop_device(struct control_device *d);

/* release.c: on the control thread: take the device away from a VMM that has not released it in
 * time
 */
void control_look_at_release(struct control_device *d);

/* release.c: with the lock held: its VMM leaves */
void control_end_release(struct control_device *d);

/* release.c: with the lock held: ask the VMM, if there is one and it is to be asked. Returns
 * whether the rest has to wait for it. */
bool control_start_release(struct control_device *d, bool removes);

/* release.c: with the lock held: take the device away from its VMM */
void control_detach(struct control_device *d);

/* release.c: with the lock held: why the caller may have to wait */
void control_log_leaving(struct control_device *d);

/* release.c: with the lock held: the device is being removed, or the daemon ends: what its VMM
 * waits for at the server ends soon */
void control_hurry_removal(struct control_device *d);

/* devices.c: on the control thread: forget a device that nobody has and that has no connection */
void control_drop_device(struct control_device *d);

/* devices.c: free one that is not in the list */
void control_device_free(struct control_device *d);

/* devices.c: on the control thread: answer those who wait for what has happened to the device */
void control_answer_fulfilled(struct control_device *d);

/* server.c: on the control thread: do what is due with a device. It may be freed. */
void control_look_at(struct control_device *d);

/* server.c: what control_poke() posts to the control thread, with the device as arg */
void control_look_at_poked(void *arg);

/*
 * link.c: on the control thread: connect, and reset the device, unless that is left to the restore
 * of another connection: -EPIPE for a
 * server that has ended the connection on that, -ETIME for one that has not answered it. done is
 * called on the control thread with the link as arg, which is freed behind it when that has failed.
 * Returns 0 or -ENOMEM.
 */
int control_link_open_start(struct control_device *d, struct control_link *old,
	struct control_link **link, vuc_done_fn done);

/* link.c: on the poller's thread: it is connected, and is watched from now on */
void control_link_watch(struct control_link *link);

/*
 * link.c: on the poller's thread: begin the record of a device that no VMM has, so that all that a
 * VMM does is recorded, and one can start while the server is away. Returns 0: done is going to be
 * called with arg: with 0, whether config space could be read or not; -ETIMEDOUT when the server
 * does not answer; -ECANCELED when the device is being closed. Otherwise there is nothing to wait
 * for.
 */
int control_link_learn(struct control_link *link, vuc_done_fn done, void *arg);

/* link.c: on the poller's thread: note whether the record of its device has config space */
void control_link_note_learned(struct control_link *link);

/* link.c: on the control thread: end what control_link_open_start() has started, at once */
void control_link_cancel(struct control_link *link);

/* link.c: with the lock held: the VMM of a connection has to leave, or its device is removed. What
 * is waited for at the server, also while the connection is being closed, ends when the server does
 * nothing for so long, and after CUT_MS. */
void control_link_hurry(struct control_link *link, uint32_t patience_ms);

/* link.c: close it; drain: what was posted is sent first, for which the server has its timeout.
 * done is called on the control thread with the link as arg, which is freed behind it. Any thread.
 */
void control_link_close_start(struct control_link *link, bool drain, vuc_done_fn done);

#endif /* VUC_LIB_CONTROL_H */
