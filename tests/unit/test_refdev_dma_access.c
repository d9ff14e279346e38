/* SPDX-License-Identifier: BSD-3-Clause */

/* The DMA engine, through the descriptors of mappings. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "refdev_peer.h"
#include "tap.h"

#define PAGE  4096u
#define READ  VFIO_USER_F_DMA_REGION_READ
#define WRITE VFIO_USER_F_DMA_REGION_WRITE

static void
start(struct refdev_peer *p, uint32_t mode, uint64_t src, uint64_t dst, uint32_t len)
{
	refdev_peer_set_reg(p, REFDEV_REG_DMA_MODE, mode);
	refdev_peer_set_reg(p, REFDEV_REG_DMA_SRC, src);
	refdev_peer_set_reg(p, REFDEV_REG_DMA_DST, dst);
	refdev_peer_set_reg(p, REFDEV_REG_DMA_LEN, len);
	refdev_peer_set_reg(p, REFDEV_REG_DMA_START, 1);
}

static void
check_done(struct refdev_peer *p, uint32_t len)
{
	CU_ASSERT_EQUAL(refdev_peer_reg(p, REFDEV_REG_DMA_STATUS), REFDEV_DMA_STATUS_DONE);
	CU_ASSERT_EQUAL(refdev_peer_reg(p, REFDEV_REG_DMA_DONE), len);
}

static void
check_failed(struct refdev_peer *p, unsigned int error)
{
	CU_ASSERT_EQUAL(refdev_peer_reg(p, REFDEV_REG_DMA_STATUS), REFDEV_DMA_STATUS_ERROR);
	CU_ASSERT_EQUAL(refdev_peer_reg(p, REFDEV_REG_DMA_ERRNO), error);
}

/* Through descriptors, over two mappings with different offsets that lie side by side. */
static void
check_mapped(uint32_t how)
{
	static uint8_t bytes[3 * PAGE];
	struct vfio_user_dma_map second = {
		.argsz = sizeof(second),
		.flags = READ | WRITE,
		.offset = 2 * PAGE,
		.addr = 2 * PAGE,
		.size = 2 * PAGE,
	};
	int fds[2] = {refdev_peer_file(2 * PAGE), refdev_peer_file(4 * PAGE)};
	int sent[2] = {dup(fds[0]), dup(fds[1])};
	struct refdev_peer p;

	refdev_peer_open(&p);
	p.nr_open -= 4;
	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 13);
	CU_ASSERT_EQUAL(pwrite(fds[0], bytes, PAGE, PAGE), PAGE);
	CU_ASSERT_EQUAL(pwrite(fds[1], bytes + PAGE, 2 * PAGE, 2 * PAGE), 2 * PAGE);
	CU_ASSERT_EQUAL(refdev_peer_map(&p, 0, 2 * PAGE, READ | WRITE, sent[0]), 0);
	CU_ASSERT_EQUAL(refdev_peer_ask_with_fds(
				&p, VFIO_USER_DMA_MAP, &second, sizeof(second), &sent[1], 1),
		0);
	start(&p, how | REFDEV_DMA_DST_BAR2, PAGE, 0, sizeof(bytes));
	check_done(&p, sizeof(bytes));
	start(&p, how | REFDEV_DMA_SRC_BAR2, 0, 5, sizeof(bytes));
	check_done(&p, sizeof(bytes));
	start(&p, how | REFDEV_DMA_DST_BAR2, 5, 20000, sizeof(bytes));
	check_done(&p, sizeof(bytes));
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, 2, 20000, sizeof(bytes)), 0);
	CU_ASSERT_EQUAL(memcmp(p.reply.bytes + 32, bytes, sizeof(bytes)), 0);
	close(fds[0]);
	close(fds[1]);
	refdev_peer_close(&p);
}

static void
test_mapped(void)
{
	check_mapped(REFDEV_DMA_BY_FILE);
	check_mapped(REFDEV_DMA_BY_MMAP);
}

/* A file that has become shorter than its mapping is no reason to die. */
static void
test_truncated_file(void)
{
	int fd = refdev_peer_file(4 * PAGE);
	struct refdev_peer p;

	refdev_peer_open(&p);
	p.nr_open--;
	CU_ASSERT_EQUAL(refdev_peer_map(&p, 0, 4 * PAGE, READ | WRITE, dup(fd)), 0);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, PAGE), 0);
	for (uint32_t how = REFDEV_DMA_BY_FILE; how <= REFDEV_DMA_BY_MMAP; how++) {
		start(&p, how | REFDEV_DMA_DST_BAR2, 0, 0, 2 * PAGE);
		check_failed(&p, EFAULT);
		start(&p, how | REFDEV_DMA_FILL, 0, 2 * PAGE, PAGE);
		check_failed(&p, EFAULT);
		start(&p, how | REFDEV_DMA_FILL, 0, 0, PAGE);
		check_done(&p, PAGE);
	}
	close(fd);
	refdev_peer_close(&p);
}

/* A mapping that says how it wants to be accessed is accessed so only. */
static void
test_access_flags(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(refdev_peer_map(&p, 0, PAGE, WRITE | VFIO_USER_F_DMA_REGION_MMAP,
				refdev_peer_file(PAGE)),
		0);
	CU_ASSERT_EQUAL(refdev_peer_map(&p, PAGE, PAGE, WRITE | VFIO_USER_F_DMA_REGION_FILE_IO,
				refdev_peer_file(PAGE)),
		0);
	start(&p, REFDEV_DMA_BY_FILE | REFDEV_DMA_FILL, 0, 0, 8);
	check_failed(&p, EACCES);
	start(&p, REFDEV_DMA_BY_MMAP | REFDEV_DMA_FILL, 0, 0, 8);
	check_done(&p, 8);
	start(&p, REFDEV_DMA_BY_MMAP | REFDEV_DMA_FILL, 0, PAGE, 8);
	check_failed(&p, EACCES);
	start(&p, REFDEV_DMA_BY_FILE | REFDEV_DMA_FILL, 0, PAGE, 8);
	check_done(&p, 8);
	refdev_peer_close(&p);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"through mappings", test_mapped},
		{"files that shrink", test_truncated_file},
		{"access flags of mappings", test_access_flags},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"refdev DMA by descriptor", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
