/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench scale: what an access costs when many devices share a core. */

#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eal.h"
#include "error.h"
#include "interrupt.h"
#include "refdev_regs.h"
#include "scale_devices.h"
#include "target.h"
#include "turns.h"

#define DEFAULT_ROUNDS 50
#define DEFAULT_OPS    2048
#define MAX_OPS        (1u << 20)
#define MAX_COUNTS     5
#define MAX_SAMPLES    20000000 /* of a series: 160 MB */
#define GROUP          64       /* accesses between two looks at anything else */

enum act {
	ACT_ONE_BUSY,
	ACT_ALL_BUSY,
	NR_ACTS
};

struct scale {
	struct bench_target target;
	uint32_t ops; /* of each series in a round */
	unsigned int nr_counts;
	unsigned int counts[MAX_COUNTS]; /* of devices */
	unsigned int max;                /* of them */

	char counts_text[48]; /* for the reports */
	char names[MAX_COUNTS][8];
	char subjects[MAX_COUNTS * NR_ACTS][48];
	struct bench_access access;
	struct bench_scale_devices devices;
	uint64_t *ticks; /* of the samples of a turn, all busy */
	const struct bench *bench;
	struct bench_result *result;
};

static int
parse_ops(void *state, const char *text, struct vuc_error *err)
{
	return bench_parse_count("ops", text, MAX_OPS, &((struct scale *)state)->ops, err);
}

/* One of several numbers. */
static int
parse_counts_item(struct scale *s, const char *text, size_t len, struct vuc_error *err)
{
	char number[8];
	uint32_t value;
	int ret;

	if (s->nr_counts == MAX_COUNTS)
		return bench_fail(err, -EINVAL, "--devices: more than %d numbers", MAX_COUNTS);
	snprintf(number, sizeof(number), "%.*s", (int)(len < 7 ? len : 7), text);
	ret = bench_parse_count("devices", number, BENCH_MAX_DEVICES, &value, err);
	if (ret == 0 && s->nr_counts > 0 && value <= s->counts[s->nr_counts - 1])
		ret = bench_fail(err, -EINVAL, "--devices: %" PRIu32 " is not above %u", value,
			s->counts[s->nr_counts - 1]);
	if (ret == 0)
		s->counts[s->nr_counts++] = value;
	return ret;
}

static int
parse_devices(void *state, const char *text, struct vuc_error *err)
{
	struct scale *s = state;
	int ret = 0;

	s->nr_counts = 0;
	for (;;) {
		size_t len = strcspn(text, ",");

		ret = parse_counts_item(s, text, len, err);
		if (ret != 0 || text[len] == '\0')
			return ret;
		text += len + 1;
	}
}

static const struct bench_option scale_options[] = {
	{"transport", "NAME",
		"loopback; uring or posix, by which one device is busy and all others only there "
		"(loopback)",
		bench_target_parse_transport},
	{"path", "NAME",
		"inline: driven by this thread; poller: by queues, on a CPU of its own; shm: the "
		"same in another process (inline)",
		bench_target_parse_path},
	{"devices", "N,N",
		"numbers of devices that are held next to the first one "
		"(1,4,16,64,256)",
		parse_devices},
	{"ops", "N", "accesses of each series in a round (2048)", parse_ops},
	{0},
};

static void
scale_init(void *state)
{
	static const unsigned int counts[] = {1, 4, 16, 64, 256};
	struct scale *s = state;

	memcpy(s->counts, counts, sizeof(counts));
	s->nr_counts = MAX_COUNTS;
	s->ops = DEFAULT_OPS;
	s->target.transport = "loopback";
	s->access = (struct bench_access){
		.op = BENCH_READ,
		.region = VFIO_PCI_BAR0_REGION_INDEX,
		.offset = REFDEV_REG_SCRATCH,
		.size = 4,
		.together = 1,
	};
}

static int
scale_check(const struct bench *bench, void *state, struct vuc_error *err)
{
	struct scale *s = state;
	uint64_t all;

	if (s->nr_counts < 2)
		return bench_fail(err, -EINVAL, "--devices: at least two numbers");
	s->max = s->counts[s->nr_counts - 1];
	s->ops = (s->ops + BENCH_SCALE_TOGETHER - 1) / BENCH_SCALE_TOGETHER * BENCH_SCALE_TOGETHER;
	all = (uint64_t)s->ops * bench->options.rounds;
	if (all > MAX_SAMPLES)
		return bench_fail(err, -EINVAL, "--ops times --rounds: %" PRIu64 ", at most %u",
			all, MAX_SAMPLES);
	return bench_target_check(&s->target, err);
}

static bool
is_loopback(const struct scale *s)
{
	return s->target.kind == BENCH_SERVER_LOOPBACK;
}

static bool
has_poller(const struct scale *s)
{
	return s->target.path != BENCH_PATH_INLINE;
}

/* By socket the server's core, not ours, would be what is measured with all busy. */
static unsigned int
acts_of(const struct scale *s)
{
	return is_loopback(s) ? NR_ACTS : ACT_ONE_BUSY + 1;
}

static void
describe_counts(struct scale *s)
{
	size_t len = 0;

	for (unsigned int i = 0; i < s->nr_counts; i++)
		len += (size_t)snprintf(s->counts_text + len, sizeof(s->counts_text) - len, "%s%u",
			i > 0 ? "," : "", s->counts[i]);
}

static void
scale_describe(struct scale *s, struct bench_result *result)
{
	describe_counts(s);
	snprintf(result->headline, sizeof(result->headline),
		"reads of 4 bytes with %s devices in one %s; %" PRIu32 " rounds of %" PRIu32,
		s->counts_text, has_poller(s) ? "poller" : "poll group", s->bench->options.rounds,
		s->ops);
	result->unit = "access";
	result->units = "accesses";
	result->per_group = s->nr_counts;
	bench_target_describe(&s->target, s->bench, result);
	if (is_loopback(s))
		snprintf(result->server, sizeof(result->server),
			"reference devices inside this process, each its own");
	else
		snprintf(result->note, sizeof(result->note),
			"the devices that are not busy are served by a process that sleeps");
	snprintf(result->floor, sizeof(result->floor), "the same with %u device%s", s->counts[0],
		s->counts[0] == 1 ? "" : "s");
	if (is_loopback(s))
		snprintf(result->timed, sizeof(result->timed),
			"all busy: %d accesses, %s, divided by %d", BENCH_SCALE_TOGETHER,
			has_poller(s) ? "as many outstanding at all devices together"
				      : "one outstanding at each device",
			BENCH_SCALE_TOGETHER);
	bench_result_add_text(result, "devices", s->counts_text);
	bench_result_add_number(result, "ops", s->ops);
	bench_result_add_number(result, "rounds", s->bench->options.rounds);
}

static struct bench_series *
series_of(const struct scale *s, unsigned int act, unsigned int i)
{
	return &s->result->series[act * s->nr_counts + i];
}

static int
set_up_one(struct scale *s, unsigned int act, unsigned int i, struct vuc_error *err)
{
	static const char *const topics[] = {"one busy", "all busy"};
	const bool all = act == ACT_ALL_BUSY;
	const uint32_t together = all ? BENCH_SCALE_TOGETHER : 1;
	const struct bench_series_shape shape = {
		.ns_per_tick = s->bench->clock.ns_per_tick,
		.per_sample = together,
		.rounds = s->bench->options.rounds,
		.samples_per_round = s->ops / together,
	};
	struct bench_series *series = series_of(s, act, i);
	char *subject = s->subjects[act * s->nr_counts + i];

	snprintf(s->names[i], sizeof(s->names[i]), "%u", s->counts[i]);
	if (bench_series_init(series, s->names[i], &shape) != 0)
		return bench_fail(err, -ENOMEM, "no memory for the samples");
	snprintf(subject, sizeof(s->subjects[0]), "%s with %u devices",
		all ? "a core" : "an access", s->counts[i]);
	series->subject = subject;
	series->topic = topics[act];
	series->by_rate = all;
	series->transport = s->devices.transport_text;
	return 0;
}

static int
set_up_series(struct scale *s, struct vuc_error *err)
{
	int ret = 0;

	s->result->nr_series = acts_of(s) * s->nr_counts;
	for (unsigned int act = 0; act < acts_of(s); act++) {
		for (unsigned int i = 0; i < s->nr_counts && ret == 0; i++)
			ret = set_up_one(s, act, i, err);
	}
	return ret;
}

/* A series of NULL: nothing is recorded. */
static int
run_one_busy(struct scale *s, struct bench_series *series, struct vuc_error *err)
{
	uint64_t ticks[GROUP];

	for (uint32_t n = 0; n < s->ops; n += GROUP) {
		uint64_t syscalls = s->devices.ops->syscalls(&s->devices);
		int ret = s->devices.ops->one_busy(&s->devices, GROUP, ticks, err);

		if (ret != 0)
			return ret;
		if (bench_interrupted())
			return bench_fail(err, -EINTR, "interrupted");
		if (series == NULL)
			continue;
		series->syscalls += s->devices.ops->syscalls(&s->devices) - syscalls;
		bench_samples_add(&series->samples, ticks, GROUP);
	}
	return 0;
}

static int
run_all_busy(struct scale *s, struct bench_series *series, struct vuc_error *err)
{
	unsigned int samples = s->ops / BENCH_SCALE_TOGETHER;
	int ret = s->devices.ops->all_busy(&s->devices, 1, s->ticks, err);

	if (ret == 0)
		ret = s->devices.ops->all_busy(&s->devices, samples, s->ticks, err);
	if (ret == 0)
		bench_samples_add(&series->samples, s->ticks, samples);
	return ret;
}

static int
run_open(struct scale *s, unsigned int i, struct vuc_error *err)
{
	int ret = run_one_busy(s, NULL, err);

	if (ret == 0)
		ret = run_one_busy(s, series_of(s, ACT_ONE_BUSY, i), err);
	if (ret == 0 && acts_of(s) > ACT_ALL_BUSY)
		ret = run_all_busy(s, series_of(s, ACT_ALL_BUSY, i), err);
	for (unsigned int act = 0; act < acts_of(s) && ret == 0; act++)
		bench_series_end_round(series_of(s, act, i));
	return ret;
}

static int
run_turn(void *arg, unsigned int i, struct vuc_error *err)
{
	struct scale *s = arg;
	int ret = s->devices.ops->open(&s->devices, s->counts[i], err);

	if (ret != 0)
		return ret;
	ret = run_open(s, i, err);
	s->devices.ops->close(&s->devices);
	return ret;
}

static int
run_rounds(struct scale *s, struct vuc_error *err)
{
	const struct bench_turns turns = {
		.name = s->result->measurement,
		.rounds = s->bench->options.rounds,
		.nr_ways = s->nr_counts,
		.turn = run_turn,
		.arg = s,
	};
	int ret;

	s->ticks = calloc(s->ops / BENCH_SCALE_TOGETHER, sizeof(*s->ticks));
	if (s->ticks == NULL)
		return bench_fail(err, -ENOMEM, "out of memory");
	ret = bench_turns_run(&turns, err);
	free(s->ticks);
	return ret;
}

static int
run_devices(struct scale *s, struct vuc_error *err)
{
	struct bench_scale_devices *all = &s->devices;
	int ret;

	all->clock = &s->bench->clock;
	all->access = &s->access;
	all->transport = s->target.transport;
	ret = bench_scale_devices_init(
		all, s->target.server.path, s->max, s->bench->env.cpus.cpu[0], err);
	if (ret == 0)
		ret = set_up_series(s, err);
	if (ret == 0)
		ret = run_rounds(s, err);
	bench_scale_devices_fini(all);
	if (ret == 0 && bench_result_finish(s->result) != 0)
		ret = bench_fail(err, -ENOMEM, "out of memory");
	return ret;
}

static int
scale_measure(struct scale *s, struct vuc_error *err)
{
	static const struct bench_scale_ops *const ops[] = {
		[BENCH_PATH_INLINE] = &bench_scale_inline,
		[BENCH_PATH_POLLER] = &bench_scale_poller,
		[BENCH_PATH_SHM] = &bench_scale_shm,
	};
	int ret;

	s->devices.ops = ops[s->target.path];
	s->devices.daemon = &s->target.daemon;
	if (has_poller(s))
		s->devices.cpu = bench_target_poller_cpu(&s->target, s->bench);
	if (s->target.path != BENCH_PATH_POLLER)
		return run_devices(s, err);
	ret = bench_eal_init(err);
	if (ret != 0)
		return ret;
	ret = run_devices(s, err);
	bench_eal_fini();
	return ret;
}

static int
scale_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct scale *s = state;
	int ret = bench_target_start(&s->target, bench, err);

	if (ret != 0)
		return ret;
	s->bench = bench;
	s->result = result;
	scale_describe(s, result);
	ret = scale_measure(s, err);
	bench_target_stop(&s->target);
	return ret;
}

const struct bench_ops bench_scale = {
	.name = "scale",
	.summary = "What an access costs when many devices share a core",
	.options = scale_options,
	.rounds = DEFAULT_ROUNDS,
	.state_size = sizeof(struct scale),
	.init = scale_init,
	.check = scale_check,
	.run = scale_run,
};
