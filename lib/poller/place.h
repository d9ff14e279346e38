/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_PLACE_H
#define VUC_POLLER_PLACE_H

#include <stddef.h>

#include <vuc/poller.h>

/*
 * The CPU for a new poller, with a line that says why. Sets *cpu to VUC_POLLER_CPU_NONE when it is
 * not to be bound to one. Returns 0, -EINVAL, -ENODEV, or what connecting to opts->near_socket
 * says.
 */
int poller_choose_place(const struct vuc_poller_opts *opts, int *cpu, char *why, size_t size,
	struct vuc_error *err);

#endif /* VUC_POLLER_PLACE_H */
