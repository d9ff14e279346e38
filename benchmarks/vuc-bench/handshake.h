/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_HANDSHAKE_H
#define BENCH_HANDSHAKE_H

/* The floor's way to a connection. */

#include <vuc/error.h>

/* Connect to a server's socket, for at most BENCH_TIMEOUT_MS. Returns a descriptor that the caller
 * closes; a negative errno. */
int bench_connect(const char *path, struct vuc_error *err);

/* Let a receive and a send sleep for at most this long; 0 ms: no limit. Returns 0 or a negative
 * errno. */
int bench_limit_waiting(int fd, unsigned int ms, struct vuc_error *err);

/* Exchange VERSION over a new connection, for at most BENCH_TIMEOUT_MS. Returns 0; -EPROTO;
 * -ETIMEDOUT; -ECONNRESET when the server hangs up; -EINTR; what the socket says. */
int bench_negotiate(int fd, struct vuc_error *err);

#endif /* BENCH_HANDSHAKE_H */
