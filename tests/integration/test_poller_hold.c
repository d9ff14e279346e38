/* SPDX-License-Identifier: BSD-3-Clause */

/* Accesses through queues while a device is away, by the transport that the command line names. */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include <linux/vfio.h>

#include <vuc/stats.h>

#include "clock.h"
#include "hold.h"
#include "record.h"
#include "refdev_regs.h"
#include "remote_vmm.h"
#include "rig.h"
#include "watch.h"

#define BAR0    VFIO_PCI_BAR0_REGION_INDEX
#define CONFIG  VFIO_PCI_CONFIG_REGION_INDEX
#define NOWHERE 77
#define AN_HOUR 3600000u
#define DEPTH   64
#define SCRATCH 0x5a5a1234u
#define ID      (REFDEV_DEVICE_ID << 16 | REFDEV_VENDOR_ID) /* of config space */

static bool
is_loopback(void)
{
	return strcmp(peer_transport(), "loopback") == 0;
}

static struct vuc_device_stats
stats_now(void)
{
	struct vuc_device_stats stats;

	CU_ASSERT_EQUAL_FATAL(vuc_poller_get_device_stats(rig.poller, rig.dev[0], &stats), 0);
	return stats;
}

/* ---- a device with a record and a hold ---- */

/* On the poller's thread. */
static int
set_hold(void *opts)
{
	return vuc_poller_set_hold(rig.poller, rig.dev[0], opts);
}

struct event {
	_Atomic bool done;
	int status;
	struct vuc_device *fresh;
};

/* A vuc_done_fn. */
static void
event_done(void *arg, int status, const struct vuc_error *err)
{
	struct event *e = arg;

	if (status != 0)
		printf("# %s\n", err->text);
	e->status = status;
	atomic_store(&e->done, true);
}

static int
event_await(struct event *e)
{
	while (!atomic_load(&e->done))
		sched_yield();
	return e->status;
}

/* On the poller's thread. */
static int
start_record(void *arg)
{
	const struct vuc_record_opts opts = {.closer = NULL};

	return vuc_device_record_start(rig.dev[0], &opts, event_done, arg);
}

/* The register that is read has SCRATCH in it, and was read. */
static void
start_with(struct rig_opts *rig_opts, struct poller_hold_opts hold)
{
	struct event recorded = {.status = 0};
	uint32_t value = SCRATCH;

	rig_opts->alone = 1;
	rig_opts->depth = DEPTH;
	rig_start(rig_opts);
	CU_ASSERT_EQUAL_FATAL(vuc_poller_call(rig.poller, start_record, &recorded), 0);
	CU_ASSERT_EQUAL_FATAL(event_await(&recorded), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_poller_call(rig.poller, set_hold, &hold), 0);
	CU_ASSERT_EQUAL(vuc_queue_write(rig.queue[0], BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
}

/* It sleeps whenever it can. */
static void
start(uint32_t hold_ms, enum poller_after config, enum poller_after rest)
{
	start_with(&(struct rig_opts){.idle_loops = -1},
		(struct poller_hold_opts){
			.hold_ms = hold_ms, .after_config = config, .after_rest = rest});
}

/* On the poller's thread: a client in the loopback finds out with the next message. */
static int
touch(void *arg)
{
	return vuc_device_read(rig.dev[0], BAR0, REFDEV_REG_ID, arg, 4);
}

static void
lose_server(void)
{
	uint64_t outages = stats_now().outages;
	uint32_t value;

	peer_kill(rig.peer);
	if (is_loopback())
		CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, touch, &value), -ECONNRESET);
	while (stats_now().outages == outages)
		sched_yield();
}

static void
submit(struct vuc_queue *q, enum vuc_queue_op op, uint32_t region, uint64_t offset, void *data)
{
	const struct vuc_queue_request r = {.op = op,
		.region = region,
		.offset = offset,
		.count = 4,
		.data = data,
		.arg = data};

	CU_ASSERT_EQUAL_FATAL(vuc_queue_submit(q, &r, 1), 1);
}

static void
await_held(uint64_t nr)
{
	while (stats_now().accesses.held_reads < nr)
		sched_yield();
}

/* Wait for one result: of which data, and its status. */
static void *
await_result(struct vuc_queue *q, int *status)
{
	struct vuc_queue_result result;

	CU_ASSERT_EQUAL_FATAL(vuc_queue_wait(q, -1), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_queue_poll(q, &result, 1), 1);
	*status = result.status;
	return result.arg;
}

static int
await_status(struct vuc_queue *q)
{
	int status;

	await_result(q, &status);
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
	submit(q, VUC_QUEUE_READ, region, config ? 0 : at, &a->read);
	submit(q, VUC_QUEUE_WRITE, region, at, &a->write);
	submit(q, VUC_QUEUE_WRITE_POSTED, region, at, &a->posted);
	submit(q, VUC_QUEUE_WRITE_PCI, region, at, &a->pci);
}

static void
await_results(struct vuc_queue *q, struct accesses *a, unsigned int nr)
{
	while (nr-- > 0) {
		int status;
		const void *of = await_result(q, &status);

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
		a = stats_now().accesses;
	} while (a.reads < 2 || a.writes + a.posted < 4);
}

static void
expect_accesses(const struct accesses *a, enum poller_after after, bool config, bool in_flight)
{
	bool error = after == POLLER_AFTER_ERROR;
	/* What was posted before the loss has nobody to be told. */
	unsigned int writes = in_flight ? config ? 2 : 1 : 3;
	struct vuc_access_stats counted = stats_now().accesses;

	CU_ASSERT_EQUAL(a->read_status, error || after == POLLER_AFTER_HOLD ? -ENOTCONN : 0);
	if (after == POLLER_AFTER_LAST)
		CU_ASSERT_EQUAL(a->read, config ? ID : SCRATCH);
	if (after == POLLER_AFTER_ONES)
		CU_ASSERT_EQUAL(a->read, UINT32_MAX);
	CU_ASSERT_EQUAL(a->write_status, error ? -ENOTCONN : 0);
	CU_ASSERT_EQUAL(a->pci_status, error && !(in_flight && !config) ? -ENOTCONN : 0);
	CU_ASSERT_EQUAL(counted.held_reads, after == POLLER_AFTER_HOLD);
	CU_ASSERT_EQUAL(counted.dropped_writes, error ? 0 : writes);
	CU_ASSERT_EQUAL(counted.errors, (a->read_status != 0) + (error ? writes : 0));
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
		lose_server();
	} else {
		lose_server();
		submit_all(q, config, &a);
	}
	if (after == POLLER_AFTER_HOLD) {
		await_results(q, &a, 2);
		await_held(1);
		CU_ASSERT_EQUAL(vuc_queue_poll(q, &(struct vuc_queue_result){.arg = NULL}, 1), 0);
		CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, set_hold, NULL), 0);
		await_results(q, &a, 1);
	} else {
		await_results(q, &a, 3);
	}
	expect_accesses(&a, after, config, in_flight);
	rig_stop();
}

static void
test_policies(void)
{
	for (int after = POLLER_AFTER_HOLD; after <= POLLER_AFTER_ERROR; after++) {
		for (int i = 0; i < 4; i++) {
			bool in_flight = (i & 2) != 0;

			if (!in_flight || !is_loopback())
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
	lose_server();
	CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_ID, &value, 4), -ENOTCONN);
	CU_ASSERT_EQUAL(
		vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_SCRATCH, &value, 2), -ENOTCONN);
	CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], CONFIG, 0x200, &value, 4), -ENOTCONN);
	CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
	CU_ASSERT_EQUAL(value, SCRATCH);
	rig_stop();
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
	lose_server();
	submit(rig.queue[0], VUC_QUEUE_READ, BAR0, REFDEV_REG_ID, &first);
	submit(rig.queue[0], VUC_QUEUE_READ, BAR0, REFDEV_REG_ID, &second);
	CU_ASSERT_EQUAL(await_status(rig.queue[0]), 0);
	CU_ASSERT_EQUAL(await_status(rig.queue[0]), 0);
	CU_ASSERT_TRUE(vuc_clock_ms() - began_ms >= 90);
	CU_ASSERT_EQUAL(stats_now().accesses.held_reads, 2);
	CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_ID, &third, 4), 0);
	CU_ASSERT_EQUAL(first & second & third, UINT32_MAX);
	CU_ASSERT_EQUAL(stats_now().accesses.held_reads, 2);
	rig_stop();
}

/* Whoever writes is held up by nothing; what is no access of the device is refused as ever. */
static void
test_writes(void)
{
	struct vuc_queue *q;
	uint32_t value = 7;

	start(AN_HOUR, POLLER_AFTER_HOLD, POLLER_AFTER_HOLD);
	q = rig.queue[0];
	lose_server();
	for (unsigned int i = 0; i < 100 * DEPTH; i++)
		CU_ASSERT_EQUAL(vuc_queue_post(q, BAR0, REFDEV_REG_DOORBELL, &value, 4), 0);
	CU_ASSERT_EQUAL(vuc_queue_write(q, BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
	CU_ASSERT_EQUAL(stats_now().accesses.dropped_writes, 100 * DEPTH + 1);
	CU_ASSERT_EQUAL(vuc_queue_write(q, NOWHERE, 0, &value, 4), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_read(q, NOWHERE, 0, &value, 4), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_BAR0_SIZE, &value, 4), -EINVAL);
	CU_ASSERT_EQUAL(stats_now().accesses.held_reads, 0);
	CU_ASSERT_EQUAL(stats_now().accesses.written_bytes, 4);
	CU_ASSERT_EQUAL(stats_now().accesses.errors, 3);
	rig_stop();
}

/* A server that is silent is none that was lost. */
static void
test_silent(void)
{
	struct vuc_access_stats a;
	uint32_t value;

	if (is_loopback()) {
		vuc_tap_skip("the loopback's server cannot hang");
		return;
	}
	start_with(&(struct rig_opts){.timeout_ms = 500},
		(struct poller_hold_opts){.hold_ms = AN_HOUR});
	rig_signal_server(SIGSTOP);
	CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_ID, &value, 4), -ETIMEDOUT);
	CU_ASSERT_EQUAL(
		vuc_queue_write(rig.queue[0], BAR0, REFDEV_REG_SCRATCH, &value, 4), -ETIMEDOUT);
	a = stats_now().accesses;
	CU_ASSERT_EQUAL(a.held_reads + a.dropped_writes, 0);
	CU_ASSERT_EQUAL(a.timeouts, 2);
	CU_ASSERT_EQUAL(stats_now().outages, 0);
	rig_signal_server(SIGCONT);
	rig_stop();
}

/* ---- who leaves does not wait ---- */

static void
test_close_while_parked(void)
{
	struct vuc_queue *other;
	uint32_t value;

	start(AN_HOUR, POLLER_AFTER_HOLD, POLLER_AFTER_HOLD);
	other = rig_open_device_queue(0, DEPTH);
	lose_server();
	submit(rig.queue[0], VUC_QUEUE_READ, BAR0, REFDEV_REG_ID, &value);
	submit(other, VUC_QUEUE_READ, BAR0, REFDEV_REG_ID, &value);
	await_held(2);
	CU_ASSERT_EQUAL(vuc_poller_close_queue(rig.poller, other), 0);
	CU_ASSERT_EQUAL(stats_now().queues, 1);
	CU_ASSERT_EQUAL(vuc_poller_close_device(rig.poller, rig.dev[0]), -EBUSY);
	rig_stop();
}

static void
test_remote_leaves(void)
{
	struct vuc_queue_result result;
	struct vmm_front front;
	struct vmm vmm;
	uint32_t value;

	start(AN_HOUR, POLLER_AFTER_HOLD, POLLER_AFTER_HOLD);
	vmm_attach_one(&vmm);
	vmm_front_open(&front, &vmm, 0);
	lose_server();
	CU_ASSERT_EQUAL(vuc_queue_write(front.queue, BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
	submit(front.queue, VUC_QUEUE_READ, BAR0, REFDEV_REG_ID, &value);
	await_held(1);
	CU_ASSERT_EQUAL(vuc_poller_remote_close_queue(vmm.remote, 0), 0);
	CU_ASSERT_EQUAL(vuc_queue_poll(front.queue, &result, 1), 1);
	CU_ASSERT_EQUAL(result.status, -ECANCELED);
	vmm_front_close(&front);
	vmm_detach_device(&vmm);
	CU_ASSERT_EQUAL(stats_now().accesses.held_reads, 1);
	CU_ASSERT_EQUAL(stats_now().accesses.dropped_writes, 1);
	rig_stop();
}

/* ---- counters ---- */

static void
test_outages(void)
{
	struct vuc_device_stats stats;

	start(AN_HOUR, POLLER_AFTER_HOLD, POLLER_AFTER_HOLD);
	CU_ASSERT_EQUAL(stats_now().outages + stats_now().outage_ms, 0);
	lose_server();
	while (stats_now().outage_ms < 5)
		sched_yield();
	stats = stats_now();
	CU_ASSERT_EQUAL(stats.outages, 1);
	CU_ASSERT_EQUAL(stats.outage_last_ms, 0);
	CU_ASSERT_FALSE(stats.connected);
	rig_stop();
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
	rig_stop();
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
		{"policies", test_policies},
		{"unknown", test_unknown},
		{"budget", test_budget},
		{"writes", test_writes},
		{"silent", test_silent},
		{"close_while_parked", test_close_while_parked},
		{"remote_leaves", test_remote_leaves},
		{"outages", test_outages},
		{"refused", test_refused},
		CU_TEST_INFO_NULL,
	};

	return rig_main(argc, argv, tests, NULL);
}
