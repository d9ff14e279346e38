/* SPDX-License-Identifier: BSD-3-Clause */
#include "loop.h"

#include <errno.h>
#include <unistd.h>

int
vucd_loop_init(struct vucd_loop *loop)
{
	loop->stopped = false;
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	return loop->epfd < 0 ? -errno : 0;
}

void
vucd_loop_fini(struct vucd_loop *loop)
{
	if (loop->epfd >= 0)
		close(loop->epfd);
	loop->epfd = -1;
}

static int
epoll_control(struct vucd_loop *loop, int op, struct vucd_watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	return epoll_ctl(loop->epfd, op, watch->fd, &event) == 0 ? 0 : -errno;
}

int
vucd_loop_add(
	struct vucd_loop *loop, struct vucd_watch *watch, int fd, vucd_ready_fn ready, void *arg)
{
	*watch = (struct vucd_watch){.fd = fd, .ready = ready, .arg = arg};
	return epoll_control(loop, EPOLL_CTL_ADD, watch, EPOLLIN);
}

int
vucd_loop_change(struct vucd_loop *loop, struct vucd_watch *watch, uint32_t events)
{
	return epoll_control(loop, EPOLL_CTL_MOD, watch, events);
}

void
vucd_loop_remove(struct vucd_loop *loop, struct vucd_watch *watch)
{
	epoll_control(loop, EPOLL_CTL_DEL, watch, 0);
}

int
vucd_loop_run(struct vucd_loop *loop)
{
	struct epoll_event event;
	struct vucd_watch *watch;

	while (!loop->stopped) {
		/* One at a time: another one might be of a watch that the first one has freed. */
		int n = epoll_wait(loop->epfd, &event, 1, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 1) {
			watch = event.data.ptr;
			watch->ready(watch, event.events);
		}
	}
	return 0;
}
