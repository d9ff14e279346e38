/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_LISTENER_H
#define REFDEV_LISTENER_H

#include <sys/types.h>

/* A UNIX stream socket that clients connect to. */
struct refdev_listener {
	int fd;           /* non-blocking; -1: none */
	const char *path; /* the caller's; NULL for a socket that was handed over */
	dev_t dev;        /* of the socket file, to remove no other one */
	ino_t ino;
};

/*
 * Listen at a path of at most 107 bytes. A socket file that no process serves is replaced.
 * Returns 0, or a negative errno after a line on stderr that says why.
 */
int refdev_listener_open(struct refdev_listener *listener, const char *path);

/* Take over a socket that listens already. */
int refdev_listener_adopt(struct refdev_listener *listener, int fd);

/* Close the socket and remove its file. */
void refdev_listener_close(struct refdev_listener *listener);

/* The next client, or -EAGAIN, or another negative errno. */
int refdev_listener_accept(const struct refdev_listener *listener);

#endif /* REFDEV_LISTENER_H */
