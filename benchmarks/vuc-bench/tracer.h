/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_TRACER_H
#define BENCH_TRACER_H

/*
 * Counts the system calls of a thread, all of them: a process of its own watches it by ptrace(2),
 * which needs no privileges. A thread that makes none runs as fast as ever; one that does pays
 * dearly for each.
 */

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

struct bench_tracer_shared;

struct bench_tracer {
	pid_t pid; /* 0: nothing is counted */
	struct bench_tracer_shared *shared;
};

/* What both processes see. */
struct bench_tracer_shared {
	_Atomic int status; /* 0: not yet; 1: counting; else a negative errno */
	_Atomic int stop;
	_Atomic uint64_t syscalls;
	_Atomic uint64_t futexes; /* of these: to sleep, or to wake somebody */
};

struct bench_tracer_counts {
	uint64_t syscalls;
	uint64_t futexes;
};

/* Count those of the calling thread from now on. Returns 0, or a negative errno where that is not
 * allowed: nothing is counted then. */
int bench_tracer_begin(struct bench_tracer *tracer);

/* Called by the same thread. Nothing happens when nothing is counted. */
void bench_tracer_end(struct bench_tracer *tracer);

/* How many there have been, for differences; a look makes none itself. The tracer counts while the
 * thread is stopped. */
static inline struct bench_tracer_counts
bench_tracer_count(const struct bench_tracer *tracer)
{
	struct bench_tracer_counts counts = {0};

	if (tracer->pid == 0)
		return counts;
	counts.syscalls = atomic_load_explicit(&tracer->shared->syscalls, memory_order_relaxed);
	counts.futexes = atomic_load_explicit(&tracer->shared->futexes, memory_order_relaxed);
	return counts;
}

#endif /* BENCH_TRACER_H */
