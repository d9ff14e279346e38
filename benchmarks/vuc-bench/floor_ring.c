/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "error.h"
#include "front.h"
#include "hop_floor.h"

#define BURST 32 /* requests between two looks at anything else, as a poller has it */

static struct bench_floor_ring *
floor_of(struct bench_way *way)
{
	return (struct bench_floor_ring *)way;
}

static void
ring_answer(struct vuc_queue_back *back, const struct vuc_queue_taken *taken)
{
	const struct queue_request_slot *slot = &taken->slot;

	vuc_queue_back_take(back, taken);
	if (slot->op != VUC_QUEUE_WRITE_POSTED)
		vuc_queue_back_complete(
			back, slot->id, 0, slot->op == VUC_QUEUE_READ ? slot->count : 0);
}

static void *
ring_serve(void *arg)
{
	struct bench_floor_ring *f = arg;
	struct vuc_queue_taken taken;

	while (!atomic_load_explicit(&f->stop, memory_order_relaxed)) {
		unsigned int n = 0;

		for (; n < BURST && vuc_queue_back_peek(&f->back, &taken) > 0; n++)
			ring_answer(&f->back, &taken);
		if (n > 0)
			vuc_queue_back_flush(&f->back);
		else
			queue_pause();
	}
	return NULL;
}

static void *
alloc_area(size_t size)
{
	void *area = NULL;

	if (posix_memalign(&area, 4096, size) != 0)
		return NULL;
	memset(area, 0, size);
	return area;
}

static int
make_queue(struct bench_floor_ring *f)
{
	const struct vuc_queue_geometry geometry = {
		.depth = f->queue.access->together,
		.chunk = BENCH_QUEUE_DATA,
	};
	struct vuc_queue_front_opts front = {.geometry = geometry};
	struct vuc_queue_back_opts back = {.geometry = geometry};
	int ret;

	f->requests = alloc_area(vuc_queue_requests_size(&geometry));
	f->completions = alloc_area(vuc_queue_completions_size(&geometry));
	if (f->requests == NULL || f->completions == NULL)
		return -ENOMEM;
	front.requests = f->requests;
	back.requests = f->requests;
	front.completions = f->completions;
	back.completions = f->completions;
	ret = vuc_queue_back_init(&f->back, &back);
	if (ret != 0)
		return ret;
	f->queue.queue = vuc_queue_create(&front);
	return f->queue.queue != NULL ? 0 : -ENOMEM;
}

static void
free_queue(struct bench_floor_ring *f)
{
	vuc_queue_destroy(f->queue.queue);
	vuc_queue_back_fini(&f->back);
	free(f->requests);
	free(f->completions);
	f->queue.queue = NULL;
	f->requests = NULL;
	f->completions = NULL;
}

static int
floor_open(struct bench_way *way, struct vuc_error *err)
{
	struct bench_floor_ring *f = floor_of(way);
	int ret = make_queue(f);

	if (ret != 0) {
		bench_fail(err, ret, "no memory for a queue");
	} else {
		atomic_store_explicit(&f->stop, false, memory_order_relaxed);
		ret = bench_cpu_thread(&f->thread, f->cpu, ring_serve, f, err);
	}
	if (ret != 0)
		free_queue(f);
	return ret;
}

static void
floor_close(struct bench_way *way)
{
	struct bench_floor_ring *f = floor_of(way);

	atomic_store_explicit(&f->stop, true, memory_order_relaxed);
	pthread_join(f->thread, NULL);
	free_queue(f);
}

static const struct bench_way_ops floor_ring_ops = {
	.open = floor_open,
	.close = floor_close,
	.burst = bench_queue_way_burst,
	.settle = bench_queue_way_settle,
};

void
bench_floor_ring_init(struct bench_floor_ring *floor, const struct bench_clock *clock,
	const struct bench_access *access, unsigned int cpu)
{
	*floor = (struct bench_floor_ring){.cpu = cpu};
	bench_queue_way_init(&floor->queue, &floor_ring_ops, clock, access);
}
