/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "number.h"
#include "revision.h"
#include "text.h"

#define CALIBRATION_MS 20
#define READINGS       16

const char bench_versions[] = VUC_VERSION " (" BENCH_GIT_REVISION "), DPDK " BENCH_DPDK_VERSION
					  ", liburing " BENCH_LIBURING_VERSION;

int
bench_fail(struct vuc_error *err, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	vuc_text_clean_controls(err->text);
	return code;
}

int
bench_fail_why(struct vuc_error *err, int code, const char *before, const char *why)
{
	return bench_fail(err, code, "%s%s", before, why[0] != '\0' ? why : strerror(-code));
}

void
bench_log(void *arg, enum vuc_log_level level, const char *line)
{
	(void)arg;
	(void)level;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "vuc-bench: %s\n", line);
}

static volatile sig_atomic_t interrupted;

static void
signal_handle(int signo)
{
	interrupted = signo;
}

void
bench_interrupt_install(void)
{
	/* No SA_RESTART: what blocks is to return. */
	struct sigaction ask = {.sa_handler = signal_handle};

	sigemptyset(&ask.sa_mask);
	sigaction(SIGINT, &ask, NULL);
	sigaction(SIGTERM, &ask, NULL);
	sigaction(SIGHUP, &ask, NULL);
	signal(SIGPIPE, SIG_IGN);
}

bool
bench_interrupted(void)
{
	return interrupted != 0;
}

int
bench_interrupt_check(struct vuc_error *err)
{
	return interrupted != 0 ? bench_fail(err, -EINTR, "interrupted") : 0;
}

void
bench_interrupt_raise(void)
{
	if (interrupted == 0)
		return;
	signal(interrupted, SIG_DFL);
	raise(interrupted);
}

#if defined(__x86_64__)
#define CPUID_POWER         0x80000007u
#define CPUID_INVARIANT_TSC (1u << 8)

/* Both clocks at the same moment. */
struct reading {
	uint64_t ns;
	uint64_t ticks;
};

/* Of several readings the one that took least time, so that no interrupt falls between them. */
static struct reading
clocks_read(void)
{
	struct reading best = {0};
	uint64_t shortest = UINT64_MAX;

	for (int i = 0; i < READINGS; i++) {
		uint64_t before = __rdtsc();
		uint64_t ns = vuc_clock_ns();
		uint64_t took = __rdtsc() - before;

		if (took < shortest) {
			shortest = took;
			best = (struct reading){.ns = ns, .ticks = before + took / 2};
		}
	}
	return best;
}

static bool
tsc_calibrate(double *ns_per_tick)
{
	unsigned int eax, ebx, ecx, edx;
	struct reading first, last;

	if (__get_cpuid(CPUID_POWER, &eax, &ebx, &ecx, &edx) == 0 ||
		(edx & CPUID_INVARIANT_TSC) == 0)
		return false;
	first = clocks_read();
	vuc_clock_sleep_ms(CALIBRATION_MS);
	last = clocks_read();
	if (last.ticks <= first.ticks || last.ns <= first.ns)
		return false;
	*ns_per_tick = (double)(last.ns - first.ns) / (double)(last.ticks - first.ticks);
	return true;
}
#else
static bool
tsc_calibrate(double *ns_per_tick)
{
	(void)ns_per_tick;
	return false;
}
#endif

void
bench_clock_init(struct bench_clock *clock)
{
	clock->ns_per_tick = 1;
	clock->tsc = tsc_calibrate(&clock->ns_per_tick);
}

static int
cpu_parse(const char *text, const char **end, unsigned int *cpu)
{
	uint64_t value;

	if (vuc_number_scan(text, 10, &value, end) != 0 || value >= CPU_SETSIZE)
		return -EINVAL;
	*cpu = (unsigned int)value;
	return 0;
}

int
bench_cpus_parse(const char *text, struct bench_cpus *cpus, struct vuc_error *err)
{
	const char *end = text;
	int ret = cpu_parse(text, &end, &cpus->cpu[0]);

	cpus->nr = 1;
	while (ret == 0 && *end == ',' && cpus->nr < BENCH_MAX_CPUS)
		ret = cpu_parse(end + 1, &end, &cpus->cpu[cpus->nr++]);
	if (ret != 0 || *end != '\0')
		return bench_fail(err, -EINVAL, "--cpus: '%s' is not A, A,B or A,B,C", text);
	for (unsigned int i = 1; i < cpus->nr; i++) {
		if (cpus->cpu[i] == cpus->cpu[0] || (i > 1 && cpus->cpu[i] == cpus->cpu[1]))
			return bench_fail(err, -EINVAL, "--cpus: '%s' contains a CPU twice", text);
	}
	return 0;
}

unsigned int
bench_cpus_available(const struct bench_cpus *given)
{
	cpu_set_t allowed;

	if (given->nr != 0)
		return given->nr;
	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return 1;
	return (unsigned int)CPU_COUNT(&allowed);
}

static int
cpus_take_first(struct bench_cpus *cpus, unsigned int want, const char *too_few,
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
		return bench_fail(
			err, -errno, "cannot find out the allowed CPUs: %s", strerror(errno));
	if (cpus->nr == 0)
		return cpus_take_first(cpus, want, too_few, &allowed, err);
	if (cpus->nr < want)
		return bench_fail(err, -EINVAL, "--cpus: this measurement needs %u CPUs", want);
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
		return bench_fail(
			err, -errno, "cannot pin the thread to CPU %u: %s", cpu, strerror(errno));
	return 0;
}

int
bench_cpu_thread(
	pthread_t *thread, unsigned int cpu, void *(*run)(void *), void *arg, struct vuc_error *err)
{
	sigset_t all, before;
	pthread_attr_t attr;
	cpu_set_t set;
	int ret;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	if (ret == 0)
		ret = pthread_create(thread, &attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (ret != 0)
		return bench_fail(
			err, -ret, "cannot start a thread on CPU %u: %s", cpu, strerror(ret));
	return 0;
}

/* "model name" of the first CPU, which not every architecture has. */
static void
get_cpu_model(char *buf, size_t size)
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
	struct utsname u;

	*env = (struct bench_env){
		.git = BENCH_GIT_REVISION,
		.vuc = VUC_VERSION,
		.dpdk = BENCH_DPDK_VERSION,
		.liburing = BENCH_LIBURING_VERSION,
		.kernel = "unknown",
		.clock = "CLOCK_MONOTONIC",
	};
	if (uname(&u) == 0)
		snprintf(env->kernel, sizeof(env->kernel), "%s %s %s", u.sysname, u.release,
			u.machine);
	get_cpu_model(env->cpu, sizeof(env->cpu));
	if (clock->tsc)
		snprintf(env->clock, sizeof(env->clock), "TSC at %.0f MHz",
			1e3 / clock->ns_per_tick);
}

static double
get_load(void)
{
	double load;

	return getloadavg(&load, 1) == 1 ? load : -1;
}

/* The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal. Returns
 * their sum. */
static uint64_t
get_cpu_time(uint64_t *stolen)
{
	FILE *f = fopen("/proc/stat", "re");
	uint64_t part, all = 0;

	*stolen = 0;
	if (f == NULL)
		return 0;
	if (fscanf(f, "cpu") == 0) {
		for (unsigned int i = 0; i < 8 && fscanf(f, "%" SCNu64, &part) == 1; i++) {
			all += part;
			if (i == 7)
				*stolen = part;
		}
	}
	fclose(f);
	return all;
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
	const time_t now = time(NULL);
	struct tm date;

	strftime(env->date, sizeof(env->date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &date));
	env->load_before = get_load();
	env->cpu_time = get_cpu_time(&env->stolen);
	env->preemptions = get_preemptions();
}

void
bench_env_end(struct bench_env *env)
{
	uint64_t stolen;
	uint64_t all = get_cpu_time(&stolen) - env->cpu_time;

	env->load_after = get_load();
	env->preemptions = get_preemptions() - env->preemptions;
	env->steal = all > 0 ? (double)(stolen - env->stolen) / (double)all : -1;
}

int
bench_env_hold_latency(struct bench_env *env)
{
	const int32_t microseconds = 0;
	int fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, &microseconds, sizeof(microseconds)) == sizeof(microseconds)) {
		snprintf(env->dma_latency, sizeof(env->dma_latency), "held at 0");
		return fd;
	}
	snprintf(env->dma_latency, sizeof(env->dma_latency), "not held (%s)", strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}
