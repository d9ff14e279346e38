/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "fds.h"
#include "tap.h"

static void
open_pair(int type, int pair[2])
{
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
}

/* Receive into a buffer of size bytes. */
static ssize_t
receive_fds(int sock, size_t size, int *fds, unsigned int max, int *nr_fds)
{
	char bytes[16];
	struct iovec part = {.iov_base = bytes, .iov_len = size};

	return vuc_fds_receive(sock, &part, 1, fds, max, nr_fds, MSG_DONTWAIT, NULL);
}

static void
test_pass(void)
{
	int pair[2], sent[3] = {eventfd(1, 0), eventfd(2, 0), eventfd(3, 0)}, fds[3], nr_fds;
	uint64_t value = 0;

	open_pair(SOCK_STREAM, pair);
	CU_ASSERT_EQUAL(vuc_fds_send(pair[0], "three", 5, sent, 3, MSG_DONTWAIT), 5);
	CU_ASSERT_EQUAL(receive_fds(pair[1], 16, fds, 3, &nr_fds), 5);
	CU_ASSERT_EQUAL_FATAL(nr_fds, 3);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		CU_ASSERT_EQUAL(read(fds[i], &value, sizeof(value)), sizeof(value));
		CU_ASSERT_EQUAL(value, i + 1);
	}
	CU_ASSERT_EQUAL(vuc_fds_send(pair[0], "none", 4, NULL, 0, 0), 4);
	CU_ASSERT_EQUAL(receive_fds(pair[1], 16, NULL, 0, &nr_fds), 4);
	CU_ASSERT_EQUAL(nr_fds, 0);
	vuc_fds_close(fds, 3);
	vuc_fds_close(sent, 3);
	vuc_fds_close(pair, 2);
}

/* As many as the kernel passes on at once, to who takes that many, one fewer, none. */
static void
test_counts(void)
{
	static const unsigned int rooms[] = {VUC_FDS_MAX, VUC_FDS_MAX - 1, 1, 0};
	int pair[2], sent[VUC_FDS_MAX + 1], fds[VUC_FDS_MAX], nr_fds;

	open_pair(SOCK_STREAM, pair);
	for (unsigned int i = 0; i <= VUC_FDS_MAX; i++)
		sent[i] = pair[0];
	for (size_t i = 0; i < NR(rooms); i++) {

		CU_ASSERT_EQUAL(vuc_fds_send(pair[0], "x", 1, sent, VUC_FDS_MAX, 0), 1);
		CU_ASSERT_EQUAL(receive_fds(pair[1], 16, fds, rooms[i], &nr_fds), 1);
		CU_ASSERT_EQUAL(nr_fds, rooms[i] == VUC_FDS_MAX ? VUC_FDS_MAX : -E2BIG);
		if (nr_fds > 0)
			vuc_fds_close(fds, (unsigned int)nr_fds);
	}
	vuc_fds_close(pair, 2);
}

/* This process has room for two more descriptors, and three come. */
static void
test_no_room(void)
{
	struct rlimit limit, tight;
	int pair[2], fds[VUC_FDS_MAX], nr_fds, next;
	const int sent[3] = {0, 0, 0};

	open_pair(SOCK_STREAM, pair);
	CU_ASSERT_EQUAL(vuc_fds_send(pair[0], "x", 1, sent, 3, 0), 1);
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
	next = dup(0);
	close(next);
	tight = (struct rlimit){.rlim_cur = (rlim_t)next + 2, .rlim_max = limit.rlim_max};
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &tight), 0);
	CU_ASSERT_EQUAL(receive_fds(pair[1], 16, fds, VUC_FDS_MAX, &nr_fds), 1);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CU_ASSERT_EQUAL(nr_fds, -EMFILE);
	vuc_fds_close(pair, 2);
}

static void
test_long_packet(void)
{
	const int sent[1] = {0};
	int pair[2], fds[1], nr_fds;

	open_pair(SOCK_SEQPACKET, pair);
	CU_ASSERT_EQUAL(vuc_fds_send(pair[0], "five!", 5, sent, 1, 0), 5);
	CU_ASSERT_EQUAL(receive_fds(pair[1], 4, fds, 1, &nr_fds), -EMSGSIZE);
	CU_ASSERT_EQUAL(nr_fds, 0);
	vuc_fds_close(pair, 2);
}

static void
test_errors(void)
{
	int pair[2], fds[1] = {-1}, nr_fds;

	open_pair(SOCK_STREAM, pair);
	CU_ASSERT_EQUAL(receive_fds(pair[1], 16, fds, 1, &nr_fds), -EAGAIN);
	CU_ASSERT_EQUAL(nr_fds, 0);
	CU_ASSERT_EQUAL(vuc_fds_send(pair[0], "x", 1, fds, 1, 0), -EBADF);
	close(pair[0]);
	CU_ASSERT_EQUAL(receive_fds(pair[1], 16, fds, 1, &nr_fds), 0);
	/* It would be SIGPIPE. */
	CU_ASSERT_EQUAL(vuc_fds_send(pair[1], "x", 1, NULL, 0, 0), -EPIPE);
	close(pair[1]);
}

const struct tap_suite tap_suite = {"fds", NULL, NULL,
	{
		{"descriptors pass with the bytes, in order, close-on-exec", test_pass},
		{"more than asked for are refused, all of them", test_counts},
		{"none is left where there was no room for all", test_no_room},
		{"a packet that is too long takes its descriptors with it", test_long_packet},
		{"errors are negative errno values", test_errors},
	}};
