/* SPDX-License-Identifier: BSD-3-Clause */

/* The table of requests: its slots, and the ids that name slot and generation. */

#include "session_script.h"

/* clang-format off */
#define ANSWERED(letter, left) {ANSWER, letter}, {DONE, letter}, {OUTSTANDING, left}
/* Two resets one after the other, of which the first is answered. */
#define SECOND \
	{ASK_RESET, 'a'}, {SEND_ALL, 1}, {ANSWER, 'a'}, {DONE, 'a'}, {ASK_RESET, 'b'}, {SEND_ALL, 1}
/* clang-format on */

static const struct script_row rows[] = {
	/* Answers come in any order, and each makes room for one. */
	{"a full table",
		{{ASK_RESET, 'a'}, {ASK_WRITE, 'b'}, {ASK_READ, 'c'}, {ASK_RESET, 'd'},
			{ASK_RESET, 'e', -EAGAIN}, {ASK_READ, 'e', -EAGAIN},
			{ASK_WRITE, 'e', -EAGAIN}, {POST}, {OUTSTANDING, 4}, {SEND_ALL, 5},
			ANSWERED('d', 3), ANSWERED('c', 2), ANSWERED('b', 1), ANSWERED('a', 0),
			{ASK_RESET, 'e'}}},
	/* The same slot, so that only the generation tells the two apart. */
	{"an id of a generation before",
		{SECOND, {FEED, .h = {4, VFIO_USER_DEVICE_RESET, 16, REPLY}},
			{LOST, -EPROTO, 0,
				"message 0x0004 (VFIO_USER_DEVICE_RESET 13, reply): no request has "
				"this message id"},
			{DONE, 'b', -EPROTO,
				"message 0x0004 (VFIO_USER_DEVICE_RESET 13, reply): no request has "
				"this message id"}}},
	{"an id of the next generation",
		{SECOND, {FEED, .h = {4 + FIXTURE_REQUESTS, VFIO_USER_DEVICE_RESET, 16, REPLY}},
			{DONE, 'b'}}},
};

/* Through all generations of a slot and beyond: none has the id of posted commands. */
static void
test_generations(void)
{
	struct vuc_session_config config = fixture_config();
	struct outcome o = {0};
	unsigned int n = 70000, bad = 0;
	uint16_t last = 0;

	config.max_requests = 1;
	fixture_open(&config);
	for (unsigned int i = 0; i < n; i++) {
		CU_ASSERT_EQUAL_FATAL(fixture_reset(&o), 0);
		fixture_answer_reset();
		bad += fixture_sent(0).msg_id == 0xffff || fixture_sent(0).msg_id == last;
		last = fixture_sent(0).msg_id;
	}
	CU_ASSERT_EQUAL(bad, 0);
	CU_ASSERT_EQUAL(o.calls, n);
	CU_ASSERT_EQUAL(vuc_session_state(session), VUC_SESSION_READY);
}

/* Fill the largest table and answer everything. Returns how many ids were taken twice or reserved.
 */
static unsigned int
fill_and_answer(struct outcome *o)
{
	static uint8_t taken[0x10000];
	struct vfio_user_header h;
	unsigned int bad = 0;
	uint8_t *sent;
	size_t len;

	memset(taken, 0, sizeof(taken));
	while (fixture_reset(o) == 0)
		;
	fixture_send();
	sent = fixture_sent_bytes(&len);
	for (size_t pos = 0; pos < len; pos += HEADER_SIZE) {
		memcpy(&h, sent + pos, HEADER_SIZE);
		bad += h.msg_id == 0xffff || taken[h.msg_id]++ > 0;
		h.flags = REPLY;
		memcpy(sent + pos, &h, HEADER_SIZE);
	}
	fixture_feed(sent, len, NULL, 0);
	return bad;
}

static void
test_all_slots(void)
{
	struct vuc_session_config config = fixture_config();
	struct outcome o = {0};

	config.max_requests = 4096;
	fixture_open(&config);
	for (unsigned int i = 1; i <= 40; i++) {
		CU_ASSERT_EQUAL(fill_and_answer(&o), 0);
		CU_ASSERT_EQUAL_FATAL(o.calls, i * 4096);
		CU_ASSERT_EQUAL(vuc_session_outstanding(session), 0);
	}
	CU_ASSERT_EQUAL(vuc_session_state(session), VUC_SESSION_READY);
}

static void
request_next(struct outcome *o)
{
	if (o->status == 0 && o->calls <= 100)
		CU_ASSERT_EQUAL(fixture_reset(o), 0);
}

/* The slot of the request that is being completed can be had by the one made in its callback. */
static void
test_chain(void)
{
	struct vuc_session_config config = fixture_config();
	struct outcome o = {.then = request_next};

	config.max_requests = 1;
	fixture_open(&config);
	CU_ASSERT_EQUAL(fixture_reset(&o), 0);
	for (unsigned int i = 0; i <= 100; i++)
		fixture_answer_reset();
	CU_ASSERT_EQUAL(o.calls, 101);
	CU_ASSERT_EQUAL(vuc_session_outstanding(session), 0);
}

const struct tap_suite tap_suite = {"session_ids", fixture_open_usual, fixture_close,
	{
		{"all generations of an id", test_generations},
		{"all slots, many times", test_all_slots},
		{"requests made by callbacks", test_chain},
	},
	TAP_ROWS(rows, script_run)};
