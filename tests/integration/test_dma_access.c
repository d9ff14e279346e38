/* SPDX-License-Identifier: BSD-3-Clause */

/* A server that asks for memory by message: a thread with a script, over the main socket and over
 * the twin socket. */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <vuc/dma.h>

#include "fd_count.h"
#include "fds.h"
#include "source.h"
#include "tap.h"
#include "vfio_user.h"

#define HEADER   sizeof(struct vfio_user_header)
#define ACCESS   sizeof(struct vfio_user_dma_region_access)
#define MIB      (1024u * 1024u)
#define MAX_BODY (2u * MIB)
#define PAGE     4096u
#define PAGES    100u /* more than a reply is sent from at once */

struct server {
	int fd;       /* the main socket */
	int commands; /* where its commands go: the main socket or the twin */
	bool twin;
	void (*script)(struct server *s);
	pthread_t thread;
	bool has_command;    /* a command was sent beside a read, and is not answered so far */
	unsigned int behind; /* reads since */
	unsigned int most_behind;
	unsigned int reads;
	uint8_t *body; /* of the last message received */
	size_t len;
	struct vfio_user_header header;
	unsigned int failed;
};

static const char *transport;
static uint8_t *memory;  /* of the client: 3 MiB, two of them adjacent */
static uint8_t *pattern; /* what was in it at first, for the server, which cannot look */
static unsigned int fds_before;

/* Assertions of the thread: the harness belongs to the other one. */
#define EXPECT(s, cond)                                             \
	do {                                                        \
		if (!(cond)) {                                      \
			printf("# line %d: %s\n", __LINE__, #cond); \
			(s)->failed++;                              \
		}                                                   \
	} while (0)

static bool
receive_all(int fd, void *buf, size_t len)
{
	return len == 0 || recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len;
}

static bool
receive(struct server *s, int fd)
{
	if (!receive_all(fd, &s->header, HEADER))
		return false;
	s->len = s->header.msg_size - HEADER;
	return s->len <= MAX_BODY && receive_all(fd, s->body, s->len);
}

static void
send_message(int fd, const struct vfio_user_header *header, const void *body, size_t len, int pass)
{
	struct vfio_user_header h = *header;

	h.msg_size = (uint32_t)(HEADER + len);
	if (vuc_fds_send(fd, &h, HEADER, &pass, pass >= 0, 0) < 0 ||
		vuc_fds_send(fd, body, len, NULL, 0, 0) < 0)
		printf("# the client has closed\n");
}

static void
reply(struct server *s, const void *body, size_t len, int pass)
{
	struct vfio_user_header h = s->header;

	h.flags = VFIO_USER_F_TYPE_REPLY;
	send_message(s->fd, &h, body, len, pass);
}

static void
reply_version(struct server *s)
{
	static const char with[] = "\0\0\2\0{\"capabilities\":{\"max_msg_fds\":8,\"twin_socket\":"
				   "{\"supported\":true,\"fd_index\":0}}}";
	static const char without[] = "\0\0\2\0{\"capabilities\":{\"max_msg_fds\":8}}";
	int pair[2];

	s->commands = s->fd;
	if (!s->twin) {
		reply(s, without, sizeof(without), -1);
		return;
	}
	EXPECT(s, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	reply(s, with, sizeof(with), pair[1]);
	close(pair[1]);
	s->commands = pair[0];
}

static void
send_access(struct server *s, uint16_t cmd, uint32_t flags, uint64_t addr, uint64_t count,
	const void *data, size_t len)
{
	const struct vfio_user_header h = {.msg_id = 0x1234, .cmd = cmd, .flags = flags};
	uint8_t *body = malloc(ACCESS + len);
	const struct vfio_user_dma_region_access access = {.addr = addr, .count = count};

	memcpy(body, &access, ACCESS);
	if (len > 0)
		memcpy(body + ACCESS, data, len);
	send_message(s->commands, &h, body, ACCESS + len, -1);
	free(body);
}

/* Returns the error that was answered, 0 for none. */
static uint32_t
answer(struct server *s, uint16_t cmd)
{
	EXPECT(s, receive(s, s->commands));
	EXPECT(s, s->header.msg_id == 0x1234 && s->header.cmd == cmd);
	EXPECT(s, (s->header.flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_REPLY);
	if ((s->header.flags & VFIO_USER_F_ERROR) == 0)
		return 0;
	EXPECT(s, s->len == 0 && s->header.error_no != 0);
	return s->header.error_no;
}

#define COMMAND_INTERVAL 97u /* reads between commands beside them */

static bool
is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* Before a read is answered: whether the command that was sent beside an earlier one is answered,
 * or another one is due. */
static void
serve_command(struct server *s)
{
	static const char text[] = "beside reads";
	const struct vfio_user_header read = s->header;

	if (s->has_command && is_readable(s->commands)) {
		EXPECT(s, answer(s, VFIO_USER_DMA_WRITE) == 0);
		s->has_command = false;
	} else if (s->has_command && ++s->behind > s->most_behind) {
		s->most_behind = s->behind;
	} else if (!s->has_command && s->reads % COMMAND_INTERVAL == 0) {
		send_access(s, VFIO_USER_DMA_WRITE, 0, 0x100000, sizeof(text), text, sizeof(text));
		s->has_command = true;
		s->behind = 0;
	}
	s->header = read;
}

static void
serve_read(struct server *s)
{
	struct {
		struct vfio_user_header header;
		struct {
			uint64_t offset;
			uint32_t region, count;
		} access;
		uint32_t value;
	} r = {.header = s->header, .value = ++s->reads};

	memcpy(&r.access, s->body, sizeof(r.access));
	EXPECT(s, r.access.count == sizeof(r.value));
	serve_command(s);
	r.header.flags = VFIO_USER_F_TYPE_REPLY;
	r.header.msg_size = HEADER + sizeof(r.access) + sizeof(r.value);
	EXPECT(s, send(s->fd, &r, r.header.msg_size, MSG_NOSIGNAL) == r.header.msg_size);
}

/* Answer what a client asks until the script's turn has come, which its reset says. */
static void
serve(struct server *s, uint16_t until)
{
	const struct vfio_user_device_info info = {.argsz = sizeof(info),
		.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET,
		.num_regions = 1};
	const struct vfio_user_region_info region = {
		.argsz = sizeof(region), .flags = VFIO_REGION_INFO_FLAG_READ, .size = PAGE};

	while (receive(s, s->fd)) {
		if (s->header.cmd == until)
			return;
		if (s->header.cmd == VFIO_USER_VERSION)
			reply_version(s);
		else if (s->header.cmd == VFIO_USER_DEVICE_GET_INFO)
			reply(s, &info, sizeof(info), -1);
		else if (s->header.cmd == VFIO_USER_DEVICE_GET_REGION_INFO)
			reply(s, &region, sizeof(region), -1);
		else if (s->header.cmd == VFIO_USER_REGION_READ)
			serve_read(s);
		else if (s->header.cmd == VFIO_USER_DMA_UNMAP)
			reply(s, s->body, s->len, -1);
		else
			reply(s, NULL, 0, -1);
	}
}

/* The script runs while the client waits for its reset. */
static void *
run_server(void *arg)
{
	struct server *s = arg;
	struct vfio_user_header reset;

	if (s->script != NULL) {
		serve(s, VFIO_USER_DEVICE_RESET);
		reset = s->header;
		s->script(s);
		s->header = reset;
		reply(s, NULL, 0, -1);
	}
	serve(s, VFIO_USER_MAX);
	if (s->commands != s->fd)
		close(s->commands);
	close(s->fd);
	return NULL;
}

static uint32_t
dma_read(struct server *s, uint64_t addr, uint64_t count)
{
	struct vfio_user_dma_region_access access;
	uint32_t error;

	send_access(s, VFIO_USER_DMA_READ, 0, addr, count, NULL, 0);
	error = answer(s, VFIO_USER_DMA_READ);
	if (error == 0) {
		EXPECT(s, s->len == ACCESS + count);
		memcpy(&access, s->body, ACCESS);
		EXPECT(s, access.addr == addr && access.count == count);
	}
	return error;
}

static uint32_t
dma_write(struct server *s, uint64_t addr, const void *data, size_t count)
{
	send_access(s, VFIO_USER_DMA_WRITE, 0, addr, count, data, count);
	return answer(s, VFIO_USER_DMA_WRITE);
}

/* 0x100000: 1 MiB, read and write. 0x200000: 1 MiB behind it, read only. 0x800000: write only. */
static void
script_good(struct server *s)
{
	static const char text[] = "written by the device";

	EXPECT(s, dma_read(s, 0x100000, 16) == 0);
	EXPECT(s, memcmp(s->body + ACCESS, pattern, 16) == 0);
	EXPECT(s, dma_read(s, 0x100000, MIB) == 0);
	EXPECT(s, memcmp(s->body + ACCESS, pattern, MIB) == 0);
	EXPECT(s, dma_read(s, 0x180000, MIB) == 0);
	EXPECT(s, memcmp(s->body + ACCESS, pattern + 0x80000, MIB) == 0);
	EXPECT(s, dma_read(s, 0x2fffff, 1) == 0);
	EXPECT(s, dma_write(s, 0x100100, text, sizeof(text)) == 0);
	EXPECT(s, s->len == ACCESS);
	EXPECT(s, dma_read(s, 0x100100, sizeof(text)) == 0);
	EXPECT(s, memcmp(s->body + ACCESS, text, sizeof(text)) == 0);
	EXPECT(s, dma_write(s, 0x800000, text, sizeof(text)) == 0);
}

static void
script_bad(struct server *s)
{
	uint8_t byte = 0x77;

	EXPECT(s, dma_read(s, 0, 1) == EFAULT);
	EXPECT(s, dma_read(s, 0x0ffffe, 4) == EFAULT);
	EXPECT(s, dma_read(s, 0x2fffff, 2) == EFAULT);
	EXPECT(s, dma_read(s, UINT64_MAX, 1) != 0);
	EXPECT(s, dma_read(s, UINT64_MAX - 1, 8) != 0);
	EXPECT(s, dma_read(s, 0x100000, 0) == EINVAL);
	EXPECT(s, dma_read(s, 0x100000, MIB + 1) == EINVAL);
	EXPECT(s, dma_read(s, 0x100000, UINT64_MAX) == EINVAL);
	EXPECT(s, dma_read(s, 0x800000, 1) == EACCES);
	EXPECT(s, dma_write(s, 0x200000, &byte, 1) == EACCES);
	EXPECT(s, dma_write(s, 0x1fffff, "ab", 2) == EACCES);
	EXPECT(s, dma_read(s, 0x1fffff, 1) == 0);
	EXPECT(s, s->body[ACCESS] == pattern[0xfffff]);
	EXPECT(s, dma_write(s, 0x700000, &byte, 1) == EFAULT);
	send_access(s, VFIO_USER_DMA_WRITE, 0, 0x100000, 8, &byte, 1);
	EXPECT(s, answer(s, VFIO_USER_DMA_WRITE) == EINVAL);
}

static _Atomic bool revoked;

/* Memory that is mapped, and whose owner takes it back. */
static void
script_revoked(struct server *s)
{
	static const uint8_t byte = 0x77;

	EXPECT(s, dma_read(s, 0x100000, MIB) == 0);
	atomic_store(&revoked, true);
	EXPECT(s, dma_read(s, 0x100000, 1) == EFAULT);
	EXPECT(s, dma_read(s, 0x100000, MIB) == EFAULT);
	EXPECT(s, dma_write(s, 0x100000, &byte, 1) == EFAULT);
	atomic_store(&revoked, false);
	EXPECT(s, dma_read(s, 0x100000, 1) == 0);
	EXPECT(s, s->body[ACCESS] == pattern[0]);
}

static void
script_no_reply(struct server *s)
{
	uint8_t byte = 0x99;

	send_access(s, VFIO_USER_DMA_WRITE, VFIO_USER_F_NO_REPLY, 0x100005, 1, &byte, 1);
	send_access(s, VFIO_USER_DMA_WRITE, VFIO_USER_F_NO_REPLY, 0, 1, &byte, 1);
	send_access(s, VFIO_USER_DMA_READ, VFIO_USER_F_NO_REPLY, 0x100000, 1, NULL, 0);
	EXPECT(s, dma_read(s, 0x100005, 1) == 0);
	EXPECT(s, s->body[ACCESS] == byte);
}

/* Replies that nobody takes for a while, more than a socket holds: a part of one is out when the
 * next command comes. What is small and what is large stays in order. */
static void
script_slow(struct server *s)
{
	static const char text[] = "written by the device";

	for (unsigned int i = 0; i < 4; i++) {
		send_access(s, VFIO_USER_DMA_WRITE, 0, 0x100000 + i * 0x1000, sizeof(text), text,
			sizeof(text));
		send_access(s, VFIO_USER_DMA_READ, 0, 0x100000 + i * 0x1000, MIB, NULL, 0);
	}
	for (unsigned int i = 0; i < 4; i++) {
		EXPECT(s, answer(s, VFIO_USER_DMA_WRITE) == 0);
		EXPECT(s, answer(s, VFIO_USER_DMA_READ) == 0);
		EXPECT(s, s->len == ACCESS + MIB);
		EXPECT(s, memcmp(s->body + ACCESS, text, sizeof(text)) == 0);
		EXPECT(s,
			memcmp(s->body + ACCESS + 0x8000, pattern + i * 0x1000 + 0x8000,
				MIB - 0x8000) == 0);
	}
}

/* More than one receive brings, and the next command right behind it. */
static void
script_long_write(struct server *s)
{
	for (unsigned int i = 1; i < 5; i++) {
		const struct vfio_user_header h = {.msg_id = 0x1234,
			.cmd = VFIO_USER_DMA_WRITE,
			.msg_size = (uint32_t)(HEADER + ACCESS + MIB / i)};
		const struct vfio_user_dma_region_access access = {
			.addr = 0x100000, .count = MIB / i};
		uint8_t *message = malloc(h.msg_size + HEADER + ACCESS);
		struct vfio_user_header next = {
			.msg_id = 0x1234, .cmd = VFIO_USER_DMA_READ, .msg_size = HEADER + ACCESS};
		size_t len = h.msg_size + HEADER + ACCESS;

		memcpy(message, &h, HEADER);
		memcpy(message + HEADER, &access, ACCESS);
		memcpy(message + HEADER + ACCESS, pattern + i, MIB / i);
		memcpy(message + h.msg_size, &next, HEADER);
		memcpy(message + h.msg_size + HEADER, &access, ACCESS);
		EXPECT(s, send(s->commands, message, len, MSG_NOSIGNAL) == (ssize_t)len);
		EXPECT(s, answer(s, VFIO_USER_DMA_WRITE) == 0);
		EXPECT(s, answer(s, VFIO_USER_DMA_READ) == 0);
		EXPECT(s, s->len == ACCESS + MIB / i);
		EXPECT(s, memcmp(s->body + ACCESS, pattern + i, MIB / i) == 0);
		free(message);
	}
}

/* 0x1000000: pages that lie in memory from the last to the first. */
static void
script_scattered(struct server *s)
{
	static const unsigned int pages[] = {2, 5, 63, 64, 65, PAGES};

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		EXPECT(s, dma_read(s, 0x1000000, pages[i] * PAGE) == 0);
		for (unsigned int p = 0; p < pages[i]; p++)
			EXPECT(s,
				memcmp(s->body + ACCESS + p * PAGE,
					pattern + (PAGES - 1 - p) * PAGE, PAGE) == 0);
	}
}

/* Replies that nobody takes, until the client has had enough. */
static void
script_flood(struct server *s)
{
	const struct vfio_user_header h = {
		.msg_id = 1, .cmd = VFIO_USER_DMA_READ, .msg_size = HEADER + ACCESS};
	const struct vfio_user_dma_region_access access = {.addr = 0x100000, .count = MIB};
	uint8_t message[HEADER + ACCESS];

	memcpy(message, &h, HEADER);
	memcpy(message + HEADER, &access, ACCESS);
	for (unsigned int i = 0; i < 10000; i++) {
		if (send(s->commands, message, sizeof(message), MSG_NOSIGNAL) < 0)
			return;
	}
	s->failed++; /* the client takes all that comes */
}

static void
map_memory(struct vuc_device *dev)
{
	const struct vuc_dma_mapping maps[] = {
		{0x100000, MIB, VUC_DMA_READ | VUC_DMA_WRITE, -1, 0, memory},
		{0x200000, MIB, VUC_DMA_READ, -1, 0, memory + MIB},
		{0x800000, MIB, VUC_DMA_WRITE, -1, 0, memory + 2 * MIB},
	};

	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(vuc_dma_map(dev, &maps[i]), 0);
	for (unsigned int i = 0; i < PAGES; i++) {
		const struct vuc_dma_mapping page = {0x1000000 + (uint64_t)i * PAGE, PAGE,
			VUC_DMA_READ, -1, 0, memory + (size_t)(PAGES - 1 - i) * PAGE};

		CU_ASSERT_EQUAL(vuc_dma_map(dev, &page), 0);
	}
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
}

static struct vuc_device *
open_device(struct server *s)
{
	struct vuc_device_opts opts;
	struct vuc_device *dev;
	int pair[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	s->fd = pair[1];
	CU_ASSERT_EQUAL_FATAL(pthread_create(&s->thread, NULL, run_server, s), 0);
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.fd = pair[0];
	opts.transport = transport;
	opts.twin_socket = s->twin;
	CU_ASSERT_EQUAL_FATAL(vuc_device_open(&opts, &dev, NULL), 0);
	close(pair[0]);
	CU_ASSERT_EQUAL(vuc_device_version(dev)->twin_socket, s->twin);
	map_memory(dev);
	return dev;
}

static void
close_device(struct server *s, struct vuc_device *dev)
{
	vuc_device_close(dev);
	pthread_join(s->thread, NULL);
	free(s->body);
	CU_ASSERT_EQUAL(s->failed, 0);
}

static int
run_script(void (*script)(struct server *s), bool twin)
{
	struct server s = {.script = script, .twin = twin, .body = malloc(MAX_BODY)};
	struct vuc_device *dev = open_device(&s);
	int rc;

	vuc_dma_set_revoked(dev, &revoked);
	rc = vuc_device_reset(dev);
	if (rc == 0) {
		CU_ASSERT_EQUAL(vuc_dma_unmap_all(dev), 0);
		CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
	} else {
		CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(dev),
			"the server sends commands faster than it takes their replies"));
	}
	close_device(&s, dev);
	return rc;
}

static void
test_good(void)
{
	CU_ASSERT_EQUAL(run_script(script_good, false), 0);
	CU_ASSERT_EQUAL(memcmp(memory + 0x100, "written by", 10), 0);
	CU_ASSERT_EQUAL(memcmp(memory + 2 * MIB, "written by", 10), 0);
	memcpy(memory, pattern, 3 * MIB);
	CU_ASSERT_EQUAL(run_script(script_good, true), 0);
	CU_ASSERT_EQUAL(memcmp(memory + 0x100, "written by", 10), 0);
}

static void
test_slow(void)
{
	for (unsigned int twin = 0; twin < 2; twin++) {
		memcpy(memory, pattern, 3 * MIB);
		CU_ASSERT_EQUAL(run_script(script_slow, twin), 0);
	}
}

static void
test_long_write(void)
{
	for (unsigned int twin = 0; twin < 2; twin++) {
		CU_ASSERT_EQUAL(run_script(script_long_write, twin), 0);
		memcpy(memory, pattern, 3 * MIB);
	}
}

static void
test_scattered(void)
{
	CU_ASSERT_EQUAL(run_script(script_scattered, false), 0);
	CU_ASSERT_EQUAL(run_script(script_scattered, true), 0);
}

static void
test_bad(void)
{
	CU_ASSERT_EQUAL(run_script(script_bad, false), 0);
	CU_ASSERT_EQUAL(run_script(script_bad, true), 0);
}

static void
test_revoked(void)
{
	CU_ASSERT_EQUAL(run_script(script_revoked, false), 0);
	CU_ASSERT_EQUAL(run_script(script_revoked, true), 0);
}

static void
test_no_reply(void)
{
	CU_ASSERT_EQUAL(run_script(script_no_reply, false), 0);
	CU_ASSERT_EQUAL(run_script(script_no_reply, true), 0);
}

static void
test_flood(void)
{
	CU_ASSERT_EQUAL(run_script(script_flood, false), -ENOBUFS);
	CU_ASSERT_EQUAL(run_script(script_flood, true), -ENOBUFS);
}

/* Reads in a row do not keep the client from what comes by a socket that was quiet: it takes a
 * command with one of the next reads or, where epoll has the socket, looks. */
static void
test_beside_reads(void)
{
	struct server s = {.twin = true, .body = malloc(MAX_BODY)};
	struct vuc_device *dev = open_device(&s);
	unsigned int bound = strcmp(transport, "uring") == 0 ? 4 : 70;

	for (uint32_t i = 1; i <= 20000; i++) {
		uint32_t value = 0;

		CU_ASSERT_EQUAL_FATAL(vuc_device_read(dev, 0, 0, &value, sizeof(value)), 0);
		if (value != i)
			CU_ASSERT_EQUAL(value, i);
	}
	close_device(&s, dev);
	CU_ASSERT_EQUAL(memcmp(memory, "beside reads", 12), 0);
	CU_ASSERT(s.most_behind <= bound);
	printf("# a command waited for %u reads at most\n", s.most_behind);
}

static void
set_up(void)
{
	fds_before = fd_count();
	memory = malloc(3 * MIB);
	pattern = malloc(3 * MIB);
	CU_ASSERT_FATAL(memory != NULL && pattern != NULL);
	for (size_t i = 0; i < 3 * MIB; i++)
		memory[i] = pattern[i] = (uint8_t)(i * 31 + i / 4096);
}

static void
tear_down(void)
{
	free(memory);
	free(pattern);
	CU_ASSERT_EQUAL(fd_count(), fds_before);
}

static CU_TestInfo tests[] = {
	{"within bounds and permissions", test_good},
	{"replies that are taken late", test_slow},
	{"long writes", test_long_write},
	{"scattered memory", test_scattered},
	{"refused, and the session goes on", test_bad},
	{"revoked", test_revoked},
	{"no reply", test_no_reply},
	{"flood", test_flood},
	{"beside reads", test_beside_reads},
	CU_TEST_INFO_NULL,
};

static bool
works(const char *name, char *why, size_t size)
{
	struct vuc_poll_group_opts opts;
	struct vuc_poll_group *group;
	struct vuc_error err = {0};

	vuc_poll_group_opts_init(&opts, sizeof(opts));
	opts.transport = name;
	if (vuc_poll_group_create(&opts, &group, &err) != 0) {
		snprintf(why, size, "%s", err.text);
		return false;
	}
	vuc_poll_group_destroy(group);
	return true;
}

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
		{argc == 2 ? argv[1] : "", NULL, NULL, set_up, tear_down, tests},
		CU_SUITE_INFO_NULL,
	};
	char why[VUC_ERROR_MAX];

	if (argc != 2) {
		fprintf(stderr, "usage: %s uring|posix\n", argv[0]);
		return 2;
	}
	transport = argv[1];
	if (!works(transport, why, sizeof(why))) {
		printf("1..0 # SKIP %s\n", why);
		return 0;
	}
	return vuc_tap_run(suites);
}
