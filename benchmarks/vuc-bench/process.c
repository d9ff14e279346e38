/* SPDX-License-Identifier: BSD-3-Clause */
#include "process.h"

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
#include "interrupt.h"

#define START_TIMEOUT_MS 5000
#define STOP_TIMEOUT_MS  5000

int
bench_folder_make(char *dir, size_t size, size_t room, struct vuc_error *err)
{
	const char *tmp = getenv("TMPDIR");
	int n;

	if (tmp == NULL || tmp[0] == '\0')
		tmp = "/tmp";
	n = snprintf(dir, size, "%s/vuc-bench-XXXXXX", tmp);
	if (n < 0 || (size_t)n + room >= size) {
		dir[0] = '\0';
		return bench_fail(err, -ENAMETOOLONG,
			"no room for a socket's path in the temporary folder: %s", tmp);
	}
	if (mkdtemp(dir) == NULL) {
		int ret = bench_fail(err, -errno, "%s: %s", dir, strerror(errno));

		dir[0] = '\0';
		return ret;
	}
	return 0;
}

/* In the child; uses nothing but system calls. */
static void
program_exec(const char *program, char *const args[], int fd, pid_t parent)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};

	sigemptyset(&dfl.sa_mask);
	sigaction(SIGPIPE, &dfl, NULL);
	/* A terminal's SIGINT is for the parent, which then stops the child in order. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == parent && fcntl(fd, F_SETFD, 0) == 0)
		execv(program, args);
	_exit(127);
}

pid_t
bench_process_start(const char *program, char *const args[], int fd)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid == 0)
		program_exec(program, args, fd, parent);
	return pid < 0 ? -errno : pid;
}

int
bench_process_wait_ready(const char *program, int fd, struct vuc_error *err)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int n;

	do
		n = poll(&pfd, 1, START_TIMEOUT_MS);
	while (n < 0 && errno == EINTR && !bench_interrupted());
	if (n < 0)
		return bench_fail(err, -errno, "%s: %s", program, strerror(errno));
	if (n == 0)
		return bench_fail(
			err, -ETIMEDOUT, "%s: no answer after %d ms", program, START_TIMEOUT_MS);
	return 0;
}

int
bench_process_ended_early(pid_t pid, const char *program, struct vuc_error *err)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		return bench_fail(err, -ECHILD, "%s: killed by signal %d before it was ready",
			program, WTERMSIG(status));
	return bench_fail(err, -ECHILD, "%s: ended with status %d before it was ready", program,
		WEXITSTATUS(status));
}

/* Whether the child has ended within the time. */
static bool
has_ended(pid_t pid, int timeout_ms)
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
bench_process_wait(pid_t pid)
{
	if (!has_ended(pid, STOP_TIMEOUT_MS))
		kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
