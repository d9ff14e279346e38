/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_CONNECTION_H
#define REFDEV_CONNECTION_H

/* A client's stream of bytes and descriptors, cut into messages. */

#include <stdint.h>

#include "refdev.h"

/* Descriptors that have come, and the message that they belong to. */
struct refdev_fds {
	uint64_t owner; /* offset of the message in the stream */
	unsigned int nr;
	int fds[VUC_LOOPBACK_MAX_FDS];
};

/* At most the message at the front is incomplete when more comes: its descriptors and new ones. */
#define REFDEV_MAX_PENDING_FDS 2

struct refdev_connection {
	int fd; /* -1: no client */
	uint8_t *buffer;
	size_t size;
	size_t start;   /* of the first message */
	size_t end;     /* of what has been received */
	uint64_t taken; /* bytes of the stream before start */
	unsigned int nr_fds;
	struct refdev_fds fds[REFDEV_MAX_PENDING_FDS];
};

/* Room for the messages of a device, without a client. Returns 0 or -ENOMEM. */
int refdev_connection_init(struct refdev_connection *conn, size_t max_message);
void refdev_connection_destroy(struct refdev_connection *conn);

/* Begin with a client; fd is the connection's from now on. */
void refdev_connection_open(struct refdev_connection *conn, int fd);
void refdev_connection_close(struct refdev_connection *conn);

/* Bytes of a message that is not whole yet. */
size_t refdev_connection_left(const struct refdev_connection *conn);

/*
 * Receive once, without waiting; there may be no whole message left in the buffer. Returns the
 * bytes; 0 at the end of the stream; -EAGAIN; -EPROTO for descriptors that can't be taken; or what
 * ended the connection.
 */
ssize_t refdev_connection_receive(struct refdev_connection *conn, struct refdev *dev);

/*
 * The next message; valid until the next receive. What is left of its descriptors is the caller's.
 * Returns 1; 0 when there is no whole one; -EPROTO when there will never be one.
 */
int refdev_connection_next(
	struct refdev_connection *conn, struct refdev *dev, struct vuc_loopback_msg *msg);

#endif /* REFDEV_CONNECTION_H */
