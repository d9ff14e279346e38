/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench front: what vucd costs a stock VMM that attaches to it instead of to the server. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "dma.h"
#include "floor.h"

#define DEVICE     "device"
#define MAPS       1024
#define CONFIG_MAX (512 + 2 * BENCH_SOCKET_MAX)

/* What the client connects to. */
enum way {
	WAY_DIRECT, /* the floor: the server itself */
	WAY_VUCD,
	NR_WAYS
};

enum action {
	ACTION_READ,
	ACTION_WRITE,
	ACTION_MAP,
	ACTION_UNMAP,
	NR_ACTIONS
};

static const char *const action_names[NR_ACTIONS] = {"read", "write", "map", "unmap"};

struct front {
	struct bench *bench;
	struct bench_dma_memory memory;
	struct bench_refdev server;
	struct bench_vucd vucd;
	char path[BENCH_SOCKET_MAX]; /* of the exported device */
	struct bench_floor client;
	struct bench_dma_floor mapper;
};

static const char *const idle_names[] = {"spin", "yield", "sleep", NULL};

static const struct bench_option front_options[] = {
	BENCH_OPTION_NUMBER("ops", "reads, and as many writes, per round (2000)", ops, 1, 1000000),
	{"idle", "NAME", "what vucd's poller does while it is idle: spin, yield or sleep (sleep)",
		BENCH_WORD, BENCH_FIELD(idle), 0, 0, idle_names},
	{0},
};

static struct bench_series *
series_of(struct front *f, enum action action, enum way way)
{
	return &f->bench->result->series[action * NR_WAYS + way];
}

/* As in QEMU: the thread that sends sleeps until another one has received the reply. */
static int
time_accesses(
	struct front *f, enum way way, enum action action, const char *path, struct vuc_error *err)
{
	struct bench_access access = bench_scratch_access;
	struct bench_way *client = &f->client.way;
	struct bench_series *series = series_of(f, action, way);
	int ret;

	access.op = action == ACTION_READ ? BENCH_READ : BENCH_WRITE;
	bench_floor_init(&f->client, BENCH_FLOOR_HANDOVER, &f->bench->clock, &access);
	f->client.path = path;
	ret = client->ops->open(client, err);
	if (ret != 0)
		return ret;
	client->syscalls = f->client.wire.syscalls;
	ret = bench_samples_run(f->bench, client, series, f->bench->options.ops, 1, false, err);
	client->ops->close(client);
	bench_series_end_round(series);
	return ret;
}

/* As QEMU does for a guest with an IOMMU: without waiting for each reply. */
static int
time_maps(struct front *f, enum way way, const char *path, struct vuc_error *err)
{
	int ret;

	bench_dma_floor_init(&f->mapper, &f->bench->clock, &f->memory, BENCH_DMA_WINDOW);
	ret = bench_dma_floor_open(&f->mapper, path, err);
	if (ret != 0)
		return ret;
	for (enum action action = ACTION_MAP; action <= ACTION_UNMAP && ret == 0; action++) {
		struct bench_series *series = series_of(f, action, way);
		uint64_t syscalls = f->mapper.wire.syscalls;
		uint64_t start = bench_clock_ticks(&f->bench->clock);

		ret = bench_dma_floor_act(&f->mapper, action == ACTION_UNMAP, err);
		if (ret != 0)
			break;
		bench_series_add_since(f->bench, series, start);
		series->syscalls += f->mapper.wire.syscalls - syscalls;
		bench_series_end_round(series);
	}
	close(f->mapper.wire.fd);
	return ret;
}

static int
daemon_start(struct front *f, struct vuc_error *err)
{
	char config[CONFIG_MAX];
	int n;

	n = snprintf(f->path, sizeof(f->path), "%s.front", f->server.socket);
	if (n < 0 || (size_t)n >= sizeof(f->path))
		return bench_fail(err, -ENAMETOOLONG, "%s: the path is too long", f->server.socket);
	snprintf(config, sizeof(config),
		"[poller io1]\ncpu = none\nidle = %s\n"
		"[device " DEVICE "]\nsocket = %s\nexport = %s\npoller = io1\n",
		f->bench->options.idle, f->server.socket, f->path);
	return bench_vucd_start(&f->vucd, config, err);
}

static int
front_turn(struct bench *b, unsigned int i, struct vuc_error *err)
{
	const struct bench_refdev_opts opts = {
		.cpu = b->env.cpus.cpu[1], .block = true, .sockets = 1};
	struct front *f = b->state;
	enum way way = (enum way)i;
	int ret = bench_refdev_start(&f->server, &opts, err);

	if (ret == 0 && way == WAY_VUCD)
		ret = daemon_start(f, err);
	for (enum action action = ACTION_READ; action <= ACTION_WRITE && ret == 0; action++)
		ret = time_accesses(
			f, way, action, way == WAY_VUCD ? f->path : f->server.socket, err);
	if (ret == 0)
		ret = time_maps(f, way, way == WAY_VUCD ? f->path : f->server.socket, err);
	bench_vucd_stop(&f->vucd);
	bench_child_stop(&f->server.child);
	return ret;
}

static void
front_describe(struct bench *b)
{
	static const char *const names[NR_WAYS] = {"direct", "vucd"};
	struct bench_result *result = b->result;

	bench_say(result->headline, "a stock VMM of a device that vucd exports; %" PRIu32 " rounds",
		b->options.rounds);
	bench_say(result->server, "vuc-refdev, sleeping; vucd's poller: %s", b->options.idle);
	bench_say(result->floor, "the same client connected to the server itself");
	bench_say(result->timed,
		"reads and writes of 4 bytes, whose replies an I/O thread receives; maps and unmaps "
		"of %u pages, %u outstanding, per page",
		MAPS, BENCH_DMA_WINDOW);
	for (enum action i = 0; i < NR_ACTIONS; i++) {
		bool maps = i >= ACTION_MAP;

		bench_group_append(b, action_names[i], names, NR_WAYS, NULL,
			maps ? 1 : b->options.ops, maps ? MAPS : 1);
	}
}

static int
front_run(struct bench *b, struct vuc_error *err)
{
	struct front *f = b->state;
	int ret;

	f->bench = b;
	front_describe(b);
	ret = bench_dma_memory_make(&f->memory, MAPS, true, err);
	if (ret == 0)
		ret = bench_turns_run(b, b->ops->name, NR_WAYS, front_turn, err);
	bench_dma_memory_free(&f->memory);
	return ret;
}

const struct bench_ops bench_front = {
	.name = "front",
	.summary = "The time that vucd adds to the requests of a stock VMM",
	.unit = "action",
	.units = "actions",
	.options = front_options,
	.defaults = {.rounds = 10, .ops = 2000, .idle = "sleep"},
	.setup = BENCH_CPU_PAIR_FREE,
	.too_few = "the server needs one of its own",
	.state_size = sizeof(struct front),
	.run = front_run,
};
