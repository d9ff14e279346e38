/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_CHANNEL_H
#define REFDEV_CHANNEL_H

/* One socket to a client: a stream of bytes and descriptors that is cut into messages, and the
 * messages that are being sent. */

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "fault.h"
#include "fds.h"
#include "refdev.h"

/* A descriptor that was received, and the message that it belongs to. */
struct refdev_fd {
	uint64_t owner; /* offset of the message in the stream */
	int fd;
};

/* At most the message at the front is incomplete when more comes: its descriptors and new ones. */
#define REFDEV_MAX_PENDING_FDS (2u * VUC_LOOPBACK_MAX_FDS)

/* A message that is being sent, or held. */
struct refdev_output {
	const uint8_t *bytes; /* the caller's, unchanged until they are sent, or copy */
	uint8_t *copy;
	size_t len; /* to be sent; 0: nothing is pending */
	size_t sent;
	size_t chunk; /* most bytes of one send */
	uint64_t repeats;
	bool hang_up;        /* close the connection when all is sent */
	uint64_t time;       /* vuc_clock_ns() when it may be sent, or is held no longer */
	uint64_t delay_ns;   /* of a held one, from when it is held no longer */
	unsigned int nr_fds; /* sent with the first byte */
	int fds[VUC_FDS_MAX];
};

struct refdev_channel {
	int fd; /* -1: no client */
	uint8_t *buffer;
	size_t size;
	size_t start;   /* of the first message */
	size_t end;     /* of what has been received */
	uint64_t taken; /* bytes of the stream before start */
	unsigned int nr_fds;
	struct refdev_fd fds[REFDEV_MAX_PENDING_FDS];
	struct refdev_output out;
	struct refdev_output held; /* by reorder: the next message overtakes it */
};

/* Room for the messages of a device, without a client. Returns 0 or -ENOMEM. */
int refdev_channel_init(struct refdev_channel *ch, size_t max_message);
void refdev_channel_destroy(struct refdev_channel *ch);

/* Begin with a client; takes fd. */
void refdev_channel_open(struct refdev_channel *ch, int fd);
/* Close the socket, and drop all that was received or was to be sent. */
void refdev_channel_close(struct refdev_channel *ch);

static inline bool
refdev_channel_is_open(const struct refdev_channel *ch)
{
	return ch->fd >= 0;
}

/* Bytes of an incomplete message. */
static inline size_t
refdev_channel_left(const struct refdev_channel *ch)
{
	return ch->end - ch->start;
}

/*
 * Receive once, without waiting, when no whole message is left. Returns the bytes; 0 at the end of
 * the stream; -EAGAIN; -EPROTO for too many descriptors; or what ended the connection.
 */
ssize_t refdev_channel_receive(struct refdev_channel *ch, struct refdev *dev);

/*
 * The next message; valid until the next receive. Its descriptors are the caller's. Returns 1; 0
 * when there is no whole one; -EPROTO for an invalid header.
 */
int refdev_channel_next(
	struct refdev_channel *ch, struct refdev *dev, struct vuc_loopback_msg *msg);

/*
 * Send a message without waiting, by the plan if there is one. Takes the message's descriptors.
 * Returns 0 when it is sent or held; -EAGAIN when the rest is pending, for refdev_channel_flush();
 * -ESHUTDOWN when the plan says to close now; or what ended the connection.
 */
int refdev_channel_send(
	struct refdev_channel *ch, struct vuc_loopback_msg *msg, const struct refdev_plan *plan);

/* Go on with what is pending, or has been held for long enough; returns as refdev_channel_send().
 */
int refdev_channel_flush(struct refdev_channel *ch);

/* Drop what is pending or held. */
void refdev_channel_drop(struct refdev_channel *ch);

static inline bool
refdev_channel_is_pending(const struct refdev_channel *ch)
{
	return ch->out.len > 0;
}

/* What to poll for: POLLIN as well, or only while nothing is pending. Returns how many nanoseconds
 * to wait at most; -1: for ever. */
int64_t refdev_channel_wait(const struct refdev_channel *ch, bool always_in, struct pollfd *pfd);

#endif /* REFDEV_CHANNEL_H */
