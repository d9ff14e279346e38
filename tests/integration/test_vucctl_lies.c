/* SPDX-License-Identifier: BSD-3-Clause */

/* vucctl's commands for the daemon, on one that answers what it likes. */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "clock.h"
#include "tap.h"
#include "vucctl_run.h"

#define MAX_ANSWERS 3

/* Results, in the order of the calls; the connection ends behind the last. */
static const char *const *answers;
static char folder[VUC_TEMPDIR_SIZE];
static char path[VUC_TEMPDIR_SIZE + 8];
static int listener;

/* Each answer takes so long. */
static unsigned int late_ms;
/* The shortest time between an answer and the next call. */
static uint64_t shortest_ms;

static void
start_listener(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(folder), 0);
	snprintf(path, sizeof(path), "%s/s", folder);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_FATAL(listener >= 0);
	CU_ASSERT_EQUAL_FATAL(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(listener, 1), 0);
}

static void
stop_listener(void)
{
	close(listener);
	vuc_tempdir_remove(folder);
}

/* Returns whether a line has come. */
static bool
read_line(int fd)
{
	char byte = '\0';

	while (byte != '\n' && recv(fd, &byte, 1, 0) == 1)
		;
	return byte == '\n';
}

static void *
serve(void *arg)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	uint64_t before = 0;
	size_t i;

	(void)arg;
	shortest_ms = UINT64_MAX;
	for (i = 0; i < MAX_ANSWERS && answers[i] != NULL && read_line(fd); i++) {
		if (i > 0 && vuc_clock_ms() - before < shortest_ms)
			shortest_ms = vuc_clock_ms() - before;
		poll(NULL, 0, (int)late_ms);
		before = vuc_clock_ms();
		if (dprintf(fd, "{\"jsonrpc\":\"2.0\",\"result\":%s,\"id\":%zu}\n", answers[i],
			    i + 1) < 0)
			break;
	}
	close(fd);
	return NULL;
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Run a command of at most three words. */
static void
run(struct vucctl_run *result, const char *const *words, const char *const *results)
{
	const char *args[6] = {words[0], "--management", path};
	pthread_t thread;

	if (words[1] != NULL) {
		args[3] = words[1];
		args[4] = words[2];
	}
	answers = results;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, serve, NULL), 0);
	vucctl_run(result, args);
	pthread_join(thread, NULL);
}

/* Whether a command prints nothing but one line of an error. */
static bool
complains(const char *const *words, const char *const *results, const char *text)
{
	struct vucctl_run result;
	bool ok;

	run(&result, words, results);
	ok = result.exit == 1 && result.out[0] == '\0' && vucctl_run_complains(&result, text);
	if (!ok)
		printf("# %s: exit %d, '%.*s'\n", words[0], result.exit,
			(int)strcspn(result.err, "\n"), result.err);
	vucctl_run_free(&result);
	return ok;
}

#define DEVICE(name, state, vmm)                                                             \
	"{\"name\":\"" name "\",\"socket\":\"/s\",\"poller\":\"p\",\"state\":\"" state "\"," \
	"\"reason\":null,\"since_ms\":999999999999999999,\"generation\":1,\"vmm\":" vmm "}"
#define VMM "{\"pid\":7,\"uid\":4294967294,\"name\":\"v\",\"queues\":3}"

static void
test_lacks(void)
{
	CU_ASSERT(complains(ARGS("status"), ARGS("{}"), "the answer to status has no 'devices'"));
	CU_ASSERT(complains(ARGS("status"), ARGS("{\"devices\":{},\"version\":\"1\",\"state\":[]}"),
		"the answer to status has no 'state'"));
	CU_ASSERT(complains(ARGS("devices"), ARGS("{\"devices\":7}"),
		"the answer to devices.list has no 'devices'"));
	CU_ASSERT(complains(ARGS("devices"), ARGS("{\"devices\":[1,null]}"),
		"the answer to devices.list has no 'name'"));
	CU_ASSERT(complains(ARGS("devices"), ARGS("{\"devices\":[" DEVICE("a", "free", "{}") "]}"),
		"the answer to devices.list has no 'pid'"));
	CU_ASSERT(complains(ARGS("devices", "--json"), ARGS("{}"),
		"the answer to devices.list has no 'devices'"));
	CU_ASSERT(complains(ARGS("stats"), ARGS("{\"time_ms\":1,\"devices\":[]}"),
		"the answer to stats.get has no 'pollers'"));
	CU_ASSERT(complains(ARGS("stats"), ARGS("{\"time_ms\":1,\"devices\":[],\"pollers\":[1]}"),
		"the answer to stats.get has no 'name'"));
}

static void
test_hangs_up(void)
{
	static const char why[] = "the daemon has closed the connection";

	CU_ASSERT(complains(ARGS("devices"), ARGS(NULL), why));
	CU_ASSERT(complains(ARGS("add", "a", "/s"), ARGS("{}"), why));
	CU_ASSERT(complains(ARGS("detach", "a"), ARGS(NULL), why));
}

static void
test_contradictions(void)
{
	CU_ASSERT(complains(ARGS("add", "a", "/s"), ARGS("{}", "{\"devices\":[]}"),
		"a was added, but is gone already"));
	CU_ASSERT(complains(ARGS("stats", "--watch", "--interval=0.1"),
		ARGS("{\"time_ms\":5,\"devices\":[]}", "{\"time_ms\":5,\"devices\":[]}"),
		"the daemon's clock stands still"));
}

/* Samples of a daemon that answers late are an interval apart as well: those of one moment would be
 * of no use. */
static void
test_late(void)
{
	struct vucctl_run result;

	late_ms = 200;
	run(&result, ARGS("stats", "-wc2", "-i0.1"),
		ARGS("{\"time_ms\":1,\"devices\":[]}", "{\"time_ms\":2,\"devices\":[]}",
			"{\"time_ms\":3,\"devices\":[]}"));
	late_ms = 0;
	CU_ASSERT_EQUAL(result.exit, 0);
	CU_ASSERT_TRUE(shortest_ms >= 99);
	vucctl_run_free(&result);
}

/* A user that there is not. */
static void
test_vmm(void)
{
	struct vucctl_run result;

	run(&result, ARGS("devices"), ARGS("{\"devices\":[" DEVICE("a", "attached", VMM) "]}"));
	CU_ASSERT_EQUAL(result.exit, 0);
	CU_ASSERT_STRING_EQUAL(result.out,
		"NAME  STATE     SINCE  CONNECTION  POLLER  VMM             QUEUES  SOCKET\n"
		"a     attached  -               1  p       7 4294967294 v       3  /s\n");
	vucctl_run_free(&result);
}

/* Nothing of what a terminal would act upon gets to it, in text and in JSON. */
static void
test_escapes(void)
{
	static const char *const results[] = {
		"{\"devices\":[" DEVICE("\\u001b[2J\\r", "\xc2\x9b",
			"null") "],"
				"\"more\\u007f\":[true,1.5,null,{\"a\":\"\\u0007\"}]}",
		NULL};
	struct json_object *root;
	struct vucctl_run result;
	const char *c;

	run(&result, ARGS("devices"), results);
	CU_ASSERT_EQUAL(result.exit, 0);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(result.out, "\n\\x1b[2J\\x0d  \\xef\\xbf\\xbd  -               1  p "));
	for (c = result.out; *c != '\0'; c++)
		CU_ASSERT(*c == '\n' || (*c >= ' ' && *c <= '~'));
	vucctl_run_free(&result);
	run(&result, ARGS("devices", "--json"), results);
	CU_ASSERT_EQUAL(result.exit, 0);
	for (c = result.out; *c != '\0'; c++)
		CU_ASSERT(*c == '\n' || ((unsigned char)*c >= ' ' && *c != 0x7f));
	CU_ASSERT_PTR_NULL(strstr(result.out, "\xc2\x9b"));
	root = json_tokener_parse(result.out);
	CU_ASSERT_PTR_NOT_NULL(root);
	CU_ASSERT_TRUE(json_object_object_get_ex(root, "more\xef\xbf\xbd", NULL));
	json_object_put(root);
	vucctl_run_free(&result);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"answers that lack something", test_lacks},
		{"the daemon hangs up", test_hangs_up},
		{"answers that contradict each other", test_contradictions},
		{"answers that are late", test_late},
		{"a VMM of an unknown user", test_vmm},
		{"escape codes", test_escapes},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_lies", NULL, NULL, start_listener, stop_listener, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
