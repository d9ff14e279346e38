/* SPDX-License-Identifier: BSD-3-Clause */

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include <vuc/dma.h>
#include <vuc/irq.h>
#include <vuc/region_map.h>

#include "clock.h"
#include "memfd.h"
#include "nvme_driver.h"
#include "tap.h"

#define CC_EN     (1u << 0)
#define CC_IOSQES (6u << 16) /* 64 bytes */
#define CC_IOCQES (4u << 20) /* 16 bytes */

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

static int
region_read(const struct nvme *n, uint32_t region, uint64_t offset, void *data, uint32_t count)
{
	if (n->vmm != NULL)
		return vuc_vmm_read(n->vmm, region, offset, data, count, NULL);
	return vuc_device_read(n->dev, region, offset, data, count);
}

static int
region_write(
	const struct nvme *n, uint32_t region, uint64_t offset, const void *data, uint32_t count)
{
	if (n->vmm != NULL)
		return vuc_vmm_write(n->vmm, region, offset, data, count, NULL);
	return vuc_device_write(n->dev, region, offset, data, count);
}

/* Attach to a device of vucd, and map its doorbells if they can be. */
void
nvme_attach(struct nvme *n, const char *socket, const char *device)
{
	const struct vuc_vmm_region *bar0;
	struct vuc_vmm_attach_opts opts;
	struct vuc_error err = {0};
	void *page;

	*n = (struct nvme){.fd = -1, .memory = MAP_FAILED, .interrupt = -1};
	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = socket;
	opts.device = device;
	opts.wait_ms = TIMEOUT_MS;
	if (vuc_vmm_attach(&opts, &n->vmm, &err) != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(n->vmm);
	CU_ASSERT_EQUAL(region_read(n, BAR0, NVME_CAP, &n->cap, sizeof(n->cap)), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_region(n->vmm, BAR0, &bar0, &err), 0);
	if (bar0->nr_areas == 0)
		return;
	CU_ASSERT_EQUAL_FATAL(bar0->areas[0].offset, NVME_DOORBELLS);
	page = mmap(NULL, NVME_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, bar0->areas[0].fd,
		(off_t)bar0->areas[0].file_offset);
	CU_ASSERT_FATAL(page != MAP_FAILED);
	n->doorbells = page;
}

void
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
		CU_ASSERT_EQUAL(region_read(n, BAR0, NVME_CAP, &n->cap, sizeof(n->cap)), 0);
}

void
nvme_close(struct nvme *n)
{
	vuc_device_close(n->dev);
	if (n->doorbells != NULL)
		munmap(n->doorbells, NVME_PAGE);
	vuc_vmm_detach(n->vmm);
	if (n->memory != MAP_FAILED)
		munmap(n->memory, MEMORY_SIZE);
	if (n->fd >= 0)
		close(n->fd);
	if (n->interrupt >= 0)
		close(n->interrupt);
}

uint8_t *
nvme_page(const struct nvme *n, unsigned int page)
{
	return n->memory + page * NVME_PAGE;
}

uint64_t
nvme_iova(unsigned int page)
{
	return IOVA + page * NVME_PAGE;
}

uint32_t
nvme_get32(const struct nvme *n, uint32_t region, uint64_t offset)
{
	uint32_t value = 0;

	CU_ASSERT_EQUAL(region_read(n, region, offset, &value, sizeof(value)), 0);
	return value;
}

void
nvme_set32(const struct nvme *n, uint64_t offset, uint32_t value)
{
	CU_ASSERT_EQUAL(region_write(n, BAR0, offset, &value, sizeof(value)), 0);
}

static void
set64(const struct nvme *n, uint64_t offset, uint64_t value)
{
	CU_ASSERT_EQUAL(region_write(n, BAR0, offset, &value, sizeof(value)), 0);
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
	CU_ASSERT_EQUAL(region_read(n, CONFIG, at, &flags, sizeof(flags)), 0);
	flags &= (uint16_t)~PCI_MSIX_FLAGS_ENABLE;
	if (enabled)
		flags |= PCI_MSIX_FLAGS_ENABLE;
	CU_ASSERT_EQUAL(region_write(n, CONFIG, at, &flags, sizeof(flags)), 0);
}

static void
set_up_interrupt(struct nvme *n)
{
	const struct vuc_irq_range vector = {.index = VFIO_PCI_MSIX_IRQ_INDEX, .count = 1};
	const struct vuc_vmm_irq_range vmm_vector = {.index = VFIO_PCI_MSIX_IRQ_INDEX, .count = 1};

	n->interrupt = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CU_ASSERT_FATAL(n->interrupt >= 0);
	if (n->vmm != NULL)
		CU_ASSERT_EQUAL_FATAL(vuc_vmm_irq_assign(n->vmm, &vmm_vector, VUC_VMM_IRQ_TRIGGER,
					      &n->interrupt, NULL),
			0)
	else
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
	struct vuc_vmm_dma vmm_mapping = {
		.argsz = sizeof(vmm_mapping),
		.iova = IOVA,
		.size = MEMORY_SIZE,
		.flags = VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE,
	};

	n->fd = vuc_memfd_create("guest", MEMORY_SIZE, F_SEAL_SHRINK);
	CU_ASSERT_FATAL(n->fd >= 0);
	n->memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, n->fd, 0);
	CU_ASSERT_FATAL(n->memory != MAP_FAILED);
	if (n->vmm != NULL) {
		vmm_mapping.fd = n->fd;
		CU_ASSERT_EQUAL_FATAL(vuc_vmm_dma_map(n->vmm, &vmm_mapping, 1, NULL), 0);
		CU_ASSERT_EQUAL_FATAL(vuc_vmm_dma_commit(n->vmm, NULL), 0);
		return;
	}
	m.fd = n->fd;
	m.addr = n->memory;
	CU_ASSERT_EQUAL_FATAL(vuc_dma_map(n->dev, &m), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_dma_commit(n->dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_server_count(n->dev), 1);
}

void
nvme_set_up(struct nvme *n)
{
	set_up_memory(n);
	set_up_interrupt(n);
}

void
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

/* The server is another one since the controller was enabled, which has to be enabled again. */
static bool
nvme_has_returned(struct nvme *n)
{
	uint32_t events = n->vmm != NULL ? vuc_vmm_events(n->vmm) : 0;

	n->events |= events;
	if ((events & VUC_VMM_EVENT_LOST) != 0)
		n->lost_ms = vuc_clock_ms();
	if ((events & VUC_VMM_EVENT_REMAP) != 0)
		n->remaps++;
	return (n->events & VUC_VMM_EVENT_BACK) != 0;
}

/* As long as CAP.TO allows. Each look is a round trip to the server, which paces them. */
static bool
wait_for_ready(struct nvme *n, uint32_t ready)
{
	uint64_t deadline = vuc_clock_ms() + 500 * ((n->cap >> 24 & 0xff) + 1);
	uint32_t csts;

	do {
		csts = nvme_get32(n, BAR0, NVME_CSTS) & (NVME_CSTS_RDY | NVME_CSTS_CFS);
	} while (csts != ready && !nvme_has_returned(n) && vuc_clock_ms() < deadline);
	return csts == ready;
}

bool
nvme_enable(struct nvme *n)
{
	memset(n->memory, 0, MEMORY_SIZE);
	init_queue(n, &n->admin, 0, ADMIN_SQ, ADMIN_CQ);
	nvme_set32(n, NVME_AQA, (NVME_ENTRIES - 1) << 16 | (NVME_ENTRIES - 1));
	set64(n, NVME_ASQ, nvme_iova(ADMIN_SQ));
	set64(n, NVME_ACQ, nvme_iova(ADMIN_CQ));
	nvme_set32(n, NVME_CC, CC_IOSQES | CC_IOCQES | CC_EN);
	return wait_for_ready(n, NVME_CSTS_RDY);
}

bool
nvme_disable(struct nvme *n)
{
	nvme_set32(n, NVME_CC, CC_IOSQES | CC_IOCQES);
	return wait_for_ready(n, 0);
}

static void
ring(const struct nvme *n, uint32_t doorbell, uint32_t value)
{
	uint32_t stride = 4u << (n->cap >> 32 & 0xf);
	uint64_t offset = NVME_DOORBELLS + doorbell * stride;

	/* What was written to the queues is there before the doorbell says so. */
	atomic_thread_fence(memory_order_release);
	if (n->doorbells != NULL)
		__atomic_store_n((uint32_t *)(void *)(n->doorbells + doorbell * stride), value,
			__ATOMIC_RELEASE);
	else if (n->vmm != NULL)
		CU_ASSERT_EQUAL(region_write(n, BAR0, offset, &value, sizeof(value)), 0)
	else
		CU_ASSERT_EQUAL(vuc_region_store(n->dev, BAR0, offset, &value, sizeof(value)), 0);
}

/* The interrupt says when to look; one that comes late, for what was seen already, does no harm. */
static bool
wait_for_completion(struct nvme *n, const struct nvme_queue *q)
{
	struct nvme_completion *c = &q->cq[q->head];
	uint64_t deadline = vuc_clock_ms() + TIMEOUT_MS;
	struct pollfd p[] = {
		{.fd = n->interrupt, .events = POLLIN},
		{.fd = n->vmm != NULL ? vuc_vmm_event_fd(n->vmm) : -1, .events = POLLIN},
	};
	uint64_t count;

	for (uint64_t now = vuc_clock_ms(); now < deadline; now = vuc_clock_ms()) {
		if (poll(p, 2, (int)(deadline - now)) < 1 || nvme_has_returned(n))
			return false;
		if (p[0].revents != 0)
			CU_ASSERT_EQUAL(read(n->interrupt, &count, sizeof(count)), sizeof(count));
		/* Written by the controller behind the rest of the completion. */
		if ((atomic_load_explicit(&c->status, memory_order_acquire) & 1) == q->phase)
			return true;
	}
	return false;
}

static void
submit(struct nvme *n, struct nvme_queue *q, const struct nvme_command *cmd)
{
	q->sq[q->tail] = *cmd;
	q->tail = (q->tail + 1) % NVME_ENTRIES;
	ring(n, 2 * q->id, q->tail);
}

static void
take_completion(struct nvme *n, struct nvme_queue *q)
{
	q->head = (q->head + 1) % NVME_ENTRIES;
	if (q->head == 0)
		q->phase ^= 1;
	ring(n, 2 * q->id + 1, q->head);
}

static bool
execute(struct nvme *n, struct nvme_queue *q, struct nvme_command cmd, uint16_t status)
{
	struct nvme_completion *c = &q->cq[q->head];

	cmd.cid = q->next_cid++;
	submit(n, q, &cmd);
	if (!wait_for_completion(n, q))
		return false;
	CU_ASSERT_EQUAL(c->status >> 1, status);
	CU_ASSERT_EQUAL(c->cid, cmd.cid);
	CU_ASSERT_EQUAL(c->sq_id, q->id);
	CU_ASSERT_EQUAL(c->sq_head, q->tail);
	take_completion(n, q);
	return true;
}

bool
nvme_execute(struct nvme *n, struct nvme_queue *q, struct nvme_command cmd)
{
	return execute(n, q, cmd, 0);
}

bool
nvme_fail(struct nvme *n, struct nvme_command cmd, uint16_t status)
{
	return execute(n, &n->admin, cmd, status);
}

static bool
create_queue(struct nvme *n, uint8_t opcode, unsigned int page, uint32_t flags)
{
	return nvme_execute(n, &n->admin,
		(struct nvme_command){
			.opcode = opcode,
			.prp = {nvme_iova(page)},
			.cdw10 = (NVME_ENTRIES - 1) << 16 | 1,
			.cdw11 = flags,
		});
}

bool
nvme_create_io_queue(struct nvme *n)
{
	init_queue(n, &n->io, 1, IO_SQ, IO_CQ);
	return create_queue(n, NVME_CREATE_IO_CQ, IO_CQ, PHYS_CONTIGUOUS | INTERRUPTS) &&
		create_queue(n, NVME_CREATE_IO_SQ, IO_SQ, 1 << 16 | PHYS_CONTIGUOUS);
}

void
nvme_request_event(struct nvme *n)
{
	submit(n, &n->admin,
		&(struct nvme_command){.opcode = NVME_ASYNC_EVENT, .cid = NVME_EVENT_CID});
}

/* The doorbell may have been written after the server was killed, so sq_head is not checked. */
bool
nvme_await_event(struct nvme *n, uint32_t *result)
{
	const struct nvme_completion *c = &n->admin.cq[n->admin.head];

	if (!wait_for_completion(n, &n->admin))
		return false;
	CU_ASSERT_EQUAL(c->status >> 1, 0);
	CU_ASSERT_EQUAL(c->cid, NVME_EVENT_CID);
	CU_ASSERT_EQUAL(c->sq_id, 0);
	*result = c->result;
	take_completion(n, &n->admin);
	return true;
}
