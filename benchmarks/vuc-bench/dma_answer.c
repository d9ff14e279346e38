/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma_answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <vuc/dma.h>

#include "clock.h"
#include "error.h"
#include "interrupt.h"
#include "stream.h"
#include "way.h"

#define POLLS_PER_LOOK 8192u
#define LOOK_MS        5 /* between two looks of a thread that sleeps */

int
bench_dma_answer_floor(struct bench_dma_answer *a, struct vuc_error *err)
{
	const struct bench_dma_plan *plan = a->plan;
	uint32_t transfers = plan->samples * plan->per_sample;
	struct bench_stream s;
	int ret = 0;

	bench_stream_init(&s, a->clock, a->peer->fd, plan->timeout_ms);
	for (uint32_t i = 0; i < transfers && ret == 0; i++) {
		uint8_t *memory = a->memory + (size_t)(i % plan->depth) * plan->size;
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
	a->syscalls = s.syscalls;
	return ret != 0 ? bench_fail(err, ret, "floor: %s", strerror(-ret)) : 0;
}

static int
poller_explain(const struct bench_dma_answer *a, int ret, struct vuc_error *err)
{
	const char *reason = vuc_device_reason(a->dev);

	return bench_fail(err, ret, "vuc: %s", reason[0] != '\0' ? reason : strerror(-ret));
}

/* What follows is called on the thread that drives the device. */

struct call {
	struct bench_dma_answer *answer;
	struct vuc_error *err;
};

/* From here on its system calls are counted. */
static int
map_memory(void *arg)
{
	struct call *call = arg;
	struct bench_dma_answer *a = call->answer;
	const struct vuc_dma_mapping mapping = {
		.size = a->memory_size,
		.flags = VUC_DMA_READ | VUC_DMA_WRITE,
		.fd = -1,
		.addr = a->memory,
	};
	int ret;

	a->syscalls = vuc_poll_group_syscalls(a->group);
	ret = vuc_dma_map(a->dev, &mapping);
	if (ret == 0)
		ret = vuc_dma_commit(a->dev);
	return ret != 0 ? poller_explain(a, ret, call->err) : 0;
}

/* A peer that is done has every right to go. */
static int
look_at_device(void *arg)
{
	struct call *call = arg;
	struct bench_dma_answer *a = call->answer;

	if (!vuc_device_connected(a->dev) && bench_dma_peer_status(a->peer) == 0)
		return poller_explain(a, -ECONNRESET, call->err);
	return 0;
}

static int
count_syscalls(void *arg)
{
	struct call *call = arg;
	struct bench_dma_answer *a = call->answer;

	a->syscalls = vuc_poll_group_syscalls(a->group) - a->syscalls;
	return 0;
}

static struct vuc_device_opts
device_opts(const struct bench_dma_answer *a)
{
	struct vuc_device_opts opts;

	vuc_device_opts_init(&opts, sizeof(opts));
	opts.fd = a->peer->fd;
	opts.group = a->group;
	opts.timeout_ms = BENCH_TIMEOUT_MS;
	opts.dma = VUC_DMA_MESSAGE;
	return opts;
}

static void
use_group(struct bench_dma_answer *a, struct vuc_poll_group *group)
{
	a->group = group;
	snprintf(a->transport_text, sizeof(a->transport_text), "%s",
		vuc_poll_group_transport(group));
}

static int
poll_device(struct call *call)
{
	struct bench_dma_answer *a = call->answer;

	for (unsigned int polls = 1; bench_dma_peer_status(a->peer) == 0; polls++) {
		int ret = vuc_poll_group_poll(a->group);

		if (ret < 0)
			return poller_explain(a, ret, call->err);
		if (polls % POLLS_PER_LOOK != 0)
			continue;
		if (bench_interrupted())
			return bench_fail(call->err, -EINTR, "interrupted");
		ret = look_at_device(call);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int
answer_open_inline(struct bench_dma_answer *a, struct vuc_error *err)
{
	const struct vuc_device_opts opts = device_opts(a);
	struct call call = {.answer = a, .err = err};
	int ret = vuc_device_open(&opts, &a->dev, err);

	if (ret != 0)
		return ret;
	ret = map_memory(&call);
	if (ret == 0)
		ret = poll_device(&call);
	count_syscalls(&call);
	vuc_device_close(a->dev);
	a->dev = NULL;
	return ret;
}

int
bench_dma_answer_inline(struct bench_dma_answer *a, struct vuc_error *err)
{
	struct vuc_poll_group_opts opts;
	struct vuc_poll_group *group;
	int ret;

	vuc_poll_group_opts_init(&opts, sizeof(opts));
	opts.log = bench_log;
	opts.transport = a->transport;
	ret = vuc_poll_group_create(&opts, &group, err);
	if (ret != 0)
		return ret;
	use_group(a, group);
	ret = answer_open_inline(a, err);
	vuc_poll_group_destroy(group);
	return ret;
}

/* The CPU is the poller's: look seldom. */
static int
wait_for_poller(struct call *call)
{
	const struct bench_dma_answer *a = call->answer;

	while (bench_dma_peer_status(a->peer) == 0) {
		int ret;

		vuc_clock_sleep_ms(LOOK_MS);
		if (bench_interrupted())
			return bench_fail(call->err, -EINTR, "interrupted");
		ret = vuc_poller_call(a->poller, look_at_device, call);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int
answer_open_poller(struct bench_dma_answer *a, struct vuc_error *err)
{
	const struct vuc_device_opts opts = device_opts(a);
	struct call call = {.answer = a, .err = err};
	int ret = vuc_poller_open_device(a->poller, &opts, &a->dev, err);

	if (ret != 0)
		return ret;
	ret = vuc_poller_call(a->poller, map_memory, &call);
	if (ret == 0)
		ret = wait_for_poller(&call);
	vuc_poller_call(a->poller, count_syscalls, &call);
	vuc_poller_close_device(a->poller, a->dev);
	a->dev = NULL;
	return ret;
}

int
bench_dma_answer_poller(struct bench_dma_answer *a, struct vuc_error *err)
{
	struct vuc_poller_opts opts;
	int ret;

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.name = "bench";
	opts.cpu = (int)a->cpu;
	opts.transport = a->transport;
	ret = vuc_poller_create(&opts, &a->poller, err);
	if (ret != 0)
		return ret;
	use_group(a, vuc_poller_poll_group(a->poller));
	ret = answer_open_poller(a, err);
	vuc_poller_destroy(a->poller);
	a->poller = NULL;
	return ret;
}
