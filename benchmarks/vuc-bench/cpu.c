/* SPDX-License-Identifier: BSD-3-Clause */
#include "cpu.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "number.h"

static int
parse_one(const char *text, const char **end, unsigned int *cpu)
{
	uint64_t value;

	if (vuc_number_scan(text, 10, &value, end) != 0 || value >= CPU_SETSIZE)
		return -EINVAL;
	*cpu = (unsigned int)value;
	return 0;
}

static bool
has_twice(const struct bench_cpus *cpus)
{
	for (unsigned int i = 1; i < cpus->nr; i++) {
		for (unsigned int j = 0; j < i; j++) {
			if (cpus->cpu[i] == cpus->cpu[j])
				return true;
		}
	}
	return false;
}

int
bench_cpus_parse(const char *text, struct bench_cpus *cpus, struct vuc_error *err)
{
	const char *end = text;
	int ret = parse_one(text, &end, &cpus->cpu[0]);

	cpus->nr = 1;
	while (ret == 0 && *end == ',' && cpus->nr < BENCH_MAX_CPUS)
		ret = parse_one(end + 1, &end, &cpus->cpu[cpus->nr++]);
	if (ret != 0 || *end != '\0')
		return bench_fail(err, -EINVAL, "--cpus: '%s' is not A, A,B or A,B,C", text);
	if (has_twice(cpus))
		return bench_fail(err, -EINVAL, "--cpus: '%s' names one CPU twice", text);
	return 0;
}

unsigned int
bench_cpus_count(void)
{
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return 1;
	return (unsigned int)CPU_COUNT(&allowed);
}

static int
take_first(struct bench_cpus *cpus, unsigned int want, const char *too_few,
	const cpu_set_t *allowed, struct vuc_error *err)
{
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE && cpus->nr < want; cpu++) {
		if (CPU_ISSET(cpu, allowed))
			cpus->cpu[cpus->nr++] = cpu;
	}
	if (cpus->nr < want)
		return bench_fail(err, -ENODEV, "this process may use %u CPU%s, but %s", cpus->nr,
			cpus->nr == 1 ? "" : "s", too_few);
	return 0;
}

int
bench_cpus_settle(
	struct bench_cpus *cpus, unsigned int want, const char *too_few, struct vuc_error *err)
{
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return bench_fail(err, -errno, "sched_getaffinity: %s", strerror(errno));
	if (cpus->nr == 0)
		return take_first(cpus, want, too_few, &allowed, err);
	if (cpus->nr < want)
		return bench_fail(err, -EINVAL, "--cpus: %u CPUs are needed, but %u is given", want,
			cpus->nr);
	cpus->nr = want;
	for (unsigned int i = 0; i < want; i++) {
		if (!CPU_ISSET(cpus->cpu[i], &allowed))
			return bench_fail(err, -EINVAL, "--cpus: this process may not use CPU %u",
				cpus->cpu[i]);
	}
	return 0;
}

int
bench_cpu_pin(unsigned int cpu, struct vuc_error *err)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		return bench_fail(err, -errno, "pinning to CPU %u: %s", cpu, strerror(errno));
	return 0;
}

static int
start_there(pthread_t *thread, unsigned int cpu, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int ret = pthread_attr_init(&attr);

	if (ret != 0)
		return ret;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	ret = pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	if (ret == 0)
		ret = pthread_create(thread, &attr, run, arg);
	pthread_attr_destroy(&attr);
	return ret;
}

int
bench_cpu_thread(
	pthread_t *thread, unsigned int cpu, void *(*run)(void *), void *arg, struct vuc_error *err)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = start_there(thread, cpu, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret != 0)
		return bench_fail(err, -ret, "a thread on CPU %u: %s", cpu, strerror(ret));
	return 0;
}

int
bench_cpu_hold_latency(void)
{
	const int32_t microseconds = 0;
	int fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	if (write(fd, &microseconds, sizeof(microseconds)) == sizeof(microseconds))
		return fd;
	ret = errno != 0 ? -errno : -EIO;
	close(fd);
	return ret;
}
