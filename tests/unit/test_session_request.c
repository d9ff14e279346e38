/* SPDX-License-Identifier: BSD-3-Clause */
#include "session_fixture.h"

#define ACCESS_SIZE (HEADER_SIZE + sizeof(struct vfio_user_region_access))

static void
check_sent_access(const struct fixture *f, unsigned int n, uint64_t offset, uint32_t count)
{
	struct vfio_user_region_access access;

	memcpy(&access, fixture_sent_body(f, n), sizeof(access));
	CU_ASSERT_EQUAL(access.offset, offset);
	CU_ASSERT_EQUAL(access.region, FIXTURE_REGION);
	CU_ASSERT_EQUAL(access.count, count);
}

static void
test_read(void)
{
	uint8_t data[4] = {9, 9, 9, 9};
	struct outcome o = {0};
	struct vfio_user_header h;
	struct message reply;
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_read(&f, 0x123456789aULL, data, sizeof(data), &o), 0);
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 1);
	fixture_send(&f);
	CU_ASSERT_EQUAL_FATAL(fixture_nr_sent(&f), 1);
	h = fixture_sent(&f, 0);
	CU_ASSERT_EQUAL(h.cmd, VFIO_USER_REGION_READ);
	CU_ASSERT_EQUAL(h.msg_size, ACCESS_SIZE);
	CU_ASSERT_EQUAL(h.flags, COMMAND);
	CU_ASSERT_EQUAL(h.error_no, 0);
	check_sent_access(&f, 0, 0x123456789aULL, sizeof(data));

	reply = message_access(&h, 0x123456789aULL, 4, "\1\2\3\4", 4);
	CU_ASSERT_EQUAL(o.calls, 0);
	fixture_feed_message(&f, &reply);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.status, 0);
	CU_ASSERT_FALSE(o.has_body);
	CU_ASSERT_EQUAL(memcmp(data, "\1\2\3\4", 4), 0);
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 0);
	fixture_close(&f);
}

static void
test_write(void)
{
	uint8_t data[4] = {1, 2, 3, 4};
	struct outcome o = {0};
	struct vfio_user_header h;
	struct message reply;
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_write(&f, 0x10, data, sizeof(data), &o), 0);
	memset(data, 0, sizeof(data)); /* it was copied */
	fixture_send(&f);
	h = fixture_sent(&f, 0);
	CU_ASSERT_EQUAL(h.cmd, VFIO_USER_REGION_WRITE);
	CU_ASSERT_EQUAL(h.msg_size, ACCESS_SIZE + 4);
	CU_ASSERT_EQUAL(h.flags, COMMAND);
	check_sent_access(&f, 0, 0x10, 4);
	CU_ASSERT_EQUAL(memcmp(fixture_sent_body(&f, 0) + 16, "\1\2\3\4", 4), 0);

	reply = message_access(&h, 0x10, 4, NULL, 0);
	fixture_feed_message(&f, &reply);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.status, 0);
	CU_ASSERT_FALSE(o.has_body);
	fixture_close(&f);
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
	struct message reply;
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(vuc_session_request(f.s, &req), 0);
	CU_ASSERT_EQUAL(fixture_region_info(&f, 3, &o), 0);
	fixture_send(&f);
	CU_ASSERT_EQUAL_FATAL(fixture_nr_sent(&f), 2);
	h = fixture_sent(&f, 0);
	CU_ASSERT_EQUAL(h.msg_id, 0xffff);
	CU_ASSERT_EQUAL(h.msg_size, HEADER_SIZE + 23);
	CU_ASSERT_EQUAL(h.flags, COMMAND | VFIO_USER_F_NO_REPLY);
	CU_ASSERT_EQUAL(memcmp(fixture_sent_body(&f, 0), "0123456789abcdefpayload", 23), 0);

	h = fixture_sent(&f, 1);
	reply = message_region_info(&h, 3);
	fixture_feed_message(&f, &reply);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.status, 0);
	CU_ASSERT_EQUAL(o.len, sizeof(struct vfio_user_region_info));
	CU_ASSERT_EQUAL(memcmp(o.body, reply.bytes + HEADER_SIZE, o.len), 0);
	fixture_close(&f);
}

static void
test_posted(void)
{
	struct vfio_user_header h;
	struct fixture f;

	fixture_open(&f, NULL);
	for (unsigned int i = 0; i < 3 * FIXTURE_REQUESTS; i++)
		CU_ASSERT_EQUAL(fixture_post(&f, i, "x", 1), 0);
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 0);
	fixture_send(&f);
	CU_ASSERT_EQUAL(fixture_nr_sent(&f), 3 * FIXTURE_REQUESTS);
	h = fixture_sent(&f, 5);
	CU_ASSERT_EQUAL(h.msg_id, 0xffff);
	CU_ASSERT_EQUAL(h.flags, COMMAND | VFIO_USER_F_NO_REPLY);
	CU_ASSERT_EQUAL(h.msg_size, ACCESS_SIZE + 1);
	check_sent_access(&f, 5, 5, 1);
	fixture_close(&f);
}

static void
test_refused(void)
{
	static const int fd = 2;
	static const struct vuc_session_request rows[] = {
		{.cmd = 0},
		{.cmd = 14},
		{.cmd = VFIO_USER_MAX},
		{.cmd = 0xffff},
		{.cmd = VFIO_USER_DMA_READ, .body = "0123456789abcdef", .len = 16},
		{.cmd = VFIO_USER_DMA_WRITE, .body = "0123456789abcdef", .len = 16},
		{.cmd = VFIO_USER_DEVICE_GET_INFO,
			.no_reply = true,
			.body = "0123456789abcdef",
			.len = 16},
		{.cmd = VFIO_USER_DEVICE_RESET, .nr_fds = 1, .fds = &fd},
	};
	struct fixture f;

	fixture_open(&f, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CU_ASSERT_EQUAL(vuc_session_request(f.s, &rows[i]), -EINVAL);
	CU_ASSERT_FALSE(vuc_session_has_segment(f.s));
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 0);
	fixture_close(&f);
}

static void
test_fds_refused(void)
{
	const struct message one_fd = message_version(0, 2, "{}");
	const struct message many =
		message_version(0, 2, "{\"capabilities\":{\"max_msg_fds\":65535}}");
	int fds[17] = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2};
	struct outcome o = {0};
	struct fixture f;

	fixture_create(&f, NULL);
	fixture_send(&f);
	fixture_feed_message(&f, &one_fd);
	CU_ASSERT_EQUAL(fixture_dma_map(&f, fds, 2, &o), -EINVAL);
	CU_ASSERT_EQUAL(fixture_dma_map(&f, fds, 1, &o), 0);
	fixture_close(&f);

	fixture_create(&f, NULL);
	fixture_send(&f);
	fixture_feed_message(&f, &many);
	CU_ASSERT_EQUAL(fixture_dma_map(&f, fds, 17, &o), -EINVAL);
	CU_ASSERT_EQUAL(fixture_dma_map(&f, fds, 16, &o), 0);
	fixture_close(&f);
}

/* What a request of this body length gets. */
static int
request_of(struct fixture *f, uint16_t cmd, size_t len)
{
	static const uint8_t body[2 * FIXTURE_MAX_DATA];
	static struct outcome o;
	const struct vuc_session_request req = {
		.cmd = cmd,
		.body = body,
		.len = len,
		.done = fixture_record,
		.arg = &o,
	};
	int rc;

	CU_ASSERT_FATAL(len <= sizeof(body));
	rc = vuc_session_request(f->s, &req);
	fixture_send(f);
	return rc;
}

static void
test_sizes(void)
{
	struct vuc_session_config config = fixture_config();
	struct fixture f;

	config.max_requests = 16;
	fixture_open(&f, &config);
	CU_ASSERT_EQUAL(request_of(&f, VFIO_USER_DEVICE_RESET, 1), -EMSGSIZE);
	CU_ASSERT_EQUAL(request_of(&f, VFIO_USER_DEVICE_RESET, 0), 0);
	CU_ASSERT_EQUAL(request_of(&f, VFIO_USER_DMA_MAP, 31), -EMSGSIZE);
	CU_ASSERT_EQUAL(request_of(&f, VFIO_USER_DMA_MAP, 33), -EMSGSIZE);
	CU_ASSERT_EQUAL(request_of(&f, VFIO_USER_DMA_MAP, 32), 0);
	CU_ASSERT_EQUAL(request_of(&f, VFIO_USER_REGION_WRITE, 15), -EMSGSIZE);
	CU_ASSERT_EQUAL(request_of(&f, VFIO_USER_REGION_WRITE, 17 + FIXTURE_MAX_DATA), -EMSGSIZE);
	CU_ASSERT_EQUAL(request_of(&f, VFIO_USER_REGION_WRITE, 16 + FIXTURE_MAX_DATA), 0);
	CU_ASSERT_EQUAL(vuc_session_outstanding(f.s), 3);
	fixture_close(&f);

	config.segment_max = 1024;
	fixture_open(&f, &config);
	CU_ASSERT_EQUAL(request_of(&f, VFIO_USER_REGION_WRITE, 1025 - HEADER_SIZE), -EMSGSIZE);
	CU_ASSERT_EQUAL(request_of(&f, VFIO_USER_REGION_WRITE, 1024 - HEADER_SIZE), 0);
	fixture_close(&f);
}

static void
test_access_bounds(void)
{
	struct vuc_session_config config = fixture_config();
	static uint8_t data[FIXTURE_MAX_DATA + 1];
	struct outcome o = {0};
	struct fixture f;

	fixture_open(&f, &config);
	CU_ASSERT_EQUAL(vuc_session_max_data(f.s), FIXTURE_MAX_DATA);
	CU_ASSERT_EQUAL(vuc_session_max_write(f.s), FIXTURE_MAX_DATA);
	CU_ASSERT_EQUAL(fixture_read(&f, 0, data, FIXTURE_MAX_DATA + 1, &o), -EMSGSIZE);
	CU_ASSERT_EQUAL(fixture_write(&f, 0, data, FIXTURE_MAX_DATA + 1, &o), -EMSGSIZE);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, data, FIXTURE_MAX_DATA + 1), -EMSGSIZE);
	CU_ASSERT_EQUAL(fixture_read(&f, 0, data, FIXTURE_MAX_DATA, &o), 0);
	CU_ASSERT_EQUAL(fixture_write(&f, 0, data, FIXTURE_MAX_DATA, &o), 0);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, data, FIXTURE_MAX_DATA), 0);
	fixture_close(&f);

	config.segment_max = 1000;
	fixture_open(&f, &config);
	CU_ASSERT_EQUAL(vuc_session_max_data(f.s), FIXTURE_MAX_DATA);
	CU_ASSERT_EQUAL(vuc_session_max_write(f.s), 1000 - ACCESS_SIZE);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, data, 1001 - ACCESS_SIZE), -EMSGSIZE);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, data, 1000 - ACCESS_SIZE), 0);
	fixture_close(&f);
}

static void
test_wrong_state(void)
{
	struct outcome o = {0};
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	vuc_session_drain(f.s);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_DRAINING);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), -ENOTCONN);
	CU_ASSERT_EQUAL(fixture_read(&f, 0, NULL, 0, &o), -ENOTCONN);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, "x", 1), -ENOTCONN);
	fixture_answer_reset(&f);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_CLOSED);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), -ENOTCONN);
	CU_ASSERT_EQUAL(fixture_write(&f, 0, "x", 1, &o), -ENOTCONN);
	CU_ASSERT_EQUAL(o.calls, 1);
	fixture_close(&f);

	fixture_open(&f, NULL);
	vuc_session_end(f.s, -EUCLEAN, "for a test");
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), -EUCLEAN);
	CU_ASSERT_EQUAL(fixture_read(&f, 0, NULL, 0, &o), -EUCLEAN);
	CU_ASSERT_EQUAL(fixture_write(&f, 0, "x", 1, &o), -EUCLEAN);
	CU_ASSERT_EQUAL(fixture_post(&f, 0, "x", 1), -EUCLEAN);
	CU_ASSERT_EQUAL(o.calls, 1);
	fixture_close(&f);
}

static CU_TestInfo tests[] = {
	{"a region read", test_read},
	{"a region write", test_write},
	{"the general form", test_general_form},
	{"posted writes", test_posted},
	{"requests that the table forbids", test_refused},
	{"descriptors that are too many", test_fds_refused},
	{"bounds of the size", test_sizes},
	{"bounds of an access", test_access_bounds},
	{"requests in the wrong state", test_wrong_state},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{"session_request", NULL, NULL, NULL, NULL, tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
