/* SPDX-License-Identifier: BSD-3-Clause */
#include "refdev_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "find_program.h"
#include "process.h"

#define MAX_ARGS (9 + BENCH_REFDEV_MAX_SOCKETS)
#define LONGEST  "/refdev.sock.255"
#define PATH_ARG "--socket-path="

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
refdev_spawn(const struct bench_refdev_proc *proc, const char *program,
	const struct bench_refdev_opts *opts, int ready_fd)
{
	path_arg *paths = calloc(proc->sockets, sizeof(*paths));
	char cpu_arg[32], ready_arg[32], fault_arg[64];
	char name[] = "vuc-refdev", poll_arg[] = "--mode=poll", block_arg[] = "--mode=block";
	char *args[MAX_ARGS] = {name, opts->block ? block_arg : poll_arg, cpu_arg, ready_arg};
	pid_t pid;

	if (paths == NULL)
		return -ENOMEM;
	fill_paths(proc, paths, &args[4]);
	if (opts->fault != NULL) {
		snprintf(fault_arg, sizeof(fault_arg), "--fault=%s", opts->fault);
		args[4 + proc->sockets] = fault_arg;
	}
	snprintf(cpu_arg, sizeof(cpu_arg), "--cpu=%u", opts->cpu);
	snprintf(ready_arg, sizeof(ready_arg), "--ready-fd=%d", ready_fd);
	pid = bench_process_start(program, args, ready_fd);
	free(paths);
	return pid;
}

static int
wait_until_ready(
	struct bench_refdev_proc *proc, const char *program, int ready_fd, struct vuc_error *err)
{
	int ret = bench_process_wait_ready(program, ready_fd, err);
	char byte;

	if (ret != 0 || read(ready_fd, &byte, 1) == 1)
		return ret;
	ret = bench_process_ended_early(proc->pid, program, err);
	proc->pid = 0;
	return ret;
}

static int
start_program(struct bench_refdev_proc *proc, const char *program,
	const struct bench_refdev_opts *opts, struct vuc_error *err)
{
	int ready[2];
	int ret;

	if (pipe2(ready, O_CLOEXEC) != 0)
		return bench_fail(err, -errno, "pipe: %s", strerror(errno));
	ret = refdev_spawn(proc, program, opts, ready[1]);
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
	ret = bench_folder_make(proc->dir, sizeof(proc->dir), sizeof(LONGEST) - 1, err);
	snprintf(proc->socket, sizeof(proc->socket), "%.*s/refdev.sock",
		(int)(sizeof(proc->socket) - sizeof(LONGEST)), proc->dir);
	if (ret == 0)
		ret = start_program(proc, program, opts, err);
	if (ret != 0)
		bench_refdev_stop(proc);
	free(program);
	return ret;
}

void
bench_refdev_stop(struct bench_refdev_proc *proc)
{
	char path[BENCH_REFDEV_PATH_MAX];

	if (proc->pid > 0) {
		kill(proc->pid, SIGTERM);
		/* It may be stopped. */
		kill(proc->pid, SIGCONT);
		bench_process_wait(proc->pid);
		proc->pid = 0;
	}
	if (proc->dir[0] != '\0') {
		for (unsigned int i = 0; i < proc->sockets; i++)
			unlink(bench_refdev_socket(proc, i, path));
		rmdir(proc->dir);
		proc->dir[0] = '\0';
	}
}
