/* SPDX-License-Identifier: BSD-3-Clause */

/* Deadlines of requests and of sending, late replies, and silent servers. */

#include "session_script.h"

#define TIMEOUT  FIXTURE_TIMEOUT_MS
#define READY    VUC_SESSION_READY
#define NO_RESET "no answer to VFIO_USER_DEVICE_RESET within 1000 ms"
#define NO_READ  "no answer to VFIO_USER_REGION_READ within 1000 ms"
#define STOPPED  "the server has read nothing for 1000 ms"
#define REFUSED  ", after the server had refused VFIO_USER_DEVICE_GET_REGION_IO_FDS"
/* clang-format off */
#define ASK(what)   {what, 'a'}, {SEND_ALL, 1}
#define EXPIRE      {ADVANCE, 0}, {ADVANCE, TIMEOUT}
#define EXPIRED     {DONE, 'a', -ETIMEDOUT}
#define END(reason) {LOST, -ETIMEDOUT, 0, reason}
/* clang-format on */

static const struct script_row rows[] = {
	/* The first tick starts the clock, however late it is. */
	{"the exact boundary",
		{ASK(ASK_READ), {ADVANCE, 0}, {ADVANCE, TIMEOUT - 1}, {PENDING, 'a'},
			{OUTSTANDING, 1}, {ADVANCE, 1}, {DONE, 'a', -ETIMEDOUT, NO_READ},
			{OUTSTANDING, 0}, {STATE, READY}, {ADVANCE, 9 * TIMEOUT}}},
	{"from time 0 on",
		{{SET_CLOCK, 0}, ASK(ASK_RESET), {ADVANCE, 0}, {ADVANCE, TIMEOUT - 1},
			{PENDING, 'a'}, {ADVANCE, 1}, {DONE, 'a', -ETIMEDOUT, NO_RESET}}},
	{"deadlines of their own",
		{ASK(ASK_RESET), {ADVANCE, 0}, {ASK_RESET, 'b'}, {SEND_ALL, 1}, {ADVANCE, 600},
			{ADVANCE, 400}, EXPIRED, {ADVANCE, 599}, {PENDING, 'b'}, {ADVANCE, 1},
			{DONE, 'b', -ETIMEDOUT}}},
	{"a slot used again",
		{ASK(ASK_RESET), {ADVANCE, 0}, {ANSWER, 'a'}, {DONE, 'a'}, {ASK_RESET, 'a'},
			{ADVANCE, 900}, {ADVANCE, TIMEOUT - 1}, {PENDING, 'a'}, {ADVANCE, 1},
			EXPIRED}},
	/* The id of a request that has timed out stays taken until its reply has come, once. */
	{"a late reply",
		{ASK(ASK_READ), EXPIRE, EXPIRED, {ASK_RESET, 'b'}, {ASK_RESET, 'c'},
			{ASK_RESET, 'd'}, {ASK_RESET, 'e', -EAGAIN}, {ANSWER, 'a'}, {STATE, READY},
			{ASK_RESET, 'e'}, {OUTSTANDING, FIXTURE_REQUESTS}, {ANSWER, 'a'},
			{LOST, -EPROTO, 0,
				"message 0x0004 (VFIO_USER_REGION_READ 9, reply): no request has "
				"this message id"},
			{ALL_DONE, 0, -EPROTO}}},
	/* However often the server is late, it is forgiven with its reply. */
	{"many late replies",
		{ASK(ASK_RESET), EXPIRE, EXPIRED, {ANSWER, 'a'}, {STATE, READY},
			{REPEAT, 3 * FIXTURE_REQUESTS}}},
	{"a late error",
		{ASK(ASK_RESET), EXPIRE, {DONE, 'a', -ETIMEDOUT, NO_RESET},
			{ANSWER_ERROR, 'a', EIO}, {STATE, READY}}},
	{"late descriptors",
		{ASK(ASK_INFO), EXPIRE, EXPIRED, {ANSWER, 'a', .fds = 1}, {STATE, READY},
			{NEW_FDS, 0}}},
	{"a late reply that is wrong",
		{ASK(ASK_READ), EXPIRE, EXPIRED, {ANSWER_AT, 'a', ASKED_OFFSET + 1},
			{LOST, -EPROTO, 0,
				"message 0x0004 (VFIO_USER_REGION_READ): a reply for region 2 "
				"offset 0x101, requested region 2 offset 0x100"}}},
	{"expired with the reply in parts",
		{ASK(ASK_READ), {ANSWER_UNTIL, 'a', 34}, EXPIRE, EXPIRED, {ANSWER_UNTIL, 'a', 36},
			{STATE, READY}}},
	{"all requests timed out",
		{{ASK_RESET, 'a'}, {ASK_RESET, 'b'}, {ASK_RESET, 'c'}, {ASK_RESET, 'd'},
			{SEND_ALL, 4}, EXPIRE, END("the server has left 4 requests unanswered"),
			{ALL_DONE, 0, -ETIMEDOUT, NO_RESET}}},
	{"VERSION timed out",
		{{CREATE}, {SEND_ALL, 1}, {ADVANCE, 0}, {ADVANCE, TIMEOUT - 1},
			{STATE, VUC_SESSION_NEGOTIATING}, {ADVANCE, 1},
			END("no answer to VFIO_USER_VERSION within 1000 ms"),
			{ADVANCE, 4 * TIMEOUT}}},
	/* Another one that times out changes nothing, any message of the server does. */
	{"silent",
		{ASK(ASK_RESET), {ADVANCE, 0}, {ADVANCE, TIMEOUT - 1}, {SILENT, 0}, {ADVANCE, 1},
			EXPIRED, {SILENT, TIMEOUT}, {ASK_RESET, 'b'}, {SEND_ALL, 1}, EXPIRE,
			{DONE, 'b', -ETIMEDOUT}, {SILENT, 2 * TIMEOUT}, {ANSWER, 'a'}, {SILENT, 0},
			{ADVANCE, TIMEOUT}, {ASK_RESET, 'c'}, {SEND_ALL, 1}, EXPIRE,
			{DONE, 'c', -ETIMEDOUT}, {SILENT, TIMEOUT}, {END, -EIO, 0, "an end"},
			{SILENT, 0}}},
	{"a lost reply",
		{{ASK_RESET, 'a'}, {ASK_RESET, 'b'}, {SEND_ALL, 2}, {ADVANCE, 0}, {ANSWER, 'b'},
			{DONE, 'b'}, {ADVANCE, TIMEOUT - 1}, {ADVANCE, 1}, EXPIRED, {SILENT, 0}}},
	/* A command that nobody awaits has a deadline all the same: it has to go out. */
	{"nothing is read",
		{{DEADLINE, false}, {POST}, {DEADLINE, true}, {ADVANCE, 0}, {ADVANCE, TIMEOUT - 1},
			{STATE, READY}, {ADVANCE, 1}, END(STOPPED), {DEADLINE, false},
			{POST, 0, -ETIMEDOUT}}},
	/* Each segment, and each part of one, gives a slow server more time. */
	{"little is read",
		{{POST}, {HAND_OUT}, {POST}, {ADVANCE, 0}, {SENT}, {ADVANCE, TIMEOUT - 1},
			{SENT_PART}, {ADVANCE, TIMEOUT - 1}, {ADVANCE, TIMEOUT - 1}, {STATE, READY},
			{ADVANCE, 1}, END(STOPPED)}},
	/* Only the end of the connection makes sure that the memory is not mapped. */
	{"DMA_MAP timed out",
		{ASK(ASK_MAP), {ADVANCE, 0}, {ASK_RESET, 'b'}, {SEND_ALL, 1}, {ADVANCE, TIMEOUT},
			END("no answer to VFIO_USER_DMA_MAP within 1000 ms"),
			{ALL_DONE, 0, -ETIMEDOUT}}},
	/* A server that has refused a command may have left its body unread. */
	{"no answer after a refusal",
		{ASK(ASK_IO_FDS), {ANSWER_ERROR, 'a', 0}, {DONE, 'a', -EOPNOTSUPP}, ASK(ASK_READ),
			EXPIRE, {DONE, 'a', -ETIMEDOUT, NO_READ REFUSED}, {STATE, READY},
			ASK(ASK_MAP), EXPIRE,
			END("no answer to VFIO_USER_DMA_MAP within 1000 ms" REFUSED), EXPIRED}},
};

/* Whoever sleeps wakes up for the request that times out first, whenever it was made. */
static void
test_due(void)
{
	static const uint32_t timeouts_ms[] = {TIMEOUT, 400, 700};
	struct outcome o = {0};
	struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_RESET, .done = fixture_record, .arg = &o};

	for (size_t i = 0; i < NR(timeouts_ms); i++) {
		req.timeout_ms = timeouts_ms[i];
		CU_ASSERT_EQUAL(vuc_session_request(session, &req), 0);
	}
	fixture_send();
	vuc_session_tick(session, 1);
	CU_ASSERT_EQUAL(vuc_session_due(session), 1 + 400);
	vuc_session_tick(session, 1 + 400);
	CU_ASSERT_EQUAL(vuc_session_due(session), 1 + 700);
	vuc_session_tick(session, 1 + 700);
	CU_ASSERT_EQUAL(vuc_session_due(session), 1 + TIMEOUT);
	CU_ASSERT_EQUAL(o.calls, 2);
}

static void
request_again(struct outcome *o)
{
	CU_ASSERT_EQUAL(o->status, -ETIMEDOUT);
	if (o->calls < 3)
		CU_ASSERT_EQUAL(fixture_reset(o), 0);
}

/* A request made in the callback of one that has timed out does not expire with it. */
static void
test_callback_requests(void)
{
	struct outcome o = {.then = request_again};

	CU_ASSERT_EQUAL(fixture_reset(&o), 0);
	fixture_send();
	vuc_session_tick(session, 1);
	for (unsigned int i = 1; i <= 3; i++) {
		vuc_session_tick(session, 10 * i * TIMEOUT);
		CU_ASSERT_EQUAL(o.calls, i);
		fixture_send();
		vuc_session_tick(session, 10 * i * TIMEOUT + 1);
		CU_ASSERT_EQUAL(o.calls, i);
	}
	CU_ASSERT_EQUAL(vuc_session_outstanding(session), 0);
	CU_ASSERT_EQUAL(vuc_session_state(session), READY);
}

static void
end_inside(struct outcome *o)
{
	(void)o;
	vuc_session_end(session, -ECANCELED, "a callback says so");
}

/* One request has timed out, and its callback ends the session: the others end for that reason. */
static void
test_end_inside(void)
{
	struct outcome o[3] = {{.then = end_inside}, {.then = end_inside}, {.then = end_inside}};
	unsigned int expired = 0;

	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(fixture_reset(&o[i]), 0);
	fixture_send();
	vuc_session_tick(session, 1);
	vuc_session_tick(session, 1 + TIMEOUT);
	CU_ASSERT_TRUE(fixture_lost(-ECANCELED, "a callback says so"));
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(o[i].calls, 1);
		expired += o[i].status == -ETIMEDOUT;
	}
	CU_ASSERT_EQUAL(expired, 1);
}

const struct tap_suite tap_suite = {"session_time", fixture_open_usual, fixture_close,
	{
		{"the earliest deadline", test_due},
		{"requests made by callbacks", test_callback_requests},
		{"a callback ends the session", test_end_inside},
	},
	TAP_ROWS(rows, script_run)};
