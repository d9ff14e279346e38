/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_CPU_H
#define BENCH_CPU_H

/* Which CPUs take part, and that they stay awake. */

#include <pthread.h>

#include <vuc/error.h>

#define BENCH_MAX_CPUS 3

struct bench_cpus {
	unsigned int cpu[BENCH_MAX_CPUS]; /* ours, then those of server and poller */
	unsigned int nr;
};

/* "A", "A,B" or "A,B,C". Returns 0 or -EINVAL. */
int bench_cpus_parse(const char *text, struct bench_cpus *cpus, struct vuc_error *err);

/* CPUs that the process may use. */
unsigned int bench_cpus_count(void);

/*
 * Check that the process may use the CPUs, or take the first ones that it may use when cpus->nr is
 * 0; `want` of them are needed, and nr becomes that. What
 * to do about too few is the end of the message. Returns 0; -EINVAL; -ENODEV when there are too
 * few; what sched_getaffinity(2) says.
 */
int bench_cpus_settle(
	struct bench_cpus *cpus, unsigned int want, const char *too_few, struct vuc_error *err);

/* For a measurement with a server that spins, and nothing else that does. */
#define BENCH_SERVER_NEEDS_CPU                                                                  \
	"the server needs one of its own: use --transport loopback, or --socket with a server " \
	"elsewhere"

/* Keep the calling thread on a CPU. */
int bench_cpu_pin(unsigned int cpu, struct vuc_error *err);

/* Start a thread on a CPU, with all signals blocked. Returns 0 or a negative errno. */
int bench_cpu_thread(pthread_t *thread, unsigned int cpu, void *(*run)(void *), void *arg,
	struct vuc_error *err);

/*
 * Ask the kernel to keep the CPUs out of deep idle states. Returns a descriptor that holds the
 * request until it is closed; a negative errno, -EACCES mostly, where that is not allowed.
 */
int bench_cpu_hold_latency(void);

#endif /* BENCH_CPU_H */
