/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_EAL_RUNTIME_DIR_H
#define VUC_POLLER_EAL_RUNTIME_DIR_H

/*
 * EAL's folder at run time, which has the sockets of telemetry. It is locked as long as the process
 * uses it, so that a folder that nobody has locked, and whose socket nobody serves, is left from a
 * process that was killed.
 */

#include <limits.h>
#include <stdbool.h>

#include <vuc/eal.h>

/* Zeroes: none. */
struct eal_runtime_dir {
	char path[PATH_MAX];
	int lock; /* valid if there is a path */
};

/*
 * Make the folder that EAL uses with this prefix, and remove those that killed processes have left:
 * that one, and others with names that vuc chooses. Returns 0; -EBUSY when another process has the
 * folder, and telemetry is asked for. usable says whether EAL can use the folder; where it cannot,
 * telemetry that is asked for gets a warning.
 */
int vuc_eal_runtime_dir_make(const struct vuc_eal_opts *opts, const char *prefix,
	struct eal_runtime_dir *dir, bool *usable, struct vuc_error *err);

/* Remove the folder and what telemetry leaves in it, if there is one; zeroes are left. */
void vuc_eal_runtime_dir_remove(struct eal_runtime_dir *dir);

#endif /* VUC_POLLER_EAL_RUNTIME_DIR_H */
