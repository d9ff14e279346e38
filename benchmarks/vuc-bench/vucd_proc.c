/* SPDX-License-Identifier: BSD-3-Clause */
#include "vucd_proc.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "error.h"
#include "find_program.h"
#include "interrupt.h"
#include "process.h"

#define NAME       "vucd"
#define LONGEST    "/run/management.sock"
#define TIMEOUT_MS 120000 /* of everything: hung servers add up where they are waited for in turn \
			   */

/* Wait until fd can be read, or the program has ended, which a datagram socket does not tell. */
static int
wait_for(const struct bench_vucd *vucd, int fd, struct vuc_error *err)
{
	struct pollfd pfds[2] = {{.fd = fd, .events = POLLIN}, {.events = POLLIN}};
	int n;

	pfds[1].fd = (int)syscall(SYS_pidfd_open, vucd->pid, 0);
	if (pfds[1].fd < 0)
		return bench_fail(err, -errno, "pidfd_open: %s", strerror(errno));
	do
		n = poll(pfds, 2, TIMEOUT_MS);
	while (n < 0 && errno == EINTR && !bench_interrupted());
	close(pfds[1].fd);
	if (n < 0)
		return bench_fail(err, -errno, NAME ": %s", strerror(errno));
	if (n == 0)
		return bench_fail(err, -ETIMEDOUT, NAME ": no answer after %d ms", TIMEOUT_MS);
	return 0;
}

static int
write_config(const struct bench_vucd *vucd, const char *config, char path[BENCH_VUCD_PATH_MAX],
	struct vuc_error *err)
{
	FILE *file;
	bool failed;

	snprintf(path, BENCH_VUCD_PATH_MAX, "%.*s/conf",
		(int)(BENCH_VUCD_PATH_MAX - sizeof(LONGEST)), vucd->dir);
	file = fopen(path, "we");
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

static void
set_address(const struct bench_vucd *vucd, const char *name, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(addr->sun_path, sizeof(addr->sun_path), "%.*s/%s",
		(int)(sizeof(addr->sun_path) - sizeof(LONGEST)), vucd->dir, name);
}

/* It finds the socket for its notifications, and the folder for DPDK's files, by its environment.
 */
static int
open_notify(struct bench_vucd *vucd, struct vuc_error *err)
{
	struct sockaddr_un addr;

	set_address(vucd, "notify", &addr);
	vucd->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (vucd->notify < 0 ||
		bind(vucd->notify, (const struct sockaddr *)&addr, sizeof(addr)) != 0)
		return bench_fail(err, -errno, "%s: %s", addr.sun_path, strerror(errno));
	setenv("NOTIFY_SOCKET", addr.sun_path, 1);
	setenv("RUNTIME_DIRECTORY", vucd->dir, 1);
	return 0;
}

static int
start_program(struct bench_vucd *vucd, const char *config, struct vuc_error *err)
{
	char name[] = NAME, config_arg[] = "--config", path[BENCH_VUCD_PATH_MAX];
	char *const args[] = {name, config_arg, path, NULL};
	char *program;
	pid_t pid;
	int ret = bench_find_program(NAME, "VUCD", "../../app/vucd/vucd", &program, err);

	if (ret != 0)
		return ret;
	ret = write_config(vucd, config, path, err);
	if (ret == 0) {
		pid = bench_process_start(program, args, vucd->notify);
		if (pid > 0)
			vucd->pid = pid;
		else
			ret = bench_fail(err, pid, "fork: %s", strerror(-pid));
	}
	free(program);
	return ret;
}

int
bench_vucd_start(struct bench_vucd *vucd, const char *config, struct vuc_error *err)
{
	struct sockaddr_un vmm;
	int ret;

	*vucd = (struct bench_vucd){.notify = -1, .management = -1};
	ret = bench_folder_make(vucd->dir, sizeof(vucd->dir), sizeof(LONGEST) - 1, err);
	if (ret != 0)
		return ret;
	set_address(vucd, "run/vmm.sock", &vmm);
	memcpy(vucd->vmm_socket, vmm.sun_path, sizeof(vucd->vmm_socket));
	ret = open_notify(vucd, err);
	if (ret == 0)
		ret = start_program(vucd, config, err);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("RUNTIME_DIRECTORY");
	if (ret != 0)
		bench_vucd_stop(vucd);
	return ret;
}

static int
connect_management(struct bench_vucd *vucd, struct vuc_error *err)
{
	struct sockaddr_un addr;

	set_address(vucd, "run/management.sock", &addr);
	vucd->management = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (vucd->management < 0 ||
		connect(vucd->management, (const struct sockaddr *)&addr, sizeof(addr)) != 0)
		return bench_fail(err, -errno, "%s: %s", addr.sun_path, strerror(errno));
	return 0;
}

int
bench_vucd_wait_ready(struct bench_vucd *vucd, struct vuc_error *err)
{
	char text[256] = "";

	while (strncmp(text, "READY=1", 7) != 0) {
		int ret = wait_for(vucd, vucd->notify, err);
		ssize_t n;

		if (ret != 0)
			return ret;
		n = recv(vucd->notify, text, sizeof(text) - 1, MSG_DONTWAIT);
		if (n < 0) {
			ret = bench_process_ended_early(vucd->pid, NAME, err);
			vucd->pid = 0;
			return ret;
		}
		text[n] = '\0';
	}
	return connect_management(vucd, err);
}

int
bench_vucd_ask(
	struct bench_vucd *vucd, const char *method, const char *params, struct vuc_error *err)
{
	char line[1024] = "";
	size_t len = (size_t)snprintf(line, sizeof(line),
		"{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":%s,\"id\":1}\n", method, params);

	if (send(vucd->management, line, len, MSG_NOSIGNAL) != (ssize_t)len)
		return bench_fail(err, -errno, NAME ": %s: %s", method, strerror(errno));
	for (len = 0; len == 0 || line[len - 1] != '\n';) {
		int ret = wait_for(vucd, vucd->management, err);
		ssize_t n;

		if (ret != 0)
			return ret;
		n = recv(vucd->management, line + len, sizeof(line) - 1 - len, MSG_DONTWAIT);
		if (n <= 0)
			return bench_fail(err, -EPROTO, NAME ": %s: no answer", method);
		len += (size_t)n;
	}
	line[len - 1] = '\0';
	if (strstr(line, "\"error\":") != NULL)
		return bench_fail(err, -EPROTO, NAME ": %s: %s", method, line);
	return 0;
}

int
bench_vucd_end(struct bench_vucd *vucd, struct vuc_error *err)
{
	int ret;

	kill(vucd->pid, SIGTERM);
	/* Nothing comes but its end. */
	ret = wait_for(vucd, -1, err);
	if (ret != 0)
		return ret;
	bench_process_wait(vucd->pid);
	vucd->pid = 0;
	return 0;
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
	nftw(vucd->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	*vucd = (struct bench_vucd){.notify = -1, .management = -1};
}
