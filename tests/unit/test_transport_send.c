/* SPDX-License-Identifier: BSD-3-Clause */

/* What the socket transports send, each held to the same promises: drivers/transport.h. */

#include <fcntl.h>
#include <sys/mman.h>

#include "transport_end.h"

static void
test_send_fds(void)
{
	struct end *e = open_end();
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int fds[2] = {fd, fd};
	char got[16];
	int nr_taken;

	send_bytes(e, "two fds", 7, fds, 2);
	CU_ASSERT_EQUAL(receive_at_peer(e, got, sizeof(got), &nr_taken), 7);
	CU_ASSERT_EQUAL(nr_taken, 2);
	close(fd);
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
		int nr_taken;
		ssize_t n = receive_at_peer(e, got, sizeof(got), &nr_taken);

		CU_ASSERT_FATAL(n > 0);
		len += (size_t)n;
		nr_fds += nr_taken;
	}
	CU_ASSERT_EQUAL(nr_fds, 1);
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
	ops->group_destroy(group);
	group = NULL;
	stuck = false;
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

static const CU_TestInfo tests[] = {
	{"test_send_fds", test_send_fds},
	{"test_full_socket", test_full_socket},
	{"test_send_parts", test_send_parts},
	{"test_stuck_ring", test_stuck_ring},
	{"test_close_in_flight", test_close_in_flight},
};

/* Without io_uring, whose sends are not made by send(2). */
static const CU_TestInfo alone[] = {
	{"test_continued_send", test_continued_send},
	{"test_continued_fds", test_continued_fds},
};

static const struct tap_suite uring_several = {
	"uring, several", open_uring_several, close_group, .rows = TAP_ROWS(tests, transport_test)};
static const struct tap_suite uring = {"uring", open_uring, close_group,
	.rows = TAP_ROWS(tests, transport_test), .next = &uring_several};
static const struct tap_suite posix_alone = {"posix alone", open_posix, close_group,
	.rows = TAP_ROWS(alone, transport_test), .next = &uring};
const struct tap_suite tap_suite = {"posix", open_posix, close_group,
	.rows = TAP_ROWS(tests, transport_test), .next = &posix_alone};
