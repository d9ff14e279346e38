/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpulist.h"
#include "placement.h"
#include "tap.h"

static const struct vuc_placement_request any_cpu = {
	.cpu = PLACEMENT_AUTO,
	.server_node = PLACEMENT_UNKNOWN,
	.server_cpu = PLACEMENT_UNKNOWN,
	.guest_node = PLACEMENT_UNKNOWN,
};

static struct vuc_placement_request request;
static struct vuc_placement placement;

/* ---- lists ---- */

static bool
same_after_parsing(const char *list)
{
	char again[64];
	cpu_set_t set;

	if (vuc_cpulist_parse(list, &set) != 0)
		return false;
	vuc_cpulist_format(&set, again, sizeof(again));
	return strcmp(list, again) == 0;
}

static void
test_lists(void)
{
	static const char *const wrong[] = {"", ",", "0,", ",0", "a", "0-", "-1", "3-2", "0 ,1",
		"0--1", "0-1-2", "1024", "0-1024", "4294967296", "99999999999999999999", "1x"};
	cpu_set_t set;

	CU_ASSERT_TRUE(same_after_parsing("0"));
	CU_ASSERT_TRUE(same_after_parsing("1023"));
	CU_ASSERT_TRUE(same_after_parsing("0-1023"));
	CU_ASSERT_TRUE(same_after_parsing("0-2,5,7-8,1000-1023"));
	CU_ASSERT_EQUAL(vuc_cpulist_parse("3,1,2-3", &set), 0);
	CU_ASSERT_EQUAL(CPU_COUNT(&set), 3);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CU_ASSERT_EQUAL(vuc_cpulist_parse(wrong[i], &set), -EINVAL);
}

static void
test_lists_cut(void)
{
	char list[12];
	cpu_set_t set;

	CU_ASSERT_EQUAL(vuc_cpulist_parse("10,12,14,16", &set), 0);
	vuc_cpulist_format(&set, list, sizeof(list));
	CU_ASSERT_STRING_EQUAL(list, "10,12,14...");
	CPU_ZERO(&set);
	vuc_cpulist_format(&set, list, sizeof(list));
	CU_ASSERT_STRING_EQUAL(list, "");
}

/* ---- a machine made of files ---- */

static char root[] = "/tmp/vuc-topology-XXXXXX";

static void
make_parents(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
}

__attribute__((format(printf, 2, 3))) static void
put(const char *content, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list args;
	FILE *file;
	int len = snprintf(path, sizeof(path), "%s/", root);

	va_start(args, fmt);
	vsnprintf(path + len, sizeof(path) - (size_t)len, fmt, args);
	va_end(args);
	make_parents(path);
	file = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fputs(content, file);
	fclose(file);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int
make_root(void)
{
	return mkdtemp(root) == NULL;
}

static int
remove_root(void)
{
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
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

static struct vuc_topology
read_machine(const char *allowed)
{
	struct vuc_topology topology;
	cpu_set_t set;

	CU_ASSERT_EQUAL_FATAL(vuc_cpulist_parse(allowed, &set), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_topology_read(root, &set, &topology, NULL), 0);
	return topology;
}

static void
test_files(void)
{
	static const int nodes[] = {0, 0, 1, 1, 0, 0, 1};
	struct vuc_topology topology;

	put_machine();
	topology = read_machine("1-5,7");
	CU_ASSERT_EQUAL_FATAL(topology.nr_cpus, 7);
	for (unsigned int id = 0; id < 7; id++) {
		const struct vuc_topology_cpu *cpu = &topology.cpus[id];

		CU_ASSERT_EQUAL(cpu->id, id);
		CU_ASSERT_EQUAL(cpu->node, nodes[id]);
		CU_ASSERT_EQUAL(cpu->core, id % 4);
		CU_ASSERT_EQUAL(cpu->allowed, id >= 1 && id <= 5);
		CU_ASSERT_EQUAL(cpu->isolated, id == 2 || id == 6);
		CU_ASSERT_EQUAL(cpu->pollers, 0);
		CU_ASSERT_PTR_EQUAL(vuc_topology_find(&topology, id), cpu);
	}
	CU_ASSERT_PTR_NULL(vuc_topology_find(&topology, 7));
	vuc_topology_free(&topology);
	CU_ASSERT_PTR_NULL(topology.cpus);
}

/* As in a container that has no sysfs, or one that says nothing useful. */
static void
test_no_files(void)
{
	struct vuc_topology topology;
	cpu_set_t set;

	CU_ASSERT_EQUAL_FATAL(vuc_cpulist_parse("3,5", &set), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_topology_read("/nonexistent", &set, &topology, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(topology.nr_cpus, 2);
	CU_ASSERT_EQUAL(topology.cpus[0].id, 3);
	CU_ASSERT_EQUAL(topology.cpus[1].id, 5);
	CU_ASSERT_EQUAL(topology.cpus[1].core, 5);
	CU_ASSERT_EQUAL(topology.cpus[1].node, PLACEMENT_UNKNOWN);
	CU_ASSERT_TRUE(topology.cpus[1].allowed);
	CU_ASSERT_FALSE(topology.cpus[1].isolated);
	request = any_cpu;
	request.server_node = 0;
	request.guest_node = 0;
	CU_ASSERT_EQUAL(vuc_placement_choose(&topology, &request, &placement, NULL), 0);
	CU_ASSERT_EQUAL(placement.cpu, 3);
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
	topology = read_machine("0-6");
	CU_ASSERT_EQUAL_FATAL(topology.nr_cpus, 7);
	CU_ASSERT_FALSE(topology.cpus[2].isolated);
	CU_ASSERT_EQUAL(topology.cpus[2].node, PLACEMENT_UNKNOWN);
	CU_ASSERT_EQUAL(topology.cpus[4].core, 4);
	vuc_topology_free(&topology);
}

/* ---- servers ---- */

/* The request that process 7 leads to, with these files of /proc. */
static void
ask(const char *cpus_allowed, const char *mems_allowed, const char *last_cpu)
{
	struct vuc_topology topology;
	char text[512];

	put_machine();
	topology = read_machine("0-6");
	snprintf(text, sizeof(text), "Name:\tCpus_allowed_list: 0\n%s%s%s%s%s%s",
		cpus_allowed != NULL ? "Cpus_allowed_list:\t" : "", cpus_allowed, "\n",
		mems_allowed != NULL ? "Mems_allowed_list:\t" : "", mems_allowed, "\n");
	put(text, "7/status");
	snprintf(text, sizeof(text),
		"7 (a) b) 1) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 "
		"28 29 30 31 32 33 34 35 36 37 38 %s 40 41\n",
		last_cpu);
	put(text, "7/stat");
	vuc_placement_ask_process(&topology, root, 7, &request);
	vuc_topology_free(&topology);
}

static void
test_server(void)
{
	ask("2-3,6", "0-1", "0");
	CU_ASSERT_EQUAL(request.server_node, 1);
	CU_ASSERT_EQUAL(request.server_cpu, PLACEMENT_UNKNOWN);
	ask("4", "0-1", "0");
	CU_ASSERT_EQUAL(request.server_node, 0);
	CU_ASSERT_EQUAL(request.server_cpu, 4);
	ask("0-1023", "1", "0");
	CU_ASSERT_EQUAL(request.server_node, 1);
	CU_ASSERT_EQUAL(request.server_cpu, PLACEMENT_UNKNOWN);
}

/* It may run anywhere and have memory anywhere: then it is where it was last. */
static void
test_server_anywhere(void)
{
	ask("0-6", "0-1", "6");
	CU_ASSERT_EQUAL(request.server_node, 1);
	CU_ASSERT_EQUAL(request.server_cpu, PLACEMENT_UNKNOWN);
	ask("0-6", "0-1", "1");
	CU_ASSERT_EQUAL(request.server_node, 0);
	ask("?", "?", "1");
	CU_ASSERT_EQUAL(request.server_node, 0);
	ask("0-6", "0-1", "700");
	CU_ASSERT_EQUAL(request.server_node, PLACEMENT_UNKNOWN);
	ask("0-6", "0-1", "?");
	CU_ASSERT_EQUAL(request.server_node, PLACEMENT_UNKNOWN);
}

static void
test_server_unreadable(void)
{
	struct vuc_topology topology;

	put_machine();
	topology = read_machine("0-6");
	request.server_node = 1;
	request.server_cpu = 1;
	vuc_placement_ask_process(&topology, root, 8, &request);
	CU_ASSERT_EQUAL(request.server_node, PLACEMENT_UNKNOWN);
	CU_ASSERT_EQUAL(request.server_cpu, PLACEMENT_UNKNOWN);
	put("7 (short) S 1 2", "9/stat");
	vuc_placement_ask_process(&topology, root, 9, &request);
	CU_ASSERT_EQUAL(request.server_node, PLACEMENT_UNKNOWN);
	put("", "9/stat");
	vuc_placement_ask_process(&topology, root, 9, &request);
	CU_ASSERT_EQUAL(request.server_node, PLACEMENT_UNKNOWN);
	vuc_topology_free(&topology);
}

/* ---- this machine ---- */

static void
test_this_machine(void)
{
	struct vuc_topology topology;
	cpu_set_t allowed;
	size_t nr_allowed = 0;

	CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_topology_read("/sys", NULL, &topology, NULL), 0);
	for (size_t i = 0; i < topology.nr_cpus; i++)
		nr_allowed += topology.cpus[i].allowed;
	CU_ASSERT_EQUAL(nr_allowed, (size_t)CPU_COUNT(&allowed));
	request = any_cpu;
	CU_ASSERT_EQUAL(vuc_placement_choose(&topology, &request, &placement, NULL), 0);
	CU_ASSERT_TRUE(CPU_ISSET(placement.cpu, &allowed));
	vuc_topology_free(&topology);
}

/* In a thread of its own, which may run on the CPU *arg only; sets it to the one that is chosen. */
static void *
choose_when_bound(void *arg)
{
	int *cpu = arg;
	struct vuc_placement chosen;
	struct vuc_topology topology;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((unsigned int)*cpu, &one);
	*cpu = -1;
	if (sched_setaffinity(0, sizeof(one), &one) != 0 ||
		vuc_topology_read("/sys", NULL, &topology, NULL) != 0)
		return NULL;
	if (vuc_placement_choose(&topology, &any_cpu, &chosen, NULL) == 0)
		*cpu = (int)chosen.cpu;
	vuc_topology_free(&topology);
	return NULL;
}

static int
chosen_by_thread_on(unsigned int id)
{
	pthread_t thread;
	int cpu = (int)id;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, choose_when_bound, &cpu), 0);
	pthread_join(thread, NULL);
	return cpu;
}

/* The calling thread's CPUs count, not those of its process. */
static void
test_this_thread(void)
{
	unsigned int first = CPU_SETSIZE;
	unsigned int last = 0;
	cpu_set_t allowed;

	CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	for (unsigned int id = 0; id < CPU_SETSIZE; id++) {
		if (!CPU_ISSET(id, &allowed))
			continue;
		if (first == CPU_SETSIZE)
			first = id;
		last = id;
	}
	CU_ASSERT_EQUAL(chosen_by_thread_on(first), (int)first);
	CU_ASSERT_EQUAL(chosen_by_thread_on(last), (int)last);
}

/* The server is this very process, bound to a CPU. */
static void
test_this_server(void)
{
	struct vuc_topology topology;
	cpu_set_t before;
	cpu_set_t one;
	int pair[2];

	CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(before), &before), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_topology_read("/sys", NULL, &topology, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	request = any_cpu;
	CU_ASSERT_EQUAL(vuc_placement_choose(&topology, &request, &placement, NULL), 0);
	CPU_ZERO(&one);
	CPU_SET(placement.cpu, &one);
	CU_ASSERT_EQUAL(sched_setaffinity(0, sizeof(one), &one), 0);
	vuc_placement_ask_server(&topology, pair[0], &request);
	CU_ASSERT_EQUAL(sched_setaffinity(0, sizeof(before), &before), 0);
	CU_ASSERT_EQUAL(request.server_cpu, (int)placement.cpu);
	if (placement.node != PLACEMENT_UNKNOWN)
		CU_ASSERT_EQUAL(request.server_node, placement.node);
	close(pair[1]);
	close(pair[0]);
	vuc_placement_ask_server(&topology, pair[0], &request);
	CU_ASSERT_EQUAL(request.server_cpu, PLACEMENT_UNKNOWN);
	CU_ASSERT_EQUAL(request.server_node, PLACEMENT_UNKNOWN);
	vuc_topology_free(&topology);
}

/* Where the kernel tells, a page that is used and one that is not have a node. */
static void
test_memory(void)
{
	size_t size = 2 * (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int used;
	int unused;

	CU_ASSERT_PTR_NOT_EQUAL_FATAL(memory, MAP_FAILED);
	memory[1] = 1;
	used = vuc_placement_memory_node(memory + 1);
	unused = vuc_placement_memory_node(memory + size / 2);
	CU_ASSERT_EQUAL(used == PLACEMENT_UNKNOWN, unused == PLACEMENT_UNKNOWN);
	if (used == PLACEMENT_UNKNOWN)
		vuc_tap_skip("the kernel does not tell the node of a page");
	munmap(memory, size);
	CU_ASSERT_EQUAL(vuc_placement_memory_node(memory), PLACEMENT_UNKNOWN);
	CU_ASSERT_EQUAL(vuc_placement_memory_node(NULL), PLACEMENT_UNKNOWN);
}

static CU_TestInfo list_tests[] = {
	{"read and written", test_lists},
	{"cut short", test_lists_cut},
	CU_TEST_INFO_NULL,
};

static CU_TestInfo file_tests[] = {
	{"a machine", test_files},
	{"no files", test_no_files},
	{"strange files", test_strange_files},
	{"a server", test_server},
	{"a server that may run anywhere", test_server_anywhere},
	{"a server that cannot be read", test_server_unreadable},
	CU_TEST_INFO_NULL,
};

static CU_TestInfo real_tests[] = {
	{"this machine", test_this_machine},
	{"this thread", test_this_thread},
	{"this process as the server", test_this_server},
	{"memory", test_memory},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{"lists", NULL, NULL, NULL, NULL, list_tests},
		{"files", make_root, remove_root, NULL, NULL, file_tests},
		{"real", NULL, NULL, NULL, NULL, real_tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
