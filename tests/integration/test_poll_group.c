/* SPDX-License-Identifier: BSD-3-Clause */

/* A poll group that sleeps, and all that wakes it: <vuc/poll_group.h>. */

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <vuc/dma.h>

#include "asleep.h"
#include "outcome.h"
#include "peer.h"
#include "tap.h"
#include "vfio_user.h"
#include "wait_server.h"

#define FOREVER  UINT_MAX /* milliseconds; the watchdog is sooner */
#define WATCHDOG 100      /* seconds until a sleep that nothing ends fails the program */
#define ROUNDS   10000u
#define MIB      0x100000u
#define NR_LONG  6u /* posted writes of a MiB each: more than all buffers hold */
#define NR_SLOTS 4u
#define HOUR_MS  3600000u

static struct vuc_poll_group *group;
static struct vuc_device_opts opts;
static struct wait_server server;
static struct vuc_device *dev;
static int wake_fd;
static uint8_t memory[WAIT_SIZE]; /* for DMA, and what is written */

static time_t clock_ahead;              /* seconds, of the real time */
static _Thread_local bool replies_fail; /* to send, on this thread */

/* Of a thread whose time passes in its sleeps alone, and there at once: the time, or 0. */
static _Thread_local uint64_t frozen_ms;
static _Thread_local bool wakes_early;  /* after a part of each sleep, without an event */
static _Thread_local uint32_t yield_ms; /* that others take when they are given the CPU */
static _Thread_local unsigned int clock_looks;

/* The library's clock, and the calls that it sends by. */
int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int rc = (int)syscall(SYS_clock_gettime, clock, now);

	now->tv_sec += clock_ahead;
	clock_looks++;
	if (frozen_ms != 0) {
		now->tv_sec = (time_t)(frozen_ms / 1000);
		now->tv_nsec = (long)(frozen_ms % 1000) * 1000000;
	}
	return rc;
}

static void
sleep_frozen(uint64_t ms)
{
	frozen_ms += wakes_early && ms > 0 ? (uint64_t)rand() % (ms + 1) : ms;
}

/* Those that it sleeps by. */
int
epoll_wait(int epoll_fd, struct epoll_event *events, int max, int ms)
{
	long n = syscall(SYS_epoll_pwait, epoll_fd, events, max, frozen_ms != 0 ? 0 : ms, NULL, 0);

	if (n == 0 && frozen_ms != 0)
		sleep_frozen((uint64_t)ms);
	return (int)n;
}

int
poll(struct pollfd *fds, nfds_t nr, int ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
	struct timespec *timeout = ms < 0 ? NULL : &time;
	long n;

	if (frozen_ms != 0)
		time = (struct timespec){0};
	n = syscall(SYS_ppoll, fds, nr, timeout, NULL, 0);
	if (n == 0 && frozen_ms != 0)
		sleep_frozen((uint64_t)ms);
	return (int)n;
}

struct io_uring;
struct io_uring_cqe;
struct __kernel_timespec {
	int64_t tv_sec;
	long long tv_nsec;
};
typedef int (*uring_wait_fn)(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned int nr,
	struct __kernel_timespec *time, sigset_t *mask);
int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
	unsigned int nr, struct __kernel_timespec *time, sigset_t *mask);

int
io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned int nr,
	struct __kernel_timespec *time, sigset_t *mask)
{
	static uring_wait_fn next;
	struct __kernel_timespec none = {0};
	int rc;

	if (next == NULL)
		next = (uring_wait_fn)dlsym(RTLD_NEXT, "io_uring_submit_and_wait_timeout");
	rc = next(ring, cqe, nr, frozen_ms != 0 ? &none : time, mask);
	if (rc == -ETIME && frozen_ms != 0)
		sleep_frozen((uint64_t)time->tv_sec * 1000 + (uint64_t)time->tv_nsec / 1000000);
	return rc;
}

int
sched_yield(void)
{
	if (yield_ms == 0)
		return (int)syscall(SYS_sched_yield);
	frozen_ms += yield_ms;
	return 0;
}

ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
	const struct vfio_user_header *header = msg->msg_iov[0].iov_base;

	if (replies_fail && (header->flags & VFIO_USER_F_TYPE_REPLY) != 0) {
		errno = ENOBUFS;
		return -1;
	}
	return syscall(SYS_sendmsg, fd, msg, flags);
}

ssize_t
send(int fd, const void *bytes, size_t len, int flags)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
	const struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	return sendmsg(fd, &msg, flags);
}

static void
open_group(void)
{
	struct vuc_poll_group_opts group_opts;

	vuc_poll_group_opts_init(&group_opts, sizeof(group_opts));
	group_opts.transport = peer_transport();
	CU_ASSERT_EQUAL_FATAL(vuc_poll_group_create(&group_opts, &group, NULL), 0);
	dev = wait_server_open(&server, group, &opts);
}

static void
close_group(void)
{
	if (group == NULL)
		return;
	/* What is left of it ends in time, even where time stands. */
	yield_ms = frozen_ms != 0 ? HOUR_MS : 0;
	wait_server_close(&server, dev);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	dev = NULL;
	group = NULL;
}

/* The row of a table, with a group of its own. */
static void
open_row(const char *name)
{
	vuc_tap_row("%s", name);
	close_group();
	open_group();
}

static void
wait_and_poll(int fd)
{
	CU_ASSERT_FATAL(vuc_poll_group_wait(group, fd, FOREVER) >= 0);
	vuc_poll_group_poll(group);
}

/* Until there is nothing left to do. */
static void
settle(int fd)
{
	while (vuc_poll_group_wait(group, fd, 0) > 0)
		vuc_poll_group_poll(group);
}

/* Nothing is left to do, and nothing comes. */
static void
expect_idle(int fd, uint32_t ms)
{
	settle(fd);
	CU_ASSERT_EQUAL(vuc_poll_group_wait(group, fd, ms), 0);
}

static void
expect_lost(const char *reason)
{
	while (vuc_device_connected(dev))
		wait_and_poll(wake_fd);
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(dev), reason));
}

static void
map_memory(void)
{
	const struct vuc_dma_mapping map = {WAIT_SIZE, WAIT_SIZE, VUC_DMA_READ, -1, 0, memory};

	CU_ASSERT_EQUAL(vuc_dma_map(dev, &map), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
}

static void
kick(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		abort();
}

static bool
take_kicks(int fd)
{
	uint64_t kicks;

	return read(fd, &kicks, sizeof(kicks)) == (ssize_t)sizeof(kicks);
}

/* A request and what became of it. */
struct job {
	struct vuc_request req;
	uint64_t value; /* read or written */
	unsigned int done;
	int status;
	bool waits;      /* within the callback */
	int wait_status; /* what it gets */
};

static void
on_done(struct vuc_request *req, int status)
{
	struct job *job = req->arg;

	job->done++;
	job->status = status;
	if (job->waits)
		job->wait_status = vuc_poll_group_wait(group, wake_fd, 0);
}

static void
submit_bytes(struct job *job, enum vuc_op op, uint64_t offset, void *bytes, size_t count)
{
	*job = (struct job){.req = {.op = op,
				    .region = WAIT_REGION,
				    .offset = offset,
				    .data = bytes,
				    .count = count,
				    .done = on_done,
				    .arg = job}};
	CU_ASSERT_EQUAL_FATAL(vuc_device_submit(dev, &job->req), 0);
}

static void
submit(struct job *job, enum vuc_op op, uint64_t offset)
{
	submit_bytes(job, op, offset, &job->value, sizeof(job->value));
}

/* More than the socket takes. */
static void
submit_much(struct job *job)
{
	submit_bytes(job, VUC_OP_WRITE_POSTED, WAIT_DATA, memory, MIB);
}

static void
finish(struct job *job)
{
	while (!job->done)
		wait_and_poll(wake_fd);
}

static void
expect_finished(struct job *job, int status)
{
	finish(job);
	CU_ASSERT_EQUAL(job->status, status);
}

/* Tell the server what to do once this thread sleeps. */
static void
tell_server(uint64_t offset)
{
	const uint64_t value = 0;

	CU_ASSERT_EQUAL(
		vuc_device_write_posted(dev, WAIT_REGION, offset, &value, sizeof(value)), 0);
}

static void
test_time(void)
{
	open_group();
	expect_idle(wake_fd, 20);
	CU_ASSERT_EQUAL(vuc_poll_group_poll(group), 0);
	CU_ASSERT_EQUAL(vuc_poll_group_wait(group, wake_fd, 0), 0);
}

static void
kick_later(void *arg)
{
	kick(*(int *)arg);
}

static void
test_kick(void)
{
	open_group();
	for (unsigned int round = 0; round < 20; round++) {
		struct asleep_act later;

		asleep_start(&later, kick_later, &wake_fd);
		while (!take_kicks(wake_fd))
			wait_and_poll(wake_fd);
		asleep_join(&later);
	}
	kick(wake_fd);
	for (unsigned int i = 0; i < 5; i++) {
		CU_ASSERT_EQUAL(vuc_poll_group_wait(group, wake_fd, FOREVER), 1);
		vuc_poll_group_poll(group);
	}
	CU_ASSERT(take_kicks(wake_fd));
	expect_idle(wake_fd, 1);
}

static void
test_request(void)
{
	struct job job;

	open_group();
	for (unsigned int round = 0; round < 50; round++) {
		submit(&job, round % 3 == 0 ? VUC_OP_WRITE : VUC_OP_READ,
			round % 2 == 0 ? WAIT_DATA : WAIT_READ_LATER);
		job.waits = true;
		expect_finished(&job, 0);
		CU_ASSERT_EQUAL(job.wait_status, -EDEADLK);
	}
}

static void
test_deadline(void)
{
	struct job job;

	opts.timeout_ms = 500;
	open_group();
	submit(&job, VUC_OP_READ, WAIT_READ_NEVER);
	expect_finished(&job, -ETIMEDOUT);
	CU_ASSERT(vuc_device_connected(dev));
	submit(&job, VUC_OP_READ, WAIT_READ);
	expect_finished(&job, 0);
}

/* Requests that never get an answer leave room for few others at a time. */
static void
test_more_than_fit(void)
{
	struct job jobs[4 * NR_SLOTS];

	opts.timeout_ms = 1000;
	opts.max_requests = NR_SLOTS;
	open_group();
	for (unsigned int i = 0; i < 4 * NR_SLOTS; i++)
		submit(&jobs[i], VUC_OP_READ, i < NR_SLOTS / 2 ? WAIT_READ_NEVER : WAIT_READ);
	expect_finished(&jobs[4 * NR_SLOTS - 1], 0);
	expect_finished(&jobs[0], -ETIMEDOUT);
}

/* Requests that cannot leave before others are answered do not keep the group awake. */
static void
test_sleeps_though_full(void)
{
	struct job jobs[2 * NR_SLOTS];

	opts.timeout_ms = 1000;
	opts.max_requests = NR_SLOTS;
	open_group();
	for (unsigned int i = 0; i < 2 * NR_SLOTS; i++)
		submit(&jobs[i], VUC_OP_READ, WAIT_READ_NEVER);
	/* The first ones are on their way, and the rest cannot follow. */
	expect_idle(wake_fd, 1);
	CU_ASSERT(!jobs[0].done);
	finish(&jobs[2 * NR_SLOTS - 1]);
	CU_ASSERT_EQUAL(jobs[0].status, -ETIMEDOUT);
	CU_ASSERT(!vuc_device_connected(dev));
}

static void
test_bad_wake_fd(void)
{
	int closed = eventfd(0, EFD_CLOEXEC);

	open_group();
	close(closed);
	CU_ASSERT_EQUAL(vuc_poll_group_wait(group, closed, 0), -EBADF);
	expect_idle(-1, 1);
}

/* Another thread kicks at any moment of the sleeper's life, who must see each kick. */
struct kicker {
	pid_t sleeper;
	unsigned int seed;
	atomic_uint made;
	atomic_uint seen;
};

static void
dawdle(struct kicker *k)
{
	unsigned int spins = 1u << (unsigned int)rand_r(&k->seed) % 14;

	if (rand_r(&k->seed) % 64 == 0)
		asleep_await(k->sleeper);
	for (spins = (unsigned int)rand_r(&k->seed) % spins; spins > 0; spins--)
		atomic_signal_fence(memory_order_seq_cst);
}

static void *
kick_at_random(void *arg)
{
	struct kicker *k = arg;

	for (unsigned int round = 1; round <= ROUNDS; round++) {
		dawdle(k);
		atomic_store(&k->made, round);
		kick(wake_fd);
		while (atomic_load(&k->seen) < round)
			sched_yield();
	}
	return NULL;
}

static void
test_no_kick_is_lost(void)
{
	struct kicker k = {.sleeper = gettid(), .seed = 1};
	struct job job = {.done = 1};
	pthread_t thread;

	open_group();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, kick_at_random, &k), 0);
	for (unsigned int turn = 0; atomic_load(&k.seen) < ROUNDS; turn++) {
		CU_ASSERT_FATAL(vuc_poll_group_wait(group, wake_fd, FOREVER) >= 0);
		if (take_kicks(wake_fd))
			atomic_store(&k.seen, atomic_load(&k.made));
		if (turn % 7 == 0 && job.done)
			submit(&job, VUC_OP_READ, WAIT_READ);
		else if (turn % 5 == 0)
			tell_server(WAIT_DATA);
		vuc_poll_group_poll(group);
	}
	pthread_join(thread, NULL);
	finish(&job);
	CU_ASSERT_EQUAL(atomic_load(&k.seen), ROUNDS);
}

/* Nothing but the end of the connection wakes this one: no request is outstanding. */
static void
test_server_goes(void)
{
	for (unsigned int twin = 0; twin < 2; twin++) {
		open_row(twin ? "twin socket" : "main socket");
		tell_server(twin ? WAIT_HANG_UP_TWIN : WAIT_HANG_UP);
		while (vuc_device_connected(dev))
			wait_and_poll(-1);
		expect_lost("closed the connection");
		expect_idle(wake_fd, 1);
	}
}

/* A server reads memory of one who sleeps; the answers are longer than what a socket holds. */
static void
test_command(void)
{
	for (size_t i = 0; i < WAIT_SIZE; i++)
		memory[i] = wait_server_pattern(i);
	for (unsigned int twin = 0; twin < 2; twin++) {
		open_row(twin ? "twin socket" : "main socket");
		CU_ASSERT(vuc_device_version(dev)->twin_socket);
		map_memory();
		for (unsigned int round = 0; round < 3; round++) {
			tell_server(twin ? WAIT_COMMAND_ON_TWIN : WAIT_COMMAND);
			while (!take_kicks(server.done_fd))
				wait_and_poll(server.done_fd);
		}
		CU_ASSERT_EQUAL(atomic_load(&server.good), 3);
	}
}

/* Posted writes that the server takes only when this thread sleeps: nothing is outstanding, so
 * nothing but room in the socket wakes it. */
static void
test_long_writes(void)
{
	struct job jobs[NR_LONG];
	struct job job;

	open_group();
	tell_server(WAIT_PAUSE);
	for (unsigned int i = 0; i < NR_LONG; i++)
		submit_much(&jobs[i]);
	finish(&jobs[NR_LONG - 1]);
	submit(&job, VUC_OP_READ, WAIT_READ);
	finish(&job);
	CU_ASSERT_EQUAL(job.value, (uint64_t)NR_LONG * MIB);
}

#define STOPPED_MS 1000u

/* A server that hangs while nothing but posted writes is sent. */
static void
expect_stopped(int status)
{
	CU_ASSERT_EQUAL(status, -ETIMEDOUT);
	CU_ASSERT(!vuc_device_connected(dev));
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(dev), "the server has read nothing for 1000 ms");
	/* It hears of that without another call. */
	settle(wake_fd);
	fake_server_join(&server.fake);
}

/* While something is posted, while the group sleeps, with a mapping behind what the socket does not
 * take, whose own timeout is longer, and while the device is closed. */
static void
test_stopped(void)
{
	enum {
		POSTING,
		ASLEEP,
		COMMIT,
		CLOSING
	};
	static const char *const rows[] = {"posting", "asleep", "commit", "closing"};
	const struct vuc_dma_mapping map = {0, 4096, VUC_DMA_READ, -1, 0, memory};
	struct job job;
	int rc = 0;

	opts.timeout_ms = STOPPED_MS;
	for (int row = POSTING; row <= CLOSING; row++) {
		open_row(rows[row]);
		tell_server(WAIT_STOP);
		if (row == ASLEEP || row == COMMIT)
			submit_much(&job);
		if (row == COMMIT) {
			CU_ASSERT_EQUAL(vuc_dma_map(dev, &map), 0);
			expect_stopped(vuc_dma_commit(dev));
		}
		if (row == ASLEEP || row == COMMIT) {
			finish(&job);
			expect_stopped(job.status);
		}
		do
			rc = vuc_device_write_posted(
				dev, WAIT_REGION, WAIT_DATA, memory, row == CLOSING ? 4096 : 8);
		while (row == POSTING && rc == 0);
		if (row == POSTING)
			expect_stopped(rc);
	}
}

/* The server takes none of the answers to its own commands. */
static void
test_stopped_twin(void)
{
	opts.timeout_ms = STOPPED_MS;
	open_group();
	map_memory();
	tell_server(WAIT_STOP_TWIN);
	expect_lost("twin socket: the server has read nothing for 1000 ms");
	settle(wake_fd);
	fake_server_join(&server.fake);
}

#define DRAIN_ROUNDS 12u
#define DRAIN_STEP   40 /* seconds, of the 60 that the server has */

/* Take what has come, as a slow server does. Returns how much it was. */
static size_t
drain_socket(void)
{
	uint8_t bytes[4096];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(server.fake.fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		len += (size_t)n;
	return len;
}

/* A server that takes a part of a segment now and then reads all the same. */
static void
test_slow_reader(void)
{
	struct job job;

	opts.timeout_ms = 60000;
	server.send_buffer = 1; /* the least there is */
	open_group();
	tell_server(WAIT_STOP);
	/* Not what the server is still to read. */
	while (!atomic_load(&server.stopped))
		settle(wake_fd);
	submit_much(&job);
	settle(wake_fd);
	for (unsigned int i = 0; i < DRAIN_ROUNDS; i++) {
		while (drain_socket() == 0 && vuc_device_connected(dev))
			wait_and_poll(wake_fd);
		clock_ahead += DRAIN_STEP;
		settle(wake_fd);
	}
	CU_ASSERT(vuc_device_connected(dev));
	CU_ASSERT(!job.done);
	/* And one that takes nothing does not. */
	for (unsigned int i = 0; i < DRAIN_ROUNDS; i++) {
		clock_ahead += DRAIN_STEP;
		settle(wake_fd);
		vuc_poll_group_poll(group);
	}
	CU_ASSERT(job.done && job.status == -ETIMEDOUT);
	settle(wake_fd);
	close_group();
	server.send_buffer = 0;
}

/* More requests than there are slots: those that were not sent end with the others. */
static void
test_goes_though_full(void)
{
	struct job jobs[3 * NR_SLOTS];

	opts.max_requests = NR_SLOTS;
	for (unsigned int twin = 0; twin < 2; twin++) {
		open_row(twin ? "twin socket" : "main socket");
		tell_server(twin ? WAIT_HANG_UP_TWIN : WAIT_HANG_UP);
		for (unsigned int i = 0; i < 3 * NR_SLOTS; i++)
			submit(&jobs[i], VUC_OP_READ, WAIT_READ_NEVER);
		for (unsigned int i = 0; i < 3 * NR_SLOTS; i++)
			expect_finished(&jobs[i], -ECONNRESET);
		CU_ASSERT(!vuc_device_connected(dev));
	}
}

/* What is found out before a sleep is told before it. */
static void
test_breaks_before_sleep(void)
{
	open_group();
	map_memory();
	replies_fail = true;
	tell_server(WAIT_COMMAND_ON_TWIN);
	expect_lost("twin socket: the connection broke: No buffer space available");
	replies_fail = false;
}

/* The only request times out, which is one too many: the server hears of the end at once. */
static void
test_unanswered(void)
{
	struct job job;

	opts.timeout_ms = STOPPED_MS;
	opts.max_requests = 1;
	open_group();
	submit(&job, VUC_OP_READ, WAIT_READ_NEVER);
	expect_finished(&job, -ETIMEDOUT);
	CU_ASSERT(!vuc_device_connected(dev));
	settle(wake_fd);
	fake_server_join(&server.fake);
}

/* Once its only request has timed out, a connection is as idle as any other. */
static void
test_idle_after_timeout(void)
{
	struct job job;
	uint64_t before;

	opts.timeout_ms = STOPPED_MS;
	open_group();
	submit(&job, VUC_OP_READ, WAIT_READ_NEVER);
	while (!job.done)
		vuc_poll_group_poll(group);
	CU_ASSERT_EQUAL(job.status, -ETIMEDOUT);
	before = vuc_poll_group_syscalls(group);
	for (unsigned int i = 0; i < ROUNDS; i++)
		vuc_poll_group_poll(group);
	/* posix looks at epoll in each poll; uring at nothing. */
	if (strcmp(peer_transport(), "posix") != 0)
		CU_ASSERT(vuc_poll_group_syscalls(group) - before < ROUNDS / 2);
}

/* ---- deadlines ---- */

#define FEW_TURNS  8u  /* of one who sleeps until a deadline; each 10 ms would be many thousands */
#define LATE_MS    20u /* a tick that sees a request, and the one behind its deadline */
#define NR_RANDOM  64u
#define LONG_YIELD 300u /* ms: many others want the CPU */

/* Returns the time at which it stands. */
static uint64_t
freeze(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	frozen_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	return frozen_ms;
}

/* Sleep, each time until something is due, until the flag is set. Returns whether that took few
 * turns. */
static bool
takes_few_turns(const unsigned int *done)
{
	for (unsigned int turns = 0; *done == 0 && turns < FEW_TURNS; turns++)
		wait_and_poll(wake_fd);
	return *done > 0;
}

static bool
is_in_time(uint64_t since_ms, uint64_t timeout_ms)
{
	uint64_t ms = frozen_ms - since_ms;

	return ms >= timeout_ms && ms <= timeout_ms + LATE_MS;
}

static void
test_sleeps_until_deadline(void)
{
	struct job job;
	uint64_t begun_ms;

	opts.timeout_ms = HOUR_MS;
	open_group();
	begun_ms = freeze();
	submit(&job, VUC_OP_READ, WAIT_READ_NEVER);
	CU_ASSERT(takes_few_turns(&job.done));
	CU_ASSERT_EQUAL(job.status, -ETIMEDOUT);
	CU_ASSERT(is_in_time(begun_ms, HOUR_MS));
}

struct timed_job {
	struct job job;
	uint64_t begun_ms;
};

/* Whatever ends the sleeps, and however many requests come meanwhile. */
static void
test_no_deadline_is_missed(void)
{
	static struct timed_job jobs[NR_RANDOM];
	unsigned int begun = 0, done = 0;

	opts.timeout_ms = 1000;
	opts.max_requests = 2 * NR_RANDOM;
	open_group();
	freeze();
	wakes_early = true;
	while (done < NR_RANDOM) {
		if (begun < NR_RANDOM && rand() % 4 == 0) {
			jobs[begun].begun_ms = frozen_ms;
			submit(&jobs[begun++].job, VUC_OP_READ, WAIT_READ_NEVER);
		}
		for (int polls = rand() % 20; polls > 0; polls--)
			vuc_poll_group_poll(group);
		wait_and_poll(wake_fd);
		for (; done < begun && jobs[done].job.done; done++)
			CU_ASSERT(is_in_time(jobs[done].begun_ms, opts.timeout_ms));
		if (done < begun)
			CU_ASSERT_FATAL(
				frozen_ms - jobs[done].begun_ms <= opts.timeout_ms + LATE_MS);
	}
}

/* One who polls and lets others have the CPU in between polls rarely. */
static void
test_yields_until_deadline(void)
{
	uint64_t value, begun_ms;

	opts.timeout_ms = 1000;
	open_group();
	begun_ms = freeze();
	yield_ms = LONG_YIELD;
	CU_ASSERT_EQUAL(vuc_device_read(dev, WAIT_REGION, WAIT_READ_NEVER, &value, sizeof(value)),
		-ETIMEDOUT);
	CU_ASSERT(frozen_ms - begun_ms <= opts.timeout_ms + 3 * LONG_YIELD);
}

/* Begin to open a device whose server never answers VERSION. */
static struct vuc_device *
open_hung(struct outcome *opened, int fds[2])
{
	struct vuc_device_opts hung_opts;
	struct vuc_device *hung;

	*opened = (struct outcome){0};
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	vuc_device_opts_init(&hung_opts, sizeof(hung_opts));
	hung_opts.group = group;
	hung_opts.fd = fds[0];
	hung_opts.timeout_ms = HOUR_MS;
	CU_ASSERT_EQUAL_FATAL(vuc_device_open_start(&hung_opts, &hung, note, opened, NULL), 0);
	return hung;
}

static void
close_hung(struct vuc_device *hung, const int fds[2])
{
	vuc_device_close(hung);
	close(fds[0]);
	if (fds[1] >= 0)
		close(fds[1]);
}

/* It does not keep the group of others awake. */
static void
test_sleeps_while_opened(void)
{
	struct outcome opened;
	struct vuc_device *hung;
	uint64_t begun_ms;
	int fds[2];

	open_group();
	begun_ms = freeze();
	hung = open_hung(&opened, fds);
	CU_ASSERT(takes_few_turns(&opened.calls));
	CU_ASSERT_EQUAL(opened.status, -ETIMEDOUT);
	CU_ASSERT(is_in_time(begun_ms, HOUR_MS));
	close_hung(hung, fds);
}

/* Nor does it take until the deadline to see that the server is gone, before or after VERSION is
 * out. */
static void
test_goes_while_opened(void)
{
	struct outcome opened;
	struct vuc_device *hung;
	uint64_t begun_ms;
	int fds[2];

	open_group();
	begun_ms = freeze();
	for (unsigned int polls = 0; polls < 2; polls++) {
		hung = open_hung(&opened, fds);
		for (unsigned int i = 0; i < polls; i++)
			vuc_poll_group_poll(group);
		close(fds[1]);
		fds[1] = -1;
		CU_ASSERT(takes_few_turns(&opened.calls));
		CU_ASSERT_NOT_EQUAL(opened.status, 0);
		CU_ASSERT(frozen_ms - begun_ms < HOUR_MS);
		close_hung(hung, fds);
	}
}

#define NR_POLLS 1024u

/* What is being opened takes no step in a poll that brings nothing: a step looks at the clock, and
 * one of 16 polls does. */
static void
test_opens_without_steps(void)
{
	struct outcome opened;
	struct vuc_device *hung;
	int fds[2];

	open_group();
	hung = open_hung(&opened, fds);
	settle(wake_fd);
	clock_looks = 0;
	for (unsigned int i = 0; i < NR_POLLS; i++)
		vuc_poll_group_poll(group);
	CU_ASSERT(clock_looks <= NR_POLLS / 8);
	CU_ASSERT(opened.calls == 0);
	close_hung(hung, fds);
}

/* Likewise what is being closed and waits for its server. */
static void
test_closes_without_steps(void)
{
	struct job job;

	open_group();
	submit(&job, VUC_OP_READ, WAIT_READ_NEVER);
	freeze();
	yield_ms = HOUR_MS;
	clock_looks = 0;
	/* It polls some 1250 times before it yields. */
	vuc_device_close(dev);
	CU_ASSERT(clock_looks > 0 && clock_looks <= 1250 / 8);
	dev = NULL;
}

static void
set_up(void)
{
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.dma = VUC_DMA_MESSAGE;
	srand(1);
}

static void
tear_down(void)
{
	close_group();
	frozen_ms = 0;
	yield_ms = 0;
	wakes_early = false;
	server.send_buffer = 0;
	close(wake_fd);
}

static CU_TestInfo tests[] = {
	{"time", test_time},
	{"kick", test_kick},
	{"request", test_request},
	{"deadline", test_deadline},
	{"more requests than fit", test_more_than_fit},
	{"sleeps though full", test_sleeps_though_full},
	{"bad wake_fd", test_bad_wake_fd},
	{"no kick is lost", test_no_kick_is_lost},
	{"idle after a timeout", test_idle_after_timeout},
	{"sleeps until a deadline", test_sleeps_until_deadline},
	{"no deadline is missed", test_no_deadline_is_missed},
	{"yields until a deadline", test_yields_until_deadline},
	{"closes without steps", test_closes_without_steps},
	CU_TEST_INFO_NULL,
};

static CU_TestInfo socket_tests[] = {
	{"server goes", test_server_goes},
	{"command", test_command},
	{"long writes", test_long_writes},
	{"stopped server", test_stopped},
	{"stopped server: twin socket", test_stopped_twin},
	{"slow reader", test_slow_reader},
	{"server goes though full", test_goes_though_full},
	{"twin socket breaks before a sleep", test_breaks_before_sleep},
	{"all requests unanswered", test_unanswered},
	{"sleeps while a device is opened", test_sleeps_while_opened},
	{"server goes while a device is opened", test_goes_while_opened},
	{"opens without steps", test_opens_without_steps},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
		{"group", NULL, NULL, set_up, tear_down, tests},
		{"sockets", NULL, NULL, set_up, tear_down, socket_tests},
		CU_SUITE_INFO_NULL,
	};

	if (argc > 1 && strcmp(argv[1], "loopback") == 0)
		suites[1] = (CU_SuiteInfo)CU_SUITE_INFO_NULL;
	vuc_tap_count_fds();
	alarm(WATCHDOG);
	return peer_main(argc, argv, suites);
}
