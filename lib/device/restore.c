/* SPDX-License-Identifier: BSD-3-Clause */

/* Restoring a device: the connection of a fresh one takes the place of the one that was lost. */

#include <errno.h>

#include "error.h"
#include "internal.h"
#include "recorded.h"

VUC_PRIVATE int
vuc_device_restore_start(struct vuc_device *dev, struct vuc_device *fresh,
	const struct vuc_restore_opts *opts, vuc_done_fn done, void *arg)
{
	(void)fresh;
	(void)opts;
	(void)done;
	(void)arg;
	return vuc_error_set(&dev->reason, -EOPNOTSUPP, "not there yet");
}

VUC_PRIVATE const char *
vuc_device_restore_step(struct vuc_device *dev)
{
	(void)dev;
	return "";
}

VUC_PRIVATE unsigned int
vuc_device_hold_eventfds(const struct vuc_device *dev, int *fds, unsigned int max)
{
	(void)dev;
	(void)fds;
	(void)max;
	return 0;
}

VUC_PRIVATE uint64_t
vuc_device_remapped(const struct vuc_device *dev)
{
	(void)dev;
	return 0;
}
