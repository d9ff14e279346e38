/* SPDX-License-Identifier: BSD-3-Clause */

/* The table of requests: its slots, and the ids that name slot and generation. */

#include "session_fixture.h"

static void
test_table_full(void)
{
	struct outcome o[FIXTURE_REQUESTS] = {0};
	struct vfio_user_header h[FIXTURE_REQUESTS];
	struct message reply;
	struct fixture f;

	fixture_open(&f, NULL);
	for (unsigned int i = 0; i < FIXTURE_REQUESTS; i++)
		CU_ASSERT_EQUAL(fixture_reset(&f, &o[i]), 0);
	CU_ASSERT_EQUAL(fixture_reset(&f, NULL), -EAGAIN);
	CU_ASSERT_EQUAL(fixture_read(&f, 0, NULL, 0, NULL), -EAGAIN);
	CU_ASSERT_EQUAL(fixture_write(&f, 0, "x", 1, NULL), -EAGAIN);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, "x", 1), 0);
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), FIXTURE_REQUESTS);
	fixture_send(&f);
	CU_ASSERT_EQUAL_FATAL(fixture_nr_sent(&f), FIXTURE_REQUESTS + 1);
	for (unsigned int i = 0; i < FIXTURE_REQUESTS; i++) {
		h[i] = fixture_sent(&f, i);
		for (unsigned int j = 0; j < i; j++)
			CU_ASSERT_NOT_EQUAL(h[i].msg_id, h[j].msg_id);
	}

	/* Answers come in any order, and each makes room for one. */
	for (unsigned int i = FIXTURE_REQUESTS; i-- > 0;) {
		reply = message_reply(&h[i], NULL, 0);
		fixture_feed_message(&f, &reply);
		CU_ASSERT_EQUAL(o[i].calls, 1);
		CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), i);
	}
	CU_ASSERT_EQUAL(fixture_reset(&f, &o[0]), 0);
	fixture_close(&f);
}

static void
test_stale_id(void)
{
	struct outcome o = {0};
	struct vfio_user_header h;
	struct message reply;
	struct fixture f;
	char reason[VUC_ERROR_MAX];

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	fixture_answer_reset(&f);
	h = fixture_sent(&f, 0);
	reply = message_reply(&h, NULL, 0);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	fixture_send(&f);
	/* The same slot, so that only the generation tells the two apart. */
	CU_ASSERT_EQUAL(fixture_sent(&f, 0).msg_id % FIXTURE_REQUESTS, h.msg_id % FIXTURE_REQUESTS);
	CU_ASSERT_NOT_EQUAL(fixture_sent(&f, 0).msg_id, h.msg_id);

	fixture_feed_message(&f, &reply);
	snprintf(reason, sizeof(reason),
		"message 0x%04x (VFIO_USER_DEVICE_RESET 13, reply): no request has this message id",
		h.msg_id);
	CU_ASSERT_TRUE(fixture_lost(&f, -EPROTO, reason));
	CU_ASSERT_EQUAL(o.calls, 2);
	CU_ASSERT_EQUAL(o.status, -EPROTO);
	CU_ASSERT_STRING_EQUAL(o.reason, reason);
	fixture_close(&f);
}

/* Through all generations of a slot and beyond: none has the id of posted commands. */
static void
test_generations(void)
{
	struct vuc_session_config config = fixture_config();
	struct outcome o = {0};
	struct fixture f;
	unsigned int n = 70000, posted_ids = 0, repeated_ids = 0;
	uint16_t last = 0;

	config.max_requests = 1;
	fixture_open(&f, &config);
	for (unsigned int i = 0; i < n; i++) {
		CU_ASSERT_EQUAL_FATAL(fixture_reset(&f, &o), 0);
		fixture_answer_reset(&f);
		posted_ids += fixture_sent(&f, 0).msg_id == 0xffff;
		repeated_ids += fixture_sent(&f, 0).msg_id == last;
		last = fixture_sent(&f, 0).msg_id;
	}
	CU_ASSERT_EQUAL(posted_ids, 0);
	CU_ASSERT_EQUAL(repeated_ids, 0);
	CU_ASSERT_EQUAL(o.calls, n);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	fixture_close(&f);
}

/* Fill the largest table and answer everything. Returns how many ids were taken twice or reserved.
 */
static unsigned int
fill_and_answer(struct fixture *f, struct outcome *o)
{
	static uint8_t taken[0x10000];
	struct vfio_user_header h;
	unsigned int bad = 0;
	size_t pos;

	memset(taken, 0, sizeof(taken));
	while (fixture_reset(f, o) == 0)
		;
	fixture_send(f);
	for (pos = 0; pos < f->sent_len; pos += HEADER_SIZE) {
		memcpy(&h, f->sent + pos, HEADER_SIZE);
		bad += h.msg_id == 0xffff || taken[h.msg_id]++ > 0;
		h.flags = REPLY;
		memcpy(f->sent + pos, &h, HEADER_SIZE);
	}
	fixture_feed(f, f->sent, f->sent_len, NULL, 0);
	return bad;
}

static void
test_all_slots(void)
{
	struct vuc_session_config config = fixture_config();
	struct outcome o = {0};
	struct fixture f;

	config.max_requests = 4096;
	fixture_open(&f, &config);
	for (unsigned int i = 1; i <= 40; i++) {
		CU_ASSERT_EQUAL(fill_and_answer(&f, &o), 0);
		CU_ASSERT_EQUAL_FATAL(o.calls, i * 4096);
		CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 0);
	}
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	fixture_close(&f);
}

struct chain {
	struct fixture *f;
	unsigned int left;
	int rc;
};

static void
request_next(void *arg, struct outcome *o)
{
	struct chain *chain = arg;

	if (chain->left > 0 && o->status == 0) {
		chain->left--;
		chain->rc = fixture_reset(chain->f, o);
	}
}

/* The slot of the request that is being completed can be had by the one made in its callback. */
static void
test_chain(void)
{
	struct vuc_session_config config = fixture_config();
	struct fixture f;
	struct chain chain = {.f = &f, .left = 100};
	struct outcome o = {.then = request_next, .arg = &chain};

	config.max_requests = 1;
	fixture_open(&f, &config);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	for (unsigned int i = 0; i <= 100; i++) {
		CU_ASSERT_EQUAL(chain.rc, 0);
		fixture_answer_reset(&f);
	}
	CU_ASSERT_EQUAL(o.calls, 101);
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 0);
	fixture_close(&f);
}

static CU_TestInfo tests[] = {
	{"a full table", test_table_full},
	{"an id of a generation before", test_stale_id},
	{"all generations of an id", test_generations},
	{"all slots, many times", test_all_slots},
	{"requests made by callbacks", test_chain},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{"session_ids", NULL, NULL, NULL, NULL, tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
