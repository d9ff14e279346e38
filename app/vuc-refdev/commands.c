/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <unistd.h>

#include "commands.h"
#include "clock.h"
#include "endpoint.h"
#include "fds.h"
#include "report.h"
#include "trace.h"

/* Commands of one turn: as many as keep others from waiting for long. */
#define BURST 64

static bool
has_twin(const struct refdev_endpoint *ep)
{
	return ep->twin.fd >= 0;
}

static void
close_twin(struct refdev_endpoint *ep)
{
	refdev_output_drop(&ep->twin_out);
	refdev_connection_close(&ep->twin);
	ep->twin_lost = true;
}

void
refdev_commands_close(struct refdev_endpoint *ep)
{
	if (has_twin(ep))
		close_twin(ep);
	ep->twin_lost = false;
}

/* Whether a command could leave now. */
static bool
can_send(const struct refdev_endpoint *ep)
{
	const struct refdev_output *out = has_twin(ep) ? &ep->twin_out : &ep->out;

	return !ep->mute && !ep->twin_lost && !refdev_output_pending(out);
}

/* Returns as refdev_output_send(). */
static int
send_next(struct refdev_endpoint *ep)
{
	struct refdev_output *out = has_twin(ep) ? &ep->twin_out : &ep->out;
	int fd = has_twin(ep) ? ep->twin.fd : ep->conn.fd;
	struct refdev_plan plan = {0};

	if (ep->verbose)
		refdev_trace_command(ep->name, &ep->command);
	if (ep->faults->nr == 0)
		return refdev_output_send(out, fd, &ep->command, NULL);
	refdev_faults_apply(ep->faults, ep->faults_seen, &ep->command, &plan);
	ep->mute = plan.mute;
	plan.drop = plan.drop || plan.mute;
	return refdev_output_send(out, fd, &ep->command, &plan);
}

/* What sending by the twin socket said: without it the client is served on. */
static int
after_twin_send(struct refdev_endpoint *ep, int rc)
{
	if (rc == 0 || rc == -EAGAIN || rc == -EINTR)
		return 0;
	if (rc == -ESHUTDOWN)
		return rc;
	close_twin(ep);
	return 0;
}

static int
send_due(struct refdev_endpoint *ep)
{
	for (unsigned int i = 0; i < BURST && can_send(ep) && refdev_has_command(ep->dev); i++) {
		int rc = 0;

		if (refdev_next_command(ep->dev, &ep->command))
			rc = send_next(ep);
		if (has_twin(ep))
			rc = after_twin_send(ep, rc);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int
client_blame(const struct refdev_endpoint *ep)
{
	refdev_report("%s: client disconnected: %s", ep->name, refdev_reason(ep->dev));
	return -ESHUTDOWN;
}

/* What the twin socket's buffer has. */
static int
take_answers(struct refdev_endpoint *ep)
{
	struct vuc_loopback_msg msg;
	int rc;

	while ((rc = refdev_connection_next(&ep->twin, ep->dev, &msg)) == 1) {
		if (ep->verbose)
			refdev_trace_command(ep->name, &msg);
		rc = refdev_handle_twin(ep->dev, &msg);
		vuc_fds_close(msg.fds, msg.nr_fds);
		if (rc != 0)
			return client_blame(ep);
	}
	return rc < 0 ? client_blame(ep) : 0;
}

static int
receive_answers(struct refdev_endpoint *ep)
{
	ssize_t n = refdev_connection_receive(&ep->twin, ep->dev);

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n > 0)
		return take_answers(ep);
	close_twin(ep);
	return 0;
}

static void
adopt_twin(struct refdev_endpoint *ep)
{
	int fd = refdev_take_twin(ep->dev);

	if (fd >= 0)
		refdev_connection_open(&ep->twin, fd);
}

int
refdev_commands_turn(struct refdev_endpoint *ep, bool look)
{
	int rc = 0;

	if (!has_twin(ep))
		adopt_twin(ep);
	if (has_twin(ep) && refdev_output_pending(&ep->twin_out))
		rc = after_twin_send(ep, refdev_output_flush(&ep->twin_out, ep->twin.fd));
	if (rc == 0 && has_twin(ep) && (look || refdev_awaits_answers(ep->dev)))
		rc = receive_answers(ep);
	return rc != 0 ? rc : send_due(ep);
}

int64_t
refdev_commands_wait(const struct refdev_endpoint *ep, struct pollfd *pfd)
{
	uint64_t now;

	*pfd = (struct pollfd){.fd = ep->twin.fd, .events = POLLIN};
	if (can_send(ep) && refdev_has_command(ep->dev))
		return 0;
	if (!has_twin(ep) || !refdev_output_pending(&ep->twin_out))
		return -1;
	now = vuc_clock_ns();
	if (now < ep->twin_out.not_before)
		return (int64_t)(ep->twin_out.not_before - now);
	pfd->events = POLLIN | POLLOUT;
	return -1;
}
