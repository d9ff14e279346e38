/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "command.h"

static int
reset_run(struct vucctl *ctl)
{
	int ret = vuc_device_reset(ctl->dev);

	return ret == 0 ? EXIT_SUCCESS : vucctl_fail_device(ctl, ret, "cannot reset the device");
}

const struct vucctl_command vucctl_reset = {
	.name = "reset",
	.summary = "reset a device",
	.doc = "Resets the device on SOCKET.",
	.arguments = "SOCKET",
	.run = reset_run,
};
