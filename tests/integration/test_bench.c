/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The program vuc-bench, $VUC_BENCH, against vuc-refdev, $VUC_REFDEV. What it reports is looked at,
 * never how long something took.
 */

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_json.h"
#include "bench_run.h"
#include "tap.h"

/* Few: this must work beside whatever else the machine does. */
#define FEW    "--ops", "200", "--rounds", "2"
#define OPS    200
#define BURST  32 /* of posted writes */
#define ROUNDS 2

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
check(const char *json, const char *transport, const char *op, const char *floor)
{
	unsigned int burst = strcmp(op, "posted") == 0 ? BURST : 1;
	const struct bench_expected expected = {
		.transport = transport,
		.op = op,
		.floor = floor,
		.ops = (OPS + burst - 1) / burst * burst,
		.burst = burst,
		.rounds = ROUNDS,
		.others = {burst > 1 && strcmp(floor, "call") != 0 ? "each" : NULL},
	};

	bench_json_check(json, &expected);
}

static void
measure(const char *transport, const char *op)
{
	const char *const args[] = {
		"mmio", FEW, "--json", "-", "--op", op, "--transport", transport, NULL};
	bool loopback = strcmp(transport, "loopback") == 0;
	struct bench_run run;

	if (!loopback && !bench_can_measure(transport))
		return;
	bench_run(&run, &place, args, NULL, 0);
	check(run.out, transport, op, loopback ? "call" : "own");
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, "p50"));
	bench_run_free(&run);
}

static void
test_uring_read(void)
{
	measure("uring", "read");
}

static void
test_uring_write(void)
{
	measure("uring", "write");
}

static void
test_uring_posted(void)
{
	measure("uring", "posted");
}

static void
test_posix_read(void)
{
	measure("posix", "read");
}

static void
test_posix_write(void)
{
	measure("posix", "write");
}

static void
test_posix_posted(void)
{
	measure("posix", "posted");
}

static void
test_loopback_read(void)
{
	measure("loopback", "read");
}

static void
test_loopback_write(void)
{
	measure("loopback", "write");
}

static void
test_loopback_posted(void)
{
	measure("loopback", "posted");
}

static void
test_compare(void)
{
	const char *const args[] = {
		"mmio", FEW, "--json", "-", "--compare", "handover,blocking", NULL};
	const struct bench_expected expected = {
		.op = "read",
		.floor = "own",
		.ops = OPS,
		.burst = 1,
		.rounds = ROUNDS,
		.others = {"blocking", "handover"},
	};
	struct bench_run run;

	if (!bench_has_two_cpus()) {
		vuc_tap_skip("needs two CPUs");
		return;
	}
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check(run.out, &expected);
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, "handover takes "));
	bench_run_free(&run);
}

static void
measure_bursts(const char *burst, unsigned int size, unsigned int ops)
{
	const char *const args[] = {"mmio", FEW, "--json", "-", "--op", "posted", "--burst", burst,
		"--transport", "loopback", NULL};
	const struct bench_expected expected = {
		.transport = "loopback",
		.op = "posted",
		.floor = "call",
		.ops = ops,
		.burst = size,
		.rounds = ROUNDS,
	};
	struct bench_run run;

	bench_run(&run, &place, args, NULL, 0);
	bench_json_check(run.out, &expected);
	bench_run_free(&run);
}

static void
test_bursts(void)
{
	measure_bursts("1", 1, 200);
	measure_bursts("3", 3, 201);
	measure_bursts("256", 256, 256);
}

static void
measure_dma(const char *transport, const char *layout)
{
	const char *const args[] = {"dma", "--maps", "300", "--rounds", "3", "--json", "-",
		"--transport", transport, "--layout", layout, NULL};
	const struct bench_expected_dma expected = {
		.transport = transport,
		.layout = layout,
		.maps = 300,
		.rounds = 3,
	};
	struct bench_run run;

	if (!bench_can_measure(transport))
		return;
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check_dma(run.out, &expected);
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, "unmap: vuc makes"));
	bench_run_free(&run);
}

static void
test_dma_uring(void)
{
	measure_dma("uring", "adjacent");
}

static void
test_dma_posix(void)
{
	measure_dma("posix", "apart");
}

/* A vuc-refdev on a socket at path, for which vuc-bench is any client. */
static void
start_server(struct vuc_spawn *server, const char *path)
{
	const char *const args[] = {path, NULL};

	CU_ASSERT_EQUAL_FATAL(vuc_spawn_server(server, getenv("VUC_REFDEV"), args), 0);
}

static void
stop_server(struct vuc_spawn *server)
{
	CU_ASSERT_EQUAL(vuc_spawn_stop(server), 0);
	CU_ASSERT_EQUAL(vuc_spawn_status(server), 0);
	vuc_spawn_free(server);
}

static void
measure_foreign(const char *floor, const char *op)
{
	char path[BENCH_PATH_MAX];
	const char *const args[] = {"mmio", FEW, "--json", "-", "--op", op, "--floor", floor,
		"--region", "0", "--offset", "8", "--socket",
		bench_place_file(&place, "socket", path), NULL};
	struct vuc_spawn server;
	struct bench_run run;

	if (!bench_has_two_cpus()) {
		vuc_tap_skip("needs two CPUs");
		return;
	}
	start_server(&server, path);
	bench_run(&run, &place, args, NULL, 0);
	check(run.out, NULL, op, floor);
	bench_run_free(&run);
	stop_server(&server);
}

static void
test_shared_read(void)
{
	measure_foreign("shared", "read");
}

static void
test_shared_posted(void)
{
	measure_foreign("shared", "posted");
}

static void
test_own_write(void)
{
	measure_foreign("own", "write");
}

/* A register that answers with an error ends the run, whichever way meets it first. */
static void
test_error_of_device(void)
{
	char path[BENCH_PATH_MAX];
	const char *const args[] = {"mmio", FEW, "--region", "0", "--offset", "0x38", "--socket",
		bench_place_file(&place, "socket", path), NULL};
	struct vuc_spawn server;
	struct bench_run run;

	start_server(&server, path);
	bench_run(&run, &place, args, NULL, 1);
	bench_run_assert_complaint(&run, "Input/output error");
	bench_run_free(&run);
	stop_server(&server);
}

/* A server that ends with its first client is measured over one connection. */
static void
test_server_of_one_client(void)
{
	char path[BENCH_PATH_MAX];
	const char *const server_args[] = {
		"--once", bench_place_file(&place, "socket", path), NULL};
	const char *const args[] = {"mmio", FEW, "--json", "-", "--socket", path, NULL};
	struct vuc_spawn server;
	struct bench_run run;

	if (!bench_has_two_cpus()) {
		vuc_tap_skip("needs two CPUs");
		return;
	}
	CU_ASSERT_EQUAL_FATAL(vuc_spawn_server(&server, getenv("VUC_REFDEV"), server_args), 0);
	bench_run(&run, &place, args, NULL, 0);
	check(run.out, NULL, "read", "shared");
	bench_run_free(&run);
	CU_ASSERT_EQUAL(vuc_spawn_wait(&server), 0);
	CU_ASSERT_EQUAL(vuc_spawn_status(&server), 0);
	vuc_spawn_free(&server);
}

static void
test_text_report(void)
{
	static const char *const args[] = {
		"mmio", FEW, "--transport", "loopback", "--label", "my label", NULL};
	static const char *const expected[] = {"my label", "p99.9", "floor (call)",
		"vuc (loopback)", "times the floor", "cpu_dma_latency"};
	struct bench_run run;

	bench_run(&run, &place, args, NULL, 0);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		CU_ASSERT_PTR_NOT_NULL(strstr(run.out, expected[i]));
	CU_ASSERT_PTR_NULL(strchr(run.out, '\033'));
	CU_ASSERT_STRING_EQUAL(run.err, "");
	bench_run_free(&run);
}

static void
test_json_file(void)
{
	char path[BENCH_PATH_MAX];
	const char *const args[] = {"mmio", FEW, "--transport", "loopback", "--json",
		bench_place_file(&place, "result.json", path), NULL};
	struct bench_run run;
	struct json_object *root;

	for (int i = 0; i < 2; i++) {
		bench_run(&run, &place, args, NULL, 0);
		root = json_object_from_file(path);
		CU_ASSERT_PTR_NOT_NULL_FATAL(root);
		check(json_object_to_json_string(root), "loopback", "read", "call");
		json_object_put(root);
		bench_run_free(&run);
	}
}

static void
test_help_and_version(void)
{
	static const struct {
		const char *args[3];
		const char *text;
	} cases[] = {
		{{"--help"}, "mmio"},
		{{"--help"}, "dma-message"},
		{{"transports", "--help"}, "rounds (50)"},
		{{"mmio", "--help"}, "--burst"},
		{{"dma", "--help"}, "--maps"},
		{{"dma-message", "--help"}, "--depth"},
		{{"hop", "--help"}, "--depth"},
		{{"scale", "--help"}, "rounds (50)"},
		{{"idle", "--help"}, "--seconds"},
		{{"hung", "--help"}, "--timeout-ms"},
		{{"all", "--help"}, "--json"},
		{{"--version"}, "DPDK"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench_run run;

		bench_run(&run, &place, cases[i].args, NULL, 0);
		CU_ASSERT_PTR_NOT_NULL(strstr(run.out, cases[i].text));
		CU_ASSERT_STRING_EQUAL(run.err, "");
		bench_run_free(&run);
	}
}

static CU_TestInfo mmio_tests[] = {
	{"uring, read", test_uring_read},
	{"uring, write", test_uring_write},
	{"uring, posted", test_uring_posted},
	{"posix, read", test_posix_read},
	{"posix, write", test_posix_write},
	{"posix, posted", test_posix_posted},
	{"loopback, read", test_loopback_read},
	{"loopback, write", test_loopback_write},
	{"loopback, posted", test_loopback_posted},
	{"posted in bursts", test_bursts},
	{"next to the ways of other clients", test_compare},
	{"foreign server, shared, read", test_shared_read},
	{"foreign server, shared, posted", test_shared_posted},
	{"foreign server, own, write", test_own_write},
	{"server of one client", test_server_of_one_client},
	{"error of the device", test_error_of_device},
	CU_TEST_INFO_NULL,
};

static void
test_dma_foreign(void)
{
	char path[BENCH_PATH_MAX];
	const char *const args[] = {"dma", "--maps", "1", "--rounds", "1", "--json", "-",
		"--socket", bench_place_file(&place, "socket", path), NULL};
	const struct bench_expected_dma expected = {.layout = "adjacent", .maps = 1, .rounds = 1};
	struct vuc_spawn server;
	struct bench_run run;

	if (!bench_has_two_cpus()) {
		vuc_tap_skip("needs two CPUs");
		return;
	}
	start_server(&server, path);
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check_dma(run.out, &expected);
	bench_run_free(&run);
	stop_server(&server);
}

static void
measure_transfers(const char *transport, const char *op, const char *size, const char *depth)
{
	const char *const args[] = {"dma-message", "--transfers", "40", "--rounds", "2", "--json",
		"-", "--transport", transport, "--op", op, "--size", size, "--depth", depth, NULL};
	const struct bench_expected_transfers expected = {
		.transport = transport,
		.op = op,
		.size = (unsigned int)strtoul(size, NULL, 10),
		.depth = (unsigned int)strtoul(depth, NULL, 10),
		.transfers = 48,
		.rounds = 2,
	};
	struct bench_run run;

	if (!bench_can_measure(transport))
		return;
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check_transfers(run.out, &expected);
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, "GB/s, the floor"));
	bench_run_free(&run);
}

static void
test_transfers_uring(void)
{
	measure_transfers("uring", "read", "65536", "1");
	measure_transfers("uring", "write", "1048576", "4");
}

static void
test_transfers_posix(void)
{
	measure_transfers("posix", "read", "1048576", "4");
	measure_transfers("posix", "write", "4096", "32");
}

static CU_TestInfo dma_tests[] = {
	{"messages, uring", test_transfers_uring},
	{"messages, posix", test_transfers_posix},
	{"uring", test_dma_uring},
	{"posix", test_dma_posix},
	{"foreign server", test_dma_foreign},
	CU_TEST_INFO_NULL,
};

static void
test_transports(void)
{
	const char *const args[] = {"transports", "--rounds", "1", "--json", "-", NULL};
	const struct bench_expected_groups expected = {
		.measurement = "transports",
		.transport = "uring",
		.units = "operations",
		.topics = {"lone read", "posted bursts", "maps apart", "unmaps apart",
			"device reads 64 KiB", "device writes 64 KiB", "4 devices busy",
			"16 devices busy", "64 devices busy", "1 of 64 devices busy"},
		.names = {"floor", "vuc"},
		.samples = {2000, 100, 4, 4, 32, 32, 16, 16, 16, 2048},
		.per_sample = {1, 32, 1024, 1024, 16, 16, 256, 256, 256, 1},
		.rounds = 1,
	};
	struct bench_run run;

	if (!bench_can_measure("uring"))
		return;
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check_groups(run.out, &expected);
	bench_json_check_number(run.out, NULL, "syscalls_per_operation", 1e-3, 1e6);
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, "64 devices busy: uring takes"));
	bench_run_free(&run);
}

static CU_TestInfo transports_tests[] = {
	{"all rows", test_transports},
	CU_TEST_INFO_NULL,
};

/* Figures are not looked at. */
static void
test_hung(void)
{
	const char *const args[] = {
		"hung", "--rounds", "1", "--hung", "1", "--timeout-ms", "100", "--json", "-", NULL};
	const struct bench_expected_groups expected = {
		.measurement = "hung",
		.transport = "vucd",
		.units = "actions",
		.topics = {"ready", "attach", "map 1,024", "reset", "detach", "add", "remove",
			"end"},
		.names = {"none", "stopped", "reset", "full", "maps"},
		.samples = {1, 1, 1, 1, 1, 1, 1, 1},
		.per_sample = {1, 1, 1, 1, 1, 1, 1, 1},
		.rounds = 1,
	};
	struct bench_run run;

	if (!bench_can_measure("posix"))
		return;
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check_groups(run.out, &expected);
	bench_json_check_number(run.out, "options", "hung", 1, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(run.out, "\"more_ns\":"));
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, "ms at p50"));
	bench_run_free(&run);
}

static CU_TestInfo hung_tests[] = {
	{"all kinds", test_hung},
	CU_TEST_INFO_NULL,
};

static CU_TestInfo report_tests[] = {
	{"text", test_text_report},
	{"JSON to a file", test_json_file},
	{"help and version", test_help_and_version},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{.pName = "mmio",
		.pInitFunc = make_place,
		.pCleanupFunc = remove_place,
		.pTests = mmio_tests},
	{.pName = "dma",
		.pInitFunc = make_place,
		.pCleanupFunc = remove_place,
		.pTests = dma_tests},
	{.pName = "transports",
		.pInitFunc = make_place,
		.pCleanupFunc = remove_place,
		.pTests = transports_tests},
	{.pName = "hung",
		.pInitFunc = make_place,
		.pCleanupFunc = remove_place,
		.pTests = hung_tests},
	{.pName = "report",
		.pInitFunc = make_place,
		.pCleanupFunc = remove_place,
		.pTests = report_tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
