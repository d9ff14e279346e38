/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_config.h>

#include "cpulist.h"
#include "eal_args.h"
#include "error.h"

/* ---- checks: EAL prints its usage when it refuses an argument ---- */

static int
check_lcores(const char *lcores, const cpu_set_t *allowed, struct vuc_error *err)
{
	cpu_set_t cpus;

	if (vuc_cpulist_parse(lcores, &cpus) != 0)
		return vuc_error_set(
			err, -EINVAL, "lcores \"%.64s\" is not a list of CPUs as 0,2-3", lcores);
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &cpus))
			continue;
		if (!CPU_ISSET(cpu, allowed))
			return vuc_error_set(err, -EINVAL,
				"lcores \"%.64s\": the process may not use CPU %u", lcores, cpu);
		if (cpu >= RTE_MAX_LCORE)
			return vuc_error_set(err, -EINVAL,
				"lcores \"%.64s\": DPDK has no lcore %u, the last one is %u",
				lcores, cpu, RTE_MAX_LCORE - 1);
	}
	return 0;
}

static int
check_prefix(const char *prefix, struct vuc_error *err)
{
	size_t len = strlen(prefix);

	if (len == 0 || len >= EAL_PREFIX_MAX)
		return vuc_error_set(err, -EINVAL, "file_prefix has %zu bytes, expected 1 to %d",
			len, EAL_PREFIX_MAX - 1);
	if (strpbrk(prefix, "/%") != NULL || prefix[0] == '.')
		return vuc_error_set(err, -EINVAL,
			"file_prefix \"%s\" has a '/' or a '%%', or begins with a dot", prefix);
	return 0;
}

int
vuc_eal_args_check(const struct vuc_eal_opts *opts, const cpu_set_t *allowed, struct vuc_error *err)
{
	int rc = 0;

	if (opts->lcores != NULL)
		rc = check_lcores(opts->lcores, allowed, err);
	if (rc == 0 && opts->file_prefix != NULL)
		rc = check_prefix(opts->file_prefix, err);
	if (rc == 0 && opts->nr_args > EAL_OTHER_ARGS_MAX)
		rc = vuc_error_set(err, -EINVAL, "%u arguments for DPDK's EAL, at most %u",
			opts->nr_args, EAL_OTHER_ARGS_MAX);
	return rc;
}

/* ---- arguments ---- */

__attribute__((format(printf, 2, 3))) static void
add_arg(struct eal_args *args, const char *fmt, ...)
{
	va_list list;
	int len;

	va_start(list, fmt);
	len = vasprintf(&args->argv[args->argc], fmt, list);
	va_end(list);
	if (len >= 0)
		args->argc++;
	else
		args->incomplete = true;
}

/*
 * One lcore that may run on all CPUs that the thread may run on. So EAL binds the thread to what
 * it is bound to already, and gives the same CPUs to its own threads. No ranges: EAL 22.11 takes
 * one that begins with RTE_MAX_LCORE for its end.
 */
static void
add_floating_lcore(struct eal_args *args, const cpu_set_t *cpus)
{
	char list[CPU_SETSIZE * 5];
	size_t len = 0;

	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, cpus))
			len += (size_t)snprintf(
				list + len, sizeof(list) - len, len > 0 ? ",%u" : "%u", cpu);
	}
	add_arg(args, "--lcores=0@(%s)", list);
}

static void
add_memory(struct eal_args *args, const struct vuc_eal_opts *opts)
{
	uint32_t mb = opts->memory_mb;

	if (!opts->hugepages && mb == 0)
		mb = VUC_DEFAULT_EAL_MEMORY_MB;
	/* --in-memory is refused beside --no-huge, of which all that is left is --no-shconf. */
	if (opts->hugepages)
		add_arg(args, "--in-memory");
	else
		add_arg(args, "--no-huge");
	add_arg(args, "--no-shconf");
	if (mb != 0) {
		add_arg(args, "-m");
		add_arg(args, "%u", mb);
	}
}

static void
add_own_args(struct eal_args *args, const struct vuc_eal_opts *opts, const char *prefix,
	bool telemetry, const cpu_set_t *cpus)
{
	/*
	 * Quiet DPDK, and neither the types of vuc nor those of the application. Telemetry warns
	 * of an old interface that nothing here has; of two levels for a type, the last counts
	 * where EAL knows the type, the first where it is registered later.
	 */
	static const char *const levels[] = {"lib.telemetry:error", "lib.*:warning",
		"bus.*:warning", "pmd.*:warning", "lib.telemetry:error"};

	add_arg(args, "%s", program_invocation_short_name);
	add_memory(args, opts);
	add_arg(args, "--no-pci");
	add_arg(args, "--iova-mode=va");
	add_arg(args, "--file-prefix=%s", prefix);
	if (!telemetry)
		add_arg(args, "--no-telemetry");
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		add_arg(args, "--log-level=%s", levels[i]);
	if (opts->lcores == NULL) {
		add_floating_lcore(args, cpus);
		return;
	}
	add_arg(args, "-l");
	add_arg(args, "%s", opts->lcores);
}

int
vuc_eal_args_make(struct eal_args *args, const struct vuc_eal_opts *opts, const char *prefix,
	bool telemetry, const cpu_set_t *cpus, struct vuc_error *err)
{
	add_own_args(args, opts, prefix, telemetry, cpus);
	for (unsigned int i = 0; i < opts->nr_args; i++)
		add_arg(args, "%s", opts->args[i]);
	if (args->incomplete)
		return vuc_error_set(err, -ENOMEM, "no memory for the arguments of DPDK's EAL");
	return 0;
}

void
vuc_eal_args_free(struct eal_args *args)
{
	for (unsigned int i = 0; i < args->argc; i++)
		free(args->argv[i]);
	*args = (struct eal_args){0};
}
