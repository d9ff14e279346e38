/* SPDX-License-Identifier: BSD-3-Clause */
#include "eal_machine.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "error.h"

#define CANNOT "DPDK's EAL cannot be initialised: "

static int
check_cpus(const char *sys, const cpu_set_t *allowed, struct vuc_error *err)
{
	char path[PATH_MAX];

	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, allowed))
			continue;
		snprintf(path, sizeof(path), "%s/devices/system/cpu/cpu%u/topology/core_id", sys,
			cpu);
		if (access(path, F_OK) != 0)
			return vuc_error_set(err, -ENODEV,
				CANNOT "it finds CPUs by sysfs, but %.128s does not exist", path);
	}
	return 0;
}

/* The number that a file begins with; 0 for one that cannot be read. */
static uint64_t
read_number(const char *folder, const char *file)
{
	char path[PATH_MAX];
	uint64_t number;
	FILE *stream;
	int n;

	snprintf(path, sizeof(path), "%.512s/%s", folder, file);
	stream = fopen(path, "re");
	if (stream == NULL)
		return 0;
	n = fscanf(stream, "%" SCNu64, &number);
	fclose(stream);
	return n == 1 ? number : 0;
}

/* Pages of a size that can be had: free ones, and those that the kernel makes when asked for. */
static uint64_t
count_hugepages(const char *folder)
{
	uint64_t free = read_number(folder, "free_hugepages");
	uint64_t reserved = read_number(folder, "resv_hugepages");
	uint64_t more = read_number(folder, "nr_overcommit_hugepages");
	uint64_t made = read_number(folder, "surplus_hugepages");

	return (free > reserved ? free - reserved : 0) + (more > made ? more - made : 0);
}

static uint64_t
free_hugepage_mb(const char *sys)
{
	char path[PATH_MAX], folder[PATH_MAX];
	struct dirent *entry;
	uint64_t kb = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%.128s/kernel/mm/hugepages", sys);
	dir = opendir(path);
	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		uint64_t size;

		if (sscanf(entry->d_name, "hugepages-%" SCNu64 "kB", &size) != 1)
			continue;
		snprintf(folder, sizeof(folder), "%.256s/%s", path, entry->d_name);
		kb += count_hugepages(folder) * size;
	}
	closedir(dir);
	return kb / 1024;
}

/* UINT64_MAX where it is not said. */
static uint64_t
available_mb(const char *proc)
{
	uint64_t kb = UINT64_MAX;
	char path[PATH_MAX], line[128];
	FILE *stream;

	snprintf(path, sizeof(path), "%s/meminfo", proc);
	stream = fopen(path, "re");
	if (stream == NULL)
		return UINT64_MAX;
	while (fgets(line, sizeof(line), stream) != NULL &&
		sscanf(line, "MemAvailable: %" SCNu64 " kB", &kb) != 1) {
	}
	fclose(stream);
	return kb == UINT64_MAX ? kb : kb / 1024;
}

int
vuc_eal_machine_check(const char *sys, const char *proc, const struct vuc_eal_opts *opts,
	const cpu_set_t *allowed, struct vuc_error *err)
{
	uint64_t mb = opts->hugepages ? free_hugepage_mb(sys) : available_mb(proc);
	int rc = check_cpus(sys, allowed, err);

	if (rc != 0)
		return rc;
	if (opts->hugepages && mb == 0)
		return vuc_error_set(err, -ENOMEM,
			CANNOT "no hugepage is free; sysctl vm.nr_hugepages=32 reserves some");
	if (opts->memory_mb > mb)
		return vuc_error_set(err, -ENOMEM,
			CANNOT "%u MiB of memory were asked for, and %" PRIu64
			       " MiB are available%s",
			opts->memory_mb, mb, opts->hugepages ? " in hugepages" : "");
	return 0;
}
