/* SPDX-License-Identifier: BSD-3-Clause */
#include "management.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "fds.h"
#include "json_text.h"
#include "socket.h"
#include "text.h"

#define FIRST_SIZE 4096u

static int management_fail(struct app_management *m, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Set why. Returns error. */
static int
management_fail(struct app_management *m, int error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(m->why, sizeof(m->why), fmt, args);
	va_end(args);
	return error;
}

static int
fail_timeout(struct app_management *m)
{
	return management_fail(
		m, -ETIMEDOUT, "the daemon has not answered within %u ms", m->timeout_ms);
}

/* ---- connection ---- */

static int
poll_once(struct pollfd *pfd, int timeout_ms)
{
	int n = poll(pfd, 1, timeout_ms);

	if (n >= 0)
		return n;
	return errno == EINTR ? -EAGAIN : -errno;
}

static int
connect_to(struct app_management *m, const char *path)
{
	struct sockaddr_un addr;
	/* It bounds connect(2), too, which waits while too many others do. */
	struct timeval timeout = {
		.tv_sec = m->timeout_ms / 1000,
		.tv_usec = m->timeout_ms % 1000 * 1000,
	};
	int ret = vuc_socket_address(path, &addr, NULL);

	if (ret != 0)
		return ret;
	m->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (m->fd < 0 ||
		setsockopt(m->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
		connect(m->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return 0;
}

void
app_management_find(char path[APP_MANAGEMENT_PATH_SIZE])
{
	const char *named = getenv("VUCD_MANAGEMENT_SOCKET");
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	const size_t size = APP_MANAGEMENT_PATH_SIZE;

	if (named != NULL && named[0] != '\0') {
		snprintf(path, size, "%s", named);
		return;
	}
	if (runtime != NULL && runtime[0] == '/' &&
		(size_t)snprintf(path, size, "%s/vucd/management.sock", runtime) < size &&
		access(path, F_OK) == 0)
		return;
	snprintf(path, size, "/run/vucd/management.sock");
}

int
app_management_open(struct app_management *m, const char *path, uint32_t timeout_ms,
	app_management_poll_fn poll_fn)
{
	int ret;

	*m = (struct app_management){
		.fd = -1,
		.passed_fd = -1,
		.timeout_ms = timeout_ms,
		.poll = poll_fn != NULL ? poll_fn : poll_once,
	};
	ret = connect_to(m, path);
	if (ret == -EPROTOTYPE)
		return management_fail(
			m, ret, "not the management socket of vucd; is it that of VMMs?");
	return ret == 0 ? 0 : management_fail(m, ret, "cannot connect: %s", strerror(-ret));
}

void
app_management_close(struct app_management *m)
{
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
	vuc_fds_close(&m->passed_fd, 1);
	m->passed_fd = -1;
	free(m->line);
	m->line = NULL;
}

/* ---- bytes ---- */

/* Wait for events of the socket until deadline, in nanoseconds. Returns 0 or a negative errno. */
static int
wait_for(struct app_management *m, short events, uint64_t deadline)
{
	struct pollfd pfd = {.fd = m->fd, .events = events};
	uint64_t now, left_ms;
	int n;

	do {
		now = vuc_clock_ns();
		left_ms = deadline > now ? (deadline - now + 999999) / 1000000 : 0;
		n = m->poll(&pfd, left_ms < INT_MAX ? (int)left_ms : INT_MAX);
	} while (n == -EAGAIN);
	if (n == 0)
		return fail_timeout(m);
	return n < 0 ? management_fail(m, n, "waiting: %s", strerror(-n)) : 0;
}

/* What is left to say of a call on the socket that has failed. Returns 0 when it can be tried
 * again. */
static int
get_over(struct app_management *m, short events, uint64_t deadline)
{
	if (errno == EAGAIN || errno == EINTR)
		return wait_for(m, events, deadline);
	if (errno == EPIPE || errno == ECONNRESET)
		return management_fail(m, -ECONNRESET, "the daemon has closed the connection");
	return management_fail(m, -errno, "connection error: %s", strerror(errno));
}

static int
send_all(struct app_management *m, const char *text, size_t len, uint64_t deadline)
{
	size_t sent = 0;

	while (sent < len) {
		ssize_t n = send(m->fd, text + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		int ret = n < 0 ? get_over(m, POLLOUT, deadline) : 0;

		if (ret != 0)
			return ret;
		sent += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* Make room behind len bytes. */
static int
line_grow(struct app_management *m, size_t len)
{
	size_t size = m->size == 0 ? FIRST_SIZE : m->size * 2;
	char *line;

	if (len < m->size)
		return 0;
	if (m->size >= APP_MANAGEMENT_MAX_LINE)
		return management_fail(m, -EMSGSIZE, "the response has more than %u bytes",
			APP_MANAGEMENT_MAX_LINE);
	line = realloc(m->line, size);
	if (line == NULL)
		return management_fail(m, -ENOMEM, "%s", strerror(ENOMEM));
	m->line = line;
	m->size = size;
	return 0;
}

/* As recv(2); a descriptor that comes is kept. */
static ssize_t
receive_once(struct app_management *m, char *to, size_t size)
{
	const struct iovec part = {.iov_base = to, .iov_len = size};
	int fd = -1, nr_fds;
	ssize_t n = vuc_fds_receive(m->fd, &part, 1, &fd, 1, &nr_fds, MSG_DONTWAIT, NULL);

	if (nr_fds == 1) {
		vuc_fds_close(&m->passed_fd, 1);
		m->passed_fd = fd;
	}
	if (n >= 0)
		return n;
	errno = (int)-n;
	return -1;
}

int
app_management_take_fd(struct app_management *m)
{
	int fd = m->passed_fd;

	m->passed_fd = -1;
	return fd;
}

/* Receive some bytes behind len bytes; sets n to how many. */
static int
receive_some(struct app_management *m, size_t len, uint64_t deadline, size_t *n)
{
	int ret = line_grow(m, len);

	*n = 0;
	while (ret == 0 && *n == 0) {
		ssize_t got = receive_once(m, m->line + len, m->size - len);

		if (got == 0)
			return management_fail(m, -ECONNRESET,
				"the daemon has closed the connection%s",
				len > 0 ? " in the middle of a response" : "");
		if (got > 0)
			*n = (size_t)got;
		else
			ret = get_over(m, POLLIN, deadline);
	}
	return ret;
}

/* Receive a line; sets len to its length with the newline. */
static int
receive_line(struct app_management *m, uint64_t deadline, size_t *len)
{
	const char *end = NULL;
	size_t all = 0, n;

	while (end == NULL) {
		int ret = receive_some(m, all, deadline, &n);

		if (ret != 0)
			return ret;
		end = memchr(m->line + all, '\n', n);
		all += n;
	}
	*len = (size_t)(end - m->line) + 1;
	if (*len < all)
		return management_fail(m, -EPROTO, "the daemon sent data after its response");
	return 0;
}

/* ---- answers ---- */

static int
answer_refuse(char *why, const char *what, const char *detail)
{
	snprintf(why, APP_MANAGEMENT_WHY_SIZE, "%s%s", what, detail);
	return -EPROTO;
}

static int
answer_parse(const char *line, size_t len, struct json_object **root, char *why)
{
	struct vuc_error err = {0};
	int ret = app_json_parse(line, len, root, &err);

	if (ret == -EINVAL)
		return answer_refuse(why, "the response is not JSON: ", err.text);
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
		return answer_refuse(why, "the response is an error without a message", "");
	vuc_text_escape(why, APP_MANAGEMENT_WHY_SIZE, skip_kind(message));
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
		return answer_refuse(why, "the response is not JSON-RPC 2.0", "");
	failed = json_object_object_get_ex(root, "error", &error);
	worked = json_object_object_get_ex(root, "result", &value);
	if (failed == worked)
		return answer_refuse(why, "the response has ",
			failed ? "a result and an error" : "neither a result nor an error");
	if (!is_id(root, id, failed))
		return answer_refuse(why, "the response has the id of another request", "");
	if (failed)
		return take_error(error, why);
	if (!json_object_is_type(value, json_type_object))
		return answer_refuse(why, "the result of the response is not an object", "");
	*result = json_object_get(value);
	return 0;
}

/* Take the line that answers call number id apart; its newline counts. Sets result to an object.
 * Returns 0; -EREMOTEIO for an error, with why set to what it says; -EPROTO, with why set to what
 * is wrong with the line; -ENOMEM. */
static int
answer_take(const char *line, size_t len, int64_t id, struct json_object **result,
	char why[APP_MANAGEMENT_WHY_SIZE])
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
build_request(struct app_management *m, const char *method, struct app_json *params,
	struct app_json *request)
{
	app_json_init(request);
	app_json_text(request, request->root, "jsonrpc", "2.0");
	app_json_text(request, request->root, "method", method);
	if (params != NULL)
		app_json_take(request, request->root, "params", params);
	app_json_number(request, request->root, "id", (uint64_t)++m->id);
}

static int
send_request(struct app_management *m, struct app_json *request, uint64_t deadline)
{
	const char *text = NULL;
	int ret;

	if (!request->failed)
		text = json_object_to_json_string_ext(
			request->root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text == NULL)
		return management_fail(m, -ENOMEM, "%s", strerror(ENOMEM));
	ret = send_all(m, text, strlen(text), deadline);
	return ret == 0 ? send_all(m, "\n", 1, deadline) : ret;
}

int
app_management_call(struct app_management *m, const char *method, struct app_json *params,
	struct json_object **result)
{
	uint64_t deadline =
		m->end_ns != 0 ? m->end_ns : vuc_clock_ns() + (uint64_t)m->timeout_ms * 1000000;
	struct app_json request;
	size_t len = 0;
	int ret;

	*result = NULL;
	build_request(m, method, params, &request);
	ret = send_request(m, &request, deadline);
	app_json_finish(&request);
	/* A daemon that has hung up may have said why. */
	if (ret == 0 || ret == -ECONNRESET)
		ret = receive_line(m, deadline, &len);
	if (ret == 0)
		ret = answer_take(m->line, len, m->id, result, m->why);
	return ret;
}

/* ---- reading results ---- */

static void
reply_lack(struct app_reply *reply, const char *key)
{
	if (reply->lacks == NULL)
		reply->lacks = key;
}

/* Returns the member, NULL for null, and for one that is not there or of another type. */
static struct json_object *
reply_get(struct app_reply *reply, struct json_object *obj, const char *key, enum json_type type,
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
app_reply_text(struct app_reply *reply, struct json_object *obj, const char *key)
{
	struct json_object *value = reply_get(reply, obj, key, json_type_string, false);

	return value != NULL ? json_object_get_string(value) : "";
}

const char *
app_reply_text_or_null(struct app_reply *reply, struct json_object *obj, const char *key)
{
	struct json_object *value = reply_get(reply, obj, key, json_type_string, true);

	return value != NULL ? json_object_get_string(value) : NULL;
}

uint64_t
app_reply_number(struct app_reply *reply, struct json_object *obj, const char *key)
{
	struct json_object *value = reply_get(reply, obj, key, json_type_int, false);

	if (value == NULL)
		return 0;
	if (json_object_get_int64(value) < 0)
		reply_lack(reply, key);
	return json_object_get_uint64(value);
}

struct json_object *
app_reply_object(struct app_reply *reply, struct json_object *obj, const char *key)
{
	return reply_get(reply, obj, key, json_type_object, false);
}

struct json_object *
app_reply_object_or_null(struct app_reply *reply, struct json_object *obj, const char *key)
{
	return reply_get(reply, obj, key, json_type_object, true);
}

struct json_object *
app_reply_array(struct app_reply *reply, struct json_object *obj, const char *key, size_t *n)
{
	struct json_object *value = reply_get(reply, obj, key, json_type_array, false);

	*n = value != NULL ? json_object_array_length(value) : 0;
	return value;
}
