/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_WATCH_H
#define VUC_POLLER_WATCH_H

/* What the control plane wants to know of a poller, beside what everybody does. */

#include <vuc/poller.h>

/*
 * Call fn(arg) once, on the poller's thread, when the connection of a device has ended; now, when
 * it has already. fn does not block, and calls nothing of the device or the poller. It is not
 * called any more once vuc_poller_close_device() has returned. Returns 0; -EINVAL for a device of
 * others.
 */
int vuc_poller_watch_device(
	struct vuc_poller *p, struct vuc_device *dev, void (*fn)(void *arg), void *arg);

/* The NUMA node of the poller's CPU, or -1. */
int vuc_poller_node(const struct vuc_poller *p);

#endif /* VUC_POLLER_WATCH_H */
