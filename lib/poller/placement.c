/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cpulist.h"
#include "error.h"
#include "placement.h"

#define LIST_MAX 128 /* of a list in an error */

static bool
same_node(const struct vuc_topology_cpu *cpu, int node)
{
	return node != PLACEMENT_UNKNOWN && cpu->node == node;
}

static bool
has_server(const struct vuc_topology_cpu *cpu, const struct vuc_placement_request *request)
{
	return request->server_cpu >= 0 && cpu->id == (unsigned int)request->server_cpu;
}

static bool
has_busy_sibling(const struct vuc_topology *topology, const struct vuc_topology_cpu *cpu)
{
	for (size_t i = 0; i < topology->nr_cpus; i++) {
		const struct vuc_topology_cpu *other = &topology->cpus[i];

		if (other != cpu && other->core == cpu->core && other->pollers > 0)
			return true;
	}
	return false;
}

/* Less is better; one digit a criterion, the first counts most. */
static uint64_t
cost_of(const struct vuc_topology *topology, const struct vuc_topology_cpu *cpu,
	const struct vuc_placement_request *request)
{
	uint64_t cost = cpu->spinning;

	cost = cost << 16 | (cpu->pollers + has_server(cpu, request));
	cost = cost << 1 | !same_node(cpu, request->server_node);
	cost = cost << 1 | !same_node(cpu, request->guest_node);
	cost = cost << 1 | !cpu->isolated;
	cost = cost << 1 | has_busy_sibling(topology, cpu);
	cost = cost << 1 | (cpu->id == 0);
	return cost;
}

static const struct vuc_topology_cpu *
best_of(const struct vuc_topology *topology, const struct vuc_placement_request *request)
{
	const struct vuc_topology_cpu *best = NULL;
	uint64_t best_cost = UINT64_MAX;

	for (size_t i = 0; i < topology->nr_cpus; i++) {
		const struct vuc_topology_cpu *cpu = &topology->cpus[i];
		uint64_t cost = cost_of(topology, cpu, request);

		if (cpu->allowed && cost < best_cost) {
			best = cpu;
			best_cost = cost;
		}
	}
	return best;
}

__attribute__((format(printf, 2, 3))) static void
reason_add(struct vuc_placement *placement, const char *fmt, ...)
{
	size_t used = strlen(placement->reason);
	va_list args;

	va_start(args, fmt);
	vsnprintf(placement->reason + used, sizeof(placement->reason) - used, fmt, args);
	va_end(args);
}

static void
say_node(const struct vuc_topology_cpu *cpu, const struct vuc_placement_request *request,
	struct vuc_placement *placement)
{
	bool server = same_node(cpu, request->server_node);
	bool guest = same_node(cpu, request->guest_node);

	if (server && guest)
		reason_add(placement, "the server's and the guest's node, ");
	else if (server)
		reason_add(placement, "the server's node, ");
	else if (guest)
		reason_add(placement, "the guest's node, ");
	if (!server && request->server_node != PLACEMENT_UNKNOWN)
		reason_add(placement, "not the server's node %d, ", request->server_node);
	if (!guest && request->guest_node != PLACEMENT_UNKNOWN)
		reason_add(placement, "not the guest's node %d, ", request->guest_node);
}

static void
say_neighbours(const struct vuc_topology *topology, const struct vuc_topology_cpu *cpu,
	const struct vuc_placement_request *request, struct vuc_placement *placement)
{
	if (cpu->isolated)
		reason_add(placement, "isolated, ");
	if (has_server(cpu, request))
		reason_add(placement, "the server is bound to it, ");
	if (has_busy_sibling(topology, cpu))
		reason_add(placement, "another poller on its core, ");
	if (cpu->pollers == 0)
		reason_add(placement, "no other poller");
	else
		reason_add(
			placement, "%u other poller%s", cpu->pollers, cpu->pollers > 1 ? "s" : "");
	if (cpu->spinning > 0)
		reason_add(placement, ", %u of them spinning", cpu->spinning);
}

static void
placement_explain(const struct vuc_topology *topology, const struct vuc_topology_cpu *cpu,
	const struct vuc_placement_request *request, struct vuc_placement *placement)
{
	placement->reason[0] = '\0';
	reason_add(placement, "CPU %u", cpu->id);
	if (cpu->node != PLACEMENT_UNKNOWN)
		reason_add(placement, " of node %d", cpu->node);
	reason_add(placement, ": ");
	if (request->cpu != PLACEMENT_AUTO)
		reason_add(placement, "asked for, ");
	say_node(cpu, request, placement);
	say_neighbours(topology, cpu, request, placement);
}

static int
find_asked(const struct vuc_topology *topology, int id, const struct vuc_topology_cpu **cpu,
	struct vuc_error *err)
{
	char list[LIST_MAX];
	cpu_set_t allowed;

	*cpu = id >= 0 ? vuc_topology_find(topology, (unsigned int)id) : NULL;
	if (*cpu != NULL && (*cpu)->allowed)
		return 0;
	CPU_ZERO(&allowed);
	for (size_t i = 0; i < topology->nr_cpus; i++) {
		if (topology->cpus[i].allowed)
			CPU_SET(topology->cpus[i].id, &allowed);
	}
	vuc_cpulist_format(&allowed, list, sizeof(list));
	return vuc_error_set(err, -EINVAL, "CPU %d %s; the process may use %s", id,
		*cpu == NULL ? "is not online" : "is not allowed", list);
}

int
vuc_placement_choose(const struct vuc_topology *topology,
	const struct vuc_placement_request *request, struct vuc_placement *placement,
	struct vuc_error *err)
{
	const struct vuc_topology_cpu *cpu;

	if (request->cpu != PLACEMENT_AUTO) {
		int rc = find_asked(topology, request->cpu, &cpu, err);

		if (rc != 0)
			return rc;
	} else {
		cpu = best_of(topology, request);
		if (cpu == NULL)
			return vuc_error_set(
				err, -ENODEV, "none of the CPUs that are online is allowed");
	}
	placement->cpu = cpu->id;
	placement->node = cpu->node;
	placement_explain(topology, cpu, request, placement);
	return 0;
}
