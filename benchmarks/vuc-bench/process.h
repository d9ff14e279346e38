/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

/* Programs that are started for a run: vuc-refdev, vucd, and others. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include <vuc/error.h>
#include <vuc/loopback.h>
#include <vuc/poller.h>
#include <vuc/vmm.h>

struct refdev;

#define BENCH_SOCKET_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

/*
 * Find an executable file.
 *
 * @param name      of the program
 * @param variable  environment variable that overrides everything else; NULL: none
 * @param relative  where to look first, from the folder of this program; NULL: only beside it
 * @param path      set to a string that the caller frees
 * @return 0; -ENOENT when it is neither there nor in this program's folder nor in $PATH; -EACCES
 *         when the override is no program; -ENOMEM
 */
int bench_program_find(const char *name, const char *variable, const char *relative, char **path,
	struct vuc_error *err);

/* pipe2(2) with O_CLOEXEC. Returns 0 or a negative errno. */
int bench_pipe(int fds[2], struct vuc_error *err);

/*
 * Make a private folder in $TMPDIR, or /tmp.
 *
 * @param dir   set to its path, or to "" on failure
 * @param room  bytes that a socket's path in it has behind that
 * @return 0 or a negative errno
 */
int bench_folder_make(char dir[BENCH_SOCKET_MAX], size_t room, struct vuc_error *err);

/* Remove it with what is in it, and make dir ""; nothing happens when it is that already. */
void bench_folder_remove(char dir[BENCH_SOCKET_MAX]);

/* In a forked child: it gets signo when its parent dies, and ends if that has happened already. */
void bench_child_begin(pid_t parent, int signo);

/*
 * Start a program, which gets SIGTERM when this process dies. It inherits one descriptor beside the
 * standard ones. Returns its pid or a negative errno.
 */
pid_t bench_process_start(const char *program, char *const args[], int fd, struct vuc_error *err);

/* Wait until fd can be read, or a process (0: none) has ended. Returns 0; -ETIMEDOUT; -EINTR after
 * a signal that asks for an end; what poll(2) says. */
int bench_process_wait_ready(
	pid_t pid, const char *program, int fd, int timeout_ms, struct vuc_error *err);

/* Wait for the end. Returns the status of waitpid(2). */
int bench_process_wait(pid_t pid);

/* The same, by SIGKILL after some seconds. */
void bench_process_stop(pid_t pid);

/* Say how a process ended, and return code. */
int bench_process_explain(
	int status, int code, const char *program, const char *when, struct vuc_error *err);

/* A vuc-refdev of our own on sockets in a private folder, each a device. */
#define BENCH_REFDEV_MAX_SOCKETS 256

struct bench_refdev_opts {
	unsigned int cpu;     /* that it runs on */
	bool block;           /* it sleeps while there is nothing to do, else it polls */
	unsigned int sockets; /* at least 1 */
	const char *fault;    /* as its option says; NULL: none */
};

struct bench_refdev {
	pid_t pid;                     /* 0: none */
	char dir[BENCH_SOCKET_MAX];    /* "": none */
	char socket[BENCH_SOCKET_MAX]; /* the first one */
	unsigned int sockets;
};

/*
 * Start the program and wait until it listens. It is taken from $VUC_REFDEV, else from where it
 * lies in the build tree, else from beside this program, else from $PATH.
 *
 * @return 0; -ENOENT when there is none; -ECHILD when it ended at once; -ETIMEDOUT; -EINTR; what
 * the system calls say. On failure nothing is left behind.
 */
int bench_refdev_start(
	struct bench_refdev *refdev, const struct bench_refdev_opts *opts, struct vuc_error *err);

/* End it by SIGKILL, which leaves its sockets in the folder. Nothing happens when it does not run.
 */
void bench_refdev_kill(struct bench_refdev *refdev);

/* Start it once more in the same folder; as bench_refdev_start(), but the folder stays. */
int bench_refdev_start_again(
	struct bench_refdev *refdev, const struct bench_refdev_opts *opts, struct vuc_error *err);

/* The path of socket i. Returns path. */
const char *bench_refdev_socket(
	const struct bench_refdev *refdev, unsigned int i, char path[BENCH_SOCKET_MAX]);

/* End the program and remove the folder. Nothing happens when it was not started. */
void bench_refdev_stop(struct bench_refdev *refdev);

/* A vucd of our own in a private folder, with its management socket. */
struct bench_vucd {
	pid_t pid;                  /* 0: none */
	char dir[BENCH_SOCKET_MAX]; /* "": none */
	char vmm_socket[BENCH_SOCKET_MAX];
	int notify;     /* where it says that it is ready */
	int management; /* -1: not connected */
};

/*
 * Make the folder, start the program, wait for READY=1 and connect to the management socket. It is
 * taken from $VUCD, else found as vuc-refdev is. Its only poller, io0, sleeps and runs on no CPU in
 * particular. What was started is bench_vucd_stop()'s, also after a failure.
 *
 * @param config  what the configuration has beside the poller and the folder; begins with keys of
 *                [vucd]
 * @return 0; -ENOENT when there is no vucd; -ECHILD when it has ended; -ETIMEDOUT; -EINTR; what the
 *         system calls say
 */
int bench_vucd_start(struct bench_vucd *vucd, const char *config, struct vuc_error *err);

/* Send a request to the management socket; params is a JSON object. Returns 0; -EPROTO with the
 * answer, if that is an error; -ETIMEDOUT; what the system calls say. */
int bench_vucd_ask(
	struct bench_vucd *vucd, const char *method, const char *params, struct vuc_error *err);

/* Send SIGTERM and wait for the end. Returns 0; -ETIMEDOUT; -EINTR. */
int bench_vucd_end(struct bench_vucd *vucd, struct vuc_error *err);

/* End it if it runs, and remove the folder. Nothing happens when it was not started. */
void bench_vucd_stop(struct bench_vucd *vucd);

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

/* System calls of a poller's poll group so far. */
uint64_t bench_poller_syscalls(struct vuc_poller *poller);

/* Start a reference device inside this process. NULL without memory, with a line in err. */
struct refdev *bench_loopback_start(struct vuc_loopback_server *loopback, struct vuc_error *err);

#endif /* BENCH_PROCESS_H */
