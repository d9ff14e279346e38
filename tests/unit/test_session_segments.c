/* SPDX-License-Identifier: BSD-3-Clause */
#include "session_fixture.h"

/* Whether there is a segment of this length and number of descriptors; the first one is of fd. */
static bool
next_is(size_t len, unsigned int nr_fds, int fd)
{
	struct vuc_segment segment = {0};

	return fixture_next_segment(&segment) && segment.len == len && segment.nr_fds == nr_fds &&
		(nr_fds == 0 || fixture_inode(segment.fds[0]) == fixture_inode(fd));
}

static void
test_coalesce(void)
{
	static const uint8_t data[FIXTURE_MAX_DATA];
	uint32_t rest = FIXTURE_SEGMENT_MAX - (ACCESS_SIZE + FIXTURE_MAX_DATA) - ACCESS_SIZE;

	CU_ASSERT_FALSE(vuc_session_has_segment(session));
	/* Exactly as long as a segment may be. */
	CU_ASSERT_EQUAL(fixture_post(0, data, FIXTURE_MAX_DATA), 0);
	CU_ASSERT_EQUAL(fixture_post(1, data, rest), 0);
	CU_ASSERT_EQUAL(fixture_post(2, data, 0), 0);
	CU_ASSERT_TRUE(next_is(FIXTURE_SEGMENT_MAX, 0, -1));
	CU_ASSERT_EQUAL(fixture_send(), 2);
	CU_ASSERT_EQUAL(fixture_nr_sent(), 3);

	CU_ASSERT_EQUAL(fixture_post(0, data, FIXTURE_MAX_DATA), 0);
	CU_ASSERT_EQUAL(fixture_post(1, data, rest + 1), 0);
	CU_ASSERT_TRUE(next_is(ACCESS_SIZE + FIXTURE_MAX_DATA, 0, -1));
	CU_ASSERT_EQUAL(fixture_send(), 2);
	CU_ASSERT_FALSE(vuc_session_has_segment(session));
}

static void
test_handed_out(void)
{
	struct vuc_segment before = {0}, again = {0};
	uint8_t bytes[64];

	CU_ASSERT_EQUAL(fixture_post(7, "abcd", 4), 0);
	CU_ASSERT_TRUE_FATAL(fixture_next_segment(&before));
	CU_ASSERT_EQUAL_FATAL(before.len, ACCESS_SIZE + 4);
	memcpy(bytes, before.bytes, before.len);
	CU_ASSERT_EQUAL(fixture_post(8, "efgh", 4), 0);
	CU_ASSERT_EQUAL(fixture_post(9, "ijkl", 4), 0);

	CU_ASSERT_TRUE_FATAL(fixture_next_segment(&again));
	CU_ASSERT_PTR_EQUAL(again.bytes, before.bytes);
	CU_ASSERT_EQUAL(again.len, before.len);
	CU_ASSERT_EQUAL(memcmp(again.bytes, bytes, before.len), 0);

	vuc_session_sent(session);
	CU_ASSERT_TRUE(next_is(2 * (ACCESS_SIZE + 4), 0, -1));
	vuc_session_sent(session);
	CU_ASSERT_FALSE(vuc_session_has_segment(session));
	vuc_session_sent(session);
	CU_ASSERT_FALSE(fixture_next_segment(&again));
}

/* Descriptors have a segment of their own, and stay the caller's. */
static void
test_fds_isolate(void)
{
	int fds[2] = {fixture_new_fd(), fixture_new_fd()};
	size_t map_len = HEADER_SIZE + sizeof(struct vfio_user_dma_map);
	struct outcome o = {0};

	CU_ASSERT_EQUAL(fixture_post(0, "x", 1), 0);
	CU_ASSERT_EQUAL(fixture_dma_map(fds, 2, &o), 0);
	CU_ASSERT_EQUAL(fixture_dma_map(fds + 1, 1, &o), 0);
	CU_ASSERT_EQUAL(fixture_dma_map(NULL, 0, &o), 0);
	CU_ASSERT_EQUAL(fixture_post(0, "x", 1), 0);

	CU_ASSERT_TRUE(next_is(ACCESS_SIZE + 1, 0, -1));
	vuc_session_sent(session);
	CU_ASSERT_TRUE(next_is(map_len, 2, fds[0]));
	CU_ASSERT_EQUAL(
		fixture_inode(vuc_session_next_segment(session)->fds[1]), fixture_inode(fds[1]));
	vuc_session_sent(session);
	CU_ASSERT_TRUE(next_is(map_len, 1, fds[1]));
	vuc_session_sent(session);
	CU_ASSERT_TRUE(next_is(map_len + ACCESS_SIZE + 1, 0, -1));
	vuc_session_sent(session);
	CU_ASSERT_FALSE(vuc_session_has_segment(session));
	CU_ASSERT_EQUAL(close(fds[0]), 0);
	CU_ASSERT_EQUAL(close(fds[1]), 0);
}

#define SHORT_LEN (HEADER_SIZE + sizeof(struct vfio_user_irq_set))

/* A request with a descriptor that times out before the session does. */
static void
queue_short(int fd, struct outcome *o)
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

	CU_ASSERT_EQUAL(vuc_session_request(session, &req), 0);
}

static void
expire(const struct outcome *o)
{
	vuc_session_tick(session, 1);
	vuc_session_tick(session, 1 + FIXTURE_TIMEOUT_MS / 2);
	CU_ASSERT_EQUAL(o->calls, 1);
	CU_ASSERT_EQUAL(o->status, -ETIMEDOUT);
}

/*
 * The owner of a request that has timed out may close its descriptors, whose numbers may stand for
 * other files by the time the message is sent: it carries the file that it was queued with.
 */
static void
test_fds_expired(void)
{
	for (unsigned int handed = 0; handed < 2; handed++) {
		int kept, other, fd = fixture_new_fd();
		struct outcome o = {0};

		kept = dup(fd);
		queue_short(fd, &o);
		if (handed)
			CU_ASSERT_TRUE(next_is(SHORT_LEN, 1, kept));
		expire(&o);
		CU_ASSERT_EQUAL(close(fd), 0);
		other = fixture_new_fd();
		CU_ASSERT_EQUAL(other, fd);
		CU_ASSERT_TRUE(next_is(SHORT_LEN, 1, kept));
		vuc_session_sent(session);
		CU_ASSERT_EQUAL(close(other) + close(kept), 0);
		fixture_open(NULL);
	}
}

/* Those that have been sent are no reason to end a session. */
static void
test_fds_expired_sent(void)
{
	int fd = fixture_new_fd();
	struct outcome o = {0};

	queue_short(fd, &o);
	fixture_send();
	CU_ASSERT_EQUAL(fixture_post(0, "x", 1), 0);
	expire(&o);
	CU_ASSERT_EQUAL(vuc_session_state(session), VUC_SESSION_READY);
	CU_ASSERT_TRUE(vuc_session_has_segment(session));
	close(fd);
}

/* What was never sent stays its owner's when the session ends. */
static void
test_fds_never_sent(void)
{
	int fd = fixture_new_fd();
	struct outcome o = {0};

	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(fixture_dma_map(&fd, 1, &o), 0);
	CU_ASSERT_TRUE(next_is(HEADER_SIZE + sizeof(struct vfio_user_dma_map), 1, fd));
	vuc_session_end(session, -ECANCELED, "enough");
	CU_ASSERT_EQUAL(o.calls, 3);
	CU_ASSERT_EQUAL(close(fd), 0);
}

/* Each descriptor takes a segment, of which there are fewer than requests. */
static void
test_many_segments(void)
{
	struct outcome o = {0};
	int fd;
	unsigned int n = fixture_fill_segments(&fd, &o);

	CU_ASSERT(n >= 32 && n < 256);
	CU_ASSERT_EQUAL(vuc_session_outstanding(session), n);
	CU_ASSERT_EQUAL(fixture_dma_map(&fd, 1, &o), -EAGAIN);
	CU_ASSERT_EQUAL(vuc_session_outstanding(session), n);
	CU_ASSERT_EQUAL(fixture_send(), n);
	CU_ASSERT_EQUAL(fixture_nr_sent(), n);
	CU_ASSERT_EQUAL(fixture_dma_map(&fd, 1, &o), 0);
	CU_ASSERT_EQUAL(close(fd), 0);
}

/* Post until there is no room. Returns how many it were. */
static unsigned int
post_until_full(void)
{
	static const uint8_t data[FIXTURE_MAX_DATA];
	unsigned int n = 0;
	int rc;

	while ((rc = fixture_post(n, data, sizeof(data))) == 0)
		n++;
	CU_ASSERT_EQUAL(rc, -EAGAIN);
	return n;
}

static void
test_buffer_full(void)
{
	struct outcome o = {0};
	unsigned int n;

	n = post_until_full();
	CU_ASSERT(n > 20);
	CU_ASSERT_EQUAL(
		fixture_write(0, (uint8_t[FIXTURE_MAX_DATA]){0}, FIXTURE_MAX_DATA, &o), -EAGAIN);
	CU_ASSERT_EQUAL(vuc_session_outstanding(session), 0);
	fixture_send();
	CU_ASSERT_EQUAL(fixture_nr_sent(), n);
	CU_ASSERT_EQUAL(post_until_full(), n);
}

/* A segment that is on its way, and what was sent so far. */
struct sender {
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
		if (fixture_post(number, data, count) != 0)
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

	CU_ASSERT_TRUE_FATAL(fixture_next_segment(&segment));
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
	vuc_session_sent(session);
}

/* More is posted all the while, so that the buffer is never empty. */
static void
test_never_empty(void)
{
	struct vuc_segment segment = {0};
	struct sender sender = {0};
	unsigned int rounds = 0;

	post_numbered(&sender, 8);
	while (sender.posted < 100000 && rounds++ < 100000) {
		CU_ASSERT_TRUE(fixture_next_segment(&segment));
		post_numbered(&sender, 1 + rounds % 13);
		send_numbered(&sender);
		CU_ASSERT_TRUE_FATAL(vuc_session_has_segment(session));
	}
	while (vuc_session_has_segment(session))
		send_numbered(&sender);
	CU_ASSERT_EQUAL(sender.sent, sender.posted);
	CU_ASSERT(sender.posted >= 100000);
}

/* As much is posted as fits, each time that a segment has made room. */
static void
test_always_full(void)
{
	struct sender sender = {0};
	uint32_t before;

	for (unsigned int i = 0; i < 1000; i++) {
		before = sender.posted;
		post_numbered(&sender, UINT32_MAX);
		CU_ASSERT(sender.posted > before);
		send_numbered(&sender);
	}
	while (vuc_session_has_segment(session))
		send_numbered(&sender);
	CU_ASSERT_EQUAL(sender.sent, sender.posted);
}

/* A session takes no more than fits its buffer, whatever it was told. */
static void
test_segment_max_beyond_buffer(void)
{
	struct vuc_session_config config = fixture_config();
	static uint8_t data[1 << 20];
	uint32_t max;

	config.segment_max = 4u << 20;
	config.version.max_data_xfer_size = sizeof(data);
	fixture_negotiate(&config, message_version(0, 2, "{}"), 0);
	max = vuc_session_max_write(session);
	CU_ASSERT(max > FIXTURE_MAX_DATA && max < sizeof(data));
	CU_ASSERT_EQUAL(fixture_post(0, data, max + 1), -EMSGSIZE);
	CU_ASSERT_EQUAL(fixture_post(0, data, max), 0);
	CU_ASSERT_EQUAL(fixture_post(0, data, max), -EAGAIN);
	CU_ASSERT_EQUAL(fixture_send(), 1);
	CU_ASSERT_EQUAL(fixture_post(0, data, max), 0);
}

const struct tap_suite tap_suite = {"session_segments", fixture_open_usual, fixture_close,
	{
		{"messages share a segment", test_coalesce},
		{"a segment handed out stays as it is", test_handed_out},
		{"descriptors have a segment of their own", test_fds_isolate},
		{"descriptors that expire before they are sent", test_fds_expired},
		{"descriptors that expire when they were sent", test_fds_expired_sent},
		{"descriptors that are never sent", test_fds_never_sent},
		{"no segment left", test_many_segments},
		{"no room left", test_buffer_full},
		{"a buffer that is never empty", test_never_empty},
		{"a buffer that is always full", test_always_full},
		{"a segment_max beyond the buffer", test_segment_max_beyond_buffer},
	}};
