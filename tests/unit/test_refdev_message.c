/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "refdev_peer.h"
#include "tap.h"

/* A message whose header is as given, hand over to a fresh device. Returns what the device does. */
static int
send_raw(const struct vfio_user_header *header, size_t len)
{
	struct refdev_peer p;
	int rc;

	refdev_peer_open(&p);
	memset(p.request.bytes, 0, len);
	memcpy(p.request.bytes, header, len < sizeof(*header) ? len : sizeof(*header));
	p.request.len = len;
	p.request.nr_fds = 0;
	p.reply.len = 0;
	rc = refdev_handle(p.dev, &p.request, &p.reply);
	if (rc != 0)
		CU_ASSERT_NOT_EQUAL(strlen(refdev_reason(p.dev)), 0);
	refdev_peer_close(&p);
	return rc;
}

static void
test_sizes(void)
{
	struct vfio_user_header header = {.cmd = VFIO_USER_DEVICE_RESET, .msg_size = 16};

	CU_ASSERT_EQUAL(send_raw(&header, 16), 0);
	CU_ASSERT_EQUAL(send_raw(&header, 15), -EPROTO);
	CU_ASSERT_EQUAL(send_raw(&header, 0), -EPROTO);
	CU_ASSERT_EQUAL(send_raw(&header, 17), -EPROTO);
	header.msg_size = 15;
	CU_ASSERT_EQUAL(send_raw(&header, 16), -EPROTO);
	header.msg_size = 0;
	CU_ASSERT_EQUAL(send_raw(&header, 16), -EPROTO);
	header.msg_size = 17;
	CU_ASSERT_EQUAL(send_raw(&header, 16), -EPROTO);
	header.msg_size = UINT32_MAX;
	CU_ASSERT_EQUAL(send_raw(&header, 16), -EPROTO);
}

static void
test_stream_sizes(void)
{
	struct vfio_user_header header = {.cmd = VFIO_USER_DEVICE_RESET};
	uint8_t bytes[sizeof(header)];
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(refdev_max_message(p.dev), 16 + 16 + 1048576);
	for (size_t len = 0; len < sizeof(header); len++)
		CU_ASSERT_EQUAL(refdev_message_size(p.dev, bytes, len), 0);
	header.msg_size = (uint32_t)refdev_max_message(p.dev);
	memcpy(bytes, &header, sizeof(header));
	CU_ASSERT_EQUAL(refdev_message_size(p.dev, bytes, sizeof(bytes)), header.msg_size);
	header.msg_size++;
	memcpy(bytes, &header, sizeof(header));
	CU_ASSERT_EQUAL(refdev_message_size(p.dev, bytes, sizeof(bytes)), -EPROTO);
	refdev_peer_close(&p);
}

static void
test_flags(void)
{
	struct vfio_user_header header = {.cmd = VFIO_USER_DEVICE_RESET, .msg_size = 16};
	struct refdev_peer p;
	struct refdev_peer_message m = {.cmd = VFIO_USER_DEVICE_RESET};

	for (uint32_t type = 1; type <= VFIO_USER_F_TYPE_MASK; type++) {
		header.flags = type;
		CU_ASSERT_EQUAL(send_raw(&header, 16), -EPROTO);
	}
	refdev_peer_open(&p);
	m.flags = VFIO_USER_F_ERROR;
	CU_ASSERT_EQUAL(refdev_peer_send(&p, &m), 0);
	CU_ASSERT_EQUAL(p.reply.len, 16);
	m.flags = 1u << 6;
	CU_ASSERT_EQUAL(refdev_peer_send(&p, &m), 0);
	CU_ASSERT_EQUAL(p.reply.len, 16);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_RESETS), 0);
	refdev_peer_close(&p);
}

static void
test_before_version(void)
{
	const struct refdev_peer_message m = {.cmd = VFIO_USER_DEVICE_RESET};
	struct refdev_peer p;

	refdev_peer_make(&p, NULL);
	CU_ASSERT_EQUAL(refdev_peer_send(&p, &m), -EPROTO);
	CU_ASSERT_PTR_NOT_NULL(strstr(refdev_reason(p.dev), "before VFIO_USER_VERSION"));
	refdev_peer_close(&p);
}

static void
test_unknown_commands(void)
{
	static const struct {
		uint16_t cmd;
		int error;
	} commands[] = {
		{0, -EINVAL},
		{VFIO_USER_DEVICE_GET_REGION_IO_FDS, -EOPNOTSUPP},
		{VFIO_USER_DMA_READ, -EINVAL},
		{VFIO_USER_DMA_WRITE, -EINVAL},
		{14, -EINVAL},
		{VFIO_USER_REGION_WRITE_MULTI, -EOPNOTSUPP},
		{VFIO_USER_DEVICE_FEATURE, -EOPNOTSUPP},
		{VFIO_USER_MIG_DATA_READ, -EOPNOTSUPP},
		{VFIO_USER_MIG_DATA_WRITE, -EOPNOTSUPP},
		{19, -EINVAL},
		{UINT16_MAX, -EINVAL},
	};
	struct refdev_config config;
	struct refdev_peer p;

	refdev_config_init(&config);
	config.migration = false;
	config.dirty_log = false;
	config.io_fds = false;
	refdev_peer_negotiate(&p, &config, "{\"capabilities\":{\"max_msg_fds\":8}}");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		CU_ASSERT_EQUAL(refdev_peer_ask(&p, commands[i].cmd, NULL, 0), commands[i].error);
	refdev_peer_close(&p);
}

/* Every command refuses a body that is shorter than its own, and a longer one unless it begins with
 * argsz and only asks. */
static void
test_body_sizes(void)
{
	static const struct {
		uint16_t cmd;
		size_t size;
		int longer;
	} commands[] = {
		{VFIO_USER_DMA_MAP, 32, -EINVAL},
		{VFIO_USER_DMA_UNMAP, 24, -EINVAL},
		{VFIO_USER_DEVICE_GET_INFO, 16, 0},
		{VFIO_USER_DEVICE_GET_REGION_INFO, 32, 0},
		{VFIO_USER_DEVICE_GET_IRQ_INFO, 16, 0},
		{VFIO_USER_DEVICE_SET_IRQS, 20, -EINVAL},
		{VFIO_USER_REGION_READ, 16, -EINVAL},
		{VFIO_USER_REGION_WRITE, 16, -EINVAL},
		{VFIO_USER_DEVICE_RESET, 0, -EINVAL},
	};
	uint8_t body[1024] = {0};
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		uint16_t cmd = commands[i].cmd;
		size_t size = commands[i].size;

		body[0] = commands[i].longer == 0 ? 64 : 0; /* argsz */
		for (size_t len = 0; len < size; len++)
			CU_ASSERT_EQUAL(refdev_peer_ask(&p, cmd, body, len), -EINVAL);
		CU_ASSERT_EQUAL(refdev_peer_ask(&p, cmd, body, size + 1), commands[i].longer);
		CU_ASSERT_EQUAL(refdev_peer_ask(&p, cmd, body, sizeof(body)), commands[i].longer);
	}
	refdev_peer_close(&p);
}

/* The data of a write is as long as its count. */
static void
test_write_sizes(void)
{
	const struct refdev_peer_access body = {.offset = REFDEV_RAM_OFFSET, .count = 4};
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (size_t data = 0; data <= sizeof(body.value); data++)
		CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_REGION_WRITE, &body,
					offsetof(struct refdev_peer_access, value) + data),
			data == 4 ? 0 : -EINVAL);
	refdev_peer_close(&p);
}

static void
test_regions_refused(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, 1, 0, 1), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, 8, 0, 1), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, 9, 0, 1), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, UINT32_MAX, 0, 1), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, 2, 65536, 1), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, 2, 65535, 2), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, 2, UINT64_MAX, 1), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, 2, 1, UINT32_MAX), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, 2, 65535, 1), 0);
	refdev_peer_close(&p);
}

/* The limit that was announced is kept, although the region would be long enough. */
static void
test_data_limit(void)
{
	static const uint32_t version[] = {2u << 16};
	static uint8_t data[257];
	struct refdev_config config;
	struct refdev_peer p;

	refdev_config_init(&config);
	config.max_data_xfer_size = 256;
	refdev_peer_make(&p, &config);
	CU_ASSERT_EQUAL_FATAL(refdev_peer_ask(&p, VFIO_USER_VERSION, version, sizeof(version)), 0);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, 2, 0, 256), 0);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, 2, 0, 257), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_write(&p, 2, 0, 256, data), 0);
	CU_ASSERT_EQUAL(refdev_peer_try_write(&p, 2, 0, 257, data), -EINVAL);
	refdev_peer_close(&p);
}

/* Whether a command with No_reply gets none, although it is carried out. */
static void
check_silent(struct refdev_peer *p, uint16_t cmd, const void *body, size_t len)
{
	const struct refdev_peer_message m = {
		.cmd = cmd, .flags = VFIO_USER_F_NO_REPLY, .body = body, .len = len};

	CU_ASSERT_EQUAL(refdev_peer_send(p, &m), 0);
	CU_ASSERT_EQUAL(p->reply.len, 0);
	CU_ASSERT_EQUAL(p->reply.nr_fds, 0);
}

static void
test_no_reply(void)
{
	const struct vfio_user_dma_map map = {.argsz = 32, .flags = 1, .size = 4096};
	const struct vfio_user_dma_unmap unmap = {.argsz = 24, .size = 4096};
	const struct vfio_user_region_info region = {.argsz = 4096, .index = 2};
	const struct vfio_user_region_access read = {.offset = REFDEV_REG_COUNTER, .count = 8};
	struct refdev_peer p;

	refdev_peer_open(&p);
	check_silent(&p, VFIO_USER_DMA_MAP, &map, sizeof(map));
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DMA_MAPS), 1);
	check_silent(&p, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap));
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DMA_MAPS), 0);
	check_silent(&p, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap));
	check_silent(&p, VFIO_USER_DEVICE_GET_REGION_INFO, &region, sizeof(region));
	check_silent(&p, VFIO_USER_REGION_READ, &read, sizeof(read));
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_COUNTER), 1);
	check_silent(&p, VFIO_USER_DEVICE_RESET, NULL, 0);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_RESETS), 1);
	check_silent(&p, 99, NULL, 0);
	refdev_peer_close(&p);
}

static int
open_null(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Descriptors on a command that has no use for them, and more than any message may carry. */
static void
test_fds(void)
{
	const struct vfio_user_device_info ask = {.argsz = 16};
	struct refdev_peer p;
	int fds[9];
	const struct refdev_peer_message m = {
		.cmd = VFIO_USER_DEVICE_GET_INFO,
		.body = &ask,
		.len = sizeof(ask),
		.fds = fds,
		.nr_fds = 9,
	};

	refdev_peer_open(&p);
	fds[0] = open_null();
	CU_ASSERT_EQUAL(
		refdev_peer_ask_with_fds(&p, VFIO_USER_DEVICE_GET_INFO, &ask, sizeof(ask), fds, 1),
		-EINVAL);
	for (size_t i = 0; i < 9; i++)
		fds[i] = open_null();
	CU_ASSERT_EQUAL(refdev_peer_send(&p, &m), -EPROTO);
	CU_ASSERT_PTR_NOT_NULL(strstr(refdev_reason(p.dev), "9 descriptors"));
	refdev_peer_close(&p);
}

/* No reply is longer than the room for it. */
static void
test_room(void)
{
	const struct vfio_user_device_info ask = {.argsz = 16};
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (size_t size = 16; size < 32; size++) {
		p.reply.size = size;
		CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DEVICE_GET_INFO, &ask, sizeof(ask)),
			-EMSGSIZE);
		CU_ASSERT_EQUAL(refdev_peer_try_read(&p, 2, 0, 1), -EMSGSIZE);
	}
	p.reply.size = 32;
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DEVICE_GET_INFO, &ask, sizeof(ask)), 0);
	refdev_peer_close(&p);
}

static void
test_loopback(void)
{
	struct vuc_loopback_server server;
	struct refdev_peer p;

	refdev_peer_open(&p);
	refdev_loopback(p.dev, &server);
	refdev_peer_set_reg(&p, REFDEV_REG_SCRATCH, 5);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_SCRATCH), 5);
	p.reply.len = 0;
	CU_ASSERT_EQUAL(server.handle(server.arg, &p.request, &p.reply), 0);
	CU_ASSERT_EQUAL(p.reply.len, 16 + 16 + 8);
	server.disconnect(server.arg);
	CU_ASSERT_EQUAL(server.handle(server.arg, &p.request, &p.reply), -EPROTO);
	refdev_peer_close(&p);
}

static void
test_config(void)
{
	struct refdev_config config;

	refdev_config_init(&config);
	config.max_msg_fds = REFDEV_MAX_MSG_FDS + 1;
	CU_ASSERT_PTR_NULL(refdev_create(&config));
	CU_ASSERT_EQUAL(errno, EINVAL);
	refdev_config_init(&config);
	config.max_data_xfer_size = 0;
	CU_ASSERT_PTR_NULL(refdev_create(&config));
	config.max_data_xfer_size = REFDEV_MAX_DATA_XFER_SIZE + 1;
	CU_ASSERT_PTR_NULL(refdev_create(&config));
	refdev_config_init(&config);
	config.max_dma_maps = 0;
	CU_ASSERT_PTR_NULL(refdev_create(&config));
	refdev_config_init(&config);
	config.pgsizes = 0;
	CU_ASSERT_PTR_NULL(refdev_create(&config));
	config.pgsizes = 4096 + 512;
	CU_ASSERT_PTR_NULL(refdev_create(&config));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"sizes of messages", test_sizes},
		{"sizes in a stream", test_stream_sizes},
		{"flags", test_flags},
		{"before version", test_before_version},
		{"commands without a handler", test_unknown_commands},
		{"sizes of bodies", test_body_sizes},
		{"sizes of writes", test_write_sizes},
		{"regions and offsets", test_regions_refused},
		{"limit of data", test_data_limit},
		{"No_reply", test_no_reply},
		{"descriptors", test_fds},
		{"room for replies", test_room},
		{"loopback", test_loopback},
		{"bounds of the config", test_config},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"refdev messages", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
