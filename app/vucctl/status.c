/* SPDX-License-Identifier: BSD-3-Clause */

/* status, reload: the daemon itself. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"

/* ---- status ---- */

static void
format_uptime(struct vucctl_cell *cell, struct json_object *value)
{
	uint64_t ms = app_reply_number(cell->reply, value, "uptime_ms");

	fputs(vucctl_duration_format(ms / 1000).text, cell->out);
}

/* States that few devices are in are shown only if there are any. */
static void
format_devices(struct vucctl_cell *cell, struct json_object *value)
{
	static const struct {
		const char *state, *text;
	} rare[] = {
		{"not-answering", "not answering"},
		{"stale", "stale"},
		{"fenced", "fenced"},
		{"restoring", "restoring"},
	};
	struct json_object *devices = app_reply_object(cell->reply, value, "devices");

	fprintf(cell->out,
		"%" PRIu64 " attached, %" PRIu64 " free, %" PRIu64 " away, %" PRIu64 " cleaning",
		app_reply_number(cell->reply, devices, "attached"),
		app_reply_number(cell->reply, devices, "free"),
		app_reply_number(cell->reply, devices, "away"),
		app_reply_number(cell->reply, devices, "cleaning"));

	for (size_t i = 0; i < sizeof(rare) / sizeof(rare[0]); i++) {
		uint64_t count = app_reply_number(cell->reply, devices, rare[i].state);

		if (count > 0)
			fprintf(cell->out, ", %" PRIu64 " %s", count, rare[i].text);
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

/* ---- reload ---- */

/* Print each element of an array, a text or a "what" with its "reason", to file. Returns how many
 * there are. */
static size_t
print_all(FILE *file, const char *before, struct app_reply *reply, struct json_object *result,
	const char *key)
{
	size_t i, n;
	struct json_object *array = app_reply_array(reply, result, key, &n);

	for (i = 0; i < n; i++) {
		struct json_object *item = json_object_array_get_idx(array, i);
		bool text = json_object_is_type(item, json_type_string);
		const char *reason = NULL;

		if (!text)
			reason = app_reply_text_or_null(reply, item, "reason");
		fputs(before, file);
		vucctl_foreign_print(file,
			text ? json_object_get_string(item) : app_reply_text(reply, item, "what"));
		fputs(reason != NULL ? ": " : "", file);
		vucctl_foreign_print(file, reason != NULL ? reason : "");
		putc('\n', file);
	}
	return n;
}

static int
print_text(const struct vucctl *ctl, struct json_object *result)
{
	struct app_reply reply = {NULL};
	size_t done, failed;

	done = print_all(stdout, "added ", &reply, result, "added");
	done += print_all(stdout, "removed ", &reply, result, "removed");
	done += print_all(stdout, "changed ", &reply, result, "changed");
	done += print_all(stdout, "needs a restart: ", &reply, result, "restart");
	failed = print_all(stderr, "vucctl: ", &reply, result, "failed");
	if (reply.lacks != NULL)
		return vucctl_fail_answer(ctl, "reload", reply.lacks);
	if (done == 0 && failed == 0)
		puts("no changes");
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
print_json(struct json_object *result)
{
	struct app_reply reply = {NULL};
	size_t failed;
	int ret = vucctl_print_result(result);

	app_reply_array(&reply, result, "failed", &failed);
	return failed == 0 ? ret : EXIT_FAILURE;
}

static int
reload_run(struct vucctl *ctl)
{
	struct json_object *result;
	int ret = vucctl_ask(ctl, "reload", NULL, &result);

	if (ret == 0)
		ret = ctl->json ? print_json(result) : print_text(ctl, result);
	json_object_put(result);
	return ret;
}

const struct vucctl_command vucctl_reload = {
	.name = "reload",
	.summary = "reload the daemon's configuration",
	.doc = "Reloads the configuration: the daemon adds, removes and changes devices accordingly.",
	.arguments = "",
	.daemon = true,
	.timeout_ms = VUCCTL_DAEMON_LONG_TIMEOUT_MS,
	.run = reload_run,
};
