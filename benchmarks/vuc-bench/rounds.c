/* SPDX-License-Identifier: BSD-3-Clause */
#include "rounds.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "refdev_regs.h"

#define BAR_WIDTH     40
#define WARM_UP       1000u    /* accesses */
#define MAX_ROW       64u      /* samples */
#define DEFAULT_BURST 32       /* of posted writes */
#define MAX_SAMPLES   20000000 /* of a series: 160 MB */

const struct bench_access bench_settle_access = {
	.op = BENCH_READ,
	.region = VFIO_PCI_CONFIG_REGION_INDEX,
	.size = 4,
	.together = 1,
};

const struct bench_access bench_scratch_access = {
	.op = BENCH_READ,
	.region = VFIO_PCI_BAR0_REGION_INDEX,
	.offset = REFDEV_REG_SCRATCH,
	.size = 4,
	.together = 1,
};

int
bench_take_cpus(
	struct bench *bench, unsigned int nr, bool pin, const char *too_few, struct vuc_error *err)
{
	struct bench_cpus *cpus = &bench->env.cpus;
	int ret;

	*cpus = bench->options.cpus;
	ret = bench_cpus_settle(cpus, nr, too_few, err);
	if (ret == 0 && pin)
		ret = bench_cpu_pin(cpus->cpu[0], err);
	if (ret == 0)
		bench->latency = bench_env_hold_latency(&bench->env);
	return ret;
}

void
bench_release_cpus(struct bench *bench)
{
	if (bench->latency >= 0)
		close(bench->latency);
	bench->latency = -1;
}

static bool
has_progress(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
}

static void
progress_print(const char *name, unsigned int done, unsigned int total)
{
	char bar[BAR_WIDTH + 1] = "";
	unsigned int filled = (unsigned int)((unsigned long long)BAR_WIDTH * done / total);

	memset(bar, '#', filled);
	memset(bar + filled, '.', BAR_WIDTH - filled);
	fprintf(stderr, "\r%s [%s] %u%%", name, bar, 100 * filled / BAR_WIDTH);
	fflush(stderr);
}

int
bench_turns_run(const struct bench_turns *t, struct vuc_error *err)
{
	unsigned int turns = t->rounds * t->nr_ways;
	bool progress = has_progress();
	int ret = 0;

	for (unsigned int turn = 0; turn < turns && ret == 0; turn++) {
		if (progress)
			progress_print(t->name, turn, turns);
		ret = t->turn(t->arg, (turn + turn / t->nr_ways) % t->nr_ways, err);
	}
	if (progress)
		fputs("\r\033[K", stderr);
	return ret;
}

/* A series of NULL: nothing is recorded. */
static int
run_row(const struct bench_rounds *r, struct bench_way *way, struct bench_series *series,
	unsigned int nr, struct vuc_error *err)
{
	const struct bench_way before = *way;
	uint64_t ticks[MAX_ROW];
	uint64_t start = bench_clock_ticks(r->clock);
	int ret = way->ops->burst(way, nr, ticks, err);
	struct bench_way after;

	if (ret != 0)
		return ret;
	after = *way;
	if (r->settle)
		ret = way->ops->settle(way, err);
	if (ret != 0 || series == NULL)
		return ret;
	if (r->settle)
		series->round_end_to_end += bench_clock_ticks(r->clock) - start;
	series->syscalls += after.syscalls - before.syscalls;
	series->futexes += after.futexes - before.futexes;
	bench_series_add(series, ticks, nr);
	return 0;
}

static int
run_samples(const struct bench_rounds *r, struct bench_way *way, struct bench_series *series,
	uint32_t samples, struct vuc_error *err)
{
	const unsigned int row = r->apart ? 1 : MAX_ROW;
	int ret = 0;

	while (samples > 0 && ret == 0) {
		unsigned int nr = samples < row ? samples : row;

		ret = bench_interrupt_check(err);
		if (ret == 0)
			ret = run_row(r, way, series, nr, err);
		samples -= nr;
	}
	return ret;
}

static int
run_turn(void *arg, unsigned int i, struct vuc_error *err)
{
	const struct bench_rounds *r = arg;
	struct bench_way *way = r->ways[i];
	uint32_t warm_up = (WARM_UP - 1) / r->series[i]->per_sample + 1;
	int ret = r->keep_open ? 0 : way->ops->open(way, err);

	if (ret != 0)
		return ret;
	ret = run_samples(r, way, NULL, r->samples < warm_up ? r->samples : warm_up, err);
	if (ret == 0)
		ret = run_samples(r, way, r->series[i], r->samples, err);
	if (ret == 0)
		bench_series_end_round(r->series[i]);
	if (!r->keep_open)
		way->ops->close(way);
	return ret;
}

int
bench_rounds_run(const struct bench_rounds *r, struct vuc_error *err)
{
	const struct bench_turns turns = {
		.name = r->name,
		.rounds = r->rounds,
		.nr_ways = r->nr_ways,
		.turn = run_turn,
		.arg = (void *)(uintptr_t)r,
	};
	struct bench_way *subject = r->ways[1];
	int ret;

	if (!r->keep_open)
		return bench_turns_run(&turns, err);
	ret = subject->ops->open(subject, err);
	if (ret != 0)
		return ret;
	ret = bench_turns_run(&turns, err);
	subject->ops->close(subject);
	return ret;
}

int
bench_comparison_check(struct bench_options *o, struct vuc_error *err)
{
	uint64_t all = (uint64_t)o->ops * o->rounds;

	if (all > MAX_SAMPLES)
		return bench_fail(err, -EINVAL, "--ops times --rounds: %" PRIu64 ", at most %u",
			all, MAX_SAMPLES);
	if (o->together == 0)
		o->together = o->op == BENCH_POSTED ? DEFAULT_BURST : 1;
	o->ops = (o->ops + o->together - 1) / o->together * o->together;
	return 0;
}

const char *
bench_comparison_what(const struct bench_options *o)
{
	return o->op == BENCH_POSTED ? "posted write" : bench_op_names[o->op];
}

void
bench_comparison_describe(const struct bench_options *o, struct bench_result *result)
{
	bench_result_add_text(result, "op", bench_op_names[o->op]);
	bench_result_add_number(result, "size", o->size);
	bench_result_add_number(result, "ops", o->ops);
	bench_result_add_number(result, "rounds", o->rounds);
}

int
bench_comparison_run(const struct bench_comparison *c, const struct bench *bench,
	struct bench_result *result, struct vuc_error *err)
{
	const struct bench_options *o = &bench->options;
	struct bench_rounds rounds = {
		.clock = &bench->clock,
		.nr_ways = c->nr_ways,
		.rounds = o->rounds,
		.samples = o->ops / o->together,
		.apart = c->apart,
		.keep_open = c->keep_open,
		.settle = o->op == BENCH_POSTED,
		.name = result->measurement,
	};
	const struct bench_shape shape = {
		.ns_per_tick = bench->clock.ns_per_tick,
		.per_sample = o->together,
		.rounds = o->rounds,
		.samples_per_round = rounds.samples,
	};
	int ret;

	result->per_group = c->nr_ways;
	for (unsigned int i = 0; i < c->nr_ways; i++) {
		struct bench_series *series =
			bench_result_add_series(result, c->names[i], &shape, err);

		if (series == NULL)
			return -ENOMEM;
		series->transport = c->transports[i];
		series->by_rate = i > 0 && c->by_rate;
		rounds.series[i] = series;
		rounds.ways[i] = c->ways[i];
	}
	ret = bench_rounds_run(&rounds, err);
	return ret == 0 ? bench_result_finish(result, err) : ret;
}
