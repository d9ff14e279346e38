/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_CPU_H
#define BENCH_CPU_H

/* Which CPUs take part, and that they stay awake. */

#include <vuc/error.h>

#define BENCH_MAX_CPUS 2

struct bench_cpus {
	unsigned int cpu[BENCH_MAX_CPUS]; /* ours, then the server's */
	unsigned int nr;
};

/* "A" or "A,B". Returns 0 or -EINVAL. */
int bench_cpus_parse(const char *text, struct bench_cpus *cpus, struct vuc_error *err);

/*
 * Check that the process may use the CPUs, or take the first ones that it may use when cpus->nr is
 * 0; `want` of them are needed, and nr becomes that. Returns 0; -EINVAL; -ENODEV when there are too
 * few; what sched_getaffinity(2) says.
 */
int bench_cpus_settle(struct bench_cpus *cpus, unsigned int want, struct vuc_error *err);

/* Keep the calling thread on a CPU. */
int bench_cpu_pin(unsigned int cpu, struct vuc_error *err);

/*
 * Ask the kernel to keep the CPUs out of deep idle states. Returns a descriptor that holds the
 * request until it is closed; a negative errno, -EACCES mostly, where that is not allowed.
 */
int bench_cpu_hold_latency(void);

#endif /* BENCH_CPU_H */
