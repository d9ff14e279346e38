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
#include "json_text.h"
#include "print.h"
#include "socket.h"

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
	struct sockaddr_un addr;
	/* It bounds connect(2), too, which waits while too many others do. */
	struct timeval timeout = {
		.tv_sec = rpc->timeout_ms / 1000,
		.tv_usec = rpc->timeout_ms % 1000 * 1000,
	};
	int ret = vuc_socket_address(path, &addr, NULL);

	if (ret != 0)
		return ret;
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
	if (ret == -EPROTOTYPE)
		return rpc_fail(rpc, ret, "not the management socket of vucd; is it that of VMMs?");
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
	return rpc_fail(rpc, -errno, "connection error: %s", strerror(errno));
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
		return rpc_fail(rpc, -EPROTO, "the daemon sent data after its response");
	return 0;
}

/* ---- answers ---- */

static int
answer_refuse(char *why, const char *what, const char *detail)
{
	snprintf(why, VUCCTL_RPC_WHY_SIZE, "%s%s", what, detail);
	return -EPROTO;
}

static int
answer_parse(const char *line, size_t len, struct json_object **root, char *why)
{
	struct vuc_error err = {0};
	int ret = app_json_parse(line, len, root, &err);

	if (ret == -EINVAL)
		return answer_refuse(why, "the answer is not JSON: ", err.text);
	if (ret != 0)
		answer_refuse(why, strerror(-ret), "");
	return ret;
}

static bool
has_text(struct json_object *obj, const char *key, const char **text)
{
	struct json_object *value;

	if (!json_object_object_get_ex(obj, key, &value) ||
		!json_object_is_type(value, json_type_string))
		return false;
	*text = json_object_get_string(value);
	return true;
}

/* What a message begins with, for programs that know no more of an error than its code. */
static const char *
skip_kind(const char *message)
{
	static const char *const kinds[] = {"Failed: ", "Invalid params: "};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strncmp(message, kinds[i], strlen(kinds[i])) == 0)
			return message + strlen(kinds[i]);
	}
	return message;
}

static int
take_error(struct json_object *error, char *why)
{
	const char *message = NULL;

	if (!json_object_is_type(error, json_type_object) || !has_text(error, "message", &message))
		return answer_refuse(why, "the daemon answers with an error without a message", "");
	vucctl_foreign_copy(why, VUCCTL_RPC_WHY_SIZE, skip_kind(message));
	return -EREMOTEIO;
}

/* An error about a request that could not be read has no id. */
static bool
is_id(struct json_object *root, int64_t id, bool error)
{
	struct json_object *value;

	if (!json_object_object_get_ex(root, "id", &value))
		return false;
	if (value == NULL)
		return error;
	return json_object_is_type(value, json_type_int) && json_object_get_int64(value) == id;
}

static int
take_apart(struct json_object *root, int64_t id, struct json_object **result, char *why)
{
	struct json_object *error = NULL, *value = NULL;
	const char *version = NULL;
	bool failed, worked;

	if (!json_object_is_type(root, json_type_object) || !has_text(root, "jsonrpc", &version) ||
		strcmp(version, "2.0") != 0)
		return answer_refuse(why, "the answer is not JSON-RPC 2.0", "");
	failed = json_object_object_get_ex(root, "error", &error);
	worked = json_object_object_get_ex(root, "result", &value);
	if (failed == worked)
		return answer_refuse(why, "the answer has ",
			failed ? "a result and an error" : "neither a result nor an error");
	if (!is_id(root, id, failed))
		return answer_refuse(why, "the answer is not to the question that was asked", "");
	if (failed)
		return take_error(error, why);
	if (!json_object_is_type(value, json_type_object))
		return answer_refuse(why, "the answer's result is not an object", "");
	*result = json_object_get(value);
	return 0;
}

/* Take the line that answers call number id apart; its newline counts. Sets result to an object.
 * Returns 0; -EREMOTEIO for an error, with why set to what it says; -EPROTO, with why set to what
 * is wrong with the line; -ENOMEM. */
static int
answer_take(const char *line, size_t len, int64_t id, struct json_object **result,
	char why[VUCCTL_RPC_WHY_SIZE])
{
	struct json_object *root;
	int ret = answer_parse(line, len, &root, why);

	*result = NULL;
	if (ret == 0)
		ret = take_apart(root, id, result, why);
	json_object_put(root);
	return ret;
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
		ret = answer_take(rpc->line, len, rpc->id, result, rpc->why);
	return ret;
}

/* ---- reading results ---- */

static void
reply_lack(struct vucctl_reply *reply, const char *key)
{
	if (reply->lacks == NULL)
		reply->lacks = key;
}

/* Returns the member, NULL for null, and for one that is not there or of another type. */
static struct json_object *
reply_get(struct vucctl_reply *reply, struct json_object *obj, const char *key, enum json_type type,
	bool null)
{
	struct json_object *value = NULL;
	bool there = json_object_is_type(obj, json_type_object) &&
		json_object_object_get_ex(obj, key, &value);

	if (there && json_object_is_type(value, type))
		return value;
	if (!there || value != NULL || !null)
		reply_lack(reply, key);
	return NULL;
}

const char *
vucctl_reply_text(struct vucctl_reply *reply, struct json_object *obj, const char *key)
{
	struct json_object *value = reply_get(reply, obj, key, json_type_string, false);

	return value != NULL ? json_object_get_string(value) : "";
}

const char *
vucctl_reply_text_or_null(struct vucctl_reply *reply, struct json_object *obj, const char *key)
{
	struct json_object *value = reply_get(reply, obj, key, json_type_string, true);

	return value != NULL ? json_object_get_string(value) : NULL;
}

uint64_t
vucctl_reply_number(struct vucctl_reply *reply, struct json_object *obj, const char *key)
{
	struct json_object *value = reply_get(reply, obj, key, json_type_int, false);

	if (value == NULL)
		return 0;
	if (json_object_get_int64(value) < 0)
		reply_lack(reply, key);
	return json_object_get_uint64(value);
}

struct json_object *
vucctl_reply_object(struct vucctl_reply *reply, struct json_object *obj, const char *key)
{
	return reply_get(reply, obj, key, json_type_object, false);
}

struct json_object *
vucctl_reply_object_or_null(struct vucctl_reply *reply, struct json_object *obj, const char *key)
{
	return reply_get(reply, obj, key, json_type_object, true);
}

struct json_object *
vucctl_reply_array(struct vucctl_reply *reply, struct json_object *obj, const char *key, size_t *n)
{
	struct json_object *value = reply_get(reply, obj, key, json_type_array, false);

	*n = value != NULL ? json_object_array_length(value) : 0;
	return value;
}
