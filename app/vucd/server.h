/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_SERVER_H
#define VUCD_SERVER_H

/*
 * The management socket: one request a line, for root and the daemon's own user, and, limited to
 * what changes nothing, for monitors: the members of a group.
 *
 * A client's next line is looked at when the answer to the one before has gone, so a client holds
 * little memory however slow it is, and delays nobody else. Of too many clients of a kind, the one
 * that has been quiet for longest has to go.
 */

#include <vuc/error.h>

#include "config.h"
#include "log.h"
#include "loop.h"
#include "rpc.h"

#define VUCD_MAX_CLIENTS  64
#define VUCD_MAX_MONITORS 16 /* beside them */
#define VUCD_MAX_KEEPERS  16
#define VUCD_MAX_LINE     65536 /* bytes, without the newline */

struct vucd_server;

/*
 * Listen at a path where nobody else does: a socket that is there already is replaced. monitors is
 * the group of monitors, VUCD_NO_ID: there are none. What the arguments point to outlives the
 * server. Returns 0 or a negative errno, with err filled.
 */
int vucd_server_create(struct vucd_loop *loop, const char *path, uint32_t monitors,
	const struct vucd_rpc *rpc, struct vucd_log *log, struct vucd_server **server,
	struct vuc_error *err);

/*
 * Let a client of a method keep something for as long as it is connected: release is called with
 * arg when it is not any more. fd, which stays the caller's until then, goes to the client with the
 * answer under way. Returns 0; -EBUSY when the client keeps something already; -EUSERS when
 * VUCD_MAX_KEEPERS do.
 */
int vucd_server_keep(void *client, int fd, void (*release)(void *arg), void *arg);

/* Close all connections, abandon their requests, and remove the socket. NULL does nothing. */
void vucd_server_destroy(struct vucd_server *server);

#endif /* VUCD_SERVER_H */
