/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench hop: from a thread to a polling core and back. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "floor.h"

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
		struct bench_echo echo;
		struct bench_ring ring;
		struct bench_subject poller;
	} floor;
	struct bench_subject subject;
};

static const struct bench_option hop_options[] = {
	BENCH_OPTION_PATH(
		"poller: in this process; shm: in another one, by shared memory (poller)"),
	BENCH_OPTION_OP,
	{"depth", "N", "requests outstanding at a time, and slots (1; with posted 32)", BENCH_POWER,
		BENCH_FIELD(together), 1, BENCH_MAX_BURST},
	BENCH_OPTION_SIZE,
	BENCH_OPTION_NUMBER("ops", "requests of each series in a round (10000)", ops, 1, 10000000),
	BENCH_OPTION_NUMBER("spin",
		"looks at an answer before the thread sleeps (as the library has it)", spins, 1,
		UINT32_MAX),
	BENCH_OPTION_FLOOR(floors,
		"echo: a cache line to and fro; ring: an empty queue; poller: the same in this "
		"process (by path, depth and op)"),
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
		return bench_fail(err, -EINVAL, "--floor poller is for --path shm");
	if (h->floor_kind == FLOOR_ECHO && !alone)
		return bench_fail(
			err, -EINVAL, "--floor echo is for --op read or write at --depth 1");
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
			"--path inline: a hop goes to a poller; without one there is vuc-bench "
			"mmio --transport loopback");
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
			"a word to CPU %u and another one back, each on its cache line", cpu);
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
		bench_say(result->timed,
			"%" PRIu32 " answers one behind the other, divided by %" PRIu32, n, n);
}

static void
hop_init_subject(struct bench *b, struct bench_subject *s, enum bench_path path)
{
	struct hop *h = b->state;

	bench_subject_init(s, b, path, &h->access);
	s->trace = path == BENCH_PATH_SHM;
	s->spins = b->options.spins;
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
	if (h->floor_kind == FLOOR_ECHO)
		bench_echo_init(&h->floor.echo, &b->clock, b->target.poller_cpu);
	else if (h->floor_kind == FLOOR_RING)
		bench_ring_init(&h->floor.ring, &b->clock, &h->access, b->target.poller_cpu);
	else
		hop_init_subject(b, &h->floor.poller, BENCH_PATH_POLLER);
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
