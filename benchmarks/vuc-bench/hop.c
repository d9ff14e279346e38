/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench hop: from a thread to a polling core and back. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <vuc/eal.h>

#include "floor.h"
#include "target.h"

enum floor_kind {
	FLOOR_ECHO,
	FLOOR_RING,
	FLOOR_POLLER,
};

static const char *const floors[] = {"echo", "ring", "poller", NULL};

struct hop {
	struct bench_target target;
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
	BENCH_OPTION_OPS(10000000, "requests of each series in a round (10000)"),
	{"spin", "N", "looks at an answer before the thread sleeps (as the library has it)",
		BENCH_NUMBER, BENCH_FIELD(spins), 1, UINT32_MAX},
	{"floor", "NAME",
		"echo: a cache line to and fro; ring: an empty queue; poller: the same in this "
		"process (by path, depth and op)",
		BENCH_WORD, BENCH_FIELD(floor), 0, 0, floors},
	{0},
};

static int
check_floor(struct hop *h, const struct bench_options *o, struct vuc_error *err)
{
	/* A cache line goes to and fro one at a time. */
	bool alone = o->op != BENCH_POSTED && o->together == 1;
	bool is_shm = o->path == BENCH_PATH_SHM;

	h->floor_kind = is_shm ? FLOOR_POLLER : alone ? FLOOR_ECHO : FLOOR_RING;
	for (unsigned int i = 0; o->floor != NULL && floors[i] != NULL; i++) {
		if (strcmp(floors[i], o->floor) == 0)
			h->floor_kind = i;
	}
	if (h->floor_kind == FLOOR_POLLER && !is_shm)
		return bench_fail(err, -EINVAL, "--floor poller is for --path shm");
	if (h->floor_kind == FLOOR_ECHO && !alone)
		return bench_fail(
			err, -EINVAL, "--floor echo is for --op read or write at --depth 1");
	return 0;
}

static int
hop_check(struct bench *bench, void *state, struct vuc_error *err)
{
	struct bench_options *o = &bench->options;
	struct hop *h = state;
	int ret;

	if (o->path == BENCH_PATH_INLINE)
		return bench_fail(err, -EINVAL,
			"--path inline: a hop goes to a poller; without one there is vuc-bench "
			"mmio --transport loopback");
	ret = bench_target_check(&h->target, o, err);
	if (ret == 0)
		ret = bench_comparison_check(o, err);
	if (ret == 0)
		ret = check_floor(h, o, err);
	h->access = bench_scratch_access;
	h->access.op = (enum bench_access_op)o->op;
	h->access.size = o->size;
	h->access.together = o->together;
	return ret;
}

static void
describe_floor(const struct hop *h, struct bench_result *result)
{
	static const char *const texts[] = {
		[FLOOR_ECHO] = "a word to CPU %u and another one back, each on its cache line",
		[FLOOR_RING] = "the queue alone: a thread on CPU %u takes and answers",
		[FLOOR_POLLER] = "the same inside this process, its poller on CPU %u",
	};
	const char *number = strstr(texts[h->floor_kind], "%u");

	snprintf(result->floor, sizeof(result->floor), "%.*s%u%s",
		(int)(number - texts[h->floor_kind]), texts[h->floor_kind], h->target.poller_cpu,
		number + 2);
}

static void
hop_describe(struct hop *h, const struct bench *bench, struct bench_result *result)
{
	const struct bench_options *o = &bench->options;
	uint32_t n = o->together;

	snprintf(result->headline, sizeof(result->headline),
		"%s of %" PRIu32 " bytes through a queue and a poller, depth %" PRIu32 "; %" PRIu32
		" rounds of %" PRIu32,
		bench_comparison_what(o), o->size, n, o->rounds, o->ops);
	result->unit = "request";
	result->units = "requests";
	bench_target_describe(&h->target, bench, result);
	snprintf(result->server, sizeof(result->server),
		"the reference device inside %s process, its poller on CPU %u",
		o->path == BENCH_PATH_SHM ? "another" : "this", h->target.poller_cpu);
	describe_floor(h, result);
	bench_result_add_text(result, "floor", floors[h->floor_kind]);
	if (o->op == BENCH_POSTED)
		snprintf(result->timed, sizeof(result->timed),
			"from the first write until all %" PRIu32
			" are in the queue, divided by %" PRIu32,
			n, n);
	else if (n > 1)
		snprintf(result->timed, sizeof(result->timed),
			"%" PRIu32 " answers one behind the other, divided by %" PRIu32, n, n);
	bench_comparison_describe(o, result);
	bench_result_add_number(result, "depth", n);
}

static void
subject_set_up(
	struct hop *h, const struct bench *bench, struct bench_subject *s, enum bench_path path)
{
	bench_subject_init(s, path, &bench->clock, &h->access, "loopback", h->target.poller_cpu);
	s->daemon = &h->target.daemon;
	s->loopback = path == BENCH_PATH_SHM ? NULL : &h->target.loopback;
	s->trace = path == BENCH_PATH_SHM;
	s->spins = bench->options.spins;
}

static int
hop_measure(struct hop *h, const struct bench *bench, struct bench_result *result,
	struct vuc_error *err)
{
	const struct bench_options *o = &bench->options;
	bool is_shm = o->path == BENCH_PATH_SHM;
	const struct bench_comparison c = {
		.ways = {&h->floor.way, &h->subject.queue.way},
		.names = {"floor", "vuc"},
		.transports = {floors[h->floor_kind], is_shm ? "shm" : "loopback"},
		.nr_ways = 2,
		.by_rate = h->floor_kind == FLOOR_RING || o->together > 1,
		/* Each burst of posted writes finds an empty queue. */
		.apart = o->op == BENCH_POSTED,
	};
	int ret;

	if (h->floor_kind == FLOOR_ECHO)
		bench_echo_init(&h->floor.echo, &bench->clock, h->target.poller_cpu);
	else if (h->floor_kind == FLOOR_RING)
		bench_ring_init(&h->floor.ring, &bench->clock, &h->access, h->target.poller_cpu);
	else
		subject_set_up(h, bench, &h->floor.poller, BENCH_PATH_POLLER);
	subject_set_up(h, bench, &h->subject, (enum bench_path)o->path);
	hop_describe(h, bench, result);
	ret = bench_eal_init(err);
	if (ret != 0)
		return ret;
	ret = bench_comparison_run(&c, bench, result, err);
	if (is_shm)
		bench_subject_tell_traced(&h->subject, result, &result->series[1]);
	vuc_eal_fini();
	return ret;
}

static int
hop_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct hop *h = state;
	int ret = bench_target_start(&h->target, bench, err);

	if (ret != 0)
		return ret;
	ret = hop_measure(h, bench, result, err);
	bench_target_stop(&h->target, bench);
	return ret;
}

const struct bench_ops bench_hop = {
	.name = "hop",
	.summary = "How long a request takes from a thread to a polling core and back",
	.options = hop_options,
	.defaults = {.rounds = 100,
		.transport = "loopback",
		.path = BENCH_PATH_POLLER,
		.size = 4,
		.ops = 10000},
	.state_size = sizeof(struct hop),
	.check = hop_check,
	.run = hop_run,
};
