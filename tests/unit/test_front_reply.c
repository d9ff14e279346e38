/* SPDX-License-Identifier: BSD-3-Clause */
#include "front_fixture.h"

static void
ask_device_info(uint16_t id)
{
	CU_ASSERT_EQUAL(send_message(id, VFIO_USER_DEVICE_GET_INFO, 0,
				&(struct vfio_user_device_info){16}, 16),
		0);
	CU_ASSERT(nothing_next());
}

static void
ask_region(uint16_t id, int fd)
{
	CU_ASSERT_EQUAL(send_message(id, VFIO_USER_DEVICE_GET_REGION_INFO, 0,
				&(struct vfio_user_region_info){100}, 32),
		0);
	front_reply_fd(front, next_request(FRONT_REGION_FD).token, 0, fd);
}

/* What is next to be sent. */
static bool
is_output(size_t size, int fd)
{
	size_t got;
	int got_fd;

	front_output(front, &got, &got_fd);
	if (got == size && got_fd == fd)
		return true;
	printf("# %zu bytes with descriptor %d\n", got, got_fd);
	return false;
}

/* QEMU takes the descriptor of a receive for that of the reply whose header it reads. */
static void
test_fd_goes_with_its_reply(void)
{
	ask_device_info(1);
	ask_device_info(2);
	ask_region(3, 800);
	ask_device_info(4);
	CU_ASSERT(is_output(64, -1));
	front_sent(front, 40, now_ms);
	CU_ASSERT(is_output(24, -1));
	ask_device_info(5);
	CU_ASSERT(is_output(24, -1));
	front_sent(front, 24, now_ms);
	CU_ASSERT(is_output(96 + 64, 800));
	front_sent(front, 0, now_ms);
	CU_ASSERT(is_output(96 + 64, 800));
	CU_ASSERT(are_stray(NULL, 0));
	front_sent(front, 1, now_ms);
	CU_ASSERT(are_stray(&(int){800}, 1));
	CU_ASSERT(is_output(95 + 64, -1));
	front_sent(front, 95 + 64, now_ms);
	CU_ASSERT(is_silent());
}

/* The next one waits until the descriptor has gone. */
static void
test_two_fds(void)
{
	ask_region(1, 800);
	CU_ASSERT_EQUAL(send_message(2, VFIO_USER_DEVICE_GET_REGION_INFO, 0,
				&(struct vfio_user_region_info){100}, 32),
		0);
	CU_ASSERT(nothing_next());
	front_sent(front, 96, now_ms);
	CU_ASSERT(are_stray(&(int){800}, 1));
	front_reply_fd(front, next_request(FRONT_REGION_FD).token, 0, 801);
	CU_ASSERT(is_output(96, 801));
}

/* A send ends at the end of a reply, so that no header comes in two pieces: QEMU ends the
 * connection then. */
static void
test_whole_replies(void)
{
	size_t replies = 0;

	for (uint16_t i = 0; i < 8; i++) {
		CU_ASSERT_EQUAL(send_read(i, 2, 0, i == 4 ? 4 : MAX_DATA), 0);
		front_reply_read(front, next_request(FRONT_ACCESS).token, -EIO, NULL);
	}
	/* Three are less than 32 KiB and four are more. */
	CU_ASSERT(is_output(3 * (32 + MAX_DATA), -1));
	front_sent(front, 3 * (32 + MAX_DATA), now_ms);
	CU_ASSERT(is_output(3 * (32 + MAX_DATA) + 36, -1));
	/* The socket took a part: the rest of the reply and whole ones behind it. */
	front_sent(front, 32 + MAX_DATA + 10, now_ms);
	CU_ASSERT(is_output(26 + 3 * (32 + MAX_DATA), -1));
	front_sent(front, 26, now_ms);
	while (!is_silent()) {
		take_reply();
		replies++;
	}
	CU_ASSERT_EQUAL(replies, 3);
}

/* Replies that are sent byte by byte, and others meanwhile. */
static void
test_byte_by_byte(void)
{
	static uint8_t sent[40000];
	size_t at = 0, size;
	int fd;

	for (uint16_t id = 0; at < 32 * 1000; id++) {
		if (id < 1000)
			ask_device_info(id);
		for (int i = 0; i < 31; i++) {
			const uint8_t *bytes = front_output(front, &size, &fd);

			if (bytes == NULL)
				break;
			sent[at++] = bytes[0];
			front_sent(front, 1, now_ms);
		}
	}
	for (uint16_t id = 0; id < 1000; id++) {
		struct vfio_user_header header;

		memcpy(&header, sent + 32 * (size_t)id, 16);
		CU_ASSERT(header.msg_id == id && header.msg_size == 32);
	}
	CU_ASSERT(is_silent());
}

/* A reply as large as there may be one: data of max_data, a region of a thousand areas. */
static void
test_largest(void)
{
	static struct vfio_user_sparse_area areas[2000];
	const struct front_region region = {.size = UINT64_C(2000) << 12,
		.flags = VFIO_REGION_INFO_FLAG_MMAP,
		.nr_areas = 2000,
		.areas = areas};
	const struct front_shape shape = {.nr_regions = 1, .regions = &region};
	const struct front_opts opts = {
		.shape = &shape, .max_data = 64u << 20, .reply_ms = REPLY_MS};
	const struct front_reply *reply;

	for (uint64_t i = 0; i < 2000; i++)
		areas[i] = (struct vfio_user_sparse_area){i << 12, 4096};
	front_rig_create_with(&opts);
	front_rig_negotiate(0);
	CU_ASSERT_EQUAL(send_message(2, VFIO_USER_DEVICE_GET_REGION_INFO, 0,
				&(struct vfio_user_region_info){UINT32_MAX}, 32),
		0);
	front_reply_fd(front, next_request(FRONT_REGION_FD).token, 0, 900);
	reply = take_reply();
	CU_ASSERT_EQUAL(reply->len, 32 + 16 + 1024 * 16);
	CU_ASSERT_EQUAL(memcmp(reply->body + 48, areas, 1024 * 16), 0);
	CU_ASSERT(are_stray(&(int){900}, 1));
}

const struct tap_suite tap_suite = {"front_reply", front_rig_open, front_rig_destroy,
	{
		{"a descriptor goes with the first byte of its reply", test_fd_goes_with_its_reply},
		{"one descriptor at a time", test_two_fds},
		{"sends end at the end of a reply", test_whole_replies},
		{"replies that go byte by byte", test_byte_by_byte},
		{"the largest description of a region", test_largest},
	}};
