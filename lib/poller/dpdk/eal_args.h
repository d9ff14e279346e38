/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_EAL_ARGS_H
#define VUC_POLLER_EAL_ARGS_H

/* Options of vuc as arguments of EAL. */

#include <sched.h>
#include <stdbool.h>

#include <vuc/eal.h>

#define EAL_OWN_ARGS_MAX   24u
#define EAL_OTHER_ARGS_MAX 128u /* the caller's */
#define EAL_ARGS_MAX       (EAL_OWN_ARGS_MAX + EAL_OTHER_ARGS_MAX)
#define EAL_PREFIX_MAX     48 /* of file_prefix, with the byte that ends it */

/* EAL keeps pointers into its arguments: they last as long as it does. */
struct eal_args {
	char *argv[EAL_ARGS_MAX]; /* all of them allocated; EAL sorts a copy of the array */
	unsigned int argc;
	bool incomplete;
};

/*
 * Whether options make arguments that EAL takes, in a process that may run on these CPUs. Returns 0
 * or -EINVAL.
 */
int vuc_eal_args_check(
	const struct vuc_eal_opts *opts, const cpu_set_t *allowed, struct vuc_error *err);

/*
 * All arguments for options that have been checked. args are zeroes before, and to be freed also on
 * failure. prefix is EAL's --file-prefix; cpus are those of the one lcore when opts->lcores is
 * NULL. Returns 0 or -ENOMEM.
 */
int vuc_eal_args_make(struct eal_args *args, const struct vuc_eal_opts *opts, const char *prefix,
	bool telemetry, const cpu_set_t *cpus, struct vuc_error *err);

/* Leaves zeroes. Not while EAL uses them. */
void vuc_eal_args_free(struct eal_args *args);

#endif /* VUC_POLLER_EAL_ARGS_H */
