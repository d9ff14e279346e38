/* SPDX-License-Identifier: BSD-3-Clause */
#include "env.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <rte_version.h>

#include "error.h"
#include "revision.h"
#include "text.h"

static void
get_dpdk(char *buf, size_t size)
{
	static const char prefix[] = "DPDK ";
	const char *version = rte_version();

	if (strncmp(version, prefix, sizeof(prefix) - 1) == 0)
		version += sizeof(prefix) - 1;
	snprintf(buf, size, "%s", version);
}

static void
get_kernel(char *buf, size_t size)
{
	struct utsname u;

	if (uname(&u) != 0)
		snprintf(buf, size, "unknown");
	else
		snprintf(buf, size, "%s %s %s", u.sysname, u.release, u.machine);
}

/* "model name" of the first CPU, which not every architecture has. */
static void
get_cpu(char *buf, size_t size)
{
	static const char key[] = "model name";
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(buf, size, "unknown");
	if (f == NULL)
		return;
	while (fgets(line, sizeof(line), f) != NULL) {
		const char *colon = strchr(line, ':');

		if (colon == NULL || strncmp(line, key, sizeof(key) - 1) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(buf, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
		break;
	}
	fclose(f);
	vuc_text_clean(buf);
}

void
bench_env_init(struct bench_env *env, const struct bench_clock *clock)
{
	*env = (struct bench_env){
		.git = BENCH_GIT_REVISION,
		.vuc = BENCH_VUC_VERSION,
		.liburing = BENCH_LIBURING_VERSION,
	};
	get_dpdk(env->dpdk, sizeof(env->dpdk));
	get_kernel(env->kernel, sizeof(env->kernel));
	get_cpu(env->cpu, sizeof(env->cpu));
	if (clock->tsc)
		snprintf(env->clock, sizeof(env->clock), "TSC at %.0f MHz",
			1e3 / clock->ns_per_tick);
	else
		snprintf(env->clock, sizeof(env->clock), "CLOCK_MONOTONIC");
}

static double
get_load(void)
{
	double load;

	return getloadavg(&load, 1) == 1 ? load : -1;
}

/* The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal. */
static struct bench_cpu_time
get_cpu_time(void)
{
	struct bench_cpu_time time = {0};
	FILE *f = fopen("/proc/stat", "re");
	uint64_t part;

	if (f == NULL)
		return time;
	if (fscanf(f, "cpu") == 0) {
		for (unsigned int i = 0; i < 8 && fscanf(f, "%" SCNu64, &part) == 1; i++) {
			time.all += part;
			if (i == 7)
				time.stolen = part;
		}
	}
	fclose(f);
	return time;
}

static uint64_t
get_preemptions(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_nivcsw : 0;
}

void
bench_env_begin(struct bench_env *env)
{
	env->load_before = get_load();
	env->time_before = get_cpu_time();
	env->preemptions = get_preemptions();
}

void
bench_env_end(struct bench_env *env)
{
	struct bench_cpu_time now = get_cpu_time();
	uint64_t all = now.all - env->time_before.all;

	env->load_after = get_load();
	env->preemptions = get_preemptions() - env->preemptions;
	env->steal = all > 0 ? (double)(now.stolen - env->time_before.stolen) / (double)all : -1;
}

void
bench_env_set_latency(struct bench_env *env, int ret)
{
	if (ret >= 0)
		snprintf(env->dma_latency, sizeof(env->dma_latency), "held at 0");
	else
		snprintf(env->dma_latency, sizeof(env->dma_latency), "not held (%s)",
			strerror(-ret));
}

void
bench_env_versions(const struct bench_env *env, char *buf, size_t size)
{
	snprintf(buf, size, "vuc %s (%s), DPDK %s, liburing %s", env->vuc, env->git, env->dpdk,
		env->liburing);
}
