/* SPDX-License-Identifier: BSD-3-Clause */

#include <linux/vfio.h>

#include <vuc/dirty.h>
#include <vuc/dma.h>
#include <vuc/io_fds.h>
#include <vuc/irq.h>
#include <vuc/migration.h>

#include "fault_cases.h"
#include "refdev_regs.h"

#define BAR0 VFIO_PCI_BAR0_REGION_INDEX
#define BAR2 VFIO_PCI_BAR2_REGION_INDEX

#define IOVA UINT64_C(0x100000)
#define PAGE 4096u

/* Bytes of a DMA transfer: one more lies in memory, too. */
#define TRANSFER (PAGE / 2)

static uint8_t memory[2][PAGE] __attribute__((aligned(PAGE)));
static uint8_t three_pages[3 * PAGE] __attribute__((aligned(PAGE)));

int
call_read_id(struct vuc_device *dev)
{
	uint32_t id = 0;
	int rc = vuc_device_read(dev, BAR0, REFDEV_REG_ID, &id, sizeof(id));

	CU_ASSERT_EQUAL(id, rc == 0 ? REFDEV_ID_VALUE : 0);
	return rc;
}

int
call_read_id_again(struct vuc_device *dev)
{
	CU_ASSERT_EQUAL(call_read_id(dev), 0);
	return call_read_id(dev);
}

int
call_read_id_twice(struct vuc_device *dev)
{
	CU_ASSERT_EQUAL(call_read_id(dev), -EPROTO);
	return call_read_id(dev);
}

static int
write_register(struct vuc_device *dev, uint64_t offset, uint64_t value, size_t size)
{
	return vuc_device_write(dev, BAR0, offset, &value, size);
}

int
call_write_scratch(struct vuc_device *dev)
{
	return write_register(dev, REFDEV_REG_SCRATCH, 0x1234, 8);
}

/* Those that follow one another share a message, which asks for no answer. */
int
call_write_posted(struct vuc_device *dev)
{
	uint64_t value, got = 0;
	int rc;

	CU_ASSERT_TRUE(vuc_device_version(dev)->write_multiple);
	for (value = 1; value <= 4; value++)
		CU_ASSERT_EQUAL(vuc_device_write_posted(
					dev, BAR0, REFDEV_REG_SCRATCH, &value, sizeof(value)),
			0);
	rc = vuc_device_read(dev, BAR0, REFDEV_REG_SCRATCH, &got, sizeof(got));
	CU_ASSERT_EQUAL(got, 4);
	return rc;
}

#define NR_READS 4u

struct reads {
	struct vuc_request requests[NR_READS];
	uint64_t data[NR_READS];
	unsigned int order[NR_READS]; /* of completion */
	unsigned int calls;
	int status;
};

static void
note_read(struct vuc_request *req, int status)
{
	struct reads *r = req->arg;

	if (r->calls < NR_READS)
		r->order[r->calls] = (unsigned int)(req - r->requests);
	r->calls++;
	if (r->status == 0)
		r->status = status;
}

static void
submit_reads(struct vuc_device *dev, struct reads *r)
{
	for (unsigned int i = 0; i < NR_READS; i++) {
		r->requests[i] = (struct vuc_request){
			.op = VUC_OP_READ,
			.region = BAR2,
			.offset = i * sizeof(r->data[0]),
			.data = &r->data[i],
			.count = sizeof(r->data[0]),
			.done = note_read,
			.arg = r,
		};
		CU_ASSERT_EQUAL(vuc_device_submit(dev, &r->requests[i]), 0);
	}
}

int
call_read_at_once(struct vuc_device *dev)
{
	static const unsigned int order[NR_READS] = {1, 0, 2, 3};
	static const uint64_t data[NR_READS] = {0x1111, 0x2222, 0x3333, 0x4444};
	struct reads r = {.calls = 0};

	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR2, 0, data, sizeof(data)), 0);
	submit_reads(dev, &r);
	while (r.calls < NR_READS)
		CU_ASSERT_FATAL(vuc_poll_group_poll(vuc_device_poll_group(dev)) >= 0);
	CU_ASSERT_EQUAL(call_read_id(dev), 0);
	CU_ASSERT_EQUAL(r.calls, NR_READS);
	CU_ASSERT_EQUAL(memcmp(r.order, order, sizeof(order)), 0);
	CU_ASSERT_EQUAL(memcmp(r.data, data, sizeof(data)), 0);
	return r.status;
}

int
call_read_much(struct vuc_device *dev)
{
	static uint8_t out[PAGE + 1], in[PAGE + 1];
	int rc;

	memset(out, 0xa5, sizeof(out));
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR2, 0, out, sizeof(out)), 0);
	memset(in, 0, sizeof(in));
	rc = vuc_device_read(dev, BAR2, 0, in, sizeof(in));
	CU_ASSERT_EQUAL(memcmp(in, out, sizeof(in)), 0);
	return rc;
}

/* Two mappings that don't run on: two messages. */
int
call_map(struct vuc_device *dev)
{
	struct vuc_dma_mapping mapping = {
		.size = PAGE, .flags = VUC_DMA_READ | VUC_DMA_WRITE, .fd = -1};

	for (unsigned int i = 0; i < 2; i++) {
		mapping.iova = IOVA + i * 2 * PAGE;
		mapping.addr = memory[i];
		CU_ASSERT_EQUAL(vuc_dma_map(dev, &mapping), 0);
	}
	return vuc_dma_commit(dev);
}

int
call_unmap(struct vuc_device *dev)
{
	CU_ASSERT_EQUAL(call_map(dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_unmap(dev, IOVA, PAGE), 0);
	return vuc_dma_commit(dev);
}

int
call_unmap_middle(struct vuc_device *dev)
{
	struct vuc_dma_mapping mapping = {
		.size = PAGE, .flags = VUC_DMA_READ | VUC_DMA_WRITE, .fd = -1};
	int rc;

	for (unsigned int i = 0; i < 3; i++) {
		mapping.iova = IOVA + i * PAGE;
		mapping.addr = three_pages + i * PAGE;
		CU_ASSERT_EQUAL(vuc_dma_map(dev, &mapping), 0);
	}
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_server_count(dev), 1);
	CU_ASSERT_EQUAL(vuc_dma_unmap(dev, IOVA + PAGE, PAGE), 0);
	mapping.iova = IOVA / 2;
	mapping.addr = memory[0];
	CU_ASSERT_EQUAL(vuc_dma_map(dev, &mapping), 0);
	rc = vuc_dma_commit(dev);
	CU_ASSERT_EQUAL(vuc_dma_server_count(dev), 2);
	return rc;
}

int
call_unmap_all(struct vuc_device *dev)
{
	CU_ASSERT_EQUAL(call_map(dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_unmap_all(dev), 0);
	return vuc_dma_commit(dev);
}

int
call_unmap_dirty(struct vuc_device *dev)
{
	const struct vuc_dirty_range range = {IOVA, PAGE};
	uint64_t page_size = PAGE, bitmap = 0;

	CU_ASSERT_EQUAL(call_map(dev), 0);
	CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, &range, 1), 0);
	return vuc_dma_unmap_dirty(dev, IOVA, PAGE, PAGE, &bitmap, 1);
}

static void
prepare_transfer(struct vuc_device *dev)
{
	memset(memory[0], 0x5a, PAGE);
	CU_ASSERT_EQUAL(call_map(dev), 0);
	CU_ASSERT_EQUAL(write_register(dev, REFDEV_REG_DMA_SRC, IOVA, 8), 0);
	CU_ASSERT_EQUAL(write_register(dev, REFDEV_REG_DMA_DST, 0, 8), 0);
	CU_ASSERT_EQUAL(write_register(dev, REFDEV_REG_DMA_LEN, TRANSFER, 4), 0);
	CU_ASSERT_EQUAL(write_register(dev, REFDEV_REG_DMA_MODE,
				REFDEV_DMA_BY_MESSAGE | REFDEV_DMA_DST_BAR2, 4),
		0);
}

int
call_transfer(struct vuc_device *dev)
{
	uint32_t status = REFDEV_DMA_STATUS_BUSY;
	uint8_t got[TRANSFER] = {0};
	int rc;

	prepare_transfer(dev);
	rc = write_register(dev, REFDEV_REG_DMA_START, 1, 4);
	while (rc == 0 && status == REFDEV_DMA_STATUS_BUSY)
		rc = vuc_device_read(dev, BAR0, REFDEV_REG_DMA_STATUS, &status, sizeof(status));
	if (rc != 0)
		return rc;
	CU_ASSERT_EQUAL(status, REFDEV_DMA_STATUS_DONE);
	/* A server that is about to go may have finished. */
	rc = vuc_device_read(dev, BAR2, 0, got, sizeof(got));
	if (rc == 0)
		CU_ASSERT_EQUAL(memcmp(got, memory[0], sizeof(got)), 0);
	return rc;
}

int
call_disable_msix(struct vuc_device *dev)
{
	return vuc_irq_disable(dev, VFIO_PCI_MSIX_IRQ_INDEX);
}

int
call_get_io_fds(struct vuc_device *dev)
{
	struct vuc_io_fds *io_fds;
	int rc = vuc_io_fds_get(dev, BAR0, &io_fds);

	CU_ASSERT_EQUAL(io_fds == NULL, rc != 0);
	vuc_io_fds_free(io_fds);
	return rc;
}

int
call_ask_migration(struct vuc_device *dev)
{
	uint64_t flags;

	return vuc_migration_supported(dev, &flags);
}

int
call_read_migration(struct vuc_device *dev)
{
	uint8_t data[64];
	size_t count;

	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_STOP_COPY), 0);
	return vuc_migration_read(dev, data, sizeof(data), &count);
}
