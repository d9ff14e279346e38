/* SPDX-License-Identifier: BSD-3-Clause */

/* How the socket transports sleep, and what wakes them: drivers/transport.h. */

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "asleep.h"
#include "transport_end.h"

#define FOREVER  INT_MAX            /* milliseconds; the watchdog is sooner */
#define WATCHDOG 100                /* seconds until a sleep that nothing ends fails the program */
#define MANY     40                 /* connections, more than are received from eagerly */
#define LONG     (3u * 1024 * 1024) /* bytes, more than any socket takes at once */
#define ROUNDS   10000u

static void
wait_and_poll(void)
{
	CU_ASSERT_FATAL(ops->wait(group, wake_fd, FOREVER) >= 0);
	ops->poll(group, 1);
}

/* Until a wait finds nothing that is left of what was before. */
static void
settle(int fd)
{
	while (ops->wait(group, fd, 0) > 0)
		ops->poll(group, 1);
}

static void
kick(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		abort();
}

static void
kick_later(void *arg)
{
	kick(*(int *)arg);
}

/* Returns how often it was kicked. */
static uint64_t
take_kicks(int fd)
{
	uint64_t kicks = 0;

	return read(fd, &kicks, sizeof(kicks)) == (ssize_t)sizeof(kicks) ? kicks : 0;
}

static void
test_time(void)
{
	struct end *e = open_end();

	settle(wake_fd);
	CU_ASSERT_EQUAL(ops->wait(group, wake_fd, 10), 0);
	e->view.outstanding = true;
	settle(-1);
	CU_ASSERT_EQUAL(ops->wait(group, -1, 10), 0);
}

static void
test_kick(void)
{
	open_end();
	for (unsigned int round = 0; round < 20; round++) {
		struct asleep_act later;

		asleep_start(&later, kick_later, &wake_fd);
		while (take_kicks(wake_fd) == 0)
			wait_and_poll();
		asleep_join(&later);
	}
	settle(wake_fd);
	CU_ASSERT_EQUAL(ops->wait(group, wake_fd, 1), 0);
}

/* What has not been read wakes every wait, whoever took the notice of it. */
static void
test_kick_not_read(void)
{
	open_end();
	settle(wake_fd);
	kick(wake_fd);
	for (unsigned int i = 0; i < 5; i++) {
		ops->poll(group, 1);
		CU_ASSERT_EQUAL(ops->wait(group, wake_fd, FOREVER), 1);
		CU_ASSERT_EQUAL(ops->wait(group, wake_fd, FOREVER), 1);
		ops->poll(group, 1);
	}
	CU_ASSERT_EQUAL(take_kicks(wake_fd), 1);
	settle(wake_fd);
	CU_ASSERT_EQUAL(ops->wait(group, wake_fd, 1), 0);
}

static void
test_other_wake_fd(void)
{
	int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	settle(wake_fd);
	settle(other);
	kick(wake_fd);
	CU_ASSERT_EQUAL(ops->wait(group, other, 1), 0);
	kick(other);
	CU_ASSERT_EQUAL(ops->wait(group, other, FOREVER), 1);
	ops->poll(group, 1);
	settle(-1);
	CU_ASSERT_EQUAL(ops->wait(group, -1, 1), 0);
	CU_ASSERT_EQUAL(ops->wait(group, wake_fd, FOREVER), 1);
	close(other);
	CU_ASSERT_EQUAL(ops->wait(group, other, 1), -EBADF);
	CU_ASSERT_EQUAL(take_kicks(wake_fd), 1);
}

static void
speak(void *arg)
{
	const struct end *e = arg;

	if (send(e->peer, "hello", 5, MSG_NOSIGNAL) != 5)
		abort();
}

static void
wait_for_bytes(struct end *e)
{
	size_t len = e->len + 5;
	struct asleep_act later;

	asleep_start(&later, speak, e);
	while (e->len < len)
		wait_and_poll();
	asleep_join(&later);
	CU_ASSERT_EQUAL(e->len, len);
}

/* Of one that has never sent, that is owed an answer, and that has just sent. */
static void
test_bytes(void)
{
	const struct vuc_segment segment = {.bytes = (const uint8_t *)"x", .len = 1};
	struct end *e = open_end();

	wait_for_bytes(e);
	for (unsigned int round = 0; round < 20; round++) {
		e->view.outstanding = round % 2 == 0;
		wait_for_bytes(e);
		CU_ASSERT(ops->send(e->conn, &segment) >= 0);
		wait_for_bytes(e);
	}
}

static void
test_many_connections(void)
{
	struct end *ends[MANY];

	for (unsigned int i = 0; i < MANY; i++) {
		ends[i] = open_end();
		ends[i]->view.outstanding = i % 2 == 0;
	}
	for (unsigned int i = 0; i < MANY; i++)
		wait_for_bytes(ends[i]);
	for (unsigned int i = 0; i < MANY; i++)
		speak(ends[i]);
	for (unsigned int i = 0; i < MANY; i++)
		while (ends[i]->len < 10)
			wait_and_poll();
}

static void
hang_up(void *arg)
{
	shutdown(((struct end *)arg)->peer, SHUT_RDWR);
}

static void
test_peer_closes(void)
{
	struct end *e = open_end();
	struct asleep_act later;

	asleep_start(&later, hang_up, e);
	while (e->lost == 0)
		wait_and_poll();
	asleep_join(&later);
	settle(wake_fd);
	CU_ASSERT_EQUAL(ops->wait(group, wake_fd, 1), 0);
}

/* The peer takes all that was sent, up to the byte that says so. */
static void
read_all(void *arg)
{
	static uint8_t buf[64 * 1024];
	const struct end *e = arg;
	ssize_t n;

	do
		n = recv(e->peer, buf, sizeof(buf), 0);
	while (n > 0 && buf[n - 1] == 0);
}

/* What a socket takes in pieces goes on in the sleep's place. */
static void
test_long_send(void)
{
	uint8_t *bytes = calloc(1, LONG);
	const struct vuc_segment segment = {.bytes = bytes, .len = LONG};
	struct end *e = open_end();
	struct asleep_act later;

	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	bytes[LONG - 1] = 1;
	CU_ASSERT_EQUAL(ops->send(e->conn, &segment), 0);
	asleep_start(&later, read_all, e);
	while (e->sent == 0)
		wait_and_poll();
	asleep_join(&later);
	CU_ASSERT_EQUAL(e->sent, 1);
	free(bytes);
}

/* Fill the socket up with segments that carry a descriptor: no driver holds these back. */
static void
fill_up(struct end *e)
{
	static const uint8_t bytes[VUC_SEGMENT_MAX];
	const struct vuc_segment segment = {
		.bytes = bytes, .len = sizeof(bytes), .fds = &wake_fd, .nr_fds = 1};

	while (ops->send(e->conn, &segment) == 1)
		;
	CU_ASSERT_EQUAL(ops->send(e->conn, &segment), -EAGAIN);
}

/* A wait neither spins nor oversleeps while a socket has no room. */
static void
test_full_socket(void)
{
	const struct vuc_segment last = {
		.bytes = (const uint8_t *)"\1", .len = 1, .fds = &wake_fd, .nr_fds = 1};
	struct end *e = open_end();
	struct asleep_act later;
	int rc;

	fill_up(e);
	settle(wake_fd);
	CU_ASSERT_EQUAL(ops->wait(group, wake_fd, 1), 0);
	asleep_start(&later, read_all, e);
	while ((rc = ops->send(e->conn, &last)) == -EAGAIN)
		wait_and_poll();
	CU_ASSERT_EQUAL(rc, 1);
	asleep_join(&later);
}

static void
test_close_when_full(void)
{
	struct end *e = open_end();

	fill_up(e);
	CU_ASSERT(ops->wait(group, wake_fd, 0) >= 0);
}

static void
no_op(int signal)
{
	(void)signal;
}

struct interrupter {
	pthread_t target;
	pid_t tid;
	atomic_bool done;
};

/* A signal that comes too early ends no sleep, so it comes again. */
static void
interrupt(void *arg)
{
	struct interrupter *i = arg;

	while (!atomic_load(&i->done)) {
		asleep_await(i->tid);
		pthread_kill(i->target, SIGUSR1);
		sched_yield();
	}
}

static void
test_signal(void)
{
	const struct sigaction action = {.sa_handler = no_op};
	struct interrupter self = {.target = pthread_self(), .tid = gettid()};
	struct asleep_act later;

	settle(wake_fd);
	sigaction(SIGUSR1, &action, NULL);
	asleep_start(&later, interrupt, &self);
	CU_ASSERT_EQUAL(ops->wait(group, wake_fd, FOREVER), 0);
	atomic_store(&self.done, true);
	asleep_join(&later);
}

/* Another thread's kicks and bytes, at any moment of a sleeper's life. */
struct noise {
	int peer;
	pid_t sleeper;
	unsigned int seed;
	atomic_uint kicks; /* taken by the sleeper */
	atomic_uint bytes;
	pthread_t thread;
};

static void
dawdle(struct noise *n)
{
	unsigned int spins = 1u << (unsigned int)rand_r(&n->seed) % 14;

	if (rand_r(&n->seed) % 64 == 0)
		asleep_await(n->sleeper);
	for (spins = (unsigned int)rand_r(&n->seed) % spins; spins > 0; spins--)
		atomic_signal_fence(memory_order_seq_cst);
}

static void *
make_noise(void *arg)
{
	struct noise *n = arg;
	unsigned int kicks = 0, bytes = 0;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		unsigned int what = 1 + (unsigned int)rand_r(&n->seed) % 3;

		dawdle(n);
		if (what & 1 && ++kicks)
			kick(wake_fd);
		if (what & 2 && ++bytes && send(n->peer, "x", 1, MSG_NOSIGNAL) != 1)
			abort();
		while (atomic_load(&n->kicks) < kicks || atomic_load(&n->bytes) < bytes)
			sched_yield();
	}
	shutdown(n->peer, SHUT_WR);
	return NULL;
}

static void
test_nothing_is_lost(void)
{
	const struct vuc_segment segment = {.bytes = (const uint8_t *)"x", .len = 1};
	struct end *e = open_end();
	struct noise n = {.peer = e->peer, .sleeper = gettid(), .seed = 1};
	unsigned int turn = 0;
	char got[64];

	CU_ASSERT_EQUAL_FATAL(pthread_create(&n.thread, NULL, make_noise, &n), 0);
	while (e->lost == 0) {
		CU_ASSERT_FATAL(ops->wait(group, wake_fd, FOREVER) >= 0);
		atomic_fetch_add(&n.kicks, (unsigned int)take_kicks(wake_fd));
		ops->poll(group, 1);
		atomic_store(&n.bytes, (unsigned int)e->len);
		e->view.outstanding = ++turn % 3 == 0;
		if (turn % 5 == 0)
			CU_ASSERT(ops->send(e->conn, &segment) >= -EAGAIN);
		while (recv(e->peer, got, sizeof(got), MSG_DONTWAIT) > 0)
			;
	}
	pthread_join(n.thread, NULL);
	CU_ASSERT_EQUAL(e->len, atomic_load(&n.bytes));
	CU_ASSERT(atomic_load(&n.kicks) + e->len >= ROUNDS);
}

static const CU_TestInfo tests[] = {
	{"test_time", test_time},
	{"test_kick", test_kick},
	{"test_kick_not_read", test_kick_not_read},
	{"test_other_wake_fd", test_other_wake_fd},
	{"test_bytes", test_bytes},
	{"test_many_connections", test_many_connections},
	{"test_peer_closes", test_peer_closes},
	{"test_long_send", test_long_send},
	{"test_full_socket", test_full_socket},
	{"test_close_when_full", test_close_when_full},
	{"test_signal", test_signal},
	{"test_nothing_is_lost", test_nothing_is_lost},
};

static const struct tap_suite uring = {
	"uring", open_uring, close_group, .rows = TAP_ROWS(tests, transport_test)};
const struct tap_suite tap_suite = {
	"posix", open_posix, close_group, .rows = TAP_ROWS(tests, transport_test), .next = &uring};

int
main(void)
{
	alarm(WATCHDOG);
	vuc_tap_count_fds();
	return tap_run(&tap_suite);
}
