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
#define MAX_ARGS         (8 + BENCH_REFDEV_MAX_SOCKETS)
#define LONGEST          "/refdev.sock.255"
#define PATH_ARG         "--socket-path="

static int
make_folder(struct bench_refdev_proc *proc, struct vuc_error *err)
{
	const char *tmp = getenv("TMPDIR");
	int n;

	if (tmp == NULL || tmp[0] == '\0')
		tmp = "/tmp";
	n = snprintf(proc->dir, sizeof(proc->dir), "%s/vuc-bench-XXXXXX", tmp);
	if (n < 0 || (size_t)n >= sizeof(proc->dir) - sizeof(LONGEST) + 1) {
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
		(int)(sizeof(proc->socket) - sizeof(LONGEST)), proc->dir);
	return 0;
}

const char *
bench_refdev_socket(
	const struct bench_refdev_proc *proc, unsigned int i, char path[BENCH_REFDEV_PATH_MAX])
{
	const int room = (int)(BENCH_REFDEV_PATH_MAX - sizeof(".255"));

	if (i == 0)
		snprintf(path, BENCH_REFDEV_PATH_MAX, "%s", proc->socket);
	else
		snprintf(path, BENCH_REFDEV_PATH_MAX, "%.*s.%hhu", room, proc->socket,
			(unsigned char)i);
	return path;
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

typedef char path_arg[sizeof(PATH_ARG) + BENCH_REFDEV_PATH_MAX];

/* Fill args, of which there are as many as sockets and then NULL, from paths. */
static void
fill_paths(const struct bench_refdev_proc *proc, path_arg *paths, char **args)
{
	for (unsigned int i = 0; i < proc->sockets; i++) {
		char path[BENCH_REFDEV_PATH_MAX];

		snprintf(paths[i], sizeof(paths[i]), PATH_ARG "%s",
			bench_refdev_socket(proc, i, path));
		args[i] = paths[i];
	}
}

static pid_t
spawn(const struct bench_refdev_proc *proc, const char *program,
	const struct bench_refdev_opts *opts, int ready_fd)
{
	path_arg *paths = calloc(proc->sockets, sizeof(*paths));
	char cpu_arg[32], ready_arg[32];
	char name[] = "vuc-refdev", poll_arg[] = "--mode=poll", block_arg[] = "--mode=block";
	char *args[MAX_ARGS] = {name, opts->block ? block_arg : poll_arg, cpu_arg, ready_arg};
	pid_t parent = getpid();
	pid_t pid;

	if (paths == NULL)
		return -ENOMEM;
	fill_paths(proc, paths, &args[4]);
	snprintf(cpu_arg, sizeof(cpu_arg), "--cpu=%u", opts->cpu);
	snprintf(ready_arg, sizeof(ready_arg), "--ready-fd=%d", ready_fd);
	pid = fork();
	if (pid == 0)
		become(program, args, ready_fd, parent);
	if (pid < 0)
		pid = -errno;
	free(paths);
	return pid;
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
start_program(struct bench_refdev_proc *proc, const char *program,
	const struct bench_refdev_opts *opts, struct vuc_error *err)
{
	int ready[2];
	int ret;

	if (pipe2(ready, O_CLOEXEC) != 0)
		return bench_fail(err, -errno, "pipe: %s", strerror(errno));
	ret = spawn(proc, program, opts, ready[1]);
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
bench_refdev_start(
	struct bench_refdev_proc *proc, const struct bench_refdev_opts *opts, struct vuc_error *err)
{
	char *program;
	int ret;

	*proc = (struct bench_refdev_proc){.sockets = opts->sockets};
	ret = bench_find_program(
		"vuc-refdev", "VUC_REFDEV", "../../app/vuc-refdev/vuc-refdev", &program, err);
	if (ret != 0)
		return ret;
	ret = make_folder(proc, err);
	if (ret == 0)
		ret = start_program(proc, program, opts, err);
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
	char path[BENCH_REFDEV_PATH_MAX];

	if (proc->pid > 0) {
		kill(proc->pid, SIGTERM);
		if (!wait_for_end(proc->pid, STOP_TIMEOUT_MS))
			kill(proc->pid, SIGKILL);
		while (waitpid(proc->pid, NULL, 0) < 0 && errno == EINTR)
			;
		proc->pid = 0;
	}
	if (proc->dir[0] != '\0') {
		for (unsigned int i = 0; i < proc->sockets; i++)
			unlink(bench_refdev_socket(proc, i, path));
		rmdir(proc->dir);
		proc->dir[0] = '\0';
	}
}
