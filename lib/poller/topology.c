/* SPDX-License-Identifier: BSD-3-Clause */
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

#include "cpulist.h"
#include "error.h"
#include "number.h"
#include "placement.h"
#include "topology.h"

#define FILE_MAX  16384 /* of sysfs and procfs; lists of 1024 CPUs are shorter */
#define NODES_MAX CPU_SETSIZE

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
		return vuc_error_set(
			err, -errno, "the CPUs that the process may use: %s", strerror(errno));
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

int
vuc_placement_memory_node(const void *addr)
{
	void *page = (void *)(uintptr_t)addr;
	int node = PLACEMENT_UNKNOWN;

	/* move_pages(2) asks without touching the page; get_mempolicy(2) maps it. */
	if (move_pages(0, 1, &page, NULL, &node, 0) == 0 && node >= 0)
		return node;
	if (get_mempolicy(&node, NULL, 0, page, MPOL_F_NODE | MPOL_F_ADDR) == 0 && node >= 0)
		return node;
	return PLACEMENT_UNKNOWN;
}
