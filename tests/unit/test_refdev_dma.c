/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "memfd.h"
#include "refdev_peer.h"
#include "tap.h"

#define PAGE 4096u
#define READ VFIO_USER_F_DMA_REGION_READ

static int
map(struct refdev_peer *p, uint64_t addr, uint64_t size)
{
	const struct vfio_user_dma_map wire = {
		.argsz = sizeof(wire), .flags = READ, .addr = addr, .size = size};

	return refdev_peer_ask(p, VFIO_USER_DMA_MAP, &wire, sizeof(wire));
}

static int
unmap(struct refdev_peer *p, uint64_t addr, uint64_t size)
{
	const struct vfio_user_dma_unmap wire = {.argsz = sizeof(wire), .addr = addr, .size = size};

	return refdev_peer_ask(p, VFIO_USER_DMA_UNMAP, &wire, sizeof(wire));
}

/* A file of so many pages. */
static int
make_file(size_t pages)
{
	int fd = vuc_memfd_create("dma", pages * PAGE, 0);

	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

static uint64_t
nr_maps(struct refdev_peer *p)
{
	return refdev_peer_reg(p, REFDEV_REG_DMA_MAPS);
}

static void
test_map_and_unmap(void)
{
	struct vfio_user_dma_unmap reply;
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(map(&p, 0x10000, 2 * PAGE), 0);
	CU_ASSERT_EQUAL(p.reply.len, sizeof(struct vfio_user_header));
	CU_ASSERT_EQUAL(nr_maps(&p), 1);
	CU_ASSERT_EQUAL(unmap(&p, 0x10000, 2 * PAGE), 0);
	refdev_peer_body(&p, &reply, sizeof(reply));
	CU_ASSERT_EQUAL(reply.argsz, sizeof(reply));
	CU_ASSERT_EQUAL(reply.flags, 0);
	CU_ASSERT_EQUAL(reply.addr, 0x10000);
	CU_ASSERT_EQUAL(reply.size, 2 * PAGE);
	CU_ASSERT_EQUAL(nr_maps(&p), 0);
	refdev_peer_close(&p);
}

static void
test_overlap(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(map(&p, 4 * PAGE, 4 * PAGE), 0);
	CU_ASSERT_EQUAL(map(&p, 4 * PAGE, 4 * PAGE), -EEXIST);
	CU_ASSERT_EQUAL(map(&p, 0, 5 * PAGE), -EEXIST);
	CU_ASSERT_EQUAL(map(&p, 7 * PAGE, PAGE), -EEXIST);
	CU_ASSERT_EQUAL(map(&p, 5 * PAGE, PAGE), -EEXIST);
	CU_ASSERT_EQUAL(map(&p, 0, 64 * PAGE), -EEXIST);
	CU_ASSERT_EQUAL(map(&p, 8 * PAGE, PAGE), 0);
	CU_ASSERT_EQUAL(map(&p, 0, 4 * PAGE), 0);
	CU_ASSERT_EQUAL(map(&p, UINT64_MAX - PAGE + 1, PAGE), 0);
	CU_ASSERT_EQUAL(map(&p, UINT64_MAX - PAGE + 1, PAGE), -EEXIST);
	CU_ASSERT_EQUAL(nr_maps(&p), 4);
	refdev_peer_close(&p);
}

/* Only what was mapped, and all of it. */
static void
test_unmap_exact(void)
{
	const struct vfio_user_dma_unmap flags = {
		.argsz = 24, .flags = 1, .addr = 4 * PAGE, .size = 4 * PAGE};
	const struct vfio_user_dma_unmap argsz = {.argsz = 23, .addr = 4 * PAGE, .size = 4 * PAGE};
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(unmap(&p, 4 * PAGE, 4 * PAGE), -ENOENT);
	CU_ASSERT_EQUAL(map(&p, 4 * PAGE, 4 * PAGE), 0);
	CU_ASSERT_EQUAL(unmap(&p, 4 * PAGE, 3 * PAGE), -ENOENT);
	CU_ASSERT_EQUAL(unmap(&p, 5 * PAGE, 3 * PAGE), -ENOENT);
	CU_ASSERT_EQUAL(unmap(&p, 0, 8 * PAGE), -ENOENT);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DMA_UNMAP, &flags, sizeof(flags)), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DMA_UNMAP, &argsz, sizeof(argsz)), -EINVAL);
	CU_ASSERT_EQUAL(nr_maps(&p), 1);
	CU_ASSERT_EQUAL(unmap(&p, 4 * PAGE, 4 * PAGE), 0);
	refdev_peer_close(&p);
}

static void
test_refused(void)
{
	static const struct vfio_user_dma_map wrong[] = {
		{.argsz = 31, .flags = READ, .size = PAGE},
		{.argsz = 33, .flags = READ, .size = PAGE},
		{.argsz = 32, .flags = 0, .size = PAGE},
		{.argsz = 32, .flags = READ | 1u << 4, .size = PAGE},
		{.argsz = 32, .flags = READ | VFIO_USER_F_DMA_REGION_MMAP, .size = PAGE},
		{.argsz = 32, .flags = READ, .size = 0},
		{.argsz = 32, .flags = READ, .size = PAGE + 1},
		{.argsz = 32, .flags = READ, .size = PAGE, .addr = 1},
		{.argsz = 32, .flags = READ, .size = PAGE, .offset = 1},
		{.argsz = 32, .flags = READ, .size = PAGE, .offset = PAGE},
		{.argsz = 32, .flags = READ, .size = 2 * PAGE, .addr = UINT64_MAX - PAGE + 1},
	};
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DMA_MAP, &wrong[i], sizeof(wrong[i])),
			-EINVAL);
	CU_ASSERT_EQUAL(nr_maps(&p), 0);
	refdev_peer_close(&p);
}

static int
map_file(struct refdev_peer *p, uint64_t addr, uint64_t size, uint64_t offset, int fd)
{
	const struct vfio_user_dma_map wire = {
		.argsz = sizeof(wire),
		.flags = READ | VFIO_USER_F_DMA_REGION_WRITE,
		.offset = offset,
		.addr = addr,
		.size = size,
	};

	return refdev_peer_ask_with_fds(p, VFIO_USER_DMA_MAP, &wire, sizeof(wire), &fd, 1);
}

/* Descriptors are kept with their maps and closed with them; closing asserts that none is left. */
static void
test_files(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(map_file(&p, 0, 2 * PAGE, 0, make_file(2)), 0);
	CU_ASSERT_EQUAL(map_file(&p, 2 * PAGE, PAGE, 3 * PAGE, make_file(4)), 0);
	CU_ASSERT_EQUAL(map_file(&p, 0, PAGE, 0, make_file(1)), -EEXIST);
	CU_ASSERT_EQUAL(map_file(&p, 8 * PAGE, 2 * PAGE, 0, make_file(1)), -EINVAL);
	CU_ASSERT_EQUAL(map_file(&p, 8 * PAGE, PAGE, PAGE, make_file(1)), -EINVAL);
	CU_ASSERT_EQUAL(map_file(&p, 8 * PAGE, PAGE, UINT64_MAX - PAGE + 1, make_file(1)), -EINVAL);
	CU_ASSERT_EQUAL(unmap(&p, 0, 2 * PAGE), 0);
	CU_ASSERT_EQUAL(nr_maps(&p), 1);
	refdev_peer_close(&p);
}

static void
test_two_files(void)
{
	const struct vfio_user_dma_map wire = {.argsz = sizeof(wire), .flags = READ, .size = PAGE};
	struct refdev_peer p;
	int fds[2];

	refdev_peer_open(&p);
	fds[0] = make_file(1);
	fds[1] = make_file(1);
	CU_ASSERT_EQUAL(
		refdev_peer_ask_with_fds(&p, VFIO_USER_DMA_MAP, &wire, sizeof(wire), fds, 2),
		-EINVAL);
	refdev_peer_close(&p);
}

/* The table has the size that was announced; it fills from both ends and in between. */
static void
test_limit(void)
{
	static const uint32_t version[] = {2u << 16};
	struct refdev_config config;
	struct refdev_peer p;

	refdev_config_init(&config);
	config.max_dma_maps = 200;
	refdev_peer_make(&p, &config);
	CU_ASSERT_EQUAL_FATAL(refdev_peer_ask(&p, VFIO_USER_VERSION, version, sizeof(version)), 0);
	for (uint64_t i = 0; i < 200; i++)
		CU_ASSERT_EQUAL(map(&p, (i * 77) % 200 * 2 * PAGE, PAGE), 0);
	CU_ASSERT_EQUAL(map(&p, 400 * PAGE, PAGE), -ENOSPC);
	CU_ASSERT_EQUAL(nr_maps(&p), 200);
	for (uint64_t i = 0; i < 200; i++)
		CU_ASSERT_EQUAL(unmap(&p, (i * 31) % 200 * 2 * PAGE, PAGE), 0);
	CU_ASSERT_EQUAL(nr_maps(&p), 0);
	refdev_peer_close(&p);
}

static void
test_page_sizes(void)
{
	static const uint32_t version[] = {2u << 16};
	struct refdev_config config;
	struct refdev_peer p;

	refdev_config_init(&config);
	config.pgsizes = 0x200000 | 0x40000000;
	refdev_peer_make(&p, &config);
	CU_ASSERT_EQUAL_FATAL(refdev_peer_ask(&p, VFIO_USER_VERSION, version, sizeof(version)), 0);
	CU_ASSERT_EQUAL(map(&p, 0, PAGE), -EINVAL);
	CU_ASSERT_EQUAL(map(&p, PAGE, 0x200000), -EINVAL);
	CU_ASSERT_EQUAL(map(&p, 0x200000, 0x200000), 0);
	refdev_peer_close(&p);
}

static void
test_disconnect(void)
{
	static const uint32_t version[] = {2u << 16};
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(map(&p, 0, PAGE), 0);
	CU_ASSERT_EQUAL(map_file(&p, PAGE, PAGE, 0, make_file(1)), 0);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	CU_ASSERT_EQUAL(nr_maps(&p), 2);
	refdev_disconnect(p.dev);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_VERSION, version, sizeof(version)), 0);
	CU_ASSERT_EQUAL(nr_maps(&p), 0);
	CU_ASSERT_EQUAL(map(&p, 0, PAGE), 0);
	refdev_peer_close(&p);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"map and unmap", test_map_and_unmap},
		{"overlap", test_overlap},
		{"unmap what was mapped", test_unmap_exact},
		{"maps that are refused", test_refused},
		{"files", test_files},
		{"two files", test_two_files},
		{"limit of maps", test_limit},
		{"page sizes", test_page_sizes},
		{"disconnect", test_disconnect},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"refdev DMA", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
