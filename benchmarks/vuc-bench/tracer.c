/* SPDX-License-Identifier: BSD-3-Clause */
#include "subject.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* PTRACE_O_TRACESYSGOOD sets it in what a stop at a system call says. */
#define AT_SYSCALL (SIGTRAP | 0x80)

#define LOOK_NS 100000

static void
tracer_tell(struct bench_tracer_shared *shared, int status)
{
	atomic_store_explicit(&shared->status, status, memory_order_release);
}

static int
thread_seize(pid_t thread)
{
	int status;

	if (ptrace(PTRACE_SEIZE, thread, NULL, (void *)PTRACE_O_TRACESYSGOOD) != 0)
		return -errno;
	if (ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) != 0)
		return -errno;
	while (waitpid(thread, &status, __WALL) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFSTOPPED(status) ? 0 : -ESRCH;
}

/* Let it run until it stops again. Returns the signal that it has stopped for; 0 when that is none
 * of its own; -1 when it has ended. */
static int
run_until_stop(pid_t thread, int signo)
{
	int status;

	if (ptrace(PTRACE_SYSCALL, thread, NULL, (void *)(intptr_t)signo) != 0)
		return -1;
	while (waitpid(thread, &status, __WALL) < 0) {
		if (errno != EINTR)
			return -1;
	}
	if (!WIFSTOPPED(status))
		return -1;
	return status >> 16 != 0 ? 0 : WSTOPSIG(status);
}

/* A system call stops the thread twice, and is counted before it is made. */
static void
count_entry(struct bench_tracer_shared *shared, pid_t thread)
{
	struct __ptrace_syscall_info info = {0};

	if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof(info), &info) <= 0 ||
		info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return;
	atomic_fetch_add_explicit(&shared->syscalls, 1, memory_order_relaxed);
	if (info.entry.nr == SYS_futex)
		atomic_fetch_add_explicit(&shared->futexes, 1, memory_order_relaxed);
}

static void
syscall_count(struct bench_tracer_shared *shared, pid_t thread)
{
	int signo = 0;

	while ((signo = run_until_stop(thread, signo)) >= 0) {
		if (signo != AT_SYSCALL)
			continue;
		signo = 0;
		if (atomic_load_explicit(&shared->stop, memory_order_relaxed) != 0)
			break;
		count_entry(shared, thread);
	}
	ptrace(PTRACE_DETACH, thread, NULL, NULL);
}

/* The process. Its parent is what it watches. */
static void
tracer_run(struct bench_tracer_shared *shared, pid_t thread, pid_t parent)
{
	int ret;

	bench_child_begin(parent, SIGKILL);
	ret = thread_seize(thread);
	tracer_tell(shared, ret != 0 ? ret : 1);
	if (ret == 0)
		syscall_count(shared, thread);
	_exit(EXIT_SUCCESS);
}

static void
take_down(struct bench_tracer *t)
{
	/* Which is a system call, so that the tracer sees the end. */
	while (t->pid > 0 && waitpid(t->pid, NULL, 0) < 0 && errno == EINTR)
		;
	munmap(t->shared, sizeof(*t->shared));
	*t = (struct bench_tracer){0};
}

/* It tells whether it could before this thread runs on, so what this waits for is not counted. */
static int
wait_for_tracer(const struct bench_tracer *t)
{
	const struct timespec pause = {.tv_nsec = LOOK_NS};
	int status;

	while ((status = atomic_load_explicit(&t->shared->status, memory_order_acquire)) == 0) {
		int ended;

		nanosleep(&pause, NULL);
		if (waitpid(t->pid, &ended, WNOHANG) == t->pid)
			return -ECHILD;
	}
	return status > 0 ? 0 : status;
}

int
bench_tracer_begin(struct bench_tracer *t)
{
	pid_t parent = getpid(), thread = gettid();
	int ret;

	*t = (struct bench_tracer){0};
	t->shared = mmap(NULL, sizeof(*t->shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t->shared == MAP_FAILED)
		return -errno;
	/* Where Yama lets a process be traced by its parents only. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	t->pid = fork();
	if (t->pid == 0)
		tracer_run(t->shared, thread, parent);
	ret = t->pid < 0 ? -errno : wait_for_tracer(t);
	prctl(PR_SET_PTRACER, 0);
	if (ret == -ECHILD)
		t->pid = 0;
	if (ret != 0)
		take_down(t);
	return ret;
}

void
bench_tracer_end(struct bench_tracer *t)
{
	if (t->pid == 0)
		return;
	atomic_store_explicit(&t->shared->stop, 1, memory_order_relaxed);
	take_down(t);
}
