/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench dma-message: memory that the device accesses by message. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "dma_answer.h"
#include "eal.h"
#include "error.h"
#include "interrupt.h"
#include "path.h"
#include "turns.h"
#include "way.h"

#define PER_SAMPLE        16
#define DEFAULT_SIZE      65536
#define MIN_SIZE          4096
#define MAX_SIZE          1048576 /* what vuc lets a message carry */
#define DEFAULT_DEPTH     1
#define MAX_DEPTH         32
#define DEFAULT_TRANSFERS 512
#define MAX_TRANSFERS     100000
#define MIN_BYTES_PER_MS  10000 /* slower than that is given up on */

enum way {
	WAY_FLOOR,
	WAY_VUC,
	NR_WAYS
};

struct dma_message {
	enum bench_path path;
	uint32_t transfers;
	struct bench_dma_plan plan;

	struct bench_dma_answer answer;
	struct bench_dma_peer peer;
	const struct bench *bench;
	struct bench_result *result;
};

static int
parse_transport(void *state, const char *text, struct vuc_error *err)
{
	static const char *const words[] = {"uring", "posix", NULL};
	unsigned int i = 0;
	int ret = bench_parse_word("transport", text, words, &i, err);

	if (ret == 0)
		((struct dma_message *)state)->answer.transport = words[i];
	return ret;
}

static int
parse_path(void *state, const char *text, struct vuc_error *err)
{
	return bench_path_parse(&((struct dma_message *)state)->path, text, err);
}

static int
parse_op(void *state, const char *text, struct vuc_error *err)
{
	static const char *const words[] = {"read", "write", NULL};
	unsigned int i = 0;
	int ret = bench_parse_word("op", text, words, &i, err);

	((struct dma_message *)state)->plan.write = i == 1;
	return ret;
}

static int
parse_size(void *state, const char *text, struct vuc_error *err)
{
	uint64_t size;
	int ret = bench_parse_number("size", text, MIN_SIZE, MAX_SIZE, &size, err);

	if (ret != 0)
		return ret;
	if (size % MIN_SIZE != 0)
		return bench_fail(
			err, -EINVAL, "--size: '%s' is no multiple of %d", text, MIN_SIZE);
	((struct dma_message *)state)->plan.size = (uint32_t)size;
	return 0;
}

static int
parse_depth(void *state, const char *text, struct vuc_error *err)
{
	return bench_parse_count(
		"depth", text, MAX_DEPTH, &((struct dma_message *)state)->plan.depth, err);
}

static int
parse_transfers(void *state, const char *text, struct vuc_error *err)
{
	return bench_parse_count(
		"transfers", text, MAX_TRANSFERS, &((struct dma_message *)state)->transfers, err);
}

static const struct bench_option dma_message_options[] = {
	{"transport", "NAME", "uring or posix (what vuc chooses)", parse_transport},
	{"path", "NAME", "inline: vuc answers in this thread; poller: in that of a poller (inline)",
		parse_path},
	{"op", "NAME", "what the device does to memory: read or write (read)", parse_op},
	{"size", "N", "bytes of a transfer: 4096 to 1048576 (65536)", parse_size},
	{"depth", "N", "transfers under way at once (1)", parse_depth},
	{"transfers", "N", "transfers of each series in a round (512)", parse_transfers},
	{0},
};

static void
dma_message_init(void *state)
{
	struct dma_message *d = state;

	d->transfers = DEFAULT_TRANSFERS;
	d->plan.size = DEFAULT_SIZE;
	d->plan.depth = DEFAULT_DEPTH;
	d->plan.per_sample = PER_SAMPLE;
	d->peer.fd = -1;
}

/* Whole samples are taken. */
static int
dma_message_check(const struct bench *bench, void *state, struct vuc_error *err)
{
	struct dma_message *d = state;
	struct bench_dma_plan *plan = &d->plan;

	(void)bench;
	if (d->path == BENCH_PATH_SHM)
		return bench_fail(err, -EINVAL,
			"--path shm: the daemon's poller answers, and the VMM has no part in it: "
			"that is --path poller");
	plan->samples = (d->transfers - 1) / PER_SAMPLE + 1;
	d->transfers = plan->samples * PER_SAMPLE;
	plan->timeout_ms = BENCH_TIMEOUT_MS +
		(unsigned int)((uint64_t)d->transfers * plan->size / MIN_BYTES_PER_MS);
	return 0;
}

static bool
has_poller(const struct dma_message *d)
{
	return d->path == BENCH_PATH_POLLER;
}

static void
dma_message_describe(struct dma_message *d)
{
	const struct bench_dma_plan *plan = &d->plan;
	uint32_t rounds = d->bench->options.rounds;
	struct bench_result *result = d->result;

	snprintf(result->headline, sizeof(result->headline),
		"DMA_%s of %" PRIu32 " bytes, %" PRIu32 " under way; %" PRIu32
		" rounds of %" PRIu32,
		plan->write ? "WRITE" : "READ", plan->size, plan->depth, rounds, d->transfers);
	if (has_poller(d))
		snprintf(result->note, sizeof(result->note),
			"vuc's side is a poller on CPU %u; the thread that has set it up sleeps",
			d->answer.cpu);
	bench_result_add_text(result, "path", bench_path_name(d->path));
	snprintf(result->server, sizeof(result->server), "a process of its own, polling on CPU %u",
		d->bench->env.cpus.cpu[1]);
	snprintf(result->floor, sizeof(result->floor),
		"a copy of the same bytes between socket and memory, nothing is checked");
	snprintf(result->timed, sizeof(result->timed),
		"by the server: from one reply to the %dth behind it, divided by %d", PER_SAMPLE,
		PER_SAMPLE);
	result->unit = "transfer";
	result->units = "transfers";
	result->bytes = plan->size;
	bench_result_add_text(result, "op", plan->write ? "write" : "read");
	bench_result_add_number(result, "size", plan->size);
	bench_result_add_number(result, "depth", plan->depth);
	bench_result_add_number(result, "transfers", d->transfers);
	bench_result_add_number(result, "rounds", rounds);
}

static int
set_up(struct dma_message *d, struct vuc_error *err)
{
	struct bench_dma_answer *a = &d->answer;

	a->clock = &d->bench->clock;
	a->plan = &d->plan;
	a->peer = &d->peer;
	a->cpu = d->bench->env.cpus.cpu[0];
	a->memory_size = (size_t)d->plan.size * d->plan.depth;
	a->memory = malloc(a->memory_size);
	if (a->memory == NULL)
		return bench_fail(err, -ENOMEM, "no memory for %zu bytes", a->memory_size);
	memset(a->memory, BENCH_DMA_FILL, a->memory_size);
	return 0;
}

static int
set_up_series(struct dma_message *d, struct vuc_error *err)
{
	const struct bench_series_shape shape = {
		.ns_per_tick = d->bench->clock.ns_per_tick,
		.per_sample = PER_SAMPLE,
		.rounds = d->bench->options.rounds,
		.samples_per_round = d->plan.samples,
	};
	struct bench_series *series = d->result->series;
	int ret;

	d->result->nr_series = NR_WAYS;
	ret = bench_series_init(&series[WAY_FLOOR], "floor", &shape);
	if (ret == 0)
		ret = bench_series_init(&series[WAY_VUC], "vuc", &shape);
	if (ret != 0)
		return bench_fail(err, ret, "no memory for the samples");
	series[WAY_FLOOR].transport = "socket";
	series[WAY_VUC].transport = d->answer.transport_text;
	series[WAY_VUC].by_rate = true;
	return 0;
}

/* Replies may be on their way to the peer still. Returns its status. */
static int
wait_for_peer(const struct dma_message *d)
{
	const struct bench_clock *clock = &d->bench->clock;
	uint64_t deadline = bench_clock_ticks(clock) + bench_clock_from_ms(clock, BENCH_TIMEOUT_MS);
	int status;

	while ((status = bench_dma_peer_status(&d->peer)) == 0) {
		if (bench_interrupted())
			return -EINTR;
		if (bench_clock_ticks(clock) > deadline)
			return -ETIMEDOUT;
	}
	return status;
}

static int
finish_turn(const struct dma_message *d, struct bench_series *series, struct vuc_error *err)
{
	int status = wait_for_peer(d);

	if (status < 0)
		return bench_fail(err, status, "%s: the server of the measurement: %s",
			series->name, strerror(-status));
	bench_samples_add(&series->samples, d->peer.shared->ticks, d->plan.samples);
	series->syscalls += d->answer.syscalls;
	bench_series_end_round(series);
	return 0;
}

static bench_dma_answer_fn
answer_of(const struct dma_message *d, unsigned int way)
{
	if (way == WAY_FLOOR)
		return bench_dma_answer_floor;
	return has_poller(d) ? bench_dma_answer_poller : bench_dma_answer_inline;
}

static int
run_turn(void *arg, unsigned int way, struct vuc_error *err)
{
	struct dma_message *d = arg;
	const struct bench *bench = d->bench;
	int ret;

	d->plan.negotiate = way == WAY_VUC;
	ret = bench_dma_peer_start(&d->peer, &d->plan, &bench->clock, bench->env.cpus.cpu[1], err);
	if (ret != 0)
		return ret;
	ret = answer_of(d, way)(&d->answer, err);
	if (ret == 0)
		ret = finish_turn(d, &d->result->series[way], err);
	bench_dma_peer_stop(&d->peer);
	return ret;
}

static int
run_turns(struct dma_message *d, struct vuc_error *err)
{
	const struct bench_turns turns = {
		.name = d->result->measurement,
		.rounds = d->bench->options.rounds,
		.nr_ways = NR_WAYS,
		.turn = run_turn,
		.arg = d,
	};
	int ret = set_up(d, err);

	if (ret == 0)
		ret = set_up_series(d, err);
	if (ret == 0) {
		dma_message_describe(d);
		ret = bench_turns_run(&turns, err);
	}
	free(d->answer.memory);
	if (ret == 0 && bench_result_finish(d->result) != 0)
		ret = bench_fail(err, -ENOMEM, "out of memory");
	return ret;
}

static int
dma_message_measure(struct dma_message *d, struct vuc_error *err)
{
	int ret;

	if (!has_poller(d))
		return run_turns(d, err);
	ret = bench_eal_init(err);
	if (ret != 0)
		return ret;
	ret = run_turns(d, err);
	bench_eal_fini();
	return ret;
}

static int
dma_message_run(
	struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct dma_message *d = state;
	int latency;
	int ret;

	d->bench = bench;
	d->result = result;
	bench->env.cpus = bench->options.cpus;
	ret = bench_cpus_settle(&bench->env.cpus, 2, "the server needs one of its own", err);
	if (ret == 0)
		ret = bench_cpu_pin(bench->env.cpus.cpu[0], err);
	if (ret != 0)
		return ret;
	latency = bench_cpu_hold_latency();
	bench_env_set_latency(&bench->env, latency);
	ret = dma_message_measure(d, err);
	if (latency >= 0)
		close(latency);
	return ret;
}

const struct bench_ops bench_dma_message = {
	.name = "dma-message",
	.summary = "How fast a device moves data by messages next to a copy over the socket",
	.options = dma_message_options,
	.state_size = sizeof(struct dma_message),
	.init = dma_message_init,
	.check = dma_message_check,
	.run = dma_message_run,
};
