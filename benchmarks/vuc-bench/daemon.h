/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_DAEMON_H
#define BENCH_DAEMON_H

/*
 * What vucd is to a VMM, for --path shm: this program once more, as a process that has a control
 * plane. It is told over a socket pair to make a poller with devices, and to take both down again,
 * so that there is one in its turn only. It ends when the other end is closed.
 */

#include <stdint.h>
#include <sys/types.h>

#include <vuc/error.h>
#include <vuc/loopback.h>
#include <vuc/poller.h>
#include <vuc/vmm.h>

#include "process.h"

struct refdev;

#define BENCH_DAEMON_NAME_MAX 16 /* of transports and devices */

/* As the first argument it makes this program such a process. */
#define BENCH_DAEMON_WORD "--daemon"

/* The process's end: arguments are the number of the descriptor and the path of the socket for
 * VMMs. Returns an exit status. */
int bench_daemon_main(int argc, char **argv);

/* The other end. */
struct bench_daemon {
	pid_t pid;                     /* 0: none */
	int fd;                        /* to tell it what to do */
	char dir[BENCH_SOCKET_MAX];    /* "": none */
	char socket[BENCH_SOCKET_MAX]; /* for VMMs */
};

/* Each returns 0 or a negative errno with a line in err. */
int bench_daemon_start(struct bench_daemon *daemon, struct vuc_error *err);

/* Make a poller; transport is set to the one in use. */
int bench_daemon_begin(struct bench_daemon *daemon, const struct vuc_poller_opts *poller,
	char transport[BENCH_DAEMON_NAME_MAX], struct vuc_error *err);

/* Offer a device of a server; without a path of a reference device inside the process. */
int bench_daemon_add(
	struct bench_daemon *daemon, const char *name, const char *path, struct vuc_error *err);

/* Attach to a device. */
int bench_daemon_attach(const struct bench_daemon *daemon, const char *name,
	struct vuc_vmm_device **dev, struct vuc_error *err);

/* Take away all devices and the poller. */
int bench_daemon_end(struct bench_daemon *daemon, struct vuc_error *err);

/* System calls of the poller's poll group so far. */
int bench_daemon_syscalls(struct bench_daemon *daemon, uint64_t *syscalls, struct vuc_error *err);

/* Nothing happens when it was not started. */
void bench_daemon_stop(struct bench_daemon *daemon);

/* Start EAL for pollers, quiet and without telemetry. Counted; vuc_eal_fini() for each that went
 * well. After the last one there can be no other in this process. */
int bench_eal_init(struct vuc_error *err);

/* Start a reference device inside this process. NULL without memory, with a line in err. */
struct refdev *bench_loopback_start(struct vuc_loopback_server *loopback, struct vuc_error *err);

#endif /* BENCH_DAEMON_H */
