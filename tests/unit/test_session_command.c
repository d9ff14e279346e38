/* SPDX-License-Identifier: BSD-3-Clause */

/* What a server asks of its client. */

#include <unistd.h>

#include "session_fixture.h"

static bool malloc_fails;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *
__wrap_malloc(size_t size)
{
	return malloc_fails ? NULL : __real_malloc(size);
}

/* Whether the nth message that was sent refuses the command with this id. */
static bool
refuses(const struct fixture *f, unsigned int n, uint16_t id, uint16_t cmd)
{
	struct vfio_user_header h = fixture_sent(f, n);

	return h.msg_id == id && h.cmd == cmd && h.msg_size == HEADER_SIZE &&
		h.flags == (REPLY | VFIO_USER_F_ERROR) && h.error_no == EOPNOTSUPP;
}

static void
test_refused(void)
{
	const struct message dma_read = message_dma_read(0x1234, 0);
	const struct message dma_write = message_dma_write(0xffff, 0);
	struct fixture f;

	fixture_open(&f, NULL);
	fixture_feed_message(&f, &dma_read);
	fixture_feed_message(&f, &dma_write);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 0);
	fixture_send(&f);
	CU_ASSERT_EQUAL_FATAL(fixture_nr_sent(&f), 2);
	CU_ASSERT_TRUE(refuses(&f, 0, 0x1234, VFIO_USER_DMA_READ));
	CU_ASSERT_TRUE(refuses(&f, 1, 0xffff, VFIO_USER_DMA_WRITE));
	fixture_close(&f);
}

static void
test_no_reply(void)
{
	const struct message dma_write = message_dma_write(1, VFIO_USER_F_NO_REPLY);
	const struct message dma_read = message_dma_read(1, VFIO_USER_F_NO_REPLY);
	struct fixture f;

	fixture_open(&f, NULL);
	fixture_feed_message(&f, &dma_write);
	fixture_feed_message(&f, &dma_read);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	CU_ASSERT_FALSE(vuc_session_has_segment(f.s));
	fixture_close(&f);
}

/* Whether the session ends for this reason when the server sends that header. */
static bool
breaks(struct vfio_user_header h, const char *reason)
{
	struct message m = message_build(h, NULL, 0);
	struct fixture f;
	bool lost;

	fixture_open(&f, NULL);
	fixture_feed_message(&f, &m);
	lost = fixture_lost(&f, -EPROTO, reason);
	CU_ASSERT_FALSE(vuc_session_has_segment(f.s));
	fixture_close(&f);
	return lost;
}

static void
test_not_the_servers(void)
{
	unsigned int ended = 0, n = 0;

	for (unsigned int cmd = 0; cmd <= VFIO_USER_MAX; cmd++) {
		const struct vfio_user_header h = {
			.msg_id = 7,
			.cmd = (uint16_t)cmd,
			.msg_size = 4096,
		};
		const struct vuc_session_config config = fixture_config();
		struct message m = message_build(h, NULL, 0);
		struct fixture f;

		if (cmd == VFIO_USER_DMA_READ || cmd == VFIO_USER_DMA_WRITE)
			continue;
		fixture_open(&f, &config);
		fixture_feed_message(&f, &m);
		ended += vuc_session_state(f.s) == VUC_SESSION_LOST &&
			strstr(vuc_session_reason(f.s), "not a command that a server may send") !=
				NULL;
		n++;
		fixture_close(&f);
	}
	CU_ASSERT_EQUAL(ended, n);
	CU_ASSERT_TRUE(breaks((struct vfio_user_header){.msg_id = 7, .cmd = 14, .msg_size = 16},
		"message 0x0007 ((unknown) 14, command): not a command that a server may send"));
	CU_ASSERT_TRUE(breaks((struct vfio_user_header){.cmd = VFIO_USER_REGION_READ},
		"message 0x0000 (VFIO_USER_REGION_READ 9, command): not a command that a server "
		"may send"));
}

static void
test_header_refused(void)
{
	const struct vfio_user_header good = {
		.msg_id = 1,
		.cmd = VFIO_USER_DMA_WRITE,
		.msg_size = HEADER_SIZE + 16,
	};
	struct vfio_user_header h = good;

	h.flags = VFIO_USER_F_ERROR;
	CU_ASSERT_TRUE(breaks(h,
		"message 0x0001 (VFIO_USER_DMA_WRITE 12, command): a command with the error flag"));
	h.flags = 0x40;
	CU_ASSERT_TRUE(
		breaks(h, "message 0x0001 (VFIO_USER_DMA_WRITE 12): flags 0x40 are not known"));
	h = good;
	h.msg_size = HEADER_SIZE + 15;
	CU_ASSERT_TRUE(breaks(
		h, "message 0x0001 (VFIO_USER_DMA_WRITE 12): msg_size 31, expected 32 to 4128"));
	h.msg_size = HEADER_SIZE + 16 + FIXTURE_MAX_DATA + 1;
	CU_ASSERT_TRUE(breaks(
		h, "message 0x0001 (VFIO_USER_DMA_WRITE 12): msg_size 4129, expected 32 to 4128"));
	h.cmd = VFIO_USER_DMA_READ;
	h.msg_size = HEADER_SIZE + 17;
	CU_ASSERT_TRUE(breaks(
		h, "message 0x0001 (VFIO_USER_DMA_READ 11): msg_size 33, expected 32 to 32"));
}

static void
test_largest(void)
{
	static uint8_t bytes[HEADER_SIZE + 16 + FIXTURE_MAX_DATA];
	const struct vfio_user_header h = {
		.msg_id = 1,
		.cmd = VFIO_USER_DMA_WRITE,
		.msg_size = sizeof(bytes),
	};
	struct fixture f;

	memcpy(bytes, &h, sizeof(h));
	fixture_open(&f, NULL);
	fixture_feed(&f, bytes, sizeof(bytes), NULL, 0);
	fixture_feed(&f, bytes, sizeof(bytes) - 1, NULL, 0);
	fixture_feed(&f, bytes + sizeof(bytes) - 1, 1, NULL, 0);
	fixture_send(&f);
	CU_ASSERT_EQUAL(fixture_nr_sent(&f), 2);
	CU_ASSERT_TRUE(refuses(&f, 1, 1, VFIO_USER_DMA_WRITE));
	fixture_close(&f);
}

static void
test_fds(void)
{
	const struct message m = message_dma_read(3, 0);
	struct fixture f;
	int fds[2];

	fixture_open(&f, NULL);
	fds[0] = fixture_new_fd();
	fds[1] = fixture_new_fd();
	fixture_feed(&f, m.bytes, m.len, fds, 2);
	CU_ASSERT_TRUE(fixture_lost(&f, -EPROTO,
		"message 0x0003 (VFIO_USER_DMA_READ 11, command): carried unexpected file descriptors"));
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds);
	fixture_close(&f);
}

/* Commands between a request and its reply, all in one receive. */
static void
test_between(void)
{
	struct part parts[3] = {0};
	struct outcome o = {0};
	struct vfio_user_header h;
	uint8_t data[4] = {0};
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_read(&f, 0, data, 4, &o), 0);
	fixture_send(&f);
	h = fixture_sent(&f, 0);
	/* Ids of the two directions have nothing to do with each other. */
	parts[0].m = message_dma_read(h.msg_id, 0);
	parts[1].m = message_dma_write(h.msg_id, 0);
	parts[2].m = message_access(&h, 0, 4, "\1\2\3\4", 4);
	fixture_feed_parts(&f, parts, 3, 0, 0);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.status, 0);
	CU_ASSERT_EQUAL(memcmp(data, "\1\2\3\4", 4), 0);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	CU_ASSERT_EQUAL(fixture_send(&f), 1);
	CU_ASSERT_EQUAL_FATAL(fixture_nr_sent(&f), 3);
	CU_ASSERT_TRUE(refuses(&f, 0, h.msg_id, VFIO_USER_DMA_READ));
	CU_ASSERT_TRUE(refuses(&f, 1, h.msg_id, VFIO_USER_DMA_WRITE));
	fixture_close(&f);
}

/* A server that asks and asks, and reads nothing. */
static void
test_flood(void)
{
	const struct message m = message_dma_read(1, 0);
	struct outcome o = {0};
	struct fixture f;
	unsigned int n = 0;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	while (vuc_session_state(f.s) == VUC_SESSION_READY && n++ < 1000000)
		fixture_feed_message(&f, &m);
	CU_ASSERT(n > 200);
	CU_ASSERT_TRUE(fixture_lost(
		&f, -ENOBUFS, "the server sends commands faster than it takes their replies"));
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.status, -ENOBUFS);
	fixture_close(&f);
}

/* Answers go round the buffer, and no further than to what waits in it. */
static void
test_flood_around(void)
{
	static const uint8_t data[1000];
	const struct message m = message_dma_read(1, 0);
	struct vuc_segment segment = {0};
	struct fixture f;
	unsigned int n = 0;

	fixture_open(&f, NULL);
	fixture_feed_message(&f, &m);
	CU_ASSERT_TRUE(fixture_next_segment(f.s, &segment));
	while (fixture_post(&f, 0, data, sizeof(data)) == 0)
		;
	vuc_session_sent(f.s);
	CU_ASSERT_TRUE(fixture_next_segment(f.s, &segment));
	while (vuc_session_state(f.s) == VUC_SESSION_READY && n++ < 1000)
		fixture_feed_message(&f, &m);
	CU_ASSERT(n > 200 && n < 1000);
	CU_ASSERT_TRUE(fixture_lost(
		&f, -ENOBUFS, "the server sends commands faster than it takes their replies"));
	fixture_close(&f);
}

/* What this process lacks is not the server's fault. */
static void
test_no_memory(void)
{
	const struct message m = message_dma_read(1, 0);
	struct fixture f;

	fixture_open(&f, NULL);
	fixture_feed_message(&f, &m);
	malloc_fails = true;
	CU_ASSERT_PTR_NULL(vuc_session_answer_rest(f.s, 8192));
	malloc_fails = false;
	CU_ASSERT_TRUE(fixture_lost(&f, -ENOMEM, "no memory for a reply of 8192 bytes"));
	fixture_close(&f);
}

/* The client's own requests leave room for the answers that it owes. */
static void
test_busy_client(void)
{
	static const uint8_t data[1000];
	const struct message m = message_dma_read(1, 0);
	struct outcome o = {0};
	struct fixture f;
	unsigned int posted = 0;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	while (fixture_post(&f, 0, data, sizeof(data)) == 0)
		posted++;
	while (fixture_post(&f, 0, data, 0) == 0)
		posted++;
	for (unsigned int i = 0; i < 100; i++)
		fixture_feed_message(&f, &m);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	fixture_send(&f);
	CU_ASSERT_EQUAL_FATAL(fixture_nr_sent(&f), 1 + posted + 100);
	CU_ASSERT_TRUE(refuses(&f, posted + 100, 1, VFIO_USER_DMA_READ));
	fixture_close(&f);
}

static void
test_no_segment_for_requests(void)
{
	const struct message m = message_dma_read(1, 0);
	struct vuc_session_config config = fixture_config();
	struct outcome o = {0};
	struct fixture f;
	unsigned int n = 0;
	int fd = fixture_new_fd();

	config.max_requests = 256;
	fixture_open(&f, &config);
	while (fixture_dma_map(&f, &fd, 1, &o) == 0)
		n++;
	for (unsigned int i = 0; i < 100; i++)
		fixture_feed_message(&f, &m);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	CU_ASSERT_EQUAL(fixture_send(&f), n + 1);
	CU_ASSERT_EQUAL(fixture_nr_sent(&f), n + 100);
	fixture_close(&f);
	close(fd);
}

/* Each answer is taken, but there is always one on its way. */
static void
test_answers_overlap(void)
{
	const struct message m = message_dma_read(1, 0);
	struct vuc_segment segment = {0};
	struct fixture f;
	unsigned int n = 0;

	fixture_open(&f, NULL);
	fixture_feed_message(&f, &m);
	while (n < 20000 && fixture_next_segment(f.s, &segment)) {
		CU_ASSERT_EQUAL(segment.len, HEADER_SIZE);
		fixture_feed_message(&f, &m);
		vuc_session_sent(f.s);
		n++;
	}
	CU_ASSERT_EQUAL(n, 20000);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	fixture_close(&f);
}

static CU_TestInfo tests[] = {
	{"DMA is refused", test_refused},
	{"commands without a reply", test_no_reply},
	{"commands that are not the server's", test_not_the_servers},
	{"headers that are refused", test_header_refused},
	{"the largest command", test_largest},
	{"descriptors", test_fds},
	{"commands between a request and its reply", test_between},
	{"a flood of commands", test_flood},
	{"a flood that goes round the buffer", test_flood_around},
	{"no_memory", test_no_memory},
	{"commands while the client is busy", test_busy_client},
	{"commands while requests have all segments", test_no_segment_for_requests},
	{"answers that overlap", test_answers_overlap},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{"session_command", NULL, NULL, NULL, NULL, tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
