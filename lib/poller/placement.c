/* SPDX-License-Identifier: BSD-3-Clause */
#include "placement.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <numaif.h>

#include "connect.h"
#include "cpulist.h"
#include "eal.h"
#include "error.h"
#include "number.h"
#include "registry.h"

#define FILE_MAX   16384 /* of sysfs and procfs; lists of 1024 CPUs are shorter */
#define NODES_MAX  CPU_SETSIZE
#define LIST_MAX   128 /* of a list in an error */
#define CONNECT_MS 1000u

/* ---- files of sysfs and procfs ---- */

/* A whole file as a string without the newline at its end; to be freed. NULL if there is none. */
static char *
read_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text;
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0)
		return NULL;
	text = malloc(FILE_MAX);
	while (text != NULL && (n = read(fd, text + len, FILE_MAX - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	if (text == NULL || n < 0) {
		free(text);
		return NULL;
	}
	while (len > 0 && text[len - 1] == '\n')
		len--;
	text[len] = '\0';
	return text;
}

__attribute__((format(printf, 1, 2))) static char *
read_file(const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	return len >= 0 && (size_t)len < sizeof(path) ? read_text(path) : NULL;
}

/* Parse a list and free it; false, and an empty set, if it is none. */
static bool
take_list(char *list, cpu_set_t *set)
{
	bool valid = list != NULL && vuc_cpulist_parse(list, set) == 0;

	if (!valid)
		CPU_ZERO(set);
	free(list);
	return valid;
}

/* ---- this machine ---- */

static unsigned int
first_of(const cpu_set_t *set)
{
	unsigned int cpu = 0;

	while (cpu < CPU_SETSIZE && !CPU_ISSET(cpu, set))
		cpu++;
	return cpu;
}

static void
read_core(const char *sys, struct vuc_topology_cpu *cpu)
{
	cpu_set_t siblings;

	cpu->core = cpu->id;
	if (take_list(read_file("%s/devices/system/cpu/cpu%u/topology/thread_siblings_list", sys,
			      cpu->id),
		    &siblings))
		cpu->core = first_of(&siblings);
}

static void
read_node(const char *sys, struct vuc_topology *topology, unsigned int node)
{
	cpu_set_t cpus;

	take_list(read_file("%s/devices/system/node/node%u/cpulist", sys, node), &cpus);
	for (size_t i = 0; i < topology->nr_cpus; i++) {
		if (CPU_ISSET(topology->cpus[i].id, &cpus))
			topology->cpus[i].node = (int)node;
	}
}

static void
read_nodes(const char *sys, struct vuc_topology *topology)
{
	cpu_set_t nodes;

	take_list(read_file("%s/devices/system/node/online", sys), &nodes);
	for (unsigned int node = 0; node < NODES_MAX; node++) {
		if (CPU_ISSET(node, &nodes))
			read_node(sys, topology, node);
	}
}

static void
read_cpus(const char *sys, const cpu_set_t *online, const cpu_set_t *allowed,
	struct vuc_topology *topology)
{
	cpu_set_t isolated;

	take_list(read_file("%s/devices/system/cpu/isolated", sys), &isolated);
	for (unsigned int id = 0; id < CPU_SETSIZE; id++) {
		struct vuc_topology_cpu *cpu = &topology->cpus[topology->nr_cpus];

		if (!CPU_ISSET(id, online))
			continue;
		*cpu = (struct vuc_topology_cpu){
			.id = id,
			.node = PLACEMENT_UNKNOWN,
			.allowed = CPU_ISSET(id, allowed),
			.isolated = CPU_ISSET(id, &isolated),
		};
		read_core(sys, cpu);
		topology->nr_cpus++;
	}
}

int
vuc_topology_read(const char *sys, const cpu_set_t *allowed, struct vuc_topology *topology,
	struct vuc_error *err)
{
	cpu_set_t online;
	cpu_set_t own;

	*topology = (struct vuc_topology){0};
	if (allowed == NULL && sched_getaffinity(0, sizeof(own), &own) != 0)
		return vuc_error_set(err, -errno,
			"cannot get the CPUs that the process may use: %s", strerror(errno));
	if (allowed == NULL)
		allowed = &own;
	if (!take_list(read_file("%s/devices/system/cpu/online", sys), &online))
		online = *allowed;
	topology->cpus = calloc(CPU_SETSIZE, sizeof(*topology->cpus));
	if (topology->cpus == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory to describe the machine's CPUs");
	read_cpus(sys, &online, allowed, topology);
	read_nodes(sys, topology);
	return 0;
}

void
vuc_topology_free(struct vuc_topology *topology)
{
	free(topology->cpus);
	*topology = (struct vuc_topology){0};
}

struct vuc_topology_cpu *
vuc_topology_find(const struct vuc_topology *topology, unsigned int id)
{
	for (size_t i = 0; i < topology->nr_cpus; i++) {
		if (topology->cpus[i].id == id)
			return &topology->cpus[i];
	}
	return NULL;
}

/* ---- where a server and memory are ---- */

/* What follows "KEY:" in /proc/PID/status, as a list; false if there is no such line. */
static bool
status_list(const char *status, const char *key, cpu_set_t *set)
{
	const char *line = status;
	size_t len = strlen(key);

	while (strncmp(line, key, len) != 0 || line[len] != ':') {
		line = strchr(line, '\n');
		if (line == NULL)
			return false;
		line++;
	}
	line += len + 1;
	line += strspn(line, " \t");
	return take_list(strndup(line, strcspn(line, "\n")), set);
}

/* The node that all of these CPUs are on, or PLACEMENT_UNKNOWN. */
static int
node_of_cpus(const struct vuc_topology *topology, const cpu_set_t *cpus)
{
	int node = PLACEMENT_UNKNOWN;

	for (size_t i = 0; i < topology->nr_cpus; i++) {
		const struct vuc_topology_cpu *cpu = &topology->cpus[i];

		if (!CPU_ISSET(cpu->id, cpus))
			continue;
		if (node != PLACEMENT_UNKNOWN && cpu->node != node)
			return PLACEMENT_UNKNOWN;
		node = cpu->node;
	}
	return node;
}

/* Field 39 of /proc/PID/stat. The second one, the name, may have anything in it: blanks, too. */
static int
last_cpu_of(const char *stat)
{
	const char *field = strrchr(stat, ')');
	uint64_t cpu;

	for (int n = 2; field != NULL && n < 39; n++) {
		field = strchr(field, ' ');
		if (field != NULL)
			field++;
	}
	if (field == NULL)
		return PLACEMENT_UNKNOWN;
	return vuc_number_scan(field, 10, &cpu, &field) == 0 && cpu < CPU_SETSIZE
		? (int)cpu
		: PLACEMENT_UNKNOWN;
}

static int
node_of_last_cpu(const struct vuc_topology *topology, const char *proc, pid_t pid)
{
	char *stat = read_file("%s/%d/stat", proc, (int)pid);
	int id = stat != NULL ? last_cpu_of(stat) : PLACEMENT_UNKNOWN;
	const struct vuc_topology_cpu *cpu = NULL;

	if (id != PLACEMENT_UNKNOWN)
		cpu = vuc_topology_find(topology, (unsigned int)id);
	free(stat);
	return cpu != NULL ? cpu->node : PLACEMENT_UNKNOWN;
}

static void
ask_status(const struct vuc_topology *topology, const char *status,
	struct vuc_placement_request *request)
{
	cpu_set_t set;

	if (status_list(status, "Cpus_allowed_list", &set)) {
		request->server_node = node_of_cpus(topology, &set);
		if (CPU_COUNT(&set) == 1)
			request->server_cpu = (int)first_of(&set);
	}
	if (request->server_node == PLACEMENT_UNKNOWN &&
		status_list(status, "Mems_allowed_list", &set) && CPU_COUNT(&set) == 1)
		request->server_node = (int)first_of(&set);
}

void
vuc_placement_ask_process(const struct vuc_topology *topology, const char *proc, pid_t pid,
	struct vuc_placement_request *request)
{
	char *status = read_file("%s/%d/status", proc, (int)pid);

	request->server_node = PLACEMENT_UNKNOWN;
	request->server_cpu = PLACEMENT_UNKNOWN;
	if (status != NULL)
		ask_status(topology, status, request);
	if (request->server_node == PLACEMENT_UNKNOWN)
		request->server_node = node_of_last_cpu(topology, proc, pid);
	free(status);
}

void
vuc_placement_ask_server(
	const struct vuc_topology *topology, int sock, struct vuc_placement_request *request)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	/* A peer of another PID namespace has none that means anything here: 0. */
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		peer.pid = 0;
	if (peer.pid > 0) {
		vuc_placement_ask_process(topology, "/proc", peer.pid, request);
		return;
	}
	request->server_node = PLACEMENT_UNKNOWN;
	request->server_cpu = PLACEMENT_UNKNOWN;
}

/* The only node that the policy of an address allows or prefers, or PLACEMENT_UNKNOWN. */
static int
node_of_policy(void *addr)
{
	union {
		unsigned long words[NODES_MAX / (8 * sizeof(unsigned long))];
		cpu_set_t set;
	} nodes = {{0}};
	int mode;

	if (get_mempolicy(&mode, nodes.words, NODES_MAX, addr, MPOL_F_ADDR) != 0)
		return PLACEMENT_UNKNOWN;
	return CPU_COUNT(&nodes.set) == 1 ? (int)first_of(&nodes.set) : PLACEMENT_UNKNOWN;
}

int
vuc_placement_memory_node(const void *addr)
{
	void *page = (void *)(uintptr_t)addr;
	int node = PLACEMENT_UNKNOWN;

	if (move_pages(0, 1, &page, NULL, &node, 0) == 0 && node >= 0)
		return node;
	/* A page that is not there must not come into being here, on this thread's node. */
	return node_of_policy(page);
}

/* ---- the choice ---- */

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

/* ---- a new poller ---- */

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
		snprintf(why, size, "any CPU, as configured");
	else
		snprintf(why, size, "CPU %d, as configured", opts->cpu);
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
