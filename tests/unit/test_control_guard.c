/* SPDX-License-Identifier: BSD-3-Clause */

/* Memory that loses its pages while it is accessed, beside guards and ranges that come and go. */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "dma_maps.h"
#include "guard.h"
#include "tap.h"

#define PAGE   4096u
#define PAGES  4u
#define ROUNDS 2000u

static char *
map_file(int fd)
{
	char *addr;

	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, PAGES * PAGE), 0);
	addr = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CU_ASSERT_FATAL(addr != MAP_FAILED);
	return addr;
}

static void
test_truncated(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC), wake = eventfd(0, EFD_CLOEXEC);
	struct guard *g, *other;
	uint64_t count = 0;
	volatile char *addr;

	CU_ASSERT_EQUAL_FATAL(guard_install(), 0);
	CU_ASSERT_EQUAL(guard_install(), 0);
	g = guard_create(2, 0, wake);
	other = guard_create(2, 0, wake);
	CU_ASSERT_FATAL(g != NULL && other != NULL);
	addr = map_file(fd);
	CU_ASSERT_EQUAL(guard_add(g, (void *)(uintptr_t)addr, PAGES * PAGE), 0);
	addr[PAGE] = 1;
	CU_ASSERT_FALSE(guard_is_broken(g));
	CU_ASSERT_EQUAL(ftruncate(fd, PAGE), 0);
	CU_ASSERT_EQUAL(addr[2 * PAGE], 0);
	addr[3 * PAGE - 1] = 7;
	CU_ASSERT_EQUAL(addr[3 * PAGE - 1], 7);
	CU_ASSERT_TRUE(guard_is_broken(g));
	CU_ASSERT_FALSE(guard_is_broken(other));
	CU_ASSERT_EQUAL(read(wake, &count, sizeof(count)), sizeof(count));
	CU_ASSERT_EQUAL(count, 1);
	guard_remove(g, (void *)(uintptr_t)addr);
	munmap((void *)(uintptr_t)addr, PAGES * PAGE);
	guard_destroy(g);
	guard_destroy(other);
	guard_destroy(NULL);
	close(fd);
	close(wake);
}

static void
test_room(void)
{
	static char memory[3 * PAGE];
	struct guard *g = guard_create(2, 0, -1);

	CU_ASSERT_PTR_NOT_NULL_FATAL(g);
	CU_ASSERT_EQUAL(guard_add(g, memory, PAGE), 0);
	CU_ASSERT_EQUAL(guard_add(g, memory + PAGE, PAGE), 0);
	CU_ASSERT_EQUAL(guard_add(g, memory + 2 * PAGE, PAGE), -ENOSPC);
	guard_remove(g, memory + 2 * PAGE);
	guard_remove(g, memory);
	CU_ASSERT_EQUAL(guard_add(g, memory + 2 * PAGE, PAGE), 0);
	guard_remove(g, memory + 2 * PAGE);
	guard_remove(g, memory + PAGE);
	guard_destroy(g);
}

static atomic_bool stop;

/* Others come and go, next to where the faults are. */
static void *
churn(void *arg)
{
	char *near = arg;

	while (!atomic_load(&stop)) {
		struct guard *g = guard_create(4, 0, -1);

		if (g == NULL)
			return arg;
		for (unsigned int i = 0; i < 100; i++) {
			guard_add(g, near, PAGE * (1 + i % 4));
			guard_remove(g, near);
		}
		if (guard_is_broken(g))
			return arg;
		guard_destroy(g);
	}
	return NULL;
}

static void
test_churn(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC), wake = eventfd(0, EFD_CLOEXEC);
	char *space = mmap(NULL, 4 * PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *failed = space;
	pthread_t thread;

	CU_ASSERT_FATAL(space != MAP_FAILED);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, churn, space), 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct guard *g = guard_create(1, 0, wake);
		volatile char *addr = map_file(fd);

		guard_add(g, (void *)(uintptr_t)addr, PAGES * PAGE);
		CU_ASSERT_EQUAL(ftruncate(fd, 0), 0);
		CU_ASSERT_EQUAL(addr[i % (PAGES * PAGE)], 0);
		CU_ASSERT_TRUE(guard_is_broken(g));
		guard_remove(g, (void *)(uintptr_t)addr);
		munmap((void *)(uintptr_t)addr, PAGES * PAGE);
		guard_destroy(g);
	}
	atomic_store(&stop, true);
	pthread_join(thread, &failed);
	CU_ASSERT_PTR_NULL(failed);
	munmap(space, 4 * PAGES * PAGE);
	close(fd);
	close(wake);
}

static void
count_look(void *arg)
{
	(*(unsigned int *)arg)++;
}

/* What waits for the thread meanwhile is seen to behind each piece of the file. */
static void
test_populated_in_pieces(void)
{
	const struct dma_maps_opts opts = {
		.max = 1, .max_bytes = 1 << 20, .budget = 1 << 20, .wake_fd = -1};
	const struct vuc_shm_dma_entry entry = {
		.op = VUC_SHM_DMA_MAP,
		.flags = VUC_SHM_DMA_READ | VUC_SHM_DMA_WRITE,
		.size = PAGES * PAGE,
	};
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct dma_maps maps;
	unsigned int looks = 0;
	void *addr;

	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, PAGES * PAGE), 0);
	CU_ASSERT_EQUAL(pwrite(fd, "a", 1, 0), 1);
	CU_ASSERT_EQUAL(pwrite(fd, "b", 1, 2 * PAGE), 1);
	CU_ASSERT_EQUAL_FATAL(dma_maps_init(&maps, &opts), 0);
	CU_ASSERT_EQUAL_FATAL(dma_maps_add(&maps, &entry, fd, PAGE, &addr), 0);
	dma_maps_populate(&maps, &entry, fd, count_look, &looks);
	CU_ASSERT_EQUAL(looks, 2);
	dma_maps_fini(&maps);
	close(fd);
}

const struct tap_suite tap_suite = {"guard", NULL, NULL,
	{
		{"truncated", test_truncated},
		{"room", test_room},
		{"churn", test_churn},
		{"populated in pieces", test_populated_in_pieces},
	}};
