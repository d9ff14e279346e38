/* SPDX-License-Identifier: BSD-3-Clause */

/* Bytes in all the pieces in which a stream socket may deliver them. */

#include "session_fixture.h"

static const uint8_t payload[4] = {0xde, 0xad, 0xbe, 0xef};

/* Four requests that the server answers in as many ways, and two commands of its own. */
struct talk {
	struct outcome read, write, reset, info;
	uint8_t data[4];
};

static void
make_requests(struct fixture *f, struct talk *t)
{
	memset(t, 0, sizeof(*t));
	CU_ASSERT_EQUAL_FATAL(fixture_read(f, 0x10, t->data, 4, &t->read), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_write(f, 0x20, payload, 4, &t->write), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_reset(f, &t->reset), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_region_info(f, 1, &t->info), 0);
	fixture_send(f);
	CU_ASSERT_EQUAL_FATAL(fixture_nr_sent(f), 4);
}

#define NR_PARTS 6u

static void
build_answers(const struct fixture *f, struct part *parts)
{
	struct vfio_user_header h[4];

	for (unsigned int i = 0; i < 4; i++)
		h[i] = fixture_sent(f, i);
	memset(parts, 0, NR_PARTS * sizeof(*parts));
	parts[0].m = message_access(&h[0], 0x10, 4, payload, 4);
	parts[1].m = message_dma_read(0x77, 0);
	parts[2].m = message_error(&h[2], EBUSY);
	parts[3].m = message_region_info(&h[3], 1);
	parts[4].m = message_access(&h[1], 0x20, 4, NULL, 0);
	parts[5].m = message_dma_write(0x78, VFIO_USER_F_NO_REPLY);
}

/* Whether everything came as it was sent, once. */
static bool
complete(struct fixture *f, const struct talk *t)
{
	bool done = t->read.calls == 1 && t->read.status == 0 && t->write.calls == 1 &&
		t->write.status == 0 && t->reset.calls == 1 && t->reset.status == -EBUSY &&
		t->info.calls == 1 && t->info.status == 0 && t->info.len == 32;

	return done && memcmp(t->data, payload, 4) == 0 &&
		vuc_session_state(f->s) == VUC_SESSION_READY &&
		vuc_session_outstanding(f->s) == 0 && fixture_send(f) == 1 &&
		fixture_nr_sent(f) == 1 && fixture_sent(f, 0).msg_id == 0x77;
}

/* Every cut and every pair of cuts, without descriptors. */
static void
test_cuts(void)
{
	struct part parts[NR_PARTS];
	struct fixture f;
	struct talk t;
	size_t len;

	fixture_open(&f, NULL);
	make_requests(&f, &t);
	build_answers(&f, parts);
	len = fixture_parts_len(parts, NR_PARTS);
	fixture_feed_parts(&f, parts, NR_PARTS, 0, 0);
	CU_ASSERT_TRUE(complete(&f, &t));

	for (size_t first = 1; first < len; first++) {
		for (size_t second = first; second < len; second++) {
			make_requests(&f, &t);
			build_answers(&f, parts);
			fixture_feed_parts(&f, parts, NR_PARTS, first, second);
			CU_ASSERT_TRUE_FATAL(complete(&f, &t));
		}
	}
	fixture_close(&f);
}

static void
test_byte_by_byte(void)
{
	struct part parts[NR_PARTS];
	struct fixture f;
	struct talk t;

	fixture_open(&f, NULL);
	make_requests(&f, &t);
	build_answers(&f, parts);
	for (unsigned int i = 0; i < NR_PARTS; i++) {
		for (size_t byte = 0; byte < parts[i].m.len; byte++)
			fixture_feed(&f, &parts[i].m.bytes[byte], 1, NULL, 0);
	}
	CU_ASSERT_TRUE(complete(&f, &t));
	fixture_close(&f);
}

/* A request completes with the byte that completes its reply, no sooner. */
static void
test_no_sooner(void)
{
	struct part parts[NR_PARTS];
	struct fixture f;
	struct talk t;

	fixture_open(&f, NULL);
	make_requests(&f, &t);
	build_answers(&f, parts);
	fixture_feed(&f, parts[0].m.bytes, parts[0].m.len - 1, NULL, 0);
	CU_ASSERT_EQUAL(t.read.calls, 0);
	CU_ASSERT_EQUAL(memcmp(t.data, "\0\0\0\0", 4), 0);
	fixture_feed(&f, NULL, 0, NULL, 0);
	CU_ASSERT_EQUAL(t.read.calls, 0);
	fixture_feed(&f, parts[0].m.bytes + parts[0].m.len - 1, 1, NULL, 0);
	CU_ASSERT_EQUAL(t.read.calls, 1);
	CU_ASSERT_EQUAL(memcmp(t.data, payload, 4), 0);
	fixture_close(&f);
}

/* A header that is wrong is found so as soon as it is there, whatever follows. */
static void
test_bad_header(void)
{
	const struct vfio_user_header h = {.msg_size = 0xffffffff, .flags = REPLY};

	for (size_t cut = 1; cut < HEADER_SIZE; cut++) {
		const struct message m = message_build(h, NULL, 0);
		struct outcome o = {0};
		struct fixture f;

		fixture_open(&f, NULL);
		CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
		fixture_send(&f);
		fixture_feed(&f, m.bytes, cut, NULL, 0);
		CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
		fixture_feed(&f, m.bytes + cut, HEADER_SIZE - cut, NULL, 0);
		CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_LOST);
		CU_ASSERT_EQUAL(o.calls, 1);
		fixture_feed(&f, m.bytes, HEADER_SIZE, NULL, 0);
		fixture_close(&f);
	}
}

#define LARGE (1u << 20)

/* The reply to a read of LARGE bytes. */
static void
test_large(void)
{
	static uint8_t reply[HEADER_SIZE + 16 + LARGE], data[LARGE];
	const struct message version = message_version(0, 2, "{}");
	struct vuc_session_config config = fixture_config();
	struct outcome o = {0};
	struct vfio_user_header h;
	struct message m;
	struct fixture f;

	config.version.max_data_xfer_size = LARGE;
	fixture_create(&f, &config);
	fixture_send(&f);
	fixture_feed_message(&f, &version);
	CU_ASSERT_EQUAL(fixture_read(&f, 0, data, LARGE, &o), 0);
	fixture_send(&f);
	h = fixture_sent(&f, 0);
	m = message_access(&h, 0, LARGE, NULL, 0);
	h = message_header(&m);
	h.msg_size = sizeof(reply);
	message_set_header(&m, h);
	memcpy(reply, m.bytes, m.len);
	for (size_t i = 0; i < LARGE; i++)
		reply[m.len + i] = (uint8_t)(i * 31 / 7);

	for (size_t pos = 0; pos < sizeof(reply); pos += 36000) {
		size_t left = sizeof(reply) - pos;

		CU_ASSERT_EQUAL(o.calls, 0);
		fixture_feed(&f, reply + pos, left < 36000 ? left : 36000, NULL, 0);
	}
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.status, 0);
	CU_ASSERT_EQUAL(memcmp(data, reply + m.len, LARGE), 0);
	fixture_close(&f);
}

static CU_TestInfo tests[] = {
	{"every cut and pair of cuts", test_cuts},
	{"byte by byte", test_byte_by_byte},
	{"no sooner than with the last byte", test_no_sooner},
	{"a bad header in two pieces", test_bad_header},
	{"a large message in many pieces", test_large},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{"session_receive", NULL, NULL, NULL, NULL, tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
