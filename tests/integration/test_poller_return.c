/* SPDX-License-Identifier: BSD-3-Clause */

/* Accesses through queues when a device that was away returns, by the transport that the command
 * line names. */

#include <sched.h>

#include "hold_rig.h"
#include "record.h"
#include "remote_vmm.h"
#include "rig.h"
#include "watch.h"

#define PLACES 8u /* requests that the device works on at a time */

static atomic_uint losses;

/* A poller_watch_fn. */
static void
count_loss(void *arg, bool connected, uint64_t silent_ms)
{
	(void)arg;
	(void)silent_ms;
	if (!connected)
		atomic_fetch_add(&losses, 1);
}

/* On the poller's thread. */
static int
watch(void *dev)
{
	return vuc_poller_watch_device(rig.poller, dev, count_loss, NULL);
}

/* What else is done on the poller's thread as soon as the device is restored. */
static void (*on_return)(void);

/* A vuc_done_fn. */
static void
restored(void *arg, int status, const struct vuc_error *err)
{
	if (status == 0 && on_return != NULL)
		on_return();
	watch(rig.dev[0]);
	hold_event_done(arg, status, err);
}

/* On the poller's thread. */
static int
begin_restore(void *arg)
{
	const struct vuc_restore_opts opts = {.reset = true};
	struct hold_event *e = arg;

	return vuc_device_restore_start(rig.dev[0], e->fresh, &opts, restored, e, NULL);
}

/* Until the fresh device is closed, which takes some polls. */
static void
restore(void (*then)(void))
{
	struct hold_event e = {.status = 0};
	struct vuc_device_opts opts;

	on_return = then;
	peer_restart(rig.peer);
	peer_opts(rig.peer, 0, &opts);
	opts.max_requests = PLACES;
	CU_ASSERT_EQUAL_FATAL(vuc_poller_open_device(rig.poller, &opts, &e.fresh, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_poller_call(rig.poller, begin_restore, &e), 0);
	CU_ASSERT_EQUAL_FATAL(hold_event_await(&e), 0);
	CU_ASSERT_EQUAL(vuc_poller_close_device(rig.poller, e.fresh), 0);
}

static void
start_to_return(uint32_t hold_ms, enum poller_after after)
{
	hold_start(&(struct rig_opts){.idle_loops = -1, .max_requests = PLACES},
		(struct poller_hold_opts){
			.hold_ms = hold_ms, .after_config = after, .after_rest = after});
	losses = 0;
	CU_ASSERT_EQUAL_FATAL(vuc_poller_call(rig.poller, watch, rig.dev[0]), 0);
}

/* Reads of a register that counts them, or of another one. */
static void
submit_reads(struct vuc_queue *q, uint64_t offset, uint32_t *values, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		hold_submit(q, VUC_QUEUE_READ, BAR0, offset, &values[i]);
}

static void
expect_in_order(struct vuc_queue *q, const uint32_t *values, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		int status;

		CU_ASSERT_PTR_EQUAL(hold_await_result(q, &status), &values[i]);
		CU_ASSERT_EQUAL(status, 0);
		CU_ASSERT_EQUAL(values[i], i);
	}
}

/* Those in flight and those made meanwhile go out in the order in which they were made. */
static void
test_return(void)
{
	struct vuc_device_stats stats;
	uint32_t values[4 * PLACES], next;
	struct vuc_queue *q;

	start_to_return(AN_HOUR, POLLER_AFTER_HOLD);
	q = rig.queue[0];
	/* Places are free in another order than that of the requests from here on. */
	submit_reads(q, REFDEV_REG_COUNTER, values, PLACES);
	expect_in_order(q, values, PLACES);
	rig_signal_server(SIGSTOP);
	submit_reads(q, REFDEV_REG_COUNTER, values, PLACES);
	while (hold_stats().accesses.reads < 2 * PLACES + 1)
		sched_yield();
	hold_lose_server();
	submit_reads(q, REFDEV_REG_COUNTER, &values[PLACES], 3 * PLACES);
	hold_await(4 * PLACES);
	restore(NULL);
	expect_in_order(q, values, 4 * PLACES);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_COUNTER, &next, 4), 0);
	CU_ASSERT_EQUAL(next, 4 * PLACES);
	stats = hold_stats();
	CU_ASSERT_EQUAL(stats.outages, 1);
	CU_ASSERT_TRUE(stats.connected && stats.outage_last_ms > 0);
	CU_ASSERT_EQUAL(stats.outage_ms, stats.outage_last_ms);
	CU_ASSERT_EQUAL(stats.accesses.errors, 0);
	CU_ASSERT_EQUAL(losses, 1);
}

/* Each outage has a budget of its own, and each loss is told. */
static void
test_two_outages(void)
{
	uint32_t value, parked;

	start_to_return(0, POLLER_AFTER_ONES);
	for (unsigned int i = 1; i <= 2; i++) {
		hold_lose_server();
		CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_ID, &value, 4), 0);
		CU_ASSERT_EQUAL(value, UINT32_MAX);
		restore(NULL);
		CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_ID, &value, 4), 0);
		CU_ASSERT_EQUAL(value, REFDEV_ID_VALUE);
		CU_ASSERT_EQUAL(losses, i);
		CU_ASSERT_EQUAL(hold_stats().outages, i);
	}
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, hold_set,
				&(struct poller_hold_opts){
					.hold_ms = AN_HOUR, .after_rest = POLLER_AFTER_ONES}),
		0);
	hold_lose_server();
	submit_reads(rig.queue[0], REFDEV_REG_COUNTER, &parked, 1);
	hold_await(1);
	restore(NULL);
	expect_in_order(rig.queue[0], &parked, 1);
}

/* Without a hold, a restored device counts as connected, and its next loss is reported. */
static void
test_not_held(void)
{
	uint32_t value;

	start_to_return(AN_HOUR, POLLER_AFTER_HOLD);
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, hold_set, NULL), 0);
	for (unsigned int i = 1; i <= 2; i++) {
		hold_lose_server();
		restore(NULL);
		CU_ASSERT_TRUE(hold_stats().connected);
		CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_ID, &value, 4), 0);
		CU_ASSERT_EQUAL(value, REFDEV_ID_VALUE);
		CU_ASSERT_EQUAL(losses, i);
	}
}

static void
stop_server(void)
{
	rig_signal_server(SIGSTOP);
}

/* What is sent again is lost again: it is parked again, before what was not sent yet. */
static void
test_lost_again(void)
{
	uint32_t values[4 * PLACES];

	start_to_return(AN_HOUR, POLLER_AFTER_HOLD);
	hold_lose_server();
	submit_reads(rig.queue[0], REFDEV_REG_COUNTER, values, 4 * PLACES);
	hold_await(4 * PLACES);
	restore(stop_server);
	/* Some are in flight again. */
	hold_lose_server();
	hold_await(5 * PLACES);
	restore(NULL);
	expect_in_order(rig.queue[0], values, 4 * PLACES);
	CU_ASSERT_EQUAL(hold_stats().outages, 2);
}

/* A read that no server answers is held until the end of its first outage's hold, whatever follows:
 * it may be what each server crashes on. */
static void
test_lost_for_good(void)
{
	struct poller_hold_opts longer = {.hold_ms = AN_HOUR, .after_rest = POLLER_AFTER_ONES};
	uint32_t value = 0;
	int status;

	start_to_return(500, POLLER_AFTER_ONES);
	hold_lose_server();
	submit_reads(rig.queue[0], REFDEV_REG_ID, &value, 1);
	hold_await(1);
	restore(stop_server);
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, hold_set, &longer), 0);
	hold_lose_server();
	hold_await_result(rig.queue[0], &status);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(value, UINT32_MAX);
	/* The others' time is that of this outage. */
	submit_reads(rig.queue[0], REFDEV_REG_COUNTER, &value, 1);
	restore(NULL);
	hold_await_result(rig.queue[0], &status);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_NOT_EQUAL(value, UINT32_MAX);
}

static void
reset_done(struct vuc_request *req, int status)
{
	(void)req;
	CU_ASSERT_EQUAL(status, 0);
}

static void
reset_at_once(void)
{
	static struct vuc_request reset;

	reset = (struct vuc_request){.op = VUC_OP_RESET, .done = reset_done};
	CU_ASSERT_EQUAL(vuc_device_submit(rig.dev[0], &reset), 0);
}

/* What waited for the return goes out before a reset that was made after it. */
static void
test_reset(void)
{
	uint32_t values[4 * PLACES], resets;
	int status;

	start_to_return(AN_HOUR, POLLER_AFTER_HOLD);
	hold_lose_server();
	submit_reads(rig.queue[0], REFDEV_REG_RESETS, values, 4 * PLACES);
	hold_await(4 * PLACES);
	restore(reset_at_once);
	for (unsigned int i = 0; i < 4 * PLACES; i++) {
		hold_await_result(rig.queue[0], &status);
		CU_ASSERT_EQUAL(values[i], values[0]);
	}
	CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_RESETS, &resets, 4), 0);
	CU_ASSERT_EQUAL(resets, values[0] + 1);
}

static void
test_remote_returns(void)
{
	struct vmm_pair p;
	uint32_t values[4];

	start_to_return(AN_HOUR, POLLER_AFTER_HOLD);
	vmm_pair_start(&p, 0);
	hold_lose_server();
	submit_reads(p.front.queue, REFDEV_REG_COUNTER, values, 4);
	hold_await(4);
	restore(NULL);
	expect_in_order(p.front.queue, values, 4);
	vmm_pair_stop(&p);
}

/* ---- a device that is connected to anew ---- */

struct account {
	struct poller_account *account;
	struct vuc_device *dev;
	struct hold_event opened, closed;
};

/* On the poller's thread. */
static int
open_connection(void *arg)
{
	struct account *a = arg;
	struct vuc_device_opts opts;

	peer_opts(rig.peer, 1, &opts);
	a->opened.done = false;
	return vuc_poller_open_start(
		rig.poller, a->account, &opts, &a->dev, hold_event_done, &a->opened, NULL);
}

/* On the poller's thread. */
static int
close_connection(void *arg)
{
	struct account *a = arg;

	a->closed.done = false;
	return vuc_poller_close_start(rig.poller, a->dev, false, hold_event_done, &a->closed);
}

static void
account_open(struct account *a)
{
	CU_ASSERT_EQUAL_FATAL(vuc_poller_call(rig.poller, open_connection, a), 0);
	CU_ASSERT_EQUAL_FATAL(hold_event_await(&a->opened), 0);
}

static void
account_close(struct account *a)
{
	CU_ASSERT_EQUAL_FATAL(vuc_poller_call(rig.poller, close_connection, a), 0);
	hold_event_await(&a->closed);
}

static struct vuc_device_stats
account_stats(const struct account *a)
{
	struct vuc_device_stats stats;

	vuc_poller_account_stats(rig.poller, a->account, &stats);
	return stats;
}

/* Without a hold the next connection ends an outage; a connection that is closed begins none. */
static void
test_account(void)
{
	struct account a = {.account = NULL};
	struct vuc_device_stats stats;

	rig_start(&(struct rig_opts){.alone = 1});
	a.account = vuc_poller_open_account(rig.poller, "disk");
	CU_ASSERT_PTR_NOT_NULL_FATAL(a.account);
	account_open(&a);
	account_close(&a);
	CU_ASSERT_EQUAL(account_stats(&a).outages, 0);
	account_open(&a);
	peer_kill(rig.peer);
	while (account_stats(&a).outage_ms < 2)
		sched_yield();
	account_close(&a);
	CU_ASSERT_EQUAL(account_stats(&a).outage_last_ms, 0);
	peer_restart(rig.peer);
	account_open(&a);
	stats = account_stats(&a);
	CU_ASSERT_EQUAL(stats.outages, 1);
	CU_ASSERT_TRUE(stats.connected && stats.outage_last_ms >= 2);
	CU_ASSERT_EQUAL(stats.outage_ms, stats.outage_last_ms);
	account_close(&a);
	vuc_poller_close_account(rig.poller, a.account);
}

/* On the poller's thread. */
static int
hold_connection(void *arg)
{
	const struct poller_hold_opts opts = {.hold_ms = AN_HOUR};
	struct account *a = arg;

	return vuc_poller_set_hold(rig.poller, a->dev, &opts);
}

/* While a device is away, a connection by which it could be restored is not shown, and its loss is
 * no other outage. */
static void
test_account_held(void)
{
	struct account a = {.account = NULL}, fresh;
	struct vuc_device_stats before, stats;

	rig_start(&(struct rig_opts){.alone = 1});
	a.account = vuc_poller_open_account(rig.poller, "disk");
	CU_ASSERT_PTR_NOT_NULL_FATAL(a.account);
	account_open(&a);
	before = account_stats(&a);
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, hold_connection, &a), 0);
	peer_kill(rig.peer);
	while (account_stats(&a).outages == 0)
		sched_yield();
	peer_restart(rig.peer);
	fresh = a;
	account_open(&fresh);
	stats = account_stats(&a);
	CU_ASSERT_EQUAL(stats.id, before.id);
	CU_ASSERT_FALSE(stats.connected);
	CU_ASSERT_EQUAL(stats.outage_last_ms, 0);
	losses = 0;
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, watch, fresh.dev), 0);
	peer_kill(rig.peer);
	while (losses == 0)
		sched_yield();
	CU_ASSERT_EQUAL(account_stats(&a).outages, 1);
	account_close(&fresh);
	account_close(&a);
	vuc_poller_close_account(rig.poller, a.account);
}

const struct tap_suite tap_suite = {NULL, NULL, NULL,
	{
		{"account", test_account},
		{"account_held", test_account_held},
		{"return", test_return},
		{"two_outages", test_two_outages},
		{"not_held", test_not_held},
		{"lost_again", test_lost_again},
		{"lost_for_good", test_lost_for_good},
		{"reset", test_reset},
		{"remote_returns", test_remote_returns},
	}};
