/* SPDX-License-Identifier: BSD-3-Clause */

/* Queues over memory of the daemon: opened, used, closed, and left alone by a daemon that dies. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "back.h"
#include "fake_vucd.h"
#include "fd_count.h"
#include "tap.h"

static unsigned int fds_before;
static struct fake_vucd daemon_;
static struct vuc_vmm_device *dev;

static void
set_up(void)
{
	fds_before = fd_count();
	fake_vucd_start(&daemon_);
	dev = fake_attach(&daemon_);
}

static void
tear_down(void)
{
	vuc_vmm_detach(dev);
	fake_vucd_stop(&daemon_);
	CU_ASSERT_EQUAL(fd_count(), fds_before);
}

static struct vuc_queue *
open_queue(uint32_t depth, uint32_t max_data)
{
	const struct vuc_queue_opts opts = {
		.size = sizeof(opts), .depth = depth, .max_data = max_data};
	struct vuc_queue *queue;

	CU_ASSERT_EQUAL_FATAL(vuc_vmm_open_queue(dev, &opts, &queue, NULL), 0);
	return queue;
}

/* A thread that serves one queue of the daemon, until it is told to stop. */
struct server {
	struct vuc_queue_back back;
	_Atomic bool stop;
	pthread_t thread;
};

static void
serve_one(struct vuc_queue_back *b, const struct vuc_queue_taken *taken)
{
	const struct queue_request_slot *slot = &taken->slot;

	vuc_queue_back_take(b, taken);
	if (slot->op == VUC_QUEUE_READ)
		memset(vuc_queue_back_room(b, slot->id, slot->count), (int)slot->offset,
			slot->count);
	if (slot->op != VUC_QUEUE_WRITE_POSTED)
		vuc_queue_back_complete(
			b, slot->id, 0, slot->op == VUC_QUEUE_READ ? slot->count : 0);
	vuc_queue_back_flush(b);
}

static void *
serve(void *arg)
{
	struct server *s = arg;
	struct vuc_queue_taken taken;

	while (!s->stop) {
		if (vuc_queue_back_peek(&s->back, &taken) == 1)
			serve_one(&s->back, &taken);
		else
			sched_yield();
	}
	return NULL;
}

static void
start(struct server *s, unsigned int index)
{
	const struct fake_queue *q = &daemon_.queues[index];
	const struct vuc_queue_back_opts opts = {
		.geometry = {q->depth, q->max_data},
		.requests = q->requests,
		.completions = q->completions,
	};

	s->stop = false;
	CU_ASSERT_EQUAL_FATAL(vuc_queue_back_init(&s->back, &opts), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void
stop(struct server *s)
{
	s->stop = true;
	pthread_join(s->thread, NULL);
	vuc_queue_back_fini(&s->back);
}

static void
test_access(void)
{
	struct vuc_queue *queue = open_queue(8, 256);
	uint8_t data[256] = {0};
	unsigned int wrong = 0;
	struct server s;

	CU_ASSERT_EQUAL(vuc_queue_depth(queue), 8);
	CU_ASSERT_EQUAL(vuc_queue_max_data(queue), 256);
	start(&s, 0);
	for (uint32_t i = 1; i <= 100; i++) {
		wrong += vuc_queue_read(queue, 0, i, data, i) != 0;
		wrong += data[0] != i || data[i - 1] != i;
		wrong += vuc_queue_write(queue, 0, 0, data, i) != 0;
		wrong += vuc_queue_post(queue, 0, 0, data, i) != 0;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	stop(&s);
	vuc_vmm_close_queue(dev, queue);
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_CLOSE_QUEUE), 1);
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
	((struct vuc_shm_back *)daemon_.queues[2].completions)->bell = 1;
	CU_ASSERT_EQUAL(vuc_queue_post(queue[1], 0, 0, &byte, 1), 0);
	CU_ASSERT_EQUAL(daemon_.bell->rung, 0);
	CU_ASSERT_EQUAL(vuc_queue_post(queue[2], 0, 0, &byte, 1), 0);
	CU_ASSERT_EQUAL(daemon_.bell->rung, 4);
	CU_ASSERT_EQUAL(read(daemon_.kick_fd, &kicks, sizeof(kicks)), -1);
	daemon_.poller->sleeps = 1;
	CU_ASSERT_EQUAL(vuc_queue_post(queue[2], 0, 0, &byte, 1), 0);
	CU_ASSERT_EQUAL(read(daemon_.kick_fd, &kicks, sizeof(kicks)), sizeof(kicks));
	CU_ASSERT_EQUAL(kicks, 1);
}

/* The eventfd of a kick is full, and was not made to say so. */
static void
test_full_kick(void)
{
	const uint64_t most = UINT64_MAX - 1;
	struct vuc_queue *queue;
	uint8_t byte = 0;

	vuc_vmm_detach(dev);
	CU_ASSERT_EQUAL_FATAL(fcntl(daemon_.kick_fd, F_SETFL, O_RDWR), 0);
	dev = fake_attach(&daemon_);
	queue = open_queue(8, 64);
	CU_ASSERT_EQUAL(write(daemon_.kick_fd, &most, sizeof(most)), sizeof(most));
	((struct vuc_shm_back *)daemon_.queues[0].completions)->bell = 1;
	daemon_.poller->sleeps = 1;
	CU_ASSERT_EQUAL(vuc_queue_post(queue, 0, 0, &byte, 1), 0);
}

/* A queue that was closed leaves its place to another one. */
static void
test_many(void)
{
	struct vuc_queue *queues[8], *more;
	struct vuc_error err;

	for (unsigned int i = 0; i < 8; i++)
		queues[i] = open_queue(1, 64);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue(dev, NULL, &more, &err), -ENOSPC);
	CU_ASSERT_STRING_EQUAL(err.text, "because");
	CU_ASSERT_PTR_NULL(more);
	vuc_vmm_close_queue(dev, queues[3]);
	vuc_vmm_close_queue(dev, NULL);
	CU_ASSERT_EQUAL(
		fake_vucd_request(&daemon_, VUC_SHM_CLOSE_QUEUE, 0)->packet->index.index, 3);
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
	struct vuc_error err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CU_ASSERT_EQUAL(vuc_vmm_open_queue(dev, &cases[i], &queue, NULL), -EINVAL);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue(dev, &cases[2], &queue, &err), -EINVAL);
	CU_ASSERT_STRING_EQUAL(err.text, "a queue's depth of 512, the daemon allows 256");
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_OPEN_QUEUE), 0);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue(dev, NULL, &queue, NULL), 0);
	CU_ASSERT_EQUAL(vuc_queue_depth(queue), VUC_DEFAULT_QUEUE_DEPTH);
	CU_ASSERT_EQUAL(vuc_queue_max_data(queue), VUC_DEFAULT_QUEUE_MAX_DATA);
}

static void
halve(struct fake_vucd *d, struct fake_reply *reply, void *arg)
{
	(void)d;
	(void)arg;
	reply->packet->queue_reply.max_data /= 2;
}

/* The daemon may allow for less data, in memory that is larger than it has to be. */
static void
test_less_data(void)
{
	fake_vucd_twist(&daemon_, VUC_SHM_OPEN_QUEUE, 0, halve, NULL);
	CU_ASSERT_EQUAL(vuc_queue_max_data(open_queue(4, 4096)), 2048);
}

/* A daemon that dies while a thread sleeps for it, in each call that waits. */
static void *
hang_up_when_asleep(void *arg)
{
	const struct vuc_shm_front *front = arg;

	while (__atomic_load_n(&front->sleeps, __ATOMIC_SEQ_CST) == 0)
		sched_yield();
	fake_vucd_hang_up(&daemon_);
	return NULL;
}

static void
test_daemon_dies(void)
{
	struct vuc_queue *queue = open_queue(2, 64);
	struct vuc_queue_result result;
	uint8_t byte = 0;
	const struct vuc_queue_request r = {VUC_QUEUE_READ, 0, 0, 1, &byte, NULL};
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(
		pthread_create(&thread, NULL, hang_up_when_asleep, daemon_.queues[0].requests), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(queue, 0, 0, &byte, 1), -ECONNRESET);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(vuc_queue_poll(queue, &result, 1), 0);
	CU_ASSERT_EQUAL(vuc_queue_submit(queue, &r, 1), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_queue_post(queue, 0, 0, &byte, 1), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_queue_wait(queue, -1), -ECONNRESET);
	vuc_vmm_close_queue(dev, queue);
}

static void
test_daemon_dies_posted(void)
{
	struct vuc_queue *queue = open_queue(2, 64);
	uint8_t byte = 0;
	pthread_t thread;
	int rc = 0;

	CU_ASSERT_EQUAL_FATAL(
		pthread_create(&thread, NULL, hang_up_when_asleep, daemon_.queues[0].requests), 0);
	for (unsigned int i = 0; i < 3; i++)
		rc = vuc_queue_post(queue, 0, 0, &byte, 1);
	CU_ASSERT_EQUAL(rc, -ECONNRESET);
	pthread_join(thread, NULL);
	/* Left open: it is closed with the device. */
}

/* A daemon that has died already, and one that this side has given up. */
static void
test_daemon_dead(void)
{
	struct vuc_queue *queue = open_queue(2, 64);
	uint8_t byte = 0;

	fake_vucd_hang_up(&daemon_);
	CU_ASSERT_EQUAL(vuc_queue_write(queue, 0, 0, &byte, 1), -ECONNRESET);
}

/* Nothing can be opened but 0 and 1, which are open. */
static void
limit_files(struct fake_vucd *d, struct fake_reply *reply, void *arg)
{
	struct rlimit limit = *(const struct rlimit *)arg;

	(void)d;
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
	struct vuc_error err;

	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
	open_queue(1, 64);
	fake_vucd_twist(&daemon_, VUC_SHM_OPEN_QUEUE, 0, limit_files, &limit);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue(dev, NULL, &queue, &err), -EMFILE);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "too many open descriptors"));
	CU_ASSERT_EQUAL(
		fake_vucd_request(&daemon_, VUC_SHM_CLOSE_QUEUE, 0)->packet->index.index, 1);
	fake_vucd_twist(&daemon_, 0, 0, NULL, NULL);
	open_queue(1, 64);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"access", test_access},
		{"bell", test_bell},
		{"a kick that is full", test_full_kick},
		{"many", test_many},
		{"options", test_options},
		{"less data than asked for", test_less_data},
		{"the daemon dies during a call", test_daemon_dies},
		{"the daemon dies during a posted write", test_daemon_dies_posted},
		{"the daemon has died", test_daemon_dead},
		{"too many open files", test_too_many_files},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vmm", NULL, NULL, set_up, tear_down, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
