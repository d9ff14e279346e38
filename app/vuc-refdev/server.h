/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_SERVER_H
#define REFDEV_SERVER_H

/* The program around devices: its command line, a socket for each device, and lines on stderr. */

#include "channel.h"
#include "listener.h"

/* ---- options.c: the command line ---- */

#define REFDEV_MAX_CPU 4095

struct refdev_options {
	const char **paths; /* of argv */
	unsigned int nr_paths;
	int fd;       /* -1: none */
	int ready_fd; /* -1: none */
	int cpu;      /* -1: any */
	bool poll;    /* never sleep */
	bool once;
	bool verbose;
	struct refdev_config device;
	struct refdev_faults faults;
};

/* Read the command line; the program ends if it is wrong, or asks for help. */
void refdev_options_parse(struct refdev_options *options, int argc, char *argv[]);
void refdev_options_free(struct refdev_options *options);

/* ---- endpoint.c: a device, its socket, and the one client that it serves at a time ---- */

struct refdev_endpoint {
	char name[120]; /* of the socket, for messages */
	struct refdev *dev;
	struct vuc_listener listener;
	struct refdev_channel main; /* to the client */
	struct refdev_channel twin; /* for the device's commands, if they have a socket */
	struct vuc_loopback_msg request;
	struct vuc_loopback_msg reply;
	struct vuc_loopback_msg command; /* of the device, being sent */
	const struct refdev_options *options;
	uint64_t *faults_seen;
	int accept_error; /* of the last accept(2), so that it is reported once */
	bool more;        /* the last turn left messages behind */
	bool mute;        /* this client gets no more replies */
	bool twin_lost;   /* this client has closed the twin socket: it gets no more commands */
	bool finished;    /* no more clients */
};

/* A device with a serial number, without a socket; options outlive it. Returns 0, or a negative
 * errno after a line on stderr. */
int refdev_endpoint_init(
	struct refdev_endpoint *ep, const struct refdev_options *options, uint64_t serial);
void refdev_endpoint_destroy(struct refdev_endpoint *ep);

/* Serve a path, or a UNIX stream socket that listens or is connected; takes fd. Return 0, or a
 * negative errno after a line on stderr. */
int refdev_endpoint_listen(struct refdev_endpoint *ep, const char *path);
int refdev_endpoint_adopt(struct refdev_endpoint *ep, int fd);

/* Without a client: accept the next one, if one waits. */
void refdev_endpoint_accept(struct refdev_endpoint *ep);

/* With a client: serve a burst of its messages, and what the device does by itself, without
 * waiting. look: also for what is rare and takes a system call to find out. */
void refdev_endpoint_turn(struct refdev_endpoint *ep, bool look);

/* What to poll for: always as many entries, some with descriptor -1. Returns how many nanoseconds
 * to wait at most; -1: for ever. */
#define REFDEV_ENDPOINT_FDS (2u + REFDEV_MAX_EVENT_FDS)
int64_t refdev_endpoint_wait(struct refdev_endpoint *ep, struct pollfd *pfds);

/* ---- report.c: lines on stderr, each after the program's name and in one write ---- */

void refdev_report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A message of the client and its reply, of len 0 if there is none; reply NULL: a command of the
 * device, or the reply to one. */
void refdev_trace(const char *name, const struct vuc_loopback_msg *msg, unsigned int nr_fds,
	const struct vuc_loopback_msg *reply);

#endif /* REFDEV_SERVER_H */
