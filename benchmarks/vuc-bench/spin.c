/* SPDX-License-Identifier: BSD-3-Clause */
#include "spin.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "error.h"
#include "fds.h"
#include "interrupt.h"

/* How often a spinning loop looks at the clock: some milliseconds apart. */
#define SPINS_PER_LOOK 8192u

void
bench_spin_init(struct bench_spin *spin, const struct bench_clock *clock, int fd)
{
	*spin = (struct bench_spin){.clock = clock, .fd = fd};
}

void
bench_spin_begin(struct bench_spin *s)
{
	s->deadline = bench_clock_ticks(s->clock) + bench_clock_from_ms(s->clock, BENCH_TIMEOUT_MS);
}

static int
look_up(const struct bench_spin *s, unsigned int spins)
{
	if (spins % SPINS_PER_LOOK != 0)
		return 0;
	if (bench_interrupted())
		return -EINTR;
	return bench_clock_ticks(s->clock) > s->deadline ? -ETIMEDOUT : 0;
}

/* What a send has come to. Returns 0 when it is to be tried again, 1 when the message has gone. */
static int
judge_send(struct bench_spin *s, size_t len, ssize_t n)
{
	s->syscalls++;
	if (n == (ssize_t)len)
		return 1;
	/* The kernel takes so few bytes whole or not at all. */
	if (n >= 0)
		return -EIO;
	return n == -EAGAIN || n == -EINTR ? 0 : (int)n;
}

int
bench_spin_send_bytes(struct bench_spin *s, const void *bytes, size_t len)
{
	int ret = 0;

	for (unsigned int spins = 1; ret == 0; spins++) {
		ssize_t n = send(s->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		ret = judge_send(s, len, n < 0 ? -errno : n);
		if (ret == 0)
			ret = look_up(s, spins);
	}
	return ret < 0 ? ret : 0;
}

int
bench_spin_send(struct bench_spin *s, const struct bench_message *msg)
{
	return bench_spin_send_bytes(s, msg->bytes, msg->len);
}

int
bench_spin_send_fd(struct bench_spin *s, const struct bench_message *msg, int fd)
{
	int ret = 0;

	for (unsigned int spins = 1; ret == 0; spins++) {
		ret = judge_send(s, msg->len,
			vuc_fds_send(s->fd, msg->bytes, msg->len, &fd, 1, MSG_DONTWAIT));
		if (ret == 0)
			ret = look_up(s, spins);
	}
	return ret < 0 ? ret : 0;
}

ssize_t
bench_spin_receive_some(struct bench_spin *s, void *buf, size_t size)
{
	int ret = 0;

	for (unsigned int spins = 1; ret == 0; spins++) {
		ssize_t n = recv(s->fd, buf, size, MSG_DONTWAIT);

		s->syscalls++;
		if (n > 0)
			return n;
		if (n == 0)
			return -ECONNRESET;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		ret = look_up(s, spins);
	}
	return ret;
}

ssize_t
bench_spin_receive(struct bench_spin *s, const struct bench_message *msg)
{
	size_t got = 0;

	while (got < msg->reply_len) {
		ssize_t n = bench_spin_receive_some(s, s->reply + got, sizeof(s->reply) - got);

		if (n < 0)
			return n;
		got += (size_t)n;
		/* An error's reply is all that will come. */
		if (bench_message_is_whole(s->reply, got))
			break;
	}
	return (ssize_t)got;
}

int
bench_spin_check(const struct bench_spin *s, const struct bench_message *msg, ssize_t len,
	struct vuc_error *err)
{
	if (len < 0)
		return bench_fail(err, (int)len, "floor: %s", strerror((int)-len));
	if (msg->reply_len == 0)
		return 0;
	return bench_message_check(msg, s->reply, (size_t)len, err);
}
