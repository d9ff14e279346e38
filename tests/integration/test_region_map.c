/* SPDX-License-Identifier: BSD-3-Clause */

/* Mapped regions of the reference device, by the transport that the command line names. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <linux/vfio.h>

#include <vuc/region_map.h>

#include "fd_count.h"
#include "peer.h"
#include "refdev_regs.h"
#include "tap.h"

#define BAR0 VFIO_PCI_BAR0_REGION_INDEX
#define BAR2 VFIO_PCI_BAR2_REGION_INDEX
#define BAR4 VFIO_PCI_BAR4_REGION_INDEX
#define PAGE REFDEV_PAGE_SIZE

static unsigned int fds_before;

static bool
is_mapped(const struct vuc_region_mapping *m)
{
	return msync(m->addr, m->size, MS_ASYNC) == 0;
}

static void
test_whole(void)
{
	const struct vuc_region_mapping *m, *again;
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	uint32_t value = 0x12345678, got = 0;

	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR2, &m), 1);
	CU_ASSERT_EQUAL(m[0].offset, 0);
	CU_ASSERT_EQUAL(m[0].size, REFDEV_BAR2_SIZE);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR2, 0x100, &value, sizeof(value)), 0);
	CU_ASSERT_EQUAL(memcmp((char *)m[0].addr + 0x100, &value, sizeof(value)), 0);
	memset((char *)m[0].addr + REFDEV_BAR2_SIZE - 4, 0x5a, 4);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR2, REFDEV_BAR2_SIZE - 4, &got, sizeof(got)), 0);
	CU_ASSERT_EQUAL(got, 0x5a5a5a5a);
	CU_ASSERT_EQUAL(vuc_region_map(dev, BAR2, &again), 1);
	CU_ASSERT_PTR_EQUAL(again, m);
	CU_ASSERT_EQUAL(vuc_region_map(dev, BAR2, NULL), 1);
	vuc_device_close(dev);
	peer_stop(p);
}

static void
test_areas(void)
{
	const struct vuc_region_mapping *m;
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	uint8_t out[2 * PAGE], in[2 * PAGE];

	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR4, &m), 2);
	CU_ASSERT_EQUAL(m[0].offset, REFDEV_BAR4_AREA_0);
	CU_ASSERT_EQUAL(m[0].size, PAGE);
	CU_ASSERT_EQUAL(m[1].offset, REFDEV_BAR4_AREA_1);
	CU_ASSERT_EQUAL(m[1].size, PAGE);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + i / PAGE);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR4, REFDEV_BAR4_AREA_0, out, PAGE), 0);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR4, REFDEV_BAR4_AREA_1, out + PAGE, PAGE), 0);
	memcpy(in, m[0].addr, PAGE);
	memcpy(in + PAGE, m[1].addr, PAGE);
	CU_ASSERT_EQUAL(memcmp(in, out, sizeof(in)), 0);
	vuc_device_close(dev);
	peer_stop(p);
}

static void
test_unmap(void)
{
	const struct vuc_region_mapping *m;
	struct vuc_region_mapping kept;
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);

	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR2, &m), 1);
	kept = m[0];
	CU_ASSERT_TRUE(is_mapped(&kept));
	vuc_region_unmap(dev, BAR2);
	CU_ASSERT_FALSE(is_mapped(&kept));
	vuc_region_unmap(dev, BAR2);
	vuc_region_unmap(dev, BAR0);
	vuc_region_unmap(dev, VFIO_PCI_NUM_REGIONS);
	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR2, &m), 1);
	kept = m[0];
	CU_ASSERT_TRUE(is_mapped(&kept));
	vuc_device_close(dev);
	CU_ASSERT_FALSE(is_mapped(&kept));
	peer_stop(p);
}

static void
test_not_mappable(void)
{
	const struct vuc_region_mapping *m;
	struct vuc_device_opts opts;
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);

	CU_ASSERT_EQUAL(vuc_region_map(dev, BAR0, &m), -EOPNOTSUPP);
	CU_ASSERT_PTR_NULL(m);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(dev),
		"region 0 cannot be mapped: its flags are 0x3, and it has 0 file descriptors");
	CU_ASSERT_EQUAL(vuc_region_map(dev, VFIO_PCI_ROM_REGION_INDEX, &m), -EINVAL);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(dev), "there is no region 6");
	CU_ASSERT_EQUAL(vuc_region_map(dev, VFIO_PCI_NUM_REGIONS, NULL), -EINVAL);
	vuc_device_close(dev);

	peer_opts(p, 0, &opts);
	opts.max_msg_fds = 0;
	CU_ASSERT_EQUAL_FATAL(vuc_device_open(&opts, &dev, NULL), 0);
	CU_ASSERT_EQUAL(vuc_region_map(dev, BAR2, NULL), -EOPNOTSUPP);
	vuc_device_close(dev);
	peer_stop(p);
}

/* Loads and stores of all sizes and alignments arrive, and cost no system call. */
static void
test_accesses(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	struct vuc_poll_group *group = vuc_device_poll_group(dev);
	uint8_t out[40], in[40];
	uint64_t syscalls;

	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR2, NULL), 1);
	for (size_t size = 1; size <= sizeof(out); size++) {
		for (uint64_t offset = 0x1000; offset < 0x1010; offset++) {
			memset(out, (int)(size * 16 + offset % 16), sizeof(out));
			memset(in, 0, sizeof(in));
			syscalls = vuc_poll_group_syscalls(group);
			CU_ASSERT_EQUAL(vuc_region_store(dev, BAR2, offset, out, size), 0);
			CU_ASSERT_EQUAL(vuc_region_load(dev, BAR2, offset, in, size), 0);
			CU_ASSERT_EQUAL(vuc_poll_group_syscalls(group), syscalls);
			CU_ASSERT_EQUAL(memcmp(in, out, size), 0);
			memset(in, 0, sizeof(in));
			CU_ASSERT_EQUAL(vuc_device_read(dev, BAR2, offset, in, size), 0);
			CU_ASSERT_EQUAL(memcmp(in, out, size), 0);
		}
	}
	vuc_device_close(dev);
	peer_stop(p);
}

/* What is not mapped goes by message, and an access to both goes both ways. */
static void
test_straddling(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	uint8_t out[4 * PAGE], in[4 * PAGE];
	uint64_t value = 0x1122334455667788, got = 0;
	uint32_t id = 0;

	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR0, REFDEV_REG_ID, &id, sizeof(id)), 0);
	CU_ASSERT_EQUAL(id, REFDEV_ID_VALUE);
	CU_ASSERT_EQUAL(vuc_region_store(dev, BAR0, REFDEV_REG_SCRATCH, &value, sizeof(value)), 0);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR0, REFDEV_REG_SCRATCH, &got, sizeof(got)), 0);
	CU_ASSERT_EQUAL(got, value);

	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR4, NULL), 2);
	memset(out, 0xa5, sizeof(out));
	CU_ASSERT_EQUAL(vuc_region_store(dev, BAR4, 0, out, sizeof(out)), 0);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR4, 0, in, sizeof(in)), 0);
	CU_ASSERT_EQUAL(in[0], 0xa4); /* the table's lowest bits stay 0 */
	CU_ASSERT_EQUAL(in[PAGE - 1], 0);
	CU_ASSERT_EQUAL(memcmp(in + REFDEV_BAR4_AREA_0, out, PAGE), 0);
	CU_ASSERT_EQUAL(in[REFDEV_BAR4_PBA], 0);
	CU_ASSERT_EQUAL(memcmp(in + REFDEV_BAR4_AREA_1, out, PAGE), 0);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR4, REFDEV_BAR4_AREA_1 - 4, &got, sizeof(got)), 0);
	CU_ASSERT_EQUAL(got, 0xa5a5a5a500000000);
	vuc_device_close(dev);
	peer_stop(p);
}

static void
test_bad_accesses(void)
{
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	uint8_t bytes[8] = {0};

	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR2, NULL), 1);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR2, REFDEV_BAR2_SIZE - 4, bytes, 8), -EINVAL);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(dev),
		"region 2: 8 bytes at offset 0xfffc are beyond its 65536 bytes");
	CU_ASSERT_EQUAL(vuc_region_store(dev, BAR2, UINT64_MAX, bytes, 8), -EINVAL);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR2, 0, bytes, SIZE_MAX), -EINVAL);
	CU_ASSERT_EQUAL(vuc_region_store(dev, BAR2, 0, bytes, 0), -EINVAL);
	CU_ASSERT_EQUAL(vuc_region_load(dev, VFIO_PCI_NUM_REGIONS, 0, bytes, 1), -EINVAL);
	vuc_device_close(dev);
	peer_stop(p);
}

struct from_callback {
	struct vuc_device *dev;
	bool done;
};

static void
access_from_callback(struct vuc_request *req, int status)
{
	struct from_callback *f = req->arg;
	uint32_t value = 0;

	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(vuc_region_load(f->dev, BAR2, 0, &value, sizeof(value)), 0);
	CU_ASSERT_EQUAL(vuc_region_load(f->dev, BAR0, 0, &value, sizeof(value)), -EDEADLK);
	CU_ASSERT_EQUAL(vuc_region_map(f->dev, BAR4, NULL), -EDEADLK);
	f->done = true;
}

static void
test_from_callback(void)
{
	struct peer *p = peer_start(1, NULL);
	struct from_callback f = {.dev = peer_open(p, 0)};
	uint32_t id;
	struct vuc_request req = {
		.op = VUC_OP_READ,
		.region = BAR0,
		.data = &id,
		.count = sizeof(id),
		.done = access_from_callback,
		.arg = &f,
	};

	CU_ASSERT_EQUAL_FATAL(vuc_region_map(f.dev, BAR2, NULL), 1);
	CU_ASSERT_EQUAL_FATAL(vuc_device_submit(f.dev, &req), 0);
	while (!f.done)
		vuc_poll_group_poll(vuc_device_poll_group(f.dev));
	vuc_device_close(f.dev);
	peer_stop(p);
}

/* The mapping outlives the server, but accesses tell that it is gone once that is known. */
static void
test_server_dies(void)
{
	const struct vuc_region_mapping *m;
	struct peer *p = peer_start(1, NULL);
	struct vuc_device *dev = peer_open(p, 0);
	uint32_t value = 0;

	CU_ASSERT_EQUAL_FATAL(vuc_region_map(dev, BAR2, &m), 1);
	peer_kill(p);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR0, 0, &value, sizeof(value)), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_region_load(dev, BAR2, 0, &value, sizeof(value)), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_region_store(dev, BAR2, 0, &value, sizeof(value)), -ECONNRESET);
	memset(m->addr, 0, m->size);
	CU_ASSERT_EQUAL(vuc_region_map(dev, BAR4, NULL), -ECONNRESET);
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
	TEST(whole),
	TEST(areas),
	TEST(unmap),
	TEST(not_mappable),
	TEST(accesses),
	TEST(straddling),
	TEST(bad_accesses),
	TEST(from_callback),
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
