/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Pollers against the reference device, by the transport that the command line names: threads that
 * reach devices through queues, and what happens to them when something goes wrong.
 */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <vuc/eal.h>
#include <vuc/poller.h>
#include <vuc/stats.h>

#include "fd_count.h"
#include "fds.h"
#include "peer.h"
#include "refdev_regs.h"
#include "socket.h"
#include "tempdir.h"

#define BAR0       VFIO_PCI_BAR0_REGION_INDEX
#define CONFIG     VFIO_PCI_CONFIG_REGION_INDEX
#define BAR2       VFIO_PCI_BAR2_REGION_INDEX
#define TIMEOUT    60000 /* of a hung device: longer than any test */
#define NR_THREADS 8

static struct vuc_poller *
start_poller(enum vuc_idle idle)
{
	struct vuc_poller_opts opts;
	struct vuc_error err = {0};
	struct vuc_poller *p;

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.transport = peer_transport();
	opts.cpu = VUC_POLLER_CPU_NONE; /* there may be fewer CPUs than threads that want one */
	opts.idle = idle;
	opts.idle_loops = 100;
	CU_ASSERT_EQUAL_FATAL(vuc_poller_create(&opts, &p, &err), 0);
	return p;
}

static struct vuc_device *
open_device(struct vuc_poller *p, struct peer *peer, unsigned int i)
{
	struct vuc_device_opts opts;
	struct vuc_error err = {0};
	struct vuc_device *dev;

	peer_opts(peer, i, &opts);
	opts.timeout_ms = TIMEOUT;
	opts.long_timeout_ms = TIMEOUT;
	if (vuc_poller_open_device(p, &opts, &dev, &err) != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	return dev;
}

static struct vuc_queue *
open_queue(struct vuc_poller *p, struct vuc_device *dev, uint32_t depth)
{
	struct vuc_queue_opts opts;
	struct vuc_error err = {0};
	struct vuc_queue *q;

	vuc_queue_opts_init(&opts, sizeof(opts));
	opts.depth = depth;
	CU_ASSERT_EQUAL_FATAL(vuc_poller_open_queue(p, dev, &opts, &q, &err), 0);
	return q;
}

static void
stop(struct vuc_poller *p, struct vuc_device *dev, struct vuc_queue *q)
{
	vuc_poller_close_queue(p, q);
	CU_ASSERT_EQUAL(vuc_poller_close_device(p, dev), 0);
	CU_ASSERT_EQUAL(vuc_poller_destroy(p), 0);
}

static void
access_with(enum vuc_idle idle)
{
	struct peer *peer = peer_start(1, NULL);
	struct vuc_poller *p = start_poller(idle);
	struct vuc_device *dev = open_device(p, peer, 0);
	struct vuc_queue *q = open_queue(p, dev, 16);
	uint8_t out[600], in[600] = {0};
	uint32_t id = 0;

	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_ID, &id, sizeof(id)), 0);
	CU_ASSERT_EQUAL(id, REFDEV_ID_VALUE);
	for (uint32_t i = 0; i < 200; i++) {
		uint32_t value = 0;

		CU_ASSERT_EQUAL(vuc_queue_post(q, BAR0, REFDEV_REG_SCRATCH, &i, sizeof(i)), 0);
		CU_ASSERT_EQUAL(
			vuc_queue_read(q, BAR0, REFDEV_REG_SCRATCH, &value, sizeof(value)), 0);
		CU_ASSERT_EQUAL(value, i);
	}
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
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
	vuc_poller_close_queue(p, q);
	q = open_queue(p, dev, 16);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR2, 0, in, sizeof(in)), 0);
	CU_ASSERT_EQUAL(memcmp(in, out, sizeof(in)), 0);
	stop(p, dev, q);
	peer_stop(peer);
}

static void
test_spin(void)
{
	access_with(VUC_IDLE_SPIN);
}

static void
test_yield(void)
{
	access_with(VUC_IDLE_YIELD);
}

static void
test_sleep(void)
{
	access_with(VUC_IDLE_SLEEP);
}

#define DEPTH 32

/* Take all results that are to come, each of them once and with its own data. */
static void
take_results(struct vuc_queue *q, const uint32_t *data)
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
	struct peer *peer = peer_start(1, NULL);
	struct vuc_poller *p = start_poller(VUC_IDLE_YIELD);
	struct vuc_device *dev = open_device(p, peer, 0);
	struct vuc_queue *q = open_queue(p, dev, DEPTH);
	struct vuc_queue_request requests[DEPTH];
	uint32_t data[DEPTH];

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
		take_results(q, data);
	}
	CU_ASSERT_EQUAL(vuc_queue_wait(q, 0), -ENOENT);
	stop(p, dev, q);
	peer_stop(peer);
}

/* More than a request holds goes in pieces, whatever is asked for. */
static void
test_pieces(void)
{
	struct peer *peer = peer_start(1, NULL);
	struct vuc_poller *p = start_poller(VUC_IDLE_SLEEP);
	struct vuc_device *dev = open_device(p, peer, 0);
	struct vuc_queue *q = open_queue(p, dev, 4);
	int (*const writes[])(struct vuc_queue * queue, uint32_t region, uint64_t offset,
		const void *data, uint32_t count) = {
		vuc_queue_write,
		vuc_queue_write_pci,
		vuc_queue_post,
	};
	static uint8_t out[10000], in[10000];

	CU_ASSERT_EQUAL(vuc_queue_max_data(q), 4096);
	for (size_t n = 0; n < sizeof(writes) / sizeof(writes[0]); n++) {
		for (size_t i = 0; i < sizeof(out); i++)
			out[i] = (uint8_t)(i * 7 + n);
		CU_ASSERT_EQUAL(writes[n](q, BAR2, 64, out, sizeof(out)), 0);
		CU_ASSERT_EQUAL(vuc_queue_read(q, BAR2, 64, in, sizeof(in)), 0);
		CU_ASSERT_EQUAL(memcmp(in, out, sizeof(in)), 0);
	}
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, 0, in, 5000), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_queue_reason(q), " of region 0: "));
	stop(p, dev, q);
	peer_stop(peer);
}

static void
test_bad_accesses(void)
{
	struct peer *peer = peer_start(1, NULL);
	struct vuc_poller *p = start_poller(VUC_IDLE_YIELD);
	struct vuc_device *dev = open_device(p, peer, 0);
	struct vuc_queue *q = open_queue(p, dev, 4);
	uint32_t value = 0;

	CU_ASSERT_STRING_EQUAL(vuc_queue_reason(q), "");
	CU_ASSERT_EQUAL(vuc_queue_read(q, 77, 0x10, &value, 4), -EINVAL);
	CU_ASSERT_STRING_EQUAL(vuc_queue_reason(q),
		"a read of 4 bytes at 0x10 of region 77: there is no such region, or it has no "
		"such bytes");
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_BAR0_SIZE, &value, 4), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, UINT64_MAX - 1, &value, 4), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_write(q, BAR0, REFDEV_BAR0_SIZE, &value, 4), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_post(q, 77, 0, &value, 4), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, 0, &value, 0), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_ID, &value, 4), 0);
	CU_ASSERT_EQUAL(value, REFDEV_ID_VALUE);
	stop(p, dev, q);
	peer_stop(peer);
}

static void
test_bad_opts(void)
{
	struct vuc_poller *p = start_poller(VUC_IDLE_SLEEP), *none;
	struct peer *peer = peer_start(1, NULL);
	struct vuc_device *dev = open_device(p, peer, 0);
	struct vuc_poller_opts opts;
	struct vuc_queue_opts queue_opts;
	struct vuc_device_opts device_opts;
	struct vuc_device *none_dev;
	struct vuc_error err = {0};
	struct vuc_queue *q;

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.name = "0123456789abcdef";
	CU_ASSERT_EQUAL(vuc_poller_create(&opts, &none, &err), -EINVAL);
	CU_ASSERT_PTR_NULL(none);
	CU_ASSERT_STRING_EQUAL(err.text, "a poller's name has 1 to 15 bytes");
	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.cpu = 100000;
	CU_ASSERT_EQUAL(vuc_poller_create(&opts, &none, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "100000"));
	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.transport = "tcp";
	opts.cpu = VUC_POLLER_CPU_NONE;
	CU_ASSERT_EQUAL(vuc_poller_create(&opts, &none, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "'tcp'"));
	vuc_queue_opts_init(&queue_opts, sizeof(queue_opts));
	queue_opts.depth = 3;
	CU_ASSERT_EQUAL(vuc_poller_open_queue(p, dev, &queue_opts, &q, &err), -EINVAL);
	CU_ASSERT_PTR_NULL(q);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "a queue of depth 3"));
	device_opts.size = 0;
	CU_ASSERT_EQUAL(vuc_poller_open_device(p, &device_opts, &none_dev, &err), -EINVAL);
	CU_ASSERT_PTR_NULL(none_dev);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "vuc_device_opts has a size of 0"));
	CU_ASSERT_EQUAL(vuc_poller_destroy(p), -EBUSY);
	q = open_queue(p, dev, 1);
	CU_ASSERT_EQUAL(vuc_poller_close_device(p, dev), -EBUSY);
	stop(p, dev, q);
	peer_stop(peer);
}

struct caller {
	struct vuc_poller *poller;
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

	c->nested = vuc_poller_call(c->poller, note_thread, c);
	CU_ASSERT_TRUE(pthread_equal(c->thread, pthread_self()));
	CU_ASSERT_EQUAL(vuc_poller_destroy(c->poller), -EDEADLK);
	return 8;
}

static void
test_call(void)
{
	struct vuc_poller *p = start_poller(VUC_IDLE_SLEEP);
	struct caller c = {.poller = p, .thread = pthread_self()};

	CU_ASSERT_EQUAL(vuc_poller_call(p, note_thread, &c), 7);
	CU_ASSERT_FALSE(pthread_equal(c.thread, pthread_self()));
	CU_ASSERT_EQUAL(vuc_poller_call(p, call_again, &c), 8);
	CU_ASSERT_EQUAL(c.nested, 7);
	for (unsigned int i = 0; i < 2000; i++)
		CU_ASSERT_EQUAL(vuc_poller_call(p, note_thread, &c), 7);
	CU_ASSERT_EQUAL(vuc_poller_destroy(p), 0);
}

/* Until it has slept once more. Returns how many loops there were so far. */
static uint64_t
await_sleep(struct vuc_poller *p, uint64_t *sleeps)
{
	struct vuc_poller_stats stats;

	do {
		sched_yield();
		CU_ASSERT_EQUAL_FATAL(vuc_poller_get_stats(p, &stats), 0);
	} while (stats.sleeps <= *sleeps);
	*sleeps = stats.sleeps;
	return stats.loops_empty + stats.loops_busy;
}

/* Only accesses are worth all the loops before a sleep. */
static void
test_call_is_rare(void)
{
	struct vuc_poller_opts opts;
	struct vuc_poller *p;
	struct caller c = {0};
	uint64_t sleeps = 0, loops;

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.transport = peer_transport();
	opts.cpu = VUC_POLLER_CPU_NONE;
	opts.idle = VUC_IDLE_SLEEP;
	opts.idle_loops = 100000;
	CU_ASSERT_EQUAL_FATAL(vuc_poller_create(&opts, &p, NULL), 0);
	loops = await_sleep(p, &sleeps);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(vuc_poller_call(p, note_thread, &c), 7);
		CU_ASSERT(await_sleep(p, &sleeps) - loops < opts.idle_loops / 10);
	}
	CU_ASSERT_EQUAL(vuc_poller_destroy(p), 0);
}

static void
test_device_dies(void)
{
	struct peer *peer = peer_start(1, NULL);
	struct vuc_poller *p = start_poller(VUC_IDLE_SLEEP);
	struct vuc_device *dev = open_device(p, peer, 0);
	struct vuc_queue *q = open_queue(p, dev, 4);
	uint32_t value;

	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_ID, &value, 4), 0);
	peer_kill(peer);
	/* The first one may be what finds out. */
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_ID, &value, 4), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_queue_write(q, BAR0, REFDEV_REG_SCRATCH, &value, 4), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_queue_post(q, BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
	stop(p, dev, q);
	peer_stop(peer);
}

static int
reset(void *arg)
{
	return vuc_device_reset(arg);
}

#define NR_POSTED 200u

struct posting_reset {
	struct vuc_device *dev;
	struct vuc_queue *queue;
};

/* On the poller's thread, which takes nothing meanwhile. */
static int
post_and_reset(void *arg)
{
	const struct posting_reset *r = arg;
	const uint64_t bars = UINT64_MAX;
	int rc = 0;

	for (uint64_t i = 1; rc == 0 && i <= NR_POSTED; i++)
		rc = vuc_queue_post(r->queue, BAR0, REFDEV_REG_SCRATCH, &i, sizeof(i));
	/* Several messages. */
	if (rc == 0)
		rc = vuc_queue_post(r->queue, CONFIG, PCI_BASE_ADDRESS_0, &bars, sizeof(bars));
	return rc != 0 ? rc : vuc_device_reset(r->dev);
}

/* What a queue has accepted reaches the device before a reset that is asked for behind it. */
static void
test_reset_behind_queue(void)
{
	struct peer *peer = peer_start(1, NULL);
	struct vuc_poller *p = start_poller(VUC_IDLE_SLEEP);
	struct vuc_device *dev = open_device(p, peer, 0);
	struct vuc_queue *q = open_queue(p, dev, 256);
	struct posting_reset r = {.dev = dev, .queue = q};
	uint64_t before = 1, after = 1;
	uint32_t bars_before[2] = {1, 1}, bars_after[2] = {2, 2};

	CU_ASSERT_EQUAL(vuc_poller_call(p, reset, dev), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q, CONFIG, PCI_BASE_ADDRESS_0, bars_before, 8), 0);
	CU_ASSERT_EQUAL(vuc_poller_call(p, post_and_reset, &r), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_WRITES, &before, 8), 0);
	CU_ASSERT_EQUAL(before, 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_SCRATCH, &after, 8), 0);
	CU_ASSERT_EQUAL(after, 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q, CONFIG, PCI_BASE_ADDRESS_0, bars_after, 8), 0);
	CU_ASSERT_EQUAL(memcmp(bars_before, bars_after, sizeof(bars_after)), 0);
	stop(p, dev, q);
	peer_stop(peer);
}

struct resetting {
	struct vuc_poller *poller;
	struct vuc_device *dev;
	_Atomic int status;
};

static void *
reset_thread(void *arg)
{
	struct resetting *r = arg;

	r->status = vuc_poller_call(r->poller, reset, r->dev);
	return NULL;
}

/*
 * A device hangs in an access and in a call: the other one on the same poller answers all the
 * same, and what hangs ends when its server does, not before.
 */
static void
hang_and_go_on(void)
{
	struct peer *good = peer_start(1, NULL);
	struct peer *bad =
		peer_start(1, "--fault=drop@region_read#7", "--fault=drop@device_reset", NULL);
	struct vuc_poller *p = start_poller(VUC_IDLE_YIELD);
	struct vuc_device *good_dev = open_device(p, good, 0), *bad_dev = open_device(p, bad, 0);
	struct vuc_queue *good_queue = open_queue(p, good_dev, 4);
	struct vuc_queue *bad_queue = open_queue(p, bad_dev, 4);
	struct resetting resetting = {.poller = p, .dev = bad_dev, .status = 1};
	uint32_t value = 0, lost;
	struct vuc_queue_request hangs = {
		.op = VUC_QUEUE_READ, .region = BAR0, .count = 4, .data = &lost};
	struct vuc_queue_result result;
	pthread_t thread;

	CU_ASSERT_EQUAL(vuc_queue_submit(bad_queue, &hangs, 1), 1);
	pthread_create(&thread, NULL, reset_thread, &resetting);
	for (uint32_t i = 0; i < 2000; i++) {
		CU_ASSERT_EQUAL(vuc_queue_post(good_queue, BAR0, REFDEV_REG_SCRATCH, &i, 4), 0);
		CU_ASSERT_EQUAL(vuc_queue_read(good_queue, BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
		CU_ASSERT_EQUAL(value, i);
	}
	CU_ASSERT_EQUAL(vuc_queue_poll(bad_queue, &result, 1), 0);
	CU_ASSERT_EQUAL(resetting.status, 1);
	peer_kill(bad);
	CU_ASSERT_EQUAL(vuc_queue_wait(bad_queue, -1), 0);
	CU_ASSERT_EQUAL(vuc_queue_poll(bad_queue, &result, 1), 1);
	CU_ASSERT_EQUAL(result.status, -ECONNRESET);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(resetting.status, -ECONNRESET);
	vuc_poller_close_queue(p, bad_queue);
	CU_ASSERT_EQUAL(vuc_poller_close_device(p, bad_dev), 0);
	stop(p, good_dev, good_queue);
	peer_stop(bad);
	peer_stop(good);
}

/* A server whose descriptors take long to close: with one it answers VERSION, which breaks the
 * protocol, maybe out of band, and the other one is never received. */
struct slow_server {
	char folder[VUC_TEMPDIR_SIZE];
	struct sockaddr_un addr;
	int listener;
	int fds[2];
	int peers[2]; /* of the descriptors */
	int flags;    /* to send the first one with */
	pthread_t thread;
};

static void *
slow_server_run(void *arg)
{
	static const char bytes[64];
	struct slow_server *s = arg;
	int conn = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

	/* Not all kernels have anything out of band here. */
	if (s->flags == 0 || vuc_fds_send(conn, bytes, 1, &s->fds[0], 1, s->flags) < 0)
		vuc_fds_send(conn, bytes, sizeof(bytes), &s->fds[0], 1, 0);
	vuc_fds_send(conn, bytes, sizeof(bytes), &s->fds[1], 1, 0);
	close(s->fds[0]);
	close(s->fds[1]);
	/* The client has hung up, whatever of the connection is still to be closed. */
	while (read(conn, &(char[256]){0}, 256) > 0)
		continue;
	close(conn);
	return NULL;
}

static void
slow_server_start(struct slow_server *s, int flags)
{
	char path[VUC_TEMPDIR_SIZE + 8];

	s->flags = flags;
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(s->folder), 0);
	snprintf(path, sizeof(path), "%s/s", s->folder);
	CU_ASSERT_EQUAL_FATAL(vuc_socket_address(path, &s->addr, NULL), 0);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_EQUAL_FATAL(bind(s->listener, (struct sockaddr *)&s->addr, sizeof(s->addr)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(s->listener, 1), 0);
	for (unsigned int i = 0; i < 2; i++) {
		s->fds[i] = fd_slow(&s->peers[i]);
		CU_ASSERT_TRUE_FATAL(s->fds[i] >= 0);
	}
	CU_ASSERT_EQUAL_FATAL(pthread_create(&s->thread, NULL, slow_server_run, s), 0);
}

static void
slow_server_stop(struct slow_server *s)
{
	close(s->peers[0]);
	close(s->peers[1]);
	close(s->listener);
	vuc_tempdir_remove(s->folder);
}

/* Closing what a server has sent takes as long as the server likes: that holds up neither the
 * poller, nor its other devices, nor its end. */
static void
hold_up_closing(bool let_go, int flags)
{
	struct peer *good = peer_start(1, NULL);
	struct vuc_poller *p = start_poller(VUC_IDLE_YIELD);
	struct slow_server bad;
	struct vuc_device_opts opts;
	struct vuc_device *dev;
	struct vuc_error err;
	struct vuc_queue *q;

	slow_server_start(&bad, flags);
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = bad.addr.sun_path;
	opts.timeout_ms = TIMEOUT;
	CU_ASSERT_EQUAL(vuc_poller_open_device(p, &opts, &dev, &err), -EPROTO);
	pthread_join(bad.thread, NULL);
	for (unsigned int i = 0; i < 3; i++) {
		dev = open_device(p, good, 0);
		q = open_queue(p, dev, 4);
		CU_ASSERT_EQUAL(vuc_queue_post(q, BAR0, REFDEV_REG_SCRATCH, &i, sizeof(i)), 0);
		vuc_poller_close_queue(p, q);
		CU_ASSERT_EQUAL(vuc_poller_close_device(p, dev), 0);
	}
	if (let_go)
		slow_server_stop(&bad);
	CU_ASSERT_EQUAL(vuc_poller_destroy(p), 0);
	if (!let_go)
		slow_server_stop(&bad);
	peer_stop(good);
}

static void
test_slow_fds(void)
{
	if (strcmp(peer_transport(), "loopback") == 0) {
		vuc_tap_skip("nothing comes over the loopback but from this process itself");
		return;
	}
	hold_up_closing(true, 0);
	hold_up_closing(false, 0);
	hold_up_closing(false, MSG_OOB);
}

static void
test_hung_device(void)
{
	if (strcmp(peer_transport(), "loopback") == 0)
		vuc_tap_skip("the loopback's server cannot hang");
	else
		hang_and_go_on();
}

struct closer {
	struct vuc_poller *poller;
	struct vuc_queue *queue;
	_Atomic int result; /* 1: it still waits */
};

static void *
closer_thread(void *arg)
{
	struct closer *c = arg;

	c->result = vuc_poller_close_queue(c->poller, c->queue);
	return NULL;
}

static uint64_t
count_calls(struct vuc_poller *p)
{
	struct vuc_poller_stats stats;

	CU_ASSERT_EQUAL(vuc_poller_get_stats(p, &stats), 0);
	return stats.calls;
}

/* Whoever closes a queue of a hung device waits for it, and nobody else does: the poller is called,
 * and opens and closes devices meanwhile. */
static void
close_while_it_hangs(void)
{
	struct peer *bad = peer_start(1, "--fault=drop@region_read#7", NULL);
	struct peer *good = peer_start(1, NULL);
	struct vuc_poller *p = start_poller(VUC_IDLE_SLEEP);
	struct vuc_device *dev = open_device(p, bad, 0), *other;
	struct closer closer = {.poller = p, .queue = open_queue(p, dev, 4), .result = 1};
	uint64_t calls = count_calls(p);
	uint32_t lost;
	struct vuc_queue_request hangs = {
		.op = VUC_QUEUE_READ, .region = BAR0, .count = 4, .data = &lost};
	struct caller c = {.poller = p};
	pthread_t thread;

	CU_ASSERT_EQUAL(vuc_queue_submit(closer.queue, &hangs, 1), 1);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, closer_thread, &closer), 0);
	while (count_calls(p) == calls)
		sched_yield();
	CU_ASSERT_EQUAL(vuc_poller_call(p, note_thread, &c), 7);
	other = open_device(p, good, 0);
	CU_ASSERT_EQUAL(vuc_poller_close_device(p, other), 0);
	CU_ASSERT_EQUAL(vuc_poller_close_device(p, dev), -EBUSY);
	CU_ASSERT_EQUAL(closer.result, 1);
	peer_kill(bad);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(closer.result, 0);
	CU_ASSERT_EQUAL(vuc_poller_close_device(p, dev), 0);
	CU_ASSERT_EQUAL(vuc_poller_destroy(p), 0);
	peer_stop(bad);
	peer_stop(good);
}

static void
test_close_while_it_hangs(void)
{
	if (strcmp(peer_transport(), "loopback") == 0)
		vuc_tap_skip("the loopback's server cannot hang");
	else
		close_while_it_hangs();
}

/* A thread that opens a queue, uses it, and closes it, until it is told to stop. */
struct user {
	struct vuc_poller *poller;
	struct vuc_device *dev;
	unsigned int number;
	unsigned int rounds;
	pthread_t thread;
};

static _Atomic bool stop_users;

static void
use_queue(struct vuc_queue *q, const struct user *u)
{
	uint64_t offset = 64 * u->number;
	uint32_t in = 0;

	for (uint32_t i = 0; i < 50; i++) {
		uint32_t out = i << 8 | u->number;

		if (i % 2 == 0)
			CU_ASSERT_EQUAL(vuc_queue_post(q, BAR2, offset, &out, 4), 0)
		else
			CU_ASSERT_EQUAL(vuc_queue_write(q, BAR2, offset, &out, 4), 0)
		CU_ASSERT_EQUAL(vuc_queue_read(q, BAR2, offset, &in, 4), 0);
		CU_ASSERT_EQUAL(in, out);
	}
	/* The last ones are left for closing to carry out. */
	CU_ASSERT_EQUAL(vuc_queue_post(q, BAR2, offset, &in, 4), 0);
}

static void *
user_thread(void *arg)
{
	struct user *u = arg;

	/* Once at least: the others may be done before this thread has had a CPU. */
	do {
		struct vuc_queue *q = open_queue(u->poller, u->dev, 1u << u->number % 5);

		use_queue(q, u);
		vuc_poller_close_queue(u->poller, q);
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
	struct peer *peer = peer_start(2, NULL);
	struct vuc_poller *p = start_poller(VUC_IDLE_SLEEP);
	struct vuc_device *dev = open_device(p, peer, 0);
	struct user users[NR_THREADS];
	time_t begun = time(NULL);

	stop_users = false;
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		users[i] = (struct user){.poller = p, .dev = dev, .number = i};
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&users[i].thread, NULL, user_thread, &users[i]), 0);
	}
	for (unsigned int i = 0; goes_on(i, begun); i++) {
		struct vuc_device *second = open_device(p, peer, 1);
		struct vuc_queue *q = open_queue(p, second, 8);
		uint32_t id = 0;

		CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_ID, &id, 4), 0);
		CU_ASSERT_EQUAL(id, REFDEV_ID_VALUE);
		vuc_poller_close_queue(p, q);
		CU_ASSERT_EQUAL(vuc_poller_close_device(p, second), 0);
	}
	stop_users = true;
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		pthread_join(users[i].thread, NULL);
		CU_ASSERT_TRUE(users[i].rounds > 0);
	}
	CU_ASSERT_EQUAL(vuc_poller_close_device(p, dev), 0);
	CU_ASSERT_EQUAL(vuc_poller_destroy(p), 0);
	peer_stop(peer);
}

/* Each access wakes a poller that has gone to sleep, or is about to: none is lost. */
static void
test_wake_ups(void)
{
	struct peer *peer = peer_start(1, NULL);
	struct vuc_poller_opts opts;
	struct vuc_poller *p;
	struct vuc_device *dev;
	struct vuc_queue *q;
	uint32_t value;

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.transport = peer_transport();
	opts.cpu = VUC_POLLER_CPU_NONE;
	opts.idle = VUC_IDLE_SLEEP;
	opts.idle_loops = 0;
	CU_ASSERT_EQUAL_FATAL(vuc_poller_create(&opts, &p, NULL), 0);
	dev = open_device(p, peer, 0);
	q = open_queue(p, dev, 4);
	vuc_queue_set_spin(q, 0);
	for (unsigned int i = 0; i < 5000; i++)
		CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_ID, &value, 4), 0);
	stop(p, dev, q);
	peer_stop(peer);
}

static int
set_up(void)
{
	struct vuc_error err = {0};
	int rc = vuc_eal_init(NULL, &err);

	if (rc != 0)
		printf("# %s\n", err.text);
	return rc;
}

static int
clean_up(void)
{
	vuc_eal_fini();
	return 0;
}

/* Near a server: its socket is asked, and closed again. */
static void
test_near_socket(void)
{
	struct vuc_poller_opts opts;
	struct vuc_device_opts device;
	struct vuc_error err = {0};
	struct vuc_poller *p;
	struct peer *peer;

	if (strcmp(peer_transport(), "loopback") == 0) {
		vuc_tap_skip("there is no socket");
		return;
	}
	peer = peer_start(1, NULL);
	peer_opts(peer, 0, &device);
	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.transport = peer_transport();
	opts.idle = VUC_IDLE_SLEEP;
	opts.near_socket = device.path;
	CU_ASSERT_EQUAL_FATAL(vuc_poller_create(&opts, &p, &err), 0);
	CU_ASSERT_TRUE(vuc_poller_cpu(p) >= 0);
	/* Its only client may be another one now. */
	vuc_device_close(peer_open(peer, 0));
	CU_ASSERT_EQUAL(vuc_poller_destroy(p), 0);
	peer_stop(peer);
	opts.near_socket = "/nonexistent/socket";
	CU_ASSERT_EQUAL(vuc_poller_create(&opts, &p, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "connect: No such file or directory"));
}

static CU_TestInfo tests[] = {
	{"spin", test_spin},
	{"yield", test_yield},
	{"sleep", test_sleep},
	{"many", test_many},
	{"pieces", test_pieces},
	{"bad_accesses", test_bad_accesses},
	{"bad_opts", test_bad_opts},
	{"near_socket", test_near_socket},
	{"call", test_call},
	{"call_is_rare", test_call_is_rare},
	{"wake_ups", test_wake_ups},
	{"device_dies", test_device_dies},
	{"reset_behind_queue", test_reset_behind_queue},
	{"slow_fds", test_slow_fds},
	{"hung_device", test_hung_device},
	{"close_while_it_hangs", test_close_while_it_hangs},
	{"churn", test_churn},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
		{argc == 2 ? argv[1] : "", set_up, clean_up, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return peer_main(argc, argv, suites);
}
