/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DRIVERS_URING_H
#define VUC_DRIVERS_URING_H

/*
 * Transport by io_uring, one ring per polling thread.
 *
 * Two ways to receive, chosen per connection:
 *
 * - *eager*: each poll asks the socket by a recv(2) that does not wait. That costs half of what the
 *   same question costs as an entry of the ring, how often one can ask is how soon one knows, and
 *   the peer pays for no notification with what it sends.
 * - *armed*: one multishot RECVMSG with a ring of buffers waits in the kernel and costs nothing
 *   until something comes, which the kernel then says in a flag of the shared ring.
 *
 * Never both: bytes that a multishot has taken come before those that are still in the socket, so
 * its last completion is awaited before the socket is asked. One of the two is always on, whether
 * an answer is owed or not: the server's commands come when it likes.
 *
 * A connection is eager when it is new and when it sends or receives, up to EAGER_MAX of them, and
 * armed when nothing has come for a while or the thread is about to sleep.
 *
 * And two ways to send: by a system call at once, which is what a lone message costs least by, and
 * by the ring, where all that several connections have to send is one system call.
 */

#include <sys/queue.h>

#include <liburing.h>

#include "socket_io.h"

#define SQ_ENTRIES   256u
#define CQ_ENTRIES   4096u
#define MAX_CONNS    1024u
#define EAGER_MAX    64u          /* connections; what is busy beside them is armed */
#define QUIET_POLLS  1024u        /* that find nothing, until a connection is armed */
#define RX_SIZE      (64u * 1024) /* of one eager receive */
#define NR_BUFFERS   128u         /* for multishot receives, a power of two */
#define BUFFER_SIZE  8192u
#define BUFFER_GROUP 0

/* What a completion belongs to, in the low bits of its user_data. */
enum uring_op {
	OP_IGNORE,
	OP_SEND,
	OP_MULTISHOT,
	OP_ROOM, /* the socket has room to send again */
	OP_WAKE, /* no connection's: the descriptor that ends a wait */
};
#define OP_MASK 7u

struct uring_conn {
	struct vuc_conn base;
	struct uring_group *group;
	LIST_ENTRY(uring_conn) link;
	int fd;
	unsigned int slot; /* in the ring's file table */
	unsigned int inflight;
	unsigned int quiet;
	bool active;      /* on the list of those that receive eagerly */
	bool used;        /* has sent or received since the last uring_settle() */
	bool armed;       /* a multishot receive is in the kernel */
	bool disarming;   /* and is being cancelled */
	bool awaits_room; /* an OP_ROOM is in the kernel */
	bool lost;        /* nothing follows */
	bool closed;      /* by its owner; freed with its last completion */
	struct vuc_segment segment;
	struct msghdr multishot_msg;
};

struct uring_group {
	struct vuc_transport_group base;
	struct io_uring ring;
	struct io_uring_buf_ring *buf_ring;
	uint8_t *buffers;
	LIST_HEAD(, uring_conn) conns; /* closed ones with completions to come included */
	unsigned int nr_active;
	unsigned int nr_free_slots;
	int wake_fd;         /* of the last wait; -1: none */
	uint64_t wake_data;  /* user_data of the OP_WAKE in the kernel; 0: there is none */
	uint64_t wake_count; /* of all OP_WAKE so far: each has a user_data of its own */
	uint16_t free_slots[MAX_CONNS];
	struct uring_conn *active[MAX_CONNS]; /* over EAGER_MAX only while none can be armed */
	uint8_t rx[RX_SIZE];
};

/* Returns a negative errno when the kernel took nothing. */
static inline int
uring_submit(struct uring_group *g)
{
	g->base.syscalls++;
	return io_uring_submit_and_get_events(&g->ring);
}

/* Whether the kernel has something to take or to give. */
static inline bool
uring_has_work(const struct uring_group *g)
{
	return io_uring_sq_ready(&g->ring) > 0 ||
		(IO_URING_READ_ONCE(*g->ring.sq.kflags) &
			(IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

/* A submission entry; submits what is there when the queue is full. NULL when it still is: the
 * kernel takes nothing now. */
static inline struct io_uring_sqe *
uring_get_sqe(struct uring_group *g)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&g->ring);

	if (sqe != NULL)
		return sqe;
	uring_submit(g);
	return io_uring_get_sqe(&g->ring);
}

static inline void
uring_set_data(struct io_uring_sqe *sqe, struct uring_conn *c, enum uring_op op)
{
	c->inflight++;
	io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)c | op);
	sqe->flags |= IOSQE_FIXED_FILE;
}

/* connection.c */
int uring_open(struct vuc_transport_group *group, const struct vuc_transport_address *address,
	const struct vuc_conn_events *events, void *owner, struct vuc_conn **conn,
	struct vuc_error *err);
void uring_close(struct vuc_conn *conn);
int uring_send(struct vuc_conn *conn, const struct vuc_segment *segment);
int64_t uring_send_parts(struct vuc_conn *conn, const struct iovec *parts, unsigned int nr_parts);
void uring_sent(struct uring_conn *c, int res);
void uring_free_conn(struct uring_conn *c);
void uring_free_if_done(struct uring_conn *c);

/* receive.c */
void uring_start_eager(struct uring_conn *c);
void uring_deactivate(struct uring_conn *c);
void uring_lose(struct uring_conn *c, int error);

/* Receive eagerly: something was sent or has come. */
static inline void
uring_activate(struct uring_conn *c)
{
	c->quiet = 0;
	c->used = true;
	if (!c->active)
		uring_start_eager(c);
}

unsigned int uring_receive(struct uring_group *g);
ssize_t uring_look(struct vuc_conn *conn, const uint8_t **bytes);
void uring_settle(struct vuc_transport_group *group);
void uring_received_multishot(struct uring_conn *c, const struct io_uring_cqe *cqe);
bool uring_arm_all(struct uring_group *g);
int uring_setup_buffers(struct uring_group *g);
void uring_free_buffers(struct uring_group *g);

/* wait.c */
int uring_wait(struct vuc_transport_group *group, int wake_fd, unsigned int timeout_ms);
void uring_woken(struct uring_group *g, const struct io_uring_cqe *cqe);

#endif /* VUC_DRIVERS_URING_H */
