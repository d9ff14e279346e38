/* SPDX-License-Identifier: BSD-3-Clause */

/* What requests are on the wire, and which of them are refused. */

#include "session_script.h"

#define POSTED (COMMAND | VFIO_USER_F_NO_REPLY)

static const struct script_row rows[] = {
	{"a read and a write",
		{{ASK_READ, 'a'}, {ASK_WRITE, 'b'}, {OUTSTANDING, 2}, {SEND_ALL, 2}, {PENDING, 'a'},
			{ANSWER, 'a'}, {DONE, 'a'}, {ANSWER, 'b'}, {DONE, 'b'}, {OUTSTANDING, 0}}},
	{"requests of a draining session",
		{{ASK_RESET, 'a'}, {DRAIN}, {STATE, VUC_SESSION_DRAINING},
			{ASK_RESET, 'b', -ENOTCONN}, {ASK_READ, 'b', -ENOTCONN},
			{ASK_WRITE, 'b', -ENOTCONN}, {POST, 0, -ENOTCONN}, {SEND_ALL, 1},
			{ANSWER, 'a'}, {DONE, 'a'}, {STATE, VUC_SESSION_CLOSED},
			{ASK_RESET, 'b', -ENOTCONN}, {ASK_WRITE, 'b', -ENOTCONN}}},
	{"requests of a lost session",
		{{END, -EUCLEAN, 0, "for a test"}, {ASK_RESET, 'a', -EUCLEAN},
			{ASK_READ, 'a', -EUCLEAN}, {ASK_WRITE, 'a', -EUCLEAN},
			{POST, 0, -EUCLEAN}}},
};

/* Whether the nth message that was sent is this access. */
static void
check_access(unsigned int n, struct vfio_user_header expected, uint64_t offset, uint32_t count,
	const void *data)
{
	const struct vfio_user_region_access access = {offset, FIXTURE_REGION, count};
	const struct vfio_user_header h = fixture_sent(n);
	const uint8_t *body = fixture_sent_body(n);

	if (expected.msg_id == 0)
		expected.msg_id = h.msg_id;
	CU_ASSERT_EQUAL(memcmp(&h, &expected, sizeof(h)), 0);
	CU_ASSERT_EQUAL(memcmp(body, &access, sizeof(access)), 0);
	CU_ASSERT_EQUAL(memcmp(body + sizeof(access), data, h.msg_size - ACCESS_SIZE), 0);
}

static void
test_accesses_sent(void)
{
	uint8_t data[4] = {1, 2, 3, 4};
	struct outcome o = {0};

	CU_ASSERT_EQUAL(fixture_read(0x123456789aULL, data, 4, &o), 0);
	CU_ASSERT_EQUAL(fixture_write(0x10, data, 4, &o), 0);
	memset(data, 0, sizeof(data)); /* it was copied */
	CU_ASSERT_EQUAL(vuc_session_outstanding(session), 2);
	for (unsigned int i = 0; i < 3 * FIXTURE_REQUESTS; i++)
		CU_ASSERT_EQUAL(fixture_post(i, "x", 1), 0);
	CU_ASSERT_EQUAL(vuc_session_outstanding(session), 2);
	fixture_send();
	CU_ASSERT_EQUAL_FATAL(fixture_nr_sent(), 2 + 3 * FIXTURE_REQUESTS);
	check_access(0, (struct vfio_user_header){0, VFIO_USER_REGION_READ, ACCESS_SIZE},
		0x123456789aULL, 4, "");
	check_access(1, (struct vfio_user_header){0, VFIO_USER_REGION_WRITE, ACCESS_SIZE + 4}, 0x10,
		4, "\1\2\3\4");
	for (unsigned int i = 0; i < 3 * FIXTURE_REQUESTS; i++)
		check_access(2 + i,
			(struct vfio_user_header){
				0xffff, VFIO_USER_REGION_WRITE, ACCESS_SIZE + 1, POSTED},
			i, 1, "x");
}

static void
test_general_form(void)
{
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_REGION_WRITE,
		.no_reply = true,
		.body = "0123456789abcdef",
		.len = 16,
		.data = "payload",
		.data_len = 7,
	};
	struct outcome o = {0};
	struct vfio_user_header h;
	struct message info;

	CU_ASSERT_EQUAL(vuc_session_request(session, &req), 0);
	CU_ASSERT_EQUAL(fixture_region_info(3, &o), 0);
	fixture_send();
	CU_ASSERT_EQUAL_FATAL(fixture_nr_sent(), 2);
	h = fixture_sent(0);
	CU_ASSERT_EQUAL(h.msg_id, 0xffff);
	CU_ASSERT_EQUAL(h.msg_size, HEADER_SIZE + 23);
	CU_ASSERT_EQUAL(h.flags, POSTED);
	CU_ASSERT_EQUAL(memcmp(fixture_sent_body(0), "0123456789abcdefpayload", 23), 0);

	info = message_region_info(fixture_sent(1), 3);
	fixture_feed_message(info);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.status, 0);
	CU_ASSERT_EQUAL(o.len, sizeof(struct vfio_user_region_info));
	CU_ASSERT_EQUAL(memcmp(o.body, info.bytes + HEADER_SIZE, o.len), 0);
}

/* What the command table says, and the limits of both sides. */
static void
test_bounds(void)
{
	static const uint8_t body[2 * FIXTURE_MAX_DATA];
	static const int fds[17] = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2};
	static const struct {
		uint16_t cmd;
		size_t len;
		int rc;
		bool no_reply;
		uint16_t nr_fds;
		uint32_t segment_max; /* 0: the usual one */
	} cases[] = {
		{0, 0, -EINVAL},
		{14, 0, -EINVAL},
		{VFIO_USER_MAX, 0, -EINVAL},
		{0xffff, 0, -EINVAL},
		{VFIO_USER_DMA_READ, 16, -EINVAL},
		{VFIO_USER_DMA_WRITE, 16, -EINVAL},
		{VFIO_USER_DEVICE_GET_INFO, 16, -EINVAL, true},
		{VFIO_USER_DEVICE_GET_INFO, 16, 0},
		{VFIO_USER_DEVICE_FEATURE, 8, 0},
		{VFIO_USER_DEVICE_RESET, 0, -EINVAL, false, 1},
		{VFIO_USER_DEVICE_RESET, 1, -EMSGSIZE},
		{VFIO_USER_DEVICE_RESET, 0, 0},
		{VFIO_USER_DMA_MAP, 31, -EMSGSIZE},
		{VFIO_USER_DMA_MAP, 33, -EMSGSIZE},
		{VFIO_USER_DMA_MAP, 32, 0},
		{VFIO_USER_DMA_MAP, 32, 0, false, 8},
		{VFIO_USER_DMA_MAP, 32, -EINVAL, false, 9}, /* more than the server takes */
		{VFIO_USER_REGION_WRITE, 15, -EMSGSIZE},
		{VFIO_USER_REGION_WRITE, 17 + FIXTURE_MAX_DATA, -EMSGSIZE},
		{VFIO_USER_REGION_WRITE, 16 + FIXTURE_MAX_DATA, 0},
		{VFIO_USER_REGION_WRITE, 1025 - HEADER_SIZE, -EMSGSIZE, .segment_max = 1024},
		{VFIO_USER_REGION_WRITE, 1024 - HEADER_SIZE, 0, .segment_max = 1024},
	};

	for (size_t i = 0; i < NR(cases); i++) {
		struct vuc_session_config config = fixture_config();
		struct outcome o = {0};
		const struct vuc_session_request req = {
			.cmd = cases[i].cmd,
			.no_reply = cases[i].no_reply,
			.body = body,
			.len = cases[i].len,
			.fds = fds,
			.nr_fds = cases[i].nr_fds,
			.done = fixture_record,
			.arg = &o,
		};
		int rc;

		vuc_tap_row("case %zu", i);
		if (cases[i].segment_max != 0)
			config.segment_max = cases[i].segment_max;
		fixture_open(&config);
		rc = vuc_session_request(session, &req);
		CU_ASSERT_EQUAL(rc, cases[i].rc);
		CU_ASSERT_EQUAL(vuc_session_outstanding(session), rc == 0);
		CU_ASSERT_EQUAL(vuc_session_has_segment(session), rc == 0);
	}
}

/* One descriptor when the server names no limit, 16 whatever limit it names. */
static void
test_most_fds(void)
{
	static const char *const json[2] = {"{}", "{\"capabilities\":{\"max_msg_fds\":65535}}"};
	static const int fds[17] = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2};

	for (unsigned int i = 0; i < 2; i++) {
		unsigned int most = i == 0 ? 1 : 16;
		struct outcome o = {0};

		fixture_negotiate(NULL, message_version(0, 2, json[i]), 0);
		CU_ASSERT_EQUAL(fixture_dma_map(fds, most + 1, &o), -EINVAL);
		CU_ASSERT_EQUAL(fixture_dma_map(fds, most, &o), 0);
	}
}

static void
test_access_bounds(void)
{
	struct vuc_session_config config = fixture_config();
	static uint8_t data[FIXTURE_MAX_DATA + 1];
	struct outcome o = {0};

	fixture_open(&config);
	CU_ASSERT_EQUAL(vuc_session_max_data(session), FIXTURE_MAX_DATA);
	CU_ASSERT_EQUAL(vuc_session_max_write(session), FIXTURE_MAX_DATA);
	for (uint32_t excess = 0; excess < 2; excess++) {
		uint32_t count = FIXTURE_MAX_DATA + excess;
		int rc = excess ? -EMSGSIZE : 0;

		CU_ASSERT_EQUAL(fixture_read(0, data, count, &o), rc);
		CU_ASSERT_EQUAL(fixture_write(0, data, count, &o), rc);
		CU_ASSERT_EQUAL(fixture_post(0, data, count), rc);
	}

	config.segment_max = 1000;
	fixture_open(&config);
	CU_ASSERT_EQUAL(vuc_session_max_data(session), FIXTURE_MAX_DATA);
	CU_ASSERT_EQUAL(vuc_session_max_write(session), 1000 - ACCESS_SIZE);
	CU_ASSERT_EQUAL(fixture_post(0, data, 1001 - ACCESS_SIZE), -EMSGSIZE);
	CU_ASSERT_EQUAL(fixture_post(0, data, 1000 - ACCESS_SIZE), 0);
}

const struct tap_suite tap_suite = {"session_request", fixture_open_usual, fixture_close,
	{
		{"accesses on the wire", test_accesses_sent},
		{"the general form", test_general_form},
		{"bounds of requests", test_bounds},
		{"most descriptors", test_most_fds},
		{"bounds of an access", test_access_bounds},
	},
	TAP_ROWS(rows, script_run)};
