/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_TOPOLOGY_H
#define VUC_POLLER_TOPOLOGY_H

/*
 * What placement needs to know of this machine: its CPUs, and where a server and memory are.
 */

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <vuc/error.h>

#define PLACEMENT_UNKNOWN (-1) /* a node or a CPU */

struct vuc_placement_request; /* placement.h */

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
 * Node of the page at an address of this process, or PLACEMENT_UNKNOWN. A page that is not there
 * yet is read into being, if the kernel can read it at all; the address may be any.
 */
int vuc_placement_memory_node(const void *addr);

#endif /* VUC_POLLER_TOPOLOGY_H */
