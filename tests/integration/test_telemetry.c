/* SPDX-License-Identifier: BSD-3-Clause */

/* What rte_telemetry shows of pollers and devices, and who may come and go meanwhile. */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <linux/vfio.h>

#include "poller_rig.h"
#include "refdev_regs.h"

#define BAR0 VFIO_PCI_BAR0_REGION_INDEX

static void
check_pollers(const struct poller_rig *b, uint64_t reads)
{
	struct json_object *answer, *all;
	struct vuc_poller_stats stats;
	unsigned int seen = 0;

	/* It counts a loop at its end, and idles sooner or later. */
	do {
		CU_ASSERT_EQUAL(vuc_poller_get_stats(b->poller, &stats), 0);
	} while (stats.loops_busy == 0 || stats.loops_empty == 0);
	all = telemetry_ask(rig_sock, "/vuc/pollers", &answer);
	CU_ASSERT_EQUAL(stats.accesses.reads, reads);
	CU_ASSERT_EQUAL(json_object_object_length(all), 2);
	json_object_object_foreach(all, number, p)
	{
		(void)number;
		CU_ASSERT_STRING_EQUAL(telemetry_string(p, "idle"), "sleep");
		CU_ASSERT_STRING_EQUAL(telemetry_string(p, "transport"), peer_transport());
		CU_ASSERT_STRING_EQUAL(telemetry_string(p, "latency"), "off");
		CU_ASSERT_EQUAL(json_object_get_int(telemetry_member(p, "cpu")), -1);
		CU_ASSERT_TRUE(json_object_get_int(telemetry_member(p, "node")) >= -1);
		if (strcmp(telemetry_string(p, "name"), RIG_NAME) != 0) {
			CU_ASSERT_EQUAL(telemetry_number(p, "reads"), 0);
			continue;
		}
		seen++;
		CU_ASSERT_EQUAL(telemetry_number(p, "devices"), stats.devices);
		CU_ASSERT_EQUAL(telemetry_number(p, "queues"), stats.queues);
		CU_ASSERT_TRUE(telemetry_number(p, "calls") > 0);
		CU_ASSERT_TRUE(telemetry_number(p, "loops_busy") > 0);
		CU_ASSERT_TRUE(telemetry_number(p, "loops_empty") > 0);
		rig_same_accesses(p, &stats.accesses);
	}
	CU_ASSERT_EQUAL(seen, 1);
	json_object_put(answer);
}

static void
test_pollers(void)
{
	struct poller_rig b = rig_start(0, 0, NULL);
	struct vuc_poller *other = rig_poller("other");
	struct vuc_device_stats stats;
	struct json_object *answer;

	rig_burst(&b, 8);
	check_pollers(&b, 8);
	/* What a closed device has counted stays with the poller. */
	vuc_poller_close_queue(b.poller, b.queue);
	CU_ASSERT_EQUAL(vuc_poller_close_device(b.poller, b.dev), 0);
	check_pollers(&b, 8);
	CU_ASSERT_EQUAL(vuc_poller_get_device_stats(b.poller, b.dev, &stats), -ENODEV);
	CU_ASSERT_EQUAL(
		json_object_object_length(telemetry_ask(rig_sock, "/vuc/pollers,1", &answer)), 1);
	json_object_put(answer);
	CU_ASSERT_EQUAL(vuc_poller_destroy(b.poller), 0);
	CU_ASSERT_EQUAL(vuc_poller_destroy(other), 0);
	CU_ASSERT_EQUAL(
		json_object_object_length(telemetry_ask(rig_sock, "/vuc/pollers", &answer)), 0);
	json_object_put(answer);
	peer_stop(b.peer);
}

static void
test_names(void)
{
	struct poller_rig b = rig_start(0, 0, NULL);
	struct vuc_poller *other = rig_poller(RIG_NAME);
	struct json_object *answer, *names;
	struct vuc_device_stats stats;
	struct vuc_device_opts opts;
	struct vuc_device *second;

	peer_opts(b.peer, 1, &opts);
	second = rig_device(other, &opts);
	CU_ASSERT_EQUAL(vuc_poller_get_device_stats(other, second, &stats), 0);
	CU_ASSERT_EQUAL(vuc_poller_get_device_stats(b.poller, second, &stats), -ENODEV);
	CU_ASSERT_STRING_NOT_EQUAL(stats.name, rig_stats(&b).name);
	CU_ASSERT_NOT_EQUAL(stats.id, rig_stats(&b).id);
	names = telemetry_ask(rig_sock, "/vuc/devices", &answer);
	CU_ASSERT_EQUAL_FATAL(json_object_array_length(names), 2);
	CU_ASSERT_STRING_EQUAL(
		json_object_get_string(json_object_array_get_idx(names, 0)), rig_stats(&b).name);
	CU_ASSERT_STRING_EQUAL(
		json_object_get_string(json_object_array_get_idx(names, 1)), stats.name);
	json_object_put(answer);
	names = telemetry_ask(rig_sock, "/vuc/devices,1", &answer);
	CU_ASSERT_EQUAL_FATAL(json_object_array_length(names), 1);
	CU_ASSERT_STRING_EQUAL(
		json_object_get_string(json_object_array_get_idx(names, 0)), stats.name);
	json_object_put(answer);
	CU_ASSERT_EQUAL(vuc_poller_close_device(other, second), 0);
	CU_ASSERT_EQUAL(vuc_poller_destroy(other), 0);
	rig_stop(&b);
}

static void
test_refused(void)
{
	struct poller_rig b = rig_start(0, 0, NULL);

	CU_ASSERT_TRUE(telemetry_refuses(rig_sock, "/vuc/device"));
	CU_ASSERT_TRUE(telemetry_refuses(rig_sock, "/vuc/device,none"));
	CU_ASSERT_TRUE(telemetry_refuses(rig_sock, "/vuc/devices,first"));
	CU_ASSERT_TRUE(telemetry_refuses(rig_sock, "/vuc/devices,-1"));
	CU_ASSERT_TRUE(telemetry_refuses(rig_sock, "/vuc/pollers,1x"));
	CU_ASSERT_TRUE(telemetry_refuses(rig_sock, "/vuc/latency"));
	CU_ASSERT_TRUE(telemetry_refuses(rig_sock, "/vuc/latency,maybe"));
	rig_stop(&b);
}

/* Devices and pollers come and go while telemetry asks of them. */
struct churn {
	struct peer *peer;
	_Atomic bool over;
};

static void *
churn_thread(void *arg)
{
	struct churn *c = arg;
	struct vuc_device_opts opts;

	peer_opts(c->peer, 1, &opts);
	for (unsigned int i = 0; i < 50; i++) {
		struct vuc_poller *p = rig_poller("churn");
		struct vuc_device *dev = rig_device(p, &opts);
		struct vuc_queue *q = rig_queue(p, dev);
		uint32_t value;

		vuc_poller_set_latency(p, true);
		CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_ID, &value, 4), 0);
		vuc_poller_close_queue(p, q);
		CU_ASSERT_EQUAL(vuc_poller_close_device(p, dev), 0);
		CU_ASSERT_EQUAL(vuc_poller_destroy(p), 0);
	}
	c->over = true;
	return NULL;
}

static void
ask_each(void)
{
	struct json_object *answer, *one;
	struct json_object *names = telemetry_ask(rig_sock, "/vuc/devices", &answer);

	for (size_t i = 0; i < json_object_array_length(names); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(names, i));
		struct json_object *shown = rig_ask_device(name, &one);

		if (shown != NULL)
			CU_ASSERT_STRING_EQUAL(telemetry_string(shown, "name"), name);
		json_object_put(one);
	}
	json_object_put(answer);
	telemetry_ask(rig_sock, "/vuc/pollers", &answer);
	json_object_put(answer);
}

static void
test_churn(void)
{
	struct poller_rig b = rig_start(0, 0, NULL);
	struct churn c = {.peer = b.peer};
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, churn_thread, &c), 0);
	while (!c.over) {
		ask_each();
		rig_burst(&b, 4);
		rig_agrees(&b);
	}
	pthread_join(thread, NULL);
	rig_stop(&b);
}

static CU_TestInfo tests[] = {
	{"pollers", test_pollers},
	{"names", test_names},
	{"refused", test_refused},
	{"churn", test_churn},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return rig_main(argc, argv, tests);
}
