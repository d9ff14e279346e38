/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_REFDEV_PROC_H
#define BENCH_REFDEV_PROC_H

/* A vuc-refdev of our own on sockets in a private folder, each a device. */

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

#include <vuc/error.h>

#define BENCH_REFDEV_MAX_SOCKETS 256

struct bench_refdev_opts {
	unsigned int cpu;     /* that it runs on */
	bool block;           /* it sleeps while there is nothing to do, else it polls */
	unsigned int sockets; /* at least 1 */
	const char *fault;    /* as its option says; NULL: none */
};

struct bench_refdev_proc {
	pid_t pid;                                                /* 0: none */
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];    /* "": none */
	char socket[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* the first one */
	unsigned int sockets;
};

/*
 * Start the program and wait until it listens. It is taken from $VUC_REFDEV, else from where it
 * lies in the build tree, else from beside this program, else from $PATH.
 *
 * Returns 0; -ENOENT when there is none; -ECHILD when it ended at once; -ETIMEDOUT; -EINTR; what
 * the system calls say. On failure nothing is left behind.
 */
int bench_refdev_start(struct bench_refdev_proc *proc, const struct bench_refdev_opts *opts,
	struct vuc_error *err);

/* The path of socket i, which is complete when the program has started. Returns path. */
#define BENCH_REFDEV_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)
const char *bench_refdev_socket(
	const struct bench_refdev_proc *proc, unsigned int i, char path[BENCH_REFDEV_PATH_MAX]);

/* End the program, wait for it and remove the folder. Nothing happens when it was not started. */
void bench_refdev_stop(struct bench_refdev_proc *proc);

#endif /* BENCH_REFDEV_PROC_H */
