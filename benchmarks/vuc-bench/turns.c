/* SPDX-License-Identifier: BSD-3-Clause */
#include "turns.h"

#include "progress.h"

int
bench_turns_run(const struct bench_turns *t, struct vuc_error *err)
{
	struct bench_progress progress;
	unsigned int turns = t->rounds * t->nr_ways;
	int ret = 0;

	bench_progress_begin(&progress, t->name, turns);
	for (unsigned int turn = 0; turn < turns && ret == 0; turn++) {
		unsigned int round = turn / t->nr_ways;

		ret = t->turn(t->arg, (turn + round) % t->nr_ways, err);
		bench_progress_step(&progress, turn + 1);
	}
	bench_progress_end(&progress);
	return ret;
}
