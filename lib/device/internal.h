/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_INTERNAL_H
#define VUC_DEVICE_INTERNAL_H

#include <sys/queue.h>

#include <linux/vfio.h>

#include <vuc/device.h>
#include <vuc/export.h>
#include <vuc/region_map.h>

#include "closers.h"
#include "connect.h"
#include "dma_table.h"
#include "operation.h"
#include "session.h"
#include "source.h"
#include "transport.h"

#define VUC_PLACE_SIZE 112 /* a path of at most 100 bytes, or a few words */

TAILQ_HEAD(vuc_device_list, vuc_device);

#define TICK_INTERVAL 16u /* polls between looks at the clock */

struct vuc_poll_group {
	struct vuc_transport_group *transport;
	vuc_log_fn log;
	void *log_arg;
	bool polling;
	unsigned int polls;
	unsigned int completed; /* requests, in the poll under way */
	uint64_t ticked_ms;
	bool hurried; /* a device is, so that ticks are frequent */
	bool changed; /* a tick has passed or a connection has ended: notify the source */
	struct vuc_poll_source source; /* begin and end are NULL without one */
	struct vuc_closers *closers;   /* or NULL */
	struct vuc_device_list devices;
	struct vuc_device_list dirty;  /* those that may have something to send */
	struct vuc_device_list closed; /* to be freed at the end of the poll */
	bool doomed;                   /* and the group with its last device */
};

/* What a server does wrong and can be lived with, beyond what the session sees. */
enum device_fault {
	DEVICE_FAULT_INFO = VUC_FAULT_DEVICE, /* in a reply about the device or a part of it */
	DEVICE_FAULT_REGION_REFUSED,
	DEVICE_FAULT_IRQ_REFUSED,
	DEVICE_FAULT_IRQ_FLAGS, /* an index without a flag that an operation on it needs */
	DEVICE_FAULT_NO_FDS,    /* no descriptors are taken, so memory is accessed by message */
	DEVICE_FAULT_CONFIG,    /* a read of config space is not answered */
	DEVICE_FAULT_RESET,     /* the flag for a reset, and none */
	DEVICE_FAULT_NO_PEER,   /* nobody says which process it is */
};

/* A region as it is kept: what the public view points to is allocated here. */
struct region {
	struct vuc_region info;
	struct vuc_region_area *areas;
	int *fds;
	struct vuc_region_mapping *mappings; /* by offset; NULL: the region is not mapped */
	uint32_t nr_mappings;
};

/* Interrupts that were set up together, start … end - 1, where VFIO_IRQ_INFO_NORESIZE binds them;
 * none when both are the same. */
struct irq_set {
	uint32_t start;
	uint32_t end;
	bool changed;  /* the record has something that a restore has not replayed */
	bool replayed; /* the restore has sent something */
};

/* The process that the kernel names as the other end of the socket, when it was connected. */
struct device_peer {
	bool known; /* false: there is no socket */
	pid_t pid;  /* 0: the kernel names none, as for another PID namespace */
	uid_t uid;
	int pidfd; /* -1: none */
};

/* Bytes of a BAR whose accesses are recorded; none if both are equal. */
struct recorded_range {
	uint32_t region;
	uint64_t begin;
	uint64_t end;
};

/* A session and the connection that carries it. */
struct device_link {
	struct vuc_conn *conn;       /* NULL: it has ended */
	struct vuc_session *session; /* NULL: there is no such link */
	struct vuc_device *dev;
	int fd;           /* the socket, while there is conn; -1: it has none */
	bool sending;     /* the transport has a segment */
	bool refuses_fds; /* the kernel rejects descriptors that the server sends (SO_PASSRIGHTS) */
	bool counts_fds;  /* the kernel cannot: the first messages are checked for descriptors */
};

/* What every access looks at comes first, so that it lies together. */
struct vuc_device {
	_Alignas(64) TAILQ_ENTRY(vuc_device) dirty_link;
	struct vuc_poll_group *group;
	struct device_link main;
	struct vuc_session *session; /* that of main */
	struct vuc_request *first;   /* requests not yet given to the session as a whole */
	struct vuc_request **last;
	struct region *regions;
	struct vuc_device_info info;
	uint32_t memory_bars; /* bit n: BAR n is memory, as its register says */
	struct {
		uint32_t reads; /* bit n: some reads of region n are recorded; 0: there is
				   none */
		uint32_t writes;
	} recorded;
	bool dirty;
	bool operating; /* an operation has more to send, or there is a step */
	bool draining;  /* the group's source has more that goes before a barrier */
	bool closed;    /* nobody has it any more: nobody is called back */
	void (*step)(struct vuc_device *dev); /* taken with each flush while it is opened or closed,
						 or NULL; of one in group->closed: frees it */
	uint64_t (*step_due)(const struct vuc_device *dev); /* when, if nothing comes; 0: now */
	bool twin_ended;                                    /* and the main link has not, so far */
	enum vuc_posted_writes posted_writes;
	bool bypassed;                   /* parts of regions are accessed without the socket */
	const _Atomic bool *dma_revoked; /* or NULL; see vuc_dma_set_revoked() */
	bool own_group;
	unsigned int holds;               /* see device_hold() */
	struct recorded_range table;      /* the MSI-X table, see recorded */
	struct recorded_range registers;  /* those of an NVMe controller, */
	struct recorded_range doorbell;   /* that of its admin submission queue, */
	_Atomic uint32_t nvme_enables;    /* and how often it was enabled */
	struct operation_list operations; /* that have not ended, in order */
	struct device_link twin;          /* for the server's commands, when negotiated */
	TAILQ_ENTRY(vuc_device) link;
	struct vuc_irq *irqs;
	struct irq_set *irq_sets; /* one per IRQ index */
	struct vuc_device_version version;
	char *version_json; /* what its json points to */
	uint32_t timeout_ms;
	uint32_t long_timeout_ms;
	uint32_t max_data_xfer_size; /* as announced */
	enum vuc_dma_policy dma_policy;
	bool io_fds;
	unsigned int expects_fds; /* how many wait for replies with descriptors */
	struct vuc_server_faults *faults;
	struct vuc_server_faults own_faults; /* where faults points unless somebody keeps them */
	struct vuc_closer *closer;  /* of all that comes from the server; NULL: closed here */
	char place[VUC_PLACE_SIZE]; /* where the server is, for messages */
	vuc_trace_fn trace;
	void *trace_arg;
	uint32_t connection; /* its number, in traces */
	struct dma_table dma;
	bool unmap_all;                 /* was called since the last commit */
	bool logging;                   /* of pages that the server writes */
	struct device_opening *opening; /* or NULL */
	struct device_record *record;   /* or NULL */
	struct device_restore *restore; /* or NULL */
	enum restore_stage restoring;
	bool replaying; /* the restore starts an operation */
	struct device_peer peer;
	struct {
		uint64_t deadline_ms;
		vuc_done_fn done; /* NULL: nobody is told */
		void *arg;
	} closing;
	struct {
		uint32_t patience_ms; /* 0: none of it counts */
		uint32_t limit_ms;
		uint32_t moves;    /* of the sessions, as they were seen last, */
		uint64_t moved_ms; /* and when they have moved; 0: nothing is awaited */
		uint64_t end_ms;   /* when it is over in any case; likewise */
		const char *why;
	} hurry;
	struct vuc_error reason; /* of the last call, or request, that failed: what public functions
				    pass as err, and nothing else writes */
};

/* poll_group.c */
/* As vuc_poll_group_poll(), for one who has nothing else to do: with so many looks at the sockets
 * while nothing comes. */
int group_poll(struct vuc_poll_group *group, unsigned int looks);
/* Around whatever may call back outside of polls: callbacks are the same there. The end is that of
 * a poll, for what was closed meanwhile. */
bool group_begin_callbacks(struct vuc_poll_group *group);
void group_end_callbacks(struct vuc_poll_group *group, bool outermost);
void group_add(struct vuc_poll_group *group, struct vuc_device *dev);
void group_remove(struct vuc_device *dev);

/* Take a device that is closed out of the group; its step frees it at the end of the poll. */
void group_retire(struct vuc_device *dev);

/*
 * For functions that look at a device after they have waited: one that a callback has closed
 * meanwhile is freed when they are left. Until then it is one that is not connected.
 *	struct vuc_device *held DEVICE_HELD = device_hold(dev);
 */
#define DEVICE_HELD __attribute__((cleanup(device_let_go), unused))
struct vuc_device *device_hold(struct vuc_device *dev);
void device_let_go(struct vuc_device **held);

static inline void
group_log(const struct vuc_poll_group *group, enum vuc_log_level level, const char *line)
{
	if (group->log != NULL)
		group->log(group->log_arg, level, line);
}

/* It may have something to send: the next poll looks. */
static inline void
device_mark_dirty(struct vuc_device *dev)
{
	if (dev->dirty)
		return;
	dev->dirty = true;
	TAILQ_INSERT_TAIL(&dev->group->dirty, dev, dirty_link);
}

static inline bool
recorded_range_has(const struct recorded_range *r, uint32_t region, uint64_t offset, size_t count)
{
	return region == r->region && offset < r->end && offset + count > r->begin;
}

/* Whether an access is for the record. Others of a BAR that has the MSI-X table, too, take the
 * short way. */
static inline bool
device_records(const struct vuc_device *dev, enum vuc_op op, uint32_t region, uint64_t offset,
	size_t count)
{
	uint32_t some = op == VUC_OP_READ ? dev->recorded.reads : dev->recorded.writes;

	if ((some >> (region & 31) & 1) == 0)
		return false;
	return region == VFIO_PCI_CONFIG_REGION_INDEX ||
		recorded_range_has(&dev->table, region, offset, count) ||
		recorded_range_has(&dev->registers, region, offset, count) ||
		recorded_range_has(&dev->doorbell, region, offset, count);
}

/* device.c: put a request behind those that wait; or before them */
void device_enqueue(struct vuc_device *dev, struct vuc_request *req);
void device_enqueue_first(struct vuc_device *dev, struct vuc_request *req);

/* device.c: bytes of config space that can be read, of those that hold capabilities */
size_t device_config_size(const struct vuc_device *dev);

/* device.c: whether it is there to be used; says why not */
int device_check_connected(const struct vuc_device *dev, struct vuc_error *err);

/* device.c: a vuc_session_warn_fn of a device */
void device_log_warning(void *arg, const char *line);

/* device.c: warn of a fault of the server, once for each kind */
void device_warn(struct vuc_device *dev, enum device_fault fault, const char *fmt, ...)
	__attribute__((cold, format(printf, 3, 4)));

/* fence.c: who is at the other end of a connected socket; and forget it */
void device_peer_take(struct device_peer *peer, int sock);
void device_peer_forget(struct device_peer *peer);

/* link.c: between session and connection */
void device_link_trace(struct device_link *link); /* or not, as its device is */
int device_link_open(struct device_link *link, int fd, const struct vuc_loopback_server *loopback,
	struct vuc_error *err);
void device_link_free(struct device_link *link);
void device_link_tick(struct device_link *link, uint64_t now_ms);
/* When the next tick has something to do; as vuc_session_due(). */
uint64_t device_link_due(const struct device_link *link);
/* Send what the session has to send. Returns whether any went out, so that there is more room than
 * before. */
bool device_link_send(struct device_link *link);
/* One look at the socket, of a transport that has it. Returns false when it takes a poll. */
bool device_link_look(struct device_link *link);
/* Somebody waits for replies that may bring descriptors, as whoever opens it does, or not any more:
 * then the kernel is to refuse them. */
void device_expect_fds(struct vuc_device *dev);
void device_expect_fds_no_more(struct vuc_device *dev);
/* Some time has passed: what was to be refused, and could not at once, is. */
void device_settle_fds(struct vuc_device *dev);
void device_flush(struct vuc_device *dev);
/* Both devices, of one poll group, get the other one's sessions and connections, with the closers
 * of what these have sent, and their peers. Nothing is outstanding. */
void device_swap_connections(struct vuc_device *a, struct vuc_device *b);
void device_disconnect(struct vuc_device *dev);
/* The connection has ended, and what waited for it: what the server had is the record's alone. */
void device_lose(struct vuc_device *dev);
/* A message of a session from where its parts lie, if nothing has to go out before it. Returns how
 * many bytes are out, and nothing is kept of the others. */
size_t device_send_parts(struct vuc_device *dev, const struct vuc_session *s,
	const struct iovec *parts, unsigned int nr_parts);

/* dma_access.c: a command of the server */
void device_command(void *arg, struct vuc_session *s, const struct vuc_session_command *command);

/* io.c: give waiting requests to the session, and let operations run; fail all that wait when it
 * has ended */
void device_pump(struct vuc_device *dev);

/* reset.c: a reset that was submitted as a request */
int device_submit_reset(struct vuc_device *dev, struct vuc_request *req);

/* io.c: complete those that wait, after their messages */
void device_cancel_requests(struct vuc_device *dev, int error, const char *reason);

/* opening.c: does nothing for a device that is open */
void device_cancel_opening(struct vuc_device *dev);

/* opening.c: free a device that no group has, whose requests are all complete */
void device_destroy(struct vuc_device *dev);

/* info.c: forget what was learned of the device */
void device_forget(struct vuc_device *dev);

/* irq.c: send what the record has of some interrupts; kind as in struct record_irq */
struct vuc_irq_range;
int device_replay_irqs_start(struct vuc_device *dev, const struct vuc_irq_range *range,
	uint32_t kind, const int *fds, vuc_done_fn done, void *arg);

/* restore.c: end the one under way, if there is one */
void device_cancel_restore(struct vuc_device *dev, const char *why);

/* hurry.c: end the connection when its time is over; and when that is, unless it moves before */
void device_tick_hurry(struct vuc_device *dev, uint64_t now_ms);
uint64_t device_hurry_due(const struct vuc_device *dev);

/* region_map.c: does nothing for a region that is not mapped */
void device_unmap_region(struct vuc_device *dev, struct region *region);

/* migration_data.c: most bytes of migration data in one message from and to the server */
uint32_t migration_read_max(const struct vuc_device *dev);
uint32_t migration_write_max(const struct vuc_device *dev);

/*
 * call.c: for synchronous functions, which start an operation with operation_wake() and a struct
 * operation_waiter, and then poll until it has ended. An error becomes the device's reason.
 */
struct operation_waiter {
	struct vuc_device *dev;
	int status;
	bool done;
};

/* Returns 0, or -EDEADLK inside a poll. */
int operation_may_wait(struct vuc_device *dev);
void operation_wake(void *arg, int status, const struct vuc_error *err);

/* Takes what starting it has returned, and returns what the operation has ended with. */
int operation_wait(struct operation_waiter *w, int started);

/* Outside of any poll: poll until it is done, and let others have the CPU after many polls without
 * a completion. */
void device_poll_until(struct vuc_device *dev, const bool *done);

#endif /* VUC_DEVICE_INTERNAL_H */
