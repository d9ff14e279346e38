/* SPDX-License-Identifier: BSD-3-Clause */

/* A server that asks for memory by message, over the main socket and over the twin socket: its
 * script runs while the client waits for a reset. */

#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include <vuc/dma.h>

#include "fake_server.h"
#include "fds.h"
#include "peer.h"
#include "outcome.h"
#include "source.h"

#define HEADER sizeof(struct vfio_user_header)
#define ACCESS sizeof(struct vfio_user_dma_region_access)
#define MIB    (1024u * 1024u)
#define PAGE   4096u
#define PAGES  100u /* more than a reply is sent from at once */
#define ID     0x1234

static struct fake_server server;
static struct vuc_device *dev;
static uint8_t *memory;  /* of the client: 3 MiB, two of them adjacent */
static uint8_t *pattern; /* what was in it at first, for the server, which cannot look */
static _Atomic bool revoked;

/* Of the server's thread. */
static void (*script)(void);
static unsigned int failed;
static bool has_command;    /* a command was sent beside a read, and is not answered so far */
static unsigned int behind; /* reads since */
static unsigned int most_behind;
static unsigned int reads;

/* Assertions of the thread: the harness belongs to the other one. */
#define EXPECT(cond)                                                \
	do {                                                        \
		if (!(cond)) {                                      \
			printf("# line %d: %s\n", __LINE__, #cond); \
			failed++;                                   \
		}                                                   \
	} while (0)

/* Where its commands go: the main socket or the twin. */
static int
commands(void)
{
	return server.twin_fd > 0 ? server.twin_fd : server.fd;
}

static void
send_access(
	uint16_t cmd, uint32_t flags, uint64_t addr, uint64_t count, const void *data, size_t len)
{
	const struct vfio_user_header header = {.msg_id = ID, .cmd = cmd, .flags = flags};
	const struct vfio_user_dma_region_access access = {.addr = addr, .count = count};

	fake_server_send_access(commands(), &header, &access, data, len);
}

/* Returns the error that was answered, 0 for none. */
static uint32_t
receive_answer(uint16_t cmd)
{
	struct vfio_user_header header = {0};

	EXPECT(fake_server_receive(&server, commands(), &header));
	EXPECT(header.msg_id == ID && header.cmd == cmd);
	EXPECT((header.flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_REPLY);
	if ((header.flags & VFIO_USER_F_ERROR) == 0)
		return 0;
	EXPECT(server.answer.len == HEADER && header.error_no != 0);
	return header.error_no;
}

/* Whether a read was answered with these bytes, which begin at an offset of its data. */
static bool
was_read(size_t offset, const void *data, size_t len)
{
	return server.answer.len >= HEADER + ACCESS + offset + len &&
		memcmp(server.answer.bytes + HEADER + ACCESS + offset, data, len) == 0;
}

static uint32_t
dma_read(uint64_t addr, uint64_t count)
{
	const struct vfio_user_dma_region_access access = {.addr = addr, .count = count};
	uint32_t error;

	send_access(VFIO_USER_DMA_READ, 0, addr, count, NULL, 0);
	error = receive_answer(VFIO_USER_DMA_READ);
	if (error == 0) {
		EXPECT(server.answer.len == HEADER + ACCESS + count);
		EXPECT(memcmp(server.answer.bytes + HEADER, &access, ACCESS) == 0);
	}
	return error;
}

static uint32_t
dma_write(uint64_t addr, const void *data, size_t count)
{
	uint32_t error;

	send_access(VFIO_USER_DMA_WRITE, 0, addr, count, data, count);
	error = receive_answer(VFIO_USER_DMA_WRITE);
	EXPECT(error != 0 || server.answer.len == HEADER + ACCESS);
	return error;
}

#define ANY UINT32_MAX /* error */

/* An access and the error that answers it; a read without one has what was there at first, or what
 * was written there. */
struct access {
	uint64_t addr, count;
	uint32_t error;
	const char *written;
	bool write;
};

static void
run_accesses(const struct access *a, size_t n)
{
	for (size_t i = 0; i < n; i++, a++) {
		uint32_t error = a->write ? dma_write(a->addr, a->written, a->count)
					  : dma_read(a->addr, a->count);

		if (a->error == ANY ? error == 0 : error != a->error) {
			printf("# access %zu, 0x%llx: error %u\n", i, (unsigned long long)a->addr,
				error);
			failed++;
		} else if (!a->write && error == 0) {
			EXPECT(was_read(0,
				a->written != NULL ? (const void *)a->written
						   : pattern + (a->addr - 0x100000),
				a->count));
		}
	}
}

static const char text[] = "written by the device";

/* 0x100000: 1 MiB, read and write. 0x200000: 1 MiB behind it, read only. 0x800000: write only. */
static void
script_good(void)
{
	static const struct access accesses[] = {
		{0x100000, 16},
		{0x100000, MIB},
		{0x180000, MIB},
		{0x2fffff, 1},
		{0x100100, sizeof(text), 0, text, true},
		{0x100100, sizeof(text), 0, text},
		{0x800000, sizeof(text), 0, text, true},
	};

	run_accesses(accesses, NR(accesses));
}

static void
script_bad(void)
{
	static const struct access accesses[] = {
		{0, 1, EFAULT},
		{0x0ffffe, 4, EFAULT},
		{0x2fffff, 2, EFAULT},
		{UINT64_MAX, 1, ANY},
		{UINT64_MAX - 1, 8, ANY},
		{0x100000, 0, EINVAL},
		{0x100000, MIB + 1, EINVAL},
		{0x100000, UINT64_MAX, EINVAL},
		{0x800000, 1, EACCES},
		{0x200000, 1, EACCES, "w", true},
		{0x1fffff, 2, EACCES, "ab", true},
		{0x1fffff, 1},
		{0x700000, 1, EFAULT, "w", true},
	};

	run_accesses(accesses, NR(accesses));
	send_access(VFIO_USER_DMA_WRITE, 0, 0x100000, 8, "w", 1);
	EXPECT(receive_answer(VFIO_USER_DMA_WRITE) == EINVAL);
}

/* Memory that is mapped, and whose owner takes it back. */
static void
script_revoked(void)
{
	static const struct access meanwhile[] = {
		{0x100000, 1, EFAULT},
		{0x100000, MIB, EFAULT},
		{0x100000, 1, EFAULT, "w", true},
	};

	EXPECT(dma_read(0x100000, MIB) == 0);
	atomic_store(&revoked, true);
	run_accesses(meanwhile, 3);
	atomic_store(&revoked, false);
	EXPECT(dma_read(0x100000, 1) == 0 && was_read(0, pattern, 1));
}

static void
script_no_reply(void)
{
	static const uint8_t byte = 0x99;

	send_access(VFIO_USER_DMA_WRITE, VFIO_USER_F_NO_REPLY, 0x100005, 1, &byte, 1);
	send_access(VFIO_USER_DMA_WRITE, VFIO_USER_F_NO_REPLY, 0, 1, &byte, 1);
	send_access(VFIO_USER_DMA_READ, VFIO_USER_F_NO_REPLY, 0x100000, 1, NULL, 0);
	EXPECT(dma_read(0x100005, 1) == 0 && was_read(0, &byte, 1));
}

/* Replies that nobody takes for a while, more than a socket holds: a part of one is out when the
 * next command comes. What is small and what is large stays in order. */
static void
script_slow(void)
{
	for (unsigned int i = 0; i < 4; i++) {
		uint64_t addr = 0x100000 + i * 0x1000;

		send_access(VFIO_USER_DMA_WRITE, 0, addr, sizeof(text), text, sizeof(text));
		send_access(VFIO_USER_DMA_READ, 0, addr, MIB, NULL, 0);
	}
	for (unsigned int i = 0; i < 4; i++) {
		EXPECT(receive_answer(VFIO_USER_DMA_WRITE) == 0);
		EXPECT(receive_answer(VFIO_USER_DMA_READ) == 0);
		EXPECT(server.answer.len == HEADER + ACCESS + MIB);
		EXPECT(was_read(0, text, sizeof(text)));
		EXPECT(was_read(0x8000, pattern + i * 0x1000 + 0x8000, MIB - 0x8000));
	}
}

/* More than one receive brings, and the next command right behind it. */
static void
script_long_write(void)
{
	for (uint32_t i = 1; i < 5; i++) {
		struct vfio_user_header header = {.msg_id = ID,
			.cmd = VFIO_USER_DMA_WRITE,
			.msg_size = (uint32_t)(HEADER + ACCESS + MIB / i)};
		const struct vfio_user_dma_region_access access = {0x100000, MIB / i};
		size_t write_len = header.msg_size, len = write_len + HEADER + ACCESS;
		uint8_t *message = malloc(len);

		memcpy(message, &header, HEADER);
		memcpy(message + HEADER, &access, ACCESS);
		memcpy(message + HEADER + ACCESS, pattern + i, MIB / i);
		header.cmd = VFIO_USER_DMA_READ;
		header.msg_size = HEADER + ACCESS;
		memcpy(message + write_len, &header, HEADER);
		memcpy(message + write_len + HEADER, &access, ACCESS);
		EXPECT(send(commands(), message, len, MSG_NOSIGNAL) == (ssize_t)len);
		EXPECT(receive_answer(VFIO_USER_DMA_WRITE) == 0);
		EXPECT(receive_answer(VFIO_USER_DMA_READ) == 0);
		EXPECT(server.answer.len == HEADER + ACCESS + MIB / i);
		EXPECT(was_read(0, pattern + i, MIB / i));
		free(message);
	}
}

/* 0x1000000: pages that lie in memory from the last to the first. */
static void
script_scattered(void)
{
	static const unsigned int pages[] = {2, 5, 63, 64, 65, PAGES};

	for (size_t i = 0; i < NR(pages); i++) {
		EXPECT(dma_read(0x1000000, pages[i] * PAGE) == 0);
		for (unsigned int p = 0; p < pages[i]; p++)
			EXPECT(was_read(p * PAGE, pattern + (PAGES - 1 - p) * PAGE, PAGE));
	}
}

/* Replies that nobody takes, until the client has had enough. */
static void
script_flood(void)
{
	const struct {
		struct vfio_user_header header;
		struct vfio_user_dma_region_access access;
	} message = {{.msg_id = 1, .cmd = VFIO_USER_DMA_READ, .msg_size = sizeof(message)},
		{.addr = 0x100000, .count = MIB}};

	for (unsigned int i = 0; i < 10000; i++) {
		if (send(commands(), &message, sizeof(message), MSG_NOSIGNAL) < 0)
			return;
	}
	failed++; /* the client takes all that comes */
}

#define COMMAND_INTERVAL 97u /* reads between commands beside them */

/* Before a read is answered: whether the command that was sent beside an earlier one is answered,
 * or another one is due. */
static void
serve_beside(void)
{
	static const char beside[] = "beside reads";
	struct pollfd p = {.fd = commands(), .events = POLLIN};

	if (has_command && poll(&p, 1, 0) == 1) {
		EXPECT(receive_answer(VFIO_USER_DMA_WRITE) == 0);
		has_command = false;
	} else if (has_command && ++behind > most_behind) {
		most_behind = behind;
	} else if (!has_command && reads % COMMAND_INTERVAL == 0) {
		send_access(
			VFIO_USER_DMA_WRITE, 0, 0x100000, sizeof(beside), beside, sizeof(beside));
		has_command = true;
		behind = 0;
	}
}

/* A fake_command_fn. */
static int
serve_command(void *arg, const struct vuc_loopback_msg *request,
	const struct vfio_user_header *header, struct fake_reply *reply)
{
	size_t body = request->len - HEADER;
	uint32_t value;

	(void)arg;
	if (header->cmd == VFIO_USER_DEVICE_RESET)
		script();
	if (header->cmd == VFIO_USER_REGION_READ || header->cmd == VFIO_USER_DMA_UNMAP) {
		memcpy(reply->body, request->bytes + HEADER, body);
		reply->len = body;
	}
	if (header->cmd == VFIO_USER_REGION_READ) {
		value = ++reads;
		serve_beside();
		memcpy(reply->body + body, &value, sizeof(value));
		reply->len += sizeof(value);
	}
	return 0;
}

static void
map_memory(void)
{
	struct vuc_dma_mapping maps[3 + PAGES] = {
		{0x100000, MIB, VUC_DMA_READ | VUC_DMA_WRITE, -1, 0, memory},
		{0x200000, MIB, VUC_DMA_READ, -1, 0, memory + MIB},
		{0x800000, MIB, VUC_DMA_WRITE, -1, 0, memory + 2 * MIB},
	};

	for (unsigned int i = 0; i < PAGES; i++)
		maps[3 + i] = (struct vuc_dma_mapping){0x1000000 + (uint64_t)i * PAGE, PAGE,
			VUC_DMA_READ, -1, 0, memory + (size_t)(PAGES - 1 - i) * PAGE};
	for (unsigned int i = 0; i < 3 + PAGES; i++)
		CU_ASSERT_EQUAL(vuc_dma_map(dev, &maps[i]), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
}

static void
open_device(bool twin)
{
	struct vuc_device_opts opts;

	memcpy(memory, pattern, 3 * MIB);
	failed = reads = 0;
	server = (struct fake_server){.max_msg_fds = 8,
		.twin = twin,
		.flags = VFIO_DEVICE_FLAGS_RESET,
		.regions = {{.size = PAGE, .flags = VFIO_REGION_INFO_FLAG_READ, .asked = true}},
		.command = serve_command};
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.fd = fake_server_start(&server);
	opts.transport = peer_transport();
	opts.twin_socket = twin;
	dev = open_well(&opts);
	close(opts.fd);
	CU_ASSERT_EQUAL(vuc_device_version(dev)->twin_socket, twin);
	map_memory();
}

static void
close_device(void)
{
	vuc_device_close(dev);
	fake_server_stop(&server);
	CU_ASSERT_EQUAL(failed, 0);
}

static bool
is_unchanged(void)
{
	return memcmp(memory, pattern, 3 * MIB) == 0;
}

static bool
has_text(void)
{
	return memcmp(memory + 0x100, text, sizeof(text)) == 0 &&
		memcmp(memory + 2 * MIB, text, sizeof(text)) == 0;
}

static const struct script_row {
	const char *name;
	void (*script)(void);
	bool (*holds)(void); /* what memory is like behind it; NULL: anything */
	int rc;              /* of the reset during which it runs */
} rows[] = {
	{"within bounds and permissions", script_good, has_text},
	{"late replies", script_slow},
	{"long writes", script_long_write},
	{"scattered memory", script_scattered, is_unchanged},
	{"refused, and the session goes on", script_bad, is_unchanged},
	{"revoked", script_revoked, is_unchanged},
	{"no reply", script_no_reply},
	{"flood", script_flood, .rc = -ENOBUFS},
};

/* By either socket. */
static void
test_script(const void *arg)
{
	const struct script_row *row = arg;

	script = row->script;
	for (unsigned int twin = 0; twin < 2; twin++) {
		open_device(twin);
		vuc_dma_set_revoked(dev, &revoked);
		CU_ASSERT(is_refused(dev, vuc_device_reset(dev), row->rc,
			row->rc != 0 ? "*the server sends commands faster than it takes their "
				       "replies*"
				     : "*"));
		if (row->rc == 0) {
			CU_ASSERT_EQUAL(vuc_dma_unmap_all(dev), 0);
			CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
		}
		close_device();
		CU_ASSERT(row->holds == NULL || row->holds());
	}
}

/* Reads in a row do not keep the client from what comes by a socket that was quiet: it takes a
 * command with one of the next reads or, where epoll has the socket, looks. */
static void
test_beside_reads(void)
{
	unsigned int bound = strcmp(peer_transport(), "uring") == 0 ? 4 : 70;

	open_device(true);
	for (uint32_t i = 1; i <= 20000; i++) {
		uint32_t value = 0;

		CU_ASSERT_EQUAL_FATAL(vuc_device_read(dev, 0, 0, &value, sizeof(value)), 0);
		if (value != i)
			CU_ASSERT_EQUAL(value, i);
	}
	close_device();
	CU_ASSERT_EQUAL(memcmp(memory, "beside reads", 12), 0);
	CU_ASSERT(most_behind <= bound);
	printf("# a command waited for %u reads at most\n", most_behind);
}

static void
set_up(void)
{
	memory = malloc(3 * MIB);
	pattern = malloc(3 * MIB);
	for (size_t i = 0; i < 3 * MIB; i++)
		pattern[i] = (uint8_t)(i * 31 + i / 4096);
}

static void
tear_down(void)
{
	free(memory);
	free(pattern);
}

const struct tap_suite tap_suite = {"dma access", set_up, tear_down,
	{
		{"beside reads", test_beside_reads},
	},
	TAP_ROWS(rows, test_script), .begin = peer_begin};
