/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "print.h"

static void
format_uptime(struct app_reply *reply, struct json_object *value, char text[VUCCTL_CELL_SIZE])
{
	uint64_t ms = app_reply_number(reply, value, "uptime_ms");

	snprintf(text, VUCCTL_CELL_SIZE, "%s", vucctl_duration_format(ms / 1000).text);
}

/* States that few devices are in are shown only if there are any. */
static void
format_devices(struct app_reply *reply, struct json_object *value, char text[VUCCTL_CELL_SIZE])
{
	static const struct {
		const char *state, *text;
	} rare[] = {
		{"not-answering", "not answering"},
		{"stale", "stale"},
		{"fenced", "fenced"},
		{"restoring", "restoring"},
	};
	struct json_object *devices = app_reply_object(reply, value, "devices");
	int n = snprintf(text, VUCCTL_CELL_SIZE,
		"%" PRIu64 " attached, %" PRIu64 " free, %" PRIu64 " away, %" PRIu64 " cleaning",
		app_reply_number(reply, devices, "attached"),
		app_reply_number(reply, devices, "free"), app_reply_number(reply, devices, "away"),
		app_reply_number(reply, devices, "cleaning"));

	for (size_t i = 0; i < sizeof(rare) / sizeof(rare[0]) && n < VUCCTL_CELL_SIZE; i++) {
		uint64_t count = app_reply_number(reply, devices, rare[i].state);

		if (count > 0)
			n += snprintf(text + n, VUCCTL_CELL_SIZE - (size_t)n, ", %" PRIu64 " %s",
				count, rare[i].text);
	}
}

static const struct vucctl_field fields[] = {
	{"version", "version"},
	{"pid", "pid", true},
	{"state", "state"},
	{"running for", "", .format = format_uptime},
	{"directory", "directory"},
	{"VMM socket", "vmm_socket"},
	{"log level", "log_level"},
	{"pollers", "pollers", true},
	{"devices", "", .format = format_devices},
	{"VMM connections", "connections", true},
	{0},
};

static int
status_run(struct vucctl *ctl)
{
	struct json_object *result;
	int ret = vucctl_ask(ctl, "status", NULL, &result);

	if (ret == 0)
		ret = vucctl_print_fields(ctl, "status", "Daemon", fields, result);
	json_object_put(result);
	return ret;
}

const struct vucctl_command vucctl_status = {
	.name = "status",
	.summary = "show the status of the daemon vucd",
	.doc = "Shows the status of the daemon vucd.",
	.arguments = "",
	.daemon = true,
	.run = status_run,
};
