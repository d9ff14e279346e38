/* SPDX-License-Identifier: BSD-3-Clause */

/* Regions, interrupts, descriptors of regions, reset: what is asked, and what comes of it. */

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "fake_vucd.h"
#include "fd_count.h"
#include "tap.h"

static unsigned int fds_before;
static struct fake_vucd daemon_;
static struct vuc_vmm_device *dev;

static void
set_up(void)
{
	fds_before = fd_count();
	fake_vucd_start(&daemon_);
	dev = fake_attach(&daemon_);
}

static void
tear_down(void)
{
	vuc_vmm_detach(dev);
	fake_vucd_stop(&daemon_);
	CU_ASSERT_EQUAL(fd_count(), fds_before);
}

static void
test_region(void)
{
	const struct vuc_vmm_region *region, *again;
	uint8_t *p;

	CU_ASSERT_EQUAL_FATAL(vuc_vmm_region(dev, 0, &region, NULL), 0);
	CU_ASSERT_EQUAL(region->index, 0);
	CU_ASSERT_EQUAL(region->size, FAKE_REGION);
	CU_ASSERT_EQUAL(region->flags, 7);
	CU_ASSERT_EQUAL(region->type, 7);
	CU_ASSERT_EQUAL(region->subtype, 9);
	CU_ASSERT_EQUAL_FATAL(region->nr_areas, 2);
	CU_ASSERT_EQUAL(region->areas[0].offset, 0);
	CU_ASSERT_EQUAL(region->areas[0].size, 4096);
	CU_ASSERT_EQUAL(region->areas[0].file_offset, 4096);
	CU_ASSERT_EQUAL(region->areas[1].offset, FAKE_REGION - 4096);
	CU_ASSERT_EQUAL(region->areas[1].fd, region->areas[0].fd);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, region->areas[0].fd,
		(off_t)region->areas[0].file_offset);
	CU_ASSERT_FATAL(p != MAP_FAILED);
	p[4095] = 1;
	munmap(p, 4096);
	/* Asked once. */
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &again, NULL), 0);
	CU_ASSERT_PTR_EQUAL(again, region);
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_REGION_INFO), 1);
}

static void
test_region_without_areas(void)
{
	const struct vuc_vmm_region *region;
	struct vuc_error err;

	CU_ASSERT_EQUAL_FATAL(vuc_vmm_region(dev, 1, &region, &err), 0);
	CU_ASSERT_EQUAL(region->size, 0);
	CU_ASSERT_EQUAL(region->nr_areas, 0);
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_region(dev, 2, &region, &err), 0);
	CU_ASSERT_EQUAL(region->size, 256);
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, FAKE_REGIONS, &region, &err), -EINVAL);
	CU_ASSERT_PTR_NULL(region);
	CU_ASSERT_STRING_EQUAL(err.text, "there is no region 3, the device has 3");
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, UINT32_MAX, &region, NULL), -EINVAL);
}

/* A refusal is answered, and nothing else changes: the next call is as if it had not been. */
static void
test_refused(void)
{
	int status = -EIO;
	const struct vuc_vmm_region *region;
	struct vuc_vmm_io_fds *io;
	struct vuc_error err;

	fake_vucd_twist(&daemon_, VUC_SHM_REGION_INFO, 0, fake_refuse, &status);
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &region, &err), -EIO);
	CU_ASSERT_STRING_EQUAL(err.text, "because");
	fake_vucd_twist(&daemon_, VUC_SHM_RESET, 0, fake_refuse, &status);
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, &err), -EIO);
	status = -EOPNOTSUPP;
	fake_vucd_twist(&daemon_, VUC_SHM_IO_FDS, 0, fake_refuse, &status);
	CU_ASSERT_EQUAL(vuc_vmm_io_fds(dev, 0, &io, &err), -EOPNOTSUPP);
	CU_ASSERT_PTR_NULL(io);
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &region, &err), 0);
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, &err), 0);
}

static void
test_irq(void)
{
	struct vuc_vmm_irq irq;
	struct vuc_error err;

	CU_ASSERT_EQUAL(vuc_vmm_irq(dev, 2, &irq, NULL), 0);
	CU_ASSERT_EQUAL(irq.index, 2);
	CU_ASSERT_EQUAL(irq.flags, VFIO_IRQ_INFO_EVENTFD);
	CU_ASSERT_EQUAL(irq.count, 2048 + 64);
	CU_ASSERT_EQUAL(vuc_vmm_irq(dev, 1, &irq, NULL), 0);
	CU_ASSERT_EQUAL(irq.count, 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq(dev, FAKE_IRQS, &irq, &err), -EINVAL);
	CU_ASSERT_STRING_EQUAL(err.text, "there is no IRQ index 3, the device has 3");
}

/* A SET_IRQS message that came, without its bytes. */
static void
check_irqs(unsigned int n, uint32_t start, uint32_t count, uint16_t action, uint16_t data,
	unsigned int nr_fds)
{
	const struct fake_request *r = fake_vucd_request(&daemon_, VUC_SHM_SET_IRQS, n);
	const struct vuc_shm_set_irqs *m = &r->packet->set_irqs;

	CU_ASSERT_EQUAL(m->index, 2);
	CU_ASSERT_EQUAL(m->start, start);
	CU_ASSERT_EQUAL(m->count, count);
	CU_ASSERT_EQUAL(m->action, action);
	CU_ASSERT_EQUAL(m->data, data);
	CU_ASSERT_EQUAL(r->nr_fds, nr_fds);
}

/* More eventfds than a message takes, with gaps. */
static void
test_irq_assign(void)
{
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 5, .count = 40};
	int fd = eventfd(0, EFD_CLOEXEC), fds[40];
	const struct vuc_shm_set_irqs *first;

	for (unsigned int i = 0; i < 40; i++)
		fds[i] = i % 4 == 3 ? -1 : fd;
	CU_ASSERT_EQUAL(vuc_vmm_irq_assign(dev, &range, VUC_VMM_IRQ_TRIGGER, fds, NULL), 0);
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_SET_IRQS), 2);
	/* 16 eventfds and the 5 gaps among and behind them. */
	check_irqs(0, 5, 21, VUC_SHM_IRQ_TRIGGER, VUC_SHM_IRQ_EVENT, 16);
	check_irqs(1, 26, 19, VUC_SHM_IRQ_TRIGGER, VUC_SHM_IRQ_EVENT, 14);
	first = &fake_vucd_request(&daemon_, VUC_SHM_SET_IRQS, 0)->packet->set_irqs;
	for (unsigned int i = 0; i < 21; i++)
		CU_ASSERT_EQUAL(first->which[i], i % 4 != 3);
	CU_ASSERT_EQUAL(vuc_vmm_irq_assign(dev, &range, VUC_VMM_IRQ_MASK, fds, NULL), 0);
	check_irqs(2, 5, 21, VUC_SHM_IRQ_MASK, VUC_SHM_IRQ_EVENT, 16);
	close(fd);
}

/* None of them is a descriptor: all fit, but for the limit of a message. */
static void
test_irq_unassign(void)
{
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 0, .count = 2048 + 64};
	int fds[2048 + 64];

	memset(fds, 0xff, sizeof(fds));
	CU_ASSERT_EQUAL(vuc_vmm_irq_assign(dev, &range, VUC_VMM_IRQ_TRIGGER, fds, NULL), 0);
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_SET_IRQS), 2);
	check_irqs(0, 0, 2048, VUC_SHM_IRQ_TRIGGER, VUC_SHM_IRQ_EVENT, 0);
	check_irqs(1, 2048, 64, VUC_SHM_IRQ_TRIGGER, VUC_SHM_IRQ_EVENT, 0);
}

static void
test_irq_act(void)
{
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 1, .count = 2050};

	CU_ASSERT_EQUAL(vuc_vmm_irq_act(dev, &range, VUC_VMM_IRQ_UNMASK, NULL), 0);
	check_irqs(0, 1, 2048, VUC_SHM_IRQ_UNMASK, VUC_SHM_IRQ_ALL, 0);
	check_irqs(1, 2049, 2, VUC_SHM_IRQ_UNMASK, VUC_SHM_IRQ_ALL, 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable(dev, 2, NULL), 0);
	check_irqs(2, 0, 0, VUC_SHM_IRQ_DISABLE, VUC_SHM_IRQ_ALL, 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable(dev, FAKE_IRQS, NULL), -EINVAL);
}

static void
do_some(struct fake_vucd *d, struct fake_reply *reply, void *arg)
{
	(void)d;
	(void)arg;
	reply->packet->irqs_reply.done = 3;
}

/* A daemon that does some of them is asked for the rest. */
static void
test_irq_partial(void)
{
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 10, .count = 8};

	fake_vucd_twist(&daemon_, VUC_SHM_SET_IRQS, 0, do_some, NULL);
	/* The third of them does 3 of 2, which is too many. */
	CU_ASSERT_EQUAL(vuc_vmm_irq_act(dev, &range, VUC_VMM_IRQ_TRIGGER, NULL), -EPROTO);
	check_irqs(0, 10, 8, VUC_SHM_IRQ_TRIGGER, VUC_SHM_IRQ_ALL, 0);
	check_irqs(1, 13, 5, VUC_SHM_IRQ_TRIGGER, VUC_SHM_IRQ_ALL, 0);
	check_irqs(2, 16, 2, VUC_SHM_IRQ_TRIGGER, VUC_SHM_IRQ_ALL, 0);
}

static void
test_irq_invalid(void)
{
	struct vuc_vmm_irq_range range = {.index = FAKE_IRQS, .start = 0, .count = 1};
	int fds[2] = {-1, -2};
	struct vuc_error err;
	int closed = eventfd(0, EFD_CLOEXEC);

	close(closed);
	CU_ASSERT_EQUAL(vuc_vmm_irq_act(dev, &range, VUC_VMM_IRQ_TRIGGER, &err), -EINVAL);
	range.index = 2;
	range.count = 0;
	CU_ASSERT_EQUAL(vuc_vmm_irq_act(dev, &range, VUC_VMM_IRQ_TRIGGER, &err), -EINVAL);
	range.start = UINT32_MAX;
	range.count = 1;
	CU_ASSERT_EQUAL(vuc_vmm_irq_act(dev, &range, VUC_VMM_IRQ_TRIGGER, &err), -EINVAL);
	CU_ASSERT_STRING_EQUAL(
		err.text, "1 interrupts from 4294967295 on of IRQ index 2 cannot be");
	range.start = 0;
	CU_ASSERT_EQUAL(vuc_vmm_irq_act(dev, &range, (enum vuc_vmm_irq_action)3, &err), -EINVAL);
	range.count = 2;
	CU_ASSERT_EQUAL(vuc_vmm_irq_assign(dev, &range, VUC_VMM_IRQ_TRIGGER, fds, &err), -EINVAL);
	fds[1] = closed;
	CU_ASSERT_EQUAL(vuc_vmm_irq_assign(dev, &range, VUC_VMM_IRQ_TRIGGER, fds, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "of interrupt 1 is not open"));
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_SET_IRQS), 0);
}

static void
test_io_fds(void)
{
	struct vuc_vmm_io_fds *fds;
	const uint64_t one = 1;

	CU_ASSERT_EQUAL_FATAL(vuc_vmm_io_fds(dev, 0, &fds, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(fds->nr, 3);
	CU_ASSERT_EQUAL(fds->io[0].type, VUC_VMM_IO_EVENTFD);
	CU_ASSERT_EQUAL(fds->io[0].flags, 1);
	CU_ASSERT_EQUAL(fds->io[0].size, 4);
	CU_ASSERT_EQUAL(fds->io[0].datamatch, 5);
	CU_ASSERT_EQUAL(fds->io[0].shadow_fd, -1);
	CU_ASSERT_EQUAL(write(fds->io[0].fd, &one, sizeof(one)), sizeof(one));
	CU_ASSERT_EQUAL(fds->io[1].type, VUC_VMM_IO_EVENTFD_SHADOW);
	CU_ASSERT_EQUAL(fds->io[1].offset, 8);
	CU_ASSERT_EQUAL(fds->io[1].fd, fds->io[0].fd);
	CU_ASSERT_EQUAL(fds->io[1].shadow_offset, 16);
	CU_ASSERT(fds->io[1].shadow_fd >= 0);
	CU_ASSERT_EQUAL(fds->io[2].type, VUC_VMM_IO_REGIONFD);
	CU_ASSERT_EQUAL(fds->io[2].user_data, 77);
	CU_ASSERT_EQUAL(fds->io[2].fd, -1);
	vuc_vmm_io_fds_free(fds);
	vuc_vmm_io_fds_free(NULL);
	CU_ASSERT_EQUAL(vuc_vmm_io_fds(dev, FAKE_REGIONS, &fds, NULL), -EINVAL);
	CU_ASSERT_PTR_NULL(fds);
}

static void
test_reset(void)
{
	struct vuc_error err = {"as before"};

	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, &err), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "as before");
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_RESET), 1);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"region", test_region},
		{"region without areas", test_region_without_areas},
		{"refused", test_refused},
		{"irq", test_irq},
		{"irq assign", test_irq_assign},
		{"irq unassign", test_irq_unassign},
		{"irq act", test_irq_act},
		{"irq done in parts", test_irq_partial},
		{"irq invalid", test_irq_invalid},
		{"io fds", test_io_fds},
		{"reset", test_reset},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vmm", NULL, NULL, set_up, tear_down, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
