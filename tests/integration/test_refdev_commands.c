/* SPDX-License-Identifier: BSD-3-Clause */

/* What the program does by itself: commands of the device by both ways, events, and the timer. */

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "raw_client.h"
#include "refdev_regs.h"
#include "refdev_server.h"
#include "tap.h"

#define MEMORY_SIZE 65536u

/* A client with memory, and the socket that commands come by. */
struct client {
	struct refdev_server server;
	int fd;
	int twin;                    /* fd, when there is none */
	uint8_t memory[MEMORY_SIZE]; /* at address 0 */
};

static int
open_raw(const char *path, bool twin, int *twin_fd)
{
	static const char with[] = "\0\0\2\0{\"capabilities\":{\"max_msg_fds\":8,"
				   "\"max_data_xfer_size\":4096,"
				   "\"twin_socket\":{\"supported\":true}}}";
	static const char without[] = "\0\0\2\0{\"capabilities\":{\"max_msg_fds\":8,"
				      "\"max_data_xfer_size\":4096}}";
	const struct timeval timeout = {.tv_sec = RAW_TIMEOUT_MS / 1000};
	uint8_t bytes[256];
	struct raw_message reply;
	int fd = raw_connect(path);
	size_t len = raw_command(bytes, 1, VFIO_USER_VERSION, 0, twin ? with : without,
		twin ? sizeof(with) : sizeof(without));

	raw_send(fd, bytes, len, NULL, 0);
	CU_ASSERT_FATAL(raw_receive(fd, &reply) > 0);
	CU_ASSERT_EQUAL_FATAL(reply.header.flags, VFIO_USER_F_TYPE_REPLY);
	CU_ASSERT_EQUAL_FATAL(reply.nr_fds, twin);
	*twin_fd = twin ? reply.fds[0] : fd;
	setsockopt(*twin_fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return fd;
}

static void
map_memory(struct client *c)
{
	const struct vfio_user_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_USER_F_DMA_REGION_READ | VFIO_USER_F_DMA_REGION_WRITE,
		.size = MEMORY_SIZE,
	};
	uint8_t bytes[64];
	struct raw_message reply;

	raw_send(c->fd, bytes, raw_command(bytes, 9, VFIO_USER_DMA_MAP, 0, &map, sizeof(map)), NULL,
		0);
	CU_ASSERT_EQUAL_FATAL(raw_receive(c->fd, &reply), 16);
	CU_ASSERT_EQUAL_FATAL(reply.header.flags, VFIO_USER_F_TYPE_REPLY);
}

static void
start(struct client *c, const char *mode, const char *option, bool twin)
{
	const char *const options[] = {mode, option, NULL};

	refdev_server_start(&c->server, options);
	c->fd = open_raw(c->server.socket, twin, &c->twin);
	for (uint32_t i = 0; i < MEMORY_SIZE; i++)
		c->memory[i] = (uint8_t)(i * 11 + i / 256);
	map_memory(c);
}

static void
leave(struct client *c)
{
	if (c->twin != c->fd)
		close(c->twin);
	close(c->fd);
}

static void
stop(struct client *c)
{
	leave(c);
	refdev_server_stop(&c->server);
}

/* Post a write to a register: by the main socket commands may come before the reply. */
static void
post(struct client *c, uint64_t reg, uint32_t count, uint64_t value)
{
	uint8_t bytes[64];

	raw_send(c->fd, bytes,
		raw_write_command(bytes, 7, VFIO_USER_F_NO_REPLY, 0, reg, count, value), NULL, 0);
}

static void
start_copy(struct client *c, uint32_t mode, uint64_t src, uint64_t dst, uint32_t len)
{
	post(c, REFDEV_REG_DMA_MODE, 4, mode);
	post(c, REFDEV_REG_DMA_SRC, 8, src);
	post(c, REFDEV_REG_DMA_DST, 8, dst);
	post(c, REFDEV_REG_DMA_LEN, 4, len);
	post(c, REFDEV_REG_DMA_START, 4, 1);
}

/* What was sent by the twin socket may be seen later than what was sent by the other. */
static void
wait_idle(struct client *c)
{
	while (raw_get(c->fd, REFDEV_REG_DMA_STATUS, 4) == REFDEV_DMA_STATUS_BUSY)
		;
}

/* Answer one command out of memory; error: refuse it. */
static void
answer(struct client *c, uint32_t error)
{
	static uint8_t bytes[2 * MEMORY_SIZE];
	struct vfio_user_dma_region_access access;
	struct raw_message command;
	size_t len = sizeof(access);

	CU_ASSERT_FATAL(raw_receive(c->twin, &command) >= 32);
	CU_ASSERT_EQUAL_FATAL(command.header.flags, VFIO_USER_F_TYPE_COMMAND);
	memcpy(&access, command.bytes + 16, sizeof(access));
	CU_ASSERT_FATAL(access.count <= 4096 && access.addr <= MEMORY_SIZE - access.count);
	if (command.header.cmd == VFIO_USER_DMA_WRITE) {
		CU_ASSERT_EQUAL_FATAL(command.len, 32 + access.count);
		memcpy(c->memory + access.addr, command.bytes + 32, access.count);
	} else {
		CU_ASSERT_EQUAL(command.header.cmd, VFIO_USER_DMA_READ);
		len += access.count;
	}
	command.header.flags = VFIO_USER_F_TYPE_REPLY | (error != 0 ? VFIO_USER_F_ERROR : 0);
	command.header.error_no = error;
	len = error != 0 ? 0 : len;
	command.header.msg_size = (uint32_t)(16 + len);
	memcpy(bytes, &command.header, 16);
	memcpy(bytes + 16, &access, sizeof(access));
	memcpy(bytes + 32, c->memory + access.addr, access.count);
	raw_send(c->twin, bytes, 16 + len, NULL, 0);
}

static void
check_copy(const char *mode, bool twin)
{
	struct client c;

	start(&c, mode, NULL, twin);
	post(&c, REFDEV_REG_DMA_WINDOW, 4, 4);
	start_copy(&c, REFDEV_DMA_BY_MESSAGE, 17, 40000, 20000);
	for (int i = 0; i < 10; i++)
		answer(&c, 0);
	wait_idle(&c);
	CU_ASSERT_EQUAL(raw_get(c.fd, REFDEV_REG_DMA_STATUS, 4), REFDEV_DMA_STATUS_DONE);
	CU_ASSERT_EQUAL(raw_get(c.fd, REFDEV_REG_DMA_DONE, 8), 20000);
	CU_ASSERT_EQUAL(memcmp(c.memory + 17, c.memory + 40000, 20000), 0);
	stop(&c);
}

static void
test_copy(void)
{
	check_copy("--mode=block", false);
	check_copy("--mode=block", true);
	check_copy("--mode=poll", false);
	check_copy("--mode=poll", true);
}

/* Registers are served while the device waits for its client. */
static void
test_served_meanwhile(void)
{
	struct client c;

	start(&c, "--mode=block", NULL, true);
	start_copy(&c, REFDEV_DMA_BY_MESSAGE, 0, 4096, 16);
	for (int i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(raw_get(c.fd, REFDEV_REG_DMA_STATUS, 4), REFDEV_DMA_STATUS_BUSY);
	answer(&c, EPERM);
	wait_idle(&c);
	CU_ASSERT_EQUAL(raw_get(c.fd, REFDEV_REG_DMA_ERRNO, 4), EPERM);
	stop(&c);
}

/* A client that leaves with commands unanswered, or closes the twin socket only. */
static void
test_leave(void)
{
	struct client c;

	start(&c, "--mode=block", NULL, true);
	start_copy(&c, REFDEV_DMA_BY_MESSAGE, 0, 4096, 16);
	leave(&c);
	c.fd = open_raw(c.server.socket, true, &c.twin);
	CU_ASSERT_EQUAL(raw_get(c.fd, REFDEV_REG_DMA_STATUS, 4), REFDEV_DMA_STATUS_ERROR);
	CU_ASSERT_EQUAL(raw_get(c.fd, REFDEV_REG_DMA_ERRNO, 4), ENOTCONN);
	close(c.twin);
	c.twin = c.fd;
	map_memory(&c);
	start_copy(&c, REFDEV_DMA_BY_MESSAGE, 0, 4096, 16);
	CU_ASSERT_EQUAL(raw_get(c.fd, REFDEV_REG_DMA_STATUS, 4), REFDEV_DMA_STATUS_BUSY);
	stop(&c);
}

static void
test_switched_off(void)
{
	static const char body[] = "\0\0\2\0{\"capabilities\":{\"max_msg_fds\":8,"
				   "\"twin_socket\":{\"supported\":true}}}";
	struct refdev_server s;
	struct raw_message reply;
	uint8_t bytes[256];
	int fd;

	refdev_server_start_with(&s, "--no-twin-socket");
	fd = raw_connect(s.socket);
	raw_send(fd, bytes, raw_command(bytes, 1, VFIO_USER_VERSION, 0, body, sizeof(body)), NULL,
		0);
	CU_ASSERT_FATAL(raw_receive(fd, &reply) > 0);
	CU_ASSERT_EQUAL(reply.nr_fds, 0);
	CU_ASSERT_PTR_NULL(strstr((const char *)reply.bytes + 20, "twin"));
	close(fd);
	refdev_server_stop(&s);
}

/* Commands that are switched off are known, but not supported. */
static void
test_commands_off(void)
{
	const char *const options[] = {
		"--no-migration", "--no-dirty-log", "--no-io-fds", "--no-write-multi", NULL};
	static const uint16_t commands[] = {VFIO_USER_DEVICE_FEATURE, VFIO_USER_MIG_DATA_READ,
		VFIO_USER_MIG_DATA_WRITE, VFIO_USER_DEVICE_GET_REGION_IO_FDS,
		VFIO_USER_REGION_WRITE_MULTI};
	struct refdev_server s;
	struct raw_message reply;
	uint8_t bytes[64];
	int fd;

	refdev_server_start(&s, options);
	fd = raw_open(s.socket);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		raw_send(fd, bytes, raw_command(bytes, 1, commands[i], 0, NULL, 0), NULL, 0);
		CU_ASSERT_EQUAL(raw_receive(fd, &reply), 16);
		CU_ASSERT_EQUAL(reply.header.error_no, EOPNOTSUPP);
	}
	close(fd);
	refdev_server_stop(&s);
}

/* What comes by the wrong socket, or answers nothing, loses the client its connection. */
static void
check_intruder(bool twin, bool by_twin, uint32_t flags, const char *text)
{
	const struct vfio_user_header message = {
		.msg_id = 5, .cmd = VFIO_USER_DMA_READ, .msg_size = 16, .flags = flags};
	uint8_t bytes[16];
	struct raw_message reply;
	struct client c;

	start(&c, "--mode=block", NULL, twin);
	start_copy(&c, REFDEV_DMA_BY_MESSAGE, 0, 4096, 16);
	CU_ASSERT_FATAL(raw_receive(c.twin, &reply) > 0);
	memcpy(bytes, &message, sizeof(message));
	raw_send(by_twin ? c.twin : c.fd, bytes, sizeof(bytes), NULL, 0);
	CU_ASSERT_EQUAL(raw_receive(c.fd, &reply), 0);
	leave(&c);
	refdev_server_stop_said(&c.server, text);
}

static void
test_intruders(void)
{
	check_intruder(true, true, VFIO_USER_F_TYPE_COMMAND, "message 5 by the twin socket");
	check_intruder(true, true, VFIO_USER_F_TYPE_REPLY, "message 5, that was not sent");
	check_intruder(true, false, VFIO_USER_F_TYPE_REPLY, "reply by the main socket");
	check_intruder(false, false, VFIO_USER_F_TYPE_REPLY, "message 5, that was not sent");
}

/* Many commands that nobody reads: the device goes on, and they are all there in the end. */
static void
test_flood(void)
{
	struct raw_message command;
	struct client c;

	start(&c, "--mode=block", NULL, true);
	post(&c, REFDEV_REG_RAW_FLAGS, 4, VFIO_USER_F_NO_REPLY);
	post(&c, REFDEV_REG_RAW_COUNT, 8, 60000);
	post(&c, REFDEV_REG_RAW_LEN, 4, 60000);
	post(&c, REFDEV_REG_RAW_TIMES, 4, 200);
	post(&c, REFDEV_REG_RAW_SEND, 4, VFIO_USER_DMA_WRITE);
	CU_ASSERT(raw_get(c.fd, REFDEV_REG_RAW_SENT, 8) < 200);
	for (int i = 0; i < 200; i++)
		CU_ASSERT_EQUAL_FATAL(raw_receive(c.twin, &command), 32 + 60000);
	CU_ASSERT_EQUAL(raw_get(c.fd, REFDEV_REG_RAW_SENT, 8), 200);
	stop(&c);
}

/* Faults spoil commands by their name, and nothing else does. */
static void
test_faults(void)
{
	struct raw_message first;
	struct raw_message second;
	struct client c;

	start(&c, "--mode=block", "--fault=wrong-size=24@dma_read", true);
	start_copy(&c, REFDEV_DMA_BY_MESSAGE, 0, 4096, 16);
	CU_ASSERT_EQUAL(raw_receive_bytes(c.twin, &first, 32), 32);
	CU_ASSERT_EQUAL(first.header.msg_size, 24);
	stop(&c);
	start(&c, "--mode=block", "--fault=wrong-count@dma_read", true);
	start_copy(&c, REFDEV_DMA_BY_MESSAGE, 0, 4096, 16);
	CU_ASSERT_EQUAL(raw_receive(c.twin, &first), 32);
	CU_ASSERT_EQUAL(first.bytes[24], 17);
	stop(&c);
	start(&c, "--mode=block", "--fault=duplicate@dma_read", true);
	start_copy(&c, REFDEV_DMA_BY_MESSAGE, 0, 4096, 16);
	CU_ASSERT_EQUAL(raw_receive(c.twin, &first), 32);
	CU_ASSERT_EQUAL(raw_receive(c.twin, &second), 32);
	CU_ASSERT_EQUAL(memcmp(first.bytes, second.bytes, 32), 0);
	stop(&c);
	start(&c, "--mode=block", "--fault=wrong-id#5", true);
	start_copy(&c, REFDEV_DMA_BY_MESSAGE, 0, 4096, 16);
	answer(&c, 0);
	answer(&c, 0);
	wait_idle(&c);
	CU_ASSERT_EQUAL(raw_get(c.fd, REFDEV_REG_DMA_DONE, 8), 16);
	stop(&c);
}

/* Replies that are shorter or longer than they should be, and name descriptors that never came. */
static void
test_spoiled_replies(void)
{
	const struct vfio_user_region_io_fds ask = {.argsz = 4096};
	struct vfio_user_sub_region_ioeventfd sub;
	struct raw_message reply;
	uint8_t bytes[64];
	struct client c;

	start(&c, "--mode=block", "--fault=fd-index=77", false);
	raw_send(c.fd, bytes,
		raw_command(bytes, 4, VFIO_USER_DEVICE_GET_REGION_IO_FDS, 0, &ask, sizeof(ask)),
		NULL, 0);
	CU_ASSERT_EQUAL_FATAL(raw_receive(c.fd, &reply), 16 + 16 + 3 * 48);
	memcpy(&sub, reply.bytes + 32, sizeof(sub));
	CU_ASSERT_EQUAL(sub.fd_index, 77);
	raw_close_fds(&reply);
	stop(&c);
	start(&c, "--mode=block", "--fault=length=40@region_read", false);
	raw_send(c.fd, bytes, raw_read_command(bytes, 1, 0, REFDEV_REG_ID, 4), NULL, 0);
	CU_ASSERT_EQUAL(raw_receive(c.fd, &reply), 40);
	CU_ASSERT_EQUAL(reply.bytes[36], 0);
	raw_send(c.fd, bytes, raw_read_command(bytes, 1, 2, 0, 64), NULL, 0);
	CU_ASSERT_EQUAL(raw_receive(c.fd, &reply), 40);
	stop(&c);
}

static int
assign_eventfd(struct client *c, uint32_t vector)
{
	const struct vfio_user_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
		.start = vector,
		.count = 1,
	};
	int fd = eventfd(0, EFD_CLOEXEC);
	struct raw_message reply;
	uint8_t bytes[64];

	CU_ASSERT_FATAL(fd >= 0);
	raw_send(c->fd, bytes,
		raw_command(bytes, 4, VFIO_USER_DEVICE_SET_IRQS, 0, &set, sizeof(set)), &fd, 1);
	CU_ASSERT_EQUAL_FATAL(raw_receive(c->fd, &reply), 16);
	CU_ASSERT_EQUAL_FATAL(reply.header.flags, VFIO_USER_F_TYPE_REPLY);
	return fd;
}

static void
check_timer(const char *mode)
{
	struct pollfd pfd = {.events = POLLIN};
	struct client c;

	start(&c, mode, NULL, false);
	pfd.fd = assign_eventfd(&c, 3);
	raw_set(c.fd, REFDEV_REG_TIMER_VECTOR, 4, 3);
	raw_set(c.fd, REFDEV_REG_TIMER, 4, 1);
	CU_ASSERT_EQUAL(poll(&pfd, 1, RAW_TIMEOUT_MS), 1);
	close(pfd.fd);
	stop(&c);
}

static void
test_timer(void)
{
	check_timer("--mode=block");
	check_timer("--mode=poll");
}

/* A doorbell by its ioeventfd, without a message. */
static void
check_ioeventfd(const char *mode)
{
	const struct vfio_user_region_io_fds ask = {.argsz = 4096};
	struct raw_message reply;
	uint64_t one = 1;
	uint8_t bytes[64];
	struct client c;

	start(&c, mode, NULL, false);
	raw_send(c.fd, bytes,
		raw_command(bytes, 4, VFIO_USER_DEVICE_GET_REGION_IO_FDS, 0, &ask, sizeof(ask)),
		NULL, 0);
	CU_ASSERT_EQUAL_FATAL(raw_receive(c.fd, &reply), 16 + 16 + 3 * 48);
	CU_ASSERT_EQUAL_FATAL(reply.nr_fds, 4);
	CU_ASSERT_EQUAL(write(reply.fds[0], &one, sizeof(one)), sizeof(one));
	while (raw_get(c.fd, REFDEV_REG_DOORBELL_COUNT, 8) == 0)
		;
	CU_ASSERT_EQUAL(raw_get(c.fd, REFDEV_REG_DOORBELL_LAST, 4), REFDEV_DOORBELL_MATCH);
	raw_close_fds(&reply);
	stop(&c);
}

static void
test_ioeventfd(void)
{
	check_ioeventfd("--mode=block");
	check_ioeventfd("--mode=poll");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"copy by message", test_copy},
		{"registers meanwhile", test_served_meanwhile},
		{"clients that leave", test_leave},
		{"no twin socket", test_switched_off},
		{"commands switched off", test_commands_off},
		{"intruders", test_intruders},
		{"commands that nobody reads", test_flood},
		{"faults", test_faults},
		{"spoiled replies", test_spoiled_replies},
		{"timer", test_timer},
		{"ioeventfd", test_ioeventfd},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vuc-refdev commands", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
