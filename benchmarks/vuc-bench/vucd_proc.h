/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_VUCD_PROC_H
#define BENCH_VUCD_PROC_H

/* A vucd of our own in a private folder, with its management socket. */

#include <sys/types.h>
#include <sys/un.h>

#include <vuc/error.h>

#define BENCH_VUCD_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

struct bench_vucd {
	pid_t pid;                     /* 0: none */
	char dir[BENCH_VUCD_PATH_MAX]; /* "": none */
	char vmm_socket[BENCH_VUCD_PATH_MAX];
	int notify;     /* where it says that it is ready */
	int management; /* -1: not connected */
};

/*
 * Make the folder and start the program; bench_vucd_wait_ready() waits until it is ready. It is
 * taken from $VUCD, else from where it lies in the build tree, else from beside this program, else
 * from $PATH. Its only poller, io0, sleeps and runs on no CPU in particular.
 *
 * @param config  what the configuration has beside the poller and the folder; begins with keys of
 *                [vucd]
 * @return 0; -ENOENT when there is no vucd; what the system calls say. On failure nothing is left
 *         behind
 */
int bench_vucd_start(struct bench_vucd *vucd, const char *config, struct vuc_error *err);

/* Wait for READY=1 and connect to the management socket. Returns 0; -ECHILD when it has ended;
 * -ETIMEDOUT; -EINTR. */
int bench_vucd_wait_ready(struct bench_vucd *vucd, struct vuc_error *err);

/* A request by the management socket; params is a JSON object. Returns 0; -EPROTO with the answer,
 * if that is an error; -ETIMEDOUT; what the system calls say. */
int bench_vucd_ask(
	struct bench_vucd *vucd, const char *method, const char *params, struct vuc_error *err);

/* Send SIGTERM and wait for the end. Returns 0; -ETIMEDOUT; -EINTR. */
int bench_vucd_end(struct bench_vucd *vucd, struct vuc_error *err);

/* End it if it runs, and remove the folder. Nothing happens when it was not started. */
void bench_vucd_stop(struct bench_vucd *vucd);

#endif /* BENCH_VUCD_PROC_H */
