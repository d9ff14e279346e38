/* SPDX-License-Identifier: BSD-3-Clause */

/* The socket transports, each held to the same promises: drivers/transport.h. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "fd_count.h"
#include "fds.h"
#include "tap.h"
#include "transport.h"

#define MAX_FDS     32
#define MANY        80   /* connections, more than are received from eagerly */
#define QUIET_POLLS 3000 /* enough for any driver to take a connection for idle */
#define SOON_POLLS                                                                    \
	70 /* a driver that looks at idle connections now and then has looked by then \
	    */
#define WAIT_POLLS 20000 /* an event that has not come by then does not come */

/* One connection, with the test as its owner and as its peer. */
struct end {
	struct vuc_conn *conn;
	struct vuc_session_view view;
	int peer;
	unsigned int sent;
	unsigned int lost;
	int error;
	size_t len;
	uint8_t bytes[256 * 1024];
	unsigned int nr_fds;
	int fds[MAX_FDS];
	struct end *close_on_data; /* another connection to be closed by an event of this one */
};

static const struct vuc_transport_ops *ops;
static struct vuc_transport_group *group;

static void
on_sent(struct vuc_conn *conn)
{
	((struct end *)conn->owner)->sent++;
}

static void
on_received(struct vuc_conn *conn, const uint8_t *bytes, size_t len, const int *fds,
	unsigned int nr_fds)
{
	struct end *e = conn->owner;
	size_t room;
	const uint8_t *into = vuc_view_receive_into(conn->view, &room);

	CU_ASSERT_FATAL(e->len + len <= sizeof(e->bytes));
	CU_ASSERT(into == NULL || bytes == into);
	memcpy(e->bytes + e->len, bytes, len);
	e->len += len;
	e->view.part_len = 0;
	for (unsigned int i = 0; i < nr_fds; i++) {
		CU_ASSERT_FATAL(e->nr_fds < MAX_FDS);
		e->fds[e->nr_fds++] = fds[i];
	}
	if (e->close_on_data != NULL && e->close_on_data->conn != NULL) {
		ops->close(e->close_on_data->conn);
		e->close_on_data->conn = NULL;
	}
}

static void
on_lost(struct vuc_conn *conn, int error)
{
	struct end *e = conn->owner;

	e->lost++;
	e->error = error;
}

static const struct vuc_conn_events events = {
	.sent = on_sent,
	.received = on_received,
	.lost = on_lost,
};

static struct end *
open_end(void)
{
	struct vuc_transport_address address = {.fd = -1};
	struct end *e = calloc(1, sizeof(*e));
	int pair[2];

	CU_ASSERT_PTR_NOT_NULL_FATAL(e);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	address.fd = pair[0];
	e->peer = pair[1];
	CU_ASSERT_EQUAL_FATAL(ops->open(group, &address, &events, e, &e->conn, NULL), 0);
	e->conn->view = &e->view;
	return e;
}

static void
close_end(struct end *e)
{
	if (e->conn != NULL)
		ops->close(e->conn);
	if (e->peer >= 0)
		close(e->peer);
	for (unsigned int i = 0; i < e->nr_fds; i++)
		close(e->fds[i]);
	free(e);
}

static void
poll_times(unsigned int n)
{
	while (n-- > 0)
		ops->poll(group, 1);
}

static void
poll_until_len(const struct end *e, size_t len)
{
	for (unsigned int n = 0; n < WAIT_POLLS && e->len < len; n++)
		ops->poll(group, 1);
	CU_ASSERT_EQUAL(e->len, len);
}

static void
poll_until_lost(const struct end *e)
{
	for (unsigned int n = 0; n < WAIT_POLLS && e->lost == 0; n++)
		ops->poll(group, 1);
	CU_ASSERT_EQUAL(e->lost, 1);
}

/* Send a segment and see it leave. */
static void
send_bytes(struct end *e, const void *bytes, size_t len, const int *fds, unsigned int nr_fds)
{
	const struct vuc_segment segment = {
		.bytes = bytes, .len = len, .fds = fds, .nr_fds = nr_fds};
	unsigned int before = e->sent;
	int rc = ops->send(e->conn, &segment);

	CU_ASSERT_FATAL(rc == 0 || rc == 1);
	for (unsigned int n = 0; rc == 0 && n < WAIT_POLLS && e->sent == before; n++)
		ops->poll(group, 1);
	CU_ASSERT_EQUAL(e->sent, before + (rc == 0));
}

static void
send_to(struct end *e, const void *bytes, size_t len)
{
	CU_ASSERT_EQUAL(send(e->peer, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

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
	close_end(e);
}

/* What the peer sends without having been asked arrives, at once or after a long silence. */
static void
test_receive_when_idle(void)
{
	struct end *e = open_end();

	send_bytes(e, "x", 1, NULL, 0);
	poll_times(QUIET_POLLS);
	send_to(e, "one", 3);
	poll_until_len(e, 3);
	poll_times(QUIET_POLLS);
	send_to(e, "two", 3);
	poll_until_len(e, 6);
	CU_ASSERT_EQUAL(memcmp(e->bytes, "onetwo", 6), 0);
	close_end(e);
}

/* A connection that has never sent anything hears its peer all the same. */
static void
test_receive_first(void)
{
	struct end *e = open_end();

	send_to(e, "hello", 5);
	poll_until_len(e, 5);
	CU_ASSERT_EQUAL(memcmp(e->bytes, "hello", 5), 0);
	close_end(e);
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

	for (size_t i = 0; i < sizeof(silences) / sizeof(silences[0]); i++) {
		busy->view.outstanding = true;
		send_bytes(busy, "x", 1, NULL, 0);
		send_bytes(quiet, "x", 1, NULL, 0);
		poll_times(silences[i]);
		send_to(quiet, "command", 7);
		poll_times(SOON_POLLS);
		CU_ASSERT_EQUAL(quiet->len, len += 7);
	}
	close_end(quiet);
	close_end(busy);
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
		busy->view.outstanding = true;
		send_bytes(busy, "x", 1, NULL, 0);
		poll_times(2);
		CU_ASSERT_EQUAL(look_at(busy, 1), 0);
		send_to(busy, "reply", 5);
		CU_ASSERT_EQUAL(look_at(busy, 1), 5);
		send_to(quiet, "command", 7);
		CU_ASSERT_EQUAL(look_at(busy, SOON_POLLS), -EBUSY);
		poll_times(1);
		CU_ASSERT_EQUAL(quiet->len, 7 * i);
		/* One that both polls and looks do not see at once is not left alone. */
		send_bytes(quiet, "x", 1, NULL, 0);
		CU_ASSERT_EQUAL(look_at(busy, 1), -EBUSY);
		busy->view.outstanding = false;
		poll_times(QUIET_POLLS);
	}
	CU_ASSERT_EQUAL(busy->len, 0);
	close_end(quiet);
	close_end(busy);
}

/* An application that polls rarely hears of a peer that has gone, as soon as it is told that time
 * has passed. */
static void
test_settle(void)
{
	struct end *quiet = open_end();
	struct end *busy = open_end();

	send_bytes(quiet, "x", 1, NULL, 0);
	busy->view.outstanding = true;
	send_bytes(busy, "x", 1, NULL, 0);
	ops->settle(group);
	shutdown(quiet->peer, SHUT_WR);
	send_to(busy, "reply", 5);
	poll_times(200);
	CU_ASSERT_EQUAL(quiet->lost, 1);
	CU_ASSERT_EQUAL(busy->len, 5);
	busy->view.outstanding = false;
	for (unsigned int i = 0; i < 10; i++) {
		ops->settle(group);
		send_bytes(busy, "x", 1, NULL, 0);
		send_to(busy, "reply", 5);
		poll_until_len(busy, 10 + 5 * i);
	}
	close_end(quiet);
	close_end(busy);
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

			e->view.outstanding = true;
			send_bytes(e, "x", 1, NULL, 0);
			send_to(e, &byte, 1);
			poll_until_len(e, ++n);
			e->view.outstanding = false;
		}
	}
	for (size_t i = 0; i < n; i++)
		CU_ASSERT_EQUAL(e->bytes[i], (uint8_t)i);
	close_end(e);
}

static void
send_fds_to(struct end *e, const char *text, const int *fds, unsigned int nr_fds)
{
	ssize_t len = (ssize_t)strlen(text);

	CU_ASSERT_EQUAL(vuc_fds_send(e->peer, text, (size_t)len, fds, nr_fds, 0), len);
}

static void
receive_fds(bool idle)
{
	struct end *e = open_end();
	int fds[3] = {open("/dev/null", O_RDONLY | O_CLOEXEC), e->peer, e->peer};

	e->view.outstanding = !idle;
	e->view.commands = true;
	send_bytes(e, "x", 1, NULL, 0);
	if (idle)
		poll_times(QUIET_POLLS);
	send_fds_to(e, "three", fds, 3);
	close(fds[0]);
	poll_until_len(e, 5);
	CU_ASSERT_EQUAL_FATAL(e->nr_fds, 3);
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(fcntl(e->fds[i], F_GETFD), FD_CLOEXEC);
	close_end(e);
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

	send_bytes(e, "x", 1, NULL, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
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
	close_end(e);
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
	send_bytes(e, "x", 1, NULL, 0);
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
	close_end(e);
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

	e->view.outstanding = true;
	send_bytes(e, "x", 1, NULL, 0);
	send_fds_to(e, "one", &e->peer, 1);
	poll_until_len(e, 3);
	close_end(e);
}

static void
test_send_fds(void)
{
	struct end *e = open_end();
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int fds[2] = {fd, fd};
	char got[16];
	struct iovec iov = {.iov_base = got, .iov_len = sizeof(got)};
	int taken[2], nr_taken;

	send_bytes(e, "two fds", 7, fds, 2);
	CU_ASSERT_EQUAL(
		vuc_fds_receive(e->peer, &iov, 1, taken, 2, &nr_taken, MSG_DONTWAIT, NULL), 7);
	CU_ASSERT_EQUAL_FATAL(nr_taken, 2);
	vuc_fds_close(taken, 2);
	close(fd);
	close_end(e);
}

static void
test_peer_closes(void)
{
	struct end *busy = open_end();
	struct end *idle = open_end();

	busy->view.outstanding = true;
	send_bytes(busy, "x", 1, NULL, 0);
	send_bytes(idle, "x", 1, NULL, 0);
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
	close_end(busy);
	close_end(idle);
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
	close_end(e);
}

/* A full socket holds a segment back, and lets go of it as a whole. */
static void
test_full_socket(void)
{
	static uint8_t block[VUC_SEGMENT_MAX], got[VUC_SEGMENT_MAX];
	struct end *e = open_end();
	unsigned int accepted = 0, received = 0;
	int rc = 1;

	for (unsigned int n = 0; n < 200 && (rc == 1 || e->sent == accepted); n++) {
		const struct vuc_segment segment = {.bytes = block, .len = sizeof(block)};

		memset(block, (int)accepted, sizeof(block));
		rc = ops->send(e->conn, &segment);
		if (rc == -EAGAIN)
			break;
		CU_ASSERT_FATAL(rc == 0 || rc == 1);
		accepted++;
		if (rc == 1)
			e->sent++;
		poll_times(10);
	}
	CU_ASSERT_FATAL(accepted > 1 && accepted < 200);
	while (recv(e->peer, got, sizeof(got), MSG_DONTWAIT) == (ssize_t)sizeof(got)) {
		CU_ASSERT_EQUAL(got[0], (uint8_t)received);
		CU_ASSERT_EQUAL(got[sizeof(got) - 1], (uint8_t)received);
		received++;
		poll_times(10);
	}
	CU_ASSERT_EQUAL(received, accepted);
	CU_ASSERT_EQUAL(e->sent, accepted);
	close_end(e);
}

/* From several places, as much as there is room for; memory that is not there does no harm. */
static void
test_send_parts(void)
{
	static uint8_t block[1024 * 1024], got[sizeof(block)];
	const struct iovec parts[] = {{block, 1}, {block + 1, 2}, {block + 3, sizeof(block) - 3}};
	const struct iovec nowhere = {
		mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096};
	struct end *e = open_end();
	int64_t n;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 7 + i / 251);
	CU_ASSERT_FATAL(nowhere.iov_base != MAP_FAILED);
	CU_ASSERT_EQUAL(ops->send_parts(e->conn, &nowhere, 1), -EFAULT);
	munmap(nowhere.iov_base, nowhere.iov_len);
	CU_ASSERT_EQUAL(ops->send_parts(e->conn, parts, 2), 3);
	n = ops->send_parts(e->conn, parts, 3);
	CU_ASSERT_FATAL(n > 0 && n < (int64_t)sizeof(block));
	CU_ASSERT_EQUAL(ops->send_parts(e->conn, parts, 1), -EAGAIN);
	CU_ASSERT_EQUAL(recv(e->peer, got, sizeof(got), MSG_DONTWAIT), 3 + n);
	CU_ASSERT_EQUAL(memcmp(got, block, 3), 0);
	CU_ASSERT_EQUAL(memcmp(got + 3, block, (size_t)n), 0);
	send_to(e, "reply", 5);
	poll_until_len(e, 5);
	close_end(e);
}

/* What send(2) does, call by call: a number of bytes that it takes, or a negative errno. */
static const int *script;

ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __real_send(int fd, const void *bytes, size_t len, int flags);

ssize_t
__wrap_send(int fd, const void *bytes, size_t len, int flags)
{
	int step;

	if (script == NULL || *script == 0)
		return __real_send(fd, bytes, len, flags);
	step = *script++;
	if (step > 0)
		return __real_send(fd, bytes, (size_t)step, flags);
	errno = -step;
	return -1;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);

/* Of one piece, as much as the script says. */
ssize_t
__wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (script != NULL && *script > 0)
		msg->msg_iov->iov_len = (size_t)*script++;
	return __real_sendmsg(fd, msg, flags);
}

/* Descriptors go out with the first piece, once. */
static void
test_continued_fds(void)
{
	static const int pieces[] = {3, 0};
	struct end *e = open_end();
	const struct vuc_segment segment = {
		.bytes = (const uint8_t *)"segment", .len = 7, .fds = &e->peer, .nr_fds = 1};
	int nr_fds = 0;
	size_t len = 0;

	script = pieces;
	CU_ASSERT_EQUAL(ops->send(e->conn, &segment), 0);
	poll_times(10);
	script = NULL;
	while (len < 7) {
		char got[16];
		struct iovec iov = {.iov_base = got, .iov_len = sizeof(got)};
		int taken[2], nr_taken;
		ssize_t n =
			vuc_fds_receive(e->peer, &iov, 1, taken, 2, &nr_taken, MSG_DONTWAIT, NULL);

		CU_ASSERT_FATAL(n > 0);
		len += (size_t)n;
		CU_ASSERT_FATAL(nr_taken >= 0);
		vuc_fds_close(taken, (unsigned int)nr_taken);
		nr_fds += nr_taken;
	}
	CU_ASSERT_EQUAL(nr_fds, 1);
	close_end(e);
}

/* A segment that the kernel takes in pieces, until it refuses the rest. */
static void
test_continued_send(void)
{
	static const int pieces[] = {3, -EAGAIN, 1, -EINTR, 3, 0};
	static const int broken[] = {3, -EAGAIN, -ECONNRESET, 0};
	const struct vuc_segment segment = {.bytes = (const uint8_t *)"segment", .len = 7};
	struct end *e = open_end();
	char got[16];

	script = pieces;
	CU_ASSERT_EQUAL(ops->send(e->conn, &segment), 0);
	poll_times(10);
	CU_ASSERT_EQUAL(e->sent, 1);
	CU_ASSERT_EQUAL(recv(e->peer, got, sizeof(got), MSG_DONTWAIT), 7);
	CU_ASSERT_EQUAL(memcmp(got, "segment", 7), 0);
	script = broken;
	CU_ASSERT_EQUAL(ops->send(e->conn, &segment), 0);
	poll_times(10);
	script = NULL;
	CU_ASSERT_EQUAL(e->sent, 1);
	CU_ASSERT_EQUAL(e->lost, 1);
	CU_ASSERT_EQUAL(e->error, -ECONNRESET);
	CU_ASSERT_EQUAL(recv(e->peer, got, sizeof(got), MSG_DONTWAIT), 3);
	close_end(e);
}

/* The kernel takes nothing from the ring. */
static bool stuck;

struct io_uring;
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);
int __real_io_uring_submit_and_get_events(struct io_uring *ring);

int
__wrap_io_uring_submit_and_get_events(struct io_uring *ring)
{
	return stuck ? -EAGAIN : __real_io_uring_submit_and_get_events(ring);
}

static void set_up(void);
static void tear_down(void);

#define CROWD 160 /* of which each puts two entries into a ring of 256 */

/* A ring that is full for a while holds nobody up, and none of what waits in it is lost. */
static void
test_stuck_ring(void)
{
	const struct vuc_segment segment = {.bytes = (const uint8_t *)"request", .len = 7};
	struct end *ends[CROWD];
	char got[16];

	stuck = true;
	for (unsigned int i = 0; i < CROWD; i++) {
		int rc;

		ends[i] = open_end();
		rc = ops->send(ends[i]->conn, &segment);
		CU_ASSERT(rc == 0 || rc == 1);
	}
	poll_times(QUIET_POLLS);
	stuck = false;
	poll_times(SOON_POLLS);
	for (unsigned int i = 0; i < CROWD; i++) {
		CU_ASSERT_EQUAL(recv(ends[i]->peer, got, sizeof(got), MSG_DONTWAIT), 7);
		send_to(ends[i], "reply", 5);
		poll_until_len(ends[i], 5);
	}
	/* What is still in it is not sent after the end of its connection. */
	stuck = true;
	for (unsigned int i = 0; i < CROWD; i++)
		(void)ops->send(ends[i]->conn, &segment);
	for (unsigned int i = 0; i < CROWD / 2; i++) {
		close_end(ends[i]);
		ends[i] = open_end();
	}
	stuck = false;
	poll_times(SOON_POLLS);
	for (unsigned int i = 0; i < CROWD; i++) {
		ssize_t n = recv(ends[i]->peer, got, sizeof(got), MSG_DONTWAIT);

		CU_ASSERT_EQUAL(n, i < CROWD / 2 ? -1 : 7);
		close_end(ends[i]);
	}
	/* Nor does its end hold anybody up. */
	stuck = true;
	ends[0] = open_end();
	(void)ops->send(ends[0]->conn, &segment);
	close_end(ends[0]);
	tear_down();
	stuck = false;
	set_up();
}

/* Closed while the kernel holds a segment and a receive: neither is touched afterwards. */
static void
test_close_in_flight(void)
{
	for (unsigned int round = 0; round < 20; round++) {
		uint8_t *block = malloc(VUC_SEGMENT_MAX);
		struct end *e = open_end();
		const struct vuc_segment segment = {.bytes = block, .len = VUC_SEGMENT_MAX};
		unsigned int n;

		CU_ASSERT_PTR_NOT_NULL_FATAL(block);
		memset(block, 0x5a, VUC_SEGMENT_MAX);
		e->view.outstanding = true;
		for (n = 0; n < 200; n++) {
			int rc = ops->send(e->conn, &segment);

			if (rc == -EAGAIN)
				break;
			if (round % 2 == 0)
				ops->poll(group, 1);
		}
		CU_ASSERT(n < 200);
		if (round % 3 == 0)
			poll_times(QUIET_POLLS);
		close_end(e);
		free(block);
	}
	poll_times(100);
}

static void
test_close_from_event(void)
{
	struct end *a = open_end();
	struct end *b = open_end();

	a->view.outstanding = true;
	b->view.outstanding = true;
	send_bytes(a, "x", 1, NULL, 0);
	send_bytes(b, "x", 1, NULL, 0);
	a->close_on_data = b;
	b->close_on_data = a;
	send_to(a, "data", 4);
	send_to(b, "data", 4);
	poll_times(100);
	CU_ASSERT_EQUAL(a->len + b->len, 4);
	CU_ASSERT((a->conn == NULL) != (b->conn == NULL));
	close_end(a);
	close_end(b);
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
	send_bytes(a, "x", 1, NULL, 0);
	send_bytes(b, "x", 1, NULL, 0);
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
	close_end(a);
	close_end(b);
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
			ends[i]->view.outstanding = true;
			send_bytes(ends[i], "x", 1, NULL, 0);
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
	for (unsigned int i = 0; i < MANY; i++)
		close_end(ends[i]);
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
	e->view.outstanding = true;
	send_bytes(e, "x", 1, NULL, 0);
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
	close_end(e);
}

/* Neither does a peer that owes an answer and hangs. */
static void
test_idle_costs_no_syscall(void)
{
	struct end *e = open_end();

	for (unsigned int owed = 0; owed < 2; owed++) {
		uint64_t before;

		e->view.outstanding = owed;
		send_bytes(e, "x", 1, NULL, 0);
		poll_times(QUIET_POLLS);
		before = group->syscalls;
		poll_times(QUIET_POLLS);
		CU_ASSERT_EQUAL(group->syscalls, before);
	}
	close_end(e);
}

static unsigned int fds_before;

static void
set_up(void)
{
	struct vuc_error err = {0};

	fds_before = fd_count();
	group = NULL;
	if (ops->group_create(&group, NULL, NULL, &err) != 0)
		group = NULL;
}

static void
tear_down(void)
{
	if (group == NULL)
		return;
	ops->group_destroy(group);
	CU_ASSERT_EQUAL(fd_count(), fds_before);
}

static void
set_up_uring(void)
{
	ops = &vuc_transport_uring;
	set_up();
}

/* The owner says that more is to be sent than by one connection. */
static void
set_up_uring_several(void)
{
	set_up_uring();
	if (group != NULL)
		group->several = true;
}

static void
set_up_posix(void)
{
	ops = &vuc_transport_posix;
	set_up();
}

/* io_uring is not allowed everywhere. */
#define WHERE_ALLOWED(test)                                           \
	static void allowed_##test(void)                              \
	{                                                             \
		if (group == NULL)                                    \
			vuc_tap_skip("io_uring is not allowed here"); \
		else                                                  \
			test();                                       \
	}

#define TESTS(X)                               \
	X(test_send_and_receive)               \
	X(test_receive_when_idle)              \
	X(test_receive_first)                  \
	X(test_commands_while_nothing_is_owed) \
	X(test_look)                           \
	X(test_settle)                         \
	X(test_idle_and_busy_in_turn)          \
	X(test_receive_fds)                    \
	X(test_receive_into)                   \
	X(test_fds_without_room)               \
	X(test_unwatched_fds)                  \
	X(test_send_fds)                       \
	X(test_peer_closes)                    \
	X(test_last_words)                     \
	X(test_full_socket)                    \
	X(test_send_parts)                     \
	X(test_stuck_ring)                     \
	X(test_close_in_flight)                \
	X(test_close_from_event)               \
	X(test_close_with_fds)                 \
	X(test_many_connections)               \
	X(test_large_stream)

TESTS(WHERE_ALLOWED)
WHERE_ALLOWED(test_idle_costs_no_syscall)
WHERE_ALLOWED(test_continued_send)
WHERE_ALLOWED(test_continued_fds)

#define ROW(test) {#test, allowed_##test},

static CU_TestInfo tests[] = {TESTS(ROW) CU_TEST_INFO_NULL};
static CU_TestInfo send_tests[] = {
	ROW(test_continued_send) ROW(test_continued_fds) CU_TEST_INFO_NULL};
static CU_TestInfo idle_tests[] = {ROW(test_idle_costs_no_syscall) CU_TEST_INFO_NULL};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{"posix", NULL, NULL, set_up_posix, tear_down, tests},
		{"posix alone", NULL, NULL, set_up_posix, tear_down, send_tests},
		{"uring", NULL, NULL, set_up_uring, tear_down, tests},
		{"uring, several", NULL, NULL, set_up_uring_several, tear_down, tests},
		{"uring alone", NULL, NULL, set_up_uring, tear_down, idle_tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
