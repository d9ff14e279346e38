/* SPDX-License-Identifier: BSD-3-Clause */
#include <unistd.h>

#include "session_fixture.h"

#define CAPS(text) "{\"capabilities\":{" text "}}"

/* The session's answer to a VERSION reply; the fixture is to be closed by the caller. */
static void
negotiate(struct fixture *f, const struct vuc_session_config *config, const struct message *reply)
{
	fixture_create(f, config);
	fixture_send(f);
	fixture_feed_message(f, reply);
}

/* Whether a reply to VERSION ends the session for this reason. */
static bool
refused(const struct message *reply, const char *reason)
{
	struct fixture f;
	bool lost;

	negotiate(&f, NULL, reply);
	lost = fixture_lost(&f, -EPROTO, reason);
	CU_ASSERT_FALSE(vuc_session_has_segment(f.s));
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 0);
	CU_ASSERT_EQUAL(fixture_reset(&f, NULL), -EPROTO);
	fixture_close(&f);
	return lost;
}

static void
test_version(void)
{
	static const char json[] = "{\"capabilities\":{\"max_msg_fds\":4,"
				   "\"max_data_xfer_size\":4096,\"max_dma_maps\":65535,"
				   "\"pgsizes\":4096}}";
	struct vuc_segment segment = {0};
	struct vfio_user_version fixed;
	struct vfio_user_header h;
	struct fixture f;

	fixture_create(&f, NULL);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_NEGOTIATING);
	CU_ASSERT_STRING_EQUAL(vuc_session_reason(f.s), "");
	CU_ASSERT_EQUAL(vuc_session_error(f.s), 0);
	CU_ASSERT_TRUE(vuc_session_has_segment(f.s));
	CU_ASSERT_TRUE_FATAL(fixture_next_segment(f.s, &segment));
	CU_ASSERT_EQUAL(segment.nr_fds, 0);

	CU_ASSERT_EQUAL(fixture_send(&f), 1);
	CU_ASSERT_EQUAL_FATAL(fixture_nr_sent(&f), 1);
	h = fixture_sent(&f, 0);
	CU_ASSERT_EQUAL(h.msg_id, 0);
	CU_ASSERT_EQUAL(h.cmd, VFIO_USER_VERSION);
	CU_ASSERT_EQUAL_FATAL(h.msg_size, HEADER_SIZE + sizeof(fixed) + sizeof(json));
	CU_ASSERT_EQUAL(h.flags, COMMAND);
	CU_ASSERT_EQUAL(h.error_no, 0);
	memcpy(&fixed, fixture_sent_body(&f, 0), sizeof(fixed));
	CU_ASSERT_EQUAL(fixed.major, VFIO_USER_MAJOR);
	CU_ASSERT_EQUAL(fixed.minor, VFIO_USER_MINOR);
	CU_ASSERT_EQUAL(memcmp(fixture_sent_body(&f, 0) + sizeof(fixed), json, sizeof(json)), 0);
	CU_ASSERT_FALSE(vuc_session_has_segment(f.s));
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 1);
	fixture_close(&f);
}

static void
test_ready(void)
{
	static const char json[] = CAPS("\"max_msg_fds\":8,\"max_data_xfer_size\":100,"
					"\"max_dma_maps\":7,\"pgsizes\":12288,"
					"\"write_multiple\":true,\"unknown\":{}");
	const struct message reply = message_version(0, 1, json);
	const struct vuc_wire_version *peer;
	struct fixture f;

	negotiate(&f, NULL, &reply);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 0);
	CU_ASSERT_STRING_EQUAL(vuc_session_reason(f.s), "");
	CU_ASSERT_STRING_EQUAL(vuc_session_peer_json(f.s), json);
	peer = vuc_session_peer(f.s);
	CU_ASSERT_EQUAL(peer->minor, 1);
	CU_ASSERT_EQUAL(peer->max_msg_fds, 8);
	CU_ASSERT_EQUAL(peer->max_data_xfer_size, 100);
	CU_ASSERT_EQUAL(peer->max_dma_maps, 7);
	CU_ASSERT_EQUAL(peer->pgsizes, 12288);
	CU_ASSERT_TRUE(peer->write_multiple);
	CU_ASSERT_EQUAL(vuc_session_max_data(f.s), 100);
	CU_ASSERT_EQUAL(vuc_session_max_write(f.s), 100);
	fixture_close(&f);
}

static void
test_no_version_data(void)
{
	const struct message reply = message_version(0, 2, NULL);
	struct fixture f;

	negotiate(&f, NULL, &reply);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	CU_ASSERT_STRING_EQUAL(vuc_session_peer_json(f.s), "");
	CU_ASSERT_EQUAL(vuc_session_peer(f.s)->max_msg_fds, 1);
	CU_ASSERT_EQUAL(vuc_session_peer(f.s)->max_data_xfer_size, 1048576);
	CU_ASSERT_EQUAL(vuc_session_max_data(f.s), FIXTURE_MAX_DATA);
	fixture_close(&f);
}

static void
test_version_refused(void)
{
	static const struct {
		uint16_t major;
		uint16_t minor;
		const char *json;
		const char *reason;
	} rows[] = {
		{1, 2, fixture_json, "VFIO_USER_VERSION reply: major 1, expected 0"},
		{0, 3, fixture_json, "VFIO_USER_VERSION reply: minor 3, expected at most 2"},
		{0, 2, CAPS("\"max_msg_fds\":-1"),
			"VFIO_USER_VERSION reply: capability max_msg_fds is -1, expected 0 to "
			"65535"},
		{0, 2, CAPS("\"max_data_xfer_size\":0"),
			"VFIO_USER_VERSION reply: capability max_data_xfer_size is 0, expected 8 "
			"to 4294967295"},
		{0, 2, CAPS("\"pgsizes\":\"4k\""),
			"VFIO_USER_VERSION reply: capability pgsizes is of type string, expected "
			"an integer"},
		{0, 2, CAPS("\"pgsizes\":4096,\"pgsizes\":4096"),
			"VFIO_USER_VERSION reply: version data has the member \"pgsizes\" twice"},
		{0, 2, CAPS("\"twin_socket\":{\"supported\":true,\"fd_index\":0}"),
			"VFIO_USER_VERSION reply: capability twin_socket.supported is true, but "
			"was not asked for"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct message reply =
			message_version(rows[i].major, rows[i].minor, rows[i].json);

		CU_ASSERT_TRUE(refused(&reply, rows[i].reason));
	}
}

static void
test_not_text(void)
{
	struct message reply = message_version(0, 2, "{}");
	struct fixture f;

	reply.bytes[reply.len - 1] = '\n';
	CU_ASSERT_TRUE(refused(
		&reply, "VFIO_USER_VERSION reply: version data of 3 bytes has no NUL at its end"));

	reply = message_version(0, 2, "{}\x01\x7f\xff");
	negotiate(&f, NULL, &reply);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_LOST);
	CU_ASSERT_EQUAL(vuc_session_error(f.s), -EPROTO);
	for (const char *c = vuc_session_reason(f.s); *c != '\0'; c++)
		CU_ASSERT(*c >= ' ' && *c <= '~');
	fixture_close(&f);
}

/* The header alone says that a reply is wrong: nothing is awaited behind it. */
static bool
refused_header(const struct vfio_user_header *header, const char *reason)
{
	const struct message reply = message_build(*header, NULL, 0);

	return refused(&reply, reason);
}

static void
test_header_refused(void)
{
	const struct vfio_user_header good = {
		.cmd = VFIO_USER_VERSION,
		.msg_size = HEADER_SIZE + sizeof(struct vfio_user_version),
		.flags = REPLY,
	};
	struct vfio_user_header h = good;

	h.msg_size--;
	CU_ASSERT_TRUE(refused_header(
		&h, "message 0x0000 (VFIO_USER_VERSION 1): msg_size 19, expected 20 to 4116"));
	h.msg_size = 4117;
	CU_ASSERT_TRUE(refused_header(
		&h, "message 0x0000 (VFIO_USER_VERSION 1): msg_size 4117, expected 20 to 4116"));
	h = good;
	h.msg_id = 1;
	CU_ASSERT_TRUE(refused_header(
		&h, "message 0x0001 (VFIO_USER_VERSION 1, reply): no request has this message id"));
	h = good;
	h.cmd = VFIO_USER_DEVICE_GET_INFO;
	CU_ASSERT_TRUE(refused_header(
		&h, "message 0x0000: a reply to command 4, sent was VFIO_USER_VERSION 1"));
	h = good;
	h.flags = COMMAND;
	CU_ASSERT_TRUE(refused_header(&h,
		"message 0x0000 (VFIO_USER_VERSION 1, command): not a command that a server may "
		"send"));
	h = good;
	h.flags = REPLY | 0x40;
	CU_ASSERT_TRUE(refused_header(
		&h, "message 0x0000 (VFIO_USER_VERSION 1): flags 0x41 are not known"));
}

static void
test_command_first(void)
{
	const struct message m = message_dma_read(5, 0);

	CU_ASSERT_TRUE(refused(&m,
		"message 0x0005 (VFIO_USER_DMA_READ 11, command): a command before the reply to "
		"VFIO_USER_VERSION"));
}

/* Whether an error reply to VERSION ends the session so. */
static bool
refused_with(uint32_t error_no, int error, const char *reason)
{
	const struct vfio_user_header to = {.cmd = VFIO_USER_VERSION};
	const struct message reply = message_error(&to, error_no);
	struct fixture f;
	bool lost;

	negotiate(&f, NULL, &reply);
	lost = fixture_lost(&f, error, reason);
	fixture_close(&f);
	return lost;
}

static void
test_server_refuses(void)
{
	CU_ASSERT_TRUE(refused_with(EINVAL, -EINVAL,
		"the server answered VFIO_USER_VERSION with error 22 (Invalid argument)"));
	CU_ASSERT_TRUE(refused_with(0, -EIO,
		"the server answered VFIO_USER_VERSION with error 0 (Input/output error)"));
}

static void
test_close(void)
{
	struct fixture f;

	fixture_create(&f, NULL);
	fixture_send(&f);
	vuc_session_lost(f.s, 0);
	CU_ASSERT_TRUE(fixture_lost(&f, -ECONNRESET,
		"the server closed the connection instead of answering VFIO_USER_VERSION"));
	fixture_close(&f);

	fixture_create(&f, NULL);
	vuc_session_lost(f.s, -EPIPE);
	CU_ASSERT_TRUE(fixture_lost(&f, -EPIPE, "the connection broke: Broken pipe"));
	CU_ASSERT_FALSE(vuc_session_has_segment(f.s));
	fixture_close(&f);
}

static void
test_drain(void)
{
	struct fixture f;

	fixture_create(&f, NULL);
	vuc_session_drain(f.s);
	CU_ASSERT_TRUE(fixture_lost(&f, -ECANCELED, "closed while negotiating"));
	fixture_close(&f);
}

static void
test_no_requests_yet(void)
{
	struct outcome o = {0};
	struct fixture f;

	fixture_create(&f, NULL);
	CU_ASSERT_EQUAL(fixture_read(&f, 0, NULL, 0, &o), -ENOTCONN);
	CU_ASSERT_EQUAL(fixture_write(&f, 0, "", 1, &o), -ENOTCONN);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, "", 1), -ENOTCONN);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), -ENOTCONN);
	fixture_send(&f);
	CU_ASSERT_EQUAL(fixture_nr_sent(&f), 1);
	CU_ASSERT_EQUAL(o.calls, 0);
	fixture_close(&f);
}

/* A reply to VERSION with descriptors. */
static void
feed_with_fds(struct fixture *f, const char *json, unsigned int nr_fds)
{
	const struct message reply = message_version(0, 2, json);
	int fds[FIXTURE_FDS];

	fixture_send(f);
	for (unsigned int i = 0; i < nr_fds; i++)
		fds[i] = fixture_new_fd();
	fixture_feed(f, reply.bytes, reply.len, fds, nr_fds);
}

static void
test_fds(void)
{
	struct fixture f;

	fixture_create(&f, NULL);
	feed_with_fds(&f, fixture_json, FIXTURE_MAX_FDS);
	CU_ASSERT_TRUE(fixture_lost(
		&f, -EPROTO, "VFIO_USER_VERSION reply: carried 4 unexpected file descriptors"));
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds);
	fixture_close(&f);

	fixture_create(&f, NULL);
	feed_with_fds(&f, fixture_json, FIXTURE_MAX_FDS + 1);
	CU_ASSERT_TRUE(fixture_lost(&f, -EPROTO, "a message carried more than 4 file descriptors"));
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds);
	fixture_close(&f);
}

static void
test_twin_socket(void)
{
	static const char first[] = CAPS("\"twin_socket\":{\"supported\":true,\"fd_index\":0}");
	static const char second[] = CAPS("\"twin_socket\":{\"supported\":true,\"fd_index\":1}");
	struct vuc_session_config config = fixture_config();
	struct fixture f;
	int fd;

	config.version.twin_socket.supported = true;
	fixture_create(&f, &config);
	feed_with_fds(&f, first, 1);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds + 1);
	fd = vuc_session_take_twin(f.s);
	CU_ASSERT(fd >= 0);
	CU_ASSERT_EQUAL(vuc_session_take_twin(f.s), -1);
	close(fd);
	fixture_close(&f);

	/* One that nobody takes goes with the session. */
	fixture_create(&f, &config);
	feed_with_fds(&f, first, 1);
	fixture_close(&f);

	fixture_create(&f, &config);
	feed_with_fds(&f, second, 1);
	CU_ASSERT_TRUE(fixture_lost(&f, -EPROTO,
		"VFIO_USER_VERSION reply: capability twin_socket.fd_index is 1, but 1 file "
		"descriptors came"));
	fixture_close(&f);

	/* What the other one is for, nobody says. */
	fixture_create(&f, &config);
	feed_with_fds(&f, second, 2);
	CU_ASSERT_TRUE(fixture_lost(
		&f, -EPROTO, "VFIO_USER_VERSION reply: carried 1 unexpected file descriptors"));
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds);
	fixture_close(&f);
}

/* A descriptor that comes with the reply, received in pieces of every size. */
static void
test_pieces(void)
{
	static const char json[] = CAPS("\"twin_socket\":{\"supported\":true,\"fd_index\":0}");
	struct part part = {.m = message_version(0, 2, json), .nr_fds = 1};
	struct vuc_session_config config = fixture_config();

	config.version.twin_socket.supported = true;
	for (size_t first = 1; first <= part.m.len; first++) {
		for (size_t second = first; second <= part.m.len; second++) {
			struct fixture f;

			fixture_create(&f, &config);
			fixture_send(&f);
			part.fds[0] = dup(STDERR_FILENO);
			fixture_feed_parts(&f, &part, 1, first, second);
			CU_ASSERT_EQUAL_FATAL(vuc_session_state(f.s), VUC_SESSION_READY);
			CU_ASSERT_STRING_EQUAL(vuc_session_peer_json(f.s), json);
			fixture_close(&f);
		}
	}
}

static void
test_second_reply(void)
{
	const struct message again = message_version(0, 2, fixture_json);
	struct fixture f;

	fixture_open(&f, NULL);
	fixture_feed_message(&f, &again);
	CU_ASSERT_TRUE(fixture_lost(&f, -EPROTO,
		"message 0x0000 (VFIO_USER_VERSION 1, reply): no request has this message id"));
	fixture_close(&f);
}

/* The reply and what follows it in the same receive. */
static void
test_command_behind_reply(void)
{
	const struct part parts[] = {
		{.m = message_version(0, 2, fixture_json)},
		{.m = message_dma_read(5, 0)},
	};
	struct fixture f;

	fixture_create(&f, NULL);
	fixture_send(&f);
	fixture_feed_parts(&f, parts, 2, 0, 0);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	fixture_send(&f);
	CU_ASSERT_EQUAL(fixture_nr_sent(&f), 1);
	fixture_close(&f);
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

static CU_TestInfo tests[] = {
	{"what VERSION says", test_version},
	{"a reply with all capabilities", test_ready},
	{"a reply without version data", test_no_version_data},
	{"versions and capabilities that are refused", test_version_refused},
	{"version data that is no text", test_not_text},
	{"headers that are refused", test_header_refused},
	{"a command of the server first", test_command_first},
	{"the server refuses", test_server_refuses},
	{"the server closes", test_close},
	{"drained", test_drain},
	{"no requests yet", test_no_requests_yet},
	{"descriptors", test_fds},
	{"twin socket", test_twin_socket},
	{"a reply in pieces", test_pieces},
	{"a second reply", test_second_reply},
	{"a command right behind the reply", test_command_behind_reply},
	{"a segment too short for VERSION", test_segment_too_short},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{"session_negotiate", NULL, NULL, NULL, NULL, tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
