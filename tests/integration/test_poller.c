/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Pollers against the reference device, by the transport that the command line names: threads that
 * reach devices through queues.
 */

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <linux/pci_regs.h>

#include <vuc/stats.h>

#include "rig.h"

#define DEPTH      32
#define NR_THREADS 8

/* To the first device. */
static struct vuc_queue *q;

static void
start_with(const struct rig_opts *opts)
{
	rig_start(opts);
	q = rig.queue[0];
}

static void
start(void)
{
	start_with(&(struct rig_opts){.alone = 1, .depth = DEPTH});
}

static void
fill(uint8_t *bytes, size_t len, size_t seed)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + seed);
}

/* ---- accesses ---- */

static const struct idle_row {
	const char *name;
	enum vuc_idle idle;
} idle_rows[] = {
	{"spin", VUC_IDLE_SPIN},
	{"yield", VUC_IDLE_YIELD},
	{"sleep", VUC_IDLE_SLEEP},
};

/* How a poller idles makes no difference to accesses. */
static void
test_accesses(const void *arg)
{
	const struct idle_row *row = arg;
	uint8_t out[600], in[600] = {0};
	uint32_t id = 0;

	start_with(&(struct rig_opts){.alone = 1, .depth = 16, .idle = 1 + row->idle});
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_ID, &id, sizeof(id)), 0);
	CU_ASSERT_EQUAL(id, REFDEV_ID_VALUE);
	rig_use_queue(q, 200);
	fill(out, sizeof(out), 0);
	CU_ASSERT_EQUAL(vuc_queue_write(q, BAR2, 4096, out, sizeof(out)), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR2, 4096, in, sizeof(in)), 0);
	CU_ASSERT_EQUAL(memcmp(in, out, sizeof(in)), 0);
	/* Configuration space is accessed by registers. */
	CU_ASSERT_EQUAL(vuc_queue_read(q, CONFIG, 0, out, 64), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q, CONFIG, 3, in, 59), 0);
	CU_ASSERT_EQUAL(memcmp(in, out + 3, 59), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q, CONFIG, REFDEV_CONFIG_SIZE - 8, in, 9), -EINVAL);
	/* Posted when the queue is closed. */
	for (size_t i = 0; i < sizeof(out); i++)
		CU_ASSERT_EQUAL(vuc_queue_post(q, BAR2, i, &out[i], 1), 0);
	vuc_poller_close_queue(rig.poller, q);
	q = rig.queue[0] = rig_open_device_queue(0, 16);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR2, 0, in, sizeof(in)), 0);
	CU_ASSERT_EQUAL(memcmp(in, out, sizeof(in)), 0);
}

/* Take all results that are to come, each of them once and with its own data. */
static void
take_results(const uint32_t *data)
{
	struct vuc_queue_result results[DEPTH];
	uint32_t seen = 0;

	while (vuc_queue_outstanding(q) > 0) {
		unsigned int n;

		CU_ASSERT_EQUAL_FATAL(vuc_queue_wait(q, -1), 0);
		n = vuc_queue_poll(q, results, DEPTH);
		for (unsigned int i = 0; i < n; i++) {
			size_t which = (size_t)((uint32_t *)results[i].arg - data);

			CU_ASSERT_EQUAL(results[i].status, 0);
			CU_ASSERT_EQUAL(seen & 1u << which, 0);
			CU_ASSERT_EQUAL(data[which], 1000 + which);
			seen |= 1u << which;
		}
	}
	CU_ASSERT_EQUAL(seen, UINT32_MAX);
}

static void
test_many(void)
{
	struct vuc_queue_request requests[DEPTH];
	uint32_t data[DEPTH];

	start_with(&(struct rig_opts){.alone = 1, .depth = DEPTH, .idle = 1 + VUC_IDLE_YIELD});
	for (uint32_t i = 0; i < DEPTH; i++) {
		uint32_t value = 1000 + i;

		CU_ASSERT_EQUAL(vuc_queue_post(q, BAR2, i * 4, &value, 4), 0);
		requests[i] = (struct vuc_queue_request){
			.op = VUC_QUEUE_READ,
			.region = BAR2,
			.offset = i * 4,
			.count = 4,
			.data = &data[i],
			.arg = &data[i],
		};
	}
	for (unsigned int round = 0; round < 200; round++) {
		memset(data, 0, sizeof(data));
		for (int n = 0; n < DEPTH;) {
			int rc = vuc_queue_submit(q, requests + n, (unsigned int)(DEPTH - n));

			CU_ASSERT_TRUE_FATAL(rc >= 0);
			n += rc;
		}
		CU_ASSERT_EQUAL(vuc_queue_submit(q, requests, 1), 0);
		CU_ASSERT_EQUAL(vuc_queue_outstanding(q), DEPTH);
		CU_ASSERT_EQUAL(vuc_queue_read(q, BAR2, 0, data, 4), -EBUSY);
		take_results(data);
	}
	CU_ASSERT_EQUAL(vuc_queue_wait(q, 0), -ENOENT);
}

/* More than a request holds goes in pieces, whatever is asked for. */
static void
test_pieces(void)
{
	int (*const writes[])(struct vuc_queue * queue, uint32_t region, uint64_t offset,
		const void *data, uint32_t count) = {
		vuc_queue_write,
		vuc_queue_write_pci,
		vuc_queue_post,
	};
	static uint8_t out[10000], in[10000];

	start();
	CU_ASSERT_EQUAL(vuc_queue_max_data(q), 4096);
	for (size_t n = 0; n < NR(writes); n++) {
		fill(out, sizeof(out), n);
		CU_ASSERT_EQUAL(writes[n](q, BAR2, 64, out, sizeof(out)), 0);
		CU_ASSERT_EQUAL(vuc_queue_read(q, BAR2, 64, in, sizeof(in)), 0);
		CU_ASSERT_EQUAL(memcmp(in, out, sizeof(in)), 0);
	}
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, 0, in, 5000), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_queue_reason(q), " of region 0: "));
}

static void
test_bad_accesses(void)
{
	uint32_t value = 0;

	start();
	CU_ASSERT_STRING_EQUAL(vuc_queue_reason(q), "");
	CU_ASSERT_EQUAL(vuc_queue_read(q, 77, 0x10, &value, 4), -EINVAL);
	CU_ASSERT_STRING_EQUAL(vuc_queue_reason(q),
		"a read of 4 bytes at 0x10 of region 77: no such region, an access outside of it, "
		"or the server answered EINVAL");
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_BAR0_SIZE, &value, 4), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, UINT64_MAX - 1, &value, 4), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_write(q, BAR0, REFDEV_BAR0_SIZE, &value, 4), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_post(q, 77, 0, &value, 4), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, 0, &value, 0), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_ID, &value, 4), 0);
	CU_ASSERT_EQUAL(value, REFDEV_ID_VALUE);
}

/* ---- options ---- */

static void
test_bad_opts(void)
{
	static const struct {
		const char *name;
		int cpu;
		const char *transport;
		const char *text;
	} rows[] = {
		{"0123456789abcdef", VUC_POLLER_CPU_NONE, NULL,
			"a poller's name must have 1 to 15 bytes"},
		{NULL, 100000, NULL, "100000"},
		{NULL, VUC_POLLER_CPU_NONE, "tcp", "'tcp'"},
	};
	struct vuc_queue_opts queue_opts;
	struct vuc_device_opts device_opts = {.size = 0};
	struct vuc_device *no_dev;
	struct vuc_queue *no_queue;
	struct vuc_error err = {0};

	start();
	for (size_t i = 0; i < NR(rows); i++) {
		struct vuc_poller_opts opts;
		struct vuc_poller *p;

		vuc_poller_opts_init(&opts, sizeof(opts));
		opts.name = rows[i].name != NULL ? rows[i].name : opts.name;
		opts.transport = rows[i].transport != NULL ? rows[i].transport : opts.transport;
		opts.cpu = rows[i].cpu;
		CU_ASSERT_EQUAL(vuc_poller_create(&opts, &p, &err), -EINVAL);
		CU_ASSERT_PTR_NULL(p);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].text));
	}
	vuc_queue_opts_init(&queue_opts, sizeof(queue_opts));
	queue_opts.depth = 3;
	CU_ASSERT_EQUAL(vuc_poller_open_queue(rig.poller, rig.dev[0], &queue_opts, &no_queue, &err),
		-EINVAL);
	CU_ASSERT_PTR_NULL(no_queue);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "queue of depth 3"));
	CU_ASSERT_EQUAL(vuc_poller_open_device(rig.poller, &device_opts, &no_dev, &err), -EINVAL);
	CU_ASSERT_PTR_NULL(no_dev);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "vuc_device_opts has a size of 0"));
	CU_ASSERT_EQUAL(vuc_poller_destroy(rig.poller), -EBUSY);
	CU_ASSERT_EQUAL(vuc_poller_close_device(rig.poller, rig.dev[0]), -EBUSY);
}

/* Near a server: its socket is asked, and closed again. */
static void
test_near_socket(void)
{
	struct vuc_poller_opts opts;
	struct vuc_error err = {0};
	struct vuc_poller *p;

	start();
	if (rig_skips_loopback("there is no socket"))
		return;
	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.transport = peer_transport();
	opts.idle = VUC_IDLE_SLEEP;
	opts.near_socket = rig.sockets[1];
	CU_ASSERT_EQUAL_FATAL(vuc_poller_create(&opts, &p, &err), 0);
	CU_ASSERT_TRUE(vuc_poller_cpu(p) >= 0);
	/* Its only client may be another one now. */
	vuc_device_close(peer_open(rig.peer, 1));
	CU_ASSERT_EQUAL(vuc_poller_destroy(p), 0);
	opts.near_socket = "/nonexistent/socket";
	CU_ASSERT_EQUAL(vuc_poller_create(&opts, &p, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "connect: No such file or directory"));
}

/* ---- calls and sleep ---- */

struct caller {
	pthread_t thread;
	int nested;
};

static int
note_thread(void *arg)
{
	struct caller *c = arg;

	c->thread = pthread_self();
	return 7;
}

static int
call_again(void *arg)
{
	struct caller *c = arg;

	c->nested = vuc_poller_call(rig.poller, note_thread, c);
	CU_ASSERT_TRUE(pthread_equal(c->thread, pthread_self()));
	CU_ASSERT_EQUAL(vuc_poller_destroy(rig.poller), -EDEADLK);
	return 8;
}

static void
test_call(void)
{
	struct caller c = {.thread = pthread_self()};

	start();
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, note_thread, &c), 7);
	CU_ASSERT_FALSE(pthread_equal(c.thread, pthread_self()));
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, call_again, &c), 8);
	CU_ASSERT_EQUAL(c.nested, 7);
	for (unsigned int i = 0; i < 2000; i++)
		CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, note_thread, &c), 7);
}

/* Until it has slept once more. Returns how many loops there were so far. */
static uint64_t
await_sleep(uint64_t *sleeps)
{
	struct vuc_poller_stats stats;

	do {
		sched_yield();
		CU_ASSERT_EQUAL_FATAL(vuc_poller_get_stats(rig.poller, &stats), 0);
	} while (stats.sleeps <= *sleeps);
	*sleeps = stats.sleeps;
	return stats.loops_empty + stats.loops_busy;
}

/* Only accesses are worth all the loops before a sleep. */
static void
test_call_is_rare(void)
{
	struct caller c = {0};
	uint64_t sleeps = 0, loops;

	start_with(&(struct rig_opts){.alone = 1, .idle_loops = 100000});
	/* Opening the device was worth them as well. */
	await_sleep(&sleeps);
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, note_thread, &c), 7);
	loops = await_sleep(&sleeps);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, note_thread, &c), 7);
		CU_ASSERT(await_sleep(&sleeps) - loops < 10000);
	}
}

/* Each access wakes a poller that has gone to sleep, or is about to: none is lost. */
static void
test_wake_ups(void)
{
	uint32_t value;

	start_with(&(struct rig_opts){.alone = 1, .depth = 4, .idle_loops = -1});
	vuc_queue_set_spin(q, 0);
	for (unsigned int i = 0; i < 5000; i++)
		CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_ID, &value, 4), 0);
}

/* ---- resets ---- */

#define NR_POSTED 200u

static int
reset(void *arg)
{
	return vuc_device_reset(arg);
}

/* On the poller's thread, which takes nothing meanwhile. */
static int
post_and_reset(void *arg)
{
	const uint64_t bars = UINT64_MAX;
	int rc = 0;

	for (uint64_t i = 1; rc == 0 && i <= NR_POSTED; i++)
		rc = vuc_queue_post(q, BAR0, REFDEV_REG_SCRATCH, &i, sizeof(i));
	/* Several messages. */
	if (rc == 0)
		rc = vuc_queue_post(q, CONFIG, PCI_BASE_ADDRESS_0, &bars, sizeof(bars));
	return rc != 0 ? rc : reset(arg);
}

/* What a queue has accepted reaches the device before a reset that is asked for behind it. */
static void
test_reset_behind_queue(void)
{
	uint64_t before = 1, after = 1;
	uint32_t bars_before[2] = {1, 1}, bars_after[2] = {2, 2};

	start_with(&(struct rig_opts){.alone = 1, .depth = 256});
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, reset, rig.dev[0]), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q, CONFIG, PCI_BASE_ADDRESS_0, bars_before, 8), 0);
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, post_and_reset, rig.dev[0]), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_WRITES, &before, 8), 0);
	CU_ASSERT_EQUAL(before, 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_SCRATCH, &after, 8), 0);
	CU_ASSERT_EQUAL(after, 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q, CONFIG, PCI_BASE_ADDRESS_0, bars_after, 8), 0);
	CU_ASSERT_EQUAL(memcmp(bars_before, bars_after, sizeof(bars_after)), 0);
}

/* ---- threads that come and go ---- */

/* A thread that opens a queue, uses it, and closes it, until it is told to stop. */
struct user {
	unsigned int number;
	unsigned int rounds;
	pthread_t thread;
};

static _Atomic bool stop_users;

static void
use_queue(struct vuc_queue *own, const struct user *u)
{
	uint64_t offset = 64 * u->number;
	uint32_t in = 0;

	for (uint32_t i = 0; i < 50; i++) {
		uint32_t out = i << 8 | u->number;

		CU_ASSERT_EQUAL(
			(i % 2 == 0 ? vuc_queue_post : vuc_queue_write)(own, BAR2, offset, &out, 4),
			0);
		CU_ASSERT_EQUAL(vuc_queue_read(own, BAR2, offset, &in, 4), 0);
		CU_ASSERT_EQUAL(in, out);
	}
	/* The last ones are left for closing to carry out. */
	CU_ASSERT_EQUAL(vuc_queue_post(own, BAR2, offset, &in, 4), 0);
}

static void *
user_thread(void *arg)
{
	struct user *u = arg;

	/* Once at least: the others may be done before this thread has had a CPU. */
	do {
		struct vuc_queue *own = rig_open_device_queue(0, 1u << u->number % 5);

		use_queue(own, u);
		vuc_poller_close_queue(rig.poller, own);
		u->rounds++;
	} while (!stop_users);
	return NULL;
}

/* Another device comes and goes meanwhile: some times, and for a minute when asked for. */
static bool
goes_on(unsigned int round, time_t begun)
{
	if (round < 30)
		return true;
	return getenv("VUC_TEST_LONG") != NULL && time(NULL) - begun <= 60;
}

static void
test_churn(void)
{
	struct user users[NR_THREADS];
	time_t begun = time(NULL);

	start();
	stop_users = false;
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		users[i] = (struct user){.number = i};
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&users[i].thread, NULL, user_thread, &users[i]), 0);
	}
	for (unsigned int i = 0; goes_on(i, begun); i++) {
		struct vuc_queue *second;
		uint32_t id = 0;

		rig.dev[1] = rig_open_device(rig.poller, rig.peer, 1);
		second = rig_open_device_queue(1, 8);
		CU_ASSERT_EQUAL(vuc_queue_read(second, BAR0, REFDEV_REG_ID, &id, 4), 0);
		CU_ASSERT_EQUAL(id, REFDEV_ID_VALUE);
		vuc_poller_close_queue(rig.poller, second);
		rig_close_device(1);
	}
	stop_users = true;
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		pthread_join(users[i].thread, NULL);
		CU_ASSERT_TRUE(users[i].rounds > 0);
	}
}

const struct tap_suite tap_suite = {
	NULL,
	NULL,
	NULL,
	{
		{"many", test_many},
		{"call_is_rare", test_call_is_rare},
		{"wake_ups", test_wake_ups},
		{"reset_behind_queue", test_reset_behind_queue},
		{"pieces", test_pieces},
		{"bad_accesses", test_bad_accesses},
		{"bad_opts", test_bad_opts},
		{"near_socket", test_near_socket},
		{"call", test_call},
		{"churn", test_churn},
	},
	.rows = TAP_ROWS(idle_rows, test_accesses),
};
