/* SPDX-License-Identifier: BSD-3-Clause */

/* Posted writes that share a message, and those that do not. */

#include "session_fixture.h"

#define MULTI VFIO_USER_REGION_WRITE_MULTI
#define WRITE VFIO_USER_REGION_WRITE

static void
create_with(const char *capabilities)
{
	struct vuc_session_config config = fixture_config();

	config.version.write_multiple = true;
	fixture_negotiate(&config, message_version(0, 2, capabilities), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_session_state(session), VUC_SESSION_READY);
}

static void
create(bool write_multiple)
{
	create_with(write_multiple ? "{\"capabilities\":{\"write_multiple\":true}}"
				   : "{\"capabilities\":{}}");
}

/*
 * The commands that were sent, each as a letter: M for several writes, W, R. The writes are
 * checked: at offset *next and so on, with the offset as their data.
 */
static const char *
commands_sent(uint64_t *next)
{
	static char letters[20001];
	unsigned int n = 0;

	for (; n < fixture_nr_sent() && n < sizeof(letters) - 1; n++) {
		const struct vfio_user_header h = fixture_sent(n);
		const uint8_t *body = fixture_sent_body(n);
		struct vfio_user_write_multi_entry e;
		uint64_t wr_cnt = 0;

		letters[n] = h.cmd == MULTI ? 'M' : h.cmd == WRITE ? 'W' : 'R';
		if (h.cmd == WRITE)
			CU_ASSERT_EQUAL(memcmp(body, next, sizeof(*next)), 0);
		*next += h.cmd == WRITE;
		if (h.cmd != MULTI)
			continue;
		memcpy(&wr_cnt, body, sizeof(wr_cnt));
		CU_ASSERT_EQUAL(h.flags, VFIO_USER_F_NO_REPLY);
		CU_ASSERT_EQUAL_FATAL(h.msg_size, HEADER_SIZE + 8 + wr_cnt * sizeof(e));
		for (uint64_t i = 0; i < wr_cnt; i++, ++*next) {
			memcpy(&e, body + 8 + i * sizeof(e), sizeof(e));
			CU_ASSERT_EQUAL(e.offset, *next);
			CU_ASSERT_EQUAL(e.region, FIXTURE_REGION);
			CU_ASSERT(e.count >= 1 && e.count <= 8);
			CU_ASSERT_EQUAL(memcmp(e.data, next, e.count), 0);
		}
	}
	letters[n] = '\0';
	return letters;
}

/* A write of size bytes at offset *posted, which is its data. */
static int
post_next(uint64_t *posted, uint32_t size)
{
	uint64_t data[2] = {*posted, 0};
	int rc = fixture_post(*posted, data, size);

	*posted += rc == 0;
	return rc;
}

static void
test_joined(void)
{
	static const struct {
		const char *name;
		const char *asked; /* writes of so many bytes, and reads */
		const char *sent;
		bool not_negotiated;
	} cases[] = {
		{"neighbours join", "183", "M"},
		{"one stays alone", "4", "W"},
		{"what comes between keeps its place", "11r191", "MRWWW"},
		{"not negotiated", "11", "WW", true},
	};

	for (size_t i = 0; i < NR(cases); i++) {
		uint64_t posted = 0, sent = 0, data;
		struct outcome o = {0};
		const char *letters;

		vuc_tap_row("%s", cases[i].name);
		create(!cases[i].not_negotiated);
		for (const char *c = cases[i].asked; *c != '\0'; c++) {
			int rc = *c == 'r' ? fixture_read(0, &data, 4, &o)
					   : post_next(&posted, (uint32_t)(*c - '0'));

			CU_ASSERT_EQUAL(rc, 0);
		}
		CU_ASSERT_EQUAL(fixture_send(), 1);
		letters = commands_sent(&sent);
		CU_ASSERT(tap_text_is(letters, cases[i].sent));
		CU_ASSERT_EQUAL(sent, posted);
	}
}

/* A segment that was given out does not change. */
static void
test_handed_out(void)
{
	struct vuc_segment segment = {0}, again = {0};
	uint64_t posted = 0, sent = 1;

	create(true);
	post_next(&posted, 1);
	CU_ASSERT_TRUE(fixture_next_segment(&segment));
	post_next(&posted, 1);
	post_next(&posted, 1);
	CU_ASSERT_TRUE(fixture_next_segment(&again));
	CU_ASSERT_EQUAL(segment.len, HEADER_SIZE + 16 + 1);
	CU_ASSERT_EQUAL(memcmp(&segment, &again, sizeof(segment)), 0);
	vuc_session_sent(session);
	CU_ASSERT_EQUAL(fixture_send(), 1);
	CU_ASSERT_STRING_EQUAL(commands_sent(&sent), "M");
	CU_ASSERT_EQUAL(sent, 3);
}

/* All of many writes are sent once and in order, however they are cut into messages. */
static void
test_many(void)
{
	uint64_t posted = 0, sent = 0;

	create(true);
	while (posted < 20000) {
		if (post_next(&posted, 8) == 0 && posted % 777 != 1)
			continue;
		fixture_send_some(1);
		commands_sent(&sent);
	}
	fixture_send();
	commands_sent(&sent);
	CU_ASSERT_EQUAL(sent, 20000);
}

/* The server's max_data_xfer_size bounds the writes of a message. */
static void
test_bounded(void)
{
	uint64_t posted = 0, sent = 0;

	create_with("{\"capabilities\":{\"write_multiple\":true,\"max_data_xfer_size\":100}}");
	while (posted < 8)
		CU_ASSERT_EQUAL(post_next(&posted, 8), 0);
	fixture_send();
	CU_ASSERT_STRING_EQUAL(commands_sent(&sent), "MM");
	CU_ASSERT_EQUAL(sent, 8);
	for (unsigned int n = 0; n < fixture_nr_sent(); n++)
		CU_ASSERT(fixture_sent(n).msg_size - HEADER_SIZE - sizeof(uint64_t) <= 100);
}

const struct tap_suite tap_suite = {"session_write_multi", fixture_open_usual, fixture_close,
	{
		{"which writes are joined", test_joined},
		{"a segment that was handed out", test_handed_out},
		{"many", test_many},
		{"no more than the server takes", test_bounded},
	}};
