/* SPDX-License-Identifier: BSD-3-Clause */

/* VMMs that take back memory that they have given, give what is not theirs, or write to pages that
 * they can only read. */

#include <sys/mman.h>

#include "hostile.h"

#define CYCLES 2000u

static const struct rig_opts by_message = {
	.dma = VUC_DMA_MESSAGE, .reset = VUC_CONTROL_RESET_TRUST};

/* Memory that the daemon would have to access, and that could shrink; or that it may not write. */
static void
test_seals(void)
{
	static const struct {
		const char *name;
		int seals;
		uint32_t flags;
		int rc;
	} rows[] = {
		{"may shrink", 0, READ_WRITE, -EPERM},
		{"may shrink, to read", 0, VUC_SHM_DMA_READ, -EPERM},
		{"frozen", F_SEAL_SHRINK | F_SEAL_WRITE, READ_WRITE, -EPERM},
		{"sealed", F_SEAL_SHRINK, READ_WRITE, 0},
		{"takes no seals", F_SEAL_SEAL, READ_WRITE, 0},
	};

	hostile_start_attached(&by_message);
	for (size_t i = 0; i < NR(rows); i++) {
		int fd = rig_memory(MIB, rows[i].seals);
		int rc = shm_dma_map(&client, i * MIB, MIB, 0, rows[i].flags, fd);

		if (rc != rows[i].rc)
			printf("# %s: %d\n", rows[i].name, rc);
		CU_ASSERT_EQUAL(rc, rows[i].rc);
		if (i == 0)
			CU_ASSERT_PTR_NOT_NULL(strstr(client.reply.failure.reason,
				"seal it with fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)"));
		close(fd);
	}
}

/* The daemon's own pages, given back to it as memory that the device is to write. */
static void
test_own_pages(void)
{
	int fds[3];

	hostile_start_attached(&by_message);
	fds[0] = client.attach_fds[VUC_SHM_FD_STATE];
	fds[1] = client.attach_fds[VUC_SHM_FD_POLLER];
	fds[2] = rig_open_queue(&client, 64, 64)->completions_fd;
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(shm_dma_map(&client, 0, PAGE, 0, READ_WRITE, fds[i]), -EPERM);
}

/* Memory that is truncated once the daemon has mapped it, to a length; then the device reads it, or
 * writes it. The next VMM's memory is accessed as ever. */
static void
test_truncated(void)
{
	static const struct {
		uint32_t mode;
		off_t left;
	} rows[] = {
		{REFDEV_DMA_BY_MESSAGE | REFDEV_DMA_FILL, 0},
		{REFDEV_DMA_BY_MESSAGE | REFDEV_DMA_FILL, MIB / 2 + 1},
		{REFDEV_DMA_BY_MESSAGE, 0},
		{REFDEV_DMA_BY_MESSAGE, MIB / 2 + 1},
	};

	hostile_start(&by_message);
	for (size_t i = 0; i < 2 * NR(rows); i++) {
		int fd = rig_memory(MIB, F_SEAL_SEAL);
		struct shm_queue *q;

		rig_attach(&client, RIG_NAME);
		q = rig_open_queue(&client, 4, 64);
		CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, fd), 0);
		CU_ASSERT_EQUAL(rig_transfer(q, rows[i / 2].mode, 0, MIB), REFDEV_DMA_STATUS_DONE);
		if (i % 2 == 0) {
			CU_ASSERT_EQUAL(ftruncate(fd, rows[i / 2].left), 0);
			rig_transfer(q, rows[i / 2].mode, 0, MIB);
			CU_ASSERT_TRUE(shm_is_ended(&client));
			CU_ASSERT_TRUE(rig_logs("memory that it has mapped for the device has lost "
						"pages"));
			rig_forget_log();
		}
		shm_close(&client);
		close(fd);
		hostile_survived();
	}
}

/* Holes in memory are zeros, and no breach. */
static void
test_punched(void)
{
	struct shm_queue *q;

	hostile_start_attached(&by_message);
	q = rig_open_queue(&client, 4, 64);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, rig.memory), 0);
	for (unsigned int i = 0; i < 20; i++) {
		CU_ASSERT_EQUAL(
			fallocate(rig.memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, MIB),
			0);
		CU_ASSERT_EQUAL(
			rig_transfer(q, REFDEV_DMA_BY_MESSAGE | (i % 2 != 0 ? REFDEV_DMA_FILL : 0),
				0, MIB),
			REFDEV_DMA_STATUS_DONE);
	}
}

/* Mapped and unmapped without an end, and never committed: of that, nothing is kept for ever. */
static void
test_never_committed(void)
{
	static const struct vuc_shm_dma_entry map = {
		.op = VUC_SHM_DMA_MAP, .flags = VUC_SHM_DMA_READ, .size = PAGE};
	static const struct vuc_shm_dma_entry unmap = {
		.op = VUC_SHM_DMA_UNMAP, .size = PAGE, .fd_index = -1};

	for (unsigned int way = 0; way < 2; way++) {
		int rc = 0;

		hostile_start_attached(way == 0 ? NULL : &by_message);
		for (unsigned int i = 0; i < CYCLES && rc != -ENOSPC; i++) {
			int fd = rig_memory(PAGE, F_SEAL_SHRINK);

			rc = shm_dma(&client, &map, 0, fd);
			CU_ASSERT_TRUE_FATAL(rc == 0 || rc == -ENOSPC);
			if (rc == 0)
				CU_ASSERT_EQUAL_FATAL(shm_dma(&client, &unmap, 0, -1), 0);
			close(fd);
			CU_ASSERT_TRUE_FATAL(hostile_extra_fds() < 200);
		}
	}
}

static void
check_read_only(int fd, size_t size)
{
	uint8_t byte = 0xff;
	char path[64];
	void *page;
	int again;

	CU_ASSERT_PTR_EQUAL(
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	page = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(page, MAP_FAILED);
	CU_ASSERT_EQUAL(mprotect(page, size, PROT_READ | PROT_WRITE), -1);
	CU_ASSERT_EQUAL(madvise(page, size, MADV_REMOVE), -1);
	munmap(page, size);
	CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, 0), -1);
	CU_ASSERT_EQUAL(ftruncate(fd, 0), -1);
	CU_ASSERT_EQUAL(ftruncate(fd, (off_t)size * 2), -1);
	CU_ASSERT_EQUAL(
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)size), -1);
	CU_ASSERT_EQUAL(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	/* By another open file of the same memory. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	if (again < 0)
		return;
	CU_ASSERT_PTR_EQUAL(
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0), MAP_FAILED);
	CU_ASSERT_EQUAL(pwrite(again, &byte, 1, 0), -1);
	close(again);
	CU_ASSERT_EQUAL(open(path, O_RDWR | O_TRUNC | O_CLOEXEC), -1);
}

static void
test_completions_written(void)
{
	struct shm_queue *q;

	hostile_start_attached(NULL);
	q = rig_open_queue(&client, 64, 256);
	check_read_only(q->completions_fd, q->completions_size);
	check_read_only(client.attach_fds[VUC_SHM_FD_STATE], PAGE);
	check_read_only(client.attach_fds[VUC_SHM_FD_POLLER], PAGE);
}

/* What is the VMM's to write keeps its size, and can be written for ever; holes in it are zeros. */
static void
test_requests_punched(void)
{
	struct shm_queue *q;
	off_t sizes[2];
	int fds[2];

	hostile_start_attached(NULL);
	q = rig_open_queue(&client, 64, 256);
	fds[0] = q->requests_fd;
	fds[1] = client.attach_fds[VUC_SHM_FD_BELL];
	sizes[0] = (off_t)q->requests_size;
	sizes[1] = PAGE;
	for (unsigned int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(ftruncate(fds[i], 0), -1);
		CU_ASSERT_EQUAL(ftruncate(fds[i], sizes[i] + PAGE), -1);
		CU_ASSERT_EQUAL(fcntl(fds[i], F_ADD_SEALS, F_SEAL_WRITE), -1);
	}
	for (unsigned int i = 0; i < 1000; i++) {
		CU_ASSERT_EQUAL(fallocate(fds[i % 2], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
					sizes[i % 2]),
			0);
		CU_ASSERT_EQUAL(rig_read(q, REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	}
	CU_ASSERT_EQUAL(shm_close_queue(q), 0);
}

const struct tap_suite tap_suite = {NULL, NULL, hostile_stop,
	{
		{"seals", test_seals},
		{"own_pages", test_own_pages},
		{"truncated", test_truncated},
		{"punched", test_punched},
		{"never_committed", test_never_committed},
		{"completions_written", test_completions_written},
		{"requests_punched", test_requests_punched},
	}};
