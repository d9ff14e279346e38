/* SPDX-License-Identifier: BSD-3-Clause */
#include "rounds.h"

#include <errno.h>
#include <stddef.h>

#include "error.h"
#include "interrupt.h"
#include "progress.h"

#define BURST   64u
#define WARM_UP 1000u

/* A series of NULL: nothing is recorded. */
static int
run_burst(const struct bench_rounds *r, struct bench_way *way, struct bench_series *series,
	unsigned int nr, struct vuc_error *err)
{
	uint64_t syscalls = way->syscalls;
	uint64_t ticks[BURST];
	int ret = way->ops->burst(way, nr, ticks, err);

	if (ret != 0)
		return ret;
	if (series != NULL) {
		series->syscalls += way->syscalls - syscalls;
		bench_samples_add(&series->samples, ticks, nr);
	}
	return r->settle ? way->ops->settle(way, err) : 0;
}

static int
run_accesses(const struct bench_rounds *r, struct bench_way *way, struct bench_series *series,
	uint32_t ops, struct vuc_error *err)
{
	while (ops > 0) {
		unsigned int nr = ops < BURST ? ops : BURST;
		int ret;

		if (bench_interrupted())
			return bench_fail(err, -EINTR, "interrupted");
		ret = run_burst(r, way, series, nr, err);
		if (ret != 0)
			return ret;
		ops -= nr;
	}
	return 0;
}

static int
run_turn(const struct bench_rounds *r, unsigned int i, struct vuc_error *err)
{
	struct bench_way *way = r->ways[i];
	int ret = run_accesses(r, way, NULL, r->ops < WARM_UP ? r->ops : WARM_UP, err);

	if (ret == 0)
		ret = run_accesses(r, way, r->series[i], r->ops, err);
	if (ret == 0)
		bench_series_end_round(r->series[i]);
	return ret;
}

static int
open_and_run_turn(const struct bench_rounds *r, unsigned int i, struct vuc_error *err)
{
	struct bench_way *way = r->ways[i];
	int ret;

	if (r->keep_open)
		return run_turn(r, i, err);
	ret = way->ops->open(way, err);
	if (ret != 0)
		return ret;
	ret = run_turn(r, i, err);
	way->ops->close(way);
	return ret;
}

int
bench_rounds_run(const struct bench_rounds *r, struct vuc_error *err)
{
	struct bench_progress progress;
	unsigned int turns = r->rounds * r->nr_ways;
	int ret = 0;

	bench_progress_begin(&progress, r->name, turns);
	for (unsigned int turn = 0; turn < turns && ret == 0; turn++) {
		unsigned int round = turn / r->nr_ways;

		ret = open_and_run_turn(r, (turn + round) % r->nr_ways, err);
		bench_progress_step(&progress, turn + 1);
	}
	bench_progress_end(&progress);
	return ret;
}
