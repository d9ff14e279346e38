/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Dirty pages of the reference device's DMA engine, by the transport that the command line names:
 * all that it has written through mappings is reported, once, and nothing else.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/dirty.h>
#include <vuc/dma.h>

#include "fd_count.h"
#include "memfd.h"
#include "peer.h"
#include "refdev_regs.h"

#define BAR0  VFIO_PCI_BAR0_REGION_INDEX
#define PAGE  UINT64_C(4096)
#define IOVA  UINT64_C(0x40000000)
#define PAGES 512u
#define WORDS (PAGES / 64)

static unsigned int fds_before;

/* A device that may write PAGES pages from IOVA on. */
struct setup {
	struct peer *peer;
	struct vuc_device *dev;
	int fd;
	uint8_t *memory; /* for accesses by message */
};

static const struct vuc_dirty_range all = {IOVA, PAGES *PAGE};

static void
set_up_device(struct setup *s, const char *option)
{
	struct vuc_dma_mapping mapping = {
		.iova = IOVA,
		.size = PAGES * PAGE,
		.flags = VUC_DMA_READ | VUC_DMA_WRITE,
	};

	s->peer = peer_start(1, option, NULL);
	s->dev = peer_open(s->peer, 0);
	s->fd = vuc_memfd_create("guest", mapping.size, 0);
	CU_ASSERT_FATAL(s->fd >= 0);
	s->memory = mmap(NULL, mapping.size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	CU_ASSERT_FATAL(s->memory != MAP_FAILED);
	mapping.fd = s->fd;
	mapping.addr = s->memory;
	CU_ASSERT_EQUAL_FATAL(vuc_dma_map(s->dev, &mapping), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_dma_commit(s->dev), 0);
}

static void
tear_down_device(struct setup *s)
{
	close(s->fd);
	vuc_device_close(s->dev);
	munmap(s->memory, PAGES * PAGE);
	peer_stop(s->peer);
}

static void
write_reg(struct vuc_device *dev, uint64_t offset, uint64_t value, size_t size)
{
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR0, offset, &value, size), 0);
}

/* Have the device write len bytes at an offset of the memory. */
static void
dma_write(struct setup *s, uint32_t how, uint64_t offset, uint32_t len)
{
	uint32_t status = REFDEV_DMA_STATUS_BUSY;

	write_reg(s->dev, REFDEV_REG_DMA_DST, IOVA + offset, 8);
	write_reg(s->dev, REFDEV_REG_DMA_LEN, len, 4);
	write_reg(s->dev, REFDEV_REG_DMA_MODE, how | REFDEV_DMA_FILL, 4);
	write_reg(s->dev, REFDEV_REG_DMA_START, 1, 4);
	while (status == REFDEV_DMA_STATUS_BUSY)
		CU_ASSERT_EQUAL_FATAL(vuc_device_read(s->dev, BAR0, REFDEV_REG_DMA_STATUS, &status,
					      sizeof(status)),
			0);
	CU_ASSERT_EQUAL(status, REFDEV_DMA_STATUS_DONE);
}

/* The loopback's server sends no commands. */
static bool
has_messages(void)
{
	return strcmp(peer_transport(), "loopback") != 0;
}

/* Whether the device says that exactly these n pages were written. */
static bool
reports(struct setup *s, const unsigned int *pages, unsigned int n)
{
	uint64_t bitmap[WORDS] = {0}, expected[WORDS] = {0};

	for (unsigned int i = 0; i < n; i++)
		expected[pages[i] / 64] |= UINT64_C(1) << (pages[i] % 64);
	return vuc_dirty_report(s->dev, &all, PAGE, bitmap, WORDS) == 0 &&
		memcmp(bitmap, expected, sizeof(bitmap)) == 0;
}

static void
start(struct setup *s, const struct vuc_dirty_range *ranges, uint32_t n)
{
	uint64_t page_size = PAGE;

	CU_ASSERT_EQUAL(vuc_dirty_enable(s->dev, &page_size, ranges, n), 0);
	CU_ASSERT_EQUAL(page_size, PAGE);
}

static void
check_report(uint32_t how, const char *option)
{
	const unsigned int pages[] = {0, 1, 64, 511};
	struct setup s;

	set_up_device(&s, option);
	dma_write(&s, how, 10 * PAGE, 4096);
	start(&s, &all, 1);
	CU_ASSERT(reports(&s, NULL, 0));
	dma_write(&s, how, PAGE - 1, 2);
	dma_write(&s, how, 64 * PAGE, 1);
	dma_write(&s, how, 512 * PAGE - 4096, 4096);
	CU_ASSERT(reports(&s, pages, 4));
	CU_ASSERT(reports(&s, NULL, 0));
	dma_write(&s, how, 511 * PAGE, 1);
	CU_ASSERT(reports(&s, pages + 3, 1));
	CU_ASSERT_EQUAL(vuc_dirty_disable(s.dev), 0);
	tear_down_device(&s);
}

static void
test_report(void)
{
	check_report(REFDEV_DMA_BY_FILE, NULL);
	check_report(REFDEV_DMA_BY_MMAP, NULL);
	/* The device does not count these: they are the client's to know. */
	if (has_messages())
		check_report(REFDEV_DMA_BY_MESSAGE, NULL);
}

/* So that each message has room for 64 pages. */
static void
test_report_in_parts(void)
{
	check_report(REFDEV_DMA_BY_FILE, "--max-data-xfer-size=32");
}

static void
test_merge(void)
{
	const struct vuc_dirty_range range = {IOVA + 2 * PAGE, 70 * PAGE};
	uint64_t bitmap[2] = {0x100, 0xff00};
	struct setup s;

	set_up_device(&s, NULL);
	start(&s, NULL, 0);
	dma_write(&s, REFDEV_DMA_BY_FILE, 0, (uint32_t)(4 * PAGE));
	dma_write(&s, REFDEV_DMA_BY_FILE, 71 * PAGE, (uint32_t)(2 * PAGE));
	CU_ASSERT_EQUAL(vuc_dirty_report(s.dev, &range, PAGE, bitmap, 2), 0);
	CU_ASSERT_EQUAL(bitmap[0], 0x103);
	CU_ASSERT_EQUAL(bitmap[1], 0xff20);
	tear_down_device(&s);
}

static void
check_page_sizes(uint32_t how)
{
	const struct vuc_dirty_range first = {IOVA, 5 * PAGE + PAGE / 2};
	const struct vuc_dirty_range second = {IOVA + 5 * PAGE + PAGE / 2, PAGE};
	uint64_t bitmap[PAGES / 32] = {0};
	struct setup s;

	set_up_device(&s, NULL);
	start(&s, &all, 1);
	dma_write(&s, how, 5 * PAGE, 1);
	CU_ASSERT_EQUAL(vuc_dirty_report(s.dev, &all, 4 * PAGE, bitmap, 2), 0);
	CU_ASSERT_EQUAL(bitmap[0], 2);
	bitmap[0] = 0;
	dma_write(&s, how, 5 * PAGE, 1);
	CU_ASSERT_EQUAL(vuc_dirty_report(s.dev, &all, PAGE / 2, bitmap, PAGES / 32), 0);
	CU_ASSERT_EQUAL(bitmap[0], 0xc00);
	/* Half a page at a time. */
	bitmap[0] = 0;
	dma_write(&s, how, 5 * PAGE, 1);
	CU_ASSERT_EQUAL(vuc_dirty_report(s.dev, &first, PAGE / 2, bitmap, 1), 0);
	CU_ASSERT_EQUAL(bitmap[0], 0x400);
	CU_ASSERT_EQUAL(vuc_dirty_report(s.dev, &second, PAGE / 2, bitmap, 1), 0);
	CU_ASSERT_EQUAL(bitmap[0], 0x401);
	tear_down_device(&s);
}

static void
test_page_sizes(void)
{
	check_page_sizes(REFDEV_DMA_BY_FILE);
	if (has_messages())
		check_page_sizes(REFDEV_DMA_BY_MESSAGE);
}

/* What was written before logging, and after it, is nobody's to know; and what was written while
 * it was on is forgotten when it ends. */
static void
test_message_off(void)
{
	struct setup s;

	if (!has_messages()) {
		vuc_tap_skip("the loopback's server sends no commands");
		return;
	}
	set_up_device(&s, NULL);
	dma_write(&s, REFDEV_DMA_BY_MESSAGE, PAGE, 1);
	start(&s, &all, 1);
	dma_write(&s, REFDEV_DMA_BY_MESSAGE, 2 * PAGE, 1);
	CU_ASSERT_EQUAL(vuc_dirty_disable(s.dev), 0);
	dma_write(&s, REFDEV_DMA_BY_MESSAGE, 3 * PAGE, 1);
	start(&s, &all, 1);
	CU_ASSERT(reports(&s, NULL, 0));
	tear_down_device(&s);
}

/* Pages of a mapping that goes, written either way; the memory is nobody's any more. */
static void
test_unmap(void)
{
	uint64_t bitmap[WORDS] = {0};
	struct setup s;
	struct vuc_dma_mapping other = {
		.iova = 2 * IOVA + PAGES * PAGE, .size = PAGE, .flags = VUC_DMA_READ, .fd = -1};

	set_up_device(&s, NULL);
	other.addr = s.memory;
	start(&s, &all, 1);
	dma_write(&s, REFDEV_DMA_BY_FILE, 3 * PAGE, 1);
	dma_write(&s, has_messages() ? REFDEV_DMA_BY_MESSAGE : REFDEV_DMA_BY_FILE, 65 * PAGE,
		(uint32_t)(2 * PAGE));
	CU_ASSERT_EQUAL(vuc_dma_unmap_dirty(s.dev, IOVA, PAGE, PAGE, bitmap, WORDS), -ENOENT);
	CU_ASSERT_EQUAL(vuc_dma_unmap_dirty(s.dev, IOVA, PAGES * PAGE, 3, bitmap, WORDS), -EINVAL);
	CU_ASSERT_EQUAL(vuc_dma_unmap_dirty(s.dev, IOVA, PAGES * PAGE, PAGE, bitmap, 1), -EINVAL);
	/* The order of both would be unknown. */
	CU_ASSERT_EQUAL(vuc_dma_map(s.dev, &other), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(s.dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_unmap(s.dev, other.iova, other.size), 0);
	CU_ASSERT_EQUAL(
		vuc_dma_unmap_dirty(s.dev, IOVA, PAGES * PAGE, PAGE, bitmap, WORDS), -EBUSY);
	CU_ASSERT_EQUAL(vuc_dma_commit(s.dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_unmap_dirty(s.dev, IOVA, PAGES * PAGE, PAGE, bitmap, WORDS), 0);
	CU_ASSERT_EQUAL(bitmap[0], 1u << 3);
	CU_ASSERT_EQUAL(bitmap[1], 6);
	CU_ASSERT_EQUAL(vuc_dma_count(s.dev), 0);
	tear_down_device(&s);
}

static void
test_ranges(void)
{
	const struct vuc_dirty_range ranges[] = {
		{IOVA, 2 * PAGE},
		{IOVA + 8 * PAGE, 2 * PAGE},
	};
	uint64_t bitmap[WORDS] = {0};
	struct setup s;

	set_up_device(&s, NULL);
	start(&s, ranges, 2);
	dma_write(&s, REFDEV_DMA_BY_FILE, 0, (uint32_t)(9 * PAGE));
	CU_ASSERT_EQUAL(vuc_dirty_report(s.dev, &ranges[0], PAGE, bitmap, 1), 0);
	CU_ASSERT_EQUAL(bitmap[0], 3);
	bitmap[0] = 0;
	CU_ASSERT_EQUAL(vuc_dirty_report(s.dev, &ranges[1], PAGE, bitmap, 1), 0);
	CU_ASSERT_EQUAL(bitmap[0], 1);
	bitmap[0] = 0;
	CU_ASSERT_EQUAL(vuc_dirty_report(s.dev, &all, PAGE, bitmap, WORDS), -EINVAL);
	CU_ASSERT_EQUAL(bitmap[0], 0);
	tear_down_device(&s);
}

static void
test_wrong_order(void)
{
	uint64_t page_size = PAGE, bitmap[WORDS] = {0};
	struct setup s;

	set_up_device(&s, NULL);
	CU_ASSERT_EQUAL(vuc_dirty_report(s.dev, &all, PAGE, bitmap, WORDS), -EINVAL);
	CU_ASSERT_EQUAL(vuc_dirty_disable(s.dev), -EINVAL);
	start(&s, &all, 1);
	CU_ASSERT_EQUAL(vuc_dirty_enable(s.dev, &page_size, &all, 1), -EINVAL);
	CU_ASSERT_EQUAL(vuc_dirty_disable(s.dev), 0);
	CU_ASSERT_EQUAL(vuc_dirty_report(s.dev, &all, PAGE, bitmap, WORDS), -EINVAL);
	start(&s, &all, 1);
	CU_ASSERT(reports(&s, NULL, 0));
	tear_down_device(&s);
}

static void
set_up(void)
{
	fds_before = fd_count();
}

static void
tear_down(void)
{
	CU_ASSERT_EQUAL(fd_count(), fds_before);
}

static CU_TestInfo tests[] = {
	{"report", test_report},
	{"report in parts", test_report_in_parts},
	{"merge", test_merge},
	{"page sizes", test_page_sizes},
	{"message, off", test_message_off},
	{"unmap", test_unmap},
	{"ranges", test_ranges},
	{"wrong order", test_wrong_order},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
		{argc == 2 ? argv[1] : "", NULL, NULL, set_up, tear_down, tests},
		CU_SUITE_INFO_NULL,
	};

	return peer_main(argc, argv, suites);
}
