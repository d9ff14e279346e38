/* SPDX-License-Identifier: BSD-3-Clause */
#include "place.h"

#include <stdio.h>
#include <unistd.h>

#include "connect.h"
#include "eal.h"
#include "placement.h"
#include "registry.h"
#include "topology.h"

#define CONNECT_MS 1000u

/* Other pollers are lcores that were registered, each bound to one CPU. */
static void
count_poller(void *arg, unsigned int id)
{
	struct vuc_topology_cpu *cpu = vuc_topology_find(arg, id);

	if (cpu != NULL)
		cpu->pollers++;
}

/* Which of them spin is known of vuc's own. */
static void
count_spinning(const struct vuc_topology *topology)
{
	const struct vuc_poller *p;

	vuc_registry_lock();
	TAILQ_FOREACH (p, vuc_registry_all(), registered) {
		struct vuc_topology_cpu *cpu = p->cpu >= 0 && p->idle == VUC_IDLE_SPIN
			? vuc_topology_find(topology, (unsigned int)p->cpu)
			: NULL;

		if (cpu != NULL)
			cpu->spinning++;
	}
	vuc_registry_unlock();
}

/* Only who is at the other end is of interest. */
static int
ask_socket(const struct vuc_topology *topology, const char *path,
	struct vuc_placement_request *request, struct vuc_error *err)
{
	int fd = vuc_device_connect(path, CONNECT_MS, err);

	if (fd < 0)
		return fd;
	vuc_placement_ask_server(topology, fd, request);
	close(fd);
	return 0;
}

static int
place_choose(const struct vuc_poller_opts *opts, const struct vuc_topology *topology,
	struct vuc_placement *placement, struct vuc_error *err)
{
	struct vuc_placement_request request = {
		.cpu = PLACEMENT_AUTO,
		.server_node = PLACEMENT_UNKNOWN,
		.server_cpu = PLACEMENT_UNKNOWN,
		.guest_node = PLACEMENT_UNKNOWN,
	};
	int rc = 0;

	if (opts->near_socket != NULL)
		rc = ask_socket(topology, opts->near_socket, &request, err);
	if (opts->near_memory != NULL)
		request.guest_node = vuc_placement_memory_node(opts->near_memory);
	return rc == 0 ? vuc_placement_choose(topology, &request, placement, err) : rc;
}

int
poller_choose_place(
	const struct vuc_poller_opts *opts, int *cpu, char *why, size_t size, struct vuc_error *err)
{
	struct vuc_placement placement;
	struct vuc_topology topology;
	int rc;

	/* Whether the thread may run there is for the kernel to say: the caller may be bound to
	 * another CPU. */
	*cpu = opts->cpu;
	if (opts->cpu == VUC_POLLER_CPU_NONE)
		snprintf(why, size, "on any CPU, as was asked for");
	else
		snprintf(why, size, "CPU %d, as was asked for", opts->cpu);
	if (opts->cpu != VUC_POLLER_CPU_AUTO)
		return 0;
	rc = vuc_topology_read("/sys", NULL, &topology, err);
	if (rc != 0)
		return rc;
	vuc_eal_each_bound_cpu(count_poller, &topology);
	count_spinning(&topology);
	rc = place_choose(opts, &topology, &placement, err);
	vuc_topology_free(&topology);
	if (rc != 0)
		return rc;
	*cpu = (int)placement.cpu;
	snprintf(why, size, "%s", placement.reason);
	return 0;
}
