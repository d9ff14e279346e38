/* SPDX-License-Identifier: BSD-3-Clause */
#include <unistd.h>

#include "session_fixture.h"

#define ACCESS_SIZE (HEADER_SIZE + sizeof(struct vfio_user_region_access))

static void
test_coalesce(void)
{
	static const uint8_t data[FIXTURE_MAX_DATA];
	struct vuc_segment segment = {0};
	struct fixture f;
	uint32_t rest = FIXTURE_SEGMENT_MAX - (ACCESS_SIZE + FIXTURE_MAX_DATA) - ACCESS_SIZE;

	fixture_open(&f, NULL);
	CU_ASSERT_FALSE(fixture_next_segment(f.s, &segment));
	/* Exactly as long as a segment may be. */
	CU_ASSERT_EQUAL(fixture_post(&f, 0, data, FIXTURE_MAX_DATA), 0);
	CU_ASSERT_EQUAL(fixture_post(&f, 1, data, rest), 0);
	CU_ASSERT_EQUAL(fixture_post(&f, 2, data, 0), 0);
	CU_ASSERT_TRUE_FATAL(fixture_next_segment(f.s, &segment));
	CU_ASSERT_EQUAL(segment.len, FIXTURE_SEGMENT_MAX);
	CU_ASSERT_EQUAL(segment.nr_fds, 0);
	CU_ASSERT_EQUAL(fixture_send(&f), 2);
	CU_ASSERT_EQUAL(fixture_nr_sent(&f), 3);

	CU_ASSERT_EQUAL(fixture_post(&f, 0, data, FIXTURE_MAX_DATA), 0);
	CU_ASSERT_EQUAL(fixture_post(&f, 1, data, rest + 1), 0);
	CU_ASSERT_TRUE_FATAL(fixture_next_segment(f.s, &segment));
	CU_ASSERT_EQUAL(segment.len, ACCESS_SIZE + FIXTURE_MAX_DATA);
	CU_ASSERT_EQUAL(fixture_send(&f), 2);
	CU_ASSERT_FALSE(vuc_session_has_segment(f.s));
	fixture_close(&f);
}

static void
test_handed_out(void)
{
	struct vuc_segment before = {0}, again = {0}, next = {0};
	uint8_t bytes[64];
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_post(&f, 7, "abcd", 4), 0);
	CU_ASSERT_TRUE_FATAL(fixture_next_segment(f.s, &before));
	CU_ASSERT_EQUAL_FATAL(before.len, ACCESS_SIZE + 4);
	memcpy(bytes, before.bytes, before.len);
	CU_ASSERT_EQUAL(fixture_post(&f, 8, "efgh", 4), 0);
	CU_ASSERT_EQUAL(fixture_post(&f, 9, "ijkl", 4), 0);

	CU_ASSERT_TRUE_FATAL(fixture_next_segment(f.s, &again));
	CU_ASSERT_PTR_EQUAL(again.bytes, before.bytes);
	CU_ASSERT_EQUAL(again.len, before.len);
	CU_ASSERT_EQUAL(memcmp(again.bytes, bytes, before.len), 0);

	vuc_session_sent(f.s);
	CU_ASSERT_TRUE_FATAL(fixture_next_segment(f.s, &next));
	CU_ASSERT_EQUAL(next.len, 2 * (ACCESS_SIZE + 4));
	vuc_session_sent(f.s);
	CU_ASSERT_FALSE(vuc_session_has_segment(f.s));
	vuc_session_sent(f.s);
	CU_ASSERT_FALSE(fixture_next_segment(f.s, &next));
	fixture_close(&f);
}

static void
test_fds_isolate(void)
{
	int fds[2] = {fixture_new_fd(), fixture_new_fd()};
	struct vuc_segment segment = {0};
	struct outcome o = {0};
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, "x", 1), 0);
	CU_ASSERT_EQUAL(fixture_dma_map(&f, fds, 2, &o), 0);
	CU_ASSERT_EQUAL(fixture_dma_map(&f, NULL, 0, &o), 0);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, "x", 1), 0);

	CU_ASSERT_TRUE_FATAL(fixture_next_segment(f.s, &segment));
	CU_ASSERT_EQUAL(segment.nr_fds, 0);
	CU_ASSERT_EQUAL(segment.len, ACCESS_SIZE + 1);
	vuc_session_sent(f.s);
	CU_ASSERT_TRUE_FATAL(fixture_next_segment(f.s, &segment));
	CU_ASSERT_EQUAL_FATAL(segment.nr_fds, 2);
	CU_ASSERT_EQUAL(fixture_inode(segment.fds[0]), fixture_inode(fds[0]));
	CU_ASSERT_EQUAL(fixture_inode(segment.fds[1]), fixture_inode(fds[1]));
	CU_ASSERT_EQUAL(segment.len, HEADER_SIZE + sizeof(struct vfio_user_dma_map));
	vuc_session_sent(f.s);
	CU_ASSERT_TRUE_FATAL(fixture_next_segment(f.s, &segment));
	CU_ASSERT_EQUAL(segment.nr_fds, 0);
	CU_ASSERT_EQUAL(
		segment.len, HEADER_SIZE + sizeof(struct vfio_user_dma_map) + ACCESS_SIZE + 1);
	vuc_session_sent(f.s);
	CU_ASSERT_FALSE(vuc_session_has_segment(f.s));
	fixture_close(&f);

	/* They stay the caller's. */
	CU_ASSERT_EQUAL(close(fds[0]), 0);
	CU_ASSERT_EQUAL(close(fds[1]), 0);
}

/* The segment that is next has one descriptor, of this file. */
static bool
carries(struct fixture *f, ino_t inode)
{
	struct vuc_segment segment = {0};

	return fixture_next_segment(f->s, &segment) && segment.nr_fds == 1 &&
		fixture_inode(segment.fds[0]) == inode;
}

/* A request with a descriptor that times out before the session does. */
static int
queue_short(struct fixture *f, int fd, struct outcome *o)
{
	const struct vfio_user_irq_set body = {.argsz = sizeof(body), .count = 1};
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_SET_IRQS,
		.fds = &fd,
		.nr_fds = 1,
		.body = &body,
		.len = sizeof(body),
		.timeout_ms = FIXTURE_TIMEOUT_MS / 2,
		.done = fixture_record,
		.arg = o,
	};

	return vuc_session_request(f->s, &req);
}

/*
 * The owner of a request that has timed out may close its descriptors, whose numbers may stand for
 * other files by the time the message is sent: it carries the file that it was queued with.
 */
static void
expire_unsent(bool handed)
{
	int fd = fixture_new_fd();
	ino_t inode = fixture_inode(fd);
	struct outcome o = {0};
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(queue_short(&f, fd, &o), 0);
	if (handed)
		CU_ASSERT_TRUE(carries(&f, inode));
	vuc_session_tick(f.s, 1);
	vuc_session_tick(f.s, 1 + FIXTURE_TIMEOUT_MS / 2);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.status, -ETIMEDOUT);
	CU_ASSERT_EQUAL(close(fd), 0);
	fd = fixture_new_fd();
	CU_ASSERT_TRUE(carries(&f, inode));
	vuc_session_sent(f.s);
	fixture_close(&f);
	CU_ASSERT_EQUAL(close(fd), 0);
}

static void
test_fds_expired(void)
{
	expire_unsent(false);
	expire_unsent(true);
}

/* Those that have been sent are no reason to end a session. */
static void
test_fds_expired_sent(void)
{
	int fd = fixture_new_fd();
	struct outcome o = {0};
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(queue_short(&f, fd, &o), 0);
	fixture_send(&f);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, "x", 1), 0);
	vuc_session_tick(f.s, 1);
	vuc_session_tick(f.s, 1 + FIXTURE_TIMEOUT_MS / 2);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.status, -ETIMEDOUT);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	CU_ASSERT_TRUE(vuc_session_has_segment(f.s));
	fixture_close(&f);
	close(fd);
}

/* What was never sent stays its owner's when the session ends. */
static void
test_fds_never_sent(void)
{
	int fd = fixture_new_fd();
	struct outcome o = {0};
	struct fixture f;

	fixture_open(&f, NULL);
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(fixture_dma_map(&f, &fd, 1, &o), 0);
	CU_ASSERT_TRUE(carries(&f, fixture_inode(fd)));
	vuc_session_end(f.s, -ECANCELED, "enough");
	CU_ASSERT_EQUAL(o.calls, 3);
	fixture_close(&f);
	CU_ASSERT_EQUAL(close(fd), 0);
}

/* Two segments with descriptors never become one. */
static void
test_fds_apart(void)
{
	int fd = fixture_new_fd();
	struct outcome o = {0};
	struct fixture f;

	fixture_open(&f, NULL);
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(fixture_dma_map(&f, &fd, 1, &o), 0);
	CU_ASSERT_EQUAL(fixture_send(&f), 3);
	CU_ASSERT_EQUAL(fixture_nr_sent(&f), 3);
	fixture_close(&f);
	close(fd);
}

static void
test_many_segments(void)
{
	struct vuc_session_config config = fixture_config();
	int fd = fixture_new_fd();
	struct outcome o = {0};
	unsigned int n = 0;
	struct fixture f;

	config.max_requests = 256;
	fixture_open(&f, &config);
	while (fixture_dma_map(&f, &fd, 1, &o) == 0)
		n++;
	CU_ASSERT(n >= 32 && n < 256);
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), n);
	CU_ASSERT_EQUAL(fixture_dma_map(&f, &fd, 1, &o), -EAGAIN);
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), n);
	CU_ASSERT_EQUAL(fixture_send(&f), n);
	CU_ASSERT_EQUAL(fixture_dma_map(&f, &fd, 1, &o), 0);
	fixture_close(&f);
	close(fd);
}

/* Post until there is no room. Returns how many it were. */
static unsigned int
post_until_full(struct fixture *f, uint32_t count)
{
	static const uint8_t data[FIXTURE_MAX_DATA];
	unsigned int n = 0;
	int rc;

	while ((rc = fixture_post(f, n, data, count)) == 0)
		n++;
	CU_ASSERT_EQUAL(rc, -EAGAIN);
	return n;
}

static void
test_buffer_full(void)
{
	struct outcome o = {0};
	unsigned int n;
	struct fixture f;

	fixture_open(&f, NULL);
	n = post_until_full(&f, FIXTURE_MAX_DATA);
	CU_ASSERT(n > 20);
	CU_ASSERT_EQUAL(fixture_write(&f, 0, (uint8_t[FIXTURE_MAX_DATA]){0}, FIXTURE_MAX_DATA, &o),
		-EAGAIN);
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 0);
	fixture_send(&f);
	CU_ASSERT_EQUAL(fixture_nr_sent(&f), n);
	CU_ASSERT_EQUAL(post_until_full(&f, FIXTURE_MAX_DATA), n);
	fixture_close(&f);
}

/* A segment that is on its way, and what was sent so far. */
struct sender {
	struct fixture *f;
	uint32_t posted;
	uint32_t sent;
};

static void
post_numbered(struct sender *sender, unsigned int n)
{
	uint32_t data[64];

	for (unsigned int i = 0; i < n; i++) {
		uint32_t number = sender->posted;
		uint32_t count = (number * 29 % 64 + 1) * 4;

		for (unsigned int word = 0; word < 64; word++)
			data[word] = number;
		if (fixture_post(sender->f, number, data, count) != 0)
			return;
		sender->posted++;
	}
}

/* Check the messages of the next segment and call it sent. */
static void
send_numbered(struct sender *sender)
{
	struct vuc_segment segment = {0};
	unsigned int bad = 0;

	CU_ASSERT_TRUE_FATAL(fixture_next_segment(sender->f->s, &segment));
	for (size_t pos = 0; pos < segment.len; sender->sent++) {
		struct vfio_user_region_access access;
		uint32_t first, last;

		CU_ASSERT_FATAL(segment.len - pos >= ACCESS_SIZE + 4);
		memcpy(&access, segment.bytes + pos + HEADER_SIZE, sizeof(access));
		CU_ASSERT_FATAL(segment.len - pos >= ACCESS_SIZE + access.count);
		memcpy(&first, segment.bytes + pos + ACCESS_SIZE, 4);
		pos += ACCESS_SIZE + access.count;
		memcpy(&last, segment.bytes + pos - 4, 4);
		bad += access.offset != sender->sent || first != sender->sent ||
			last != sender->sent;
	}
	CU_ASSERT_EQUAL(bad, 0);
	vuc_session_sent(sender->f->s);
}

/* More is posted all the while, so that the buffer is never empty. */
static void
test_never_empty(void)
{
	struct vuc_segment segment = {0};
	struct fixture f;
	struct sender sender = {.f = &f};
	unsigned int rounds = 0;

	fixture_open(&f, NULL);
	post_numbered(&sender, 8);
	while (sender.posted < 100000 && rounds++ < 100000) {
		CU_ASSERT_TRUE(fixture_next_segment(f.s, &segment));
		post_numbered(&sender, 1 + rounds % 13);
		send_numbered(&sender);
		CU_ASSERT_TRUE_FATAL(vuc_session_has_segment(f.s));
	}
	while (vuc_session_has_segment(f.s))
		send_numbered(&sender);
	CU_ASSERT_EQUAL(sender.sent, sender.posted);
	CU_ASSERT(sender.posted >= 100000);
	fixture_close(&f);
}

/* As much is posted as fits, each time that a segment has made room. */
static void
test_always_full(void)
{
	struct fixture f;
	struct sender sender = {.f = &f};
	uint32_t before;

	fixture_open(&f, NULL);
	for (unsigned int i = 0; i < 1000; i++) {
		before = sender.posted;
		post_numbered(&sender, UINT32_MAX);
		CU_ASSERT(sender.posted > before);
		send_numbered(&sender);
	}
	while (vuc_session_has_segment(f.s))
		send_numbered(&sender);
	CU_ASSERT_EQUAL(sender.sent, sender.posted);
	fixture_close(&f);
}

/* A session takes no more than fits its buffer, whatever it was told. */
static void
test_segment_max_beyond_buffer(void)
{
	const struct message reply = message_version(0, 2, "{}");
	struct vuc_session_config config = fixture_config();
	static uint8_t data[1 << 20];
	struct fixture f;
	uint32_t max;

	config.segment_max = 4u << 20;
	config.version.max_data_xfer_size = sizeof(data);
	fixture_create(&f, &config);
	fixture_send(&f);
	fixture_feed_message(&f, &reply);
	max = vuc_session_max_write(f.s);
	CU_ASSERT(max > FIXTURE_MAX_DATA && max < sizeof(data));
	CU_ASSERT_EQUAL(fixture_post(&f, 0, data, max + 1), -EMSGSIZE);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, data, max), 0);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, data, max), -EAGAIN);
	CU_ASSERT_EQUAL(fixture_send(&f), 1);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, data, max), 0);
	fixture_close(&f);
}

static CU_TestInfo tests[] = {
	{"messages share a segment", test_coalesce},
	{"a segment handed out stays as it is", test_handed_out},
	{"descriptors have a segment of their own", test_fds_isolate},
	{"descriptors that expire before they are sent", test_fds_expired},
	{"descriptors that expire when they were sent", test_fds_expired_sent},
	{"descriptors that are never sent", test_fds_never_sent},
	{"descriptors of two messages stay apart", test_fds_apart},
	{"no segment left", test_many_segments},
	{"no room left", test_buffer_full},
	{"a buffer that is never empty", test_never_empty},
	{"a buffer that is always full", test_always_full},
	{"a segment_max beyond the buffer", test_segment_max_beyond_buffer},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{"session_segments", NULL, NULL, NULL, NULL, tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
