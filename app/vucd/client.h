/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_CLIENT_H
#define VUCD_CLIENT_H

/* A connection of the management socket. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "loop.h"
#include "rpc.h"
#include "server.h"

struct vucd_client;

struct vucd_client_owner {
	struct vucd_loop *loop;
	const struct vucd_rpc *rpc;
	/* The client has sent or received something. */
	void (*active)(void *arg, struct vucd_client *client);
	/* The client has gone, or has to: it is to be destroyed. */
	void (*gone)(void *arg, struct vucd_client *client);
	void *arg;
};

struct vucd_client {
	const struct vucd_client_owner *owner;
	struct vucd_watch watch;
	TAILQ_ENTRY(vucd_client) next;    /* the owner's */
	char who[48];                     /* its user and process, for the log */
	struct vucd_rpc_request *request; /* under way */
	bool answering;                   /* a line has been taken, its answer has not come yet */
	bool last;                        /* nothing is read any more; closed after the answer */
	bool serving;                     /* its lines are being looked at */
	size_t in_start;                  /* of what has not been looked at */
	size_t in_end;
	char *out; /* an answer on its way, or NULL */
	size_t out_len;
	size_t out_sent;
	char in[VUCD_MAX_LINE + 1];
};

/* Serve a connected socket, which becomes the client's. NULL when out of memory or the like; the
 * socket is closed then. */
struct vucd_client *vucd_client_create(const struct vucd_client_owner *owner, int fd);

/* Close its connection and abandon its request. */
void vucd_client_destroy(struct vucd_client *client);

/* Whether it waits for an answer of ours. */
bool vucd_client_busy(const struct vucd_client *client);

#endif /* VUCD_CLIENT_H */
