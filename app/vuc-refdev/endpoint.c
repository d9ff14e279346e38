/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "endpoint.h"
#include "report.h"
#include "trace.h"

/* Messages of one turn: as many as keep other devices from waiting for long. */
#define BURST 32

int
refdev_endpoint_init(struct refdev_endpoint *ep, const struct refdev_endpoint_config *config)
{
	*ep = (struct refdev_endpoint){
		.listener = {.fd = -1},
		.conn = {.fd = -1},
		.faults = config->faults,
		.verbose = config->verbose,
		.once = config->once,
	};
	ep->dev = refdev_create(&config->device);
	if (ep->dev == NULL) {
		refdev_report("can't make a device: %s", strerror(errno));
		return -EINVAL;
	}
	ep->reply.size = refdev_max_message(ep->dev);
	ep->reply.bytes = malloc(ep->reply.size);
	ep->faults_seen = calloc(config->faults->nr + 1, sizeof(ep->faults_seen[0]));
	if (ep->reply.bytes == NULL || ep->faults_seen == NULL ||
		refdev_connection_init(&ep->conn, ep->reply.size) != 0) {
		refdev_report(
			"out of memory for a device with messages of %zu bytes", ep->reply.size);
		refdev_endpoint_destroy(ep);
		return -ENOMEM;
	}
	return 0;
}

void
refdev_endpoint_destroy(struct refdev_endpoint *ep)
{
	refdev_output_drop(&ep->out);
	refdev_connection_destroy(&ep->conn);
	refdev_listener_close(&ep->listener);
	refdev_destroy(ep->dev);
	free(ep->faults_seen);
	free(ep->reply.bytes);
}

int
refdev_endpoint_listen(struct refdev_endpoint *ep, const char *path)
{
	snprintf(ep->name, sizeof(ep->name), "%s", path);
	return refdev_listener_open(&ep->listener, path);
}

static int
socket_option(int fd, int option)
{
	socklen_t size = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

int
refdev_endpoint_adopt(struct refdev_endpoint *ep, int fd)
{
	snprintf(ep->name, sizeof(ep->name), "fd %d", fd);
	if (socket_option(fd, SO_DOMAIN) != AF_UNIX || socket_option(fd, SO_TYPE) != SOCK_STREAM) {
		refdev_report("%s is no UNIX stream socket", ep->name);
		return -ENOTSOCK;
	}
	if (socket_option(fd, SO_ACCEPTCONN) != 1) {
		refdev_connection_open(&ep->conn, fd);
		return 0;
	}
	if (refdev_listener_adopt(&ep->listener, fd) != 0) {
		refdev_report("%s can't be made non-blocking: %s", ep->name, strerror(errno));
		return -EINVAL;
	}
	return 0;
}

/* The client has gone or must go. */
static void
disconnect(struct refdev_endpoint *ep)
{
	refdev_output_drop(&ep->out);
	refdev_connection_close(&ep->conn);
	refdev_disconnect(ep->dev);
	ep->more = false;
	ep->mute = false;
	ep->finished = ep->once || ep->listener.fd < 0;
	if (ep->finished)
		refdev_listener_close(&ep->listener);
}

void
refdev_endpoint_accept(struct refdev_endpoint *ep)
{
	int fd = refdev_listener_accept(&ep->listener);

	if (fd < 0) {
		bool passes = fd == -EAGAIN || fd == -EINTR || fd == -ECONNABORTED;

		if (!passes && fd != ep->accept_error)
			refdev_report("%s: can't accept a client: %s", ep->name, strerror(-fd));
		ep->accept_error = fd;
		return;
	}
	refdev_connection_open(&ep->conn, fd);
	if (refdev_faults_refuse(ep->faults, ep->faults_seen))
		disconnect(ep);
}

/* What the receiving or the sending half said; the client is still there when it returns true. */
static bool
goes_on(struct refdev_endpoint *ep, ssize_t rc)
{
	if (rc == -EAGAIN || rc == -EINTR || rc > 0)
		return true;
	if (rc == 0 && refdev_connection_left(&ep->conn) > 0)
		refdev_report("%s: the client left %zu bytes into a message", ep->name,
			refdev_connection_left(&ep->conn));
	else if (rc == -EPROTO)
		refdev_report(
			"%s: the client sent more descriptors than a message may carry", ep->name);
	else if (rc < 0 && rc != -ESHUTDOWN && rc != -EPIPE && rc != -ECONNRESET)
		refdev_report("%s: connection lost: %s", ep->name, strerror((int)-rc));
	disconnect(ep);
	return false;
}

static void
close_fds(struct vuc_loopback_msg *msg)
{
	for (unsigned int i = 0; i < msg->nr_fds; i++)
		if (msg->fds[i] >= 0)
			close(msg->fds[i]);
	msg->nr_fds = 0;
}

/* Returns as refdev_output_send(). */
static int
reply_with_faults(struct refdev_endpoint *ep)
{
	struct refdev_plan plan = {0};

	refdev_faults_apply(ep->faults, ep->faults_seen, &ep->reply, &plan);
	ep->mute = ep->mute || plan.mute;
	plan.drop = plan.drop || ep->mute;
	return refdev_output_send(&ep->out, ep->conn.fd, &ep->reply, &plan);
}

/* Returns as refdev_output_send(). */
static int
serve_message(struct refdev_endpoint *ep)
{
	unsigned int nr_fds = ep->request.nr_fds;
	int rc;

	ep->reply.len = 0;
	ep->reply.nr_fds = 0;
	rc = refdev_handle(ep->dev, &ep->request, &ep->reply);
	if (nr_fds > 0)
		close_fds(&ep->request);
	if (ep->verbose)
		refdev_trace(ep->name, &ep->request, nr_fds, &ep->reply);
	if (rc != 0) {
		refdev_report("%s: client disconnected: %s", ep->name, refdev_reason(ep->dev));
		return -ESHUTDOWN;
	}
	if (ep->reply.len == 0)
		return 0;
	if (ep->faults->nr > 0)
		return reply_with_faults(ep);
	return refdev_output_send(&ep->out, ep->conn.fd, &ep->reply, NULL);
}

/* Serve what is in the buffer. False when the client has gone or the rest must wait. */
static bool
serve_burst(struct refdev_endpoint *ep)
{
	for (unsigned int i = 0; i < BURST; i++) {
		int rc = refdev_connection_next(&ep->conn, ep->dev, &ep->request);

		if (rc == 0) {
			ep->more = false;
			return true;
		}
		if (rc < 0) {
			refdev_report(
				"%s: client disconnected: %s", ep->name, refdev_reason(ep->dev));
			disconnect(ep);
			return false;
		}
		rc = serve_message(ep);
		if (rc != 0) {
			goes_on(ep, rc);
			return false;
		}
	}
	return false;
}

void
refdev_endpoint_turn(struct refdev_endpoint *ep)
{
	ssize_t rc;

	if (refdev_output_pending(&ep->out)) {
		rc = refdev_output_flush(&ep->out, ep->conn.fd);
		if (rc != 0) {
			goes_on(ep, rc);
			return;
		}
	}
	if (ep->more && !serve_burst(ep))
		return;
	rc = refdev_connection_receive(&ep->conn, ep->dev);
	if (rc == -EAGAIN || !goes_on(ep, rc))
		return;
	ep->more = true;
	serve_burst(ep);
}

struct refdev_wait
refdev_endpoint_wait(const struct refdev_endpoint *ep)
{
	uint64_t now;

	if (ep->finished)
		return (struct refdev_wait){.fd = -1, .ns = -1};
	if (!refdev_endpoint_has_client(ep))
		return (struct refdev_wait){.fd = ep->listener.fd, .events = POLLIN, .ns = -1};
	if (!refdev_output_pending(&ep->out))
		return (struct refdev_wait){
			.fd = ep->conn.fd,
			.events = POLLIN,
			.ns = ep->more ? 0 : -1,
		};
	now = refdev_now();
	if (now < ep->out.not_before)
		return (struct refdev_wait){.fd = -1, .ns = (int64_t)(ep->out.not_before - now)};
	return (struct refdev_wait){.fd = ep->conn.fd, .events = POLLOUT, .ns = -1};
}
