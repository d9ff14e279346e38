/* SPDX-License-Identifier: BSD-3-Clause */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine.h"

#define START_TIMEOUT_MS 5000
#define STOP_TIMEOUT_MS  5000
#define VUCD_TIMEOUT_MS  120000 /* waiting for hung servers in turn takes that long */
#define RETRY_MS         1      /* between attempts to attach to a device that is away */
#define REFDEV           "vuc-refdev"
#define REFDEV_LONGEST   "/refdev.sock.255"
#define VUCD             "vucd"
#define VUCD_LONGEST     "/run/management.sock"

/* ---- programs ---- */

static bool __attribute__((format(printf, 2, 3)))
is_program_at(char path[PATH_MAX], const char *fmt, ...)
{
	struct stat st;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(path, PATH_MAX, fmt, args);
	va_end(args);
	return n > 0 && n < PATH_MAX && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		access(path, X_OK) == 0;
}

/* In the build tree, or where all are installed. */
static bool
find_near(const char *name, char path[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len <= 0)
		return false;
	self[len] = '\0';
	*strrchr(self, '/') = '\0';
	return is_program_at(path, "%s/../../app/%s/%s", self, name, name) ||
		is_program_at(path, "%s/%s", self, name);
}

static bool
find_in_path(const char *name, char path[PATH_MAX])
{
	const char *dir = getenv("PATH");

	while (dir != NULL && *dir != '\0') {
		int len = (int)strcspn(dir, ":");

		/* An empty entry would be the current folder: not here. */
		if (len > 0 && is_program_at(path, "%.*s/%s", len, dir, name))
			return true;
		dir += len;
		dir += *dir == ':';
	}
	return false;
}

int
bench_program_find(
	const char *name, const char *variable, char path[PATH_MAX], struct vuc_error *err)
{
	const char *given = variable != NULL ? getenv(variable) : NULL;

	if (given != NULL && given[0] != '\0')
		return is_program_at(path, "%s", given)
			? 0
			: bench_fail(err, -EACCES, "$%s is not a program: %s", variable, given);
	if (find_near(name, path) || find_in_path(name, path))
		return 0;
	return bench_fail(err, -ENOENT, "%s: not found in $PATH", name);
}

pid_t
bench_process_spawn(
	const char *program, char *const args[], const int fds[3], struct vuc_error *err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t pipes;
	pid_t pid = 0;
	int ret;

	sigemptyset(&pipes);
	sigaddset(&pipes, SIGPIPE);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigdefault(&attr, &pipes);
	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&actions, fds[i], i);
	ret = posix_spawn(&pid, program, &actions, &attr, args, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return ret != 0 ? bench_fail(err, -ret, "%s: %s", program, strerror(ret)) : pid;
}

int
bench_process_wait(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

int
bench_process_explain(
	int status, int code, const char *program, const char *when, struct vuc_error *err)
{
	if (WIFSIGNALED(status))
		return bench_fail(
			err, code, "%s: killed by signal %d%s", program, WTERMSIG(status), when);
	return bench_fail(
		err, code, "%s: exited with status %d%s", program, WEXITSTATUS(status), when);
}

/* ---- children ---- */

int
bench_child_make_folder(struct bench_child *c, size_t room, struct vuc_error *err)
{
	const char *tmp = getenv("TMPDIR");
	int n, ret;

	if (tmp == NULL || tmp[0] == '\0')
		tmp = "/tmp";
	n = snprintf(c->dir, sizeof(c->dir), "%s/vuc-bench-XXXXXX", tmp);
	if (n < 0 || (size_t)n + room >= sizeof(c->dir))
		ret = bench_fail(
			err, -ENAMETOOLONG, "$TMPDIR is too long for a socket in it: %s", tmp);
	else if (mkdtemp(c->dir) == NULL)
		ret = bench_fail(err, -errno, "%s: %s", c->dir, strerror(errno));
	else
		return 0;
	c->dir[0] = '\0';
	return ret;
}

static int
remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	remove(path);
	return 0;
}

void
bench_child_begin(pid_t parent, int signo)
{
	/* A terminal's SIGINT is for the parent, which then stops the child in order. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, signo);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
}

/* In the child; uses nothing but system calls. */
static void
program_exec(const char *program, char *const args[], int fd, pid_t parent)
{
	signal(SIGPIPE, SIG_DFL);
	bench_child_begin(parent, SIGTERM);
	if (fd < 0 || fcntl(fd, F_SETFD, 0) == 0)
		execv(program, args);
	_exit(127);
}

int
bench_child_start(struct bench_child *c, const char *program, char *const args[], int fd,
	struct vuc_error *err)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid == 0)
		program_exec(program, args, fd, parent);
	if (pid < 0)
		return bench_fail(err, -errno, "cannot create a process: %s", strerror(errno));
	c->pid = pid;
	return 0;
}

static int
pidfd_open(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* As poll(2), which goes on after signals that do not ask for an end. */
static int
poll_on(struct pollfd *pfds, nfds_t nr, int timeout_ms)
{
	int n;

	do
		n = poll(pfds, nr, timeout_ms);
	while (n < 0 && errno == EINTR && !bench_interrupted());
	return n >= 0 ? n : -errno;
}

int
bench_child_wait(const struct bench_child *c, const char *name, int fd, int timeout_ms,
	struct vuc_error *err)
{
	struct pollfd pfds[] = {
		{.fd = fd, .events = POLLIN},
		{.fd = pidfd_open(c->pid), .events = POLLIN},
	};
	int n = poll_on(pfds, 2, timeout_ms);

	if (pfds[1].fd >= 0)
		close(pfds[1].fd);
	if (n < 0)
		return bench_fail(err, n, "waiting for %s: %s", name, strerror(-n));
	if (n == 0)
		return bench_fail(err, -ETIMEDOUT, "%s: no answer after %d ms", name, timeout_ms);
	return 0;
}

int
bench_child_explain(struct bench_child *c, const char *name, struct vuc_error *err)
{
	int status = bench_process_wait(c->pid);

	c->pid = 0;
	return bench_process_explain(status, -ECHILD, name, " before it was ready", err);
}

void
bench_child_kill(struct bench_child *c)
{
	if (c->pid <= 0)
		return;
	kill(c->pid, SIGKILL);
	bench_process_wait(c->pid);
	c->pid = 0;
}

/* Also when a signal has asked for an end. */
static void
child_terminate(struct bench_child *c)
{
	struct pollfd pfd = {.fd = pidfd_open(c->pid), .events = POLLIN};

	kill(c->pid, SIGTERM);
	/* It may be stopped. */
	kill(c->pid, SIGCONT);
	if (pfd.fd < 0)
		return;
	while (poll(&pfd, 1, STOP_TIMEOUT_MS) < 0 && errno == EINTR)
		;
	close(pfd.fd);
}

void
bench_child_stop(struct bench_child *c)
{
	if (c->pid > 0)
		child_terminate(c);
	bench_child_kill(c);
	if (c->dir[0] != '\0')
		nftw(c->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	c->dir[0] = '\0';
}

/* ---- vuc-refdev ---- */

const char *
bench_refdev_socket(const struct bench_refdev *refdev, unsigned int i, char path[BENCH_SOCKET_MAX])
{
	const int room = (int)(BENCH_SOCKET_MAX - sizeof(".255"));

	if (i == 0)
		snprintf(path, BENCH_SOCKET_MAX, "%s", refdev->socket);
	else
		snprintf(path, BENCH_SOCKET_MAX, "%.*s.%hhu", room, refdev->socket,
			(unsigned char)i);
	return path;
}

static int
refdev_spawn(struct bench_refdev *refdev, const char *program, const struct bench_refdev_opts *opts,
	int ready_fd, struct vuc_error *err)
{
	char paths[BENCH_REFDEV_MAX_SOCKETS][BENCH_SOCKET_MAX];
	char name[] = REFDEV, mode[16], cpu[32], ready[32], fault[64], end[] = "--";
	char *args[7 + BENCH_REFDEV_MAX_SOCKETS] = {name, mode, cpu, ready};
	unsigned int nr = 4;

	snprintf(mode, sizeof(mode), "--mode=%s", opts->block ? "block" : "poll");
	snprintf(cpu, sizeof(cpu), "--cpu=%u", opts->cpu);
	snprintf(ready, sizeof(ready), "--ready-fd=%d", ready_fd);
	if (opts->fault != NULL) {
		snprintf(fault, sizeof(fault), "--fault=%s", opts->fault);
		args[nr++] = fault;
	}
	args[nr++] = end;
	for (unsigned int i = 0; i < refdev->sockets; i++) {
		bench_refdev_socket(refdev, i, paths[i]);
		args[nr++] = paths[i];
	}
	return bench_child_start(&refdev->child, program, args, ready_fd, err);
}

int
bench_refdev_start_again(
	struct bench_refdev *refdev, const struct bench_refdev_opts *opts, struct vuc_error *err)
{
	char program[PATH_MAX], byte;
	int ready[2];
	int ret = bench_program_find(REFDEV, "VUC_REFDEV", program, err);

	if (ret != 0)
		return ret;
	if (pipe2(ready, O_CLOEXEC) != 0)
		return bench_fail(err, -errno, "cannot create a pipe: %s", strerror(errno));
	ret = refdev_spawn(refdev, program, opts, ready[1], err);
	close(ready[1]);
	if (ret == 0)
		ret = bench_child_wait(&refdev->child, program, ready[0], START_TIMEOUT_MS, err);
	if (ret == 0 && read(ready[0], &byte, 1) != 1)
		ret = bench_child_explain(&refdev->child, program, err);
	close(ready[0]);
	return ret;
}

int
bench_refdev_start(
	struct bench_refdev *refdev, const struct bench_refdev_opts *opts, struct vuc_error *err)
{
	int ret;

	*refdev = (struct bench_refdev){.sockets = opts->sockets};
	ret = bench_child_make_folder(&refdev->child, sizeof(REFDEV_LONGEST) - 1, err);
	if (ret != 0)
		return ret;
	snprintf(refdev->socket, sizeof(refdev->socket), "%.*s/refdev.sock",
		(int)(sizeof(refdev->socket) - sizeof(REFDEV_LONGEST)), refdev->child.dir);
	ret = bench_refdev_start_again(refdev, opts, err);
	if (ret != 0)
		bench_child_stop(&refdev->child);
	return ret;
}

/* ---- vucd ---- */

static void
vucd_path(const struct bench_vucd *vucd, const char *name, char path[BENCH_SOCKET_MAX])
{
	snprintf(path, BENCH_SOCKET_MAX, "%.*s/%s", (int)(BENCH_SOCKET_MAX - sizeof(VUCD_LONGEST)),
		vucd->child.dir, name);
}

static int
vucd_write_config(const struct bench_vucd *vucd, const char *config, char path[BENCH_SOCKET_MAX],
	struct vuc_error *err)
{
	FILE *file;
	bool failed;

	vucd_path(vucd, "conf", path);
	file = fopen(path, "we");
	if (file == NULL)
		return bench_fail(err, -errno, "%s: %s", path, strerror(errno));
	failed = fprintf(file,
			 "[poller io0]\ncpu = none\nidle = sleep\n"
			 "[vucd]\ndirectory = %s/run\ntelemetry = off\nlog-level = error\n%s",
			 vucd->child.dir, config) < 0;
	if (fclose(file) != 0 || failed)
		return bench_fail(err, -EIO, "cannot write %s", path);
	return 0;
}

/* The program finds the socket for its notifications, and the folder for DPDK's files, by its
 * environment. */
static int
vucd_spawn(struct bench_vucd *vucd, const char *config, int notify, struct vuc_error *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char name[] = VUCD, option[] = "--config", path[BENCH_SOCKET_MAX], program[PATH_MAX];
	char *const args[] = {name, option, path, NULL};
	int ret = bench_program_find(VUCD, "VUCD", program, err);

	if (ret == 0)
		ret = vucd_write_config(vucd, config, path, err);
	if (ret != 0)
		return ret;
	vucd_path(vucd, "notify", addr.sun_path);
	if (bind(notify, (const struct sockaddr *)&addr, sizeof(addr)) != 0)
		return bench_fail(err, -errno, "%s: %s", addr.sun_path, strerror(errno));
	setenv("NOTIFY_SOCKET", addr.sun_path, 1);
	setenv("RUNTIME_DIRECTORY", vucd->child.dir, 1);
	ret = bench_child_start(&vucd->child, program, args, -1, err);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("RUNTIME_DIRECTORY");
	return ret;
}

static int
vucd_wait_ready(struct bench_vucd *vucd, int notify, struct vuc_error *err)
{
	char text[256] = "";

	while (strncmp(text, "READY=1", 7) != 0) {
		int ret = bench_child_wait(&vucd->child, VUCD, notify, VUCD_TIMEOUT_MS, err);
		ssize_t n;

		if (ret != 0)
			return ret;
		n = recv(notify, text, sizeof(text) - 1, MSG_DONTWAIT);
		if (n < 0)
			return bench_child_explain(&vucd->child, VUCD, err);
		text[n] = '\0';
	}
	return 0;
}

static int
poll_one(struct pollfd *pfd, int timeout_ms)
{
	return poll_on(pfd, 1, timeout_ms);
}

int
bench_vucd_start(struct bench_vucd *vucd, const char *config, struct vuc_error *err)
{
	int notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char path[BENCH_SOCKET_MAX];
	int ret;

	*vucd = (struct bench_vucd){.management.fd = -1};
	if (notify < 0)
		return bench_fail(err, -errno, "cannot create a socket: %s", strerror(errno));
	ret = bench_child_make_folder(&vucd->child, sizeof(VUCD_LONGEST) - 1, err);
	vucd_path(vucd, "run/vmm.sock", vucd->vmm_socket);
	if (ret == 0)
		ret = vucd_spawn(vucd, config, notify, err);
	if (ret == 0)
		ret = vucd_wait_ready(vucd, notify, err);
	close(notify);
	if (ret != 0)
		return ret;
	vucd_path(vucd, "run/management.sock", path);
	ret = app_management_open(&vucd->management, path, VUCD_TIMEOUT_MS, poll_one);
	return ret != 0 ? bench_fail(err, ret, "%s: %s", path, vucd->management.why) : 0;
}

int
bench_vucd_call(
	struct bench_vucd *vucd, const char *method, struct app_json *params, struct vuc_error *err)
{
	struct json_object *result;
	int ret = app_management_call(&vucd->management, method, params, &result);

	if (ret != 0)
		return bench_fail(err, ret, VUCD ": %s: %s", method,
			ret == -EINTR ? "interrupted" : vucd->management.why);
	json_object_put(result);
	return 0;
}

int
bench_vucd_end(struct bench_vucd *vucd, struct vuc_error *err)
{
	int ret;

	kill(vucd->child.pid, SIGTERM);
	ret = bench_child_wait(&vucd->child, VUCD, -1, VUCD_TIMEOUT_MS, err);
	if (ret != 0)
		return ret;
	bench_process_wait(vucd->child.pid);
	vucd->child.pid = 0;
	return 0;
}

void
bench_vucd_stop(struct bench_vucd *vucd)
{
	if (vucd->child.dir[0] == '\0')
		return;
	/* Hung servers would delay an orderly end. */
	bench_child_kill(&vucd->child);
	app_management_close(&vucd->management);
	bench_child_stop(&vucd->child);
}

int
bench_attach(const char *socket, const char *device, uint32_t timeout_ms,
	struct vuc_vmm_device **dev, struct vuc_error *err)
{
	struct vuc_vmm_attach_opts opts;
	int ret;

	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = socket;
	opts.device = device;
	opts.name = "vuc-bench";
	opts.timeout_ms = timeout_ms;
	/* -ENOTCONN: the daemon is not connected to the server so far. */
	while ((ret = vuc_vmm_attach(&opts, dev, err)) == -ENOTCONN && !bench_interrupted())
		vuc_clock_sleep_ms(RETRY_MS);
	return ret;
}
