/* SPDX-License-Identifier: BSD-3-Clause */

/* Pollers and the memory of their queues on a machine with several NUMA nodes. */

#include <numaif.h>
#include <sched.h>
#include <sys/mman.h>

#include "internal.h"
#include "placement.h"
#include "rig.h"

#define SIZE       (4u << 20) /* two huge pages */
#define MAX_NODES  64
#define QUEUE_DATA 65536u /* for a ring of several pages */

/* The CPUs of the first two nodes that have any for this process, in the order of their numbers. */
static struct node {
	int id;
	cpu_set_t cpus;
} nodes[2];

static cpu_set_t all_cpus;

static unsigned int
node_first_cpu(const struct node *node)
{
	unsigned int cpu = 0;

	while (!CPU_ISSET(cpu, &node->cpus))
		cpu++;
	return cpu;
}

/* Whether a test can go on. */
static bool
nodes_are_there(void)
{
	struct vuc_topology topology;
	unsigned int nr = 0;

	CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(all_cpus), &all_cpus), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_topology_read("/sys", NULL, &topology, NULL), 0);
	for (int id = 0; id < MAX_NODES && nr < 2; id++) {
		nodes[nr] = (struct node){.id = id};
		for (size_t i = 0; i < topology.nr_cpus; i++) {
			if (topology.cpus[i].allowed && topology.cpus[i].node == id)
				CPU_SET(topology.cpus[i].id, &nodes[nr].cpus);
		}
		nr += CPU_COUNT(&nodes[nr].cpus) > 0;
	}
	vuc_topology_free(&topology);
	if (nr < 2)
		vuc_tap_skip("the machine has no two NUMA nodes with CPUs");
	return nr == 2;
}

/* For this thread, and for threads and processes that it starts. */
static void
move_to(const cpu_set_t *cpus)
{
	CU_ASSERT_EQUAL_FATAL(sched_setaffinity(0, sizeof(*cpus), cpus), 0);
}

static void
expect_place(struct vuc_poller *p, const struct node *node, const char *why)
{
	cpu_set_t cpus;

	CU_ASSERT_EQUAL(vuc_poller_node(p), node->id);
	CPU_ZERO(&cpus);
	if (vuc_poller_cpu(p) >= 0)
		CPU_SET((size_t)vuc_poller_cpu(p), &cpus);
	CPU_AND(&cpus, &cpus, &node->cpus);
	CU_ASSERT_EQUAL(CPU_COUNT(&cpus), 1);
	vuc_tap_row("%s", vuc_poller_placement(p));
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_poller_placement(p), why));
}

/* ---- pollers ---- */

/* As long as the server's node has a CPU without a poller. */
static void
test_near_socket(void)
{
	if (!nodes_are_there())
		return;
	for (unsigned int i = 0; i < 2; i++) {
		struct vuc_poller *pollers[CPU_SETSIZE + 1];
		int last = CPU_COUNT(&nodes[i].cpus);

		move_to(&nodes[i].cpus);
		rig_start(&(struct rig_opts){.alone = 1});
		move_to(&all_cpus);
		for (int n = 0; n <= last; n++) {
			pollers[n] = rig_start_poller(
				NULL, &(struct rig_opts){.near_socket = rig.sockets[1]});
			if (n < last)
				expect_place(pollers[n], &nodes[i],
					": the server's node, no other poller");
			else
				CU_ASSERT_NOT_EQUAL(vuc_poller_node(pollers[n]), nodes[i].id);
		}
		for (int n = 0; n <= last; n++)
			CU_ASSERT_EQUAL(vuc_poller_destroy(pollers[n]), 0);
	}
}

static void *
map_on(const struct node *node, int flags)
{
	unsigned long mask = 1ul << node->id;
	void *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	CU_ASSERT_EQUAL_FATAL(mbind(memory, SIZE, MPOL_BIND, &mask, MAX_NODES, 0), 0);
	return memory;
}

/* Guest memory of each kind, also before anybody has touched it. */
static void
test_near_memory(void)
{
	static const struct {
		const char *name;
		int flags;
	} kinds[] = {
		{"private", MAP_PRIVATE},
		{"shared", MAP_SHARED},
		{"huge pages", MAP_SHARED | MAP_HUGETLB},
	};

	if (!nodes_are_there())
		return;
	for (size_t i = 0; i < 4 * NR(kinds); i++) {
		const struct node *node = &nodes[i & 1];
		bool touched = (i & 2) != 0;
		char *memory = map_on(node, kinds[i / 4].flags);
		struct vuc_poller *p;

		if (memory == NULL) {
			vuc_tap_skip("there are no free huge pages");
			break;
		}
		vuc_tap_row("%s, touched %d, node %d", kinds[i / 4].name, touched, node->id);
		if (touched)
			memory[SIZE / 2] = 1;
		p = rig_start_poller(NULL, &(struct rig_opts){.near_memory = memory + SIZE / 2});
		expect_place(p, node, ": the guest's node, no other poller");
		CU_ASSERT_EQUAL(vuc_poller_destroy(p), 0);
		munmap(memory, SIZE);
	}
}

/* ---- memory ---- */

/* All pages of memory are on the node; this process may not have touched its mapping of them. */
static void
expect_memory(const volatile void *memory, size_t size, const struct node *node)
{
	const volatile char *byte = memory;

	CU_ASSERT_TRUE(size > 0);
	for (size_t at = 0; at < size; at += 4096) {
		(void)byte[at];
		CU_ASSERT_EQUAL(
			vuc_placement_memory_node((const void *)(uintptr_t)(byte + at)), node->id);
	}
}

/* A rig whose poller runs on one node, and all else on the other. */
static void
start_apart(unsigned int poller, struct rig_opts opts)
{
	move_to(&nodes[!poller].cpus);
	opts.cpu = 1 + node_first_cpu(&nodes[poller]);
	rig_start(&opts);
	CU_ASSERT_EQUAL(vuc_poller_node(rig.poller), nodes[poller].id);
}

static void
stop_apart(void)
{
	rig_stop();
	move_to(&all_cpus);
}

static void
test_queue_memory(void)
{
	if (!nodes_are_there())
		return;
	for (unsigned int i = 0; i < 2; i++) {
		const struct poller_queue *q;

		start_apart(i, (struct rig_opts){.alone = 1, .depth = 1024});
		rig_use_queue(rig.queue[0], 10);
		q = rig.poller->queues[0];
		for (unsigned int k = 0; k < 2; k++)
			expect_memory(q->memory[k], q->size[k], &nodes[i]);
		stop_apart();
	}
}

/* What the daemon makes for a VMM, which runs on the other node. */
static void
test_shared_memory(void)
{
	if (!nodes_are_there())
		return;
	for (unsigned int i = 0; i < 2; i++) {
		struct shm_queue *q;

		start_apart(i, (struct rig_opts){.depth = 0});
		rig_attach(&client, RIG_NAME);
		q = rig_open_queue(&client, 64, QUEUE_DATA);
		rig_write(q, 0, 0, 4);
		expect_memory(q->requests, q->requests_size, &nodes[i]);
		expect_memory(q->completions, q->completions_size, &nodes[i]);
		expect_memory(client.state, sizeof(*client.state), &nodes[i]);
		expect_memory(client.bell, sizeof(*client.bell), &nodes[i]);
		stop_apart();
	}
}

const struct tap_suite tap_suite = {NULL, NULL, NULL,
	{
		{"near a server", test_near_socket},
		{"near memory", test_near_memory},
		{"memory of a queue", test_queue_memory},
		{"memory of a VMM's queue", test_shared_memory},
	}};
