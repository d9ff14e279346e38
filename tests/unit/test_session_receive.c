/* SPDX-License-Identifier: BSD-3-Clause */

/* Bytes in all the pieces in which a stream socket may deliver them. */

#include "session_fixture.h"

#define NR_PARTS 7u
#define LARGE    (1u << 20)

static const uint8_t payload[4] = {0xde, 0xad, 0xbe, 0xef};

/* Five requests that the server answers in as many ways, and two commands of its own. */
struct talk {
	struct outcome read, write, reset, info[2];
	uint8_t data[4];
	struct part parts[NR_PARTS];
};

static void
open_for_talk(void)
{
	struct vuc_session_config config = fixture_config();

	config.max_requests = 8;
	fixture_open(&config);
}

/* files: what the server sends duplicates of, one with a reply and two with another; NULL: none. */
static void
talk_ask(struct talk *t, const int *files)
{
	*t = (struct talk){0};
	CU_ASSERT_EQUAL_FATAL(fixture_read(0x10, t->data, 4, &t->read), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_write(0x20, payload, 4, &t->write), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_reset(&t->reset), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_region_info(1, &t->info[0]), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_region_info(2, &t->info[1]), 0);
	fixture_send();
	CU_ASSERT_EQUAL_FATAL(fixture_nr_sent(), 5);
	t->parts[0].m = message_access(fixture_sent(0), 0x10, 4, payload, 4);
	t->parts[1].m = message_region_info(fixture_sent(3), 1);
	t->parts[2].m = message_dma_read(0x77, 0);
	t->parts[3].m = message_region_info(fixture_sent(4), 2);
	t->parts[4].m = message_error(fixture_sent(2), EBUSY);
	t->parts[5].m = message_access(fixture_sent(1), 0x20, 4, NULL, 0);
	t->parts[6].m = message_dma_write(0x78, VFIO_USER_F_NO_REPLY);
	for (unsigned int i = 0; files != NULL && i < 3; i++) {
		struct part *part = &t->parts[i == 0 ? 1 : 3];

		part->fds[part->nr_fds++] = dup(files[i]);
	}
}

/* Whether everything came as it was sent, once, and no descriptor is left open. */
static bool
complete(const struct talk *t, const ino_t *inodes)
{
	bool done = t->read.calls == 1 && t->read.status == 0 && t->write.calls == 1 &&
		t->write.status == 0 && t->reset.calls == 1 && t->reset.status == -EBUSY;

	for (unsigned int i = 0; i < 2; i++) {
		const struct outcome *info = &t->info[i];

		done = done && info->calls == 1 && info->status == 0 && info->len == 32 &&
			info->nr_fds == (inodes != NULL ? 1 + i : 0) &&
			(inodes == NULL ||
				memcmp(info->inodes, inodes + i, (1 + i) * sizeof(*inodes)) == 0);
	}
	return done && memcmp(t->data, payload, 4) == 0 &&
		vuc_session_state(session) == VUC_SESSION_READY &&
		vuc_session_outstanding(session) == 0 && fixture_send() == 1 &&
		fixture_nr_sent() == 1 && fixture_sent(0).msg_id == 0x77 && fixture_new_fds() == 0;
}

static void
receive_cut(const int *files, const ino_t *inodes)
{
	size_t len = 1;
	struct talk t;

	for (size_t first = 0; first < len; first++) {
		for (size_t second = first; second < len; second++) {
			talk_ask(&t, files);
			len = fixture_parts_len(t.parts, NR_PARTS);
			fixture_feed_parts(t.parts, NR_PARTS, first, second);
			CU_ASSERT_TRUE_FATAL(complete(&t, inodes));
		}
	}
	CU_ASSERT_EQUAL(len, 36 + 48 + 32 + 48 + 16 + 32 + 36);
}

static void
test_cuts(void)
{
	open_for_talk();
	receive_cut(NULL, NULL);
}

static void
test_cuts_with_fds(void)
{
	int files[3];
	ino_t inodes[3];

	fixture_close();
	for (unsigned int i = 0; i < 3; i++) {
		files[i] = fixture_new_fd();
		inodes[i] = fixture_inode(files[i]);
	}
	open_for_talk();
	receive_cut(files, inodes);
	fixture_close();
	for (unsigned int i = 0; i < 3; i++)
		close(files[i]);
}

/* A request completes with the byte that completes its reply, no sooner. */
static void
test_byte_by_byte(void)
{
	struct talk t;

	open_for_talk();
	talk_ask(&t, NULL);
	for (unsigned int i = 0; i < NR_PARTS; i++) {
		for (size_t byte = 0; byte < t.parts[i].m.len; byte++) {
			CU_ASSERT_EQUAL(t.read.calls, i > 0);
			CU_ASSERT_EQUAL(memcmp(t.data, i > 0 ? payload : (uint8_t[4]){0}, 4), 0);
			fixture_feed(NULL, 0, NULL, 0);
			fixture_feed(&t.parts[i].m.bytes[byte], 1, NULL, 0);
		}
	}
	CU_ASSERT_TRUE(complete(&t, NULL));
}

/* A header that is wrong is found so as soon as it is there, whatever follows. */
static void
test_bad_header(void)
{
	const struct vfio_user_header h = {.msg_size = 0xffffffff, .flags = REPLY};

	for (size_t cut = 1; cut < HEADER_SIZE; cut++) {
		const struct message m = message_build(h, NULL, 0);
		struct outcome o = {0};

		fixture_open(NULL);
		CU_ASSERT_EQUAL(fixture_reset(&o), 0);
		fixture_send();
		fixture_feed(m.bytes, cut, NULL, 0);
		CU_ASSERT_EQUAL(vuc_session_state(session), VUC_SESSION_READY);
		fixture_feed(m.bytes + cut, HEADER_SIZE - cut, NULL, 0);
		CU_ASSERT_EQUAL(vuc_session_state(session), VUC_SESSION_LOST);
		CU_ASSERT_EQUAL(o.calls, 1);
		fixture_feed(m.bytes, HEADER_SIZE, NULL, 0);
	}
}

/* The reply to a read of LARGE bytes. */
static void
test_large(void)
{
	static uint8_t reply[HEADER_SIZE + 16 + LARGE], data[LARGE];
	struct vuc_session_config config = fixture_config();
	struct outcome o = {0};
	struct message m;

	config.version.max_data_xfer_size = LARGE;
	fixture_negotiate(&config, message_version(0, 2, "{}"), 0);
	CU_ASSERT_EQUAL(fixture_read(0, data, LARGE, &o), 0);
	fixture_send();
	m = message_access(fixture_sent(0), 0, LARGE, NULL, 0);
	memcpy(reply, m.bytes, m.len);
	memcpy(reply + 4, &(uint32_t){sizeof(reply)}, 4);
	for (size_t i = 0; i < LARGE; i++)
		reply[m.len + i] = (uint8_t)(i * 31 / 7);

	for (size_t pos = 0; pos < sizeof(reply); pos += 36000) {
		size_t left = sizeof(reply) - pos;

		CU_ASSERT_EQUAL(o.calls, 0);
		fixture_feed(reply + pos, left < 36000 ? left : 36000, NULL, 0);
	}
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.status, 0);
	CU_ASSERT_EQUAL(memcmp(data, reply + m.len, LARGE), 0);
}

const struct tap_suite tap_suite = {"session_receive", fixture_open_usual, fixture_close,
	{
		{"every cut and pair of cuts", test_cuts},
		{"every cut and pair of cuts, with descriptors", test_cuts_with_fds},
		{"byte by byte", test_byte_by_byte},
		{"a bad header in two pieces", test_bad_header},
		{"a large message in many pieces", test_large},
	}};
