/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EXPORTER_HTTP_H
#define EXPORTER_HTTP_H

/*
 * The HTTP server: GET and HEAD of /metrics and of a small page at /. One thread does all. Clients
 * are not trusted: their number, the size of their requests and the time of each connection are
 * limited, and what they ask for together is asked of the daemon once.
 */

#include <stdint.h>

struct exporter_http;

/* Serve a socket that listens and becomes the server's. management is the path of the daemon's
 * socket, which has timeout_ms to answer; it outlives the server. NULL: it cannot be served. */
struct exporter_http *exporter_http_create(int fd, const char *management, uint32_t timeout_ms);
void exporter_http_destroy(struct exporter_http *http);

/* What becomes readable when there is something to do, and how long to wait for that, at most;
 * -1: for ever. */
int exporter_http_fd(const struct exporter_http *http);
int exporter_http_wait_ms(const struct exporter_http *http);

/* Do it. */
void exporter_http_run(struct exporter_http *http);

#endif /* EXPORTER_HTTP_H */
