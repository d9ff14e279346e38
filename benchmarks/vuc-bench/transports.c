/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench transports: uring next to posix, over real sockets. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dma.h"

#define BURST        32 /* posted writes */
#define MAPS         1024
#define TRANSFER     65536 /* bytes */
#define PER_SAMPLE   16    /* transfers */
#define MAX_SAMPLES  2048  /* of a row in a turn */
#define TRANSFERS_MS 20000 /* for those of a turn */
#define ALL_DEVICES  64

enum way {
	WAY_POSIX, /* the floor */
	WAY_URING,
	NR_WAYS
};

static const char *const transports[NR_WAYS] = {"posix", "uring"};

struct transports;

/* What is compared. One server process polls as many sockets as a row asks for. */
struct row {
	const char *topic;
	unsigned int sockets; /* 0: a peer that does nothing but DMA */
	unsigned int per_sample;
	unsigned int samples; /* in a turn */
	enum bench_access_op op;
	bool unmap;           /* what is timed of mapping and unmapping */
	bool write;           /* by the device, into memory */
	unsigned int devices; /* in the poll group */
	int (*run)(struct transports *t, struct vuc_error *err);
};

struct transports {
	struct bench *bench;
	struct bench_result *result;
	struct bench_refdev server;
	struct bench_refdev idle; /* serves devices that are not busy */
	/* The row under way. */
	const struct row *row;
	struct bench_series *series; /* of each way */
	struct bench_subject subjects[NR_WAYS];
	struct bench_dma_memory memory;
	struct bench_dma_peer peer;
	uint64_t ticks[MAX_SAMPLES];
};

static void
subject_set_up(struct transports *t, unsigned int way, const struct bench_access *access)
{
	struct bench_subject *s = &t->subjects[way];

	bench_subject_init(s, BENCH_PATH_INLINE, &t->bench->clock, access, transports[way], 0);
	s->socket = t->server.socket;
}

/* Reads of one device, or its posted writes. */
static int
run_accesses(struct transports *t, struct vuc_error *err)
{
	struct bench_access access = bench_scratch_access;
	struct bench_rounds rounds = {
		.clock = &t->bench->clock,
		.nr_ways = NR_WAYS,
		.rounds = t->bench->options.rounds,
		.samples = t->row->samples,
		.apart = t->row->op == BENCH_POSTED,
		.settle = t->row->op == BENCH_POSTED,
		.name = t->row->topic,
	};
	int ret;

	access.op = t->row->op;
	access.together = t->row->per_sample;
	for (unsigned int i = 0; i < NR_WAYS; i++) {
		subject_set_up(t, i, &access);
		t->subjects[i].keeps_group = true;
		rounds.ways[i] = &t->subjects[i].queue.way;
		rounds.series[i] = &t->series[i];
	}
	ret = bench_rounds_run(&rounds, err);
	for (unsigned int i = 0; i < NR_WAYS; i++)
		bench_subject_fini(&t->subjects[i]);
	return ret;
}

static int
run_turns(struct transports *t, int (*turn)(void *arg, unsigned int i, struct vuc_error *err),
	struct vuc_error *err)
{
	const struct bench_turns turns = {
		.name = t->row->topic,
		.rounds = t->bench->options.rounds,
		.nr_ways = NR_WAYS,
		.turn = turn,
		.arg = t,
	};

	return bench_turns_run(&turns, err);
}

/* The first time warms up. */
static int
map_and_unmap(struct transports *t, struct bench_subject *s, struct bench_series *series,
	struct vuc_error *err)
{
	const struct bench_clock *clock = &t->bench->clock;

	for (unsigned int i = 0; i < 2 * (t->row->samples + 1); i++) {
		bool unmap = i % 2 == 1;
		uint64_t syscalls = bench_subject_syscalls(s);
		uint64_t ticks = bench_clock_ticks(clock);
		int ret = bench_dma_act(s, &t->memory, unmap, err);

		if (ret != 0)
			return ret;
		ticks = bench_clock_ticks(clock) - ticks;
		if (i < 2 || unmap != t->row->unmap)
			continue;
		series->syscalls += bench_subject_syscalls(s) - syscalls;
		bench_series_add(series, &ticks, 1);
	}
	return 0;
}

static int
maps_turn(void *arg, unsigned int i, struct vuc_error *err)
{
	struct transports *t = arg;
	struct bench_subject *s = &t->subjects[i];
	int ret;

	subject_set_up(t, i, &bench_settle_access);
	ret = bench_subject_open(s, err);
	if (ret != 0)
		return ret;
	ret = map_and_unmap(t, s, &t->series[i], err);
	bench_subject_close(s);
	bench_series_end_round(&t->series[i]);
	return ret;
}

static int
run_maps(struct transports *t, struct vuc_error *err)
{
	int ret;

	t->memory.apart = true;
	ret = bench_dma_memory_make(&t->memory, MAPS, err);
	if (ret != 0)
		return ret;
	ret = run_turns(t, maps_turn, err);
	close(t->memory.fd);
	return ret;
}

static int
transfers_turn(void *arg, unsigned int i, struct vuc_error *err)
{
	struct transports *t = arg;

	return bench_dma_peer_turn(&t->peer, false, transports[i], &t->series[i], err);
}

static int
run_transfers(struct transports *t, struct vuc_error *err)
{
	int ret;

	t->peer.plan = (struct bench_dma_plan){
		.write = t->row->write,
		.size = TRANSFER,
		.depth = 1,
		.samples = t->row->samples,
		.per_sample = t->row->per_sample,
		.timeout_ms = TRANSFERS_MS,
	};
	ret = bench_dma_peer_init(&t->peer, BENCH_PATH_INLINE, t->bench, err);
	if (ret == 0)
		ret = run_turns(t, transfers_turn, err);
	bench_dma_peer_fini(&t->peer);
	return ret;
}

/* A turn begins with one that is not counted. */
static int
access_devices(struct transports *t, struct bench_subject *s, struct bench_series *series,
	struct vuc_error *err)
{
	struct bench_way *way = &s->queue.way;
	unsigned int samples = t->row->samples;
	int ret = 0;

	for (unsigned int i = 0; i < 2 && ret == 0; i++) {
		uint64_t syscalls = bench_subject_syscalls(s);

		if (t->row->per_sample == 1)
			ret = way->ops->burst(way, samples, t->ticks, err);
		else
			ret = bench_busy_run(s, samples, t->ticks, err);
		if (ret != 0 || i == 0)
			continue;
		series->syscalls += bench_subject_syscalls(s) - syscalls;
		bench_series_add(series, t->ticks, samples);
	}
	return ret;
}

/* All are served by the process that polls: the first device by its last socket, the others by
 * those before. Where one is busy, the others are served by a process that sleeps. */
static int
devices_turn(void *arg, unsigned int i, struct vuc_error *err)
{
	struct transports *t = arg;
	struct bench_subject *s = &t->subjects[i];
	char path[BENCH_SOCKET_MAX];
	int ret = bench_interrupt_check(err);

	if (ret != 0)
		return ret;
	subject_set_up(t, i, &bench_scratch_access);
	s->nr = t->row->devices;
	s->others = t->row->sockets > 1 ? &t->server : &t->idle;
	s->socket = bench_refdev_socket(&t->server, t->row->sockets - 1, path);
	ret = bench_subject_open(s, err);
	if (ret != 0)
		return ret;
	ret = access_devices(t, s, &t->series[i], err);
	bench_subject_close(s);
	bench_series_end_round(&t->series[i]);
	return ret;
}

static int
run_devices(struct transports *t, struct vuc_error *err)
{
	const struct bench_refdev_opts idle = {
		.cpu = t->bench->env.cpus.cpu[0], .block = true, .sockets = t->row->devices - 1};
	int ret = 0;

	if (t->row->sockets == 1)
		ret = bench_refdev_start(&t->idle, &idle, err);
	if (ret == 0)
		ret = run_turns(t, devices_turn, err);
	bench_refdev_stop(&t->idle);
	return ret;
}

static const struct row rows[] = {
	{"lone read", 1, 1, 2000, .op = BENCH_READ, .run = run_accesses},
	{"posted bursts", 1, BURST, 100, .op = BENCH_POSTED, .run = run_accesses},
	{"maps apart", 1, MAPS, 4, .run = run_maps},
	{"unmaps apart", 1, MAPS, 4, .unmap = true, .run = run_maps},
	{"device reads 64 KiB", 0, PER_SAMPLE, 32, .run = run_transfers},
	{"device writes 64 KiB", 0, PER_SAMPLE, 32, .write = true, .run = run_transfers},
	{"4 devices busy", 4, BENCH_BUSY_TOGETHER, 16, .devices = 4, .run = run_devices},
	{"16 devices busy", 16, BENCH_BUSY_TOGETHER, 16, .devices = 16, .run = run_devices},
	{"64 devices busy", ALL_DEVICES, BENCH_BUSY_TOGETHER, 16, .devices = ALL_DEVICES,
		.run = run_devices},
	{"1 of 64 devices busy", 1, 1, MAX_SAMPLES, .devices = ALL_DEVICES, .run = run_devices},
};

#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))

_Static_assert(NR_ROWS *NR_WAYS <= BENCH_MAX_SERIES, "all fit");

static const struct bench_option transports_options[] = {
	{0},
};

static void
transports_describe(const struct transports *t)
{
	uint32_t rounds = t->bench->options.rounds;
	struct bench_result *result = t->result;

	snprintf(result->headline, sizeof(result->headline),
		"uring next to posix, both by this thread; %" PRIu32 " rounds of each row", rounds);
	snprintf(result->server, sizeof(result->server), "a process of its own, polling on CPU %u",
		t->bench->env.cpus.cpu[1]);
	snprintf(result->floor, sizeof(result->floor), "the same by the transport posix");
	snprintf(result->timed, sizeof(result->timed),
		"bursts of %d writes, %d mappings, %d transfers and %d reads of busy devices "
		"together, divided by their number",
		BURST, MAPS, PER_SAMPLE, BENCH_BUSY_TOGETHER);
	result->unit = "operation";
	result->units = "operations";
	bench_result_add_number(result, "rounds", rounds);
}

static int
add_series(struct transports *t, const struct row *row, struct vuc_error *err)
{
	const struct bench_shape shape = {
		.ns_per_tick = t->bench->clock.ns_per_tick,
		.per_sample = row->per_sample,
		.rounds = t->bench->options.rounds,
		.samples_per_round = row->samples,
	};

	for (unsigned int i = 0; i < NR_WAYS; i++) {
		struct bench_series *series = bench_result_add_series(
			t->result, i == WAY_POSIX ? "floor" : "vuc", &shape, err);

		if (series == NULL)
			return -ENOMEM;
		series->topic = row->topic;
		series->transport = transports[i];
		series->subject = transports[i];
	}
	return 0;
}

static int
run_row(struct transports *t, const struct row *row, struct vuc_error *err)
{
	const struct bench_refdev_opts server = {
		.cpu = t->bench->env.cpus.cpu[1], .sockets = row->sockets};
	int ret;

	t->row = row;
	t->series = &t->result->series[t->result->nr_series];
	ret = add_series(t, row, err);
	if (ret == 0 && row->sockets > 0)
		ret = bench_refdev_start(&t->server, &server, err);
	if (ret == 0)
		ret = row->run(t, err);
	bench_refdev_stop(&t->server);
	return ret;
}

static int
transports_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct transports *t = state;
	int ret = bench_take_cpus(bench, 2, true, "the server needs one of its own", err);

	if (ret != 0)
		return ret;
	t->bench = bench;
	t->result = result;
	transports_describe(t);
	for (size_t i = 0; i < NR_ROWS && ret == 0; i++)
		ret = run_row(t, &rows[i], err);
	if (ret == 0)
		ret = bench_result_finish(result, err);
	bench_release_cpus(bench);
	return ret;
}

const struct bench_ops bench_transports = {
	.name = "transports",
	.summary = "What each kind of work takes by uring next to posix",
	.options = transports_options,
	.defaults = {.rounds = 50},
	.state_size = sizeof(struct transports),
	.run = transports_run,
};
