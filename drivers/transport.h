/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DRIVERS_TRANSPORT_H
#define VUC_DRIVERS_TRANSPORT_H

/*
 * The interface between a connection's owner above (lib/device) and the code that moves its bytes
 * below (drivers/NAME). A driver knows bytes, descriptors and segments; it never looks into a
 * message, but for the loopback, which has to find where one ends.
 *
 * All functions of a group and its connections are called by the one thread that created it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <vuc/error.h>
#include <vuc/log.h>
#include <vuc/loopback.h>

#include "view.h"

/*
 * A stream socket delivers a send in pieces when it is long or the buffer is short, and real
 * servers fail on a message whose body is not there at once. The kernel queues what fits one
 * socket buffer page set in one piece or not at all (net/unix/af_unix.c: SKB_MAX_HEAD(0) and
 * 32 KiB), so no segment of more than one message is longer than this, and owners keep their own
 * messages below it.
 */
#define VUC_SEGMENT_MAX (34u * 1024u)

struct vuc_conn;

/* What a driver tells the owner of a connection, from within poll() only. */
struct vuc_conn_events {
	/* The segment given to send() is out. */
	void (*sent)(struct vuc_conn *conn);
	/*
	 * Bytes came, in order; valid during the call. The descriptors came with them and are the
	 * owner's now.
	 */
	void (*received)(struct vuc_conn *conn, const uint8_t *bytes, size_t len, const int *fds,
		unsigned int nr_fds);
	/* The connection ended: 0 for the peer's orderly close, else a negative errno. Nothing
	 * follows. */
	void (*lost)(struct vuc_conn *conn, int error);
};

/* The part of a connection that both sides see; a driver's own struct begins with it. */
struct vuc_conn {
	const struct vuc_transport_ops *ops;
	const struct vuc_conn_events *events;
	void *owner;
	struct vuc_closer *closer;           /* as in the address */
	const struct vuc_session_view *view; /* what to look for; set by the owner before it polls.
					      * While it watches no descriptors, a driver may
					      * receive in a way by which the kernel drops them,
					      * which is faster */
	bool sent_part; /* set by a driver when a part of the segment went out; cleared by the owner
			 */
};

/* A thread's share of a driver; a driver's own struct begins with it. */
struct vuc_transport_group {
	const struct vuc_transport_ops *ops;
	uint64_t syscalls; /* made so far */
	bool several;      /* set by the owner: some connections are about to send together */
};

/* Where a connection comes from. */
struct vuc_transport_address {
	int fd;                    /* a connected socket, the driver's from now on */
	struct vuc_closer *closer; /* by whom it and what comes is closed; NULL: by the caller */
	const struct vuc_loopback_server *loopback; /* for the loopback driver */
};

struct vuc_transport_ops {
	const char *name;
	bool sockets; /* takes address.fd, else address.loopback */

	/* Returns 0 and a group; -ENOSYS, -EPERM and the like where the kernel does not allow it.
	 */
	int (*group_create)(struct vuc_transport_group **group, vuc_log_fn log, void *log_arg,
		struct vuc_error *err);
	/* All connections must have been closed. */
	void (*group_destroy)(struct vuc_transport_group *group);

	/* Takes address->fd on success only. events and owner are in place before the first event.
	 */
	int (*open)(struct vuc_transport_group *group, const struct vuc_transport_address *address,
		const struct vuc_conn_events *events, void *owner, struct vuc_conn **conn,
		struct vuc_error *err);
	/*
	 * End the connection and free it, leave its socket to the closer; no event follows, and
	 * when it returns the kernel no longer uses any memory of segment or connection. May be
	 * called from an event of another connection, not of this one.
	 */
	void (*close)(struct vuc_conn *conn);

	/*
	 * Begin to send a segment; at most one per connection at a time. Its bytes and descriptors
	 * stay as they are until it is out.
	 * Returns 1 when it is out already (sent() does not follow), 0 when sent() will follow,
	 * -EAGAIN when there is no room now (nothing was sent; try at the next poll), or what
	 * ended the connection (lost() does not follow).
	 */
	int (*send)(struct vuc_conn *conn, const struct vuc_segment *segment);

	/*
	 * Send a message from where its parts lie, as far as it goes now, and keep nothing of it.
	 * Nothing else is under way. Returns how many bytes are out, or a negative errno when none
	 * is: send() then says what that means. NULL where there is no such way.
	 */
	int64_t (*send_parts)(
		struct vuc_conn *conn, const struct iovec *parts, unsigned int nr_parts);

	/*
	 * Make progress on all connections, and look at them again, up to so many times in all,
	 * while there is no event; never blocks. Returns how many events were told.
	 */
	unsigned int (*poll)(struct vuc_transport_group *group, unsigned int looks);

	/*
	 * One look at the socket that was sent to last, if nothing is left of that segment and
	 * vuc_view_receives_plainly() was true. Returns how many bytes came, and in *bytes where
	 * they lie until the next call; 0 for none; or -EBUSY when there is, or may be, something
	 * on this or another connection that only poll() can tell. NULL where there is no such way.
	 */
	ssize_t (*look)(struct vuc_conn *conn, const uint8_t **bytes);

	/*
	 * Sleep until there may be something for poll(): a connection has received, has room to
	 * send again or has ended, or wake_fd, an eventfd, can be read (-1: there is none), or
	 * until timeout_ms, at most INT_MAX, have passed. All connections are left to the kernel
	 * first, those that are owed an answer, too, and what waits to be submitted is submitted.
	 * No event is told, and wake_fd is not read: while it can be, no wait sleeps. The driver
	 * keeps wake_fd in mind until another one is given, or -1.
	 * Returns 1 when something happened, or may have; 0 when the time has passed or a signal
	 * came; or a negative errno.
	 */
	int (*wait)(struct vuc_transport_group *group, int wake_fd, unsigned int timeout_ms);

	/*
	 * Some time has passed, milliseconds at least: connections that await nothing now are idle,
	 * however few polls there have been. May be NULL.
	 */
	void (*settle)(struct vuc_transport_group *group);
};

/* A driver by name, or NULL. The table ends with a NULL entry and begins with the best one. */
const struct vuc_transport_ops *vuc_transport_find(const char *name);
extern const struct vuc_transport_ops *const vuc_transports[];

extern const struct vuc_transport_ops vuc_transport_uring;
extern const struct vuc_transport_ops vuc_transport_posix;
extern const struct vuc_transport_ops vuc_transport_loopback;

#endif /* VUC_DRIVERS_TRANSPORT_H */
