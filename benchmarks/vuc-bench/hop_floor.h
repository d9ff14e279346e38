/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_HOP_FLOOR_H
#define BENCH_HOP_FLOOR_H

/* The least that a request can cost that a thread on another CPU answers. Each has such a thread
 * while its way is open. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "back.h"
#include "queue_way.h"

/* Far enough apart that no CPU fetches both at once. */
#define BENCH_LINE 128

struct bench_echo_lines {
	_Alignas(BENCH_LINE) _Atomic uint32_t there;
	_Alignas(BENCH_LINE) _Atomic uint32_t back;
};

/* A word goes there and another one comes back, each on a cache line of its own. */
struct bench_floor_echo {
	struct bench_way way;
	const struct bench_clock *clock;
	unsigned int cpu; /* of the thread that answers */
	pthread_t thread;
	uint32_t count; /* of words so far */
	struct bench_echo_lines *lines;
};

void bench_floor_echo_init(
	struct bench_floor_echo *floor, const struct bench_clock *clock, unsigned int cpu);

/* The queue itself: requests are taken and answered, and nothing is done. */
struct bench_floor_ring {
	struct bench_queue_way queue;
	unsigned int cpu; /* of the thread that answers */
	pthread_t thread;
	_Atomic bool stop;
	void *requests;
	void *completions;
	struct vuc_queue_back back;
};

void bench_floor_ring_init(struct bench_floor_ring *floor, const struct bench_clock *clock,
	const struct bench_access *access, unsigned int cpu);

#endif /* BENCH_HOP_FLOOR_H */
