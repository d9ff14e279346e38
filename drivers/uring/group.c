/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "uring.h"

static int
setup_ring(struct uring_group *g, struct vuc_error *err)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE,
		.cq_entries = CQ_ENTRIES,
	};
	int rc = io_uring_queue_init_params(SQ_ENTRIES, &g->ring, &params);

	if (rc == -EINVAL)
		return vuc_error_set(err, -ENOSYS,
			"the kernel's io_uring is older than Linux 6.1 (no DEFER_TASKRUN)");
	if (rc != 0)
		return vuc_error_set(err, rc, "io_uring_setup: %s%s", strerror(-rc),
			rc == -EPERM ? " (sysctl kernel.io_uring_disabled, or seccomp)" : "");
	return 0;
}

static int
register_resources(struct uring_group *g, struct vuc_error *err)
{
	int rc = io_uring_register_files_sparse(&g->ring, MAX_CONNS);

	if (rc != 0)
		return vuc_error_set(err, rc, "io_uring file table: %s", strerror(-rc));
	rc = uring_setup_buffers(g);
	if (rc != 0)
		return vuc_error_set(err, rc, "io_uring buffer ring: %s", strerror(-rc));
	/* Only saves the look-up of the ring's descriptor in each system call. */
	io_uring_register_ring_fd(&g->ring);
	return 0;
}

static int
uring_group_create(
	struct vuc_transport_group **group, vuc_log_fn log, void *log_arg, struct vuc_error *err)
{
	struct uring_group *g = calloc(1, sizeof(*g));
	int rc;

	(void)log;
	(void)log_arg;
	if (g == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a poll group");
	g->base.ops = &vuc_transport_uring;
	g->wake_fd = -1;
	rc = setup_ring(g, err);
	if (rc != 0) {
		free(g);
		return rc;
	}
	rc = register_resources(g, err);
	if (rc != 0) {
		io_uring_queue_exit(&g->ring);
		uring_free_buffers(g);
		free(g);
		return rc;
	}
	for (unsigned int i = 0; i < MAX_CONNS; i++)
		g->free_slots[i] = (uint16_t)(MAX_CONNS - 1 - i);
	g->nr_free_slots = MAX_CONNS;
	*group = &g->base;
	return 0;
}

static void
dispatch_completion(const struct io_uring_cqe *cqe)
{
	struct uring_conn *c =
		(struct uring_conn *)(uintptr_t)(cqe->user_data & ~(uint64_t)OP_MASK);

	if (!(cqe->flags & IORING_CQE_F_MORE))
		c->inflight--;
	switch ((enum uring_op)(cqe->user_data & OP_MASK)) {
	case OP_SEND:
		uring_sent(c, cqe->res);
		break;
	case OP_MULTISHOT:
		uring_received_multishot(c, cqe);
		break;
	case OP_ROOM:
		c->awaits_room = false;
		break;
	case OP_IGNORE:
	case OP_WAKE:
		break;
	}
	uring_free_if_done(c);
}

/* Completions are taken one by one: an event may lead to a nested submission. */
static unsigned int
reap_completions(struct uring_group *g)
{
	struct io_uring_cqe *cqe;
	unsigned int n = 0;

	while (n < CQ_ENTRIES && io_uring_peek_cqe(&g->ring, &cqe) == 0) {
		struct io_uring_cqe copy = *cqe;

		io_uring_cqe_seen(&g->ring, cqe);
		if ((copy.user_data & OP_MASK) == OP_WAKE)
			uring_woken(g, &copy);
		else
			dispatch_completion(&copy);
		n++;
	}
	return n;
}

static unsigned int
look_at_conns(struct uring_group *g)
{
	unsigned int nr_events = 0;

	if (uring_has_work(g))
		uring_submit(g);
	if (io_uring_cq_ready(&g->ring) > 0)
		nr_events = reap_completions(g);
	return nr_events + uring_receive(g);
}

static unsigned int
uring_poll(struct vuc_transport_group *group, unsigned int looks)
{
	struct uring_group *g = (struct uring_group *)group;
	unsigned int nr_events;

	do {
		nr_events = look_at_conns(g);
	} while (nr_events == 0 && --looks > 0);
	return nr_events;
}

static void
uring_group_destroy(struct vuc_transport_group *group)
{
	struct uring_group *g = (struct uring_group *)group;
	struct uring_conn *c;
	int rc = 0;

	/* Closed connections are cancelled already: their last completions are on the way. */
	while (!LIST_EMPTY(&g->conns) && (rc >= 0 || rc == -EINTR)) {
		rc = uring_submit(g);
		reap_completions(g);
	}
	io_uring_queue_exit(&g->ring);
	while ((c = LIST_FIRST(&g->conns)) != NULL)
		uring_free_conn(c);
	uring_free_buffers(g);
	free(g);
}

const struct vuc_transport_ops vuc_transport_uring = {
	.name = "uring",
	.sockets = true,
	.group_create = uring_group_create,
	.group_destroy = uring_group_destroy,
	.open = uring_open,
	.close = uring_close,
	.send = uring_send,
	.send_parts = uring_send_parts,
	.poll = uring_poll,
	.look = uring_look,
	.wait = uring_wait,
	.settle = uring_settle,
};
