/* SPDX-License-Identifier: BSD-3-Clause */
#include "refdev_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "error.h"
#include "find_program.h"

#define START_TIMEOUT_MS 5000
#define STOP_TIMEOUT_MS  5000
#define NR_ARGS          8

static int
make_folder(struct bench_refdev_proc *proc, struct vuc_error *err)
{
	const char *tmp = getenv("TMPDIR");
	int n;

	if (tmp == NULL || tmp[0] == '\0')
		tmp = "/tmp";
	n = snprintf(proc->dir, sizeof(proc->dir), "%s/vuc-bench-XXXXXX", tmp);
	if (n < 0 || (size_t)n >= sizeof(proc->dir) - sizeof("/refdev.sock") + 1) {
		proc->dir[0] = '\0';
		return bench_fail(err, -ENAMETOOLONG,
			"no room for a socket's path in the temporary folder: %s", tmp);
	}
	if (mkdtemp(proc->dir) == NULL) {
		int ret = bench_fail(err, -errno, "%s: %s", proc->dir, strerror(errno));

		proc->dir[0] = '\0';
		return ret;
	}
	snprintf(proc->socket, sizeof(proc->socket), "%.*s/refdev.sock",
		(int)(sizeof(proc->socket) - sizeof("/refdev.sock")), proc->dir);
	return 0;
}

/* In the child; uses nothing but system calls. */
static void
become(const char *program, char *const args[], int ready_fd, pid_t parent)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};

	sigemptyset(&dfl.sa_mask);
	sigaction(SIGPIPE, &dfl, NULL);
	/* A terminal's SIGINT is for the parent, which then stops the child in order. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == parent && fcntl(ready_fd, F_SETFD, 0) == 0)
		execv(program, args);
	_exit(127);
}

static pid_t
spawn(const char *program, const char *socket, unsigned int cpu, int ready_fd)
{
	char path_arg[sizeof("--socket-path=") + sizeof(((struct sockaddr_un *)0)->sun_path)];
	char cpu_arg[32], ready_arg[32];
	char name[] = "vuc-refdev", mode[] = "--mode=poll";
	char *args[NR_ARGS] = {name, path_arg, mode, cpu_arg, ready_arg};
	pid_t parent = getpid();
	pid_t pid;

	snprintf(path_arg, sizeof(path_arg), "--socket-path=%s", socket);
	snprintf(cpu_arg, sizeof(cpu_arg), "--cpu=%u", cpu);
	snprintf(ready_arg, sizeof(ready_arg), "--ready-fd=%d", ready_fd);
	pid = fork();
	if (pid == 0)
		become(program, args, ready_fd, parent);
	return pid < 0 ? -errno : pid;
}

/* Takes the child's exit, which has happened or is about to. */
static int
ended_early(struct bench_refdev_proc *proc, const char *program, struct vuc_error *err)
{
	int status = 0;

	while (waitpid(proc->pid, &status, 0) < 0 && errno == EINTR)
		;
	proc->pid = 0;
	if (WIFSIGNALED(status))
		return bench_fail(err, -ECHILD, "%s: killed by signal %d before it was ready",
			program, WTERMSIG(status));
	return bench_fail(err, -ECHILD, "%s: ended with status %d before it was ready", program,
		WEXITSTATUS(status));
}

static int
wait_until_ready(
	struct bench_refdev_proc *proc, const char *program, int ready_fd, struct vuc_error *err)
{
	struct pollfd pfd = {.fd = ready_fd, .events = POLLIN};
	int n = poll(&pfd, 1, START_TIMEOUT_MS);
	char byte;

	if (n < 0)
		return bench_fail(err, -errno, "%s: %s", program, strerror(errno));
	if (n == 0)
		return bench_fail(
			err, -ETIMEDOUT, "%s: not ready after %d ms", program, START_TIMEOUT_MS);
	if (read(ready_fd, &byte, 1) == 1)
		return 0;
	return ended_early(proc, program, err);
}

static int
start_program(struct bench_refdev_proc *proc, const char *program, unsigned int cpu,
	struct vuc_error *err)
{
	int ready[2];
	int ret;

	if (pipe2(ready, O_CLOEXEC) != 0)
		return bench_fail(err, -errno, "pipe: %s", strerror(errno));
	ret = spawn(program, proc->socket, cpu, ready[1]);
	close(ready[1]);
	if (ret > 0) {
		proc->pid = ret;
		ret = wait_until_ready(proc, program, ready[0], err);
	} else {
		bench_fail(err, ret, "fork: %s", strerror(-ret));
	}
	close(ready[0]);
	return ret;
}

int
bench_refdev_start(struct bench_refdev_proc *proc, unsigned int cpu, struct vuc_error *err)
{
	char *program;
	int ret;

	*proc = (struct bench_refdev_proc){0};
	ret = bench_find_program(
		"vuc-refdev", "VUC_REFDEV", "../../app/vuc-refdev/vuc-refdev", &program, err);
	if (ret != 0)
		return ret;
	ret = make_folder(proc, err);
	if (ret == 0)
		ret = start_program(proc, program, cpu, err);
	if (ret != 0)
		bench_refdev_stop(proc);
	free(program);
	return ret;
}

/* Whether the child has ended within the time. */
static bool
wait_for_end(pid_t pid, int timeout_ms)
{
	struct pollfd pfd = {.events = POLLIN};
	int n;

	pfd.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pfd.fd < 0)
		return false;
	do
		n = poll(&pfd, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	close(pfd.fd);
	return n > 0;
}

void
bench_refdev_stop(struct bench_refdev_proc *proc)
{
	if (proc->pid > 0) {
		kill(proc->pid, SIGTERM);
		if (!wait_for_end(proc->pid, STOP_TIMEOUT_MS))
			kill(proc->pid, SIGKILL);
		while (waitpid(proc->pid, NULL, 0) < 0 && errno == EINTR)
			;
		proc->pid = 0;
	}
	if (proc->dir[0] != '\0') {
		unlink(proc->socket);
		rmdir(proc->dir);
		proc->dir[0] = '\0';
	}
}
