/* SPDX-License-Identifier: BSD-3-Clause */

/* What vuc-bench, $VUC_BENCH, says and leaves behind when it can't measure. */

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "bench_run.h"
#include "tap.h"

#define FEW "--ops", "200", "--rounds", "2"

static struct bench_place place;

static int
make_place(void)
{
	return bench_place_make(&place) == 0 ? 0 : 1;
}

static int
remove_place(void)
{
	bench_place_remove(&place);
	return 0;
}

static void
expect_failure(const char *const *args, bench_with with, int status, const char *text)
{
	struct bench_run run;

	bench_run(&run, &place, args, with, status);
	bench_run_assert_complaint(&run, text);
	bench_run_free(&run);
}

static void
test_wrong_usage(void)
{
	static const struct {
		const char *args[8];
		const char *text;
	} cases[] = {
		{{NULL}, "which measurement"},
		{{"nothing"}, "nothing"},
		{{"mmio", "--nothing"}, "--nothing"},
		{{"mmio", "-x"}, "-x"},
		{{"mmio", "surplus"}, "surplus"},
		{{"mmio", "--ops"}, "--ops: a value is missing"},
		{{"mmio", "--ops", "0"}, "'0'"},
		{{"mmio", "--ops", "-1"}, "'-1'"},
		{{"mmio", "--ops", "1x"}, "'1x'"},
		{{"mmio", "--ops", ""}, "--ops: ''"},
		{{"mmio", "--ops", "18446744073709551617"}, "18446744073709551617"},
		{{"mmio", "--ops", "10000000", "--rounds", "1000"}, "10000000000"},
		{{"mmio", "--rounds", "1001"}, "--rounds: '1001'"},
		{{"mmio", "--cpus", "0,0"}, "twice"},
		{{"mmio", "--cpus", "0,1,2,3"}, "'0,1,2,3'"},
		{{"mmio", "--cpus", "0,1,0"}, "twice"},
		{{"mmio", "--path", "x"}, "inline, poller or shm"},
		{{"mmio", "--compare", "blocking,x"}, "--compare: 'x'"},
		{{"mmio", "--compare", "blocking", "--op", "posted"}, "--compare is for"},
		{{"mmio", "--compare", "blocking", "--transport", "loopback"}, "--compare is for"},
		{{"mmio", "--compare", "handover", "--socket", "s"}, "--floor own"},
		{{"mmio", "--path", "poller", "--floor", "shared"}, "--path inline"},
		{{"mmio", "--cpus", "-1,0"}, "'-1,0'"},
		{{"mmio", "--cpus", "99999"}, "'99999'"},
		{{"mmio", "--transport", "tcp"}, "uring, posix or loopback"},
		{{"mmio", "--op", "erase"}, "'erase'"},
		{{"mmio", "--size", "3"}, "'3'"},
		{{"mmio", "--region", "0"}, "--region and --offset"},
		{{"mmio", "--offset", "0"}, "--region and --offset"},
		{{"mmio", "--region", "4294967296", "--offset", "0"}, "--region: '4294967296'"},
		{{"mmio", "--floor", "none"}, "'none'"},
		{{"mmio", "--transport", "loopback", "--floor", "own"}, "--floor"},
		{{"mmio", "--transport", "loopback", "--socket", "s"}, "--socket"},
		{{"mmio", "--socket", "s", "--op", "write"}, "needs --region and --offset"},
		{{"mmio", "--socket", "s", "--op", "posted"}, "needs --region and --offset"},
		{{"mmio", "--socket", ""}, "empty"},
		{{"mmio", "--json", ""}, "empty"},
		{{"mmio", "--label", "\n"}, "--label"},
		{{"mmio", "--burst", "2"}, "--burst 2 is for --op posted, not read"},
		{{"mmio", "--op", "posted", "--burst", "0"}, "--burst: '0'"},
		{{"mmio", "--op", "posted", "--burst", "257"}, "--burst: '257'"},
		{{"mmio", "--maps", "1"}, "--maps"},
		{{"dma", "--ops", "1"}, "--ops"},
		{{"dma", "--maps", "0"}, "--maps: '0'"},
		{{"dma", "--maps", "65536"}, "--maps: '65536'"},
		{{"dma", "--layout", "x"}, "--layout: 'x'"},
		{{"dma", "--transport", "loopback"}, "uring or posix"},
		{{"dma", "--transport", "tcp"}, "'tcp'"},
		{{"dma", "--socket", ""}, "empty"},
		{{"dma-message", "--size", "5000"}, "'5000' is no multiple of 4096"},
		{{"dma-message", "--size", "2097152"}, "--size: '2097152'"},
		{{"dma-message", "--depth", "33"}, "--depth: '33'"},
		{{"dma-message", "--transfers", "0"}, "--transfers: '0'"},
		{{"dma-message", "--op", "erase"}, "read or write"},
		{{"dma-message", "--transport", "loopback"}, "uring or posix"},
		{{"hop", "--depth", "3"}, "--depth: 3 is no power of two"},
		{{"hop", "--depth", "512"}, "--depth: '512'"},
		{{"hop", "--size", "16"}, "--size: '16'"},
		{{"hop", "--op", "erase"}, "'erase'"},
		{{"hop", "--floor", "call"}, "echo, ring or poller"},
		{{"hop", "--floor", "echo", "--depth", "2"}, "--floor echo"},
		{{"hop", "--floor", "echo", "--op", "posted", "--depth", "1"}, "--floor echo"},
		{{"hop", "--ops", "10000000", "--rounds", "1000"}, "10000000000"},
		{{"hop", "--transport", "uring"}, "--transport"},
		{{"scale", "--devices", "1"}, "at least two"},
		{{"scale", "--devices", "1,"}, "''"},
		{{"scale", "--devices", "4,1"}, "1 is not above 4"},
		{{"scale", "--devices", "1,257"}, "'257'"},
		{{"scale", "--devices", "1,2,3,4,5,6"}, "more than 5"},
		{{"scale", "--ops", "0"}, "'0'"},
		{{"scale", "--ops", "1000000", "--rounds", "1000"},
			"--ops times --rounds: 1000192000"},
		{{"scale", "--transport", "tcp"}, "'tcp'"},
		{{"idle", "--seconds", "0"}, "--seconds: '0'"},
		{{"idle", "--seconds", "nan"}, "'nan'"},
		{{"idle", "--seconds", "0x10"}, "'0x10'"},
		{{"idle", "--accesses", "1001"}, "--accesses: '1001'"},
		{{"idle", "--transport", "loopback"}, "uring or posix"},
		{{"hop", "--path", "inline"}, "mmio --transport loopback"},
		{{"dma-message", "--path", "shm"}, "that is --path poller"},
		{{"hop", "--floor", "poller"}, "--floor poller is for --path shm"},
		{{"hop", "--spin", "0"}, "--spin: '0'"},
		{{"guest", "--ops", "65537"}, "--ops: '65537'"},
		{{"guest", "--path", "shm"}, "--path"},
		{{"idle", "--path", "inline"}, "what idles is a poller"},
		{{"all", "--op", "read"}, "--op"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_failure(cases[i].args, NULL, 2, cases[i].text);
}

/* Set a variable for what is started until it is called with NULL. */
static void
override(const char *variable, const char *value)
{
	static char *before;

	if (value != NULL) {
		before = strdup(getenv(variable));
		setenv(variable, value, 1);
	} else {
		setenv(variable, before, 1);
		free(before);
	}
}

static void
without_path(bool begin)
{
	override("PATH", begin ? "/nonexistent" : NULL);
}

static void
test_plot_without_gnuplot(void)
{
	char path[BENCH_PATH_MAX];
	const char *const args[] = {"mmio", "--transport", "loopback", "--plot",
		bench_place_file(&place, "none.svg", path), NULL};
	struct bench_run run;

	bench_run(&run, &place, args, without_path, 1);
	bench_run_assert_complaint(&run, "gnuplot");
	CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
	bench_run_free(&run);
}

static void
test_missing_socket(void)
{
	char path[BENCH_PATH_MAX];
	char long_path[150];

	bench_place_file(&place, "missing", path);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	expect_failure((const char *[]){"mmio", "--socket", path, NULL}, NULL, 1, path);
	expect_failure(
		(const char *[]){"mmio", "--socket", path, "--floor", "own", NULL}, NULL, 1, path);
	expect_failure((const char *[]){"dma", "--socket", path, NULL}, NULL, 1, path);
	expect_failure((const char *[]){"mmio", "--socket", long_path, NULL}, NULL, 1, "149");
}

static void
with_missing_refdev(bool begin)
{
	override("VUC_REFDEV", begin ? "/nonexistent/refdev" : NULL);
}

/* A program, but none that says that it is ready. */
static void
with_another_program(bool begin)
{
	override("VUC_REFDEV", begin ? "/bin/true" : NULL);
}

static void
test_missing_server_program(void)
{
	static const char *const args[] = {"mmio", NULL};

	if (!bench_has_two_cpus()) {
		vuc_tap_skip("needs two CPUs");
		return;
	}
	expect_failure(args, with_missing_refdev, 1, "/nonexistent/refdev");
	expect_failure(args, with_another_program, 1, "/bin/true: ended with status 0");
}

static void
test_one_cpu(void)
{
	static const char *const alone[] = {"mmio", FEW, "--transport", "loopback", NULL};
	struct bench_run run;

	expect_failure((const char *[]){"mmio", NULL}, bench_on_one_cpu, 1, "1 CPU");
	expect_failure((const char *[]){"dma", NULL}, bench_on_one_cpu, 1, "1 CPU");
	expect_failure((const char *[]){"dma-message", NULL}, bench_on_one_cpu, 1, "1 CPU");
	expect_failure((const char *[]){"transports", NULL}, bench_on_one_cpu, 1, "1 CPU");
	expect_failure((const char *[]){"hung", NULL}, bench_on_one_cpu, 1, "1 CPU");
	expect_failure((const char *[]){"hop", NULL}, bench_on_one_cpu, 1, "1 CPU");
	expect_failure((const char *[]){"idle", NULL}, bench_on_one_cpu, 1, "1 CPU");
	expect_failure((const char *[]){"scale", "--transport", "posix", NULL}, bench_on_one_cpu, 1,
		"1 CPU");
	expect_failure(
		(const char *[]){"mmio", "--path", "poller", "--transport", "loopback", NULL},
		bench_on_one_cpu, 1, "the poller needs one");
	bench_run(&run, &place, alone, bench_on_one_cpu, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(run.out, "vuc (loopback)"));
	bench_run_free(&run);
}

static void
test_unwritable_outputs(void)
{
	char missing[BENCH_PATH_MAX];

	bench_place_file(&place, "no/result.json", missing);
	expect_failure((const char *[]){"mmio", "--transport", "loopback", "--json", missing, NULL},
		NULL, 1, missing);
	expect_failure(
		(const char *[]){"mmio", "--plot", "result.pdf", NULL}, NULL, 1, "result.pdf");
	expect_failure((const char *[]){"all", "--plot", "/dev/null", NULL}, NULL, 1,
		"/dev/null is no folder");
	bench_place_file(&place, "no/plots", missing);
	expect_failure((const char *[]){"all", "--plot", missing, NULL}, NULL, 1, missing);
}

/* Arguments go on behind the shell's. */
#define TO_FULL_DISK "-c", "exec \"$VUC_BENCH\" mmio \"$@\" >/dev/full", "vuc-bench"

static void
expect_full_disk(const char *const *args)
{
	struct vuc_spawn spawn;
	struct bench_run run;

	bench_start(&spawn, &place, "/bin/sh", args, NULL);
	bench_finish(&run, &place, &spawn);
	CU_ASSERT_EQUAL(run.exit, 1);
	bench_run_assert_complaint(&run, "No space left");
	bench_run_free(&run);
}

static void
test_full_disk(void)
{
	static const char *const table[] = {TO_FULL_DISK, FEW, "--transport", "loopback", NULL};
	static const char *const help[] = {TO_FULL_DISK, "--help", NULL};
	static const char *const json[] = {
		"mmio", FEW, "--transport", "loopback", "--json", "/dev/full", NULL};
	struct bench_run run;

	expect_full_disk(table);
	expect_full_disk(help);
	bench_run(&run, &place, json, NULL, 1);
	CU_ASSERT_STRING_EQUAL(run.err, "vuc-bench: /dev/full: No space left on device\n");
	bench_run_free(&run);
}

/* Wait until the folder for the server's socket is made, and end the run. */
static void
interrupt_by(int signo)
{
	static const char *const args[] = {"mmio", "--ops", "100000", "--rounds", "200", NULL};
	char event[sizeof(struct inotify_event) + NAME_MAX + 1];
	int notify = inotify_init1(IN_CLOEXEC);
	struct vuc_spawn spawn;
	struct bench_run run;

	CU_ASSERT_TRUE_FATAL(notify >= 0);
	CU_ASSERT_TRUE_FATAL(inotify_add_watch(notify, place.tmp, IN_CREATE) >= 0);
	bench_start(&spawn, &place, getenv("VUC_BENCH"), args, NULL);
	CU_ASSERT_TRUE_FATAL(read(notify, event, sizeof(event)) > 0);
	close(notify);
	CU_ASSERT_EQUAL(kill(spawn.pid, signo), 0);
	bench_finish(&run, &place, &spawn);
	CU_ASSERT_EQUAL(run.exit, 1000 + signo);
	bench_run_free(&run);
}

static void
test_interrupted(void)
{
	if (!bench_has_two_cpus()) {
		vuc_tap_skip("needs two CPUs");
		return;
	}
	interrupt_by(SIGINT);
	interrupt_by(SIGTERM);
}

/* The floor comes first in the first round, so it is the one to notice. */
static void
run_against_fault(const char *fault, const char *path, const char *const *args, const char *text)
{
	const char *const server_args[] = {fault, path, NULL};
	struct vuc_spawn server;

	CU_ASSERT_EQUAL_FATAL(vuc_spawn_server(&server, getenv("VUC_REFDEV"), server_args), 0);
	expect_failure(args, NULL, 1, text);
	CU_ASSERT_EQUAL(vuc_spawn_stop(&server), 0);
	vuc_spawn_free(&server);
}

static void
expect_fault(const char *fault, const char *text)
{
	char path[BENCH_PATH_MAX];
	const char *const args[] = {"mmio", FEW, "--floor", "own", "--socket",
		bench_place_file(&place, "socket", path), NULL};

	run_against_fault(fault, path, args, text);
}

static void
expect_dma_fault(const char *fault, const char *text)
{
	char path[BENCH_PATH_MAX];
	const char *const args[] = {"dma", "--maps", "10", "--rounds", "2", "--layout", "apart",
		"--socket", bench_place_file(&place, "socket", path), NULL};

	run_against_fault(fault, path, args, text);
}

/* A register that the server does not have is found before the first access. */
static void
test_missing_register(void)
{
	static const char *const ways[][2] = {{"--floor", "shared"}, {"--floor", "own"}};
	char path[BENCH_PATH_MAX], text[BENCH_PATH_MAX + 128];

	if (!bench_has_two_cpus()) {
		vuc_tap_skip("needs two CPUs");
		return;
	}
	bench_place_file(&place, "socket", path);
	snprintf(text, sizeof(text),
		"vuc-bench: %s: 4 bytes at offset 0xffe are not within region 0, which has 0x1000 "
		"bytes",
		path);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		const char *const args[] = {"mmio", FEW, "--region", "0", "--offset", "0xffe",
			"--socket", path, ways[i][0], ways[i][1], NULL};
		const char *const none[] = {"mmio", FEW, "--region", "3", "--offset", "0",
			"--socket", path, ways[i][0], ways[i][1], NULL};

		run_against_fault("--mode=block", path, args, text);
		run_against_fault("--mode=block", path, none, "region 3, which has 0x0 bytes");
	}
}

static void
test_faulty_server(void)
{
	if (!bench_has_two_cpus()) {
		vuc_tap_skip("needs two CPUs");
		return;
	}
	expect_fault("--fault=wrong-id@region_read#100", "floor: reply to command 9, id");
	expect_fault("--fault=wrong-cmd@region_read", "floor: reply to command");
	expect_fault("--fault=wrong-type@region_read", "instead of a reply");
	expect_fault("--fault=wrong-size=30@region_read", "says that it has 30");
	expect_fault("--fault=wrong-count@region_read", "repeats something else");
	expect_fault("--fault=error=5@region_read", "error 5 (Input/output error)");
	expect_fault("--fault=close@region_read", "Connection reset by peer");
	expect_fault("--fault=truncate=20@region_read", "Connection reset by peer");
	expect_fault("--fault=duplicate@region_read", "floor: ");
	expect_fault("--fault=close@version", "closed the connection during VERSION");
	expect_fault("--fault=wrong-version=major@version", "speaks version 1.");
	expect_fault("--fault=error=13@version", "error 13 (Permission denied)");
	expect_fault("--fault=wrong-size=1000000@version", "says that it has 1000000");
}

/* The one to notice is the floor until it has had its turn. */
static void
test_server_that_maps_nothing(void)
{
	if (!bench_has_two_cpus()) {
		vuc_tap_skip("needs two CPUs");
		return;
	}
	expect_dma_fault("--fault=error=12@dma_map#5", "floor: the server answered command 2");
	expect_dma_fault("--fault=error=12@dma_map#45", "vuc: DMA mapping of 0x");
	expect_dma_fault("--fault=error=22@dma_unmap#5", "floor: the server answered command 3");
	expect_dma_fault("--fault=error=22@dma_unmap#45", "vuc: DMA unmapping of 0x");
	expect_dma_fault("--fault=wrong-id@dma_map#5", "floor: reply to command 2, id");
	expect_dma_fault("--fault=close@dma_unmap", "Connection reset by peer");
	expect_dma_fault("--max-dma-maps=9", "floor: the server answered command 2");
}

static CU_TestInfo error_tests[] = {
	{"wrong usage", test_wrong_usage},
	{"plot without gnuplot", test_plot_without_gnuplot},
	{"missing socket", test_missing_socket},
	{"missing server program", test_missing_server_program},
	{"one CPU", test_one_cpu},
	{"unwritable outputs", test_unwritable_outputs},
	{"full disk", test_full_disk},
	{"faulty server", test_faulty_server},
	{"a register that there is not", test_missing_register},
	{"server that maps nothing", test_server_that_maps_nothing},
	{"interrupted", test_interrupted},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{.pName = "errors",
		.pInitFunc = make_place,
		.pCleanupFunc = remove_place,
		.pTests = error_tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
