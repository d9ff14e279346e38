/* SPDX-License-Identifier: BSD-3-Clause */
#include "session_script.h"

#define CAPS(text)      "{\"capabilities\":{" text "}}"
#define TWIN(index)     CAPS("\"twin_socket\":{\"supported\":true,\"fd_index\":" index "}")
#define VERSION         VFIO_USER_VERSION
#define REFUSED(reason) "VFIO_USER_VERSION reply: " reason

static const struct script_row rows[] = {
	{"the server closes",
		{{CREATE}, {SEND_ALL, 1}, {LOSE},
			{LOST, -ECONNRESET, 0,
				"the server closed the connection instead of answering "
				"VFIO_USER_VERSION"}}},
	{"broken",
		{{CREATE}, {LOSE, -EPIPE}, {LOST, -EPIPE, 0, "the connection broke: Broken pipe"}}},
	{"drained", {{CREATE}, {DRAIN}, {LOST, -ECANCELED, 0, "closed while negotiating"}}},
	{"no requests yet",
		{{CREATE}, {ASK_READ, 'a', -ENOTCONN}, {ASK_WRITE, 'a', -ENOTCONN},
			{POST, 0, -ENOTCONN}, {ASK_RESET, 'a', -ENOTCONN}, {SEND_ALL, 1}}},
	{"the server refuses",
		{{CREATE}, {SEND_ALL, 1},
			{FEED, .h = {0, VERSION, 16, REPLY | VFIO_USER_F_ERROR, EINVAL}},
			{LOST, -EINVAL, 0,
				"the server answered VFIO_USER_VERSION with error 22 (Invalid "
				"argument)"}}},
	{"the server refuses without a reason",
		{{CREATE}, {SEND_ALL, 1},
			{FEED, .h = {0, VERSION, 16, REPLY | VFIO_USER_F_ERROR, 0}},
			{LOST, -EIO, 0,
				"the server answered VFIO_USER_VERSION with error 0 (Input/output "
				"error)"}}},
	{"a second reply",
		{{FEED, 4, .fds = 0, .h = {0, VERSION, 20, REPLY}},
			{LOST, -EPROTO, 0,
				"message 0x0000 (VFIO_USER_VERSION 1, reply): no request has this "
				"message id"}}},
};

/* The header alone says that a reply is wrong: nothing is awaited behind it. */
static void
test_header_refused(void)
{
	static const struct reply_row headers[] = {
		{BREAKS, CREATE, {0, VERSION, 19, REPLY},
			"message 0x0000 (VFIO_USER_VERSION 1): msg_size 19, expected 20 to 4116"},
		{BREAKS, CREATE, {0, VERSION, 4117, REPLY},
			"message 0x0000 (VFIO_USER_VERSION 1): msg_size 4117, expected 20 to 4116"},
		{BREAKS, CREATE, {1, VERSION, 20, REPLY},
			"message 0x0001 (VFIO_USER_VERSION 1, reply): no request has this message "
			"id"},
		{BREAKS, CREATE, {0, VFIO_USER_DEVICE_GET_INFO, 20, REPLY},
			"message 0x0000: a reply to command 4, sent was VFIO_USER_VERSION 1"},
		{BREAKS, CREATE, {0, VERSION, 20, COMMAND},
			"message 0x0000 (VFIO_USER_VERSION 1, command): not a command that a "
			"server may send"},
		{BREAKS, CREATE, {0, VERSION, 20, REPLY | 0x40},
			"message 0x0000 (VFIO_USER_VERSION 1): flags 0x41 are unknown"},
		{BREAKS, CREATE, {5, VFIO_USER_DMA_READ, 32, COMMAND},
			"message 0x0005 (VFIO_USER_DMA_READ 11, command): a command before the "
			"reply to VFIO_USER_VERSION",
			0, 16},
	};

	script_run_replies(headers, NR(headers));
}

static void
test_version_refused(void)
{
	static const struct {
		uint16_t major, minor;
		const char *json, *reason;
		unsigned int nr_fds;
		bool twin; /* was asked for */
	} cases[] = {
		{1, 2, fixture_json, REFUSED("major 1, expected 0")},
		{0, 3, fixture_json, REFUSED("minor 3, expected at most 2")},
		{0, 2, CAPS("\"max_msg_fds\":-1"),
			REFUSED("capability max_msg_fds is -1, expected 0 to 65535")},
		{0, 2, CAPS("\"max_data_xfer_size\":0"),
			REFUSED("capability max_data_xfer_size is 0, expected 8 to 4294967295")},
		{0, 2, CAPS("\"pgsizes\":\"4k\""),
			REFUSED("capability pgsizes is of type string, expected an integer")},
		{0, 2, CAPS("\"pgsizes\":4096,\"pgsizes\":4096"),
			REFUSED("version data has the member \"pgsizes\" twice")},
		{0, 2, TWIN("0"),
			REFUSED("capability twin_socket.supported is true, but was not requested")},
		{0, 2, "{}\x01\x7f\xff",
			"VFIO_USER_VERSION reply: version data is not JSON at "
			"byte 2: unexpected character '?'"},
		{0, 2, fixture_json, REFUSED("carried 4 unexpected file descriptors"),
			FIXTURE_MAX_FDS},
		{0, 2, fixture_json, "a message carried more than 4 file descriptors",
			FIXTURE_MAX_FDS + 1},
		{0, 2, TWIN("1"),
			REFUSED("capability twin_socket.fd_index is 1, but 1 file descriptors "
				"were received"),
			1, true},
		/* What the other one is for, nobody says. */
		{0, 2, TWIN("1"), REFUSED("carried 1 unexpected file descriptors"), 2, true},
	};

	for (size_t i = 0; i < NR(cases); i++) {
		struct vuc_session_config config = fixture_config();

		config.version.twin_socket.supported = cases[i].twin;
		fixture_negotiate(&config,
			message_version(cases[i].major, cases[i].minor, cases[i].json),
			cases[i].nr_fds);
		CU_ASSERT_TRUE(fixture_lost(-EPROTO, cases[i].reason));
		CU_ASSERT_FALSE(vuc_session_has_segment(session));
		CU_ASSERT_EQUAL(vuc_session_outstanding(session), 0);
		CU_ASSERT_EQUAL(fixture_reset(NULL), -EPROTO);
		CU_ASSERT_EQUAL(fixture_new_fds(), 0);
	}
}

static void
test_no_end_of_text(void)
{
	struct message reply = message_version(0, 2, "{}");

	reply.bytes[reply.len - 1] = '\n';
	fixture_negotiate(NULL, reply, 0);
	CU_ASSERT_TRUE(
		fixture_lost(-EPROTO, REFUSED("version data of 3 bytes has no NUL at its end")));
}

static void
test_version(void)
{
	static const char json[] = CAPS("\"max_msg_fds\":4,\"max_data_xfer_size\":4096,"
					"\"max_dma_maps\":65535,\"pgsizes\":4096");
	const struct vfio_user_header expected = {0, VERSION, HEADER_SIZE + 4 + sizeof(json)};
	struct vuc_segment segment = {0};
	struct vfio_user_header h;

	fixture_create(NULL);
	CU_ASSERT_EQUAL(vuc_session_state(session), VUC_SESSION_NEGOTIATING);
	CU_ASSERT_STRING_EQUAL(vuc_session_reason(session), "");
	CU_ASSERT_EQUAL(vuc_session_error(session), 0);
	CU_ASSERT_TRUE(vuc_session_has_segment(session));
	CU_ASSERT_TRUE_FATAL(fixture_next_segment(&segment));
	CU_ASSERT_EQUAL(segment.nr_fds, 0);

	CU_ASSERT_EQUAL(fixture_send(), 1);
	CU_ASSERT_EQUAL_FATAL(fixture_nr_sent(), 1);
	h = fixture_sent(0);
	CU_ASSERT_EQUAL(memcmp(&h, &expected, sizeof(h)), 0);
	CU_ASSERT_EQUAL(memcmp(fixture_sent_body(0), "\0\0\2\0", 4), 0);
	CU_ASSERT_EQUAL(memcmp(fixture_sent_body(0) + 4, json, sizeof(json)), 0);
	CU_ASSERT_FALSE(vuc_session_has_segment(session));
	CU_ASSERT_EQUAL(vuc_session_outstanding(session), 1);
}

static void
test_ready(void)
{
	static const char json[] = CAPS("\"max_msg_fds\":8,\"max_data_xfer_size\":100,"
					"\"max_dma_maps\":7,\"pgsizes\":12288,"
					"\"write_multiple\":true,\"unknown\":{}");
	const struct vuc_wire_version *peer;

	fixture_negotiate(NULL, message_version(0, 1, json), 0);
	CU_ASSERT_EQUAL(vuc_session_state(session), VUC_SESSION_READY);
	CU_ASSERT_EQUAL(vuc_session_outstanding(session), 0);
	CU_ASSERT_STRING_EQUAL(vuc_session_reason(session), "");
	CU_ASSERT_STRING_EQUAL(vuc_session_peer_json(session), json);
	peer = vuc_session_peer(session);
	CU_ASSERT_EQUAL(peer->minor, 1);
	CU_ASSERT_EQUAL(peer->max_msg_fds, 8);
	CU_ASSERT_EQUAL(peer->max_data_xfer_size, 100);
	CU_ASSERT_EQUAL(peer->max_dma_maps, 7);
	CU_ASSERT_EQUAL(peer->pgsizes, 12288);
	CU_ASSERT_TRUE(peer->write_multiple);
	CU_ASSERT_EQUAL(vuc_session_max_data(session), 100);
	CU_ASSERT_EQUAL(vuc_session_max_write(session), 100);
}

static void
test_no_version_data(void)
{
	fixture_negotiate(NULL, message_version(0, 2, NULL), 0);
	CU_ASSERT_EQUAL(vuc_session_state(session), VUC_SESSION_READY);
	CU_ASSERT_STRING_EQUAL(vuc_session_peer_json(session), "");
	CU_ASSERT_EQUAL(vuc_session_peer(session)->max_msg_fds, 1);
	CU_ASSERT_EQUAL(vuc_session_peer(session)->max_data_xfer_size, 1048576);
	CU_ASSERT_EQUAL(vuc_session_max_data(session), FIXTURE_MAX_DATA);
}

static void
test_twin_socket(void)
{
	struct vuc_session_config config = fixture_config();
	int fd;

	config.version.twin_socket.supported = true;
	fixture_negotiate(&config, message_version(0, 2, TWIN("0")), 1);
	CU_ASSERT_EQUAL(vuc_session_state(session), VUC_SESSION_READY);
	CU_ASSERT_EQUAL(fixture_new_fds(), 1);
	fd = vuc_session_take_twin(session);
	CU_ASSERT(fd >= 0);
	CU_ASSERT_EQUAL(vuc_session_take_twin(session), -1);
	close(fd);

	/* One that nobody takes goes with the session. */
	fixture_negotiate(&config, message_version(0, 2, TWIN("0")), 1);
}

/* A descriptor that comes with the reply, received in pieces of every size. */
static void
test_pieces(void)
{
	struct part part = {.m = message_version(0, 2, TWIN("0")), .nr_fds = 1};
	struct vuc_session_config config = fixture_config();

	config.version.twin_socket.supported = true;
	for (size_t first = 1; first <= part.m.len; first++) {
		for (size_t second = first; second <= part.m.len; second++) {
			fixture_create(&config);
			fixture_send();
			part.fds[0] = dup(STDERR_FILENO);
			fixture_feed_parts(&part, 1, first, second);
			CU_ASSERT_EQUAL_FATAL(vuc_session_state(session), VUC_SESSION_READY);
			CU_ASSERT_STRING_EQUAL(vuc_session_peer_json(session), TWIN("0"));
		}
	}
}

/* The reply and what follows it in the same receive. */
static void
test_command_behind_reply(void)
{
	const struct part parts[] = {
		{.m = message_version(0, 2, fixture_json)},
		{.m = message_dma_read(5, 0)},
	};

	fixture_create(NULL);
	fixture_send();
	fixture_feed_parts(parts, 2, 0, 0);
	CU_ASSERT_EQUAL(vuc_session_state(session), VUC_SESSION_READY);
	fixture_send();
	CU_ASSERT_EQUAL(fixture_nr_sent(), 1);
}

/* VERSION itself does not fit. */
static void
test_segment_too_short(void)
{
	struct vuc_session_config config = fixture_config();

	config.segment_max = 32;
	CU_ASSERT_PTR_NULL(vuc_session_create(&config));
	vuc_session_destroy(NULL);
}

const struct tap_suite tap_suite = {"session_negotiate", fixture_open_usual, fixture_close,
	{
		{"what VERSION says", test_version},
		{"a reply with all capabilities", test_ready},
		{"a reply without version data", test_no_version_data},
		{"versions, capabilities and descriptors that are refused", test_version_refused},
		{"version data without an end", test_no_end_of_text},
		{"headers that are refused", test_header_refused},
		{"twin socket", test_twin_socket},
		{"a reply in pieces", test_pieces},
		{"a command right behind the reply", test_command_behind_reply},
		{"a segment too short for VERSION", test_segment_too_short},
	},
	TAP_ROWS(rows, script_run)};
