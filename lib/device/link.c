/* SPDX-License-Identifier: BSD-3-Clause */

/* Where a device's sessions and their connections meet. */

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <vuc/export.h>

#include "fds.h"
#include "internal.h"
#include "source.h"

static bool
link_has_ended(const struct device_link *link)
{
	return vuc_session_state(link->session) == VUC_SESSION_LOST;
}

/* After anything that may have changed what there is to send. */
static void
link_follow_up(struct device_link *link)
{
	if (link->dev->first != NULL || link->dev->operating || link_has_ended(link) ||
		(!link->sending && vuc_session_has_segment(link->session)))
		device_mark_dirty(link->dev);
}

void
device_link_tick(struct device_link *link, uint64_t now_ms)
{
	if (link->conn == NULL || !vuc_session_has_deadline(link->session))
		return;
	if (link->conn->sent_part)
		vuc_session_sent_part(link->session);
	link->conn->sent_part = false;
	vuc_session_tick(link->session, now_ms);
	/* The last request may be over, or the session. */
	link_follow_up(link);
}

uint64_t
device_link_due(const struct device_link *link)
{
	if (link->conn == NULL || !vuc_session_has_deadline(link->session))
		return UINT64_MAX;
	return link->conn->sent_part ? 0 : vuc_session_due(link->session);
}

static void
link_on_sent(struct vuc_conn *conn)
{
	struct device_link *link = conn->owner;

	link->sending = false;
	vuc_session_sent(link->session);
	link_follow_up(link);
}

static void
link_on_received(struct vuc_conn *conn, const uint8_t *bytes, size_t len, const int *fds,
	unsigned int nr_fds)
{
	struct device_link *link = conn->owner;

	vuc_session_received(link->session, bytes, len, fds, nr_fds);
	link_follow_up(link);
}

bool
device_link_look(struct device_link *link)
{
	const uint8_t *bytes;
	ssize_t n = link->conn->ops->look(link->conn, &bytes);

	if (n > 0) {
		vuc_session_received(link->session, bytes, (size_t)n, NULL, 0);
		link_follow_up(link);
	}
	return n >= 0;
}

/* Which of the descriptors are missing is not known. */
static void
session_end_without_fds(struct vuc_session *s)
{
	struct rlimit limit = {0};

	getrlimit(RLIMIT_NOFILE, &limit);
	vuc_session_end(s, -EMFILE,
		"file descriptors from the server were lost: this process is at its limit of "
		"%llu (RLIMIT_NOFILE)",
		(unsigned long long)limit.rlim_cur);
}

static void
link_on_lost(struct vuc_conn *conn, int error)
{
	struct device_link *link = conn->owner;

	/* A peer that closes with bytes of ours unread resets the connection: a close all the same.
	 */
	if (error == -EMFILE)
		session_end_without_fds(link->session);
	vuc_session_lost(link->session, error == -ECONNRESET ? 0 : error);
	link_follow_up(link);
}

static const struct vuc_conn_events link_events = {
	.sent = link_on_sent,
	.received = link_on_received,
	.lost = link_on_lost,
};

/* A byte out of band that is not received in line with the others is dropped by the kernel, which
 * closes the descriptors that came with it on this thread. */
static void
receive_all_in_line(int fd)
{
	const int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
}

int
device_link_open(struct device_link *link, int fd, const struct vuc_loopback_server *loopback,
	struct vuc_error *err)
{
	struct vuc_transport_group *transport = link->dev->group->transport;
	struct vuc_closer *closer = link->dev->closer;
	const struct vuc_transport_address address = {
		.fd = fd, .closer = closer, .loopback = loopback};
	int rc;

	if (fd >= 0)
		receive_all_in_line(fd);
	rc = transport->ops->open(transport, &address, &link_events, link, &link->conn, err);
	link->fd = fd;
	if (rc == 0)
		link->conn->view = vuc_session_view(link->session);
	else if (fd >= 0)
		vuc_closer_close(closer, &fd, 1);
	return rc;
}

/* ---- descriptors that nobody waits for ---- */

#define WATCHED_MSGS 1000u /* the first ones, where the kernel refuses no descriptors */

/* Where the kernel closes descriptors, it does that on this thread, for as long as their file
 * takes: messages sent before it began to refuse them are received with room for descriptors. */
static bool
link_has_unread(const struct device_link *link)
{
	int unread = 0;

	return ioctl(link->fd, FIONREAD, &unread) != 0 || unread > 0;
}

/* Not while a reply is outstanding: a late reply may carry descriptors, and sendmsg() should not
 * fail for its server. */
static void
link_refuse_fds(struct device_link *link)
{
	if (link->refuses_fds || link->counts_fds || vuc_session_owes_reply(link->session))
		return;
	if (link->fd < 0 || vuc_fds_accept(link->fd, false) == 0)
		link->refuses_fds = true;
	else
		link->counts_fds = true;
}

void
device_settle_fds(struct vuc_device *dev)
{
	struct device_link *link = &dev->main;
	const struct vuc_session_view *view = vuc_session_view(link->session);

	if (!view->watches_fds || dev->expects_fds > 0 || link->conn == NULL)
		return;
	link_refuse_fds(link);
	if ((link->refuses_fds && (link->fd < 0 || !link_has_unread(link))) ||
		(link->counts_fds && view->received >= WATCHED_MSGS))
		vuc_session_watch_fds(link->session, false);
}

/* Not of the twin socket, which the server has made: it can have kept this end as well, and allow
 * itself what it likes. So descriptors are looked for there all the time. */
void
device_expect_fds(struct vuc_device *dev)
{
	struct device_link *link = &dev->main;

	dev->expects_fds++;
	if (!link->refuses_fds)
		return;
	if (link->conn != NULL && link->fd >= 0)
		vuc_fds_accept(link->fd, true);
	link->refuses_fds = false;
	vuc_session_watch_fds(link->session, true);
}

void
device_expect_fds_no_more(struct vuc_device *dev)
{
	dev->expects_fds--;
	device_settle_fds(dev);
}

static void
link_disconnect(struct device_link *link)
{
	if (link->conn != NULL)
		link->conn->ops->close(link->conn);
	link->conn = NULL;
}

void
device_disconnect(struct vuc_device *dev)
{
	link_disconnect(&dev->main);
	link_disconnect(&dev->twin);
}

void
device_link_free(struct device_link *link)
{
	link_disconnect(link);
	vuc_session_destroy(link->session);
	link->session = NULL;
}

static void
link_trace_message(void *arg, bool sent, const uint8_t *message, size_t len, unsigned int nr_fds)
{
	const struct device_link *link = arg;
	const struct vuc_trace_message traced = {
		.sent = sent,
		.twin = link == &link->dev->twin,
		.bytes = message,
		.len = len,
		.nr_fds = nr_fds,
		.connection = link->dev->connection,
	};

	if (!link->dev->closed)
		link->dev->trace(link->dev->trace_arg, &traced);
}

void
device_link_trace(struct device_link *link)
{
	vuc_session_set_trace(
		link->session, link->dev->trace != NULL ? link_trace_message : NULL, link);
}

VUC_PRIVATE void
vuc_device_set_trace(struct vuc_device *dev, vuc_trace_fn trace, void *arg)
{
	dev->trace = trace;
	dev->trace_arg = arg;
	if (dev->main.session != NULL)
		device_link_trace(&dev->main);
	if (dev->twin.session != NULL)
		device_link_trace(&dev->twin);
}

static void
link_pass(struct device_link *link)
{
	const struct vuc_session_owner owner = {
		.command_arg = link->dev,
		.warn_arg = link->dev,
		.faults = link->dev->faults,
		.closer = link->dev->closer,
	};

	if (link->session != NULL) {
		vuc_session_set_owner(link->session, &owner);
		device_link_trace(link);
	}
	if (link->conn != NULL)
		link->conn->owner = link;
}

/* Of those of both devices, each gets the other one's, and what refers to a device with it. */
static void
link_swap(struct device_link *a, struct device_link *b)
{
	struct device_link was = *a;
	struct vuc_device *dev = a->dev;

	*a = *b;
	a->dev = dev;
	dev = b->dev;
	*b = was;
	b->dev = dev;
	link_pass(a);
	link_pass(b);
}

void
device_swap_connections(struct vuc_device *a, struct vuc_device *b)
{
	struct vuc_closer *closer = a->closer;
	struct device_peer peer = a->peer;
	uint32_t connection = a->connection;

	a->closer = b->closer;
	b->closer = closer;
	a->peer = b->peer;
	b->peer = peer;
	a->connection = b->connection;
	b->connection = connection;
	link_swap(&a->main, &b->main);
	link_swap(&a->twin, &b->twin);
	a->session = a->main.session;
	b->session = b->main.session;
	a->twin_ended = b->twin_ended = false;
	device_mark_dirty(a);
	device_mark_dirty(b);
}

/* The transport has not sent a segment at once. */
static void
link_note_unsent(struct device_link *link, int rc)
{
	if (rc == 0) {
		link->sending = true;
		return;
	}
	if (rc != -EAGAIN)
		vuc_session_lost(link->session, rc);
	device_mark_dirty(link->dev);
}

bool
device_link_send(struct device_link *link)
{
	const struct vuc_segment *next;
	bool sent = false;

	while (!link->sending && (next = vuc_session_next_segment(link->session)) != NULL) {
		int rc = link->conn->ops->send(link->conn, next);

		if (rc != 1) {
			link_note_unsent(link, rc);
			break;
		}
		vuc_session_sent(link->session);
		sent = true;
	}
	return sent;
}

size_t
device_send_parts(struct vuc_device *dev, const struct vuc_session *s, const struct iovec *parts,
	unsigned int nr_parts)
{
	struct device_link *link = s == dev->session ? &dev->main : &dev->twin;
	const struct vuc_transport_ops *ops = link->conn->ops;
	int64_t n;

	if (ops->send_parts == NULL)
		return 0;
	device_link_send(link);
	if (link->sending || vuc_session_has_segment(s) || link_has_ended(link))
		return 0;
	n = ops->send_parts(link->conn, parts, nr_parts);
	return n > 0 ? (size_t)n : 0;
}

/*
 * A device whose server's commands cannot come any more is as lost as one without a server. When
 * both sockets go, the main one has more to tell: it has one more poll to do so.
 */
static void
device_flush_twin(struct vuc_device *dev)
{
	if (vuc_session_has_segment(dev->twin.session))
		device_link_send(&dev->twin);
	if (!link_has_ended(&dev->twin))
		return;
	if (!dev->twin_ended) {
		dev->twin_ended = true;
		device_mark_dirty(dev);
		return;
	}
	vuc_session_end(dev->session, vuc_session_error(dev->twin.session), "twin socket: %s",
		vuc_session_reason(dev->twin.session));
}

void
device_lose(struct vuc_device *dev)
{
	if (dev->record == NULL)
		return;
	dma_table_lose(&dev->dma);
	dev->unmap_all = false;
	dev->draining = false;
	device_record_operations(dev);
}

/* What waits for room or for a reply goes on when link_follow_up() is told of that. */
void
device_flush(struct vuc_device *dev)
{
	bool sent;

	if (dev->first != NULL || !TAILQ_EMPTY(&dev->operations))
		device_pump(dev);
	if (dev->main.conn == NULL)
		return;
	sent = device_link_send(&dev->main);
	if (dev->twin.conn != NULL)
		device_flush_twin(dev);
	if (link_has_ended(&dev->main)) {
		device_disconnect(dev);
		dev->group->changed = true;
		device_pump(dev);
		device_lose(dev);
		sent = dev->step != NULL;
	}
	if (sent && (dev->first != NULL || dev->operating))
		device_mark_dirty(dev);
}
