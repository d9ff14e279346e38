/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server.h"

#define BACKLOG 16

/* Messages, and commands of the device, of one turn: as many as keep others from waiting for long.
 */
#define BURST         32
#define COMMAND_BURST 64

int
refdev_endpoint_init(
	struct refdev_endpoint *ep, const struct refdev_options *options, uint64_t serial)
{
	struct refdev_config device = options->device;
	struct vuc_error err = {0};
	size_t size;

	*ep = (struct refdev_endpoint){
		.listener = {.fd = -1},
		.main = {.fd = -1},
		.twin = {.fd = -1},
		.options = options,
	};
	device.serial = serial;
	device.commands = true;
	device.err = &err;
	ep->dev = refdev_create(&device);
	if (ep->dev == NULL) {
		if (err.text[0] == '\0')
			snprintf(err.text, sizeof(err.text), "cannot create a device: %s",
				strerror(errno));
		refdev_report("%s", err.text);
		return -EINVAL;
	}
	size = refdev_max_message(ep->dev);
	ep->reply = (struct vuc_loopback_msg){.bytes = malloc(size), .size = size};
	ep->command = (struct vuc_loopback_msg){.bytes = malloc(size), .size = size};
	ep->faults_seen = calloc(options->faults.nr + 1, sizeof(ep->faults_seen[0]));
	if (ep->reply.bytes != NULL && ep->command.bytes != NULL && ep->faults_seen != NULL &&
		refdev_channel_init(&ep->main, size) == 0 &&
		refdev_channel_init(&ep->twin, size) == 0)
		return 0;
	refdev_report("out of memory for messages of %zu bytes", size);
	refdev_endpoint_destroy(ep);
	return -ENOMEM;
}

void
refdev_endpoint_destroy(struct refdev_endpoint *ep)
{
	refdev_channel_destroy(&ep->main);
	refdev_channel_destroy(&ep->twin);
	vuc_listener_close(&ep->listener);
	refdev_destroy(ep->dev);
	free(ep->faults_seen);
	free(ep->command.bytes);
	free(ep->reply.bytes);
}

int
refdev_endpoint_listen(struct refdev_endpoint *ep, const char *path)
{
	struct vuc_error err;
	int rc = vuc_listener_bind(&ep->listener, path, SOCK_STREAM, 0, (gid_t)-1, &err);

	snprintf(ep->name, sizeof(ep->name), "%s", path);
	if (rc == 0)
		rc = vuc_listener_listen(&ep->listener, BACKLOG, &err);
	if (rc != 0)
		refdev_report("%s", err.text);
	return rc;
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
	int flags;

	snprintf(ep->name, sizeof(ep->name), "fd %d", fd);
	if (socket_option(fd, SO_DOMAIN) != AF_UNIX || socket_option(fd, SO_TYPE) != SOCK_STREAM) {
		refdev_report("%s is not a UNIX stream socket", ep->name);
		return -ENOTSOCK;
	}
	if (socket_option(fd, SO_ACCEPTCONN) != 1) {
		refdev_channel_open(&ep->main, fd);
		return 0;
	}
	ep->listener.fd = fd;
	flags = fcntl(fd, F_GETFL);
	if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0)
		return 0;
	refdev_report("%s: cannot set O_NONBLOCK: %s", ep->name, strerror(errno));
	return -EINVAL;
}

static void
client_disconnect(struct refdev_endpoint *ep)
{
	refdev_channel_close(&ep->main);
	refdev_channel_close(&ep->twin);
	refdev_disconnect(ep->dev);
	ep->more = false;
	ep->mute = false;
	ep->twin_lost = false;
	ep->finished = ep->options->once || ep->listener.fd < 0;
	if (ep->finished)
		vuc_listener_close(&ep->listener);
}

/* It has violated the protocol. */
static void
client_blame(struct refdev_endpoint *ep)
{
	refdev_report("%s: disconnecting the client: %s", ep->name, refdev_reason(ep->dev));
	client_disconnect(ep);
}

void
refdev_endpoint_accept(struct refdev_endpoint *ep)
{
	int fd = accept4(ep->listener.fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0) {
		bool passes = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;

		if (!passes && errno != ep->accept_error)
			refdev_report(
				"%s: cannot accept a connection: %s", ep->name, strerror(errno));
		ep->accept_error = errno;
		return;
	}
	refdev_channel_open(&ep->main, fd);
	if (refdev_faults_refuse(&ep->options->faults, ep->faults_seen))
		client_disconnect(ep);
}

/* What receiving said. Returns whether there is something new to look at. */
static bool
after_receive(struct refdev_endpoint *ep, ssize_t rc)
{
	if (rc > 0)
		return true;
	if (rc == -EAGAIN || rc == -EINTR)
		return false;
	if (rc == 0 && refdev_channel_left(&ep->main) > 0)
		refdev_report("%s: client disconnected within a message, after %zu bytes of it",
			ep->name, refdev_channel_left(&ep->main));
	else if (rc == -EPROTO)
		refdev_report("%s: disconnecting the client: message has too many file descriptors",
			ep->name);
	else if (rc < 0 && rc != -ECONNRESET)
		refdev_report("%s: connection lost: %s", ep->name, strerror((int)-rc));
	client_disconnect(ep);
	return false;
}

/* What sending said. A client that takes no replies any more may have sent commands before it left:
 * they are carried out, up to the end of its stream. */
static void
after_send(struct refdev_endpoint *ep, int rc)
{
	if (rc == -EPIPE || rc == -ECONNRESET) {
		refdev_channel_drop(&ep->main);
		ep->mute = true;
	} else if (rc != 0 && rc != -EAGAIN && rc != -EINTR) {
		if (rc != -ESHUTDOWN)
			refdev_report("%s: connection lost: %s", ep->name, strerror(-rc));
		client_disconnect(ep);
	}
}

static void
close_fds(struct vuc_loopback_msg *msg)
{
	vuc_fds_close(msg->fds, msg->nr_fds);
	msg->nr_fds = 0;
}

/* Send what faults leave of a message. Returns as refdev_channel_send(). */
static int
message_send(struct refdev_endpoint *ep, struct refdev_channel *ch, struct vuc_loopback_msg *msg)
{
	struct refdev_plan plan = {0};

	if (ep->options->faults.nr == 0)
		return refdev_channel_send(ch, msg, NULL);
	refdev_faults_apply(&ep->options->faults, ep->faults_seen, msg, &plan);
	ep->mute = plan.mute != 0;
	if (ep->mute)
		refdev_channel_drop(&ep->main);
	plan.drop |= plan.mute;
	return refdev_channel_send(ch, msg, &plan);
}

/* False when the client has gone or the rest must wait. */
static bool
message_serve(struct refdev_endpoint *ep)
{
	unsigned int nr_fds = ep->request.nr_fds;
	int rc;

	ep->reply.len = 0;
	ep->reply.nr_fds = 0;
	rc = refdev_handle(ep->dev, &ep->request, &ep->reply);
	if (nr_fds > 0)
		close_fds(&ep->request);
	if (ep->options->verbose)
		refdev_trace(ep->name, &ep->request, nr_fds, &ep->reply);
	if (rc != 0) {
		client_blame(ep);
		return false;
	}
	if (ep->reply.len > 0 && ep->mute)
		close_fds(&ep->reply);
	else if (ep->reply.len > 0)
		rc = message_send(ep, &ep->main, &ep->reply);
	if (rc != 0)
		after_send(ep, rc);
	return rc == 0;
}

/* Serve what is in the buffer. False when the client has gone or the rest must wait. */
static bool
burst_serve(struct refdev_endpoint *ep)
{
	for (unsigned int i = 0; i < BURST; i++) {
		int rc = refdev_channel_next(&ep->main, ep->dev, &ep->request);

		if (rc == 0) {
			ep->more = false;
			return true;
		}
		if (rc < 0) {
			client_blame(ep);
			return false;
		}
		if (!message_serve(ep))
			return false;
	}
	return false;
}

static void
client_serve(struct refdev_endpoint *ep)
{
	int rc = refdev_channel_flush(&ep->main);

	if (rc != 0) {
		after_send(ep, rc);
		return;
	}
	if (ep->more && !burst_serve(ep))
		return;
	ep->more = after_receive(ep, refdev_channel_receive(&ep->main, ep->dev));
	if (ep->more)
		burst_serve(ep);
}

/* Commands of the device go over the client's socket, or over the twin of it. */
static struct refdev_channel *
command_channel(struct refdev_endpoint *ep)
{
	return refdev_channel_is_open(&ep->twin) ? &ep->twin : &ep->main;
}

static bool
is_command_due(struct refdev_endpoint *ep)
{
	return !ep->mute && !ep->twin_lost && !refdev_channel_is_pending(command_channel(ep)) &&
		refdev_has_command(ep->dev);
}

static void
twin_close(struct refdev_endpoint *ep)
{
	refdev_channel_close(&ep->twin);
	ep->twin_lost = true;
}

/* What sending a command said: without the twin socket the client is served on. */
static void
after_command(struct refdev_endpoint *ep, const struct refdev_channel *ch, int rc)
{
	if (ch == &ep->main || rc == -ESHUTDOWN)
		after_send(ep, rc);
	else if (rc != 0 && rc != -EAGAIN && rc != -EINTR)
		twin_close(ep);
}

static void
commands_send(struct refdev_endpoint *ep)
{
	for (unsigned int i = 0; i < COMMAND_BURST && is_command_due(ep); i++) {
		struct refdev_channel *ch = command_channel(ep);

		if (!refdev_next_command(ep->dev, &ep->command))
			return;
		if (ep->options->verbose)
			refdev_trace(ep->name, &ep->command, 0, NULL);
		after_command(ep, ch, message_send(ep, ch, &ep->command));
	}
}

/* What the twin socket has. */
static void
twin_receive(struct refdev_endpoint *ep)
{
	ssize_t n = refdev_channel_receive(&ep->twin, ep->dev);
	struct vuc_loopback_msg msg;
	int rc;

	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n <= 0) {
		twin_close(ep);
		return;
	}
	while ((rc = refdev_channel_next(&ep->twin, ep->dev, &msg)) == 1) {
		if (ep->options->verbose)
			refdev_trace(ep->name, &msg, msg.nr_fds, NULL);
		rc = refdev_handle(ep->dev, &msg, NULL);
		close_fds(&msg);
		if (rc != 0)
			break;
	}
	if (rc < 0)
		client_blame(ep);
}

void
refdev_endpoint_turn(struct refdev_endpoint *ep, bool look)
{
	client_serve(ep);
	if (!refdev_channel_is_open(&ep->twin)) {
		int fd = refdev_take_twin(ep->dev);

		if (fd >= 0)
			refdev_channel_open(&ep->twin, fd);
	}
	if (refdev_channel_is_pending(&ep->twin))
		after_command(ep, &ep->twin, refdev_channel_flush(&ep->twin));
	if (refdev_channel_is_open(&ep->twin) && (look || refdev_awaits_answers(ep->dev)))
		twin_receive(ep);
	if (!refdev_channel_is_open(&ep->main))
		return;
	refdev_poll(ep->dev);
	commands_send(ep);
	if (look && refdev_channel_is_open(&ep->main))
		refdev_take_events(ep->dev);
}

/* -1 is for ever. */
static int64_t
shorter_timeout(int64_t a, int64_t b)
{
	return (uint64_t)a < (uint64_t)b ? a : b;
}

int64_t
refdev_endpoint_wait(struct refdev_endpoint *ep, struct pollfd *pfds)
{
	int64_t ns;

	for (unsigned int i = 0; i < REFDEV_ENDPOINT_FDS; i++)
		pfds[i] = (struct pollfd){.fd = -1};
	if (!refdev_channel_is_open(&ep->main)) {
		/* The next client; none is awaited by one that is finished. */
		pfds[0] = (struct pollfd){.fd = ep->listener.fd, .events = POLLIN};
		return -1;
	}
	ns = refdev_channel_wait(&ep->main, false, &pfds[0]);
	if (!refdev_channel_is_pending(&ep->main) && ep->more)
		ns = 0;
	if (refdev_channel_is_open(&ep->twin))
		ns = shorter_timeout(ns, refdev_channel_wait(&ep->twin, true, &pfds[1]));
	if (is_command_due(ep))
		ns = 0;
	ns = shorter_timeout(ns, refdev_poll_ns(ep->dev));
	for (unsigned int i = 0; i < REFDEV_MAX_EVENT_FDS; i++)
		pfds[2 + i] = (struct pollfd){.fd = refdev_event_fds(ep->dev)[i], .events = POLLIN};
	return ns;
}
