/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench scale: what an access costs when many devices share a core. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/eal.h>

#include "refdev.h"
#include "target.h"
#include "subject.h"

#define MAX_OPS     (1u << 20)
#define MAX_SAMPLES 20000000 /* of a series: 160 MB */
#define GROUP       64       /* accesses between two looks at anything else */

enum act {
	ACT_ONE_BUSY,
	ACT_ALL_BUSY,
	NR_ACTS
};

struct scale {
	struct bench_target target;
	struct bench *bench;
	struct bench_result *result;
	unsigned int nr_acts;
	unsigned int max; /* devices */
	char counts_text[48];
	char names[BENCH_MAX_COUNTS][8];
	char subjects[BENCH_MAX_COUNTS * NR_ACTS][48];
	struct bench_subject subject;
	struct bench_refdev idle; /* serves all but the first device by a socket */
	struct refdev *refdevs[BENCH_MAX_DEVICES];
	struct vuc_loopback_server loopbacks[BENCH_MAX_DEVICES];
	uint64_t ticks[MAX_OPS / BENCH_BUSY_TOGETHER + 1]; /* of a turn, all busy */
};

static const struct bench_option scale_options[] = {
	BENCH_OPTION_TRANSPORT(
		"loopback; uring or posix, by which one device is busy and all others are idle "
		"(loopback)"),
	BENCH_OPTION_PATH(
		"inline: driven by this thread; poller: by queues, on a CPU of its own; shm: the "
		"same in another process (inline)"),
	{"devices", "N,N",
		"numbers of devices that are compared with the first one (1,4,16,64,256)",
		BENCH_COUNTS, BENCH_FIELD(counts), 1, BENCH_MAX_DEVICES},
	BENCH_OPTION_OPS(MAX_OPS, "accesses of each series in a round (2048)"),
	{0},
};

static int
scale_check(struct bench *bench, void *state, struct vuc_error *err)
{
	struct bench_options *o = &bench->options;
	struct scale *s = state;
	uint64_t all;
	int ret;

	s->max = o->counts[o->nr_counts - 1];
	o->ops = (o->ops + BENCH_BUSY_TOGETHER - 1) / BENCH_BUSY_TOGETHER * BENCH_BUSY_TOGETHER;
	all = (uint64_t)o->ops * o->rounds;
	if (all > MAX_SAMPLES)
		return bench_fail(err, -EINVAL, "--ops times --rounds: %" PRIu64 ", at most %u",
			all, MAX_SAMPLES);
	ret = bench_target_check(&s->target, o, err);
	/* By a socket the server's core, not ours, would be what is measured with all busy. */
	s->nr_acts = s->target.kind == BENCH_SERVER_LOOPBACK ? NR_ACTS : ACT_ONE_BUSY + 1;
	return ret;
}

static bool
is_loopback(const struct scale *s)
{
	return s->target.kind == BENCH_SERVER_LOOPBACK;
}

static void
scale_describe(struct scale *s)
{
	const struct bench_options *o = &s->bench->options;
	struct bench_result *result = s->result;
	bool has_poller = o->path != BENCH_PATH_INLINE;
	size_t len = 0;

	for (unsigned int i = 0; i < o->nr_counts; i++)
		len += (size_t)snprintf(s->counts_text + len, sizeof(s->counts_text) - len, "%s%u",
			i > 0 ? "," : "", o->counts[i]);
	snprintf(result->headline, sizeof(result->headline),
		"reads of 4 bytes with %s devices in one %s; %" PRIu32 " rounds of %" PRIu32,
		s->counts_text, has_poller ? "poller" : "poll group", o->rounds, o->ops);
	result->unit = "access";
	result->units = "accesses";
	bench_target_describe(&s->target, s->bench, result);
	if (is_loopback(s)) {
		snprintf(result->server, sizeof(result->server),
			"reference devices inside this process, each its own");
		snprintf(result->timed, sizeof(result->timed),
			"all busy: %d accesses, %s, divided by %d", BENCH_BUSY_TOGETHER,
			has_poller ? "as many outstanding at all devices together"
				   : "one outstanding at each device",
			BENCH_BUSY_TOGETHER);
	} else {
		snprintf(result->note, sizeof(result->note),
			"the devices that are not busy are served by a process that sleeps");
	}
	snprintf(result->floor, sizeof(result->floor), "the same with %u device%s", o->counts[0],
		o->counts[0] == 1 ? "" : "s");
	bench_result_add_text(result, "devices", s->counts_text);
	bench_result_add_number(result, "ops", o->ops);
	bench_result_add_number(result, "rounds", o->rounds);
}

static int
add_series(struct scale *s, struct vuc_error *err)
{
	const struct bench_options *o = &s->bench->options;

	s->result->per_group = o->nr_counts;
	for (unsigned int i = 0; i < s->nr_acts * o->nr_counts; i++) {
		unsigned int count = i % o->nr_counts;
		bool all = i / o->nr_counts == ACT_ALL_BUSY;
		const struct bench_shape shape = {
			.ns_per_tick = s->bench->clock.ns_per_tick,
			.per_sample = all ? BENCH_BUSY_TOGETHER : 1,
			.rounds = o->rounds,
			.samples_per_round = o->ops / shape.per_sample,
		};
		struct bench_series *series;

		snprintf(s->names[count], sizeof(s->names[count]), "%u", o->counts[count]);
		snprintf(s->subjects[i], sizeof(s->subjects[i]), "%s with %u devices",
			all ? "a core" : "an access", o->counts[count]);
		series = bench_result_add_series(s->result, s->names[count], &shape, err);
		if (series == NULL)
			return -ENOMEM;
		series->subject = s->subjects[i];
		series->topic = all ? "all busy" : "one busy";
		series->by_rate = all;
		series->transport = s->subject.transport;
	}
	return 0;
}

/* A series of NULL: nothing is recorded. */
static int
run_one_busy(struct scale *s, struct bench_series *series, struct vuc_error *err)
{
	struct bench_way *way = &s->subject.queue.way;
	uint64_t ticks[GROUP];

	for (uint32_t n = 0; n < s->bench->options.ops; n += GROUP) {
		uint64_t syscalls = way->syscalls;
		int ret = way->ops->burst(way, GROUP, ticks, err);

		if (ret == 0)
			ret = bench_interrupt_check(err);
		if (ret != 0)
			return ret;
		if (series == NULL)
			continue;
		series->syscalls += way->syscalls - syscalls;
		bench_series_add(series, ticks, GROUP);
	}
	return 0;
}

static int
run_all_busy(struct scale *s, struct bench_series *series, struct vuc_error *err)
{
	unsigned int samples = s->bench->options.ops / BENCH_BUSY_TOGETHER;
	int ret = bench_busy_run(&s->subject, 1, s->ticks, err);

	if (ret == 0)
		ret = bench_busy_run(&s->subject, samples, s->ticks, err);
	if (ret == 0)
		bench_series_add(series, s->ticks, samples);
	return ret;
}

static int
run_turn(void *arg, unsigned int i, struct vuc_error *err)
{
	struct scale *s = arg;
	const struct bench_options *o = &s->bench->options;
	struct bench_series *one = &s->result->series[i];
	struct bench_series *all = &s->result->series[o->nr_counts + i];
	int ret;

	s->subject.nr = o->counts[i];
	s->subject.depth = bench_busy_depth(o->counts[i]);
	ret = bench_subject_open(&s->subject, err);
	if (ret != 0)
		return ret;
	ret = run_one_busy(s, NULL, err);
	if (ret == 0)
		ret = run_one_busy(s, one, err);
	if (ret == 0 && s->nr_acts > ACT_ALL_BUSY)
		ret = run_all_busy(s, all, err);
	bench_subject_close(&s->subject);
	bench_series_end_round(one);
	if (s->nr_acts > ACT_ALL_BUSY)
		bench_series_end_round(all);
	return ret;
}

static int
start_servers(struct scale *s, struct vuc_error *err)
{
	const struct bench_refdev_opts idle = {
		.cpu = s->bench->env.cpus.cpu[0], .block = true, .sockets = s->max - 1};

	if (!is_loopback(s))
		return s->max > 1 ? bench_refdev_start(&s->idle, &idle, err) : 0;
	/* The daemon has its own. */
	for (unsigned int i = 0; i < s->max && s->subject.path != BENCH_PATH_SHM; i++) {
		s->refdevs[i] = bench_loopback_start(&s->loopbacks[i], err);
		if (s->refdevs[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

static void
stop_servers(struct scale *s)
{
	bench_refdev_stop(&s->idle);
	for (unsigned int i = 0; i < s->max; i++)
		refdev_destroy(s->refdevs[i]);
}

static int
scale_measure(struct scale *s, struct vuc_error *err)
{
	const struct bench_options *o = &s->bench->options;
	const struct bench_turns turns = {
		.name = s->result->measurement,
		.rounds = o->rounds,
		.nr_ways = o->nr_counts,
		.turn = run_turn,
		.arg = s,
	};
	int ret;

	bench_subject_init(&s->subject, (enum bench_path)o->path, &s->bench->clock,
		&bench_scratch_access, o->transport, s->target.poller_cpu);
	s->subject.daemon = &s->target.daemon;
	s->subject.socket = s->target.path;
	s->subject.others = &s->idle;
	if (is_loopback(s) && o->path != BENCH_PATH_SHM)
		s->subject.loopback = s->loopbacks;
	scale_describe(s);
	ret = start_servers(s, err);
	if (ret == 0)
		ret = add_series(s, err);
	if (ret == 0)
		ret = bench_turns_run(&turns, err);
	stop_servers(s);
	return ret == 0 ? bench_result_finish(s->result, err) : ret;
}

static int
scale_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct scale *s = state;
	bool poller = bench->options.path == BENCH_PATH_POLLER;
	int ret = bench_target_start(&s->target, bench, err);

	if (ret != 0)
		return ret;
	s->bench = bench;
	s->result = result;
	if (poller)
		ret = bench_eal_init(err);
	if (ret == 0) {
		ret = scale_measure(s, err);
		if (poller)
			vuc_eal_fini();
	}
	bench_target_stop(&s->target, bench);
	return ret;
}

const struct bench_ops bench_scale = {
	.name = "scale",
	.summary = "What an access costs when many devices share a core",
	.options = scale_options,
	.defaults = {.rounds = 50,
		.transport = "loopback",
		.counts = {1, 4, 16, 64, 256},
		.nr_counts = 5,
		.ops = 2048},
	.state_size = sizeof(struct scale),
	.check = scale_check,
	.run = scale_run,
};
