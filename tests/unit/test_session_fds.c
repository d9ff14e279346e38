/* SPDX-License-Identifier: BSD-3-Clause */

/* Descriptors that come: with the message they belong to, within bounds, and never left open. */

#include <unistd.h>

#include "session_fixture.h"

static const uint8_t payload[4] = {0xde, 0xad, 0xbe, 0xef};

/* Two replies with descriptors, others before, between and behind them. */
struct fd_talk {
	struct outcome read, info[2], reset;
	uint8_t data[4];
};

#define NR_FD_PARTS 5u

static void
make_fd_requests(struct fixture *f, struct fd_talk *t)
{
	memset(t, 0, sizeof(*t));
	CU_ASSERT_EQUAL_FATAL(fixture_read(f, 0x10, t->data, 4, &t->read), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_region_info(f, 1, &t->info[0]), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_region_info(f, 2, &t->info[1]), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_reset(f, &t->reset), 0);
	fixture_send(f);
}

/* files: descriptors whose duplicates the server sends; a single one, then a pair. */
static void
build_fd_answers(const struct fixture *f, struct part *parts, const int *files)
{
	struct vfio_user_header h[4];

	for (unsigned int i = 0; i < 4; i++)
		h[i] = fixture_sent(f, i);
	memset(parts, 0, NR_FD_PARTS * sizeof(*parts));
	parts[0].m = message_access(&h[0], 0x10, 4, payload, 4);
	parts[1].m = message_region_info(&h[1], 1);
	parts[1].nr_fds = 1;
	parts[1].fds[0] = dup(files[0]);
	parts[2].m = message_dma_read(0x77, 0);
	parts[3].m = message_region_info(&h[2], 2);
	parts[3].nr_fds = 2;
	parts[3].fds[0] = dup(files[1]);
	parts[3].fds[1] = dup(files[2]);
	parts[4].m = message_reply(&h[3], NULL, 0);
}

/* Whether each descriptor came with its reply and none is left open. */
static bool
fds_complete(struct fixture *f, const struct fd_talk *t, const ino_t *inodes)
{
	bool done = t->read.calls == 1 && t->info[0].calls == 1 && t->info[1].calls == 1 &&
		t->reset.calls == 1;
	bool fds = t->info[0].nr_fds == 1 && t->info[0].inodes[0] == inodes[0] &&
		t->info[1].nr_fds == 2 && t->info[1].inodes[0] == inodes[1] &&
		t->info[1].inodes[1] == inodes[2];

	return done && fds && vuc_session_state(f->s) == VUC_SESSION_READY &&
		fixture_send(f) == 1 && fixture_count_fds() == f->nr_fds;
}

static void
test_fd_cuts(void)
{
	int files[3] = {fixture_new_fd(), fixture_new_fd(), fixture_new_fd()};
	struct part parts[NR_FD_PARTS];
	struct fd_talk t;
	struct fixture f;
	ino_t inodes[3];
	size_t len = 1;

	for (unsigned int i = 0; i < 3; i++)
		inodes[i] = fixture_inode(files[i]);
	fixture_open(&f, NULL);
	for (size_t first = 0; first < len; first++) {
		for (size_t second = first; second < len; second++) {
			make_fd_requests(&f, &t);
			build_fd_answers(&f, parts, files);
			len = fixture_parts_len(parts, NR_FD_PARTS);
			fixture_feed_parts(&f, parts, NR_FD_PARTS, first, second);
			CU_ASSERT_TRUE_FATAL(fds_complete(&f, &t, inodes));
		}
	}
	CU_ASSERT_EQUAL(len, 36 + 48 + 32 + 48 + 16);
	fixture_close(&f);
	for (unsigned int i = 0; i < 3; i++)
		close(files[i]);
}

/* A session that awaits the reply of GET_REGION_INFO. */
static struct message
ask_region_info(struct fixture *f, struct outcome *o)
{
	struct vfio_user_header h;

	fixture_open(f, NULL);
	CU_ASSERT_EQUAL_FATAL(fixture_region_info(f, 1, o), 0);
	fixture_send(f);
	h = fixture_sent(f, 0);
	return message_region_info(&h, 1);
}

static void
new_fds(int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		fds[i] = fixture_new_fd();
}

static void
test_taken(void)
{
	int kept = -1, fds[2];
	struct outcome o = {.keep = &kept};
	struct message reply;
	struct fixture f;

	reply = ask_region_info(&f, &o);
	new_fds(fds, 2);
	fixture_feed(&f, reply.bytes, reply.len, fds, 2);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.nr_fds, 2);
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds + 1);
	CU_ASSERT_EQUAL(fixture_inode(kept), o.inodes[0]);
	CU_ASSERT_EQUAL(close(kept), 0);
	fixture_close(&f);
}

/* Descriptors of one message that come with several of its pieces add up. */
static void
test_spread(void)
{
	struct outcome o = {0};
	struct message reply;
	struct fixture f;
	int fds[4];

	reply = ask_region_info(&f, &o);
	new_fds(fds, 4);
	for (size_t i = 0; i < 4; i++)
		fixture_feed(&f, reply.bytes + i * reply.len / 4, reply.len / 4, &fds[i], 1);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.nr_fds, 4);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	fixture_close(&f);
}

static void
test_too_many(void)
{
	static const char reason[] = "a message carried more than 4 file descriptors";
	struct outcome o = {0};
	struct message reply;
	struct fixture f;
	int fds[16];

	reply = ask_region_info(&f, &o);
	new_fds(fds, 5);
	fixture_feed(&f, reply.bytes, reply.len, fds, 5);
	CU_ASSERT_TRUE(fixture_lost(&f, -EPROTO, reason));
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.status, -EPROTO);
	fixture_close(&f);

	/* Spread over pieces, and with many more in the last. */
	o = (struct outcome){0};
	reply = ask_region_info(&f, &o);
	new_fds(fds, 16);
	fixture_feed(&f, reply.bytes, 1, fds, 4);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_READY);
	fixture_feed(&f, reply.bytes + 1, 1, fds + 4, 12);
	CU_ASSERT_TRUE(fixture_lost(&f, -EPROTO, reason));
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds);
	CU_ASSERT_EQUAL(o.calls, 1);
	fixture_close(&f);
}

static void
test_none_wanted(void)
{
	struct vuc_session_config config = fixture_config();
	const struct message reply = message_version(0, 2, "{}");
	struct fixture f;
	int fd;

	config.version.max_msg_fds = 0;
	fixture_create(&f, &config);
	fixture_send(&f);
	fd = fixture_new_fd();
	fixture_feed(&f, reply.bytes, reply.len, &fd, 1);
	CU_ASSERT_TRUE(fixture_lost(&f, -EPROTO, "a message carried more than 0 file descriptors"));
	fixture_close(&f);
}

/* More than a message of vuc's can hold, though announced. */
static void
test_most(void)
{
	struct vuc_session_config config = fixture_config();
	const struct message reply = message_version(0, 2, "{}");
	struct fixture f;
	int fds[17];

	config.version.max_msg_fds = 1000;
	fixture_create(&f, &config);
	fixture_send(&f);
	new_fds(fds, 17);
	fixture_feed(&f, reply.bytes, reply.len, fds, 17);
	CU_ASSERT_TRUE(
		fixture_lost(&f, -EPROTO, "a message carried more than 16 file descriptors"));
	fixture_close(&f);
}

static void
test_not_asked_for(void)
{
	struct vfio_user_header h;
	struct outcome o = {0};
	struct message reply;
	struct fixture f;
	int fds[2];

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	fixture_send(&f);
	h = fixture_sent(&f, 0);
	reply = message_reply(&h, NULL, 0);
	new_fds(fds, 2);
	fixture_feed(&f, reply.bytes, reply.len, fds, 2);
	CU_ASSERT_TRUE(fixture_lost(&f, -EPROTO,
		"message 0x0004 (VFIO_USER_DEVICE_RESET): carried 2 unexpected file descriptors"));
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.nr_fds, 0);
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds);
	fixture_close(&f);
}

static void
test_with_error(void)
{
	struct vfio_user_header h;
	struct outcome o = {0};
	struct message reply;
	struct fixture f;
	int fd;

	reply = ask_region_info(&f, &o);
	h = message_header(&reply);
	reply = message_error(&h, EINVAL);
	fd = fixture_new_fd();
	fixture_feed(&f, reply.bytes, reply.len, &fd, 1);
	CU_ASSERT_TRUE(fixture_lost(&f, -EPROTO,
		"message 0x0004 (VFIO_USER_DEVICE_GET_REGION_INFO): carried 1 unexpected file descriptors"));
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds);
	fixture_close(&f);
}

/* What comes behind the end of a session is closed, however it ended. */
static void
test_behind_the_end(void)
{
	struct part parts[2] = {0};
	struct outcome o = {0};
	struct fixture f;

	fixture_open(&f, NULL);
	CU_ASSERT_EQUAL(fixture_reset(&f, &o), 0);
	fixture_send(&f);
	parts[0].m = message_build((struct vfio_user_header){.flags = 0x40}, NULL, 0);
	parts[1].m = message_dma_read(1, 0);
	parts[1].nr_fds = 5;
	new_fds(parts[1].fds, 5);
	fixture_feed_parts(&f, parts, 2, 0, 0);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_LOST);
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds);
	new_fds(parts[1].fds, 5);
	fixture_feed_parts(&f, parts + 1, 1, 3, 7);
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds);
	fixture_close(&f);

	fixture_open(&f, NULL);
	vuc_session_drain(f.s);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_CLOSED);
	new_fds(parts[1].fds, 5);
	fixture_feed_parts(&f, parts + 1, 1, 0, 0);
	CU_ASSERT_EQUAL(vuc_session_state(f.s), VUC_SESSION_CLOSED);
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds);
	fixture_close(&f);
}

/* A message that never becomes whole. */
static void
test_left_behind(void)
{
	struct outcome o = {0};
	struct message reply;
	struct fixture f;
	int fds[2];

	reply = ask_region_info(&f, &o);
	new_fds(fds, 2);
	fixture_feed(&f, reply.bytes, 40, fds, 2);
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds + 2);
	vuc_session_lost(f.s, 0);
	CU_ASSERT_TRUE(fixture_lost(
		&f, -ECONNRESET, "the server closed the connection 40 bytes into a message"));
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds);
	CU_ASSERT_EQUAL(o.calls, 1);
	new_fds(fds, 2);
	fixture_feed(&f, reply.bytes + 40, reply.len - 40, fds, 2);
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds);
	CU_ASSERT_EQUAL(o.calls, 1);
	fixture_close(&f);

	/* Destroyed in the middle of one. */
	o = (struct outcome){0};
	reply = ask_region_info(&f, &o);
	new_fds(fds, 1);
	fixture_feed(&f, reply.bytes, 3, fds, 1);
	fixture_close(&f);
}

static void
end_inside(void *arg, struct outcome *o)
{
	(void)o;
	vuc_session_end(arg, -ECANCELED, "a callback says so");
}

/* The rest of a receive is dropped when a callback ends the session. */
static void
test_end_inside(void)
{
	struct part parts[3] = {0};
	struct vfio_user_header h[3];
	struct outcome o[3] = {{0}, {.then = end_inside}, {0}};
	struct fixture f;

	fixture_open(&f, NULL);
	o[1].arg = f.s;
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(fixture_region_info(&f, i, &o[i]), 0);
	fixture_send(&f);
	for (unsigned int i = 0; i < 3; i++) {
		h[i] = fixture_sent(&f, i);
		parts[i].m = message_region_info(&h[i], i);
		parts[i].nr_fds = i;
		new_fds(parts[i].fds, i);
	}
	fixture_feed_parts(&f, parts, 3, 0, 0);
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(o[i].calls, 1);
	CU_ASSERT_EQUAL(o[1].status, 0);
	CU_ASSERT_EQUAL(o[1].nr_fds, 1);
	CU_ASSERT_EQUAL(o[2].status, -ECANCELED);
	CU_ASSERT_STRING_EQUAL(o[2].reason, "a callback says so");
	CU_ASSERT_EQUAL(fixture_count_fds(), f.nr_fds);
	fixture_close(&f);
}

static CU_TestInfo tests[] = {
	{"descriptors in every cut and pair of cuts", test_fd_cuts},
	{"a descriptor taken by the callback", test_taken},
	{"descriptors of one message in pieces", test_spread},
	{"too many descriptors", test_too_many},
	{"no descriptors wanted", test_none_wanted},
	{"more descriptors than there is room for", test_most},
	{"descriptors that nobody asked for", test_not_asked_for},
	{"descriptors of an error", test_with_error},
	{"bytes and descriptors behind the end", test_behind_the_end},
	{"a message that stays in parts", test_left_behind},
	{"a callback ends the session", test_end_inside},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{"session_fds", NULL, NULL, NULL, NULL, tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
