/* SPDX-License-Identifier: BSD-3-Clause */

/* What a server asks of its client. */

#include "command.h"
#include "session_script.h"

#define READY VUC_SESSION_READY
#define READ  VFIO_USER_DMA_READ
#define WRITE VFIO_USER_DMA_WRITE
#define SLOW  "the server sends commands faster than it takes their replies"

static bool malloc_fails;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *
__wrap_malloc(size_t size)
{
	return malloc_fails ? NULL : __real_malloc(size);
}

static const struct script_row rows[] = {
	{"DMA is refused",
		{{COMMAND_READ, 0x1234}, {COMMAND_WRITE, 0xffff}, {STATE, READY}, {OUTSTANDING, 0},
			{SEND_ALL, 2}, {REFUSAL, 0x1234, READ}, {REFUSAL, 0xffff, WRITE}}},
	{"commands without a reply",
		{{COMMAND_WRITE, 1, VFIO_USER_F_NO_REPLY}, {COMMAND_READ, 1, VFIO_USER_F_NO_REPLY},
			{STATE, READY}, {UNSENT, false}}},
	{"descriptors",
		{{FEED, 16, .fds = 2, .h = {3, READ, 32, COMMAND}},
			{LOST, -EPROTO, 0,
				"message 0x0003 (VFIO_USER_DMA_READ 11, command): carried "
				"unexpected file descriptors"},
			{NEW_FDS, 0}}},
	/* Ids of the two directions have nothing to do with each other. */
	{"commands between a request and its reply",
		{{ASK_READ, 'a'}, {SEND_ALL, 1}, {COMMAND_READ, 4}, {COMMAND_WRITE, 4},
			{ANSWER, 'a'}, {DONE, 'a'}, {ASK_RESET, 'b'}, {SEND_ALL, 3},
			{REFUSAL, 4, READ}, {REFUSAL, 4, WRITE}}},
};

static void
test_not_the_servers(void)
{
	for (uint16_t cmd = 0; cmd <= VFIO_USER_MAX; cmd++) {
		char reason[VUC_ERROR_MAX];
		const struct reply_row row = {BREAKS, NOTHING, {7, cmd, 4096}, reason};

		snprintf(reason, sizeof(reason),
			"message 0x0007 (%s %u, command): not a command that a server may send",
			vuc_wire_command_name(cmd), cmd);
		if (cmd != READ && cmd != WRITE)
			script_run_replies(&row, 1);
	}
}

static void
test_header_refused(void)
{
	static const struct reply_row headers[] = {
		{BREAKS, NOTHING, {0, VFIO_USER_REGION_READ, 0},
			"message 0x0000 (VFIO_USER_REGION_READ 9, command): not a command that a "
			"server may send"},
		{BREAKS, NOTHING, {1, WRITE, 32, VFIO_USER_F_ERROR},
			"message 0x0001 (VFIO_USER_DMA_WRITE 12, command): a command with the "
			"error flag"},
		{BREAKS, NOTHING, {1, WRITE, 32, 0x40},
			"message 0x0001 (VFIO_USER_DMA_WRITE 12): flags 0x40 are unknown"},
		{BREAKS, NOTHING, {1, WRITE, 31},
			"message 0x0001 (VFIO_USER_DMA_WRITE 12): msg_size 31, expected 32 to "
			"4128"},
		{BREAKS, NOTHING, {1, WRITE, 4129},
			"message 0x0001 (VFIO_USER_DMA_WRITE 12): msg_size 4129, expected 32 to "
			"4128"},
		{BREAKS, NOTHING, {1, READ, 33},
			"message 0x0001 (VFIO_USER_DMA_READ 11): msg_size 33, expected 32 to 32"},
	};

	script_run_replies(headers, NR(headers));
}

/* Whether the nth message that was sent is the reply to id. */
static bool
replies(unsigned int n, uint16_t id)
{
	return fixture_sent(n).msg_id == id && fixture_sent(n).flags != COMMAND;
}

static void
test_largest(void)
{
	static uint8_t bytes[HEADER_SIZE + 16 + FIXTURE_MAX_DATA];
	const struct vfio_user_header h = {1, WRITE, sizeof(bytes)};

	memcpy(bytes, &h, sizeof(h));
	fixture_feed(bytes, sizeof(bytes), NULL, 0);
	fixture_feed(bytes, sizeof(bytes) - 1, NULL, 0);
	fixture_feed(bytes + sizeof(bytes) - 1, 1, NULL, 0);
	fixture_send();
	CU_ASSERT_EQUAL(fixture_nr_sent(), 2);
	CU_ASSERT_TRUE(replies(1, 1));
}

/* Feed commands until the session has ended, most of them. Returns how many. */
static unsigned int
flood(unsigned int most)
{
	unsigned int n = 0;

	while (vuc_session_state(session) == READY && n++ < most)
		fixture_feed_message(message_dma_read(1, 0));
	return n;
}

/* A server that asks and asks, and reads nothing. */
static void
test_flood(void)
{
	struct outcome o = {0};

	CU_ASSERT_EQUAL(fixture_reset(&o), 0);
	CU_ASSERT(flood(1000000) > 200);
	CU_ASSERT_TRUE(fixture_lost(-ENOBUFS, SLOW));
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.status, -ENOBUFS);
}

/* Answers go round the buffer, and no further than to what waits in it. */
static void
test_flood_around(void)
{
	static const uint8_t data[1000];
	struct vuc_segment segment = {0};
	unsigned int n;

	flood(1);
	CU_ASSERT_TRUE(fixture_next_segment(&segment));
	while (fixture_post(0, data, sizeof(data)) == 0)
		;
	vuc_session_sent(session);
	CU_ASSERT_TRUE(fixture_next_segment(&segment));
	n = flood(1000);
	CU_ASSERT(n > 200 && n < 1000);
	CU_ASSERT_TRUE(fixture_lost(-ENOBUFS, SLOW));
}

/* What this process lacks is not the server's fault. */
static void
test_no_memory(void)
{
	flood(1);
	malloc_fails = true;
	CU_ASSERT_PTR_NULL(vuc_session_answer_rest(session, 8192));
	malloc_fails = false;
	CU_ASSERT_TRUE(fixture_lost(-ENOMEM, "no memory for a reply of 8192 bytes"));
}

/* The client's own requests leave room for the answers that it owes. */
static void
test_busy_client(void)
{
	static const uint8_t data[1000];
	struct outcome o = {0};
	unsigned int posted = 0;

	CU_ASSERT_EQUAL(fixture_reset(&o), 0);
	while (fixture_post(0, data, sizeof(data)) == 0)
		posted++;
	while (fixture_post(0, data, 0) == 0)
		posted++;
	flood(100);
	CU_ASSERT_EQUAL(vuc_session_state(session), READY);
	fixture_send();
	CU_ASSERT_EQUAL_FATAL(fixture_nr_sent(), 1 + posted + 100);
	CU_ASSERT_TRUE(replies(posted + 100, 1));
}

static void
test_no_segment_for_requests(void)
{
	struct outcome o = {0};
	int fd;
	unsigned int n = fixture_fill_segments(&fd, &o);

	flood(100);
	CU_ASSERT_EQUAL(vuc_session_state(session), READY);
	CU_ASSERT_EQUAL(fixture_send(), n + 1);
	CU_ASSERT_EQUAL(fixture_nr_sent(), n + 100);
	close(fd);
}

/* Each answer is taken, but there is always one on its way. */
static void
test_answers_overlap(void)
{
	struct vuc_segment segment = {0};
	unsigned int n = 0;

	flood(1);
	while (n < 20000 && fixture_next_segment(&segment)) {
		CU_ASSERT_EQUAL(segment.len, HEADER_SIZE);
		flood(1);
		vuc_session_sent(session);
		n++;
	}
	CU_ASSERT_EQUAL(n, 20000);
	CU_ASSERT_EQUAL(vuc_session_state(session), READY);
}

const struct tap_suite tap_suite = {"session_command", fixture_open_usual, fixture_close,
	{
		{"commands that are not the server's", test_not_the_servers},
		{"headers that are refused", test_header_refused},
		{"the largest command", test_largest},
		{"a flood of commands", test_flood},
		{"a flood that goes round the buffer", test_flood_around},
		{"no memory", test_no_memory},
		{"commands while the client is busy", test_busy_client},
		{"commands while requests have all segments", test_no_segment_for_requests},
		{"answers that overlap", test_answers_overlap},
	},
	TAP_ROWS(rows, script_run)};
