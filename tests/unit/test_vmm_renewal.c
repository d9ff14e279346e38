/* SPDX-License-Identifier: BSD-3-Clause */

/* Queues go on with a new daemon: what threads that use them see meanwhile. */

#include <sched.h>

#include "fake_vucd.h"

#define NR_QUEUES   4u
#define NR_RESTARTS 150u

static struct vuc_queue *
open_queue(uint32_t depth)
{
	const struct vuc_queue_opts opts = {.size = sizeof(opts), .depth = depth, .max_data = 256};
	struct vuc_queue *queue;

	CU_ASSERT_EQUAL_FATAL(vuc_vmm_open_queue(dev, &opts, &queue, NULL), 0);
	return queue;
}

static void
set_up(void)
{
	fake_start_attached();
	fake_serve_queues();
}

static void
tear_down(void)
{
	fake_stop_queues();
	fake_stop();
}

static void
reattach(void)
{
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_reattach(dev, -1, &err), 0);
}

static bool
reads_well(struct vuc_queue *queue, uint32_t count)
{
	uint8_t data[256];

	if (vuc_queue_read(queue, 0, count, data, count) != 0)
		return false;
	return data[0] == (uint8_t)count && data[count - 1] == (uint8_t)count;
}

/* Queues that are idle need not be touched; a post is an access like any other. */
static void
test_idle(void)
{
	struct vuc_queue *queue[3] = {open_queue(8), open_queue(2), open_queue(8)};
	uint8_t byte = 0;

	/* So that the indexes of the others change. */
	vuc_vmm_close_queue(dev, queue[0]);
	for (unsigned int round = 0; round < 3; round++) {
		for (uint32_t i = 1; i < 100; i++)
			CU_ASSERT(reads_well(queue[1], i) && reads_well(queue[2], i));
		fake_restart();
		reattach();
		CU_ASSERT_EQUAL(fake_count(VUC_SHM_OPEN_QUEUE), 2);
		CU_ASSERT_EQUAL(vuc_queue_post(queue[2], 0, 0, &byte, 1), 0);
	}
	CU_ASSERT(reads_well(queue[1], 7) && reads_well(queue[2], 7));
}

/* Twice between two calls: the first offer is taken back. */
static void
test_twice(void)
{
	struct vuc_queue *queue = open_queue(8);

	for (unsigned int i = 0; i < 2; i++) {
		fake_restart();
		reattach();
	}
	CU_ASSERT(reads_well(queue, 9));
	fake_restart();
	reattach();
	/* Never used again. */
}

static void
submit(struct vuc_queue *queue, uint8_t *data, uintptr_t from, uintptr_t to)
{
	for (uintptr_t i = from; i < to; i++) {
		const struct vuc_queue_request r = {VUC_QUEUE_READ, 0, i, 1, &data[i], (void *)i};

		CU_ASSERT_EQUAL(vuc_queue_submit(queue, &r, 1), 1);
	}
}

/* Each request that was submitted has one result. */
static void
test_outstanding(void)
{
	struct vuc_queue *queue = open_queue(8);
	struct vuc_queue_result results[8];
	uint8_t data[8] = {0};
	const struct vuc_queue_request more = {VUC_QUEUE_WRITE_POSTED, 0, 0, 1, data, NULL};
	unsigned int seen = 0;

	fake_stop_queues();
	submit(queue, data, 0, 5);
	fake_restart();
	reattach();
	CU_ASSERT_EQUAL(vuc_queue_submit(queue, &more, 1), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_queue_poll(queue, results, 2), 2);
	CU_ASSERT_EQUAL(vuc_queue_submit(queue, &more, 1), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_queue_poll(queue, &results[2], 6), 3);
	CU_ASSERT_EQUAL(vuc_queue_poll(queue, &results[5], 3), 0);
	for (unsigned int i = 0; i < 5; i++) {
		CU_ASSERT_EQUAL(results[i].status, -ECONNRESET);
		seen |= 1u << (uintptr_t)results[i].arg;
	}
	CU_ASSERT_EQUAL(seen, 0x1f);
	CU_ASSERT_EQUAL(vuc_queue_outstanding(queue), 0);
	fake_serve_queues();
	CU_ASSERT_EQUAL(vuc_queue_submit(queue, &more, 1), 1);
	CU_ASSERT(reads_well(queue, 3));
}

/* Whoever has waited in vain has let go of its buffers: no result follows. */
static void
test_settled(void)
{
	struct vuc_queue *queue = open_queue(8);
	struct vuc_queue_result result;
	uint8_t data[8] = {0};

	fake_stop_queues();
	submit(queue, data, 0, 5);
	fake_restart();
	CU_ASSERT_EQUAL(vuc_queue_wait(queue, -1), -ECONNRESET);
	reattach();
	CU_ASSERT_EQUAL(vuc_queue_poll(queue, &result, 1), 0);
	CU_ASSERT_EQUAL(vuc_queue_wait(queue, -1), -ECONNRESET);
	fake_serve_queues();
	CU_ASSERT(reads_well(queue, 3));
	CU_ASSERT_EQUAL(vuc_queue_outstanding(queue), 0);
	CU_ASSERT_EQUAL(vuc_queue_wait(queue, -1), -ENOENT);
}

static void *
read_in_vain(void *arg)
{
	uint8_t byte;

	return (void *)(intptr_t)vuc_queue_read(arg, 0, 0, &byte, 1);
}

/* A thread that sleeps in a read when the daemon dies, and all the while until another one is
 * there: it cannot mistake the new connection for the old one. */
static void
test_asleep(void)
{
	struct vuc_queue *queue = open_queue(8);
	const struct vuc_shm_front *front = fake.queues[0].requests;
	pthread_t thread;
	void *rc;

	fake_stop_queues();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, read_in_vain, queue), 0);
	while (__atomic_load_n(&front->sleeps, __ATOMIC_SEQ_CST) == 0)
		sched_yield();
	fake_restart();
	reattach();
	pthread_join(thread, &rc);
	CU_ASSERT_EQUAL((intptr_t)rc, -ECONNRESET);
	fake_serve_queues();
	CU_ASSERT(reads_well(queue, 3));
}

/* A queue that is closed while it is opened once more. */
static void
close_it(void *arg, int status, const struct vuc_error *why)
{
	(void)arg;
	(void)why;
	CU_ASSERT(status == 0 || status == -ECONNRESET);
}

static void
test_closed_meanwhile(void)
{
	struct vuc_queue *queue[2] = {open_queue(8), open_queue(8)};

	fake_restart();
	CU_ASSERT_EQUAL(vuc_vmm_reattach_start(dev, -1, close_it, NULL, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_close_queue_start(dev, queue[0], close_it, NULL, NULL), 0);
	vuc_vmm_close_queue(dev, queue[1]);
	/* Those that the new daemon was not asked for are not closed there, either. */
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_OPEN_QUEUE), fake_count(VUC_SHM_CLOSE_QUEUE));
	CU_ASSERT(reads_well(open_queue(8), 5));
	vuc_vmm_events(dev);
}

/* ---- all at once ---- */

static _Atomic bool over;

/* A vCPU: each access is right, or ends with the one error there is. */
static void *
access_all(void *arg)
{
	struct vuc_queue *queue = arg;
	uintptr_t wrong = 0, good = 0;
	uint8_t data[256];

	for (uint32_t i = 1; !over || good == 0; i++) {
		uint32_t count = i % 200 + 1;
		int rc = vuc_queue_read(queue, 0, i, data, count);

		wrong += rc != 0 && rc != -ECONNRESET;
		if (rc == 0)
			wrong += data[0] != (uint8_t)i || data[count - 1] != (uint8_t)i;
		good += rc == 0;
		rc = vuc_queue_post(queue, 0, 0, data, count);
		wrong += rc != 0 && rc != -ECONNRESET;
	}
	return (void *)wrong;
}

/* Several outstanding at a time: each has one result. */
static void *
access_deep(void *arg)
{
	struct vuc_queue *queue = arg;
	uintptr_t wrong = 0, good = 0;
	struct vuc_queue_result results[8];
	bool busy[8] = {false};
	uint8_t data[8];

	while (!over || good == 0) {
		for (uintptr_t i = 0; i < 8; i++) {
			const struct vuc_queue_request r = {
				VUC_QUEUE_READ, 0, i, 1, &data[i], (void *)i};

			if (!busy[i])
				busy[i] = vuc_queue_submit(queue, &r, 1) == 1;
		}
		for (unsigned int n = vuc_queue_poll(queue, results, 8); n > 0; n--) {
			uintptr_t i = (uintptr_t)results[n - 1].arg;

			wrong += !busy[i];
			wrong += results[n - 1].status != 0 && results[n - 1].status != -ECONNRESET;
			if (results[n - 1].status == 0)
				wrong += data[i] != i;
			good += results[n - 1].status == 0;
			busy[i] = false;
		}
		sched_yield();
	}
	return (void *)wrong;
}

/* The shared queue, and what is a message. */
static void *
ask_all(void *arg)
{
	uintptr_t wrong = 0;
	struct vuc_vmm_counters counters = {.argsz = sizeof(counters)};
	uint8_t data[16];

	(void)arg;
	while (!over) {
		int rc = vuc_vmm_read(dev, 0, 5, data, sizeof(data), NULL);

		wrong += rc != 0 && rc != -ECONNRESET;
		wrong += rc == 0 && (data[0] != 5 || data[15] != 5);
		rc = vuc_vmm_reset(dev, NULL);
		wrong += rc != 0 && rc != -ECONNRESET;
		vuc_vmm_counters(dev, &counters);
	}
	return (void *)wrong;
}

static void
test_storm(void)
{
	pthread_t threads[NR_QUEUES + 1];
	void *wrong;

	over = false;
	for (unsigned int i = 0; i < NR_QUEUES; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL,
					      i % 2 == 0 ? access_all : access_deep, open_queue(8)),
			0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[NR_QUEUES], NULL, ask_all, NULL), 0);
	for (unsigned int i = 0; i < NR_RESTARTS; i++) {
		fake_restart();
		reattach();
		if (i % 3 == 0)
			CU_ASSERT_EQUAL(
				vuc_vmm_events(dev) & VUC_VMM_EVENT_RESET, VUC_VMM_EVENT_RESET);
	}
	over = true;
	for (unsigned int i = 0; i < NR_QUEUES + 1; i++) {
		pthread_join(threads[i], &wrong);
		CU_ASSERT_PTR_NULL(wrong);
	}
}

const struct tap_suite tap_suite = {"vmm", set_up, tear_down,
	{
		{"idle queues", test_idle},
		{"twice", test_twice},
		{"outstanding requests", test_outstanding},
		{"requests that were given up", test_settled},
		{"a thread that sleeps", test_asleep},
		{"closed meanwhile", test_closed_meanwhile},
		{"all at once", test_storm},
	}};
