/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EXPORTER_HTTP_H
#define EXPORTER_HTTP_H

/*
 * The HTTP server: GET and HEAD of /metrics and of a small page at /, on a thread of the library's.
 * Clients are not trusted: their number, the size of their requests and the time of each connection
 * are limited, and what they ask for together is asked of the daemon once.
 */

#include <stdint.h>

struct exporter_http;

/* Serve a socket that listens and becomes the server's. management is the path of the daemon's
 * socket, which has timeout_ms to answer; it outlives the server. NULL: it cannot be served, and
 * the socket may be open or closed. */
struct exporter_http *exporter_http_create(int fd, const char *management, uint32_t timeout_ms);
void exporter_http_destroy(struct exporter_http *http);

/* Disconnect clients that take too long. To be called now and then. */
void exporter_http_end_late(struct exporter_http *http);

#endif /* EXPORTER_HTTP_H */
