/* SPDX-License-Identifier: BSD-3-Clause */
#include "session_script.h"

#define NR_LETTERS 8u
#define DATA       "\1\2\3\4" /* what is read */
#define UNTOUCHED  "\t\t\t\t"
#define START      UINT64_C(123456)

struct letter {
	struct outcome o;
	unsigned int seen; /* completions that a step has seen */
	bool pending;
	struct vfio_user_header h; /* once it is sent */
	uint8_t data[4];
	size_t fed; /* of its reply */
};

static struct {
	struct vuc_server_faults faults;
	struct letter letters[NR_LETTERS];
	char queued[64]; /* requests that wait to be sent, in order; ' ' is a posted one */
	unsigned int nr_queued;
	struct vfio_user_header replies[16]; /* that were sent, and how many a step has seen */
	unsigned int nr_replies, seen_replies;
	bool handed; /* the next segment was looked at */
	uint64_t now;
	unsigned int step, rounds;
} script;

#define CHECK(condition) step_check(condition, #condition)

static void
step_check(bool ok, const char *condition)
{
	if (!ok)
		printf("# step %u: %s; the session: state %u, error %d, \"%s\"\n", script.step,
			condition, vuc_session_state(session), vuc_session_error(session),
			vuc_session_reason(session));
	CU_ASSERT_TRUE(ok);
}

static struct letter *
letter_of(long long letter)
{
	CU_ASSERT_FATAL(letter >= 'a' && letter < 'a' + (long long)NR_LETTERS);
	return &script.letters[letter - 'a'];
}

static void
open_session(uint16_t max_requests, bool negotiated)
{
	struct vuc_session_config config = fixture_config();

	config.max_requests = max_requests;
	config.faults = &script.faults;
	if (negotiated)
		fixture_open(&config);
	else
		fixture_create(&config);
}

/* A vuc_session_fn. */
static void
of_no_request(void *arg, const struct vuc_session_reply *reply)
{
	(void)arg;
	(void)reply;
	CU_FAIL("a request of nobody is complete");
}

static void
step_control(const struct step *step)
{
	unsigned int before = vuc_session_outstanding(session);

	switch (step->verb) {
	case CREATE:
		open_session(FIXTURE_REQUESTS, false);
		break;
	case OPEN_LARGE:
		open_session((uint16_t)step->n, true);
		break;
	case DRAIN:
		vuc_session_drain(session);
		break;
	case CANCEL:
		vuc_session_cancel(session, of_no_request, (int)step->n, step->text);
		CHECK(vuc_session_outstanding(session) == before);
		vuc_session_cancel(session, NULL, (int)step->n, step->text);
		break;
	case END:
		vuc_session_end(session, (int)step->n, "%s", step->text);
		break;
	case LOSE:
		vuc_session_lost(session, (int)step->n);
		break;
	case ADVANCE:
		script.now += (uint64_t)step->n;
		vuc_session_tick(session, script.now);
		break;
	case SET_CLOCK:
		script.now = (uint64_t)step->n;
		break;
	default: /* REPEAT: the next step is the first again */
		if (++script.rounds < (unsigned int)step->n)
			script.step = UINT32_MAX;
	}
}

static int
letter_request(enum verb verb, struct letter *l)
{
	const struct vfio_user_region_io_fds io_fds = {.argsz = sizeof(io_fds)};

	switch (verb) {
	case ASK_READ:
		memcpy(l->data, UNTOUCHED, 4);
		return fixture_read(ASKED_OFFSET, l->data, 4, &l->o);
	case ASK_WRITE:
		return fixture_write(ASKED_OFFSET, "abcd", 4, &l->o);
	case ASK_RESET:
		return fixture_reset(&l->o);
	case ASK_INFO:
		return fixture_region_info(1, &l->o);
	case ASK_MAP:
		return fixture_dma_map(NULL, 0, &l->o);
	default:
		return fixture_request(VFIO_USER_DEVICE_GET_REGION_IO_FDS, &io_fds, sizeof(io_fds),
			NULL, 0, &l->o);
	}
}

static void
step_ask(const struct step *step)
{
	struct letter *l = step->verb == POST ? NULL : letter_of(step->n);
	int rc =
		l == NULL ? fixture_post((uint64_t)step->n, "x", 1) : letter_request(step->verb, l);

	CHECK(rc == (int)step->m);
	if (rc != 0)
		return;
	CU_ASSERT_FATAL(script.nr_queued < sizeof(script.queued));
	script.queued[script.nr_queued++] = l == NULL ? ' ' : (char)step->n;
	if (l != NULL)
		l->pending = true;
}

/* Look at the messages of the next segment. Returns how many there are. */
static unsigned int
see_segment(void)
{
	struct vuc_segment segment = {0};
	struct vfio_user_header h;
	unsigned int n = 0;

	CHECK(fixture_next_segment(&segment));
	for (size_t pos = 0; pos < segment.len; pos += h.msg_size, n++) {
		memcpy(&h, segment.bytes + pos, sizeof(h));
		CU_ASSERT_FATAL(h.msg_size >= sizeof(h) && h.msg_size <= segment.len - pos);
		if ((h.flags & VFIO_USER_F_TYPE_MASK) == REPLY) {
			script.replies[script.nr_replies++ % NR(script.replies)] = h;
		} else if (script.nr_queued > 0) { /* not VERSION */
			if (script.queued[0] != ' ')
				letter_of(script.queued[0])->h = h;
			memmove(script.queued, script.queued + 1, --script.nr_queued);
		}
	}
	return n;
}

static void
check_refusal(const struct step *step)
{
	const struct vfio_user_header *h =
		&script.replies[script.seen_replies++ % NR(script.replies)];

	CHECK(script.seen_replies <= script.nr_replies);
	CHECK(h->msg_id == step->n && h->cmd == step->m && h->msg_size == HEADER_SIZE);
	CHECK(h->flags == (REPLY | VFIO_USER_F_ERROR) && h->error_no == EOPNOTSUPP);
}

static void
step_transmit(const struct step *step)
{
	unsigned int n = 0;

	switch (step->verb) {
	case SEND_ALL:
		for (; vuc_session_has_segment(session); vuc_session_sent(session)) {
			n += script.handed ? 0 : see_segment();
			script.handed = false;
		}
		CHECK(n == (unsigned int)step->n);
		break;
	case HAND_OUT:
		see_segment();
		script.handed = true;
		break;
	case SENT:
		vuc_session_sent(session);
		script.handed = false;
		break;
	case SENT_PART:
		vuc_session_sent_part(session);
		break;
	default:
		check_refusal(step);
	}
}

/* The reply to what a letter has asked for; an access is one at offset. */
static struct message
reply_to(const struct letter *l, uint64_t offset)
{
	switch (l->h.cmd) {
	case VFIO_USER_REGION_READ:
		return message_access(l->h, offset, 4, DATA, 4);
	case VFIO_USER_REGION_WRITE:
		return message_access(l->h, offset, 4, NULL, 0);
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		return message_region_info(l->h, 1);
	default:
		return message_reply(l->h, NULL, 0);
	}
}

static void
step_answer(const struct step *step)
{
	bool answers = step->verb <= ANSWER_ERROR;
	struct letter *l = answers ? letter_of(step->n) : NULL;
	struct message m;
	size_t pos = 0;

	if (step->verb == ANSWER_ERROR)
		m = message_error(l->h, (uint32_t)step->m);
	else if (answers)
		m = reply_to(l, step->verb == ANSWER_AT ? (uint64_t)step->m : ASKED_OFFSET);
	else if (step->verb == COMMAND_READ)
		m = message_dma_read((uint16_t)step->n, (uint32_t)step->m);
	else if (step->verb == COMMAND_WRITE)
		m = message_dma_write((uint16_t)step->n, (uint32_t)step->m);
	else
		m = message_build(step->h, NULL, (size_t)step->n);
	if (step->verb == ANSWER_UNTIL) {
		pos = l->fed;
		m.len = l->fed = (size_t)step->m;
	}
	fixture_feed_new_fds(&m, pos, m.len, step->fds);
}

static void
check_done(struct letter *l, const struct step *step)
{
	const struct outcome *o = &l->o;
	bool read = l->h.cmd == VFIO_USER_REGION_READ;
	bool access = read || l->h.cmd == VFIO_USER_REGION_WRITE;

	CHECK(l->pending && o->calls == ++l->seen);
	CHECK(o->status == (int)step->m);
	CHECK(o->status == 0 || step->text == NULL || strcmp(o->reason, step->text) == 0);
	CHECK(o->nr_fds == step->fds);
	CHECK(!o->has_body || (o->status == 0 && !access));
	CHECK(!read || memcmp(l->data, o->status == 0 ? DATA : UNTOUCHED, 4) == 0);
	l->pending = false;
}

static void
check_all_done(const struct step *step)
{
	for (unsigned int i = 0; i < NR_LETTERS; i++)
		if (script.letters[i].pending)
			check_done(&script.letters[i], step);
	CHECK(vuc_session_outstanding(session) == 0);
}

static void
step_expect(const struct step *step)
{
	unsigned long long n = (unsigned long long)step->n;
	uint64_t since = 0;

	switch (step->verb) {
	case PENDING:
		CHECK(letter_of(step->n)->pending);
		CHECK(letter_of(step->n)->o.calls == letter_of(step->n)->seen);
		break;
	case DONE:
		check_done(letter_of(step->n), step);
		break;
	case ALL_DONE:
		check_all_done(step);
		break;
	case STATE:
		CHECK(vuc_session_state(session) == n);
		CHECK(vuc_session_error(session) == 0 && vuc_session_reason(session)[0] == '\0');
		break;
	case LOST:
		CHECK(fixture_lost((int)step->n, step->text));
		CHECK(!vuc_session_has_segment(session) && vuc_session_outstanding(session) == 0);
		break;
	case OUTSTANDING:
		CHECK(vuc_session_outstanding(session) == n);
		break;
	case UNSENT:
		CHECK(vuc_session_has_segment(session) == n);
		break;
	case DEADLINE:
		CHECK(vuc_session_has_deadline(session) == n);
		break;
	case NEW_FDS:
		CHECK(fixture_new_fds() == (int)step->n);
		break;
	case SILENT:
		CHECK(vuc_session_silent(session, &since) == (n != 0));
		CHECK(n == 0 || script.now - since == n);
		break;
	default:
		CHECK(script.faults.broke_on == n);
	}
}

static void
step_take(const struct step *step)
{
	if (step->verb >= PENDING)
		step_expect(step);
	else if (step->verb >= ANSWER)
		step_answer(step);
	else if (step->verb >= SEND_ALL)
		step_transmit(step);
	else if (step->verb >= ASK_READ)
		step_ask(step);
	else if (step->verb != NOTHING)
		step_control(step);
}

static void
script_begin(void)
{
	memset(&script, 0, sizeof(script));
	script.now = START;
	open_session(FIXTURE_REQUESTS, true);
}

void
script_run(const void *arg)
{
	const struct script_row *row = arg;

	script_begin();
	for (; row->steps[script.step].verb != NOTHING; script.step++)
		step_take(&row->steps[script.step]);
	for (unsigned int i = 0; i < NR_LETTERS; i++) {
		const struct letter *l = &script.letters[i];

		CHECK(l->o.calls == l->seen);
		/* Nothing comes late into the memory of a read that has failed. */
		CHECK(l->h.cmd != VFIO_USER_REGION_READ || l->o.status == 0 ||
			memcmp(l->data, UNTOUCHED, 4) == 0);
	}
}

static void
run_reply(const struct reply_row *r)
{
	int error = r->effect == BREAKS ? -EPROTO : 0;
	const struct step expected[] = {
		error == 0 ? (struct step){STATE, VUC_SESSION_READY}
			   : (struct step){LOST, -EPROTO, .text = r->reason},
		{ALL_DONE, 0, error == 0 ? r->status : error, r->reason},
		{ASK_RESET, 'b', error},
	};

	script_begin();
	step_take(&(struct step){r->first, 'a'});
	step_take(&(struct step){SEND_ALL, r->first != NOTHING});
	fixture_feed_message(message_build(r->h, r->body, r->len));
	for (size_t i = 0; i < NR(expected); i++)
		step_take(&expected[i]);
}

void
script_run_replies(const struct reply_row *rows, size_t nr_rows)
{
	for (const struct reply_row *r = rows; r < rows + nr_rows; r++) {
		vuc_tap_row("reply %td: %s", r - rows, r->reason != NULL ? r->reason : "ok");
		run_reply(r);
	}
}
