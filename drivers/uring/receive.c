/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <unistd.h>

#include "closers.h"
#include "fds.h"
#include "uring.h"

int
uring_setup_buffers(struct uring_group *g)
{
	size_t ring_size = NR_BUFFERS * sizeof(struct io_uring_buf);
	struct io_uring_buf_reg reg = {.ring_entries = NR_BUFFERS, .bgid = BUFFER_GROUP};
	void *ring = NULL;
	int rc;

	g->buffers = malloc((size_t)NR_BUFFERS * BUFFER_SIZE);
	if (g->buffers == NULL || posix_memalign(&ring, 4096, ring_size) != 0)
		return -ENOMEM;
	g->buf_ring = ring;
	reg.ring_addr = (uint64_t)(uintptr_t)ring;
	rc = io_uring_register_buf_ring(&g->ring, &reg, 0);
	if (rc != 0)
		return rc;
	io_uring_buf_ring_init(g->buf_ring);
	for (unsigned int i = 0; i < NR_BUFFERS; i++)
		io_uring_buf_ring_add(g->buf_ring, g->buffers + (size_t)i * BUFFER_SIZE,
			BUFFER_SIZE, (unsigned short)i, io_uring_buf_ring_mask(NR_BUFFERS), (int)i);
	io_uring_buf_ring_advance(g->buf_ring, NR_BUFFERS);
	return 0;
}

void
uring_free_buffers(struct uring_group *g)
{
	free(g->buf_ring);
	free(g->buffers);
}

static void
recycle_buffer(struct uring_group *g, unsigned int id)
{
	io_uring_buf_ring_add(g->buf_ring, g->buffers + (size_t)id * BUFFER_SIZE, BUFFER_SIZE,
		(unsigned short)id, io_uring_buf_ring_mask(NR_BUFFERS), 0);
	io_uring_buf_ring_advance(g->buf_ring, 1);
}

void
uring_deactivate(struct uring_conn *c)
{
	struct uring_group *g = c->group;

	if (!c->active)
		return;
	c->active = false;
	for (unsigned int i = 0; i < g->nr_active; i++) {
		if (g->active[i] == c) {
			g->active[i] = g->active[--g->nr_active];
			return;
		}
	}
}

/* Returns false when the ring is full: it stays armed. */
static bool
disarm_conn(struct uring_conn *c)
{
	struct io_uring_sqe *sqe = uring_get_sqe(c->group);

	if (sqe == NULL)
		return false;
	io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)c | OP_MULTISHOT, 0);
	uring_set_data(sqe, c, OP_IGNORE);
	sqe->flags &= (uint8_t)~IOSQE_FIXED_FILE;
	c->disarming = true;
	return true;
}

/* Returns false when the ring is full: nothing has changed. */
static bool
arm_conn(struct uring_conn *c)
{
	struct io_uring_sqe *sqe;

	if (c->armed) {
		uring_deactivate(c);
		return true;
	}
	sqe = uring_get_sqe(c->group);
	if (sqe == NULL)
		return false;
	uring_deactivate(c);
	io_uring_prep_recvmsg_multishot(sqe, (int)c->slot, &c->multishot_msg, MSG_CMSG_CLOEXEC);
	uring_set_data(sqe, c, OP_MULTISHOT);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUFFER_GROUP;
	c->armed = true;
	return true;
}

void
uring_start_eager(struct uring_conn *c)
{
	struct uring_group *g = c->group;

	if (c->lost)
		return;
	if (g->nr_active >= EAGER_MAX && arm_conn(c))
		return;
	if (c->armed && !c->disarming && !disarm_conn(c))
		return;
	c->active = true;
	g->active[g->nr_active++] = c;
}

void
uring_lose(struct uring_conn *c, int error)
{
	uring_deactivate(c);
	if (c->lost)
		return;
	c->lost = true;
	c->base.events->lost(&c->base, error);
}

/* Tell the owner, or drop what came when it no longer listens. */
static void
deliver_bytes(struct uring_conn *c, const uint8_t *bytes, size_t len, int *fds, unsigned int nr_fds)
{
	if (c->lost) {
		vuc_closer_close(c->base.closer, fds, nr_fds);
		return;
	}
	c->quiet = 0;
	c->used = true;
	c->base.events->received(&c->base, bytes, len, fds, nr_fds);
}

/* Returns whether there was an event. */
static inline bool
receive_eagerly(struct uring_group *g, struct uring_conn *c)
{
	ssize_t n;

	g->base.syscalls++;
	n = vuc_socket_receive(&c->base, c->fd, g->rx, RX_SIZE);
	if (n > 0) {
		c->quiet = 0;
		c->used = true;
		return true;
	}
	if (n != -EAGAIN && n != -EINTR) {
		uring_lose(c, (int)n);
		return true;
	}
	if (++c->quiet > QUIET_POLLS)
		arm_conn(c);
	return false;
}

unsigned int
uring_receive(struct uring_group *g)
{
	unsigned int nr_events = 0;

	/* An event may take this or another connection off the list: at worst one is skipped. */
	for (unsigned int i = 0; i < g->nr_active; i++) {
		struct uring_conn *c = g->active[i];

		if (c->armed)
			continue; /* and being cancelled */
		nr_events += receive_eagerly(g, c);
	}
	return nr_events;
}

ssize_t
uring_look(struct vuc_conn *conn, const uint8_t **bytes)
{
	struct uring_conn *c = (struct uring_conn *)conn;
	struct uring_group *g = c->group;
	ssize_t n;

	if (g->nr_active > 1 || c->armed || uring_has_work(g))
		return -EBUSY;
	g->base.syscalls++;
	n = recv(c->fd, g->rx, RX_SIZE, MSG_DONTWAIT);
	*bytes = g->rx;
	return n > 0 ? n : 0;
}

/* However few polls there have been. */
void
uring_settle(struct vuc_transport_group *group)
{
	struct uring_group *g = (struct uring_group *)group;

	for (unsigned int i = g->nr_active; i-- > 0;) {
		struct uring_conn *c = g->active[i];

		if (!vuc_view_is_owed(c->base.view) && !c->used)
			arm_conn(c);
		c->used = false;
	}
}

bool
uring_arm_all(struct uring_group *g)
{
	while (g->nr_active > 0) {
		if (!arm_conn(g->active[g->nr_active - 1]))
			return false;
	}
	return true;
}

static void
take_buffer(struct uring_conn *c, const struct io_uring_cqe *cqe)
{
	unsigned int id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
	void *buffer = c->group->buffers + (size_t)id * BUFFER_SIZE;
	struct io_uring_recvmsg_out *out =
		io_uring_recvmsg_validate(buffer, cqe->res, &c->multishot_msg);

	if (out != NULL) {
		int fds[VUC_FDS_MAX];
		struct msghdr msg = {
			.msg_control = (uint8_t *)(out + 1) + c->multishot_msg.msg_namelen,
			.msg_controllen = out->controllen,
			.msg_flags = (int)out->flags,
		};
		size_t len = io_uring_recvmsg_payload_length(out, cqe->res, &c->multishot_msg);

		int nr_fds = vuc_fds_take(&msg, fds, VUC_FDS_MAX, c->base.closer);

		if (len > 0 && nr_fds >= 0)
			deliver_bytes(c, io_uring_recvmsg_payload(out, &c->multishot_msg), len, fds,
				(unsigned int)nr_fds);
		else
			uring_lose(c, len > 0 ? nr_fds : 0);
	}
	recycle_buffer(c->group, id);
}

void
uring_received_multishot(struct uring_conn *c, const struct io_uring_cqe *cqe)
{
	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		c->armed = false;
		c->disarming = false;
	}
	if (cqe->flags & IORING_CQE_F_BUFFER)
		take_buffer(c, cqe);
	else if (cqe->res < 0 && cqe->res != -ECANCELED && cqe->res != -ENOBUFS)
		uring_lose(c, cqe->res);

	/* The kernel ends a multishot when it likes, as when the buffers have run out. */
	if (!c->armed && !c->active && !c->lost && !arm_conn(c))
		uring_activate(c);
}
