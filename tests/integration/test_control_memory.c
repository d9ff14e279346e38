/* SPDX-License-Identifier: BSD-3-Clause */

/* Memory that VMMs bring: what is taken, what is not, and what becomes of it. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/userfaultfd.h>
#include <linux/vfio.h>

#include "control_rig.h"
#include "memfd.h"
#include "refdev_regs.h"

#define BAR0       VFIO_PCI_BAR0_REGION_INDEX
#define MIB        (1024u * 1024u)
#define READ_WRITE (VUC_SHM_DMA_READ | VUC_SHM_DMA_WRITE)

static struct control_rig rig;
static struct shm_client client;

static void
begin(enum vuc_dma_policy policy)
{
	struct rig_opts opts;

	rig_opts_init(&opts);
	opts.open.dma = policy;
	opts.control.max_dma_maps = 8;
	rig_start(&rig, &opts);
	rig_attach(&rig, &client, RIG_NAME);
}

static void
end(void)
{
	shm_close(&client);
	CU_ASSERT_TRUE(rig_is_left(&rig));
	rig_stop(&rig);
}

/* An access by message to what the VMM has mapped at 0: its status as the device sees it. */
static uint32_t
access_by_device(struct shm_queue *q, uint32_t len)
{
	uint32_t mode = REFDEV_DMA_FILL | REFDEV_DMA_BY_MESSAGE, one = 1;
	uint32_t status = REFDEV_DMA_STATUS_BUSY;
	uint64_t dst = 0;

	CU_ASSERT_EQUAL(shm_write(q, BAR0, REFDEV_REG_DMA_DST, &dst, 8), 0);
	CU_ASSERT_EQUAL(shm_write(q, BAR0, REFDEV_REG_DMA_LEN, &len, 4), 0);
	CU_ASSERT_EQUAL(shm_write(q, BAR0, REFDEV_REG_DMA_MODE, &mode, 4), 0);
	CU_ASSERT_EQUAL(shm_write(q, BAR0, REFDEV_REG_DMA_START, &one, 4), 0);
	while (status == REFDEV_DMA_STATUS_BUSY) {
		if (shm_read(q, BAR0, REFDEV_REG_DMA_STATUS, &status, 4) != 0)
			return UINT32_MAX;
	}
	return status;
}

static const enum vuc_dma_policy policies[] = {VUC_DMA_SHARED, VUC_DMA_MESSAGE};

/* By message, the device finds what is in the memory, and what it writes is there: also when its
 * server has the memory and asks nevertheless. */
static void
test_by_message(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t pattern = 0x1122334455667788;
		struct shm_queue q;
		uint64_t *memory;
		int fd;

		begin(policies[i]);
		fd = rig_memory(MIB, true);
		memory = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
		CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, fd), 0);
		CU_ASSERT_EQUAL(shm_write(&q, BAR0, REFDEV_REG_DMA_PATTERN, &pattern, 8), 0);
		CU_ASSERT_EQUAL(access_by_device(&q, MIB), REFDEV_DMA_STATUS_DONE);
		CU_ASSERT_EQUAL(memory[0], pattern);
		CU_ASSERT_EQUAL(memory[MIB / 8 - 1], pattern);
		CU_ASSERT_EQUAL(shm_dma_unmap(&client, 0, MIB), 0);
		CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, VUC_SHM_DMA_READ, fd), 0);
		CU_ASSERT_EQUAL(access_by_device(&q, MIB), REFDEV_DMA_STATUS_ERROR);
		munmap(memory, MIB);
		shm_forget_queue(&q);
		close(fd);
		end();
	}
}

/* Whether holes of memory can be watched here. The running test is skipped if not. */
static bool
can_watch(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0) {
		vuc_tap_skip("no userfaultfd here");
		return false;
	}
	close(fd);
	return true;
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
	struct rig_opts opts;
	struct shm_queue q;
	struct stat st;

	if (!can_watch())
		return;
	rig_opts_init(&opts);
	opts.control.max_dma_message = 256 * 1024;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd;

		opts.open.dma = cases[i].policy;
		rig_start(&rig, &opts);
		fd = rig_memory(MIB, true);
		rig_attach(&rig, &client, RIG_NAME);
		CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
		if (cases[i].allocated)
			CU_ASSERT_EQUAL(fallocate(fd, 0, 0, MIB), 0);
		CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, fd), 0);
		if (cases[i].punched)
			CU_ASSERT_EQUAL(fallocate(fd, punch, 0, MIB), 0);
		if (access_by_device(&q, cases[i].len) != REFDEV_DMA_STATUS_DONE)
			CU_ASSERT_TRUE(cases[i].ends);
		CU_ASSERT_EQUAL(fstat(fd, &st), 0);
		if (!cases[i].allocated || cases[i].punched)
			CU_ASSERT_TRUE((uint64_t)st.st_blocks * 512 <= 256 * 1024);
		if (cases[i].ends) {
			CU_ASSERT_TRUE(shm_is_ended(&client, RIG_WAIT_MS));
			CU_ASSERT_TRUE(rig_has_logged("than max-dma-message-mb allows"));
		} else {
			CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).state, VUC_CONTROL_ATTACHED);
		}
		shm_forget_queue(&q);
		close(fd);
		end();
	}
}

/* Without a budget there is no mapping here, which only devices need whose server has none. */
static void
test_no_budget(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		bool shared = policies[i] == VUC_DMA_SHARED;
		struct rig_opts opts;
		struct shm_queue q;
		int fd;

		rig_opts_init(&opts);
		opts.open.dma = policies[i];
		opts.control.max_dma_message = 0;
		rig_start(&rig, &opts);
		fd = rig_memory(MIB, true);
		rig_attach(&rig, &client, RIG_NAME);
		CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
		CU_ASSERT_EQUAL(
			shm_dma_map(&client, 0, MIB, 0, READ_WRITE, fd), shared ? 0 : -EDQUOT);
		CU_ASSERT_EQUAL(access_by_device(&q, MIB), REFDEV_DMA_STATUS_ERROR);
		CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).state, VUC_CONTROL_ATTACHED);
		shm_forget_queue(&q);
		close(fd);
		end();
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
	int fd;

	begin(VUC_DMA_MESSAGE);
	fd = rig_memory(4 * MIB, true);
	for (off_t i = 0; i < 2 * MIB; i += 4096)
		CU_ASSERT_EQUAL(pwrite(fd, page, sizeof(page), i), sizeof(page));
	CU_ASSERT_EQUAL(pwrite(fd, page, sizeof(page), 3 * MIB), sizeof(page));
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, 3 * MIB, MIB, READ_WRITE, fd), 0);
	CU_ASSERT_EQUAL(resident_bytes("memfd:guest"), MIB + sizeof(page));
	CU_ASSERT_EQUAL(fstat(fd, &st), 0);
	CU_ASSERT_EQUAL((size_t)st.st_blocks * 512, 2 * MIB + sizeof(page));
	close(fd);
	end();
}

/* Whatever is no memory, in either way of DMA. */
static void
check_no_memory(enum vuc_dma_policy policy)
{
	int fds[4], pipes[2];

	begin(policy);
	CU_ASSERT_EQUAL_FATAL(pipe2(pipes, O_CLOEXEC), 0);
	fds[0] = pipes[0];
	fds[1] = open("/", O_RDONLY | O_CLOEXEC);
	fds[2] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	fds[3] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	for (unsigned int i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, fds[i]), -EINVAL);
		CU_ASSERT_PTR_NOT_NULL(strstr(client.reply.failure.reason, "is not memory"));
		close(fds[i]);
	}
	close(pipes[1]);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).dma_maps, 0);
	end();
}

static void
test_no_memory(void)
{
	check_no_memory(VUC_DMA_SHARED);
	check_no_memory(VUC_DMA_MESSAGE);
}

static void
test_bounds(void)
{
	int fd;

	begin(VUC_DMA_SHARED);
	fd = rig_memory(MIB, false);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, 2 * MIB, 0, READ_WRITE, fd), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(client.reply.failure.reason, "beyond the end of the file"));
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 4096, READ_WRITE, fd), -EINVAL);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, UINT64_MAX - 4095, READ_WRITE, fd), -EINVAL);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, 100, 0, READ_WRITE, fd), -EINVAL);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, 0, 0, READ_WRITE, fd), -EINVAL);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 1, MIB, 0, READ_WRITE, fd), -EINVAL);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, 0, fd), -EINVAL);
	CU_ASSERT_EQUAL(
		shm_dma_map(&client, UINT64_MAX - MIB + 1, MIB, 0, READ_WRITE, fd), -EINVAL);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, fd), 0);
	close(fd);
	end();
}

/* As many as there may be; what is unmapped makes room. */
static void
check_limit(enum vuc_dma_policy policy)
{
	int fd;

	begin(policy);
	fd = rig_memory(MIB, true);
	for (unsigned int round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < 8; i++)
			CU_ASSERT_EQUAL(shm_dma_map(&client, i * MIB, MIB, 0, READ_WRITE, fd), 0);
		CU_ASSERT_EQUAL(shm_dma_map(&client, 8 * MIB, MIB, 0, READ_WRITE, fd), -ENOSPC);
		CU_ASSERT_EQUAL(shm_dma_unmap(&client, 0, 8 * MIB), 0);
		CU_ASSERT_EQUAL(client.reply.dma_reply.mappings, 0);
	}
	close(fd);
	end();
}

static void
test_limit(void)
{
	check_limit(VUC_DMA_SHARED);
	check_limit(VUC_DMA_MESSAGE);
}

/* A file of any size costs nothing, so what is mapped here of files is bounded by its size, too. */
static void
test_address_space(void)
{
	struct rig_opts opts;
	int fd;

	rig_opts_init(&opts);
	opts.open.dma = VUC_DMA_MESSAGE;
	opts.control.max_vmms = 1u << 22; /* each may have 16 MiB mapped */
	rig_start(&rig, &opts);
	rig_attach(&rig, &client, RIG_NAME);
	fd = rig_memory(32 * MIB, true);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, 32 * MIB, 0, READ_WRITE, fd), -EFBIG);
	for (unsigned int round = 0; round < 3; round++) {
		CU_ASSERT_EQUAL(shm_dma_map(&client, 0, 12 * MIB, 0, READ_WRITE, fd), 0);
		CU_ASSERT_EQUAL(
			shm_dma_map(&client, 16 * MIB, 12 * MIB, 0, READ_WRITE, fd), -EFBIG);
		CU_ASSERT_EQUAL(shm_dma_map(&client, 16 * MIB, 4 * MIB, 0, READ_WRITE, fd), 0);
		CU_ASSERT_EQUAL(shm_dma_unmap(&client, 0, 32 * MIB), 0);
	}
	close(fd);
	end();
}

/* Memory that the daemon is to access must not be able to shrink, if that can be said of it. */
static void
test_seals(void)
{
	int unsealed, sealed, never;

	begin(VUC_DMA_MESSAGE);
	unsealed = rig_memory(MIB, false);
	sealed = rig_memory(MIB, true);
	never = vuc_memfd_create("guest", MIB, F_SEAL_SEAL);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, unsealed), -EPERM);
	CU_ASSERT_PTR_NOT_NULL(strstr(
		client.reply.failure.reason, "seal it with fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)"));
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, sealed), 0);
	CU_ASSERT_EQUAL(shm_dma_map(&client, MIB, MIB, 0, READ_WRITE, never), 0);
	close(unsealed);
	close(sealed);
	close(never);
	end();
}

/* Memory that is truncated after it was mapped ends its VMM's connection. The daemon, this process,
 * goes on, and so does another VMM on the same poller. */
static void
test_truncated(void)
{
	struct shm_client other;
	struct shm_queue q, others;
	uint32_t id = 0;
	int fd, second;

	begin(VUC_DMA_MESSAGE);
	rig_attach(&rig, &other, RIG_SECOND);
	fd = vuc_memfd_create("guest", MIB, F_SEAL_SEAL);
	second = rig_memory(MIB, true);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&other, 4, 64, &others), 0);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, fd), 0);
	CU_ASSERT_EQUAL(shm_dma_map(&other, 0, MIB, 0, READ_WRITE, second), 0);
	CU_ASSERT_EQUAL(access_by_device(&q, 4096), REFDEV_DMA_STATUS_DONE);
	CU_ASSERT_EQUAL(ftruncate(fd, 0), 0);
	access_by_device(&q, 65536);
	CU_ASSERT_TRUE(shm_is_ended(&client, RIG_WAIT_MS));
	CU_ASSERT_TRUE(rig_has_logged("memory that it has mapped for the device has lost pages"));
	CU_ASSERT_TRUE(rig_becomes(&rig, RIG_NAME, VUC_CONTROL_FREE));
	CU_ASSERT_EQUAL(access_by_device(&others, 65536), REFDEV_DMA_STATUS_DONE);
	CU_ASSERT_EQUAL(shm_read(&others, BAR0, REFDEV_REG_ID, &id, 4), 0);
	CU_ASSERT_EQUAL(id, REFDEV_ID_VALUE);
	shm_forget_queue(&q);
	shm_forget_queue(&others);
	shm_close(&other);
	close(fd);
	close(second);
	end();
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

	begin(VUC_DMA_MESSAGE);
	pid = fork();
	if (pid == 0)
		make_own_fault();
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	/* A sanitizer's handler, which is asked next, exits instead. */
	CU_ASSERT_TRUE((WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) ||
		(WIFEXITED(status) && WEXITSTATUS(status) != 0));
	end();
}

/* Files of which one descriptor each is kept are bounded, too. */
static void
test_many_files(void)
{
	struct rig_opts opts;
	unsigned int taken = 0;
	int rc = 0;

	rig_opts_init(&opts);
	rig_start(&rig, &opts);
	rig_attach(&rig, &client, RIG_NAME);
	for (uint64_t i = 0; rc == 0 && i < 100; i++) {
		int fd = rig_memory(4096, false);

		rc = shm_dma_map(&client, i * 8192, 4096, 0, READ_WRITE, fd);
		taken += rc == 0;
		close(fd);
	}
	CU_ASSERT_EQUAL(rc, -ENOSPC);
	CU_ASSERT_EQUAL(taken, 64);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).dma_maps, 64);
	end();
}

/* A server that refuses a mapping, and then an unmapping: what is mapped here follows, so that
 * there is room for as many as before, and no more. */
static void
test_refused(void)
{
	static const char *const options[] = {
		"--fault=error=12@dma_map#2", "--fault=error=5@dma_unmap#1", NULL};
	struct rig_opts opts;
	int fd;

	rig_opts_init(&opts);
	opts.server = options;
	opts.open.dma = VUC_DMA_MESSAGE;
	opts.control.max_dma_maps = 8;
	rig_start(&rig, &opts);
	rig_attach(&rig, &client, RIG_NAME);
	fd = rig_memory(MIB, true);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, fd), 0);
	CU_ASSERT_EQUAL(shm_dma_map(&client, MIB, MIB, 0, READ_WRITE, fd), -ENOMEM);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).dma_maps, 1);
	for (uint64_t i = 2; i < 9; i++)
		CU_ASSERT_EQUAL(shm_dma_map(&client, i * MIB, MIB, 0, READ_WRITE, fd), 0);
	CU_ASSERT_EQUAL(client.reply.dma_reply.mappings, 8);
	CU_ASSERT_EQUAL(shm_dma_unmap(&client, 2 * MIB, MIB), -EIO);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).dma_maps, 8);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 9 * MIB, MIB, 0, READ_WRITE, fd), -ENOSPC);
	CU_ASSERT_EQUAL(shm_dma_unmap(&client, 3 * MIB, MIB), 0);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 9 * MIB, MIB, 0, READ_WRITE, fd), 0);
	close(fd);
	end();
}

static CU_TestInfo tests[] = {
	{"by_message", test_by_message},
	{"holes", test_holes},
	{"no_budget", test_no_budget},
	{"populated", test_populated},
	{"no_memory", test_no_memory},
	{"bounds", test_bounds},
	{"limit", test_limit},
	{"address_space", test_address_space},
	{"seals", test_seals},
	{"truncated", test_truncated},
	{"own_fault", test_own_fault},
	{"many_files", test_many_files},
	{"refused", test_refused},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return rig_main(argc, argv, tests);
}
