/* SPDX-License-Identifier: BSD-3-Clause */

/* What is told of the device's state, once each, and counters. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

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

static bool
is_readable(int timeout_ms)
{
	struct pollfd fd = {.fd = vuc_vmm_event_fd(dev), .events = POLLIN};

	return poll(&fd, 1, timeout_ms) == 1;
}

static void
publish(uint32_t state, uint64_t generation, uint64_t resets)
{
	const struct vuc_shm_state s = {.state = state, .generation = generation, .resets = resets};

	fake_vucd_publish(&daemon_, &s);
}

/* The descriptor says so, the events are these, and then there are none. */
static void
expect(uint32_t events)
{
	CU_ASSERT(is_readable(-1));
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), events);
	CU_ASSERT(!is_readable(0));
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
}

static void
test_none(void)
{
	CU_ASSERT(!is_readable(0));
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
	/* A signal without a change. */
	publish(VUC_SHM_ATTACHED, 1, 0);
	CU_ASSERT(is_readable(0));
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
	CU_ASSERT(!is_readable(0));
}

static void
test_lost_and_back(void)
{
	publish(VUC_SHM_LOST, 1, 0);
	expect(VUC_VMM_EVENT_LOST);
	publish(VUC_SHM_BACK, 2, 0);
	expect(VUC_VMM_EVENT_BACK);
	/* Once more, between two looks. */
	publish(VUC_SHM_LOST, 2, 0);
	publish(VUC_SHM_BACK, 3, 0);
	expect(VUC_VMM_EVENT_BACK);
	publish(VUC_SHM_LOST, 3, 0);
	expect(VUC_VMM_EVENT_LOST);
}

static void
test_silent(void)
{
	publish(VUC_SHM_SILENT, 1, 0);
	expect(VUC_VMM_EVENT_SILENT);
	publish(VUC_SHM_ATTACHED, 1, 0);
	expect(VUC_VMM_EVENT_ANSWERS);
	publish(VUC_SHM_SILENT, 1, 0);
	expect(VUC_VMM_EVENT_SILENT);
	publish(VUC_SHM_LOST, 1, 0);
	expect(VUC_VMM_EVENT_LOST);
}

static void
test_reset_due(void)
{
	publish(VUC_SHM_ATTACHED, 1, 1);
	expect(VUC_VMM_EVENT_RESET);
	publish(VUC_SHM_LOST, 1, 3);
	expect(VUC_VMM_EVENT_RESET | VUC_VMM_EVENT_LOST);
}

static void
test_removed(void)
{
	struct vuc_error err;

	publish(VUC_SHM_REMOVED, 1, 0);
	expect(VUC_VMM_EVENT_REMOVED);
	fake_vucd_hang_up(&daemon_);
	expect(VUC_VMM_EVENT_GONE);
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, &err), -ECONNRESET);
	CU_ASSERT_STRING_EQUAL(
		err.text, "the daemon has ended the connection: the device was taken away");
}

/* An orderly end is told once, though the connection goes after it. */
static void
test_stopping(void)
{
	struct vuc_error err;

	publish(VUC_SHM_STOPPING, 1, 0);
	expect(VUC_VMM_EVENT_GONE);
	fake_vucd_hang_up(&daemon_);
	CU_ASSERT(is_readable(-1));
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
	CU_ASSERT(!is_readable(0));
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, &err), -ECONNRESET);
	CU_ASSERT_STRING_EQUAL(err.text, "the daemon has ended the connection: it stops");
}

/* A daemon that is killed says nothing; its socket does. */
static void
test_killed(void)
{
	fake_vucd_hang_up(&daemon_);
	expect(VUC_VMM_EVENT_GONE);
}

/* So is one that this side has given up. */
static void
say_nothing(struct fake_vucd *d, struct fake_reply *reply, void *arg)
{
	(void)d;
	(void)arg;
	reply->copies = 0;
}

static void
test_given_up(void)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_error err;

	vuc_vmm_detach(dev);
	fake_opts(&daemon_, &opts);
	opts.timeout_ms = 500;
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_attach(&opts, &dev, NULL), 0);
	fake_vucd_twist(&daemon_, VUC_SHM_RESET, 0, say_nothing, NULL);
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, &err), -ETIMEDOUT);
	CU_ASSERT_STRING_EQUAL(err.text, "no reply of the daemon to RESET within 500 ms");
	expect(VUC_VMM_EVENT_GONE);
}

/* What became of the device while it was being attached is told afterwards. */
static void
test_lost_early(void)
{
	vuc_vmm_detach(dev);
	publish(VUC_SHM_LOST, 1, 0);
	dev = fake_attach(&daemon_);
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), VUC_VMM_EVENT_LOST);
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
}

/* A daemon could take back what it has written, so nobody reads it: each write is an event. */
static void
test_not_read(void)
{
	uint64_t count = 0;

	publish(VUC_SHM_LOST, 1, 0);
	expect(VUC_VMM_EVENT_LOST);
	publish(VUC_SHM_BACK, 2, 0);
	expect(VUC_VMM_EVENT_BACK);
	CU_ASSERT_EQUAL(read(daemon_.event_fd, &count, sizeof(count)), sizeof(count));
	CU_ASSERT_EQUAL(count, 2);
	publish(VUC_SHM_LOST, 2, 0);
	expect(VUC_VMM_EVENT_LOST);
}

/* A state that this version does not know is none of its events. */
static void
test_unknown(void)
{
	publish(99, 5, 0);
	expect(0);
}

static void
test_counters(void)
{
	const struct vuc_shm_state s = {.state = VUC_SHM_ATTACHED,
		.generation = 1,
		.reads = UINT64_MAX,
		.writes = 2,
		.posted = 3,
		.errors = 4};
	struct vuc_vmm_counters c;

	vuc_vmm_counters(dev, &c);
	CU_ASSERT(c.reads == 0 && c.writes == 0 && c.posted == 0 && c.errors == 0);
	fake_vucd_publish(&daemon_, &s);
	vuc_vmm_counters(dev, &c);
	CU_ASSERT(c.reads == UINT64_MAX && c.writes == 2 && c.posted == 3 && c.errors == 4);
	/* A daemon that died while it wrote: nobody waits for it. */
	__atomic_store_n(&daemon_.state->sequence, 7, __ATOMIC_SEQ_CST);
	vuc_vmm_counters(dev, &c);
	CU_ASSERT(c.reads == UINT64_MAX && c.errors == 4);
}

/* States are read as a whole while they change. */
static void *
publish_many(void *arg)
{
	struct fake_vucd *d = arg;

	for (uint64_t i = 1; i <= 20000; i++) {
		const struct vuc_shm_state s = {.state = VUC_SHM_ATTACHED,
			.generation = 1,
			.reads = i,
			.writes = i,
			.posted = i,
			.errors = i};

		fake_vucd_publish(d, &s);
	}
	return NULL;
}

static void
test_counters_whole(void)
{
	struct vuc_vmm_counters c = {0};
	unsigned int torn = 0;
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, publish_many, &daemon_), 0);
	while (c.reads < 20000) {
		vuc_vmm_counters(dev, &c);
		torn += c.reads != c.writes || c.reads != c.posted || c.reads != c.errors;
	}
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(torn, 0);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"none", test_none},
		{"lost and back", test_lost_and_back},
		{"silent", test_silent},
		{"reset is due", test_reset_due},
		{"removed", test_removed},
		{"stopping", test_stopping},
		{"killed", test_killed},
		{"given up", test_given_up},
		{"lost while it was attached", test_lost_early},
		{"the daemon's eventfd is not read", test_not_read},
		{"unknown", test_unknown},
		{"counters", test_counters},
		{"counters as a whole", test_counters_whole},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vmm", NULL, NULL, set_up, tear_down, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
