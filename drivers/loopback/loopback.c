/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Transport to a server inside the process: poll() hands each message of a segment to the server's
 * function, and the replies to the owner. No socket, no system call, no copy but the server's own.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fds.h"
#include "transport.h"
#include "vfio_user.h"

#define CACHE_LINE 64u
#define REPLY_SIZE (2u * 1024 * 1024)
#define BATCH_SIZE (64u * 1024) /* of replies, before the one that makes it more */

/* In two cache lines: where many devices share a core, those of all of them compete. */
struct loopback_conn {
	_Alignas(CACHE_LINE) struct vuc_conn base;
	struct loopback_group *group;
	struct vuc_loopback_server server;
	struct loopback_conn *next; /* of those with something to handle */
	bool queued;
	bool lost;
	struct vuc_segment segment; /* len 0: nothing to handle */
};

struct loopback_group {
	struct vuc_transport_group base;
	struct loopback_conn *first;
	uint8_t *replies; /* to messages of one segment */
	size_t len;       /* of those that the owner has not got yet */
};

static int
loopback_group_create(
	struct vuc_transport_group **group, vuc_log_fn log, void *log_arg, struct vuc_error *err)
{
	struct loopback_group *g = calloc(1, sizeof(*g));
	uint8_t *replies = malloc(BATCH_SIZE + REPLY_SIZE);

	(void)log;
	(void)log_arg;
	if (g == NULL || replies == NULL) {
		free(g);
		free(replies);
		return vuc_error_set(err, -ENOMEM, "no memory for a poll group");
	}
	g->replies = replies;
	g->base.ops = &vuc_transport_loopback;
	*group = &g->base;
	return 0;
}

static void
loopback_group_destroy(struct vuc_transport_group *group)
{
	struct loopback_group *g = (struct loopback_group *)group;

	free(g->replies);
	free(g);
}

static int
loopback_open(struct vuc_transport_group *group, const struct vuc_transport_address *address,
	const struct vuc_conn_events *events, void *owner, struct vuc_conn **conn,
	struct vuc_error *err)
{
	struct loopback_conn *c = aligned_alloc(CACHE_LINE, sizeof(*c));

	if (c == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a connection");
	*c = (struct loopback_conn){
		.base = {.ops = &vuc_transport_loopback, .events = events, .owner = owner},
		.group = (struct loopback_group *)group,
		.server = *address->loopback,
	};
	*conn = &c->base;
	return 0;
}

static void
unqueue_conn(struct loopback_conn *c)
{
	for (struct loopback_conn **p = &c->group->first; *p != NULL; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			break;
		}
	}
	c->queued = false;
}

static void
loopback_close(struct vuc_conn *conn)
{
	struct loopback_conn *c = (struct loopback_conn *)conn;

	unqueue_conn(c);
	if (!c->lost && c->server.disconnect != NULL)
		c->server.disconnect(c->server.arg);
	free(c);
}

/* The peer must not see descriptors change that stay ours, so it gets duplicates. */
static int
duplicate_fds(struct vuc_loopback_msg *msg, const struct vuc_segment *segment)
{
	for (msg->nr_fds = 0; msg->nr_fds < segment->nr_fds; msg->nr_fds++) {
		int fd = dup(segment->fds[msg->nr_fds]);

		if (fd < 0)
			return -errno;
		msg->fds[msg->nr_fds] = fd;
	}
	return 0;
}

/* Without its descriptors, which lie in the midst of it: clearing them costs more than the rest. */
static void
init_message(struct vuc_loopback_msg *msg, uint8_t *bytes, size_t len, size_t size)
{
	msg->bytes = bytes;
	msg->len = len;
	msg->size = size;
	msg->nr_fds = 0;
}

/* Hand over what has been answered; descriptors belong to the last message of it. */
static void
deliver_replies(struct loopback_conn *c, int *fds, unsigned int nr_fds)
{
	size_t len = c->group->len;

	c->group->len = 0;
	if (len > 0)
		c->base.events->received(&c->base, c->group->replies, len, fds, nr_fds);
}

static int
handle_message(struct loopback_conn *c, const struct vuc_segment *segment, size_t len)
{
	struct loopback_group *g = c->group;
	struct vuc_loopback_msg req;
	struct vuc_loopback_msg reply;
	int rc;

	init_message(&req, (uint8_t *)(uintptr_t)segment->bytes, len, len);
	init_message(&reply, g->replies + g->len, 0, REPLY_SIZE);
	rc = duplicate_fds(&req, segment);
	if (rc == 0)
		rc = c->server.handle(c->server.arg, &req, &reply);
	if (req.nr_fds > 0)
		vuc_fds_close(req.fds, req.nr_fds);
	if (rc != 0)
		return rc;
	g->len += reply.len;
	if (reply.nr_fds > 0 || g->len > BATCH_SIZE)
		deliver_replies(c, reply.fds, reply.nr_fds);
	return 0;
}

/* Hand the messages of a segment to the server, one by one. */
static void
handle_segment(struct loopback_conn *c)
{
	struct vuc_segment rest = c->segment;
	int rc = 0;

	while (rc == 0 && rest.len > 0) {
		struct vfio_user_header header;

		memcpy(&header, rest.bytes, sizeof(header));
		rc = handle_message(c, &rest, header.msg_size);
		rest.bytes += header.msg_size;
		rest.len -= header.msg_size;
		rest.nr_fds = 0;
	}
	deliver_replies(c, NULL, 0);
	if (rc != 0) {
		c->lost = true;
		c->base.events->lost(&c->base, 0);
		return;
	}
	c->segment.len = 0;
	c->base.events->sent(&c->base);
}

static int
loopback_send(struct vuc_conn *conn, const struct vuc_segment *segment)
{
	struct loopback_conn *c = (struct loopback_conn *)conn;

	if (c->segment.len > 0)
		return -EAGAIN;
	/* Not as a whole: it was written in parts just now, and would have to be waited for. */
	c->segment.bytes = segment->bytes;
	c->segment.nr_fds = segment->nr_fds;
	c->segment.fds = segment->fds;
	c->segment.len = segment->len;
	if (!c->queued) {
		c->queued = true;
		c->next = c->group->first;
		c->group->first = c;
	}
	return 0;
}

/* What handling a connection's segment begins with, while another one's is handled. */
static void
prefetch_conn(const struct loopback_conn *c)
{
	__builtin_prefetch(c->base.owner);
	__builtin_prefetch(c->segment.bytes);
	__builtin_prefetch(c->server.arg);
}

static unsigned int
loopback_poll(struct vuc_transport_group *group, unsigned int looks)
{
	struct loopback_group *g = (struct loopback_group *)group;
	unsigned int nr_events = 0;

	/* Nothing comes that was not queued. */
	(void)looks;

	/* One at a time from the head: an event may close any other connection. */
	while (g->first != NULL) {
		struct loopback_conn *c = g->first;

		g->first = c->next;
		if (g->first != NULL)
			prefetch_conn(g->first);
		c->queued = false;
		handle_segment(c);
		nr_events++;
	}
	return nr_events;
}

/* Servers answer within poll(), so nothing but wake_fd can end a sleep. */
static int
loopback_wait(struct vuc_transport_group *group, int wake_fd, unsigned int timeout_ms)
{
	const struct loopback_group *g = (const struct loopback_group *)group;
	struct pollfd wake = {.fd = wake_fd, .events = POLLIN};
	int n;

	if (g->first != NULL)
		return 1;
	group->syscalls++;
	n = poll(&wake, 1, (int)timeout_ms);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return (wake.revents & POLLNVAL) != 0 ? -EBADF : n;
}

const struct vuc_transport_ops vuc_transport_loopback = {
	.name = "loopback",
	.sockets = false,
	.group_create = loopback_group_create,
	.group_destroy = loopback_group_destroy,
	.open = loopback_open,
	.close = loopback_close,
	.send = loopback_send,
	.poll = loopback_poll,
	.wait = loopback_wait,
};
