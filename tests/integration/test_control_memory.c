/* SPDX-License-Identifier: BSD-3-Clause */

/* Memory that VMMs bring: what is taken, what is not, and what becomes of it. */

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/memfd.h>
#include <linux/userfaultfd.h>

#include "rig.h"

#define FILL_BY_MESSAGE (REFDEV_DMA_FILL | REFDEV_DMA_BY_MESSAGE)

static const enum vuc_dma_policy policies[] = {VUC_DMA_SHARED, VUC_DMA_MESSAGE};

/* By message, the device finds what is in the memory, and what it writes is there: also when its
 * server has the memory and asks nevertheless. */
static void
test_by_message(void)
{
	const uint64_t pattern = 0x1122334455667788;

	for (unsigned int i = 0; i < 2; i++) {
		struct shm_queue *q = rig_start_with_queue(&(struct rig_opts){.dma = policies[i]});
		uint64_t seen[2];

		CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, rig.memory), 0);
		rig_write(q, REFDEV_REG_DMA_PATTERN, pattern, 8);
		CU_ASSERT_EQUAL(rig_transfer(q, FILL_BY_MESSAGE, 0, MIB), REFDEV_DMA_STATUS_DONE);
		CU_ASSERT_EQUAL(pread(rig.memory, &seen[0], 8, 0), 8);
		CU_ASSERT_EQUAL(pread(rig.memory, &seen[1], 8, MIB - 8), 8);
		CU_ASSERT_EQUAL(seen[0], pattern);
		CU_ASSERT_EQUAL(seen[1], pattern);
		CU_ASSERT_EQUAL(shm_dma_unmap(&client, 0, MIB), 0);
		CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, VUC_SHM_DMA_READ, rig.memory), 0);
		CU_ASSERT_EQUAL(rig_transfer(q, FILL_BY_MESSAGE, 0, MIB), REFDEV_DMA_STATUS_ERROR);
		rig_stop_attached();
	}
}

/* What the daemon pays for of a VMM's memory: pages that an access is the first to touch. */
static void
test_holes(void)
{
	static const struct {
		enum vuc_dma_policy policy;
		bool allocated; /* by the VMM */
		bool punched;   /* and given back, once it is mapped */
		uint32_t len;   /* that the device accesses, with a budget of 256 KiB */
		bool ends;
	} cases[] = {
		{VUC_DMA_MESSAGE, false, false, 128 * 1024, false},
		{VUC_DMA_MESSAGE, false, false, MIB, true},
		{VUC_DMA_SHARED, false, false, 128 * 1024, false},
		{VUC_DMA_SHARED, false, false, MIB, true},
		{VUC_DMA_MESSAGE, true, false, MIB, false},
		{VUC_DMA_SHARED, true, false, MIB, false},
		{VUC_DMA_MESSAGE, true, true, 128 * 1024, false},
		{VUC_DMA_MESSAGE, true, true, MIB, true},
	};
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	int watch = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (watch < 0) {
		vuc_tap_skip("no userfaultfd here");
		return;
	}
	close(watch);
	for (size_t i = 0; i < NR(cases); i++) {
		struct shm_queue *q = rig_start_with_queue(
			&(struct rig_opts){.dma = cases[i].policy, .max_dma_message = 256 * 1024});
		struct stat st;

		if (cases[i].allocated)
			CU_ASSERT_EQUAL(fallocate(rig.memory, 0, 0, MIB), 0);
		CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, rig.memory), 0);
		if (cases[i].punched)
			CU_ASSERT_EQUAL(fallocate(rig.memory, punch, 0, MIB), 0);
		if (rig_transfer(q, FILL_BY_MESSAGE, 0, cases[i].len) != REFDEV_DMA_STATUS_DONE)
			CU_ASSERT_TRUE(cases[i].ends);
		CU_ASSERT_EQUAL(fstat(rig.memory, &st), 0);
		if (!cases[i].allocated || cases[i].punched)
			CU_ASSERT_TRUE((uint64_t)st.st_blocks * 512 <= 256 * 1024);
		if (cases[i].ends) {
			CU_ASSERT_TRUE(shm_is_ended(&client));
			CU_ASSERT_TRUE(rig_has_logged("than max-dma-message-mb allows"));
		} else {
			CU_ASSERT_EQUAL(rig_look(RIG_NAME).state, VUC_CONTROL_ATTACHED);
		}
		rig_stop_attached();
	}
}

#define HUGE_PAGE (2 * MIB)

/* So many huge pages of 2 MiB, allocated; -1, and skipped, if there are not as many. */
static int
huge_memory(unsigned int nr)
{
	int fd =
		memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_HUGE_2MB);

	if (fd >= 0 && fallocate(fd, 0, 0, (off_t)nr * HUGE_PAGE) == 0 &&
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	vuc_tap_skip("there are not enough free huge pages of 2 MiB");
	return -1;
}

/* They may be mapped from any page of the guest on, which need not be one of the file. */
static void
test_huge_pages(void)
{
	static const struct {
		enum vuc_dma_policy policy;
		uint32_t how;
		uint64_t size, offset;
	} rows[] = {
		{VUC_DMA_MESSAGE, REFDEV_DMA_BY_MESSAGE, 2 * HUGE_PAGE, 0},
		{VUC_DMA_MESSAGE, REFDEV_DMA_BY_MESSAGE, HUGE_PAGE, MIB + 4096},
		{VUC_DMA_SHARED, REFDEV_DMA_BY_MESSAGE, HUGE_PAGE, MIB + 4096},
		{VUC_DMA_SHARED, REFDEV_DMA_BY_MMAP, 2 * HUGE_PAGE, 0},
		{VUC_DMA_SHARED, REFDEV_DMA_BY_MMAP, HUGE_PAGE, MIB + 4096},
	};
	const uint64_t pattern = 0x1122334455667788;

	for (size_t i = 0; i < NR(rows); i++) {
		int fd = huge_memory(2);
		struct shm_queue *q;
		uint64_t seen[3];
		off_t end;

		if (fd < 0)
			return;
		vuc_tap_row("row %zu", i);
		q = rig_start_with_queue(&(struct rig_opts){.dma = rows[i].policy});
		CU_ASSERT_EQUAL(
			shm_dma_map(&client, 0, rows[i].size, rows[i].offset, READ_WRITE, fd), 0);
		rig_write(q, REFDEV_REG_DMA_PATTERN, pattern, 8);
		CU_ASSERT_EQUAL(
			rig_transfer(q, REFDEV_DMA_FILL | rows[i].how, rows[i].size - MIB, MIB),
			REFDEV_DMA_STATUS_DONE);
		end = (off_t)(rows[i].offset + rows[i].size);
		CU_ASSERT_EQUAL(pread(fd, &seen[0], 8, end - MIB - 8), 8);
		CU_ASSERT_EQUAL(pread(fd, &seen[1], 8, end - MIB), 8);
		CU_ASSERT_EQUAL(pread(fd, &seen[2], 8, end - 8), 8);
		CU_ASSERT_EQUAL(seen[0], 0);
		CU_ASSERT_EQUAL(seen[1], pattern);
		CU_ASSERT_EQUAL(seen[2], pattern);
		rig_stop();
		close(fd);
	}
}

/* A VMM that gives its huge pages back when there are no others: it alone loses its device. */
static void
test_lost_huge_pages(void)
{
	int fd = huge_memory(2), others;
	struct shm_queue *q;
	off_t nr = 0;

	if (fd < 0)
		return;
	q = rig_start_with_queue(&(struct rig_opts){.dma = VUC_DMA_MESSAGE});
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, 2 * HUGE_PAGE, 0, READ_WRITE, fd), 0);
	CU_ASSERT_EQUAL(
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * HUGE_PAGE), 0);
	others = memfd_create("others", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	while (fallocate(others, 0, nr * HUGE_PAGE, HUGE_PAGE) == 0)
		nr++;
	rig_transfer(q, FILL_BY_MESSAGE, 0, MIB);
	CU_ASSERT_TRUE(shm_is_ended(&client));
	CU_ASSERT_TRUE(rig_has_logged("memory that it has mapped for the device has lost pages"));
	shm_close(&client);
	rig_attach(&client, RIG_SECOND);
	rig_read(rig_open_queue(&client, 4, 64), REFDEV_REG_SCRATCH, 4);
	close(others);
	rig_stop();
	close(fd);
}

/* Without a budget there is no mapping here, which only devices need whose server has none. */
static void
test_no_budget(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct shm_queue *q = rig_start_with_queue(
			&(struct rig_opts){.dma = policies[i], .no_dma_message = true});

		CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, rig.memory),
			policies[i] == VUC_DMA_SHARED ? 0 : -EDQUOT);
		CU_ASSERT_EQUAL(rig_transfer(q, FILL_BY_MESSAGE, 0, MIB), REFDEV_DMA_STATUS_ERROR);
		CU_ASSERT_EQUAL(rig_look(RIG_NAME).state, VUC_CONTROL_ATTACHED);
		rig_stop_attached();
	}
}

/* Bytes of files of that name that this process finds without a fault. */
static uint64_t
resident_bytes(const char *name)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	unsigned long long kib, sum = 0;
	bool counts = false;
	char line[256];

	CU_ASSERT_PTR_NOT_NULL_FATAL(maps);
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (line[0] < 'A' || line[0] > 'Z')
			counts = strstr(line, name) != NULL;
		else if (counts && sscanf(line, "Rss: %llu", &kib) == 1)
			sum += kib;
	}
	fclose(maps);
	return sum * 1024;
}

/* Pages that there are when memory is mapped are not looked for by the poller; holes stay holes. */
static void
test_populated(void)
{
	static const uint8_t page[4096] = {1};
	struct stat st;

	rig_start_attached(&(struct rig_opts){.dma = VUC_DMA_MESSAGE, .memory = 4 * MIB});
	for (off_t i = 0; i < 2 * MIB; i += 4096)
		CU_ASSERT_EQUAL(pwrite(rig.memory, page, sizeof(page), i), sizeof(page));
	CU_ASSERT_EQUAL(pwrite(rig.memory, page, sizeof(page), 3 * MIB), sizeof(page));
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, 3 * MIB, MIB, READ_WRITE, rig.memory), 0);
	CU_ASSERT_EQUAL(resident_bytes("memfd:guest"), MIB + sizeof(page));
	CU_ASSERT_EQUAL(fstat(rig.memory, &st), 0);
	CU_ASSERT_EQUAL((size_t)st.st_blocks * 512, 2 * MIB + sizeof(page));
}

/* As many as there may be; what is unmapped makes room. */
static void
test_limit(void)
{
	for (unsigned int way = 0; way < 2; way++) {
		rig_start_attached(&(struct rig_opts){.dma = policies[way], .max_dma_maps = 8});
		for (unsigned int round = 0; round < 3; round++) {
			for (uint64_t i = 0; i < 9; i++)
				CU_ASSERT_EQUAL(shm_dma_map(&client, i * MIB, MIB, 0, READ_WRITE,
							rig.memory),
					i < 8 ? 0 : -ENOSPC);
			CU_ASSERT_EQUAL(shm_dma_unmap(&client, 0, 8 * MIB), 0);
			CU_ASSERT_EQUAL(client.reply.dma_reply.mappings, 0);
		}
		rig_stop_attached();
	}
}

/* A file of any size costs nothing, so what is mapped here of files is bounded by its size, too. */
static void
test_address_space(void)
{
	/* Each VMM may have 16 MiB mapped. */
	rig_start_attached(&(struct rig_opts){
		.dma = VUC_DMA_MESSAGE, .max_vmms = 1u << 22, .memory = 32 * MIB});
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, 32 * MIB, 0, READ_WRITE, rig.memory), -EFBIG);
	for (unsigned int round = 0; round < 3; round++) {
		CU_ASSERT_EQUAL(shm_dma_map(&client, 0, 12 * MIB, 0, READ_WRITE, rig.memory), 0);
		CU_ASSERT_EQUAL(shm_dma_map(&client, 16 * MIB, 12 * MIB, 0, READ_WRITE, rig.memory),
			-EFBIG);
		CU_ASSERT_EQUAL(
			shm_dma_map(&client, 16 * MIB, 4 * MIB, 0, READ_WRITE, rig.memory), 0);
		CU_ASSERT_EQUAL(shm_dma_unmap(&client, 0, 32 * MIB), 0);
	}
}

/* A read behind the end of a file that is nobody's memory. */
static void
make_own_fault(void)
{
	const struct rlimit none = {0};
	int fd = memfd_create("own", MFD_CLOEXEC);
	const volatile char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	setrlimit(RLIMIT_CORE, &none);
	close(STDERR_FILENO);
	alarm(10);
	_exit(page[0]);
}

/* Our own faults are still our own: a child with the handler dies of one, by SIGBUS. */
static void
test_own_fault(void)
{
	int status = 0;
	pid_t pid;

	rig_start_attached(&(struct rig_opts){.dma = VUC_DMA_MESSAGE});
	pid = fork();
	if (pid == 0)
		make_own_fault();
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	/* A sanitizer's handler, which is asked next, exits instead. */
	CU_ASSERT_TRUE((WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) ||
		(WIFEXITED(status) && WEXITSTATUS(status) != 0));
}

/* Files of which one descriptor each is kept are bounded, too. */
static void
test_many_files(void)
{
	rig_start_attached(NULL);
	for (uint64_t i = 0; i <= 64; i++) {
		int file = rig_memory(4096, 0);

		CU_ASSERT_EQUAL(shm_dma_map(&client, i * 8192, 4096, 0, READ_WRITE, file),
			i < 64 ? 0 : -ENOSPC);
		close(file);
	}
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).dma_maps, 64);
}

/* A server that refuses a mapping, and then an unmapping: what is mapped here follows, so that
 * there is room for as many as before, and no more. */
static void
test_refused(void)
{
	const struct rig_opts opts = {
		.server = {"--fault=error=12@dma_map#2", "--fault=error=5@dma_unmap#1"},
		.dma = VUC_DMA_MESSAGE,
		.max_dma_maps = 8,
	};

	rig_start_attached(&opts);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, rig.memory), 0);
	CU_ASSERT_EQUAL(shm_dma_map(&client, MIB, MIB, 0, READ_WRITE, rig.memory), -ENOMEM);
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).dma_maps, 1);
	for (uint64_t i = 2; i < 9; i++)
		CU_ASSERT_EQUAL(shm_dma_map(&client, i * MIB, MIB, 0, READ_WRITE, rig.memory), 0);
	CU_ASSERT_EQUAL(client.reply.dma_reply.mappings, 8);
	CU_ASSERT_EQUAL(shm_dma_unmap(&client, 2 * MIB, MIB), -EIO);
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).dma_maps, 8);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 9 * MIB, MIB, 0, READ_WRITE, rig.memory), -ENOSPC);
	CU_ASSERT_EQUAL(shm_dma_unmap(&client, 3 * MIB, MIB), 0);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 9 * MIB, MIB, 0, READ_WRITE, rig.memory), 0);
}

const struct tap_suite tap_suite = {NULL, NULL, rig_stop_attached,
	{
		{"by_message", test_by_message},
		{"holes", test_holes},
		{"huge_pages", test_huge_pages},
		{"lost_huge_pages", test_lost_huge_pages},
		{"no_budget", test_no_budget},
		{"populated", test_populated},
		{"limit", test_limit},
		{"address_space", test_address_space},
		{"own_fault", test_own_fault},
		{"many_files", test_many_files},
		{"refused", test_refused},
	}};
