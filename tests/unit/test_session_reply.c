/* SPDX-License-Identifier: BSD-3-Clause */

/* What comes of a request whose reply is an error, not its own, too long or about something else.
 */

#include "session_script.h"

#define READ  VFIO_USER_REGION_READ
#define WRITE VFIO_USER_REGION_WRITE
#define RESET VFIO_USER_DEVICE_RESET
#define INFO  VFIO_USER_DEVICE_GET_REGION_INFO
#define ERROR (REPLY | VFIO_USER_F_ERROR)

#define ANSWERED(command, error) "the server answered VFIO_USER_" command " with error " error
#define MESSAGE_4(text)          "message 0x0004" text
#define OF_RESET                 " (VFIO_USER_DEVICE_RESET 13"
#define OF_READ                  " (VFIO_USER_REGION_READ 9"
#define NO_REQUEST               "no request has this message id"

static const struct reply_row errors[] = {
	{FAILS, ASK_READ, {4, READ, 16, ERROR, ENODEV},
		ANSWERED("REGION_READ", "19 (No such device)"), -ENODEV},
	{FAILS, ASK_WRITE, {4, WRITE, 16, ERROR, 0},
		ANSWERED("REGION_WRITE", "0 (Input/output error)"), -EIO},
	{FAILS, ASK_RESET, {4, RESET, 16, ERROR, 4095},
		ANSWERED("DEVICE_RESET", "4095 (Unknown error 4095)"), -4095},
	{FAILS, ASK_RESET, {4, RESET, 16, ERROR, 4096},
		ANSWERED("DEVICE_RESET", "4096 (Input/output error)"), -EIO},
	{FAILS, ASK_INFO, {4, INFO, 16, ERROR, UINT32_MAX},
		ANSWERED("DEVICE_GET_REGION_INFO", "4294967295 (Input/output error)"), -EIO},
	/* How a server says that it does not have an optional command. */
	{FAILS, ASK_RESET, {4, RESET, 16, ERROR, 0},
		ANSWERED("DEVICE_RESET", "0 (Operation not supported)"), -EOPNOTSUPP},
	/* A number is no error unless the flag is there. */
	{PASSES, ASK_RESET, {4, RESET, 16, REPLY, EINVAL}},
	/* The specification has nothing behind the header; what is there has bounds. */
	{FAILS, ASK_READ, {4, READ, 36, ERROR, EINVAL},
		ANSWERED("REGION_READ", "22 (Invalid argument)"), -EINVAL, 20},
	{FAILS, ASK_READ, {4, READ, 17, ERROR, EINVAL},
		ANSWERED("REGION_READ", "22 (Invalid argument)"), -EINVAL, 1},
	{FAILS, ASK_RESET, {4, RESET, 48, ERROR, EINVAL},
		ANSWERED("DEVICE_RESET", "22 (Invalid argument)"), -EINVAL, 32},
	{BREAKS, ASK_READ, {4, READ, 4113, ERROR, EINVAL},
		MESSAGE_4(OF_READ "): msg_size 4113, expected 16 to 4112")},
	/* The type of old rust-vmm servers' errors is that of a command. */
	{FAILS, ASK_READ, {4, READ, 16, VFIO_USER_F_ERROR, EACCES},
		ANSWERED("REGION_READ", "13 (Permission denied)"), -EACCES},
	{BREAKS, ASK_READ, {5, READ, 16, VFIO_USER_F_ERROR, EACCES},
		"message 0x0005" OF_READ ", command): " NO_REQUEST},
	{BREAKS, ASK_READ, {4, WRITE, 16, VFIO_USER_F_ERROR, EACCES},
		MESSAGE_4(": a reply to command 10, sent was VFIO_USER_REGION_READ 9")},
};

static const struct reply_row headers[] = {
	{BREAKS, ASK_RESET, {5, RESET, 16, REPLY},
		"message 0x0005" OF_RESET ", reply): " NO_REQUEST},
	{BREAKS, ASK_RESET, {4, VFIO_USER_DMA_MAP, 16, REPLY},
		MESSAGE_4(": a reply to command 2, sent was VFIO_USER_DEVICE_RESET 13")},
	{BREAKS, ASK_RESET, {4, 14, 16, REPLY},
		MESSAGE_4(": a reply to command 14, sent was VFIO_USER_DEVICE_RESET 13")},
	{BREAKS, NOTHING, {0xffff, WRITE, 16, REPLY},
		"message 0xffff (VFIO_USER_REGION_WRITE 10, reply): " NO_REQUEST},
	{BREAKS, ASK_RESET, {4, RESET, 16, 0x2}, MESSAGE_4(OF_RESET "): flags 0x2 are unknown")},
	{BREAKS, ASK_RESET, {4, RESET, 16, 0xf}, MESSAGE_4(OF_RESET "): flags 0xf are unknown")},
	{BREAKS, ASK_RESET, {4, RESET, 16, 0x41}, MESSAGE_4(OF_RESET "): flags 0x41 are unknown")},
	{BREAKS, ASK_RESET, {4, RESET, 16, 0x80000001},
		MESSAGE_4(OF_RESET "): flags 0x80000001 are unknown")},
	{BREAKS, ASK_RESET, {4, RESET, 16, 0x0},
		MESSAGE_4(OF_RESET ", command): not a command that a server may send")},
	{BREAKS, ASK_RESET, {4, RESET, 0, REPLY},
		MESSAGE_4(OF_RESET "): msg_size 0, expected 16 to 16")},
	{BREAKS, ASK_RESET, {4, RESET, 15, REPLY},
		MESSAGE_4(OF_RESET "): msg_size 15, expected 16 to 16")},
	{BREAKS, ASK_RESET, {4, RESET, 17, REPLY},
		MESSAGE_4(OF_RESET "): msg_size 17, expected 16 to 16")},
	{BREAKS, ASK_READ, {4, READ, 31, REPLY},
		MESSAGE_4(OF_READ "): msg_size 31, expected 32 to 36")},
	{BREAKS, ASK_READ, {4, READ, 37, REPLY},
		MESSAGE_4(OF_READ "): msg_size 37, expected 32 to 36")},
	{BREAKS, ASK_READ, {4, READ, UINT32_MAX, REPLY},
		MESSAGE_4(OF_READ "): msg_size 4294967295, expected 32 to 36")},
	{BREAKS, ASK_WRITE, {4, WRITE, 33, REPLY},
		MESSAGE_4(" (VFIO_USER_REGION_WRITE 10): msg_size 33, expected 32 to 32")},
	{BREAKS, ASK_INFO, {4, INFO, 47, REPLY},
		MESSAGE_4(" (VFIO_USER_DEVICE_GET_REGION_INFO 5): msg_size 47, expected 48 to "
			  "65552")},
	{BREAKS, ASK_INFO, {4, INFO, 65553, REPLY},
		MESSAGE_4(" (VFIO_USER_DEVICE_GET_REGION_INFO 5): msg_size 65553, expected 48 to "
			  "65552")},
};

struct access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[4];
};

/* clang-format off */
#define ACCESS(offset, region, count) &(const struct access){offset, region, count, {1, 2, 3, 4}}
#define OTHER(command, place) \
	MESSAGE_4(" (VFIO_USER_REGION_" command "): a reply for " place \
		", requested region 2 offset 0x100")
#define SHORT(len) \
	{FAILS, ASK_READ, {4, READ, 32 + (len), REPLY}, \
		MESSAGE_4(" (VFIO_USER_REGION_READ): count 3 and " #len \
			" bytes of data, requested count 4"), \
		-EPROTO, 16 + (len), ACCESS(0x100, 2, 3)}
/* clang-format on */

static const struct reply_row accesses[] = {
	{BREAKS, ASK_READ, {4, READ, 36, REPLY}, OTHER("READ", "region 3 offset 0x100"), 0, 20,
		ACCESS(0x100, 3, 4)},
	{BREAKS, ASK_READ, {4, READ, 36, REPLY},
		OTHER("READ", "region 2 offset 0xffffffffffffffff"), 0, 20,
		ACCESS(UINT64_MAX, 2, 4)},
	{BREAKS, ASK_WRITE, {4, WRITE, 32, REPLY}, OTHER("WRITE", "region 2 offset 0x101"), 0, 16,
		ACCESS(0x101, 2, 4)},
	/* The bytes are all there, but they are not the right ones: the session goes on. */
	SHORT(0),
	SHORT(1),
	SHORT(2),
	SHORT(3),
	{FAILS, ASK_READ, {4, READ, 16, REPLY},
		MESSAGE_4(" (VFIO_USER_REGION_READ): a reply without data to a request of count 4"),
		-EPROTO},
	{PASSES, ASK_WRITE, {4, WRITE, 16, REPLY}},
	/* Other clients do not look at the count. */
	{PASSES, ASK_READ, {4, READ, 36, REPLY}, NULL, 0, 20, ACCESS(0x100, 2, 0)},
	{PASSES, ASK_WRITE, {4, WRITE, 32, REPLY}, NULL, 0, 16, ACCESS(0x100, 2, UINT32_MAX)},
};

/* clang-format off */
#define GUESS    {FEED, .h = {4, RESET, 16, REPLY}}
#define POSTED   {POST}, {SEND_ALL, 1}
#define NOT_SENT \
	{LOST, -EPROTO, 0, MESSAGE_4(OF_RESET ", reply): its request was not sent yet")}, \
	{DONE, 'a', -EPROTO}
/* clang-format on */

static const struct script_row rows[] = {
	/*
	 * Ids can be guessed. A reply to what is still queued would let the server tell a caller
	 * that its descriptors are no longer needed, before they have been sent.
	 */
	{"a reply before its command", {{ASK_RESET, 'a'}, GUESS, NOT_SENT}},
	{"a reply before its command, another being sent",
		{{POST}, {HAND_OUT}, {ASK_RESET, 'a'}, GUESS, NOT_SENT}},
	/* What was handed out may have been sent, and its reply be seen first. */
	{"a reply to what was handed out",
		{{ASK_RESET, 'a'}, {HAND_OUT}, GUESS, {DONE, 'a'}, {SENT},
			{STATE, VUC_SESSION_READY}}},
	{"a long answer to a posted write",
		{POSTED, {FEED, .h = {0xffff, WRITE, 4113, REPLY}},
			{LOST, -EPROTO, 0,
				"message 0xffff (VFIO_USER_REGION_WRITE 10): msg_size 4113, "
				"expected 16 to 4112"}}},
	{"an answer to a posted read",
		{POSTED, {FEED, .h = {0xffff, READ, 16, REPLY}},
			{LOST, -EPROTO, 0,
				"message 0xffff (VFIO_USER_REGION_READ 9, reply): " NO_REQUEST}}},
	{"an answer to a posted write with a descriptor",
		{POSTED, {FEED, .fds = 1, .h = {0xffff, WRITE, 16, REPLY}},
			{LOST, -EPROTO, 0,
				"message 0xffff (VFIO_USER_REGION_WRITE): carried 1 unexpected "
				"file descriptors"}}},
};

static void
test_errors(void)
{
	script_run_replies(errors, NR(errors));
}

static void
test_headers(void)
{
	script_run_replies(headers, NR(headers));
}

static void
test_accesses(void)
{
	script_run_replies(accesses, NR(accesses));
}

/* A request may bound its reply more tightly than the command table does. */
static void
test_reply_max(void)
{
	struct outcome o = {0};
	struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_GET_INFO,
		.body = "0123456789abcdef",
		.len = 16,
		.reply_max = 20,
		.done = fixture_record,
		.arg = &o,
	};

	for (uint32_t len = 20; len <= 21; len++) {
		CU_ASSERT_EQUAL(vuc_session_request(session, &req), 0);
		fixture_send();
		fixture_feed_message(message_reply(fixture_sent(0), "0123456789abcdef01234", len));
		CU_ASSERT_EQUAL(o.calls, len - 19);
		CU_ASSERT_EQUAL(o.status, len == 20 ? 0 : -EPROTO);
		if (len == 20) {
			CU_ASSERT_EQUAL(o.len, 20);
			CU_ASSERT_EQUAL(memcmp(o.body, "0123456789abcdef0123", 20), 0);
		}
	}
	CU_ASSERT_TRUE(fixture_lost(-EPROTO,
		"message 0x0008 (VFIO_USER_DEVICE_GET_INFO 4): msg_size 37, expected 32 to 36"));
}

static void
count_warning(void *arg, const char *line)
{
	CU_ASSERT_PTR_NOT_NULL(strstr(line, "answered a posted VFIO_USER_REGION_WRITE"));
	(*(unsigned int *)arg)++;
}

/* Answers to a posted write are dropped, with one warning, and later writes ask for theirs. */
static void
test_answered_post(void)
{
	struct vuc_session_config config = fixture_config();
	unsigned int warnings = 0;
	struct message replies[2];
	struct vfio_user_header h;

	config.warn = count_warning;
	config.warn_arg = &warnings;
	fixture_open(&config);
	CU_ASSERT_EQUAL(fixture_post(0x100, "abcd", 4), 0);
	fixture_send();
	h = fixture_sent(0);
	CU_ASSERT_EQUAL(h.flags, COMMAND | VFIO_USER_F_NO_REPLY);
	replies[0] = message_access(h, 0x100, 4, NULL, 0);
	replies[1] = message_error(h, EINVAL);
	for (unsigned int i = 0; i < 20; i++)
		fixture_feed_message(replies[i % 2]);
	CU_ASSERT_EQUAL(vuc_session_state(session), VUC_SESSION_READY);
	CU_ASSERT_EQUAL(warnings, 1);

	CU_ASSERT_EQUAL(fixture_post(0x104, "efgh", 4), 0);
	CU_ASSERT_EQUAL(vuc_session_outstanding(session), 1);
	fixture_send();
	CU_ASSERT_EQUAL(fixture_sent(0).flags, COMMAND);
	fixture_feed_message(message_access(fixture_sent(0), 0x104, 4, NULL, 0));
	CU_ASSERT_EQUAL(vuc_session_outstanding(session), 0);
	CU_ASSERT_EQUAL(vuc_session_state(session), VUC_SESSION_READY);
}

/* A slot that no access has is compared with nothing. */
static void
test_nothing_but_zeros(void)
{
	const struct vfio_user_header reply = {.flags = REPLY};
	uint8_t bytes[16384] = {0};

	memcpy(bytes, &reply, sizeof(reply));
	vuc_session_received(session, bytes, sizeof(bytes), NULL, 0);
	CU_ASSERT_TRUE(fixture_lost(-EPROTO, "message 0x0000 ((unknown) 0, reply): " NO_REQUEST));
}

/* A command was sent long ago, while any number of others wait. */
static void
test_others_wait(void)
{
	for (unsigned int nr_segments = 0; nr_segments < 200; nr_segments++) {
		struct vfio_user_header h;
		struct outcome o = {0};

		fixture_open(NULL);
		CU_ASSERT_EQUAL(fixture_reset(&o), 0);
		fixture_send();
		h = fixture_sent(0);
		for (unsigned int i = 0; i < nr_segments; i++) {
			CU_ASSERT_EQUAL(fixture_post(0, "x", 1), 0);
			fixture_send();
		}
		CU_ASSERT_EQUAL(fixture_post(0, "x", 1), 0);
		fixture_feed_message(message_reply(h, NULL, 0));
		CU_ASSERT_EQUAL(o.calls, 1);
		CU_ASSERT_EQUAL(o.status, 0);
		CU_ASSERT_EQUAL(vuc_session_state(session), VUC_SESSION_READY);
	}
}

const struct tap_suite tap_suite = {"session_reply", fixture_open_usual, fixture_close,
	{
		{"errors", test_errors},
		{"headers", test_headers},
		{"accesses", test_accesses},
		{"reply_max", test_reply_max},
		{"answers to posted writes", test_answered_post},
		{"a reply while other commands wait", test_others_wait},
		{"a reply of zeros", test_nothing_but_zeros},
	},
	TAP_ROWS(rows, script_run)};
