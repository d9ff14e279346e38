/* SPDX-License-Identifier: BSD-3-Clause */

/* Pollers whose servers die, hang, or send what takes long to close. */

#include <pthread.h>
#include <sched.h>

#include <vuc/stats.h>

#include "fd_count.h"
#include "fds.h"
#include "rig.h"
#include "socket.h"

static struct vuc_queue *q;

static void
start(void)
{
	rig_start(&(struct rig_opts){.alone = 1, .depth = 4});
	q = rig.queue[0];
}

static int
reset(void *arg)
{
	return vuc_device_reset(arg);
}

static void
test_device_dies(void)
{
	uint32_t value;

	start();
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_ID, &value, 4), 0);
	peer_kill(rig.peer);
	/* The first one may be what finds out. */
	CU_ASSERT_EQUAL(vuc_queue_read(q, BAR0, REFDEV_REG_ID, &value, 4), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_queue_write(q, BAR0, REFDEV_REG_SCRATCH, &value, 4), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_queue_post(q, BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
}

static uint64_t
count_calls(void)
{
	struct vuc_poller_stats stats;

	CU_ASSERT_EQUAL(vuc_poller_get_stats(rig.poller, &stats), 0);
	return stats.calls;
}

/* A device of another server that hangs in a read and in a reset, and its queue. */
struct hung {
	struct peer *peer;
	struct vuc_device *dev;
	struct vuc_queue *queue;
	uint32_t data;
	pthread_t thread; /* waits for it */
	_Atomic int result;
	uint64_t calls; /* of the poller, before it waits */
};

#define WAITING 1 /* no result yet */

static void
hung_start(struct hung *h, void *(*thread)(void *arg))
{
	struct vuc_queue_request r = {.op = VUC_QUEUE_READ, .region = BAR0, .count = 4};

	h->peer = peer_start(
		1, "--fault=drop@region_read#7", "--fault=drop@device_reset", (char *)NULL);
	h->dev = rig_open_device(rig.poller, h->peer, 0);
	CU_ASSERT_EQUAL_FATAL(vuc_poller_open_queue(rig.poller, h->dev, NULL, &h->queue, NULL), 0);
	r.data = &h->data;
	CU_ASSERT_EQUAL(vuc_queue_submit(h->queue, &r, 1), 1);
	h->result = WAITING;
	h->calls = count_calls();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&h->thread, NULL, thread, h), 0);
}

static void *
reset_thread(void *arg)
{
	struct hung *h = arg;

	h->result = vuc_poller_call(rig.poller, reset, h->dev);
	return NULL;
}

/* It hangs in an access and in a call: the other one on the same poller answers all the same, and
 * what hangs ends when its server does, not before. */
static void
test_hung_device(void)
{
	struct vuc_queue_result result;
	struct hung h;

	start();
	if (rig_skips_loopback("the loopback's server cannot hang"))
		return;
	hung_start(&h, reset_thread);
	rig_use_queue(q, 2000);
	CU_ASSERT_EQUAL(vuc_queue_poll(h.queue, &result, 1), 0);
	CU_ASSERT_EQUAL(h.result, WAITING);
	peer_kill(h.peer);
	CU_ASSERT_EQUAL(vuc_queue_wait(h.queue, -1), 0);
	CU_ASSERT_EQUAL(vuc_queue_poll(h.queue, &result, 1), 1);
	CU_ASSERT_EQUAL(result.status, -ECONNRESET);
	pthread_join(h.thread, NULL);
	CU_ASSERT_EQUAL(h.result, -ECONNRESET);
	vuc_poller_close_queue(rig.poller, h.queue);
	CU_ASSERT_EQUAL(vuc_poller_close_device(rig.poller, h.dev), 0);
	peer_stop(h.peer);
}

static int
do_nothing(void *arg)
{
	(void)arg;
	return 7;
}

static void *
close_thread(void *arg)
{
	struct hung *h = arg;

	h->result = vuc_poller_close_queue(rig.poller, h->queue);
	return NULL;
}

/* Whoever closes a queue of a hung device waits for it, and nobody else does: the poller is called,
 * and opens and closes devices meanwhile. */
static void
test_close_while_it_hangs(void)
{
	struct vuc_device *other;
	struct hung h;

	start();
	if (rig_skips_loopback("the loopback's server cannot hang"))
		return;
	hung_start(&h, close_thread);
	while (count_calls() == h.calls)
		sched_yield();
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, do_nothing, NULL), 7);
	other = rig_open_device(rig.poller, rig.peer, 1);
	CU_ASSERT_EQUAL(vuc_poller_close_device(rig.poller, other), 0);
	CU_ASSERT_EQUAL(vuc_poller_close_device(rig.poller, h.dev), -EBUSY);
	CU_ASSERT_EQUAL(h.result, WAITING);
	peer_kill(h.peer);
	pthread_join(h.thread, NULL);
	CU_ASSERT_EQUAL(h.result, 0);
	CU_ASSERT_EQUAL(vuc_poller_close_device(rig.poller, h.dev), 0);
	peer_stop(h.peer);
}

/* A server whose descriptors take long to close: with one it answers VERSION, which breaks the
 * protocol, maybe out of band, and the other one is never received. */
struct slow_server {
	struct sockaddr_un addr;
	int listener;
	int fds[2];
	int peers[2]; /* of the descriptors */
	int flags;    /* to send the first one with */
	pthread_t closer;
};

/* Waits itself where the client has closed the descriptors first. */
static void *
slow_server_close(void *arg)
{
	struct slow_server *s = arg;

	close(s->fds[0]);
	close(s->fds[1]);
	return NULL;
}

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
	CU_ASSERT_EQUAL_FATAL(pthread_create(&s->closer, NULL, slow_server_close, s), 0);
	/* The client has hung up, whatever of the connection is still to be closed. */
	while (read(conn, &(char[256]){0}, 256) > 0)
		continue;
	close(conn);
	return NULL;
}

static void
slow_server_start(struct slow_server *s)
{
	char path[sizeof(rig.folder) + 8];

	snprintf(path, sizeof(path), "%s/s", rig.folder);
	CU_ASSERT_EQUAL_FATAL(vuc_socket_address(path, &s->addr, NULL), 0);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_EQUAL_FATAL(bind(s->listener, (struct sockaddr *)&s->addr, sizeof(s->addr)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(s->listener, 1), 0);
	for (unsigned int i = 0; i < 2; i++) {
		s->fds[i] = fd_slow(&s->peers[i]);
		CU_ASSERT_TRUE_FATAL(s->fds[i] >= 0);
	}
}

static void
slow_server_stop(struct slow_server *s)
{
	close(s->peers[0]);
	close(s->peers[1]);
	pthread_join(s->closer, NULL);
	close(s->listener);
	unlink(s->addr.sun_path);
}

/* Closing what a server has sent takes as long as the server likes: that holds up neither the
 * poller, nor its other devices, nor its end. */
static void
hold_up_closing(bool let_go, int flags)
{
	struct slow_server bad = {.flags = flags};
	struct vuc_device_opts opts;
	struct vuc_device *dev;
	struct vuc_error err;
	pthread_t thread;

	start();
	slow_server_start(&bad);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, slow_server_run, &bad), 0);
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = bad.addr.sun_path;
	opts.timeout_ms = AN_HOUR;
	CU_ASSERT_EQUAL(vuc_poller_open_device(rig.poller, &opts, &dev, &err), -EPROTO);
	pthread_join(thread, NULL);
	for (unsigned int i = 0; i < 3; i++) {
		dev = rig_open_device(rig.poller, rig.peer, 1);
		CU_ASSERT_EQUAL(vuc_poller_close_device(rig.poller, dev), 0);
		rig_use_queue(q, 1);
	}
	if (let_go)
		slow_server_stop(&bad);
	rig_stop_poller();
	if (!let_go)
		slow_server_stop(&bad);
}

static void
test_slow_fds(void)
{
	if (rig_skips_loopback("nothing comes over the loopback but from this process itself"))
		return;
	hold_up_closing(true, 0);
	hold_up_closing(false, 0);
	hold_up_closing(false, MSG_OOB);
}

const struct tap_suite tap_suite = {NULL, NULL, NULL,
	{
		{"slow_fds", test_slow_fds},
		{"device_dies", test_device_dies},
		{"hung_device", test_hung_device},
		{"close_while_it_hangs", test_close_while_it_hangs},
	}};
