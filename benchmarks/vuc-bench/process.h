/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

/* Programs that are started for a run: vuc-refdev, vucd, and others. */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include <vuc/error.h>
#include <vuc/loopback.h>
#include <vuc/poller.h>
#include <vuc/vmm.h>

#include "management.h"

struct refdev;

#define BENCH_SOCKET_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

/*
 * Find an executable file: the one that the environment variable names (NULL: none does), else in
 * the build tree, in this program's folder, or in $PATH. -ENOENT when there is none.
 */
int bench_program_find(
	const char *name, const char *variable, char path[PATH_MAX], struct vuc_error *err);

/* Start a program that gets fds as its standard descriptors. Returns its pid or a negative errno.
 */
pid_t bench_process_spawn(
	const char *program, char *const args[], const int fds[3], struct vuc_error *err);

/* Wait for the end. Returns the status of waitpid(2). */
int bench_process_wait(pid_t pid);

/* Say how a process ended, and return code. */
int bench_process_explain(
	int status, int code, const char *program, const char *when, struct vuc_error *err);

/* In a forked child: it gets signo when its parent dies, and ends if that has happened already. */
void bench_child_begin(pid_t parent, int signo);

/* A program that runs beside this one. */
struct bench_child {
	pid_t pid;                  /* 0: it does not run */
	char dir[BENCH_SOCKET_MAX]; /* its private folder; "": none */
};

/* Make the folder, in $TMPDIR or /tmp. room is that of a socket's path in it, behind the folder's.
 */
int bench_child_make_folder(struct bench_child *child, size_t room, struct vuc_error *err);

/* Start a program, which gets SIGTERM when this process dies. It inherits fd beside the standard
 * descriptors, unless that is -1. */
int bench_child_start(struct bench_child *child, const char *program, char *const args[], int fd,
	struct vuc_error *err);

/* Wait until fd (-1: none) can be read, or the program has ended. */
int bench_child_wait(const struct bench_child *child, const char *name, int fd, int timeout_ms,
	struct vuc_error *err);

/* Say how a program ended that should have become ready. Returns -ECHILD. */
int bench_child_explain(struct bench_child *child, const char *name, struct vuc_error *err);

/* End it by SIGKILL. The folder stays. Nothing happens when it does not run. */
void bench_child_kill(struct bench_child *child);

/* End it by SIGTERM, or after some seconds by SIGKILL, and remove the folder. Nothing happens when
 * there is neither. */
void bench_child_stop(struct bench_child *child);

/* A vuc-refdev of our own on sockets in a private folder, each a device. */
#define BENCH_REFDEV_MAX_SOCKETS 256

struct bench_refdev_opts {
	unsigned int cpu;     /* that it runs on */
	bool block;           /* it sleeps while there is nothing to do, else it polls */
	unsigned int sockets; /* at least 1 */
	const char *fault;    /* as its option says; NULL: none */
};

struct bench_refdev {
	struct bench_child child;
	char socket[BENCH_SOCKET_MAX]; /* the first one */
	unsigned int sockets;
};

/*
 * Start the program, $VUC_REFDEV or as bench_program_find() finds it, and wait until it listens. On
 * failure nothing is left behind.
 */
int bench_refdev_start(
	struct bench_refdev *refdev, const struct bench_refdev_opts *opts, struct vuc_error *err);

/* Start it once more in the same folder, after bench_child_kill(); as bench_refdev_start(), but the
 * folder stays. */
int bench_refdev_start_again(
	struct bench_refdev *refdev, const struct bench_refdev_opts *opts, struct vuc_error *err);

/* The path of socket i. Returns path. */
const char *bench_refdev_socket(
	const struct bench_refdev *refdev, unsigned int i, char path[BENCH_SOCKET_MAX]);

/* A vucd of our own in a private folder, with its management socket. One that is all zeros was not
 * started. */
struct bench_vucd {
	struct bench_child child;
	char vmm_socket[BENCH_SOCKET_MAX];
	struct app_management management;
};

/*
 * Start the program, $VUCD or as bench_program_find() finds it, wait for READY=1 and connect to the
 * management socket. Its only poller, io0, sleeps and runs on no CPU in particular; config is what
 * the configuration has besides, and begins with keys of [vucd]. bench_vucd_stop() is due in any
 * case.
 */
int bench_vucd_start(struct bench_vucd *vucd, const char *config, struct vuc_error *err);

/* Call a method, whose result is of no interest. params is finished by this. */
int bench_vucd_call(struct bench_vucd *vucd, const char *method, struct app_json *params,
	struct vuc_error *err);

/* Send SIGTERM and wait for the end. */
int bench_vucd_end(struct bench_vucd *vucd, struct vuc_error *err);

/* Kill it if it runs, and remove the folder. Nothing happens when it was not started. */
void bench_vucd_stop(struct bench_vucd *vucd);

/* Attach to a device of a daemon, as soon as the daemon is connected to it. */
int bench_attach(const char *socket, const char *device, uint32_t timeout_ms,
	struct vuc_vmm_device **dev, struct vuc_error *err);

/*
 * What vucd is to a VMM, for --path shm: this program once more, as a process that has a control
 * plane. Commands over a socket pair create a poller with devices and remove both again, so that
 * they exist only in their own turn. The process ends when the other end is closed.
 */
#define BENCH_DAEMON_NAME_MAX 16 /* of transports and devices */

/* As the first argument it makes this program such a process. */
#define BENCH_DAEMON_WORD "--daemon"

/* The process's end: arguments are the number of the descriptor and the path of the socket for
 * VMMs. Returns an exit status. */
int bench_daemon_main(int argc, char **argv);

/* The other end. One that is all zeros was not started. */
struct bench_daemon {
	struct bench_child child;
	int fd;                        /* to tell it what to do */
	char socket[BENCH_SOCKET_MAX]; /* for VMMs */
};

int bench_daemon_start(struct bench_daemon *daemon, struct vuc_error *err);

/* Make a poller; transport is set to the one in use. */
int bench_daemon_begin(struct bench_daemon *daemon, const struct vuc_poller_opts *poller,
	char transport[BENCH_DAEMON_NAME_MAX], struct vuc_error *err);

/* Offer a device of a server; without a path of a reference device inside the process. */
int bench_daemon_add(
	struct bench_daemon *daemon, const char *name, const char *path, struct vuc_error *err);

/* Remove all devices and the poller. */
int bench_daemon_end(struct bench_daemon *daemon, struct vuc_error *err);

/* System calls of the poller's poll group so far; 0 after a failure. */
uint64_t bench_daemon_syscalls(struct bench_daemon *daemon);

/* Nothing happens when it was not started. */
void bench_daemon_stop(struct bench_daemon *daemon);

/* Start EAL for pollers, quiet and without telemetry. Counted; vuc_eal_fini() for each that went
 * well. After the last one there can be no other in this process. */
int bench_eal_init(struct vuc_error *err);

/* System calls of a poller's poll group so far. */
uint64_t bench_poller_syscalls(struct vuc_poller *poller);

/* Start a reference device inside this process. NULL without memory, with a line in err. */
struct refdev *bench_loopback_start(struct vuc_loopback_server *loopback, struct vuc_error *err);

#endif /* BENCH_PROCESS_H */
