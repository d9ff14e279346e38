/* SPDX-License-Identifier: BSD-3-Clause */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
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
#define VUCD             "vucd"
#define VUCD_LONGEST     "/run/management.sock"
#define REFDEV_LONGEST   "/refdev.sock.255"
#define REFDEV_MAX_ARGS  (9 + BENCH_REFDEV_MAX_SOCKETS)
#define REFDEV_PATH_ARG  "--socket-path="

static bool
is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Whether folder/name is a program; path has room for PATH_MAX bytes. */
static bool
is_program_in(const char *folder, size_t folder_len, const char *name, char *path)
{
	int n;

	if (folder_len >= PATH_MAX)
		return false;
	n = snprintf(path, PATH_MAX, "%.*s/%s", (int)folder_len, folder, name);
	return n > 0 && n < PATH_MAX && is_program(path);
}

static bool
find_near(const char *name, const char *relative, char *path)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t folder_len;

	if (len <= 0)
		return false;
	self[len] = '\0';
	folder_len = (size_t)(strrchr(self, '/') - self);
	return (relative != NULL && is_program_in(self, folder_len, relative, path)) ||
		is_program_in(self, folder_len, name, path);
}

static bool
find_in_path(const char *name, char *path)
{
	const char *dir = getenv("PATH");

	while (dir != NULL && *dir != '\0') {
		size_t len = strcspn(dir, ":");

		/* An empty entry would be the current folder: not here. */
		if (len > 0 && is_program_in(dir, len, name, path))
			return true;
		dir += len;
		dir += *dir == ':';
	}
	return false;
}

int
bench_program_find(const char *name, const char *variable, const char *relative, char **path,
	struct vuc_error *err)
{
	const char *override = variable != NULL ? getenv(variable) : NULL;
	char found[PATH_MAX];

	if (override != NULL && override[0] != '\0') {
		if (!is_program(override))
			return bench_fail(
				err, -EACCES, "%s: not a program: %s", variable, override);
		*path = strdup(override);
	} else if (find_near(name, relative, found) || find_in_path(name, found)) {
		*path = strdup(found);
	} else {
		return bench_fail(err, -ENOENT, "%s: not found in $PATH", name);
	}
	return *path != NULL ? 0 : bench_fail(err, -ENOMEM, "out of memory");
}

int
bench_pipe(int fds[2], struct vuc_error *err)
{
	if (pipe2(fds, O_CLOEXEC) != 0)
		return bench_fail(err, -errno, "pipe: %s", strerror(errno));
	return 0;
}

int
bench_folder_make(char dir[BENCH_SOCKET_MAX], size_t room, struct vuc_error *err)
{
	const char *tmp = getenv("TMPDIR");
	int n, ret;

	if (tmp == NULL || tmp[0] == '\0')
		tmp = "/tmp";
	n = snprintf(dir, BENCH_SOCKET_MAX, "%s/vuc-bench-XXXXXX", tmp);
	if (n < 0 || (size_t)n + room >= BENCH_SOCKET_MAX)
		ret = bench_fail(err, -ENAMETOOLONG,
			"the path of the temporary folder is too long for a socket in it: %s", tmp);
	else if (mkdtemp(dir) == NULL)
		ret = bench_fail(err, -errno, "%s: %s", dir, strerror(errno));
	else
		return 0;
	dir[0] = '\0';
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
bench_folder_remove(char dir[BENCH_SOCKET_MAX])
{
	if (dir[0] != '\0')
		nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	dir[0] = '\0';
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
	if (fcntl(fd, F_SETFD, 0) == 0)
		execv(program, args);
	_exit(127);
}

pid_t
bench_process_start(const char *program, char *const args[], int fd, struct vuc_error *err)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid == 0)
		program_exec(program, args, fd, parent);
	return pid < 0 ? bench_fail(err, -errno, "fork: %s", strerror(errno)) : pid;
}

static int
pidfd_open(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

int
bench_process_wait_ready(
	pid_t pid, const char *program, int fd, int timeout_ms, struct vuc_error *err)
{
	struct pollfd pfds[2] = {{.fd = fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
	int n;

	if (pid != 0)
		pfds[1].fd = pidfd_open(pid);
	do
		n = poll(pfds, 2, timeout_ms);
	while (n < 0 && errno == EINTR && !bench_interrupted());
	if (n < 0)
		n = bench_fail(err, -errno, "%s: %s", program, strerror(errno));
	else if (n == 0)
		n = bench_fail(err, -ETIMEDOUT, "%s: no answer after %d ms", program, timeout_ms);
	if (pfds[1].fd >= 0)
		close(pfds[1].fd);
	return n < 0 ? n : 0;
}

int
bench_process_wait(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

void
bench_process_stop(pid_t pid)
{
	struct pollfd pfd = {.fd = pidfd_open(pid), .events = POLLIN};
	int n = 0;

	if (pfd.fd >= 0) {
		do
			n = poll(&pfd, 1, STOP_TIMEOUT_MS);
		while (n < 0 && errno == EINTR);
		close(pfd.fd);
	}
	if (n <= 0)
		kill(pid, SIGKILL);
	bench_process_wait(pid);
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
	char(*paths)[sizeof(REFDEV_PATH_ARG) + BENCH_SOCKET_MAX] =
		calloc(refdev->sockets, sizeof(*paths));
	char name[] = "vuc-refdev", mode[16], cpu[32], ready[32], fault[64];
	char *args[REFDEV_MAX_ARGS] = {name, mode, cpu, ready};
	char path[BENCH_SOCKET_MAX];
	unsigned int i;
	pid_t pid;

	if (paths == NULL)
		return bench_fail(err, -ENOMEM, "out of memory");
	snprintf(mode, sizeof(mode), "--mode=%s", opts->block ? "block" : "poll");
	snprintf(cpu, sizeof(cpu), "--cpu=%u", opts->cpu);
	snprintf(ready, sizeof(ready), "--ready-fd=%d", ready_fd);
	for (i = 0; i < refdev->sockets; i++) {
		snprintf(paths[i], sizeof(paths[i]), REFDEV_PATH_ARG "%s",
			bench_refdev_socket(refdev, i, path));
		args[4 + i] = paths[i];
	}
	if (opts->fault != NULL) {
		snprintf(fault, sizeof(fault), "--fault=%s", opts->fault);
		args[4 + i] = fault;
	}
	pid = bench_process_start(program, args, ready_fd, err);
	free(paths);
	if (pid < 0)
		return pid;
	refdev->pid = pid;
	return 0;
}

static int
refdev_wait_ready(
	struct bench_refdev *refdev, const char *program, int ready_fd, struct vuc_error *err)
{
	int ret = bench_process_wait_ready(0, program, ready_fd, START_TIMEOUT_MS, err);
	char byte;

	if (ret != 0 || read(ready_fd, &byte, 1) == 1)
		return ret;
	ret = bench_process_explain(
		bench_process_wait(refdev->pid), -ECHILD, program, " before it was ready", err);
	refdev->pid = 0;
	return ret;
}

static int
refdev_start(struct bench_refdev *refdev, const char *program, const struct bench_refdev_opts *opts,
	struct vuc_error *err)
{
	int ready[2];
	int ret = bench_pipe(ready, err);

	if (ret != 0)
		return ret;
	ret = refdev_spawn(refdev, program, opts, ready[1], err);
	close(ready[1]);
	if (ret == 0)
		ret = refdev_wait_ready(refdev, program, ready[0], err);
	close(ready[0]);
	return ret;
}

int
bench_refdev_start_again(
	struct bench_refdev *refdev, const struct bench_refdev_opts *opts, struct vuc_error *err)
{
	char *program;
	int ret = bench_program_find(
		"vuc-refdev", "VUC_REFDEV", "../../app/vuc-refdev/vuc-refdev", &program, err);

	if (ret != 0)
		return ret;
	ret = refdev_start(refdev, program, opts, err);
	free(program);
	return ret;
}

int
bench_refdev_start(
	struct bench_refdev *refdev, const struct bench_refdev_opts *opts, struct vuc_error *err)
{
	int ret;

	*refdev = (struct bench_refdev){.sockets = opts->sockets};
	ret = bench_folder_make(refdev->dir, sizeof(REFDEV_LONGEST) - 1, err);
	if (ret != 0)
		return ret;
	snprintf(refdev->socket, sizeof(refdev->socket), "%.*s/refdev.sock",
		(int)(sizeof(refdev->socket) - sizeof(REFDEV_LONGEST)), refdev->dir);
	ret = bench_refdev_start_again(refdev, opts, err);
	if (ret != 0)
		bench_refdev_stop(refdev);
	return ret;
}

void
bench_refdev_kill(struct bench_refdev *refdev)
{
	if (refdev->pid <= 0)
		return;
	kill(refdev->pid, SIGKILL);
	bench_process_wait(refdev->pid);
	refdev->pid = 0;
}

void
bench_refdev_stop(struct bench_refdev *refdev)
{
	if (refdev->pid > 0) {
		kill(refdev->pid, SIGTERM);
		/* It may be stopped. */
		kill(refdev->pid, SIGCONT);
		bench_process_stop(refdev->pid);
		refdev->pid = 0;
	}
	bench_folder_remove(refdev->dir);
}

static void
vucd_address(const struct bench_vucd *vucd, const char *name, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(addr->sun_path, sizeof(addr->sun_path), "%.*s/%s",
		(int)(sizeof(addr->sun_path) - sizeof(VUCD_LONGEST)), vucd->dir, name);
}

static int
vucd_write_config(
	const struct bench_vucd *vucd, const char *config, const char *path, struct vuc_error *err)
{
	FILE *file = fopen(path, "we");
	bool failed;

	if (file == NULL)
		return bench_fail(err, -errno, "%s: %s", path, strerror(errno));
	failed = fprintf(file,
			 "[poller io0]\ncpu = none\nidle = sleep\n"
			 "[vucd]\ndirectory = %s/run\ntelemetry = off\nlog-level = error\n%s",
			 vucd->dir, config) < 0;
	if (fclose(file) != 0 || failed)
		return bench_fail(err, -EIO, "%s: cannot be written", path);
	return 0;
}

/* The program finds the socket for its notifications, and the folder for DPDK's files, by its
 * environment. */
static int
vucd_spawn(struct bench_vucd *vucd, const char *program, const char *config, struct vuc_error *err)
{
	char name[] = VUCD, config_arg[] = "--config";
	struct sockaddr_un notify, conf;
	char *const args[] = {name, config_arg, conf.sun_path, NULL};
	int ret;

	vucd_address(vucd, "conf", &conf);
	vucd_address(vucd, "notify", &notify);
	ret = vucd_write_config(vucd, config, conf.sun_path, err);
	if (ret != 0)
		return ret;
	vucd->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (vucd->notify < 0 ||
		bind(vucd->notify, (const struct sockaddr *)&notify, sizeof(notify)) != 0)
		return bench_fail(err, -errno, "%s: %s", notify.sun_path, strerror(errno));
	setenv("NOTIFY_SOCKET", notify.sun_path, 1);
	setenv("RUNTIME_DIRECTORY", vucd->dir, 1);
	ret = bench_process_start(program, args, vucd->notify, err);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("RUNTIME_DIRECTORY");
	if (ret > 0)
		vucd->pid = ret;
	return ret > 0 ? 0 : ret;
}

static int
vucd_wait_ready(struct bench_vucd *vucd, struct vuc_error *err)
{
	char text[256] = "";

	while (strncmp(text, "READY=1", 7) != 0) {
		int ret = bench_process_wait_ready(
			vucd->pid, VUCD, vucd->notify, VUCD_TIMEOUT_MS, err);
		ssize_t n;

		if (ret != 0)
			return ret;
		n = recv(vucd->notify, text, sizeof(text) - 1, MSG_DONTWAIT);
		if (n < 0) {
			ret = bench_process_explain(bench_process_wait(vucd->pid), -ECHILD, VUCD,
				" before it was ready", err);
			vucd->pid = 0;
			return ret;
		}
		text[n] = '\0';
	}
	return 0;
}

static int
vucd_connect(struct bench_vucd *vucd, struct vuc_error *err)
{
	struct sockaddr_un addr;

	vucd_address(vucd, "run/management.sock", &addr);
	vucd->management = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (vucd->management < 0 ||
		connect(vucd->management, (const struct sockaddr *)&addr, sizeof(addr)) != 0)
		return bench_fail(err, -errno, "%s: %s", addr.sun_path, strerror(errno));
	return 0;
}

int
bench_vucd_start(struct bench_vucd *vucd, const char *config, struct vuc_error *err)
{
	struct sockaddr_un vmm;
	char *program;
	int ret;

	*vucd = (struct bench_vucd){.notify = -1, .management = -1};
	ret = bench_program_find(VUCD, "VUCD", "../../app/vucd/vucd", &program, err);
	if (ret != 0)
		return ret;
	ret = bench_folder_make(vucd->dir, sizeof(VUCD_LONGEST) - 1, err);
	vucd_address(vucd, "run/vmm.sock", &vmm);
	memcpy(vucd->vmm_socket, vmm.sun_path, sizeof(vucd->vmm_socket));
	if (ret == 0)
		ret = vucd_spawn(vucd, program, config, err);
	if (ret == 0)
		ret = vucd_wait_ready(vucd, err);
	if (ret == 0)
		ret = vucd_connect(vucd, err);
	free(program);
	return ret;
}

int
bench_vucd_ask(
	struct bench_vucd *vucd, const char *method, const char *params, struct vuc_error *err)
{
	char line[1024] = "";
	size_t len = (size_t)snprintf(line, sizeof(line),
		"{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":%s,\"id\":1}\n", method, params);

	if (send(vucd->management, line, len, MSG_NOSIGNAL) != (ssize_t)len)
		return bench_fail(err, -errno, VUCD ": %s: %s", method, strerror(errno));
	for (len = 0; len == 0 || line[len - 1] != '\n';) {
		int ret = bench_process_wait_ready(
			vucd->pid, VUCD, vucd->management, VUCD_TIMEOUT_MS, err);
		ssize_t n;

		if (ret != 0)
			return ret;
		n = recv(vucd->management, line + len, sizeof(line) - 1 - len, MSG_DONTWAIT);
		if (n <= 0)
			return bench_fail(err, -EPROTO, VUCD ": %s: no answer", method);
		len += (size_t)n;
	}
	line[len - 1] = '\0';
	if (strstr(line, "\"error\":") != NULL)
		return bench_fail(err, -EPROTO, VUCD ": %s: %s", method, line);
	return 0;
}

int
bench_vucd_end(struct bench_vucd *vucd, struct vuc_error *err)
{
	int ret;

	kill(vucd->pid, SIGTERM);
	ret = bench_process_wait_ready(vucd->pid, VUCD, -1, VUCD_TIMEOUT_MS, err);
	if (ret != 0)
		return ret;
	bench_process_wait(vucd->pid);
	vucd->pid = 0;
	return 0;
}

void
bench_vucd_stop(struct bench_vucd *vucd)
{
	if (vucd->dir[0] == '\0')
		return;
	if (vucd->pid > 0) {
		kill(vucd->pid, SIGKILL);
		bench_process_wait(vucd->pid);
	}
	if (vucd->notify >= 0)
		close(vucd->notify);
	if (vucd->management >= 0)
		close(vucd->management);
	bench_folder_remove(vucd->dir);
	*vucd = (struct bench_vucd){.notify = -1, .management = -1};
}
