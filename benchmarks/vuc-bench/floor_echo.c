/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "error.h"
#include "hop_floor.h"

#define STOP UINT32_MAX

static struct bench_floor_echo *
floor_of(struct bench_way *way)
{
	return (struct bench_floor_echo *)way;
}

static void *
echo_answer(void *arg)
{
	struct bench_echo_lines *lines = arg;
	uint32_t last = 0;

	while (last != STOP) {
		/* Pairs with send_word(). */
		uint32_t word = atomic_load_explicit(&lines->there, memory_order_acquire);

		if (word == last) {
			queue_pause();
			continue;
		}
		last = word;
		/* Pairs with floor_burst(). */
		atomic_store_explicit(&lines->back, word, memory_order_release);
	}
	return NULL;
}

static void
send_word(struct bench_echo_lines *lines, uint32_t word)
{
	/* Pairs with echo_answer(). */
	atomic_store_explicit(&lines->there, word, memory_order_release);
}

static int
floor_burst(struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	struct bench_floor_echo *f = floor_of(way);
	struct bench_echo_lines *lines = f->lines;

	(void)err;
	for (unsigned int i = 0; i < nr; i++) {
		uint64_t start = bench_clock_ticks(f->clock);
		uint32_t word = ++f->count;

		send_word(lines, word);
		/* Pairs with echo_answer(). */
		while (atomic_load_explicit(&lines->back, memory_order_acquire) != word)
			queue_pause();
		ticks[i] = bench_clock_ticks(f->clock) - start;
	}
	return 0;
}

static int
floor_settle(struct bench_way *way, struct vuc_error *err)
{
	uint64_t ticks;

	return floor_burst(way, 1, &ticks, err);
}

static int
floor_open(struct bench_way *way, struct vuc_error *err)
{
	struct bench_floor_echo *f = floor_of(way);

	void *lines = NULL;
	int ret;

	if (posix_memalign(&lines, BENCH_LINE, sizeof(*f->lines)) != 0)
		return bench_fail(err, -ENOMEM, "out of memory");
	memset(lines, 0, sizeof(*f->lines));
	f->count = 0;
	f->lines = lines;
	ret = bench_cpu_thread(&f->thread, f->cpu, echo_answer, lines, err);
	if (ret != 0)
		free(lines);
	return ret;
}

static void
floor_close(struct bench_way *way)
{
	struct bench_floor_echo *f = floor_of(way);

	send_word(f->lines, STOP);
	pthread_join(f->thread, NULL);
	free(f->lines);
}

static const struct bench_way_ops floor_echo_ops = {
	.open = floor_open,
	.close = floor_close,
	.burst = floor_burst,
	.settle = floor_settle,
};

void
bench_floor_echo_init(
	struct bench_floor_echo *floor, const struct bench_clock *clock, unsigned int cpu)
{
	*floor = (struct bench_floor_echo){
		.way.ops = &floor_echo_ops,
		.clock = clock,
		.cpu = cpu,
	};
}
