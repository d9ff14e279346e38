/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench transports: uring next to posix, over real sockets. */

#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "dma_answer.h"
#include "dma_way.h"
#include "error.h"
#include "interrupt.h"
#include "memfd.h"
#include "refdev_regs.h"
#include "rounds.h"
#include "scale_devices.h"
#include "subject.h"
#include "turns.h"

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
	struct bench_refdev_proc server;

	/* The row under way. */
	const struct row *row;
	struct bench_series *series; /* of each way */
	struct bench_scale_devices devices;
	struct bench_dma_memory memory;
	struct bench_dma_answer answer;
	struct bench_dma_peer peer;
	struct bench_dma_plan plan;
	uint64_t ticks[MAX_SAMPLES];
};

/* Reads of one device, or its posted writes. */
static int
run_accesses(struct transports *t, struct vuc_error *err)
{
	const struct bench_access access = {
		.op = t->row->op,
		.region = VFIO_PCI_BAR0_REGION_INDEX,
		.offset = REFDEV_REG_SCRATCH,
		.size = 4,
		.together = t->row->per_sample,
	};
	struct bench_subject subjects[NR_WAYS] = {0};
	struct bench_rounds rounds = {
		.clock = &t->bench->clock,
		.nr_ways = NR_WAYS,
		.rounds = t->bench->options.rounds,
		.samples = t->row->samples,
		.group = access.op == BENCH_POSTED ? 1 : BENCH_MAX_GROUP,
		.settle = access.op == BENCH_POSTED,
		.name = t->row->topic,
	};
	int ret = 0;

	for (unsigned int i = 0; i < NR_WAYS && ret == 0; i++) {
		ret = bench_subject_init(&subjects[i], rounds.clock, &access, transports[i], err);
		subjects[i].opts.path = t->server.socket;
		rounds.ways[i] = &subjects[i].way;
		rounds.series[i] = &t->series[i];
	}
	if (ret == 0)
		ret = bench_rounds_run(&rounds, err);
	for (unsigned int i = 0; i < NR_WAYS; i++)
		bench_subject_fini(&subjects[i]);
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
map_and_unmap(struct transports *t, struct bench_dma_way *way, struct bench_series *series,
	struct vuc_error *err)
{
	for (unsigned int i = 0; i <= t->row->samples; i++) {
		for (unsigned int unmap = 0; unmap < 2; unmap++) {
			uint64_t syscalls = way->syscalls;
			uint64_t ticks = bench_clock_ticks(&t->bench->clock);
			int ret = unmap ? way->ops->unmap(way, err) : way->ops->map(way, err);

			if (ret != 0)
				return ret;
			ticks = bench_clock_ticks(&t->bench->clock) - ticks;
			if (i == 0 || unmap != t->row->unmap)
				continue;
			series->syscalls += way->syscalls - syscalls;
			bench_samples_add(&series->samples, &ticks, 1);
		}
	}
	return 0;
}

static int
maps_turn(void *arg, unsigned int i, struct vuc_error *err)
{
	struct transports *t = arg;
	struct bench_dma_subject subject;
	int ret =
		bench_dma_subject_init(&subject, &t->memory, t->server.socket, transports[i], err);

	if (ret == 0)
		ret = subject.way.ops->open(&subject.way, err);
	if (ret == 0)
		ret = map_and_unmap(t, &subject.way, &t->series[i], err);
	bench_dma_subject_fini(&subject);
	bench_series_end_round(&t->series[i]);
	return ret;
}

static int
run_maps(struct transports *t, struct vuc_error *err)
{
	int ret;

	t->memory = (struct bench_dma_memory){
		.apart = true, .nr = MAPS, .size = (uint64_t)sysconf(_SC_PAGESIZE)};
	t->memory.fd = vuc_memfd_create("vuc-bench", MAPS * t->memory.size, 0);
	if (t->memory.fd < 0)
		return bench_fail(err, t->memory.fd, "memfd: %s", strerror(-t->memory.fd));
	ret = run_turns(t, maps_turn, err);
	close(t->memory.fd);
	return ret;
}

static int
transfers_turn(void *arg, unsigned int i, struct vuc_error *err)
{
	struct transports *t = arg;
	const struct bench *bench = t->bench;
	struct bench_series *series = &t->series[i];
	int ret = bench_dma_peer_start(
		&t->peer, &t->plan, &bench->clock, bench->env.cpus.cpu[1], err);

	if (ret != 0)
		return ret;
	t->answer.transport = transports[i];
	ret = bench_dma_answer_inline(&t->answer, err);
	if (ret == 0 && bench_dma_peer_status(&t->peer) < 0)
		ret = bench_fail(err, bench_dma_peer_status(&t->peer),
			"%s: the server of the measurement: %s", transports[i],
			strerror(-bench_dma_peer_status(&t->peer)));
	if (ret == 0) {
		bench_samples_add(&series->samples, t->peer.shared->ticks, t->row->samples);
		series->syscalls += t->answer.syscalls;
		bench_series_end_round(series);
	}
	bench_dma_peer_stop(&t->peer);
	return ret;
}

static int
run_transfers(struct transports *t, struct vuc_error *err)
{
	struct bench_dma_answer *a = &t->answer;
	int ret;

	t->plan = (struct bench_dma_plan){
		.negotiate = true,
		.write = t->row->write,
		.size = TRANSFER,
		.depth = 1,
		.samples = t->row->samples,
		.per_sample = t->row->per_sample,
		.timeout_ms = TRANSFERS_MS,
	};
	*a = (struct bench_dma_answer){
		.clock = &t->bench->clock, .plan = &t->plan, .peer = &t->peer};
	a->memory_size = TRANSFER;
	a->memory = malloc(a->memory_size);
	if (a->memory == NULL)
		return bench_fail(err, -ENOMEM, "no memory for %d bytes", TRANSFER);
	memset(a->memory, BENCH_DMA_FILL, a->memory_size);
	ret = run_turns(t, transfers_turn, err);
	free(a->memory);
	return ret;
}

static const struct bench_access scratch = {
	.op = BENCH_READ,
	.region = VFIO_PCI_BAR0_REGION_INDEX,
	.offset = REFDEV_REG_SCRATCH,
	.size = 4,
	.together = 1,
};

/* A turn begins with one that is not counted. */
static int
access_devices(struct transports *t, struct bench_series *series, struct vuc_error *err)
{
	struct bench_scale_devices *d = &t->devices;
	unsigned int samples = t->row->samples;
	int ret = 0;

	for (unsigned int i = 0; i < 2 && ret == 0; i++) {
		uint64_t syscalls = d->ops->syscalls(d);

		if (t->row->per_sample == 1)
			ret = d->ops->one_busy(d, samples, t->ticks, err);
		else
			ret = d->ops->all_busy(d, samples, t->ticks, err);
		if (ret != 0 || i == 0)
			continue;
		series->syscalls += d->ops->syscalls(d) - syscalls;
		bench_samples_add(&series->samples, t->ticks, samples);
	}
	return ret;
}

static int
devices_turn(void *arg, unsigned int i, struct vuc_error *err)
{
	struct transports *t = arg;
	struct bench_scale_devices *d = &t->devices;
	int ret;

	if (bench_interrupted())
		return bench_fail(err, -EINTR, "interrupted");
	d->transport = transports[i];
	ret = d->ops->open(d, t->row->devices, err);
	if (ret != 0)
		return ret;
	ret = access_devices(t, &t->series[i], err);
	d->ops->close(d);
	bench_series_end_round(&t->series[i]);
	return ret;
}

static void
prepare_devices(struct transports *t)
{
	t->devices.ops = &bench_scale_inline;
	t->devices.clock = &t->bench->clock;
	t->devices.access = &scratch;
}

/* All are served by the process that polls: the first device by its last socket, the others by
 * those before. */
static int
run_all_busy(struct transports *t, struct vuc_error *err)
{
	char path[BENCH_REFDEV_PATH_MAX];

	prepare_devices(t);
	t->devices.idle = t->server;
	t->devices.busy_path = bench_refdev_socket(&t->server, t->row->sockets - 1, path);
	return run_turns(t, devices_turn, err);
}

/* Those that are not busy are served by another process, which sleeps. */
static int
run_one_busy(struct transports *t, struct vuc_error *err)
{
	int ret;

	prepare_devices(t);
	ret = bench_scale_devices_init(
		&t->devices, t->server.socket, t->row->devices, t->bench->env.cpus.cpu[0], err);
	if (ret == 0)
		ret = run_turns(t, devices_turn, err);
	bench_scale_devices_fini(&t->devices);
	return ret;
}

static const struct row rows[] = {
	{"lone read", 1, 1, 2000, .op = BENCH_READ, .run = run_accesses},
	{"posted bursts", 1, BURST, 100, .op = BENCH_POSTED, .run = run_accesses},
	{"maps apart", 1, MAPS, 4, .run = run_maps},
	{"unmaps apart", 1, MAPS, 4, .unmap = true, .run = run_maps},
	{"device reads 64 KiB", 0, PER_SAMPLE, 32, .run = run_transfers},
	{"device writes 64 KiB", 0, PER_SAMPLE, 32, .write = true, .run = run_transfers},
	{"4 devices busy", 4, BENCH_SCALE_TOGETHER, 16, .devices = 4, .run = run_all_busy},
	{"16 devices busy", 16, BENCH_SCALE_TOGETHER, 16, .devices = 16, .run = run_all_busy},
	{"64 devices busy", ALL_DEVICES, BENCH_SCALE_TOGETHER, 16, .devices = ALL_DEVICES,
		.run = run_all_busy},
	{"1 of 64 devices busy", 1, 1, MAX_SAMPLES, .devices = ALL_DEVICES, .run = run_one_busy},
};

#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))

_Static_assert(NR_ROWS *NR_WAYS <= BENCH_MAX_SERIES, "all fit");

static const struct bench_option transports_options[] = {
	{0},
};

static void
transports_init(void *state)
{
	((struct transports *)state)->peer.fd = -1;
}

static int
transports_check(const struct bench *bench, void *state, struct vuc_error *err)
{
	(void)bench;
	(void)state;
	(void)err;
	return 0;
}

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
		BURST, MAPS, PER_SAMPLE, BENCH_SCALE_TOGETHER);
	result->unit = "operation";
	result->units = "operations";
	bench_result_add_number(result, "rounds", rounds);
}

static int
set_up_series(struct transports *t, const struct row *row, struct vuc_error *err)
{
	const struct bench_series_shape shape = {
		.ns_per_tick = t->bench->clock.ns_per_tick,
		.per_sample = row->per_sample,
		.rounds = t->bench->options.rounds,
		.samples_per_round = row->samples,
	};

	for (unsigned int i = 0; i < NR_WAYS; i++) {
		struct bench_series *series = &t->result->series[t->result->nr_series++];

		if (bench_series_init(series, i == WAY_POSIX ? "floor" : "vuc", &shape) != 0)
			return bench_fail(err, -ENOMEM, "no memory for the samples");
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
	ret = set_up_series(t, row, err);
	if (ret == 0 && row->sockets > 0)
		ret = bench_refdev_start(&t->server, &server, err);
	if (ret == 0)
		ret = row->run(t, err);
	bench_refdev_stop(&t->server);
	return ret;
}

static int
transports_measure(struct transports *t, struct vuc_error *err)
{
	int ret = 0;

	for (size_t i = 0; i < NR_ROWS && ret == 0; i++)
		ret = run_row(t, &rows[i], err);
	if (ret == 0 && bench_result_finish(t->result) != 0)
		ret = bench_fail(err, -ENOMEM, "out of memory");
	return ret;
}

static int
transports_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct transports *t = state;
	int latency;
	int ret;

	t->bench = bench;
	t->result = result;
	bench->env.cpus = bench->options.cpus;
	ret = bench_cpus_settle(&bench->env.cpus, 2, "the server needs one of its own", err);
	if (ret == 0)
		ret = bench_cpu_pin(bench->env.cpus.cpu[0], err);
	if (ret != 0)
		return ret;
	latency = bench_cpu_hold_latency();
	bench_env_set_latency(&bench->env, latency);
	transports_describe(t);
	ret = transports_measure(t, err);
	if (latency >= 0)
		close(latency);
	return ret;
}

const struct bench_ops bench_transports = {
	.name = "transports",
	.summary = "What each kind of work takes by uring next to posix",
	.options = transports_options,
	.rounds = 50,
	.state_size = sizeof(struct transports),
	.init = transports_init,
	.check = transports_check,
	.run = transports_run,
};
