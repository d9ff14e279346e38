/* SPDX-License-Identifier: BSD-3-Clause */

/* Connections of clients that a poller serves beside its devices. */

#include <stdatomic.h>
#include <sys/socket.h>

#include "asleep.h"
#include "attend.h"
#include "clock.h"
#include "post.h"
#include "rig.h"

#define MUCH (4u << 20) /* more than a socket takes */

/* A client asks for registers of BAR0 by their offsets, and gets their values. */
struct asking {
	struct poller_attendant attendant;
	int client;
	_Atomic pid_t poller_tid;
	_Atomic unsigned int looks;
	_Atomic unsigned int taken; /* bytes */
	_Atomic unsigned int ticks;
	_Atomic unsigned int ends;
	_Atomic uint64_t due_ms;
	struct vuc_queue *queue; /* NULL: bytes are taken and nothing else is done */
	uint32_t value;
	size_t unsent; /* bytes that the client does not read */
};

static struct asking asking;

static void
asking_send_much(struct asking *a)
{
	static const uint8_t zeros[4096];

	while (a->unsent > 0) {
		size_t len = a->unsent < sizeof(zeros) ? a->unsent : sizeof(zeros);
		ssize_t n = send(a->attendant.fd, zeros, len, MSG_DONTWAIT);

		if (n < 0)
			break;
		a->unsent -= (size_t)n;
	}
	vuc_poller_await_output(&a->attendant, a->unsent > 0);
}

static void
asking_submit(struct asking *a, uint32_t offset)
{
	const struct vuc_queue_request request = {
		.op = VUC_QUEUE_READ,
		.region = BAR0,
		.offset = offset,
		.count = sizeof(a->value),
		.data = &a->value,
	};

	CU_ASSERT_EQUAL(vuc_queue_submit(a->queue, &request, 1), 1);
	a->attendant.busy = true;
}

static bool
asking_look(void *arg)
{
	struct asking *a = arg;
	uint32_t offset;
	bool came = false;
	ssize_t n;

	atomic_store(&a->poller_tid, gettid());
	atomic_fetch_add(&a->looks, 1);
	if (a->unsent > 0)
		asking_send_much(a);
	while ((n = recv(a->attendant.fd, &offset, sizeof(offset), MSG_DONTWAIT)) > 0) {
		atomic_fetch_add(&a->taken, (unsigned int)n);
		came = true;
		if (a->queue != NULL)
			asking_submit(a, offset);
	}
	if (n == 0) {
		vuc_poller_unattend(&a->attendant);
		atomic_fetch_add(&a->ends, 1);
	}
	return came;
}

static void
asking_results(void *arg)
{
	struct asking *a = arg;
	struct vuc_queue_result result;

	if (vuc_queue_poll(a->queue, &result, 1) != 1)
		return;
	CU_ASSERT_EQUAL(result.status, 0);
	a->attendant.busy = false;
	CU_ASSERT_EQUAL(send(a->attendant.fd, &a->value, sizeof(a->value), MSG_DONTWAIT),
		(ssize_t)sizeof(a->value));
}

static uint64_t
asking_due_ms(void *arg)
{
	struct asking *a = arg;

	return atomic_load(&a->due_ms);
}

static void
asking_tick(void *arg, uint64_t now_ms)
{
	struct asking *a = arg;

	CU_ASSERT_TRUE(now_ms >= atomic_load(&a->due_ms));
	atomic_store(&a->due_ms, 0);
	atomic_fetch_add(&a->ticks, 1);
}

static const struct poller_attendant_ops asking_ops = {
	.look = asking_look,
	.results = asking_results,
	.due_ms = asking_due_ms,
	.tick = asking_tick,
};

/* On the poller's thread. */
static int
attend(void *arg)
{
	return vuc_poller_attend(rig.poller, arg);
}

static int
unattend(void *arg)
{
	vuc_poller_unattend(arg);
	return 0;
}

static int
pause_attendant(void *arg)
{
	vuc_poller_pause_attendant(arg);
	return 0;
}

static int
resume_attendant(void *arg)
{
	vuc_poller_resume_attendant(arg);
	return 0;
}

static void
asking_call(vuc_poller_fn fn)
{
	CU_ASSERT_EQUAL_FATAL(vuc_poller_call(rig.poller, fn, &asking.attendant), 0);
}

static void
asking_start(enum vuc_idle idle, bool queue)
{
	int fds[2];

	rig_start(&(struct rig_opts){.alone = 1,
		.depth = queue ? 4 : 0,
		.idle = (unsigned int)idle + 1,
		.idle_loops = -1});
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	asking = (struct asking){
		.attendant = {.fd = fds[0], .ops = &asking_ops, .arg = &asking},
		.client = fds[1],
		.queue = queue ? rig.queue[0] : NULL,
	};
	asking_call(attend);
}

static void
asking_stop(void)
{
	asking_call(unattend);
	close(asking.attendant.fd);
	if (asking.client >= 0)
		close(asking.client);
	rig_stop();
}

static void
await_count(_Atomic unsigned int *count, unsigned int nr)
{
	unsigned int ms = 0;

	while (atomic_load(count) < nr && rig_wait(&ms))
		;
	CU_ASSERT_TRUE(atomic_load(count) >= nr);
}

/* Wait until the poller sleeps, and the attendant is left to epoll. */
static void
await_sleep(void)
{
	await_count(&asking.looks, 1);
	asleep_await(atomic_load(&asking.poller_tid));
}

static void
client_ask(uint32_t offset)
{
	CU_ASSERT_EQUAL(send(asking.client, &offset, sizeof(offset), 0), (ssize_t)sizeof(offset));
}

static void
client_expect(uint32_t value)
{
	uint32_t got = 0;

	CU_ASSERT_EQUAL_FATAL(recv(asking.client, &got, sizeof(got), MSG_WAITALL), sizeof(got));
	CU_ASSERT_EQUAL(got, value);
}

static void
test_wakes(void)
{
	asking_start(VUC_IDLE_SLEEP, false);
	for (unsigned int i = 1; i <= 3; i++) {
		await_sleep();
		client_ask(0);
		await_count(&asking.taken, i * (unsigned int)sizeof(uint32_t));
	}
}

/* A quiet attendant is found nevertheless. */
static void
test_spins(void)
{
	unsigned int looks, ms = 0;

	asking_start(VUC_IDLE_SPIN, false);
	do
		looks = atomic_load(&asking.looks);
	while (rig_wait(&ms) && atomic_load(&asking.looks) != looks);
	client_ask(0);
	await_count(&asking.taken, sizeof(uint32_t));
}

static void
test_accesses(void)
{
	asking_start(VUC_IDLE_SLEEP, true);
	for (unsigned int i = 0; i < 100; i++) {
		if (i % 10 == 0)
			await_sleep();
		client_ask(REFDEV_REG_ID);
		client_expect(REFDEV_ID_VALUE);
	}
}

/* Bytes that arrive during a pause do not wake the poller, and are found afterwards. */
static void
test_pause(void)
{
	unsigned int looks;

	asking_start(VUC_IDLE_SLEEP, false);
	await_sleep();
	asking_call(pause_attendant);
	looks = atomic_load(&asking.looks);
	client_ask(0);
	/* Posts behind each other, each with loops of its own. */
	for (unsigned int i = 0; i < 3; i++)
		asking_call(pause_attendant);
	CU_ASSERT_EQUAL(atomic_load(&asking.looks), looks);
	asking_call(resume_attendant);
	await_count(&asking.taken, sizeof(uint32_t));
}

/* A client that leaves during a pause lets the poller sleep, and is found afterwards. */
static void
test_pause_end(void)
{
	asking_start(VUC_IDLE_SLEEP, false);
	await_sleep();
	asking_call(pause_attendant);
	close(asking.client);
	asking.client = -1;
	await_sleep();
	asking_call(resume_attendant);
	await_count(&asking.ends, 1);
}

/* A deadline ends the sleep, which would last for a second at least. */
static void
test_tick(void)
{
	asking_start(VUC_IDLE_SLEEP, false);
	await_sleep();
	for (unsigned int i = 1; i <= 3; i++) {
		atomic_store(&asking.due_ms, vuc_clock_coarse_ms() + 1);
		await_count(&asking.ticks, i);
	}
	asking_call(pause_attendant);
	atomic_store(&asking.due_ms, vuc_clock_coarse_ms() + 1);
	await_count(&asking.ticks, 4);
}

/* On the poller's thread. */
static int
send_much(void *arg)
{
	(void)arg;
	asking.unsent = MUCH;
	asking_send_much(&asking);
	return 0;
}

/* A client that reads late gets all of it. */
static void
test_output(void)
{
	static uint8_t bytes[65536];
	size_t left = MUCH;

	asking_start(VUC_IDLE_SLEEP, false);
	await_sleep();
	asking_call(send_much);
	while (left > 0) {
		ssize_t n = recv(asking.client, bytes, sizeof(bytes), 0);

		CU_ASSERT_TRUE_FATAL(n > 0);
		left -= (size_t)n;
	}
}

/* A poller with an attendant is in use. The attendant leaves from its own function; leaving again
 * does no harm. */
static void
test_leaves(void)
{
	asking_start(VUC_IDLE_SLEEP, false);
	rig_close_device(0);
	CU_ASSERT_EQUAL(vuc_poller_destroy(rig.poller), -EBUSY);
	await_sleep();
	close(asking.client);
	asking.client = -1;
	await_count(&asking.ends, 1);
	asking_call(unattend);
	CU_ASSERT_EQUAL(asking.ends, 1);
}

const struct tap_suite tap_suite = {NULL, NULL, asking_stop,
	{
		{"what comes wakes the poller", test_wakes},
		{"a poller that spins finds what comes", test_spins},
		{"accesses and their results", test_accesses},
		{"a paused attendant is not looked at", test_pause},
		{"a client leaves a paused attendant", test_pause_end},
		{"a deadline ends the sleep", test_tick},
		{"room in the socket ends the sleep", test_output},
		{"an attendant leaves from within", test_leaves},
	}};
