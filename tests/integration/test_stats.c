/* SPDX-License-Identifier: BSD-3-Clause */

/* What pollers count, as <vuc/stats.h> tells it, and rte_telemetry as well. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "clock.h"
#include "poller_rig.h"
#include "refdev_regs.h"

#define BAR0    VFIO_PCI_BAR0_REGION_INDEX
#define NOWHERE 77   /* a region that there is not */
#define LATE_MS 1000 /* a timeout that the server keeps to unless it is told not to answer */

static void
test_counters(void)
{
	struct poller_rig b = rig_start(0, 0, NULL);
	struct vuc_access_stats a = rig_stats(&b).accesses;
	uint8_t bytes[256] = {0};

	CU_ASSERT_EQUAL(a.reads + a.writes + a.posted + a.bursts, 0);
	for (unsigned int i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(vuc_queue_read(b.queue, BAR0, REFDEV_REG_ID, bytes, 4), 0);
	for (unsigned int i = 0; i < 30; i++)
		CU_ASSERT_EQUAL(
			vuc_queue_write(b.queue, VFIO_PCI_BAR2_REGION_INDEX, 0, bytes, 256), 0);
	a = rig_stats(&b).accesses;
	CU_ASSERT_EQUAL(a.bursts, 130);
	CU_ASSERT_EQUAL(a.burst_sizes[0], 130);
	for (unsigned int i = 0; i < 7; i++)
		CU_ASSERT_EQUAL(vuc_queue_post(b.queue, BAR0, REFDEV_REG_SCRATCH, bytes, 8), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(b.queue, NOWHERE, 0, bytes, 4), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_write(b.queue, NOWHERE, 0, bytes, 4), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_post(b.queue, NOWHERE, 0, bytes, 4), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(b.queue, BAR0, REFDEV_REG_ID, bytes, 4), 0);
	a = rig_stats(&b).accesses;
	CU_ASSERT_EQUAL(a.reads, 102);
	CU_ASSERT_EQUAL(a.writes, 31);
	CU_ASSERT_EQUAL(a.posted, 8);
	CU_ASSERT_EQUAL(a.read_bytes, 101 * 4);
	CU_ASSERT_EQUAL(a.written_bytes, 30 * 256 + 7 * 8);
	CU_ASSERT_EQUAL(a.errors, 3);
	CU_ASSERT_EQUAL(a.timeouts + a.retries + a.broken_queues, 0);
	rig_agrees(&b);
	rig_stop(&b);
}

static void
test_bursts(void)
{
	static const struct {
		unsigned int nr;
		uint64_t sizes[VUC_BURST_SIZES];
	} steps[] = {
		{1, {1}},
		{2, {1, 1}},
		{3, {1, 2}},
		{4, {1, 2, 1}},
		{7, {1, 2, 2}},
		{8, {1, 2, 2, 1}},
		{31, {1, 2, 2, 1, 1}},
		{32, {1, 2, 2, 1, 1, 1}},
		{RIG_DEPTH, {1, 2, 2, 1, 1, 3}},
	};
	struct poller_rig b = rig_start(0, 0, NULL);

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct vuc_access_stats a;

		rig_burst(&b, steps[i].nr);
		a = rig_stats(&b).accesses;
		CU_ASSERT_EQUAL(memcmp(a.burst_sizes, steps[i].sizes, sizeof(a.burst_sizes)), 0);
	}
	rig_agrees(&b);
	rig_stop(&b);
}

static void
test_retries(void)
{
	struct poller_rig b = rig_start(1, 0, NULL);
	struct vuc_access_stats a;

	rig_burst(&b, 8);
	a = rig_stats(&b).accesses;
	CU_ASSERT_EQUAL(a.reads, 8);
	CU_ASSERT_EQUAL(a.errors, 0);
	CU_ASSERT_TRUE(a.retries >= 7);
	rig_agrees(&b);
	rig_stop(&b);
}

static void
test_latency(void)
{
	struct poller_rig b = rig_start(0, 0, NULL);
	struct vuc_latency l;
	struct json_object *answer;

	rig_burst(&b, 8);
	CU_ASSERT_EQUAL(rig_stats(&b).latency.count, 0);
	vuc_poller_set_latency(b.poller, true);
	for (unsigned int i = 0; i < 20; i++)
		rig_burst(&b, RIG_DEPTH);
	l = rig_stats(&b).latency;
	CU_ASSERT_EQUAL(l.count, 20 * RIG_DEPTH);
	CU_ASSERT_TRUE(l.p50_ns > 0 && l.p50_ns <= l.p99_ns);
	CU_ASSERT_TRUE(l.p99_ns <= l.p999_ns && l.p999_ns <= l.max_ns);
	CU_ASSERT_TRUE(l.max_ns < UINT64_C(100000000000));
	rig_agrees(&b);
	CU_ASSERT_STRING_EQUAL(
		json_object_get_string(telemetry_ask(rig_sock, "/vuc/latency,off", &answer)),
		"off");
	json_object_put(answer);
	rig_burst(&b, 8);
	CU_ASSERT_EQUAL(rig_stats(&b).latency.count, 20 * RIG_DEPTH);
	telemetry_ask(rig_sock, "/vuc/latency,on", &answer);
	json_object_put(answer);
	rig_burst(&b, 8);
	CU_ASSERT_EQUAL(rig_stats(&b).latency.count, 20 * RIG_DEPTH + 8);
	rig_stop(&b);
}

/* A request that is late is an error and a timeout, once. */
static void
test_timeout(void)
{
	struct vuc_access_stats a;
	struct poller_rig b;
	uint32_t value;

	if (strcmp(peer_transport(), "loopback") == 0) {
		vuc_tap_skip("the loopback's server cannot hang");
		return;
	}
	/* The first read is for opening the device. */
	b = rig_start(0, LATE_MS, "--fault=drop@region_read#7");
	vuc_poller_set_latency(b.poller, true);
	CU_ASSERT_EQUAL(vuc_queue_read(b.queue, BAR0, REFDEV_REG_ID, &value, 4), -ETIMEDOUT);
	a = rig_stats(&b).accesses;
	CU_ASSERT_EQUAL(a.reads, 1);
	CU_ASSERT_EQUAL(a.read_bytes, 0);
	CU_ASSERT_EQUAL(a.errors, 1);
	CU_ASSERT_EQUAL(a.timeouts, 1);
	CU_ASSERT_TRUE(rig_stats(&b).latency.max_ns >= LATE_MS / 2 * UINT64_C(1000000));
	rig_stop(&b);
}

/* The end of a connection shows by itself; nobody has to access the device. */
static void
test_lost(void)
{
	unsigned int before = rig_started;
	struct poller_rig b = rig_start(0, 0, NULL);
	uint32_t value;

	CU_ASSERT_EQUAL(rig_started, before + 1);
	before = rig_ended;
	CU_ASSERT_TRUE(rig_stats(&b).connected);
	rig_agrees(&b);
	peer_kill(b.peer);
	if (strcmp(peer_transport(), "loopback") == 0)
		CU_ASSERT_EQUAL(vuc_queue_read(b.queue, BAR0, 0, &value, 4), -ECONNRESET);
	while (rig_stats(&b).connected)
		vuc_clock_sleep_ms(1);
	rig_agrees(&b);
	rig_stop(&b);
	CU_ASSERT_EQUAL(rig_ended, before + 1);
}

static CU_TestInfo tests[] = {
	{"counters", test_counters},
	{"bursts", test_bursts},
	{"retries", test_retries},
	{"latency", test_latency},
	{"timeout", test_timeout},
	{"lost", test_lost},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return rig_main(argc, argv, tests);
}
