/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What vuc-bench, $VUC_BENCH, measures of polling cores: hop, scale, idle and everything at once.
 * What it reports is looked at, never how long something took.
 */

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
run_groups(const char *const *args, const struct bench_expected_groups *expected,
	struct bench_run *run)
{
	bench_run(run, &place, args, NULL, 0);
	bench_json_check_groups(run->out, expected);
	CU_ASSERT_PTR_NOT_NULL(strstr(run->err, "p50"));
}

static void
measure_hop(const char *op, const char *depth, unsigned int together, const char *floor)
{
	const char *const args[] = {"hop", FEW, "--ops", "256", "--op", op, "--depth", depth, NULL};
	const struct bench_expected_groups expected = {
		.measurement = "hop",
		.transport = "loopback",
		.units = "requests",
		.names = {"floor", "vuc"},
		.samples = {256 / together},
		.per_sample = {together},
		.rounds = ROUNDS,
	};
	struct bench_run run;

	if (!bench_can_measure("loopback"))
		return;
	run_groups(args, &expected, &run);
	bench_json_check_option(run.out, "op", op);
	bench_json_check_option(run.out, "floor", floor);
	bench_json_check_number(run.out, "options", "depth", together, together);
	bench_run_free(&run);
}

static void
test_hop(void)
{
	measure_hop("read", "1", 1, "echo");
	measure_hop("write", "1", 1, "echo");
}

static void
test_hop_deep(void)
{
	measure_hop("read", "32", 32, "ring");
	measure_hop("write", "256", 256, "ring");
}

static void
test_hop_posted(void)
{
	measure_hop("posted", "1", 1, "ring");
	measure_hop("posted", "64", 64, "ring");
}

static void
test_hop_ring_alone(void)
{
	static const char *const args[] = {"hop", FEW, "--ops", "100", "--floor", "ring", NULL};
	struct bench_run run;

	if (!bench_can_measure("loopback"))
		return;
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check_option(run.out, "floor", "ring");
	bench_run_free(&run);
}

static void
test_scale_loopback(void)
{
	static const char *const args[] = {
		"scale", FEW, "--ops", "300", "--devices", "1,3,256", NULL};
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

	run_groups(args, &expected, &run);
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, "a core with 256 devices makes"));
	bench_run_free(&run);
}

static void
measure_scale(const char *transport)
{
	const char *const args[] = {
		"scale", FEW, "--ops", "256", "--devices", "1,5", "--transport", transport, NULL};
	const struct bench_expected_groups expected = {
		.measurement = "scale",
		.transport = transport,
		.units = "accesses",
		.topics = {"one busy"},
		.names = {"1", "5"},
		.samples = {256},
		.per_sample = {1},
		.rounds = ROUNDS,
	};
	struct bench_run run;

	if (!bench_can_measure(transport))
		return;
	run_groups(args, &expected, &run);
	bench_run_free(&run);
}

static void
test_scale_uring(void)
{
	measure_scale("uring");
}

static void
test_scale_posix(void)
{
	measure_scale("posix");
}

static void
measure_idle(const char *transport)
{
	const char *const args[] = {"idle", FEW, "--seconds", "0.05", "--accesses", "2",
		"--transport", transport, NULL};
	const struct bench_expected_groups expected = {
		.measurement = "idle",
		.transport = transport,
		.units = "accesses",
		.names = {"spin", "yield", "sleep"},
		.samples = {2},
		.per_sample = {1},
		.rounds = ROUNDS,
	};
	struct bench_run run;

	if (!bench_can_measure(transport))
		return;
	run_groups(args, &expected, &run);
	/* A thread has one CPU at most; the two clocks are not read at once. */
	bench_json_check_number(run.out, NULL, "cpu_share", 0, 1.5);
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, "sleep: an idle poller takes"));
	bench_run_free(&run);
}

static void
test_idle_uring(void)
{
	measure_idle("uring");
}

static void
test_idle_posix(void)
{
	measure_idle("posix");
}

static void
test_all(void)
{
	static const char *const args[] = {"all", "--rounds", "1", "--json", "-", NULL};
	struct bench_run run;

	if (!bench_can_measure("loopback"))
		return;
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check_all(run.out, 16, bench_has_guest() ? 0 : 1, true);
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, "measured"));
	bench_run_free(&run);
}

/* With one CPU there is the loopback device without a poller: scale. */
static void
test_all_on_one_cpu(void)
{
	static const char *const args[] = {"all", "--rounds", "1", "--json", "-", NULL};
	struct bench_run run;

	bench_run(&run, &place, args, bench_on_one_cpu, 0);
	bench_json_check_all(run.out, 16, 15, false);
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, "hop: skipped: this process may use 1 CPU"));
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, "not measured"));
	bench_run_free(&run);
}

static CU_TestInfo core_tests[] = {
	{"hop", test_hop},
	{"hop, many outstanding", test_hop_deep},
	{"hop, posted", test_hop_posted},
	{"hop, the ring as floor of one request", test_hop_ring_alone},
	{"scale, loopback", test_scale_loopback},
	{"scale, uring", test_scale_uring},
	{"scale, posix", test_scale_posix},
	{"idle, uring", test_idle_uring},
	{"idle, posix", test_idle_posix},
	{"all", test_all},
	{"all, on one CPU", test_all_on_one_cpu},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{.pName = "cores",
		.pInitFunc = make_place,
		.pCleanupFunc = remove_place,
		.pTests = core_tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
