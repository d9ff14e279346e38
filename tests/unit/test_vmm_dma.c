/* SPDX-License-Identifier: BSD-3-Clause */

/* Mappings in messages: what goes together, and what becomes of it after an error. */

#include "fake_vucd.h"

#define PAGE UINT64_C(4096)

static int memory[20];

static void
set_up(void)
{
	fake_start_attached();
	for (unsigned int i = 0; i < 20; i++)
		memory[i] = fake_memory(PAGE);
}

static void
tear_down(void)
{
	for (unsigned int i = 0; i < 20; i++)
		close(memory[i]);
	fake_stop();
}

/* Memory i at page `page`. */
static struct vuc_vmm_dma
mapping(uint64_t page, unsigned int i)
{
	return (struct vuc_vmm_dma){
		.argsz = sizeof(struct vuc_vmm_dma),
		.iova = page * PAGE,
		.size = PAGE,
		.offset = (page + 1) * PAGE,
		.flags = VUC_VMM_DMA_READ,
		.fd = memory[i],
	};
}

static void
map(uint64_t page, unsigned int i)
{
	const struct vuc_vmm_dma m = mapping(page, i);

	CU_ASSERT_EQUAL(vuc_vmm_dma_map(dev, &m, 1, NULL), 0);
}

/* The n-th message, which has so many entries and descriptors. */
static const struct vuc_shm_dma *
expect_message(unsigned int n, uint32_t nr, uint32_t nr_fds, uint32_t flags)
{
	const struct vuc_shm_dma *m = &fake_request(VUC_SHM_DMA, n)->packet->dma;

	CU_ASSERT(m->nr == nr && m->nr_fds == nr_fds && m->flags == flags);
	return m;
}

static void
expect_entry(const struct vuc_shm_dma *m, unsigned int i, uint32_t op, uint64_t page,
	uint64_t pages, int32_t fd_index)
{
	const struct vuc_shm_dma_entry *e = &m->entries[i];

	CU_ASSERT(e->op == op && e->iova == page * PAGE && e->size == pages * PAGE);
	CU_ASSERT_EQUAL(e->fd_index, fd_index);
	if (op == VUC_SHM_DMA_MAP)
		CU_ASSERT(e->flags == VUC_SHM_DMA_READ && e->offset == (page + 1) * PAGE);
}

/* Nothing is said before the commit, and all of it then is one message. */
static void
test_one_message(void)
{
	const struct vuc_vmm_dma two[] = {mapping(1, 0), mapping(2, 0)};
	const struct vuc_shm_dma *m;

	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap_all(dev, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_map(dev, two, 2, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap(dev, 8 * PAGE, 2 * PAGE, NULL), 0);
	map(3, 1);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DMA), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	m = expect_message(0, 5, 2, VUC_SHM_DMA_COMMIT);
	expect_entry(m, 0, VUC_SHM_DMA_UNMAP_ALL, 0, 0, -1);
	expect_entry(m, 1, VUC_SHM_DMA_MAP, 1, 1, 0);
	expect_entry(m, 2, VUC_SHM_DMA_MAP, 2, 1, 0);
	expect_entry(m, 3, VUC_SHM_DMA_UNMAP, 8, 2, -1);
	expect_entry(m, 4, VUC_SHM_DMA_MAP, 3, 1, 1);
	/* There is nothing left to commit. */
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DMA), 1);
}

static void
test_many_entries(void)
{
	for (unsigned int i = 0; i < 150; i++)
		map(i, i % 3);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DMA), 3);
	for (unsigned int i = 0; i < 3; i++)
		expect_entry(expect_message(i, i < 2 ? VUC_SHM_MAX_DMA : 150 % VUC_SHM_MAX_DMA, 3,
				     i < 2 ? 0 : VUC_SHM_DMA_COMMIT),
			1, VUC_SHM_DMA_MAP, i * 64 + 1, 1, 1);
}

static void
test_many_fds(void)
{
	for (unsigned int i = 0; i < 20; i++)
		map(i, i);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	expect_message(0, VUC_SHM_MAX_FDS, VUC_SHM_MAX_FDS, 0);
	expect_entry(expect_message(1, 4, 4, VUC_SHM_DMA_COMMIT), 0, VUC_SHM_DMA_MAP, 16, 1, 0);
}

/* One wrong mapping of two refuses both. */
static void
test_invalid(void)
{
	static const struct {
		uint64_t iova, size, offset;
		uint32_t flags;
		bool no_fd;
	} rows[] = {
		{PAGE + 1, PAGE, 0, 1, false}, {PAGE, 0, 0, 1, false},
		{PAGE, PAGE / 2, 0, 1, false}, {0 - PAGE, 2 * PAGE, 0, 1, false},
		{PAGE, PAGE, 1, 1, false}, {PAGE, PAGE, UINT64_C(1) << 63, 1, false},
		{PAGE, PAGE, INT64_MAX & ~(PAGE - 1), 1, false}, {PAGE, PAGE, 0, 0, false},
		{PAGE, PAGE, 0, 4, false},
		{PAGE, PAGE, 0, 1, true}, /* an open one would be no error */
	};
	static const uint64_t ranges[][2] = {{1, PAGE}, {0, 0}, {2 * PAGE, 0 - PAGE}};
	struct vuc_vmm_dma two[2] = {mapping(1, 0)};

	for (size_t i = 0; i < NR(rows); i++) {
		two[1] = (struct vuc_vmm_dma){sizeof(two[1]), rows[i].iova, rows[i].size,
			rows[i].offset, rows[i].flags, rows[i].no_fd ? -2 : memory[0]};
		err.text[0] = '\0';
		vuc_tap_row("mapping %zu", i);
		CU_ASSERT(fake_failed(
			vuc_vmm_dma_map(dev, two, 2, &err), -EINVAL, "DMA mapping 1: *"));
	}
	for (size_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(vuc_vmm_dma_unmap(dev, ranges[i][0], ranges[i][1], &err), -EINVAL);
	/* Nothing of it was queued. */
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DMA), 0);
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

	for (unsigned int i = 0; i < 150; i++)
		map(i, 0);
	fake_twist(VUC_SHM_DMA, 1, fake_refuse, &status);
	CU_ASSERT(fake_failed(vuc_vmm_dma_commit(dev, &err), -EEXIST, "because"));
	expect_message(2, 0, 0, VUC_SHM_DMA_COMMIT);
	/* What was queued behind it is forgotten. */
	fake_twist(0, 0, NULL, NULL);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DMA), 3);
}

/* A descriptor that was closed before the commit costs this commit, not the connection. */
static void
test_closed_early(void)
{
	map(1, 1);
	close(memory[1]);
	CU_ASSERT(fake_failed(vuc_vmm_dma_commit(dev, &err), -EBADF,
		"DMA mapping at 0x1000: Bad file descriptor"));
	memory[1] = fake_memory(PAGE);
	map(1, 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, &err), 0);
}

/* Memory without a file is none of the daemon's, and unmapping it is no error there. */
static void
test_no_file(void)
{
	struct vuc_vmm_dma three[] = {mapping(1, 0), mapping(2, 0), mapping(3, 0)};
	const struct vuc_shm_dma *m;

	three[0].fd = three[2].fd = -1;
	CU_ASSERT_EQUAL(vuc_vmm_dma_map(dev, three, 3, NULL), 2);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap(dev, PAGE, PAGE, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap(dev, 2 * PAGE, PAGE, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap(dev, PAGE, PAGE, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap_if_mapped(dev, 9 * PAGE, PAGE, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap_all(dev, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap(dev, 3 * PAGE, PAGE, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	m = expect_message(0, 7, 1, VUC_SHM_DMA_COMMIT);
	expect_entry(m, 0, VUC_SHM_DMA_MAP, 2, 1, 0);
	expect_entry(m, 1, VUC_SHM_DMA_UNMAP, 1, 1, -1);
	CU_ASSERT_EQUAL(m->entries[1].flags, VUC_SHM_DMA_IF_MAPPED);
	CU_ASSERT_EQUAL(m->entries[2].flags, 0);
	CU_ASSERT_EQUAL(m->entries[3].flags, 0);
	CU_ASSERT_EQUAL(m->entries[4].flags, VUC_SHM_DMA_IF_MAPPED);
	CU_ASSERT_EQUAL(m->entries[6].flags, 0);
}

const struct tap_suite tap_suite = {"vmm", set_up, tear_down,
	{
		{"one message", test_one_message},
		{"many entries", test_many_entries},
		{"many descriptors", test_many_fds},
		{"invalid", test_invalid},
		{"refused", test_refused},
		{"closed before the commit", test_closed_early},
		{"memory without a file", test_no_file},
	}};
