/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_FRONT_SERVE_H
#define VUC_FRONT_SERVE_H

/*
 * A stock VMM's connection, which a poller and a thread serve in turns: the poller carries out
 * accesses through a queue to the device, and hands everything else over to the thread. Only the
 * one whose turn it is uses the machine, the socket and the queue, so that neither needs a lock.
 *
 * The functions below are called on the thread, which is one at a time.
 */

#include <stdbool.h>

#include <vuc/poller.h>
#include <vuc/queue.h>

#include "closers.h"
#include "machine.h"

struct front_server;

/* The caller owns all of these, and keeps them for longer. */
struct front_server_opts {
	struct vuc_poller *poller;
	struct vuc_device *dev;  /* of the poller */
	struct vuc_queue *queue; /* to the device; with room for FRONT_MAX_REQUESTS */
	struct front *front;
	struct vuc_closer *closer; /* for descriptors of the client that nobody needs */
	int fd;                    /* a connected stream socket */
	int wake_fd;               /* an eventfd: written when the thread's turn begins */
};

/* Returns NULL if there is no memory. The thread has the first turn. */
struct front_server *front_server_create(const struct front_server_opts *opts);

/* Make it the thread's turn for good, and free the server. Awaited results are dropped, and the
 * queue must not be used until it is closed. NULL does nothing. */
void front_server_destroy(struct front_server *s);

/* Whether it is the thread's turn. */
bool front_server_has_turn(struct front_server *s);

/* End the thread's turn. Returns 0 or a negative errno of the poller. */
int front_server_pass(struct front_server *s);

/*
 * In the thread's turn: get the thread's next request, as front_next(). Returns 1; 0 if there is
 * none now, so that the turn may be passed on; or the error that has ended the connection. Receives
 * first what has arrived. A request that has been answered as late is not returned.
 */
int front_server_next(struct front_server *s, struct front_request *r);

/* In the thread's turn: receive what has arrived, so that its time begins to run, unless a request
 * has been handed over already. What the last request points to becomes invalid.
 * front_server_next() reports the end of the connection. */
void front_server_receive(struct front_server *s);

/* In the thread's turn: forget a request that has been handed over and is late. Its descriptors are
 * closed. */
void front_server_drop_late(struct front_server *s);

/* In the thread's turn, before a reply: answer what is late. */
void front_server_expire(struct front_server *s);

/* In the thread's turn: send pending replies. Returns 0, or the error that has ended the
 * connection.
 */
int front_server_send(struct front_server *s);

#endif /* VUC_FRONT_SERVE_H */
