/* SPDX-License-Identifier: BSD-3-Clause */
#include "floor.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "handshake.h"

static struct bench_floor_socket *
floor_of(struct bench_way *way)
{
	return (struct bench_floor_socket *)way;
}

static ssize_t
receive_blocking(struct bench_floor_socket *f)
{
	size_t got = 0;

	while (!bench_message_is_whole(f->spin.reply, got)) {
		ssize_t n = recv(f->spin.fd, f->spin.reply + got, sizeof(f->spin.reply) - got, 0);

		f->spin.syscalls++;
		if (n == 0)
			return -ECONNRESET;
		/* SO_RCVTIMEO has passed: EAGAIN. */
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static int
send_each(struct bench_floor_socket *f)
{
	int ret = 0;

	for (uint32_t i = 0; i < f->together && ret == 0; i++)
		ret = bench_spin_send(&f->spin, &f->access);
	return ret;
}

/* What is posted has no reply. */
static ssize_t
socket_exchange(struct bench_floor_socket *f)
{
	int ret;

	switch (f->how) {
	case BENCH_FLOOR_SPIN:
		ret = f->together == 1
			? bench_spin_send(&f->spin, &f->access)
			: bench_spin_send_bytes(&f->spin, f->burst, f->together * f->access.len);
		return ret != 0 ? ret : bench_spin_receive(&f->spin, &f->access);
	case BENCH_FLOOR_EACH:
		return send_each(f);
	case BENCH_FLOOR_BLOCKING:
		ret = bench_spin_send(&f->spin, &f->access);
		return ret != 0 ? ret : receive_blocking(f);
	case BENCH_FLOOR_HANDOVER:
		return bench_handover_exchange(&f->handover, &f->access, &f->spin.syscalls);
	}
	return -EINVAL;
}

static int
floor_burst(struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	struct bench_floor_socket *f = floor_of(way);

	for (unsigned int i = 0; i < nr; i++) {
		uint64_t start;
		ssize_t len;
		int ret;

		bench_spin_begin(&f->spin);
		bench_message_number(&f->access, ++f->id);
		start = bench_clock_ticks(f->spin.clock);
		len = socket_exchange(f);
		ticks[i] = bench_clock_ticks(f->spin.clock) - start;
		ret = bench_spin_check(&f->spin, &f->access, len, err);
		if (ret != 0)
			return ret;
	}
	way->syscalls = f->spin.syscalls;
	return 0;
}

static int
floor_settle(struct bench_way *way, struct vuc_error *err)
{
	struct bench_floor_socket *f = floor_of(way);
	uint64_t syscalls = f->spin.syscalls;
	ssize_t len;

	bench_spin_begin(&f->spin);
	bench_message_number(&f->settle, ++f->id);
	len = bench_spin_send(&f->spin, &f->settle);
	if (len == 0)
		len = bench_spin_receive(&f->spin, &f->settle);
	/* Not made for accesses. */
	f->spin.syscalls = syscalls;
	return bench_spin_check(&f->spin, &f->settle, len, err);
}

static void
close_socket(struct bench_floor_socket *f)
{
	close(f->spin.fd);
	f->spin.fd = -1;
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
	f->spin.fd = ret;
	ret = bench_negotiate(f->spin.fd, err);
	if (ret == 0 && f->how == BENCH_FLOOR_BLOCKING)
		ret = bench_limit_waiting(f->spin.fd, BENCH_TIMEOUT_MS, err);
	if (ret == 0 && f->how == BENCH_FLOOR_HANDOVER)
		ret = bench_handover_start(&f->handover, f->spin.fd, f->spin.reply, err);
	if (ret != 0)
		close_socket(f);
	return ret;
}

static void
floor_close(struct bench_way *way)
{
	struct bench_floor_socket *f = floor_of(way);

	if (f->path == NULL || f->spin.fd < 0)
		return;
	if (f->how == BENCH_FLOOR_HANDOVER)
		bench_handover_stop(&f->handover);
	close_socket(f);
}

static const struct bench_way_ops floor_socket_ops = {
	.open = floor_open,
	.close = floor_close,
	.burst = floor_burst,
	.settle = floor_settle,
};

void
bench_floor_socket_init(struct bench_floor_socket *floor, enum bench_floor_how how,
	const struct bench_clock *clock, const struct bench_access *access, const char *path,
	int fd)
{
	*floor = (struct bench_floor_socket){
		.way.ops = &floor_socket_ops,
		.how = how,
		.path = path,
		.together = access->together,
	};
	bench_spin_init(&floor->spin, clock, fd);
	bench_message_access(&floor->access, access);
	bench_message_access(&floor->settle, &bench_settle_access);
	for (uint32_t i = 0; i < access->together; i++)
		memcpy(floor->burst + i * floor->access.len, floor->access.bytes,
			floor->access.len);
}
