/* SPDX-License-Identifier: BSD-3-Clause */
#include "session_fixture.h"

/* What was traced, a letter for each message: of a read, a write, or another one; in capitals if it
 * was sent; '!' if it is a header without its body. */
static char traced[32];

static void
trace(void *arg, bool sent, const uint8_t *bytes, size_t len, unsigned int nr_fds)
{
	struct vfio_user_header header;
	size_t n = strlen(traced);

	CU_ASSERT_PTR_EQUAL(arg, traced);
	CU_ASSERT_EQUAL(nr_fds, 0);
	memcpy(&header, bytes, sizeof(header));
	if (n >= sizeof(traced) - 1)
		return;
	if (header.msg_size != len)
		traced[n] = '!';
	else if (header.cmd == VFIO_USER_REGION_READ)
		traced[n] = sent ? 'R' : 'r';
	else
		traced[n] = header.cmd != VFIO_USER_REGION_WRITE ? '?' : sent ? 'W' : 'w';
	traced[n + 1] = '\0';
}

static void
set_trace(bool on)
{
	vuc_session_set_trace(session, on ? trace : NULL, on ? traced : NULL);
}

static void
answer_read(void)
{
	fixture_feed_message(message_access(fixture_sent(0), 0, 4, "abcd", 4));
}

static void
test_any_time(void)
{
	struct outcome o = {0};
	char data[4];

	traced[0] = '\0';
	CU_ASSERT_EQUAL(fixture_read(0, data, sizeof(data), &o), 0);
	fixture_send();
	set_trace(true);
	answer_read();
	CU_ASSERT_EQUAL(fixture_read(0, data, sizeof(data), &o), 0);
	CU_ASSERT_EQUAL(fixture_post(0, "ab", 2), 0);
	fixture_send();
	CU_ASSERT_STRING_EQUAL(traced, "rRW");
	set_trace(false);
	answer_read();
	CU_ASSERT_EQUAL(fixture_post(0, "ab", 2), 0);
	fixture_send();
	CU_ASSERT_STRING_EQUAL(traced, "rRW");
	CU_ASSERT_EQUAL(o.calls, 2);
}

/* Given out already, or the rest of a message whose beginning its owner has sent: it has no header
 * to begin with. */
static void
test_under_way(void)
{
	struct vuc_segment segment;
	uint8_t *rest;

	traced[0] = '\0';
	CU_ASSERT_EQUAL(fixture_post(0, "ab", 2), 0);
	CU_ASSERT_TRUE(fixture_next_segment(&segment));
	rest = vuc_session_answer_rest(session, 100);
	CU_ASSERT_PTR_NOT_NULL_FATAL(rest);
	memset(rest, 0, 100);
	set_trace(true);
	CU_ASSERT_EQUAL(fixture_post(0, "ab", 2), 0);
	CU_ASSERT_TRUE(fixture_next_segment(&segment));
	CU_ASSERT_STRING_EQUAL(traced, "");
	vuc_session_sent(session);
	CU_ASSERT_TRUE(fixture_next_segment(&segment));
	CU_ASSERT_EQUAL(segment.len, 100);
	vuc_session_sent(session);
	CU_ASSERT_STRING_EQUAL(traced, "");
	CU_ASSERT_TRUE(fixture_next_segment(&segment));
	CU_ASSERT_STRING_EQUAL(traced, "W");
	vuc_session_sent(session);
}

/* What ends the session is seen: its header, whether it came as a whole or in parts. */
static void
test_refused_header(void)
{
	const struct vfio_user_header wrong = {
		.msg_id = 7, .cmd = VFIO_USER_REGION_READ, .msg_size = 20, .flags = REPLY};
	const struct message m = message_build(wrong, NULL, 4);

	for (int i = 0; i < 2; i++) {
		fixture_open(NULL);
		traced[0] = '\0';
		set_trace(true);
		fixture_feed(m.bytes, i == 0 ? m.len : 3, NULL, 0);
		if (i == 1)
			fixture_feed(m.bytes + 3, m.len - 3, NULL, 0);
		CU_ASSERT_STRING_EQUAL(traced, "!");
		CU_ASSERT_EQUAL(vuc_session_error(session), -EPROTO);
	}
}

const struct tap_suite tap_suite = {"session_trace", fixture_open_usual, fixture_close,
	{
		{"from some time on, until another", test_any_time},
		{"not what is under way", test_under_way},
		{"a header that is refused", test_refused_header},
	}};
