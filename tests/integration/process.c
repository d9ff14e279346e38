/* SPDX-License-Identifier: BSD-3-Clause */
#include "process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tap.h"

#define TIMEOUT_MS      60000 /* a program that has not done by then what it should hangs */
#define EXIT_NO_PROGRAM 127
#define MAX_ARGS        32

/* The child's half: nothing that could wait for a lock of the parent's. */
static void
become(const struct process *p, char *const *argv, int ready_fd, pid_t parent)
{
	/* Who starts the tests in the background may have signals ignored. */
	static const int heeded[] = {SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGPIPE};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (size_t i = 0; i < NR(heeded); i++)
		signal(heeded[i], SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ready_fd >= 0)
		fcntl(ready_fd, F_SETFD, 0);
	if (getppid() == parent && dup2(null, 0) == 0 && dup2(null, 1) == 1 &&
		dup2(p->errors, 2) == 2)
		execv(argv[0], argv);
	_exit(EXIT_NO_PROGRAM);
}

/* -ETIMEDOUT when nothing comes, and no end of it. */
static int
await_readable(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int rc;

	do {
		rc = poll(&pfd, 1, TIMEOUT_MS);
	} while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return -errno;
	return rc > 0 ? 0 : -ETIMEDOUT;
}

/* Each line is a comment of TAP. */
static void
print_errors(const struct process *p)
{
	char *errors = process_errors(p), *rest = errors, *line;

	while ((line = strsep(&rest, "\n")) != NULL)
		printf("# %s\n", line);
	free(errors);
}

/* The end of the pipe without a byte before it means that the program has ended. */
static int
await_ready(struct process *p, int fd)
{
	int rc = await_readable(fd);
	char byte;

	if (rc == 0 && read(fd, &byte, 1) != 1)
		rc = -ECHILD;
	if (rc != 0) {
		process_end(p, rc == -ECHILD ? 0 : SIGKILL);
		print_errors(p);
	}
	return rc;
}

static int
process_fork(struct process *p, char *const *argv, int ready_fd)
{
	pid_t parent = getpid();

	p->errors = memfd_create("stderr", MFD_CLOEXEC);
	p->pid = p->errors >= 0 ? fork() : -1;
	if (p->pid == 0)
		become(p, argv, ready_fd, parent);
	if (p->pid < 0)
		return -errno;
	p->pidfd = pidfd_open(p->pid, 0);
	return p->pidfd >= 0 ? 0 : -errno;
}

int
process_start(struct process *p, const char *program, const char *const *args, bool is_server)
{
	const char *argv[MAX_ARGS + 3] = {program};
	int ends[2] = {-1, -1};
	size_t n = 1;
	char ready[32];
	int rc;

	*p = (struct process){.pidfd = -1, .errors = -1};
	if (program == NULL || (is_server && pipe2(ends, O_CLOEXEC) != 0))
		return program == NULL ? -EINVAL : -errno;
	if (is_server) {
		snprintf(ready, sizeof(ready), "--ready-fd=%d", ends[1]);
		argv[n++] = ready;
	}
	while (*args != NULL && n < MAX_ARGS + 2)
		argv[n++] = *args++;
	rc = *args == NULL ? process_fork(p, (char *const *)(uintptr_t)argv, ends[1]) : -E2BIG;
	if (is_server) {
		close(ends[1]);
		if (rc == 0)
			rc = await_ready(p, ends[0]);
		close(ends[0]);
	}
	if (rc != 0)
		process_free(p);
	return rc;
}

int
process_end(struct process *p, int number)
{
	int status = 0, late;

	if (p->pid <= 0)
		return 0;
	if (number != 0)
		kill(p->pid, number);
	late = await_readable(p->pidfd);
	if (late != 0)
		kill(p->pid, SIGKILL);
	while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	p->pid = 0;
	if (late != 0)
		return late;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

bool
process_has_ended(const struct process *p)
{
	struct pollfd pfd = {.fd = p->pidfd, .events = POLLIN};

	return poll(&pfd, 1, 0) > 0;
}

char *
process_errors(const struct process *p)
{
	off_t size = lseek(p->errors, 0, SEEK_END);
	char *text = size >= 0 ? malloc((size_t)size + 1) : NULL;
	ssize_t n;

	if (text == NULL)
		return NULL;
	n = pread(p->errors, text, (size_t)size, 0);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

void
process_free(struct process *p)
{
	process_end(p, SIGKILL);
	if (p->errors >= 0)
		close(p->errors);
	if (p->pidfd >= 0)
		close(p->pidfd);
	*p = (struct process){.pidfd = -1, .errors = -1};
}
