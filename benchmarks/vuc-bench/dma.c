/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench dma: mapping and unmapping memory for a device. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dma_way.h"
#include "eal.h"
#include "error.h"
#include "interrupt.h"
#include "memfd.h"
#include "target.h"
#include "turns.h"

#define DEFAULT_MAPS 1024
#define MAX_MAPS     65535 /* what vuc-refdev takes by default */
#define CYCLES       2     /* that a turn counts, behind one that it does not */

enum way {
	WAY_FLOOR,
	WAY_VUC,
	WAY_ONE_BY_ONE, /* what a client that waits for each reply takes */
	NR_WAYS
};
enum act {
	ACT_MAP,
	ACT_UNMAP,
	NR_ACTS
};

struct dma {
	struct bench_target target;
	uint32_t maps;

	const char *transport; /* for the reports */
	char transport_text[16];
	struct bench_dma_memory memory;
	struct bench_dma_floor floor;
	struct bench_dma_floor one_by_one;
	struct bench_dma_subject subject; /* one of these */
	struct bench_dma_poller poller;
	struct bench_dma_shm shm;
	struct bench_dma_way *ways[NR_WAYS];
	const struct bench_clock *clock;
	struct bench_result *result;
};

static int
parse_maps(void *state, const char *text, struct vuc_error *err)
{
	return bench_parse_count("maps", text, MAX_MAPS, &((struct dma *)state)->maps, err);
}

static const char *const layouts[] = {"adjacent", "apart", NULL};

static int
parse_layout(void *state, const char *text, struct vuc_error *err)
{
	unsigned int i;
	int ret = bench_parse_word("layout", text, layouts, &i, err);

	if (ret == 0)
		((struct dma *)state)->memory.apart = i == 1;
	return ret;
}

static const char *
layout_of(const struct dma *d)
{
	return layouts[d->memory.apart];
}

static const struct bench_option dma_options[] = {
	{"socket", "PATH", "a server that listens there (a vuc-refdev is started)",
		bench_target_parse_socket},
	{"transport", "NAME", "uring or posix (what vuc chooses)", bench_target_parse_transport},
	{"path", "NAME",
		"inline: vuc is called in this thread; poller: in that of a poller; shm: by a daemon "
		"(inline)",
		bench_target_parse_path},
	{"maps", "N", "mappings, each a page of a file (1024)", parse_maps},
	{"layout", "NAME",
		"how they lie: adjacent, or apart, so that none can be joined (adjacent)",
		parse_layout},
	{0},
};

static void
dma_init(void *state)
{
	struct dma *d = state;

	d->target.waits = true;
	d->maps = DEFAULT_MAPS;
	d->memory.fd = -1;
}

static int
dma_check(const struct bench *bench, void *state, struct vuc_error *err)
{
	struct dma *d = state;
	int ret = bench_target_check(&d->target, err);

	(void)bench;
	if (ret == 0 && d->target.kind == BENCH_SERVER_LOOPBACK)
		return bench_fail(err, -EINVAL, "--transport: 'loopback' is not uring or posix");
	return ret;
}

static bool
has_poller(const struct dma *d)
{
	return d->target.path != BENCH_PATH_INLINE;
}

static void
describe_path(const struct dma *d, const struct bench *bench, struct bench_result *result)
{
	size_t len = strlen(result->headline);

	if (!has_poller(d))
		return;
	snprintf(result->headline + len, sizeof(result->headline) - len, "; %s on CPU %u",
		d->target.path == BENCH_PATH_SHM ? "by a daemon's poller" : "called in a poller",
		bench_target_poller_cpu(&d->target, bench));
	if (d->target.shares_cpu)
		snprintf(result->note, sizeof(result->note),
			"the poller shares the CPU of the thread that calls it, and sleeps between "
			"calls: with two CPUs there is none for it alone");
}

static void
dma_describe(struct dma *d, const struct bench *bench, struct bench_result *result)
{
	snprintf(result->headline, sizeof(result->headline),
		"%" PRIu32 " %s mappings with a descriptor each; %" PRIu32 " rounds of %d", d->maps,
		layout_of(d), bench->options.rounds, CYCLES);
	result->unit = "mapping";
	result->units = "mappings";
	bench_target_describe(&d->target, bench, result);
	describe_path(d, bench, result);
	snprintf(result->floor, sizeof(result->floor),
		"a message for each mapping, up to %d before their replies, over a connection of "
		"its own",
		BENCH_DMA_WINDOW);
	snprintf(result->timed, sizeof(result->timed),
		"from the first call until the server has done all %" PRIu32
		", divided by %" PRIu32,
		d->maps, d->maps);
	bench_result_add_number(result, "maps", d->maps);
	bench_result_add_text(result, "layout", layout_of(d));
	bench_result_add_number(result, "page", d->memory.size);
	bench_result_add_number(result, "cycles", CYCLES);
	bench_result_add_number(result, "rounds", bench->options.rounds);
}

static int
make_memory(struct dma *d, struct vuc_error *err)
{
	struct bench_dma_memory *memory = &d->memory;

	memory->nr = d->maps;
	memory->size = (uint64_t)sysconf(_SC_PAGESIZE);
	memory->fd = vuc_memfd_create("vuc-bench", memory->nr * memory->size, 0);
	if (memory->fd < 0)
		return bench_fail(err, memory->fd, "memfd: %s", strerror(-memory->fd));
	return 0;
}

static int
set_up_inline(struct dma *d, struct vuc_error *err)
{
	int ret = bench_dma_subject_init(
		&d->subject, &d->memory, d->target.server.path, d->target.transport, err);

	if (ret != 0) {
		bench_dma_subject_fini(&d->subject);
		return ret;
	}
	/* The group's own is gone with it. */
	snprintf(d->transport_text, sizeof(d->transport_text), "%s",
		vuc_poll_group_transport(d->subject.group));
	d->transport = d->transport_text;
	d->ways[WAY_VUC] = &d->subject.way;
	return 0;
}

static int
set_up_poller(struct dma *d, const struct bench *bench, struct vuc_error *err)
{
	bench_dma_poller_init(&d->poller, &d->memory, d->target.server.path, d->target.transport);
	bench_dma_place(
		&d->poller.opts, bench_target_poller_cpu(&d->target, bench), d->target.shares_cpu);
	d->transport = d->poller.transport;
	d->ways[WAY_VUC] = &d->poller.way;
	return bench_eal_init(err);
}

static int
set_up_shm(struct dma *d, const struct bench *bench, struct vuc_error *err)
{
	struct bench_target *t = &d->target;

	if (bench_dma_shm_init(&d->shm, &d->memory, &t->daemon, t->server.path, t->transport) != 0)
		return bench_fail(err, -ENOMEM, "out of memory");
	bench_dma_place(&d->shm.opts, bench_target_poller_cpu(t, bench), t->shares_cpu);
	d->transport = d->shm.transport;
	d->ways[WAY_VUC] = &d->shm.way;
	return 0;
}

static int
set_up_ways(struct dma *d, const struct bench *bench, struct vuc_error *err)
{
	d->clock = &bench->clock;
	bench_dma_floor_init(
		&d->floor, BENCH_DMA_WINDOW, d->clock, &d->memory, d->target.server.path);
	bench_dma_floor_init(&d->one_by_one, 1, d->clock, &d->memory, d->target.server.path);
	d->ways[WAY_FLOOR] = &d->floor.way;
	d->ways[WAY_ONE_BY_ONE] = &d->one_by_one.way;
	switch (d->target.path) {
	case BENCH_PATH_INLINE:
		return set_up_inline(d, err);
	case BENCH_PATH_POLLER:
		return set_up_poller(d, bench, err);
	case BENCH_PATH_SHM:
		return set_up_shm(d, bench, err);
	}
	return -EINVAL;
}

static void
take_down_ways(struct dma *d)
{
	switch (d->target.path) {
	case BENCH_PATH_INLINE:
		bench_dma_subject_fini(&d->subject);
		break;
	case BENCH_PATH_POLLER:
		bench_eal_fini();
		break;
	case BENCH_PATH_SHM:
		bench_dma_shm_fini(&d->shm);
		break;
	}
}

static struct bench_series *
series_of(const struct dma *d, enum act act, enum way way)
{
	return &d->result->series[act * NR_WAYS + way];
}

static int
set_up_series(struct dma *d, uint32_t rounds, struct vuc_error *err)
{
	static const char *const topics[] = {[ACT_MAP] = "map", [ACT_UNMAP] = "unmap"};
	static const char *const names[] = {
		[WAY_FLOOR] = "floor", [WAY_VUC] = "vuc", [WAY_ONE_BY_ONE] = "one by one"};
	const struct bench_series_shape shape = {
		.ns_per_tick = d->clock->ns_per_tick,
		.per_sample = d->maps,
		.rounds = rounds,
		.samples_per_round = CYCLES,
	};

	d->result->per_group = NR_WAYS;
	d->result->nr_series = NR_ACTS * NR_WAYS;
	for (unsigned int i = 0; i < d->result->nr_series; i++) {
		struct bench_series *series = &d->result->series[i];
		enum way way = i % NR_WAYS;
		int ret = bench_series_init(series, names[way], &shape);

		if (ret != 0)
			return bench_fail(err, ret, "no memory for the samples");
		series->topic = topics[i / NR_WAYS];
		series->transport = way == WAY_VUC ? d->transport : "socket";
		series->by_rate = true;
	}
	return 0;
}

static int
count_syscalls(struct bench_dma_way *way, struct vuc_error *err)
{
	return way->ops->count != NULL ? way->ops->count(way, err) : 0;
}

/* A series of NULL: nothing is recorded. */
static int
run_act(const struct dma *d, struct bench_dma_way *way, enum act act, struct bench_series *series,
	struct vuc_error *err)
{
	uint64_t syscalls, start, ticks;
	int ret = count_syscalls(way, err);

	if (ret != 0)
		return ret;
	syscalls = way->syscalls;
	start = bench_clock_ticks(d->clock);
	ret = act == ACT_MAP ? way->ops->map(way, err) : way->ops->unmap(way, err);
	ticks = bench_clock_ticks(d->clock) - start;
	if (ret == 0)
		ret = count_syscalls(way, err);
	if (ret == 0 && series != NULL) {
		series->syscalls += way->syscalls - syscalls;
		bench_samples_add(&series->samples, &ticks, 1);
	}
	return ret;
}

static int
run_cycles(const struct dma *d, enum way i, struct vuc_error *err)
{
	for (unsigned int cycle = 0; cycle <= CYCLES; cycle++) {
		for (unsigned int act = 0; act < NR_ACTS; act++) {
			int ret;

			if (bench_interrupted())
				return bench_fail(err, -EINTR, "interrupted");
			ret = run_act(
				d, d->ways[i], act, cycle > 0 ? series_of(d, act, i) : NULL, err);
			if (ret != 0)
				return ret;
		}
	}
	return 0;
}

static int
run_turn(void *arg, unsigned int i, struct vuc_error *err)
{
	const struct dma *d = arg;
	struct bench_dma_way *way = d->ways[i];
	int ret = way->ops->open(way, err);

	if (ret != 0)
		return ret;
	ret = run_cycles(d, i, err);
	way->ops->close(way);
	for (unsigned int act = 0; act < NR_ACTS && ret == 0; act++)
		bench_series_end_round(series_of(d, act, i));
	return ret;
}

static int
run_turns(struct dma *d, const struct bench *bench, struct vuc_error *err)
{
	const struct bench_turns turns = {
		.name = d->result->measurement,
		.rounds = bench->options.rounds,
		.nr_ways = NR_WAYS,
		.turn = run_turn,
		.arg = d,
	};
	int ret = set_up_series(d, bench->options.rounds, err);

	if (ret != 0)
		return ret;
	dma_describe(d, bench, d->result);
	ret = bench_turns_run(&turns, err);
	if (ret == 0 && bench_result_finish(d->result) != 0)
		ret = bench_fail(err, -ENOMEM, "out of memory");
	return ret;
}

static int
dma_measure(struct dma *d, const struct bench *bench, struct vuc_error *err)
{
	int ret = make_memory(d, err);

	if (ret == 0)
		ret = set_up_ways(d, bench, err);
	if (ret == 0) {
		ret = run_turns(d, bench, err);
		take_down_ways(d);
	}
	if (d->memory.fd >= 0)
		close(d->memory.fd);
	return ret;
}

static int
dma_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct dma *d = state;
	int ret = bench_target_start(&d->target, bench, err);

	if (ret != 0)
		return ret;
	d->result = result;
	ret = dma_measure(d, bench, err);
	bench_target_stop(&d->target);
	return ret;
}

const struct bench_ops bench_dma = {
	.name = "dma",
	.summary = "How long mapping memory takes next to a message for each mapping",
	.options = dma_options,
	.state_size = sizeof(struct dma),
	.init = dma_init,
	.check = dma_check,
	.run = dma_run,
};
