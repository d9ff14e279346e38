/* SPDX-License-Identifier: BSD-3-Clause */
#include "hold_rig.h"

#include <sched.h>

#include "record.h"

struct vuc_device_stats
hold_stats(void)
{
	struct vuc_device_stats stats;

	CU_ASSERT_EQUAL_FATAL(vuc_poller_get_device_stats(rig.poller, rig.dev[0], &stats), 0);
	return stats;
}

int
hold_set(void *opts)
{
	return vuc_poller_set_hold(rig.poller, rig.dev[0], opts);
}

void
hold_event_done(void *arg, int status, const struct vuc_error *err)
{
	struct hold_event *e = arg;

	if (status != 0)
		printf("# %s\n", err->text);
	e->status = status;
	atomic_store(&e->done, true);
}

int
hold_event_await(struct hold_event *e)
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

	return vuc_device_record_start(rig.dev[0], &opts, hold_event_done, arg);
}

void
hold_start(struct rig_opts *rig_opts, struct poller_hold_opts hold)
{
	struct hold_event recorded = {.status = 0};
	uint32_t value = HOLD_SCRATCH;

	rig_opts->alone = 1;
	rig_opts->depth = HOLD_DEPTH;
	rig_start(rig_opts);
	CU_ASSERT_EQUAL_FATAL(vuc_poller_call(rig.poller, start_record, &recorded), 0);
	CU_ASSERT_EQUAL_FATAL(hold_event_await(&recorded), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_poller_call(rig.poller, hold_set, &hold), 0);
	CU_ASSERT_EQUAL(vuc_queue_write(rig.queue[0], BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
}

/* On the poller's thread: a client in the loopback finds out with the next message. */
static int
touch(void *arg)
{
	return vuc_device_read(rig.dev[0], BAR0, REFDEV_REG_ID, arg, 4);
}

void
hold_lose_server(void)
{
	uint64_t outages = hold_stats().outages;
	uint32_t value;

	peer_kill(rig.peer);
	if (!peer_has_sockets())
		CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, touch, &value), -ECONNRESET);
	while (hold_stats().outages == outages)
		sched_yield();
}

void
hold_submit(struct vuc_queue *q, enum vuc_queue_op op, uint32_t region, uint64_t offset, void *data)
{
	const struct vuc_queue_request r = {.op = op,
		.region = region,
		.offset = offset,
		.count = 4,
		.data = data,
		.arg = data};

	CU_ASSERT_EQUAL_FATAL(vuc_queue_submit(q, &r, 1), 1);
}

void
hold_await(uint64_t nr)
{
	while (hold_stats().accesses.held_reads < nr)
		sched_yield();
}

void *
hold_await_result(struct vuc_queue *q, int *status)
{
	struct vuc_queue_result result;

	CU_ASSERT_EQUAL_FATAL(vuc_queue_wait(q, -1), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_queue_poll(q, &result, 1), 1);
	*status = result.status;
	return result.arg;
}
