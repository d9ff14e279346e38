/* SPDX-License-Identifier: BSD-3-Clause */

/* The daemon, from outside. */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon.h"
#include "error.h"
#include "process.h"

#define PROGRAM "/proc/self/exe"
#define NAME    "vuc-bench " BENCH_DAEMON_WORD
#define SOCKET  "/vmm.sock"

static int
reply_receive(struct bench_daemon *d, struct bench_daemon_reply *reply, struct vuc_error *err)
{
	int ret = bench_process_wait_ready(NAME, d->fd, err);
	ssize_t n;

	if (ret != 0)
		return ret;
	n = recv(d->fd, reply, sizeof(*reply), 0);
	if (n == (ssize_t)sizeof(*reply))
		return 0;
	ret = bench_process_ended_early(d->pid, NAME, err);
	d->pid = 0;
	return ret;
}

static int
daemon_ask(struct bench_daemon *d, const struct bench_daemon_request *request,
	struct bench_daemon_reply *reply, struct vuc_error *err)
{
	int ret;

	if (send(d->fd, request, sizeof(*request), MSG_NOSIGNAL) < 0)
		return bench_fail(err, -errno, NAME ": %s", strerror(errno));
	ret = reply_receive(d, reply, err);
	if (ret == 0 && reply->status != 0)
		ret = bench_fail(err, reply->status, "%s", reply->text);
	return ret;
}

int
bench_daemon_begin(struct bench_daemon *d, const struct vuc_poller_opts *poller,
	char transport[BENCH_DAEMON_NAME_MAX], struct vuc_error *err)
{
	struct bench_daemon_request request = {
		.op = BENCH_DAEMON_BEGIN,
		.cpu = poller->cpu,
		.idle = poller->idle,
		.idle_loops = poller->idle_loops,
	};
	struct bench_daemon_reply reply;
	int ret;

	if (poller->transport != NULL)
		snprintf(request.transport, sizeof(request.transport), "%s", poller->transport);
	ret = daemon_ask(d, &request, &reply, err);
	if (ret == 0)
		snprintf(transport, BENCH_DAEMON_NAME_MAX, "%.*s", BENCH_DAEMON_NAME_MAX - 1,
			reply.text);
	return ret;
}

int
bench_daemon_add(struct bench_daemon *d, const char *name, const char *path, struct vuc_error *err)
{
	struct bench_daemon_request request = {.op = BENCH_DAEMON_ADD};
	struct bench_daemon_reply reply;

	snprintf(request.name, sizeof(request.name), "%s", name);
	snprintf(request.path, sizeof(request.path), "%s", path != NULL ? path : "");
	return daemon_ask(d, &request, &reply, err);
}

int
bench_daemon_end(struct bench_daemon *d, struct vuc_error *err)
{
	const struct bench_daemon_request request = {.op = BENCH_DAEMON_END};
	struct bench_daemon_reply reply;

	return daemon_ask(d, &request, &reply, err);
}

int
bench_daemon_syscalls(struct bench_daemon *d, uint64_t *syscalls, struct vuc_error *err)
{
	const struct bench_daemon_request request = {.op = BENCH_DAEMON_SYSCALLS};
	struct bench_daemon_reply reply;
	int ret = daemon_ask(d, &request, &reply, err);

	*syscalls = ret == 0 ? reply.number : 0;
	return ret;
}

static int
start_program(struct bench_daemon *d, struct vuc_error *err)
{
	const struct bench_daemon_request hello = {.op = BENCH_DAEMON_HELLO};
	char name[] = "vuc-bench", word[] = BENCH_DAEMON_WORD, fd_arg[16];
	char *const args[] = {name, word, fd_arg, d->socket, NULL};
	struct bench_daemon_reply reply;
	int fds[2];
	int ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		return bench_fail(err, -errno, "socketpair: %s", strerror(errno));
	d->fd = fds[0];
	snprintf(fd_arg, sizeof(fd_arg), "%d", fds[1]);
	ret = bench_process_start(PROGRAM, args, fds[1]);
	close(fds[1]);
	if (ret < 0)
		return bench_fail(err, ret, "fork: %s", strerror(-ret));
	d->pid = ret;
	return daemon_ask(d, &hello, &reply, err);
}

int
bench_daemon_start(struct bench_daemon *d, struct vuc_error *err)
{
	int ret;

	*d = (struct bench_daemon){.fd = -1};
	ret = bench_folder_make(d->dir, sizeof(d->dir), sizeof(SOCKET) - 1, err);
	if (ret != 0)
		return ret;
	snprintf(d->socket, sizeof(d->socket), "%.*s" SOCKET,
		(int)(sizeof(d->socket) - sizeof(SOCKET)), d->dir);
	ret = start_program(d, err);
	if (ret != 0)
		bench_daemon_stop(d);
	return ret;
}

void
bench_daemon_stop(struct bench_daemon *d)
{
	if (d->dir[0] == '\0')
		return;
	if (d->fd >= 0)
		close(d->fd);
	if (d->pid > 0)
		bench_process_wait(d->pid);
	unlink(d->socket);
	rmdir(d->dir);
	*d = (struct bench_daemon){.fd = -1};
}
