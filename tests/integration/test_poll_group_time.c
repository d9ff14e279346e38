/* SPDX-License-Identifier: BSD-3-Clause */

/* A poll group that sleeps, and its deadlines, by a clock that the tests set. */

#include <dlfcn.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "outcome.h"
#include "sleep_rig.h"

static time_t clock_ahead; /* seconds, of the real time */

/* Of a thread whose time passes in its sleeps alone, and there at once: the time, or 0. */
static _Thread_local uint64_t frozen_ms;
static _Thread_local bool wakes_early;  /* after a part of each sleep, without an event */
static _Thread_local uint32_t yield_ms; /* that others take when they are given the CPU */
static _Thread_local unsigned int clock_looks;

/* The library's clock. */
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
end_time(void)
{
	/* What is left of it ends in time, even where time stands. */
	yield_ms = frozen_ms != 0 ? HOUR_MS : 0;
	close_group();
	frozen_ms = 0;
	yield_ms = 0;
	wakes_early = false;
	tear_down();
}

static const struct tap_suite socket_suite = {"sockets", set_up, end_time,
	{
		{"slow reader", test_slow_reader},
		{"sleeps while a device is opened", test_sleeps_while_opened},
		{"server goes while a device is opened", test_goes_while_opened},
		{"opens without steps", test_opens_without_steps},
	},
	.runs = peer_has_sockets};

const struct tap_suite tap_suite = {"deadlines", set_up, end_time,
	{
		{"sleeps until a deadline", test_sleeps_until_deadline},
		{"no deadline is missed", test_no_deadline_is_missed},
		{"yields until a deadline", test_yields_until_deadline},
		{"closes without steps", test_closes_without_steps},
	},
	.next = &socket_suite, .begin = sleep_begin};
