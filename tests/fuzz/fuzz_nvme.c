/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The NVMe controller of vuc-refdev and a driver that does what the input says. The input is a byte
 * of configuration and a script: an operation is one byte, the index into the table at the end, and
 * what its function takes. seeds_nvme.py writes the same layout.
 *
 * Whatever happens, memory that is not mapped for writing stays as it was, indexes of queues stay
 * within them, and each message has the reply that belongs to it.
 */

#include <fcntl.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "fuzz.h"
#include "nvme/nvme.h"
#include "refdev.h"

#define PAGES       64u
#define WRITABLE    48u /* pages; those after them are read-only, the last ones unmapped */
#define MAPPED      60u
#define MEMORY_SIZE (PAGES * NVME_PAGE)
#define PATTERN     0xa5u
#define BLOCKS      4096u
#define NR_QUEUES   4u /* that commands are put into */
#define ENTRIES     8u /* of each of them */
#define MAX_STEPS   400u
#define MAX_PENDING 32u

/* How the driver and the controller talk. */
#define BY_MESSAGE (1u << 0) /* memory without descriptors */
#define BY_MMAP    (1u << 1) /* memory that may not be written by its file */
#define NO_COMMAND (1u << 2) /* the controller sends no commands */
#define SMALL_XFER (1u << 3)

struct pending {
	struct vfio_user_header header;
	struct vfio_user_dma_region_access access;
};

static struct {
	struct input in;
	uint8_t how;
	struct refdev *dev;
	bool negotiated;
	int file; /* the namespace */
	int memory_fd;
	uint8_t *memory;
	int eventfd;
	uint8_t *request; /* buffers for messages */
	uint8_t *reply;
	size_t size;
	uint32_t tails[NR_QUEUES];
	unsigned int nr_pending;
	struct pending pending[MAX_PENDING];
} w = {.file = -1};

/* ---- messages ---- */

/* Send a command; returns whether the reply says that it was done. */
static bool
send_command(uint16_t cmd, const void *body, size_t len, const int *fds, unsigned int nr_fds)
{
	static uint16_t id;
	struct vfio_user_header header = {.msg_id = ++id, .cmd = cmd};
	struct vuc_loopback_msg req = {.bytes = w.request, .size = w.size};
	struct vuc_loopback_msg reply = {.bytes = w.reply, .size = w.size};

	req.len = sizeof(header) + len;
	header.msg_size = (uint32_t)req.len;
	memcpy(req.bytes, &header, sizeof(header));
	memcpy(req.bytes + sizeof(header), body, len);
	for (unsigned int i = 0; i < nr_fds; i++)
		req.fds[req.nr_fds++] = dup(fds[i]);
	REQUIRE(refdev_handle(w.dev, &req, &reply) == 0);
	for (unsigned int i = 0; i < req.nr_fds; i++)
		if (req.fds[i] >= 0)
			REQUIRE(close(req.fds[i]) == 0);
	for (unsigned int i = 0; i < reply.nr_fds; i++)
		REQUIRE(close(reply.fds[i]) == 0);
	REQUIRE(reply.len >= sizeof(header) && reply.len <= reply.size);
	memcpy(&header, reply.bytes, sizeof(header));
	REQUIRE(header.msg_id == id && header.cmd == cmd && header.msg_size == reply.len);
	return (header.flags & VFIO_USER_F_ERROR) == 0;
}

static bool
access_region(uint32_t region, uint64_t offset, uint32_t count, const void *data)
{
	uint8_t body[sizeof(struct vfio_user_region_access) + 256];
	struct vfio_user_region_access access = {
		.offset = offset, .region = region, .count = count};

	memcpy(body, &access, sizeof(access));
	if (data == NULL)
		return send_command(VFIO_USER_REGION_READ, body, sizeof(access), NULL, 0);
	memcpy(body + sizeof(access), data, count);
	return send_command(VFIO_USER_REGION_WRITE, body, sizeof(access) + count, NULL, 0);
}

static void
write_register(uint32_t offset, uint32_t value)
{
	access_region(VFIO_PCI_BAR0_REGION_INDEX, offset, sizeof(value), &value);
}

static bool
map_pages(uint32_t first, uint32_t pages, uint32_t flags)
{
	struct vfio_user_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.addr = (uint64_t)first * NVME_PAGE,
		.size = (uint64_t)pages * NVME_PAGE,
	};

	if ((w.how & BY_MESSAGE) != 0)
		return send_command(VFIO_USER_DMA_MAP, &map, sizeof(map), NULL, 0);
	map.offset = map.addr;
	if ((w.how & BY_MMAP) != 0)
		map.flags |= VFIO_USER_F_DMA_REGION_MMAP;
	return send_command(VFIO_USER_DMA_MAP, &map, sizeof(map), &w.memory_fd, 1);
}

static void
connect_driver(void)
{
	const struct vfio_user_version version = {.major = 0, .minor = 1};
	char body[sizeof(version) + 96];
	int len;

	memcpy(body, &version, sizeof(version));
	len = snprintf(body + sizeof(version), sizeof(body) - sizeof(version),
		"{\"capabilities\":{\"max_msg_fds\":%u,\"max_data_xfer_size\":%u}}",
		(w.how & BY_MESSAGE) != 0 ? 0 : 8, (w.how & SMALL_XFER) != 0 ? 24 : 1048576);
	REQUIRE(send_command(VFIO_USER_VERSION, body, sizeof(version) + (size_t)len + 1, NULL, 0));
	REQUIRE(map_pages(0, WRITABLE, VFIO_USER_F_DMA_REGION_READ | VFIO_USER_F_DMA_REGION_WRITE));
	REQUIRE(map_pages(WRITABLE, MAPPED - WRITABLE, VFIO_USER_F_DMA_REGION_READ));
}

/* ---- the driver ---- */

static void
put_memory(uint64_t addr, const void *bytes, size_t len)
{
	if (addr < MEMORY_SIZE && len <= MEMORY_SIZE - addr)
		memcpy(w.memory + addr, bytes, len);
}

/* Queues lie behind each other: those for commands in pages 0 …, those for completions in 8 … */
static uint64_t
queue_base(uint32_t id, bool completions)
{
	return (id + (completions ? 8u : 0)) * NVME_PAGE;
}

static void
ring(uint32_t index, uint32_t value, bool mapped)
{
	if (mapped)
		memcpy(w.dev->memory[VFIO_PCI_BAR0_REGION_INDEX].bytes + NVME_DOORBELLS +
				index * sizeof(value),
			&value, sizeof(value));
	else
		write_register(NVME_DOORBELLS + index * (uint32_t)sizeof(value), value);
}

static void
submit(uint32_t id, const struct nvme_command *cmd, bool mapped)
{
	put_memory(queue_base(id, false) + w.tails[id] * sizeof(*cmd), cmd, sizeof(*cmd));
	w.tails[id] = (w.tails[id] + 1) % ENTRIES;
	ring(2 * id, w.tails[id], mapped);
}

/* The driver has seen all completions. */
static void
take_completions(void)
{
	for (uint32_t id = 0; id < NR_QUEUES; id++)
		ring(2 * id + 1, refdev_nvme_of(w.dev)->cqs[id].tail, true);
}

/* ---- operations ---- */

static void
do_register(void)
{
	static const uint32_t offsets[] = {NVME_CAP, NVME_VS, NVME_INTMS, NVME_INTMC, NVME_CC,
		NVME_CSTS, NVME_AQA, NVME_ASQ, NVME_ASQ + 4, NVME_ACQ, NVME_ACQ + 4};
	uint32_t offset = offsets[take_u8(&w.in) % (sizeof(offsets) / sizeof(offsets[0]))];

	write_register(offset, take_u32(&w.in));
}

/* An access as a client can make it, right or wrong. */
static void
do_access(void)
{
	uint8_t how = take_u8(&w.in), data[128];
	uint32_t offset = take_u32(&w.in), count = take_u8(&w.in) % sizeof(data);

	take(&w.in, data, (how & 1) != 0 ? count : 0);
	access_region((how & 2) != 0 ? VFIO_PCI_CONFIG_REGION_INDEX : VFIO_PCI_BAR0_REGION_INDEX,
		offset % (2 * NVME_BAR0_SIZE), count, (how & 1) != 0 ? data : NULL);
}

/* Bytes of the memory that the controller may write. */
static void
do_memory(void)
{
	uint32_t addr = take_u32(&w.in) % (WRITABLE * NVME_PAGE), len = take_u8(&w.in);
	uint8_t bytes[UINT8_MAX];

	take(&w.in, bytes, len);
	if (len <= WRITABLE * NVME_PAGE - addr)
		put_memory(addr, bytes, len);
}

/* A list of PRPs: so many pages from one on, the last one of which may point to another list. */
static void
do_prp_list(void)
{
	uint32_t page = take_u8(&w.in) % WRITABLE, at = take_u8(&w.in) % 64 * 64;
	uint32_t first = take_u8(&w.in), nr = take_u8(&w.in);

	for (uint32_t i = 0; i < nr && at + i * 8 + 8 <= NVME_PAGE; i++) {
		uint64_t prp = (uint64_t)(first + i) * NVME_PAGE;

		put_memory((uint64_t)page * NVME_PAGE + at + i * 8, &prp, sizeof(prp));
	}
}

static void
do_enable(void)
{
	write_register(NVME_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	write_register(NVME_ASQ, (uint32_t)queue_base(0, false));
	write_register(NVME_ACQ, (uint32_t)queue_base(0, true));
	write_register(NVME_CC, NVME_CC_EN | 6 << 16 | 4 << 20);
	memset(w.tails, 0, sizeof(w.tails));
}

static void
do_queues(void)
{
	uint8_t vectors = take_u8(&w.in);

	for (uint32_t id = 1; id < NR_QUEUES; id++) {
		struct nvme_command cmd = {.opcode = NVME_CREATE_IO_CQ, .cid = (uint16_t)id};

		cmd.prp[0] = queue_base(id, true);
		cmd.cdw10 = (ENTRIES - 1) << 16 | id;
		cmd.cdw11 = (id * vectors % NVME_VECTORS) << 16 | 3;
		submit(0, &cmd, false);
		cmd.opcode = NVME_CREATE_IO_SQ;
		cmd.prp[0] = queue_base(id, false);
		cmd.cdw11 = id << 16 | 1;
		submit(0, &cmd, false);
		refdev_poll(w.dev);
		take_completions();
		w.tails[id] = 0;
	}
}

/* A command, whose fields are short here: few values of each are of any use. */
static void
do_command(void)
{
	uint8_t where = take_u8(&w.in);
	struct nvme_command cmd = {.opcode = take_u8(&w.in), .cid = take_u8(&w.in)};
	uint8_t prps;

	cmd.nsid = take_u8(&w.in);
	if (cmd.nsid == UINT8_MAX)
		cmd.nsid = NVME_NSID_ALL;
	prps = take_u8(&w.in);
	cmd.prp[0] = (uint64_t)take_u8(&w.in) * NVME_PAGE + (prps & 15u) * 256u;
	cmd.prp[1] = (uint64_t)take_u8(&w.in) * NVME_PAGE + (prps >> 4) * 256u;
	cmd.cdw10 = take_u32(&w.in);
	cmd.cdw11 = take_u32(&w.in);
	cmd.cdw12 = take_u32(&w.in);
	submit(where % NR_QUEUES, &cmd, (where & 0x80) != 0);
}

/* All bytes of a command as they are. */
static void
do_raw_command(void)
{
	uint8_t where = take_u8(&w.in);
	struct nvme_command cmd;

	take(&w.in, &cmd, sizeof(cmd));
	submit(where % NR_QUEUES, &cmd, (where & 0x80) != 0);
}

static void
do_ring(void)
{
	uint8_t where = take_u8(&w.in);

	ring(where & 0x7f, take_u32(&w.in), (where & 0x80) != 0);
}

static void
do_poll(void)
{
	refdev_poll(w.dev);
	REQUIRE(refdev_poll_ns(w.dev) >= -1);
}

static void
do_take_completions(void)
{
	take_completions();
}

/* Receive the controller's requests, and answer one of the pending ones. */
static void
do_answer(void)
{
	uint8_t which = take_u8(&w.in), how = take_u8(&w.in);
	struct vuc_loopback_msg msg = {.bytes = w.request, .size = w.size};
	struct vuc_loopback_msg none = {.bytes = w.reply, .size = w.size};
	struct pending p;
	size_t head = sizeof(p.header) + sizeof(p.access);

	while (w.nr_pending < MAX_PENDING && refdev_next_command(w.dev, &msg)) {
		memcpy(&p.header, msg.bytes, sizeof(p.header));
		memcpy(&p.access, msg.bytes + sizeof(p.header), sizeof(p.access));
		REQUIRE(p.access.count > 0 && p.access.addr < MEMORY_SIZE);
		REQUIRE(p.access.count <= MEMORY_SIZE - p.access.addr);
		if (p.header.cmd == VFIO_USER_DMA_WRITE) {
			REQUIRE(msg.len == head + p.access.count);
			REQUIRE(p.access.addr + p.access.count <= WRITABLE * NVME_PAGE);
			memcpy(w.memory + p.access.addr, msg.bytes + head, p.access.count);
		}
		w.pending[w.nr_pending++] = p;
	}
	if (w.nr_pending == 0)
		return;
	which = (uint8_t)(which % w.nr_pending);
	p = w.pending[which];
	w.pending[which] = w.pending[--w.nr_pending];
	msg.len = head;
	if (p.header.cmd == VFIO_USER_DMA_READ) {
		memcpy(msg.bytes + head, w.memory + p.access.addr, p.access.count);
		msg.len += p.access.count;
	}
	p.header.flags = VFIO_USER_F_TYPE_REPLY;
	if ((how & 1) != 0) {
		p.header.flags |= VFIO_USER_F_ERROR;
		p.header.error_no = how >> 3;
		msg.len = sizeof(p.header);
	} else if ((how & 2) != 0) {
		p.access.count += how >> 3;
	} else if ((how & 4) != 0 && msg.len > head) {
		msg.len--;
	}
	p.header.msg_size = (uint32_t)msg.len;
	memcpy(msg.bytes, &p.header, sizeof(p.header));
	memcpy(msg.bytes + sizeof(p.header), &p.access, sizeof(p.access));
	if (refdev_handle(w.dev, &msg, &none) == 0)
		return;
	REQUIRE(how > 1);
	w.negotiated = false;
}

/* What is mapped changes under the controller. */
static void
do_unmap(void)
{
	bool readable = take_u8(&w.in) % 2 != 0;
	struct vfio_user_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.addr = readable ? WRITABLE * NVME_PAGE : 0,
		.size = (uint64_t)(readable ? MAPPED - WRITABLE : WRITABLE) * NVME_PAGE,
	};

	if (!send_command(VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap), NULL, 0))
		map_pages((uint32_t)(unmap.addr / NVME_PAGE), (uint32_t)(unmap.size / NVME_PAGE),
			readable ? VFIO_USER_F_DMA_REGION_READ
				 : VFIO_USER_F_DMA_REGION_READ | VFIO_USER_F_DMA_REGION_WRITE);
}

static void
do_irqs(void)
{
	uint8_t how = take_u8(&w.in);
	struct vfio_user_irq_set set = {
		.argsz = sizeof(set),
		.index = how % VFIO_PCI_NUM_IRQS,
		.start = take_u8(&w.in) % NVME_VECTORS,
		.count = 1,
		.flags = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_EVENTFD,
	};
	unsigned int nr_fds = 1;

	if ((how & 0x80) != 0) {
		set.start = set.count = nr_fds = 0;
		set.flags = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_NONE;
	}
	send_command(VFIO_USER_DEVICE_SET_IRQS, &set, sizeof(set), &w.eventfd, nr_fds);
}

static void
do_reset(void)
{
	send_command(VFIO_USER_DEVICE_RESET, "", 0, NULL, 0);
}

static void
do_disconnect(void)
{
	w.negotiated = false;
}

static void (*const operations[])(void) = {
	do_register,
	do_access,
	do_memory,
	do_prp_list,
	do_enable,
	do_queues,
	do_command,
	do_raw_command,
	do_ring,
	do_poll,
	do_take_completions,
	do_answer,
	do_unmap,
	do_irqs,
	do_reset,
	do_disconnect,
};

/* ---- an execution ---- */

static void
check_queues(void)
{
	const struct refdev_nvme *nvme = refdev_nvme_of(w.dev);

	for (uint32_t id = 0; id < NVME_NR_QUEUES; id++) {
		const struct nvme_sq *sq = &nvme->sqs[id];
		const struct nvme_cq *cq = &nvme->cqs[id];

		REQUIRE(sq->size <= NVME_MAX_ENTRIES && cq->size <= NVME_MAX_ENTRIES);
		REQUIRE(sq->size == 0 || (sq->head < sq->size && sq->tail < sq->size));
		REQUIRE(cq->size == 0 || (cq->head < cq->size && cq->tail < cq->size));
		REQUIRE(sq->size == 0 || (sq->cq < NVME_NR_QUEUES && nvme->cqs[sq->cq].size > 0));
	}
	REQUIRE(nvme->nr_event_requests <= NVME_MAX_EVENT_REQS);
	REQUIRE(nvme->job.nr_segments <=
		sizeof(nvme->job.segments) / sizeof(nvme->job.segments[0]));
}

static void
check_memory(void)
{
	for (size_t i = WRITABLE * NVME_PAGE; i < MEMORY_SIZE; i++)
		REQUIRE(w.memory[i] == PATTERN);
}

/* State that all inputs share. */
static void
make_world(void)
{
	w.file = memfd_create("namespace", MFD_CLOEXEC);
	w.memory_fd = memfd_create("memory", MFD_CLOEXEC);
	w.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	REQUIRE(w.file >= 0 && w.memory_fd >= 0 && w.eventfd >= 0);
	REQUIRE(ftruncate(w.memory_fd, MEMORY_SIZE) == 0);
	w.memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, w.memory_fd, 0);
	REQUIRE(w.memory != MAP_FAILED);
}

static void
make_controller(void)
{
	struct refdev_config config;
	char path[64];

	if (w.file < 0)
		make_world();
	REQUIRE(ftruncate(w.file, 0) == 0 && ftruncate(w.file, BLOCKS * NVME_BLOCK) == 0);
	memset(w.memory, 0, WRITABLE * NVME_PAGE);
	memset(w.memory + WRITABLE * NVME_PAGE, PATTERN, (PAGES - WRITABLE) * NVME_PAGE);
	memset(w.tails, 0, sizeof(w.tails));
	w.nr_pending = 0;
	w.negotiated = false;
	refdev_config_init(&config);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", w.file);
	config.nvme_file = path;
	config.commands = (w.how & NO_COMMAND) == 0;
	config.features &= ~REFDEV_F_TWIN_SOCKET;
	w.dev = refdev_create(&config);
	REQUIRE(w.dev != NULL);
	w.size = refdev_max_message(w.dev);
	w.request = malloc(w.size);
	w.reply = malloc(w.size);
	REQUIRE(w.request != NULL && w.reply != NULL);
}

static void
run_operation(void)
{
	uint8_t op = take_u8(&w.in);

	if (!w.negotiated) {
		refdev_disconnect(w.dev);
		w.nr_pending = 0;
		connect_driver();
		w.negotiated = true;
	}
	operations[op % (sizeof(operations) / sizeof(operations[0]))]();
	check_queues();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	w.in = (struct input){data, size};
	w.how = take_u8(&w.in);
	make_controller();
	for (unsigned int i = 0; i < MAX_STEPS && w.in.size > 0; i++)
		run_operation();
	check_memory();
	refdev_destroy(w.dev);
	free(w.request);
	free(w.reply);
	return 0;
}
