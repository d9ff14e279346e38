/* SPDX-License-Identifier: BSD-3-Clause */

/* How a session comes to its end: drained, ended from above, lost from below. */

#include "session_script.h"

#define DRAINING  VUC_SESSION_DRAINING
#define CLOSED    VUC_SESSION_CLOSED
#define NO_ANSWER "the server closed the connection instead of answering VFIO_USER_DEVICE_RESET"
/* clang-format off */
#define RESET(letter) {ASK_RESET, letter}, {SEND_ALL, 1}
/* One request timed out, one answered, and three that are outstanding: sent, handed out, queued. */
#define CROWD \
	{OPEN_LARGE, 8}, RESET('a'), {ADVANCE, 0}, {ADVANCE, FIXTURE_TIMEOUT_MS}, \
	{DONE, 'a', -ETIMEDOUT}, RESET('b'), {ANSWER, 'b'}, {DONE, 'b'}, RESET('c'), \
	{ASK_RESET, 'd'}, {HAND_OUT}, {ASK_RESET, 'e'}, {OUTSTANDING, 3}
#define ENDS(error, reason) \
	{LOST, error, 0, reason}, {ALL_DONE, 0, error, reason}, {SENT}, {UNSENT, false}
/* clang-format on */

static const struct script_row rows[] = {
	{"drained while idle", {{DRAIN}, {STATE, CLOSED}, {DRAIN}, {STATE, CLOSED}}},
	{"drained, then answered",
		{RESET('a'), {DRAIN}, {STATE, DRAINING}, {DRAIN}, {STATE, DRAINING}, {ANSWER, 'a'},
			{STATE, CLOSED}, {DONE, 'a'}}},
	{"drained, then sent",
		{{POST}, {HAND_OUT}, {POST, 1}, {DRAIN}, {STATE, DRAINING}, {SENT},
			{STATE, DRAINING}, {HAND_OUT}, {SENT}, {STATE, CLOSED}}},
	/* The reply is there before the driver says that the command is out. */
	{"drained, answered, then sent",
		{{ASK_RESET, 'a'}, {HAND_OUT}, {DRAIN}, {ANSWER, 'a'}, {DONE, 'a'},
			{STATE, DRAINING}, {SENT}, {STATE, CLOSED}}},
	/* What waits to be sent is sent, and late replies are dropped. */
	{"cancel",
		{RESET('a'), {ASK_RESET, 'b'}, {CANCEL, -ECANCELED, 0, "gone"},
			{ALL_DONE, 0, -ECANCELED, "gone"}, {ANSWER, 'a'},
			{STATE, VUC_SESSION_READY}, {DRAIN}, {STATE, DRAINING}, {SEND_ALL, 1},
			{STATE, CLOSED}}},
	{"drained, then timed out",
		{RESET('a'), {DRAIN}, {ADVANCE, 0}, {STATE, DRAINING},
			{ADVANCE, FIXTURE_TIMEOUT_MS}, {STATE, CLOSED}, {DONE, 'a', -ETIMEDOUT},
			{ANSWER, 'a'}, {STATE, CLOSED}}},
	/* A command of the server is answered even now. */
	{"drained, then commanded",
		{RESET('a'), {DRAIN}, {COMMAND_READ, 9}, {ANSWER, 'a'}, {DONE, 'a'},
			{STATE, DRAINING}, {SEND_ALL, 1}, {STATE, CLOSED}}},
	{"drained, then lost",
		{RESET('a'), {DRAIN}, {LOSE}, {LOST, -ECONNRESET, 0, NO_ANSWER},
			{DONE, 'a', -ECONNRESET}, {DRAIN}, {LOST, -ECONNRESET, 0, NO_ANSWER}}},
	{"closed for good",
		{{DRAIN}, {LOSE}, {LOSE, -EPIPE}, {END, -EIO, 0, "too late"}, {FEED}, {ADVANCE, 1},
			{SENT}, {STATE, CLOSED}}},
	{"ended with requests of all kinds",
		{CROWD, {END, -EHOSTDOWN, 0, "the host is down"},
			ENDS(-EHOSTDOWN, "the host is down"), {END, -EIO, 0, "again"},
			{LOSE, -EPIPE}, {LOST, -EHOSTDOWN, 0, "the host is down"}}},
	{"broken below with requests of all kinds",
		{CROWD, {LOSE, -EPIPE}, ENDS(-EPIPE, "the connection broke: Broken pipe")}},
	{"closed by the server with requests of all kinds",
		{CROWD, {LOSE}, ENDS(-ECONNRESET, NO_ANSWER)}},
	{"a broken rule with requests of all kinds",
		{CROWD, {FEED, .h = {.flags = 0x3}},
			ENDS(-EPROTO, "message 0x0000 ((unknown) 0): flags 0x3 are unknown")}},
	/* A refused command is blamed for what goes wrong next... */
	{"blame of a refused command",
		{{ASK_IO_FDS, 'a'}, {SEND_ALL, 1}, {ANSWER_ERROR, 'a', EINVAL},
			{DONE, 'a', -EINVAL}, RESET('b'), {LOSE},
			ENDS(-ECONNRESET,
				NO_ANSWER ", after the server had refused "
					  "VFIO_USER_DEVICE_GET_REGION_IO_FDS"),
			{BROKE_ON, 1 << VFIO_USER_DEVICE_GET_REGION_IO_FDS}}},
	/* ... but not for a server that is stopped while nothing is asked of it. */
	{"no blame while nothing is asked",
		{{ASK_IO_FDS, 'a'}, {SEND_ALL, 1}, {ANSWER_ERROR, 'a', EINVAL},
			{DONE, 'a', -EINVAL}, {LOSE},
			{LOST, -ECONNRESET, 0, "the server closed the connection"}, {BROKE_ON, 0}}},
};

static int rc_inside;

static void
request_inside(struct outcome *o)
{
	rc_inside = fixture_reset(o);
	if (o->status != 0) /* the end of the session, for a second time */
		vuc_session_end(session, -EIO, "%s", o->reason);
}

static void
drain_inside(struct outcome *o)
{
	(void)o;
	vuc_session_drain(session);
}

/* Drained before and by the callback of the last request that was outstanding. */
static void
test_drain_callback(void)
{
	struct outcome o = {.then = request_inside}, last = {.then = drain_inside};

	CU_ASSERT_EQUAL(fixture_reset(&o), 0);
	vuc_session_drain(session);
	fixture_answer_reset();
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(rc_inside, -ENOTCONN);
	CU_ASSERT_EQUAL(vuc_session_state(session), CLOSED);

	fixture_open(NULL);
	CU_ASSERT_EQUAL(fixture_reset(&last), 0);
	fixture_answer_reset();
	CU_ASSERT_EQUAL(last.calls, 1);
	CU_ASSERT_EQUAL(vuc_session_state(session), CLOSED);
}

/* A callback can't keep a session alive, nor end it twice. */
static void
test_end_callback(void)
{
	struct outcome o = {.then = request_inside};

	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(fixture_reset(&o), 0);
	vuc_session_end(session, -ENODEV, "gone");
	CU_ASSERT_EQUAL(rc_inside, -ENODEV);
	CU_ASSERT_TRUE(fixture_lost(-ENODEV, "gone"));
	CU_ASSERT_EQUAL(o.calls, 3);
}

/* A line that is too long is cut, and what is not printable is replaced. */
static void
test_reason(void)
{
	struct outcome o = {0};
	char text[1000];

	memset(text, 'x', sizeof(text));
	text[0] = '\n';
	text[sizeof(text) - 1] = '\0';
	CU_ASSERT_EQUAL(fixture_reset(&o), 0);
	vuc_session_end(session, -EIO, "%s", text);
	CU_ASSERT_EQUAL(strlen(vuc_session_reason(session)), VUC_ERROR_MAX - 1);
	CU_ASSERT_EQUAL(vuc_session_reason(session)[0], '?');
	CU_ASSERT_STRING_EQUAL(o.reason, vuc_session_reason(session));
}

/* Descriptors have to be looked for until somebody says otherwise, and while a command other than
 * an access is asked. */
static void
test_watching(void)
{
	uint8_t data[4];
	struct outcome o = {0};

	CU_ASSERT_TRUE(vuc_session_watches_fds(session));
	vuc_session_watch_fds(session, false);
	CU_ASSERT_FALSE(vuc_session_watches_fds(session));
	CU_ASSERT_EQUAL(fixture_read(0, data, 4, &o), 0);
	CU_ASSERT_EQUAL(fixture_write(0, data, 4, &o), 0);
	CU_ASSERT_FALSE(vuc_session_watches_fds(session));
	CU_ASSERT_EQUAL(fixture_region_info(0, &o), 0);
	CU_ASSERT_TRUE(vuc_session_watches_fds(session));
	fixture_send();
	fixture_feed_message(message_region_info(fixture_sent(2), 0));
	CU_ASSERT_FALSE(vuc_session_watches_fds(session));

	CU_ASSERT_EQUAL(fixture_reset(&o), 0);
	CU_ASSERT_TRUE(vuc_session_watches_fds(session));
	vuc_session_end(session, -EIO, "enough");
	CU_ASSERT_FALSE(vuc_session_watches_fds(session));
	CU_ASSERT_EQUAL(o.calls, 4);
}

const struct tap_suite tap_suite = {"session_end", fixture_open_usual, fixture_close,
	{
		{"drained before and by a callback", test_drain_callback},
		{"callbacks of an ended session", test_end_callback},
		{"the reason is one line", test_reason},
		{"whether descriptors are watched for", test_watching},
	},
	TAP_ROWS(rows, script_run)};
