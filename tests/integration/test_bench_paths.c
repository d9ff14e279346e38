/* SPDX-License-Identifier: BSD-3-Clause */

/* What vuc-bench, $VUC_BENCH, measures by other paths than the one it takes by default. */

#include <sched.h>
#include <string.h>

#include "bench_json.h"
#include "bench_run.h"
#include "tap.h"

/* Few: this must work beside whatever else the machine does. */
#define ROUNDS 2
#define FEW    "--rounds", "2", "--json", "-"

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
measure_poller(const char *op, const char *burst, unsigned int together)
{
	const char *const args[] = {"mmio", FEW, "--path", "poller", "--transport", "loopback",
		"--ops", "192", "--op", op, "--burst", burst, NULL};
	const struct bench_expected expected = {
		.transport = "loopback",
		.op = op,
		.floor = "call",
		.ops = 192,
		.burst = together,
		.rounds = ROUNDS,
	};
	struct bench_run run;

	if (!bench_can_measure("loopback"))
		return;
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check(run.out, &expected);
	bench_json_check_option(run.out, "path", "poller");
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, "the figure is of the loopback device"));
	bench_run_free(&run);
}

static void
test_mmio_by_poller(void)
{
	measure_poller("read", "1", 1);
	measure_poller("write", "1", 1);
	measure_poller("posted", "48", 48);
}

static unsigned int
count_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned int)CPU_COUNT(&set) : 0;
}

/* A server beside the poller needs a third CPU. */
static void
test_mmio_by_poller_and_socket(void)
{
	static const char *const args[] = {
		"mmio", FEW, "--path", "poller", "--ops", "64", "--transport", "posix", NULL};
	struct bench_run run;

	if (count_cpus() >= 3) {
		bench_run(&run, &place, args, NULL, 0);
		bench_json_check_option(run.out, "floor", "own");
	} else {
		bench_run(&run, &place, args, NULL, 1);
		bench_run_assert_complaint(&run, "use vuc-bench hop, or --transport loopback");
	}
	bench_run_free(&run);
}

static void
measure_dma(const char *transport, const char *layout)
{
	const char *const args[] = {"dma", FEW, "--path", "poller", "--maps", "300", "--transport",
		transport, "--layout", layout, NULL};
	const struct bench_expected_dma expected = {
		.transport = transport,
		.layout = layout,
		.maps = 300,
		.rounds = ROUNDS,
	};
	const char *note = "shares the CPU of the thread that calls it";
	struct bench_run run;

	if (!bench_can_measure(transport))
		return;
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check_dma(run.out, &expected);
	bench_json_check_option(run.out, "path", "poller");
	CU_ASSERT_EQUAL(strstr(run.err, note) != NULL, count_cpus() == 2);
	bench_run_free(&run);
}

static void
test_dma_by_poller(void)
{
	measure_dma("posix", "adjacent");
	measure_dma("uring", "apart");
}

static void
measure_transfers(const char *transport, const char *op)
{
	const char *const args[] = {"dma-message", FEW, "--path", "poller", "--transfers", "40",
		"--transport", transport, "--op", op, "--size", "4096", "--depth", "4", NULL};
	const struct bench_expected_transfers expected = {
		.transport = transport,
		.op = op,
		.size = 4096,
		.depth = 4,
		.transfers = 48,
		.rounds = ROUNDS,
	};
	struct bench_run run;

	if (!bench_can_measure(transport))
		return;
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check_transfers(run.out, &expected);
	bench_json_check_option(run.out, "path", "poller");
	bench_run_free(&run);
}

static void
test_transfers_by_poller(void)
{
	measure_transfers("posix", "read");
	measure_transfers("uring", "write");
}

static void
test_scale_by_poller(void)
{
	static const char *const args[] = {
		"scale", FEW, "--path", "poller", "--ops", "300", "--devices", "1,3,256", NULL};
	static const struct bench_expected_groups expected = {
		.measurement = "scale",
		.transport = "loopback",
		.units = "accesses",
		.topics = {"one busy", "all busy"},
		.names = {"1", "3", "256"},
		.samples = {512, 2},
		.per_sample = {1, 256},
		.rounds = ROUNDS,
	};
	struct bench_run run;

	if (!bench_can_measure("loopback"))
		return;
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check_groups(run.out, &expected);
	bench_json_check_option(run.out, "path", "poller");
	bench_run_free(&run);
}

static void
test_scale_by_poller_and_socket(void)
{
	static const char *const args[] = {"scale", FEW, "--path", "poller", "--ops", "256",
		"--devices", "1,5", "--transport", "posix", NULL};
	struct bench_run run;

	if (count_cpus() >= 3) {
		bench_run(&run, &place, args, NULL, 0);
		bench_json_check_option(run.out, "path", "poller");
	} else {
		bench_run(&run, &place, args, NULL, 1);
		bench_run_assert_complaint(&run, "use vuc-bench hop, or --transport loopback");
	}
	bench_run_free(&run);
}

static CU_TestInfo path_tests[] = {
	{"mmio by a poller", test_mmio_by_poller},
	{"mmio by a poller and a socket", test_mmio_by_poller_and_socket},
	{"dma by a poller", test_dma_by_poller},
	{"dma-message by a poller", test_transfers_by_poller},
	{"scale by a poller", test_scale_by_poller},
	{"scale by a poller and a socket", test_scale_by_poller_and_socket},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{.pName = "paths",
		.pInitFunc = make_place,
		.pCleanupFunc = remove_place,
		.pTests = path_tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
