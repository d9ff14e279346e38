/* SPDX-License-Identifier: BSD-3-Clause */

/* Requests, their answers and their time. */

#include "front_fixture.h"

#define READ  VFIO_USER_REGION_READ
#define MAP   VFIO_USER_DMA_MAP
#define UNMAP VFIO_USER_DMA_UNMAP
#define RESET VFIO_USER_DEVICE_RESET

static int
send_unmap(uint16_t id)
{
	const struct vfio_user_dma_unmap unmap = {24, 0, id * UINT64_C(4096), 4096};

	return send_message(id, UNMAP, 0, &unmap, sizeof(unmap));
}

static void
test_before_version(void)
{
	struct front_request r;

	front_rig_create();
	CU_ASSERT_EQUAL(send_read(1, 0, 0, 4), 0);
	CU_ASSERT_EQUAL(front_next(front, &r), -EPROTO);
	CU_ASSERT(has_ended(
		"message 0x0001 (VFIO_USER_REGION_READ): a command before VFIO_USER_VERSION"));
}

/* What it has sent of one does not count. */
static void
test_no_version(void)
{
	const uint8_t part[10] = {0};

	front_rig_create();
	CU_ASSERT_EQUAL(front_deadline_ms(front), now_ms + REPLY_MS);
	CU_ASSERT_EQUAL(front_expire(front, now_ms + REPLY_MS - 1), 0);
	CU_ASSERT_EQUAL(feed(part, sizeof(part), NULL, 0), sizeof(part));
	CU_ASSERT(nothing_next());
	CU_ASSERT_EQUAL(front_deadline_ms(front), now_ms + REPLY_MS);
	CU_ASSERT_EQUAL(front_expire(front, now_ms + REPLY_MS), -ETIMEDOUT);
	CU_ASSERT(has_ended("no VFIO_USER_VERSION within 4000 ms"));
	CU_ASSERT_EQUAL(front_deadline_ms(front), 0);
	front_rig_open();
	CU_ASSERT_EQUAL(front_deadline_ms(front), 0);
}

static void
test_ids(void)
{
	struct front_request first, r;

	CU_ASSERT_EQUAL(send_write(7, VFIO_USER_F_NO_REPLY, 0, 0, "abcd", 4), 0);
	first = next_request(FRONT_ACCESS);
	/* A posted write's id is nobody's. */
	CU_ASSERT_EQUAL(send_read(7, 0, 0, 4), 0);
	r = next_request(FRONT_ACCESS);
	CU_ASSERT_EQUAL(send_write(7, VFIO_USER_F_NO_REPLY, 0, 0, "abcd", 4), 0);
	front_reply(front, next_request(FRONT_ACCESS).token, 0);
	front_reply(front, first.token, 0);
	front_reply_read(front, r.token, 0, "abcd");
	/* Cloud Hypervisor uses an id again as soon as it has its reply. */
	CU_ASSERT_EQUAL(send_read(7, 0, 0, 4), 0);
	r = next_request(FRONT_ACCESS);
	CU_ASSERT_EQUAL(send_read(8, 0, 0, 4), 0);
	CU_ASSERT_EQUAL(send_read(7, 0, 0, 4), 0);
	next_request(FRONT_ACCESS);
	CU_ASSERT_EQUAL(front_next(front, &r), -EPROTO);
	CU_ASSERT(has_ended(
		"message 0x0007 (VFIO_USER_REGION_READ): an earlier command has this message "
		"id"));
}

/* Kinds of requests that may be carried out at a time; all others one by one. */
static const struct order_row {
	const char *name;
	char first, second;
	bool together;
} orders[] = {
	{"read, read", 'r', 'r', true},
	{"read, write", 'r', 'w', true},
	{"write, read", 'w', 'r', true},
	{"posted write, read", 'p', 'r', true},
	{"map, map", 'm', 'm', true},
	{"unmap, unmap", 'u', 'u', true},
	{"map, unmap", 'm', 'u', false},
	{"unmap, map", 'u', 'm', false},
	{"read, map", 'r', 'm', false},
	{"map, read", 'm', 'r', false},
	{"posted write, reset", 'p', 'x', false},
	{"read, reset", 'r', 'x', false},
	{"reset, read", 'x', 'r', false},
	{"reset, reset", 'x', 'x', false},
	{"interrupts, interrupts", 'i', 'i', false},
	{"map, interrupts", 'm', 'i', false},
	{"region, region", 'f', 'f', false},
	{"region, read", 'f', 'r', false},
};

static void
send_kind(uint16_t id, char kind)
{
	static const struct vfio_user_irq_set set = {20, 0x21, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1};
	static const struct vfio_user_region_info info = {32};
	int rc = -1;

	switch (kind) {
	case 'r':
		rc = send_read(id, 0, 0, 4);
		break;
	case 'w':
		rc = send_write(id, 0, 0, 0, "abcd", 4);
		break;
	case 'p':
		rc = send_write(id, VFIO_USER_F_NO_REPLY, 0, 0, "abcd", 4);
		break;
	case 'm':
		rc = send_map(id, NULL, 0);
		break;
	case 'u':
		rc = send_unmap(id);
		break;
	case 'x':
		rc = send_message(id, RESET, 0, NULL, 0);
		break;
	case 'i':
		rc = send_message(id, VFIO_USER_DEVICE_SET_IRQS, 0, &set, 20);
		break;
	case 'f':
		rc = send_message(id, VFIO_USER_DEVICE_GET_REGION_INFO, 0, &info, 32);
		break;
	}
	CU_ASSERT_EQUAL(rc, 0);
}

static void
answer_request(const struct front_request *r)
{
	if (r->kind == FRONT_REGION_FD)
		front_reply_fd(front, r->token, 0, -1);
	else
		front_reply(front, r->token, 0);
}

static void
test_order(void)
{
	for (size_t i = 0; i < NR(orders); i++) {
		struct front_request first, second;

		vuc_tap_row("%s", orders[i].name);
		front_rig_open();
		send_kind(1, orders[i].first);
		send_kind(2, orders[i].second);
		CU_ASSERT_EQUAL_FATAL(front_next(front, &first), 1);
		CU_ASSERT_EQUAL(front_next(front, &second), orders[i].together);
		CU_ASSERT_EQUAL(front_outstanding(front), orders[i].together ? 2 : 1);
		answer_request(&first);
		if (!orders[i].together)
			CU_ASSERT_EQUAL_FATAL(front_next(front, &second), 1);
		answer_request(&second);
		CU_ASSERT_EQUAL(front_outstanding(front), 0);
	}
}

/* Questions wait for nobody. */
static void
test_question_passes(void)
{
	struct front_request r;

	CU_ASSERT_EQUAL(send_message(1, RESET, 0, NULL, 0), 0);
	CU_ASSERT_EQUAL(send_question(2), 0);
	r = next_request(FRONT_RESET);
	CU_ASSERT(nothing_next());
	CU_ASSERT_EQUAL(take_reply()->header.msg_id, 2);
	front_reply(front, r.token, 0);
	CU_ASSERT(is_reply(1, RESET, 0, NULL, 0));
}

static void
test_most_requests(void)
{
	struct front_request r[FRONT_MAX_REQUESTS + 1];

	for (uint16_t i = 0; i <= FRONT_MAX_REQUESTS; i++)
		CU_ASSERT_EQUAL(send_read(i, 0, 0, 4), 0);
	for (unsigned int i = 0; i < FRONT_MAX_REQUESTS; i++)
		r[i] = next_request(FRONT_ACCESS);
	CU_ASSERT(nothing_next());
	CU_ASSERT_EQUAL(front_outstanding(front), FRONT_MAX_REQUESTS);
	/* In any order. */
	for (unsigned int i = FRONT_MAX_REQUESTS; i-- > 0;)
		front_reply_read(front, r[i].token, 0, "abcd");
	r[0] = next_request(FRONT_ACCESS);
	front_reply_read(front, r[0].token, 0, "abcd");
	for (uint16_t i = FRONT_MAX_REQUESTS; i-- > 0;)
		CU_ASSERT_EQUAL(take_reply()->header.msg_id, i);
	CU_ASSERT_EQUAL(take_reply()->header.msg_id, FRONT_MAX_REQUESTS);
}

/* An answer more than there was a request is none. */
static void
test_answers_once(void)
{
	struct front_request old, r;

	CU_ASSERT_EQUAL(send_read(1, 0, 0, 4), 0);
	old = next_request(FRONT_ACCESS);
	front_reply(front, old.token, 0);
	CU_ASSERT_EQUAL(take_reply()->header.msg_id, 1);
	front_reply(front, old.token, 0);
	CU_ASSERT(is_silent());
	CU_ASSERT_EQUAL(send_read(2, 0, 0, 4), 0);
	r = next_request(FRONT_ACCESS);
	front_reply(front, old.token, 0);
	front_reply(front, 0, 0);
	front_reply(front, UINT32_MAX, 0);
	front_reply_fd(front, old.token, 0, 77);
	CU_ASSERT(are_stray((int[]){77}, 1));
	CU_ASSERT(is_silent());
	front_reply(front, r.token, 0);
	CU_ASSERT_EQUAL(take_reply()->header.msg_id, 2);
	CU_ASSERT_EQUAL(send_read(3, 0, 0, 4), 0);
	r = next_request(FRONT_ACCESS);
	front_end(front, "over");
	front_reply(front, r.token, 0);
	front_reply_fd(front, r.token, 0, 78);
	CU_ASSERT(are_stray((int[]){78}, 1));
	CU_ASSERT(is_silent() && has_ended("over"));
}

/* A client that does not read its replies gets no more of them, and is not read. */
static void
test_reply_room(void)
{
	struct front_request r;
	unsigned int handed = 0, sent = 0;
	size_t room;

	while (handed == sent) {
		CU_ASSERT_EQUAL_FATAL(send_read((uint16_t)sent, 2, 0, MAX_DATA), 0);
		sent++;
		if (front_next(front, &r) != 1)
			break;
		front_reply_read(front, r.token, -EIO, NULL);
		handed++;
	}
	/* As many as 128 KiB take. */
	CU_ASSERT_EQUAL(handed, 131072 / (MAX_DATA + 32));
	while (send_read((uint16_t)sent, 2, 0, MAX_DATA) == 0)
		sent++;
	front_room(front, &room);
	CU_ASSERT_EQUAL(room, 0);
	CU_ASSERT_EQUAL((sent - handed) * 32, READ_AHEAD);
	/* Questions need room as well. */
	CU_ASSERT(nothing_next());
	/* From here on each reply that goes makes room for one. */
	for (unsigned int i = 0; i < sent - handed; i++) {
		CU_ASSERT_EQUAL(take_reply()->header.msg_id, i);
		r = next_request(FRONT_ACCESS);
		CU_ASSERT(nothing_next());
		front_reply_read(front, r.token, -EIO, NULL);
	}
	front_room(front, &room);
	CU_ASSERT(room > 0);
}

/* Room is kept from the moment a request is handed out. */
static void
test_room_is_kept(void)
{
	struct front_request r[16];
	unsigned int n = 0;

	for (uint16_t i = 0; i < 20; i++)
		CU_ASSERT_EQUAL(send_read(i, 2, 0, MAX_DATA), 0);
	while (n < 16 && front_next(front, &r[n]) == 1)
		n++;
	CU_ASSERT_EQUAL(n, 131072 / (MAX_DATA + 32));
	for (unsigned int i = 0; i < n; i++)
		front_reply_read(front, r[i].token, -EIO, NULL);
	CU_ASSERT(nothing_next());
	front_end(front, NULL);
}

static void
test_expiry(void)
{
	struct front_request map, r;

	CU_ASSERT_EQUAL(front_deadline_ms(front), 0);
	CU_ASSERT_EQUAL(send_map(1, NULL, 0), 0);
	CU_ASSERT_EQUAL(front_deadline_ms(front), now_ms + REPLY_MS);
	map = next_request(FRONT_DMA_MAP);
	CU_ASSERT_EQUAL(front_deadline_ms(front), now_ms + REPLY_MS);
	now_ms += 1000;
	CU_ASSERT_EQUAL(send_read(2, 0, 8, 4), 0);
	CU_ASSERT(nothing_next());
	now_ms += REPLY_MS - 1001;
	CU_ASSERT_EQUAL(front_expire(front, now_ms), 0);
	CU_ASSERT(is_silent());
	now_ms++;
	CU_ASSERT_EQUAL(front_expire(front, now_ms), 0);
	CU_ASSERT(is_reply(1, MAP, ETIMEDOUT, NULL, 0));
	CU_ASSERT_EQUAL(front_deadline_ms(front), now_ms + 1000);
	/* For the machine it is over. */
	r = next_request(FRONT_ACCESS);
	front_reply(front, map.token, 0);
	CU_ASSERT(is_silent());
	now_ms += 1000;
	CU_ASSERT_EQUAL(front_expire(front, now_ms), 0);
	CU_ASSERT(is_reply(
		2, READ, ETIMEDOUT, "\10\0\0\0\0\0\0\0\0\0\0\0\4\0\0\0\xff\xff\xff\xff", 20));
	front_reply_read(front, r.token, 0, "abcd");
	CU_ASSERT(is_silent());
	CU_ASSERT_EQUAL(front_deadline_ms(front), 0);
}

/* What waits for its turn is answered in time as well, its descriptors are nobody's. */
static void
test_expiry_of_waiting(void)
{
	static const struct vfio_user_dma_unmap unmap = {24, 0, 4096 * 3, 4096};
	struct front_request r;
	int fd = 500;

	CU_ASSERT_EQUAL(send_message(1, RESET, 0, NULL, 0), 0);
	r = next_request(FRONT_RESET);
	CU_ASSERT_EQUAL(send_map(2, &fd, 1), 0);
	CU_ASSERT_EQUAL(send_unmap(3), 0);
	CU_ASSERT_EQUAL(send_write(4, VFIO_USER_F_NO_REPLY, 0, 0, "abcd", 4), 0);
	now_ms += REPLY_MS / 2;
	CU_ASSERT_EQUAL(send_read(5, 0, 0, 4), 0);
	now_ms += REPLY_MS / 2;
	CU_ASSERT_EQUAL(front_deadline_ms(front), now_ms);
	CU_ASSERT_EQUAL(front_expire(front, now_ms), 0);
	CU_ASSERT(is_reply(1, RESET, ETIMEDOUT, NULL, 0));
	CU_ASSERT(is_reply(2, MAP, ETIMEDOUT, NULL, 0));
	CU_ASSERT(is_reply(3, UNMAP, ETIMEDOUT, &unmap, 24));
	CU_ASSERT(is_silent());
	CU_ASSERT(are_stray(&fd, 1));
	CU_ASSERT_EQUAL(front_deadline_ms(front), now_ms + REPLY_MS / 2);
	front_reply(front, r.token, 0);
	r = next_request(FRONT_ACCESS);
	CU_ASSERT(!r.access.write);
}

/* An operation that outlasts reply_ms: what comes behind it is answered when its own time is over.
 */
static void
test_expiry_is_each_ones(void)
{
	CU_ASSERT_EQUAL(send_message(1000, RESET, 0, NULL, 0), 0);
	next_request(FRONT_RESET);
	for (uint16_t i = 0; i < 80; i++) {
		now_ms += 17;
		CU_ASSERT_EQUAL(send_map(i, NULL, 0), 0);
	}
	now_ms += REPLY_MS - 80 * 17;
	CU_ASSERT_EQUAL(front_expire(front, now_ms), 0);
	CU_ASSERT(is_reply(1000, RESET, ETIMEDOUT, NULL, 0));
	for (uint16_t i = 0; i < 80; i++) {
		uint64_t due_ms = now_ms;

		/* Not late, and not earlier than by a 32nd. */
		if (is_silent()) {
			due_ms = front_deadline_ms(front);
			CU_ASSERT(due_ms <= 1000000 + 17 * (i + UINT64_C(1)) + REPLY_MS);
			CU_ASSERT(due_ms >=
				1000000 + 17 * (i + UINT64_C(1)) + REPLY_MS - REPLY_MS / 32);
			CU_ASSERT_EQUAL(front_expire(front, due_ms), 0);
		}
		CU_ASSERT(is_reply(i, MAP, ETIMEDOUT, NULL, 0));
	}
}

static void
test_expiry_of_posted(void)
{
	struct front_request r;

	CU_ASSERT_EQUAL(send_write(1, VFIO_USER_F_NO_REPLY, 0, 0, "abcd", 4), 0);
	r = next_request(FRONT_ACCESS);
	/* However late: nobody waits for it. */
	CU_ASSERT_EQUAL(front_expire(front, now_ms + 10 * REPLY_MS), 0);
	CU_ASSERT_EQUAL(front_outstanding(front), 0);
	CU_ASSERT(is_silent());
	front_reply(front, r.token, 0);
	CU_ASSERT(is_silent());
}

/* QEMU takes a reply behind its time for the begin of another one. */
static void
test_too_late(void)
{
	struct front_request r;

	CU_ASSERT_EQUAL(send_read(9, 0, 0, 4), 0);
	next_request(FRONT_ACCESS);
	CU_ASSERT_EQUAL(front_expire(front, now_ms + REPLY_MS + REPLY_MS / 4), -ETIMEDOUT);
	CU_ASSERT(has_ended("message 0x0009 (VFIO_USER_REGION_READ): not answered for 5000 ms, the "
			    "process did not run"));
	CU_ASSERT(is_silent());
	front_rig_open();
	CU_ASSERT_EQUAL(send_read(9, 0, 0, 4), 0);
	CU_ASSERT_EQUAL(front_expire(front, now_ms + REPLY_MS + REPLY_MS / 4), -ETIMEDOUT);
	front_rig_open();
	CU_ASSERT_EQUAL(send_read(9, 0, 0, 4), 0);
	next_request(FRONT_ACCESS);
	CU_ASSERT_EQUAL(front_expire(front, now_ms + REPLY_MS + REPLY_MS / 4 - 1), 0);
	CU_ASSERT_EQUAL(take_reply()->header.error_no, ETIMEDOUT);
	CU_ASSERT_EQUAL(front_next(front, &r), 0);
}

static void
test_client_does_not_read(void)
{
	struct front_request r;
	size_t size;
	int fd;

	CU_ASSERT_EQUAL(send_question(1), 0);
	CU_ASSERT_EQUAL(send_question(2), 0);
	CU_ASSERT(nothing_next());
	CU_ASSERT_EQUAL(front_deadline_ms(front), 0);
	front_sent(front, 0, now_ms);
	CU_ASSERT_EQUAL(front_deadline_ms(front), now_ms + REPLY_MS);
	now_ms += REPLY_MS - 1;
	front_sent(front, 0, now_ms);
	CU_ASSERT_EQUAL(front_deadline_ms(front), now_ms + 1);
	CU_ASSERT_EQUAL(front_expire(front, now_ms), 0);
	/* A byte is enough for another reply_ms. */
	front_output(front, &size, &fd);
	CU_ASSERT_EQUAL(size, 64);
	front_sent(front, 1, now_ms);
	CU_ASSERT_EQUAL(front_deadline_ms(front), now_ms + REPLY_MS);
	now_ms += REPLY_MS;
	CU_ASSERT_EQUAL(front_expire(front, now_ms), -ETIMEDOUT);
	CU_ASSERT(has_ended("the client has not taken its replies for 4000 ms"));
	CU_ASSERT_EQUAL(front_next(front, &r), -ETIMEDOUT);
	front_rig_open();
	CU_ASSERT_EQUAL(send_question(1), 0);
	CU_ASSERT(nothing_next());
	front_sent(front, 0, now_ms);
	front_sent(front, 32, now_ms);
	CU_ASSERT_EQUAL(front_deadline_ms(front), 0);
}

/* What is due has no room: no sooner call helps than the end of the client's time. */
static void
test_expiry_without_room(void)
{
	struct front_request r;
	uint64_t begin = now_ms;
	uint16_t id = 0;

	do {
		CU_ASSERT_EQUAL_FATAL(send_read(++id, 2, 0, MAX_DATA), 0);
		if (front_next(front, &r) != 1)
			break;
		front_reply_read(front, r.token, -EIO, NULL);
	} while (id < 100);
	now_ms += 100;
	front_sent(front, 0, now_ms);
	CU_ASSERT_EQUAL(front_deadline_ms(front), begin + REPLY_MS);
	CU_ASSERT_EQUAL(front_expire(front, begin + REPLY_MS), 0);
	CU_ASSERT_EQUAL(front_deadline_ms(front), begin + 100 + REPLY_MS);
	take_reply();
	CU_ASSERT_EQUAL(front_deadline_ms(front), begin + REPLY_MS);
	CU_ASSERT_EQUAL(front_expire(front, begin + REPLY_MS), 0);
	for (uint16_t i = 2; i < id; i++)
		CU_ASSERT_EQUAL(take_reply()->header.error_no, EIO);
	CU_ASSERT_EQUAL(take_reply()->header.error_no, ETIMEDOUT);
}

const struct tap_suite tap_suite = {"front_machine", front_rig_open, front_rig_destroy,
	{
		{"a command before the version", test_before_version},
		{"no version", test_no_version},
		{"a message id in use", test_ids},
		{"what may be outstanding at a time", test_order},
		{"questions wait for nobody", test_question_passes},
		{"at most 64 requests at a time", test_most_requests},
		{"each request has one answer", test_answers_once},
		{"no more replies than there is room for", test_reply_room},
		{"room is kept for what is outstanding", test_room_is_kept},
		{"requests expire", test_expiry},
		{"requests expire that wait for their turn", test_expiry_of_waiting},
		{"each request has its own time", test_expiry_is_each_ones},
		{"posted writes expire in silence", test_expiry_of_posted},
		{"the connection ends instead of an answer that is too late", test_too_late},
		{"a client that does not read is disconnected", test_client_does_not_read},
		{"expiry without room for the reply", test_expiry_without_room},
	}};
