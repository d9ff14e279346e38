/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Two threads on a queue, each of which sleeps and wakes at random: what is lost, doubled, changed
 * or out of order is seen, and a wake-up that is lost ends the program by an alarm. With
 * VUC_TEST_LONG=1 there are fifty times as many rounds.
 */

#include <poll.h>
#include <pthread.h>
#include <sched.h>

#include "queue_pair.h"
#include "sync.h"

#define CHUNK       256u
#define MAX_DEPTH   256u
#define BURST       32u
#define REQUESTS    20000u /* of each depth */
#define KICKS       20000u /* of both ends each */
#define LONG        50u
#define ANSWER_SEED UINT64_C(0x100000000)

static bool is_long;

/* The polling thread, of which the test has the back and what a poller does around it. */
struct core {
	uint64_t random;
	uint32_t next; /* the number of the request that has to come now */
	uint32_t ids[MAX_DEPTH];
	uint32_t sequence[MAX_DEPTH]; /* of what is not answered, as ids */
	uint32_t counts[MAX_DEPTH];
	unsigned int nr;
	bool eager; /* to sleep whenever there is nothing */
	_Atomic bool stop;
	_Atomic uint32_t kicks; /* that ended its sleep */
	unsigned int wrong;
};

/* What a request was, for its result. */
struct asked {
	uint32_t sequence;
	uint32_t count;
	bool read;
	bool awaited;
	uint8_t data[CHUNK];
};

/* The submitting thread, which is that of the test. */
struct guest {
	uint64_t random;
	uint32_t sequence;
	uint32_t spare[MAX_DEPTH];
	uint32_t nr_spare;
	struct asked asked[MAX_DEPTH];
	unsigned int wrong;
};

/* A short while of a random length, so that the ends meet in every order. */
static void
dawdle(uint64_t *random)
{
	if (random_below(random, 4) != 0)
		return;
	for (uint32_t n = random_below(random, 200); n > 0; n--)
		queue_pause();
}

static void
core_take(struct core *c, const struct vuc_queue_taken *taken)
{
	const struct queue_request_slot *slot = &taken->slot;
	bool read = slot->op == VUC_QUEUE_READ;

	c->wrong += slot->offset != c->next;
	if (!read)
		c->wrong += !payload_matches(taken->payload, slot->count, slot->offset);
	vuc_queue_back_take(&q.back, taken);
	c->next++;
	if (slot->op == VUC_QUEUE_WRITE_POSTED)
		return;
	c->ids[c->nr] = slot->id;
	c->sequence[c->nr] = (uint32_t)slot->offset;
	c->counts[c->nr++] = read ? slot->count : 0;
}

/* Answer any of those that were taken. */
static void
core_answer(struct core *c)
{
	struct vuc_queue_back *b = &q.back;
	uint32_t i = random_below(&c->random, c->nr);
	uint16_t id = (uint16_t)c->ids[i];
	int status = c->sequence[i] % 16 == 0 ? -EIO : 0;
	uint32_t count = status == 0 ? c->counts[i] : 0;

	if (count > 0)
		payload_fill(
			vuc_queue_back_room(b, id, count), count, c->sequence[i] + ANSWER_SEED);
	vuc_queue_back_complete(b, id, status, count);
	c->nr--;
	c->ids[i] = c->ids[c->nr];
	c->sequence[i] = c->sequence[c->nr];
	c->counts[i] = c->counts[c->nr];
}

/* Returns whether there was anything to do. */
static bool
core_poll(struct core *c)
{
	struct vuc_queue_taken taken;
	uint32_t burst = 1 + random_below(&c->random, BURST);
	unsigned int n = 0;
	int rc = 0;

	while (n < burst && (rc = vuc_queue_back_peek(&q.back, &taken)) > 0) {
		core_take(c, &taken);
		n++;
	}
	c->wrong += rc < 0;
	for (burst = 1 + random_below(&c->random, BURST); burst > 0 && c->nr > 0; burst--, n++)
		core_answer(c);
	vuc_queue_back_flush(&q.back);
	return n > 0;
}

/* As a poller does: say that it sleeps, turn on the bell, fence, look for the last time. */
static void
core_sleep(struct core *c)
{
	struct pollfd kick = {.fd = q.kick_fd, .events = POLLIN};
	uint64_t kicks;

	atomic_store_explicit(&q.sleeps, 1, memory_order_seq_cst);
	vuc_queue_back_set_bell(&q.back, true);
	dawdle(&c->random);
	if (vuc_queue_back_is_empty(&q.back) &&
		atomic_load_explicit(&q.bells, memory_order_seq_cst) == 0 && !atomic_load(&c->stop))
		atomic_fetch_add(&c->kicks, poll(&kick, 1, -1) == 1);
	atomic_store_explicit(&q.sleeps, 0, memory_order_relaxed);
	if (read(q.kick_fd, &kicks, sizeof(kicks)) < 0)
		c->wrong += errno != EAGAIN;
	atomic_exchange_explicit(&q.bells, 0, memory_order_seq_cst);
	vuc_queue_back_set_bell(&q.back, false);
}

static void *
core_run(void *arg)
{
	struct core *c = arg;

	while (!atomic_load(&c->stop)) {
		dawdle(&c->random);
		if (core_poll(c) || c->nr > 0)
			continue;
		if (c->eager || random_below(&c->random, 4) == 0)
			core_sleep(c);
		else
			sched_yield();
	}
	return NULL;
}

static void
core_stop(struct core *c, pthread_t thread)
{
	const uint64_t one = 1;

	atomic_store(&c->stop, true);
	CU_ASSERT_EQUAL(write(q.kick_fd, &one, sizeof(one)), sizeof(one));
	pthread_join(thread, NULL);
}

static void
guest_open(struct guest *g, uint32_t depth)
{
	memset(g, 0, sizeof(*g));
	g->random = depth;
	for (uint32_t i = 0; i < depth; i++)
		g->spare[g->nr_spare++] = i;
}

/* What has no record of its own is a posted write: its payload is copied at once. */
static struct vuc_queue_request
guest_request(struct guest *g, struct asked *a, struct asked *posted)
{
	static const uint32_t edges[] = {1, 32, 33, 48, 49, CHUNK};
	bool post = a == NULL || random_below(&g->random, 3) == 0;
	struct asked *use = post ? posted : a;

	use->read = !post && random_below(&g->random, 2) == 0;
	use->count = random_below(&g->random, 2) == 0 ? edges[random_below(&g->random, 6)]
						      : 1 + random_below(&g->random, CHUNK);
	if (!use->read)
		payload_fill(use->data, use->count, g->sequence);
	use->sequence = g->sequence++;
	return (struct vuc_queue_request){
		.op = post          ? VUC_QUEUE_WRITE_POSTED
			: use->read ? VUC_QUEUE_READ
				    : VUC_QUEUE_WRITE,
		.offset = use->sequence,
		.count = use->count,
		.data = use->data,
		.arg = post ? NULL : use,
	};
}

/* Submit a burst, of which the queue may take a part: the rest is never sent, nor counted. */
static unsigned int
guest_submit(struct guest *g)
{
	static struct asked posted[BURST];
	struct vuc_queue_request requests[BURST];
	uint32_t nr = 1 + random_below(&g->random, BURST), used = 0;
	int rc;

	for (uint32_t i = 0; i < nr; i++) {
		struct asked *a = NULL;

		if (used < g->nr_spare)
			a = &g->asked[g->spare[g->nr_spare - 1 - used]];
		requests[i] = guest_request(g, a, &posted[i]);
		used += requests[i].arg != NULL;
	}
	rc = vuc_queue_submit(q.front, requests, nr);
	g->wrong += rc < 0;
	nr -= rc < 0 ? 0 : (uint32_t)rc;
	g->sequence -= nr;
	for (int i = 0; i < rc; i++) {
		struct asked *a = requests[i].arg;

		g->nr_spare -= a != NULL;
		if (a != NULL)
			a->awaited = true;
	}
	return rc < 0 ? 0 : (unsigned int)rc;
}

static void
guest_result(struct guest *g, const struct vuc_queue_result *result)
{
	struct asked *a = result->arg;
	int status = a->sequence % 16 == 0 ? -EIO : 0;

	g->wrong += !a->awaited || result->status != status;
	if (status == 0 && a->read)
		g->wrong += !payload_matches(a->data, a->count, a->sequence + ANSWER_SEED);
	a->awaited = false;
	g->spare[g->nr_spare++] = (uint32_t)(a - g->asked);
}

static unsigned int
guest_poll(struct guest *g)
{
	struct vuc_queue_result results[BURST];
	unsigned int n = vuc_queue_poll(q.front, results, 1 + random_below(&g->random, BURST));

	for (unsigned int i = 0; i < n; i++)
		guest_result(g, &results[i]);
	return n;
}

/* Now and then one that waits for its room, asleep. */
static void
guest_post(struct guest *g)
{
	uint32_t count = 1 + random_below(&g->random, CHUNK);
	uint8_t data[CHUNK];

	payload_fill(data, count, g->sequence);
	g->wrong += vuc_queue_post(q.front, 0, g->sequence, data, count) != 0;
	g->sequence++;
}

static void
guest_run(struct guest *g, uint32_t requests)
{
	struct vuc_queue *front = q.front;

	while (g->sequence < requests || vuc_queue_outstanding(front) > 0) {
		unsigned int n = 0;

		dawdle(&g->random);
		vuc_queue_set_spin(front, random_below(&g->random, 2) * 50);
		if (g->sequence < requests && random_below(&g->random, 3) != 0)
			n += guest_submit(g);
		if (g->sequence < requests && random_below(&g->random, 32) == 0)
			guest_post(g);
		n += guest_poll(g);
		if (n == 0 && vuc_queue_outstanding(front) > 0)
			g->wrong += vuc_queue_wait(front, -1) != 0;
	}
}

static pthread_t
core_start(struct core *c, bool eager)
{
	pthread_t thread;

	memset(c, 0, sizeof(*c));
	c->random = ~UINT64_C(0) - q.geometry.depth;
	c->eager = eager;
	alarm(is_long ? 1200 : 25);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, core_run, c), 0);
	return thread;
}

static void
run_depth(uint32_t depth)
{
	static struct guest guest;
	static struct core core;
	pthread_t thread;
	uint8_t last;

	pair_reopen(depth, CHUNK);
	/* Where positions wrap, with half of the requests behind it. */
	pair_start_at(0 - REQUESTS / 2);
	guest_open(&guest, depth);
	thread = core_start(&core, false);
	guest_run(&guest, REQUESTS * (is_long ? LONG : 1));
	/* A call comes back when everything before it was taken. */
	payload_fill(&last, 1, guest.sequence);
	guest.wrong += vuc_queue_write(q.front, 0, guest.sequence, &last, 1) !=
		(guest.sequence % 16 == 0 ? -EIO : 0);
	core_stop(&core, thread);
	CU_ASSERT_EQUAL(guest.wrong + core.wrong, 0);
	CU_ASSERT_EQUAL(guest.nr_spare, depth);
	CU_ASSERT_EQUAL(core.next, guest.sequence + 1);
}

static void
test_depths(void)
{
	for (uint32_t depth = 1; depth <= MAX_DEPTH; depth *= 2)
		run_depth(depth);
}

/* One request at a time, of two ends that would both rather sleep. */
static void
test_sleepers(void)
{
	const uint32_t goal = KICKS * (is_long ? LONG : 1);
	_Atomic uint32_t *wakes;
	static struct core core;
	uint32_t sequence = 0;
	uint64_t random = 7;
	unsigned int wrong = 0;
	pthread_t thread;
	uint8_t data[8];

	pair_reopen(4, CHUNK);
	wakes = &pair_back_header()->wakes;
	vuc_queue_set_spin(q.front, 0);
	thread = core_start(&core, true);
	for (; atomic_load(wakes) < goal || atomic_load(&core.kicks) < goal; sequence++) {
		int status = sequence % 16 == 0 ? -EIO : 0;

		dawdle(&random);
		wrong += vuc_queue_read(q.front, 0, sequence, data, 8) != status;
		wrong += status == 0 && !payload_matches(data, 8, sequence + ANSWER_SEED);
	}
	core_stop(&core, thread);
	CU_ASSERT_EQUAL(wrong + core.wrong, 0);
	CU_ASSERT_EQUAL(core.next, sequence);
	printf("# %u requests; the front was woken %u times, the back %u times\n", sequence,
		atomic_load(wakes), atomic_load(&core.kicks));
}

const struct tap_suite tap_suite = {"queue under stress", pair_set_up, pair_tear_down,
	{
		{"every depth", test_depths},
		{"both ends asleep", test_sleepers},
	}};

int
main(void)
{
	const char *text = getenv("VUC_TEST_LONG");

	is_long = text != NULL && strcmp(text, "1") == 0;
	printf("# %s form: VUC_TEST_LONG is %sset to 1\n", is_long ? "long" : "short",
		is_long ? "" : "not ");
	return tap_run(&tap_suite);
}
