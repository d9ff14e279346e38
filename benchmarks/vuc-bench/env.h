/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_ENV_H
#define BENCH_ENV_H

/* What a figure depends on besides the code: goes with every report. */

#include <stddef.h>

#include <stdint.h>

#include "cpu.h"
#include "ticks.h"

/* CPU time of the whole machine, in ticks of the kernel. */
struct bench_cpu_time {
	uint64_t all;
	uint64_t stolen; /* taken by the hypervisor */
};

struct bench_env {
	const char *git; /* revision of the sources, "unknown" without one */
	const char *vuc; /* versions */
	const char *liburing;
	char dpdk[64];
	char kernel[256];
	char cpu[128]; /* model */
	char clock[64];
	char dma_latency[96]; /* whether /dev/cpu_dma_latency was held, and why not */
	struct bench_cpus cpus;
	double load_before; /* average of a minute; -1: not known */
	double load_after;
	struct bench_cpu_time time_before;
	double steal;         /* share of all CPU time during the measurement; -1: not known */
	uint64_t preemptions; /* involuntary context switches of this process */
};

void bench_env_init(struct bench_env *env, const struct bench_clock *clock);

/* ret as bench_cpu_hold_latency() gave it. */
void bench_env_set_latency(struct bench_env *env, int ret);

/* What else the machine did from the first call to the second. */
void bench_env_begin(struct bench_env *env);
void bench_env_end(struct bench_env *env);

/* "vuc 1.2.3 (revision), DPDK 1.2, liburing 1.2"; buf gets at most size bytes. */
void bench_env_versions(const struct bench_env *env, char *buf, size_t size);

#endif /* BENCH_ENV_H */
