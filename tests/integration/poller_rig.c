/* SPDX-License-Identifier: BSD-3-Clause */
#include "poller_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <rte_eal.h>

#include <vuc/eal.h>

#include "refdev_regs.h"
#include "tempdir.h"

#define BAR0 VFIO_PCI_BAR0_REGION_INDEX

int rig_sock = -1;

static char folder[VUC_TEMPDIR_SIZE];

_Atomic unsigned int rig_started, rig_ended;

static void
count_line(void *arg, enum vuc_log_level level, const char *line)
{
	static const char end[] = ": the connection has ended";
	size_t len = strlen(line);

	(void)arg;
	if (level == VUC_LOG_NOTICE && strncmp(line, "poller bench: transport ", 24) == 0)
		rig_started++;
	if (level == VUC_LOG_WARNING && len > sizeof(end) &&
		strcmp(line + len + 1 - sizeof(end), end) == 0)
		rig_ended++;
}

struct vuc_poller *
rig_poller(const char *name)
{
	struct vuc_poller_opts opts;
	struct vuc_error err = {0};
	struct vuc_poller *p;

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.name = name;
	opts.transport = peer_transport();
	opts.cpu = VUC_POLLER_CPU_NONE;
	opts.idle = VUC_IDLE_SLEEP;
	opts.idle_loops = 100;
	CU_ASSERT_EQUAL_FATAL(vuc_poller_create(&opts, &p, &err), 0);
	return p;
}

struct vuc_device *
rig_device(struct vuc_poller *p, const struct vuc_device_opts *opts)
{
	struct vuc_error err = {0};
	struct vuc_device *dev;

	if (vuc_poller_open_device(p, opts, &dev, &err) != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	return dev;
}

struct vuc_queue *
rig_queue(struct vuc_poller *p, struct vuc_device *dev)
{
	struct vuc_queue_opts opts;
	struct vuc_queue *q;

	vuc_queue_opts_init(&opts, sizeof(opts));
	opts.depth = RIG_DEPTH;
	CU_ASSERT_EQUAL_FATAL(vuc_poller_open_queue(p, dev, &opts, &q, NULL), 0);
	return q;
}

struct poller_rig
rig_start(uint16_t max_requests, uint32_t timeout_ms, const char *fault)
{
	struct poller_rig b = {.peer = peer_start(2, fault, NULL), .poller = rig_poller(RIG_NAME)};
	struct vuc_device_opts opts;

	peer_opts(b.peer, 0, &opts);
	if (max_requests != 0)
		opts.max_requests = max_requests;
	if (timeout_ms != 0)
		opts.timeout_ms = timeout_ms;
	b.dev = rig_device(b.poller, &opts);
	b.queue = rig_queue(b.poller, b.dev);
	return b;
}

void
rig_stop(const struct poller_rig *b)
{
	vuc_poller_close_queue(b->poller, b->queue);
	CU_ASSERT_EQUAL(vuc_poller_close_device(b->poller, b->dev), 0);
	CU_ASSERT_EQUAL(vuc_poller_destroy(b->poller), 0);
	peer_stop(b->peer);
}

struct vuc_device_stats
rig_stats(const struct poller_rig *b)
{
	struct vuc_device_stats stats;

	CU_ASSERT_EQUAL_FATAL(vuc_poller_get_device_stats(b->poller, b->dev, &stats), 0);
	return stats;
}

struct json_object *
rig_ask_device(const char *name, struct json_object **answer)
{
	char command[VUC_DEVICE_NAME_SIZE + 16];

	snprintf(command, sizeof(command), "/vuc/device,%s", name);
	return telemetry_ask(rig_sock, command, answer);
}

void
rig_same_accesses(struct json_object *shown, const struct vuc_access_stats *a)
{
	struct json_object *sizes = telemetry_member(shown, "burst_sizes");

	CU_ASSERT_EQUAL(telemetry_number(shown, "reads"), a->reads);
	CU_ASSERT_EQUAL(telemetry_number(shown, "writes"), a->writes);
	CU_ASSERT_EQUAL(telemetry_number(shown, "posted"), a->posted);
	CU_ASSERT_EQUAL(telemetry_number(shown, "read_bytes"), a->read_bytes);
	CU_ASSERT_EQUAL(telemetry_number(shown, "written_bytes"), a->written_bytes);
	CU_ASSERT_EQUAL(telemetry_number(shown, "retries"), a->retries);
	CU_ASSERT_EQUAL(telemetry_number(shown, "errors"), a->errors);
	CU_ASSERT_EQUAL(telemetry_number(shown, "timeouts"), a->timeouts);
	CU_ASSERT_EQUAL(telemetry_number(shown, "broken_queues"), a->broken_queues);
	CU_ASSERT_EQUAL(telemetry_number(shown, "bursts"), a->bursts);
	CU_ASSERT_EQUAL_FATAL(json_object_array_length(sizes), VUC_BURST_SIZES);
	for (size_t i = 0; i < VUC_BURST_SIZES; i++)
		CU_ASSERT_EQUAL(json_object_get_uint64(json_object_array_get_idx(sizes, i)),
			a->burst_sizes[i]);
}

void
rig_agrees(const struct poller_rig *b)
{
	struct vuc_device_stats stats = rig_stats(b);
	struct json_object *answer, *shown = rig_ask_device(stats.name, &answer);
	struct json_object *latency = telemetry_member(shown, "latency");

	CU_ASSERT_STRING_EQUAL(telemetry_string(shown, "name"), stats.name);
	CU_ASSERT_STRING_EQUAL(telemetry_string(shown, "poller"), RIG_NAME);
	CU_ASSERT_STRING_EQUAL(
		telemetry_string(shown, "state"), stats.connected ? "connected" : "lost");
	CU_ASSERT_EQUAL(telemetry_number(shown, "id"), stats.id);
	CU_ASSERT_EQUAL(telemetry_number(shown, "queues"), 1);
	rig_same_accesses(shown, &stats.accesses);
	CU_ASSERT_EQUAL(telemetry_number(latency, "count"), stats.latency.count);
	CU_ASSERT_EQUAL(telemetry_number(latency, "p50_ns"), stats.latency.p50_ns);
	CU_ASSERT_EQUAL(telemetry_number(latency, "p99_ns"), stats.latency.p99_ns);
	CU_ASSERT_EQUAL(telemetry_number(latency, "p999_ns"), stats.latency.p999_ns);
	CU_ASSERT_EQUAL(telemetry_number(latency, "max_ns"), stats.latency.max_ns);
	json_object_put(answer);
}

/* On the poller's thread, so that it finds all of them at once. */
struct burst {
	struct vuc_queue *queue;
	unsigned int nr;
	uint32_t data[RIG_DEPTH];
};

static int
submit_burst(void *arg)
{
	struct burst *burst = arg;
	struct vuc_queue_request requests[RIG_DEPTH];

	for (unsigned int i = 0; i < burst->nr; i++)
		requests[i] = (struct vuc_queue_request){
			.op = VUC_QUEUE_READ,
			.region = BAR0,
			.offset = REFDEV_REG_ID,
			.count = 4,
			.data = &burst->data[i],
		};
	return vuc_queue_submit(burst->queue, requests, burst->nr);
}

void
rig_burst(const struct poller_rig *b, unsigned int nr)
{
	struct burst burst = {.queue = b->queue, .nr = nr};
	struct vuc_queue_result results[RIG_DEPTH];

	CU_ASSERT_EQUAL(vuc_poller_call(b->poller, submit_burst, &burst), (int)nr);
	for (unsigned int left = nr, n; left > 0; left -= n) {
		CU_ASSERT_EQUAL_FATAL(vuc_queue_wait(b->queue, -1), 0);
		n = vuc_queue_poll(b->queue, results, RIG_DEPTH);
		for (unsigned int i = 0; i < n; i++)
			CU_ASSERT_EQUAL(results[i].status, 0);
	}
}

static int
start_eal(void)
{
	struct vuc_eal_opts opts;
	struct vuc_error err = {0};
	int rc = vuc_tempdir_make(folder);

	if (rc != 0)
		return rc;
	setenv("RUNTIME_DIRECTORY", folder, 1);
	vuc_eal_opts_init(&opts, sizeof(opts));
	opts.log = count_line;
	rc = vuc_eal_init(&opts, &err);
	if (rc != 0) {
		printf("# %s\n", err.text);
		return rc;
	}
	rig_sock = telemetry_connect(rte_eal_get_runtime_dir());
	return rig_sock >= 0 ? 0 : -ENOTCONN;
}

static int
stop_eal(void)
{
	char path[sizeof(folder) + 8];

	close(rig_sock);
	vuc_eal_fini();
	snprintf(path, sizeof(path), "%s/dpdk", folder);
	rmdir(path);
	vuc_tempdir_remove(folder);
	return 0;
}

int
rig_main(int argc, char **argv, CU_TestInfo *tests)
{
	CU_SuiteInfo suites[] = {
		{argc == 2 ? argv[1] : "", start_eal, stop_eal, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return peer_main(argc, argv, suites);
}
