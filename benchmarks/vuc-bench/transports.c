/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench transports: uring next to posix, over real sockets. */

#include <inttypes.h>
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
	int (*run)(struct bench *b, struct vuc_error *err);
};

struct transports {
	struct bench_refdev server;
	struct bench_refdev idle; /* serves devices that are not busy */
	/* The row under way. */
	const struct row *row;
	struct bench_rounds rounds; /* with the series of each way */
	struct bench_subject subjects[NR_WAYS];
	struct bench_dma_memory memory;
	struct bench_dma_peer peer;
	uint64_t ticks[MAX_SAMPLES];
};

static struct bench_subject *
init_subject(struct bench *b, unsigned int way, const struct bench_access *access)
{
	struct transports *t = b->state;
	struct bench_subject *s = &t->subjects[way];

	bench_subject_init(s, b, BENCH_PATH_INLINE, access);
	s->poller_opts.transport = transports[way];
	s->socket = t->server.socket;
	return s;
}

/* Reads of one device, or its posted writes. */
static int
accesses_run(struct bench *b, struct vuc_error *err)
{
	struct transports *t = b->state;
	struct bench_access access = bench_scratch_access;
	int ret;

	access.op = t->row->op;
	access.together = t->row->per_sample;
	for (unsigned int i = 0; i < NR_WAYS; i++)
		init_subject(b, i, &access)->keeps_group = true;
	ret = bench_rounds_run(b, &t->rounds, err);
	for (unsigned int i = 0; i < NR_WAYS; i++)
		bench_subject_fini(&t->subjects[i]);
	return ret;
}

/* The first time warms up. */
static int
map_and_unmap(struct bench *b, struct bench_subject *s, struct bench_series *series,
	struct vuc_error *err)
{
	struct transports *t = b->state;

	for (unsigned int i = 0; i < 2 * (t->row->samples + 1); i++) {
		bool unmap = i % 2 == 1;
		uint64_t syscalls = bench_subject_syscalls(s);
		uint64_t start = bench_clock_ticks(&b->clock);
		int ret = bench_dma_act(s->devices[0].dev, &t->memory, MAPS, unmap);

		if (ret != 0)
			return bench_subject_fail(s, ret, err);
		if (i < 2 || unmap != t->row->unmap)
			continue;
		bench_series_add_since(b, series, start);
		series->syscalls += bench_subject_syscalls(s) - syscalls;
	}
	return 0;
}

static int
maps_turn(struct bench *b, unsigned int i, struct vuc_error *err)
{
	struct transports *t = b->state;
	struct bench_subject *s = init_subject(b, i, &bench_settle_access);
	int ret = bench_subject_open(s, err);

	if (ret != 0)
		return ret;
	ret = map_and_unmap(b, s, t->rounds.series[i], err);
	bench_subject_close(s);
	bench_series_end_round(t->rounds.series[i]);
	return ret;
}

static int
maps_run(struct bench *b, struct vuc_error *err)
{
	struct transports *t = b->state;
	int ret;

	ret = bench_dma_memory_make(&t->memory, MAPS, true, err);
	if (ret == 0)
		ret = bench_turns_run(b, t->row->topic, NR_WAYS, maps_turn, err);
	bench_dma_memory_free(&t->memory);
	return ret;
}

static int
transfers_turn(struct bench *b, unsigned int i, struct vuc_error *err)
{
	struct transports *t = b->state;

	return bench_dma_peer_turn(&t->peer, false, transports[i], t->rounds.series[i], err);
}

static int
transfers_run(struct bench *b, struct vuc_error *err)
{
	struct transports *t = b->state;
	int ret;

	t->peer.plan = (struct bench_dma_plan){
		.write = t->row->write,
		.size = TRANSFER,
		.depth = 1,
		.samples = t->row->samples,
		.per_sample = t->row->per_sample,
		.timeout_ms = TRANSFERS_MS,
	};
	ret = bench_dma_peer_init(&t->peer, b, BENCH_PATH_INLINE, err);
	if (ret == 0)
		ret = bench_turns_run(b, t->row->topic, NR_WAYS, transfers_turn, err);
	bench_dma_peer_fini(&t->peer);
	return ret;
}

static int
devices_access(struct bench *b, struct bench_subject *s, struct bench_series *series,
	struct vuc_error *err)
{
	struct transports *t = b->state;
	unsigned int samples = t->row->samples;

	if (t->row->per_sample > 1)
		return bench_busy_run(s, series, samples, t->ticks, err);
	return bench_samples_run(b, &s->queue.way, series, samples, BENCH_MAX_ROW, false, err);
}

/* All are served by the process that polls: the first device by its last socket, the others by
 * those before. Where one is busy, the others are served by a process that sleeps. */
static int
devices_turn(struct bench *b, unsigned int i, struct vuc_error *err)
{
	struct transports *t = b->state;
	struct bench_subject *s = init_subject(b, i, &bench_scratch_access);
	char path[BENCH_SOCKET_MAX];
	int ret = bench_interrupt_check(err);

	if (ret != 0)
		return ret;
	s->nr = t->row->devices;
	s->others = t->row->sockets > 1 ? &t->server : &t->idle;
	s->socket = bench_refdev_socket(&t->server, t->row->sockets - 1, path);
	ret = bench_subject_open(s, err);
	if (ret != 0)
		return ret;
	/* A turn begins with one that is not counted. */
	ret = devices_access(b, s, NULL, err);
	if (ret == 0)
		ret = devices_access(b, s, t->rounds.series[i], err);
	bench_subject_close(s);
	bench_series_end_round(t->rounds.series[i]);
	return ret;
}

static int
devices_run(struct bench *b, struct vuc_error *err)
{
	struct transports *t = b->state;
	const struct bench_refdev_opts idle = {
		.cpu = b->env.cpus.cpu[0], .block = true, .sockets = t->row->devices - 1};
	int ret = 0;

	if (t->row->sockets == 1)
		ret = bench_refdev_start(&t->idle, &idle, err);
	if (ret == 0)
		ret = bench_turns_run(b, t->row->topic, NR_WAYS, devices_turn, err);
	bench_child_stop(&t->idle.child);
	return ret;
}

static const struct row rows[] = {
	{"lone read", 1, 1, 2000, .op = BENCH_READ, .run = accesses_run},
	{"posted bursts", 1, BURST, 100, .op = BENCH_POSTED, .run = accesses_run},
	{"maps apart", 1, MAPS, 4, .run = maps_run},
	{"unmaps apart", 1, MAPS, 4, .unmap = true, .run = maps_run},
	{"device reads 64 KiB", 0, PER_SAMPLE, 32, .run = transfers_run},
	{"device writes 64 KiB", 0, PER_SAMPLE, 32, .write = true, .run = transfers_run},
	{"4 devices busy", 4, BENCH_BUSY_TOGETHER, 16, .devices = 4, .run = devices_run},
	{"16 devices busy", 16, BENCH_BUSY_TOGETHER, 16, .devices = 16, .run = devices_run},
	{"64 devices busy", ALL_DEVICES, BENCH_BUSY_TOGETHER, 16, .devices = ALL_DEVICES,
		.run = devices_run},
	{"1 of 64 devices busy", 1, 1, MAX_SAMPLES, .devices = ALL_DEVICES, .run = devices_run},
};

#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))

_Static_assert(NR_ROWS *NR_WAYS <= BENCH_MAX_SERIES, "all fit");

static void
transports_describe(const struct bench *b)
{
	struct bench_result *result = b->result;

	bench_say(result->headline,
		"uring next to posix, both by this thread; %" PRIu32 " rounds of each row",
		b->options.rounds);
	bench_say(result->server, "a separate process, polling on CPU %u", b->env.cpus.cpu[1]);
	bench_say(result->floor, "the same by the transport posix");
	bench_say(result->timed,
		"bursts of %d writes, %d mappings, %d transfers and %d reads of busy devices "
		"together, divided by their number",
		BURST, MAPS, PER_SAMPLE, BENCH_BUSY_TOGETHER);
}

static int
row_run(struct bench *b, const struct row *row, struct vuc_error *err)
{
	struct transports *t = b->state;
	const struct bench_refdev_opts server = {
		.cpu = b->env.cpus.cpu[1], .sockets = row->sockets};
	int ret = 0;

	t->row = row;
	t->rounds = (struct bench_rounds){
		.name = row->topic,
		.samples = row->samples,
		.per_sample = row->per_sample,
		.apart = row->op == BENCH_POSTED,
		.settle = row->op == BENCH_POSTED,
	};
	for (unsigned int i = 0; i < NR_WAYS; i++) {
		struct bench_series *series = bench_rounds_add(b, &t->rounds,
			&t->subjects[i].queue.way, i == WAY_POSIX ? "floor" : "vuc", transports[i]);

		series->topic = row->topic;
		series->subject = transports[i];
	}
	if (row->sockets > 0)
		ret = bench_refdev_start(&t->server, &server, err);
	if (ret == 0)
		ret = row->run(b, err);
	bench_child_stop(&t->server.child);
	return ret;
}

static int
transports_run(struct bench *b, struct vuc_error *err)
{
	int ret = 0;

	transports_describe(b);
	for (size_t i = 0; i < NR_ROWS && ret == 0; i++)
		ret = row_run(b, &rows[i], err);
	return ret;
}

const struct bench_ops bench_transports = {
	.name = "transports",
	.summary = "Each kind of work with uring, compared with posix",
	.unit = "operation",
	.units = "operations",
	.defaults = {.rounds = 50},
	.setup = BENCH_CPU_PAIR,
	.too_few = "the server needs one of its own",
	.state_size = sizeof(struct transports),
	.run = transports_run,
};
