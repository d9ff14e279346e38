/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/eal.h>

#include "refdev.h"
#include "refdev_regs.h"
#include "text.h"

#define BAR_WIDTH     40
#define WARM_UP       1000u    /* accesses */
#define DEFAULT_BURST 32       /* of posted writes */
#define MAX_SAMPLES   20000000 /* of a series: 160 MB */

/* For a measurement with a server that spins, and nothing else that does. */
#define SERVER_NEEDS_CPU                                                                        \
	"the server needs one of its own: use --transport loopback, or --socket with a server " \
	"elsewhere"

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

/* ---- CPUs and servers ---- */

int
bench_take_cpus(
	struct bench *b, unsigned int nr, bool pin, const char *too_few, struct vuc_error *err)
{
	struct bench_cpus *cpus = &b->env.cpus;
	int ret;

	*cpus = b->options.cpus;
	ret = bench_cpus_settle(cpus, nr, too_few, err);
	if (ret == 0 && pin)
		ret = bench_cpu_pin(cpus->cpu[0], err);
	if (ret == 0)
		b->latency = bench_env_hold_latency(&b->env);
	return ret;
}

static bool
has_target(const struct bench *b)
{
	return b->ops->setup >= BENCH_TARGET && b->ops->setup <= BENCH_TARGET_SLEEPS;
}

static int
target_check(struct bench *b, struct vuc_error *err)
{
	const struct bench_options *o = &b->options;

	b->target.kind = o->socket != NULL ? BENCH_SERVER_FOREIGN : BENCH_SERVER_OWN;
	if (o->transport == NULL || strcmp(o->transport, "loopback") != 0)
		return 0;
	b->target.kind = BENCH_SERVER_LOOPBACK;
	if (o->socket != NULL)
		return bench_fail(
			err, -EINVAL, "--socket cannot be used with --transport loopback");
	return 0;
}

/* A server elsewhere has what it has, but beside a poller a CPU is left to it. */
static unsigned int
server_cpus(const struct bench *b, bool has_poller)
{
	if (b->ops->setup == BENCH_TARGET_SLEEPS || bench_is_loopback(b))
		return 0;
	return b->target.kind == BENCH_SERVER_OWN || has_poller ? 1 : 0;
}

static const char *
too_few_cpus(const struct bench *b, bool has_poller)
{
	if (!has_poller || b->ops->setup == BENCH_TARGET_WAITS)
		return SERVER_NEEDS_CPU;
	if (server_cpus(b, has_poller) == 0)
		return "the poller needs one of its own";
	return "the server and the poller need one each of their own: use vuc-bench hop, or "
	       "--transport loopback";
}

static int
target_take_cpus(struct bench *b, struct vuc_error *err)
{
	struct bench_target *t = &b->target;
	bool has_poller = b->options.path != BENCH_PATH_INLINE;
	unsigned int want = 1 + server_cpus(b, has_poller);
	unsigned int poller = want;
	int ret;

	/* Take turns on one CPU where there is none for the poller alone. */
	t->shares_cpu = has_poller && b->ops->setup == BENCH_TARGET_WAITS &&
		bench_cpus_available(&b->options.cpus) < want + 1;
	if (has_poller && !t->shares_cpu)
		want++;
	ret = bench_take_cpus(b, want, true, too_few_cpus(b, has_poller), err);
	t->poller_cpu = b->env.cpus.cpu[!has_poller || t->shares_cpu ? 0 : poller];
	return ret;
}

static int
server_start(struct bench *b, struct vuc_error *err)
{
	bool sleeps = b->ops->setup == BENCH_TARGET_SLEEPS;
	const struct bench_refdev_opts own = {
		.cpu = b->env.cpus.cpu[sleeps ? 0 : 1], .block = sleeps, .sockets = 1};
	struct bench_target *t = &b->target;
	int ret;

	switch (t->kind) {
	case BENCH_SERVER_OWN:
		bench_say(b->result->server, "vuc-refdev, %s on CPU %u",
			sleeps ? "sleeping" : "polling", own.cpu);
		ret = bench_refdev_start(&t->refdev, &own, err);
		t->path = t->refdev.socket;
		return ret;
	case BENCH_SERVER_FOREIGN:
		bench_say(b->result->server, "%s", b->options.socket);
		vuc_text_clean(b->result->server);
		t->path = b->options.socket;
		return 0;
	case BENCH_SERVER_LOOPBACK:
		bench_say(b->result->server, "the reference device inside %s process",
			b->options.path == BENCH_PATH_SHM ? "the daemon's" : "this");
		t->dev = bench_loopback_start(&t->loopback, err);
		return t->dev != NULL ? 0 : -ENOMEM;
	}
	return -EINVAL;
}

static int
target_start(struct bench *b, struct vuc_error *err)
{
	const char *socket = b->options.socket;
	int ret = target_take_cpus(b, err);

	app_json_text(&b->result->options, b->result->options.root, "server",
		socket != NULL ? socket : "vuc-refdev");
	if (ret == 0)
		ret = server_start(b, err);
	/* On our CPU, too, but for its poller. */
	if (ret == 0 && b->options.path == BENCH_PATH_SHM)
		ret = bench_daemon_start(&b->target.daemon, err);
	return ret;
}

static void
setup_end(struct bench *b)
{
	if (b->latency >= 0)
		close(b->latency);
	b->latency = -1;
	bench_daemon_stop(&b->target.daemon);
	bench_child_stop(&b->target.refdev.child);
	refdev_destroy(b->target.dev);
	b->target.dev = NULL;
}

static int
setup_begin(struct bench *b, struct vuc_error *err)
{
	enum bench_setup setup = b->ops->setup;

	if (has_target(b))
		return target_start(b, err);
	return setup == BENCH_NOTHING
		? 0
		: bench_take_cpus(b, 2, setup == BENCH_CPU_PAIR, b->ops->too_few, err);
}

int
bench_check(struct bench *b, struct vuc_error *err)
{
	int ret = has_target(b) ? target_check(b, err) : 0;

	return ret == 0 && b->ops->check != NULL ? b->ops->check(b, err) : ret;
}

int
bench_run(struct bench *b, struct vuc_error *err)
{
	bool eal = b->options.path != BENCH_PATH_INLINE;
	struct bench_result *result = b->result;
	int ret;

	result->measurement = b->ops->name;
	result->unit = b->ops->unit;
	result->units = b->ops->units;
	app_json_init(&result->options);
	bench_options_describe(&b->options, b->ops, result);
	ret = setup_begin(b, err);
	eal = ret == 0 && eal;
	if (eal) {
		ret = bench_eal_init(err);
		eal = ret == 0;
	}
	if (ret == 0)
		ret = b->ops->run(b, err);
	if (eal)
		vuc_eal_fini();
	setup_end(b);
	return ret == 0 ? bench_result_finish(result, err) : ret;
}

/* ---- turns ---- */

struct bench_series *
bench_group_append(struct bench *b, const char *topic, const char *const names[], unsigned int nr,
	const char *transport, uint32_t samples, uint32_t per_sample)
{
	struct bench_series *first = &b->result->series[b->result->nr_series];

	b->result->per_group = nr;
	for (unsigned int i = 0; i < nr; i++) {
		struct bench_series *series = bench_series_append(b, names[i], samples, per_sample);

		series->topic = topic;
		series->transport = transport != NULL ? transport : names[i];
	}
	return first;
}

void
bench_series_add_since(const struct bench *b, struct bench_series *series, uint64_t start)
{
	uint64_t ticks = bench_clock_ticks(&b->clock) - start;

	bench_series_add(series, &ticks, 1);
}

struct bench_series *
bench_series_append(struct bench *b, const char *name, uint32_t samples, uint32_t per_sample)
{
	const struct bench_shape shape = {
		.ns_per_tick = b->clock.ns_per_tick,
		.per_sample = per_sample,
		.rounds = b->options.rounds,
		.samples_per_round = samples,
	};

	return bench_result_add_series(b->result, name, &shape);
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
bench_turns_run(struct bench *b, const char *name, unsigned int nr_ways,
	int (*turn)(struct bench *bench, unsigned int i, struct vuc_error *err),
	struct vuc_error *err)
{
	unsigned int turns = b->options.rounds * nr_ways;
	bool progress = has_progress();
	int ret = bench_result_check_memory(b->result, err);

	for (unsigned int i = 0; i < turns && ret == 0; i++) {
		if (progress)
			progress_print(name, i, turns);
		ret = turn(b, (i + i / nr_ways) % nr_ways, err);
	}
	if (progress)
		fputs("\r\033[K", stderr);
	return ret;
}

/* ---- rounds of accesses ---- */

int
bench_rounds_check(struct bench_options *o, uint32_t per_sample, struct vuc_error *err)
{
	uint64_t all;

	o->ops = (o->ops + per_sample - 1) / per_sample * per_sample;
	all = (uint64_t)o->ops * o->rounds;
	if (all > MAX_SAMPLES)
		return bench_fail(err, -EINVAL,
			"--ops times --rounds is %" PRIu64 "; the maximum is %u", all, MAX_SAMPLES);
	return 0;
}

struct bench_access
bench_access_of(struct bench_options *o)
{
	struct bench_access access = bench_scratch_access;

	if (o->together == 0)
		o->together = o->op == BENCH_POSTED ? DEFAULT_BURST : 1;
	access.op = (enum bench_access_op)o->op;
	access.size = o->size;
	access.together = o->together;
	return access;
}

const char *
bench_access_name(const struct bench_options *o)
{
	return o->op == BENCH_POSTED ? "posted write" : bench_op_names[o->op];
}

struct bench_rounds
bench_rounds_of(const struct bench *b)
{
	const struct bench_options *o = &b->options;

	return (struct bench_rounds){
		.name = b->ops->name,
		.samples = o->ops / o->together,
		.per_sample = o->together,
		.settle = o->op == BENCH_POSTED,
	};
}

struct bench_series *
bench_rounds_add(struct bench *b, struct bench_rounds *r, struct bench_way *way, const char *name,
	const char *transport)
{
	struct bench_series *series = bench_series_append(b, name, r->samples, r->per_sample);

	series->transport = transport;
	r->ways[r->nr_ways] = way;
	r->series[r->nr_ways++] = series;
	return series;
}

static int
row_run(const struct bench *b, struct bench_way *way, struct bench_series *series, unsigned int nr,
	bool settle, struct vuc_error *err)
{
	const struct bench_way before = *way;
	uint64_t ticks[BENCH_MAX_ROW];
	uint64_t start = bench_clock_ticks(&b->clock);
	int ret = way->ops->burst(way, nr, ticks, err);
	struct bench_way after;

	if (ret != 0)
		return ret;
	after = *way;
	if (settle)
		ret = way->ops->settle(way, err);
	if (ret != 0 || series == NULL)
		return ret;
	if (settle)
		series->round_end_to_end += bench_clock_ticks(&b->clock) - start;
	series->syscalls += after.syscalls - before.syscalls;
	series->futexes += after.futexes - before.futexes;
	bench_series_add(series, ticks, nr);
	return 0;
}

int
bench_samples_run(const struct bench *b, struct bench_way *way, struct bench_series *series,
	uint32_t samples, unsigned int row, bool settle, struct vuc_error *err)
{
	int ret = 0;

	while (samples > 0 && ret == 0) {
		unsigned int nr = samples < row ? samples : row;

		ret = bench_interrupt_check(err);
		if (ret == 0)
			ret = row_run(b, way, series, nr, settle, err);
		samples -= nr;
	}
	return ret;
}

static int
rounds_turn(struct bench *b, unsigned int i, struct vuc_error *err)
{
	const struct bench_rounds *r = b->rounds;
	struct bench_way *way = r->ways[i];
	const unsigned int row = r->apart ? 1 : BENCH_MAX_ROW;
	uint32_t warm_up = (WARM_UP - 1) / r->per_sample + 1;
	int ret = r->keep_open ? 0 : way->ops->open(way, err);

	if (ret != 0)
		return ret;
	if (warm_up > r->samples)
		warm_up = r->samples;
	ret = bench_samples_run(b, way, NULL, warm_up, row, r->settle, err);
	if (ret == 0)
		ret = bench_samples_run(b, way, r->series[i], r->samples, row, r->settle, err);
	if (ret == 0)
		bench_series_end_round(r->series[i]);
	if (!r->keep_open)
		way->ops->close(way);
	return ret;
}

int
bench_rounds_run(struct bench *b, const struct bench_rounds *r, struct vuc_error *err)
{
	struct bench_way *subject = r->ways[1];
	int ret = r->keep_open ? subject->ops->open(subject, err) : 0;

	if (ret != 0)
		return ret;
	b->rounds = r;
	ret = bench_turns_run(b, r->name, r->nr_ways, rounds_turn, err);
	if (r->keep_open)
		subject->ops->close(subject);
	return ret;
}
