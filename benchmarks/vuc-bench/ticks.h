/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_TICKS_H
#define BENCH_TICKS_H

/* The clock that all series of a run are measured with. */

#include <stdbool.h>
#include <stdint.h>

#include <rte_cycles.h>

#include "clock.h"

struct bench_clock {
	bool tsc; /* ticks are those of the CPU's time stamp counter, else nanoseconds */
	double ns_per_tick;
};

/* Take the time stamp counter where it runs at a constant rate, and find out at which: this takes
 * some 20 ms. Elsewhere take CLOCK_MONOTONIC. */
void bench_clock_init(struct bench_clock *clock);

static inline uint64_t
bench_clock_ticks(const struct bench_clock *clock)
{
	return clock->tsc ? rte_rdtsc() : vuc_clock_ns();
}

static inline uint64_t
bench_clock_from_ms(const struct bench_clock *clock, unsigned int ms)
{
	return (uint64_t)((double)ms * 1e6 / clock->ns_per_tick);
}

#endif /* BENCH_TICKS_H */
