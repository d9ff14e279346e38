/* SPDX-License-Identifier: BSD-3-Clause */

/* What is started, and told of by events: the main loop of a VMM waits for its descriptors only. */

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fake_vucd.h"
#include "fd_count.h"
#include "fds.h"
#include "tap.h"

#define MOST 32u

static unsigned int fds_before;
static struct fake_vucd daemon_;
static struct vuc_vmm_device *dev;

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
	fds_before = fd_count();
	memset(&ended, 0, sizeof(ended));
	releases = 0;
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

/* A daemon that is busy with a request: the reply comes with release(). */
static void
hold(struct fake_vucd *d, struct fake_reply *reply, void *arg)
{
	(void)d;
	(void)arg;
	reply->copies = 0;
}

static void
await_request(unsigned int type, unsigned int nr)
{
	while (fake_vucd_count(&daemon_, type) < nr)
		sched_yield();
}

/* The plain reply to a request that is held. */
static void
release(unsigned int type)
{
	struct vuc_shm_plain reply = {.header = {
					      .type = (uint16_t)type,
					      .flags = VUC_SHM_REPLY,
					      .size = sizeof(reply),
				      }};

	await_request(type, 1);
	pthread_mutex_lock(&daemon_.lock);
	reply.header.sequence = daemon_.sequence;
	CU_ASSERT_EQUAL(
		vuc_fds_send(daemon_.conn, &reply, sizeof(reply), NULL, 0, 0), sizeof(reply));
	pthread_mutex_unlock(&daemon_.lock);
}

static void
note(void *arg, int status, const struct vuc_error *err)
{
	CU_ASSERT_FATAL(ended.nr < MOST);
	ended.id[ended.nr] = (int)(intptr_t)arg;
	ended.status[ended.nr] = status;
	ended.err[ended.nr++] = *err;
	if (releases > 0) {
		releases--;
		release(VUC_SHM_RESET);
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
	struct pollfd fd = {.fd = vuc_vmm_event_fd(dev), .events = POLLIN};
	uint32_t events = 0;

	while (ended.nr < nr) {
		CU_ASSERT_EQUAL_FATAL(poll(&fd, 1, -1), 1);
		events |= vuc_vmm_events(dev);
	}
	CU_ASSERT_EQUAL(ended.nr, nr);
	return events;
}

static void
expect(unsigned int n, int ident, int status, const char *text)
{
	CU_ASSERT_EQUAL(ended.id[n], ident);
	CU_ASSERT_EQUAL(ended.status[n], status);
	CU_ASSERT_STRING_EQUAL(ended.err[n].text, text);
}

static bool
is_readable(void)
{
	struct pollfd fd = {.fd = vuc_vmm_event_fd(dev), .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

/* Descriptors are closed before the daemon has been asked: those that go are duplicates. */
static void
start_with_fds(void)
{
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 0, .count = 40};
	struct vuc_vmm_dma m = {.size = 4096, .flags = VUC_VMM_DMA_READ, .fd = fake_memory(8192)};
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
	struct vuc_vmm_irq irq;

	fake_vucd_twist(&daemon_, VUC_SHM_RESET, 0, hold, NULL);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, note, id(1), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_region_start(dev, 0, &region, note, id(2), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_start(dev, 2, &irq, note, id(3), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue_start(dev, NULL, &queue, note, id(4), NULL), 0);
	start_with_fds();
	CU_ASSERT_EQUAL(vuc_vmm_irq_act_start(dev, &range, VUC_VMM_IRQ_MASK, note, id(7), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable_start(dev, 2, note, id(8), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_io_fds_start(dev, 0, &io, note, id(9), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit_start(dev, note, id(10), NULL), 0);
	await_request(VUC_SHM_RESET, 1);
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
	CU_ASSERT(!is_readable());
	CU_ASSERT_EQUAL(ended.nr, 0);
	release(VUC_SHM_RESET);
	CU_ASSERT_EQUAL(loop_until(10), 0);
	for (unsigned int i = 0; i < 10; i++)
		expect(i, (int)i + 1, 0, "");
	CU_ASSERT(region->size == FAKE_REGION && region->nr_areas == 2);
	CU_ASSERT_EQUAL(irq.count, 2048 + 64);
	CU_ASSERT_EQUAL(io->nr, 3);
	vuc_vmm_io_fds_free(io);
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_SET_IRQS), 5);
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_DMA), 2);
	CU_ASSERT_EQUAL(daemon_.mappings, 100);
	CU_ASSERT_EQUAL(fake_vucd_request(&daemon_, VUC_SHM_DMA, 0)->nr_fds, 1);
	CU_ASSERT_EQUAL(vuc_vmm_close_queue_start(dev, queue, note, id(11), NULL), 0);
	loop_until(11);
	expect(10, 11, 0, "");
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_CLOSE_QUEUE), 1);
	CU_ASSERT(!is_readable());
}

/* What needs no answer does not overtake what does, and is told by an event as well. */
static void
test_order(void)
{
	const struct vuc_vmm_region *region, *known;

	CU_ASSERT_EQUAL_FATAL(vuc_vmm_region(dev, 0, &known, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_region_start(dev, 0, &region, note, id(1), NULL), 0);
	CU_ASSERT_EQUAL(ended.nr, 0);
	CU_ASSERT(is_readable());
	loop_until(1);
	CU_ASSERT(!is_readable());
	fake_vucd_twist(&daemon_, VUC_SHM_RESET, 0, hold, NULL);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, note, id(2), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_region_start(dev, 0, &region, note, id(3), NULL), 0);
	vuc_vmm_events(dev);
	CU_ASSERT_PTR_NULL(region);
	CU_ASSERT_EQUAL(ended.nr, 1);
	release(VUC_SHM_RESET);
	loop_until(3);
	expect(1, 2, 0, "");
	expect(2, 3, 0, "");
	CU_ASSERT_PTR_EQUAL(region, known);
}

/* A refusal is the end of one, and those behind it go on; as is what cannot be used. */
static void
test_refused(void)
{
	int status = -EAGAIN;
	struct vuc_queue *queue;

	fake_vucd_twist(&daemon_, VUC_SHM_RESET, 0, fake_refuse, &status);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, note, id(1), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue_start(dev, NULL, &queue, note, id(2), NULL), 0);
	loop_until(2);
	expect(0, 1, -EAGAIN, "because");
	expect(1, 2, 0, "");
	status = -EEXIST;
	fake_vucd_twist(&daemon_, VUC_SHM_DMA, 0, fake_refuse, &status);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap_all(dev, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit_start(dev, note, id(3), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, note, id(4), NULL), 0);
	loop_until(4);
	expect(2, 3, -EEXIST, "because");
	/* What was taken before is carried out all the same. */
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_DMA), 2);
	CU_ASSERT_EQUAL(fake_vucd_request(&daemon_, VUC_SHM_DMA, 1)->packet->dma.nr, 0);
	expect(3, 4, 0, "");
}

/* What depends on what the daemon has said of the device, which is nothing yet. */
static void
expect_too_early(void)
{
	const struct vuc_vmm_dma m = {
		.size = 4096, .flags = VUC_VMM_DMA_READ, .fd = fake_memory(4096)};
	const struct vuc_vmm_irq_range range = {.count = 1};
	const struct vuc_vmm_region *region;
	struct vuc_vmm_counters counters;
	struct vuc_vmm_io_fds *fds;
	struct vuc_queue *queue;
	struct vuc_vmm_irq irq;

	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &region, NULL), -ENOTCONN);
	CU_ASSERT_EQUAL(vuc_vmm_region_start(dev, 0, &region, note, id(3), NULL), -ENOTCONN);
	CU_ASSERT_EQUAL(vuc_vmm_io_fds(dev, 0, &fds, NULL), -ENOTCONN);
	CU_ASSERT_EQUAL(vuc_vmm_irq(dev, 0, &irq, NULL), -ENOTCONN);
	CU_ASSERT_EQUAL(
		vuc_vmm_irq_act_start(dev, &range, VUC_VMM_IRQ_MASK, note, id(3), NULL), -ENOTCONN);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable(dev, 0, NULL), -ENOTCONN);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue(dev, NULL, &queue, NULL), -ENOTCONN);
	CU_ASSERT_EQUAL(vuc_vmm_dma_map(dev, &m, 1, NULL), -ENOTCONN);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap(dev, 0, 4096, NULL), -ENOTCONN);
	vuc_vmm_counters(dev, &counters);
	CU_ASSERT_EQUAL(counters.reads, 0);
	close(m.fd);
}

/* From nothing to nothing. The device is freed behind the last function. */
static void
test_attach_and_detach(void)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_error err;

	vuc_vmm_detach(dev);
	fake_opts(&daemon_, &opts);
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_attach_start(&opts, &dev, note, id(1), &err), 0);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, note, id(2), &err), -ENOTCONN);
	CU_ASSERT_STRING_EQUAL(err.text,
		"the device is not attached yet: wait until vuc_vmm_attach_start() has ended");
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, NULL), -ENOTCONN);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap_all(dev, NULL), -ENOTCONN);
	expect_too_early();
	CU_ASSERT_EQUAL(loop_until(1), 0);
	expect(0, 1, 0, "");
	CU_ASSERT_EQUAL(vuc_vmm_info(dev)->num_regions, FAKE_REGIONS);
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_detach_start(dev, note, id(2), &err), 0);
	CU_ASSERT_EQUAL(vuc_vmm_detach_start(dev, note, id(3), &err), -EALREADY);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, note, id(4), &err), -ECANCELED);
	CU_ASSERT_STRING_EQUAL(err.text, "the device is being detached");
	loop_until(2);
	expect(1, 2, 0, "");
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_DETACH), 2);
	dev = fake_attach(&daemon_);
}

static void
test_attach_refused(void)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_error err;

	vuc_vmm_detach(dev);
	fake_opts(&daemon_, &opts);
	opts.device = "another";
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_attach_start(&opts, &dev, note, id(1), &err), 0);
	CU_ASSERT_EQUAL(loop_until(1), 0);
	expect(0, 1, -ENOENT, "because");
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, note, id(2), &err), -ENOTCONN);
	CU_ASSERT_STRING_EQUAL(err.text, "the device was not attached: because");
	/* It is detached all the same, here without waiting. */
	CU_ASSERT_EQUAL(vuc_vmm_detach_start(dev, note, id(3), &err), 0);
	loop_until(2);
	expect(1, 3, 0, "");
	opts.socket = "/nonexistent/socket";
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_attach_start(&opts, &dev, note, id(4), &err), 0);
	loop_until(3);
	expect(2, 4, -ENOENT,
		"cannot connect to the daemon at /nonexistent/socket: No such file or directory");
	vuc_vmm_detach(dev);
	opts.timeout_ms = 0;
	CU_ASSERT_EQUAL(vuc_vmm_attach_start(&opts, &dev, note, id(5), &err), -EINVAL);
	CU_ASSERT_PTR_NULL(dev);
	dev = fake_attach(&daemon_);
}

/* A daemon whose backlog is full says nothing when there is room again, so it is tried again. */
static void
test_attach_to_a_full_backlog(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_device *first = dev;
	int socks[8];
	unsigned int nr = 0;
	int rc = 0;

	memcpy(addr.sun_path, daemon_.path, strlen(daemon_.path));
	while (nr < 8 && rc == 0) { /* the device of the test has the daemon for itself */
		socks[nr] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		rc = connect(socks[nr++], (const struct sockaddr *)&addr, sizeof(addr));
	}
	CU_ASSERT_EQUAL(errno, EAGAIN);
	fake_opts(&daemon_, &opts);
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_attach_start(&opts, &dev, note, id(1), NULL), 0);
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
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_device *second;

	fake_opts(&daemon_, &opts);
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_attach_start(&opts, &second, note, id(1), NULL), 0);
	vuc_vmm_detach(second);
	CU_ASSERT_EQUAL(ended.nr, 1);
	expect(0, 1, -ECANCELED, "the device is being detached");
}

static void
start_three(void)
{
	fake_vucd_twist(&daemon_, VUC_SHM_RESET, 0, hold, NULL);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, note, id(1), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable_start(dev, 0, note, id(2), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable_start(dev, 1, note, id(3), NULL), 0);
	await_request(VUC_SHM_RESET, 1);
}

static void
expect_three_cancelled(void)
{
	for (unsigned int i = 0; i < 3; i++)
		expect(i, (int)i + 1, -ECANCELED, "the device is being detached");
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_SET_IRQS), 0);
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_DETACH), 1);
}

/* All that was started is told of before the call returns. */
static void
test_detach_cancels(void)
{
	start_three();
	releases = 1;
	vuc_vmm_detach(dev);
	CU_ASSERT_EQUAL(ended.nr, 3);
	expect_three_cancelled();
	dev = fake_attach(&daemon_);
}

/* The end of the detaching is told of last. The daemon is asked when it has answered. */
static void
test_detach_start_cancels(void)
{
	start_three();
	CU_ASSERT_EQUAL(vuc_vmm_detach_start(dev, note, id(4), NULL), 0);
	CU_ASSERT_EQUAL(ended.nr, 0);
	loop_until(3);
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_DETACH), 0);
	release(VUC_SHM_RESET);
	loop_until(4);
	expect_three_cancelled();
	expect(3, 4, 0, "");
	dev = fake_attach(&daemon_);
}

/* A VMM that ends waits after all. */
static void
test_detach_behind_detach_start(void)
{
	fake_vucd_twist(&daemon_, VUC_SHM_RESET, 0, hold, NULL);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, note, id(1), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_detach_start(dev, note, id(2), NULL), 0);
	releases = 1;
	vuc_vmm_detach(dev);
	CU_ASSERT_EQUAL(ended.nr, 2);
	expect(0, 1, -ECANCELED, "the device is being detached");
	expect(1, 2, -ECANCELED, "the device is being detached");
	dev = fake_attach(&daemon_);
}

/* What a daemon was asked that has died ends, and what would have come next. */
static void
test_killed(void)
{
	struct vuc_error err;

	start_three();
	fake_vucd_hang_up(&daemon_);
	CU_ASSERT_EQUAL(loop_until(3), VUC_VMM_EVENT_GONE);
	for (unsigned int i = 0; i < 3; i++)
		expect(i, (int)i + 1, -ECONNRESET, "the daemon has ended the connection");
	CU_ASSERT(!is_readable());
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, note, id(4), &err), -ECONNRESET);
	CU_ASSERT_STRING_EQUAL(err.text, "the daemon has ended the connection");
	/* Whether the memory was taken away is unknown, and that is said. */
	CU_ASSERT_EQUAL(vuc_vmm_detach_start(dev, note, id(5), &err), 0);
	loop_until(4);
	expect(3, 5, -ECONNRESET, "the daemon has ended the connection");
	dev = fake_attach(&daemon_);
}

static void
attach_with_timeout(uint32_t timeout_ms)
{
	struct vuc_vmm_attach_opts opts;

	vuc_vmm_detach(dev);
	fake_opts(&daemon_, &opts);
	opts.timeout_ms = timeout_ms;
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_attach(&opts, &dev, NULL), 0);
}

/* The descriptor says when it is time. */
static void
test_deadline(void)
{
	attach_with_timeout(300);
	start_three();
	CU_ASSERT_EQUAL(loop_until(3) & ~VUC_VMM_EVENT_GONE, 0);
	expect(0, 1, -ETIMEDOUT, "no reply of the daemon to RESET within 300 ms");
	expect(1, 2, -ECONNRESET, "no reply of the daemon to RESET within 300 ms");
	expect(2, 3, -ECONNRESET, "no reply of the daemon to RESET within 300 ms");
}

static void
answer_one_slowly(struct fake_vucd *d, struct fake_reply *reply, void *arg)
{
	const struct timespec pause = {.tv_nsec = 5000000};

	(void)d;
	(void)arg;
	nanosleep(&pause, NULL);
	reply->packet->irqs_reply.done = 1;
}

/* Each of its requests is answered in time, all of them are not. */
static void
test_deadline_of_all(void)
{
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 0, .count = 2048};

	attach_with_timeout(300);
	fake_vucd_twist(&daemon_, VUC_SHM_SET_IRQS, 0, answer_one_slowly, NULL);
	CU_ASSERT_EQUAL(vuc_vmm_irq_act_start(dev, &range, VUC_VMM_IRQ_MASK, note, id(1), NULL), 0);
	loop_until(1);
	expect(0, 1, -ETIMEDOUT, "no reply of the daemon to SET_IRQS within 300 ms");
}

/* In a callback. */
static void
call_back(void *arg, int status, const struct vuc_error *err)
{
	const struct vuc_vmm_region *region;
	struct vuc_error why;

	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, &why), -EDEADLK);
	CU_ASSERT_STRING_EQUAL(why.text, "a synchronous call from a completion callback");
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap_all(dev, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), -EDEADLK);
	/* It is still queued. */
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit_start(dev, note, id(2), NULL), 0);
	/* One that is known needs no answer. */
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &region, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 1, &region, NULL), -EDEADLK);
	CU_ASSERT_EQUAL(vuc_vmm_region_start(dev, 0, &region, note, id(3), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
	note(arg, status, err);
}

static void
test_calls_in_a_callback(void)
{
	const struct vuc_vmm_region *region;

	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &region, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, call_back, id(1), NULL), 0);
	loop_until(3);
	for (unsigned int i = 0; i < 3; i++)
		expect(i, (int)i + 1, 0, "");
	CU_ASSERT_EQUAL(fake_vucd_count(&daemon_, VUC_SHM_DMA), 1);
}

static void
detach_in_callback(void *arg, int status, const struct vuc_error *err)
{
	note(arg, status, err);
	vuc_vmm_detach(dev);
	/* All others were told of. */
	CU_ASSERT_EQUAL(ended.nr, 2);
	dev = NULL;
}

static void
test_detach_in_a_callback(void)
{
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, detach_in_callback, id(1), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, note, id(2), NULL), 0);
	loop_until(2);
	CU_ASSERT_PTR_NULL(dev);
	expect(0, 1, 0, "");
	CU_ASSERT_EQUAL(ended.id[1], 2);
	dev = fake_attach(&daemon_);
}

/* Wrong use is told at once, and nothing is called. */
static void
test_wrong_use(void)
{
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 0, .count = 1};
	const struct vuc_vmm_region *region;
	struct vuc_vmm_io_fds *io;
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_device *none;
	struct vuc_queue *queue;
	struct vuc_vmm_irq irq;
	struct vuc_error err;
	int fd = -1;

	fake_opts(&daemon_, &opts);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, NULL, NULL, &err), -EINVAL);
	CU_ASSERT_STRING_EQUAL(err.text, "no function to be called at the end");
	CU_ASSERT_EQUAL(vuc_vmm_attach_start(&opts, &none, NULL, NULL, NULL), -EINVAL);
	CU_ASSERT_EQUAL(vuc_vmm_detach_start(dev, NULL, NULL, NULL), -EINVAL);
	CU_ASSERT_EQUAL(vuc_vmm_region_start(dev, 0, &region, NULL, NULL, NULL), -EINVAL);
	CU_ASSERT_EQUAL(
		vuc_vmm_region_start(dev, FAKE_REGIONS, &region, note, NULL, &err), -EINVAL);
	CU_ASSERT_STRING_EQUAL(err.text, "there is no region 3, the device has 3");
	CU_ASSERT_EQUAL(vuc_vmm_irq_start(dev, 0, &irq, NULL, NULL, NULL), -EINVAL);
	CU_ASSERT_EQUAL(vuc_vmm_irq_start(dev, FAKE_IRQS, &irq, note, NULL, NULL), -EINVAL);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue_start(dev, NULL, &queue, NULL, NULL, NULL), -EINVAL);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit_start(dev, NULL, NULL, NULL), -EINVAL);
	CU_ASSERT_EQUAL(
		vuc_vmm_irq_assign_start(dev, &range, VUC_VMM_IRQ_TRIGGER, &fd, NULL, NULL, NULL),
		-EINVAL);
	fd = -2;
	CU_ASSERT_EQUAL(
		vuc_vmm_irq_assign_start(dev, &range, VUC_VMM_IRQ_TRIGGER, &fd, note, NULL, &err),
		-EINVAL);
	CU_ASSERT_STRING_EQUAL(err.text, "descriptor -2 of interrupt 0 is not open");
	CU_ASSERT_EQUAL(
		vuc_vmm_irq_act_start(dev, &range, VUC_VMM_IRQ_MASK, NULL, NULL, NULL), -EINVAL);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable_start(dev, 0, NULL, NULL, NULL), -EINVAL);
	CU_ASSERT_EQUAL(vuc_vmm_io_fds_start(dev, 0, &io, NULL, NULL, NULL), -EINVAL);
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_open_queue(dev, NULL, &queue, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_close_queue_start(dev, queue, NULL, NULL, NULL), -EINVAL);
	CU_ASSERT_EQUAL(vuc_vmm_close_queue_start(dev, queue, note, id(1), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_close_queue_start(dev, queue, note, id(2), &err), -EINVAL);
	CU_ASSERT_STRING_EQUAL(err.text, "the device has no such queue, or it is closed");
	loop_until(1);
	CU_ASSERT(!is_readable());
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

	fake_vucd_twist(&daemon_, VUC_SHM_RESET, 0, hold, NULL);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, reset_and_wait, NULL), 0);
	await_request(VUC_SHM_RESET, 1);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable_start(dev, 0, note, id(1), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable_start(dev, 1, note, id(2), NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
	CU_ASSERT(!is_readable());
	release(VUC_SHM_RESET);
	loop_until(2);
	expect(0, 1, 0, "");
	expect(1, 2, 0, "");
	pthread_join(thread, &result);
	CU_ASSERT_PTR_NULL(result);
}

/* What was started first is told of, though a thread that waits has received it. */
static void
test_behind_a_start(void)
{
	pthread_t thread;
	void *result;

	fake_vucd_twist(&daemon_, VUC_SHM_RESET, 0, hold, NULL);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, note, id(1), NULL), 0);
	await_request(VUC_SHM_RESET, 1);
	fake_vucd_twist(&daemon_, 0, 0, NULL, NULL);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, reset_and_wait, NULL), 0);
	release(VUC_SHM_RESET);
	pthread_join(thread, &result);
	CU_ASSERT_PTR_NULL(result);
	CU_ASSERT_EQUAL(ended.nr, 0);
	CU_ASSERT(is_readable());
	loop_until(1);
	expect(0, 1, 0, "");
	CU_ASSERT(!is_readable());
}

int
main(void)
{
	CU_TestInfo tests[] = {
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
		{"wrong use", test_wrong_use},
		{"beside a thread that waits", test_beside_a_thread_that_waits},
		{"behind what was started", test_behind_a_start},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vmm start", NULL, NULL, set_up, tear_down, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
