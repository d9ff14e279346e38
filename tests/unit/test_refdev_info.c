/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "refdev_peer.h"
#include "tap.h"

#define READ  VFIO_REGION_INFO_FLAG_READ
#define WRITE VFIO_REGION_INFO_FLAG_WRITE
#define MMAP  VFIO_REGION_INFO_FLAG_MMAP
#define CAPS  VFIO_REGION_INFO_FLAG_CAPS

/* Size of the whole reply about BAR4: region info, and a capability with two areas. */
#define BAR4_REPLY 80u

static void
close_reply_fds(struct refdev_peer *p)
{
	for (unsigned int i = 0; i < p->reply.nr_fds; i++)
		close(p->reply.fds[i]);
}

static void
test_device(void)
{
	const struct vfio_user_device_info ask = {.argsz = sizeof(ask)};
	struct vfio_user_device_info info;
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DEVICE_GET_INFO, &ask, sizeof(ask)), 0);
	refdev_peer_body(&p, &info, sizeof(info));
	CU_ASSERT_EQUAL(info.argsz, 16);
	CU_ASSERT_EQUAL(info.flags, VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI);
	CU_ASSERT_EQUAL(info.num_regions, 9);
	CU_ASSERT_EQUAL(info.num_irqs, 5);
	refdev_peer_close(&p);
}

static void
test_device_refused(void)
{
	static const struct vfio_user_device_info wrong[] = {
		{.argsz = 15},
		{.argsz = 0},
		{.argsz = 16, .flags = 1},
		{.argsz = 16, .num_regions = 1},
		{.argsz = 16, .num_irqs = 1},
	};
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CU_ASSERT_EQUAL(
			refdev_peer_ask(&p, VFIO_USER_DEVICE_GET_INFO, &wrong[i], sizeof(wrong[i])),
			-EINVAL);
	refdev_peer_close(&p);
}

static int
ask_region(struct refdev_peer *p, uint32_t index, uint32_t argsz)
{
	const struct vfio_user_region_info ask = {.argsz = argsz, .index = index};

	return refdev_peer_ask(p, VFIO_USER_DEVICE_GET_REGION_INFO, &ask, sizeof(ask));
}

static void
test_regions(void)
{
	static const struct {
		uint32_t flags;
		uint64_t size;
		uint32_t argsz;
		unsigned int nr_fds;
	} expected[9] = {
		{READ | WRITE, 4096, 32, 0},
		{0, 0, 32, 0},
		{READ | WRITE | MMAP, 65536, 32, 1},
		{0, 0, 32, 0},
		{READ | WRITE | MMAP | CAPS, 16384, BAR4_REPLY, 1},
		{0, 0, 32, 0},
		{0, 0, 32, 0},
		{READ | WRITE, 4096, 32, 0},
		{0, 0, 32, 0},
	};
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (uint32_t i = 0; i < 9; i++) {
		struct vfio_user_region_info info;

		CU_ASSERT_EQUAL_FATAL(ask_region(&p, i, 4096), 0);
		CU_ASSERT_EQUAL_FATAL(p.reply.len, 16 + expected[i].argsz);
		memcpy(&info, p.reply.bytes + 16, sizeof(info));
		CU_ASSERT_EQUAL(info.argsz, expected[i].argsz);
		CU_ASSERT_EQUAL(info.flags, expected[i].flags);
		CU_ASSERT_EQUAL(info.index, i);
		CU_ASSERT_EQUAL(info.size, expected[i].size);
		CU_ASSERT_EQUAL(info.cap_offset, (expected[i].flags & CAPS) != 0 ? 32 : 0);
		CU_ASSERT_EQUAL(p.reply.nr_fds, expected[i].nr_fds);
		close_reply_fds(&p);
	}
	refdev_peer_close(&p);
}

static void
test_sparse(void)
{
	struct {
		struct vfio_user_region_info info;
		struct vfio_user_cap_header header;
		uint32_t nr_areas;
		uint32_t reserved;
		struct vfio_user_sparse_area areas[2];
	} VFIO_USER_PACKED reply;
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL_FATAL(ask_region(&p, VFIO_PCI_BAR4_REGION_INDEX, BAR4_REPLY), 0);
	refdev_peer_body(&p, &reply, sizeof(reply));
	CU_ASSERT_EQUAL(reply.header.id, VFIO_REGION_INFO_CAP_SPARSE_MMAP);
	CU_ASSERT_EQUAL(reply.header.version, 1);
	CU_ASSERT_EQUAL(reply.header.next, 0);
	CU_ASSERT_EQUAL(reply.nr_areas, 2);
	CU_ASSERT_EQUAL(reply.areas[0].offset, 0x1000);
	CU_ASSERT_EQUAL(reply.areas[0].size, 0x1000);
	CU_ASSERT_EQUAL(reply.areas[1].offset, 0x3000);
	CU_ASSERT_EQUAL(reply.areas[1].size, 0x1000);
	close_reply_fds(&p);
	refdev_peer_close(&p);
}

/* A reply is cut at argsz, says how long it would be, and has its descriptor only when whole. */
static void
test_truncated(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (uint32_t argsz = 0; argsz <= BAR4_REPLY + 1; argsz++) {
		uint32_t full = argsz < BAR4_REPLY ? argsz : BAR4_REPLY;
		uint32_t told;

		if (argsz < 32) {
			CU_ASSERT_EQUAL(ask_region(&p, 4, argsz), -EINVAL);
			continue;
		}
		CU_ASSERT_EQUAL(ask_region(&p, 4, argsz), 0);
		CU_ASSERT_EQUAL(p.reply.len, 16 + full);
		memcpy(&told, p.reply.bytes + 16, sizeof(told));
		CU_ASSERT_EQUAL(told, BAR4_REPLY);
		CU_ASSERT_EQUAL(p.reply.nr_fds, argsz >= BAR4_REPLY);
		close_reply_fds(&p);
	}
	refdev_peer_close(&p);
}

static void
test_region_refused(void)
{
	static const struct vfio_user_region_info wrong[] = {
		{.argsz = 32, .index = 9},
		{.argsz = 32, .index = UINT32_MAX},
		{.argsz = 32, .flags = 1},
		{.argsz = 32, .cap_offset = 1},
		{.argsz = 32, .size = 1},
		{.argsz = 32, .offset = 1},
	};
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DEVICE_GET_REGION_INFO, &wrong[i],
					sizeof(wrong[i])),
			-EINVAL);
	refdev_peer_close(&p);
}

/* A client that takes no descriptors has nothing to map. */
static void
test_no_fds(void)
{
	static const char version[] = "\0\0\2\0{\"capabilities\":{\"max_msg_fds\":0}}";
	struct vfio_user_region_info info;
	struct refdev_peer p;

	refdev_peer_make(&p, NULL);
	CU_ASSERT_EQUAL_FATAL(refdev_peer_ask(&p, VFIO_USER_VERSION, version, sizeof(version)), 0);
	CU_ASSERT_EQUAL(ask_region(&p, VFIO_PCI_BAR4_REGION_INDEX, 4096), 0);
	refdev_peer_body(&p, &info, sizeof(info));
	CU_ASSERT_EQUAL(info.flags, READ | WRITE);
	CU_ASSERT_EQUAL(info.argsz, 32);
	CU_ASSERT_EQUAL(info.size, 16384);
	CU_ASSERT_EQUAL(p.reply.nr_fds, 0);
	refdev_peer_close(&p);
}

static void
test_irqs(void)
{
	static const struct {
		uint32_t flags;
		uint32_t count;
	} expected[5] = {
		{VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED, 1},
		{0, 0},
		{VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE, 8},
		{VFIO_IRQ_INFO_EVENTFD, 1},
		{VFIO_IRQ_INFO_EVENTFD, 1},
	};
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (uint32_t i = 0; i < 5; i++) {
		const struct vfio_user_irq_info ask = {.argsz = 100, .index = i};
		struct vfio_user_irq_info info;

		CU_ASSERT_EQUAL(
			refdev_peer_ask(&p, VFIO_USER_DEVICE_GET_IRQ_INFO, &ask, sizeof(ask)), 0);
		refdev_peer_body(&p, &info, sizeof(info));
		CU_ASSERT_EQUAL(info.argsz, 16);
		CU_ASSERT_EQUAL(info.flags, expected[i].flags);
		CU_ASSERT_EQUAL(info.index, i);
		CU_ASSERT_EQUAL(info.count, expected[i].count);
	}
	refdev_peer_close(&p);
}

static void
test_irq_refused(void)
{
	static const struct vfio_user_irq_info wrong[] = {
		{.argsz = 16, .index = 5},
		{.argsz = 15},
		{.argsz = 16, .flags = 1},
		{.argsz = 16, .count = 1},
	};
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DEVICE_GET_IRQ_INFO, &wrong[i],
					sizeof(wrong[i])),
			-EINVAL);
	refdev_peer_close(&p);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"device", test_device},
		{"device, refused", test_device_refused},
		{"regions", test_regions},
		{"sparse areas", test_sparse},
		{"every argsz", test_truncated},
		{"region, refused", test_region_refused},
		{"client without descriptors", test_no_fds},
		{"interrupts", test_irqs},
		{"interrupt, refused", test_irq_refused},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"refdev info", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
