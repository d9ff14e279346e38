/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "args.h"
#include "http.h"
#include "management.h"
#include "number.h"

#define DEFAULT_LISTEN     "127.0.0.1:9476"
#define DEFAULT_TIMEOUT_MS 1000
#define BACKLOG            64
#define HOST_SIZE          64 /* of an address, with its NUL */

struct options {
	const char *listen;
	char host[HOST_SIZE]; /* of listen, without brackets */
	const char *port;
	char management[APP_MANAGEMENT_PATH_SIZE];
	uint32_t timeout_ms;
};

/* ---- command line ---- */

static const struct argp_option option_table[] = {
	{"listen", 'l', "ADDRESS:PORT", 0,
		"Address to serve, [ADDRESS]:PORT for IPv6; with port 0, a free port; default: " DEFAULT_LISTEN},
	{"management", 'm', "PATH", 0,
		"Management socket of vucd; by default $VUCD_MANAGEMENT_SOCKET, else vucd's default "
		"path"},
	{"timeout", 't', "MS", 0,
		"Time that vucd has to answer, in milliseconds, 1 to 60000; 1000 by default"},
	{0},
};

/* Take "127.0.0.1:80" or "[::1]:80" apart. */
static bool
listen_split(struct options *options)
{
	const char *text = options->listen, *colon = strrchr(text, ':');
	uint64_t port;
	size_t len;

	if (colon == NULL || vuc_number_parse(colon + 1, 10, 0, UINT16_MAX, &port) != 0)
		return false;
	len = (size_t)(colon - text);
	options->port = colon + 1;
	if (text[0] == '[') {
		if (len < 3 || text[len - 1] != ']')
			return false;
		text++;
		len -= 2;
	} else if (memchr(text, ':', len) != NULL) {
		return false;
	}
	if (len == 0 || len >= sizeof(options->host))
		return false;
	memcpy(options->host, text, len);
	options->host[len] = '\0';
	return true;
}

static error_t
option_take(int key, char *value, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'l':
		options->listen = value;
		return 0;
	case 'm':
		if (value[0] == '\0' || strlen(value) >= sizeof(options->management))
			app_args_error(state, "socket path '%s' must have 1 to %zu bytes", value,
				sizeof(options->management) - 1);
		memcpy(options->management, value, strlen(value) + 1);
		return 0;
	case 't':
		options->timeout_ms = (uint32_t)app_args_number(state, key, value, 1, 60000);
		return 0;
	case ARGP_KEY_ARG:
		app_args_error(state, "unexpected argument '%s'", value);
	case ARGP_KEY_END:
		if (!listen_split(options))
			app_args_error(state,
				"'%s' is not ADDRESS:PORT or, for IPv6, [ADDRESS]:PORT",
				options->listen);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_table,
	.parser = option_take,
	.doc = "Serves the statistics of the daemon vucd to Prometheus. Runs in the foreground.",
	.children = app_args_children,
};

/* ---- the address ---- */

/* Names would have to be looked up, and may have several addresses: only numbers. Returns a socket
 * or a negative errno, the error said. */
static int
socket_open(const struct options *options)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *address;
	int on = 1, fd, rc;

	rc = getaddrinfo(options->host, options->port, &hints, &address);
	if (rc != 0) {
		fprintf(stderr, "vuc-exporter: %s: %s\n", options->listen,
			rc == EAI_NONAME ? "expected an IP address" : gai_strerror(rc));
		return -EINVAL;
	}
	fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* A connection of a process before this one may still be closing. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
		rc = -errno;
		fprintf(stderr, "vuc-exporter: cannot listen on %s: %s\n", options->listen,
			strerror(-rc));
		if (fd >= 0)
			close(fd);
		fd = rc;
	}
	freeaddrinfo(address);
	return fd;
}

/* Print where it listens: the port may have been chosen by the kernel. */
static int
socket_print(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	char host[HOST_SIZE], port[16];

	if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		return -errno;
	if (getnameinfo((struct sockaddr *)&address, len, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return -EINVAL;
	printf(address.ss_family == AF_INET6 ? "serving http://[%s]:%s/metrics\n"
					     : "serving http://%s:%s/metrics\n",
		host, port);
	return fflush(stdout) == 0 ? 0 : -errno;
}

/* ---- the run ---- */

/* Until a signal asks for the end. */
static void
exporter_serve(struct exporter_http *http, const sigset_t *signals)
{
	const struct timespec second = {.tv_sec = 1};

	while (sigtimedwait(signals, NULL, &second) < 0)
		exporter_http_end_late(http);
}

static int
exporter_run(const struct options *options)
{
	struct exporter_http *http = NULL;
	sigset_t signals;
	int fd, rc;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	fd = socket_open(options);
	if (fd < 0)
		return EXIT_FAILURE;
	rc = socket_print(fd);
	if (rc == 0)
		http = exporter_http_create(fd, options->management, options->timeout_ms);
	if (http == NULL) {
		fprintf(stderr, "vuc-exporter: cannot serve %s: %s\n", options->listen,
			strerror(rc != 0 ? -rc : ENOMEM));
		return EXIT_FAILURE;
	}
	exporter_serve(http, &signals);
	exporter_http_destroy(http);
	return EXIT_SUCCESS;
}

int
main(int argc, char *argv[])
{
	struct options options = {.listen = DEFAULT_LISTEN, .timeout_ms = DEFAULT_TIMEOUT_MS};

	if (!app_args_occupy_standard_fds())
		return EXIT_FAILURE;
	signal(SIGPIPE, SIG_IGN);
	app_args_parse(&argp, argc, argv, &options);
	if (options.management[0] == '\0')
		app_management_find(options.management);
	return exporter_run(&options);
}
