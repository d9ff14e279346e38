/* SPDX-License-Identifier: BSD-3-Clause */
#include "http.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "accept.h"
#include "clock.h"
#include "metrics.h"

#define MAX_CONNECTIONS   32u
#define CONNECTION_NS     (10 * UINT64_C(1000000000)) /* from accept to close */
#define CONNECTION_MEMORY 16384u                      /* of a request's line and headers */
#define FRESH_NS          (100 * UINT64_C(1000000)) /* an answer of the daemon is for all meanwhile */
#define FORMATS           (APP_METRICS_OPENMETRICS + 1)

static const char page[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><title>vuc-exporter</title></head>\n"
	"<body><h1>vuc-exporter</h1><p><a href=\"/metrics\">Metrics of vucd</a></p></body></html>\n";

struct exporter_http {
	struct MHD_Daemon *daemon;
	int epoll_fd;
	bool closed; /* a connection was, and the library may go on to accept others only when
			called */
	const char *management;
	uint32_t timeout_ms;
	char why[APP_MANAGEMENT_WHY_SIZE]; /* the daemon did not answer last time, as logged */
	struct MHD_Response *page, *not_found, *not_allowed;
	struct {
		struct MHD_Response *response; /* NULL: none yet */
		uint64_t end_ns;               /* until when it is fresh */
	} metrics[FORMATS];
	struct {
		struct MHD_Connection *connection; /* NULL: none */
		uint64_t end_ns;                   /* UINT64_MAX: it has been ended */
	} connections[MAX_CONNECTIONS];
};

/* ---- responses ---- */

/* Each connection is for one request, so that its time is limited. */
static struct MHD_Response *
response_create(const char *text, size_t len, enum MHD_ResponseMemoryMode mode, const char *type)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(len, (void *)(uintptr_t)text, mode);

	if (response == NULL)
		return NULL;
	if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) == MHD_YES &&
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES)
		return response;
	MHD_destroy_response(response);
	return NULL;
}

static struct MHD_Response *
response_create_text(const char *text)
{
	return response_create(
		text, strlen(text), MHD_RESPMEM_PERSISTENT, "text/plain; charset=utf-8");
}

/* A change only: it would fill the log otherwise. */
static void
http_log_daemon(struct exporter_http *http, const char *why)
{
	if (strcmp(http->why, why) == 0)
		return;
	fprintf(stderr, "vuc-exporter: %s: %s\n", http->management,
		why[0] != '\0' ? why : "answers again");
	snprintf(http->why, sizeof(http->why), "%s", why);
}

static void
http_ask_daemon(struct exporter_http *http, enum app_metrics_format format)
{
	static const char *const types[FORMATS] = {
		[APP_METRICS_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
		[APP_METRICS_OPENMETRICS] =
			"application/openmetrics-text; version=1.0.0; charset=utf-8",
	};
	char why[APP_MANAGEMENT_WHY_SIZE];
	size_t len;
	char *text =
		app_metrics_collect(http->management, http->timeout_ms, NULL, format, &len, why);

	if (http->metrics[format].response != NULL)
		MHD_destroy_response(http->metrics[format].response);
	http->metrics[format].response = NULL;
	if (text == NULL)
		return;
	http_log_daemon(http, why);
	http->metrics[format].response =
		response_create(text, len, MHD_RESPMEM_MUST_FREE, types[format]);
	if (http->metrics[format].response == NULL)
		free(text);
	http->metrics[format].end_ns = vuc_clock_ns() + FRESH_NS;
}

/* ---- requests ---- */

static enum MHD_Result
metrics_queue(struct exporter_http *http, struct MHD_Connection *connection)
{
	enum app_metrics_format format = exporter_accept(
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT));

	if (http->metrics[format].response == NULL ||
		vuc_clock_ns() >= http->metrics[format].end_ns)
		http_ask_daemon(http, format);
	if (http->metrics[format].response == NULL)
		return MHD_NO; /* no memory: the connection is closed */
	return MHD_queue_response(connection, MHD_HTTP_OK, http->metrics[format].response);
}

/* Called first when a request's headers are there; a body is not read. */
static enum MHD_Result
request_take(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
	const char *version, const char *body, size_t *body_size, void **request)
{
	struct exporter_http *http = arg;

	(void)version;
	(void)body;
	(void)body_size;
	(void)request;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return MHD_queue_response(
			connection, MHD_HTTP_METHOD_NOT_ALLOWED, http->not_allowed);
	if (strcmp(url, "/metrics") == 0)
		return metrics_queue(http, connection);
	if (strcmp(url, "/") == 0)
		return MHD_queue_response(connection, MHD_HTTP_OK, http->page);
	return MHD_queue_response(connection, MHD_HTTP_NOT_FOUND, http->not_found);
}

/* ---- connections ---- */

/* The library limits only the time without a byte, so a client could keep one by a byte now and
 * then. */
static void
connection_note(void *arg, struct MHD_Connection *connection, void **own,
	enum MHD_ConnectionNotificationCode code)
{
	struct exporter_http *http = arg;
	bool begins = code == MHD_CONNECTION_NOTIFY_STARTED;
	const struct MHD_Connection *sought = begins ? NULL : connection;
	size_t i;

	(void)own;
	for (i = 0; i < MAX_CONNECTIONS; i++) {
		if (http->connections[i].connection != sought)
			continue;
		http->connections[i].connection = begins ? connection : NULL;
		http->connections[i].end_ns = vuc_clock_ns() + CONNECTION_NS;
		http->closed = http->closed || !begins;
		return;
	}
}

static void
connections_end_late(struct exporter_http *http)
{
	uint64_t now = vuc_clock_ns();
	size_t i;

	for (i = 0; i < MAX_CONNECTIONS; i++) {
		struct MHD_Connection *connection = http->connections[i].connection;
		const union MHD_ConnectionInfo *info;

		if (connection == NULL || now < http->connections[i].end_ns)
			continue;
		info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		if (info != NULL)
			shutdown(info->connect_fd, SHUT_RDWR);
		http->connections[i].end_ns = UINT64_MAX;
	}
}

int
exporter_http_fd(const struct exporter_http *http)
{
	return http->epoll_fd;
}

int
exporter_http_wait_ms(const struct exporter_http *http)
{
	uint64_t end_ns = UINT64_MAX, now = vuc_clock_ns(), ms = UINT64_MAX;
	MHD_UNSIGNED_LONG_LONG library_ms;
	size_t i;

	for (i = 0; i < MAX_CONNECTIONS; i++) {
		if (http->connections[i].connection != NULL && http->connections[i].end_ns < end_ns)
			end_ns = http->connections[i].end_ns;
	}
	if (http->closed)
		return 0;
	if (end_ns != UINT64_MAX)
		ms = end_ns > now ? (end_ns - now) / 1000000 + 1 : 0;
	if (MHD_get_timeout(http->daemon, &library_ms) == MHD_YES && library_ms < ms)
		ms = library_ms;
	if (ms == UINT64_MAX)
		return -1;
	return ms < INT_MAX ? (int)ms : INT_MAX;
}

void
exporter_http_run(struct exporter_http *http)
{
	connections_end_late(http);
	http->closed = false;
	MHD_run(http->daemon);
}

/* ---- beginning and end ---- */

/* What the library says of clients is of no use to an operator. */
static void
http_ignore_log(void *arg, const char *fmt, va_list args)
{
	(void)arg;
	(void)fmt;
	(void)args;
}

static bool
http_start(struct exporter_http *http, int fd)
{
	const union MHD_DaemonInfo *info;

	http->page = response_create(
		page, sizeof(page) - 1, MHD_RESPMEM_PERSISTENT, "text/html; charset=utf-8");
	http->not_found = response_create_text("not found; see /metrics\n");
	http->not_allowed = response_create_text("only GET and HEAD\n");
	if (http->page == NULL || http->not_found == NULL || http->not_allowed == NULL ||
		MHD_add_response_header(http->not_allowed, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") !=
			MHD_YES)
		return false;
	http->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL,
		request_take, http, MHD_OPTION_EXTERNAL_LOGGER, http_ignore_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_NOTIFY_CONNECTION, connection_note, http, MHD_OPTION_STRICT_FOR_CLIENT,
		1, MHD_OPTION_END);
	if (http->daemon == NULL)
		return false;
	info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	http->epoll_fd = info != NULL ? info->epoll_fd : -1;
	return http->epoll_fd >= 0;
}

struct exporter_http *
exporter_http_create(int fd, const char *management, uint32_t timeout_ms)
{
	struct exporter_http *http = calloc(1, sizeof(*http));

	if (http != NULL) {
		http->management = management;
		http->timeout_ms = timeout_ms;
	}
	if (http != NULL && http_start(http, fd))
		return http;
	if (http == NULL || http->daemon == NULL)
		close(fd);
	exporter_http_destroy(http);
	return NULL;
}

void
exporter_http_destroy(struct exporter_http *http)
{
	size_t i;

	if (http == NULL)
		return;
	if (http->daemon != NULL)
		MHD_stop_daemon(http->daemon);
	for (i = 0; i < FORMATS; i++) {
		if (http->metrics[i].response != NULL)
			MHD_destroy_response(http->metrics[i].response);
	}
	if (http->page != NULL)
		MHD_destroy_response(http->page);
	if (http->not_found != NULL)
		MHD_destroy_response(http->not_found);
	if (http->not_allowed != NULL)
		MHD_destroy_response(http->not_allowed);
	free(http);
}
