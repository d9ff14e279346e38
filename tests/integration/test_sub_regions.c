/* SPDX-License-Identifier: BSD-3-Clause */

/* Sub-regions of the reference device, by the transport that the command line names. */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/kvm.h>
#include <linux/vfio.h>

#include <vuc/io_fds.h>

#include "fd_count.h"
#include "peer.h"
#include "refdev_regs.h"
#include "tap.h"

#define BAR0       VFIO_PCI_BAR0_REGION_INDEX
#define BAR2       VFIO_PCI_BAR2_REGION_INDEX
#define PATIENCE_S 10

static unsigned int fds_before;

static uint32_t
read_reg(struct vuc_device *dev, uint64_t offset)
{
	uint32_t value = 0;

	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, offset, &value, sizeof(value)), 0);
	return value;
}

static const struct vuc_io_sub_region *
find(const struct vuc_io_fds *io, enum vuc_io_fd_type type)
{
	for (uint32_t i = 0; i < io->nr_sub_regions; i++) {
		if (io->sub_regions[i].type == type)
			return &io->sub_regions[i];
	}
	CU_FAIL_FATAL("a sub-region is missing");
	return NULL;
}

static void
test_what_there_is(void)
{
	const struct vuc_io_sub_region *sub;
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	struct vuc_io_fds *io;
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(dev, BAR0, &io), 0);
	CU_ASSERT_EQUAL(io->nr_sub_regions, 3);
	CU_ASSERT_EQUAL(io->nr_fds, 4);
	sub = find(io, VUC_IO_FD_IOEVENTFD);
	CU_ASSERT_EQUAL(sub->offset, REFDEV_REG_DOORBELL);
	CU_ASSERT_EQUAL(sub->size, 4);
	CU_ASSERT_EQUAL(sub->flags, KVM_IOEVENTFD_FLAG_DATAMATCH);
	CU_ASSERT_EQUAL(sub->datamatch, REFDEV_DOORBELL_MATCH);
	sub = find(io, VUC_IO_FD_IOREGIONFD);
	CU_ASSERT_EQUAL(sub->offset, REFDEV_RAM_OFFSET);
	CU_ASSERT_EQUAL(sub->size, REFDEV_RAM_SIZE);
	CU_ASSERT_EQUAL(sub->user_data, REFDEV_RAM_OFFSET);
	CU_ASSERT_EQUAL_FATAL(fstat(io->fds[sub->fd_index], &st), 0);
	CU_ASSERT(S_ISSOCK(st.st_mode));
	sub = find(io, VUC_IO_FD_IOEVENTFD_SHADOW);
	CU_ASSERT_EQUAL(sub->offset, REFDEV_REG_DOORBELL2);
	CU_ASSERT_EQUAL_FATAL(fstat(io->fds[sub->shadow_fd_index], &st), 0);
	CU_ASSERT(S_ISREG(st.st_mode));
	vuc_io_fds_free(io);
	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(dev, BAR2, &io), 0);
	CU_ASSERT_EQUAL(io->nr_sub_regions, 0);
	vuc_io_fds_free(io);
	vuc_device_close(dev);
	peer_stop(p);
}

/* A client that cannot receive as many descriptors is offered none. */
static void
test_few_fds(void)
{
	struct vuc_device_opts opts;
	struct peer *p = peer_start(1, NULL);
	struct vuc_io_fds *io;
	struct vuc_device *dev;

	peer_opts(p, 0, &opts);
	opts.max_msg_fds = 1;
	CU_ASSERT_EQUAL_FATAL(vuc_device_open(&opts, &dev, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(dev, BAR0, &io), 0);
	CU_ASSERT_EQUAL(io->nr_sub_regions, 0);
	CU_ASSERT_EQUAL(io->nr_fds, 0);
	vuc_io_fds_free(io);
	vuc_device_close(dev);
	peer_stop(p);
}

/* The device notices an eventfd when it gets to it: wait for the doorbell's nth ring. */
static bool
has_rung(struct vuc_device *dev, uint32_t n)
{
	time_t deadline = time(NULL) + PATIENCE_S;

	while (read_reg(dev, REFDEV_REG_DOORBELL_COUNT) < n) {
		if (time(NULL) > deadline)
			return false;
	}
	return true;
}

static void
ring(const struct vuc_io_fds *io, const struct vuc_io_sub_region *sub)
{
	const uint64_t one = 1;

	CU_ASSERT_FATAL(sub->fd_index >= 0 && sub->fd_index < (int)io->nr_fds);
	CU_ASSERT_EQUAL(write(io->fds[sub->fd_index], &one, sizeof(one)), sizeof(one));
}

static void
put_shadow(const struct vuc_io_fds *io, const struct vuc_io_sub_region *sub, uint32_t value)
{
	CU_ASSERT_EQUAL(pwrite(io->fds[sub->shadow_fd_index], &value, sizeof(value),
				(off_t)sub->shadow_offset),
		sizeof(value));
}

/* What KVM would do, done by hand. */
static void
test_doorbells(void)
{
	struct peer *p;
	struct vuc_device *dev;
	struct vuc_io_fds *io;

	if (strcmp(peer_transport(), "loopback") == 0) {
		vuc_tap_skip("a device without a process has nobody to wait for its eventfds");
		return;
	}
	p = peer_start(1, NULL);
	dev = peer_open(p, 0);
	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(dev, BAR0, &io), 0);
	ring(io, find(io, VUC_IO_FD_IOEVENTFD));
	CU_ASSERT(has_rung(dev, 1));
	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_DOORBELL_LAST), REFDEV_DOORBELL_MATCH);
	put_shadow(io, find(io, VUC_IO_FD_IOEVENTFD_SHADOW), 0x7654);
	ring(io, find(io, VUC_IO_FD_IOEVENTFD_SHADOW));
	CU_ASSERT(has_rung(dev, 2));
	CU_ASSERT_EQUAL(read_reg(dev, REFDEV_REG_DOORBELL_LAST), 0x7654);
	vuc_io_fds_free(io);
	vuc_device_close(dev);
	peer_stop(p);
}

static void
test_server_dies(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	struct vuc_io_fds *io;

	peer_kill(p);
	CU_ASSERT_EQUAL(vuc_io_fds_get(dev, BAR0, &io), -ECONNRESET);
	CU_ASSERT_PTR_NULL(io);
	CU_ASSERT_EQUAL(vuc_io_fds_get(dev, BAR0, &io), -ECONNRESET);
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(dev), "closed the connection"));
	vuc_device_close(dev);
	peer_stop(p);
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

#define TEST(name)                 \
	{                          \
#name, test_##name \
	}

static CU_TestInfo tests[] = {
	TEST(what_there_is),
	TEST(few_fds),
	TEST(doorbells),
	TEST(server_dies),
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
