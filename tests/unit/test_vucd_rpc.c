/* SPDX-License-Identifier: BSD-3-Clause */

/* JSON-RPC as the management socket speaks it, and its methods, on a service that is made up. */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc.h"
#include "tap.h"
#include "fake_service.h"

#define CALL(method, params) \
	"{\"jsonrpc\":\"2.0\",\"method\":\"" method "\",\"params\":" params ",\"id\":1}"
#define ANSWER(result)         "{\"jsonrpc\":\"2.0\",\"result\":" result ",\"id\":1}"
#define ERROR_1(code, text)    ERROR_OF(code, text, "1")
#define ERROR_NULL(code, text) ERROR_OF(code, text, "null")
#define ERROR_OF(code, text, id) \
	"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":" code ",\"message\":\"" text "\"},\"id\":" id "}"
#define FAILED(text, name)                                                            \
	"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"Failed: " text \
	"\",\"data\":{\"errno\":\"" name "\"}},\"id\":1}"

/* The answers that came. */
static struct {
	unsigned int n;
	char last[8192]; /* "" for none */
} answers;

static struct fake_service fake;

static void
take_answer(void *arg, const char *text, size_t len)
{
	CU_ASSERT_PTR_EQUAL(arg, &fake);
	CU_ASSERT_FATAL(text == NULL || len < sizeof(answers.last));
	answers.n++;
	snprintf(answers.last, sizeof(answers.last), "%.*s", text != NULL ? (int)len : 0,
		text != NULL ? text : "");
}

static struct vucd_rpc_request *
send_line(const char *line)
{
	answers.n = 0;
	return vucd_rpc_line(&fake.rpc, "user 5, pid 6", line, strlen(line), take_answer, &fake);
}

/* A line is answered at once. */
static bool
gives(const char *line, const char *answer)
{
	if (send_line(line) == NULL && answers.n == 1 && strcmp(answers.last, answer) == 0)
		return true;
	printf("# %s: %u answers: %s\n", line, answers.n, answers.last);
	return false;
}

static int
setup(void)
{
	fake_service_init(&fake);
	return 0;
}

/* ---- the protocol ---- */

static void
test_no_request(void)
{
	CU_ASSERT(gives("", ERROR_NULL("-32700", "Parse error: byte 0: expected a value")));
	CU_ASSERT(
		gives("{\"jsonrpc\"", ERROR_NULL("-32700", "Parse error: byte 10: expected ':'")));
	CU_ASSERT(gives("1", ERROR_NULL("-32600", "Invalid request: expected an object")));
	CU_ASSERT(gives("null", ERROR_NULL("-32600", "Invalid request: expected an object")));
	CU_ASSERT(gives("{}",
		ERROR_NULL("-32600",
			"Invalid request: expected "
			"\\\"jsonrpc\\\":\\\"2.0\\\"")));
	CU_ASSERT(gives("{\"jsonrpc\":\"1.0\",\"method\":\"status\",\"id\":1}",
		ERROR_1("-32600", "Invalid request: expected \\\"jsonrpc\\\":\\\"2.0\\\"")));
	CU_ASSERT(gives("{\"jsonrpc\":\"2.0\",\"method\":7,\"id\":1}",
		ERROR_1("-32600", "Invalid request: expected a method that is a string")));
	CU_ASSERT(gives("{\"jsonrpc\":\"2.0\",\"id\":1}",
		ERROR_1("-32600", "Invalid request: expected a method that is a string")));
	CU_ASSERT(gives(CALL("status", "null"),
		ERROR_1("-32600",
			"Invalid request: expected params that are an object or an "
			"array")));
}

static void
test_ids(void)
{
	static const char *const good[] = {"null", "0", "-999999999999999999", "\"\"",
		"\"a\\n\\\"\xc3\xa9\"", "999999999999999999"};
	static const char *const bad[] = {"1.5", "true", "[1]", "{}", "1e2",
		"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""};
	char line[256], wanted[256];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"id\":%s}",
			good[i]);
		snprintf(wanted, sizeof(wanted),
			"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32601,\"message\":\"Method not "
			"found: x\"},\"id\":%s}",
			good[i]);
		CU_ASSERT(gives(line, wanted));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"id\":%s}",
			bad[i]);
		CU_ASSERT(gives(line,
			ERROR_NULL("-32600",
				"Invalid request: expected an id that is an integer, null or a string of "
				"at most 64 bytes")));
	}
	CU_ASSERT(gives("{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"id\":12345678901234567890}",
		ERROR_NULL("-32700", "Parse error: byte 55: a number too long")));
}

static void
test_methods(void)
{
	CU_ASSERT(gives(CALL("rpc.x", "{}"), ERROR_1("-32601", "Method not found: rpc.x")));
	CU_ASSERT(gives(CALL("", "{}"), ERROR_1("-32601", "Method not found: ")));
	CU_ASSERT(gives(CALL("Status", "{}"), ERROR_1("-32601", "Method not found: Status")));
}

static void
test_params(void)
{
	CU_ASSERT(gives(CALL("status", "{\"a\":1}"),
		ERROR_1("-32602", "Invalid params: status has no parameter a")));
	CU_ASSERT(gives(CALL("status", "[1]"),
		ERROR_1("-32602", "Invalid params: status takes at most 0")));
	CU_ASSERT(gives(CALL("log.set_level", "{}"),
		ERROR_1("-32602",
			"Invalid params: log.set_level: level is missing: expected a "
			"string")));
	CU_ASSERT(gives(CALL("log.set_level", "[null]"),
		ERROR_1("-32602",
			"Invalid params: log.set_level: level is missing: expected a "
			"string")));
	CU_ASSERT(gives(CALL("log.set_level", "[1]"),
		ERROR_1("-32602", "Invalid params: log.set_level: level: expected a string")));
	CU_ASSERT(gives(CALL("devices.remove", "{\"name\":\"a\",\"force\":1}"),
		ERROR_1("-32602",
			"Invalid params: devices.remove: force: expected true or "
			"false")));
	CU_ASSERT(gives(CALL("devices.add", "{\"name\":\"a\",\"socket\":\"/s\",\"timeout_ms\":-1}"),
		ERROR_1("-32602",
			"Invalid params: devices.add: timeout_ms: expected an integer, "
			"0 or more")));
	CU_ASSERT(gives(CALL("devices.add", "{\"name\":\"a\",\"socket\":\"/s\",\"users\":[1]}"),
		ERROR_1("-32602",
			"Invalid params: devices.add: users: expected an array of "
			"strings")));
	CU_ASSERT_EQUAL(fake.changes, 0);
}

/* Requests without an id are carried out and not answered, whatever comes of them. */
static void
test_notifications(void)
{
	fake.changes = 0;
	CU_ASSERT(gives(
		"{\"jsonrpc\":\"2.0\",\"method\":\"devices.remove\",\"params\":[\"a\"]}", ""));
	CU_ASSERT_EQUAL(fake.changes, 1);
	CU_ASSERT(gives("{\"jsonrpc\":\"2.0\",\"method\":\"nothing\"}", ""));
	CU_ASSERT(gives("[{\"jsonrpc\":\"2.0\",\"method\":\"status\"},"
			"{\"jsonrpc\":\"2.0\",\"method\":\"status\"}]",
		""));
}

static void
test_batches(void)
{
	char *line;
	size_t len = 0;
	int i;

	CU_ASSERT(gives("[]", ERROR_NULL("-32600", "Invalid request: a batch without requests")));
	CU_ASSERT(gives("[1,2]",
		"[" ERROR_NULL("-32600", "Invalid request: expected an object") "," ERROR_NULL(
			"-32600", "Invalid request: expected an object") "]"));
	CU_ASSERT(
		gives("[" CALL("vmms.detach", "[\"a\"]") ",{\"jsonrpc\":\"2.0\",\"method\":\"x\"},"
							 "" CALL("x", "[]") "]",
			"[" ANSWER("{}") "," ERROR_1("-32601", "Method not found: x") "]"));
	CU_ASSERT(gives("[" CALL("x", "[]") "]", "[" ERROR_1("-32601", "Method not found: x") "]"));
	line = malloc(256);
	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	for (i = 0; i <= VUCD_RPC_MAX_BATCH; i++)
		len += (size_t)snprintf(line + len, 256 - len, "%s1", i == 0 ? "[" : ",");
	snprintf(line + len, 256 - len, "]");
	CU_ASSERT(gives(
		line, ERROR_NULL("-32600", "Invalid request: a batch of more than 64 requests")));
	free(line);
}

/* Methods that take their time: a batch is carried out one after the other. */
static void
test_later(void)
{
	struct vucd_rpc_request *request;

	setup();
	fake.later = true;
	request = send_line("[" CALL("devices.remove", "[\"a\"]") "," CALL("x", "[]") "," CALL(
		"vmms.detach", "[\"b\"]") "]");
	CU_ASSERT_PTR_NOT_NULL(request);
	CU_ASSERT_EQUAL_FATAL(fake.waiting, 1);
	CU_ASSERT_EQUAL(answers.n, 0);
	CU_ASSERT_STRING_EQUAL(fake.name, "a");
	/* Others are served meanwhile. */
	CU_ASSERT(gives(CALL("x", "[]"), ERROR_1("-32601", "Method not found: x")));
	answers.n = 0;
	fake_service_finish(&fake);
	CU_ASSERT_EQUAL_FATAL(fake.waiting, 1);
	CU_ASSERT_EQUAL(answers.n, 0);
	CU_ASSERT_STRING_EQUAL(fake.name, "b");
	fake.rc = -EBUSY;
	fake.why = "b is in use";
	fake_service_finish(&fake);
	CU_ASSERT_EQUAL(answers.n, 1);
	CU_ASSERT_STRING_EQUAL(answers.last,
		"[" ANSWER("{}") "," ERROR_1("-32601", "Method not found: x") "," FAILED(
			"b is in use", "EBUSY") "]");
	setup();
}

/* What nobody waits for any more ends where it is. */
static void
test_abandoned(void)
{
	struct vucd_rpc_request *request;

	setup();
	fake.later = true;
	request = send_line(
		"[" CALL("devices.remove", "[\"a\"]") "," CALL("devices.remove", "[\"b\"]") "]");
	CU_ASSERT_PTR_NOT_NULL_FATAL(request);
	vucd_rpc_abandon(request);
	fake_service_finish(&fake);
	CU_ASSERT_EQUAL(answers.n, 0);
	CU_ASSERT_EQUAL(fake.changes, 1);
	setup();
}

/* ---- the methods ---- */

static void
test_status(void)
{
	CU_ASSERT(gives(CALL("status", "{}"),
		ANSWER("{\"version\":\"1.2.3\",\"pid\":42,\"uptime_ms\":1000,"
		       "\"state\":\"running\",\"directory\":\"/run/vucd\","
		       "\"vmm_socket\":\"/run/vucd/vmm.sock\",\"log_level\":\"notice\","
		       "\"connections\":2,\"pollers\":1,\"devices\":{\"away\":1,\"free\":0,"
		       "\"attached\":1,\"cleaning\":0,\"not-answering\":0,"
		       "\"stale\":0}}")));
}

static void
test_lists(void)
{
	CU_ASSERT(gives(CALL("devices.list", "[]"),
		ANSWER("{\"devices\":[{\"name\":\"disk0\",\"socket\":\"/run/disk0.sock\","
		       "\"poller\":\"io0\",\"state\":\"attached\",\"since_ms\":60000,"
		       "\"reason\":null,"
		       "\"generation\":3,\"vmm\":{\"pid\":4711,\"uid\":1000,"
		       "\"name\":\"qemu\",\"queues\":2,\"dma_maps\":5,"
		       "\"attached_ms\":60000}},{\"name\":\"net0\","
		       "\"socket\":\"/run/net0.sock\","
		       "\"poller\":\"io0\",\"state\":\"away\",\"since_ms\":0,"
		       "\"reason\":\"Connection \\\"refused\\\" \xef\xbf\xbd\","
		       "\"generation\":0,\"vmm\":null}]}")));
	CU_ASSERT(gives(CALL("vmms.list", "{}"),
		ANSWER("{\"vmms\":[{\"device\":\"disk0\",\"pid\":4711,\"uid\":1000,"
		       "\"name\":\"qemu\",\"queues\":2,\"dma_maps\":5,"
		       "\"attached_ms\":60000}]}")));
}

static void
test_add(void)
{
	const struct vucd_device_config *d = &fake.added;

	setup();
	CU_ASSERT(gives(CALL("devices.add",
				"{\"name\":\"a\",\"socket\":\"/a b\",\"poller\":\"io0\","
				"\"dma\":\"message\",\"posted_writes\":\"off\",\"io_fds\":false,"
				"\"max_dma_maps\":6,\"timeout_ms\":7,"
				"\"long_timeout_ms\":8,\"retry_min_ms\":9,\"retry_max_ms\":10,"
				"\"users\":[\"root\",\"5\"],\"groups\":[],\"reset\":\"trust\"}"),
		ANSWER("{}")));
	CU_ASSERT_EQUAL(fake.changes, 1);
	CU_ASSERT_STRING_EQUAL(d->name, "a");
	CU_ASSERT_STRING_EQUAL(d->socket, "/a b");
	CU_ASSERT_STRING_EQUAL(d->poller, "io0");
	CU_ASSERT_EQUAL(d->dma, VUC_DMA_MESSAGE);
	CU_ASSERT_EQUAL(d->posted_writes, VUC_POSTED_WRITES_OFF);
	CU_ASSERT_EQUAL(d->reset, VUC_CONTROL_RESET_TRUST);
	CU_ASSERT_FALSE(d->io_fds);
	CU_ASSERT_EQUAL(d->max_dma_maps, 6);
	CU_ASSERT_EQUAL(d->timeout_ms, 7);
	CU_ASSERT_EQUAL(d->long_timeout_ms, 8);
	CU_ASSERT_EQUAL(d->retry_min_ms, 9);
	CU_ASSERT_EQUAL(d->retry_max_ms, 10);
	CU_ASSERT_EQUAL_FATAL(d->users.nr, 2);
	CU_ASSERT_EQUAL(d->users.ids[0], 0);
	CU_ASSERT_EQUAL(d->users.ids[1], 5);
	CU_ASSERT_EQUAL(d->groups.nr, 0);
	CU_ASSERT(gives(CALL("devices.add", "[\"b\",\"/s\"]"), ANSWER("{}")));
	CU_ASSERT_STRING_EQUAL(d->name, "b");
	CU_ASSERT_EQUAL(d->timeout_ms, VUC_DEFAULT_TIMEOUT_MS);
	CU_ASSERT_EQUAL(d->posted_writes, VUC_POSTED_WRITES_AUTO);
	CU_ASSERT_EQUAL(d->reset, VUC_CONTROL_RESET_ON);
	CU_ASSERT_TRUE(d->io_fds);
	CU_ASSERT_EQUAL(d->max_dma_maps, VUC_DEFAULT_MAX_DMA_MAPS);
}

static void
test_add_wrong(void)
{
	setup();
	CU_ASSERT(gives(CALL("devices.add", "[\"a/b\",\"/s\"]"),
		ERROR_1("-32602",
			"Invalid params: name = a/b: expected at most 63 letters, "
			"digits and \\\"._-\\\"")));
	CU_ASSERT(gives(CALL("devices.add", "[\"a\",\"s\"]"),
		ERROR_1("-32602",
			"Invalid params: socket = s: expected an absolute path of at "
			"most 107 bytes")));
	CU_ASSERT(gives(CALL("devices.add", "[\"a\",\"/s\",\"auto\",\"no\"]"),
		ERROR_1("-32602", "Invalid params: dma = no: expected shared or message")));
	CU_ASSERT(
		gives(CALL("devices.add", "{\"name\":\"a\",\"socket\":\"/s\",\"users\":[\"0,1\"]}"),
			ERROR_1("-32602",
				"Invalid params: users: expected at most 255 bytes, and no "
				"comma in a word")));
	CU_ASSERT(gives(
		CALL("devices.add", "{\"name\":\"a\",\"socket\":\"/s\",\"retry_min_ms\":60000}"),
		ERROR_1("-32602",
			"Invalid params: retry-min-ms = 60000 is more than retry-max-ms = 5000")));
	CU_ASSERT_EQUAL(fake.changes, 0);
}

static void
test_reload(void)
{
	setup();
	CU_ASSERT(gives(CALL("reload", "{}"),
		ANSWER("{\"added\":[\"a\"],\"removed\":[],\"changed\":[\"b\"],"
		       "\"restart\":[{\"what\":\"[vucd] group\",\"reason\":null}],"
		       "\"failed\":[{\"what\":\"c\",\"reason\":\"it has a VMM\"}]}")));
	fake.rc = -EINVAL;
	fake.why = "/etc/vucd.conf:1: expected [SECTION]";
	CU_ASSERT(gives(
		CALL("reload", "{}"), FAILED("/etc/vucd.conf:1: expected [SECTION]", "EINVAL")));
	setup();
}

static void
test_remove(void)
{
	setup();
	CU_ASSERT(gives(CALL("devices.remove", "{\"name\":\"a\",\"force\":true}"), ANSWER("{}")));
	CU_ASSERT_TRUE(fake.force);
	CU_ASSERT(gives(CALL("devices.remove", "{\"name\":\"a\"}"), ANSWER("{}")));
	CU_ASSERT_FALSE(fake.force);
	fake.rc = -ENOENT;
	fake.why = "there is no device \xff";
	CU_ASSERT(gives(CALL("devices.remove", "{\"name\":\"b\"}"),
		FAILED("there is no device \xef\xbf\xbd", "ENOENT")));
	CU_ASSERT(gives(CALL("vmms.detach", "{\"device\":\"c\"}"),
		FAILED("there is no device \xef\xbf\xbd", "ENOENT")));
	CU_ASSERT_STRING_EQUAL(fake.name, "c");
	setup();
}

/* A part of the answer to a line. */
static bool
contains(const char *line, const char *part)
{
	CU_ASSERT_PTR_NULL(send_line(line));
	if (strstr(answers.last, part) != NULL)
		return true;
	printf("# %s\n", answers.last);
	return false;
}

static void
test_stats(void)
{
	CU_ASSERT(contains(CALL("stats.get", "{}"), "\"reads\":18446744073709551615,"));
	CU_ASSERT(contains(CALL("stats.get", "{}"), "{\"name\":\"net0\",\"state\":\"away\","));
	CU_ASSERT(contains(CALL("stats.get", "{}"),
		"\"pollers\":[{\"name\":\"io0\",\"cpu\":3,\"idle\":\"yield\","
		"\"transport\":\"uring\",\"placement\":\"as was asked for\",\"devices\":2,"));
	CU_ASSERT(contains(CALL("stats.get", "{}"), "\"burst_sizes\":[1,2,3,0,0,0]}]},\"id\":1}"));
	CU_ASSERT(contains(CALL("stats.get", "{\"device\":\"net0\"}"),
		"\"devices\":[{\"name\":\"net0\",\"state\":\"away\",\"generation\":0,"
		"\"queues\":0,\"dma_maps\":0,\"reads\":0,\"writes\":0,\"posted\":0,\"errors\":0,"
		"\"timeouts\":0,\"attaches\":0}],\"pollers\":[]},\"id\":1}"));
	CU_ASSERT(contains(CALL("stats.get", "{\"poller\":\"io0\"}"),
		"\"devices\":[],\"pollers\":[{\"name\":\"io0\""));
	CU_ASSERT(gives(CALL("stats.get", "[\"x\"]"), FAILED("there is no device x", "ENOENT")));
	CU_ASSERT(gives(
		CALL("stats.get", "{\"poller\":\"x\"}"), FAILED("there is no poller x", "ENOENT")));
}

static void
test_log(void)
{
	setup();
	CU_ASSERT(gives(CALL("log.set_level", "[\"debug\"]"),
		ANSWER("{\"level\":\"debug\",\"before\":\"notice\"}")));
	CU_ASSERT_STRING_EQUAL(fake.who, "user 5, pid 6");
	CU_ASSERT_EQUAL(fake.log_level, VUC_LOG_DEBUG);
	CU_ASSERT(gives(CALL("log.set_level", "[\"info\"]"),
		ERROR_1("-32602",
			"Invalid params: level = info: expected error, warning, notice "
			"or debug")));
	CU_ASSERT_EQUAL(fake.log_level, VUC_LOG_DEBUG);
	setup();
}

int
main(void)
{
	static CU_TestInfo protocol[] = {
		{"what is no request", test_no_request},
		{"ids", test_ids},
		{"methods", test_methods},
		{"params", test_params},
		{"notifications", test_notifications},
		{"batches", test_batches},
		{"methods that take their time", test_later},
		{"abandoned requests", test_abandoned},
		CU_TEST_INFO_NULL,
	};
	static CU_TestInfo methods[] = {
		{"status", test_status},
		{"devices.list and vmms.list", test_lists},
		{"devices.add", test_add},
		{"devices.add with wrong params", test_add_wrong},
		{"devices.remove and vmms.detach", test_remove},
		{"stats.get", test_stats},
		{"reload", test_reload},
		{"log.set_level", test_log},
		CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
		{"vucd_rpc", setup, NULL, NULL, NULL, protocol},
		{"vucd_methods", setup, NULL, NULL, NULL, methods},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
