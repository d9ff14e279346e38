/* SPDX-License-Identifier: BSD-3-Clause */
#include "stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "interrupt.h"

/* How often a spinning loop looks at the clock: some milliseconds apart. */
#define SPINS_PER_LOOK 8192u

void
bench_stream_init(
	struct bench_stream *stream, const struct bench_clock *clock, int fd, unsigned int ms)
{
	*stream = (struct bench_stream){
		.clock = clock,
		.fd = fd,
		.deadline = bench_clock_ticks(clock) + bench_clock_from_ms(clock, ms),
	};
}

/* After a call that has failed. Returns 0 when it is to be tried again. */
static int
try_again(const struct bench_stream *s, unsigned int *spins)
{
	if (errno != EAGAIN && errno != EINTR)
		return -errno;
	if (++*spins % SPINS_PER_LOOK != 0)
		return 0;
	if (bench_interrupted())
		return -EINTR;
	return bench_clock_ticks(s->clock) > s->deadline ? -ETIMEDOUT : 0;
}

static void
stream_advance(struct msghdr *msg, size_t len)
{
	while (msg->msg_iovlen > 0 && len >= msg->msg_iov->iov_len) {
		len -= msg->msg_iov->iov_len;
		msg->msg_iov++;
		msg->msg_iovlen--;
	}
	if (len > 0) {
		msg->msg_iov->iov_base = (uint8_t *)msg->msg_iov->iov_base + len;
		msg->msg_iov->iov_len -= len;
	}
}

int
bench_stream_send(struct bench_stream *s, const void *head, size_t head_len, const void *data,
	size_t data_len)
{
	struct iovec iov[] = {
		{.iov_base = (void *)(uintptr_t)head, .iov_len = head_len},
		{.iov_base = (void *)(uintptr_t)data, .iov_len = data_len},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = data_len > 0 ? 2 : 1};
	unsigned int spins = 0;
	int ret = 0;

	while (ret == 0 && msg.msg_iovlen > 0) {
		ssize_t n = sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

		s->syscalls++;
		if (n >= 0)
			stream_advance(&msg, (size_t)n);
		else
			ret = try_again(s, &spins);
	}
	return ret;
}

int
bench_stream_receive(struct bench_stream *s, void *buf, size_t len)
{
	uint8_t *at = buf;
	unsigned int spins = 0;
	int ret = 0;

	while (ret == 0 && len > 0) {
		ssize_t n = recv(s->fd, at, len, MSG_DONTWAIT);

		s->syscalls++;
		if (n == 0)
			return -ECONNRESET;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		} else {
			ret = try_again(s, &spins);
		}
	}
	return ret;
}
