/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "clock.h"
#include "closers.h"
#include "fd_count.h"
#include "fds.h"
#include "tap.h"
#include "thread.h"

#define WAIT_MS   20000u
#define NR_OWNERS 20u

static struct vuc_closers *closers;
static bool no_threads;

/* In the place of lib/base's. */
int
vuc_thread_create(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg)
{
	(void)stack;
	return no_threads ? -EAGAIN : -pthread_create(thread, NULL, fn, arg);
}

static void
start_closers(void)
{
	closers = vuc_closers_create();
	CU_ASSERT_PTR_NOT_NULL_FATAL(closers);
}

/* All is closed by then. */
static void
stop_closers(void)
{
	CU_ASSERT_EQUAL(vuc_closers_destroy(closers, WAIT_MS, NULL), 0);
	closers = NULL;
}

static struct vuc_closer *
create_closer(unsigned int max_threads)
{
	struct vuc_closer *o = vuc_closer_create(closers, max_threads);

	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	return o;
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool
closes(struct vuc_closer *o)
{
	int fd = eventfd(0, 0);

	vuc_closer_close(o, &fd, 1);
	for (unsigned int ms = 0; is_open(fd) && ms < WAIT_MS; ms++)
		vuc_clock_sleep_ms(1);
	return !is_open(fd);
}

/* Returns the other end, which lets go of it. */
static int
close_slow(struct vuc_closer *o)
{
	int peer, fd = fd_slow(&peer);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	vuc_closer_close(o, &fd, 1);
	return peer;
}

/* By nobody, they are closed at once; by a closer before the threads are gone, even when nobody
 * has it any more. */
static void
test_close(void)
{
	const unsigned int before = fd_count();
	int fds[3] = {eventfd(0, 0), -1, eventfd(0, 0)};
	struct vuc_closer *o;

	vuc_closer_close(NULL, fds, 3);
	CU_ASSERT_EQUAL(fd_count(), before);
	o = create_closer(1);
	/* What is none is no work for a thread. */
	vuc_closer_close(o, &fds[1], 1);
	CU_ASSERT_EQUAL(vuc_closer_waiting(o), 0);
	for (unsigned int i = 0; i < 100; i++) {
		fds[0] = eventfd(0, 0);
		fds[2] = eventfd(0, 0);
		vuc_closer_close(o, fds, 3);
	}
	CU_ASSERT_PTR_EQUAL(vuc_closer_hold(o), o);
	vuc_closer_let_go(o);
	CU_ASSERT_TRUE(vuc_closer_wait(o, WAIT_MS));
	CU_ASSERT_EQUAL(fd_count(), before);
	fds[0] = eventfd(0, 0);
	vuc_closer_close(o, fds, 1);
	vuc_closer_let_go(o);
	stop_closers();
	CU_ASSERT_EQUAL(fd_count(), before);
	CU_ASSERT_EQUAL(vuc_closers_destroy(NULL, 0, NULL), 0);
}

/* A socket is closed at once when nothing lies in it, whatever the other end has done. */
static void
test_sockets(void)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};
	struct vuc_closer *o = create_closer(1);
	unsigned int before;
	int pair[2], peer;

	peer = close_slow(o);
	while (!vuc_closer_busy(o))
		vuc_clock_sleep_ms(1);
	for (unsigned int i = 0; i < 2; i++) {
		for (unsigned int unread = 0; unread < 2; unread++) {
			CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, types[i], 0, pair), 0);
			/* The other end has not read this: its end is a reset here. */
			CU_ASSERT_EQUAL(send(pair[0], "x", 1, 0), 1);
			/* A message without a byte is none on a stream. */
			if (unread == 1)
				vuc_fds_send(pair[1], "", types[i] == SOCK_STREAM, &pair[0], 1, 0);
			before = fd_count();
			close(pair[1]);
			vuc_closer_close_socket(o, pair[0]);
			CU_ASSERT_EQUAL(is_open(pair[0]), unread == 1);
			CU_ASSERT_EQUAL(fd_count(), before - (unread == 1 ? 1 : 2));
			CU_ASSERT_EQUAL(vuc_closer_waiting(o), i + unread);
		}
	}
	/* Out of band, too, where the kernel has that. */
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	if (vuc_fds_send(pair[1], "", 1, &pair[1], 1, MSG_OOB) == 1) {
		close(pair[1]);
		vuc_closer_close_socket(o, pair[0]);
		CU_ASSERT_TRUE(is_open(pair[0]));
		CU_ASSERT_EQUAL(vuc_closer_waiting(o), 3);
	} else {
		close(pair[0]);
		close(pair[1]);
	}
	pair[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	vuc_closer_close_socket(o, pair[0]);
	CU_ASSERT_FALSE(is_open(pair[0]));
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	vuc_closer_close_socket(o, pair[0]);
	CU_ASSERT_FALSE(is_open(pair[0]));
	close(pair[1]);
	close(peer);
	CU_ASSERT_TRUE(vuc_closer_wait(o, WAIT_MS));
	vuc_closer_let_go(o);
}

static bool
is_mapped(void *page)
{
	unsigned char in;

	return mincore(page, 4096, &in) == 0;
}

static void
test_unmap(void)
{
	struct vuc_closer *o = create_closer(1);
	void *page;

	for (unsigned int way = 0; way < 2; way++) {
		page = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		CU_ASSERT_FATAL(page != MAP_FAILED);
		vuc_closer_unmap(way == 0 ? NULL : o, page, 4096);
		CU_ASSERT_TRUE(vuc_closer_wait(o, WAIT_MS));
		CU_ASSERT_FALSE(is_mapped(page));
	}
	vuc_closer_let_go(o);
}

/* Many are held up, and none of them holds up another one. */
static void
test_owners(void)
{
	struct vuc_closer *held_up[NR_OWNERS], *other;
	int peers[NR_OWNERS], fd = eventfd(0, 0);

	other = create_closer(1);
	for (unsigned int i = 0; i < NR_OWNERS; i++) {
		held_up[i] = create_closer(1);
		peers[i] = close_slow(held_up[i]);
	}
	CU_ASSERT_TRUE(closes(other));
	CU_ASSERT_FALSE(vuc_closer_wait(held_up[0], 1));
	CU_ASSERT_TRUE(vuc_closer_busy(held_up[0]));
	/* What comes behind it waits, but only until it lets go. */
	vuc_closer_close(held_up[0], &fd, 1);
	CU_ASSERT_EQUAL(vuc_closer_waiting(held_up[0]), 1);
	CU_ASSERT_TRUE(closes(other));
	CU_ASSERT_TRUE(is_open(fd));
	close(peers[0]);
	CU_ASSERT_TRUE(vuc_closer_wait(held_up[0], WAIT_MS));
	CU_ASSERT_FALSE(is_open(fd));
	CU_ASSERT_FALSE(vuc_closer_busy(held_up[0]));
	CU_ASSERT_EQUAL(vuc_closer_waiting(held_up[0]), 0);
	for (unsigned int i = 0; i < NR_OWNERS; i++) {
		if (i > 0)
			close(peers[i]);
		vuc_closer_let_go(held_up[i]);
	}
	vuc_closer_let_go(other);
}

/* One who may hold up two threads has both, and no more. */
static void
test_share(void)
{
	struct vuc_closer *o = create_closer(2);
	int peers[2], fd = eventfd(0, 0);

	peers[0] = close_slow(o);
	CU_ASSERT_TRUE(closes(o));
	CU_ASSERT_FALSE(vuc_closer_busy(o));
	peers[1] = close_slow(o);
	for (unsigned int ms = 0; !vuc_closer_busy(o) && ms < WAIT_MS; ms++)
		vuc_clock_sleep_ms(1);
	CU_ASSERT_TRUE(vuc_closer_busy(o));
	vuc_closer_close(o, &fd, 1);
	CU_ASSERT_EQUAL(vuc_closer_waiting(o), 1);
	close(peers[0]);
	CU_ASSERT_TRUE(closes(o));
	CU_ASSERT_FALSE(is_open(fd));
	close(peers[1]);
	vuc_closer_let_go(o);
}

/* What is held up at the end is left, and the last thread frees the memory. */
static void
test_abandon(void)
{
	struct vuc_closer *o = create_closer(1);
	int peer = close_slow(o);

	vuc_closer_let_go(o);
	CU_ASSERT_EQUAL(vuc_closers_destroy(closers, 1, NULL), 1);
	closers = NULL;
	close(peer);
}

/* Where no thread can be started, nothing is closed by who destroys it: not even what can be closed
 * at once. The heir closes it when there are threads again; without one, it stays open. */
static void
test_no_threads(void)
{
	int fds[2] = {eventfd(0, 0), eventfd(0, 0)};
	struct vuc_closers *heir = closers;
	struct vuc_closer *o;

	for (unsigned int inherited = 0; inherited < 2; inherited++) {
		no_threads = true;
		start_closers();
		o = create_closer(1);
		for (unsigned int i = 0; i < 2; i++)
			vuc_closer_close(o, &fds[i], 1);
		CU_ASSERT_EQUAL(vuc_closer_waiting(o), 2);
		vuc_closer_let_go(o);
		CU_ASSERT_EQUAL(vuc_closers_destroy(closers, 0, inherited == 1 ? heir : NULL),
			inherited == 1 ? 0 : 2);
		CU_ASSERT_TRUE(is_open(fds[0]) && is_open(fds[1]));
		CU_ASSERT_EQUAL(vuc_closers_retry(heir), inherited == 1);
		no_threads = false;
		CU_ASSERT_FALSE(vuc_closers_retry(heir));
	}
	closers = heir;
	stop_closers();
	CU_ASSERT_FALSE(is_open(fds[0]) || is_open(fds[1]));
}

const struct tap_suite tap_suite = {"closers", start_closers, stop_closers,
	{
		{"close", test_close},
		{"sockets", test_sockets},
		{"unmap", test_unmap},
		{"owners", test_owners},
		{"share", test_share},
		{"abandon", test_abandon},
		{"no threads", test_no_threads},
	}};
