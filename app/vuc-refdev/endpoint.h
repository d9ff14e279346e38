/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_ENDPOINT_H
#define REFDEV_ENDPOINT_H

/* A device, the socket that it is reached by, and the one client that it serves at a time. */

#include "channel.h"
#include "listener.h"
#include "options.h"

struct refdev_endpoint {
	char name[120]; /* of the socket, for messages */
	struct refdev *dev;
	struct vuc_listener listener;
	struct refdev_channel main; /* to the client */
	struct refdev_channel twin; /* for the device's own commands, where they have a socket */
	struct vuc_loopback_msg request;
	struct vuc_loopback_msg reply;
	struct vuc_loopback_msg command; /* of the device, being sent */
	const struct refdev_options *options;
	uint64_t *faults_seen;
	int accept_error; /* what kept the last client from being accepted, not to say it twice */
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

/* Serve a path, or a UNIX stream socket that listens or is connected; takes fd. Returns 0, or a
 * negative errno after a line on stderr. */
int refdev_endpoint_listen(struct refdev_endpoint *ep, const char *path);
int refdev_endpoint_adopt(struct refdev_endpoint *ep, int fd);

/* Take the next client, if one waits. Only without a client. */
void refdev_endpoint_accept(struct refdev_endpoint *ep);

/* Serve a burst of the client's messages, and what the device does by itself, without waiting.
 * look: also look for what happens rarely and costs a system call to find out. Only with a client.
 */
void refdev_endpoint_turn(struct refdev_endpoint *ep, bool look);

/* What there is to wait for: always as many entries, some with descriptor -1. Returns how many
 * nanoseconds to wait at most; -1: for ever. */
#define REFDEV_ENDPOINT_FDS (2u + REFDEV_MAX_EVENT_FDS)
int64_t refdev_endpoint_wait(struct refdev_endpoint *ep, struct pollfd *pfds);

/* ---- report.c: lines on stderr, each after the program's name and in one write ---- */

void refdev_report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A message of the client and its reply, of len 0 if there is none; reply NULL: a command of the
 * device, or the reply to one. */
void refdev_trace(const char *name, const struct vuc_loopback_msg *msg, unsigned int nr_fds,
	const struct vuc_loopback_msg *reply);

#endif /* REFDEV_ENDPOINT_H */
