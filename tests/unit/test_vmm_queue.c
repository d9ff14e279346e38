/* SPDX-License-Identifier: BSD-3-Clause */

/* Queues over memory of the daemon: opened, used, closed, and left alone by a daemon that dies. */

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>

#include "fake_vucd.h"

static struct vuc_queue *
open_queue(uint32_t depth, uint32_t max_data)
{
	const struct vuc_queue_opts opts = {
		.size = sizeof(opts), .depth = depth, .max_data = max_data};
	struct vuc_queue *queue;

	CU_ASSERT_EQUAL_FATAL(vuc_vmm_open_queue(dev, &opts, &queue, NULL), 0);
	return queue;
}

static void
test_access(void)
{
	struct vuc_queue *queue = open_queue(8, 256);
	uint8_t data[256] = {0};
	unsigned int wrong = 0;

	CU_ASSERT(vuc_queue_depth(queue) == 8 && vuc_queue_max_data(queue) == 256);
	fake_serve_queues();
	for (uint32_t i = 1; i <= 100; i++) {
		wrong += vuc_queue_read(queue, 0, i, data, i) != 0;
		wrong += data[0] != i || data[i - 1] != i;
		wrong += vuc_queue_write(queue, 0, 0, data, i) != 0;
		wrong += vuc_queue_post(queue, 0, 0, data, i) != 0;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	fake_stop_queues();
	vuc_vmm_close_queue(dev, queue);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_CLOSE_QUEUE), 1);
}

/* The bit of the queue, and the kick that wakes a poller which sleeps. */
static void
test_bell(void)
{
	struct vuc_queue *queue[3];
	uint64_t kicks = 0;
	uint8_t byte = 0;

	for (unsigned int i = 0; i < 3; i++)
		queue[i] = open_queue(8, 64);
	((struct vuc_shm_back *)fake.queues[2].completions)->bell = 1;
	CU_ASSERT_EQUAL(vuc_queue_post(queue[1], 0, 0, &byte, 1), 0);
	CU_ASSERT_EQUAL(fake.bell->rung, 0);
	CU_ASSERT_EQUAL(vuc_queue_post(queue[2], 0, 0, &byte, 1), 0);
	CU_ASSERT_EQUAL(fake.bell->rung, 4);
	CU_ASSERT_EQUAL(read(fake.kick_fd, &kicks, sizeof(kicks)), -1);
	fake.poller->sleeps = 1;
	CU_ASSERT_EQUAL(vuc_queue_post(queue[2], 0, 0, &byte, 1), 0);
	CU_ASSERT_EQUAL(read(fake.kick_fd, &kicks, sizeof(kicks)), sizeof(kicks));
	CU_ASSERT_EQUAL(kicks, 1);
}

/* The eventfd of a kick is full, and was not made to say so. */
static void
test_full_kick(void)
{
	const uint64_t most = UINT64_MAX - 1;
	struct vuc_queue *queue;
	uint8_t byte = 0;

	CU_ASSERT_EQUAL_FATAL(fcntl(fake.kick_fd, F_SETFL, O_RDWR), 0);
	fake_attach(0);
	queue = open_queue(8, 64);
	CU_ASSERT_EQUAL(write(fake.kick_fd, &most, sizeof(most)), sizeof(most));
	((struct vuc_shm_back *)fake.queues[0].completions)->bell = 1;
	fake.poller->sleeps = 1;
	CU_ASSERT_EQUAL(vuc_queue_post(queue, 0, 0, &byte, 1), 0);
}

/* A queue that was closed leaves its place to another one. */
static void
test_many(void)
{
	struct vuc_queue *queues[8], *more;

	for (unsigned int i = 0; i < 8; i++)
		queues[i] = open_queue(1, 64);
	CU_ASSERT(fake_failed(vuc_vmm_open_queue(dev, NULL, &more, &err), -ENOSPC, "because"));
	CU_ASSERT_PTR_NULL(more);
	vuc_vmm_close_queue(dev, queues[3]);
	vuc_vmm_close_queue(dev, NULL);
	CU_ASSERT_EQUAL(fake_request(VUC_SHM_CLOSE_QUEUE, 0)->packet->index.index, 3);
	more = open_queue(256, 1024);
	CU_ASSERT_EQUAL(vuc_queue_depth(more), 256);
}

static void
test_options(void)
{
	const size_t size = sizeof(struct vuc_queue_opts);
	const struct vuc_queue_opts cases[] = {{size, 0, 64}, {size, 3, 64}, {size, 512, 64},
		{size, 1, 0}, {size, 1, 65}, {size, 1, 1048576 + 64},
		{size, UINT32_MAX, UINT32_MAX}, {0, 4, 64}};
	struct vuc_queue *queue;

	for (size_t i = 0; i < NR(cases); i++)
		CU_ASSERT_EQUAL(vuc_vmm_open_queue(dev, &cases[i], &queue, NULL), -EINVAL);
	CU_ASSERT(fake_failed(vuc_vmm_open_queue(dev, &cases[2], &queue, &err), -EINVAL,
		"queue depth 512, the daemon allows 256"));
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_OPEN_QUEUE), 0);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue(dev, NULL, &queue, NULL), 0);
	CU_ASSERT_EQUAL(vuc_queue_depth(queue), VUC_DEFAULT_QUEUE_DEPTH);
	CU_ASSERT_EQUAL(vuc_queue_max_data(queue), VUC_DEFAULT_QUEUE_MAX_DATA);
}

static void
halve(struct fake_reply *reply, void *arg)
{
	(void)arg;
	reply->packet->queue_reply.max_data /= 2;
}

/* The daemon may allow for less data, in memory that is larger than it has to be. */
static void
test_less_data(void)
{
	fake_twist(VUC_SHM_OPEN_QUEUE, 0, halve, NULL);
	CU_ASSERT_EQUAL(vuc_queue_max_data(open_queue(4, 4096)), 2048);
}

/* A daemon that dies while a thread sleeps for it, in each call that waits. */
static void *
hang_up_when_asleep(void *arg)
{
	const struct vuc_shm_front *front = arg;

	while (__atomic_load_n(&front->sleeps, __ATOMIC_SEQ_CST) == 0)
		sched_yield();
	fake_hang_up();
	return NULL;
}

static int
read_one(struct vuc_queue *queue)
{
	uint8_t byte;

	return vuc_queue_read(queue, 0, 0, &byte, 1);
}

/* The third one has no place in a queue of two. */
static int
post_three(struct vuc_queue *queue)
{
	uint8_t byte = 0;
	int rc = 0;

	for (unsigned int i = 0; i < 3; i++)
		rc = vuc_queue_post(queue, 0, 0, &byte, 1);
	return rc;
}

/* The queue is left open: it is closed with the device. */
static void
test_daemon_dies(void)
{
	int (*const calls[])(struct vuc_queue *) = {read_one, post_three};

	for (unsigned int i = 0; i < 2; i++) {
		struct vuc_queue_result result;
		struct vuc_queue *queue;
		uint8_t byte = 0;
		const struct vuc_queue_request r = {VUC_QUEUE_READ, 0, 0, 1, &byte, NULL};
		pthread_t thread;

		fake_stop();
		fake_start_attached();
		queue = open_queue(2, 64);
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&thread, NULL, hang_up_when_asleep, fake.queues[0].requests),
			0);
		CU_ASSERT_EQUAL(calls[i](queue), -ECONNRESET);
		pthread_join(thread, NULL);
		CU_ASSERT_EQUAL(vuc_queue_poll(queue, &result, 1), 0);
		CU_ASSERT_EQUAL(vuc_queue_submit(queue, &r, 1), -ECONNRESET);
		CU_ASSERT_EQUAL(vuc_queue_post(queue, 0, 0, &byte, 1), -ECONNRESET);
		if (i == 0) {
			CU_ASSERT_EQUAL(vuc_queue_wait(queue, -1), -ECONNRESET);
			vuc_vmm_close_queue(dev, queue);
		}
	}
}

/* A daemon that has died already, and one that this side has given up. */
static void
test_daemon_dead(void)
{
	struct vuc_queue *queue = open_queue(2, 64);
	uint8_t byte = 0;

	fake_hang_up();
	CU_ASSERT_EQUAL(vuc_queue_write(queue, 0, 0, &byte, 1), -ECONNRESET);
}

/* Nothing can be opened but 0 and 1, which are open. */
static void
limit_files(struct fake_reply *reply, void *arg)
{
	struct rlimit limit = *(const struct rlimit *)arg;

	(void)reply;
	limit.rlim_cur = 2;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Without descriptors to spare there is no queue, and the daemon gets back what it has made. */
static void
test_too_many_files(void)
{
	struct vuc_queue *queue;
	struct rlimit limit;
	int rc;

	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
	open_queue(1, 64);
	fake_twist(VUC_SHM_OPEN_QUEUE, 0, limit_files, &limit);
	rc = vuc_vmm_open_queue(dev, NULL, &queue, &err);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CU_ASSERT(fake_failed(rc, -EMFILE, "*too many open descriptors*"));
	CU_ASSERT_EQUAL(fake_request(VUC_SHM_CLOSE_QUEUE, 0)->packet->index.index, 1);
	fake_twist(0, 0, NULL, NULL);
	open_queue(1, 64);
}

const struct tap_suite tap_suite = {"vmm", fake_start_attached, fake_stop,
	{
		{"access", test_access},
		{"bell", test_bell},
		{"a kick that is full", test_full_kick},
		{"many", test_many},
		{"options", test_options},
		{"less data than asked for", test_less_data},
		{"the daemon dies during a call", test_daemon_dies},
		{"the daemon has died", test_daemon_dead},
		{"too many open files", test_too_many_files},
	}};
