/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The reference device as a library: what the program's options can't ask for, or only an
 * in-process client can do. All else that the device does is shown by the tests of libvuc and by
 * tests/programs/test_refdev*.py.
 */

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "reference.h"
#include "tap.h"

static void
test_config(void)
{
	static const struct {
		uint16_t max_msg_fds;
		uint32_t max_data_xfer_size, max_dma_maps;
		uint64_t pgsizes;
	} wrong[] = {
		{REFDEV_MAX_MSG_FDS + 1, 1, 1, 4096},
		{0, 0, 1, 4096},
		{0, REFDEV_MAX_DATA_XFER_SIZE + 1, 1, 4096},
		{0, 1, 0, 4096},
		{0, 1, 1, 0},
		{0, 1, 1, 4096 + 512},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct refdev_config config;

		refdev_config_init(&config);
		config.max_msg_fds = wrong[i].max_msg_fds;
		config.max_data_xfer_size = wrong[i].max_data_xfer_size;
		config.max_dma_maps = wrong[i].max_dma_maps;
		config.pgsizes = wrong[i].pgsizes;
		errno = 0;
		CU_ASSERT_PTR_NULL(refdev_create(&config));
		CU_ASSERT_EQUAL(errno, EINVAL);
	}
}

/* A device by its loopback, with a client that has negotiated. */
struct peer {
	struct refdev *dev;
	struct vuc_loopback_server server;
	uint8_t bytes[256];
	uint8_t reply_bytes[256];
	struct vuc_loopback_msg reply;
};

/* Hand a message over; returns as refdev_handle(). */
static int
peer_hand_over(struct peer *p, uint16_t cmd, const void *body, size_t len, size_t room)
{
	const struct vfio_user_header header = {
		.cmd = cmd, .msg_size = (uint32_t)(sizeof(header) + len)};
	struct vuc_loopback_msg request = {.bytes = p->bytes, .len = header.msg_size};

	memcpy(p->bytes, &header, sizeof(header));
	memcpy(p->bytes + sizeof(header), body, len);
	p->reply = (struct vuc_loopback_msg){.bytes = p->reply_bytes, .size = room};
	return p->server.handle(p->server.arg, &request, &p->reply);
}

/* Returns 0 or the negative error of the reply. */
static int
peer_ask(struct peer *p, uint16_t cmd, const void *body, size_t len, size_t room)
{
	struct vfio_user_header header;

	CU_ASSERT_EQUAL_FATAL(peer_hand_over(p, cmd, body, len, room), 0);
	CU_ASSERT_FATAL(p->reply.len >= sizeof(header) && p->reply.len <= room);
	memcpy(&header, p->reply.bytes, sizeof(header));
	return -(int)header.error_no;
}

static void
peer_open(struct peer *p)
{
	struct refdev_config config;

	refdev_config_init(&config);
	p->dev = refdev_create(&config);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p->dev);
	refdev_loopback(p->dev, &p->server);
	CU_ASSERT_EQUAL_FATAL(peer_ask(p, VFIO_USER_VERSION, "\0\0\2", 4, 256), 0);
}

static int
peer_set(struct peer *p, enum refdev_reg reg, uint32_t value)
{
	const struct {
		uint64_t offset;
		uint32_t region;
		uint32_t count;
		uint32_t value;
	} VFIO_USER_PACKED body = {.offset = reg, .count = sizeof(value), .value = value};

	return peer_ask(p, VFIO_USER_REGION_WRITE, &body, sizeof(body), 256);
}

/* No reply is longer than the room for it. */
static void
test_room(void)
{
	const struct vfio_user_device_info info = {.argsz = sizeof(info)};
	const struct vfio_user_region_access read = {
		.region = VFIO_PCI_BAR2_REGION_INDEX, .count = 1};
	struct peer p;

	peer_open(&p);
	CU_ASSERT_EQUAL(
		peer_hand_over(&p, VFIO_USER_DEVICE_GET_INFO, &info, sizeof(info), 15), -EMSGSIZE);
	for (size_t room = 16; room < 32; room++) {
		CU_ASSERT_EQUAL(peer_ask(&p, VFIO_USER_DEVICE_GET_INFO, &info, sizeof(info), room),
			-EMSGSIZE);
		CU_ASSERT_EQUAL(
			peer_ask(&p, VFIO_USER_REGION_READ, &read, sizeof(read), room), -EMSGSIZE);
	}
	CU_ASSERT_EQUAL(peer_ask(&p, VFIO_USER_DEVICE_GET_INFO, &info, sizeof(info), 32), 0);
	refdev_destroy(p.dev);
}

/* What a stream has checked comes from an in-process client unchecked. */
static void
test_frames(void)
{
	struct vfio_user_header header = {.cmd = VFIO_USER_DEVICE_RESET, .msg_size = 16};
	struct vuc_loopback_msg request = {.bytes = (uint8_t *)&header};
	struct peer p;

	peer_open(&p);
	for (size_t len = 0; len < 40; len++) {
		request.len = len;
		p.reply.len = 0;
		CU_ASSERT_EQUAL(refdev_handle(p.dev, &request, &p.reply), len == 16 ? 0 : -EPROTO);
		CU_ASSERT_EQUAL(p.reply.len, len == 16 ? 16 : 0);
	}
	p.server.disconnect(p.server.arg);
	request.len = 16;
	CU_ASSERT_EQUAL(refdev_handle(p.dev, &request, &p.reply), -EPROTO);
	CU_ASSERT_PTR_NOT_NULL(strstr(refdev_reason(p.dev), "expected VFIO_USER_VERSION first"));
	refdev_destroy(p.dev);
}

/* Nobody sends the device's commands in the loopback. */
static void
test_no_commands(void)
{
	const struct vfio_user_dma_map map = {.argsz = sizeof(map), .flags = 3, .size = 4096};
	struct peer p;

	peer_open(&p);
	CU_ASSERT_EQUAL(peer_ask(&p, VFIO_USER_DMA_MAP, &map, sizeof(map), 256), 0);
	CU_ASSERT_EQUAL(peer_set(&p, REFDEV_REG_DMA_LEN, 8), 0);
	CU_ASSERT_EQUAL(peer_set(&p, REFDEV_REG_DMA_START, 1), 0);
	CU_ASSERT_EQUAL(REFDEV_REG(p.dev, DMA_STATUS), REFDEV_DMA_STATUS_ERROR);
	CU_ASSERT_EQUAL(REFDEV_REG(p.dev, DMA_ERRNO), EOPNOTSUPP);
	CU_ASSERT_EQUAL(peer_set(&p, REFDEV_REG_RAW_SEND, VFIO_USER_DMA_READ), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(peer_set(&p, REFDEV_REG_TIMER, 1), -EOPNOTSUPP);
	CU_ASSERT_FALSE(refdev_has_command(p.dev));
	refdev_destroy(p.dev);
}

const struct tap_suite tap_suite = {"refdev library", NULL, NULL,
	{
		{"bounds of the config", test_config},
		{"room for replies", test_room},
		{"sizes of messages", test_frames},
		{"no way for commands", test_no_commands},
	}};
