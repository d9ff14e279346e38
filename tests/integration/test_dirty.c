/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Dirty pages of the reference device's DMA engine, by the transport that the command line names:
 * all that it has written through mappings is reported, once, and nothing else.
 */

#include <sys/mman.h>

#include <vuc/dirty.h>
#include <vuc/dma.h>

#include "memfd.h"
#include "peer.h"

#define PAGE  UINT64_C(4096)
#define IOVA  UINT64_C(0x40000000)
#define PAGES 512u
#define WORDS (PAGES / 64)

/* A device that may write PAGES pages from IOVA on. */
static struct peer *peer;
static struct vuc_device *dev;
static int file;
static uint8_t *memory; /* for accesses by message */

static const struct vuc_dirty_range all = {IOVA, PAGES *PAGE};

static void
start_device(const char *option)
{
	struct vuc_dma_mapping mapping = {
		IOVA, PAGES * PAGE, VUC_DMA_READ | VUC_DMA_WRITE, -1, 0, NULL};

	peer = peer_start(1, option, NULL);
	dev = peer_open(peer, 0);
	file = vuc_memfd_create("guest", mapping.size, 0);
	memory = mmap(NULL, mapping.size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	CU_ASSERT_FATAL(memory != MAP_FAILED);
	mapping.fd = file;
	mapping.addr = memory;
	CU_ASSERT_EQUAL_FATAL(vuc_dma_map(dev, &mapping), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_dma_commit(dev), 0);
}

static void
set_up(void)
{
	start_device(NULL);
}

static void
tear_down(void)
{
	close(file);
	vuc_device_close(dev);
	munmap(memory, PAGES * PAGE);
	peer_stop(peer);
}

static void
write_reg(uint64_t offset, uint64_t value, size_t size)
{
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR0, offset, &value, size), 0);
}

/* Have the device write len bytes at an offset of the memory. */
static void
dma_write(uint32_t how, uint64_t offset, uint32_t len)
{
	uint32_t status = REFDEV_DMA_STATUS_BUSY;

	write_reg(REFDEV_REG_DMA_DST, IOVA + offset, 8);
	write_reg(REFDEV_REG_DMA_LEN, len, 4);
	write_reg(REFDEV_REG_DMA_MODE, how | REFDEV_DMA_FILL, 4);
	write_reg(REFDEV_REG_DMA_START, 1, 4);
	while (status == REFDEV_DMA_STATUS_BUSY)
		CU_ASSERT_EQUAL_FATAL(
			vuc_device_read(dev, BAR0, REFDEV_REG_DMA_STATUS, &status, sizeof(status)),
			0);
	CU_ASSERT_EQUAL(status, REFDEV_DMA_STATUS_DONE);
}

/* The loopback's server sends no commands. */
static bool
has_messages(void)
{
	return strcmp(peer_transport(), "loopback") != 0;
}

/* Whether the device says this of the pages of a range: two words, the last one of more, and no
 * others. */
static bool
reports(const struct vuc_dirty_range *range, uint64_t page_size, uint64_t first, uint64_t second,
	uint64_t last)
{
	uint64_t bitmap[2 * WORDS] = {0}, expected[2 * WORDS] = {first, second};
	uint64_t words = (range->size / page_size + 63) / 64;

	if (words > 2)
		expected[words - 1] = last;
	return vuc_dirty_report(dev, range, page_size, bitmap, words) == 0 &&
		memcmp(bitmap, expected, sizeof(bitmap)) == 0;
}

static void
start(const struct vuc_dirty_range *ranges, uint32_t n)
{
	uint64_t page_size = PAGE;

	CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, ranges, n), 0);
	CU_ASSERT_EQUAL(page_size, PAGE);
}

/* In the last row each message has room for 64 pages. */
static void
test_report(void)
{
	static const struct {
		uint32_t how;
		const char *option;
	} rows[] = {
		{REFDEV_DMA_BY_FILE, NULL},
		{REFDEV_DMA_BY_MMAP, NULL},
		/* The device does not count these: they are the client's to know. */
		{REFDEV_DMA_BY_MESSAGE, NULL},
		{REFDEV_DMA_BY_FILE, "--max-data-xfer-size=32"},
	};
	const uint64_t top = UINT64_C(1) << 63;

	for (size_t i = 0; i < NR(rows); i++) {
		uint32_t how = rows[i].how;

		if (how == REFDEV_DMA_BY_MESSAGE && !has_messages())
			continue;
		tear_down();
		start_device(rows[i].option);
		dma_write(how, 10 * PAGE, 4096);
		start(&all, 1);
		CU_ASSERT(reports(&all, PAGE, 0, 0, 0));
		dma_write(how, PAGE - 1, 2);
		dma_write(how, 64 * PAGE, 1);
		dma_write(how, 512 * PAGE - 4096, 4096);
		CU_ASSERT(reports(&all, PAGE, 3, 1, top));
		CU_ASSERT(reports(&all, PAGE, 0, 0, 0));
		dma_write(how, 511 * PAGE, 1);
		CU_ASSERT(reports(&all, PAGE, 0, 0, top));
		CU_ASSERT_EQUAL(vuc_dirty_disable(dev), 0);
	}
}

static void
test_merge(void)
{
	const struct vuc_dirty_range range = {IOVA + 2 * PAGE, 70 * PAGE};
	uint64_t bitmap[2] = {0x100, 0xff00};

	start(NULL, 0);
	dma_write(REFDEV_DMA_BY_FILE, 0, (uint32_t)(4 * PAGE));
	dma_write(REFDEV_DMA_BY_FILE, 71 * PAGE, (uint32_t)(2 * PAGE));
	CU_ASSERT_EQUAL(vuc_dirty_report(dev, &range, PAGE, bitmap, 2), 0);
	CU_ASSERT_EQUAL(bitmap[0], 0x103);
	CU_ASSERT_EQUAL(bitmap[1], 0xff20);
}

/* Larger pages, smaller ones, and half a page at a time. */
static void
test_page_sizes(void)
{
	const struct vuc_dirty_range first = {IOVA, 5 * PAGE + PAGE / 2};
	const struct vuc_dirty_range second = {IOVA + 5 * PAGE + PAGE / 2, PAGE};

	start(&all, 1);
	for (unsigned int i = 0; i < (has_messages() ? 2 : 1); i++) {
		uint32_t how = i == 0 ? REFDEV_DMA_BY_FILE : REFDEV_DMA_BY_MESSAGE;

		dma_write(how, 5 * PAGE, 1);
		CU_ASSERT(reports(&all, 4 * PAGE, 2, 0, 0));
		dma_write(how, 5 * PAGE, 1);
		CU_ASSERT(reports(&all, PAGE / 2, 0xc00, 0, 0));
		dma_write(how, 5 * PAGE, 1);
		CU_ASSERT(reports(&first, PAGE / 2, 0x400, 0, 0));
		CU_ASSERT(reports(&second, PAGE / 2, 1, 0, 0));
	}
}

/* What was written before logging, and after it, is nobody's to know; and what was written while
 * it was on is forgotten when it ends. */
static void
test_message_off(void)
{
	if (!has_messages()) {
		vuc_tap_skip("the loopback's server sends no commands");
		return;
	}
	dma_write(REFDEV_DMA_BY_MESSAGE, PAGE, 1);
	start(&all, 1);
	dma_write(REFDEV_DMA_BY_MESSAGE, 2 * PAGE, 1);
	CU_ASSERT_EQUAL(vuc_dirty_disable(dev), 0);
	dma_write(REFDEV_DMA_BY_MESSAGE, 3 * PAGE, 1);
	start(&all, 1);
	CU_ASSERT(reports(&all, PAGE, 0, 0, 0));
}

/* Pages of a mapping that goes, written either way; the memory is nobody's any more. */
static void
test_unmap(void)
{
	uint64_t bitmap[WORDS] = {0};
	struct vuc_dma_mapping other = {
		.iova = 2 * IOVA + PAGES * PAGE, .size = PAGE, .flags = VUC_DMA_READ, .fd = -1};

	other.addr = memory;
	start(&all, 1);
	dma_write(REFDEV_DMA_BY_FILE, 3 * PAGE, 1);
	dma_write(has_messages() ? REFDEV_DMA_BY_MESSAGE : REFDEV_DMA_BY_FILE, 65 * PAGE,
		(uint32_t)(2 * PAGE));
	CU_ASSERT_EQUAL(vuc_dma_unmap_dirty(dev, IOVA, PAGE, PAGE, bitmap, WORDS), -ENOENT);
	CU_ASSERT_EQUAL(vuc_dma_unmap_dirty(dev, IOVA, PAGES * PAGE, 3, bitmap, WORDS), -EINVAL);
	CU_ASSERT_EQUAL(vuc_dma_unmap_dirty(dev, IOVA, PAGES * PAGE, PAGE, bitmap, 1), -EINVAL);
	/* The order of both would be unknown. */
	CU_ASSERT_EQUAL(vuc_dma_map(dev, &other), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_unmap(dev, other.iova, other.size), 0);
	CU_ASSERT_EQUAL(vuc_dma_unmap_dirty(dev, IOVA, PAGES * PAGE, PAGE, bitmap, WORDS), -EBUSY);
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_unmap_dirty(dev, IOVA, PAGES * PAGE, PAGE, bitmap, WORDS), 0);
	CU_ASSERT_EQUAL(bitmap[0], 1u << 3);
	CU_ASSERT_EQUAL(bitmap[1], 6);
	CU_ASSERT_EQUAL(vuc_dma_count(dev), 0);
}

static void
test_wrong_order(void)
{
	uint64_t page_size = PAGE, bitmap[WORDS] = {0};

	CU_ASSERT_EQUAL(vuc_dirty_report(dev, &all, PAGE, bitmap, WORDS), -EINVAL);
	CU_ASSERT_EQUAL(vuc_dirty_disable(dev), -EINVAL);
	start(&all, 1);
	CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, &all, 1), -EINVAL);
	CU_ASSERT_EQUAL(vuc_dirty_disable(dev), 0);
	CU_ASSERT_EQUAL(vuc_dirty_report(dev, &all, PAGE, bitmap, WORDS), -EINVAL);
	start(&all, 1);
	CU_ASSERT(reports(&all, PAGE, 0, 0, 0));
}

const struct tap_suite tap_suite = {"dirty", set_up, tear_down,
	{
		{"report", test_report},
		{"merge", test_merge},
		{"page sizes", test_page_sizes},
		{"message, off", test_message_off},
		{"unmap", test_unmap},
		{"wrong order", test_wrong_order},
	},
	.begin = peer_begin};
