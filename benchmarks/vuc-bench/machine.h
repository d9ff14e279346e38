/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

/*
 * The machine that a figure belongs to: CPUs, clock, versions, signals; and error texts.
 *
 * Here and in the other headers, an int that is returned is 0 or a negative errno, unless its
 * comment says otherwise, and then err has a line about it.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include <vuc/error.h>
#include <vuc/log.h>

#include "clock.h"

/* Format a line into err and return code; control characters are replaced by '?'. */
int bench_fail(struct vuc_error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* bench_fail() with what the library said, or the errno's text where it said nothing. */
int bench_fail_why(struct vuc_error *err, int code, const char *before, const char *why);

/* A vuc_log_fn: print the library's log to stderr where that is a terminal. */
void bench_log(void *arg, enum vuc_log_level level, const char *line);

/* Let SIGINT, SIGTERM and SIGHUP ask for an orderly end, and writes to closed pipes fail. */
void bench_interrupt_install(void);
bool bench_interrupted(void);

/* -EINTR after a signal. */
int bench_interrupt_check(struct vuc_error *err);

/* Die of the signal that came, as the caller's shell expects. Does nothing when none came. */
void bench_interrupt_raise(void);

/* The clock that all series of a run are measured with. */
struct bench_clock {
	bool tsc; /* ticks are those of the CPU's time stamp counter, else nanoseconds */
	double ns_per_tick;
};

/* Use the time stamp counter where it runs at a constant rate, and measure that rate, which takes
 * about 20 ms; else CLOCK_MONOTONIC. */
void bench_clock_init(struct bench_clock *clock);

static inline uint64_t
bench_clock_ticks(const struct bench_clock *clock)
{
#if defined(__x86_64__)
	if (clock->tsc)
		return __rdtsc();
#endif
	(void)clock;
	return vuc_clock_ns();
}

static inline uint64_t
bench_clock_from_ms(const struct bench_clock *clock, unsigned int ms)
{
	return (uint64_t)((double)ms * 1e6 / clock->ns_per_tick);
}

#define BENCH_MAX_CPUS 3

struct bench_cpus {
	unsigned int cpu[BENCH_MAX_CPUS]; /* ours, then those of server and poller */
	unsigned int nr;
};

/* Parse "A", "A,B" or "A,B,C". */
int bench_cpus_parse(const char *text, struct bench_cpus *cpus, struct vuc_error *err);

/* How many of them there are: those given, or all that the process may use. */
unsigned int bench_cpus_available(const struct bench_cpus *given);

/* Check that the process may use the CPUs, or take the first ones that it may use when cpus->nr is
 * 0; `want` of them are needed, and nr becomes that. too_few ends the message for too few: -ENODEV.
 */
int bench_cpus_settle(
	struct bench_cpus *cpus, unsigned int want, const char *too_few, struct vuc_error *err);

/* Keep the calling thread on a CPU. */
int bench_cpu_pin(unsigned int cpu, struct vuc_error *err);

/* Start a thread on a CPU, with all signals blocked. */
int bench_cpu_thread(pthread_t *thread, unsigned int cpu, void *(*run)(void *), void *arg,
	struct vuc_error *err);

/* What a figure depends on besides the code: goes with every report. */
struct bench_env {
	const char *git; /* revision of the sources, "unknown" without one */
	const char *vuc; /* versions */
	const char *dpdk;
	const char *liburing;
	char date[32]; /* when the measurement began, in UTC */
	char kernel[256];
	char cpu[128]; /* model */
	char clock[64];
	char dma_latency[96]; /* whether /dev/cpu_dma_latency was held, and why not */
	struct bench_cpus cpus;
	double load_before; /* average of a minute; -1: not known */
	double load_after;
	uint64_t cpu_time;    /* of the whole machine before, in ticks of the kernel */
	uint64_t stolen;      /* of that */
	double steal;         /* share of all CPU time during the measurement; -1: not known */
	uint64_t preemptions; /* involuntary context switches of this process */
};

void bench_env_init(struct bench_env *env, const struct bench_clock *clock);

/* Record what else the machine does between both calls. */
void bench_env_begin(struct bench_env *env);
void bench_env_end(struct bench_env *env);

/* Keep the CPUs out of deep idle states, where that is allowed. Returns a descriptor to be closed,
 * or a negative errno. */
int bench_env_hold_latency(struct bench_env *env);

/* "1.2.3 (revision), DPDK 1.2, liburing 1.2": of vuc and what it uses. */
extern const char bench_versions[];

#endif /* BENCH_MACHINE_H */
