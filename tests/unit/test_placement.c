/* SPDX-License-Identifier: BSD-3-Clause */
#include <limits.h>
#include <numaif.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "cpulist.h"
#include "placement.h"
#include "tap.h"
#include "tempdir.h"

#define X PLACEMENT_UNKNOWN /* also PLACEMENT_AUTO */

/* ---- the choice ---- */

/* A machine with CPUs in blocks a node; those of a core, when there are two, lie half a machine
 * apart. Pollers that are placed one after the other get these CPUs, the last one for a reason. */
static const struct {
	unsigned int nr_cpus, nr_nodes;
	bool smt;
	struct vuc_placement_request request; /* cpu, server's node and CPU, guest's node */
	struct {
		unsigned int id, pollers, spinning;
		bool isolated, denied, nodeless;
	} cpus[4];          /* those that differ from an idle one */
	const char *chosen; /* CPUs */
	const char *reason; /* of the last one, after "CPU n" */
} choices[] = {
	{1, 1, false, {X, X, X, X}, {{0}}, "0", " of node 0: no other poller"},
	{1, 1, false, {X, X, X, X}, {{0, 1}}, "0", " of node 0: 1 other poller"},
	{1, 1, false, {X, X, X, X}, {{0, 2, .nodeless = true}}, "0", ": 2 other pollers"},
	/* One that spins leaves less than several that sleep. */
	{2, 1, false, {X, X, X, X}, {{1, 1, 1}, {0, 3}}, "0", " of node 0: 3 other pollers"},
	{2, 1, false, {X, X, X, X}, {{1, 1, 1}, {0, 3, 1}}, "1",
		" of node 0: 1 other poller, 1 of them spinning"},
	{2, 1, false, {X, 0, X, 0}, {{0}}, "1 0",
		" of node 0: the server's and the guest's node, no other poller"},
	{8, 2, false, {X, 1, X, X}, {{0}}, "4", " of node 1: the server's node, no other poller"},
	{8, 2, false, {X, 1, X, 0}, {{0}}, "4",
		" of node 1: the server's node, not the guest's node 0, no other poller"},
	{8, 2, false, {X, X, X, 0}, {{0}}, "1", " of node 0: the guest's node, no other poller"},
	{8, 2, false, {X, X, X, X}, {{3, .isolated = true}, {7, .isolated = true}}, "3",
		" of node 0: isolated, no other poller"},
	{8, 2, false, {X, 1, X, X}, {{3, .isolated = true}, {7, .isolated = true}}, "7",
		" of node 1: the server's node, isolated, no other poller"},
	{8, 2, false, {X, 1, X, X}, {{3, .isolated = true}}, "4",
		" of node 1: the server's node, no other poller"},
	{16, 4, false, {X, 3, X, 2}, {{0}}, "12 13 14 15 8",
		" of node 2: the guest's node, not the server's node 3, no other poller"},
	{16, 4, false, {X, 3, X, 2}, {{0}}, "12 13 14 15 8 9 10 11 1",
		" of node 0: not the server's node 3, not the guest's node 2, no other poller"},
	/* With a poller on every CPU, the second round goes as the first one did. */
	{4, 2, false, {X, 1, X, X}, {{0}}, "2 3 1 0 2 3 1 0",
		" of node 0: not the server's node 1, 1 other poller"},
	/* CPU 4 is on the core of CPU 0, which has work of its own. */
	{8, 1, true, {X, X, X, X}, {{0}}, "1 2 3 4 5",
		" of node 0: another poller on its core, no other poller"},
	{8, 1, true, {X, X, X, X}, {{4, .denied = true}}, "1 2 3 0", " of node 0: no other poller"},
	{2, 1, false, {X, 0, 1, X}, {{0}}, "0", " of node 0: the server's node, no other poller"},
	{2, 1, false, {X, 0, 1, X}, {{0, 1}}, "1",
		" of node 0: the server's node, the server is bound to it, no other poller"},
	{2, 1, false, {X, 0, 1, X}, {{0, 1, .denied = true}, {1, 3}}, "1",
		" of node 0: the server's node, the server is bound to it, 3 other pollers"},
	{8, 2, false, {X, X, X, X}, {{3, .isolated = true, .denied = true}, {1, .denied = true}},
		"2", " of node 0: no other poller"},
	/* By hand. */
	{8, 2, false, {6, 0, X, X}, {{6, 2, .isolated = true}}, "6",
		" of node 1: asked for, not the server's node 0, isolated, 2 other pollers"},
	{8, 2, false, {0, 0, X, X}, {{6, 2, .isolated = true}}, "0",
		" of node 0: asked for, the server's node, no other poller"},
};

static struct vuc_topology_cpu cpus[16];
static struct vuc_topology machine = {.cpus = cpus};
static struct vuc_placement_request request;
static struct vuc_placement placement;

static void
machine_describe(unsigned int nr_cpus, unsigned int nr_nodes, bool smt)
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
}

static void
test_choices(void)
{
	for (size_t row = 0; row < NR(choices); row++) {
		char chosen[64] = "", reason[VUC_ERROR_MAX];

		vuc_tap_row("choice %zu", row);
		machine_describe(choices[row].nr_cpus, choices[row].nr_nodes, choices[row].smt);
		for (unsigned int i = 0; i < 4; i++) {
			struct vuc_topology_cpu *cpu = &cpus[choices[row].cpus[i].id];

			cpu->pollers += choices[row].cpus[i].pollers;
			cpu->spinning += choices[row].cpus[i].spinning;
			cpu->isolated |= choices[row].cpus[i].isolated;
			cpu->allowed &= !choices[row].cpus[i].denied;
			cpu->node = choices[row].cpus[i].nodeless ? X : cpu->node;
		}
		do {
			size_t len = strlen(chosen);

			CU_ASSERT_EQUAL_FATAL(vuc_placement_choose(&machine, &choices[row].request,
						      &placement, NULL),
				0);
			CU_ASSERT_EQUAL(placement.node, cpus[placement.cpu].node);
			cpus[placement.cpu].pollers++;
			snprintf(chosen + len, sizeof(chosen) - len, "%s%u", len > 0 ? " " : "",
				placement.cpu);
		} while (strlen(chosen) < strlen(choices[row].chosen));
		snprintf(reason, sizeof(reason), "CPU %u%s", placement.cpu, choices[row].reason);
		CU_ASSERT(tap_text_is(chosen, choices[row].chosen));
		CU_ASSERT(tap_text_is(placement.reason, reason));
	}
}

static void
test_refused(void)
{
	static const struct {
		int cpu;
		int rc;
		const char *error;
	} rows[] = {
		{7, -EINVAL, "CPU 7 is not allowed; the process may use 0,2-6"},
		{8, -EINVAL, "CPU 8 is not online; the process may use 0,2-6"},
		{-2, -EINVAL, "CPU -2 is not online; the process may use 0,2-6"},
		{INT_MAX, -EINVAL, "CPU 2147483647 is not online; the process may use 0,2-6"},
		{X, -ENODEV, "none of the CPUs that are online is allowed"},
	};

	machine_describe(8, 2, false);
	cpus[1].allowed = cpus[7].allowed = false;
	for (size_t i = 0; i < NR(rows); i++) {
		struct vuc_error err = {""};

		request = (struct vuc_placement_request){rows[i].cpu, X, X, X};
		for (unsigned int id = 0; id < 8 && rows[i].cpu == X; id++)
			cpus[id].allowed = false;
		CU_ASSERT_EQUAL(
			vuc_placement_choose(&machine, &request, &placement, &err), rows[i].rc);
		CU_ASSERT_STRING_EQUAL(err.text, rows[i].error);
	}
}

/* ---- lists ---- */

static void
test_lists(void)
{
	static const char *const same[] = {"0", "1023", "0-1023", "0-2,5,7-8,1000-1023"};
	static const char *const wrong[] = {"", ",", "0,", ",0", "a", "0-", "-1", "3-2", "0 ,1",
		"0--1", "0-1-2", "1024", "0-1024", "4294967296", "99999999999999999999", "1x"};
	char list[64];
	cpu_set_t set;

	for (size_t i = 0; i < NR(same); i++) {
		CU_ASSERT_EQUAL(vuc_cpulist_parse(same[i], &set), 0);
		vuc_cpulist_format(&set, list, sizeof(list));
		CU_ASSERT_STRING_EQUAL(list, same[i]);
	}
	CU_ASSERT_EQUAL(vuc_cpulist_parse("3,1,2-3", &set), 0);
	CU_ASSERT_EQUAL(CPU_COUNT(&set), 3);
	for (size_t i = 0; i < NR(wrong); i++)
		CU_ASSERT_EQUAL(vuc_cpulist_parse(wrong[i], &set), -EINVAL);
	/* Cut short. */
	CU_ASSERT_EQUAL(vuc_cpulist_parse("10,12,14,16", &set), 0);
	vuc_cpulist_format(&set, list, 12);
	CU_ASSERT_STRING_EQUAL(list, "10,12,14...");
	CPU_ZERO(&set);
	vuc_cpulist_format(&set, list, 12);
	CU_ASSERT_STRING_EQUAL(list, "");
}

/* ---- a machine made of files ---- */

static char root[VUC_TEMPDIR_SIZE];

__attribute__((format(printf, 2, 3))) static void
put(const char *content, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list args;
	int len = snprintf(path, sizeof(path), "%s/", root);

	va_start(args, fmt);
	vsnprintf(path + len, sizeof(path) - (size_t)len, fmt, args);
	va_end(args);
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_put(path, content), 0);
}

static void
make_root(void)
{
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(root), 0);
}

static void
remove_root(void)
{
	CU_ASSERT_EQUAL(vuc_tempdir_remove(root), 0);
}

/* Two nodes of two cores of two threads; CPUs 2 and 6 are isolated, 7 is offline. */
static void
put_machine(void)
{
	put("0-6\n", "devices/system/cpu/online");
	put("2,6\n", "devices/system/cpu/isolated");
	put("0-1\n", "devices/system/node/online");
	put("0-1,4-5\n", "devices/system/node/node0/cpulist");
	put("2-3,6\n", "devices/system/node/node1/cpulist");
	for (unsigned int id = 0; id < 7; id++) {
		char siblings[16];

		snprintf(siblings, sizeof(siblings), "%u,%u\n", id % 4, id % 4 + 4);
		put(id == 3 ? "3\n" : siblings,
			"devices/system/cpu/cpu%u/topology/thread_siblings_list", id);
	}
}

/* Read a machine, and assert what it is: each CPU as its number, node and core, and whether it is
 * allowed and isolated. */
static struct vuc_topology
expect_machine(const char *sys, const char *allowed, const char *expected)
{
	struct vuc_topology topology;
	char text[256] = "";
	cpu_set_t set;

	CU_ASSERT_EQUAL_FATAL(vuc_cpulist_parse(allowed, &set), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_topology_read(sys, &set, &topology, NULL), 0);
	for (size_t i = 0; i < topology.nr_cpus; i++) {
		const struct vuc_topology_cpu *cpu = &topology.cpus[i];
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, " %u/%d/%u%s%s", cpu->id, cpu->node,
			cpu->core, cpu->allowed ? "a" : "", cpu->isolated ? "i" : "");
		CU_ASSERT(cpu->pollers == 0 && cpu->spinning == 0);
		CU_ASSERT_PTR_EQUAL(vuc_topology_find(&topology, cpu->id), cpu);
	}
	CU_ASSERT_STRING_EQUAL(text, expected);
	CU_ASSERT_PTR_NULL(vuc_topology_find(&topology, 7));
	return topology;
}

static void
test_files(void)
{
	struct vuc_topology topology;

	put_machine();
	topology =
		expect_machine(root, "1-5,7", " 0/0/0 1/0/1a 2/1/2ai 3/1/3a 4/0/0a 5/0/1a 6/1/2i");
	vuc_topology_free(&topology);
	CU_ASSERT_PTR_NULL(topology.cpus);
	/* As in a container that has no sysfs, or one that says nothing useful. */
	topology = expect_machine("/nonexistent", "3,5", " 3/-1/3a 5/-1/5a");
	request = (struct vuc_placement_request){X, 0, X, 0};
	CU_ASSERT_EQUAL(vuc_placement_choose(&topology, &request, &placement, NULL), 0);
	CU_ASSERT_EQUAL(placement.cpu, 3);
	vuc_topology_free(&topology);
}

#define STATUS(cpus, mems)                                            \
	"Name:\tCpus_allowed_list: 0\nCpus_allowed_list:\t" cpus "\n" \
	"Mems_allowed_list:\t" mems "\n"
#define STAT(cpu)                                                                          \
	"7 (a) b) 1) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 " \
	"28 29 30 31 32 33 34 35 36 37 38 " cpu " 40 41\n"

/* Where processes are, by their files of /proc; NULL: there is none. */
static void
test_servers(void)
{
	static const struct {
		const char *status, *stat;
		int node, cpu;
	} rows[] = {
		{STATUS("2-3,6", "0-1"), STAT("0"), 1, X},
		{STATUS("4", "0-1"), STAT("0"), 0, 4},
		{STATUS("0-1023", "1"), STAT("0"), 1, X},
		{STATUS("3-4", "1"), STAT("0"), 1, X},
		/* It may run anywhere and have memory anywhere: then it is where it was last. */
		{STATUS("0-6", "0-1"), STAT("6"), 1, X},
		{STATUS("0-6", "0-1"), STAT("1"), 0, X},
		{STATUS("?", "?"), STAT("1"), 0, X},
		{STATUS("0-6", "0-1"), STAT("700"), X, X},
		{STATUS("0-6", "0-1"), STAT("?"), X, X},
		{NULL, NULL, X, X},
		{NULL, "7 (short) S 1 2", X, X},
		{NULL, "", X, X},
	};
	struct vuc_topology topology;

	put_machine();
	topology =
		expect_machine(root, "0-6", " 0/0/0a 1/0/1a 2/1/2ai 3/1/3a 4/0/0a 5/0/1a 6/1/2ai");
	for (int pid = 0; pid < (int)NR(rows); pid++) {
		vuc_tap_row("server %d", pid);
		if (rows[pid].status != NULL)
			put(rows[pid].status, "%d/status", pid);
		if (rows[pid].stat != NULL)
			put(rows[pid].stat, "%d/stat", pid);
		request.server_node = request.server_cpu = 1;
		vuc_placement_ask_process(&topology, root, pid, &request);
		CU_ASSERT_EQUAL(request.server_node, rows[pid].node);
		CU_ASSERT_EQUAL(request.server_cpu, rows[pid].cpu);
	}
	vuc_topology_free(&topology);
}

static void
test_strange_files(void)
{
	struct vuc_topology topology;

	put_machine();
	put("what?\n", "devices/system/cpu/isolated");
	put("0-1,5000\n", "devices/system/node/online");
	put("", "devices/system/cpu/cpu4/topology/thread_siblings_list");
	topology = expect_machine(
		root, "0-6", " 0/-1/0a 1/-1/1a 2/-1/2a 3/-1/3a 4/-1/4a 5/-1/1a 6/-1/2a");
	vuc_topology_free(&topology);
}

/* ---- this machine ---- */

/* In a thread of its own, which may run on the CPU *arg only; sets it to the one that is chosen. */
static void *
choose_when_bound(void *arg)
{
	const struct vuc_placement_request any = {X, X, X, X};
	struct vuc_placement chosen;
	struct vuc_topology topology;
	cpu_set_t one;
	int *cpu = arg;

	CPU_ZERO(&one);
	CPU_SET((unsigned int)*cpu, &one);
	*cpu = -1;
	if (sched_setaffinity(0, sizeof(one), &one) != 0 ||
		vuc_topology_read("/sys", NULL, &topology, NULL) != 0)
		return NULL;
	if (vuc_placement_choose(&topology, &any, &chosen, NULL) == 0)
		*cpu = (int)chosen.cpu;
	vuc_topology_free(&topology);
	return NULL;
}

/* The calling thread's CPUs count, not those of its process. */
static void
test_this_thread(void)
{
	struct vuc_topology topology;
	cpu_set_t allowed;
	size_t nr_allowed = 0;

	CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_topology_read("/sys", NULL, &topology, NULL), 0);
	for (size_t i = 0; i < topology.nr_cpus; i++) {
		int cpu = (int)topology.cpus[i].id;
		pthread_t thread;

		CU_ASSERT_EQUAL(topology.cpus[i].allowed, CPU_ISSET((size_t)cpu, &allowed) != 0);
		/* The first and the last one of them. */
		if (!topology.cpus[i].allowed ||
			(++nr_allowed != 1 && nr_allowed != (size_t)CPU_COUNT(&allowed)))
			continue;
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, choose_when_bound, &cpu), 0);
		pthread_join(thread, NULL);
		CU_ASSERT_EQUAL(cpu, (int)topology.cpus[i].id);
	}
	CU_ASSERT_EQUAL(nr_allowed, (size_t)CPU_COUNT(&allowed));
	vuc_topology_free(&topology);
}

/* The server is this very process, bound to a CPU. */
static void
test_this_server(void)
{
	struct vuc_topology topology;
	cpu_set_t before, one;
	int pair[2];

	CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(before), &before), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_topology_read("/sys", NULL, &topology, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	request = (struct vuc_placement_request){X, X, X, X};
	CU_ASSERT_EQUAL(vuc_placement_choose(&topology, &request, &placement, NULL), 0);
	CPU_ZERO(&one);
	CPU_SET(placement.cpu, &one);
	CU_ASSERT_EQUAL(sched_setaffinity(0, sizeof(one), &one), 0);
	vuc_placement_ask_server(&topology, pair[0], &request);
	CU_ASSERT_EQUAL(sched_setaffinity(0, sizeof(before), &before), 0);
	CU_ASSERT_EQUAL(request.server_cpu, (int)placement.cpu);
	if (placement.node != X)
		CU_ASSERT_EQUAL(request.server_node, placement.node);
	close(pair[1]);
	close(pair[0]);
	vuc_placement_ask_server(&topology, pair[0], &request);
	CU_ASSERT(request.server_cpu == X && request.server_node == X);
	vuc_topology_free(&topology);
}

/* Where the kernel tells, a page that is used has a node; one that is not stays unused, and has the
 * node that it is bound to. */
static void
test_memory(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 2 * page;
	uint8_t *memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned char resident = 1;
	unsigned long mask;
	int used;

	CU_ASSERT_PTR_NOT_EQUAL_FATAL(memory, MAP_FAILED);
	memory[1] = 1;
	used = vuc_placement_memory_node(memory + 1);
	CU_ASSERT_EQUAL(vuc_placement_memory_node(memory + page), X);
	if (used == X) {
		vuc_tap_skip("the kernel does not tell the node of a page");
	} else {
		mask = 1ul << used;
		CU_ASSERT_EQUAL(mbind(memory, size, MPOL_BIND, &mask, 8 * sizeof(mask), 0), 0);
		CU_ASSERT_EQUAL(vuc_placement_memory_node(memory + page), used);
	}
	CU_ASSERT_EQUAL(mincore(memory + page, page, &resident), 0);
	CU_ASSERT_EQUAL(resident & 1, 0);
	munmap(memory, size);
	CU_ASSERT_EQUAL(vuc_placement_memory_node(memory), X);
	CU_ASSERT_EQUAL(vuc_placement_memory_node(NULL), X);
}

static const struct tap_suite real = {"real", NULL, NULL,
	{
		{"this thread", test_this_thread},
		{"this process as the server", test_this_server},
		{"memory", test_memory},
	}};

static const struct tap_suite files = {"files", make_root, remove_root,
	{
		{"a machine, and none", test_files},
		{"servers", test_servers},
		{"strange files", test_strange_files},
	},
	.next = &real};

const struct tap_suite tap_suite = {"choice", NULL, NULL,
	{
		{"chosen", test_choices},
		{"refused", test_refused},
		{"lists of CPUs", test_lists},
	},
	.next = &files};
