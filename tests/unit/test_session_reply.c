/* SPDX-License-Identifier: BSD-3-Clause */
#include "session_fixture.h"

/* A session with one request that was sent, and the header of it. */
struct asked {
	struct fixture f;
	struct outcome o;
	struct vfio_user_header h;
	uint8_t data[4];
};

static void
finish_asking(struct asked *a)
{
	fixture_send(&a->f);
	CU_ASSERT_EQUAL_FATAL(fixture_nr_sent(&a->f), 1);
	a->h = fixture_sent(&a->f, 0);
}

static void
ask_read(struct asked *a)
{
	memset(a, 0, sizeof(*a));
	fixture_open(&a->f, NULL);
	CU_ASSERT_EQUAL_FATAL(fixture_read(&a->f, 0x100, a->data, 4, &a->o), 0);
	finish_asking(a);
}

static void
ask_write(struct asked *a)
{
	memset(a, 0, sizeof(*a));
	fixture_open(&a->f, NULL);
	CU_ASSERT_EQUAL_FATAL(fixture_write(&a->f, 0x100, "abcd", 4, &a->o), 0);
	finish_asking(a);
}

static void
ask_reset(struct asked *a)
{
	memset(a, 0, sizeof(*a));
	fixture_open(&a->f, NULL);
	CU_ASSERT_EQUAL_FATAL(fixture_reset(&a->f, &a->o), 0);
	finish_asking(a);
}

static void
ask_region_info(struct asked *a)
{
	memset(a, 0, sizeof(*a));
	fixture_open(&a->f, NULL);
	CU_ASSERT_EQUAL_FATAL(fixture_region_info(&a->f, 1, &a->o), 0);
	finish_asking(a);
}

/* Whether the reply ends the session for this reason, and the request with it. */
static bool
breaks(struct asked *a, const struct message *reply, const char *reason)
{
	bool broken;

	fixture_feed_message(&a->f, reply);
	broken = fixture_lost(&a->f, -EPROTO, reason);
	CU_ASSERT_EQUAL(a->o.calls, 1);
	CU_ASSERT_EQUAL(a->o.status, -EPROTO);
	CU_ASSERT_STRING_EQUAL(a->o.reason, reason);
	CU_ASSERT_FALSE(a->o.has_body);
	CU_ASSERT_EQUAL(memcmp(a->data, "\0\0\0\0", 4), 0);
	fixture_close(&a->f);
	return broken;
}

/* Whether the reply completes the request with this error and leaves the session as it was. */
static bool
fails(struct asked *a, const struct message *reply, int status, const char *reason)
{
	bool same;

	fixture_feed_message(&a->f, reply);
	CU_ASSERT_EQUAL(vuc_session_state(a->f.s), VUC_SESSION_READY);
	CU_ASSERT_EQUAL(vuc_session_outstanding(a->f.s), 0);
	CU_ASSERT_EQUAL(a->o.calls, 1);
	CU_ASSERT_FALSE(a->o.has_body);
	CU_ASSERT_EQUAL(memcmp(a->data, "\0\0\0\0", 4), 0);
	same = a->o.status == status && strcmp(a->o.reason, reason) == 0;
	if (!same)
		printf("# status %d, reason \"%s\"\n", a->o.status, a->o.reason);
	CU_ASSERT_EQUAL(fixture_reset(&a->f, &a->o), 0);
	fixture_close(&a->f);
	return same;
}

static void
test_errors(void)
{
	struct message reply;
	struct asked a;

	ask_read(&a);
	reply = message_error(&a.h, ENODEV);
	CU_ASSERT_TRUE(fails(&a, &reply, -ENODEV,
		"the server answered VFIO_USER_REGION_READ with error 19 (No such device)"));
	ask_write(&a);
	reply = message_error(&a.h, 0);
	CU_ASSERT_TRUE(fails(&a, &reply, -EIO,
		"the server answered VFIO_USER_REGION_WRITE with error 0 (Input/output error)"));
	ask_reset(&a);
	reply = message_error(&a.h, 4095);
	CU_ASSERT_TRUE(fails(&a, &reply, -4095,
		"the server answered VFIO_USER_DEVICE_RESET with error 4095 (Unknown error 4095)"));
	ask_reset(&a);
	reply = message_error(&a.h, 4096);
	CU_ASSERT_TRUE(fails(&a, &reply, -EIO,
		"the server answered VFIO_USER_DEVICE_RESET with error 4096 (Input/output error)"));
	ask_region_info(&a);
	reply = message_error(&a.h, 0xffffffff);
	CU_ASSERT_TRUE(fails(&a, &reply, -EIO,
		"the server answered VFIO_USER_DEVICE_GET_REGION_INFO with error 4294967295 "
		"(Input/output error)"));
}

/* The specification has nothing behind the header; what is there must stay within bounds. */
static void
test_error_with_body(void)
{
	struct vfio_user_header h;
	struct message reply;
	struct asked a;

	ask_read(&a);
	reply = message_access(&a.h, 0x100, 4, "\1\2\3\4", 4);
	h = message_header(&reply);
	h.flags |= VFIO_USER_F_ERROR;
	h.error_no = EINVAL;
	message_set_header(&reply, h);
	CU_ASSERT_TRUE(fails(&a, &reply, -EINVAL,
		"the server answered VFIO_USER_REGION_READ with error 22 (Invalid argument)"));

	ask_read(&a);
	h.msg_id = a.h.msg_id;
	h.msg_size = HEADER_SIZE + 1;
	reply = message_build(h, "x", 1);
	CU_ASSERT_TRUE(fails(&a, &reply, -EINVAL,
		"the server answered VFIO_USER_REGION_READ with error 22 (Invalid argument)"));

	ask_read(&a);
	h.msg_id = a.h.msg_id;
	h.msg_size = HEADER_SIZE + 4097;
	reply = message_build(h, NULL, 0);
	CU_ASSERT_TRUE(breaks(&a, &reply,
		"message 0x0004 (VFIO_USER_REGION_READ 9): msg_size 4113, expected 16 to 4112"));

	ask_reset(&a);
	h = a.h;
	h.flags = REPLY | VFIO_USER_F_ERROR;
	h.error_no = EINVAL;
	h.msg_size = HEADER_SIZE + 32;
	reply = message_build(h, "01234567890123456789012345678901", 32);
	CU_ASSERT_TRUE(fails(&a, &reply, -EINVAL,
		"the server answered VFIO_USER_DEVICE_RESET with error 22 (Invalid argument)"));
}

/* The type of old rust-vmm servers' errors is that of a command. */
static void
test_error_without_type(void)
{
	struct vfio_user_header h;
	struct message reply;
	struct asked a;

	ask_read(&a);
	h = a.h;
	h.flags = VFIO_USER_F_ERROR;
	h.error_no = EACCES;
	h.msg_size = HEADER_SIZE;
	reply = message_build(h, NULL, 0);
	CU_ASSERT_TRUE(fails(&a, &reply, -EACCES,
		"the server answered VFIO_USER_REGION_READ with error 13 (Permission denied)"));
	ask_read(&a);
	h.msg_id = (uint16_t)(a.h.msg_id + 1);
	reply = message_build(h, NULL, 0);
	CU_ASSERT_TRUE(breaks(&a, &reply,
		"message 0x0005 (VFIO_USER_REGION_READ 9, command): no request has this message "
		"id"));
	ask_read(&a);
	h.msg_id = a.h.msg_id;
	h.cmd = VFIO_USER_REGION_WRITE;
	reply = message_build(h, NULL, 0);
	CU_ASSERT_TRUE(breaks(&a, &reply,
		"message 0x0004: a reply to command 10, sent was VFIO_USER_REGION_READ 9"));
}

/* How a server says that it does not have a command. */
static void
test_error_of_optional_command(void)
{
	struct message reply;
	struct asked a;

	ask_reset(&a);
	reply = message_error(&a.h, 0);
	CU_ASSERT_TRUE(fails(&a, &reply, -EOPNOTSUPP,
		"the server answered VFIO_USER_DEVICE_RESET with error 0 (Operation not "
		"supported)"));
}

/* A number that is no error unless the flag is there. */
static void
test_error_number_without_flag(void)
{
	struct vfio_user_header h;
	struct message reply;
	struct asked a;

	ask_reset(&a);
	reply = message_reply(&a.h, NULL, 0);
	h = message_header(&reply);
	h.error_no = EINVAL;
	message_set_header(&reply, h);
	fixture_feed_message(&a.f, &reply);
	CU_ASSERT_EQUAL(a.o.calls, 1);
	CU_ASSERT_EQUAL(a.o.status, 0);
	fixture_close(&a.f);
}

static void
test_other_request(void)
{
	struct vfio_user_header h;
	struct message reply;
	struct asked a;

	ask_reset(&a);
	h = a.h;
	h.msg_id ^= 1;
	reply = message_reply(&h, NULL, 0);
	CU_ASSERT_TRUE(breaks(&a, &reply,
		"message 0x0005 (VFIO_USER_DEVICE_RESET 13, reply): no request has this message "
		"id"));
	ask_reset(&a);
	h = a.h;
	h.cmd = VFIO_USER_DMA_MAP;
	reply = message_reply(&h, NULL, 0);
	CU_ASSERT_TRUE(breaks(&a, &reply,
		"message 0x0004: a reply to command 2, sent was VFIO_USER_DEVICE_RESET 13"));
	ask_reset(&a);
	h.cmd = 14;
	reply = message_reply(&h, NULL, 0);
	CU_ASSERT_TRUE(breaks(&a, &reply,
		"message 0x0004: a reply to command 14, sent was VFIO_USER_DEVICE_RESET 13"));
}

static void
test_flags(void)
{
	static const struct {
		uint32_t flags;
		const char *reason;
	} rows[] = {
		{0x2, "message 0x0004 (VFIO_USER_DEVICE_RESET 13): flags 0x2 are not known"},
		{0xf, "message 0x0004 (VFIO_USER_DEVICE_RESET 13): flags 0xf are not known"},
		{0x41, "message 0x0004 (VFIO_USER_DEVICE_RESET 13): flags 0x41 are not known"},
		{0x80000001,
			"message 0x0004 (VFIO_USER_DEVICE_RESET 13): flags 0x80000001 are not "
			"known"},
		{0x0,
			"message 0x0004 (VFIO_USER_DEVICE_RESET 13, command): not a command that a "
			"server may send"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vfio_user_header h;
		struct message reply;
		struct asked a;

		ask_reset(&a);
		h = a.h;
		h.flags = rows[i].flags;
		reply = message_build(h, NULL, 0);
		CU_ASSERT_TRUE(breaks(&a, &reply, rows[i].reason));
	}
}

/* The reply to what ask() asks, with a msg_size of its own and nothing behind the header. */
static bool
size_breaks(void (*ask)(struct asked *a), uint32_t size, const char *reason)
{
	struct vfio_user_header h;
	struct message reply;
	struct asked a;

	ask(&a);
	h = a.h;
	h.flags = REPLY;
	h.msg_size = size;
	reply = message_build(h, NULL, 0);
	return breaks(&a, &reply, reason);
}

static void
test_sizes(void)
{
	CU_ASSERT_TRUE(size_breaks(ask_reset, 0,
		"message 0x0004 (VFIO_USER_DEVICE_RESET 13): msg_size 0, expected 16 to 16"));
	CU_ASSERT_TRUE(size_breaks(ask_reset, 15,
		"message 0x0004 (VFIO_USER_DEVICE_RESET 13): msg_size 15, expected 16 to 16"));
	CU_ASSERT_TRUE(size_breaks(ask_reset, 17,
		"message 0x0004 (VFIO_USER_DEVICE_RESET 13): msg_size 17, expected 16 to 16"));
	CU_ASSERT_TRUE(size_breaks(ask_read, 31,
		"message 0x0004 (VFIO_USER_REGION_READ 9): msg_size 31, expected 32 to 36"));
	CU_ASSERT_TRUE(size_breaks(ask_read, 37,
		"message 0x0004 (VFIO_USER_REGION_READ 9): msg_size 37, expected 32 to 36"));
	CU_ASSERT_TRUE(size_breaks(ask_read, 0xffffffff,
		"message 0x0004 (VFIO_USER_REGION_READ 9): msg_size 4294967295, expected 32 to "
		"36"));
	CU_ASSERT_TRUE(size_breaks(ask_write, 33,
		"message 0x0004 (VFIO_USER_REGION_WRITE 10): msg_size 33, expected 32 to 32"));
	CU_ASSERT_TRUE(size_breaks(ask_region_info, 47,
		"message 0x0004 (VFIO_USER_DEVICE_GET_REGION_INFO 5): msg_size 47, expected 48 to "
		"65552"));
	CU_ASSERT_TRUE(size_breaks(ask_region_info, 65553,
		"message 0x0004 (VFIO_USER_DEVICE_GET_REGION_INFO 5): msg_size 65553, expected 48 "
		"to 65552"));
}

static void
test_reply_max(void)
{
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_GET_INFO,
		.body = "0123456789abcdef",
		.len = 16,
		.reply_max = 20,
		.done = fixture_record,
	};
	struct vuc_session_request mine = req;
	struct message reply;
	struct asked a = {0};

	fixture_open(&a.f, NULL);
	mine.arg = &a.o;
	CU_ASSERT_EQUAL(vuc_session_request(a.f.s, &mine), 0);
	finish_asking(&a);
	reply = message_reply(&a.h, "0123456789abcdef0123", 20);
	fixture_feed_message(&a.f, &reply);
	CU_ASSERT_EQUAL(a.o.status, 0);
	CU_ASSERT_EQUAL(a.o.len, 20);
	CU_ASSERT_EQUAL(memcmp(a.o.body, "0123456789abcdef0123", 20), 0);

	a.o = (struct outcome){0};
	CU_ASSERT_EQUAL(vuc_session_request(a.f.s, &mine), 0);
	finish_asking(&a);
	reply = message_reply(&a.h, "0123456789abcdef01234", 21);
	CU_ASSERT_TRUE(breaks(&a, &reply,
		"message 0x0008 (VFIO_USER_DEVICE_GET_INFO 4): msg_size 37, expected 32 to 36"));
}

/* Whether a reply to a read of 4 bytes at offset 0x100 of region 2 ends the session. */
static bool
access_breaks(const struct vfio_user_region_access *access, size_t len, const char *reason)
{
	uint8_t body[sizeof(*access) + 4];
	struct message reply;
	struct asked a;

	memcpy(body, access, sizeof(*access));
	memset(body + sizeof(*access), 0xee, 4);
	ask_read(&a);
	reply = message_reply(&a.h, body, sizeof(*access) + len);
	return breaks(&a, &reply, reason);
}

static void
test_access(void)
{
	const struct vfio_user_region_access good = {.offset = 0x100, .region = 2, .count = 4};
	struct vfio_user_region_access got = good;

	got.region = 3;
	CU_ASSERT_TRUE(access_breaks(&got, 4,
		"message 0x0004 (VFIO_USER_REGION_READ): a reply for region 3 offset 0x100, asked "
		"was region 2 offset 0x100"));
	got = good;
	got.offset = 0xffffffffffffffffULL;
	CU_ASSERT_TRUE(access_breaks(&got, 4,
		"message 0x0004 (VFIO_USER_REGION_READ): a reply for region 2 offset "
		"0xffffffffffffffff, asked was region 2 offset 0x100"));
}

/* The bytes are all there, but they are not the right ones: the access fails, the session goes on.
 */
static void
test_short_access(void)
{
	for (uint32_t len = 0; len < 4; len++) {
		char reason[VUC_ERROR_MAX];
		struct message reply;
		struct asked a;

		ask_read(&a);
		snprintf(reason, sizeof(reason),
			"message 0x0004 (VFIO_USER_REGION_READ): count 3 and %u bytes of data, "
			"asked was a count of 4",
			len);
		reply = message_access(&a.h, 0x100, 3, "\1\2\3", len);
		CU_ASSERT_TRUE(fails(&a, &reply, -EPROTO, reason));
	}
}

static void
test_access_without_body(void)
{
	struct message reply;
	struct asked a;

	ask_read(&a);
	reply = message_reply(&a.h, NULL, 0);
	CU_ASSERT_TRUE(fails(&a, &reply, -EPROTO,
		"message 0x0004 (VFIO_USER_REGION_READ): a reply without data, asked was a count "
		"of 4"));
	ask_write(&a);
	reply = message_reply(&a.h, NULL, 0);
	fixture_feed_message(&a.f, &reply);
	CU_ASSERT_EQUAL(a.o.calls, 1);
	CU_ASSERT_EQUAL(a.o.status, 0);
	fixture_close(&a.f);
}

/* Other clients do not look at it. */
static void
test_wrong_count(void)
{
	struct message reply;
	struct asked a;

	ask_read(&a);
	reply = message_access(&a.h, 0x100, 0, "abcd", 4);
	fixture_feed_message(&a.f, &reply);
	CU_ASSERT_EQUAL(a.o.calls, 1);
	CU_ASSERT_EQUAL(a.o.status, 0);
	CU_ASSERT_EQUAL(memcmp(a.data, "abcd", 4), 0);
	fixture_close(&a.f);
	ask_write(&a);
	reply = message_access(&a.h, 0x100, 0xffffffff, NULL, 0);
	fixture_feed_message(&a.f, &reply);
	CU_ASSERT_EQUAL(a.o.calls, 1);
	CU_ASSERT_EQUAL(a.o.status, 0);
	fixture_close(&a.f);
}

static void
test_write_access(void)
{
	struct message reply;
	struct asked a;

	ask_write(&a);
	reply = message_access(&a.h, 0x101, 4, NULL, 0);
	CU_ASSERT_TRUE(breaks(&a, &reply,
		"message 0x0004 (VFIO_USER_REGION_WRITE): a reply for region 2 offset 0x101, asked "
		"was region 2 offset 0x100"));
}

/* A session to which warnings are counted, and the write that it has posted. */
struct posting {
	struct fixture f;
	struct vfio_user_header h;
	unsigned int warnings;
};

static void
count_warning(void *arg, const char *line)
{
	struct posting *p = arg;

	CU_ASSERT_PTR_NOT_NULL(strstr(line, "answered a posted VFIO_USER_REGION_WRITE"));
	p->warnings++;
}

static void
post(struct posting *p)
{
	struct vuc_session_config config = fixture_config();

	memset(p, 0, sizeof(*p));
	config.warn = count_warning;
	config.warn_arg = p;
	fixture_open(&p->f, &config);
	CU_ASSERT_EQUAL(fixture_post(&p->f, 0x100, "abcd", 4), 0);
	fixture_send(&p->f);
	p->h = fixture_sent(&p->f, 0);
	CU_ASSERT_EQUAL(p->h.flags, COMMAND | VFIO_USER_F_NO_REPLY);
}

/* What nobody asked for is dropped, and later writes ask for it. */
static void
test_answered_post(void)
{
	struct message replies[2];
	struct posting p;

	post(&p);
	replies[0] = message_access(&p.h, 0x100, 4, NULL, 0);
	replies[1] = message_error(&p.h, EINVAL);
	for (unsigned int i = 0; i < 20; i++)
		fixture_feed_message(&p.f, &replies[i % 2]);
	CU_ASSERT_EQUAL(vuc_session_state(p.f.s), VUC_SESSION_READY);
	CU_ASSERT_EQUAL(p.warnings, 1);

	CU_ASSERT_EQUAL(fixture_post(&p.f, 0x104, "efgh", 4), 0);
	CU_ASSERT_EQUAL(vuc_session_outstanding(p.f.s), 1);
	fixture_send(&p.f);
	p.h = fixture_sent(&p.f, 0);
	CU_ASSERT_EQUAL(p.h.flags, COMMAND);
	replies[0] = message_access(&p.h, 0x104, 4, NULL, 0);
	fixture_feed_message(&p.f, &replies[0]);
	CU_ASSERT_EQUAL(vuc_session_outstanding(p.f.s), 0);
	CU_ASSERT_EQUAL(vuc_session_state(p.f.s), VUC_SESSION_READY);
	fixture_close(&p.f);
}

/* Bounded, without descriptors, of a command that can be posted, and not before one was. */
static void
test_bad_answer_to_post(void)
{
	static const char *const reasons[] = {
		"message 0xffff (VFIO_USER_REGION_WRITE 10): msg_size 4113, expected 16 to 4112",
		"message 0xffff (VFIO_USER_REGION_READ 9, reply): no request has this message id",
		"message 0xffff (VFIO_USER_REGION_WRITE): carried 1 unexpected file descriptors",
		("message 0xffff (VFIO_USER_REGION_WRITE 10, reply): no request has this message "
		 "id"),
	};

	for (unsigned int i = 0; i < 4; i++) {
		struct vfio_user_header h = {.msg_id = 0xffff,
			.cmd = i == 1 ? VFIO_USER_REGION_READ : VFIO_USER_REGION_WRITE,
			.msg_size = i == 0 ? HEADER_SIZE + 4097 : HEADER_SIZE,
			.flags = REPLY};
		struct message reply = message_build(h, NULL, 0);
		struct posting p;
		int fd;

		if (i == 3)
			fixture_open(&p.f, NULL);
		else
			post(&p);
		fd = i == 2 ? fixture_new_fd() : -1;
		fixture_feed(&p.f, reply.bytes, reply.len, &fd, i == 2 ? 1 : 0);
		CU_ASSERT_TRUE(fixture_lost(&p.f, -EPROTO, reasons[i]));
		fixture_close(&p.f);
	}
}

/*
 * Ids can be guessed. A reply to what is still queued would let the server tell a caller that its
 * descriptors are no longer needed, before they have been sent.
 */
static void
test_not_sent_yet(void)
{
	const struct vfio_user_header guess = {.msg_id = 4, .cmd = VFIO_USER_DEVICE_RESET};
	const struct message reply = message_reply(&guess, NULL, 0);
	struct vuc_segment segment = {0};
	struct asked a = {0};

	fixture_open(&a.f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&a.f, &a.o), 0);
	CU_ASSERT_TRUE(breaks(&a, &reply,
		"message 0x0004 (VFIO_USER_DEVICE_RESET 13, reply): its command was not sent yet"));

	/* What was handed out may have been sent, and its reply be seen first. */
	memset(&a, 0, sizeof(a));
	fixture_open(&a.f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&a.f, &a.o), 0);
	CU_ASSERT_TRUE(fixture_next_segment(a.f.s, &segment));
	fixture_feed_message(&a.f, &reply);
	CU_ASSERT_EQUAL(a.o.calls, 1);
	CU_ASSERT_EQUAL(a.o.status, 0);
	vuc_session_sent(a.f.s);
	CU_ASSERT_EQUAL(vuc_session_state(a.f.s), VUC_SESSION_READY);
	fixture_close(&a.f);
}

static void
test_behind_handed_out(void)
{
	const struct vfio_user_header guess = {.msg_id = 4, .cmd = VFIO_USER_DEVICE_RESET};
	const struct message reply = message_reply(&guess, NULL, 0);
	struct vuc_segment segment = {0};
	struct asked a = {0};

	fixture_open(&a.f, NULL);
	CU_ASSERT_EQUAL(fixture_post(&a.f, 0, "x", 1), 0);
	CU_ASSERT_TRUE(fixture_next_segment(a.f.s, &segment));
	CU_ASSERT_EQUAL(fixture_reset(&a.f, &a.o), 0);
	CU_ASSERT_TRUE(breaks(&a, &reply,
		"message 0x0004 (VFIO_USER_DEVICE_RESET 13, reply): its command was not sent yet"));
}

/* A slot that no access has is compared with nothing. */
static void
test_nothing_but_zeros(void)
{
	const struct vfio_user_header reply = {.flags = VFIO_USER_F_TYPE_REPLY};
	uint8_t bytes[16384] = {0};
	struct fixture f;

	memcpy(bytes, &reply, sizeof(reply));
	fixture_open(&f, NULL);
	vuc_session_received(f.s, bytes, sizeof(bytes), NULL, 0);
	CU_ASSERT_TRUE(fixture_lost(&f, -EPROTO,
		"message 0x0000 ((unknown) 0, reply): no request has this message id"));
	fixture_close(&f);
}

/* A command was sent long ago, while any number of others wait. */
static void
test_others_wait(void)
{
	struct vuc_segment segment = {0};
	struct message reply;

	for (unsigned int nr_segments = 0; nr_segments < 200; nr_segments++) {
		struct asked a;

		ask_reset(&a);
		for (unsigned int i = 0; i < nr_segments; i++) {
			CU_ASSERT_EQUAL(fixture_post(&a.f, 0, "x", 1), 0);
			CU_ASSERT_TRUE(fixture_next_segment(a.f.s, &segment));
			vuc_session_sent(a.f.s);
		}
		CU_ASSERT_EQUAL(fixture_post(&a.f, 0, "x", 1), 0);
		reply = message_reply(&a.h, NULL, 0);
		fixture_feed_message(&a.f, &reply);
		CU_ASSERT_EQUAL(a.o.calls, 1);
		CU_ASSERT_EQUAL(a.o.status, 0);
		CU_ASSERT_EQUAL(vuc_session_state(a.f.s), VUC_SESSION_READY);
		fixture_close(&a.f);
	}
}

static CU_TestInfo tests[] = {
	{"errors", test_errors},
	{"errors with a body", test_error_with_body},
	{"errors without a type", test_error_without_type},
	{"an optional command", test_error_of_optional_command},
	{"an error number without the flag", test_error_number_without_flag},
	{"replies to another request", test_other_request},
	{"flags", test_flags},
	{"sizes", test_sizes},
	{"reply_max", test_reply_max},
	{"reads that were not asked for", test_access},
	{"reads that are too short", test_short_access},
	{"accesses without a body", test_access_without_body},
	{"accesses with a wrong count", test_wrong_count},
	{"writes that were not asked for", test_write_access},
	{"an answer to a posted write", test_answered_post},
	{"an answer to a posted write that is none", test_bad_answer_to_post},
	{"a reply before its command", test_not_sent_yet},
	{"a reply before its command, another being sent", test_behind_handed_out},
	{"a reply while other commands wait", test_others_wait},
	{"a reply of zeros", test_nothing_but_zeros},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{"session_reply", NULL, NULL, NULL, NULL, tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
