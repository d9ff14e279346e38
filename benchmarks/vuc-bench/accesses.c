/* SPDX-License-Identifier: BSD-3-Clause */
#include "accesses.h"

#include <errno.h>
#include <inttypes.h>

#include "error.h"

#define DEFAULT_BURST 32 /* of posted writes */
#define MAX_OPS       10000000
#define MAX_SAMPLES   20000000 /* of a series: 160 MB */

int
bench_accesses_parse_op(void *accesses, const char *text, struct vuc_error *err)
{
	return bench_access_parse_op(&((struct bench_accesses *)accesses)->access, text, err);
}

int
bench_accesses_parse_size(void *accesses, const char *text, struct vuc_error *err)
{
	return bench_access_parse_size(&((struct bench_accesses *)accesses)->access, text, err);
}

int
bench_accesses_parse_ops(void *accesses, const char *text, struct vuc_error *err)
{
	return bench_parse_count(
		"ops", text, MAX_OPS, &((struct bench_accesses *)accesses)->ops, err);
}

int
bench_accesses_settle(struct bench_accesses *s, const struct bench *bench, struct vuc_error *err)
{
	struct bench_access *a = &s->access;
	uint64_t all = (uint64_t)s->ops * bench->options.rounds;

	if (all > MAX_SAMPLES)
		return bench_fail(err, -EINVAL, "--ops times --rounds: %" PRIu64 ", at most %u",
			all, MAX_SAMPLES);
	if (a->together == 0)
		a->together = a->op == BENCH_POSTED ? DEFAULT_BURST : 1;
	s->samples = (s->ops - 1) / a->together + 1;
	s->ops = s->samples * a->together;
	return 0;
}

const char *
bench_accesses_what(const struct bench_accesses *s)
{
	return s->access.op == BENCH_POSTED ? "posted write" : bench_access_op_name(s->access.op);
}

void
bench_accesses_describe(
	const struct bench_accesses *s, const struct bench *bench, struct bench_result *result)
{
	bench_result_add_text(result, "op", bench_access_op_name(s->access.op));
	bench_result_add_number(result, "size", s->access.size);
	bench_result_add_number(result, "ops", s->ops);
	bench_result_add_number(result, "rounds", bench->options.rounds);
}

static const char *
series_name(const struct bench_pair *pair, unsigned int i)
{
	if (i < 2)
		return i == 0 ? "floor" : "vuc";
	return pair->others[i - 2].name;
}

static int
set_up_series(const struct bench_accesses *s, const struct bench *bench,
	const struct bench_pair *pair, struct bench_result *result, struct vuc_error *err)
{
	const struct bench_series_shape shape = {
		.ns_per_tick = bench->clock.ns_per_tick,
		.per_sample = s->access.together,
		.rounds = bench->options.rounds,
		.samples_per_round = s->samples,
	};
	int ret = 0;

	result->per_group = 2 + pair->nr_others;
	result->nr_series = result->per_group;
	for (unsigned int i = 0; i < result->nr_series && ret == 0; i++) {
		struct bench_series *series = &result->series[i];

		ret = bench_series_init(series, series_name(pair, i), &shape);
		series->transport = i == 1 ? pair->subject_name : pair->floor_name;
		series->by_rate = i > 0 && pair->by_rate;
	}
	if (ret != 0)
		return bench_fail(err, ret, "no memory for %" PRIu32 " times %" PRIu32 " samples",
			shape.rounds, s->samples);
	return 0;
}

/* A shared connection is opened by vuc, which negotiates, and then is the floor's as well. */
static int
run_rounds(const struct bench_rounds *rounds, struct bench_way *subject, struct vuc_error *err)
{
	int ret;

	if (!rounds->keep_open)
		return bench_rounds_run(rounds, err);
	ret = subject->ops->open(subject, err);
	if (ret != 0)
		return ret;
	ret = bench_rounds_run(rounds, err);
	subject->ops->close(subject);
	return ret;
}

int
bench_accesses_run(struct bench_accesses *s, const struct bench *bench,
	const struct bench_pair *pair, struct bench_result *result, struct vuc_error *err)
{
	struct bench_rounds rounds = {
		.clock = &bench->clock,
		.ways = {pair->floor, pair->subject},
		.nr_ways = 2 + pair->nr_others,
		.rounds = bench->options.rounds,
		.samples = s->samples,
		.group = pair->apart ? 1 : BENCH_MAX_GROUP,
		.keep_open = pair->keep_open,
		.settle = s->access.op == BENCH_POSTED,
		.name = result->measurement,
	};
	int ret = set_up_series(s, bench, pair, result, err);

	for (unsigned int i = 0; i < pair->nr_others; i++)
		rounds.ways[2 + i] = pair->others[i].way;
	for (unsigned int i = 0; i < rounds.nr_ways; i++)
		rounds.series[i] = &result->series[i];
	if (ret == 0)
		ret = run_rounds(&rounds, pair->subject, err);
	if (ret == 0 && bench_result_finish(result) != 0)
		ret = bench_fail(err, -ENOMEM, "out of memory");
	return ret;
}
