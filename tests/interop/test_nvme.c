/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A small NVMe driver against SPDK's NVMe-oF target, and by test_refdev_nvme.py against vuc-refdev:
 * an admin queue and one other, one command at a time. What fails in it is a failed assertion of
 * the running test, and a fatal one when there is no going on.
 *
 * VUC_SPDK_NVMF_SOCKET names the socket of a VFIOUSER listener that has no other client: "cntrl" in
 * the folder that is the listener's address. Its subsystem has a namespace 1, whose first block is
 * written and then restored. VUC_SPDK_NVMF_SERIAL, if it is set, is the subsystem's serial number.
 */

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <vuc/device.h>
#include <vuc/dma.h>
#include <vuc/irq.h>
#include <vuc/region_map.h>

#include "clock.h"
#include "memfd.h"
#include "tap.h"

#define BAR0   VFIO_PCI_BAR0_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

/* Registers, and bits of them, by the names of the NVMe specification. */
#define NVME_CAP       0x00u
#define NVME_VS        0x08u
#define NVME_CC        0x14u
#define NVME_CSTS      0x1cu
#define NVME_AQA       0x24u
#define NVME_ASQ       0x28u
#define NVME_ACQ       0x30u
#define NVME_DOORBELLS 0x1000u
#define NVME_CSTS_RDY  (1u << 0)

/* Opcodes of the admin queue, and of others. */
#define NVME_CREATE_IO_SQ 0x01u
#define NVME_CREATE_IO_CQ 0x05u
#define NVME_IDENTIFY     0x06u
#define NVME_WRITE        0x01u
#define NVME_READ         0x02u

#define NVME_PAGE     4096u
#define NVME_NR_PAGES 16u /* of memory for the controller; the first four are the queues */
#define NVME_ENTRIES  16u /* of each queue */

struct nvme_command {
	uint8_t opcode;
	uint8_t flags;
	uint16_t cid;
	uint32_t nsid;
	uint64_t reserved;
	uint64_t metadata;
	uint64_t prp[2];
	uint32_t cdw10;
	uint32_t cdw11;
	uint32_t cdw12[4];
};

struct nvme_completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t cid;
	_Atomic uint16_t status; /* bit 0: the phase */
};

struct nvme_queue {
	uint32_t id;
	struct nvme_command *sq;
	struct nvme_completion *cq;
	uint32_t tail;
	uint32_t head;
	uint16_t phase;
	uint16_t next_cid;
};

struct nvme {
	struct vuc_device *dev; /* NULL: it could not be opened */
	int fd;                 /* of the memory */
	uint8_t *memory;
	int interrupt; /* eventfd of MSI-X vector 0, which both queues have */
	uint64_t cap;
	struct nvme_queue admin;
	struct nvme_queue io;
};

/* ---- the driver ---- */

#define CC_EN     (1u << 0)
#define CC_IOSQES (6u << 16) /* 64 bytes */
#define CC_IOCQES (4u << 20) /* 16 bytes */
#define CSTS_CFS  (1u << 1)

#define PHYS_CONTIGUOUS (1u << 0)
#define INTERRUPTS      (1u << 1)

#define MEMORY_SIZE      (NVME_NR_PAGES * NVME_PAGE)
#define IOVA             0x40000000u
#define TIMEOUT_MS       10000
#define MAX_CAPABILITIES 48

enum {
	ADMIN_SQ,
	ADMIN_CQ,
	IO_SQ,
	IO_CQ,
};

_Static_assert(sizeof(struct nvme_command) == 64, "as the specification has it");
_Static_assert(sizeof(struct nvme_completion) == 16, "as the specification has it");

static void
nvme_open(struct nvme *n, const char *path, const char *transport)
{
	struct vuc_device_opts opts;
	struct vuc_error err = {0};

	*n = (struct nvme){.fd = -1, .memory = MAP_FAILED, .interrupt = -1};
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = path;
	opts.transport = transport;
	if (vuc_device_open(&opts, &n->dev, &err) != 0)
		printf("# %s\n", err.text);
	else
		CU_ASSERT_EQUAL(
			vuc_device_read(n->dev, BAR0, NVME_CAP, &n->cap, sizeof(n->cap)), 0);
}

static void
nvme_close(struct nvme *n)
{
	vuc_device_close(n->dev);
	if (n->memory != MAP_FAILED)
		munmap(n->memory, MEMORY_SIZE);
	if (n->fd >= 0)
		close(n->fd);
	if (n->interrupt >= 0)
		close(n->interrupt);
}

static uint8_t *
nvme_page(const struct nvme *n, unsigned int page)
{
	return n->memory + page * NVME_PAGE;
}

static uint64_t
nvme_iova(unsigned int page)
{
	return IOVA + page * NVME_PAGE;
}

static uint32_t
nvme_get32(const struct nvme *n, uint32_t region, uint64_t offset)
{
	uint32_t value = 0;

	CU_ASSERT_EQUAL(vuc_device_read(n->dev, region, offset, &value, sizeof(value)), 0);
	return value;
}

static void
nvme_set32(const struct nvme *n, uint64_t offset, uint32_t value)
{
	CU_ASSERT_EQUAL(vuc_device_write(n->dev, BAR0, offset, &value, sizeof(value)), 0);
}

static void
set64(const struct nvme *n, uint64_t offset, uint64_t value)
{
	CU_ASSERT_EQUAL(vuc_device_write(n->dev, BAR0, offset, &value, sizeof(value)), 0);
}

/* Offset of a capability in config space, 0 when there is none. */
static uint32_t
find_capability(const struct nvme *n, uint32_t id)
{
	uint32_t at = nvme_get32(n, CONFIG, PCI_CAPABILITY_LIST) & 0xfc;

	for (unsigned int i = 0; i < MAX_CAPABILITIES && at != 0; i++) {
		uint32_t header = nvme_get32(n, CONFIG, at);

		if ((header & 0xff) == id)
			return at;
		at = header >> 8 & 0xfc;
	}
	return 0;
}

static void
set_msix(const struct nvme *n, bool enabled)
{
	uint32_t at = find_capability(n, PCI_CAP_ID_MSIX);
	uint16_t flags = 0;

	CU_ASSERT_NOT_EQUAL_FATAL(at, 0);
	at += PCI_MSIX_FLAGS;
	CU_ASSERT_EQUAL(vuc_device_read(n->dev, CONFIG, at, &flags, sizeof(flags)), 0);
	flags &= (uint16_t)~PCI_MSIX_FLAGS_ENABLE;
	if (enabled)
		flags |= PCI_MSIX_FLAGS_ENABLE;
	CU_ASSERT_EQUAL(vuc_device_write(n->dev, CONFIG, at, &flags, sizeof(flags)), 0);
}

static void
set_up_interrupt(struct nvme *n)
{
	const struct vuc_irq_range vector = {.index = VFIO_PCI_MSIX_IRQ_INDEX, .count = 1};

	n->interrupt = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CU_ASSERT_FATAL(n->interrupt >= 0);
	CU_ASSERT_EQUAL_FATAL(
		vuc_irq_assign(n->dev, &vector, VUC_IRQ_TRIGGER, &n->interrupt, NULL), 0);
	set_msix(n, true);
}

static void
set_up_memory(struct nvme *n)
{
	struct vuc_dma_mapping m = {
		.iova = IOVA,
		.size = MEMORY_SIZE,
		.flags = VUC_DMA_READ | VUC_DMA_WRITE,
	};

	n->fd = vuc_memfd_create("guest", MEMORY_SIZE, 0);
	CU_ASSERT_FATAL(n->fd >= 0);
	n->memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, n->fd, 0);
	CU_ASSERT_FATAL(n->memory != MAP_FAILED);
	m.fd = n->fd;
	m.addr = n->memory;
	CU_ASSERT_EQUAL_FATAL(vuc_dma_map(n->dev, &m), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_dma_commit(n->dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_server_count(n->dev), 1);
}

static void
nvme_set_up(struct nvme *n)
{
	set_up_memory(n);
	set_up_interrupt(n);
}

static void
nvme_tear_down(struct nvme *n)
{
	set_msix(n, false);
	CU_ASSERT_EQUAL(vuc_irq_disable(n->dev, VFIO_PCI_MSIX_IRQ_INDEX), 0);
	CU_ASSERT_EQUAL(vuc_dma_unmap_all(n->dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(n->dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_server_count(n->dev), 0);
}

static void
init_queue(
	const struct nvme *n, struct nvme_queue *q, uint32_t id, unsigned int sq, unsigned int cq)
{
	*q = (struct nvme_queue){
		.id = id,
		.sq = (struct nvme_command *)(void *)nvme_page(n, sq),
		.cq = (struct nvme_completion *)(void *)nvme_page(n, cq),
		.phase = 1,
	};
}

/* As long as CAP.TO allows. Each look is a round trip to the server, which paces them. */
static void
wait_for_ready(const struct nvme *n, uint32_t ready)
{
	uint64_t deadline = vuc_clock_ms() + 500 * ((n->cap >> 24 & 0xff) + 1);
	uint32_t csts;

	do {
		csts = nvme_get32(n, BAR0, NVME_CSTS) & (NVME_CSTS_RDY | CSTS_CFS);
	} while (csts != ready && vuc_clock_ms() < deadline);
	CU_ASSERT_EQUAL_FATAL(csts, ready);
}

static void
nvme_enable(struct nvme *n)
{
	memset(n->memory, 0, MEMORY_SIZE);
	init_queue(n, &n->admin, 0, ADMIN_SQ, ADMIN_CQ);
	nvme_set32(n, NVME_AQA, (NVME_ENTRIES - 1) << 16 | (NVME_ENTRIES - 1));
	set64(n, NVME_ASQ, nvme_iova(ADMIN_SQ));
	set64(n, NVME_ACQ, nvme_iova(ADMIN_CQ));
	nvme_set32(n, NVME_CC, CC_IOSQES | CC_IOCQES | CC_EN);
	wait_for_ready(n, NVME_CSTS_RDY);
}

static void
nvme_disable(struct nvme *n)
{
	nvme_set32(n, NVME_CC, CC_IOSQES | CC_IOCQES);
	wait_for_ready(n, 0);
}

static void
ring(const struct nvme *n, uint32_t doorbell, uint32_t value)
{
	uint32_t stride = 4u << (n->cap >> 32 & 0xf);
	uint64_t offset = NVME_DOORBELLS + doorbell * stride;

	/* What was written to the queues is there before the doorbell says so. */
	atomic_thread_fence(memory_order_release);
	CU_ASSERT_EQUAL(vuc_region_store(n->dev, BAR0, offset, &value, sizeof(value)), 0);
}

/* The interrupt says when to look; one that comes late, for what was seen already, does no harm. */
static bool
wait_for_completion(const struct nvme *n, const struct nvme_queue *q)
{
	struct nvme_completion *c = &q->cq[q->head];
	uint64_t deadline = vuc_clock_ms() + TIMEOUT_MS;
	struct pollfd p = {.fd = n->interrupt, .events = POLLIN};
	uint64_t count;

	for (uint64_t now = vuc_clock_ms(); now < deadline; now = vuc_clock_ms()) {
		if (poll(&p, 1, (int)(deadline - now)) != 1)
			return false;
		CU_ASSERT_EQUAL(read(n->interrupt, &count, sizeof(count)), sizeof(count));
		/* Written by the controller behind the rest of the completion. */
		if ((atomic_load_explicit(&c->status, memory_order_acquire) & 1) == q->phase)
			return true;
	}
	return false;
}

static void
nvme_execute(struct nvme *n, struct nvme_queue *q, struct nvme_command cmd)
{
	struct nvme_completion *c = &q->cq[q->head];

	cmd.cid = q->next_cid++;
	q->sq[q->tail] = cmd;
	q->tail = (q->tail + 1) % NVME_ENTRIES;
	ring(n, 2 * q->id, q->tail);
	CU_ASSERT_FATAL(wait_for_completion(n, q));
	CU_ASSERT_EQUAL(c->status >> 1, 0);
	CU_ASSERT_EQUAL(c->cid, cmd.cid);
	CU_ASSERT_EQUAL(c->sq_id, q->id);
	CU_ASSERT_EQUAL(c->sq_head, q->tail);
	q->head = (q->head + 1) % NVME_ENTRIES;
	if (q->head == 0)
		q->phase ^= 1;
	ring(n, 2 * q->id + 1, q->head);
}

static void
create(struct nvme *n, uint8_t opcode, unsigned int page, uint32_t flags)
{
	nvme_execute(n, &n->admin,
		(struct nvme_command){
			.opcode = opcode,
			.prp = {nvme_iova(page)},
			.cdw10 = (NVME_ENTRIES - 1) << 16 | 1,
			.cdw11 = flags,
		});
}

static void
nvme_create_io_queue(struct nvme *n)
{
	init_queue(n, &n->io, 1, IO_SQ, IO_CQ);
	create(n, NVME_CREATE_IO_CQ, IO_CQ, PHYS_CONTIGUOUS | INTERRUPTS);
	create(n, NVME_CREATE_IO_SQ, IO_SQ, 1 << 16 | PHYS_CONTIGUOUS);
}

/* ---- the tests ---- */

#define NVME_CLASS 0x010802u /* PCI class code of an NVMe I/O controller */

#define IDENTIFY_NAMESPACE  0u
#define IDENTIFY_CONTROLLER 1u

/* Pages of the memory. */
enum {
	IDENTITY = 4,
	BEFORE,  /* what the block had */
	PATTERN, /* what is written to it */
	AFTER,   /* what is read from it then */
};

static const char *path;
static const char *transport;

/* The controller of the running test. */
static struct nvme nvme;

static const uint8_t *
identify(uint32_t what, uint32_t nsid)
{
	memset(nvme_page(&nvme, IDENTITY), 0xff, NVME_PAGE);
	nvme_execute(&nvme, &nvme.admin,
		(struct nvme_command){
			.opcode = NVME_IDENTIFY,
			.nsid = nsid,
			.prp = {nvme_iova(IDENTITY)},
			.cdw10 = what,
		});
	return nvme_page(&nvme, IDENTITY);
}

static uint32_t
field32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void
check_serial(const uint8_t *serial)
{
	const char *expected = getenv("VUC_SPDK_NVMF_SERIAL");
	char padded[21];

	for (unsigned int i = 0; i < 20; i++)
		CU_ASSERT(serial[i] >= ' ' && serial[i] <= '~');
	if (expected == NULL)
		return;
	snprintf(padded, sizeof(padded), "%-20s", expected);
	CU_ASSERT_EQUAL(memcmp(serial, padded, 20), 0);
}

/* What the controller puts into memory is what it says by its registers and in config space. */
static void
check_controller(void)
{
	const uint8_t *data = identify(IDENTIFY_CONTROLLER, 0);
	uint32_t vendor = nvme_get32(&nvme, CONFIG, PCI_VENDOR_ID) & 0xffff;
	uint32_t subsystem = nvme_get32(&nvme, CONFIG, PCI_SUBSYSTEM_VENDOR_ID) & 0xffff;

	CU_ASSERT_EQUAL(field32(data), subsystem << 16 | vendor);
	check_serial(data + 4);
	CU_ASSERT_EQUAL(field32(data + 80), nvme_get32(&nvme, BAR0, NVME_VS));
	CU_ASSERT(field32(data + 516) >= 1);
}

/* Bytes of a block of namespace 1. */
static size_t
block_size(void)
{
	const uint8_t *data = identify(IDENTIFY_NAMESPACE, 1);
	size_t format = data[26] & 0xf;
	uint32_t shift = field32(data + 128 + 4 * format) >> 16 & 0xff;

	CU_ASSERT(field32(data) > 0 || field32(data + 4) > 0);
	CU_ASSERT_FATAL(shift >= 9 && shift <= 12);
	return (size_t)1 << shift;
}

/* Read or write the first block. */
static void
transfer(uint8_t opcode, unsigned int page)
{
	nvme_execute(&nvme, &nvme.io,
		(struct nvme_command){.opcode = opcode, .nsid = 1, .prp = {nvme_iova(page)}});
}

/* Two commands a round, so that the queue wraps. */
static void
check_transfers(void)
{
	size_t size = block_size();
	uint8_t *pattern = nvme_page(&nvme, PATTERN), *after = nvme_page(&nvme, AFTER);

	nvme_create_io_queue(&nvme);
	transfer(NVME_READ, BEFORE);
	for (unsigned int round = 0; round < NVME_ENTRIES; round++) {
		for (size_t i = 0; i < size; i++)
			pattern[i] = (uint8_t)(i * 7 + i / 256 + round);
		memset(after, 0, size);
		transfer(NVME_WRITE, PATTERN);
		transfer(NVME_READ, AFTER);
		CU_ASSERT_EQUAL(memcmp(after, pattern, size), 0);
	}
	transfer(NVME_WRITE, BEFORE);
}

/* Twice, since a controller can be enabled again after it was disabled. */
static void
use_controller(void)
{
	nvme_set_up(&nvme);
	for (unsigned int round = 0; round < 2; round++) {
		nvme_enable(&nvme);
		check_controller();
		check_transfers();
		nvme_disable(&nvme);
	}
	nvme_tear_down(&nvme);
}

static void
test_registers(void)
{
	uint8_t byte;
	uint32_t value;

	CU_ASSERT_PTR_NOT_NULL_FATAL(nvme.dev);
	CU_ASSERT_EQUAL(nvme_get32(&nvme, CONFIG, PCI_CLASS_REVISION) >> 8, NVME_CLASS);
	CU_ASSERT(vuc_device_region(nvme.dev, BAR0)->size > NVME_DOORBELLS);
	CU_ASSERT(vuc_device_irq(nvme.dev, VFIO_PCI_MSIX_IRQ_INDEX)->count >= 2);
	CU_ASSERT_EQUAL(nvme_get32(&nvme, BAR0, NVME_CAP), (uint32_t)nvme.cap);
	CU_ASSERT_EQUAL(nvme_get32(&nvme, BAR0, NVME_CAP + 4), nvme.cap >> 32);
	CU_ASSERT(nvme_get32(&nvme, BAR0, NVME_VS) >= 0x10000);
	nvme_set32(&nvme, NVME_AQA, 0x00070003);
	CU_ASSERT_EQUAL(nvme_get32(&nvme, BAR0, NVME_AQA), 0x00070003);
	/* What the target refuses is an error of that access and of no other. */
	CU_ASSERT_EQUAL(vuc_device_read(nvme.dev, BAR0, NVME_CC, &byte, sizeof(byte)), -EINVAL);
	CU_ASSERT_EQUAL(
		vuc_device_read(nvme.dev, BAR0, NVME_DOORBELLS, &value, sizeof(value)), -EPERM);
	CU_ASSERT_EQUAL(vuc_device_reset(nvme.dev), 0);
	CU_ASSERT_EQUAL(nvme_get32(&nvme, BAR0, NVME_CSTS) & NVME_CSTS_RDY, 0);
}

static void
test_doorbells_by_message(void)
{
	CU_ASSERT_PTR_NOT_NULL_FATAL(nvme.dev);
	use_controller();
}

static void
test_doorbells_mapped(void)
{
	const struct vuc_region_mapping *m;
	int n;

	CU_ASSERT_PTR_NOT_NULL_FATAL(nvme.dev);
	n = vuc_region_map(nvme.dev, BAR0, &m);
	if (n == -EOPNOTSUPP) {
		vuc_tap_skip("the target does not offer to map BAR0");
		return;
	}
	CU_ASSERT_FATAL(n >= 1);
	CU_ASSERT_EQUAL(m[0].offset, NVME_DOORBELLS);
	use_controller();
}

/* A client of its own for each test: the target takes it when it is done with the one before. */
static void
set_up(void)
{
	nvme_open(&nvme, path, transport);
}

static void
tear_down(void)
{
	nvme_close(&nvme);
}

static CU_TestInfo tests[] = {
	{"registers", test_registers},
	{"doorbells by message", test_doorbells_by_message},
	{"doorbells mapped", test_doorbells_mapped},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
		{argc == 2 ? argv[1] : "", NULL, NULL, set_up, tear_down, tests},
		CU_SUITE_INFO_NULL,
	};

	path = getenv("VUC_SPDK_NVMF_SOCKET");
	if (path == NULL) {
		printf("1..0 # SKIP VUC_SPDK_NVMF_SOCKET does not name a socket of SPDK's target\n");
		return 0;
	}
	transport = argc == 2 ? argv[1] : "posix";
	return vuc_tap_run(suites);
}
