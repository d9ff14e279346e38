/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What libvfio-user's sample client does with its sample server, done by libvuc; but for migration,
 * which has a test of its own.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/dirty.h>
#include <vuc/dma.h>
#include <vuc/irq.h>

#include "clock.h"
#include "memfd.h"
#include "sample.h"

#define PAGE    4096u
#define NR_MAPS 16u
#define RW      (VUC_DMA_READ | VUC_DMA_WRITE)

/* The server arms a timer of whole seconds. */
#define IRQ_TIMEOUT_MS 20000

struct guest {
	int fd;
	uint8_t *memory;
};

static void
make_guest(struct guest *g)
{
	g->fd = vuc_memfd_create("guest", NR_MAPS * PAGE, 0);
	CU_ASSERT_FATAL(g->fd >= 0);
	g->memory = mmap(NULL, NR_MAPS * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	CU_ASSERT_FATAL(g->memory != MAP_FAILED);
}

static void
free_guest(struct guest *g)
{
	munmap(g->memory, NR_MAPS * PAGE);
	close(g->fd);
}

/* From the last page of the file to the first, so that no two run on: the server counts them. */
static uint8_t *
page(const struct guest *g, unsigned int n)
{
	return g->memory + (NR_MAPS - 1 - n) * PAGE;
}

static void
map_guest(struct vuc_device *dev, const struct guest *g)
{
	for (unsigned int n = 0; n < NR_MAPS; n++) {
		const struct vuc_dma_mapping m = {.iova = n * PAGE,
			.size = PAGE,
			.flags = RW,
			.fd = g->fd,
			.offset = (NR_MAPS - 1 - n) * PAGE,
			.addr = page(g, n)};

		CU_ASSERT_EQUAL(vuc_dma_map(dev, &m), 0);
	}
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_server_count(dev), NR_MAPS);
}

static void
check_identity(struct vuc_device *dev)
{
	uint32_t ids = 0, subsystem = 0, value;

	CU_ASSERT_EQUAL(vuc_device_read(dev, 0xdeadbeef, 0, &value, sizeof(value)), -EINVAL);
	CU_ASSERT_EQUAL(
		vuc_device_read(dev, VFIO_PCI_CONFIG_REGION_INDEX, 0, &ids, sizeof(ids)), 0);
	CU_ASSERT_EQUAL(ids, 0xbeefdead);
	CU_ASSERT_EQUAL(vuc_device_read(dev, VFIO_PCI_CONFIG_REGION_INDEX, 0x2c, &subsystem,
				sizeof(subsystem)),
		0);
	CU_ASSERT_EQUAL(subsystem, 0xbabecafe);
	CU_ASSERT_EQUAL(vuc_device_reset(dev), 0);
}

static int
assign_intx(struct vuc_device *dev)
{
	const struct vuc_irq_range intx = {.index = VFIO_PCI_INTX_IRQ_INDEX, .count = 1};
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(vuc_irq_assign(dev, &intx, VUC_IRQ_TRIGGER, &fd, NULL), 0);
	return fd;
}

/* The interrupt comes from the server's timer; then it works on the memory, half of it by message,
 * so the device is polled until its last write is there. */
static void
wait_for_interrupt(struct vuc_device *dev, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t count = 0;

	for (unsigned int ms = 0; ms < IRQ_TIMEOUT_MS && poll(&p, 1, 1) == 0; ms++)
		vuc_poll_group_poll(vuc_device_poll_group(dev));
	CU_ASSERT_EQUAL(read(fd, &count, sizeof(count)), sizeof(count));
	CU_ASSERT_EQUAL(count, 1);
}

static bool
is_written(const uint8_t *page)
{
	return page[0] == 'A' && page[1024] == 'B' && page[2048] == 'C' && page[4095] == 'D';
}

/* Waits for the last DMA read, too: the server is in the midst of one until it answers. */
static void
wait_for_dma(struct vuc_device *dev, const struct guest *g)
{
	uint32_t value;

	for (unsigned int n = 0; n < 5000 && !(is_written(page(g, 0)) && is_written(page(g, 1)));
		n++) {
		vuc_poll_group_poll(vuc_device_poll_group(dev));
		vuc_clock_sleep_ms(1);
	}
	CU_ASSERT_TRUE(is_written(page(g, 0)));
	CU_ASSERT_TRUE(is_written(page(g, 1)));
	CU_ASSERT_EQUAL(
		vuc_device_read(dev, VFIO_PCI_CONFIG_REGION_INDEX, 0, &value, sizeof(value)), 0);
}

/* Page 0 was written by message, which vuc has seen; page 1 by mapping, which the server has. */
static void
check_dirty(struct vuc_device *dev)
{
	for (unsigned int n = 0; n < NR_MAPS; n++) {
		const struct vuc_dirty_range range = {.iova = n * PAGE, .size = PAGE};
		uint64_t bitmap = 0;

		CU_ASSERT_EQUAL(vuc_dirty_report(dev, &range, PAGE, &bitmap, 1), 0);
		CU_ASSERT_EQUAL(bitmap, n < 2);
	}
}

static void
use_device(struct vuc_device *dev, struct guest *g)
{
	uint64_t page_size = PAGE;
	time_t when;
	int intx;

	check_identity(dev);
	map_guest(dev, g);
	intx = assign_intx(dev);
	CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, NULL, 0), 0);
	CU_ASSERT_EQUAL(page_size, PAGE);
	when = time(NULL) + 1;
	CU_ASSERT_EQUAL(
		vuc_device_write(dev, VFIO_PCI_BAR0_REGION_INDEX, 0, &when, sizeof(when)), 0);
	wait_for_interrupt(dev, intx);
	wait_for_dma(dev, g);
	check_dirty(dev);
	CU_ASSERT_EQUAL(vuc_dirty_disable(dev), 0);

	CU_ASSERT_EQUAL(vuc_dma_unmap(dev, 0, 8 * PAGE), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_server_count(dev), 8);
	CU_ASSERT_EQUAL(vuc_dma_unmap_all(dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_server_count(dev), 0);
	close(intx);
}

static void
test_client(void)
{
	struct vuc_device *dev;
	struct sample s;
	struct guest g;

	if (!sample_start(&s, "server"))
		return;
	dev = sample_open(&s);
	if (dev == NULL &&
		sample_skip_if_ended(&s, "this version of the sample refuses its own BAR1")) {
		sample_stop(&s);
		return;
	}
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	make_guest(&g);
	use_device(dev, &g);
	vuc_device_close(dev);
	free_guest(&g);
	sample_stop(&s);
}

static CU_TestInfo tests[] = {
	{"what its sample client does", test_client},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return sample_main(argc, argv, tests);
}
