/* SPDX-License-Identifier: BSD-3-Clause */

/* Posted writes that share a message, and those that do not. */

#include <string.h>

#include "session_fixture.h"
#include "tap.h"

#define HEADER sizeof(struct vfio_user_header)

/* What was sent, message by message. */
struct sent {
	struct vuc_segment segment;
	size_t at;
	struct vfio_user_header header;
	const uint8_t *body;
};

static void
create(struct fixture *f, bool write_multiple)
{
	struct vuc_session_config config = fixture_config();
	struct message reply = message_version(0, 2,
		write_multiple ? "{\"capabilities\":{\"write_multiple\":true}}"
			       : "{\"capabilities\":{}}");

	config.version.write_multiple = true;
	fixture_create(f, &config);
	fixture_send(f);
	fixture_feed_message(f, &reply);
	CU_ASSERT_EQUAL_FATAL(vuc_session_state(f->s), VUC_SESSION_READY);
}

static void
post(struct fixture *f, uint64_t offset, const void *data, uint32_t count)
{
	CU_ASSERT_EQUAL(fixture_post(f, offset, data, count), 0);
}

static bool
next(struct sent *s)
{
	if (s->at == s->segment.len)
		return false;
	memcpy(&s->header, s->segment.bytes + s->at, HEADER);
	s->body = s->segment.bytes + s->at + HEADER;
	s->at += s->header.msg_size;
	CU_ASSERT_FATAL(s->at <= s->segment.len);
	return true;
}

static struct sent
take(struct fixture *f)
{
	struct sent s = {0};

	CU_ASSERT_TRUE_FATAL(fixture_next_segment(f->s, &s.segment));
	return s;
}

static void
check_entry(const struct sent *s, unsigned int i, uint64_t offset, const void *data, uint32_t count)
{
	struct vfio_user_write_multi_entry e;

	memcpy(&e, s->body + sizeof(struct vfio_user_write_multi) + i * sizeof(e), sizeof(e));
	CU_ASSERT_EQUAL(e.offset, offset);
	CU_ASSERT_EQUAL(e.region, 2);
	CU_ASSERT_EQUAL(e.count, count);
	CU_ASSERT_EQUAL(memcmp(e.data, data, count), 0);
}

static void
check_multi(struct sent *s, uint64_t wr_cnt)
{
	uint64_t got;

	CU_ASSERT_TRUE_FATAL(next(s));
	CU_ASSERT_EQUAL(s->header.cmd, VFIO_USER_REGION_WRITE_MULTI);
	CU_ASSERT_EQUAL(s->header.flags, VFIO_USER_F_NO_REPLY);
	CU_ASSERT_EQUAL(s->header.msg_size,
		HEADER + sizeof(got) + wr_cnt * sizeof(struct vfio_user_write_multi_entry));
	memcpy(&got, s->body, sizeof(got));
	CU_ASSERT_EQUAL(got, wr_cnt);
}

static void
check_command(struct sent *s, uint16_t cmd)
{
	CU_ASSERT_TRUE_FATAL(next(s));
	CU_ASSERT_EQUAL(s->header.cmd, cmd);
}

static void
test_join(void)
{
	struct fixture f;
	struct sent s;

	create(&f, true);
	post(&f, 0x10, "a", 1);
	post(&f, 0x20, "abcdefgh", 8);
	post(&f, 0x30, "abc", 3);
	s = take(&f);
	check_multi(&s, 3);
	check_entry(&s, 0, 0x10, "a", 1);
	check_entry(&s, 1, 0x20, "abcdefgh", 8);
	check_entry(&s, 2, 0x30, "abc", 3);
	CU_ASSERT_FALSE(next(&s));
	fixture_close(&f);
}

static void
test_alone(void)
{
	struct fixture f;
	struct sent s;

	create(&f, true);
	post(&f, 0x10, "abcd", 4);
	s = take(&f);
	check_command(&s, VFIO_USER_REGION_WRITE);
	CU_ASSERT_FALSE(next(&s));
	fixture_close(&f);
}

/* What comes between keeps its place. */
static void
test_order(void)
{
	struct fixture f;
	struct outcome o = {0};
	uint32_t data;
	struct sent s;

	create(&f, true);
	post(&f, 0x10, "a", 1);
	post(&f, 0x11, "b", 1);
	CU_ASSERT_EQUAL(fixture_read(&f, 0, &data, sizeof(data), &o), 0);
	post(&f, 0x12, "c", 1);
	post(&f, 0x13, "123456789", 9);
	post(&f, 0x14, "d", 1);
	s = take(&f);
	check_multi(&s, 2);
	check_command(&s, VFIO_USER_REGION_READ);
	check_command(&s, VFIO_USER_REGION_WRITE);
	check_command(&s, VFIO_USER_REGION_WRITE);
	check_command(&s, VFIO_USER_REGION_WRITE);
	CU_ASSERT_FALSE(next(&s));
	fixture_close(&f);
}

/* A segment that was given out does not change. */
static void
test_handed_out(void)
{
	struct fixture f;
	struct sent s;

	create(&f, true);
	post(&f, 0x10, "a", 1);
	s = take(&f);
	post(&f, 0x11, "b", 1);
	post(&f, 0x12, "c", 1);
	check_command(&s, VFIO_USER_REGION_WRITE);
	CU_ASSERT_FALSE(next(&s));
	vuc_session_sent(f.s);
	s = take(&f);
	check_multi(&s, 2);
	CU_ASSERT_FALSE(next(&s));
	fixture_close(&f);
}

static void
test_not_negotiated(void)
{
	struct fixture f;
	struct sent s;

	create(&f, false);
	post(&f, 0x10, "a", 1);
	post(&f, 0x11, "b", 1);
	s = take(&f);
	check_command(&s, VFIO_USER_REGION_WRITE);
	check_command(&s, VFIO_USER_REGION_WRITE);
	CU_ASSERT_FALSE(next(&s));
	fixture_close(&f);
}

/* Take what is to be sent, and check that its writes go on where the last ones ended. */
static void
take_writes(struct fixture *f, uint64_t *expected)
{
	struct sent s = take(f);

	while (next(&s)) {
		uint64_t wr_cnt = 1;

		if (s.header.cmd == VFIO_USER_REGION_WRITE) {
			struct vfio_user_region_access access;

			memcpy(&access, s.body, sizeof(access));
			CU_ASSERT_EQUAL(access.offset, *expected);
		} else {
			memcpy(&wr_cnt, s.body, sizeof(wr_cnt));
			for (unsigned int i = 0; i < wr_cnt; i++) {
				uint64_t n = *expected + i;

				check_entry(&s, i, n, &n, sizeof(n));
			}
		}
		*expected += wr_cnt;
	}
	vuc_session_sent(f->s);
}

/* All of many writes are sent once and in order, however they are cut into messages. */
static void
test_many(void)
{
	struct fixture f;
	uint64_t expected = 0;

	create(&f, true);
	for (uint64_t n = 0; n < 20000; n++) {
		while (fixture_post(&f, n, &n, sizeof(n)) != 0)
			take_writes(&f, &expected);
		if (n % 777 == 0)
			take_writes(&f, &expected);
	}
	while (vuc_session_has_segment(f.s))
		take_writes(&f, &expected);
	CU_ASSERT_EQUAL(expected, 20000);
	fixture_close(&f);
}

static CU_TestInfo tests[] = {
	{"neighbours join", test_join},
	{"one stays alone", test_alone},
	{"order", test_order},
	{"a segment that was handed out", test_handed_out},
	{"not negotiated", test_not_negotiated},
	{"many", test_many},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{"session_write_multi", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
