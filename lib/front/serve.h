/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_FRONT_SERVE_H
#define VUC_FRONT_SERVE_H

/*
 * A stock VMM's connection, as a poller and a thread serve it by turns: the poller carries out
 * accesses, by a queue to the device, and hands everything else to the thread. Only the one whose
 * turn it is uses the machine, the socket and the queue, so that neither needs a lock.
 *
 * The functions below are called on the thread, which is one at a time.
 */

#include <stdbool.h>

#include <vuc/poller.h>
#include <vuc/queue.h>

#include "closers.h"
#include "machine.h"

struct front_server;

/* All of it is the caller's, and lives longer. */
struct front_server_opts {
	struct vuc_poller *poller;
	struct vuc_device *dev;  /* of the poller */
	struct vuc_queue *queue; /* to the device; with room for FRONT_MAX_REQUESTS */
	struct front *front;
	struct vuc_closer *closer; /* of what the client sends and nobody wants */
	int fd;                    /* a connected stream socket */
	int wake_fd;               /* an eventfd: written when it is the thread's turn */
};

/* Returns NULL without memory. It is the thread's turn. */
struct front_server *front_server_create(const struct front_server_opts *opts);

/* Make it the thread's turn for good, and free the server. Results that were awaited are dropped,
 * but the queue may not be used by anybody until it is closed. NULL does nothing. */
void front_server_destroy(struct front_server *s);

/* Whether it is the thread's turn. */
bool front_server_has_turn(struct front_server *s);

/* End the thread's turn. Returns 0 or a negative errno of the poller. */
int front_server_pass(struct front_server *s);

/*
 * In the thread's turn: the next request that is the thread's, as front_next() returns it: 1; 0:
 * there is none now, and the turn may be passed; or what has ended the connection. Receives what
 * has come first. One that has been answered as late is not returned.
 */
int front_server_next(struct front_server *s, struct front_request *r);

/* In the thread's turn: receive what has come, so that its time runs, unless a request is handed
 * over already. What the last request points to is not valid any more; its end is seen by
 * front_server_next(). */
void front_server_receive(struct front_server *s);

/* In the thread's turn: forget a request that has been handed over and is late. Its descriptors are
 * closed. */
void front_server_drop_late(struct front_server *s);

/* In the thread's turn, before a reply: answer what is late. */
void front_server_expire(struct front_server *s);

/* In the thread's turn: send what there is to be sent. Returns 0, or what has ended the connection.
 */
int front_server_send(struct front_server *s);

#endif /* VUC_FRONT_SERVE_H */
