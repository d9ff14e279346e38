/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Sleeping. A wait and what ends it are one io_uring_enter(2): receives and sends are in the ring
 * anyway, and so is a poll of the descriptor that wakes the thread.
 *
 * That poll is a single one, made anew by the next wait once it has completed. Its completion may
 * be taken by a poll() of the group and not by a wait, and a multishot would not repeat it while
 * the descriptor stays readable; a new one looks at the descriptor first, so no wait sleeps then.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "uring.h"

/* A poll is told by its number from those before it, whose completions are still to come. */
static int
poll_wake_fd(struct uring_group *g)
{
	struct io_uring_sqe *sqe = uring_get_sqe(g);

	if (sqe == NULL)
		return -ENOBUFS;
	g->wake_data = ++g->wake_count * (OP_MASK + 1) | OP_WAKE;
	io_uring_prep_poll_add(sqe, g->wake_fd, POLLIN);
	io_uring_sqe_set_data64(sqe, g->wake_data);
	return 0;
}

static int
cancel_wake(struct uring_group *g)
{
	struct io_uring_sqe *sqe;

	if (g->wake_data == 0)
		return 0;
	sqe = uring_get_sqe(g);
	if (sqe == NULL)
		return -ENOBUFS;
	io_uring_prep_cancel64(sqe, g->wake_data, 0);
	io_uring_sqe_set_data64(sqe, OP_WAKE);
	g->wake_data = 0;
	return 0;
}

static int
watch_wake_fd(struct uring_group *g, int fd)
{
	int rc;

	if (fd != g->wake_fd) {
		if (fd >= 0 && fcntl(fd, F_GETFD) < 0)
			return -errno;
		rc = cancel_wake(g);
		if (rc != 0)
			return rc;
		g->wake_fd = fd;
	}
	return fd >= 0 && g->wake_data == 0 ? poll_wake_fd(g) : 0;
}

void
uring_woken(struct uring_group *g, const struct io_uring_cqe *cqe)
{
	if (cqe->user_data == g->wake_data)
		g->wake_data = 0;
}

int
uring_wait(struct vuc_transport_group *group, int wake_fd, unsigned int timeout_ms)
{
	struct uring_group *g = (struct uring_group *)group;
	struct __kernel_timespec time = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = (long long)(timeout_ms % 1000) * 1000000,
	};
	struct io_uring_cqe *cqe;
	int rc = watch_wake_fd(g, wake_fd);

	if (rc != 0)
		return rc;
	if (!uring_arm_all(g))
		return -ENOBUFS;
	if (io_uring_cq_ready(&g->ring) > 0)
		return 1;
	group->syscalls++;
	rc = io_uring_submit_and_wait_timeout(&g->ring, &cqe, 1, &time, NULL);
	/* What is returned may tell of entries submitted and not of the time that has passed. */
	if (io_uring_cq_ready(&g->ring) > 0)
		return 1;
	return rc >= 0 || rc == -ETIME || rc == -EINTR ? 0 : rc;
}
