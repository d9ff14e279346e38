/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "refdev_peer.h"
#include "tap.h"

#define PAGE  4096u
#define READ  VFIO_USER_F_DMA_REGION_READ
#define WRITE VFIO_USER_F_DMA_REGION_WRITE

#define MEMORY_SIZE (16u * PAGE)

/* A client with some memory that it answers commands out of. */
struct client {
	struct refdev_peer p;
	uint8_t memory[MEMORY_SIZE]; /* at address 0 */
	struct vuc_loopback_msg command;
	unsigned int nr_commands;
	uint64_t longest; /* count of a command */
};

static void
client_open(struct client *c)
{
	struct refdev_config config;

	refdev_config_init(&config);
	config.commands = true;
	memset(c, 0, sizeof(*c));
	refdev_peer_negotiate(&c->p, &config,
		"{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":8192}}");
	c->command.size = refdev_max_message(c->p.dev);
	c->command.bytes = malloc(c->command.size);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c->command.bytes);
	for (uint32_t i = 0; i < MEMORY_SIZE; i++)
		c->memory[i] = (uint8_t)(i * 7 + i / 256);
}

static void
client_close(struct client *c)
{
	free(c->command.bytes);
	refdev_peer_close(&c->p);
}

static void
set(struct client *c, enum refdev_reg reg, uint64_t value)
{
	refdev_peer_set_reg(&c->p, reg, value);
}

static uint64_t
get(struct client *c, enum refdev_reg reg)
{
	return refdev_peer_reg(&c->p, reg);
}

static void
start(struct client *c, uint32_t mode, uint64_t src, uint64_t dst, uint32_t len)
{
	set(c, REFDEV_REG_DMA_MODE, mode);
	set(c, REFDEV_REG_DMA_SRC, src);
	set(c, REFDEV_REG_DMA_DST, dst);
	set(c, REFDEV_REG_DMA_LEN, len);
	set(c, REFDEV_REG_DMA_START, 1);
}

static void
check_done(struct client *c, uint32_t len)
{
	CU_ASSERT_EQUAL(get(c, REFDEV_REG_DMA_STATUS), REFDEV_DMA_STATUS_DONE);
	CU_ASSERT_EQUAL(get(c, REFDEV_REG_DMA_ERRNO), 0);
	CU_ASSERT_EQUAL(get(c, REFDEV_REG_DMA_DONE), len);
}

static void
check_failed(struct client *c, unsigned int error)
{
	CU_ASSERT_EQUAL(get(c, REFDEV_REG_DMA_STATUS), REFDEV_DMA_STATUS_ERROR);
	CU_ASSERT_EQUAL(get(c, REFDEV_REG_DMA_ERRNO), error);
}

/* Take the next command as it is. */
static bool
next_command(struct client *c, struct vfio_user_header *header,
	struct vfio_user_dma_region_access *access)
{
	if (!refdev_next_command(c->p.dev, &c->command))
		return false;
	memcpy(header, c->command.bytes, sizeof(*header));
	memcpy(access, c->command.bytes + sizeof(*header), sizeof(*access));
	CU_ASSERT_EQUAL(header->msg_size, c->command.len);
	c->nr_commands++;
	if (access->count > c->longest)
		c->longest = access->count;
	return true;
}

/* Reply to a command with an error, or with a body of so many bytes; returns as refdev_handle(). */
static int
reply(struct client *c, const struct vfio_user_header *command, int error, const void *body,
	size_t len)
{
	struct vfio_user_header header = *command;

	header.flags = VFIO_USER_F_TYPE_REPLY | (error != 0 ? VFIO_USER_F_ERROR : 0);
	header.error_no = (uint32_t)error;
	header.msg_size = (uint32_t)(sizeof(header) + len);
	memcpy(c->p.request.bytes, &header, sizeof(header));
	if (len > 0)
		memcpy(c->p.request.bytes + sizeof(header), body, len);
	c->p.request.len = header.msg_size;
	c->p.request.nr_fds = 0;
	c->p.reply.len = 0;
	return refdev_handle(c->p.dev, &c->p.request, &c->p.reply);
}

/* Answer a command out of memory. */
static void
answer(struct client *c, const struct vfio_user_header *header,
	const struct vfio_user_dma_region_access *access)
{
	uint8_t body[sizeof(*access) + 8192];
	bool read = header->cmd == VFIO_USER_DMA_READ;

	CU_ASSERT_FATAL(access->addr + access->count <= MEMORY_SIZE && access->count <= 8192);
	memcpy(body, access, sizeof(*access));
	if (read)
		memcpy(body + sizeof(*access), c->memory + access->addr, access->count);
	else
		memcpy(c->memory + access->addr,
			c->command.bytes + sizeof(*header) + sizeof(*access), access->count);
	CU_ASSERT_EQUAL(reply(c, header, 0, body, sizeof(*access) + (read ? access->count : 0)), 0);
	CU_ASSERT_EQUAL(c->p.reply.len, 0);
}

static void
serve(struct client *c)
{
	struct vfio_user_dma_region_access access = {0};
	struct vfio_user_header header = {0};

	while (next_command(c, &header, &access))
		answer(c, &header, &access);
}

static void
test_copy_by_message(void)
{
	struct client c;

	client_open(&c);
	CU_ASSERT_EQUAL(refdev_peer_map(&c.p, 0, MEMORY_SIZE, READ | WRITE, -1), 0);
	start(&c, REFDEV_DMA_BY_MESSAGE, 100, 8 * PAGE + 3, 20000);
	CU_ASSERT_EQUAL(get(&c, REFDEV_REG_DMA_STATUS), REFDEV_DMA_STATUS_BUSY);
	CU_ASSERT(refdev_has_command(c.p.dev));
	serve(&c);
	check_done(&c, 20000);
	CU_ASSERT_EQUAL(memcmp(c.memory + 100, c.memory + 8 * PAGE + 3, 20000), 0);
	CU_ASSERT_EQUAL(c.nr_commands, 6);
	CU_ASSERT_EQUAL(c.longest, 8192);
	CU_ASSERT_FALSE(refdev_has_command(c.p.dev));
	CU_ASSERT_FALSE(refdev_awaits_answers(c.p.dev));
	client_close(&c);
}

/* As many commands at a time as the window has, answered in another order. */
static void
test_window(void)
{
	struct vfio_user_dma_region_access accesses[4];
	struct vfio_user_header headers[4];
	struct client c;

	client_open(&c);
	CU_ASSERT_EQUAL(refdev_peer_map(&c.p, 0, MEMORY_SIZE, READ | WRITE, -1), 0);
	set(&c, REFDEV_REG_DMA_WINDOW, 3);
	set(&c, REFDEV_REG_DMA_CHUNK, 10);
	start(&c, REFDEV_DMA_BY_MESSAGE | REFDEV_DMA_DST_BAR2, 5, 40, 35);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_FATAL(next_command(&c, &headers[i], &accesses[i]));
		CU_ASSERT_EQUAL(accesses[i].addr, 5u + 10u * (unsigned int)i);
		CU_ASSERT_EQUAL(accesses[i].count, 10);
	}
	CU_ASSERT_FALSE(next_command(&c, &headers[3], &accesses[3]));
	answer(&c, &headers[2], &accesses[2]);
	CU_ASSERT_FATAL(next_command(&c, &headers[3], &accesses[3]));
	CU_ASSERT_EQUAL(accesses[3].count, 5);
	answer(&c, &headers[0], &accesses[0]);
	answer(&c, &headers[3], &accesses[3]);
	CU_ASSERT_EQUAL(get(&c, REFDEV_REG_DMA_STATUS), REFDEV_DMA_STATUS_BUSY);
	CU_ASSERT_EQUAL(
		refdev_peer_try_write(&c.p, 0, REFDEV_REG_DMA_START, 4, "\1\0\0\0"), -EBUSY);
	answer(&c, &headers[1], &accesses[1]);
	check_done(&c, 35);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&c.p, 2, 40, 35), 0);
	CU_ASSERT_EQUAL(memcmp(c.p.reply.bytes + 32, c.memory + 5, 35), 0);
	client_close(&c);
}

static void
test_fill_and_vector(void)
{
	const uint64_t pattern = 0x0123456789abcdef;
	struct client c;
	int fd;

	client_open(&c);
	fd = refdev_peer_eventfd(&c.p, VFIO_PCI_MSIX_IRQ_INDEX, 5, VFIO_IRQ_SET_ACTION_TRIGGER);
	CU_ASSERT_EQUAL(refdev_peer_map(&c.p, 0, MEMORY_SIZE, WRITE, -1), 0);
	set(&c, REFDEV_REG_DMA_PATTERN, pattern);
	set(&c, REFDEV_REG_DMA_VECTOR, 6);
	start(&c, REFDEV_DMA_FILL, 0, PAGE, 13);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 0);
	serve(&c);
	check_done(&c, 13);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 1);
	CU_ASSERT_EQUAL(memcmp(c.memory + PAGE, &pattern, 8), 0);
	CU_ASSERT_EQUAL(memcmp(c.memory + PAGE + 8, &pattern, 5), 0);
	close(fd);
	client_close(&c);
}

static void
test_bounds(void)
{
	struct client c;

	client_open(&c);
	CU_ASSERT_EQUAL(refdev_peer_map(&c.p, PAGE, PAGE, READ, -1), 0);
	CU_ASSERT_EQUAL(refdev_peer_map(&c.p, 4 * PAGE, PAGE, WRITE, refdev_peer_file(PAGE)), 0);
	for (uint32_t how = REFDEV_DMA_BY_MESSAGE; how <= REFDEV_DMA_BY_MMAP; how++) {
		start(&c, how | REFDEV_DMA_DST_BAR2, PAGE, 0, PAGE + 1);
		check_failed(&c, EFAULT);
		start(&c, how | REFDEV_DMA_DST_BAR2, PAGE - 1, 0, 1);
		check_failed(&c, EFAULT);
		start(&c, how | REFDEV_DMA_DST_BAR2, UINT64_MAX, 0, 2);
		check_failed(&c, EFAULT);
		start(&c, how | REFDEV_DMA_SRC_BAR2, 0, PAGE, 1);
		check_failed(&c, EACCES);
		start(&c, how | REFDEV_DMA_DST_BAR2, 4 * PAGE, 0, 1);
		check_failed(&c, EACCES);
		start(&c, how | REFDEV_DMA_FILL | REFDEV_DMA_DST_BAR2, 0, REFDEV_BAR2_SIZE - 1, 2);
		check_failed(&c, EFAULT);
		CU_ASSERT_EQUAL(get(&c, REFDEV_REG_DMA_DONE), 0);
	}
	start(&c, REFDEV_DMA_BY_FILE | REFDEV_DMA_DST_BAR2, PAGE, 0, 1);
	check_failed(&c, EOPNOTSUPP);
	start(&c, 3, PAGE, 0, 1);
	check_failed(&c, EINVAL);
	start(&c, REFDEV_DMA_FILL, 0, 4 * PAGE, 0);
	check_failed(&c, EINVAL);
	start(&c, REFDEV_DMA_FILL, 0, 4 * PAGE, REFDEV_DMA_MAX_LEN + 1);
	check_failed(&c, EINVAL);
	CU_ASSERT_FALSE(refdev_has_command(c.p.dev));
	client_close(&c);
}

/* The client refuses one of several: the transfer ends when all are answered. */
static void
test_refused(void)
{
	struct vfio_user_dma_region_access accesses[2];
	struct vfio_user_header headers[2];
	struct client c;

	client_open(&c);
	CU_ASSERT_EQUAL(refdev_peer_map(&c.p, 0, MEMORY_SIZE, READ | WRITE, -1), 0);
	set(&c, REFDEV_REG_DMA_WINDOW, 2);
	set(&c, REFDEV_REG_DMA_CHUNK, 16);
	start(&c, REFDEV_DMA_FILL, 0, 0, 64);
	CU_ASSERT_FATAL(next_command(&c, &headers[0], &accesses[0]));
	CU_ASSERT_FATAL(next_command(&c, &headers[1], &accesses[1]));
	CU_ASSERT_EQUAL(reply(&c, &headers[0], EPERM, NULL, 0), 0);
	CU_ASSERT_EQUAL(get(&c, REFDEV_REG_DMA_STATUS), REFDEV_DMA_STATUS_BUSY);
	CU_ASSERT_FALSE(refdev_has_command(c.p.dev));
	answer(&c, &headers[1], &accesses[1]);
	check_failed(&c, EPERM);
	CU_ASSERT_EQUAL(get(&c, REFDEV_REG_DMA_DONE), 16);
	client_close(&c);
}

/* Replies that answer nothing, or something else, lose their sender the connection. */
static void
test_wrong_replies(void)
{
	for (int i = 0; i < 5; i++) {
		struct vfio_user_dma_region_access access = {0};
		uint8_t body[sizeof(access) + 16] = {0};
		struct vfio_user_header header = {0};
		struct client c;
		size_t len = sizeof(body);

		client_open(&c);
		CU_ASSERT_EQUAL(refdev_peer_map(&c.p, 0, PAGE, READ, -1), 0);
		start(&c, REFDEV_DMA_DST_BAR2, 0, 0, 16);
		CU_ASSERT_FATAL(next_command(&c, &header, &access));
		access.addr += i == 0;
		access.count += i == 1;
		header.msg_id ^= i == 2 ? 1 : 0;
		header.cmd = i == 3 ? VFIO_USER_DMA_WRITE : header.cmd;
		len -= i == 4;
		memcpy(body, &access, sizeof(access));
		CU_ASSERT_EQUAL(reply(&c, &header, 0, body, len), -EPROTO);
		CU_ASSERT_PTR_NOT_NULL(strstr(refdev_reason(c.p.dev),
			i == 2 || i == 3 ? "that was not sent" : "is not of 16 bytes at 0x0"));
		client_close(&c);
	}
}

static void
test_raw(void)
{
	struct vfio_user_dma_region_access access = {0};
	struct vfio_user_header header = {0};
	struct client c;

	client_open(&c);
	set(&c, REFDEV_REG_RAW_ADDR, 0xdead0000);
	set(&c, REFDEV_REG_RAW_COUNT, 1ull << 40);
	set(&c, REFDEV_REG_RAW_LEN, 3);
	set(&c, REFDEV_REG_RAW_SEND, VFIO_USER_DMA_WRITE);
	CU_ASSERT_FATAL(next_command(&c, &header, &access));
	CU_ASSERT_EQUAL(header.cmd, VFIO_USER_DMA_WRITE);
	CU_ASSERT_EQUAL(header.msg_size, 16 + 16 + 3);
	CU_ASSERT_EQUAL(access.addr, 0xdead0000);
	CU_ASSERT_EQUAL(access.count, 1ull << 40);
	CU_ASSERT_EQUAL(reply(&c, &header, EFAULT, NULL, 0), 0);
	CU_ASSERT_EQUAL(get(&c, REFDEV_REG_RAW_SENT), 1);
	CU_ASSERT_EQUAL(get(&c, REFDEV_REG_RAW_ANSWERS), 1);
	CU_ASSERT_EQUAL(
		get(&c, REFDEV_REG_RAW_ANSWER_FLAGS), VFIO_USER_F_TYPE_REPLY | VFIO_USER_F_ERROR);
	CU_ASSERT_EQUAL(get(&c, REFDEV_REG_RAW_ANSWER_ERRNO), EFAULT);
	CU_ASSERT_EQUAL(get(&c, REFDEV_REG_RAW_ANSWER_COUNT), 0);
	set(&c, REFDEV_REG_RAW_FLAGS, VFIO_USER_F_NO_REPLY);
	set(&c, REFDEV_REG_RAW_LEN, 0);
	set(&c, REFDEV_REG_RAW_TIMES, 300);
	set(&c, REFDEV_REG_RAW_SEND, VFIO_USER_DMA_READ);
	for (int i = 0; i < 300; i++) {
		CU_ASSERT_FATAL(next_command(&c, &header, &access));
		CU_ASSERT_EQUAL(header.flags, VFIO_USER_F_NO_REPLY);
	}
	CU_ASSERT_FALSE(refdev_has_command(c.p.dev));
	CU_ASSERT_FALSE(refdev_awaits_answers(c.p.dev));
	CU_ASSERT_EQUAL(
		refdev_peer_try_write(&c.p, 0, REFDEV_REG_RAW_SEND, 4, "\12\0\0\0"), -EINVAL);
	client_close(&c);
}

/* Not more raw messages than the table has room for; a good answer is told in registers. */
static void
test_raw_flood(void)
{
	struct vfio_user_dma_region_access access = {0};
	struct vfio_user_header first;
	struct vfio_user_header header = {0};
	uint8_t body[sizeof(access) + 8];
	struct client c;

	client_open(&c);
	set(&c, REFDEV_REG_RAW_COUNT, 8);
	set(&c, REFDEV_REG_RAW_TIMES, 1000);
	set(&c, REFDEV_REG_RAW_SEND, VFIO_USER_DMA_READ);
	CU_ASSERT_FATAL(next_command(&c, &first, &access));
	while (next_command(&c, &header, &access))
		;
	CU_ASSERT_EQUAL(c.nr_commands, 256);
	memcpy(body, &access, sizeof(access));
	CU_ASSERT_EQUAL(reply(&c, &first, 0, body, sizeof(body)), 0);
	CU_ASSERT(next_command(&c, &header, &access));
	CU_ASSERT_NOT_EQUAL(header.msg_id, first.msg_id);
	CU_ASSERT_EQUAL(get(&c, REFDEV_REG_RAW_ANSWER_COUNT), 8);
	CU_ASSERT_EQUAL(get(&c, REFDEV_REG_RAW_ANSWER_LEN), 8);
	CU_ASSERT_EQUAL(get(&c, REFDEV_REG_RAW_ANSWER_ERRNO), 0);
	client_close(&c);
}

/* After a reset the answer still comes, and means nothing; a client that leaves takes it along. */
static void
test_interrupted(void)
{
	struct vfio_user_dma_region_access access = {0};
	struct vfio_user_header header = {0};
	struct client c;

	client_open(&c);
	CU_ASSERT_EQUAL(refdev_peer_map(&c.p, 0, MEMORY_SIZE, READ | WRITE, -1), 0);
	start(&c, REFDEV_DMA_BY_MESSAGE, 0, PAGE, 16);
	CU_ASSERT_FATAL(next_command(&c, &header, &access));
	CU_ASSERT_EQUAL(refdev_peer_ask(&c.p, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	CU_ASSERT_EQUAL(get(&c, REFDEV_REG_DMA_STATUS), REFDEV_DMA_STATUS_IDLE);
	answer(&c, &header, &access);
	CU_ASSERT_EQUAL(get(&c, REFDEV_REG_DMA_STATUS), REFDEV_DMA_STATUS_IDLE);
	start(&c, REFDEV_DMA_BY_MESSAGE, 0, PAGE, 16);
	CU_ASSERT_FATAL(next_command(&c, &header, &access));
	refdev_disconnect(c.p.dev);
	CU_ASSERT_FALSE(refdev_awaits_answers(c.p.dev));
	CU_ASSERT_EQUAL(refdev_peer_ask(&c.p, VFIO_USER_VERSION, "\0\0\2", 4), 0);
	check_failed(&c, ENOTCONN);
	client_close(&c);
}

/* Without anybody who sends the device's commands. */
static void
test_no_commands(void)
{
	struct client c;

	memset(&c, 0, sizeof(c));
	refdev_peer_open(&c.p);
	CU_ASSERT_EQUAL(refdev_peer_map(&c.p, 0, PAGE, READ | WRITE, refdev_peer_file(PAGE)), 0);
	start(&c, REFDEV_DMA_BY_MESSAGE, 0, 0, 8);
	check_failed(&c, EOPNOTSUPP);
	start(&c, REFDEV_DMA_BY_FILE, 0, 8, 8);
	check_done(&c, 8);
	CU_ASSERT_EQUAL(
		refdev_peer_try_write(&c.p, 0, REFDEV_REG_RAW_SEND, 4, "\13\0\0\0"), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(
		refdev_peer_try_write(&c.p, 0, REFDEV_REG_TIMER, 4, "\1\0\0\0"), -EOPNOTSUPP);
	CU_ASSERT_FALSE(refdev_has_command(c.p.dev));
	refdev_peer_close(&c.p);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"copy by message", test_copy_by_message},
		{"window", test_window},
		{"fill, and an interrupt", test_fill_and_vector},
		{"bounds and permissions", test_bounds},
		{"refused by the client", test_refused},
		{"wrong replies", test_wrong_replies},
		{"raw messages", test_raw},
		{"flood of raw messages", test_raw_flood},
		{"reset and disconnect", test_interrupted},
		{"no way for commands", test_no_commands},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"refdev DMA engine", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
