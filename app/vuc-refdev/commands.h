/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_COMMANDS_H
#define REFDEV_COMMANDS_H

/* The way of a device's own commands: over the client's socket, or over a twin of it. */

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

struct refdev_endpoint;

/*
 * Send what is due, and serve the twin socket, without waiting. look: see refdev_endpoint_turn().
 * Returns 0; what refdev_output_send() returned for the client's socket; or -ESHUTDOWN when the
 * client must go, after a line on stderr if it was its fault.
 */
int refdev_commands_turn(struct refdev_endpoint *ep, bool look);

/* The client has gone or must go. */
void refdev_commands_close(struct refdev_endpoint *ep);

/* What there is to wait for on the twin socket. Returns nanoseconds, or -1 for ever. */
int64_t refdev_commands_wait(const struct refdev_endpoint *ep, struct pollfd *pfd);

#endif /* REFDEV_COMMANDS_H */
