/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench hop: from a thread to a polling core and back. */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "back.h"
#include "front.h"
#include "subject.h"
#include "sync.h"

#define STOP_WORD      UINT32_MAX
#define RING_ALIGNMENT 4096
#define RING_BURST     32 /* requests between two looks at anything else, as a poller has it */

/* ---- floors ---- */

/* A word goes to a thread on another CPU and another one comes back, each on a cache line
 * of its own. */
#define BENCH_LINE 128 /* bytes between words that must not share a prefetched line */

struct echo_lines {
	_Alignas(BENCH_LINE) _Atomic uint32_t there;
	_Alignas(BENCH_LINE) _Atomic uint32_t back;
};

struct echo {
	struct bench_way way;
	const struct bench_clock *clock;
	unsigned int cpu; /* of the thread that answers */
	pthread_t thread;
	uint32_t count; /* of words so far */
	struct echo_lines *lines;
};

/* The queue itself. Requests are taken and answered, and nothing is done. */
struct ring {
	struct bench_queue_way queue;
	unsigned int cpu; /* of the thread that answers */
	pthread_t thread;
	_Atomic bool stop;
	void *requests;
	void *completions;
	struct vuc_queue_back back;
};

static void *
alloc_zeros(size_t alignment, size_t size)
{
	void *area = NULL;

	if (posix_memalign(&area, alignment, size) != 0)
		return NULL;
	memset(area, 0, size);
	return area;
}

static struct echo *
echo_of(struct bench_way *way)
{
	return (struct echo *)way;
}

static void *
echo_answer(void *arg)
{
	struct echo_lines *lines = arg;
	uint32_t last = 0;

	while (last != STOP_WORD) {
		/* Pairs with echo_send(). */
		uint32_t word = atomic_load_explicit(&lines->there, memory_order_acquire);

		if (word == last) {
			queue_pause();
			continue;
		}
		last = word;
		/* Pairs with echo_burst(). */
		atomic_store_explicit(&lines->back, word, memory_order_release);
	}
	return NULL;
}

static void
echo_send(struct echo_lines *lines, uint32_t word)
{
	/* Pairs with echo_answer(). */
	atomic_store_explicit(&lines->there, word, memory_order_release);
}

static int
echo_burst(struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	struct echo *e = echo_of(way);
	struct echo_lines *lines = e->lines;

	(void)err;
	for (unsigned int i = 0; i < nr; i++) {
		uint64_t start = bench_clock_ticks(e->clock);
		uint32_t word = ++e->count;

		echo_send(lines, word);
		/* Pairs with echo_answer(). */
		while (atomic_load_explicit(&lines->back, memory_order_acquire) != word)
			queue_pause();
		ticks[i] = bench_clock_ticks(e->clock) - start;
	}
	return 0;
}

static int
echo_settle(struct bench_way *way, struct vuc_error *err)
{
	uint64_t ticks;

	return echo_burst(way, 1, &ticks, err);
}

static int
echo_open(struct bench_way *way, struct vuc_error *err)
{
	struct echo *e = echo_of(way);
	int ret;

	e->count = 0;
	e->lines = alloc_zeros(BENCH_LINE, sizeof(*e->lines));
	if (e->lines == NULL)
		return bench_fail(err, -ENOMEM, "out of memory");
	ret = bench_cpu_thread(&e->thread, e->cpu, echo_answer, e->lines, err);
	if (ret != 0)
		free(e->lines);
	return ret;
}

static void
echo_close(struct bench_way *way)
{
	struct echo *e = echo_of(way);

	echo_send(e->lines, STOP_WORD);
	pthread_join(e->thread, NULL);
	free(e->lines);
}

static const struct bench_way_ops echo_ops = {
	.open = echo_open,
	.close = echo_close,
	.burst = echo_burst,
	.settle = echo_settle,
};

static struct ring *
ring_of(struct bench_way *way)
{
	return (struct ring *)way;
}

static void
ring_answer(struct vuc_queue_back *back, const struct vuc_queue_taken *taken)
{
	const struct queue_request_slot *slot = &taken->slot;

	vuc_queue_back_take(back, taken);
	if (slot->op != VUC_QUEUE_WRITE_POSTED)
		vuc_queue_back_complete(
			back, slot->id, 0, slot->op == VUC_QUEUE_READ ? slot->count : 0);
}

static void *
ring_serve(void *arg)
{
	struct ring *r = arg;
	struct vuc_queue_taken taken;

	while (!atomic_load_explicit(&r->stop, memory_order_relaxed)) {
		unsigned int n = 0;

		for (; n < RING_BURST && vuc_queue_back_peek(&r->back, &taken) > 0; n++)
			ring_answer(&r->back, &taken);
		if (n > 0)
			vuc_queue_back_flush(&r->back);
		else
			queue_pause();
	}
	return NULL;
}

static int
ring_make(struct ring *r)
{
	const struct vuc_queue_geometry geometry = {
		.depth = r->queue.access->together,
		.chunk = BENCH_QUEUE_DATA,
	};
	struct vuc_queue_front_opts front = {.geometry = geometry};
	struct vuc_queue_back_opts back = {.geometry = geometry};
	int ret;

	r->requests = alloc_zeros(RING_ALIGNMENT, vuc_queue_requests_size(&geometry));
	r->completions = alloc_zeros(RING_ALIGNMENT, vuc_queue_completions_size(&geometry));
	if (r->requests == NULL || r->completions == NULL)
		return -ENOMEM;
	front.requests = r->requests;
	back.requests = r->requests;
	front.completions = r->completions;
	back.completions = r->completions;
	ret = vuc_queue_back_init(&r->back, &back);
	if (ret != 0)
		return ret;
	r->queue.queue = vuc_queue_create(&front);
	return r->queue.queue != NULL ? 0 : -ENOMEM;
}

static void
ring_free(struct ring *r)
{
	vuc_queue_destroy(r->queue.queue);
	vuc_queue_back_fini(&r->back);
	free(r->requests);
	free(r->completions);
	r->queue.queue = NULL;
	r->requests = NULL;
	r->completions = NULL;
}

static int
ring_open(struct bench_way *way, struct vuc_error *err)
{
	struct ring *r = ring_of(way);
	int ret = ring_make(r);

	if (ret != 0) {
		bench_fail(err, ret, "no memory for a queue");
	} else {
		atomic_store_explicit(&r->stop, false, memory_order_relaxed);
		ret = bench_cpu_thread(&r->thread, r->cpu, ring_serve, r, err);
	}
	if (ret != 0)
		ring_free(r);
	return ret;
}

static void
ring_close(struct bench_way *way)
{
	struct ring *r = ring_of(way);

	atomic_store_explicit(&r->stop, true, memory_order_relaxed);
	pthread_join(r->thread, NULL);
	ring_free(r);
}

static const struct bench_way_ops ring_ops = {
	.open = ring_open,
	.close = ring_close,
	.burst = bench_queue_way_burst,
	.settle = bench_queue_way_settle,
};

/* ---- the measurement ---- */

enum floor_kind {
	FLOOR_ECHO,
	FLOOR_RING,
	FLOOR_POLLER,
};

static const char *const floors[] = {"echo", "ring", "poller", NULL};

struct hop {
	struct bench_access access;
	enum floor_kind floor_kind;
	union {
		struct bench_way way;
		struct echo echo;
		struct ring ring;
		struct bench_subject poller;
	} floor;
	struct bench_subject subject;
};

static const struct bench_option hop_options[] = {
	BENCH_OPTION_PATH(
		"poller: in this process; shm: in another one, by shared memory (poller)"),
	BENCH_OPTION_OP,
	{"depth", "N", "outstanding requests, and entries of the queue (1; with posted 32)",
		BENCH_POWER, BENCH_FIELD(together), 1, BENCH_MAX_BURST},
	BENCH_OPTION_SIZE,
	BENCH_OPTION_NUMBER("ops", "requests per series and round (10000)", ops, 1, 10000000),
	BENCH_OPTION_NUMBER("spin",
		"checks for an answer before the thread sleeps (the library's default)", spins, 1,
		UINT32_MAX),
	BENCH_OPTION_FLOOR(floors,
		"echo: a cache line there and back; ring: an empty queue; poller: the same in this process (depends on path, depth and op)"),
	{0},
};

static int
hop_check_floor(struct bench *b, struct vuc_error *err)
{
	struct hop *h = b->state;
	struct bench_options *o = &b->options;
	/* A cache line goes to and fro one at a time. */
	bool alone = o->op != BENCH_POSTED && o->together == 1;
	bool is_shm = o->path == BENCH_PATH_SHM;

	h->floor_kind = is_shm ? FLOOR_POLLER : alone ? FLOOR_ECHO : FLOOR_RING;
	for (unsigned int i = 0; o->floor != NULL && floors[i] != NULL; i++) {
		if (strcmp(floors[i], o->floor) == 0)
			h->floor_kind = i;
	}
	o->floor = floors[h->floor_kind];
	if (h->floor_kind == FLOOR_POLLER && !is_shm)
		return bench_fail(err, -EINVAL, "--floor poller requires --path shm");
	if (h->floor_kind == FLOOR_ECHO && !alone)
		return bench_fail(
			err, -EINVAL, "--floor echo requires --op read or write, and --depth 1");
	return 0;
}

static int
hop_check(struct bench *b, struct vuc_error *err)
{
	struct hop *h = b->state;
	struct bench_options *o = &b->options;
	int ret;

	if (o->path == BENCH_PATH_INLINE)
		return bench_fail(err, -EINVAL,
			"--path inline has no poller; use vuc-bench mmio --transport loopback");
	h->access = bench_access_of(o);
	ret = bench_rounds_check(o, o->together, err);
	return ret == 0 ? hop_check_floor(b, err) : ret;
}

static void
hop_describe(struct bench *b)
{
	const struct hop *h = b->state;
	const struct bench_options *o = &b->options;
	struct bench_result *result = b->result;
	unsigned int cpu = b->target.poller_cpu;
	uint32_t n = o->together;

	bench_say(result->headline,
		"%s of %" PRIu32 " bytes through a queue and a poller, depth %" PRIu32 "; %" PRIu32
		" rounds of %" PRIu32,
		bench_access_name(o), o->size, n, o->rounds, o->ops);
	bench_say(result->server, "the reference device inside %s process, its poller on CPU %u",
		o->path == BENCH_PATH_SHM ? "another" : "this", cpu);
	if (h->floor_kind == FLOOR_ECHO)
		bench_say(result->floor,
			"a word to CPU %u and another one back, each in a cache line of its own",
			cpu);
	else if (h->floor_kind == FLOOR_RING)
		bench_say(result->floor, "the queue alone: a thread on CPU %u takes and answers",
			cpu);
	else
		bench_say(result->floor, "the same inside this process, its poller on CPU %u", cpu);
	if (o->op == BENCH_POSTED)
		bench_say(result->timed,
			"from the first write until all %" PRIu32
			" are in the queue, divided by %" PRIu32,
			n, n);
	else if (n > 1)
		bench_say(result->timed, "%" PRIu32 " replies in a row, divided by %" PRIu32, n, n);
}

static void
hop_init_subject(struct bench *b, struct bench_subject *s, enum bench_path path)
{
	struct hop *h = b->state;

	bench_subject_init(s, b, path, &h->access);
	s->trace = path == BENCH_PATH_SHM;
	s->spins = b->options.spins;
}

static void
hop_init_floor(struct bench *b)
{
	struct hop *h = b->state;
	unsigned int cpu = b->target.poller_cpu;

	switch (h->floor_kind) {
	case FLOOR_ECHO:
		h->floor.echo = (struct echo){.way.ops = &echo_ops, .clock = &b->clock, .cpu = cpu};
		break;
	case FLOOR_RING:
		bench_queue_way_init(&h->floor.ring.queue, &ring_ops, &b->clock, &h->access);
		h->floor.ring.cpu = cpu;
		break;
	case FLOOR_POLLER:
		hop_init_subject(b, &h->floor.poller, BENCH_PATH_POLLER);
		break;
	}
}

static int
hop_run(struct bench *b, struct vuc_error *err)
{
	struct hop *h = b->state;
	const struct bench_options *o = &b->options;
	struct bench_rounds r = bench_rounds_of(b);
	bool is_shm = o->path == BENCH_PATH_SHM;
	struct bench_series *series;
	int ret;

	hop_describe(b);
	hop_init_floor(b);
	hop_init_subject(b, &h->subject, (enum bench_path)o->path);
	/* Each burst of posted writes finds an empty queue. */
	r.apart = o->op == BENCH_POSTED;
	bench_rounds_add(b, &r, &h->floor.way, "floor", floors[h->floor_kind]);
	series = bench_rounds_add(b, &r, &h->subject.queue.way, "vuc", is_shm ? "shm" : "loopback");
	series->by_rate = h->floor_kind == FLOOR_RING || o->together > 1;
	ret = bench_rounds_run(b, &r, err);
	if (is_shm)
		bench_subject_tell_traced(&h->subject, b->result, series);
	return ret;
}

const struct bench_ops bench_hop = {
	.name = "hop",
	.summary = "A request from a thread to a polling core and back",
	.unit = "request",
	.units = "requests",
	.options = hop_options,
	.defaults = {.rounds = 100,
		.transport = "loopback",
		.path = BENCH_PATH_POLLER,
		.size = 4,
		.ops = 10000},
	.setup = BENCH_TARGET,
	.state_size = sizeof(struct hop),
	.check = hop_check,
	.run = hop_run,
};
