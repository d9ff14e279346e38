/* SPDX-License-Identifier: BSD-3-Clause */

/* VMMs that write to pages that they can only read, or take pages away. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "hostile.h"
#include "refdev_regs.h"

#define BAR0  VFIO_PCI_BAR0_REGION_INDEX
#define PAGE  4096u
#define DEPTH 64u
#define CHUNK 256u

static struct hostile hostile;
static struct shm_client client;

static void
begin(void)
{
	hostile_start(&hostile, NULL);
	rig_attach(&hostile.rig, &client, RIG_NAME);
}

static void
end(void)
{
	shm_close(&client);
	hostile_survived(&hostile);
	hostile_stop(&hostile);
}

static void
open_queue(uint32_t depth, uint32_t max_data, struct shm_queue *q)
{
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, depth, max_data, q), 0);
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
	struct shm_queue q;

	begin();
	open_queue(DEPTH, CHUNK, &q);
	check_read_only(q.completions_fd, q.completions_size);
	check_read_only(client.attach_fds[VUC_SHM_FD_STATE], PAGE);
	check_read_only(client.attach_fds[VUC_SHM_FD_POLLER], PAGE);
	CU_ASSERT_EQUAL(shm_close_queue(&q), 0);
	end();
}

/* What is the VMM's to write keeps its size; holes in it are zeros. */
static void
test_requests_punched(void)
{
	static const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	uint32_t value;
	struct shm_queue q;

	begin();
	open_queue(DEPTH, CHUNK, &q);
	CU_ASSERT_EQUAL(ftruncate(q.requests_fd, 0), -1);
	CU_ASSERT_EQUAL(ftruncate(q.requests_fd, (off_t)q.requests_size + PAGE), -1);
	CU_ASSERT_EQUAL(ftruncate(client.attach_fds[VUC_SHM_FD_BELL], 0), -1);
	for (unsigned int i = 0; i < 500; i++) {
		CU_ASSERT_EQUAL(fallocate(q.requests_fd, punch, 0, (off_t)q.requests_size), 0);
		CU_ASSERT_EQUAL(fallocate(client.attach_fds[VUC_SHM_FD_BELL], punch, 0, PAGE), 0);
		CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_REG_ID, &value, 4), 0);
	}
	CU_ASSERT_EQUAL(shm_close_queue(&q), 0);
	end();
}

static CU_TestInfo tests[] = {
	{"completions_written", test_completions_written},
	{"requests_punched", test_requests_punched},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return rig_main(argc, argv, tests);
}
