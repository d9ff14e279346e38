/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What vuc-bench, $VUC_BENCH, measures by shared memory: with a poller in a process of its own, and
 * with a guest in $VUC_VMM.
 */

#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_json.h"
#include "bench_run.h"
#include "tap.h"

/* Few: this must work beside whatever else the machine does. */
#define ROUNDS 2
#define FEW    "--path", "shm", "--rounds", "2", "--json", "-"

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

/* Returns a number of vuc's series, behind the floor's, or UINT64_MAX when it is not there. */
static uint64_t
number_of_vuc(const char *text, const char *key)
{
	struct json_object *root = json_tokener_parse(text);
	struct json_object *series = NULL, *number = NULL;
	uint64_t value = UINT64_MAX;

	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	CU_ASSERT_TRUE_FATAL(json_object_object_get_ex(root, "series", &series));
	if (json_object_object_get_ex(json_object_array_get_idx(series, 1), key, &number))
		value = json_object_get_uint64(number);
	json_object_put(root);
	return value;
}

static void
measure_hop(const char *op, const char *depth, unsigned int together, const char *floor)
{
	const char *const args[] = {
		"hop", FEW, "--ops", "256", "--op", op, "--depth", depth, "--floor", floor, NULL};
	const struct bench_expected_groups expected = {
		.measurement = "hop",
		.transport = "shm",
		.units = "requests",
		.names = {"floor", "vuc"},
		.samples = {256 / together},
		.per_sample = {together},
		.rounds = ROUNDS,
	};
	struct bench_run run;

	bench_run(&run, &place, args, NULL, 0);
	bench_json_check_groups(run.out, &expected);
	bench_json_check_option(run.out, "path", "shm");
	bench_json_check_option(run.out, "floor", floor);
	bench_run_free(&run);
}

static void
test_hop(void)
{
	if (!bench_can_measure("loopback"))
		return;
	measure_hop("read", "1", 1, "poller");
	measure_hop("write", "1", 1, "echo");
	measure_hop("read", "32", 32, "ring");
	measure_hop("posted", "64", 64, "poller");
}

/* A thread that never gives up spinning makes no system call at all. */
static void
test_no_syscalls(void)
{
	static const char *const args[] = {
		"hop", FEW, "--ops", "5000", "--spin", "4294967295", NULL};
	struct bench_run run;
	uint64_t syscalls;

	if (!bench_can_measure("loopback"))
		return;
	bench_run(&run, &place, args, NULL, 0);
	syscalls = number_of_vuc(run.out, "thread_syscalls");
	if (syscalls == UINT64_MAX)
		vuc_tap_skip("ptrace is not allowed here");
	else
		CU_ASSERT_EQUAL(syscalls, 0);
	bench_run_free(&run);
}

/* One that sleeps at once makes some, and they are seen. */
static void
test_syscalls_are_counted(void)
{
	static const char *const args[] = {"hop", FEW, "--ops", "50", "--spin", "1", NULL};
	struct bench_run run;
	uint64_t syscalls;

	if (!bench_can_measure("loopback"))
		return;
	bench_run(&run, &place, args, NULL, 0);
	syscalls = number_of_vuc(run.out, "thread_syscalls");
	if (syscalls == UINT64_MAX) {
		vuc_tap_skip("ptrace is not allowed here");
	} else {
		CU_ASSERT_TRUE(syscalls > 0);
		CU_ASSERT_TRUE(number_of_vuc(run.out, "thread_futexes") > 0);
		CU_ASSERT_TRUE(number_of_vuc(run.out, "thread_futexes") <= syscalls);
	}
	bench_run_free(&run);
}

static void
measure_mmio(const char *op, unsigned int burst)
{
	const char *const args[] = {
		"mmio", FEW, "--transport", "loopback", "--ops", "192", "--op", op, NULL};
	const struct bench_expected expected = {
		.transport = "loopback",
		.op = op,
		.floor = "call",
		.ops = 192,
		.burst = burst,
		.rounds = ROUNDS,
		.may_sleep = true,
	};
	struct bench_run run;

	bench_run(&run, &place, args, NULL, 0);
	bench_json_check(run.out, &expected);
	bench_json_check_option(run.out, "path", "shm");
	bench_run_free(&run);
}

static void
test_mmio(void)
{
	if (!bench_can_measure("loopback"))
		return;
	measure_mmio("read", 1);
	measure_mmio("write", 1);
	measure_mmio("posted", 32);
}

static void
measure_dma(const char *transport, const char *layout)
{
	const char *const args[] = {
		"dma", FEW, "--maps", "300", "--transport", transport, "--layout", layout, NULL};
	const struct bench_expected_dma expected = {
		.transport = transport,
		.layout = layout,
		.maps = 300,
		.rounds = ROUNDS,
	};
	struct bench_run run;

	if (!bench_can_measure(transport))
		return;
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check_dma(run.out, &expected);
	bench_json_check_option(run.out, "path", "shm");
	bench_run_free(&run);
}

static void
test_dma(void)
{
	measure_dma("posix", "adjacent");
	measure_dma("uring", "apart");
}

static void
test_scale(void)
{
	static const char *const args[] = {
		"scale", FEW, "--ops", "300", "--devices", "1,3,17", NULL};
	static const struct bench_expected_groups expected = {
		.measurement = "scale",
		.transport = "loopback",
		.units = "accesses",
		.topics = {"one busy", "all busy"},
		.names = {"1", "3", "17"},
		.samples = {512, 2},
		.per_sample = {1, 256},
		.rounds = ROUNDS,
	};
	struct bench_run run;

	if (!bench_can_measure("loopback"))
		return;
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check_groups(run.out, &expected);
	bench_json_check_option(run.out, "path", "shm");
	bench_run_free(&run);
}

static void
test_idle(void)
{
	static const char *const args[] = {
		"idle", FEW, "--seconds", "0.05", "--accesses", "2", "--transport", "posix", NULL};
	static const struct bench_expected_groups expected = {
		.measurement = "idle",
		.transport = "posix",
		.units = "accesses",
		.names = {"spin", "yield", "sleep"},
		.samples = {2},
		.per_sample = {1},
		.rounds = ROUNDS,
	};
	struct bench_run run;

	if (!bench_can_measure("posix"))
		return;
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check_groups(run.out, &expected);
	/* The process has two threads that may have something to do. */
	bench_json_check_number(run.out, NULL, "cpu_share", 0, 2.5);
	bench_run_free(&run);
}

static void
test_guest(void)
{
	static const char *const args[] = {
		"guest", "--rounds", "2", "--json", "-", "--ops", "50", NULL};
	static const struct bench_expected_groups expected = {
		.measurement = "guest",
		.units = "accesses",
		.names = {"exit", "read", "posted", "mapped"},
		.samples = {1},
		.per_sample = {1},
		.rounds = ROUNDS,
	};
	struct bench_run run;

	if (!bench_has_guest()) {
		vuc_tap_skip("needs vuc-vmm and /dev/kvm");
		return;
	}
	if (!bench_can_measure("loopback"))
		return;
	bench_run(&run, &place, args, NULL, 0);
	bench_json_check_groups(run.out, &expected);
	bench_json_check_number(run.out, NULL, "p50_ticks", 1, 1e9);
	CU_ASSERT_PTR_NOT_NULL(strstr(run.err, "ticks of the guest's time stamp counter"));
	bench_run_free(&run);
}

static void
without_vmm(bool begin)
{
	static char *before;

	if (begin) {
		before = getenv("VUC_VMM");
		before = before != NULL ? strdup(before) : NULL;
		setenv("VUC_VMM", "/nonexistent/vmm", 1);
		return;
	}
	if (before != NULL)
		setenv("VUC_VMM", before, 1);
	else
		unsetenv("VUC_VMM");
	free(before);
}

/* It says what is missing, be it the program or KVM. */
static void
test_no_guest(void)
{
	static const char *const args[] = {"guest", NULL};
	struct bench_run run;

	bench_run(&run, &place, args, without_vmm, 1);
	bench_run_assert_complaint(
		&run, access("/dev/kvm", R_OK | W_OK) == 0 ? "/nonexistent/vmm" : "/dev/kvm");
	bench_run_free(&run);
}

static CU_TestInfo shm_tests[] = {
	{"hop", test_hop},
	{"no system calls", test_no_syscalls},
	{"system calls are counted", test_syscalls_are_counted},
	{"mmio", test_mmio},
	{"dma", test_dma},
	{"scale", test_scale},
	{"idle", test_idle},
	{"guest", test_guest},
	{"no guest", test_no_guest},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{.pName = "shm",
		.pInitFunc = make_place,
		.pCleanupFunc = remove_place,
		.pTests = shm_tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
