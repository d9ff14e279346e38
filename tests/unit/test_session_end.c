/* SPDX-License-Identifier: BSD-3-Clause */

/* How a session comes to its end: drained, ended from above, lost from below. */

#include "session_fixture.h"

/* A session with one reset sent, and the reply to it. */
static struct message
open_with_reset(struct fixture *f, struct outcome *o)
{
	struct vfio_user_header h;

	fixture_open(f, NULL);
	CU_ASSERT_EQUAL_FATAL(fixture_reset(f, o), 0);
	fixture_send(f);
	h = fixture_sent(f, 0);
	return message_reply(&h, NULL, 0);
}

static void
test_drain_idle(void)
{
	struct fixture f;

	fixture_open(&f, NULL);
	vuc_session_drain(f.s);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_CLOSED);
	CU_ASSERT_STRING_EQUAL(vuc_session_reason(f.s), "");
	CU_ASSERT_EQUAL(vuc_session_error(f.s), 0);
	vuc_session_drain(f.s);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_CLOSED);
	fixture_close(&f);
}

static void
test_drain_answered(void)
{
	struct outcome o = {0};
	struct message reply;
	struct fixture f;

	reply = open_with_reset(&f, &o);
	vuc_session_drain(f.s);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_DRAINING);
	vuc_session_drain(f.s);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_DRAINING);
	fixture_feed_message(&f, &reply);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_CLOSED);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.status, 0);
	fixture_close(&f);
}

/* What waits to be sent, is sent. */
static void
test_drain_sent(void)
{
	struct vuc_segment segment = {0};
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, "x", 1), 0);
	CU_ASSERT_TRUE(fixture_next_segment(f.s, &segment));
	CU_ASSERT_EQUAL(fixture_post(&f, 1, "x", 1), 0);
	vuc_session_drain(f.s);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_DRAINING);
	vuc_session_sent(f.s);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_DRAINING);
	CU_ASSERT_TRUE(fixture_next_segment(f.s, &segment));
	vuc_session_sent(f.s);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_CLOSED);
	fixture_close(&f);
}

/* The reply is there before the driver says that the command is out. */
static void
test_drain_answered_first(void)
{
	const struct vfio_user_header to = {.msg_id = 4, .cmd = VFIO_USER_DEVICE_RESET};
	const struct message reply = message_reply(&to, NULL, 0);
	struct vuc_segment segment = {0};
	struct outcome o = {0};
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	CU_ASSERT_TRUE(fixture_next_segment(f.s, &segment));
	vuc_session_drain(f.s);
	fixture_feed_message(&f, &reply);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_DRAINING);
	vuc_session_sent(f.s);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_CLOSED);
	fixture_close(&f);
}

/* A vuc_session_fn of no request. */
static void
never_called(void *arg, const struct vuc_session_reply *reply)
{
	(void)arg;
	(void)reply;
	CU_FAIL("a request of nobody is complete");
}

/* Everybody is told at once, what waits to be sent is sent, and late replies are dropped. */
static void
test_cancel(void)
{
	struct outcome sent = {0}, unsent = {0};
	struct message reply;
	struct fixture f;

	reply = open_with_reset(&f, &sent);
	CU_ASSERT_EQUAL(fixture_reset(&f, &unsent), 0);
	vuc_session_cancel(f.s, never_called, -ECANCELED, "gone");
	CU_ASSERT_EQUAL(sent.calls + unsent.calls, 0);
	vuc_session_cancel(f.s, NULL, -ECANCELED, "gone");
	CU_ASSERT_EQUAL(sent.calls, 1);
	CU_ASSERT_EQUAL(sent.status, -ECANCELED);
	CU_ASSERT_STRING_EQUAL(sent.reason, "gone");
	CU_ASSERT_EQUAL(unsent.calls, 1);
	CU_ASSERT_EQUAL(unsent.status, -ECANCELED);
	fixture_feed_message(&f, &reply);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	vuc_session_drain(f.s);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_DRAINING);
	CU_ASSERT_EQUAL(fixture_send(&f), 1);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_CLOSED);
	CU_ASSERT_EQUAL(sent.calls + unsent.calls, 2);
	fixture_close(&f);
}

static void
test_drain_timed_out(void)
{
	struct outcome o = {0};
	struct message reply;
	struct fixture f;

	reply = open_with_reset(&f, &o);
	vuc_session_drain(f.s);
	vuc_session_tick(f.s, 1);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_DRAINING);
	vuc_session_tick(f.s, 1 + FIXTURE_TIMEOUT_MS);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_CLOSED);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.status, -ETIMEDOUT);
	fixture_feed_message(&f, &reply);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_CLOSED);
	CU_ASSERT_EQUAL(o.calls, 1);
	fixture_close(&f);
}

/* A command of the server is answered even now. */
static void
test_drain_command(void)
{
	const struct message command = message_dma_read(9, 0);
	struct outcome o = {0};
	struct message reply;
	struct fixture f;

	reply = open_with_reset(&f, &o);
	vuc_session_drain(f.s);
	fixture_feed_message(&f, &command);
	fixture_feed_message(&f, &reply);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_DRAINING);
	fixture_send(&f);
	CU_ASSERT_EQUAL(fixture_nr_sent(&f), 1);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_CLOSED);
	fixture_close(&f);
}

static void
test_drain_lost(void)
{
	struct outcome o = {0};
	struct fixture f;

	open_with_reset(&f, &o);
	vuc_session_drain(f.s);
	vuc_session_lost(f.s, 0);
	CU_ASSERT_TRUE(fixture_lost(&f, -ECONNRESET,
		"the server closed the connection instead of answering VFIO_USER_DEVICE_RESET"));
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.status, -ECONNRESET);
	vuc_session_drain(f.s);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_LOST);
	fixture_close(&f);
}

static void
request_refused(void *arg, struct outcome *o)
{
	struct fixture *f = arg;

	o->nr_fds = fixture_reset(f, o) == -ENOTCONN ? 100 : 0;
}

static void
test_drain_callback(void)
{
	struct fixture f;
	struct outcome o = {.then = request_refused, .arg = &f};
	struct message reply = open_with_reset(&f, &o);

	vuc_session_drain(f.s);
	fixture_feed_message(&f, &reply);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.nr_fds, 100);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_CLOSED);
	fixture_close(&f);
}

static void
drain_inside(void *arg, struct outcome *o)
{
	(void)o;
	vuc_session_drain(arg);
}

/* Drained by the callback of the last request that was outstanding. */
static void
test_drain_inside(void)
{
	struct outcome o = {.then = drain_inside};
	struct message reply;
	struct fixture f;

	reply = open_with_reset(&f, &o);
	o.arg = f.s;
	fixture_feed_message(&f, &reply);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_CLOSED);
	fixture_close(&f);
}

/* Closed is closed: nothing makes it lost. */
static void
test_closed_stays(void)
{
	const struct message junk = message_build((struct vfio_user_header){0}, NULL, 0);
	struct fixture f;

	fixture_open(&f, NULL);
	vuc_session_drain(f.s);
	vuc_session_lost(f.s, 0);
	vuc_session_lost(f.s, -EPIPE);
	vuc_session_end(f.s, -EIO, "too late");
	fixture_feed_message(&f, &junk);
	vuc_session_tick(f.s, 1);
	vuc_session_sent(f.s);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_CLOSED);
	CU_ASSERT_EQUAL(vuc_session_error(f.s), 0);
	fixture_close(&f);
}

/* Requests in every state there is: answered, timed out, sent, handed out and queued. */
struct crowd {
	struct outcome answered, timed_out, sent, handed, queued;
};

static void
open_crowded(struct fixture *f, struct crowd *c)
{
	struct vuc_session_config config = fixture_config();
	struct vuc_segment segment = {0};
	struct vfio_user_header h;
	struct message reply;

	config.max_requests = 8;
	memset(c, 0, sizeof(*c));
	fixture_open(f, &config);
	CU_ASSERT_EQUAL(fixture_reset(f, &c->timed_out), 0);
	fixture_send(f);
	vuc_session_tick(f->s, 1);
	vuc_session_tick(f->s, 1 + FIXTURE_TIMEOUT_MS);
	CU_ASSERT_EQUAL(fixture_reset(f, &c->answered), 0);
	fixture_send(f);
	h = fixture_sent(f, 0);
	reply = message_reply(&h, NULL, 0);
	fixture_feed_message(f, &reply);
	CU_ASSERT_EQUAL(fixture_reset(f, &c->sent), 0);
	fixture_send(f);
	CU_ASSERT_EQUAL(fixture_reset(f, &c->handed), 0);
	CU_ASSERT_TRUE(fixture_next_segment(f->s, &segment));
	CU_ASSERT_EQUAL(fixture_reset(f, &c->queued), 0);
	CU_ASSERT_EQUAL(vuc_session_outstanding(f->s), 3);
}

static void
check_crowd(struct fixture *f, const struct crowd *c, int error, const char *reason)
{
	const struct outcome *ended[] = {&c->sent, &c->handed, &c->queued};

	CU_ASSERT_TRUE(fixture_lost(f, error, reason));
	CU_ASSERT_EQUAL(c->answered.calls, 1);
	CU_ASSERT_EQUAL(c->answered.status, 0);
	CU_ASSERT_EQUAL(c->timed_out.calls, 1);
	CU_ASSERT_EQUAL(c->timed_out.status, -ETIMEDOUT);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(ended[i]->calls, 1);
		CU_ASSERT_EQUAL(ended[i]->status, error);
		CU_ASSERT_STRING_EQUAL(ended[i]->reason, reason);
		CU_ASSERT_FALSE(ended[i]->has_body);
		CU_ASSERT_EQUAL(ended[i]->nr_fds, 0);
	}
	CU_ASSERT_EQUAL(vuc_session_outstanding(f->s), 0);
	CU_ASSERT_FALSE(vuc_session_has_segment(f->s));
	vuc_session_sent(f->s);
	CU_ASSERT_FALSE(vuc_session_has_segment(f->s));
}

static void
test_end(void)
{
	struct fixture f;
	struct crowd c;

	open_crowded(&f, &c);
	vuc_session_end(f.s, -EHOSTDOWN, "the host is %s", "down");
	check_crowd(&f, &c, -EHOSTDOWN, "the host is down");
	vuc_session_end(f.s, -EIO, "again");
	vuc_session_lost(f.s, -EPIPE);
	check_crowd(&f, &c, -EHOSTDOWN, "the host is down");
	fixture_close(&f);
}

static void
test_lost(void)
{
	struct fixture f;
	struct crowd c;

	open_crowded(&f, &c);
	vuc_session_lost(f.s, -EPIPE);
	check_crowd(&f, &c, -EPIPE, "the connection broke: Broken pipe");
	fixture_close(&f);

	open_crowded(&f, &c);
	vuc_session_lost(f.s, 0);
	check_crowd(&f, &c, -ECONNRESET,
		"the server closed the connection instead of answering VFIO_USER_DEVICE_RESET");
	fixture_close(&f);
}

static void
test_broken(void)
{
	const struct message junk = message_build((struct vfio_user_header){.flags = 0x3}, NULL, 0);
	struct fixture f;
	struct crowd c;

	open_crowded(&f, &c);
	fixture_feed_message(&f, &junk);
	check_crowd(&f, &c, -EPROTO, "message 0x0000 ((unknown) 0): flags 0x3 are not known");
	fixture_close(&f);
}

/* A refused command is blamed for what goes wrong next, but not for a server that is stopped while
 * nothing is asked of it. */
static void
test_blame(void)
{
	const uint32_t feature[2] = {sizeof(feature), 0};
	const uint32_t bit = UINT32_C(1) << VFIO_USER_DEVICE_FEATURE;

	for (unsigned int asked = 0; asked < 2; asked++) {
		struct vuc_server_faults faults = {0};
		struct vuc_session_config config = fixture_config();
		struct outcome o = {0}, reset = {0};
		struct vfio_user_header h;
		struct message refused;
		struct fixture f;
		struct vuc_session_request req = {
			.cmd = VFIO_USER_DEVICE_FEATURE,
			.body = feature,
			.len = sizeof(feature),
			.done = fixture_record,
			.arg = &o,
		};

		config.faults = &faults;
		fixture_open(&f, &config);
		CU_ASSERT_EQUAL_FATAL(vuc_session_request(f.s, &req), 0);
		fixture_send(&f);
		h = fixture_sent(&f, 0);
		refused = message_error(&h, EINVAL);
		fixture_feed_message(&f, &refused);
		CU_ASSERT_EQUAL(o.status, -EINVAL);
		if (asked) {
			CU_ASSERT_EQUAL(fixture_reset(&f, &reset), 0);
			fixture_send(&f);
		}
		vuc_session_lost(f.s, 0);
		CU_ASSERT_EQUAL(faults.broke_on, asked ? bit : 0);
		CU_ASSERT_EQUAL(strstr(vuc_session_reason(f.s), "refused") != NULL, asked);
		fixture_close(&f);
	}
}

/* A line that is too long is cut, and what is not printable is replaced. */
static void
test_reason(void)
{
	struct outcome o = {0};
	struct fixture f;
	char text[1000];

	memset(text, 'x', sizeof(text));
	text[0] = '\n';
	text[sizeof(text) - 1] = '\0';
	open_with_reset(&f, &o);
	vuc_session_end(f.s, -EIO, "%s", text);
	CU_ASSERT_EQUAL(strlen(vuc_session_reason(f.s)), VUC_ERROR_MAX - 1);
	CU_ASSERT_EQUAL(vuc_session_reason(f.s)[0], '?');
	CU_ASSERT_STRING_EQUAL(o.reason, vuc_session_reason(f.s));
	fixture_close(&f);
}

struct stubborn {
	struct fixture *f;
	int rc;
};

static void
request_after_end(void *arg, struct outcome *o)
{
	struct stubborn *stubborn = arg;

	stubborn->rc = fixture_reset(stubborn->f, o);
	vuc_session_end(stubborn->f->s, -EIO, "%s", o->reason);
}

/* A callback can't keep a session alive, nor end it twice. */
static void
test_end_callback(void)
{
	struct fixture f;
	struct stubborn stubborn = {.f = &f};
	struct outcome o[3] = {0};

	fixture_open(&f, NULL);
	for (unsigned int i = 0; i < 3; i++) {
		o[i].then = request_after_end;
		o[i].arg = &stubborn;
		CU_ASSERT_EQUAL(fixture_reset(&f, &o[i]), 0);
	}
	vuc_session_end(f.s, -ENODEV, "gone");
	CU_ASSERT_EQUAL(stubborn.rc, -ENODEV);
	CU_ASSERT_TRUE(fixture_lost(&f, -ENODEV, "gone"));
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(o[i].calls, 1);
	fixture_close(&f);
}

/* Whether descriptors have to be looked for. */
static void
test_watching(void)
{
	const struct message command = message_dma_write(1, VFIO_USER_F_NO_REPLY);
	uint8_t data[4];
	struct outcome o = {0};
	struct vfio_user_header h;
	struct message reply;
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_TRUE(vuc_session_watches_fds(f.s));
	for (unsigned int i = 0; i < 1000; i++)
		fixture_feed_message(&f, &command);
	CU_ASSERT_FALSE(vuc_session_watches_fds(f.s));
	CU_ASSERT_EQUAL(fixture_read(&f, 0, data, 4, &o), 0);
	CU_ASSERT_EQUAL(fixture_write(&f, 0, data, 4, &o), 0);
	CU_ASSERT_FALSE(vuc_session_watches_fds(f.s));
	CU_ASSERT_EQUAL(fixture_region_info(&f, 0, &o), 0);
	CU_ASSERT_TRUE(vuc_session_watches_fds(f.s));
	fixture_send(&f);
	h = fixture_sent(&f, 2);
	reply = message_region_info(&h, 0);
	fixture_feed_message(&f, &reply);
	CU_ASSERT_FALSE(vuc_session_watches_fds(f.s));

	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	CU_ASSERT_TRUE(vuc_session_watches_fds(f.s));
	vuc_session_end(f.s, -EIO, "enough");
	CU_ASSERT_FALSE(vuc_session_watches_fds(f.s));
	CU_ASSERT_EQUAL(o.calls, 4);
	fixture_close(&f);
}

static CU_TestInfo tests[] = {
	{"drained while idle", test_drain_idle},
	{"drained, then answered", test_drain_answered},
	{"drained, then sent", test_drain_sent},
	{"drained, answered, then sent", test_drain_answered_first},
	{"cancel", test_cancel},
	{"drained, then timed out", test_drain_timed_out},
	{"drained, then commanded", test_drain_command},
	{"drained, then lost", test_drain_lost},
	{"drained, then asked by a callback", test_drain_callback},
	{"drained by a callback", test_drain_inside},
	{"closed for good", test_closed_stays},
	{"ended with requests of all kinds", test_end},
	{"lost with requests of all kinds", test_lost},
	{"broken with requests of all kinds", test_broken},
	{"blame of a refused command", test_blame},
	{"the reason is one line", test_reason},
	{"callbacks of an ended session", test_end_callback},
	{"whether descriptors are watched for", test_watching},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{"session_end", NULL, NULL, NULL, NULL, tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
