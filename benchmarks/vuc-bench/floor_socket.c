/* SPDX-License-Identifier: BSD-3-Clause */
#include "floor.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "handshake.h"
#include "interrupt.h"

/* How often a spinning loop looks at the clock: some milliseconds apart. */
#define SPINS_PER_LOOK 8192u

static struct bench_floor_socket *
floor_of(struct bench_way *way)
{
	return (struct bench_floor_socket *)way;
}

static int
look_up(const struct bench_floor_socket *f)
{
	if (bench_interrupted())
		return -EINTR;
	return bench_clock_ticks(f->clock) > f->deadline ? -ETIMEDOUT : 0;
}

static int
send_spinning(struct bench_floor_socket *f, const struct bench_message *msg)
{
	for (unsigned int spins = 1;; spins++) {
		ssize_t n = send(f->fd, msg->bytes, msg->len, MSG_DONTWAIT | MSG_NOSIGNAL);

		f->way.syscalls++;
		if (n == (ssize_t)msg->len)
			return 0;
		/* The kernel takes so few bytes whole or not at all. */
		if (n >= 0)
			return -EIO;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (spins % SPINS_PER_LOOK == 0) {
			int ret = look_up(f);

			if (ret != 0)
				return ret;
		}
	}
}

/* Whether this is all that will come although it is less than was expected: an error's reply. */
static bool
is_whole(const uint8_t *reply, size_t len)
{
	struct vfio_user_header header;

	if (len < sizeof(header))
		return false;
	memcpy(&header, reply, sizeof(header));
	return header.msg_size <= len;
}

/* Returns the length of the reply. */
static ssize_t
receive_spinning(struct bench_floor_socket *f, size_t want)
{
	size_t got = 0;

	for (unsigned int spins = 1; got < want; spins++) {
		ssize_t n = recv(f->fd, f->reply + got, sizeof(f->reply) - got, MSG_DONTWAIT);

		f->way.syscalls++;
		if (n > 0) {
			got += (size_t)n;
			if (got < want && is_whole(f->reply, got))
				break;
			continue;
		}
		if (n == 0)
			return -ECONNRESET;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (spins % SPINS_PER_LOOK == 0) {
			int ret = look_up(f);

			if (ret != 0)
				return ret;
		}
	}
	return (ssize_t)got;
}

static ssize_t
exchange(struct bench_floor_socket *f, const struct bench_message *msg)
{
	int ret = send_spinning(f, msg);

	if (ret != 0)
		return ret;
	return msg->reply_len > 0 ? receive_spinning(f, msg->reply_len) : 0;
}

static int
check(const struct bench_floor_socket *f, const struct bench_message *msg, ssize_t len,
	struct vuc_error *err)
{
	if (len < 0)
		return bench_fail(err, (int)len, "floor: %s", strerror((int)-len));
	if (msg->reply_len == 0)
		return 0;
	return bench_message_check(msg, f->reply, (size_t)len, err);
}

static void
set_deadline(struct bench_floor_socket *f)
{
	f->deadline = bench_clock_ticks(f->clock) + bench_clock_from_ms(f->clock, BENCH_TIMEOUT_MS);
}

static int
floor_burst(struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	struct bench_floor_socket *f = floor_of(way);

	set_deadline(f);
	for (unsigned int i = 0; i < nr; i++) {
		uint64_t start;
		ssize_t len;
		int ret;

		bench_message_number(&f->access, ++f->id);
		start = bench_clock_ticks(f->clock);
		len = exchange(f, &f->access);
		ticks[i] = bench_clock_ticks(f->clock) - start;
		ret = check(f, &f->access, len, err);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int
floor_settle(struct bench_way *way, struct vuc_error *err)
{
	struct bench_floor_socket *f = floor_of(way);

	set_deadline(f);
	bench_message_number(&f->settle, ++f->id);
	return check(f, &f->settle, exchange(f, &f->settle), err);
}

static int
floor_open(struct bench_way *way, struct vuc_error *err)
{
	struct bench_floor_socket *f = floor_of(way);
	int ret;

	if (f->path == NULL)
		return 0;
	ret = bench_connect(f->path, err);
	if (ret < 0)
		return ret;
	f->fd = ret;
	ret = bench_negotiate(f->fd, err);
	if (ret != 0)
		way->ops->close(way);
	return ret;
}

static void
floor_close(struct bench_way *way)
{
	struct bench_floor_socket *f = floor_of(way);

	if (f->path == NULL || f->fd < 0)
		return;
	close(f->fd);
	f->fd = -1;
}

static const struct bench_way_ops floor_socket_ops = {
	.open = floor_open,
	.close = floor_close,
	.burst = floor_burst,
	.settle = floor_settle,
};

void
bench_floor_socket_init(struct bench_floor_socket *floor, const struct bench_clock *clock,
	const struct bench_access *access, const char *path, int fd)
{
	*floor = (struct bench_floor_socket){
		.way.ops = &floor_socket_ops,
		.clock = clock,
		.path = path,
		.fd = fd,
	};
	bench_message_access(&floor->access, access);
	bench_message_access(&floor->settle, &bench_settle_access);
}
