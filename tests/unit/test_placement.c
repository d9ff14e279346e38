/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <limits.h>

#include "placement.h"
#include "tap.h"

#define MACHINE_CPUS 16

static struct vuc_topology_cpu cpus[MACHINE_CPUS];
static struct vuc_topology machine = {.cpus = cpus};
static struct vuc_placement_request request;
static struct vuc_placement placement;
static struct vuc_error error;

/* CPUs in blocks a node; those of a core, when there are two, lie half a machine apart. */
static void
describe(unsigned int nr_cpus, unsigned int nr_nodes, bool smt)
{
	unsigned int nr_cores = smt ? nr_cpus / 2 : nr_cpus;

	for (unsigned int id = 0; id < nr_cpus; id++) {
		cpus[id] = (struct vuc_topology_cpu){
			.id = id,
			.node = (int)(id % nr_cores / (nr_cores / nr_nodes)),
			.core = id % nr_cores,
			.allowed = true,
		};
	}
	machine.nr_cpus = nr_cpus;
	request = (struct vuc_placement_request){
		.cpu = PLACEMENT_AUTO,
		.server_node = PLACEMENT_UNKNOWN,
		.server_cpu = PLACEMENT_UNKNOWN,
		.guest_node = PLACEMENT_UNKNOWN,
	};
	error = (struct vuc_error){0};
}

static int
choose(void)
{
	return vuc_placement_choose(&machine, &request, &placement, &error);
}

static void
chosen(unsigned int cpu, const char *reason)
{
	CU_ASSERT_EQUAL(choose(), 0);
	CU_ASSERT_EQUAL(placement.cpu, cpu);
	CU_ASSERT_STRING_EQUAL(placement.reason, reason);
}

/* As whoever starts a poller does it. */
static unsigned int
place_another(void)
{
	CU_ASSERT_EQUAL_FATAL(choose(), 0);
	cpus[placement.cpu].pollers++;
	return placement.cpu;
}

static void
test_one_cpu(void)
{
	describe(1, 1, false);
	chosen(0, "CPU 0 of node 0: no other poller");
	CU_ASSERT_EQUAL(placement.node, 0);
	cpus[0].pollers = 1;
	chosen(0, "CPU 0 of node 0: 1 other poller");
	cpus[0].node = PLACEMENT_UNKNOWN;
	cpus[0].pollers = 2;
	chosen(0, "CPU 0: 2 other pollers");
	CU_ASSERT_EQUAL(placement.node, PLACEMENT_UNKNOWN);
}

/* One that spins leaves less than several that sleep. */
static void
test_spinning(void)
{
	describe(2, 1, false);
	cpus[1].pollers = 1;
	cpus[1].spinning = 1;
	cpus[0].pollers = 3;
	chosen(0, "CPU 0 of node 0: 3 other pollers");
	cpus[0].spinning = 1;
	chosen(1, "CPU 1 of node 0: 1 other poller, 1 of them spinning");
}

static void
test_one_node(void)
{
	describe(2, 1, false);
	request.server_node = 0;
	request.guest_node = 0;
	chosen(1, "CPU 1 of node 0: the server's and the guest's node, no other poller");
	cpus[1].pollers = 1;
	chosen(0, "CPU 0 of node 0: the server's and the guest's node, no other poller");
}

static void
test_two_nodes(void)
{
	describe(8, 2, false);
	request.server_node = 1;
	chosen(4, "CPU 4 of node 1: the server's node, no other poller");
	CU_ASSERT_EQUAL(placement.node, 1);
	request.guest_node = 0;
	chosen(4, "CPU 4 of node 1: the server's node, not the guest's node 0, no other poller");
	request.server_node = PLACEMENT_UNKNOWN;
	chosen(1, "CPU 1 of node 0: the guest's node, no other poller");
}

static void
test_isolated(void)
{
	describe(8, 2, false);
	cpus[3].isolated = true;
	cpus[7].isolated = true;
	chosen(3, "CPU 3 of node 0: isolated, no other poller");
	request.server_node = 1;
	chosen(7, "CPU 7 of node 1: the server's node, isolated, no other poller");
	cpus[7].isolated = false;
	chosen(4, "CPU 4 of node 1: the server's node, no other poller");
}

static void
test_four_nodes(void)
{
	describe(16, 4, false);
	request.server_node = 3;
	request.guest_node = 2;
	for (unsigned int cpu = 12; cpu < 16; cpu++)
		CU_ASSERT_EQUAL(place_another(), cpu);
	chosen(8, "CPU 8 of node 2: the guest's node, not the server's node 3, no other poller");
	for (unsigned int cpu = 8; cpu < 12; cpu++)
		CU_ASSERT_EQUAL(place_another(), cpu);
	chosen(1,
		"CPU 1 of node 0: not the server's node 3, not the guest's node 2, no other poller");
}

/* With a poller on every CPU, the second round goes as the first one did. */
static void
test_rounds(void)
{
	describe(4, 2, false);
	request.server_node = 1;
	for (unsigned int round = 0; round < 2; round++) {
		CU_ASSERT_EQUAL(place_another(), 2);
		CU_ASSERT_EQUAL(place_another(), 3);
		CU_ASSERT_EQUAL(place_another(), 1);
		CU_ASSERT_EQUAL(place_another(), 0);
	}
}

static void
test_siblings(void)
{
	describe(8, 1, true);
	CU_ASSERT_EQUAL(place_another(), 1);
	CU_ASSERT_EQUAL(place_another(), 2);
	CU_ASSERT_EQUAL(place_another(), 3);
	CU_ASSERT_EQUAL(place_another(), 4); /* CPU 0's, which has work of its own */
	chosen(5, "CPU 5 of node 0: another poller on its core, no other poller");
	cpus[4].pollers = 0;
	cpus[4].allowed = false;
	chosen(0, "CPU 0 of node 0: no other poller");
}

static void
test_bound_server(void)
{
	describe(2, 1, false);
	request.server_node = 0;
	request.server_cpu = 1;
	chosen(0, "CPU 0 of node 0: the server's node, no other poller");
	cpus[0].pollers = 1;
	chosen(1, "CPU 1 of node 0: the server's node, the server is bound to it, no other poller");
	cpus[0].allowed = false;
	cpus[1].pollers = 3;
	chosen(1, "CPU 1 of node 0: the server's node, the server is bound to it, 3 other pollers");
}

static void
test_not_allowed(void)
{
	describe(8, 2, false);
	cpus[3].isolated = true;
	cpus[3].allowed = false;
	cpus[1].allowed = false;
	CU_ASSERT_EQUAL(place_another(), 2);
	for (unsigned int id = 0; id < 8; id++)
		cpus[id].allowed = false;
	CU_ASSERT_EQUAL(choose(), -ENODEV);
	CU_ASSERT_STRING_EQUAL(error.text, "none of the CPUs that are online is allowed");
}

static void
test_by_hand(void)
{
	describe(8, 2, false);
	cpus[6].isolated = true;
	cpus[6].pollers = 2;
	request.cpu = 6;
	request.server_node = 0;
	chosen(6, "CPU 6 of node 1: asked for, not the server's node 0, isolated, 2 other pollers");
	request.cpu = 0;
	chosen(0, "CPU 0 of node 0: asked for, the server's node, no other poller");
}

static void
refused(int cpu, const char *reason)
{
	request.cpu = cpu;
	CU_ASSERT_EQUAL(choose(), -EINVAL);
	CU_ASSERT_STRING_EQUAL(error.text, reason);
}

static void
test_by_hand_refused(void)
{
	describe(8, 2, false);
	cpus[1].allowed = false;
	cpus[7].allowed = false;
	refused(7, "CPU 7 is not allowed; the process may use 0,2-6");
	refused(8, "CPU 8 is not online; the process may use 0,2-6");
	refused(-2, "CPU -2 is not online; the process may use 0,2-6");
	refused(INT_MAX, "CPU 2147483647 is not online; the process may use 0,2-6");
}

static CU_TestInfo tests[] = {
	{"one CPU", test_one_cpu},
	{"pollers that spin", test_spinning},
	{"one node", test_one_node},
	{"two nodes", test_two_nodes},
	{"isolated", test_isolated},
	{"four nodes", test_four_nodes},
	{"rounds", test_rounds},
	{"siblings", test_siblings},
	{"bound server", test_bound_server},
	{"not allowed", test_not_allowed},
	{"by hand", test_by_hand},
	{"by hand, refused", test_by_hand_refused},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_tests("placement", NULL, NULL, tests);
}
