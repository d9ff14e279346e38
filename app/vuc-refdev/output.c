/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "fds.h"
#include "output.h"

/* Nothing is pending any more. */
static void
output_finish(struct refdev_output *out)
{
	vuc_fds_close(out->fds, out->nr_fds);
	out->nr_fds = 0;
	out->len = 0;
}

void
refdev_output_drop(struct refdev_output *out)
{
	struct vuc_loopback_msg *held = &out->held.msg;

	output_finish(out);
	vuc_fds_close(held->fds, held->nr_fds);
	free(held->bytes);
	*held = (struct vuc_loopback_msg){0};
}

/* One send; 0 or a negative errno. */
static int
send_chunk(struct refdev_output *out, int fd)
{
	size_t left = out->len - out->sent;
	size_t len = left < out->chunk ? left : out->chunk;
	unsigned int nr_fds = 0;
	ssize_t n;

	if (out->sent == 0)
		nr_fds = out->nr_fds;
	n = vuc_fds_send(fd, out->bytes + out->sent, len, out->fds, nr_fds, MSG_DONTWAIT);
	if (n < 0)
		return (int)n;
	out->sent += (size_t)n;
	return 0;
}

static int
flush_pending(struct refdev_output *out, int fd)
{
	if (out->not_before > 0 && vuc_clock_ns() < out->not_before)
		return -EAGAIN;
	for (;;) {
		while (out->sent < out->len) {
			int rc = send_chunk(out, fd);

			if (rc != 0)
				return rc;
		}
		if (out->repeats == 0)
			break;
		out->repeats--;
		out->sent = 0;
	}
	output_finish(out);
	return out->hang_up ? -ESHUTDOWN : 0;
}

static void
take_fds(struct refdev_output *out, struct vuc_loopback_msg *reply, unsigned int extra)
{
	memcpy(out->fds, reply->fds, reply->nr_fds * sizeof(reply->fds[0]));
	out->nr_fds = reply->nr_fds;
	reply->nr_fds = 0;
	for (unsigned int i = 0; i < extra && out->nr_fds < VUC_FDS_MAX; i++) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return;
		out->fds[out->nr_fds++] = fd;
	}
}

/* A plan that sends nothing and goes on, or nothing and closes. */
static bool
sends_nothing(const struct refdev_plan *plan)
{
	return plan->drop || plan->hang_up || (plan->limited && plan->limit == 0);
}

/* Keep a copy of a reply, and its descriptors. */
static int
reply_hold(
	struct refdev_output *out, struct vuc_loopback_msg *reply, const struct refdev_plan *plan)
{
	struct refdev_held *held = &out->held;
	uint8_t *bytes = realloc(held->msg.bytes, reply->len);

	if (bytes == NULL) {
		take_fds(out, reply, 0);
		output_finish(out);
		return -ENOMEM;
	}
	memcpy(bytes, reply->bytes, reply->len);
	held->msg = *reply;
	held->msg.bytes = bytes;
	held->plan = *plan;
	held->not_after = vuc_clock_ns() + plan->reorder_ms * 1000000u;
	reply->nr_fds = 0;
	return 0;
}

static int
send_planned(struct refdev_output *out, int fd, struct vuc_loopback_msg *reply,
	const struct refdev_plan *plan)
{
	size_t len = reply->len;

	take_fds(out, reply, plan->extra_fds);
	if (sends_nothing(plan)) {
		output_finish(out);
		return plan->hang_up || plan->limited ? -ESHUTDOWN : 0;
	}
	if (plan->limited && plan->limit < len)
		len = plan->limit;
	out->bytes = reply->bytes;
	out->len = len;
	out->sent = 0;
	out->chunk = plan->split ? 1 : len;
	out->repeats = plan->repeats;
	out->hang_up = plan->limited;
	out->not_before = plan->delay_ms > 0 ? vuc_clock_ns() + plan->delay_ms * 1000000u : 0;
	return flush_pending(out, fd);
}

static int
send_held(struct refdev_output *out, int fd)
{
	struct vuc_loopback_msg msg = out->held.msg;

	out->held.msg.len = 0;
	out->held.msg.nr_fds = 0;
	return send_planned(out, fd, &msg, &out->held.plan);
}

int64_t
refdev_output_held_for(const struct refdev_output *out)
{
	uint64_t now;

	if (!refdev_output_holds(out))
		return -1;
	now = vuc_clock_ns();
	return now < out->held.not_after ? (int64_t)(out->held.not_after - now) : 0;
}

int
refdev_output_flush(struct refdev_output *out, int fd)
{
	bool follows = refdev_output_pending(out);
	int rc = follows ? flush_pending(out, fd) : 0;

	if (rc != 0 || !refdev_output_holds(out))
		return rc;
	return follows || refdev_output_held_for(out) == 0 ? send_held(out, fd) : 0;
}

/* What is held follows the first reply that leaves. */
static int
send_or_hold(struct refdev_output *out, int fd, struct vuc_loopback_msg *reply,
	const struct refdev_plan *plan)
{
	bool leaves = !sends_nothing(plan);
	int rc;

	if (leaves && plan->reorder_ms > 0 && !refdev_output_holds(out))
		return reply_hold(out, reply, plan);
	rc = send_planned(out, fd, reply, plan);
	if (rc == 0 && leaves && refdev_output_holds(out))
		rc = send_held(out, fd);
	return rc;
}

int
refdev_output_send(struct refdev_output *out, int fd, struct vuc_loopback_msg *reply,
	const struct refdev_plan *plan)
{
	static const struct refdev_plan as_it_is;
	ssize_t n;

	if (plan != NULL || reply->nr_fds > 0)
		return send_or_hold(out, fd, reply, plan != NULL ? plan : &as_it_is);
	n = send(fd, reply->bytes, reply->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n == (ssize_t)reply->len)
		return 0;
	if (n < 0 && errno != EAGAIN)
		return -errno;
	*out = (struct refdev_output){
		.bytes = reply->bytes,
		.len = reply->len,
		.sent = n > 0 ? (size_t)n : 0,
		.chunk = reply->len,
		.held = out->held,
	};
	return -EAGAIN;
}
