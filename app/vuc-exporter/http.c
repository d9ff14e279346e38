/* SPDX-License-Identifier: BSD-3-Clause */
#include "http.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "clock.h"
#include "metrics.h"

#define MAX_CONNECTIONS   32u
#define CONNECTION_MS     10000u /* from accept to close */
#define CONNECTION_MEMORY 16384u /* of a request's line and headers */
#define FRESH_MS          100u   /* an answer of the daemon is for all meanwhile */
#define FORMATS           (APP_METRICS_OPENMETRICS + 1)

static const char page[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><title>vuc-exporter</title></head>\n"
	"<body><h1>vuc-exporter</h1><p><a href=\"/metrics\">Metrics of vucd</a></p></body></html>\n";

struct connection {
	int fd; /* -1: the row is free */
	uint64_t end_ms;
};

struct exporter_http {
	struct MHD_Daemon *daemon;
	/* Of the library's thread. */
	const char *management;
	uint32_t timeout_ms;
	char why[APP_MANAGEMENT_WHY_SIZE]; /* the daemon did not answer last time, as logged */
	struct MHD_Response *page, *not_found, *not_allowed;
	struct {
		struct MHD_Response *response; /* NULL: none yet */
		uint64_t end_ms;               /* until when it is fresh */
	} metrics[FORMATS];
	/* Of both threads. */
	pthread_mutex_t lock;
	struct connection connections[MAX_CONNECTIONS];
};

/* ---- the header Accept ---- */

#define BLANKS " \t"

/* A piece of the header. */
struct piece {
	const char *text;
	size_t len;
};

static void
piece_trim(struct piece *piece)
{
	while (piece->len > 0 && strchr(BLANKS, piece->text[0]) != NULL) {
		piece->text++;
		piece->len--;
	}
	while (piece->len > 0 && strchr(BLANKS, piece->text[piece->len - 1]) != NULL)
		piece->len--;
}

/* Take the next piece, up to one of the separators, off the rest. Returns false at the end. */
static bool
piece_take(struct piece *rest, char separator, struct piece *piece)
{
	const char *end;

	if (rest->len == 0)
		return false;
	end = memchr(rest->text, separator, rest->len);
	piece->text = rest->text;
	piece->len = end != NULL ? (size_t)(end - rest->text) : rest->len;
	rest->text += piece->len + (end != NULL);
	rest->len -= piece->len + (end != NULL);
	piece_trim(piece);
	return true;
}

static bool
piece_is(const struct piece *piece, const char *text)
{
	return piece->len == strlen(text) && strncasecmp(piece->text, text, piece->len) == 0;
}

/* Whether it is "name=", which is taken off. */
static bool
piece_take_name(struct piece *piece, const char *name)
{
	size_t len = strlen(name);

	if (piece->len <= len || strncasecmp(piece->text, name, len) != 0 ||
		piece->text[len] != '=')
		return false;
	piece->text += len + 1;
	piece->len -= len + 1;
	if (piece->len >= 2 && piece->text[0] == '"' && piece->text[piece->len - 1] == '"') {
		piece->text++;
		piece->len -= 2;
	}
	return true;
}

/* A weight that is not a number from 0 to 1 counts as 0: not acceptable. */
static double
quality_parse(const struct piece *piece)
{
	char *end;
	double quality = strtod(piece->text, &end);

	return end == piece->text + piece->len && quality >= 0 && quality <= 1 ? quality : 0;
}

/* The quality of a range of our version, 1 by default. */
static double
range_quality(struct piece *range, const char *version)
{
	double quality = 1;
	struct piece param;

	while (piece_take(range, ';', &param)) {
		if (piece_take_name(&param, "q"))
			quality = quality_parse(&param);
		else if (piece_take_name(&param, "version") && !piece_is(&param, version))
			return 0;
	}
	return quality;
}

/* The format for a client with this Accept header, NULL: without one. OpenMetrics is for those who
 * name it, and do not prefer plain text to it (RFC 9110, section 12.5.1). */
static enum app_metrics_format
accept_format(const char *header)
{
	struct piece rest = {header, header != NULL ? strlen(header) : 0}, range, type;
	double open = 0, text = 0, quality;

	while (piece_take(&rest, ',', &range)) {
		if (!piece_take(&range, ';', &type))
			continue;
		if (piece_is(&type, "application/openmetrics-text")) {
			quality = range_quality(&range, "1.0.0");
			open = quality > open ? quality : open;
		} else if (piece_is(&type, "text/plain")) {
			quality = range_quality(&range, "0.0.4");
			text = quality > text ? quality : text;
		}
	}
	return open > 0 && open >= text ? APP_METRICS_OPENMETRICS : APP_METRICS_TEXT;
}

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

static void
response_destroy(struct MHD_Response *response)
{
	if (response != NULL)
		MHD_destroy_response(response);
}

static struct MHD_Response *
response_create_static(const char *text, const char *type)
{
	return response_create(text, strlen(text), MHD_RESPMEM_PERSISTENT, type);
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

/* The metrics in a format, NULL without memory. */
static struct MHD_Response *
http_ask_daemon(struct exporter_http *http, enum app_metrics_format format)
{
	static const char *const types[FORMATS] = {
		[APP_METRICS_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
		[APP_METRICS_OPENMETRICS] =
			"application/openmetrics-text; version=1.0.0; charset=utf-8",
	};
	char why[APP_MANAGEMENT_WHY_SIZE];
	struct MHD_Response *response;
	size_t len;
	char *text =
		app_metrics_collect(http->management, http->timeout_ms, NULL, format, &len, why);

	if (text == NULL)
		return NULL;
	http_log_daemon(http, why);
	response = response_create(text, len, MHD_RESPMEM_MUST_COPY, types[format]);
	free(text);
	return response;
}

/* ---- requests ---- */

static enum MHD_Result
metrics_queue(struct exporter_http *http, struct MHD_Connection *connection)
{
	enum app_metrics_format format = accept_format(
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT));
	struct MHD_Response **response = &http->metrics[format].response;

	if (*response == NULL || vuc_clock_ms() >= http->metrics[format].end_ms) {
		response_destroy(*response);
		*response = http_ask_daemon(http, format);
		http->metrics[format].end_ms = vuc_clock_ms() + FRESH_MS;
	}
	if (*response == NULL)
		return MHD_NO; /* the connection is closed */
	return MHD_queue_response(connection, MHD_HTTP_OK, *response);
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

/* A connection begins, or ends before its descriptor is closed. */
static void
connection_note(void *arg, struct MHD_Connection *connection, void **own,
	enum MHD_ConnectionNotificationCode code)
{
	struct exporter_http *http = arg;
	struct connection *row = http->connections;

	pthread_mutex_lock(&http->lock);
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		while (row->fd >= 0) {
			row++;
			assert(row < http->connections + MAX_CONNECTIONS); /* the library's limit */
		}
		row->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
				  ->connect_fd;
		row->end_ms = vuc_clock_ms() + CONNECTION_MS;
		*own = row;
	} else {
		row = *own;
		row->fd = -1;
	}
	pthread_mutex_unlock(&http->lock);
}

/* The library limits only the time without a byte, so a client could keep a connection by a byte
 * now and then. */
void
exporter_http_end_late(struct exporter_http *http)
{
	uint64_t now = vuc_clock_ms();
	size_t i;

	pthread_mutex_lock(&http->lock);
	for (i = 0; i < MAX_CONNECTIONS; i++) {
		if (http->connections[i].fd >= 0 && now >= http->connections[i].end_ms)
			shutdown(http->connections[i].fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&http->lock);
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
	http->page = response_create_static(page, "text/html; charset=utf-8");
	http->not_found =
		response_create_static("not found; see /metrics\n", "text/plain; charset=utf-8");
	http->not_allowed = response_create_static(
		"only GET and HEAD are supported\n", "text/plain; charset=utf-8");
	if (http->page == NULL || http->not_found == NULL || http->not_allowed == NULL ||
		MHD_add_response_header(http->not_allowed, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") !=
			MHD_YES)
		return false;
	http->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL,
		NULL, request_take, http, MHD_OPTION_EXTERNAL_LOGGER, http_ignore_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_NOTIFY_CONNECTION, connection_note, http, MHD_OPTION_STRICT_FOR_CLIENT,
		1, MHD_OPTION_END);
	return http->daemon != NULL;
}

struct exporter_http *
exporter_http_create(int fd, const char *management, uint32_t timeout_ms)
{
	struct exporter_http *http = calloc(1, sizeof(*http));
	size_t i;

	if (http == NULL)
		return NULL;
	http->management = management;
	http->timeout_ms = timeout_ms;
	pthread_mutex_init(&http->lock, NULL);
	for (i = 0; i < MAX_CONNECTIONS; i++)
		http->connections[i].fd = -1;
	if (http_start(http, fd))
		return http;
	exporter_http_destroy(http);
	return NULL;
}

void
exporter_http_destroy(struct exporter_http *http)
{
	size_t i;

	if (http->daemon != NULL)
		MHD_stop_daemon(http->daemon);
	for (i = 0; i < FORMATS; i++)
		response_destroy(http->metrics[i].response);
	response_destroy(http->page);
	response_destroy(http->not_found);
	response_destroy(http->not_allowed);
	pthread_mutex_destroy(&http->lock);
	free(http);
}
