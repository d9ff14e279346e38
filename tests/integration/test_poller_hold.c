/* SPDX-License-Identifier: BSD-3-Clause */

/* Accesses through queues while a device is away, by the transport that the command line names. */

#include <pthread.h>
#include <sched.h>

#include "clock.h"
#include "hold_rig.h"
#include "internal.h"
#include "remote_vmm.h"
#include "rig.h"

#define NOWHERE 77
#define ID      (REFDEV_DEVICE_ID << 16 | REFDEV_VENDOR_ID) /* of config space */

/* It sleeps whenever it can. */
static void
start(uint32_t hold_ms, enum poller_after config, enum poller_after rest)
{
	hold_start(&(struct rig_opts){.idle_loops = -1},
		(struct poller_hold_opts){
			.hold_ms = hold_ms, .after_config = config, .after_rest = rest});
}

static int
await_status(struct vuc_queue *q)
{
	int status;

	hold_await_result(q, &status);
	return status;
}

/* ---- what each access gets when an outage has lasted too long ---- */

struct accesses {
	uint32_t read, write, posted, pci;
	int read_status, write_status, pci_status;
};

static void
submit_all(struct vuc_queue *q, bool config, struct accesses *a)
{
	uint32_t region = config ? CONFIG : BAR0;
	uint64_t at = config ? REFDEV_VENDOR_SCRATCH : REFDEV_REG_SCRATCH;

	*a = (struct accesses){.write = 1, .posted = 2, .pci = 3};
	hold_submit(q, VUC_QUEUE_READ, region, config ? 0 : at, &a->read);
	hold_submit(q, VUC_QUEUE_WRITE, region, at, &a->write);
	hold_submit(q, VUC_QUEUE_WRITE_POSTED, region, at, &a->posted);
	hold_submit(q, VUC_QUEUE_WRITE_PCI, region, at, &a->pci);
}

static void
await_results(struct vuc_queue *q, struct accesses *a, unsigned int nr)
{
	while (nr-- > 0) {
		int status;
		const void *of = hold_await_result(q, &status);

		if (of == &a->read)
			a->read_status = status;
		else if (of == &a->write)
			a->write_status = status;
		else
			a->pci_status = status;
	}
}

static void
await_taken(void)
{
	struct vuc_access_stats a;

	do {
		sched_yield();
		a = hold_stats().accesses;
	} while (a.reads < 2 || a.writes + a.posted < 4);
}

static void
expect_accesses(const struct accesses *a, enum poller_after after, bool config, bool in_flight)
{
	bool error = after == POLLER_AFTER_ERROR;
	/* What was posted before the loss has nobody to be told. Config space is not posted to, but
	 * whoever wanted no answer gets none. */
	unsigned int writes = in_flight && !config ? 1 : 3;
	unsigned int untold = in_flight && config ? 1 : 0;
	struct vuc_access_stats counted = hold_stats().accesses;

	CU_ASSERT_EQUAL(a->read_status, error || after == POLLER_AFTER_HOLD ? -ENOTCONN : 0);
	if (after == POLLER_AFTER_LAST)
		CU_ASSERT_EQUAL(a->read, config ? ID : HOLD_SCRATCH);
	if (after == POLLER_AFTER_ONES)
		CU_ASSERT_EQUAL(a->read, UINT32_MAX);
	CU_ASSERT_EQUAL(a->write_status, error ? -ENOTCONN : 0);
	CU_ASSERT_EQUAL(a->pci_status, error && !(in_flight && !config) ? -ENOTCONN : 0);
	CU_ASSERT_EQUAL(counted.held_reads, after == POLLER_AFTER_HOLD);
	CU_ASSERT_EQUAL(counted.dropped_writes, error ? untold : writes);
	CU_ASSERT_EQUAL(counted.errors, (a->read_status != 0) + (error ? writes - untold : 0));
}

static void
run_policy(enum poller_after after, bool config, bool in_flight)
{
	enum poller_after other = (after + 1) % (POLLER_AFTER_ERROR + 1);
	struct accesses a;
	struct vuc_queue *q;

	vuc_tap_row("%d of %s, %s", (int)after, config ? "config space" : "BAR0",
		in_flight ? "in flight" : "meanwhile");
	start(0, config ? after : other, config ? other : after);
	q = rig.queue[0];
	if (in_flight) {
		rig_signal_server(SIGSTOP);
		submit_all(q, config, &a);
		await_taken();
		hold_lose_server();
	} else {
		hold_lose_server();
		submit_all(q, config, &a);
	}
	if (after == POLLER_AFTER_HOLD) {
		await_results(q, &a, 2);
		hold_await(1);
		CU_ASSERT_EQUAL(vuc_queue_poll(q, &(struct vuc_queue_result){.arg = NULL}, 1), 0);
		CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, hold_set, NULL), 0);
		await_results(q, &a, 1);
	} else {
		await_results(q, &a, 3);
	}
	expect_accesses(&a, after, config, in_flight);
}

static void
test_policies(void)
{
	for (int after = POLLER_AFTER_HOLD; after <= POLLER_AFTER_ERROR; after++) {
		for (int i = 0; i < 4; i++) {
			bool in_flight = (i & 2) != 0;

			if (!in_flight || peer_has_sockets())
				run_policy((enum poller_after)after, (i & 1) != 0, in_flight);
		}
	}
}

/* What was never read is not known. */
static void
test_unknown(void)
{
	uint32_t value;

	start(0, POLLER_AFTER_LAST, POLLER_AFTER_LAST);
	hold_lose_server();
	CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_ID, &value, 4), -ENOTCONN);
	CU_ASSERT_EQUAL(
		vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_SCRATCH, &value, 2), -ENOTCONN);
	CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], CONFIG, 0x200, &value, 4), -ENOTCONN);
	CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
	CU_ASSERT_EQUAL(value, HOLD_SCRATCH);
}

/* Whatever the device forgets of more registers than it keeps, it takes none for another one. */
static void
test_many_registers(void)
{
	uint32_t written[1024], value;
	unsigned int known = 0;
	struct vuc_queue *q;

	start(0, POLLER_AFTER_LAST, POLLER_AFTER_LAST);
	q = rig.queue[0];
	for (uint32_t i = 0; i < 1024; i++)
		written[i] = ~i;
	CU_ASSERT_EQUAL(vuc_queue_write(q, BAR2, 0, written, sizeof(written)), 0);
	for (unsigned int i = 0; i < 1024; i++)
		CU_ASSERT_EQUAL(vuc_queue_read(q, BAR2, 4 * i, &value, 4), 0);
	hold_lose_server();
	for (unsigned int i = 0; i < 1024; i++) {
		int status = vuc_queue_read(q, BAR2, 4 * i, &value, 4);

		CU_ASSERT_TRUE(status == 0 || status == -ENOTCONN);
		if (status == 0)
			CU_ASSERT_EQUAL(value, written[i]);
		known += status == 0;
		/* The same place in another region. */
		CU_ASSERT_EQUAL(vuc_queue_read(q, BAR4, 4 * i, &value, 4), -ENOTCONN);
	}
	CU_ASSERT_TRUE(known > 0 && known < 1024);
}

/* ---- while it lasts ---- */

/* All reads of an outage have one budget, for which the poller wakes up; later ones get nothing of
 * it. */
static void
test_budget(void)
{
	uint64_t began_ms = vuc_clock_ms();
	uint32_t first, second, third;

	start(100, POLLER_AFTER_HOLD, POLLER_AFTER_ONES);
	hold_lose_server();
	hold_submit(rig.queue[0], VUC_QUEUE_READ, BAR0, REFDEV_REG_ID, &first);
	hold_submit(rig.queue[0], VUC_QUEUE_READ, BAR0, REFDEV_REG_ID, &second);
	CU_ASSERT_EQUAL(await_status(rig.queue[0]), 0);
	CU_ASSERT_EQUAL(await_status(rig.queue[0]), 0);
	CU_ASSERT_TRUE(vuc_clock_ms() - began_ms >= 90);
	CU_ASSERT_EQUAL(hold_stats().accesses.held_reads, 2);
	CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_ID, &third, 4), 0);
	CU_ASSERT_EQUAL(first & second & third, UINT32_MAX);
	CU_ASSERT_EQUAL(hold_stats().accesses.held_reads, 2);
}

/* On the poller's thread. */
static int
sleep_ms(void *arg)
{
	return (int)poller_hold_sleep_ms(rig.poller, *(unsigned int *)arg);
}

/* The poller sleeps until the budget is used up, if something waits for that. */
static void
test_sleep(void)
{
	unsigned int max = INT32_MAX;
	uint32_t value;

	start(AN_HOUR, POLLER_AFTER_HOLD, POLLER_AFTER_ONES);
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, sleep_ms, &max), INT32_MAX);
	hold_lose_server();
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, sleep_ms, &max), INT32_MAX);
	hold_submit(rig.queue[0], VUC_QUEUE_READ, BAR0, REFDEV_REG_ID, &value);
	hold_await(1);
	CU_ASSERT_TRUE(vuc_poller_call(rig.poller, sleep_ms, &max) <= (int)AN_HOUR);
}

/* Whoever writes is held up by nothing; what is no access of the device is refused as ever. */
static void
test_writes(void)
{
	struct vuc_queue *q;
	uint32_t value = 7;

	start(AN_HOUR, POLLER_AFTER_HOLD, POLLER_AFTER_HOLD);
	q = rig.queue[0];
	hold_lose_server();
	for (unsigned int i = 0; i < 100 * HOLD_DEPTH; i++)
		CU_ASSERT_EQUAL(vuc_queue_post(q, BAR0, REFDEV_REG_DOORBELL, &value, 4), 0);
	CU_ASSERT_EQUAL(vuc_queue_write(q, BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
	CU_ASSERT_EQUAL(hold_stats().accesses.dropped_writes, 100 * HOLD_DEPTH + 1);
	CU_ASSERT_EQUAL(vuc_queue_write(q, NOWHERE, 0, &value, 4), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_read(q, NOWHERE, 0, &value, 4), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_BAR0_SIZE, &value, 4), -EINVAL);
	CU_ASSERT_EQUAL(hold_stats().accesses.held_reads, 0);
	CU_ASSERT_EQUAL(hold_stats().accesses.written_bytes, 4);
	CU_ASSERT_EQUAL(hold_stats().accesses.errors, 3);
}

/* A posted write that the device was to answer, on the way when it was lost. */
static void
test_posted_in_flight(void)
{
	struct vuc_access_stats a;
	uint32_t value = 7;

	if (rig_skips_loopback("the loopback's server cannot hang"))
		return;
	hold_start(&(struct rig_opts){.posted_writes = VUC_POSTED_WRITES_OFF + 1},
		(struct poller_hold_opts){.hold_ms = AN_HOUR});
	rig_signal_server(SIGSTOP);
	CU_ASSERT_EQUAL(vuc_queue_post(rig.queue[0], BAR0, REFDEV_REG_DOORBELL, &value, 4), 0);
	do
		a = hold_stats().accesses;
	while (a.writes + a.posted < 2);
	hold_lose_server();
	a = hold_stats().accesses;
	CU_ASSERT_EQUAL(a.dropped_writes, 1);
	CU_ASSERT_EQUAL(a.errors, 0);
}

/* A server that is silent is none that was lost. */
static void
test_silent(void)
{
	struct vuc_access_stats a;
	uint32_t value;

	if (rig_skips_loopback("the loopback's server cannot hang"))
		return;
	hold_start(&(struct rig_opts){.timeout_ms = 500},
		(struct poller_hold_opts){.hold_ms = AN_HOUR});
	rig_signal_server(SIGSTOP);
	CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_ID, &value, 4), -ETIMEDOUT);
	CU_ASSERT_EQUAL(
		vuc_queue_write(rig.queue[0], BAR0, REFDEV_REG_SCRATCH, &value, 4), -ETIMEDOUT);
	a = hold_stats().accesses;
	CU_ASSERT_EQUAL(a.held_reads + a.dropped_writes, 0);
	CU_ASSERT_EQUAL(a.timeouts, 2);
	CU_ASSERT_EQUAL(hold_stats().outages, 0);
	rig_signal_server(SIGCONT);
}

/* ---- who leaves does not wait ---- */

static void
test_close_while_parked(void)
{
	struct vuc_queue *other;
	uint32_t value;

	start(AN_HOUR, POLLER_AFTER_HOLD, POLLER_AFTER_HOLD);
	other = rig_open_device_queue(0, HOLD_DEPTH);
	hold_lose_server();
	hold_submit(rig.queue[0], VUC_QUEUE_READ, BAR0, REFDEV_REG_ID, &value);
	hold_submit(other, VUC_QUEUE_READ, BAR0, REFDEV_REG_ID, &value);
	hold_await(2);
	CU_ASSERT_EQUAL(vuc_poller_close_queue(rig.poller, other), 0);
	CU_ASSERT_EQUAL(hold_stats().queues, 1);
	CU_ASSERT_EQUAL(vuc_poller_close_device(rig.poller, rig.dev[0]), -EBUSY);
}

static void
test_remote_leaves(void)
{
	struct vuc_queue_result result;
	struct vmm_pair p;
	uint32_t value;

	start(AN_HOUR, POLLER_AFTER_HOLD, POLLER_AFTER_HOLD);
	vmm_pair_start(&p, 0);
	hold_lose_server();
	CU_ASSERT_EQUAL(vuc_queue_write(p.front.queue, BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
	hold_submit(p.front.queue, VUC_QUEUE_READ, BAR0, REFDEV_REG_ID, &value);
	hold_await(1);
	CU_ASSERT_EQUAL(vuc_poller_remote_close_queue(p.vmm.remote, 0), 0);
	CU_ASSERT_EQUAL(vuc_queue_poll(p.front.queue, &result, 1), 1);
	CU_ASSERT_EQUAL(result.status, -ECANCELED);
	vmm_pair_stop(&p);
	CU_ASSERT_EQUAL(hold_stats().accesses.held_reads, 1);
	CU_ASSERT_EQUAL(hold_stats().accesses.dropped_writes, 1);
}

/* What is in flight when its queue is closed is not held when the server is lost later. */
static void
test_close_in_flight(void)
{
	struct vuc_queue_result result;
	struct vmm_pair p;
	pthread_t thread;
	uint32_t value;

	if (rig_skips_loopback("the loopback's server cannot hang"))
		return;
	start(AN_HOUR, POLLER_AFTER_HOLD, POLLER_AFTER_HOLD);
	vmm_pair_start(&p, 0);
	rig_signal_server(SIGSTOP);
	hold_submit(p.front.queue, VUC_QUEUE_READ, BAR0, REFDEV_REG_ID, &value);
	while (hold_stats().accesses.reads < 2)
		sched_yield();
	pthread_create(&thread, NULL, vmm_run_closing, &p.vmm);
	while (!vuc_poller_call(rig.poller, vmm_sees_closing, &p.vmm))
		sched_yield();
	hold_lose_server();
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(vuc_queue_poll(p.front.queue, &result, 1), 1);
	CU_ASSERT_EQUAL(result.status, -ECONNRESET);
	CU_ASSERT_EQUAL(hold_stats().accesses.held_reads, 0);
	vmm_pair_stop(&p);
}

/* On the poller's thread, which takes nothing meanwhile. */
static int
submit_and_close(void *arg)
{
	struct queue_closing *closing = arg;
	struct poller_queue *q = closing->poller->queues[0];
	static uint32_t value;

	hold_submit(rig.queue[0], VUC_QUEUE_READ, BAR0, REFDEV_REG_ID, &value);
	closing->deadline_ms = vuc_clock_ms() + AN_HOUR;
	poller_begin_closing(q, closing);
	return 0;
}

/* Nor is what was submitted before, and is taken after that. */
static void
test_close_untaken(void)
{
	struct queue_closing closing = {.poller = NULL};

	start(AN_HOUR, POLLER_AFTER_HOLD, POLLER_AFTER_HOLD);
	closing.poller = rig.poller;
	hold_lose_server();
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, submit_and_close, &closing), 0);
	poller_await_closing(&closing);
	rig.queue[0] = NULL;
	CU_ASSERT_EQUAL(hold_stats().accesses.held_reads, 0);
	CU_ASSERT_EQUAL(hold_stats().accesses.errors, 1);
}

/* ---- counters ---- */

static void
test_outages(void)
{
	struct vuc_device_stats stats;

	start(AN_HOUR, POLLER_AFTER_HOLD, POLLER_AFTER_HOLD);
	CU_ASSERT_EQUAL(hold_stats().outages + hold_stats().outage_ms, 0);
	hold_lose_server();
	while (hold_stats().outage_ms < 5)
		sched_yield();
	stats = hold_stats();
	CU_ASSERT_EQUAL(stats.outages, 1);
	CU_ASSERT_EQUAL(stats.outage_last_ms, 0);
	CU_ASSERT_FALSE(stats.connected);
}

static int
set_hold_of_nobody(void *arg)
{
	return vuc_poller_set_hold(rig.poller, NULL, arg);
}

static void
test_refused(void)
{
	struct poller_hold_opts opts = {.hold_ms = 1};

	start(AN_HOUR, POLLER_AFTER_HOLD, POLLER_AFTER_HOLD);
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, set_hold_of_nobody, &opts), -EINVAL);
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, set_hold_of_nobody, NULL), -EINVAL);
}

const struct tap_suite tap_suite = {NULL, NULL, NULL,
	{
		{"policies", test_policies},
		{"unknown", test_unknown},
		{"many_registers", test_many_registers},
		{"budget", test_budget},
		{"sleep", test_sleep},
		{"writes", test_writes},
		{"posted_in_flight", test_posted_in_flight},
		{"silent", test_silent},
		{"close_while_parked", test_close_while_parked},
		{"remote_leaves", test_remote_leaves},
		{"close_in_flight", test_close_in_flight},
		{"close_untaken", test_close_untaken},
		{"outages", test_outages},
		{"refused", test_refused},
	}};
