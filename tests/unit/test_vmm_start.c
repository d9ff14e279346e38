/* SPDX-License-Identifier: BSD-3-Clause */

/* What is started, and told of by events: the main loop of a VMM waits for its descriptors only. */

#include <sys/eventfd.h>
#include <time.h>

#include "fake_vucd.h"
#include "fds.h"

#define MOST      32u
#define DETACHING "the device is being detached"
#define ENDED     "the daemon closed the connection"

/* What has ended, in order. */
static struct {
	unsigned int nr;
	int id[MOST];
	int status[MOST];
	struct vuc_error err[MOST];
} ended;
static unsigned int releases; /* replies that the next completion has the daemon send */

static void
set_up(void)
{
	memset(&ended, 0, sizeof(ended));
	releases = 0;
	fake_start_attached();
}

/* The daemon is busy with a reset: the reply comes with release(). */
static void
hold(void)
{
	fake_twist(VUC_SHM_RESET, 0, fake_keep_silent, NULL);
}

static void
release(void)
{
	struct vuc_shm_plain reply = {.header = {
					      .type = VUC_SHM_RESET,
					      .flags = VUC_SHM_REPLY,
					      .size = sizeof(reply),
				      }};

	fake_await(VUC_SHM_RESET, 1);
	pthread_mutex_lock(&fake.lock);
	reply.header.sequence = fake.sequence;
	CU_ASSERT_EQUAL(vuc_fds_send(fake.conn, &reply, sizeof(reply), NULL, 0, 0), sizeof(reply));
	pthread_mutex_unlock(&fake.lock);
}

static void
note(void *arg, int status, const struct vuc_error *why)
{
	CU_ASSERT_FATAL(ended.nr < MOST);
	ended.id[ended.nr] = (int)(intptr_t)arg;
	ended.status[ended.nr] = status;
	ended.err[ended.nr++] = *why;
	if (releases > 0) {
		releases--;
		release();
	}
}

static void *
id(int n)
{
	return (void *)(intptr_t)n;
}

/* A main loop, until so many have ended. Returns all events. */
static uint32_t
loop_until(unsigned int nr)
{
	uint32_t events = 0;

	while (ended.nr < nr) {
		CU_ASSERT_FATAL(fake_has_events(-1));
		events |= vuc_vmm_events(dev);
	}
	CU_ASSERT_EQUAL(ended.nr, nr);
	return events;
}

/* What ended as the n-th, counted from 0. */
static void
expect(unsigned int n, int ident, int status, const char *text)
{
	CU_ASSERT(ended.id[n] == ident && ended.status[n] == status);
	CU_ASSERT_STRING_EQUAL(ended.err[n].text, text);
}

/* The first so many, whose numbers begin with 1, in order. */
static void
expect_all(unsigned int nr, int status, const char *text)
{
	for (unsigned int i = 0; i < nr; i++)
		expect(i, (int)i + 1, status, text);
}

static int
reset(int ident)
{
	return vuc_vmm_reset_start(dev, note, id(ident), &err);
}

static int
attach_start(const char *socket, const char *device, int ident)
{
	struct vuc_vmm_attach_opts opts;

	fake_opts(&opts);
	opts.socket = socket;
	opts.device = device;
	return vuc_vmm_attach_start(&opts, &dev, note, id(ident), &err);
}

/* Descriptors are closed before the daemon has been asked: those that go are duplicates. */
static void
start_with_fds(void)
{
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 0, .count = 40};
	struct vuc_vmm_dma m = {.argsz = sizeof(m),
		.size = 4096,
		.flags = VUC_VMM_DMA_READ,
		.fd = fake_memory(8192)};
	int fds[40];

	for (unsigned int i = 0; i < 40; i++)
		fds[i] = i % 4 == 3 ? -1 : eventfd(0, EFD_CLOEXEC);
	CU_ASSERT_EQUAL(
		vuc_vmm_irq_assign_start(dev, &range, VUC_VMM_IRQ_TRIGGER, fds, note, id(5), NULL),
		0);
	vuc_fds_close(fds, 40);
	for (unsigned int i = 0; i < 100; i++) {
		m.iova = i * 4096;
		m.offset = i % 2 * 4096;
		CU_ASSERT_EQUAL(vuc_vmm_dma_map(dev, &m, 1, NULL), 0);
	}
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit_start(dev, note, id(6), NULL), 0);
	close(m.fd);
}

/* All of them behind one that the daemon does not answer: no call waits, no function is called. */
static void
test_each(void)
{
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 0, .count = 2049};
	const struct vuc_vmm_region *region;
	struct vuc_queue *queue;
	struct vuc_vmm_io_fds *io;
	struct vuc_vmm_irq irq = {.argsz = sizeof(irq)};

	hold();
	CU_ASSERT_EQUAL(reset(1), 0);
	CU_ASSERT_EQUAL(vuc_vmm_region_start(dev, 0, &region, note, id(2), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_start(dev, 2, &irq, note, id(3), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue_start(dev, NULL, &queue, note, id(4), NULL), 0);
	start_with_fds();
	CU_ASSERT_EQUAL(vuc_vmm_irq_act_start(dev, &range, VUC_VMM_IRQ_MASK, note, id(7), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable_start(dev, 2, note, id(8), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_io_fds_start(dev, 0, &io, note, id(9), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit_start(dev, note, id(10), NULL), 0);
	fake_await(VUC_SHM_RESET, 1);
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
	CU_ASSERT(!fake_has_events(0) && ended.nr == 0);
	release();
	CU_ASSERT_EQUAL(loop_until(10), 0);
	expect_all(10, 0, "");
	CU_ASSERT(region->size == FAKE_REGION && region->nr_areas == 2);
	CU_ASSERT(irq.count == 2048 + 64 && io->nr == 3);
	vuc_vmm_io_fds_free(io);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_SET_IRQS), 5);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DMA), 2);
	CU_ASSERT_EQUAL(fake.mappings, 100);
	CU_ASSERT_EQUAL(fake_request(VUC_SHM_DMA, 0)->nr_fds, 1);
	CU_ASSERT_EQUAL(vuc_vmm_close_queue_start(dev, queue, note, id(11), NULL), 0);
	loop_until(11);
	expect(10, 11, 0, "");
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_CLOSE_QUEUE), 1);
	CU_ASSERT(!fake_has_events(0));
}

/* What needs no answer does not overtake what does, and is told by an event as well. */
static void
test_order(void)
{
	const struct vuc_vmm_region *region, *known;

	CU_ASSERT_EQUAL_FATAL(vuc_vmm_region(dev, 0, &known, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_region_start(dev, 0, &region, note, id(1), NULL), 0);
	CU_ASSERT(ended.nr == 0 && fake_has_events(0));
	loop_until(1);
	CU_ASSERT(!fake_has_events(0));
	hold();
	CU_ASSERT_EQUAL(reset(2), 0);
	CU_ASSERT_EQUAL(vuc_vmm_region_start(dev, 0, &region, note, id(3), NULL), 0);
	vuc_vmm_events(dev);
	CU_ASSERT_PTR_NULL(region);
	CU_ASSERT_EQUAL(ended.nr, 1);
	release();
	loop_until(3);
	expect_all(3, 0, "");
	CU_ASSERT_PTR_EQUAL(region, known);
}

/* A refusal is the end of one, and those behind it go on; as is what cannot be used. */
static void
test_refused(void)
{
	int status = -EAGAIN;
	struct vuc_queue *queue;

	fake_twist(VUC_SHM_RESET, 0, fake_refuse, &status);
	CU_ASSERT_EQUAL(reset(1), 0);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue_start(dev, NULL, &queue, note, id(2), NULL), 0);
	loop_until(2);
	expect(0, 1, -EAGAIN, "because");
	expect(1, 2, 0, "");
	status = -EEXIST;
	fake_twist(VUC_SHM_DMA, 0, fake_refuse, &status);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap_all(dev, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit_start(dev, note, id(3), NULL), 0);
	CU_ASSERT_EQUAL(reset(4), 0);
	loop_until(4);
	expect(2, 3, -EEXIST, "because");
	/* What was taken before is carried out all the same. */
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DMA), 2);
	CU_ASSERT_EQUAL(fake_request(VUC_SHM_DMA, 1)->packet->dma.nr, 0);
	expect(3, 4, 0, "");
}

/* What depends on what the daemon has said of the device, which is nothing yet. */
static void
expect_too_early(void)
{
	const struct vuc_vmm_dma m = {
		.argsz = sizeof(m), .size = 4096, .flags = VUC_VMM_DMA_READ, .fd = fake.memory};
	const struct vuc_vmm_irq_range range = {.count = 1};
	const struct vuc_vmm_region *region;
	struct vuc_vmm_counters counters = {.argsz = sizeof(counters)};
	struct vuc_vmm_io_fds *fds;
	struct vuc_queue *queue;
	struct vuc_vmm_irq irq = {.argsz = sizeof(irq)};
	const int results[] = {
		vuc_vmm_reset(dev, NULL),
		vuc_vmm_region(dev, 0, &region, NULL),
		vuc_vmm_region_start(dev, 0, &region, note, id(3), NULL),
		vuc_vmm_io_fds(dev, 0, &fds, NULL),
		vuc_vmm_irq(dev, 0, &irq, NULL),
		vuc_vmm_irq_act_start(dev, &range, VUC_VMM_IRQ_MASK, note, id(3), NULL),
		vuc_vmm_irq_disable(dev, 0, NULL),
		vuc_vmm_open_queue(dev, NULL, &queue, NULL),
		vuc_vmm_dma_map(dev, &m, 1, NULL),
		vuc_vmm_dma_unmap(dev, 0, 4096, NULL),
		vuc_vmm_dma_unmap_all(dev, NULL),
	};

	for (size_t i = 0; i < NR(results); i++)
		CU_ASSERT_EQUAL(results[i], -ENOTCONN);
	CU_ASSERT(fake_failed(reset(2), -ENOTCONN,
		"the device is not attached yet: wait until vuc_vmm_attach_start() has ended"));
	vuc_vmm_counters(dev, &counters);
	CU_ASSERT_EQUAL(counters.reads, 0);
}

/* From nothing to nothing. The device is freed behind the last function. */
static void
test_attach_and_detach(void)
{
	vuc_vmm_detach(dev);
	CU_ASSERT_EQUAL_FATAL(attach_start(fake.path, FAKE_DEVICE, 1), 0);
	expect_too_early();
	CU_ASSERT_EQUAL(loop_until(1), 0);
	CU_ASSERT_EQUAL(vuc_vmm_info(dev)->num_regions, FAKE_REGIONS);
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_detach_start(dev, note, id(2), &err), 0);
	CU_ASSERT_EQUAL(vuc_vmm_detach_start(dev, note, id(3), &err), -EALREADY);
	CU_ASSERT(fake_failed(reset(4), -ECANCELED, DETACHING));
	loop_until(2);
	expect_all(2, 0, "");
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DETACH), 2);
	dev = NULL;
}

static void
test_attach_refused(void)
{
	struct vuc_vmm_attach_opts opts;

	vuc_vmm_detach(dev);
	CU_ASSERT_EQUAL_FATAL(attach_start(fake.path, "another", 1), 0);
	CU_ASSERT_EQUAL(loop_until(1), 0);
	expect(0, 1, -ENOENT, "because");
	CU_ASSERT(fake_failed(reset(2), -ENOTCONN, "the device was not attached: because"));
	/* It is detached all the same, here without waiting. */
	CU_ASSERT_EQUAL(vuc_vmm_detach_start(dev, note, id(3), &err), 0);
	loop_until(2);
	expect(1, 3, 0, "");
	CU_ASSERT_EQUAL_FATAL(attach_start("/nonexistent/socket", FAKE_DEVICE, 4), 0);
	loop_until(3);
	expect(2, 4, -ENOENT,
		"cannot connect to the daemon at /nonexistent/socket: No such file or directory");
	vuc_vmm_detach(dev);
	fake_opts(&opts);
	opts.timeout_ms = 0;
	CU_ASSERT_EQUAL(vuc_vmm_attach_start(&opts, &dev, note, id(5), &err), -EINVAL);
	CU_ASSERT_PTR_NULL(dev);
}

/* A daemon whose backlog is full says nothing when there is room again, so it is tried again. */
static void
test_attach_to_a_full_backlog(void)
{
	struct vuc_vmm_device *first = dev; /* has the daemon for itself */
	int socks[8];
	unsigned int nr = fake_fill_backlog(socks);

	CU_ASSERT_EQUAL_FATAL(attach_start(fake.path, FAKE_DEVICE, 1), 0);
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
	CU_ASSERT_EQUAL(ended.nr, 0);
	while (nr > 0)
		close(socks[--nr]);
	vuc_vmm_detach(first);
	loop_until(1);
	expect(0, 1, 0, "");
}

/* Nothing was asked of the daemon yet. */
static void
test_attach_cancelled(void)
{
	struct vuc_vmm_device *first = dev;

	CU_ASSERT_EQUAL_FATAL(attach_start(fake.path, FAKE_DEVICE, 1), 0);
	vuc_vmm_detach(dev);
	CU_ASSERT_EQUAL(ended.nr, 1);
	expect(0, 1, -ECANCELED, DETACHING);
	dev = first;
}

static void
start_three(void)
{
	hold();
	CU_ASSERT_EQUAL(reset(1), 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable_start(dev, 0, note, id(2), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable_start(dev, 1, note, id(3), NULL), 0);
	fake_await(VUC_SHM_RESET, 1);
}

static void
expect_three_cancelled(void)
{
	expect_all(3, -ECANCELED, DETACHING);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_SET_IRQS), 0);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DETACH), 1);
}

/* All that was started is told of before the call returns. */
static void
test_detach_cancels(void)
{
	start_three();
	releases = 1;
	fake_detach();
	CU_ASSERT_EQUAL(ended.nr, 3);
	expect_three_cancelled();
}

/* The end of the detaching is told of last. The daemon is asked when it has answered. */
static void
test_detach_start_cancels(void)
{
	start_three();
	CU_ASSERT_EQUAL(vuc_vmm_detach_start(dev, note, id(4), NULL), 0);
	CU_ASSERT_EQUAL(ended.nr, 0);
	loop_until(3);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DETACH), 0);
	release();
	loop_until(4);
	expect_three_cancelled();
	expect(3, 4, 0, "");
	dev = NULL;
}

/* A VMM that ends waits after all. */
static void
test_detach_behind_detach_start(void)
{
	hold();
	CU_ASSERT_EQUAL(reset(1), 0);
	CU_ASSERT_EQUAL(vuc_vmm_detach_start(dev, note, id(2), NULL), 0);
	releases = 1;
	fake_detach();
	CU_ASSERT_EQUAL(ended.nr, 2);
	expect_all(2, -ECANCELED, DETACHING);
}

/* What a daemon was asked that has died ends, and what would have come next. */
static void
test_killed(void)
{
	start_three();
	fake_hang_up();
	CU_ASSERT_EQUAL(loop_until(3), VUC_VMM_EVENT_GONE);
	expect_all(3, -ECONNRESET, ENDED);
	CU_ASSERT(!fake_has_events(0));
	CU_ASSERT(fake_failed(reset(4), -ECONNRESET, ENDED));
	/* Whether the memory was taken away is unknown, and that is said. */
	CU_ASSERT_EQUAL(vuc_vmm_detach_start(dev, note, id(5), &err), 0);
	loop_until(4);
	expect(3, 5, -ECONNRESET, ENDED);
	dev = NULL;
}

/* The descriptor says when it is time. */
static void
test_deadline(void)
{
	fake_attach(300);
	start_three();
	CU_ASSERT_EQUAL(loop_until(3) & ~VUC_VMM_EVENT_GONE, 0);
	for (unsigned int i = 0; i < 3; i++)
		expect(i, (int)i + 1, i == 0 ? -ETIMEDOUT : -ECONNRESET,
			"no reply from the daemon to RESET within 300 ms");
}

static void
do_one_slowly(struct fake_reply *reply, void *arg)
{
	const struct timespec pause = {.tv_nsec = 5000000};

	(void)arg;
	nanosleep(&pause, NULL);
	reply->packet->irqs_reply.done = 1;
}

/* Each of its requests is answered in time, all of them are not. */
static void
test_deadline_of_all(void)
{
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 0, .count = 2048};

	fake_attach(300);
	fake_twist(VUC_SHM_SET_IRQS, 0, do_one_slowly, NULL);
	CU_ASSERT_EQUAL(vuc_vmm_irq_act_start(dev, &range, VUC_VMM_IRQ_MASK, note, id(1), NULL), 0);
	loop_until(1);
	expect(0, 1, -ETIMEDOUT, "no reply from the daemon to SET_IRQS within 300 ms");
}

static void
call_in_callback(void *arg, int status, const struct vuc_error *why)
{
	const struct vuc_vmm_region *region;

	CU_ASSERT(fake_failed(vuc_vmm_reset(dev, &err), -EDEADLK,
		"a synchronous call from a completion callback"));
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap_all(dev, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), -EDEADLK);
	/* It is still queued. */
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit_start(dev, note, id(2), NULL), 0);
	/* One that is known needs no answer. */
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &region, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 1, &region, NULL), -EDEADLK);
	CU_ASSERT_EQUAL(vuc_vmm_region_start(dev, 0, &region, note, id(3), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
	note(arg, status, why);
}

static void
test_calls_in_a_callback(void)
{
	const struct vuc_vmm_region *region;

	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &region, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, call_in_callback, id(1), NULL), 0);
	loop_until(3);
	expect_all(3, 0, "");
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DMA), 1);
}

static void
detach_in_callback(void *arg, int status, const struct vuc_error *why)
{
	note(arg, status, why);
	vuc_vmm_detach(dev);
	/* All others were told of. */
	CU_ASSERT_EQUAL(ended.nr, 2);
	dev = NULL;
}

static void
test_detach_in_a_callback(void)
{
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, detach_in_callback, id(1), NULL), 0);
	CU_ASSERT_EQUAL(reset(2), 0);
	loop_until(2);
	CU_ASSERT_PTR_NULL(dev);
	expect(0, 1, 0, "");
	CU_ASSERT_EQUAL(ended.id[1], 2);
}

static void *
reset_and_wait(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)vuc_vmm_reset(dev, NULL);
}

/* A thread that waits for the daemon holds nobody else up, and passes on what it receives. */
static void
test_beside_a_thread_that_waits(void)
{
	pthread_t thread;
	void *result;

	hold();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, reset_and_wait, NULL), 0);
	fake_await(VUC_SHM_RESET, 1);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable_start(dev, 0, note, id(1), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable_start(dev, 1, note, id(2), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
	CU_ASSERT(!fake_has_events(0));
	release();
	loop_until(2);
	expect_all(2, 0, "");
	pthread_join(thread, &result);
	CU_ASSERT_PTR_NULL(result);
}

/* What was started first is told of, though a thread that waits has received it. */
static void
test_behind_a_start(void)
{
	pthread_t thread;
	void *result;

	hold();
	CU_ASSERT_EQUAL(reset(1), 0);
	fake_await(VUC_SHM_RESET, 1);
	fake_twist(0, 0, NULL, NULL);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, reset_and_wait, NULL), 0);
	release();
	pthread_join(thread, &result);
	CU_ASSERT_PTR_NULL(result);
	CU_ASSERT(ended.nr == 0 && fake_has_events(0));
	loop_until(1);
	expect(0, 1, 0, "");
	CU_ASSERT(!fake_has_events(0));
}

const struct tap_suite tap_suite = {"vmm start", set_up, fake_stop,
	{
		{"each function", test_each},
		{"order", test_order},
		{"refused", test_refused},
		{"attach and detach", test_attach_and_detach},
		{"attach refused", test_attach_refused},
		{"attach to a full backlog", test_attach_to_a_full_backlog},
		{"attach cancelled", test_attach_cancelled},
		{"detach cancels", test_detach_cancels},
		{"detach start cancels", test_detach_start_cancels},
		{"detach behind detach start", test_detach_behind_detach_start},
		{"daemon killed", test_killed},
		{"deadline", test_deadline},
		{"one deadline for all requests", test_deadline_of_all},
		{"calls in a callback", test_calls_in_a_callback},
		{"detach in a callback", test_detach_in_a_callback},
		{"beside a thread that waits", test_beside_a_thread_that_waits},
		{"behind what was started", test_behind_a_start},
	}};
