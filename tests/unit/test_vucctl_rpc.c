/* SPDX-License-Identifier: BSD-3-Clause */

/* Calls of a daemon that says what a script has it say. */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "rpc.h"
#include "tap.h"
#include "tempdir.h"

#define LONG_MS  20000 /* for what does not time out */
#define SHORT_MS 50    /* for what does */

enum step_kind {
	END,    /* hang up */
	READ,   /* a line */
	WRITE,  /* a text */
	FLOOD,  /* without a newline, until the client hangs up */
	NESTED, /* a line of more brackets than JSON may have here */
	NUL,    /* a byte */
	WAIT,   /* until the client hangs up */
};

struct step {
	enum step_kind kind;
	const char *text;
};

/* A daemon with one client. */
struct server {
	char folder[VUC_TEMPDIR_SIZE];
	char path[VUC_TEMPDIR_SIZE + 8];
	int listener;
	const struct step *steps;
	pthread_t thread;
	char request[1024]; /* the last line that came */
};

static struct server server;

static void
start_folder(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(server.folder), 0);
	snprintf(server.path, sizeof(server.path), "%s/s", server.folder);
	memcpy(addr.sun_path, server.path, strlen(server.path) + 1);
	server.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_FATAL(server.listener >= 0);
	CU_ASSERT_EQUAL_FATAL(bind(server.listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(server.listener, 0), 0);
}

static void
stop_folder(void)
{
	close(server.listener);
	vuc_tempdir_remove(server.folder);
}

static void
read_request(int fd)
{
	size_t len = 0;

	while (len < sizeof(server.request) - 1 && recv(fd, &server.request[len], 1, 0) == 1 &&
		server.request[len] != '\n')
		len++;
	server.request[len] = '\0';
}

static bool
write_text(int fd, const char *text, size_t len)
{
	return send(fd, text, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void
flood(int fd)
{
	static const char block[65536] = {[0 ... 65535] = ' '};

	while (write_text(fd, block, sizeof(block)))
		;
}

static void
write_nested(int fd)
{
	int i;

	for (i = 0; i < 100000 && write_text(fd, "[", 1); i++)
		;
	write_text(fd, "\n", 1);
}

static void
take_step(int fd, const struct step *step)
{
	char byte;

	switch (step->kind) {
	case READ:
		read_request(fd);
		break;
	case WRITE:
		write_text(fd, step->text, strlen(step->text));
		break;
	case FLOOD:
		flood(fd);
		break;
	case NESTED:
		write_nested(fd);
		break;
	case NUL:
		write_text(fd, "", 1);
		break;
	default:
		while (recv(fd, &byte, 1, 0) == 1)
			;
		break;
	}
}

static void *
serve(void *arg)
{
	const struct step *step = server.steps;
	int fd = accept4(server.listener, NULL, NULL, SOCK_CLOEXEC);

	(void)arg;
	for (; fd >= 0 && step->kind != END; step++)
		take_step(fd, step);
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void
open_rpc(struct vucctl_rpc *rpc, const struct step *steps, uint32_t timeout_ms)
{
	server.steps = steps;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&server.thread, NULL, serve, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(vucctl_rpc_open(rpc, server.path, timeout_ms), 0);
}

static void
close_rpc(struct vucctl_rpc *rpc)
{
	vucctl_rpc_close(rpc);
	pthread_join(server.thread, NULL);
}

static bool
fails_within(uint32_t timeout_ms, const struct step *steps, int expected, const char *why)
{
	struct json_object *result;
	struct vucctl_rpc rpc;
	int ret;
	bool ok;

	open_rpc(&rpc, steps, timeout_ms);
	ret = vucctl_rpc_call(&rpc, "status", NULL, &result);
	ok = ret == expected && result == NULL && strcmp(rpc.why, why) == 0;
	if (!ok)
		printf("# %d, %s\n", ret, rpc.why);
	json_object_put(result);
	close_rpc(&rpc);
	return ok;
}

/* Whether one call is answered by a text, and fails like this. */
static bool
fails(const char *text, int expected, const char *why)
{
	const struct step steps[] = {
		{READ, NULL}, {WRITE, text}, {WRITE, "\n"}, {WAIT, NULL}, {END, NULL}};

	return fails_within(LONG_MS, steps, expected, why);
}

/* ---- what is as it should be ---- */

static uint64_t
number(struct json_object *obj, const char *key)
{
	return json_object_get_uint64(json_object_object_get(obj, key));
}

static void
test_answer(void)
{
	static const struct step steps[] = {{READ, NULL},
		{WRITE, "{\"jsonrpc\":\"2.0\",\"result\":{\"n\":999999999999999999},\"id\":1}\n"},
		{WAIT, NULL}, {END, NULL}};
	struct json_object *result;
	struct vucctl_rpc rpc;

	open_rpc(&rpc, steps, LONG_MS);
	CU_ASSERT_EQUAL(vucctl_rpc_call(&rpc, "status", NULL, &result), 0);
	CU_ASSERT_EQUAL(number(result, "n"), UINT64_C(999999999999999999));
	json_object_put(result);
	close_rpc(&rpc);
	CU_ASSERT_STRING_EQUAL(
		server.request, "{\"jsonrpc\":\"2.0\",\"method\":\"status\",\"id\":1}");
}

/* Several calls, one with params, and answers that come in pieces. */
static void
test_calls(void)
{
	static const struct step steps[] = {{READ, NULL}, {WRITE, " {\"jsonrpc\":\"2.0\","},
		{WRITE, "\"id\":1,\"resu"}, {WRITE, "lt\":{}}\r\n"}, {READ, NULL},
		{WRITE, "{\"id\":2,\"jsonrpc\":\"2.0\",\"result\":{\"a\":[]},\"more\":0}\n"},
		{END, NULL}};
	struct json_object *result;
	struct app_json params;
	struct vucctl_rpc rpc;

	open_rpc(&rpc, steps, LONG_MS);
	CU_ASSERT_EQUAL(vucctl_rpc_call(&rpc, "one", NULL, &result), 0);
	json_object_put(result);
	app_json_init(&params);
	app_json_text(&params, params.root, "name", "a/\n\"");
	CU_ASSERT_EQUAL(vucctl_rpc_call(&rpc, "two", &params, &result), 0);
	CU_ASSERT_PTR_NULL(params.root);
	CU_ASSERT(json_object_object_get_ex(result, "a", NULL));
	json_object_put(result);
	close_rpc(&rpc);
	CU_ASSERT_STRING_EQUAL(server.request,
		"{\"jsonrpc\":\"2.0\",\"method\":\"two\",\"params\":{\"name\":\"a/\\n\\\"\"},"
		"\"id\":2}");
}

/* A daemon that says no can be asked on. */
static void
test_refusal(void)
{
	static const struct step steps[] = {{READ, NULL},
		{WRITE,
			"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":"
			"\"Failed: there is no device x\",\"data\":{\"errno\":\"ENOENT\"}},\"id\":1}\n"},
		{READ, NULL}, {WRITE, "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":2}\n"},
		{END, NULL}};
	struct json_object *result;
	struct vucctl_rpc rpc;

	open_rpc(&rpc, steps, LONG_MS);
	CU_ASSERT_EQUAL(vucctl_rpc_call(&rpc, "one", NULL, &result), -EREMOTEIO);
	CU_ASSERT_PTR_NULL(result);
	CU_ASSERT_STRING_EQUAL(rpc.why, "there is no device x");
	CU_ASSERT_EQUAL(vucctl_rpc_call(&rpc, "two", NULL, &result), 0);
	json_object_put(result);
	close_rpc(&rpc);
}

#define ERROR(message, id) \
	"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-1,\"message\":" message "},\"id\":" id "}"

/* A daemon that does not serve this user says so and hangs up, before it is asked. */
static void
test_turned_away(void)
{
	static const struct step steps[] = {
		{WRITE, ERROR("\"Failed: not for you\"", "null") "\n"}, {END, NULL}};
	struct json_object *result;
	struct vucctl_rpc rpc;

	open_rpc(&rpc, steps, LONG_MS);
	pthread_join(server.thread, NULL);
	CU_ASSERT_EQUAL(vucctl_rpc_call(&rpc, "one", NULL, &result), -EREMOTEIO);
	CU_ASSERT_PTR_NULL(result);
	CU_ASSERT_STRING_EQUAL(rpc.why, "not for you");
	vucctl_rpc_close(&rpc);
}

/* What errors say is printable, and of one line. */
static void
test_errors(void)
{
	char text[2048], why[VUCCTL_RPC_WHY_SIZE];

	CU_ASSERT(fails(ERROR("\"Invalid params: a = b\"", "1"), -EREMOTEIO, "a = b"));
	CU_ASSERT(fails(ERROR("\"Method not found: a\"", "1"), -EREMOTEIO, "Method not found: a"));
	CU_ASSERT(fails(ERROR("\"Parse error\"", "null"), -EREMOTEIO, "Parse error"));
	CU_ASSERT(fails(
		ERROR("\"\\u001b[2J\\n\\u009b\"", "1"), -EREMOTEIO, "\\x1b[2J\\x0a\\xc2\\x9b"));
	CU_ASSERT(fails(
		ERROR("1", "1"), -EPROTO, "the daemon answers with an error without a message"));
	CU_ASSERT(fails("{\"jsonrpc\":\"2.0\",\"error\":null,\"id\":1}", -EPROTO,
		"the daemon answers with an error without a message"));
	memset(why, 'x', sizeof(why) - 1);
	why[sizeof(why) - 1] = '\0';
	snprintf(text, sizeof(text), ERROR("\"%s%s\"", "1"), why, why);
	CU_ASSERT(fails(text, -EREMOTEIO, why));
}

/* ---- what is not ---- */

static void
test_no_json(void)
{
	static const struct step nested[] = {
		{READ, NULL}, {NESTED, NULL}, {WAIT, NULL}, {END, NULL}};
	static const struct step nul[] = {{READ, NULL},
		{WRITE, "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}"}, {NUL, NULL}, {WRITE, "\n"},
		{WAIT, NULL}, {END, NULL}};

	CU_ASSERT(fails("", -EPROTO, "the answer is not JSON: byte 1: expected a value"));
	CU_ASSERT(fails(
		"{\"jsonrpc\":", -EPROTO, "the answer is not JSON: byte 12: expected a value"));
	CU_ASSERT(fails("hello", -EPROTO, "the answer is not JSON: byte 0: expected a value"));
	CU_ASSERT(fails("{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1} x", -EPROTO,
		"the answer is not JSON: byte 37: something behind the value"));
	CU_ASSERT(fails("{\"jsonrpc\":\"2.0\",\"result\":{\"a\":\"\xff\"},\"id\":1}", -EPROTO,
		"the answer is not JSON: byte 32: not UTF-8"));
	CU_ASSERT(fails_within(
		LONG_MS, nested, -EPROTO, "the answer is not JSON: byte 17: nested too deeply"));
	CU_ASSERT(fails_within(LONG_MS, nul, -EPROTO,
		"the answer is not JSON: byte 36: something behind the value"));
}

static void
test_no_answer(void)
{
	CU_ASSERT(fails("[]", -EPROTO, "the answer is not JSON-RPC 2.0"));
	CU_ASSERT(fails("null", -EPROTO, "the answer is not JSON-RPC 2.0"));
	CU_ASSERT(fails("{\"result\":{},\"id\":1}", -EPROTO, "the answer is not JSON-RPC 2.0"));
	CU_ASSERT(fails("{\"jsonrpc\":2.0,\"result\":{},\"id\":1}", -EPROTO,
		"the answer is not JSON-RPC 2.0"));
	CU_ASSERT(fails("{\"jsonrpc\":\"2.0\",\"id\":1}", -EPROTO,
		"the answer has neither a result nor an error"));
	CU_ASSERT(fails("{\"jsonrpc\":\"2.0\",\"result\":{},\"error\":{},\"id\":1}", -EPROTO,
		"the answer has a result and an error"));
	CU_ASSERT(fails("{\"jsonrpc\":\"2.0\",\"result\":[],\"id\":1}", -EPROTO,
		"the answer's result is not an object"));
}

static void
test_wrong_id(void)
{
	static const char why[] = "the answer is not to the question that was asked";

	CU_ASSERT(fails("{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":2}", -EPROTO, why));
	CU_ASSERT(fails("{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":\"1\"}", -EPROTO, why));
	CU_ASSERT(fails("{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":null}", -EPROTO, why));
	CU_ASSERT(fails("{\"jsonrpc\":\"2.0\",\"result\":{}}", -EPROTO, why));
	CU_ASSERT(fails(ERROR("\"no\"", "0"), -EPROTO, why));
}

static void
test_too_much(void)
{
	static const struct step huge[] = {{READ, NULL}, {FLOOD, NULL}, {END, NULL}};

	CU_ASSERT(fails_within(LONG_MS, huge, -EMSGSIZE, "the answer has more than 4194304 bytes"));
	CU_ASSERT(fails("{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}\n{}", -EPROTO,
		"the daemon has sent more than an answer"));
}

static void
test_hangs_up(void)
{
	static const struct step at_once[] = {{END, NULL}};
	static const struct step asked[] = {{READ, NULL}, {END, NULL}};
	static const struct step half[] = {{READ, NULL}, {WRITE, "{\"jsonrpc\""}, {END, NULL}};
	static const char why[] = "the daemon has closed the connection";

	CU_ASSERT(fails_within(LONG_MS, at_once, -ECONNRESET, why));
	CU_ASSERT(fails_within(LONG_MS, asked, -ECONNRESET, why));
	CU_ASSERT(fails_within(LONG_MS, half, -ECONNRESET,
		"the daemon has closed the connection in the middle of an answer"));
}

static void
test_silence(void)
{
	static const struct step silent[] = {{WAIT, NULL}, {END, NULL}};
	static const struct step half[] = {
		{READ, NULL}, {WRITE, "{\"jsonrpc\""}, {WAIT, NULL}, {END, NULL}};
	static const char why[] = "the daemon has not answered within 50 ms";

	CU_ASSERT(fails_within(SHORT_MS, silent, -ETIMEDOUT, why));
	CU_ASSERT(fails_within(SHORT_MS, half, -ETIMEDOUT, why));
}

/* A daemon that accepts and reads nothing: what is asked does not fit into the socket. */
static void
test_reads_nothing(void)
{
	struct app_json params;
	struct json_object *result;
	struct vucctl_rpc rpc;
	char *text = malloc(1 << 20);

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	memset(text, 'x', (1 << 20) - 1);
	text[(1 << 20) - 1] = '\0';
	CU_ASSERT_EQUAL_FATAL(vucctl_rpc_open(&rpc, server.path, SHORT_MS), 0);
	app_json_init(&params);
	app_json_text(&params, params.root, "name", text);
	free(text);
	CU_ASSERT_EQUAL(vucctl_rpc_call(&rpc, "status", &params, &result), -ETIMEDOUT);
	vucctl_rpc_close(&rpc);
	close(accept4(server.listener, NULL, NULL, SOCK_CLOEXEC));
}

/* ---- connecting ---- */

static bool
cannot_open(const char *path, int expected, const char *why)
{
	struct vucctl_rpc rpc;
	int ret = vucctl_rpc_open(&rpc, path, SHORT_MS);
	bool ok = ret == expected && strcmp(rpc.why, why) == 0;

	if (!ok)
		printf("# %d, %s\n", ret, rpc.why);
	vucctl_rpc_close(&rpc);
	return ok;
}

static void
test_cannot_connect(void)
{
	char path[200];

	CU_ASSERT(cannot_open(
		"/nonexistent/s", -ENOENT, "cannot connect: No such file or directory"));
	CU_ASSERT(cannot_open(server.folder, -ECONNREFUSED, "cannot connect: Connection refused"));
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	CU_ASSERT(cannot_open(path, -ENAMETOOLONG, "cannot connect: File name too long"));
}

/* Nobody accepts, and the queue of those who wait is full. */
static void
test_queue_full(void)
{
	struct vucctl_rpc first;

	CU_ASSERT_EQUAL_FATAL(vucctl_rpc_open(&first, server.path, LONG_MS), 0);
	CU_ASSERT(cannot_open(server.path, -ETIMEDOUT, "cannot connect: Connection timed out"));
	vucctl_rpc_close(&first);
	close(accept4(server.listener, NULL, NULL, SOCK_CLOEXEC));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"an answer", test_answer},
		{"several calls", test_calls},
		{"a refusal", test_refusal},
		{"a client that is turned away", test_turned_away},
		{"what errors say", test_errors},
		{"no JSON", test_no_json},
		{"no answer", test_no_answer},
		{"another id", test_wrong_id},
		{"too much", test_too_much},
		{"the daemon hangs up", test_hangs_up},
		{"silence", test_silence},
		{"a daemon that reads nothing", test_reads_nothing},
		{"no daemon", test_cannot_connect},
		{"a daemon that accepts nobody", test_queue_full},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_rpc", NULL, NULL, start_folder, stop_folder, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
