/* SPDX-License-Identifier: BSD-3-Clause */

/* Interrupts, mapped regions and descriptors of sub-regions of libvfio-user's samples. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/io_fds.h>
#include <vuc/irq.h>
#include <vuc/region_map.h>

#include "sample.h"

#define BAR0 VFIO_PCI_BAR0_REGION_INDEX
#define BAR1 VFIO_PCI_BAR1_REGION_INDEX
#define BAR2 VFIO_PCI_BAR2_REGION_INDEX
#define INTX VFIO_PCI_INTX_IRQ_INDEX

static uint64_t
events(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* Triggered by the client, since no device has a reason of its own here. */
static void
check_interrupt(struct vuc_device *dev, uint32_t index)
{
	struct vuc_irq_range range = {.index = index, .count = 1};
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
	CU_ASSERT_EQUAL(vuc_irq_disable(dev, index), 0);
	CU_ASSERT_EQUAL(vuc_irq_act(dev, &range, VUC_IRQ_TRIGGER), 0);
	CU_ASSERT_EQUAL(events(fd), 0);
	close(fd);
}

static void
test_interrupts(void)
{
	struct vuc_device *dev;
	struct sample s;

	if (!sample_start(&s, "gpio-pci-idio-16"))
		return;
	dev = sample_open(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	check_interrupt(dev, INTX);
	vuc_device_close(dev);
	sample_stop(&s);
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
test_map(void)
{
	struct vuc_device *dev;
	struct sample s;

	if (!sample_start(&s, "server"))
		return;
	dev = sample_open(&s);
	if (dev != NULL) {
		check_map(dev);
		vuc_device_close(dev);
	} else if (!sample_skip_if_ended(
			   &s, "this version of the sample refuses its own BAR1 and ends")) {
		CU_FAIL("the sample cannot be opened");
	}
	sample_stop(&s);
}

static void
test_no_io_fds(void)
{
	struct vuc_io_fds *io;
	struct vuc_device *dev;
	struct sample s;

	if (!sample_start(&s, "gpio-pci-idio-16"))
		return;
	dev = sample_open(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(dev, BAR2, &io), 0);
	CU_ASSERT_EQUAL(io->nr_sub_regions, 0);
	CU_ASSERT_EQUAL(io->nr_fds, 0);
	vuc_io_fds_free(io);
	vuc_device_close(dev);
	sample_stop(&s);
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

/* Only in builds with -Dshadow-ioeventfd=true. */
static void
test_shadow_ioeventfd(void)
{
	struct vuc_device *dev;
	struct sample s;

	if (!sample_start(&s, "shadow_ioeventfd_server"))
		return;
	dev = sample_open(&s);
	if (dev != NULL) {
		check_shadow(dev);
		vuc_device_close(dev);
	} else if (!sample_skip_if_ended(&s, "libvfio-user was built without shadow ioeventfds")) {
		CU_FAIL("the sample cannot be opened");
	}
	sample_stop(&s);
}

static CU_TestInfo tests[] = {
	{"interrupts", test_interrupts},
	{"mapped region", test_map},
	{"no io fds", test_no_io_fds},
	{"shadow ioeventfd", test_shadow_ioeventfd},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return sample_main(argc, argv, tests);
}
