/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "closers.h"
#include "error.h"
#include "uring.h"

int
uring_open(struct vuc_transport_group *group, const struct vuc_transport_address *address,
	const struct vuc_conn_events *events, void *owner, struct vuc_conn **conn,
	struct vuc_error *err)
{
	struct uring_group *g = (struct uring_group *)group;
	struct uring_conn *c;
	int rc;

	if (g->nr_free_slots == 0)
		return vuc_error_set(
			err, -ENOSPC, "a poll group holds at most %u connections", MAX_CONNS);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a connection");
	c->base.ops = group->ops;
	c->base.events = events;
	c->base.owner = owner;
	c->group = g;
	c->fd = address->fd;
	c->slot = g->free_slots[g->nr_free_slots - 1];
	rc = io_uring_register_files_update(&g->ring, c->slot, &c->fd, 1);
	if (rc < 0) {
		free(c);
		return vuc_error_set(err, rc, "io_uring file table: %s", strerror(-rc));
	}
	g->nr_free_slots--;
	LIST_INSERT_HEAD(&g->conns, c, link);
	c->multishot_msg.msg_controllen = CMSG_SPACE(VUC_FDS_MAX * sizeof(int));
	c->base.closer = vuc_closer_hold(address->closer);
	uring_activate(c);
	*conn = &c->base;
	return 0;
}

static void
close_socket(struct uring_conn *c)
{
	if (c->fd >= 0)
		vuc_closer_close_socket(c->base.closer, c->fd);
	c->fd = -1;
}

void
uring_free_conn(struct uring_conn *c)
{
	close_socket(c);
	vuc_closer_let_go(c->base.closer);
	LIST_REMOVE(c, link);
	free(c);
}

void
uring_free_if_done(struct uring_conn *c)
{
	if (c->closed && c->inflight == 0)
		uring_free_conn(c);
}

/* Returns when the kernel has let go of everything that was submitted for the connection. */
static void
cancel_requests(struct uring_conn *c)
{
	struct io_uring_sync_cancel_reg cancel = {
		.fd = (int)c->slot,
		.flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD |
			IORING_ASYNC_CANCEL_FD_FIXED,
		.timeout = {.tv_sec = -1, .tv_nsec = -1},
	};

	io_uring_register_sync_cancel(&c->group->ring, &cancel);
}

/* What the kernel has not taken must not be there when it does. */
static void
withdraw_entries(struct uring_conn *c)
{
	const struct io_uring_sq *sq = &c->group->ring.sq;

	for (unsigned int n = io_uring_sq_ready(&c->group->ring); n > 0; n--) {
		struct io_uring_sqe *sqe = &sq->sqes[(sq->sqe_tail - n) & sq->ring_mask];

		if ((sqe->user_data & ~(uint64_t)OP_MASK) != (uint64_t)(uintptr_t)c)
			continue;
		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)c | OP_IGNORE);
	}
}

void
uring_close(struct vuc_conn *conn)
{
	struct uring_conn *c = (struct uring_conn *)conn;
	struct uring_group *g = c->group;
	int none = -1;

	uring_deactivate(c);
	c->closed = true;
	c->lost = true;
	if (c->inflight > 0) {
		/* Entries not yet submitted point to the connection, too. */
		if (io_uring_sq_ready(&g->ring) > 0)
			uring_submit(g);
		withdraw_entries(c);
		shutdown(c->fd, SHUT_RDWR);
		cancel_requests(c);
	}
	io_uring_register_files_update(&g->ring, c->slot, &none, 1);
	g->free_slots[g->nr_free_slots++] = (uint16_t)c->slot;
	/* While a request is under way, the ring has the socket as well. Whoever lets go of it last
	 * closes it, and that is to be the closer. */
	if (c->base.closer == NULL)
		close_socket(c);
	uring_free_if_done(c);
}

/* Returns 0, or -ENOBUFS when the ring is full. */
static int
submit_segment(struct uring_conn *c)
{
	struct io_uring_sqe *sqe = uring_get_sqe(c->group);

	if (sqe == NULL)
		return -ENOBUFS;
	io_uring_prep_send(sqe, (int)c->slot, c->segment.bytes, c->segment.len, MSG_NOSIGNAL);
	uring_set_data(sqe, c, OP_SEND);
	return 0;
}

/* The owner tries again at each poll: this is for one who sleeps in between. */
static void
await_socket_room(struct uring_conn *c)
{
	struct io_uring_sqe *sqe;

	if (c->awaits_room)
		return;
	sqe = uring_get_sqe(c->group);
	if (sqe == NULL)
		return;
	io_uring_prep_poll_add(sqe, (int)c->slot, POLLOUT);
	uring_set_data(sqe, c, OP_ROOM);
	c->awaits_room = true;
}

/* Keep what is left of a segment of which n bytes are out. Returns as the transport's send(). */
static int
keep_segment_rest(struct uring_conn *c, const struct vuc_segment *segment, ssize_t n)
{
	if (n == -EAGAIN || n == -EINTR) {
		await_socket_room(c);
		return -EAGAIN;
	}
	if (n < 0)
		return (int)n;
	c->segment = (struct vuc_segment){
		.bytes = segment->bytes + n,
		.len = segment->len - (size_t)n,
	};
	c->base.sent_part = true;
	return submit_segment(c);
}

static int
send_at_once(struct uring_conn *c, const struct vuc_segment *segment)
{
	ssize_t n = vuc_socket_send(c->fd, segment);

	c->group->base.syscalls++;
	/* The peer has closed: what it sent before is still to be received, so that finds out. */
	if (n == (ssize_t)segment->len || n == -EPIPE)
		return 1;
	return keep_segment_rest(c, segment, n);
}

/* Leave a segment to the ring. */
static int
send_by_ring(struct uring_conn *c, const struct vuc_segment *segment)
{
	c->segment = *segment;
	if (submit_segment(c) == 0)
		return 0;
	c->segment.len = 0;
	return send_at_once(c, segment);
}

/* Descriptors go out at once in any case: as an entry of the ring, each segment would wait for the
 * next poll, and many mappings with a descriptor each make many segments. */
int
uring_send(struct vuc_conn *conn, const struct vuc_segment *segment)
{
	struct uring_conn *c = (struct uring_conn *)conn;
	int rc;

	if (c->segment.len > 0)
		return -EAGAIN;
	if (segment->nr_fds == 0 && c->group->base.several)
		rc = send_by_ring(c, segment);
	else
		rc = send_at_once(c, segment);
	/* To stop an armed receive at each attempt would end each sleep in between. */
	if (rc >= 0)
		uring_activate(c);
	return rc;
}

int64_t
uring_send_parts(struct vuc_conn *conn, const struct iovec *parts, unsigned int nr_parts)
{
	struct uring_conn *c = (struct uring_conn *)conn;

	c->group->base.syscalls++;
	uring_activate(c);
	return vuc_socket_send_parts(c->fd, parts, nr_parts);
}

void
uring_sent(struct uring_conn *c, int res)
{
	if (c->lost)
		return;
	/* The peer has closed: what it sent before is still to be received, so that finds out. */
	if (res == -EPIPE)
		res = (int)c->segment.len;
	if (res < 0) {
		uring_lose(c, res);
		return;
	}
	c->segment.bytes += res;
	c->segment.len -= (size_t)res;
	if (c->segment.len == 0) {
		c->base.events->sent(&c->base);
		return;
	}
	c->base.sent_part = true;
	if (submit_segment(c) != 0)
		uring_lose(c, -ENOBUFS);
}
