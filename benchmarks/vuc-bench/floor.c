/* SPDX-License-Identifier: BSD-3-Clause */
#include "floor.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fds.h"

static struct bench_floor *
floor_of(struct bench_way *way)
{
	return (struct bench_floor *)way;
}

static int
floor_call(struct bench_floor *f, struct bench_message *msg, struct vuc_loopback_msg *reply)
{
	struct vuc_loopback_msg req = {
		.bytes = msg->bytes,
		.len = msg->len,
		.size = sizeof(msg->bytes),
	};

	reply->bytes = f->reply;
	reply->size = sizeof(f->reply);
	reply->len = 0;
	reply->nr_fds = 0;
	return f->server->handle(f->server->arg, &req, reply);
}

static int
call_check(const struct bench_message *msg, int ret, struct vuc_loopback_msg *reply,
	struct vuc_error *err)
{
	/* No message of the floor asks for any. */
	vuc_fds_close(reply->fds, reply->nr_fds);
	if (ret != 0)
		return bench_fail(
			err, ret, "floor: the server's message handler failed: %s", strerror(-ret));
	if (reply->len == 0 && msg->reply_len == 0)
		return 0;
	return bench_message_check(msg, reply->bytes, reply->len, err);
}

static int
call_once(struct bench_floor *f, struct bench_message *msg, struct vuc_error *err)
{
	struct vuc_loopback_msg reply;

	bench_message_number(msg, ++f->id);
	return call_check(msg, floor_call(f, msg, &reply), &reply, err);
}

static int
call_burst(struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	struct bench_floor *f = floor_of(way);

	for (unsigned int i = 0; i < nr; i++) {
		struct vuc_loopback_msg reply;
		uint64_t start;
		int ret = 0;

		bench_message_number(&f->access, ++f->id);
		start = bench_clock_ticks(f->wire.clock);
		for (uint32_t n = 0; n < f->together && ret == 0; n++)
			ret = floor_call(f, &f->access, &reply);
		ticks[i] = bench_clock_ticks(f->wire.clock) - start;
		ret = call_check(&f->access, ret, &reply, err);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int
call_settle(struct bench_way *way, struct vuc_error *err)
{
	struct bench_floor *f = floor_of(way);

	return call_once(f, &f->settle, err);
}

static int
call_open(struct bench_way *way, struct vuc_error *err)
{
	struct bench_message version;

	bench_message_version(&version);
	return call_once(floor_of(way), &version, err);
}

static void
call_close(struct bench_way *way)
{
	struct bench_floor *f = floor_of(way);

	if (f->server->disconnect != NULL)
		f->server->disconnect(f->server->arg);
}

static const struct bench_way_ops call_ops = {
	.open = call_open,
	.close = call_close,
	.burst = call_burst,
	.settle = call_settle,
};

/* On the I/O thread: wait for bytes and take what is there. Returns how many there are now; a
 * negative errno. */
static ssize_t
handover_receive(struct bench_floor *f, size_t got)
{
	struct pollfd pfd = {.fd = f->wire.fd, .events = POLLIN};
	ssize_t n;

	if (poll(&pfd, 1, -1) < 0)
		return errno == EINTR ? (ssize_t)got : -errno;
	n = recv(f->wire.fd, f->reply + got, BENCH_MESSAGE_MAX - got, 0);
	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return errno == EINTR ? (ssize_t)got : -errno;
	return (ssize_t)got + n;
}

/* Wake the sender when its reply is whole. Returns whether it was. */
static bool
handover_notify(struct bench_floor *f, ssize_t len)
{
	bool whole;

	pthread_mutex_lock(&f->lock);
	whole = len < 0 || bench_message_is_whole(f->reply, (size_t)len);
	if (whole) {
		f->len = len;
		pthread_cond_signal(&f->answered);
	}
	pthread_mutex_unlock(&f->lock);
	return whole;
}

static void *
handover_run(void *arg)
{
	struct bench_floor *f = arg;
	ssize_t len = 0;

	while (len >= 0) {
		len = handover_receive(f, (size_t)len);
		if (handover_notify(f, len) && len > 0)
			len = 0;
	}
	return NULL;
}

static int
handover_wait(struct bench_floor *f)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += BENCH_TIMEOUT_MS / 1000;
	while (f->len == 0) {
		if (pthread_cond_timedwait(&f->answered, &f->lock, &until) == ETIMEDOUT)
			return -ETIMEDOUT;
	}
	return 0;
}

static ssize_t
handover_exchange(struct bench_floor *f)
{
	const struct bench_message *msg = &f->access;
	ssize_t len;

	pthread_mutex_lock(&f->lock);
	f->len = 0;
	if (send(f->wire.fd, msg->bytes, msg->len, MSG_NOSIGNAL) != (ssize_t)msg->len)
		len = -errno;
	else
		len = handover_wait(f);
	if (len == 0)
		len = f->len;
	pthread_mutex_unlock(&f->lock);
	/* One to send with; the thread has one to wait and one to receive. */
	f->wire.syscalls += 3;
	return len;
}

static int
handover_start(struct bench_floor *f, struct vuc_error *err)
{
	pthread_condattr_t attr;
	int ret;

	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->answered, &attr);
	pthread_condattr_destroy(&attr);
	f->len = 0;
	ret = pthread_create(&f->thread, NULL, handover_run, f);
	if (ret == 0)
		return 0;
	pthread_cond_destroy(&f->answered);
	pthread_mutex_destroy(&f->lock);
	return bench_fail(err, -ret, "cannot start a thread for the hand-over: %s", strerror(ret));
}

static void
handover_stop(struct bench_floor *f)
{
	/* Wakes the thread: there is nothing more to be received. */
	shutdown(f->wire.fd, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	pthread_cond_destroy(&f->answered);
	pthread_mutex_destroy(&f->lock);
}

static ssize_t
receive_blocking(struct bench_floor *f)
{
	size_t got = 0;

	while (!bench_message_is_whole(f->reply, got)) {
		ssize_t n = recv(f->wire.fd, f->reply + got, BENCH_MESSAGE_MAX - got, 0);

		f->wire.syscalls++;
		if (n == 0)
			return -ECONNRESET;
		/* SO_RCVTIMEO has passed: EAGAIN. */
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* What is posted has no reply. */
static ssize_t
socket_exchange(struct bench_floor *f)
{
	const struct bench_message *msg = &f->access;
	int ret = 0;

	switch (f->how) {
	case BENCH_FLOOR_SPIN:
		ret = f->together == 1
			? bench_wire_send(&f->wire, msg->bytes, msg->len)
			: bench_wire_send(&f->wire, f->burst, f->together * msg->len);
		return ret != 0 ? ret : bench_wire_receive_reply(&f->wire, msg, f->reply);
	case BENCH_FLOOR_EACH:
		for (uint32_t i = 0; i < f->together && ret == 0; i++)
			ret = bench_wire_send(&f->wire, msg->bytes, msg->len);
		return ret;
	case BENCH_FLOOR_BLOCKING:
		ret = bench_wire_send(&f->wire, msg->bytes, msg->len);
		return ret != 0 ? ret : receive_blocking(f);
	case BENCH_FLOOR_HANDOVER:
		return handover_exchange(f);
	case BENCH_FLOOR_CALL:
		break;
	}
	return -EINVAL;
}

static int
socket_burst(struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	struct bench_floor *f = floor_of(way);

	for (unsigned int i = 0; i < nr; i++) {
		uint64_t start;
		ssize_t len;
		int ret;

		bench_wire_begin(&f->wire, BENCH_TIMEOUT_MS);
		bench_message_number(&f->access, ++f->id);
		start = bench_clock_ticks(f->wire.clock);
		len = socket_exchange(f);
		ticks[i] = bench_clock_ticks(f->wire.clock) - start;
		ret = bench_wire_check(&f->access, f->reply, len, err);
		if (ret != 0)
			return ret;
	}
	way->syscalls = f->wire.syscalls;
	return 0;
}

static int
socket_settle(struct bench_way *way, struct vuc_error *err)
{
	struct bench_floor *f = floor_of(way);
	uint64_t syscalls = f->wire.syscalls;
	ssize_t len;

	bench_wire_begin(&f->wire, BENCH_TIMEOUT_MS);
	bench_message_number(&f->settle, ++f->id);
	len = bench_wire_send(&f->wire, f->settle.bytes, f->settle.len);
	if (len == 0)
		len = bench_wire_receive_reply(&f->wire, &f->settle, f->reply);
	/* Not made for accesses. */
	f->wire.syscalls = syscalls;
	return bench_wire_check(&f->settle, f->reply, len, err);
}

static int
socket_open(struct bench_way *way, struct vuc_error *err)
{
	struct bench_floor *f = floor_of(way);
	int ret;

	if (f->path == NULL)
		return 0;
	ret = bench_connect(f->path, err);
	if (ret < 0)
		return ret;
	f->wire.fd = ret;
	ret = bench_negotiate(&f->wire, err);
	if (ret == 0 && f->how == BENCH_FLOOR_BLOCKING)
		ret = bench_limit_waiting(f->wire.fd, BENCH_TIMEOUT_MS, err);
	if (ret == 0 && f->how == BENCH_FLOOR_HANDOVER)
		ret = handover_start(f, err);
	if (ret != 0)
		close(f->wire.fd);
	return ret;
}

static void
socket_close(struct bench_way *way)
{
	struct bench_floor *f = floor_of(way);

	if (f->path == NULL)
		return;
	if (f->how == BENCH_FLOOR_HANDOVER)
		handover_stop(f);
	close(f->wire.fd);
}

static const struct bench_way_ops socket_ops = {
	.open = socket_open,
	.close = socket_close,
	.burst = socket_burst,
	.settle = socket_settle,
};

void
bench_floor_init(struct bench_floor *f, enum bench_floor_how how, const struct bench_clock *clock,
	const struct bench_access *access)
{
	*f = (struct bench_floor){
		.way.ops = how == BENCH_FLOOR_CALL ? &call_ops : &socket_ops,
		.how = how,
		.together = access->together,
		.wire = {.clock = clock, .fd = -1},
	};
	bench_message_access(&f->access, access);
	bench_message_access(&f->settle, &bench_settle_access);
	for (uint32_t i = 0; i < access->together; i++)
		memcpy(f->burst + i * f->access.len, f->access.bytes, f->access.len);
}
