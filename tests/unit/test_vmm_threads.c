/* SPDX-License-Identifier: BSD-3-Clause */

/* Any thread may call what is a message, at the same time as others. */

#include <pthread.h>

#include "fake_vucd.h"

#define NR_THREADS 4u
#define NR_ROUNDS  100u

static pthread_barrier_t barrier;

/* Regions are asked for once, whoever comes first. */
static unsigned int
use_regions(unsigned int i)
{
	const struct vuc_vmm_region *region;
	struct vuc_vmm_io_fds *io;
	struct vuc_vmm_irq irq = {.argsz = sizeof(irq)};
	unsigned int wrong = 0;

	wrong += vuc_vmm_region(dev, i % FAKE_REGIONS, &region, NULL) != 0;
	wrong += region->index != i % FAKE_REGIONS;
	wrong += vuc_vmm_irq(dev, i % FAKE_IRQS, &irq, NULL) != 0;
	wrong += irq.index != i % FAKE_IRQS;
	wrong += vuc_vmm_io_fds(dev, 0, &io, NULL) != 0;
	vuc_vmm_io_fds_free(io);
	return wrong;
}

static unsigned int
use_memory_and_queue(uint64_t iova)
{
	const struct vuc_vmm_dma m = {.argsz = sizeof(m),
		.iova = iova,
		.size = 4096,
		.flags = VUC_VMM_DMA_READ,
		.fd = fake.memory};
	const struct vuc_queue_opts opts = {.size = sizeof(opts), .depth = 4, .max_data = 64};
	struct vuc_queue *queue;
	unsigned int wrong = 0;

	wrong += vuc_vmm_dma_map(dev, &m, 1, NULL) != 0;
	wrong += vuc_vmm_dma_unmap(dev, iova, 4096, NULL) != 0;
	wrong += vuc_vmm_dma_commit(dev, NULL) != 0;
	wrong += vuc_vmm_open_queue(dev, &opts, &queue, NULL) != 0;
	wrong += vuc_queue_post(queue, 0, 0, &iova, 4) != 0;
	vuc_vmm_close_queue(dev, queue);
	return wrong;
}

static void *
use_all(void *arg)
{
	uintptr_t id = (uintptr_t)arg, wrong = 0;
	struct vuc_vmm_counters counters = {.argsz = sizeof(counters)};

	pthread_barrier_wait(&barrier);
	for (unsigned int i = 0; i < NR_ROUNDS; i++) {
		wrong += use_regions(i);
		wrong += use_memory_and_queue((id * NR_ROUNDS + i) * 4096);
		wrong += vuc_vmm_reset(dev, NULL) != 0;
		/* One thread takes events; the others have counters and info. */
		if (id == 0)
			wrong += vuc_vmm_events(dev) != 0;
		vuc_vmm_counters(dev, &counters);
		wrong += vuc_vmm_info(dev)->num_irqs != FAKE_IRQS;
	}
	return (void *)wrong;
}

/* Each call ends, with the one error there is. */
static void *
reset_to_the_end(void *arg)
{
	int rc = 0;

	(void)arg;
	pthread_barrier_wait(&barrier);
	while (rc == 0)
		rc = vuc_vmm_reset(dev, NULL);
	return (void *)(uintptr_t)(rc != -ECONNRESET);
}

/* hang_up: the daemon goes while all of them are calling. */
static void
run_threads(void *(*fn)(void *), bool hang_up)
{
	pthread_t threads[NR_THREADS];
	void *wrong;

	CU_ASSERT_EQUAL_FATAL(pthread_barrier_init(&barrier, NULL, NR_THREADS), 0);
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, fn, (void *)i), 0);
	if (hang_up) {
		fake_await(VUC_SHM_RESET, 20);
		fake_hang_up();
	}
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		pthread_join(threads[i], &wrong);
		CU_ASSERT_PTR_NULL(wrong);
	}
	pthread_barrier_destroy(&barrier);
}

static void
test_threads(void)
{
	run_threads(use_all, false);
}

static void
test_end(void)
{
	run_threads(reset_to_the_end, true);
}

const struct tap_suite tap_suite = {"vmm", fake_start_attached, fake_stop,
	{
		{"threads", test_threads},
		{"threads when the daemon goes", test_end},
	}};
