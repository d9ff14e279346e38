/* SPDX-License-Identifier: BSD-3-Clause */

/* Receiving messages from a stream, and sending them as faults want it. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "channel.h"
#include "clock.h"

/* Nothing is pending any more. */
static void
output_finish(struct refdev_output *out)
{
	vuc_fds_close(out->fds, out->nr_fds);
	free(out->copy);
	out->copy = NULL;
	out->nr_fds = 0;
	out->len = 0;
}

void
refdev_channel_drop(struct refdev_channel *ch)
{
	output_finish(&ch->out);
	output_finish(&ch->held);
}

/* Room for many small messages even where the longest one is short. */
#define MIN_BUFFER (64u * 1024u)

int
refdev_channel_init(struct refdev_channel *ch, size_t max_message)
{
	size_t size = max_message > MIN_BUFFER ? max_message : MIN_BUFFER;

	*ch = (struct refdev_channel){.fd = -1, .size = size, .buffer = malloc(size)};
	return ch->buffer != NULL ? 0 : -ENOMEM;
}

void
refdev_channel_destroy(struct refdev_channel *ch)
{
	if (ch->buffer == NULL)
		return;
	refdev_channel_close(ch);
	free(ch->buffer);
	ch->buffer = NULL;
}

void
refdev_channel_open(struct refdev_channel *ch, int fd)
{
	ch->fd = fd;
	ch->start = 0;
	ch->end = 0;
	ch->taken = 0;
	ch->nr_fds = 0;
}

void
refdev_channel_close(struct refdev_channel *ch)
{
	refdev_channel_drop(ch);
	if (ch->fd < 0)
		return;
	close(ch->fd);
	ch->fd = -1;
	for (unsigned int i = 0; i < ch->nr_fds; i++)
		close(ch->fds[i].fd);
	ch->nr_fds = 0;
}

/*
 * The message that descriptors of the last receive belong to. The kernel ends a receive behind the
 * send that carried them, but says not where that began: take the last of the messages that the
 * receive brought and that may carry any, else the last of all.
 */
static size_t
find_owner(const struct refdev_channel *ch, struct refdev *dev, size_t old_end)
{
	size_t owner = ch->start;
	bool found = false;

	for (size_t at = ch->start; at < ch->end;) {
		ssize_t size = refdev_message_size(dev, ch->buffer + at, ch->end - at);
		bool whole = size > 0 && (size_t)size <= ch->end - at;

		if (size <= 0)
			return found ? owner : at;
		if (!whole || at + (size_t)size > old_end) {
			bool takes = refdev_message_takes_fds(ch->buffer + at);

			if (takes || !found)
				owner = at;
			found = found || takes;
		}
		if (!whole)
			break;
		at += (size_t)size;
	}
	return owner;
}

/* Returns 0, or -EPROTO if there are more than a message may carry. */
static int
keep_fds(struct refdev_channel *ch, struct refdev *dev, size_t old_end, const int *fds,
	unsigned int nr)
{
	uint64_t owner = ch->taken + (find_owner(ch, dev, old_end) - ch->start);
	unsigned int before = 0;

	for (unsigned int i = 0; i < ch->nr_fds; i++)
		before += ch->fds[i].owner == owner;
	if (nr > VUC_LOOPBACK_MAX_FDS - before || nr > REFDEV_MAX_PENDING_FDS - ch->nr_fds) {
		vuc_fds_close(fds, nr);
		return -EPROTO;
	}
	for (unsigned int i = 0; i < nr; i++)
		ch->fds[ch->nr_fds++] = (struct refdev_fd){.owner = owner, .fd = fds[i]};
	return 0;
}

/* What is left of the last receive goes to the front, so that the message that it begins fits. */
static void
make_room(struct refdev_channel *ch)
{
	if (ch->start == 0)
		return;
	memmove(ch->buffer, ch->buffer + ch->start, ch->end - ch->start);
	ch->end -= ch->start;
	ch->start = 0;
}

ssize_t
refdev_channel_receive(struct refdev_channel *ch, struct refdev *dev)
{
	int fds[VUC_LOOPBACK_MAX_FDS];
	struct iovec part;
	size_t old_end;
	ssize_t n;
	int nr_fds, rc = 0;

	make_room(ch);
	old_end = ch->end;
	part = (struct iovec){.iov_base = ch->buffer + old_end, .iov_len = ch->size - old_end};
	n = vuc_fds_receive(
		ch->fd, &part, 1, fds, VUC_LOOPBACK_MAX_FDS, &nr_fds, MSG_DONTWAIT, NULL);
	if (n < 0)
		return n;
	ch->end += (size_t)n;
	if (nr_fds < 0)
		return -EPROTO;
	if (nr_fds > 0)
		rc = keep_fds(ch, dev, old_end, fds, (unsigned int)nr_fds);
	return rc != 0 ? rc : n;
}

static void
message_take_fds(struct refdev_channel *ch, struct vuc_loopback_msg *msg)
{
	while (msg->nr_fds < ch->nr_fds && ch->fds[msg->nr_fds].owner == ch->taken) {
		msg->fds[msg->nr_fds] = ch->fds[msg->nr_fds].fd;
		msg->nr_fds++;
	}
	ch->nr_fds -= msg->nr_fds;
	memmove(ch->fds, ch->fds + msg->nr_fds, ch->nr_fds * sizeof(ch->fds[0]));
}

int
refdev_channel_next(struct refdev_channel *ch, struct refdev *dev, struct vuc_loopback_msg *msg)
{
	uint8_t *bytes = ch->buffer + ch->start;
	ssize_t size = refdev_message_size(dev, bytes, ch->end - ch->start);

	if (size <= 0)
		return (int)size;
	if ((size_t)size > ch->end - ch->start)
		return 0;
	msg->bytes = bytes;
	msg->len = (size_t)size;
	msg->size = (size_t)size;
	msg->nr_fds = 0;
	if (ch->nr_fds > 0)
		message_take_fds(ch, msg);
	ch->start += (size_t)size;
	ch->taken += (uint64_t)size;
	return 1;
}

/* One send; 0 or a negative errno. */
static int
send_chunk(struct refdev_channel *ch)
{
	struct refdev_output *out = &ch->out;
	size_t left = out->len - out->sent;
	size_t len = left < out->chunk ? left : out->chunk;
	unsigned int nr_fds = 0;
	ssize_t n;

	if (out->sent == 0)
		nr_fds = out->nr_fds;
	n = vuc_fds_send(ch->fd, out->bytes + out->sent, len, out->fds, nr_fds, MSG_DONTWAIT);
	if (n < 0)
		return (int)n;
	out->sent += (size_t)n;
	return 0;
}

static int
flush_pending(struct refdev_channel *ch)
{
	struct refdev_output *out = &ch->out;

	if (out->time > 0 && vuc_clock_ns() < out->time)
		return -EAGAIN;
	for (;;) {
		while (out->sent < out->len) {
			int rc = send_chunk(ch);

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

/* Begin with a message that may have been held. */
static int
output_start(struct refdev_channel *ch)
{
	ch->out.time = ch->out.delay_ns > 0 ? vuc_clock_ns() + ch->out.delay_ns : 0;
	return flush_pending(ch);
}

static int
send_held(struct refdev_channel *ch)
{
	ch->out = ch->held;
	ch->held = (struct refdev_output){0};
	return output_start(ch);
}

static void
output_add_fds(struct refdev_output *out, uint64_t extra)
{
	for (uint64_t i = 0; i < extra && out->nr_fds < VUC_FDS_MAX; i++) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return;
		out->fds[out->nr_fds++] = fd;
	}
}

/* A message as its plan says; takes its descriptors. */
static void
output_make(struct refdev_output *out, struct vuc_loopback_msg *msg, const struct refdev_plan *plan)
{
	bool limited = plan->limit > 0 || plan->hang_up;
	size_t limit = plan->limit > 0 && !plan->hang_up ? (size_t)plan->limit - 1 : 0;

	*out = (struct refdev_output){
		.bytes = msg->bytes,
		.len = limited && limit < msg->len ? limit : msg->len,
		.repeats = plan->repeats,
		.hang_up = limited,
		.delay_ns = plan->delay_ms * 1000000u,
		.nr_fds = msg->nr_fds,
	};
	if (plan->drop)
		out->len = 0;
	out->chunk = plan->split ? 1 : out->len;
	memcpy(out->fds, msg->fds, msg->nr_fds * sizeof(msg->fds[0]));
	msg->nr_fds = 0;
	output_add_fds(out, plan->extra_fds);
}

static int
output_hold(struct refdev_channel *ch, uint64_t ms)
{
	uint8_t *copy = malloc(ch->out.len);

	if (copy == NULL) {
		output_finish(&ch->out);
		return -ENOMEM;
	}
	memcpy(copy, ch->out.bytes, ch->out.len);
	ch->held = ch->out;
	ch->held.bytes = ch->held.copy = copy;
	ch->held.time = vuc_clock_ns() + ms * 1000000u;
	ch->out = (struct refdev_output){0};
	return 0;
}

/* What is held follows the first message that is sent. */
static int
send_planned(
	struct refdev_channel *ch, struct vuc_loopback_msg *msg, const struct refdev_plan *plan)
{
	int rc;

	output_make(&ch->out, msg, plan);
	if (ch->out.len == 0) {
		output_finish(&ch->out);
		return ch->out.hang_up ? -ESHUTDOWN : 0;
	}
	if (plan->reorder_ms > 0 && ch->held.len == 0)
		return output_hold(ch, plan->reorder_ms);
	rc = output_start(ch);
	return rc == 0 && ch->held.len > 0 ? send_held(ch) : rc;
}

/* Nanoseconds from now to a time; 0 when that has passed. */
static int64_t
time_until(uint64_t ns)
{
	uint64_t now = vuc_clock_ns();

	return now < ns ? (int64_t)(ns - now) : 0;
}

int
refdev_channel_flush(struct refdev_channel *ch)
{
	bool follows = refdev_channel_is_pending(ch);
	int rc = follows ? flush_pending(ch) : 0;

	if (rc != 0 || ch->held.len == 0)
		return rc;
	return follows || time_until(ch->held.time) == 0 ? send_held(ch) : 0;
}

int
refdev_channel_send(
	struct refdev_channel *ch, struct vuc_loopback_msg *msg, const struct refdev_plan *plan)
{
	static const struct refdev_plan as_it_is;
	ssize_t n;

	if (plan != NULL || msg->nr_fds > 0)
		return send_planned(ch, msg, plan != NULL ? plan : &as_it_is);
	n = send(ch->fd, msg->bytes, msg->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n == (ssize_t)msg->len)
		return 0;
	if (n < 0 && errno != EAGAIN)
		return -errno;
	ch->out = (struct refdev_output){
		.bytes = msg->bytes,
		.len = msg->len,
		.sent = n > 0 ? (size_t)n : 0,
		.chunk = msg->len,
	};
	return -EAGAIN;
}

int64_t
refdev_channel_wait(const struct refdev_channel *ch, bool always_in, struct pollfd *pfd)
{
	int64_t ns;

	*pfd = (struct pollfd){.fd = ch->fd, .events = POLLIN};
	if (!refdev_channel_is_pending(ch))
		return ch->held.len > 0 ? time_until(ch->held.time) : -1;
	ns = time_until(ch->out.time);
	if (ns > 0) {
		pfd->fd = always_in ? ch->fd : -1;
		return ns;
	}
	pfd->events = always_in ? POLLIN | POLLOUT : POLLOUT;
	return -1;
}
