/* SPDX-License-Identifier: BSD-3-Clause */

/* What pollers and devices count, as <vuc/stats.h> tells it, and rte_telemetry as well. */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <json-c/json.h>
#include <rte_eal.h>

#include <vuc/stats.h>

#include "clock.h"
#include "rig.h"

#define DEPTH   64
#define NOWHERE 77   /* a region that there is not */
#define LATE_MS 1000 /* a timeout that the server keeps to unless it is told not to answer */

/* ---- telemetry ---- */

#define ANSWER_SIZE (32 * 1024)

/* Connected once, to a thread of EAL that the rig counts before each test. */
static int telemetry = -1;

static void
telemetry_connect(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char greeting[ANSWER_SIZE];

	telemetry = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.80s/dpdk_telemetry.v2",
		rte_eal_get_runtime_dir());
	CU_ASSERT_EQUAL_FATAL(connect(telemetry, (struct sockaddr *)&addr, sizeof(addr)), 0);
	CU_ASSERT_TRUE_FATAL(recv(telemetry, greeting, sizeof(greeting), 0) > 0);
}

/*
 * Ask a command, with its parameters after a comma. Returns what is under the command's own name in
 * the answer: NULL for a JSON null. *answer is to be freed by json_object_put().
 */
static struct json_object *
ask(const char *command, struct json_object **answer)
{
	char text[ANSWER_SIZE] = "", name[64];
	struct json_object *value;

	CU_ASSERT_EQUAL_FATAL(
		send(telemetry, command, strlen(command), 0), (ssize_t)strlen(command));
	CU_ASSERT_TRUE_FATAL(recv(telemetry, text, sizeof(text) - 1, 0) > 0);
	*answer = json_tokener_parse(text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(*answer);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(command, ","), command);
	CU_ASSERT_TRUE_FATAL(json_object_object_get_ex(*answer, name, &value));
	return value;
}

/* What a command answers, as it prints. */
static bool
answers(const char *command, const char *expected)
{
	struct json_object *answer, *value = ask(command, &answer);
	bool is = strcmp(json_object_to_json_string_ext(value, JSON_C_TO_STRING_NOSLASHESCAPE),
			  expected) == 0;

	if (!is)
		printf("# %s\n", json_object_to_json_string(answer));
	json_object_put(answer);
	return is;
}

static struct json_object *
member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(object, key, &value))
		printf("# no member %s\n", key);
	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	return value;
}

static uint64_t
number(struct json_object *object, const char *key)
{
	struct json_object *value = member(object, key);

	CU_ASSERT_TRUE_FATAL(json_object_is_type(value, json_type_int));
	return json_object_get_uint64(value);
}

static bool
text_is(struct json_object *object, const char *key, const char *expected)
{
	struct json_object *value = member(object, key);

	return json_object_is_type(value, json_type_string) &&
		strcmp(json_object_get_string(value), expected) == 0;
}

/* Numbers of a JSON object that are those of a struct. */
struct field {
	const char *key;
	size_t offset;
};

static void
expect_fields(struct json_object *shown, const void *from, const struct field *f)
{
	for (; f->key != NULL; f++) {
		uint64_t value;

		memcpy(&value, (const uint8_t *)from + f->offset, sizeof(value));
		if (number(shown, f->key) != value)
			printf("# %s: not %llu\n", f->key, (unsigned long long)value);
		CU_ASSERT_EQUAL(number(shown, f->key), value);
	}
}

static void
expect_accesses(struct json_object *shown, const struct vuc_access_stats *a)
{
#define FIELD(name)                                            \
	{                                                      \
#name, offsetof(struct vuc_access_stats, name) \
	}
	static const struct field fields[] = {
		FIELD(reads),
		FIELD(writes),
		FIELD(posted),
		FIELD(read_bytes),
		FIELD(written_bytes),
		FIELD(retries),
		FIELD(errors),
		FIELD(timeouts),
		FIELD(broken_queues),
		FIELD(held_reads),
		FIELD(dropped_writes),
		FIELD(bursts),
		{NULL, 0},
	};
#undef FIELD
	struct json_object *sizes = member(shown, "burst_sizes");

	expect_fields(shown, a, fields);
	CU_ASSERT_EQUAL_FATAL(json_object_array_length(sizes), VUC_BURST_SIZES);
	for (size_t i = 0; i < VUC_BURST_SIZES; i++)
		CU_ASSERT_EQUAL(json_object_get_uint64(json_object_array_get_idx(sizes, i)),
			a->burst_sizes[i]);
}

static struct json_object *
ask_device(const char *name, struct json_object **answer)
{
	char command[VUC_DEVICE_NAME_SIZE + 16];

	snprintf(command, sizeof(command), "/vuc/device,%s", name);
	return ask(command, answer);
}

/* ---- a poller with a device ---- */

static void
start_with(const struct rig_opts *opts)
{
	if (telemetry < 0)
		telemetry_connect();
	rig_start(opts);
}

static void
start(void)
{
	start_with(&(struct rig_opts){.alone = 1, .depth = DEPTH});
}

static struct vuc_device_stats
stats_now(void)
{
	struct vuc_device_stats stats;

	CU_ASSERT_EQUAL_FATAL(vuc_poller_get_device_stats(rig.poller, rig.dev[0], &stats), 0);
	return stats;
}

/* Telemetry shows what the functions say, of a device that nobody uses meanwhile. */
static void
expect_agreement(void)
{
	static const struct field fields[] = {
		{"count", offsetof(struct vuc_latency, count)},
		{"p50_ns", offsetof(struct vuc_latency, p50_ns)},
		{"p99_ns", offsetof(struct vuc_latency, p99_ns)},
		{"p999_ns", offsetof(struct vuc_latency, p999_ns)},
		{"max_ns", offsetof(struct vuc_latency, max_ns)},
		{NULL, 0},
	};
	struct vuc_device_stats stats = stats_now();
	struct json_object *answer, *shown = ask_device(stats.name, &answer);

	CU_ASSERT_TRUE(text_is(shown, "name", stats.name));
	CU_ASSERT_TRUE(text_is(shown, "poller", RIG_POLLER));
	CU_ASSERT_TRUE(text_is(shown, "state", stats.connected ? "connected" : "lost"));
	CU_ASSERT_EQUAL(number(shown, "id"), stats.id);
	CU_ASSERT_EQUAL(number(shown, "queues"), 1);
	CU_ASSERT_EQUAL(number(shown, "outages"), stats.outages);
	CU_ASSERT_EQUAL(number(shown, "outage_last_ms"), stats.outage_last_ms);
	CU_ASSERT_TRUE(number(shown, "outage_ms") >= stats.outage_ms);
	CU_ASSERT_EQUAL(stats.outages, !stats.connected);
	expect_accesses(shown, &stats.accesses);
	expect_fields(member(shown, "latency"), &stats.latency, fields);
	json_object_put(answer);
}

/* On the poller's thread, so that it finds all of them at once. */
static int
submit_burst(void *arg)
{
	static uint32_t data;
	struct vuc_queue_request requests[DEPTH];
	unsigned int nr = *(unsigned int *)arg;

	for (unsigned int i = 0; i < nr; i++)
		requests[i] = (struct vuc_queue_request){.op = VUC_QUEUE_READ,
			.region = BAR0,
			.offset = REFDEV_REG_ID,
			.count = 4,
			.data = &data};
	return vuc_queue_submit(rig.queue[0], requests, nr);
}

/* Let the poller find nr reads at once, and take their results. */
static void
read_burst(unsigned int nr)
{
	struct vuc_queue_result results[DEPTH];

	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, submit_burst, &nr), (int)nr);
	for (unsigned int left = nr, n; left > 0; left -= n) {
		CU_ASSERT_EQUAL_FATAL(vuc_queue_wait(rig.queue[0], -1), 0);
		n = vuc_queue_poll(rig.queue[0], results, DEPTH);
		for (unsigned int i = 0; i < n; i++)
			CU_ASSERT_EQUAL(results[i].status, 0);
	}
}

/* ---- counters ---- */

static void
test_counters(void)
{
	struct vuc_access_stats a;
	uint8_t bytes[256] = {0};
	struct vuc_queue *q;

	start();
	q = rig.queue[0];
	a = stats_now().accesses;
	CU_ASSERT_EQUAL(a.reads + a.writes + a.posted + a.bursts, 0);
	for (unsigned int i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_ID, bytes, 4), 0);
	for (unsigned int i = 0; i < 30; i++)
		CU_ASSERT_EQUAL(vuc_queue_write(q, VFIO_PCI_BAR2_REGION_INDEX, 0, bytes, 256), 0);
	a = stats_now().accesses;
	CU_ASSERT_EQUAL(a.bursts, 130);
	CU_ASSERT_EQUAL(a.burst_sizes[0], 130);
	for (unsigned int i = 0; i < 7; i++)
		CU_ASSERT_EQUAL(vuc_queue_post(q, BAR0, REFDEV_REG_SCRATCH, bytes, 8), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q, NOWHERE, 0, bytes, 4), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_write(q, NOWHERE, 0, bytes, 4), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_post(q, NOWHERE, 0, bytes, 4), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_ID, bytes, 4), 0);
	a = stats_now().accesses;
	CU_ASSERT_EQUAL(a.reads, 102);
	CU_ASSERT_EQUAL(a.writes, 31);
	CU_ASSERT_EQUAL(a.posted, 8);
	CU_ASSERT_EQUAL(a.read_bytes, 101 * 4);
	CU_ASSERT_EQUAL(a.written_bytes, 30 * 256 + 7 * 8);
	CU_ASSERT_EQUAL(a.errors, 3);
	CU_ASSERT_EQUAL(a.timeouts + a.retries + a.broken_queues, 0);
	expect_agreement();
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
		{DEPTH, {1, 2, 2, 1, 1, 3}},
	};

	start();
	for (size_t i = 0; i < NR(steps); i++) {
		struct vuc_access_stats a;

		read_burst(steps[i].nr);
		a = stats_now().accesses;
		CU_ASSERT_EQUAL(memcmp(a.burst_sizes, steps[i].sizes, sizeof(a.burst_sizes)), 0);
	}
	expect_agreement();
}

static void
test_retries(void)
{
	struct vuc_access_stats a;

	start_with(&(struct rig_opts){.alone = 1, .depth = DEPTH, .max_requests = 1});
	read_burst(8);
	a = stats_now().accesses;
	CU_ASSERT_EQUAL(a.reads, 8);
	CU_ASSERT_EQUAL(a.errors, 0);
	CU_ASSERT_TRUE(a.retries >= 7);
	expect_agreement();
}

static void
test_latency(void)
{
	struct vuc_latency l;

	start();
	read_burst(8);
	CU_ASSERT_EQUAL(stats_now().latency.count, 0);
	vuc_poller_set_latency(rig.poller, true);
	for (unsigned int i = 0; i < 20; i++)
		read_burst(DEPTH);
	l = stats_now().latency;
	CU_ASSERT_EQUAL(l.count, 20 * DEPTH);
	CU_ASSERT_TRUE(l.p50_ns > 0 && l.p50_ns <= l.p99_ns);
	CU_ASSERT_TRUE(l.p99_ns <= l.p999_ns && l.p999_ns <= l.max_ns);
	CU_ASSERT_TRUE(l.max_ns < UINT64_C(100000000000));
	expect_agreement();
	CU_ASSERT_TRUE(answers("/vuc/latency,off", "\"off\""));
	read_burst(8);
	CU_ASSERT_EQUAL(stats_now().latency.count, 20 * DEPTH);
	CU_ASSERT_TRUE(answers("/vuc/latency,on", "\"on\""));
	read_burst(8);
	CU_ASSERT_EQUAL(stats_now().latency.count, 20 * DEPTH + 8);
}

/* A request that is late is an error and a timeout, once. */
static void
test_timeout(void)
{
	struct vuc_access_stats a;
	uint32_t value;

	if (strcmp(peer_transport(), "loopback") == 0) {
		vuc_tap_skip("the loopback's server cannot hang");
		return;
	}
	/* The first read is for opening the device. */
	start_with(&(struct rig_opts){.alone = 1,
		.depth = DEPTH,
		.timeout_ms = LATE_MS,
		.server = {"--fault=drop@region_read#7"}});
	vuc_poller_set_latency(rig.poller, true);
	CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, REFDEV_REG_ID, &value, 4), -ETIMEDOUT);
	a = stats_now().accesses;
	CU_ASSERT_EQUAL(a.reads, 1);
	CU_ASSERT_EQUAL(a.read_bytes, 0);
	CU_ASSERT_EQUAL(a.errors, 1);
	CU_ASSERT_EQUAL(a.timeouts, 1);
	CU_ASSERT_TRUE(stats_now().latency.max_ns >= LATE_MS / 2 * UINT64_C(1000000));
}

/* The end of a connection shows by itself; nobody has to access the device. */
static void
test_lost(void)
{
	uint32_t value;

	start();
	CU_ASSERT_EQUAL(rig_count_logged("poller " RIG_POLLER ": transport "), 1);
	CU_ASSERT_TRUE(stats_now().connected);
	expect_agreement();
	peer_kill(rig.peer);
	if (strcmp(peer_transport(), "loopback") == 0)
		CU_ASSERT_EQUAL(vuc_queue_read(rig.queue[0], BAR0, 0, &value, 4), -ECONNRESET);
	while (stats_now().connected)
		vuc_clock_sleep_ms(1);
	expect_agreement();
	rig_stop();
	CU_ASSERT_EQUAL(rig_count_logged(": the connection has ended\n"), 1);
}

/* ---- telemetry of pollers and devices ---- */

static void
expect_pollers(uint64_t reads)
{
	struct json_object *answer, *all;
	struct vuc_poller_stats stats;
	unsigned int seen = 0;

	/* It counts a loop at its end, and idles sooner or later. */
	do {
		CU_ASSERT_EQUAL(vuc_poller_get_stats(rig.poller, &stats), 0);
	} while (stats.loops_busy == 0 || stats.loops_empty == 0);
	all = ask("/vuc/pollers", &answer);
	CU_ASSERT_EQUAL(stats.accesses.reads, reads);
	CU_ASSERT_EQUAL(json_object_object_length(all), 2);
	json_object_object_foreach(all, key, p)
	{
		(void)key;
		CU_ASSERT_TRUE(text_is(p, "idle", "sleep"));
		CU_ASSERT_TRUE(text_is(p, "transport", peer_transport()));
		CU_ASSERT_TRUE(text_is(p, "latency", "off"));
		CU_ASSERT_EQUAL(json_object_get_int(member(p, "cpu")), -1);
		CU_ASSERT_TRUE(json_object_get_int(member(p, "node")) >= -1);
		if (!text_is(p, "name", RIG_POLLER)) {
			CU_ASSERT_EQUAL(number(p, "reads"), 0);
			continue;
		}
		seen++;
		CU_ASSERT_EQUAL(number(p, "devices"), stats.devices);
		CU_ASSERT_EQUAL(number(p, "queues"), stats.queues);
		CU_ASSERT_TRUE(number(p, "calls") > 0);
		CU_ASSERT_TRUE(number(p, "loops_busy") > 0);
		CU_ASSERT_TRUE(number(p, "loops_empty") > 0);
		expect_accesses(p, &stats.accesses);
	}
	CU_ASSERT_EQUAL(seen, 1);
	json_object_put(answer);
}

/* How many pollers a command shows. */
static int
count_pollers(const char *command)
{
	struct json_object *answer;
	int n = json_object_object_length(ask(command, &answer));

	json_object_put(answer);
	return n;
}

static void
test_pollers(void)
{
	struct vuc_device_stats stats;
	struct vuc_device *closed;
	struct vuc_poller *other;

	start();
	closed = rig.dev[0];
	other = rig_start_poller("other", NULL);
	read_burst(8);
	expect_pollers(8);
	/* What a closed device has counted stays with the poller. */
	rig_close_device(0);
	expect_pollers(8);
	CU_ASSERT_EQUAL(vuc_poller_get_device_stats(rig.poller, closed, &stats), -ENODEV);
	CU_ASSERT_EQUAL(count_pollers("/vuc/pollers,1"), 1);
	CU_ASSERT_EQUAL(vuc_poller_destroy(other), 0);
	rig_stop();
	CU_ASSERT_EQUAL(count_pollers("/vuc/pollers"), 0);
}

static void
test_names(void)
{
	struct vuc_device_stats first, stats;
	struct vuc_poller *other;
	struct vuc_device *second;
	char expected[2 * VUC_DEVICE_NAME_SIZE + 8];

	start();
	first = stats_now();
	other = rig_start_poller(RIG_POLLER, NULL);
	second = rig_open_device(other, rig.peer, 1);
	CU_ASSERT_EQUAL(vuc_poller_get_device_stats(other, second, &stats), 0);
	CU_ASSERT_EQUAL(vuc_poller_get_device_stats(rig.poller, second, &stats), -ENODEV);
	CU_ASSERT_STRING_NOT_EQUAL(stats.name, first.name);
	CU_ASSERT_NOT_EQUAL(stats.id, first.id);
	snprintf(expected, sizeof(expected), "[\"%s\",\"%s\"]", first.name, stats.name);
	CU_ASSERT_TRUE(answers("/vuc/devices", expected));
	snprintf(expected, sizeof(expected), "[\"%s\"]", stats.name);
	CU_ASSERT_TRUE(answers("/vuc/devices,1", expected));
	CU_ASSERT_EQUAL(vuc_poller_close_device(other, second), 0);
	CU_ASSERT_EQUAL(vuc_poller_destroy(other), 0);
}

static void
test_refused(void)
{
	static const char *const commands[] = {"/vuc/device", "/vuc/device,none",
		"/vuc/devices,first", "/vuc/devices,-1", "/vuc/pollers,1x", "/vuc/latency",
		"/vuc/latency,maybe"};

	start();
	for (size_t i = 0; i < NR(commands); i++)
		CU_ASSERT_TRUE(answers(commands[i], "null"));
}

/* Devices and pollers come and go while telemetry asks of them. */
static void *
churn(void *over)
{
	for (unsigned int i = 0; i < 50; i++) {
		struct vuc_poller *p = rig_start_poller("churn", NULL);
		struct vuc_device *dev = rig_open_device(p, rig.peer, 1);
		struct vuc_queue *q;
		uint32_t value;

		CU_ASSERT_EQUAL_FATAL(vuc_poller_open_queue(p, dev, NULL, &q, NULL), 0);
		vuc_poller_set_latency(p, true);
		CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_ID, &value, 4), 0);
		vuc_poller_close_queue(p, q);
		CU_ASSERT_EQUAL(vuc_poller_close_device(p, dev), 0);
		CU_ASSERT_EQUAL(vuc_poller_destroy(p), 0);
	}
	atomic_store((_Atomic bool *)over, true);
	return NULL;
}

static void
ask_each(void)
{
	struct json_object *answer, *one, *names = ask("/vuc/devices", &answer);

	for (size_t i = 0; i < json_object_array_length(names); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(names, i));
		struct json_object *shown = ask_device(name, &one);

		if (shown != NULL)
			CU_ASSERT_TRUE(text_is(shown, "name", name));
		json_object_put(one);
	}
	json_object_put(answer);
	CU_ASSERT_TRUE(count_pollers("/vuc/pollers") >= 1);
}

static void
test_churn(void)
{
	_Atomic bool over = false;
	pthread_t thread;

	start();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, churn, &over), 0);
	while (!over) {
		ask_each();
		read_burst(4);
		expect_agreement();
	}
	pthread_join(thread, NULL);
}

const struct tap_suite tap_suite = {NULL, NULL, NULL,
	{
		{"counters", test_counters},
		{"bursts", test_bursts},
		{"retries", test_retries},
		{"latency", test_latency},
		{"timeout", test_timeout},
		{"lost", test_lost},
		{"pollers", test_pollers},
		{"names", test_names},
		{"refused", test_refused},
		{"churn", test_churn},
	}};
