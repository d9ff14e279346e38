/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

static int
detach_run(struct vucctl *ctl)
{
	struct app_json params;

	app_json_init(&params);
	app_json_text(&params, params.root, "device", ctl->args[0]);
	return vucctl_ask_done(ctl, "vmms.detach", &params, "detached");
}

const struct vucctl_command vucctl_detach = {
	.name = "detach",
	.summary = "detach the VMM from a device",
	.doc = "Detaches the VMM from a device, so that another VMM can attach to it.",
	.arguments = "DEVICE",
	.daemon = true,
	.timeout_ms = VUCCTL_DAEMON_LONG_TIMEOUT_MS,
	.run = detach_run,
};
