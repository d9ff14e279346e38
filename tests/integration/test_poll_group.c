/* SPDX-License-Identifier: BSD-3-Clause */

/* A poll group that sleeps, and all that wakes it: <vuc/poll_group.h>. */

#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <vuc/dma.h>

#include "asleep.h"
#include "sleep_rig.h"

#define ROUNDS   10000u
#define NR_LONG  6u /* posted writes of a MiB each: more than all buffers hold */
#define NR_SLOTS 4u

static _Thread_local bool replies_fail; /* to send, on this thread */

/* The calls that the library sends by. */
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
		expect_lost("*closed the connection*");
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
		if (row == CLOSING)
			CU_ASSERT_EQUAL(rc, 0);
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

static const struct tap_suite socket_suite = {"sockets", set_up, tear_down,
	{
		{"server goes", test_server_goes},
		{"command", test_command},
		{"long writes", test_long_writes},
		{"stopped server", test_stopped},
		{"stopped server: twin socket", test_stopped_twin},
		{"server goes though full", test_goes_though_full},
		{"twin socket breaks before a sleep", test_breaks_before_sleep},
		{"all requests unanswered", test_unanswered},
	},
	.runs = peer_has_sockets};

const struct tap_suite tap_suite = {"group", set_up, tear_down,
	{
		{"time", test_time},
		{"kick", test_kick},
		{"request", test_request},
		{"deadline", test_deadline},
		{"more requests than fit", test_more_than_fit},
		{"sleeps though full", test_sleeps_though_full},
		{"bad wake_fd", test_bad_wake_fd},
		{"no kick is lost", test_no_kick_is_lost},
		{"idle after a timeout", test_idle_after_timeout},
	},
	.next = &socket_suite, .begin = sleep_begin};
