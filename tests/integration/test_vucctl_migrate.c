/* SPDX-License-Identifier: BSD-3-Clause */

/* vucctl migrate: a state that is saved from one device and loaded into another. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include <CUnit/CUnit.h>

#include "refdev_regs.h"
#include "tap.h"
#include "vucctl_run.h"

static struct vucctl_device source, destination;
static char path[VUC_TEMPDIR_SIZE + 16];

static void
start_devices(void)
{
	vucctl_device_start(&source, NULL);
	vucctl_device_start(&destination, NULL);
	snprintf(path, sizeof(path), "%s/state", source.folder);
}

static void
stop_devices(void)
{
	unlink(path);
	/* The socket, and nothing that vucctl has left behind. */
	CU_ASSERT_EQUAL(vuc_tempdir_count(source.folder), 1);
	vucctl_device_stop(&source);
	vucctl_device_stop(&destination);
}

static void
write_scratch(const struct vucctl_device *device, const char *value)
{
	const char *args[] = {"write", device->socket, "bar0", "8", "8", value, NULL};

	vucctl_run_expect(args, 0, NULL, NULL);
}

static void
expect_scratch(const struct vucctl_device *device, const char *expected)
{
	const char *args[] = {"read", device->socket, "bar0", "8", "8", NULL};

	vucctl_run_expect(args, 0, expected, NULL);
}

/* Run a command on a file, and assert that it ends well and what its line contains. */
static void
migrate(const char *verb, const struct vucctl_device *device, const char *option,
	const char *expected)
{
	const char *args[] = {"migrate", verb, device->socket, path, option, NULL};
	struct vucctl_run run;

	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_STRING_EQUAL(run.err, "");
	CU_ASSERT_PTR_NOT_NULL(strstr(run.out, expected));
	vucctl_run_free(&run);
}

static void
test_save_and_load(void)
{
	struct stat st;

	write_scratch(&source, "0x1234567890abcdef");
	migrate("save", &source, NULL, "; the device is stopped\n");
	CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
	CU_ASSERT(st.st_size > 65536); /* it has BAR2 in it */
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	migrate("load", &destination, NULL, "; the device runs\n");
	expect_scratch(&destination, "0x1234567890abcdef\n");
}

static void
test_precopy(void)
{
	write_scratch(&source, "0x77");
	migrate("save", &source, "--precopy", " round");
	migrate("load", &destination, "--no-run", "; the device is stopped\n");
	expect_scratch(&destination, "0x0000000000000077\n");
}

static void
test_run(void)
{
	migrate("save", &source, "--run", "; the device runs\n");
	migrate("save", &source, "--no-run", "; the device is stopped\n");
	migrate("load", &destination, "--run", "; the device runs\n");
}

/* The server sees no larger message, and the state is the same. */
static void
test_chunks(void)
{
	const char *args[] = {
		"migrate", "save", "--trace", "--chunk=0x2000", source.socket, path, NULL};
	struct vucctl_run run;

	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, " argsz 8200 size 8192\n"));
	vucctl_run_free(&run);
	migrate("load", &destination, "--chunk=1000", "loaded ");
}

static uint64_t
number(struct json_object *object, const char *key)
{
	struct json_object *value;

	CU_ASSERT_FATAL(json_object_object_get_ex(object, key, &value));
	CU_ASSERT(json_object_is_type(value, json_type_int));
	return json_object_get_uint64(value);
}

static struct json_object *
run_json(const char *verb, const struct vucctl_device *device)
{
	const char *args[] = {"migrate", verb, "--json", device->socket, path, NULL};
	struct json_object *root;
	struct vucctl_run run;

	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 0);
	root = json_tokener_parse(run.out);
	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	vucctl_run_free(&run);
	return root;
}

static void
test_json(void)
{
	struct json_object *saved = run_json("save", &source);
	struct json_object *loaded = run_json("load", &destination);
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(number(saved, "bytes"), (uint64_t)st.st_size);
	CU_ASSERT_EQUAL(number(saved, "pre_copy_bytes"), 0);
	CU_ASSERT_EQUAL(number(saved, "stop_copy_bytes"), (uint64_t)st.st_size);
	CU_ASSERT_EQUAL(number(loaded, "bytes"), (uint64_t)st.st_size);
	json_object_put(saved);
	json_object_put(loaded);
}

static void
test_pipe(void)
{
	const char *args[] = {"-c", "\"$0\" migrate save \"$1\" - | \"$0\" migrate load \"$2\" -",
		getenv("VUCCTL"), source.socket, destination.socket, NULL};
	struct vucctl_run run;

	migrate("save", &source, "--run", "; the device runs\n");
	write_scratch(&source, "0x55aa");
	vucctl_run_program(&run, "/bin/sh", args);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_STRING_EQUAL(run.err, "");
	CU_ASSERT_EQUAL(strncmp(run.out, "loaded ", 7), 0);
	CU_ASSERT_EQUAL(strchr(run.out, '\n'), run.out + strlen(run.out) - 1);
	vucctl_run_free(&run);
	expect_scratch(&destination, "0x00000000000055aa\n");
}

/* What was there before stays when the new state does not come to its end. */
static void
test_failed_save_keeps_file(void)
{
	struct vucctl_device bad;
	const char *args[] = {"migrate", "save", "--timeout=2000", bad.socket, path, NULL};
	FILE *file = fopen(path, "w");
	char text[16] = "";

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fputs("precious", file);
	CU_ASSERT_EQUAL_FATAL(fclose(file), 0);
	vucctl_device_start(&bad, "error=5@mig_data_read#1");
	vucctl_run_expect(args, 1, NULL, "cannot save the state");
	vucctl_device_stop(&bad);
	file = fopen(path, "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	CU_ASSERT_PTR_NOT_NULL(fgets(text, sizeof(text), file));
	fclose(file);
	CU_ASSERT_STRING_EQUAL(text, "precious");
}

/* A device whose state got nowhere goes on running. */
static void
test_disk_full(void)
{
	const char *args[] = {"migrate", "save", source.socket, "/dev/full", NULL};
	const char *state[] = {"migrate", "save", "--trace", "--run", source.socket, path, NULL};
	struct vucctl_run run;

	migrate("save", &source, "--run", "; the device runs\n");
	vucctl_run_expect(args, 1, NULL, "cannot save the state");
	vucctl_run(&run, state);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, " MIG_DEVICE_STATE state 2 RUNNING\n"));
	vucctl_run_free(&run);
}

/* ---- signals ---- */

/* A named pipe in the folder, open at both ends: neither end's open waits. */
static int
make_pipe(void)
{
	int fd;

	CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

/* Run a command of the shell's with vucctl as $0, and a socket and the pipe behind it. */
static void
start_piped(struct vuc_spawn *spawn, const char *command, const struct vucctl_device *device)
{
	const char *args[] = {"-c", command, getenv("VUCCTL"), device->socket, path, NULL};

	CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(spawn, "/bin/sh", args), 0);
}

/* Wait until a program has said something on stderr. */
static void
await_error(const struct vuc_spawn *spawn, const char *text)
{
	bool said = false;
	int i;

	for (i = 0; i < VUC_SPAWN_TIMEOUT_MS / 5 && !said; i++) {
		char *errors = vuc_spawn_errors(spawn);

		said = errors != NULL && strstr(errors, text) != NULL;
		free(errors);
		if (!said)
			poll(NULL, 0, 5);
	}
	CU_ASSERT_TRUE(said);
}

/* One signal ends it: in order, with one line at the end that has text in it. */
static void
expect_end_by_signal(struct vuc_spawn *spawn, int number, const char *text)
{
	char *errors, *line;

	kill(spawn->pid, number);
	CU_ASSERT_EQUAL(vuc_spawn_wait(spawn), 0);
	CU_ASSERT_EQUAL(vuc_spawn_status(spawn), 1);
	errors = vuc_spawn_errors(spawn);
	line = strstr(errors, "vucctl: ");
	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	CU_ASSERT_PTR_NOT_NULL(strstr(line, text));
	CU_ASSERT_EQUAL(strchr(line, '\n'), line + strlen(line) - 1);
	free(errors);
	vuc_spawn_free(spawn);
}

/* A load from a pipe into which nobody writes any more: before the first byte, and after some. */
static void
load_until(int number, const char *bytes)
{
	const char *reset[] = {"reset", destination.socket, NULL};
	struct vuc_spawn spawn;
	int fd = make_pipe();

	start_piped(&spawn, "exec \"$0\" migrate load --trace --chunk=4 \"$1\" - <\"$2\"",
		&destination);
	CU_ASSERT_EQUAL(write(fd, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
	await_error(
		&spawn, bytes[0] != '\0' ? "MIG_DATA_WRITE           reply" : "state 4 RESUMING");
	expect_end_by_signal(&spawn, number, "cannot load the state after a signal");
	vucctl_run_expect(reset, 0, NULL, NULL);
	close(fd);
	unlink(path);
}

static void
test_load_signal(void)
{
	load_until(SIGTERM, "");
	load_until(SIGINT, "abcd");
	load_until(SIGHUP, "abcdef");
}

/* A save to a pipe that nobody reads: the device goes on as before. */
static void
test_save_signal(void)
{
	const char *state[] = {"migrate", "save", "--trace", "--run", source.socket, path, NULL};
	struct pollfd pfd = {.fd = make_pipe(), .events = POLLIN};
	struct vucctl_run run;
	struct vuc_spawn spawn;

	start_piped(&spawn, "exec \"$0\" migrate save \"$1\" - >\"$2\"", &source);
	CU_ASSERT_EQUAL(poll(&pfd, 1, VUC_SPAWN_TIMEOUT_MS), 1);
	expect_end_by_signal(&spawn, SIGTERM, "cannot save the state after a signal");
	close(pfd.fd);
	unlink(path);
	vucctl_run(&run, state);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, " MIG_DEVICE_STATE state 2 RUNNING\n"));
	vucctl_run_free(&run);
}

static void
test_truncated_state(void)
{
	const char *args[] = {"migrate", "load", destination.socket, path, NULL};
	const char *reset[] = {"reset", destination.socket, NULL};

	migrate("save", &source, NULL, "saved ");
	CU_ASSERT_EQUAL_FATAL(truncate(path, 100), 0);
	vucctl_run_expect(args, 1, NULL, "cannot load the state");
	vucctl_run_expect(reset, 0, NULL, NULL);
}

static void
test_errors(void)
{
	static const struct {
		const char *args[6];
		int status;
		const char *text;
	} cases[] = {
		{{"migrate"}, 2, "no command given; see 'vucctl migrate --help'"},
		{{"migrate", "copy"}, 2, "unknown command 'copy'"},
		{{"migrate", "save", "S"}, 2, "no file given; see 'vucctl migrate save --help'"},
		{{"migrate", "save", "S", "f", "g"}, 2, "unexpected argument 'g'"},
		{{"migrate", "save", "-j", "S", "-"}, 2, "exclude each other"},
		{{"migrate", "save", "-c0", "S", "f"}, 2, "chunk '0'"},
		{{"migrate", "load", "-p", "S", "f"}, 2, "unknown option '-p'"},
		{{"migrate", "load", "S", "/nonexistent/f"}, 1, "cannot read /nonexistent/f"},
		{{"migrate", "save", "S", "/nonexistent/f"}, 1, "cannot write /nonexistent/f"},
	};
	size_t i, j;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *args[6] = {NULL};

		for (j = 0; cases[i].args[j] != NULL; j++) {
			bool socket = strcmp(cases[i].args[j], "S") == 0;

			args[j] = socket ? source.socket : cases[i].args[j];
		}
		vucctl_run_expect(args, cases[i].status, NULL, cases[i].text);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"save and load", test_save_and_load},
		{"pre-copy", test_precopy},
		{"run or not", test_run},
		{"chunks", test_chunks},
		{"JSON", test_json},
		{"pipe", test_pipe},
		{"a failed save keeps the file", test_failed_save_keeps_file},
		{"disk full", test_disk_full},
		{"truncated state", test_truncated_state},
		{"a signal ends a load", test_load_signal},
		{"a signal ends a save", test_save_signal},
		{"errors", test_errors},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_migrate", NULL, NULL, start_devices, stop_devices, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
