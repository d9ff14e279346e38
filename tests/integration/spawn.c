/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawn.h"

#define EXIT_NO_PROGRAM 127

static void
close_files(struct vuc_spawn *s)
{
	if (s->output >= 0)
		close(s->output);
	if (s->errors >= 0)
		close(s->errors);
	if (s->pidfd >= 0)
		close(s->pidfd);
	*s = (struct vuc_spawn){.pidfd = -1, .output = -1, .errors = -1};
}

static int
open_files(struct vuc_spawn *s)
{
	*s = (struct vuc_spawn){.pidfd = -1, .output = -1, .errors = -1};
	s->output = memfd_create("stdout", MFD_CLOEXEC);
	s->errors = memfd_create("stderr", MFD_CLOEXEC);
	return s->output >= 0 && s->errors >= 0 ? 0 : -errno;
}

/* Who starts the tests in the background may have signals ignored, which programs inherit. */
static void
heed_signals(void)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGQUIT, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
}

/* The child's half: nothing that could wait for a lock of the parent's. */
static void
become(const struct vuc_spawn *s, char *const *argv, int keep_fd, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY);

	heed_signals();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || null < 0)
		_exit(EXIT_NO_PROGRAM);
	if (dup2(null, 0) < 0 || dup2(s->output, 1) < 0 || dup2(s->errors, 2) < 0)
		_exit(EXIT_NO_PROGRAM);
	if (null > 2)
		close(null);
	if (keep_fd >= 0)
		fcntl(keep_fd, F_SETFD, 0);
	execv(argv[0], argv);
	_exit(EXIT_NO_PROGRAM);
}

static size_t
count_args(const char *const *args)
{
	size_t n = 0;

	while (args[n] != NULL)
		n++;
	return n;
}

/* argv[0], an argument of our own if there is one, and the arguments. The strings are borrowed. */
static char **
make_argv(const char *program, const char *extra, const char *const *args)
{
	size_t nr_args = count_args(args);
	const char **argv = calloc(nr_args + 3, sizeof(*argv));
	size_t n = 0;

	if (argv == NULL)
		return NULL;
	argv[n++] = program;
	if (extra != NULL)
		argv[n++] = extra;
	memcpy(argv + n, args, nr_args * sizeof(*args));
	return (char **)argv;
}

/* keep_fd, if not -1, is inherited; extra, if not NULL, is the first argument. */
static int
start(struct vuc_spawn *s, const char *program, const char *const *args, const char *extra,
	int keep_fd)
{
	pid_t parent = getpid();
	char **argv;
	int rc = open_files(s);

	if (rc != 0) {
		close_files(s);
		return rc;
	}
	argv = program != NULL ? make_argv(program, extra, args) : NULL;
	if (argv == NULL) {
		close_files(s);
		return program != NULL ? -ENOMEM : -EINVAL;
	}
	s->pid = fork();
	if (s->pid == 0)
		become(s, argv, keep_fd, parent);
	free(argv);
	if (s->pid < 0) {
		rc = -errno;
		close_files(s);
		return rc;
	}
	s->pidfd = pidfd_open(s->pid, 0);
	return 0;
}

int
vuc_spawn_start(struct vuc_spawn *s, const char *program, const char *const *args)
{
	return start(s, program, args, NULL, -1);
}

static int
wait_readable(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int rc;

	do {
		rc = poll(&pfd, 1, VUC_SPAWN_TIMEOUT_MS);
	} while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return -errno;
	return rc > 0 ? 0 : -ETIMEDOUT;
}

/* The end of the pipe without a byte before it means that the program has ended. */
static int
wait_ready(struct vuc_spawn *s, int fd)
{
	int rc = wait_readable(fd);
	char byte;

	if (rc != 0)
		return rc;
	if (read(fd, &byte, 1) == 1)
		return 0;
	vuc_spawn_wait(s);
	return -ECHILD;
}

int
vuc_spawn_server(struct vuc_spawn *s, const char *program, const char *const *args)
{
	int ends[2];
	char option[32];
	int rc;

	*s = (struct vuc_spawn){.pidfd = -1, .output = -1, .errors = -1};
	if (pipe2(ends, O_CLOEXEC) != 0)
		return -errno;
	snprintf(option, sizeof(option), "--ready-fd=%d", ends[1]);
	rc = start(s, program, args, option, ends[1]);
	close(ends[1]);
	if (rc == 0)
		rc = wait_ready(s, ends[0]);
	close(ends[0]);
	return rc;
}

static int
reap(struct vuc_spawn *s)
{
	pid_t pid;

	do {
		pid = waitpid(s->pid, &s->status, 0);
	} while (pid < 0 && errno == EINTR);
	s->pid = 0;
	return pid < 0 ? -errno : 0;
}

int
vuc_spawn_wait(struct vuc_spawn *s)
{
	int late;

	if (s->pid <= 0)
		return 0;
	late = wait_readable(s->pidfd);
	if (late != 0)
		kill(s->pid, SIGKILL);
	return reap(s) != 0 ? -ECHILD : late;
}

int
vuc_spawn_stop(struct vuc_spawn *s)
{
	if (s->pid > 0)
		kill(s->pid, SIGTERM);
	return vuc_spawn_wait(s);
}

void
vuc_spawn_kill(struct vuc_spawn *s)
{
	if (s->pid <= 0)
		return;
	kill(s->pid, SIGKILL);
	reap(s);
}

int
vuc_spawn_status(const struct vuc_spawn *s)
{
	if (s->pid > 0)
		return -1;
	return WIFEXITED(s->status) ? WEXITSTATUS(s->status) : 1000 + WTERMSIG(s->status);
}

static char *
read_all(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = size >= 0 ? malloc((size_t)size + 1) : NULL;
	ssize_t n;

	if (text == NULL)
		return NULL;
	n = pread(fd, text, (size_t)size, 0);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

char *
vuc_spawn_output(const struct vuc_spawn *s)
{
	return read_all(s->output);
}

char *
vuc_spawn_errors(const struct vuc_spawn *s)
{
	return read_all(s->errors);
}

void
vuc_spawn_free(struct vuc_spawn *s)
{
	vuc_spawn_kill(s);
	close_files(s);
}
