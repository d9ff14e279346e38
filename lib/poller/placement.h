/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_PLACEMENT_H
#define VUC_POLLER_PLACEMENT_H

/*
 * On which CPU a poller runs: what is known of the machine, the server and the guest's memory, and
 * a choice that is a pure function of that.
 */

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <vuc/poller.h>

#define PLACEMENT_UNKNOWN (-1) /* a node or a CPU */
#define PLACEMENT_AUTO    (-1) /* no CPU in particular */

struct vuc_topology_cpu {
	unsigned int id;
	int node;              /* or PLACEMENT_UNKNOWN */
	unsigned int core;     /* the same for SMT siblings: the lowest id of them */
	bool allowed;          /* the process may use it */
	bool isolated;         /* the kernel puts nothing on it by itself */
	unsigned int pollers;  /* that run on it */
	unsigned int spinning; /* those of them that always take all of it */
};

/* The CPUs that are online, by ascending id. */
struct vuc_topology {
	struct vuc_topology_cpu *cpus;
	size_t nr_cpus;
};

/*
 * Describe this machine. sys is where sysfs is mounted, "/sys"; nodes that cannot be read there are
 * unknown, and where it does not say which CPUs are online, those that are allowed are. allowed
 * NULL: the CPUs that the calling thread may run on. No CPU has a poller.
 *
 * Returns 0, -ENOMEM, or what sched_getaffinity(2) says.
 */
int vuc_topology_read(const char *sys, const cpu_set_t *allowed, struct vuc_topology *topology,
	struct vuc_error *err);

/* A topology of zeroes is freed, too. */
void vuc_topology_free(struct vuc_topology *topology);

/* The CPU with this id, or NULL. */
struct vuc_topology_cpu *vuc_topology_find(const struct vuc_topology *topology, unsigned int id);

struct vuc_placement_request {
	int cpu;         /* the one to take, or PLACEMENT_AUTO */
	int server_node; /* where the server runs, or PLACEMENT_UNKNOWN */
	int server_cpu;  /* the only one that the server may run on, or PLACEMENT_UNKNOWN */
	int guest_node;  /* where the guest's memory is, or PLACEMENT_UNKNOWN */
};

/*
 * Where the process at the other end of a connected UNIX socket runs: sets server_node and
 * server_cpu of the request, to PLACEMENT_UNKNOWN where it cannot be told. The node is the one of
 * all CPUs that it may run on, else of all memory it may have, else of the CPU that it ran on last.
 */
void vuc_placement_ask_server(
	const struct vuc_topology *topology, int sock, struct vuc_placement_request *request);

/* The same of a process; proc is where procfs is mounted, "/proc". */
void vuc_placement_ask_process(const struct vuc_topology *topology, const char *proc, pid_t pid,
	struct vuc_placement_request *request);

/*
 * Node of the page at an address of this process, which may be any, or PLACEMENT_UNKNOWN. A page
 * that is not there yet is not touched: its node is the one that its memory policy names, if that
 * names one only.
 */
int vuc_placement_memory_node(const void *addr);

struct vuc_placement {
	unsigned int cpu;
	int node; /* of the CPU, or PLACEMENT_UNKNOWN */
	char reason[VUC_ERROR_MAX];
};

/*
 * Choose a CPU. By itself it takes, the first difference counting: the CPU with the fewest pollers
 * that spin; with the fewest pollers, where a server that is bound to it counts as one; on the
 * server's node; on the guest's node; isolated; on a core without another poller; not CPU 0, which
 * has work of its own on most machines; the lowest. So an idle CPU far away comes before a busy one
 * nearby: two threads that spin on one CPU stop each other for milliseconds, another node costs a
 * part of a microsecond.
 *
 * It does not change the pollers of the topology: whoever starts a poller does.
 *
 * Returns 0, -EINVAL for a CPU that is not there or not allowed, -ENODEV when none is allowed.
 */
int vuc_placement_choose(const struct vuc_topology *topology,
	const struct vuc_placement_request *request, struct vuc_placement *placement,
	struct vuc_error *err);

/*
 * The CPU for a new poller, with a line that says why. Sets *cpu to VUC_POLLER_CPU_NONE when it is
 * not to be bound to one. Returns 0, -EINVAL, -ENODEV, or what connecting to opts->near_socket
 * says.
 */
int poller_choose_place(const struct vuc_poller_opts *opts, int *cpu, char *why, size_t size,
	struct vuc_error *err);

#endif /* VUC_POLLER_PLACEMENT_H */
