/* SPDX-License-Identifier: BSD-3-Clause */

/* What the socket transports receive, each held to the same promises: drivers/transport.h. */

#include <fcntl.h>
#include <sys/resource.h>

#include "fd_count.h"
#include "transport_end.h"

#define MANY 80 /* connections, more than are received from eagerly */

static void
test_send_and_receive(void)
{
	struct end *e = open_end();
	char got[16];

	e->view.outstanding = true;
	send_bytes(e, "request", 7, NULL, 0);
	CU_ASSERT_EQUAL(recv(e->peer, got, sizeof(got), MSG_DONTWAIT), 7);
	CU_ASSERT_EQUAL(memcmp(got, "request", 7), 0);
	poll_times(10);
	CU_ASSERT_EQUAL(e->len, 0);
	send_to(e, "reply", 5);
	poll_until_len(e, 5);
	CU_ASSERT_EQUAL(memcmp(e->bytes, "reply", 5), 0);
	CU_ASSERT_EQUAL(e->lost, 0);
}

/* What the peer sends without having been asked arrives, at once or after a long silence. */
static void
test_receive_when_idle(void)
{
	struct end *e = open_end();

	send_byte(e);
	poll_times(QUIET_POLLS);
	send_to(e, "one", 3);
	poll_until_len(e, 3);
	poll_times(QUIET_POLLS);
	send_to(e, "two", 3);
	poll_until_len(e, 6);
	CU_ASSERT_EQUAL(memcmp(e->bytes, "onetwo", 6), 0);
}

/* A connection that has never sent anything hears its peer all the same. */
static void
test_receive_first(void)
{
	struct end *e = open_end();

	send_to(e, "hello", 5);
	poll_until_len(e, 5);
	CU_ASSERT_EQUAL(memcmp(e->bytes, "hello", 5), 0);
}

/* Commands of the peer are taken at once though nothing is owed and another connection is busy:
 * right behind a send, and after a silence. */
static void
test_commands_while_nothing_is_owed(void)
{
	static const unsigned int silences[] = {0, 1, 10, QUIET_POLLS};
	struct end *quiet = open_end();
	struct end *busy = open_end();
	size_t len = 0;

	for (size_t i = 0; i < NR(silences); i++) {
		ask(busy);
		send_byte(quiet);
		poll_times(silences[i]);
		send_to(quiet, "command", 7);
		poll_times(SOON_POLLS);
		CU_ASSERT_EQUAL(quiet->len, len += 7);
	}
}

/* Looks at one socket until there is something, or a poll is asked for; returns as look(). */
static ssize_t
look_at(struct end *e, unsigned int looks)
{
	const uint8_t *bytes;
	ssize_t n = 0;

	while (n == 0 && looks-- > 0)
		n = ops->look(e->conn, &bytes);
	return n;
}

/* Who looks at one socket only is told when another one, or the ring, has something. */
static void
test_look(void)
{
	struct end *quiet = open_end();
	struct end *busy = open_end();

	poll_times(QUIET_POLLS);
	for (unsigned int i = 1; i <= 3; i++) {
		ask(busy);
		poll_times(2);
		CU_ASSERT_EQUAL(look_at(busy, 1), 0);
		send_to(busy, "reply", 5);
		CU_ASSERT_EQUAL(look_at(busy, 1), 5);
		send_to(quiet, "command", 7);
		CU_ASSERT_EQUAL(look_at(busy, SOON_POLLS), -EBUSY);
		poll_times(1);
		CU_ASSERT_EQUAL(quiet->len, 7 * i);
		/* One that both polls and looks do not see at once is not left alone. */
		send_byte(quiet);
		CU_ASSERT_EQUAL(look_at(busy, 1), -EBUSY);
		busy->view.outstanding = false;
		poll_times(QUIET_POLLS);
	}
	CU_ASSERT_EQUAL(busy->len, 0);
}

/* An application that polls rarely hears of a peer that has gone, as soon as it is told that time
 * has passed. */
static void
test_settle(void)
{
	struct end *quiet = open_end();
	struct end *busy = open_end();

	send_byte(quiet);
	ask(busy);
	ops->settle(group);
	shutdown(quiet->peer, SHUT_WR);
	send_to(busy, "reply", 5);
	poll_times(200);
	CU_ASSERT_EQUAL(quiet->lost, 1);
	CU_ASSERT_EQUAL(busy->len, 5);
	busy->view.outstanding = false;
	for (unsigned int i = 0; i < 10; i++) {
		ops->settle(group);
		send_byte(busy);
		send_to(busy, "reply", 5);
		poll_until_len(busy, 10 + 5 * i);
	}
}

/* Between idle and busy nothing is lost, doubled or out of order. */
static void
test_idle_and_busy_in_turn(void)
{
	struct end *e = open_end();
	size_t n = 0;

	for (unsigned int round = 0; round < 20; round++) {
		poll_times(QUIET_POLLS);
		for (unsigned int i = 0; i < 5; i++) {
			uint8_t byte = (uint8_t)n;

			ask(e);
			send_to(e, &byte, 1);
			poll_until_len(e, ++n);
			e->view.outstanding = false;
		}
	}
	for (size_t i = 0; i < n; i++)
		CU_ASSERT_EQUAL(e->bytes[i], (uint8_t)i);
}

static void
receive_fds(bool idle)
{
	struct end *e = open_end();
	int fds[3] = {open("/dev/null", O_RDONLY | O_CLOEXEC), e->peer, e->peer};

	e->view.outstanding = !idle;
	e->view.commands = true;
	send_byte(e);
	if (idle)
		poll_times(QUIET_POLLS);
	send_fds_to(e, "three", fds, 3);
	close(fds[0]);
	poll_until_len(e, 5);
	CU_ASSERT_EQUAL_FATAL(e->nr_fds, 3);
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(fcntl(e->fds[i], F_GETFD), FD_CLOEXEC);
}

static void
test_receive_fds(void)
{
	receive_fds(false);
	receive_fds(true);
}

/* The owner says where the next bytes go; descriptors come with the last ones. */
static void
test_receive_into(void)
{
	static const struct {
		const char *text;
		unsigned int nr_fds;
		bool watch;
	} cases[] = {
		{"ab", 0, false}, {"abcd", 1, true}, {"abcdefgh", 2, true}, {"abcde", 0, false}};
	struct end *e = open_end();
	char part[5]; /* of which the first byte has come */
	const char *into = part + 1;
	size_t len = 0;

	send_byte(e);
	for (size_t i = 0; i < NR(cases); i++) {
		const int fds[2] = {e->peer, e->peer};
		unsigned int before = e->nr_fds;
		size_t size = strlen(cases[i].text);

		e->view.commands = cases[i].watch;
		e->view.part = (uint8_t *)part;
		e->view.part_len = 1;
		e->view.part_total = sizeof(part);
		if (cases[i].nr_fds > 0)
			send_fds_to(e, cases[i].text, fds, cases[i].nr_fds);
		else
			send_to(e, cases[i].text, size);
		poll_until_len(e, len + size);
		CU_ASSERT_EQUAL(memcmp(e->bytes + len, cases[i].text, size), 0);
		CU_ASSERT_EQUAL(memcmp(into, cases[i].text, size < 4 ? size : 4), 0);
		CU_ASSERT_EQUAL(e->nr_fds, before + cases[i].nr_fds);
		len += size;
	}
}

/* With room for fewer than come, nobody knows which are missing: the connection ends, and none is
 * left. */
static void
receive_fds_without_room(bool idle, unsigned int room)
{
	struct end *e = open_end();
	const int fds[3] = {e->peer, e->peer, e->peer};
	struct rlimit before, limit;
	int next;

	e->view.outstanding = !idle;
	e->view.commands = true;
	send_byte(e);
	if (idle)
		poll_times(QUIET_POLLS);
	next = dup(e->peer);
	close(next);
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = (rlim_t)next + room;
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
	send_fds_to(e, "three", fds, 3);
	poll_until_lost(e);
	setrlimit(RLIMIT_NOFILE, &before);
	CU_ASSERT_EQUAL(e->error, -EMFILE);
	CU_ASSERT_EQUAL(e->len, 0);
	CU_ASSERT_EQUAL(e->nr_fds, 0);
}

static void
test_fds_without_room(void)
{
	for (unsigned int room = 0; room < 3; room++) {
		receive_fds_without_room(false, room);
		receive_fds_without_room(true, room);
	}
}

/* Descriptors that are not watched for are dropped, but never leaked. */
static void
test_unwatched_fds(void)
{
	struct end *e = open_end();

	ask(e);
	send_fds_to(e, "one", &e->peer, 1);
	poll_until_len(e, 3);
}

static void
test_peer_closes(void)
{
	struct end *busy = open_end();
	struct end *idle = open_end();

	ask(busy);
	send_byte(idle);
	shutdown(busy->peer, SHUT_WR);
	poll_until_lost(busy);
	CU_ASSERT_EQUAL(busy->error, 0);
	poll_times(QUIET_POLLS);
	CU_ASSERT_EQUAL(idle->lost, 0);
	shutdown(idle->peer, SHUT_WR);
	poll_until_lost(idle);
	CU_ASSERT_EQUAL(idle->error, 0);
	poll_times(QUIET_POLLS);
	CU_ASSERT_EQUAL(busy->lost, 1);
	CU_ASSERT_EQUAL(idle->lost, 1);
}

/* What the peer said before it closed is heard, though nothing can be sent any more. */
static void
test_last_words(void)
{
	struct end *e = open_end();

	e->view.outstanding = true;
	send_to(e, "bye", 3);
	close(e->peer);
	e->peer = -1;
	send_bytes(e, "request", 7, NULL, 0);
	poll_until_lost(e);
	CU_ASSERT_EQUAL(e->len, 3);
	CU_ASSERT_EQUAL(e->error, 0);
}

static void
test_close_from_event(void)
{
	struct end *a = open_end();
	struct end *b = open_end();

	a->view.outstanding = true;
	b->view.outstanding = true;
	send_byte(a);
	send_byte(b);
	a->close_on_data = b;
	b->close_on_data = a;
	send_to(a, "data", 4);
	send_to(b, "data", 4);
	poll_times(100);
	CU_ASSERT_EQUAL(a->len + b->len, 4);
	CU_ASSERT((a->conn == NULL) != (b->conn == NULL));
}

/* One is closed while a message with a descriptor has come for it already. */
static void
test_close_with_fds(void)
{
	struct end *a = open_end();
	struct end *b = open_end();
	unsigned int before;

	a->view.commands = true;
	b->view.commands = true;
	send_byte(a);
	send_byte(b);
	poll_times(QUIET_POLLS);
	a->close_on_data = b;
	b->close_on_data = a;
	before = fd_count();
	send_fds_to(a, "data", &a->peer, 1);
	send_fds_to(b, "data", &b->peer, 1);
	for (unsigned int n = 0; n < WAIT_POLLS && a->nr_fds + b->nr_fds == 0; n++)
		ops->poll(group, 1);
	poll_times(100);
	CU_ASSERT_EQUAL(a->nr_fds + b->nr_fds, 1);
	/* One more descriptor has come, and one connection is closed. */
	CU_ASSERT_EQUAL(fd_count(), before);
}

/* More connections than can be received from eagerly, all busy at once, then idle, then busy. */
static void
test_many_connections(void)
{
	struct end *ends[MANY];

	for (unsigned int i = 0; i < MANY; i++)
		ends[i] = open_end();
	for (unsigned int round = 1; round <= 6; round++) {
		for (unsigned int i = 0; i < MANY; i++) {
			ask(ends[i]);
		}
		for (unsigned int i = 0; i < MANY; i++)
			send_to(ends[i], "reply", 5);
		for (unsigned int i = 0; i < MANY; i++) {
			poll_until_len(ends[i], 5 * (size_t)round);
			ends[i]->view.outstanding = false;
		}
		if (round % 2 == 0)
			poll_times(QUIET_POLLS);
	}
}

/* More than fits a receive buffer, in pieces of every kind. */
static void
test_large_stream(void)
{
	static uint8_t block[200 * 1024];
	struct end *e = open_end();
	size_t sent = 0;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 7 + i / 251);
	ask(e);
	while (e->len < sizeof(block)) {
		ssize_t n = 0;

		if (sent < sizeof(block))
			n = send(e->peer, block + sent, sizeof(block) - sent,
				MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		e->view.outstanding = sent < sizeof(block) / 2;
		ops->poll(group, 1);
	}
	CU_ASSERT_EQUAL(memcmp(e->bytes, block, sizeof(block)), 0);
}

/* Neither does a peer that owes an answer and hangs. */
static void
test_idle_costs_no_syscall(void)
{
	struct end *e = open_end();

	for (unsigned int owed = 0; owed < 2; owed++) {
		uint64_t before;

		e->view.outstanding = owed;
		send_byte(e);
		poll_times(QUIET_POLLS);
		before = group->syscalls;
		poll_times(QUIET_POLLS);
		CU_ASSERT_EQUAL(group->syscalls, before);
	}
}

static const CU_TestInfo tests[] = {
	{"test_send_and_receive", test_send_and_receive},
	{"test_receive_when_idle", test_receive_when_idle},
	{"test_receive_first", test_receive_first},
	{"test_commands_while_nothing_is_owed", test_commands_while_nothing_is_owed},
	{"test_look", test_look},
	{"test_settle", test_settle},
	{"test_idle_and_busy_in_turn", test_idle_and_busy_in_turn},
	{"test_receive_fds", test_receive_fds},
	{"test_receive_into", test_receive_into},
	{"test_fds_without_room", test_fds_without_room},
	{"test_unwatched_fds", test_unwatched_fds},
	{"test_peer_closes", test_peer_closes},
	{"test_last_words", test_last_words},
	{"test_close_from_event", test_close_from_event},
	{"test_close_with_fds", test_close_with_fds},
	{"test_many_connections", test_many_connections},
	{"test_large_stream", test_large_stream},
};

static const CU_TestInfo idle_tests[] = {
	{"test_idle_costs_no_syscall", test_idle_costs_no_syscall},
};

static const struct tap_suite uring_alone = {
	"uring alone", open_uring, close_group, .rows = TAP_ROWS(idle_tests, transport_test)};
static const struct tap_suite uring_several = {"uring, several", open_uring_several, close_group,
	.rows = TAP_ROWS(tests, transport_test), .next = &uring_alone};
static const struct tap_suite uring = {"uring", open_uring, close_group,
	.rows = TAP_ROWS(tests, transport_test), .next = &uring_several};
const struct tap_suite tap_suite = {
	"posix", open_posix, close_group, .rows = TAP_ROWS(tests, transport_test), .next = &uring};
