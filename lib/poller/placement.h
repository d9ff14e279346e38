/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_PLACEMENT_H
#define VUC_POLLER_PLACEMENT_H

/*
 * On which CPU a poller runs: a pure function of a topology, which describes the machine's CPUs.
 */

#include <vuc/error.h>

#include "topology.h"

#define PLACEMENT_AUTO (-1) /* no CPU in particular */

struct vuc_placement_request {
	int cpu;         /* the one to take, or PLACEMENT_AUTO */
	int server_node; /* where the server runs, or PLACEMENT_UNKNOWN */
	int server_cpu;  /* the only one that the server may run on, or PLACEMENT_UNKNOWN */
	int guest_node;  /* where the guest's memory is, or PLACEMENT_UNKNOWN */
};

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

#endif /* VUC_POLLER_PLACEMENT_H */
