/* SPDX-License-Identifier: BSD-3-Clause */

/* Descriptors that come: with the message they belong to, within bounds, and never left open. */

#include "session_script.h"

#define INFO VFIO_USER_DEVICE_GET_REGION_INFO
/* clang-format off */
#define ASK(what)   {what, 'a'}, {SEND_ALL, 1}
#define END(reason) {LOST, -EPROTO, 0, reason}, {DONE, 'a', -EPROTO}, {NEW_FDS, 0}
/* clang-format on */
#define MORE_THAN_4 "a message carried more than 4 file descriptors"

static const struct script_row rows[] = {
	{"descriptors that nobody asked for",
		{ASK(ASK_RESET), {ANSWER, 'a', .fds = 2},
			END("message 0x0004 (VFIO_USER_DEVICE_RESET): carried 2 unexpected file "
			    "descriptors")}},
	{"too many descriptors", {ASK(ASK_INFO), {ANSWER, 'a', .fds = 5}, END(MORE_THAN_4)}},
	{"too many descriptors, most of them with the last piece",
		{ASK(ASK_INFO), {ANSWER_UNTIL, 'a', 1, .fds = 4}, {STATE, VUC_SESSION_READY},
			{ANSWER_UNTIL, 'a', 2, .fds = 12}, END(MORE_THAN_4)}},
	{"descriptors of an error",
		{ASK(ASK_INFO),
			{FEED, .fds = 1, .h = {4, INFO, 16, REPLY | VFIO_USER_F_ERROR, EINVAL}},
			END("message 0x0004 (VFIO_USER_DEVICE_GET_REGION_INFO): carried 1 "
			    "unexpected file descriptors")}},
	/* What comes behind the end of a session is closed, however it ended. */
	{"descriptors when it is closed",
		{{DRAIN}, {FEED, 16, .fds = 5, .h = {1, VFIO_USER_DMA_READ, 32, COMMAND}},
			{STATE, VUC_SESSION_CLOSED}, {NEW_FDS, 0}}},
	/* Descriptors of one message that come with several of its pieces add up. */
	{"descriptors of one message in pieces",
		{ASK(ASK_INFO), {ANSWER_UNTIL, 'a', 12, .fds = 1},
			{ANSWER_UNTIL, 'a', 24, .fds = 1}, {ANSWER_UNTIL, 'a', 36, .fds = 1},
			{ANSWER_UNTIL, 'a', 48, .fds = 1}, {DONE, 'a', .fds = 4},
			{STATE, VUC_SESSION_READY}}},
	{"a message that stays in parts",
		{ASK(ASK_INFO), {ANSWER_UNTIL, 'a', 40, .fds = 2}, {NEW_FDS, 2}, {LOSE},
			{LOST, -ECONNRESET, 0,
				"the server closed the connection 40 bytes into a message"},
			{DONE, 'a', -ECONNRESET}, {NEW_FDS, 0}, {ANSWER_UNTIL, 'a', 48, .fds = 2},
			{NEW_FDS, 0}}},
	{"destroyed within a message", {ASK(ASK_INFO), {ANSWER_UNTIL, 'a', 3, .fds = 1}}},
};

static void
test_taken(void)
{
	int kept = -1;
	struct outcome o = {.keep = &kept};
	struct message reply;

	CU_ASSERT_EQUAL_FATAL(fixture_region_info(1, &o), 0);
	fixture_send();
	reply = message_region_info(fixture_sent(0), 1);
	fixture_feed_new_fds(&reply, 0, reply.len, 2);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.nr_fds, 2);
	CU_ASSERT_EQUAL(fixture_new_fds(), 1);
	CU_ASSERT_EQUAL(fixture_inode(kept), o.inodes[0]);
	CU_ASSERT_EQUAL(close(kept), 0);
}

/* No more than was announced, and no more than there is room for. */
static void
test_announced(void)
{
	static const struct {
		uint32_t announced;
		unsigned int nr_fds;
		const char *reason;
	} cases[] = {
		{0, 1, "a message carried more than 0 file descriptors"},
		{1000, 17, "a message carried more than 16 file descriptors"},
	};

	for (size_t i = 0; i < NR(cases); i++) {
		struct vuc_session_config config = fixture_config();

		config.version.max_msg_fds = cases[i].announced;
		fixture_negotiate(&config, message_version(0, 2, "{}"), cases[i].nr_fds);
		CU_ASSERT_TRUE(fixture_lost(-EPROTO, cases[i].reason));
	}
}

/* The message that breaks the session, and in the same receive one with descriptors. */
static void
test_behind_the_end(void)
{
	struct part parts[2] = {
		{.m = message_build((struct vfio_user_header){.flags = 0x40}, NULL, 0)},
		{.m = message_dma_read(1, 0), .nr_fds = 5},
	};

	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < 5; i++)
			parts[1].fds[i] = fixture_new_fd();
		fixture_feed_parts(parts + round, 2 - round, 3 * round, 7 * round);
		CU_ASSERT_EQUAL(vuc_session_state(session), VUC_SESSION_LOST);
		CU_ASSERT_EQUAL(fixture_new_fds(), 0);
	}
}

static void
end_inside(struct outcome *o)
{
	(void)o;
	vuc_session_end(session, -ECANCELED, "a callback says so");
}

/* The rest of a receive is dropped when a callback ends the session. */
static void
test_end_inside(void)
{
	struct part parts[3] = {0};
	struct outcome o[3] = {{0}, {.then = end_inside}, {0}};

	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(fixture_region_info(i, &o[i]), 0);
	fixture_send();
	for (unsigned int i = 0; i < 3; i++) {
		parts[i].m = message_region_info(fixture_sent(i), i);
		for (; parts[i].nr_fds < i; parts[i].nr_fds++)
			parts[i].fds[parts[i].nr_fds] = fixture_new_fd();
	}
	fixture_feed_parts(parts, 3, 0, 0);
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(o[i].calls, 1);
	CU_ASSERT_EQUAL(o[1].status, 0);
	CU_ASSERT_EQUAL(o[1].nr_fds, 1);
	CU_ASSERT_EQUAL(o[2].status, -ECANCELED);
	CU_ASSERT_STRING_EQUAL(o[2].reason, "a callback says so");
	CU_ASSERT_EQUAL(fixture_new_fds(), 0);
}

const struct tap_suite tap_suite = {"session_fds", fixture_open_usual, fixture_close,
	{
		{"a descriptor taken by the callback", test_taken},
		{"more descriptors than were announced", test_announced},
		{"bytes and descriptors behind the end", test_behind_the_end},
		{"a callback ends the session", test_end_inside},
	},
	TAP_ROWS(rows, script_run)};
