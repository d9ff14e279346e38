/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_EXPORT_H
#define VUC_LIB_CONTROL_EXPORT_H

/* The sockets of exported devices: each of them is a vfio-user server for stock VMMs. */

#include <stdbool.h>

#include <vuc/control.h>
#include <vuc/error.h>

#include "listener.h"

struct vuc_control;
struct control_device;

/* The socket of a device. Without one, all is zero except for an fd of -1. */
struct control_export {
	bool on; /* there is one, or was until the removal of the device began */
	struct vuc_listener listener;
};

/* Listen at the path that the options name. Any thread, before the device is in the list. Returns 0
 * or a negative errno. */
int control_export_open(struct control_device *d, const struct vuc_control_device_opts *opts,
	struct vuc_error *err);

/* With the lock held: let the control thread accept connections. Returns 0 or a negative errno. */
int control_export_watch(struct control_device *d);

/* Stop listening. On the control thread, or while the device is not in the list. */
void control_export_close(struct control_device *d);

#endif /* VUC_LIB_CONTROL_EXPORT_H */
