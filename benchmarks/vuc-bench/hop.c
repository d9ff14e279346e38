/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench hop: from a thread to a polling core and back. */

#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "cpu.h"
#include "eal.h"
#include "error.h"
#include "hop_floor.h"
#include "queue_way.h"
#include "refdev_regs.h"
#include "rounds.h"
#include "server.h"

#define DEFAULT_OPS   10000
#define DEFAULT_SIZE  4
#define DEFAULT_BURST 32 /* of posted writes */
#define MAX_OPS       10000000
#define MAX_SAMPLES   20000000 /* of a series: 160 MB */

enum floor_kind {
	FLOOR_DEFAULT,
	FLOOR_ECHO,
	FLOOR_RING,
};

struct hop {
	uint32_t ops;     /* of each series in a round */
	uint32_t samples; /* that they make */
	enum floor_kind floor_kind;
	struct bench_access access;
	struct bench_server server;
	union {
		struct bench_way way;
		struct bench_floor_echo echo;
		struct bench_floor_ring ring;
	} floor;
	struct bench_poller_subject subject;
};

static int
parse_ops(void *state, const char *text, struct vuc_error *err)
{
	return bench_parse_count("ops", text, MAX_OPS, &((struct hop *)state)->ops, err);
}

static int
parse_depth(void *state, const char *text, struct vuc_error *err)
{
	uint32_t *depth = &((struct hop *)state)->access.together;
	int ret = bench_parse_count("depth", text, BENCH_MAX_DEPTH, depth, err);

	if (ret == 0 && (*depth & (*depth - 1)) != 0)
		ret = bench_fail(err, -EINVAL, "--depth: %s is no power of two", text);
	return ret;
}

static int
parse_op(void *state, const char *text, struct vuc_error *err)
{
	return bench_access_parse_op(&((struct hop *)state)->access, text, err);
}

static int
parse_size(void *state, const char *text, struct vuc_error *err)
{
	return bench_access_parse_size(&((struct hop *)state)->access, text, err);
}

static const char *const floors[] = {"echo", "ring", NULL};

static int
parse_floor(void *state, const char *text, struct vuc_error *err)
{
	unsigned int i = 0;
	int ret = bench_parse_word("floor", text, floors, &i, err);

	if (ret == 0)
		((struct hop *)state)->floor_kind = i == 0 ? FLOOR_ECHO : FLOOR_RING;
	return ret;
}

static const struct bench_option hop_options[] = {
	{"op", "NAME", "read, write or posted (read); writes write zero", parse_op},
	{"depth", "N", "requests outstanding at a time, and slots (1; with posted 32)",
		parse_depth},
	{"size", "N", "bytes of an access: 1, 2, 4 or 8 (4)", parse_size},
	{"ops", "N", "requests of each series in a round (10000)", parse_ops},
	{"floor", "NAME", "echo: a cache line to and fro; ring: an empty queue (by depth and op)",
		parse_floor},
	{0},
};

static void
hop_init(void *state)
{
	struct hop *h = state;

	h->ops = DEFAULT_OPS;
	h->access = (struct bench_access){
		.region = VFIO_PCI_BAR0_REGION_INDEX,
		.offset = REFDEV_REG_SCRATCH,
		.size = DEFAULT_SIZE,
	};
}

static bool
is_echo(const struct hop *h)
{
	return h->floor_kind == FLOOR_ECHO;
}

/* A cache line goes to and fro one at a time. */
static int
choose_floor(struct hop *h, struct vuc_error *err)
{
	bool alone = h->access.op != BENCH_POSTED && h->access.together == 1;

	if (h->floor_kind == FLOOR_DEFAULT)
		h->floor_kind = alone ? FLOOR_ECHO : FLOOR_RING;
	if (is_echo(h) && !alone)
		return bench_fail(
			err, -EINVAL, "--floor echo is for --op read or write at --depth 1");
	return 0;
}

static int
hop_check(const struct bench *bench, void *state, struct vuc_error *err)
{
	struct hop *h = state;
	struct bench_access *a = &h->access;
	uint64_t all = (uint64_t)h->ops * bench->options.rounds;

	if (all > MAX_SAMPLES)
		return bench_fail(err, -EINVAL, "--ops times --rounds: %" PRIu64 ", at most %u",
			all, MAX_SAMPLES);
	if (a->together == 0)
		a->together = a->op == BENCH_POSTED ? DEFAULT_BURST : 1;
	h->samples = (h->ops - 1) / a->together + 1;
	h->ops = h->samples * a->together;
	return choose_floor(h, err);
}

static void
describe_time(const struct hop *h, struct bench_result *result)
{
	const struct bench_access *a = &h->access;
	char *buf = result->timed;
	size_t size = sizeof(result->timed);

	if (a->op == BENCH_POSTED)
		snprintf(buf, size,
			"from the first write until all %" PRIu32
			" are in the queue, divided by %" PRIu32,
			a->together, a->together);
	else if (a->together > 1)
		snprintf(buf, size, "%" PRIu32 " answers one behind the other, divided by %" PRIu32,
			a->together, a->together);
}

static void
describe(const struct hop *h, const struct bench *bench, struct bench_result *result)
{
	const struct bench_access *a = &h->access;
	unsigned int cpu = bench->env.cpus.cpu[1];

	snprintf(result->headline, sizeof(result->headline),
		"%s of %" PRIu32 " bytes through a queue and a poller, depth %" PRIu32 "; %" PRIu32
		" rounds of %" PRIu32,
		a->op == BENCH_POSTED ? "posted write" : bench_access_op_name(a->op), a->size,
		a->together, bench->options.rounds, h->ops);
	result->unit = "request";
	result->units = "requests";
	snprintf(result->server, sizeof(result->server),
		"the reference device inside this process, its poller on CPU %u", cpu);
	if (is_echo(h))
		snprintf(result->floor, sizeof(result->floor),
			"a word to CPU %u and another one back, each on its cache line", cpu);
	else
		snprintf(result->floor, sizeof(result->floor),
			"the queue alone: a thread on CPU %u takes and answers", cpu);
	describe_time(h, result);
	bench_result_add_text(result, "op", bench_access_op_name(a->op));
	bench_result_add_number(result, "depth", a->together);
	bench_result_add_number(result, "size", a->size);
	bench_result_add_number(result, "ops", h->ops);
	bench_result_add_number(result, "rounds", bench->options.rounds);
	bench_result_add_text(result, "floor", floors[is_echo(h) ? 0 : 1]);
}

static void
set_up_ways(struct hop *h, const struct bench *bench)
{
	unsigned int cpu = bench->env.cpus.cpu[1];

	if (is_echo(h))
		bench_floor_echo_init(&h->floor.echo, &bench->clock, cpu);
	else
		bench_floor_ring_init(&h->floor.ring, &bench->clock, &h->access, cpu);
	bench_poller_subject_init(&h->subject, &bench->clock, &h->access, "loopback", cpu);
	h->subject.device_opts.loopback = &h->server.loopback;
}

static int
set_up_series(struct hop *h, const struct bench *bench, struct bench_result *result,
	struct vuc_error *err)
{
	const struct bench_series_shape shape = {
		.ns_per_tick = bench->clock.ns_per_tick,
		.per_sample = h->access.together,
		.rounds = bench->options.rounds,
		.samples_per_round = h->samples,
	};
	int ret;

	result->nr_series = 2;
	ret = bench_series_init(&result->series[0], "floor", &shape);
	if (ret == 0)
		ret = bench_series_init(&result->series[1], "vuc", &shape);
	if (ret != 0)
		return bench_fail(err, ret, "no memory for %" PRIu32 " times %" PRIu32 " samples",
			shape.rounds, h->samples);
	result->series[0].transport = floors[is_echo(h) ? 0 : 1];
	result->series[1].transport = "loopback";
	result->series[1].by_rate = !is_echo(h);
	return 0;
}

static int
measure(struct hop *h, const struct bench *bench, struct bench_result *result,
	struct vuc_error *err)
{
	const bool posted = h->access.op == BENCH_POSTED;
	const struct bench_rounds rounds = {
		.clock = &bench->clock,
		.ways = {&h->floor.way, &h->subject.queue.way},
		.series = {&result->series[0], &result->series[1]},
		.nr_ways = 2,
		.rounds = bench->options.rounds,
		.samples = h->samples,
		/* Each burst of posted writes finds an empty queue. */
		.group = posted ? 1 : BENCH_MAX_GROUP,
		.settle = posted,
		.name = result->measurement,
	};
	int ret;

	set_up_ways(h, bench);
	ret = set_up_series(h, bench, result, err);
	if (ret == 0)
		ret = bench_rounds_run(&rounds, err);
	if (ret == 0 && bench_result_finish(result) != 0)
		ret = bench_fail(err, -ENOMEM, "out of memory");
	return ret;
}

static int
run_pinned(struct hop *h, struct bench *bench, struct bench_result *result, struct vuc_error *err)
{
	int latency = bench_cpu_hold_latency();
	int ret = bench_eal_init(err);

	bench_env_set_latency(&bench->env, latency);
	if (ret == 0) {
		describe(h, bench, result);
		ret = measure(h, bench, result, err);
		bench_eal_fini();
	}
	if (latency >= 0)
		close(latency);
	return ret;
}

static int
hop_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct hop *h = state;
	struct bench_cpus *cpus = &bench->env.cpus;
	int ret;

	*cpus = bench->options.cpus;
	ret = bench_cpus_settle(cpus, 2, "the poller needs one of its own", err);
	if (ret == 0)
		ret = bench_cpu_pin(cpus->cpu[0], err);
	if (ret == 0)
		ret = bench_server_start(&h->server, BENCH_SERVER_LOOPBACK, NULL, NULL, err);
	if (ret != 0)
		return ret;
	ret = run_pinned(h, bench, result, err);
	bench_server_stop(&h->server);
	return ret;
}

const struct bench_ops bench_hop = {
	.name = "hop",
	.summary = "How long a request takes from a thread to a polling core and back",
	.options = hop_options,
	.state_size = sizeof(struct hop),
	.init = hop_init,
	.check = hop_check,
	.run = hop_run,
};
