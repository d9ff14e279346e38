/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Transport by plain system calls, for kernels and containers without io_uring.
 *
 * A connection that has just sent, or that awaits an answer, is *active*: every poll tries to
 * receive from it. One that has been quiet for a while is left to epoll, which is asked now and
 * then for all of them at once. An active one is not in epoll: its peer would pay for the
 * notification with every message that it sends. Before the thread sleeps, all of them go there.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "closers.h"
#include "error.h"
#include "socket_io.h"

#define QUIET_POLLS    1024u /* without an answer owed, until a connection is left to epoll */
#define EPOLL_INTERVAL 64u   /* polls between looks at epoll while others are active */
#define MAX_EVENTS     64    /* of one look */
#define RX_SIZE        (64u * 1024) /* of one receive */

struct posix_conn {
	struct vuc_conn base;
	struct posix_group *group;
	int fd;
	bool active;  /* on the group's list */
	bool watched; /* by epoll */
	bool full;    /* the socket had no room for the last segment */
	unsigned int quiet;
	struct vuc_segment segment; /* what is left of the one being sent */
};

struct posix_group {
	struct vuc_transport_group base;
	int epoll_fd;
	int wake_fd;        /* in epoll, without a connection; -1: none */
	unsigned int polls; /* since the last look at epoll */
	unsigned int nr_conns;
	unsigned int nr_active;
	unsigned int max_active;
	struct posix_conn **active;
	uint8_t rx[RX_SIZE];
};

static int
posix_group_create(
	struct vuc_transport_group **group, vuc_log_fn log, void *log_arg, struct vuc_error *err)
{
	struct posix_group *g = calloc(1, sizeof(*g));

	(void)log;
	(void)log_arg;
	if (g == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a poll group");
	g->base.ops = &vuc_transport_posix;
	g->wake_fd = -1;
	g->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (g->epoll_fd < 0) {
		int rc = -errno;

		free(g);
		return vuc_error_set(err, rc, "epoll_create1: %s", strerror(-rc));
	}
	*group = &g->base;
	return 0;
}

static void
posix_group_destroy(struct vuc_transport_group *group)
{
	struct posix_group *g = (struct posix_group *)group;

	close(g->epoll_fd);
	free(g->active);
	free(g);
}

static void
activate_conn(struct posix_conn *c)
{
	struct posix_group *g = c->group;

	c->quiet = 0;
	if (c->active)
		return;
	if (c->watched)
		epoll_ctl(g->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
	c->watched = false;
	c->active = true;
	g->active[g->nr_active++] = c;
}

static void
unlist_conn(struct posix_conn *c)
{
	struct posix_group *g = c->group;

	c->active = false;
	for (unsigned int i = 0; i < g->nr_active; i++) {
		if (g->active[i] == c) {
			g->active[i] = g->active[--g->nr_active];
			return;
		}
	}
}

/* Whether a connection is to be looked at in each poll, however quiet it is. */
static inline bool
is_conn_busy(const struct posix_conn *c)
{
	return vuc_view_is_owed(c->base.view) || c->segment.len > 0;
}

/* Leave a connection to epoll. Where that fails, it stays active, which costs but works. */
static void
deactivate_conn(struct posix_conn *c)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

	if (c->segment.len > 0 || c->full)
		event.events |= EPOLLOUT;
	c->quiet = 0;
	if (epoll_ctl(c->group->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
		return;
	c->watched = true;
	unlist_conn(c);
}

/* Nothing more is received. */
static void
forget_conn(struct posix_conn *c)
{
	if (c->active)
		unlist_conn(c);
	if (c->watched)
		epoll_ctl(c->group->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
	c->watched = false;
}

/* Every connection may be active at once. */
static int
grow_active(struct posix_group *g)
{
	unsigned int max = g->max_active == 0 ? 8 : g->max_active * 2;
	struct posix_conn **active;

	if (g->nr_conns < g->max_active)
		return 0;
	active = realloc(g->active, max * sizeof(struct posix_conn *));
	if (active == NULL)
		return -ENOMEM;
	g->active = active;
	g->max_active = max;
	return 0;
}

static int
posix_open(struct vuc_transport_group *group, const struct vuc_transport_address *address,
	const struct vuc_conn_events *events, void *owner, struct vuc_conn **conn,
	struct vuc_error *err)
{
	struct posix_group *g = (struct posix_group *)group;
	struct posix_conn *c = calloc(1, sizeof(*c));

	if (c == NULL || grow_active(g) != 0) {
		free(c);
		return vuc_error_set(err, -ENOMEM, "no memory for a connection");
	}
	c->base.ops = &vuc_transport_posix;
	c->base.events = events;
	c->base.owner = owner;
	c->base.closer = address->closer;
	c->group = g;
	c->fd = address->fd;
	g->nr_conns++;
	activate_conn(c);
	*conn = &c->base;
	return 0;
}

static void
posix_close(struct vuc_conn *conn)
{
	struct posix_conn *c = (struct posix_conn *)conn;

	forget_conn(c);
	vuc_closer_close_socket(c->base.closer, c->fd);
	c->group->nr_conns--;
	free(c);
}

/* Returns how many bytes went out, or a negative errno. */
static ssize_t
send_segment(struct posix_conn *c, const struct vuc_segment *segment)
{
	ssize_t n = vuc_socket_send(c->fd, segment);

	c->group->base.syscalls++;
	/* The peer has closed: what it sent before is still to be received, so that finds out. */
	if (n == -EPIPE)
		return (ssize_t)segment->len;
	return n == -EINTR ? -EAGAIN : n;
}

/* Keep what is left of a segment of which n bytes are out. Returns as the transport's send(). */
static int
keep_segment_rest(struct posix_conn *c, const struct vuc_segment *segment, ssize_t n)
{
	c->full = n == -EAGAIN;
	if (n < 0) {
		c->segment.len = 0;
		if (n == -EAGAIN)
			activate_conn(c);
		else
			forget_conn(c);
		return (int)n;
	}
	c->segment = (struct vuc_segment){
		.bytes = segment->bytes + n,
		.len = segment->len - (size_t)n,
	};
	c->base.sent_part = true;
	activate_conn(c);
	return 0;
}

static int
posix_send(struct vuc_conn *conn, const struct vuc_segment *segment)
{
	struct posix_conn *c = (struct posix_conn *)conn;
	ssize_t n = send_segment(c, segment);

	if (n != (ssize_t)segment->len)
		return keep_segment_rest(c, segment, n);
	c->full = false;
	activate_conn(c);
	return 1;
}

static int64_t
posix_send_parts(struct vuc_conn *conn, const struct iovec *parts, unsigned int nr_parts)
{
	struct posix_conn *c = (struct posix_conn *)conn;

	c->group->base.syscalls++;
	activate_conn(c);
	return vuc_socket_send_parts(c->fd, parts, nr_parts);
}

static void
lose_conn(struct posix_conn *c, int error)
{
	forget_conn(c);
	c->base.events->lost(&c->base, error);
}

/* Go on with a segment that the kernel has taken in part. Returns false when the conn is lost. */
static bool
continue_send(struct posix_conn *c)
{
	ssize_t n = send_segment(c, &c->segment);

	if (n == -EAGAIN)
		return true;
	if (n < 0) {
		lose_conn(c, (int)n);
		return false;
	}
	c->segment.bytes += n;
	c->segment.len -= (size_t)n;
	if (c->segment.len == 0)
		c->base.events->sent(&c->base);
	else
		c->base.sent_part = true;
	return true;
}

/* Returns how many events there were, or a negative errno. */
static int
look_at_epoll(struct posix_group *g, int timeout_ms)
{
	struct epoll_event events[MAX_EVENTS];
	int n;

	g->polls = 0;
	g->base.syscalls++;
	n = epoll_wait(g->epoll_fd, events, MAX_EVENTS, timeout_ms);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr != NULL)
			activate_conn(events[i].data.ptr);
	}
	return n;
}

/* Returns whether there was an event. */
static inline bool
look_at_conn(struct posix_group *g, struct posix_conn *c)
{
	ssize_t n;

	if (c->segment.len > 0 && !continue_send(c))
		return true;
	g->base.syscalls++;
	n = vuc_socket_receive(&c->base, c->fd, g->rx, RX_SIZE);
	if (n > 0) {
		c->quiet = 0;
		return true;
	}
	if (n != -EAGAIN && n != -EINTR) {
		lose_conn(c, (int)n);
		return true;
	}
	if (!is_conn_busy(c) && ++c->quiet > QUIET_POLLS)
		deactivate_conn(c);
	return false;
}

/* Whether a connection that is left to epoll may have waited long enough. */
static inline bool
is_epoll_due(struct posix_group *g)
{
	return g->nr_conns > g->nr_active && (g->nr_active == 0 || ++g->polls >= EPOLL_INTERVAL);
}

/* Returns how many events there were. */
static unsigned int
look_at_conns(struct posix_group *g)
{
	unsigned int nr_events = 0;

	if (is_epoll_due(g))
		look_at_epoll(g, 0);

	/* An event may take this or another connection off the list: at worst one is skipped. */
	for (unsigned int i = 0; i < g->nr_active; i++)
		nr_events += look_at_conn(g, g->active[i]);
	return nr_events;
}

static unsigned int
posix_poll(struct vuc_transport_group *group, unsigned int looks)
{
	struct posix_group *g = (struct posix_group *)group;
	unsigned int nr_events;

	do {
		nr_events = look_at_conns(g);
	} while (nr_events == 0 && --looks > 0);
	return nr_events;
}

static ssize_t
posix_look(struct vuc_conn *conn, const uint8_t **bytes)
{
	struct posix_conn *c = (struct posix_conn *)conn;
	struct posix_group *g = c->group;
	ssize_t n;

	if (g->nr_active > 1 || is_epoll_due(g))
		return -EBUSY;
	g->base.syscalls++;
	n = recv(c->fd, g->rx, RX_SIZE, MSG_DONTWAIT);
	*bytes = g->rx;
	return n > 0 ? n : 0;
}

static int
watch_wake_fd(struct posix_group *g, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (fd == g->wake_fd)
		return 0;
	if (g->wake_fd >= 0)
		epoll_ctl(g->epoll_fd, EPOLL_CTL_DEL, g->wake_fd, NULL);
	g->wake_fd = -1;
	if (fd >= 0 && epoll_ctl(g->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		return -errno;
	g->wake_fd = fd;
	return 0;
}

static int
posix_wait(struct vuc_transport_group *group, int wake_fd, unsigned int timeout_ms)
{
	struct posix_group *g = (struct posix_group *)group;
	int rc = watch_wake_fd(g, wake_fd);

	if (rc != 0)
		return rc;
	for (unsigned int i = g->nr_active; i-- > 0;)
		deactivate_conn(g->active[i]);
	/* What epoll does not take can only be found by asking. */
	if (g->nr_active > 0)
		return 1;
	rc = look_at_epoll(g, (int)timeout_ms);
	if (rc < 0)
		return rc == -EINTR ? 0 : rc;
	return rc > 0;
}

static void
posix_settle(struct vuc_transport_group *group)
{
	struct posix_group *g = (struct posix_group *)group;

	for (unsigned int i = g->nr_active; i-- > 0;) {
		struct posix_conn *c = g->active[i];

		if (!is_conn_busy(c))
			deactivate_conn(c);
	}
}

const struct vuc_transport_ops vuc_transport_posix = {
	.name = "posix",
	.sockets = true,
	.group_create = posix_group_create,
	.group_destroy = posix_group_destroy,
	.open = posix_open,
	.close = posix_close,
	.send = posix_send,
	.send_parts = posix_send_parts,
	.poll = posix_poll,
	.look = posix_look,
	.wait = posix_wait,
	.settle = posix_settle,
};
