/* SPDX-License-Identifier: BSD-3-Clause */
#include "rounds.h"

#include <errno.h>
#include <stddef.h>

#include "error.h"
#include "interrupt.h"
#include "turns.h"

#define WARM_UP 1000u /* accesses */

/* A series of NULL: nothing is recorded. */
static int
run_group(const struct bench_rounds *r, struct bench_way *way, struct bench_series *series,
	unsigned int nr, struct vuc_error *err)
{
	const struct bench_way before = *way;
	uint64_t ticks[BENCH_MAX_GROUP];
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
		bench_series_add_end_to_end(series, bench_clock_ticks(r->clock) - start);
	series->syscalls += after.syscalls - before.syscalls;
	series->futexes += after.futexes - before.futexes;
	bench_samples_add(&series->samples, ticks, nr);
	return 0;
}

static int
run_samples(const struct bench_rounds *r, struct bench_way *way, struct bench_series *series,
	uint32_t samples, struct vuc_error *err)
{
	while (samples > 0) {
		unsigned int nr = samples < r->group ? samples : r->group;
		int ret;

		if (bench_interrupted())
			return bench_fail(err, -EINTR, "interrupted");
		ret = run_group(r, way, series, nr, err);
		if (ret != 0)
			return ret;
		samples -= nr;
	}
	return 0;
}

static uint32_t
warm_up_samples(const struct bench_rounds *r, unsigned int i)
{
	uint32_t samples = (WARM_UP - 1) / r->series[i]->per_sample + 1;

	return r->samples < samples ? r->samples : samples;
}

static int
run_open(const struct bench_rounds *r, unsigned int i, struct vuc_error *err)
{
	struct bench_way *way = r->ways[i];
	int ret = run_samples(r, way, NULL, warm_up_samples(r, i), err);

	if (ret == 0)
		ret = run_samples(r, way, r->series[i], r->samples, err);
	if (ret == 0)
		bench_series_end_round(r->series[i]);
	return ret;
}

static int
run_turn(void *arg, unsigned int i, struct vuc_error *err)
{
	const struct bench_rounds *r = arg;
	struct bench_way *way = r->ways[i];
	int ret;

	if (r->keep_open)
		return run_open(r, i, err);
	ret = way->ops->open(way, err);
	if (ret != 0)
		return ret;
	ret = run_open(r, i, err);
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

	return bench_turns_run(&turns, err);
}
