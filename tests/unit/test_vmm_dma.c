/* SPDX-License-Identifier: BSD-3-Clause */

/* Mappings in messages: what goes together, and what becomes of it after an error. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fake_vucd.h"
#include "fd_count.h"
#include "tap.h"

#define PAGE UINT64_C(4096)

static unsigned int fds_before;
static struct fake_vucd daemon_;
static struct vuc_vmm_device *dev;
static int memory[20];

static void
set_up(void)
{
	fds_before = fd_count();
	fake_vucd_start(&daemon_);
	dev = fake_attach(&daemon_);
	for (unsigned int i = 0; i < 20; i++)
		memory[i] = fake_memory(PAGE);
}

static void
tear_down(void)
{
	for (unsigned int i = 0; i < 20; i++)
		close(memory[i]);
	vuc_vmm_detach(dev);
	fake_vucd_stop(&daemon_);
	CU_ASSERT_EQUAL(fd_count(), fds_before);
}

static struct vuc_vmm_dma
mapping(uint64_t i, int fd)
{
	return (struct vuc_vmm_dma){
		.iova = i * PAGE,
		.size = PAGE,
		.offset = (i + 1) * PAGE,
		.flags = VUC_VMM_DMA_READ,
		.fd = fd,
	};
}

static int
map(uint64_t i, int fd)
{
	const struct vuc_vmm_dma m = mapping(i, fd);

	return vuc_vmm_dma_map(dev, &m, 1, NULL);
}

static const struct vuc_shm_dma *
message(unsigned int n)
{
	return &fake_vucd_request(&daemon_, VUC_SHM_DMA, n)->packet->dma;
}

/* Nothing is said before the commit, and all of it then is one message. */
static void
test_one_message(void)
{
	const struct vuc_vmm_dma two[] = {mapping(1, memory[0]), mapping(2, memory[0])};
	const struct vuc_shm_dma *m;

	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap_all(dev, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_map(dev, two, 2, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap(dev, 8 * PAGE, 2 * PAGE, NULL), 0);
	CU_ASSERT_EQUAL(map(3, memory[1]), 0);
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_DMA), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_DMA), 1);
	m = message(0);
	CU_ASSERT_EQUAL(m->flags, VUC_SHM_DMA_COMMIT);
	CU_ASSERT_EQUAL_FATAL(m->nr, 5);
	CU_ASSERT_EQUAL(m->nr_fds, 2);
	CU_ASSERT_EQUAL(m->entries[0].op, VUC_SHM_DMA_UNMAP_ALL);
	CU_ASSERT_EQUAL(m->entries[0].fd_index, -1);
	CU_ASSERT_EQUAL(m->entries[2].op, VUC_SHM_DMA_MAP);
	CU_ASSERT_EQUAL(m->entries[2].flags, VUC_SHM_DMA_READ);
	CU_ASSERT_EQUAL(m->entries[2].iova, 2 * PAGE);
	CU_ASSERT_EQUAL(m->entries[2].size, PAGE);
	CU_ASSERT_EQUAL(m->entries[2].offset, 3 * PAGE);
	CU_ASSERT_EQUAL(m->entries[2].fd_index, 0);
	CU_ASSERT_EQUAL(m->entries[3].op, VUC_SHM_DMA_UNMAP);
	CU_ASSERT_EQUAL(m->entries[3].iova, 8 * PAGE);
	CU_ASSERT_EQUAL(m->entries[3].size, 2 * PAGE);
	CU_ASSERT_EQUAL(m->entries[3].fd_index, -1);
	CU_ASSERT_EQUAL(m->entries[4].fd_index, 1);
	/* There is nothing left to commit. */
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_DMA), 1);
}

static void
test_many_entries(void)
{
	for (uint64_t i = 0; i < 150; i++)
		CU_ASSERT_EQUAL(map(i, memory[i % 3]), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_DMA), 3);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(message(i)->nr, i < 2 ? VUC_SHM_MAX_DMA : 150 % VUC_SHM_MAX_DMA);
		CU_ASSERT_EQUAL(message(i)->nr_fds, 3);
		CU_ASSERT_EQUAL(message(i)->flags, i < 2 ? 0 : VUC_SHM_DMA_COMMIT);
		CU_ASSERT_EQUAL(message(i)->entries[1].iova, (i * 64 + 1) * PAGE);
	}
}

static void
test_many_fds(void)
{
	for (uint64_t i = 0; i < 20; i++)
		CU_ASSERT_EQUAL(map(i, memory[i]), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	CU_ASSERT_EQUAL(message(0)->nr, VUC_SHM_MAX_FDS);
	CU_ASSERT_EQUAL(message(0)->flags, 0);
	CU_ASSERT_EQUAL(message(1)->nr, 4);
	CU_ASSERT_EQUAL(message(1)->entries[0].fd_index, 0);
	CU_ASSERT_EQUAL(message(1)->flags, VUC_SHM_DMA_COMMIT);
}

static void
test_invalid(void)
{
	const struct vuc_vmm_dma good = mapping(1, memory[0]);
	struct vuc_vmm_dma cases[10], two[2];
	struct vuc_error err;

	for (size_t i = 0; i < 10; i++)
		cases[i] = good;
	cases[0].iova++;
	cases[1].size = 0;
	cases[2].size = PAGE / 2;
	cases[3].iova = UINT64_MAX - PAGE + 1;
	cases[3].size = 2 * PAGE;
	cases[4].offset = 1;
	cases[5].offset = UINT64_C(1) << 63;
	cases[6].offset = INT64_MAX & ~(PAGE - 1);
	cases[7].flags = 0;
	cases[8].flags = 4;
	cases[9].fd = -1;
	for (size_t i = 0; i < 10; i++) {
		two[0] = good;
		two[1] = cases[i];
		memset(&err, 0, sizeof(err));
		CU_ASSERT_EQUAL(vuc_vmm_dma_map(dev, two, 2, &err), -EINVAL);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "DMA mapping 1: "));
	}
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap(dev, 1, PAGE, &err), -EINVAL);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap(dev, 0, 0, &err), -EINVAL);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap(dev, 2 * PAGE, 0 - PAGE, &err), -EINVAL);
	/* Nothing of it was queued. */
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_DMA), 0);
	/* The last page that there is. */
	two[0].iova = 0 - PAGE;
	CU_ASSERT_EQUAL(vuc_vmm_dma_map(dev, two, 1, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
}

/* The second of three messages is refused: the third is not sent, the first is committed. */
static void
test_refused(void)
{
	int status = -EEXIST;
	struct vuc_error err;

	for (uint64_t i = 0; i < 150; i++)
		CU_ASSERT_EQUAL(map(i, memory[0]), 0);
	fake_vucd_twist(&daemon_, VUC_SHM_DMA, 1, fake_refuse, &status);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, &err), -EEXIST);
	CU_ASSERT_STRING_EQUAL(err.text, "because");
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_DMA), 3);
	CU_ASSERT_EQUAL(message(2)->nr, 0);
	CU_ASSERT_EQUAL(message(2)->flags, VUC_SHM_DMA_COMMIT);
	/* What was queued behind it is forgotten. */
	fake_vucd_twist(&daemon_, 0, 0, NULL, NULL);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_DMA), 3);
}

/* A descriptor that was closed before the commit costs this commit, not the connection. */
static void
test_closed_early(void)
{
	int fd = fake_memory(PAGE);
	struct vuc_error err;

	CU_ASSERT_EQUAL(map(1, fd), 0);
	close(fd);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, &err), -EBADF);
	CU_ASSERT_STRING_EQUAL(err.text, "DMA cannot be sent to the daemon: Bad file descriptor");
	CU_ASSERT_EQUAL(map(1, memory[0]), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, &err), 0);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"one message", test_one_message},
		{"many entries", test_many_entries},
		{"many descriptors", test_many_fds},
		{"invalid", test_invalid},
		{"refused", test_refused},
		{"closed before the commit", test_closed_early},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vmm", NULL, NULL, set_up, tear_down, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
