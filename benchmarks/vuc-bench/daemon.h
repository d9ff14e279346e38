/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_DAEMON_H
#define BENCH_DAEMON_H

/*
 * What vucd is to a VMM, for --path shm: this program once more, as a process that has a control
 * plane. It does what it is told over a socket pair: makes a poller with devices, and takes both
 * down again, so that there is one in its turn only. It ends when the other end hangs up.
 */

#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include <vuc/error.h>
#include <vuc/poller.h>

#define BENCH_DAEMON_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)
#define BENCH_DAEMON_NAME_MAX 16 /* of transports and devices */

/* As the first argument it makes this program such a process. */
#define BENCH_DAEMON_WORD "--daemon"

enum bench_daemon_op {
	BENCH_DAEMON_HELLO,    /* nothing: is it there? */
	BENCH_DAEMON_BEGIN,    /* make a poller; the text of the reply is its transport */
	BENCH_DAEMON_ADD,      /* offer a device */
	BENCH_DAEMON_END,      /* take away all devices and the poller */
	BENCH_DAEMON_SYSCALLS, /* what the poller's poll group has made so far */
};

/* A packet. */
struct bench_daemon_request {
	enum bench_daemon_op op;
	/* Of the poller. */
	int cpu;
	enum vuc_idle idle;
	uint32_t idle_loops;
	char transport[BENCH_DAEMON_NAME_MAX]; /* "": vuc's choice */
	/* Of the device. */
	char name[BENCH_DAEMON_NAME_MAX];
	char path[BENCH_DAEMON_PATH_MAX]; /* "": a reference device inside the process */
};

struct bench_daemon_reply {
	int status; /* 0 or a negative errno */
	uint64_t number;
	char text[VUC_ERROR_MAX];
};

/* The process's end: arguments are the number of the descriptor and the path of the socket for
 * VMMs. Returns an exit status. */
int bench_daemon_main(int argc, char **argv);

/* The other end. */
struct bench_daemon {
	pid_t pid;                          /* 0: none */
	int fd;                             /* to tell it what to do */
	char dir[BENCH_DAEMON_PATH_MAX];    /* "": none */
	char socket[BENCH_DAEMON_PATH_MAX]; /* for VMMs */
};

/* Each returns 0 or a negative errno with a line in err. What has been started is in the turn until
 * bench_daemon_end(). */
int bench_daemon_start(struct bench_daemon *daemon, struct vuc_error *err);
int bench_daemon_begin(struct bench_daemon *daemon, const struct vuc_poller_opts *poller,
	char transport[BENCH_DAEMON_NAME_MAX], struct vuc_error *err);
int bench_daemon_add(
	struct bench_daemon *daemon, const char *name, const char *path, struct vuc_error *err);
int bench_daemon_end(struct bench_daemon *daemon, struct vuc_error *err);
int bench_daemon_syscalls(struct bench_daemon *daemon, uint64_t *syscalls, struct vuc_error *err);

/* Nothing happens when it was not started. */
void bench_daemon_stop(struct bench_daemon *daemon);

#endif /* BENCH_DAEMON_H */
