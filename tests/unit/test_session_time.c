/* SPDX-License-Identifier: BSD-3-Clause */
#include "session_fixture.h"

#define TIMEOUT ((uint64_t)FIXTURE_TIMEOUT_MS)
#define START   ((uint64_t)123456)

static void
check_expired(const struct outcome *o, const char *reason)
{
	CU_ASSERT_EQUAL(o->calls, 1);
	CU_ASSERT_EQUAL(o->status, -ETIMEDOUT);
	CU_ASSERT_STRING_EQUAL(o->reason, reason);
	CU_ASSERT_FALSE(o->has_body);
}

static void
test_boundary(void)
{
	uint8_t data[4] = {9, 9, 9, 9};
	struct outcome o = {0};
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_read(&f, 0, data, 4, &o), 0);
	fixture_send(&f);
	/* The first tick starts the clock, however late it is. */
	vuc_session_tick(f.s, START);
	vuc_session_tick(f.s, START + TIMEOUT - 1);
	CU_ASSERT_EQUAL(o.calls, 0);
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 1);
	vuc_session_tick(f.s, START + TIMEOUT);
	check_expired(&o, "no answer to VFIO_USER_REGION_READ within 1000 ms");
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 0);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	vuc_session_tick(f.s, START + 10 * TIMEOUT);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(memcmp(data, "\t\t\t\t", 4), 0);
	fixture_close(&f);
}

/* Time may begin at 0. */
static void
test_zero(void)
{
	struct outcome o = {0};
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	fixture_send(&f);
	vuc_session_tick(f.s, 0);
	vuc_session_tick(f.s, TIMEOUT - 1);
	CU_ASSERT_EQUAL(o.calls, 0);
	vuc_session_tick(f.s, TIMEOUT);
	check_expired(&o, "no answer to VFIO_USER_DEVICE_RESET within 1000 ms");
	fixture_close(&f);
}

/* Each request has a deadline of its own. */
static void
test_own_deadlines(void)
{
	struct outcome first = {0}, second = {0};
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&f, &first), 0);
	fixture_send(&f);
	vuc_session_tick(f.s, START);
	CU_ASSERT_EQUAL(fixture_reset(&f, &second), 0);
	fixture_send(&f);
	vuc_session_tick(f.s, START + 600);
	vuc_session_tick(f.s, START + 1000);
	CU_ASSERT_EQUAL(first.calls, 1);
	CU_ASSERT_EQUAL(second.calls, 0);
	vuc_session_tick(f.s, START + 1599);
	CU_ASSERT_EQUAL(second.calls, 0);
	vuc_session_tick(f.s, START + 1600);
	CU_ASSERT_EQUAL(second.calls, 1);
	fixture_close(&f);
}

/* A request that takes over a slot has the time of its own, too. */
static void
test_reused_slot(void)
{
	struct outcome o = {0};
	struct vfio_user_header h;
	struct message reply;
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	fixture_send(&f);
	vuc_session_tick(f.s, START);
	h = fixture_sent(&f, 0);
	reply = message_reply(&h, NULL, 0);
	fixture_feed_message(&f, &reply);
	CU_ASSERT_EQUAL(o.calls, 1);

	o = (struct outcome){0};
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	vuc_session_tick(f.s, START + 900);
	vuc_session_tick(f.s, START + 1899);
	CU_ASSERT_EQUAL(o.calls, 0);
	vuc_session_tick(f.s, START + 1900);
	CU_ASSERT_EQUAL(o.calls, 1);
	fixture_close(&f);
}

/* Let the requests that are outstanding time out. */
static void
expire_all(struct fixture *f)
{
	vuc_session_tick(f->s, START);
	vuc_session_tick(f->s, START + TIMEOUT);
	CU_ASSERT_EQUAL(vuc_session_outstanding(f->s), 0);
}

static void
test_late_reply(void)
{
	uint8_t data[4] = {9, 9, 9, 9};
	struct outcome o[FIXTURE_REQUESTS] = {0};
	struct vfio_user_header h;
	struct message reply;
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_read(&f, 0, data, 4, &o[0]), 0);
	fixture_send(&f);
	expire_all(&f);

	/* The id stays taken. */
	for (unsigned int i = 1; i < FIXTURE_REQUESTS; i++)
		CU_ASSERT_EQUAL(fixture_reset(&f, &o[i]), 0);
	CU_ASSERT_EQUAL(fixture_reset(&f, NULL), -EAGAIN);

	h = fixture_sent(&f, 0);
	reply = message_access(&h, 0, 4, "\1\2\3\4", 4);
	fixture_feed_message(&f, &reply);
	CU_ASSERT_EQUAL(o[0].calls, 1);
	CU_ASSERT_EQUAL(memcmp(data, "\t\t\t\t", 4), 0);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o[0]), 0);
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), FIXTURE_REQUESTS);

	/* It came; it may not come again. */
	fixture_feed_message(&f, &reply);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_LOST);
	CU_ASSERT_EQUAL(o[0].calls, 2);
	fixture_close(&f);
}

/* However often the server is late, it is forgiven with its reply. */
static void
test_often_late(void)
{
	uint64_t now = START;
	struct outcome o = {0};
	struct vfio_user_header h;
	struct message reply;
	struct fixture f;

	fixture_open(&f, NULL);
	for (unsigned int i = 1; i <= 3 * FIXTURE_REQUESTS; i++) {
		CU_ASSERT_EQUAL_FATAL(fixture_reset(&f, &o), 0);
		fixture_send(&f);
		vuc_session_tick(f.s, now);
		now += TIMEOUT;
		vuc_session_tick(f.s, now);
		CU_ASSERT_EQUAL(o.calls, i);
		h = fixture_sent(&f, 0);
		reply = message_reply(&h, NULL, 0);
		fixture_feed_message(&f, &reply);
	}
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	CU_ASSERT_EQUAL(o.calls, 3 * FIXTURE_REQUESTS);
	fixture_close(&f);
}

static void
test_late_error(void)
{
	struct outcome o = {0};
	struct vfio_user_header h;
	struct message reply;
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	fixture_send(&f);
	expire_all(&f);
	h = fixture_sent(&f, 0);
	reply = message_error(&h, EIO);
	fixture_feed_message(&f, &reply);
	check_expired(&o, "no answer to VFIO_USER_DEVICE_RESET within 1000 ms");
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	fixture_close(&f);
}

static void
test_late_fds(void)
{
	struct outcome o = {0};
	struct vfio_user_header h;
	struct message reply;
	struct fixture f;
	int fd;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_region_info(&f, 1, &o), 0);
	fixture_send(&f);
	expire_all(&f);
	h = fixture_sent(&f, 0);
	reply = message_region_info(&h, 1);
	fd = fixture_new_fd();
	fixture_feed(&f, reply.bytes, reply.len, &fd, 1);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds);
	fixture_close(&f);
}

/* Late is no excuse. */
static void
test_late_and_wrong(void)
{
	uint8_t data[4];
	struct outcome o = {0};
	struct vfio_user_header h;
	struct message reply;
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_read(&f, 0, data, 4, &o), 0);
	fixture_send(&f);
	expire_all(&f);
	h = fixture_sent(&f, 0);
	reply = message_access(&h, 1, 4, "\1\2\3\4", 4);
	fixture_feed_message(&f, &reply);
	CU_ASSERT_TRUE(fixture_lost(&f, -EPROTO,
		"message 0x0004 (VFIO_USER_REGION_READ): a reply for region 2 offset 0x1, asked "
		"was region 2 offset 0x0"));
	CU_ASSERT_EQUAL(o.calls, 1);
	fixture_close(&f);
}

/* Half of the reply is there when the time is over. */
static void
test_expired_in_parts(void)
{
	uint8_t data[4] = {9, 9, 9, 9};
	struct outcome o = {0};
	struct vfio_user_header h;
	struct message reply;
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_read(&f, 0, data, 4, &o), 0);
	fixture_send(&f);
	h = fixture_sent(&f, 0);
	reply = message_access(&h, 0, 4, "\1\2\3\4", 4);
	fixture_feed(&f, reply.bytes, 34, NULL, 0);
	expire_all(&f);
	CU_ASSERT_EQUAL(o.calls, 1);
	fixture_feed(&f, reply.bytes + 34, 2, NULL, 0);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(memcmp(data, "\t\t\t\t", 4), 0);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	fixture_close(&f);
}

static void
test_all_slots(void)
{
	struct outcome o[FIXTURE_REQUESTS] = {0};
	struct fixture f;

	fixture_open(&f, NULL);
	for (unsigned int i = 0; i < FIXTURE_REQUESTS; i++)
		CU_ASSERT_EQUAL(fixture_reset(&f, &o[i]), 0);
	fixture_send(&f);
	expire_all(&f);
	CU_ASSERT_TRUE(fixture_lost(&f, -ETIMEDOUT, "the server has left 4 requests unanswered"));
	for (unsigned int i = 0; i < FIXTURE_REQUESTS; i++)
		check_expired(&o[i], "no answer to VFIO_USER_DEVICE_RESET within 1000 ms");
	fixture_close(&f);
}

static void
test_version(void)
{
	struct fixture f;

	fixture_create(&f, NULL);
	fixture_send(&f);
	vuc_session_tick(f.s, START);
	vuc_session_tick(f.s, START + TIMEOUT - 1);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_NEGOTIATING);
	vuc_session_tick(f.s, START + TIMEOUT);
	CU_ASSERT_TRUE(
		fixture_lost(&f, -ETIMEDOUT, "no answer to VFIO_USER_VERSION within 1000 ms"));
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 0);
	vuc_session_tick(f.s, START + 5 * TIMEOUT);
	fixture_close(&f);
}

struct retry {
	struct fixture *f;
	unsigned int left;
};

static void
request_again(void *arg, struct outcome *o)
{
	struct retry *retry = arg;

	CU_ASSERT_EQUAL(o->status, -ETIMEDOUT);
	if (retry->left-- > 0)
		CU_ASSERT_EQUAL(fixture_reset(retry->f, o), 0);
}

/* A request made in the callback of one that has timed out does not expire with it. */
static void
test_callback_requests(void)
{
	struct fixture f;
	struct retry retry = {.f = &f, .left = 2};
	struct outcome o = {.then = request_again, .arg = &retry};

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	fixture_send(&f);
	vuc_session_tick(f.s, START);
	for (unsigned int i = 1; i <= 3; i++) {
		vuc_session_tick(f.s, START + 10 * i * TIMEOUT);
		CU_ASSERT_EQUAL(o.calls, i);
		fixture_send(&f);
		vuc_session_tick(f.s, START + 10 * i * TIMEOUT + 1);
		CU_ASSERT_EQUAL(o.calls, i);
	}
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 0);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	fixture_close(&f);
}

static void
end_inside(void *arg, struct outcome *o)
{
	(void)o;
	vuc_session_end(arg, -ECANCELED, "a callback says so");
}

static void
test_end_inside(void)
{
	struct outcome o[3] = {{.then = end_inside}, {.then = end_inside}, {.then = end_inside}};
	unsigned int expired = 0;
	struct fixture f;

	fixture_open(&f, NULL);
	for (unsigned int i = 0; i < 3; i++) {
		o[i].arg = f.s;
		CU_ASSERT_EQUAL(fixture_reset(&f, &o[i]), 0);
	}
	fixture_send(&f);
	vuc_session_tick(f.s, START);
	vuc_session_tick(f.s, START + TIMEOUT);
	CU_ASSERT_TRUE(fixture_lost(&f, -ECANCELED, "a callback says so"));
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(o[i].calls, 1);
		expired += o[i].status == -ETIMEDOUT;
	}
	CU_ASSERT_EQUAL(expired, 1);
	fixture_close(&f);
}

/* A silent server, and what ends that: any message of it. */
static void
test_silent(void)
{
	struct outcome o[3] = {0};
	struct vfio_user_header late;
	struct message reply;
	uint64_t since = 0;
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o[0]), 0);
	fixture_send(&f);
	late = fixture_sent(&f, 0);
	vuc_session_tick(f.s, START);
	vuc_session_tick(f.s, START + TIMEOUT - 1);
	CU_ASSERT_FALSE(vuc_session_silent(f.s, &since));
	vuc_session_tick(f.s, START + TIMEOUT);
	CU_ASSERT_TRUE(vuc_session_silent(f.s, &since));
	CU_ASSERT_EQUAL(since, START);
	/* Another one that times out changes nothing. */
	CU_ASSERT_EQUAL(fixture_reset(&f, &o[1]), 0);
	fixture_send(&f);
	vuc_session_tick(f.s, START + TIMEOUT);
	vuc_session_tick(f.s, START + 2 * TIMEOUT);
	CU_ASSERT_TRUE(vuc_session_silent(f.s, &since));
	CU_ASSERT_EQUAL(since, START);
	reply = message_reply(&late, NULL, 0);
	fixture_feed_message(&f, &reply);
	CU_ASSERT_FALSE(vuc_session_silent(f.s, &since));
	/* From now on it is silent anew. */
	CU_ASSERT_EQUAL(fixture_reset(&f, &o[2]), 0);
	fixture_send(&f);
	vuc_session_tick(f.s, START + 3 * TIMEOUT);
	vuc_session_tick(f.s, START + 4 * TIMEOUT);
	CU_ASSERT_TRUE(vuc_session_silent(f.s, &since));
	CU_ASSERT_EQUAL(since, START + 3 * TIMEOUT);
	vuc_session_end(f.s, -EIO, "an end");
	CU_ASSERT_FALSE(vuc_session_silent(f.s, &since));
	fixture_close(&f);
}

/* One reply of many is missing: the server answers. */
static void
test_lost_reply(void)
{
	struct outcome o[2] = {0};
	struct message reply;
	struct vfio_user_header h;
	uint64_t since;
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o[0]), 0);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o[1]), 0);
	fixture_send(&f);
	vuc_session_tick(f.s, START);
	h = fixture_sent(&f, 1);
	reply = message_reply(&h, NULL, 0);
	fixture_feed_message(&f, &reply);
	vuc_session_tick(f.s, START + TIMEOUT - 1);
	vuc_session_tick(f.s, START + TIMEOUT);
	CU_ASSERT_EQUAL(o[0].status, -ETIMEDOUT);
	CU_ASSERT_FALSE(vuc_session_silent(f.s, &since));
	fixture_close(&f);
}

#define STOPPED "the server has read nothing for 1000 ms"

/* A command that nobody awaits has a deadline all the same: it has to go out. */
static void
test_unsent(void)
{
	const uint32_t value = 1;
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_FALSE(vuc_session_has_deadline(f.s));
	CU_ASSERT_EQUAL(fixture_post(&f, 0, &value, sizeof(value)), 0);
	CU_ASSERT_TRUE(vuc_session_has_deadline(f.s));
	vuc_session_tick(f.s, START);
	vuc_session_tick(f.s, START + TIMEOUT - 1);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	vuc_session_tick(f.s, START + TIMEOUT);
	CU_ASSERT_TRUE(fixture_lost(&f, -ETIMEDOUT, STOPPED));
	CU_ASSERT_FALSE(vuc_session_has_deadline(f.s));
	CU_ASSERT_EQUAL(fixture_post(&f, 0, &value, sizeof(value)), -ETIMEDOUT);
	fixture_close(&f);
}

/* However slow the server is, it reads: each segment, and each part of one, gives it more time. */
static void
test_sent_slowly(void)
{
	struct vuc_segment segment = {0};
	const uint32_t value = 1;
	uint64_t now = START;
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, &value, sizeof(value)), 0);
	CU_ASSERT_TRUE(fixture_next_segment(f.s, &segment));
	/* What is on its way cannot change any more, so this is another segment. */
	CU_ASSERT_EQUAL(fixture_post(&f, 0, &value, sizeof(value)), 0);
	vuc_session_tick(f.s, now);
	now += TIMEOUT - 1;
	vuc_session_sent(f.s);
	vuc_session_tick(f.s, now);
	now += TIMEOUT - 1;
	vuc_session_sent_part(f.s);
	vuc_session_tick(f.s, now);
	vuc_session_tick(f.s, now + TIMEOUT - 1);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	vuc_session_tick(f.s, now + TIMEOUT);
	CU_ASSERT_TRUE(fixture_lost(&f, -ETIMEDOUT, STOPPED));
	fixture_close(&f);
}

/* Whether the server has mapped the memory is not known, and only the end of the connection makes
 * sure that it has not. */
static void
test_vital(void)
{
	struct outcome map = {0}, reset = {0};
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_dma_map(&f, NULL, 0, &map), 0);
	fixture_send(&f);
	vuc_session_tick(f.s, START);
	CU_ASSERT_EQUAL(fixture_reset(&f, &reset), 0);
	fixture_send(&f);
	vuc_session_tick(f.s, START + TIMEOUT);
	CU_ASSERT_TRUE(
		fixture_lost(&f, -ETIMEDOUT, "no answer to VFIO_USER_DMA_MAP within 1000 ms"));
	CU_ASSERT_EQUAL(map.calls, 1);
	CU_ASSERT_EQUAL(map.status, -ETIMEDOUT);
	CU_ASSERT_EQUAL(reset.calls, 1);
	CU_ASSERT_EQUAL(reset.status, -ETIMEDOUT);
	fixture_close(&f);
}

/* A server that says nothing more once it has refused a command, whose body it may have left. */
static void
test_after_refusal(void)
{
#define AFTER ", after the server had refused VFIO_USER_DEVICE_GET_REGION_IO_FDS"
	const struct vfio_user_region_io_fds body = {.argsz = sizeof(body)};
	struct outcome refused = {0}, read = {0}, map = {0};
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_GET_REGION_IO_FDS,
		.body = &body,
		.len = sizeof(body),
		.done = fixture_record,
		.arg = &refused,
	};
	struct vfio_user_header h;
	struct message reply;
	uint8_t data[4];
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(vuc_session_request(f.s, &req), 0);
	fixture_send(&f);
	h = fixture_sent(&f, 0);
	reply = message_error(&h, 0);
	fixture_feed_message(&f, &reply);
	CU_ASSERT_EQUAL(refused.status, -EOPNOTSUPP);
	CU_ASSERT_EQUAL(fixture_read(&f, 0, data, 4, &read), 0);
	fixture_send(&f);
	vuc_session_tick(f.s, START);
	vuc_session_tick(f.s, START + TIMEOUT);
	check_expired(&read, "no answer to VFIO_USER_REGION_READ within 1000 ms" AFTER);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	CU_ASSERT_EQUAL(fixture_dma_map(&f, NULL, 0, &map), 0);
	fixture_send(&f);
	vuc_session_tick(f.s, START + TIMEOUT);
	vuc_session_tick(f.s, START + 2 * TIMEOUT);
	CU_ASSERT_TRUE(fixture_lost(
		&f, -ETIMEDOUT, "no answer to VFIO_USER_DMA_MAP within 1000 ms" AFTER));
	fixture_close(&f);
#undef AFTER
}

static CU_TestInfo tests[] = {
	{"the exact boundary", test_boundary},
	{"from time 0 on", test_zero},
	{"deadlines of their own", test_own_deadlines},
	{"a slot used again", test_reused_slot},
	{"a late reply", test_late_reply},
	{"many late replies", test_often_late},
	{"a late error", test_late_error},
	{"late descriptors", test_late_fds},
	{"a late reply that is wrong", test_late_and_wrong},
	{"expired with the reply in parts", test_expired_in_parts},
	{"all requests timed out", test_all_slots},
	{"VERSION timed out", test_version},
	{"requests made by callbacks", test_callback_requests},
	{"a callback ends the session", test_end_inside},
	{"silent", test_silent},
	{"a lost reply", test_lost_reply},
	{"nothing is read", test_unsent},
	{"little is read", test_sent_slowly},
	{"DMA_MAP timed out", test_vital},
	{"no answer after a refusal", test_after_refusal},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{"session_time", NULL, NULL, NULL, NULL, tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
