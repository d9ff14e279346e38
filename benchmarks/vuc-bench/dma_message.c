/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench dma-message: memory that the device accesses by message. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vuc/dma.h>

#include "bench.h"
#include "dma_peer.h"
#include "error.h"
#include "interrupt.h"
#include "stream.h"
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
#define POLLS_PER_LOOK    8192u

enum way {
	WAY_FLOOR,
	WAY_VUC,
	NR_WAYS
};

struct dma_message {
	const char *transport;
	uint32_t transfers;
	struct bench_dma_plan plan;

	char transport_text[16]; /* for the reports */
	uint8_t *memory;
	size_t memory_size;
	struct vuc_poll_group *group;
	struct vuc_device *dev;
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
		((struct dma_message *)state)->transport = words[i];
	return ret;
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
	(void)err;
	plan->samples = (d->transfers - 1) / PER_SAMPLE + 1;
	d->transfers = plan->samples * PER_SAMPLE;
	plan->timeout_ms = BENCH_TIMEOUT_MS +
		(unsigned int)((uint64_t)d->transfers * plan->size / MIN_BYTES_PER_MS);
	return 0;
}

static void
describe(struct dma_message *d)
{
	const struct bench_dma_plan *plan = &d->plan;
	uint32_t rounds = d->bench->options.rounds;
	struct bench_result *result = d->result;

	snprintf(result->headline, sizeof(result->headline),
		"DMA_%s of %" PRIu32 " bytes, %" PRIu32 " under way; %" PRIu32
		" rounds of %" PRIu32,
		plan->write ? "WRITE" : "READ", plan->size, plan->depth, rounds, d->transfers);
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
	struct vuc_poll_group_opts opts;

	d->memory_size = (size_t)d->plan.size * d->plan.depth;
	d->memory = malloc(d->memory_size);
	if (d->memory == NULL)
		return bench_fail(err, -ENOMEM, "no memory for %zu bytes", d->memory_size);
	memset(d->memory, BENCH_DMA_FILL, d->memory_size);
	vuc_poll_group_opts_init(&opts);
	opts.log = bench_log;
	opts.transport = d->transport;
	return vuc_poll_group_create(&opts, &d->group, err);
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
	snprintf(d->transport_text, sizeof(d->transport_text), "%s",
		vuc_poll_group_transport(d->group));
	series[WAY_FLOOR].transport = "socket";
	series[WAY_VUC].transport = d->transport_text;
	series[WAY_VUC].by_rate = true;
	return 0;
}

/* The floor: take a head, copy the data from or to where it belongs, answer. */
static int
serve_floor(struct dma_message *d, uint64_t *syscalls, struct vuc_error *err)
{
	const struct bench_dma_plan *plan = &d->plan;
	struct bench_stream s;
	int ret = 0;

	bench_stream_init(&s, &d->bench->clock, d->peer.fd, plan->timeout_ms);
	for (uint32_t i = 0; i < d->transfers && ret == 0; i++) {
		uint8_t *memory = d->memory + (size_t)(i % plan->depth) * plan->size;
		uint8_t head[BENCH_DMA_HEAD];

		ret = bench_stream_receive(&s, head, sizeof(head));
		if (ret == 0 && plan->write)
			ret = bench_stream_receive(&s, memory, plan->size);
		if (ret != 0)
			break;
		bench_dma_head_reply(head, plan);
		ret = bench_stream_send(
			&s, head, sizeof(head), memory, plan->write ? 0 : plan->size);
	}
	*syscalls = s.syscalls;
	return ret != 0 ? bench_fail(err, ret, "floor: %s", strerror(-ret)) : 0;
}

static int
explain(const struct dma_message *d, int ret, struct vuc_error *err)
{
	const char *reason = vuc_device_reason(d->dev);

	return bench_fail(err, ret, "vuc: %s", reason[0] != '\0' ? reason : strerror(-ret));
}

/* Poll until the peer is done. */
static int
poll_device(struct dma_message *d, struct vuc_error *err)
{
	for (unsigned int polls = 1; bench_dma_peer_status(&d->peer) == 0; polls++) {
		int ret = vuc_poll_group_poll(d->group);

		if (ret < 0)
			return explain(d, ret, err);
		if (polls % POLLS_PER_LOOK != 0)
			continue;
		if (bench_interrupted())
			return bench_fail(err, -EINTR, "interrupted");
		if (!vuc_device_connected(d->dev) && bench_dma_peer_status(&d->peer) == 0)
			return explain(d, -ECONNRESET, err);
	}
	return 0;
}

static int
serve_mapped(struct dma_message *d, struct vuc_error *err)
{
	const struct vuc_dma_mapping mapping = {
		.size = d->memory_size,
		.flags = VUC_DMA_READ | VUC_DMA_WRITE,
		.fd = -1,
		.addr = d->memory,
	};
	int ret = vuc_dma_map(d->dev, &mapping);

	if (ret == 0)
		ret = vuc_dma_commit(d->dev);
	return ret != 0 ? explain(d, ret, err) : poll_device(d, err);
}

static int
serve_vuc(struct dma_message *d, uint64_t *syscalls, struct vuc_error *err)
{
	struct vuc_device_opts opts;
	int ret;

	vuc_device_opts_init(&opts);
	opts.fd = d->peer.fd;
	opts.group = d->group;
	opts.timeout_ms = BENCH_TIMEOUT_MS;
	opts.dma = VUC_DMA_MESSAGE;
	ret = vuc_device_open(&opts, &d->dev, err);
	if (ret != 0)
		return ret;
	*syscalls = vuc_poll_group_syscalls(d->group);
	ret = serve_mapped(d, err);
	*syscalls = vuc_poll_group_syscalls(d->group) - *syscalls;
	vuc_device_close(d->dev);
	d->dev = NULL;
	return ret;
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
finish_turn(const struct dma_message *d, struct bench_series *series, uint64_t syscalls,
	struct vuc_error *err)
{
	int status = wait_for_peer(d);

	if (status < 0)
		return bench_fail(err, status, "%s: the server of the measurement: %s",
			series->name, strerror(-status));
	bench_samples_add(&series->samples, d->peer.shared->ticks, d->plan.samples);
	series->syscalls += syscalls;
	bench_series_end_round(series);
	return 0;
}

static int
run_turn(void *arg, unsigned int way, struct vuc_error *err)
{
	struct dma_message *d = arg;
	const struct bench *bench = d->bench;
	uint64_t syscalls = 0;
	int ret;

	d->plan.negotiate = way == WAY_VUC;
	ret = bench_dma_peer_start(&d->peer, &d->plan, &bench->clock, bench->env.cpus.cpu[1], err);
	if (ret != 0)
		return ret;
	ret = way == WAY_VUC ? serve_vuc(d, &syscalls, err) : serve_floor(d, &syscalls, err);
	if (ret == 0)
		ret = finish_turn(d, &d->result->series[way], syscalls, err);
	bench_dma_peer_stop(&d->peer);
	return ret;
}

static int
measure(struct dma_message *d, struct vuc_error *err)
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
	if (ret == 0)
		ret = bench_turns_run(&turns, err);
	vuc_poll_group_destroy(d->group);
	free(d->memory);
	if (ret == 0 && bench_result_finish(d->result) != 0)
		ret = bench_fail(err, -ENOMEM, "out of memory");
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
	describe(d);
	ret = measure(d, err);
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
