/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_REFDEV_PROC_H
#define BENCH_REFDEV_PROC_H

/* A vuc-refdev of our own, polling on a CPU of its own, on a socket in a private folder. */

#include <sys/types.h>
#include <sys/un.h>

#include <vuc/error.h>

struct bench_refdev_proc {
	pid_t pid;                                             /* 0: none */
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "": none */
	char socket[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/*
 * Start the program and wait until it listens. It is taken from $VUC_REFDEV, else from where it
 * lies in the build tree, else from beside this program, else from $PATH.
 *
 * Returns 0; -ENOENT when there is none; -ECHILD when it ended at once; -ETIMEDOUT; -EINTR; what
 * the system calls say. On failure nothing is left behind.
 */
int bench_refdev_start(struct bench_refdev_proc *proc, unsigned int cpu, struct vuc_error *err);

/* End the program, wait for it and remove the folder. Nothing happens when it was not started. */
void bench_refdev_stop(struct bench_refdev_proc *proc);

#endif /* BENCH_REFDEV_PROC_H */
