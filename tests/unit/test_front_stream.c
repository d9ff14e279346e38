/* SPDX-License-Identifier: BSD-3-Clause */

/* Bytes, descriptors and where messages begin; and the end of a connection. */

#include "front_fixture.h"

#define READ  VFIO_USER_REGION_READ
#define WRITE VFIO_USER_REGION_WRITE
#define MAP   VFIO_USER_DMA_MAP
#define RESET VFIO_USER_DEVICE_RESET

/* Most bytes of a message: header, fixed part, and as many interrupts as there may be. */
#define MAX_MESSAGE (16 + 32 + 65536)

/* Three messages in one piece: a map with a descriptor, a posted write and a read. */
struct stream {
	struct vfio_user_header map_header;
	struct vfio_user_dma_map map;
	struct vfio_user_header write_header;
	struct vfio_user_region_access write;
	uint8_t data[4];
	struct vfio_user_header read_header;
	struct vfio_user_region_access read;
} VFIO_USER_PACKED;

static const struct stream stream = {
	.map_header = {1, MAP, 48},
	.map = {32, 3, 0, 0x1000, 0x1000},
	.write_header = {2, WRITE, 36, VFIO_USER_F_NO_REPLY},
	.write = {8, 0, 4},
	.data = {1, 2, 3, 4},
	.read_header = {3, READ, 32},
	.read = {16, 0, 4},
};

static void
check_stream(int fd)
{
	struct front_request r = next_request(FRONT_DMA_MAP);

	CU_ASSERT(r.nr_fds == 1 && r.fds[0] == fd);
	CU_ASSERT(nothing_next());
	front_reply(front, r.token, 0);
	CU_ASSERT(is_reply(1, MAP, 0, NULL, 0));
	r = next_request(FRONT_ACCESS);
	CU_ASSERT(r.access.write && !r.owed && memcmp(r.access.data, stream.data, 4) == 0);
	front_reply(front, r.token, 0);
	r = next_request(FRONT_ACCESS);
	CU_ASSERT(!r.access.write && r.access.offset == 16 && r.nr_fds == 0);
	front_reply_read(front, r.token, 0, "abcd");
	CU_ASSERT_EQUAL(take_reply()->header.msg_id, 3);
	CU_ASSERT(nothing_next() && is_silent());
}

static void
test_pieces(void)
{
	const uint8_t *bytes = (const uint8_t *)&stream;
	struct front_request r;
	int fd = 100;

	for (size_t cut = 1; cut < sizeof(stream); cut++) {
		vuc_tap_row("cut at %zu", cut);
		CU_ASSERT_EQUAL(
			feed(bytes, cut, cut <= 48 ? &fd : NULL, cut <= 48), (ptrdiff_t)cut);
		if (cut > 48) {
			/* The kernel ends a receive behind the bytes that descriptors came with. */
			front_rig_open();
			feed(bytes, 48, &fd, 1);
			feed(bytes + 48, cut - 48, NULL, 0);
		}
		if (cut < 48)
			CU_ASSERT(nothing_next());
		feed(bytes + cut, sizeof(stream) - cut, NULL, 0);
		check_stream(fd);
	}
	for (size_t i = 0; i < sizeof(stream); i++)
		CU_ASSERT_EQUAL(feed(bytes + i, 1, i == 0 ? &fd : NULL, i == 0), 1);
	check_stream(fd);
	CU_ASSERT_EQUAL(front_next(front, &r), 0);
	CU_ASSERT(are_stray(NULL, 0));
}

/* Of several messages in one receive, the last one has the descriptors, even when no more than a
 * byte of its header is there. */
static void
test_fds_of_the_last(void)
{
	const struct vfio_user_header header = {9, MAP, 48};
	static const struct vfio_user_dma_map map = {32, 3, 0, 0x1000, 0x1000};
	int fds[2] = {200, 201};

	for (size_t begun = 1; begun <= 48; begun++) {
		uint8_t bytes[48 + 48];
		struct front_request r;

		vuc_tap_row("%zu bytes of the second map", begun);
		memcpy(bytes, &header, 16);
		memcpy(bytes + 16, &map, 32);
		memcpy(bytes + 48, bytes, 48);
		bytes[48] = 10;
		CU_ASSERT_EQUAL(feed(bytes, 48 + begun, fds, 1), (ptrdiff_t)(48 + begun));
		r = next_request(FRONT_DMA_MAP);
		CU_ASSERT_EQUAL(r.nr_fds, 0);
		front_reply(front, r.token, 0);
		if (begun < 48)
			CU_ASSERT_EQUAL(feed(bytes + 48 + begun, 48 - begun, NULL, 0),
				(ptrdiff_t)(48 - begun));
		r = next_request(FRONT_DMA_MAP);
		CU_ASSERT(r.nr_fds == 1 && r.fds[0] == 200);
		front_reply(front, r.token, 0);
		CU_ASSERT(is_reply(9, MAP, 0, NULL, 0) && is_reply(10, MAP, 0, NULL, 0));
	}
}

/* Descriptors that come with the middle of a message are that one's. */
static void
test_fds_late(void)
{
	const uint8_t *bytes = (const uint8_t *)&stream;
	struct front_request r;
	int fd = 300;

	feed(bytes, 20, NULL, 0);
	feed(bytes + 20, 28, &fd, 1);
	r = next_request(FRONT_DMA_MAP);
	CU_ASSERT(r.nr_fds == 1 && r.fds[0] == 300);
	front_reply(front, r.token, 0);
	/* Two pieces with one each are two of one message. */
	feed(bytes, 20, &fd, 1);
	feed(bytes + 20, 28, &fd, 1);
	CU_ASSERT(is_answered(1, MAP, 0, NULL, 0) && is_reply(1, MAP, EINVAL, NULL, 0));
	CU_ASSERT_EQUAL(front_take_stray_fds(front, &fd, 1), 1);
	CU_ASSERT_EQUAL(front_take_stray_fds(front, &fd, 1), 1);
	CU_ASSERT_EQUAL(front_take_stray_fds(front, &fd, 1), 0);
}

static void
test_too_many_fds(void)
{
	int fds[253];

	for (int i = 0; i < 253; i++)
		fds[i] = 1000 + i;
	CU_ASSERT_EQUAL(send_map(1, fds, 1), 0);
	CU_ASSERT_EQUAL(send_map(2, fds + 1, FRONT_MAX_FDS + 1), -EPROTO);
	CU_ASSERT(has_ended("a message has 33 file descriptors, expected at most 32"));
	CU_ASSERT(are_stray(fds, 1 + FRONT_MAX_FDS + 1));
	front_rig_open();
	CU_ASSERT_EQUAL(send_map(1, fds, 253), -EPROTO);
	CU_ASSERT(are_stray(fds, 253));
	/* As many in two pieces of one message. */
	front_rig_open();
	CU_ASSERT_EQUAL(feed(&stream, 20, fds, 20), 20);
	CU_ASSERT_EQUAL(feed((const uint8_t *)&stream + 20, 28, fds + 20, 13), -EPROTO);
	CU_ASSERT(are_stray(fds, 33));
	/* What comes then is nobody's. */
	CU_ASSERT_EQUAL(front_received(front, 0, fds, 3, now_ms), -EPROTO);
	CU_ASSERT(are_stray(fds, 3));
	CU_ASSERT(is_silent());
}

/* A client that sends descriptors and has them wait is stopped from sending more. */
static void
test_fds_ahead(void)
{
	const struct vfio_user_irq_set set = {20,
		VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSIX_IRQ_INDEX, 0,
		8};
	int fds[512];
	struct front_request r;
	unsigned int sent = 0;
	size_t room;

	for (int i = 0; i < 512; i++)
		fds[i] = 1000 + i;
	while (send_with_fds((uint16_t)sent, VFIO_USER_DEVICE_SET_IRQS, &set, 20, fds + 8 * sent,
		       8) == 0 &&
		sent < 60)
		sent++;
	CU_ASSERT_EQUAL(sent, 13);
	for (unsigned int i = 0; i < sent; i++) {
		r = next_request(FRONT_SET_IRQS);
		CU_ASSERT(
			r.nr_fds == 8 && memcmp(r.fds, fds + (size_t)8 * i, 8 * sizeof(int)) == 0);
		CU_ASSERT(nothing_next());
		front_reply(front, r.token, 0);
		front_room(front, &room);
		CU_ASSERT(room > 0);
	}
	front_end(front, NULL);
	CU_ASSERT(are_stray(NULL, 0));
}

/* Nothing is received while somebody has to take care of what came. */
static void
test_stray_first(void)
{
	int fd = 400;
	size_t room;

	CU_ASSERT_EQUAL(send_with_fds(1, RESET, NULL, 0, &fd, 1), 0);
	CU_ASSERT(nothing_next());
	front_room(front, &room);
	CU_ASSERT_EQUAL(room, 0);
	CU_ASSERT(are_stray(&fd, 1));
	front_room(front, &room);
	CU_ASSERT(room > 0);
}

static const struct broken_row {
	const char *name;
	struct vfio_user_header header;
	const char *why;
} broken[] = {
	{"size 0", {5, READ, 0},
		"message 0x0005 (VFIO_USER_REGION_READ): msg_size 0, expected 16 to 65584"},
	{"size 15", {5, READ, 15},
		"message 0x0005 (VFIO_USER_REGION_READ): msg_size 15, expected 16 to 65584"},
	{"too large", {5, WRITE, MAX_MESSAGE + 1},
		"message 0x0005 (VFIO_USER_REGION_WRITE): msg_size 65585, expected 16 to 65584"},
	{"4 GiB", {0xffff, 200, UINT32_MAX},
		"message 0xffff ((unknown)): msg_size 4294967295, expected 16 to 65584"},
	{"a reply", {5, READ, 16, VFIO_USER_F_TYPE_REPLY},
		"message 0x0005 (VFIO_USER_REGION_READ): not a command"},
	{"type 2", {5, RESET, 16, 2}, "message 0x0005 (VFIO_USER_DEVICE_RESET): not a command"},
	{"a read without reply", {5, READ, 16, VFIO_USER_F_NO_REPLY},
		"message 0x0005 (VFIO_USER_REGION_READ): a command without its reply is of no use"},
	{"a question without reply", {5, VFIO_USER_DEVICE_GET_INFO, 16, VFIO_USER_F_NO_REPLY},
		"message 0x0005 (VFIO_USER_DEVICE_GET_INFO): a command without its reply is of no use"},
};

static void
test_broken(void)
{
	for (size_t i = 0; i < NR(broken); i++) {
		struct front_request r;
		size_t room;
		int rc;

		vuc_tap_row("%s", broken[i].name);
		front_rig_open();
		rc = (int)feed(&broken[i].header, 16, NULL, 0);
		CU_ASSERT(rc == 16 || rc == -EPROTO);
		CU_ASSERT_EQUAL(front_next(front, &r), -EPROTO);
		CU_ASSERT(has_ended(broken[i].why));
		CU_ASSERT_EQUAL(front_next(front, &r), -EPROTO);
		CU_ASSERT_EQUAL(front_expire(front, now_ms), -EPROTO);
		CU_ASSERT_EQUAL(front_deadline_ms(front), 0);
		front_room(front, &room);
		CU_ASSERT_EQUAL(room, 0);
		CU_ASSERT(is_silent());
	}
}

/* The largest message, and that what is behind it is found. */
static void
test_largest(void)
{
	static uint8_t body[MAX_MESSAGE - 16];

	CU_ASSERT_EQUAL(send_message(1, 14, 0, body, sizeof(body)), 0);
	CU_ASSERT_EQUAL(send_question(2), -ENOBUFS);
	CU_ASSERT(is_answered(1, 14, EOPNOTSUPP, NULL, 0));
	CU_ASSERT_EQUAL(send_question(2), 0);
	CU_ASSERT(nothing_next());
	CU_ASSERT_EQUAL(take_reply()->header.msg_id, 2);
}

/* A poller has other devices: what is answered at once is bounded by what is received at once, but
 * large messages come in two receives. */
static void
test_room(void)
{
	const struct vfio_user_header large = {1, WRITE, 16 + 16 + MAX_DATA};
	const struct vfio_user_region_access access = {0, 2, MAX_DATA};
	static uint8_t data[MAX_DATA];
	size_t room;

	front_room(front, &room);
	CU_ASSERT_EQUAL(room, READ_AHEAD);
	CU_ASSERT_EQUAL(feed(&large, 15, NULL, 0), 15);
	front_room(front, &room);
	CU_ASSERT_EQUAL(room, READ_AHEAD - 15);
	CU_ASSERT_EQUAL(feed((const uint8_t *)&large + 15, 1, NULL, 0), 1);
	front_room(front, &room);
	CU_ASSERT_EQUAL(room, 16 + MAX_DATA);
	CU_ASSERT_EQUAL(feed(&access, 16, NULL, 0), 16);
	CU_ASSERT_EQUAL(feed(data, MAX_DATA, NULL, 0), MAX_DATA);
	front_room(front, &room);
	CU_ASSERT_EQUAL(room, 0);
	CU_ASSERT(next_request(FRONT_ACCESS).access.data != NULL);
	front_room(front, &room);
	CU_ASSERT_EQUAL(room, READ_AHEAD);
}

static void
test_end(void)
{
	static const struct vfio_user_region_info info = {32};
	int fds[3] = {600, 601, 602};

	CU_ASSERT_PTR_NULL(front_why(front));
	CU_ASSERT_EQUAL(send_message(1, VFIO_USER_DEVICE_GET_REGION_INFO, 0, &info, 32), 0);
	front_reply_fd(front, next_request(FRONT_REGION_FD).token, 0, 602);
	CU_ASSERT_EQUAL(send_map(2, fds, 1), 0);
	CU_ASSERT_EQUAL(send_map(3, fds + 1, 1), 0);
	front_end(front, "the VMM has \n closed");
	CU_ASSERT(has_ended("the VMM has ? closed"));
	front_end(front, "another reason");
	CU_ASSERT(has_ended("the VMM has ? closed"));
	CU_ASSERT(are_stray(fds, 3));
	CU_ASSERT_EQUAL(front_outstanding(front), 0);
}

/* Bytes of a client that sends without end, in pieces of any size, while requests are answered now
 * and then: none is lost, none is twice. */
static void
test_storm(void)
{
	uint8_t bytes[48];
	struct front_request r;
	unsigned int seed = 1, answered = 0, sent = 0, tokens[FRONT_MAX_REQUESTS], n = 0;
	size_t at = 0;

	while (answered < 20000) {
		const struct vfio_user_header header = {(uint16_t)sent, WRITE, 36};
		const struct vfio_user_region_access access = {0, 0, 4};
		size_t len = 36 - at, room;

		memcpy(bytes, &header, 16);
		memcpy(bytes + 16, &access, 16);
		memcpy(bytes + 32, &sent, 4);
		seed = seed * 1103515245 + 12345;
		if ((seed >> 16) % 3 == 0)
			len = len < (seed >> 20) % 36 ? len : (seed >> 20) % 36;
		room = (size_t)feed(bytes + at, len, NULL, 0);
		at = (at + room) % 36;
		sent += room > 0 && at == 0;
		while ((seed >> 18) % 5 != 0 && n < FRONT_MAX_REQUESTS &&
			front_next(front, &r) == 1) {
			unsigned int number;

			memcpy(&number, r.access.data, 4);
			CU_ASSERT_EQUAL_FATAL(number, answered + n);
			tokens[n++] = r.token;
		}
		if ((seed >> 22) % 7 != 0)
			continue;
		for (unsigned int i = 0; i < n; i++) {
			front_reply(front, tokens[i], 0);
			CU_ASSERT_EQUAL_FATAL(take_reply()->header.msg_id, (uint16_t)answered++);
		}
		n = 0;
	}
}

const struct tap_suite tap_suite = {"front_stream", front_rig_open, front_rig_destroy,
	{
		{"messages in pieces, cut at every byte", test_pieces},
		{"descriptors belong to the message that begins last", test_fds_of_the_last},
		{"descriptors that come late", test_fds_late},
		{"too many descriptors", test_too_many_fds},
		{"descriptors ahead of their turn are bounded", test_fds_ahead},
		{"stray descriptors are to be taken first", test_stray_first},
		{"broken headers end the connection", test_broken},
		{"the largest message", test_largest},
		{"how much is received at once", test_room},
		{"the end of a connection", test_end},
		{"a storm of writes in pieces", test_storm},
	}};
