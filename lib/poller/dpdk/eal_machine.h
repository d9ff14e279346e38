/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_EAL_MACHINE_H
#define VUC_POLLER_EAL_MACHINE_H

#include <sched.h>

#include <vuc/eal.h>

/*
 * Whether a machine has what EAL needs with these options, in a process that may run on these CPUs:
 * EAL says that it does not by its usage, by a line on stderr, or after half a minute of looking
 * for memory. sys and proc are where sysfs and procfs are mounted.
 *
 * Returns 0; -ENODEV without the CPUs in sysfs; -ENOMEM without the memory.
 */
int vuc_eal_machine_check(const char *sys, const char *proc, const struct vuc_eal_opts *opts,
	const cpu_set_t *allowed, struct vuc_error *err);

#endif /* VUC_POLLER_EAL_MACHINE_H */
