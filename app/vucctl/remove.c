/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

static const struct argp_option options[] = {
	{"force", 'f', NULL, 0, "Detach the VMM that uses the device first"},
	{0},
};

static void
remove_take(struct vucctl *ctl, int key, const char *value)
{
	bool *force = ctl->own;

	(void)key;
	(void)value;
	*force = true;
}

static int
remove_run(struct vucctl *ctl)
{
	const bool *force = ctl->own;
	struct app_json params;

	app_json_init(&params);
	app_json_text(&params, params.root, "name", ctl->args[0]);
	app_json_bool(&params, params.root, "force", *force);
	return vucctl_ask_done(ctl, "devices.remove", &params, "removed");
}

const struct vucctl_command vucctl_remove = {
	.name = "remove",
	.summary = "remove a device from the daemon",
	.doc = "Removes a device from the daemon, which closes its connection to the server.",
	.arguments = "DEVICE",
	.daemon = true,
	.timeout_ms = VUCCTL_DAEMON_LONG_TIMEOUT_MS,
	.options = options,
	.size = sizeof(bool),
	.take = remove_take,
	.run = remove_run,
};
