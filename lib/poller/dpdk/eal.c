/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <rte_config.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#include <vuc/export.h>

#include "eal.h"
#include "eal_args.h"
#include "eal_log.h"
#include "eal_machine.h"
#include "eal_runtime_dir.h"
#include "error.h"
#include "opts.h"

enum eal_state {
	EAL_NONE,
	EAL_OURS,
	EAL_APPLICATIONS,
	EAL_FAILED,
	EAL_OVER,
};

/* There is one EAL in a process, and so there is one of these. */
static struct {
	pthread_mutex_t lock;
	enum eal_state state;
	unsigned int users;
	struct eal_log log;
	struct eal_args args;
	struct eal_runtime_dir runtime_dir;
} eal = {.lock = PTHREAD_MUTEX_INITIALIZER};

VUC_EXPORT void
vuc_eal_opts_init(struct vuc_eal_opts *opts, size_t size)
{
	const struct vuc_eal_opts defaults = {.telemetry = true};

	vuc_opts_init(opts, size, &defaults, sizeof(defaults));
}

/* ---- set-up ---- */

/* The id alone is not enough where two PID namespaces share the folder. */
static void
name_process(const struct vuc_eal_opts *opts, char prefix[EAL_PREFIX_MAX])
{
	uint32_t number = 0;

	if (opts->file_prefix != NULL) {
		snprintf(prefix, EAL_PREFIX_MAX, "%s", opts->file_prefix);
		return;
	}
	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
		number = 0;
	snprintf(prefix, EAL_PREFIX_MAX, "vuc-%d-%08x", (int)getpid(), number);
}

/* Signals are the application's. Those of faults cannot wait, and EAL catches SIGBUS meanwhile. */
static void
block_signals(sigset_t *before)
{
	static const int faults[] = {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&set, faults[i]);
	pthread_sigmask(SIG_BLOCK, &set, before);
}

/* rte_eal_init(), with affinity and signal mask as before it. Returns 0 or -errno. */
static int
call_eal(const struct eal_args *args, cpu_set_t *affinity)
{
	char *argv[EAL_ARGS_MAX + 1] = {NULL};
	sigset_t signals;
	int rc;

	memcpy(argv, args->argv, args->argc * sizeof(*argv));
	block_signals(&signals);
	rte_errno = 0;
	rc = rte_eal_init((int)args->argc, argv);
	if (rc < 0)
		rc = rte_errno > 0 ? -rte_errno : -EIO;
	else
		rc = rte_thread_set_affinity(affinity) == 0 ? 0 : -EINVAL;
	if (rc != 0)
		sched_setaffinity(0, sizeof(*affinity), affinity);
	pthread_sigmask(SIG_SETMASK, &signals, NULL);
	return rc;
}

static int
fail_eal(int rc, struct vuc_error *err)
{
	const char *why = eal.log.first_error;

	vuc_eal_log_mute(&eal.log);
	vuc_eal_runtime_dir_remove(&eal.runtime_dir);
	eal.state = EAL_FAILED;
	return vuc_error_set(err, rc, "DPDK's EAL cannot be initialised: %s%s%s", strerror(-rc),
		why[0] != '\0' ? ": " : "", why);
}

/* All that EAL takes; what was made of it stays when it fails. */
static int
eal_prepare(const struct vuc_eal_opts *opts, const cpu_set_t *affinity, struct vuc_error *err)
{
	char prefix[EAL_PREFIX_MAX];
	bool usable;
	int rc;

	name_process(opts, prefix);
	rc = vuc_eal_runtime_dir_make(opts, prefix, &eal.runtime_dir, &usable, err);
	if (rc == 0)
		rc = vuc_eal_args_make(
			&eal.args, opts, prefix, usable && opts->telemetry, affinity, err);
	return rc == 0 ? vuc_eal_log_open(&eal.log, opts, err) : rc;
}

static int
start_eal(const struct vuc_eal_opts *opts, struct vuc_error *err)
{
	cpu_set_t affinity;
	int rc;

	if (sched_getaffinity(0, sizeof(affinity), &affinity) != 0)
		return vuc_error_set(err, -errno,
			"cannot get the CPUs that the process may use: %s", strerror(errno));
	rc = vuc_eal_args_check(opts, &affinity, err);
	if (rc == 0)
		rc = vuc_eal_machine_check("/sys", "/proc", opts, &affinity, err);
	if (rc != 0)
		return rc;
	rc = eal_prepare(opts, &affinity, err);
	if (rc != 0) {
		vuc_eal_runtime_dir_remove(&eal.runtime_dir);
		vuc_eal_args_free(&eal.args);
		return rc;
	}
	rc = call_eal(&eal.args, &affinity);
	if (rc != 0)
		return fail_eal(rc, err);
	eal.state = EAL_OURS;
	return 0;
}

static void *
try_registration(void *arg)
{
	int *error = arg;

	*error = rte_thread_register() == 0 ? 0 : rte_errno;
	if (*error == 0)
		rte_thread_unregister();
	return NULL;
}

/* Whether threads can be registered, which is what is asked of an EAL; in a thread that is none. */
static int
attach_eal(const struct vuc_eal_opts *opts, struct vuc_error *err)
{
	pthread_t thread;
	int error = 0;
	int rc = pthread_create(&thread, NULL, try_registration, &error);

	if (rc != 0)
		return vuc_error_set(
			err, -rc, "cannot start a thread to test DPDK's EAL: %s", strerror(rc));
	pthread_join(thread, NULL);
	if (error != 0)
		return vuc_error_set(err, -ENOTSUP,
			"the application's EAL accepts no external threads (%s): it is not fully "
			"initialised, has secondary processes or no lcore left",
			strerror(error));
	vuc_eal_say(
		opts, VUC_LOG_NOTICE, "using DPDK's EAL, which the application has initialised");
	eal.state = EAL_APPLICATIONS;
	return 0;
}

static int
eal_enter(const struct vuc_eal_opts *opts, struct vuc_error *err)
{
	switch (eal.state) {
	case EAL_OURS:
	case EAL_APPLICATIONS:
		vuc_eal_say(opts, VUC_LOG_NOTICE, "using DPDK's EAL, which was initialised before");
		return 0;
	case EAL_FAILED:
		return vuc_error_set(err, -EALREADY,
			"DPDK's EAL failed to initialise in this process and cannot be retried");
	case EAL_OVER:
		return vuc_error_set(err, -EALREADY,
			"DPDK's EAL was cleaned up and cannot be initialised again in this process");
	case EAL_NONE:
		break;
	}
	/* EAL counts lcores first of all, and never forgets them. */
	return rte_lcore_count() > 0 ? attach_eal(opts, err) : start_eal(opts, err);
}

VUC_EXPORT int
vuc_eal_init(const struct vuc_eal_opts *opts, struct vuc_error *err)
{
	struct vuc_eal_opts known;
	int rc;

	vuc_eal_opts_init(&known, sizeof(known));
	rc = vuc_opts_read(&known, sizeof(known), opts,
		VUC_OPTS_LEAST(struct vuc_eal_opts, log_arg), "vuc_eal_opts", err);
	if (rc != 0)
		return rc;
	pthread_mutex_lock(&eal.lock);
	rc = eal_enter(&known, err);
	if (rc == 0)
		eal.users++;
	pthread_mutex_unlock(&eal.lock);
	return rc;
}

static void
eal_leave(void)
{
	if (eal.state == EAL_APPLICATIONS) {
		eal.state = EAL_NONE;
		return;
	}
	vuc_eal_log_mute(&eal.log);
	rte_eal_cleanup();
	vuc_eal_runtime_dir_remove(&eal.runtime_dir);
	vuc_eal_args_free(&eal.args);
	eal.state = EAL_OVER;
}

VUC_EXPORT void
vuc_eal_fini(void)
{
	pthread_mutex_lock(&eal.lock);
	if (eal.users > 0 && --eal.users == 0)
		eal_leave();
	pthread_mutex_unlock(&eal.lock);
}

/* ---- threads ---- */

static bool
is_up(void)
{
	bool up;

	pthread_mutex_lock(&eal.lock);
	up = eal.users > 0;
	pthread_mutex_unlock(&eal.lock);
	return up;
}

static int
bind_thread(int cpu, struct vuc_error *err)
{
	cpu_set_t set;
	int rc = EINVAL;

	CPU_ZERO(&set);
	if (cpu >= 0 && cpu < CPU_SETSIZE) {
		CPU_SET((unsigned int)cpu, &set);
		rc = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	}
	if (rc != 0)
		return vuc_error_set(
			err, -rc, "a thread cannot be bound to CPU %d: %s", cpu, strerror(rc));
	return 0;
}

int
vuc_eal_thread_enter(int cpu, struct vuc_error *err)
{
	int rc;

	if (!is_up())
		return vuc_error_set(err, -ENODEV, "vuc_eal_init() has not been called");
	if (rte_lcore_id() != LCORE_ID_ANY)
		return vuc_error_set(err, -EBUSY, "the thread is lcore %u already", rte_lcore_id());
	rc = cpu != EAL_ANY_CPU ? bind_thread(cpu, err) : 0;
	if (rc != 0)
		return rc;
	if (rte_thread_register() == 0)
		return 0;
	rc = rte_errno > 0 ? -rte_errno : -EIO;
	return vuc_error_set(err, rc, "the thread cannot be an lcore: %s; DPDK has at most %u",
		strerror(-rc), RTE_MAX_LCORE);
}

void
vuc_eal_thread_leave(void)
{
	rte_thread_unregister();
}

int
vuc_eal_thread_node(void)
{
	return (int)rte_socket_id();
}

struct each_cpu {
	void (*fn)(void *arg, unsigned int cpu);
	void *arg;
};

static int
tell_bound_cpu(unsigned int lcore, void *arg)
{
	const struct each_cpu *each = arg;
	rte_cpuset_t set = rte_lcore_cpuset(lcore);

	if (lcore == rte_get_main_lcore() || CPU_COUNT(&set) != 1)
		return 0;
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &set))
			each->fn(each->arg, cpu);
	}
	return 0;
}

void
vuc_eal_each_bound_cpu(void (*fn)(void *arg, unsigned int cpu), void *arg)
{
	struct each_cpu each = {.fn = fn, .arg = arg};

	rte_lcore_iterate(tell_bound_cpu, &each);
}

uint64_t
vuc_eal_ticks(void)
{
	return rte_rdtsc();
}

uint64_t
vuc_eal_tick_hz(void)
{
	return rte_get_tsc_hz();
}
