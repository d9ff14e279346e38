/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>

#include "dma_way.h"
#include "error.h"

/* Loops of a poller that shares its CPU before it sleeps: whoever called it waits for that CPU. */
#define IDLE_LOOPS 1

static struct bench_dma_poller *
poller_of(struct bench_dma_way *way)
{
	return (struct bench_dma_poller *)way;
}

struct call {
	struct bench_dma_way *way;
	int (*act)(struct bench_dma_way *way, struct vuc_error *err);
	struct vuc_error *err;
};

/* On the poller's thread, whose the device is. */
static int
act_there(void *arg)
{
	const struct call *call = arg;

	return call->act(call->way, call->err);
}

static int
call_poller(struct bench_dma_poller *p,
	int (*act)(struct bench_dma_way *way, struct vuc_error *err), struct vuc_error *err)
{
	struct call call = {.way = &p->there.way, .act = act, .err = err};
	int ret = vuc_poller_call(p->poller, act_there, &call);

	p->way.syscalls = p->there.way.syscalls;
	return ret;
}

static int
poller_map(struct bench_dma_way *way, struct vuc_error *err)
{
	struct bench_dma_poller *p = poller_of(way);

	return call_poller(p, p->there.way.ops->map, err);
}

static int
poller_unmap(struct bench_dma_way *way, struct vuc_error *err)
{
	struct bench_dma_poller *p = poller_of(way);

	return call_poller(p, p->there.way.ops->unmap, err);
}

static void
poller_close(struct bench_dma_way *way)
{
	struct bench_dma_poller *p = poller_of(way);

	if (p->there.dev != NULL)
		vuc_poller_close_device(p->poller, p->there.dev);
	vuc_poller_destroy(p->poller);
	p->there.dev = NULL;
	p->there.group = NULL;
	p->poller = NULL;
}

static int
open_device(struct bench_dma_poller *p, struct vuc_error *err)
{
	struct vuc_device_opts opts;

	p->there.group = vuc_poller_poll_group(p->poller);
	snprintf(
		p->transport, sizeof(p->transport), "%s", vuc_poll_group_transport(p->there.group));
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = p->way.path;
	opts.timeout_ms = BENCH_TIMEOUT_MS;
	return vuc_poller_open_device(p->poller, &opts, &p->there.dev, err);
}

static int
poller_open(struct bench_dma_way *way, struct vuc_error *err)
{
	struct bench_dma_poller *p = poller_of(way);
	struct vuc_error why = {0};
	int ret = vuc_poller_create(&p->opts, &p->poller, &why);

	if (ret == 0)
		ret = open_device(p, &why);
	if (ret == 0)
		return 0;
	poller_close(way);
	return bench_fail(err, ret, "%s", why.text[0] != '\0' ? why.text : strerror(-ret));
}

static const struct bench_dma_way_ops poller_ops = {
	.open = poller_open,
	.close = poller_close,
	.map = poller_map,
	.unmap = poller_unmap,
};

void
bench_dma_poller_init(struct bench_dma_poller *poller, const struct bench_dma_memory *memory,
	const char *path, const char *transport)
{
	*poller = (struct bench_dma_poller){
		.way = {.ops = &poller_ops, .memory = memory, .path = path},
	};
	bench_dma_subject_prepare(&poller->there, memory, path);
	vuc_poller_opts_init(&poller->opts, sizeof(poller->opts));
	poller->opts.name = "bench";
	poller->opts.transport = transport;
}

void
bench_dma_place(struct vuc_poller_opts *opts, unsigned int cpu, bool shared)
{
	opts->cpu = (int)cpu;
	if (!shared)
		return;
	opts->idle = VUC_IDLE_SLEEP;
	opts->idle_loops = IDLE_LOOPS;
}
