/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "commands.h"
#include "endpoint.h"
#include "fds.h"
#include "report.h"
#include "trace.h"

/* Messages of one turn: as many as keep other devices from waiting for long. */
#define BURST 32

int
refdev_endpoint_init(struct refdev_endpoint *ep, const struct refdev_endpoint_config *config)
{
	struct refdev_config device = config->device;

	*ep = (struct refdev_endpoint){
		.listener = {.fd = -1},
		.conn = {.fd = -1},
		.twin = {.fd = -1},
		.faults = config->faults,
		.verbose = config->verbose,
		.once = config->once,
	};
	device.commands = true;
	ep->dev = refdev_create(&device);
	if (ep->dev == NULL) {
		refdev_report("can't make a device: %s", strerror(errno));
		return -EINVAL;
	}
	ep->reply.size = refdev_max_message(ep->dev);
	ep->reply.bytes = malloc(ep->reply.size);
	ep->command.size = ep->reply.size;
	ep->command.bytes = malloc(ep->command.size);
	ep->faults_seen = calloc(config->faults->nr + 1, sizeof(ep->faults_seen[0]));
	if (ep->reply.bytes == NULL || ep->command.bytes == NULL || ep->faults_seen == NULL ||
		refdev_connection_init(&ep->conn, ep->reply.size) != 0 ||
		refdev_connection_init(&ep->twin, ep->reply.size) != 0) {
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
	refdev_commands_close(ep);
	refdev_connection_destroy(&ep->conn);
	refdev_connection_destroy(&ep->twin);
	refdev_listener_close(&ep->listener);
	refdev_destroy(ep->dev);
	free(ep->faults_seen);
	free(ep->command.bytes);
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
endpoint_disconnect(struct refdev_endpoint *ep)
{
	refdev_output_drop(&ep->out);
	refdev_commands_close(ep);
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
		endpoint_disconnect(ep);
}

/* What receiving said. Returns whether there is something new to look at. */
static bool
after_receive(struct refdev_endpoint *ep, ssize_t rc)
{
	if (rc > 0)
		return true;
	if (rc == -EAGAIN || rc == -EINTR)
		return false;
	if (rc == 0 && refdev_connection_left(&ep->conn) > 0)
		refdev_report("%s: the client left %zu bytes into a message", ep->name,
			refdev_connection_left(&ep->conn));
	else if (rc == -EPROTO)
		refdev_report(
			"%s: the client sent more descriptors than a message may carry", ep->name);
	else if (rc < 0 && rc != -ECONNRESET)
		refdev_report("%s: connection lost: %s", ep->name, strerror((int)-rc));
	endpoint_disconnect(ep);
	return false;
}

/* What sending said. A client that takes no replies any more may have sent commands before it left:
 * they are carried out, up to the end of its stream. */
static void
after_send(struct refdev_endpoint *ep, int rc)
{
	if (rc == -EPIPE || rc == -ECONNRESET) {
		refdev_output_drop(&ep->out);
		ep->mute = true;
	} else if (rc != 0 && rc != -EAGAIN && rc != -EINTR) {
		if (rc != -ESHUTDOWN)
			refdev_report("%s: connection lost: %s", ep->name, strerror(-rc));
		endpoint_disconnect(ep);
	}
}

static void
close_fds(struct vuc_loopback_msg *msg)
{
	vuc_fds_close(msg->fds, msg->nr_fds);
	msg->nr_fds = 0;
}

/* Returns as refdev_output_send(). */
static int
send_reply(struct refdev_endpoint *ep)
{
	struct refdev_plan plan = {0};

	if (ep->mute) {
		close_fds(&ep->reply);
		return 0;
	}
	if (ep->faults->nr == 0)
		return refdev_output_send(&ep->out, ep->conn.fd, &ep->reply, NULL);
	refdev_faults_apply(ep->faults, ep->faults_seen, &ep->reply, &plan);
	ep->mute = plan.mute;
	if (ep->mute)
		refdev_output_drop(&ep->out);
	plan.drop = plan.drop || plan.mute;
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
	return ep->reply.len > 0 ? send_reply(ep) : 0;
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
			endpoint_disconnect(ep);
			return false;
		}
		rc = serve_message(ep);
		if (rc != 0) {
			after_send(ep, rc);
			return false;
		}
	}
	return false;
}

static void
serve_client(struct refdev_endpoint *ep)
{
	if (refdev_output_pending(&ep->out) || refdev_output_holds(&ep->out)) {
		int rc = refdev_output_flush(&ep->out, ep->conn.fd);

		if (rc != 0) {
			after_send(ep, rc);
			return;
		}
	}
	if (ep->more && !serve_burst(ep))
		return;
	ep->more = after_receive(ep, refdev_connection_receive(&ep->conn, ep->dev));
	if (ep->more)
		serve_burst(ep);
}

void
refdev_endpoint_turn(struct refdev_endpoint *ep, bool look)
{
	int fds[REFDEV_MAX_EVENT_FDS];

	serve_client(ep);
	if (!refdev_endpoint_has_client(ep))
		return;
	after_send(ep, refdev_commands_turn(ep, look));
	if (look && refdev_event_fds(ep->dev, fds) > 0)
		refdev_take_events(ep->dev);
}

/* What there is to wait for on the client's socket, or on that for the next client. */
static int64_t
wait_for_client(const struct refdev_endpoint *ep, struct pollfd *pfd)
{
	uint64_t now;

	*pfd = (struct pollfd){.fd = -1};
	if (ep->finished)
		return -1;
	if (!refdev_endpoint_has_client(ep)) {
		*pfd = (struct pollfd){.fd = ep->listener.fd, .events = POLLIN};
		return -1;
	}
	if (!refdev_output_pending(&ep->out)) {
		*pfd = (struct pollfd){.fd = ep->conn.fd, .events = POLLIN};
		return ep->more ? 0 : refdev_output_held_for(&ep->out);
	}
	now = vuc_clock_ns();
	if (now < ep->out.not_before)
		return (int64_t)(ep->out.not_before - now);
	*pfd = (struct pollfd){.fd = ep->conn.fd, .events = POLLOUT};
	return -1;
}

static int64_t
shorter_timeout(int64_t a, int64_t b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

int64_t
refdev_endpoint_wait(const struct refdev_endpoint *ep, struct pollfd *pfds)
{
	int fds[REFDEV_MAX_EVENT_FDS];
	int64_t ns = wait_for_client(ep, &pfds[0]);
	bool events;

	for (unsigned int i = 1; i < REFDEV_ENDPOINT_FDS; i++)
		pfds[i] = (struct pollfd){.fd = -1};
	if (!refdev_endpoint_has_client(ep))
		return ns;
	ns = shorter_timeout(ns, refdev_commands_wait(ep, &pfds[1]));
	events = refdev_event_fds(ep->dev, fds) > 0;
	for (unsigned int i = 0; events && i < REFDEV_MAX_EVENT_FDS; i++)
		pfds[2 + i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	return ns;
}
