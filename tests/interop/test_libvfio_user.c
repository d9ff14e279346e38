/* SPDX-License-Identifier: BSD-3-Clause */

/* libvuc against servers that others wrote: the samples of libvfio-user. */

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include <linux/vfio.h>

#include <vuc/dirty.h>
#include <vuc/dma.h>
#include <vuc/io_fds.h>
#include <vuc/irq.h>
#include <vuc/region_map.h>

#include "clock.h"
#include "memfd.h"
#include "sample.h"

#define BAR0   VFIO_PCI_BAR0_REGION_INDEX
#define BAR1   VFIO_PCI_BAR1_REGION_INDEX
#define BAR2   VFIO_PCI_BAR2_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

#define GPIO   "gpio-pci-idio-16"
#define SERVER "server"

/* ---- accesses ---- */

static void
check_gpio(struct vuc_device *dev)
{
	uint32_t id = 0;
	uint8_t port = 0;

	CU_ASSERT_EQUAL(vuc_device_version(dev)->max_msg_fds, 8);
	CU_ASSERT_EQUAL(vuc_device_region(dev, BAR2)->size, 0x100);
	CU_ASSERT_EQUAL(vuc_device_region(dev, BAR2)->nr_fds, 0);
	CU_ASSERT_EQUAL(vuc_device_irq(dev, VFIO_PCI_INTX_IRQ_INDEX)->count, 1);
	CU_ASSERT_EQUAL(vuc_device_read(dev, CONFIG, 0, &id, sizeof(id)), 0);
	CU_ASSERT_EQUAL(id, 0x0dc8494f);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR2, 0, &port, sizeof(port)), 0);
	port = 0xff;
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR2, 0, &port, sizeof(port)), 0);
	CU_ASSERT_EQUAL(vuc_device_write_posted(dev, BAR2, 4, &port, sizeof(port)), 0);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR2, 0, &port, sizeof(port)), 0);
	CU_ASSERT_EQUAL(vuc_device_reset(dev), 0);
}

/* It serves one client after another. */
static void
test_gpio_again(void)
{
	struct sample s;

	if (!sample_start(&s, GPIO))
		return;
	for (unsigned int i = 0; i < 5; i++) {
		uint32_t id = 0;

		CU_ASSERT_EQUAL(vuc_device_read(s.dev, CONFIG, 0, &id, sizeof(id)), 0);
		CU_ASSERT_EQUAL(id, 0x0dc8494f);
		vuc_device_close(s.dev);
		sample_open(&s);
	}
	sample_stop(&s);
}

/* Its BAR1 has pages to be mapped, two areas of one file, and the rest goes by message. */
static void
check_server(struct vuc_device *dev)
{
	const struct vuc_region *r = vuc_device_region(dev, BAR1);
	uint64_t now = 0;
	uint32_t value = 0xdeadbeef, got = 0;
	uint8_t *map;

	CU_ASSERT_EQUAL(r->flags & VFIO_REGION_INFO_FLAG_MMAP, VFIO_REGION_INFO_FLAG_MMAP);
	CU_ASSERT_FATAL(r->nr_areas > 0 && r->nr_fds > 0);
	map = mmap(NULL, r->areas[0].size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fds[0],
		(off_t)(r->offset + r->areas[0].offset));
	CU_ASSERT_FATAL(map != MAP_FAILED);
	munmap(map, r->areas[0].size);

	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, 0, &now, sizeof(now)), 0);
	CU_ASSERT(now > 0);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, 0, &got, 1), -EINVAL);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR1, 0, &value, sizeof(value)), 0);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR1, 0, &got, sizeof(got)), 0);
	CU_ASSERT_EQUAL(got, value);
	CU_ASSERT_EQUAL(vuc_device_reset(dev), 0);
}

/* Longer than the server's single receive of a body would take in two pieces. */
static void
check_large_writes(struct vuc_device *dev)
{
	static uint8_t out[0x3000], in[0x3000];

	for (unsigned int round = 0; round < 50; round++) {
		memset(out, (int)round, sizeof(out));
		CU_ASSERT_EQUAL(vuc_device_write_posted(dev, BAR1, 0, out, sizeof(out)), 0);
		CU_ASSERT_EQUAL(vuc_device_write(dev, BAR1, 0, out, sizeof(out)), 0);
		CU_ASSERT_EQUAL(vuc_device_read(dev, BAR1, 0, in, sizeof(in)), 0);
		CU_ASSERT_EQUAL(memcmp(in, out, sizeof(in)), 0);
	}
}

/* ---- interrupts and regions ---- */

static uint64_t
events(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* Triggered by the client, since no device has a reason of its own here. */
static void
check_interrupt(struct vuc_device *dev)
{
	struct vuc_irq_range range = {.index = VFIO_PCI_INTX_IRQ_INDEX, .count = 1};
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	static const bool yes = true;
	uint32_t done = 0;

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(vuc_irq_assign(dev, &range, VUC_IRQ_TRIGGER, &fd, &done), 0);
	CU_ASSERT_EQUAL(done, 1);
	CU_ASSERT_EQUAL(events(fd), 0);
	CU_ASSERT_EQUAL(vuc_irq_act(dev, &range, VUC_IRQ_TRIGGER), 0);
	CU_ASSERT_EQUAL(events(fd), 1);
	CU_ASSERT_EQUAL(vuc_irq_select(dev, &range, VUC_IRQ_TRIGGER, &yes, NULL), 0);
	CU_ASSERT_EQUAL(events(fd), 1);
	CU_ASSERT_EQUAL(vuc_irq_deassign(dev, &range, VUC_IRQ_TRIGGER), 0);
	CU_ASSERT_EQUAL(vuc_irq_act(dev, &range, VUC_IRQ_TRIGGER), 0);
	CU_ASSERT_EQUAL(events(fd), 0);
	CU_ASSERT_EQUAL(vuc_irq_assign(dev, &range, VUC_IRQ_TRIGGER, &fd, NULL), 0);
	CU_ASSERT_EQUAL(vuc_irq_disable(dev, VFIO_PCI_INTX_IRQ_INDEX), 0);
	CU_ASSERT_EQUAL(vuc_irq_act(dev, &range, VUC_IRQ_TRIGGER), 0);
	CU_ASSERT_EQUAL(events(fd), 0);
	close(fd);
}

/* BAR1 has two mappable areas, and between them what goes by message. */
static void
check_map(struct vuc_device *dev)
{
	const struct vuc_region *r = vuc_device_region(dev, BAR1);
	const struct vuc_region_mapping *m;
	static uint8_t out[0x3000], in[0x3000];

	CU_ASSERT_FATAL(r->size >= sizeof(out));
	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR1, &m), (int)r->nr_areas);
	for (uint32_t i = 0; i < r->nr_areas; i++) {
		CU_ASSERT_EQUAL(m[i].offset, r->areas[i].offset);
		CU_ASSERT_EQUAL(m[i].size, r->areas[i].size);
	}
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 5 + i / 0x1000);
	CU_ASSERT_EQUAL(vuc_region_store(dev, BAR1, 0, out, sizeof(out)), 0);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR1, 0, in, sizeof(in)), 0);
	CU_ASSERT_EQUAL(memcmp(in, out, sizeof(in)), 0);
	/* By message the sample reads from the start whatever the offset is, so only what is
	 * mapped. */
	memset(in, 0, sizeof(in));
	for (uint32_t i = 0; i < r->nr_areas; i++) {
		CU_ASSERT_EQUAL(vuc_region_load(dev, BAR1, m[i].offset, in, (size_t)m[i].size), 0);
		CU_ASSERT_EQUAL(memcmp(in, out + m[i].offset, (size_t)m[i].size), 0);
	}
}

static void
check_no_io_fds(struct vuc_device *dev)
{
	struct vuc_io_fds *io;

	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(dev, BAR2, &io), 0);
	CU_ASSERT_EQUAL(io->nr_sub_regions, 0);
	CU_ASSERT_EQUAL(io->nr_fds, 0);
	vuc_io_fds_free(io);
}

static void
check_shadow(struct vuc_device *dev)
{
	const uint64_t one = 1;
	struct vuc_io_fds *io;
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(dev, BAR0, &io), 0);
	CU_ASSERT_EQUAL_FATAL(io->nr_sub_regions, 1);
	CU_ASSERT_EQUAL_FATAL(io->nr_fds, 2);
	CU_ASSERT_EQUAL(io->sub_regions[0].type, VUC_IO_FD_IOEVENTFD_SHADOW);
	CU_ASSERT_EQUAL(io->sub_regions[0].offset, 0);
	CU_ASSERT_EQUAL(io->sub_regions[0].size, 4);
	CU_ASSERT_EQUAL(io->sub_regions[0].fd_index, 0);
	CU_ASSERT_EQUAL(io->sub_regions[0].shadow_fd_index, 1);
	CU_ASSERT_EQUAL(write(io->fds[0], &one, sizeof(one)), sizeof(one));
	CU_ASSERT_EQUAL(fstat(io->fds[1], &st), 0);
	CU_ASSERT_EQUAL(st.st_size, sysconf(_SC_PAGESIZE));
	vuc_io_fds_free(io);
}

/* ---- what the sample client does, but for migration ---- */

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
check_client(struct vuc_device *dev)
{
	struct guest g;

	make_guest(&g);
	use_device(dev, &g);
	free_guest(&g);
}

static const struct sample_test sample_tests[] = {
	{GPIO, GPIO, check_gpio},
	{SERVER, SERVER, check_server},
	{SERVER ", large writes", SERVER, check_large_writes},
	{"interrupts", GPIO, check_interrupt},
	{"mapped region", SERVER, check_map},
	{"no io fds", GPIO, check_no_io_fds},
	{"shadow ioeventfd", "shadow_ioeventfd_server", check_shadow}, /* a build option */
	{"what its sample client does", SERVER, check_client},
};

const struct tap_suite tap_suite = {
	.name = "libvfio_user",
	.tests =
		{
			{GPIO ", five clients", test_gpio_again},
		},
	.rows = TAP_ROWS(sample_tests, sample_test_run),
	.begin = sample_begin,
};
