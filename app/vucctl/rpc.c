/* SPDX-License-Identifier: BSD-3-Clause */
#include "rpc.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "interrupt.h"
#include "rpc_answer.h"

#define FIRST_SIZE 4096u

static int rpc_fail(struct vucctl_rpc *rpc, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Set why. Returns error. */
static int
rpc_fail(struct vucctl_rpc *rpc, int error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(rpc->why, sizeof(rpc->why), fmt, args);
	va_end(args);
	return error;
}

static int
fail_timeout(struct vucctl_rpc *rpc)
{
	return rpc_fail(
		rpc, -ETIMEDOUT, "the daemon has not answered within %u ms", rpc->timeout_ms);
}

/* ---- connection ---- */

static int
connect_to(struct vucctl_rpc *rpc, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	/* It bounds connect(2), too, which waits while too many others do. */
	struct timeval timeout = {
		.tv_sec = rpc->timeout_ms / 1000,
		.tv_usec = rpc->timeout_ms % 1000 * 1000,
	};

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	rpc->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (rpc->fd < 0 ||
		setsockopt(rpc->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
		connect(rpc->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return 0;
}

int
vucctl_rpc_open(struct vucctl_rpc *rpc, const char *path, uint32_t timeout_ms)
{
	int ret;

	*rpc = (struct vucctl_rpc){.fd = -1, .timeout_ms = timeout_ms};
	ret = connect_to(rpc, path);
	return ret == 0 ? 0 : rpc_fail(rpc, ret, "cannot connect: %s", strerror(-ret));
}

void
vucctl_rpc_close(struct vucctl_rpc *rpc)
{
	if (rpc->fd >= 0)
		close(rpc->fd);
	rpc->fd = -1;
	free(rpc->line);
	rpc->line = NULL;
}

/* ---- bytes ---- */

/* Wait for events of the socket until deadline, in nanoseconds. Returns 0 or a negative errno. */
static int
wait_for(struct vucctl_rpc *rpc, short events, uint64_t deadline)
{
	struct pollfd pfd = {.fd = rpc->fd, .events = events};
	uint64_t now, left_ms;
	int n;

	do {
		now = vuc_clock_ns();
		left_ms = deadline > now ? (deadline - now + 999999) / 1000000 : 0;
		n = vucctl_interrupt_poll(&pfd, 1, left_ms < INT_MAX ? (int)left_ms : INT_MAX);
	} while (n == -EINTR && !vucctl_interrupted());
	if (n == 0)
		return fail_timeout(rpc);
	return n < 0 ? rpc_fail(rpc, n, "waiting: %s", strerror(-n)) : 0;
}

/* What is left to say of a call on the socket that has failed. Returns 0 when it can be tried
 * again. */
static int
get_over(struct vucctl_rpc *rpc, short events, uint64_t deadline)
{
	if (errno == EAGAIN || errno == EINTR)
		return wait_for(rpc, events, deadline);
	if (errno == EPIPE || errno == ECONNRESET)
		return rpc_fail(rpc, -ECONNRESET, "the daemon has closed the connection");
	return rpc_fail(rpc, -errno, "the connection: %s", strerror(errno));
}

static int
send_all(struct vucctl_rpc *rpc, const char *text, size_t len, uint64_t deadline)
{
	size_t sent = 0;

	while (sent < len) {
		ssize_t n = send(rpc->fd, text + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		int ret = n < 0 ? get_over(rpc, POLLOUT, deadline) : 0;

		if (ret != 0)
			return ret;
		sent += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* Make room behind len bytes. */
static int
line_grow(struct vucctl_rpc *rpc, size_t len)
{
	size_t size = rpc->size == 0 ? FIRST_SIZE : rpc->size * 2;
	char *line;

	if (len < rpc->size)
		return 0;
	if (rpc->size >= VUCCTL_RPC_MAX_LINE)
		return rpc_fail(
			rpc, -EMSGSIZE, "the answer has more than %u bytes", VUCCTL_RPC_MAX_LINE);
	line = realloc(rpc->line, size);
	if (line == NULL)
		return rpc_fail(rpc, -ENOMEM, "%s", strerror(ENOMEM));
	rpc->line = line;
	rpc->size = size;
	return 0;
}

/* Receive some bytes behind len bytes; sets n to how many. */
static int
receive_some(struct vucctl_rpc *rpc, size_t len, uint64_t deadline, size_t *n)
{
	int ret = line_grow(rpc, len);

	*n = 0;
	while (ret == 0 && *n == 0) {
		ssize_t got = recv(rpc->fd, rpc->line + len, rpc->size - len, MSG_DONTWAIT);

		if (got == 0)
			return rpc_fail(rpc, -ECONNRESET, "the daemon has closed the connection%s",
				len > 0 ? " in the middle of an answer" : "");
		if (got > 0)
			*n = (size_t)got;
		else
			ret = get_over(rpc, POLLIN, deadline);
	}
	return ret;
}

/* Receive a line; sets len to its length with the newline. */
static int
receive_line(struct vucctl_rpc *rpc, uint64_t deadline, size_t *len)
{
	const char *end = NULL;
	size_t all = 0, n;

	while (end == NULL) {
		int ret = receive_some(rpc, all, deadline, &n);

		if (ret != 0)
			return ret;
		end = memchr(rpc->line + all, '\n', n);
		all += n;
	}
	*len = (size_t)(end - rpc->line) + 1;
	if (*len < all)
		return rpc_fail(rpc, -EPROTO, "the daemon has sent more than an answer");
	return 0;
}

/* ---- calls ---- */

/* The request, ready to be sent but for the newline. */
static void
build_request(struct vucctl_rpc *rpc, const char *method, struct app_json *params,
	struct app_json *request)
{
	app_json_init(request);
	app_json_text(request, request->root, "jsonrpc", "2.0");
	app_json_text(request, request->root, "method", method);
	if (params != NULL)
		app_json_take(request, request->root, "params", params);
	app_json_number(request, request->root, "id", (uint64_t)++rpc->id);
}

static int
send_request(struct vucctl_rpc *rpc, struct app_json *request, uint64_t deadline)
{
	const char *text = NULL;
	int ret;

	if (!request->failed)
		text = json_object_to_json_string_ext(
			request->root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text == NULL)
		return rpc_fail(rpc, -ENOMEM, "%s", strerror(ENOMEM));
	ret = send_all(rpc, text, strlen(text), deadline);
	return ret == 0 ? send_all(rpc, "\n", 1, deadline) : ret;
}

int
vucctl_rpc_call(struct vucctl_rpc *rpc, const char *method, struct app_json *params,
	struct json_object **result)
{
	uint64_t deadline = vuc_clock_ns() + (uint64_t)rpc->timeout_ms * 1000000;
	struct app_json request;
	size_t len = 0;
	int ret;

	*result = NULL;
	build_request(rpc, method, params, &request);
	ret = send_request(rpc, &request, deadline);
	app_json_finish(&request);
	/* A daemon that has hung up may have said why. */
	if (ret == 0 || ret == -ECONNRESET)
		ret = receive_line(rpc, deadline, &len);
	if (ret == 0)
		ret = vucctl_rpc_answer(rpc->line, len, rpc->id, result, rpc->why);
	return ret;
}
