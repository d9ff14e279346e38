/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raw_client.h"
#include "refdev_regs.h"
#include "refdev_server.h"
#include "tap.h"

static void
send_bytewise(int fd, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		raw_send(fd, bytes + i, 1, NULL, 0);
}

static void
check_bytewise(const char *mode)
{
	struct refdev_server s;
	struct raw_message reply;
	uint8_t bytes[128];
	int fd;

	refdev_server_start_with(&s, mode);
	fd = raw_connect(s.socket);
	send_bytewise(fd, bytes, raw_command(bytes, 1, VFIO_USER_VERSION, 0, "\0\0\2\0{}", 7));
	CU_ASSERT(raw_receive(fd, &reply) > 0);
	send_bytewise(fd, bytes, raw_write_command(bytes, 2, 0, 0, REFDEV_REG_SCRATCH, 8, 77));
	CU_ASSERT_EQUAL(raw_receive(fd, &reply), 32);
	CU_ASSERT_EQUAL(reply.header.msg_id, 2);
	CU_ASSERT_EQUAL(raw_get(fd, REFDEV_REG_SCRATCH, 8), 77);
	close(fd);
	refdev_server_stop(&s);
}

static void
test_bytewise(void)
{
	check_bytewise("--mode=block");
	check_bytewise("--mode=poll");
}

#define NR_PIPELINED 500u

/* Many requests in one send; the replies come in order, and posted writes get none. */
static void
check_pipelined(const char *mode)
{
	uint8_t bytes[NR_PIPELINED * 80];
	struct raw_message reply;
	struct refdev_server s;
	size_t len = 0;
	int fd;

	refdev_server_start_with(&s, mode);
	fd = raw_open(s.socket);
	for (uint16_t i = 0; i < NR_PIPELINED; i++) {
		len += raw_write_command(
			bytes + len, 0, VFIO_USER_F_NO_REPLY, 0, REFDEV_REG_SCRATCH, 8, i);
		len += raw_read_command(bytes + len, i, 0, REFDEV_REG_SCRATCH, 8);
	}
	raw_send(fd, bytes, len, NULL, 0);
	for (uint16_t i = 0; i < NR_PIPELINED; i++) {
		uint64_t value;

		CU_ASSERT_EQUAL_FATAL(raw_receive(fd, &reply), 40);
		CU_ASSERT_EQUAL(reply.header.msg_id, i);
		memcpy(&value, reply.bytes + 32, sizeof(value));
		CU_ASSERT_EQUAL(value, i);
	}
	CU_ASSERT_EQUAL(raw_get(fd, REFDEV_REG_WRITES, 8), NR_PIPELINED);
	close(fd);
	refdev_server_stop(&s);
}

static void
test_pipelined(void)
{
	check_pipelined("--mode=block");
	check_pipelined("--mode=poll");
}

/* A client that sends until nothing more goes in, and reads only then: nothing is lost, and the
 * server waits without holding up its other device. */
static void
test_backpressure(void)
{
	struct refdev_server s;
	const char *const options[] = {"--socket-path", s.second, NULL};
	struct raw_message reply;
	uint8_t bytes[64];
	size_t len;
	size_t sent = 0;
	int other;
	int fd;

	refdev_server_start(&s, options);
	fd = raw_open(s.socket);
	len = raw_read_command(bytes, 5, 2, 0, 4096);
	for (;;) {
		ssize_t n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			break;
		CU_ASSERT_EQUAL_FATAL((size_t)n, len);
		sent++;
		if (sent % 64 != 0)
			continue;
		other = raw_open(s.second);
		CU_ASSERT_EQUAL(raw_get(other, REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
		close(other);
	}
	CU_ASSERT(sent > 64);
	for (size_t i = 0; i < sent; i++)
		CU_ASSERT_EQUAL_FATAL(raw_receive(fd, &reply), 32 + 4096);
	CU_ASSERT_EQUAL(raw_get(fd, REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	close(fd);
	refdev_server_stop(&s);
}

/* Data as long as a region. */
static void
test_long_messages(void)
{
	static uint8_t bytes[32 + REFDEV_BAR2_SIZE];
	static uint8_t body[16 + REFDEV_BAR2_SIZE];
	static struct raw_message reply;
	const struct vfio_user_region_access access = {.region = 2, .count = REFDEV_BAR2_SIZE};
	struct refdev_server s;
	int fd;

	memcpy(body, &access, sizeof(access));
	for (size_t i = 0; i < REFDEV_BAR2_SIZE; i++)
		body[16 + i] = (uint8_t)(i * 31 + i / 251);
	refdev_server_start_with(&s, NULL);
	fd = raw_open(s.socket);
	raw_send(fd, bytes, raw_command(bytes, 1, VFIO_USER_REGION_WRITE, 0, body, sizeof(body)),
		NULL, 0);
	CU_ASSERT_EQUAL(raw_receive(fd, &reply), 32);
	raw_send(fd, bytes, raw_read_command(bytes, 2, 2, 0, REFDEV_BAR2_SIZE), NULL, 0);
	CU_ASSERT_EQUAL_FATAL(raw_receive(fd, &reply), 32 + REFDEV_BAR2_SIZE);
	CU_ASSERT_EQUAL(memcmp(reply.bytes + 16, body, sizeof(body)), 0);
	close(fd);
	refdev_server_stop(&s);
}

/* Send bytes that break the framing: the client is disconnected, with a line, and the next one is
 * served. */
static void
check_disconnected(const uint8_t *bytes, size_t len, const char *text)
{
	struct raw_message reply;
	struct refdev_server s;
	int fd;

	refdev_server_start_with(&s, NULL);
	fd = raw_open(s.socket);
	raw_send(fd, bytes, len, NULL, 0);
	CU_ASSERT_EQUAL(raw_receive(fd, &reply), 0);
	CU_ASSERT_EQUAL(reply.len, 0);
	close(fd);
	fd = raw_open(s.socket);
	CU_ASSERT_EQUAL(raw_get(fd, REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	close(fd);
	refdev_server_stop_said(&s, text);
}

static void
test_broken_headers(void)
{
	struct vfio_user_header header = {.msg_id = 7, .cmd = VFIO_USER_DEVICE_RESET};
	uint8_t bytes[16];

	header.msg_size = 15;
	memcpy(bytes, &header, sizeof(header));
	check_disconnected(bytes, sizeof(bytes), "message 7 has size 15, not 16 ... 1048608");
	header.msg_size = UINT32_MAX;
	memcpy(bytes, &header, sizeof(header));
	check_disconnected(bytes, sizeof(bytes), "message 7 has size 4294967295");
	header.msg_size = 16;
	header.flags = VFIO_USER_F_TYPE_REPLY;
	memcpy(bytes, &header, sizeof(header));
	check_disconnected(bytes, sizeof(bytes), "message 7 is no command: flags 0x1");
}

static void
test_wrong_major(void)
{
	struct raw_message reply;
	struct refdev_server s;
	uint8_t bytes[32];
	int fd;

	refdev_server_start_with(&s, NULL);
	fd = raw_connect(s.socket);
	raw_send(fd, bytes, raw_command(bytes, 1, VFIO_USER_VERSION, 0, "\1\0\0\0", 4), NULL, 0);
	CU_ASSERT_EQUAL(raw_receive(fd, &reply), 0);
	CU_ASSERT_EQUAL(reply.len, 0);
	close(fd);
	refdev_server_stop_said(&s, "client proposes version 1.0, spoken is 0.2");
}

/* Stop the server, so that all that is sent meanwhile is there at once when it goes on. */
static void
freeze(const struct refdev_server *s)
{
	siginfo_t info;

	CU_ASSERT_EQUAL_FATAL(kill(s->process.pid, SIGSTOP), 0);
	CU_ASSERT_EQUAL_FATAL(waitid(P_PID, (id_t)s->process.pid, &info, WSTOPPED), 0);
}

static void
thaw(const struct refdev_server *s)
{
	CU_ASSERT_EQUAL_FATAL(kill(s->process.pid, SIGCONT), 0);
}

/* What a client has sent before it left without taking its replies is carried out. */
static void
check_last_words(const char *mode)
{
	struct refdev_server s;
	uint8_t bytes[64 * NR_PIPELINED];
	size_t len = 0;
	int fd;

	refdev_server_start_with(&s, mode);
	fd = raw_open(s.socket);
	freeze(&s);
	for (uint16_t i = 0; i < NR_PIPELINED; i++)
		len += raw_write_command(bytes + len, i, 0, 0, REFDEV_REG_SCRATCH, 8, i);
	raw_send(fd, bytes, len, NULL, 0);
	close(fd);
	thaw(&s);
	fd = raw_open(s.socket);
	CU_ASSERT_EQUAL(raw_get(fd, REFDEV_REG_WRITES, 8), NR_PIPELINED);
	close(fd);
	refdev_server_stop(&s);
}

static void
test_last_words(void)
{
	check_last_words("--mode=block");
	check_last_words("--mode=poll");
}

/* A client that leaves in the middle of a message, and one that leaves without taking its reply. */
static void
test_early_leave(void)
{
	struct refdev_server s;
	uint8_t bytes[64];
	int fd;

	refdev_server_start_with(&s, NULL);
	fd = raw_open(s.socket);
	raw_send(fd, bytes, raw_read_command(bytes, 1, 0, 0, 4), NULL, 0);
	close(fd);
	fd = raw_open(s.socket);
	raw_read_command(bytes, 1, 0, 0, 4);
	raw_send(fd, bytes, 20, NULL, 0);
	close(fd);
	fd = raw_open(s.socket);
	CU_ASSERT_EQUAL(raw_get(fd, REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	close(fd);
	refdev_server_stop_said(&s, "the client left 20 bytes into a message");
}

/* SET_IRQS that gives some vectors an eventfd each. */
static size_t
assign_command(uint8_t *buf, uint16_t id, uint32_t vector, uint32_t count)
{
	const struct vfio_user_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
		.start = vector,
		.count = count,
	};

	return raw_command(buf, id, VFIO_USER_DEVICE_SET_IRQS, 0, &set, sizeof(set));
}

/* DMA_MAP without the descriptor that it might have. */
static size_t
map_command(uint8_t *buf, uint16_t id, uint64_t addr)
{
	const struct vfio_user_dma_map map = {
		.argsz = sizeof(map), .flags = 1, .addr = addr, .size = 4096};

	return raw_command(buf, id, VFIO_USER_DMA_MAP, 0, &map, sizeof(map));
}

static uint64_t
events(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : 0;
}

/* Each descriptor stays with its message, whatever was sent around it. */
static void
test_fds_in_a_crowd(void)
{
	struct raw_message reply;
	struct refdev_server s;
	uint8_t bytes[128];
	int eventfds[4];
	int fd;

	refdev_server_start_with(&s, NULL);
	fd = raw_open(s.socket);
	freeze(&s);
	for (uint16_t n = 0; n < 4; n++) {
		size_t len = assign_command(bytes, (uint16_t)(10 + n), n, 1);

		eventfds[n] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		len += raw_read_command(bytes + len, (uint16_t)(20 + n), 0, REFDEV_REG_ID, 4);
		raw_send(fd, bytes, len, &eventfds[n], 1);
		raw_send(fd, bytes, map_command(bytes, 30, 4096u * n), NULL, 0);
	}
	thaw(&s);
	for (int i = 0; i < 12; i++) {
		CU_ASSERT_FATAL(raw_receive(fd, &reply) > 0);
		CU_ASSERT_EQUAL(reply.header.flags, VFIO_USER_F_TYPE_REPLY);
	}
	for (uint32_t n = 0; n < 4; n++) {
		raw_set(fd, REFDEV_REG_IRQ_TRIGGER, 4, n);
		for (uint32_t other = 0; other < 4; other++)
			CU_ASSERT_EQUAL(events(eventfds[other]), other == n);
	}
	for (uint32_t n = 0; n < 4; n++)
		close(eventfds[n]);
	close(fd);
	refdev_server_stop(&s);
}

/* Descriptors that come with several bytes of one message are all of that message. */
static void
test_fds_bytewise(void)
{
	struct raw_message reply;
	struct refdev_server s;
	uint8_t bytes[64];
	int own[2];
	size_t len;
	int fd;

	refdev_server_start_with(&s, NULL);
	fd = raw_open(s.socket);
	len = assign_command(bytes, 1, 2, 2);
	for (size_t i = 0; i < 2; i++) {
		own[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		raw_send(fd, bytes + i, 1, &own[i], 1);
	}
	send_bytewise(fd, bytes + 2, len - 2);
	CU_ASSERT_EQUAL(raw_receive(fd, &reply), 16);
	CU_ASSERT_EQUAL(reply.header.flags, VFIO_USER_F_TYPE_REPLY);
	raw_set(fd, REFDEV_REG_IRQ_TRIGGER, 4, 3);
	CU_ASSERT_EQUAL(events(own[0]), 0);
	CU_ASSERT_EQUAL(events(own[1]), 1);
	close(own[0]);
	close(own[1]);
	close(fd);
	refdev_server_stop(&s);
}

/* Interrupts stop with the client that wanted them: nobody else holds its eventfd then. */
static void
test_fds_closed(void)
{
	struct raw_message reply;
	struct refdev_server s;
	uint8_t bytes[64];
	int ends[2];
	int fd;

	CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_CLOEXEC), 0);
	refdev_server_start_with(&s, NULL);
	fd = raw_open(s.socket);
	raw_send(fd, bytes, assign_command(bytes, 1, 0, 1), &ends[1], 1);
	CU_ASSERT_EQUAL(raw_receive(fd, &reply), 16);
	close(ends[1]);
	close(fd);
	CU_ASSERT_EQUAL(read(ends[0], bytes, 1), 0);
	close(ends[0]);
	refdev_server_stop(&s);
}

/* Descriptors where none belong get an error and are closed; too many end the connection. */
static void
check_many_fds(unsigned int nr_fds, const char *text)
{
	struct raw_message reply;
	struct refdev_server s;
	uint8_t bytes[64];
	int fds[64];
	int ends[2];
	int fd;

	CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_CLOEXEC), 0);
	for (unsigned int i = 0; i < nr_fds; i++)
		fds[i] = ends[1];
	refdev_server_start_with(&s, NULL);
	fd = raw_open(s.socket);
	raw_send(fd, bytes, raw_read_command(bytes, 1, 0, 0, 4), fds, nr_fds);
	if (text == NULL) {
		CU_ASSERT_EQUAL(raw_receive(fd, &reply), 16);
		CU_ASSERT_EQUAL(reply.header.error_no, EINVAL);
	} else {
		CU_ASSERT_EQUAL(raw_receive(fd, &reply), 0);
	}
	close(ends[1]);
	CU_ASSERT_EQUAL(read(ends[0], bytes, 1), 0);
	close(ends[0]);
	close(fd);
	if (text == NULL)
		refdev_server_stop(&s);
	else
		refdev_server_stop_said(&s, text);
}

static void
test_many_fds(void)
{
	check_many_fds(1, NULL);
	check_many_fds(8, NULL);
	check_many_fds(9, "message carries 9 descriptors, not 0 ... 8");
	check_many_fds(16, "message carries 16 descriptors");
	check_many_fds(17, "more descriptors than a message may carry");
	check_many_fds(64, "more descriptors than a message may carry");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"byte by byte", test_bytewise},
		{"pipelined", test_pipelined},
		{"replies that nobody reads", test_backpressure},
		{"long messages", test_long_messages},
		{"broken headers", test_broken_headers},
		{"wrong major", test_wrong_major},
		{"clients that leave early", test_early_leave},
		{"what a client sent before it left", test_last_words},
		{"descriptors in a crowd", test_fds_in_a_crowd},
		{"descriptors byte by byte", test_fds_bytewise},
		{"descriptors of a client that left", test_fds_closed},
		{"too many descriptors", test_many_fds},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vuc-refdev framing", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
