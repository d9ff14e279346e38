/* SPDX-License-Identifier: BSD-3-Clause */

/* VMMs that write to pages that they can only read, or take pages away. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hostile.h"
#include "refdev_regs.h"

#define PAGE 4096u

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

	rig_attach(&client, RIG_NAME);
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

	rig_attach(&client, RIG_NAME);
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

static CU_TestInfo attacks[] = {
	{"completions_written", test_completions_written},
	{"requests_punched", test_requests_punched},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return hostile_main(argc, argv, NULL, attacks);
}
