/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_ENV_H
#define BENCH_ENV_H

/* What a figure depends on besides the code: goes with every report. */

#include <stddef.h>

#include "clock.h"
#include "cpu.h"

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
};

void bench_env_init(struct bench_env *env, const struct bench_clock *clock);

/* ret as bench_cpu_hold_latency() gave it. */
void bench_env_set_latency(struct bench_env *env, int ret);

/* "vuc 1.2.3 (revision), DPDK 1.2, liburing 1.2"; buf gets at most size bytes. */
void bench_env_versions(const struct bench_env *env, char *buf, size_t size);

#endif /* BENCH_ENV_H */
