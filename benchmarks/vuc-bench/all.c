/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench all: every measurement, and what it says to the goals. */

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/eal.h>

#include "bench.h"

#define MAX_ARGS 8

enum part {
	PART_READ,
	PART_POSTED,
	PART_POLLER,
	PART_HOP,
	PART_HOP_32,
	PART_DMA,
	PART_DMA_MESSAGE,
	PART_SCALE,
	PART_DMA_POLLER,
	PART_DMA_MESSAGE_POLLER,
	PART_SCALE_POLLER,
	PART_HOP_SHM,
	PART_DMA_SHM,
	PART_SCALE_SHM,
	PART_GUEST,
	PART_IDLE,
	NR_PARTS
};

#define BY_POLLER "--path", "poller"
#define BY_SHM    "--path", "shm"

/* What is run. Without a number of rounds it takes that of the user. */
static const struct {
	const struct bench_ops *ops;
	const char *name; /* tells parts of one measurement apart */
	const char *args[MAX_ARGS];
	uint32_t rounds;
} parts[NR_PARTS] = {
	[PART_READ] = {&bench_mmio, "mmio", {"mmio"}},
	[PART_POSTED] = {&bench_mmio, "mmio-posted", {"mmio", "--op", "posted"}},
	[PART_POLLER] = {&bench_mmio, "mmio-poller",
		{"mmio", BY_POLLER, "--transport", "loopback"}},
	[PART_HOP] = {&bench_hop, "hop", {"hop"}},
	[PART_HOP_32] = {&bench_hop, "hop-32", {"hop", "--depth", "32"}},
	[PART_DMA] = {&bench_dma, "dma", {"dma"}},
	[PART_DMA_MESSAGE] = {&bench_dma_message, "dma-message", {"dma-message"}},
	[PART_SCALE] = {&bench_scale, "scale", {"scale"}},
	[PART_DMA_POLLER] = {&bench_dma, "dma-poller", {"dma", BY_POLLER}},
	[PART_DMA_MESSAGE_POLLER] = {&bench_dma_message, "dma-message-poller",
		{"dma-message", BY_POLLER}},
	[PART_SCALE_POLLER] = {&bench_scale, "scale-poller",
		{"scale", BY_POLLER, "--devices", "1,64"}},
	[PART_HOP_SHM] = {&bench_hop, "hop-shm", {"hop", BY_SHM}},
	[PART_DMA_SHM] = {&bench_dma, "dma-shm", {"dma", BY_SHM}},
	[PART_SCALE_SHM] = {&bench_scale, "scale-shm", {"scale", BY_SHM, "--devices", "1,16"}},
	[PART_GUEST] = {&bench_guest, "guest", {"guest"}},
	[PART_IDLE] = {&bench_idle, "idle", {"idle", "--seconds", "1", "--accesses", "5"},
		.rounds = 1},
};

/* What of a series a goal is about. */
enum quantity {
	TIMES_FLOOR,    /* p50 to that of the floor, less is better */
	FASTER,         /* rate to that of the floor, more is better */
	FASTER_OR_10M,  /* the same, or ten million in a second */
	SHARE_OF_A_CPU, /* less is better */
	SYSCALLS,       /* of the thread that measures, to each access; less is better */
};

static const struct {
	enum part part;
	unsigned int series;
	enum quantity quantity;
	double limit;
	const char *figure;
	const char *floor;
	const char *goal;
} goals[] = {
	{PART_READ, 1, TIMES_FLOOR, 1.10, "MMIO read, inline, p50", "send and spin on recv",
		"at most 1.10 times"},
	{PART_HOP, 1, TIMES_FLOOR, 1.5, "hop to a poller and back, p50",
		"cache line there and back", "at most 1.50 times"},
	{PART_HOP_32, 1, FASTER_OR_10M, 0.4, "hop, 32 outstanding, requests/s", "empty ring",
		"0.40 times, or 10 M/s"},
	{PART_POSTED, 1, FASTER, 0.5, "posted writes/s, bursts of 32", "one send of the burst",
		"at least 0.50 times"},
	{PART_DMA, 1, FASTER, 4, "1024 DMA maps with fds, maps/s", "64 maps outstanding",
		"at least 4 times"},
	{PART_SCALE, 4, TIMES_FLOOR, 1.2, "256 devices on a core, one busy, p50", "one device",
		"at most 1.20 times"},
	{PART_SCALE, 8, FASTER, 0.9, "64 devices on a core, all busy, reads/s", "one device",
		"at least 0.90 times"},
	{PART_HOP_SHM, 1, TIMES_FLOOR, 1.1, "hop to another process, p50", "hop in this process",
		"at most 1.10 times"},
	{PART_HOP_SHM, 1, SYSCALLS, 1e-3, "its system calls, on the VMM's side", "0",
		"under 0.001 a request"},
	{PART_IDLE, 2, SHARE_OF_A_CPU, 0.01, "idle poller that sleeps, CPU time", "0", "under 1 %"},
};

#define NR_GOALS (sizeof(goals) / sizeof(goals[0]))

_Static_assert(NR_GOALS <= BENCH_MAX_VERDICTS, "all fit");

static void
part_judge(struct bench_verdict *v, size_t i, const struct bench_result *result)
{
	const struct bench_series *series = &result->series[goals[i].series];
	const struct bench_ratios *ratios = &result->ratios[goals[i].series];
	const struct bench_summary *sum = &series->summary;
	const double limit = goals[i].limit;

	v->known = true;
	v->unsteady = bench_result_is_unsteady(result);
	switch (goals[i].quantity) {
	case TIMES_FLOOR:
		v->value = ratios->p50.median;
		v->met = v->value <= limit;
		snprintf(v->measured, sizeof(v->measured), "%.2f times", v->value);
		break;
	case FASTER:
		v->value = ratios->rate.median;
		v->met = v->value >= limit;
		snprintf(v->measured, sizeof(v->measured), "%.2f times", v->value);
		break;
	case FASTER_OR_10M:
		v->value = ratios->rate.median;
		v->met = v->value >= limit || sum->per_second >= 1e7;
		snprintf(v->measured, sizeof(v->measured), "%.2f times, %.1f M/s", v->value,
			sum->per_second / 1e6);
		break;
	case SHARE_OF_A_CPU:
		v->value = sum->cpu_share;
		v->met = v->value < limit;
		snprintf(v->measured, sizeof(v->measured), "%.3f %%", 100 * v->value);
		break;
	case SYSCALLS:
		v->known = series->traced;
		v->value = sum->syscalls;
		v->met = v->value < limit;
		snprintf(v->measured, sizeof(v->measured), "%" PRIu64 " in %zu", series->syscalls,
			series->nr_samples);
		break;
	}
}

static void
judge_all(struct bench_result *all)
{
	for (size_t i = 0; i < NR_GOALS; i++) {
		const struct bench_part *part = &all->parts[goals[i].part];
		struct bench_verdict *v = &all->verdicts[all->nr_verdicts++];

		*v = (struct bench_verdict){
			.figure = goals[i].figure,
			.floor = goals[i].floor,
			.goal = goals[i].goal,
		};
		if (part->skipped[0] == '\0')
			part_judge(v, i, &part->result);
	}
}

/* The options are those of the user and, of its own, those of the table. */
static void
part_prepare(const struct bench *bench, unsigned int i, struct bench *one)
{
	char *args[MAX_ARGS + 1] = {NULL};
	int nr = 0;

	/* argp orders them, but changes no text. */
	for (; nr < MAX_ARGS && parts[i].args[nr] != NULL; nr++)
		args[nr] = (char *)(uintptr_t)parts[i].args[nr];
	bench_options_parse(one, nr, args, bench_check);
	one->options.rounds = parts[i].rounds != 0 ? parts[i].rounds : bench->options.rounds;
	one->options.cpus = bench->options.cpus;
}

/* Too few CPUs are no failure: what needs fewer is measured all the same. */
static int
part_run(struct bench *bench, unsigned int i, struct vuc_error *err)
{
	struct bench_part *part = &bench->result->parts[i];
	struct bench one = *bench;
	int ret;

	one.ops = parts[i].ops;
	one.result = &part->result;
	one.state = calloc(1, one.ops->state_size);
	part->result.env = bench->result->env;
	part->name = parts[i].name;
	part->state = one.state;
	if (one.state == NULL)
		return bench_fail(err, -ENOMEM, "out of memory");
	part_prepare(bench, i, &one);
	ret = bench_run(&one, err);
	if (ret == -ENODEV) {
		snprintf(part->skipped, sizeof(part->skipped), "%s", err->text);
		return 0;
	}
	/* Its copy of what else the machine did is of no use: that is of the whole run. */
	if (ret == 0 && one.env.cpus.nr > bench->env.cpus.nr) {
		bench->env.cpus = one.env.cpus;
		memcpy(bench->env.dma_latency, one.env.dma_latency, sizeof(one.env.dma_latency));
	}
	return ret;
}

/* Each measurement moves to its CPU, and the next one is to have the choice again. */
static int
parts_run(struct bench *bench, struct vuc_error *err)
{
	cpu_set_t allowed;
	int ret = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return bench_fail(
			err, -errno, "cannot find out the allowed CPUs: %s", strerror(errno));
	for (unsigned int i = 0; i < NR_PARTS && ret == 0; i++) {
		bench->result->nr_parts = i + 1;
		ret = part_run(bench, i, err);
		sched_setaffinity(0, sizeof(allowed), &allowed);
		if (ret == 0)
			ret = bench_interrupt_check(err);
	}
	return ret;
}

static int
all_run(struct bench *bench, struct vuc_error *err)
{
	struct bench_result *result = bench->result;
	int ret;

	bench_say(result->headline, "%d measurements of %" PRIu32 " rounds", NR_PARTS,
		bench->options.rounds);
	result->parts = calloc(NR_PARTS, sizeof(*result->parts));
	if (result->parts == NULL)
		return bench_fail(err, -ENOMEM, "out of memory");
	/* Once for all that need it: there is no second time in a process. */
	ret = bench_eal_init(err);
	if (ret != 0)
		return ret;
	ret = parts_run(bench, err);
	vuc_eal_fini();
	if (ret == 0)
		judge_all(result);
	return ret;
}

const struct bench_ops bench_all = {
	.name = "all",
	.summary = "Most measurements with few rounds, and their goals",
	.defaults = {.rounds = 10},
	.setup = BENCH_NOTHING,
	.plots = true,
	.state_size = 1,
	.run = all_run,
};
