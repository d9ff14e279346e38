/* SPDX-License-Identifier: BSD-3-Clause */

/* VMMs that take back the memory that they have given, or give what is not theirs. */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "fd_count.h"
#include "hostile.h"
#include "memfd.h"
#include "refdev_regs.h"

#define BAR0       VFIO_PCI_BAR0_REGION_INDEX
#define PAGE       4096u
#define MIB        (1024u * 1024u)
#define READ_WRITE (VUC_SHM_DMA_READ | VUC_SHM_DMA_WRITE)
#define CYCLES     2000u

static struct hostile hostile;
static struct shm_client client;

static void
begin(enum vuc_dma_policy policy)
{
	struct rig_opts opts;

	rig_opts_init(&opts);
	opts.open.dma = policy;
	hostile_start(&hostile, &opts);
}

static void
end(void)
{
	hostile_survived(&hostile);
	hostile_stop(&hostile);
}

static void
attach(void)
{
	rig_attach(&hostile.rig, &client, RIG_NAME);
}

/* It was sent; what follows is the end. */
static void
expect_end(void)
{
	CU_ASSERT_TRUE(shm_is_ended(&client, RIG_WAIT_MS));
	shm_close(&client);
}

/* Memory that the daemon would have to access, and that could shrink; or that it may not write. */
static void
test_seals(void)
{
	int unsealed, frozen;

	begin(VUC_DMA_MESSAGE);
	attach();
	unsealed = rig_memory(MIB, false);
	frozen = rig_memory(MIB, true);
	CU_ASSERT_EQUAL(fcntl(frozen, F_ADD_SEALS, F_SEAL_WRITE), 0);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, unsealed), -EPERM);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, frozen), -EPERM);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, VUC_SHM_DMA_READ, unsealed), -EPERM);
	close(unsealed);
	close(frozen);
	shm_close(&client);
	end();
}

/* The daemon's own pages, given back to it as memory that the device is to write. */
static void
test_own_pages(void)
{
	static const enum vuc_shm_attach_fd pages[] = {VUC_SHM_FD_STATE, VUC_SHM_FD_POLLER};
	struct shm_queue q;

	begin(VUC_DMA_MESSAGE);
	attach();
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 64, 64, &q), 0);
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		CU_ASSERT_EQUAL(
			shm_dma_map(&client, 0, PAGE, 0, READ_WRITE, client.attach_fds[pages[i]]),
			-EPERM);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, PAGE, 0, READ_WRITE, q.completions_fd), -EPERM);
	shm_forget_queue(&q);
	shm_close(&client);
	end();
}

/* What the device says of a transfer by message from and to what is mapped at 0. */
static uint32_t
transfer(struct shm_queue *q, uint32_t mode, uint32_t len)
{
	uint32_t status = REFDEV_DMA_STATUS_BUSY, one = 1;
	uint64_t addr = 0;

	mode |= REFDEV_DMA_BY_MESSAGE;
	if (shm_write(q, BAR0, REFDEV_REG_DMA_SRC, &addr, 8) != 0 ||
		shm_write(q, BAR0, REFDEV_REG_DMA_DST, &addr, 8) != 0 ||
		shm_write(q, BAR0, REFDEV_REG_DMA_LEN, &len, 4) != 0 ||
		shm_write(q, BAR0, REFDEV_REG_DMA_MODE, &mode, 4) != 0 ||
		shm_write(q, BAR0, REFDEV_REG_DMA_START, &one, 4) != 0)
		return UINT32_MAX;
	while (status == REFDEV_DMA_STATUS_BUSY) {
		if (shm_read(q, BAR0, REFDEV_REG_DMA_STATUS, &status, 4) != 0)
			return UINT32_MAX;
	}
	return status;
}

/* Memory that is truncated once the daemon has mapped it, to a length; then the device reads it, or
 * writes it. */
static void
check_truncated(uint32_t mode, off_t left)
{
	struct shm_queue q;
	int fd;

	begin(VUC_DMA_MESSAGE);
	attach();
	fd = vuc_memfd_create("guest", MIB, F_SEAL_SEAL);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, fd), 0);
	CU_ASSERT_EQUAL(transfer(&q, mode, MIB), REFDEV_DMA_STATUS_DONE);
	CU_ASSERT_EQUAL(ftruncate(fd, left), 0);
	transfer(&q, mode, MIB);
	shm_forget_queue(&q);
	expect_end();
	close(fd);
	end();
}

static void
test_truncated(void)
{
	check_truncated(REFDEV_DMA_FILL, 0);
	check_truncated(REFDEV_DMA_FILL, MIB / 2 + 1);
	check_truncated(0, 0);
	check_truncated(0, MIB / 2 + 1);
}

/* Holes in memory are zeros, and no breach. */
static void
test_punched(void)
{
	int fd;
	struct shm_queue q;

	begin(VUC_DMA_MESSAGE);
	attach();
	fd = rig_memory(MIB, true);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, fd), 0);
	for (unsigned int i = 0; i < 20; i++) {
		CU_ASSERT_EQUAL(
			fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, MIB), 0);
		CU_ASSERT_EQUAL(transfer(&q, i % 2 != 0 ? REFDEV_DMA_FILL : 0, MIB),
			REFDEV_DMA_STATUS_DONE);
	}
	shm_forget_queue(&q);
	shm_close(&client);
	close(fd);
	end();
}

static int
send_unsettled(uint16_t op, int fd)
{
	union shm_packet p = {.bytes = {0}};

	p.dma.nr = 1;
	p.dma.nr_fds = op == VUC_SHM_DMA_MAP;
	p.dma.entries[0] = (struct vuc_shm_dma_entry){
		.op = op,
		.flags = op == VUC_SHM_DMA_MAP ? VUC_SHM_DMA_READ : 0,
		.size = PAGE,
		.fd_index = op == VUC_SHM_DMA_MAP ? 0 : -1,
	};
	return shm_call(&client, &p, VUC_SHM_DMA, sizeof(p.dma) + sizeof(p.dma.entries[0]), &fd,
		p.dma.nr_fds);
}

/* Mapped and unmapped without an end, and never committed: of that, nothing is kept for ever. */
static void
check_never_committed(enum vuc_dma_policy policy)
{
	int rc = 0;

	begin(policy);
	attach();
	for (unsigned int i = 0; i < CYCLES && rc != -ENOSPC; i++) {
		int fd = rig_memory(PAGE, true);

		rc = send_unsettled(VUC_SHM_DMA_MAP, fd);
		CU_ASSERT_TRUE_FATAL(rc == 0 || rc == -ENOSPC);
		if (rc == 0)
			CU_ASSERT_EQUAL_FATAL(send_unsettled(VUC_SHM_DMA_UNMAP, fd), 0);
		close(fd);
		CU_ASSERT_TRUE_FATAL(fd_count() < hostile.fds + 200);
	}
	shm_close(&client);
	end();
}

static void
test_never_committed(void)
{
	check_never_committed(VUC_DMA_SHARED);
	check_never_committed(VUC_DMA_MESSAGE);
}

static CU_TestInfo tests[] = {
	{"seals", test_seals},
	{"own_pages", test_own_pages},
	{"truncated", test_truncated},
	{"punched", test_punched},
	{"never_committed", test_never_committed},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return rig_main(argc, argv, tests);
}
