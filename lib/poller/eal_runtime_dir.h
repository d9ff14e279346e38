/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_EAL_RUNTIME_DIR_H
#define VUC_POLLER_EAL_RUNTIME_DIR_H

/* EAL's folder at run time, which has the sockets of telemetry. */

#include <limits.h>
#include <stdbool.h>

#include <vuc/eal.h>

/*
 * Make the folder that EAL uses with this prefix. Sets ours to its path, or leaves it as it is when
 * the folder was there before. Returns whether there is one that EAL can use; where there is not,
 * telemetry that is asked for gets a warning.
 */
bool vuc_eal_runtime_dir_make(
	const struct vuc_eal_opts *opts, const char *prefix, char ours[PATH_MAX]);

/* Remove the folder and what telemetry leaves in it, and set ours to ""; if it is not "" already.
 */
void vuc_eal_runtime_dir_remove(char ours[PATH_MAX]);

#endif /* VUC_POLLER_EAL_RUNTIME_DIR_H */
