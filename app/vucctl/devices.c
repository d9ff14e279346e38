/* SPDX-License-Identifier: BSD-3-Clause */

/* devices, add, detach, remove: the devices of the daemon. */

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"

#define BUFFER_SIZE 16384 /* of an entry of the users' database */

/* ---- devices ---- */

/* The daemon says how long ago it was, so that its clock does not matter. */
static void
format_since(struct vucctl_cell *cell, struct json_object *value)
{
	uint64_t since_ms = app_reply_number(cell->reply, value, "since_ms");
	struct timespec now;
	uint64_t now_ms;
	char text[32];
	struct tm tm;
	time_t since;

	/* In milliseconds: the same state has the same second each time. */
	clock_gettime(CLOCK_REALTIME, &now);
	now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	if (since_ms >= now_ms)
		return;
	since = (time_t)((now_ms - since_ms) / 1000);
	localtime_r(&since, &tm);
	strftime(text, sizeof(text), "%F %T", &tm);
	fputs(text, cell->out);
}

/* The process, its user by name or, without one, by number, the VMM's name, and whether it is a
 * vfio-user client. */
static void
format_vmm(struct vucctl_cell *cell, struct json_object *value)
{
	struct json_object *vmm = app_reply_object_or_null(cell->reply, value, "vmm");
	char buffer[BUFFER_SIZE], number[24];
	struct passwd entry, *user = NULL;
	uint64_t pid, uid;

	if (vmm == NULL)
		return;
	pid = app_reply_number(cell->reply, vmm, "pid");
	uid = app_reply_number(cell->reply, vmm, "uid");
	snprintf(number, sizeof(number), "%" PRIu64, uid);
	if (uid < UINT32_MAX)
		getpwuid_r((uid_t)uid, &entry, buffer, sizeof(buffer), &user);
	fprintf(cell->out, "%" PRIu64 " %s %s%s", pid, user != NULL ? user->pw_name : number,
		app_reply_text(cell->reply, vmm, "name"),
		strcmp(app_reply_text(cell->reply, vmm, "plane"), "vfio-user") == 0 ? " (vfio-user)"
										    : "");
}

static void
format_queues(struct vucctl_cell *cell, struct json_object *value)
{
	struct json_object *vmm = app_reply_object_or_null(cell->reply, value, "vmm");

	if (vmm != NULL)
		fprintf(cell->out, "%" PRIu64, app_reply_number(cell->reply, vmm, "queues"));
}

static const struct vucctl_field fields[] = {
	{"NAME", "name"},
	{"STATE", "state"},
	{"SINCE", "", .format = format_since},
	{"CONNECTION", "generation", true},
	{"POLLER", "poller"},
	{"VMM", "", .format = format_vmm},
	{"QUEUES", "", true, .format = format_queues},
	{"SOCKET", "socket"},
	{"EXPORT", "export", .nullable = true},
	{0},
};

/* Behind the table, with an empty line between. */
static void
print_reasons(struct app_reply *reply, struct json_object *array, size_t n)
{
	const char *before = "\n";
	size_t i;

	for (i = 0; i < n; i++) {
		struct json_object *device = json_object_array_get_idx(array, i);
		const char *reason = app_reply_text_or_null(reply, device, "reason");

		if (reason == NULL)
			continue;
		fputs(before, stdout);
		before = "";
		vucctl_foreign_print(stdout, app_reply_text(reply, device, "name"));
		fputs(": ", stdout);
		vucctl_foreign_print(stdout, reason);
		putchar('\n');
	}
}

static int
devices_run(struct vucctl *ctl)
{
	struct vucctl_table table = {fields, {0}};
	struct app_reply reply = {NULL};
	struct json_object *result, *array;
	int ret = vucctl_ask(ctl, "devices.list", NULL, &result);
	size_t n;

	if (ret != 0)
		return ret;
	array = app_reply_array(&reply, result, "devices", &n);
	if (reply.lacks == NULL && ctl->json)
		ret = vucctl_print_result(result);
	if (!ctl->json) {
		vucctl_table_print(stdout, &table, &reply, array, true);
		if (reply.lacks == NULL)
			print_reasons(&reply, array, n);
	}
	if (reply.lacks != NULL)
		ret = vucctl_fail_answer(ctl, "devices.list", reply.lacks);
	json_object_put(result);
	return ret;
}

const struct vucctl_command vucctl_devices = {
	.name = "devices",
	.summary = "list the daemon's devices",
	.doc = "Lists the daemon's devices, their states, and the attached VMMs.",
	.arguments = "",
	.daemon = true,
	.run = devices_run,
};

/* ---- add ---- */

#define MAX_MS 3600000 /* of a time in the daemon's configuration */

static const char *const policies[] = {"shared", "message", NULL};
static const char *const posted_words[] = {"on", "off", "auto", NULL};
static const char *const resets[] = {"on", "trust", "never", NULL};
static const char *const outages[] = {"fail", "hold", NULL};
static const char *const after_holds[] = {"hold", "last", "ones", "error", "auto", NULL};
static const char *const maps[] = {"direct", "none", NULL};
static const char *const recovers[] = {"nvme", "none", NULL};

static const struct vucctl_option add_options[] = {
	{"poller", 'p', "NAME", "Poller that drives the device", VUCCTL_TEXT,
		.parameter = "poller"},
	{"dma", 'd', "POLICY", "DMA by 'shared' memory or by 'message'", VUCCTL_TEXT,
		.parameter = "dma", .words = policies},
	{"posted-writes", 0, "WORD", "Post writes to memory BARs: 'on', 'off' or 'auto'",
		VUCCTL_TEXT, .parameter = "posted_writes", .words = posted_words},
	{"reset", 0, "WORD", "Reset for the next VMM: 'on', 'trust' or 'never'", VUCCTL_TEXT,
		.parameter = "reset", .words = resets},
	{"io-fds", 0, "WORD", "Ask the server for ioeventfds: 'on' or 'off'", VUCCTL_SWITCH,
		.parameter = "io_fds"},
	{"max-dma-maps", 0, "N", "Maximum number of DMA mappings", VUCCTL_NUMBER,
		.parameter = "max_dma_maps", .min = 1, .max = 65535},
	{"server-timeout", 0, "MS", "Timeout for connecting and for each reply of the server",
		VUCCTL_NUMBER, .parameter = "timeout_ms", .min = 1, .max = MAX_MS},
	{"server-long-timeout", 0, "MS", "Timeout for slow commands such as a reset", VUCCTL_NUMBER,
		.parameter = "long_timeout_ms", .min = 1, .max = MAX_MS},
	{"retry-min", 0, "MS", "Delay before the first attempt to reconnect to a server",
		VUCCTL_NUMBER, .parameter = "retry_min_ms", .min = 1, .max = MAX_MS},
	{"retry-max", 0, "MS", "Maximum delay between attempts to reconnect", VUCCTL_NUMBER,
		.parameter = "retry_max_ms", .min = 1, .max = MAX_MS},
	{"outage", 0, "WORD", "When the server is lost: 'fail' or 'hold'", VUCCTL_TEXT,
		.parameter = "outage", .words = outages},
	{"hold", 0, "MS", "Time in which reads wait for a lost server", VUCCTL_NUMBER,
		.parameter = "hold_ms", .min = 1, .max = MAX_MS},
	{"after-hold", 0, "WORD",
		"What reads get after --hold: 'hold', 'last', 'ones', 'error' or 'auto'",
		VUCCTL_TEXT, .parameter = "after_hold", .words = after_holds},
	{"fence", 0, "WORD", "Wait for the end of the previous server process: 'on' or 'off'",
		VUCCTL_SWITCH, .parameter = "fence"},
	{"release", 0, "MS", "Time that a VMM has to release the device before it is taken away",
		VUCCTL_NUMBER, .parameter = "release_ms", .min = 1, .max = MAX_MS},
	{"map", 0, "WORD", "Regions that VMMs can map: 'direct' or 'none'", VUCCTL_TEXT,
		.parameter = "map", .words = maps},
	{"keep-bar0", 0, "WORD",
		"Keep the file of BAR0 when SPDK's target is restarted: 'on' or 'off'",
		VUCCTL_SWITCH, .parameter = "keep_bar0"},
	{"recover", 0, "WORD",
		"Have an NVMe controller report a failure after a restart of its server: "
		"'nvme' or 'none'",
		VUCCTL_TEXT, .parameter = "recover", .words = recovers},
	{"export", 0, "SOCKET", "Socket for VMMs that are vfio-user clients", VUCCTL_PATH,
		.parameter = "export"},
	{"export-mode", 0, "MODE", "Permissions of the socket of --export, in octal", VUCCTL_TEXT,
		.parameter = "export_mode"},
	{"export-group", 0, "GROUP", "Group of the socket of --export", VUCCTL_TEXT,
		.parameter = "export_group"},
	{"reply", 0, "MS", "Time in which each request at the socket of --export is answered",
		VUCCTL_NUMBER, .parameter = "reply_ms", .min = 1, .max = MAX_MS},
	{"users", 'u', "LIST", "Names or numbers of users who can attach, separated by commas",
		VUCCTL_LIST, .parameter = "users"},
	{"groups", 'g', "LIST", "Groups whose members can attach", VUCCTL_LIST,
		.parameter = "groups"},
	{0},
};

static int
add_check(struct vucctl *ctl)
{
	app_json_text(&ctl->params, ctl->params.root, "name", ctl->args[0]);
	vucctl_add_path(ctl, "socket", ctl->args[1]);
	return ctl->status;
}

static void
print_added(struct app_reply *reply, struct json_object *device)
{
	const char *reason = app_reply_text_or_null(reply, device, "reason");

	fputs("added ", stdout);
	vucctl_foreign_print(stdout, app_reply_text(reply, device, "name"));
	printf(", %s ", reason != NULL ? "which is" : "now");
	vucctl_foreign_print(stdout, app_reply_text(reply, device, "state"));
	fputs(reason != NULL ? ": " : "", stdout);
	vucctl_foreign_print(stdout, reason != NULL ? reason : "");
	putchar('\n');
}

/* Print what has become of the device, which may have been removed since. */
static int
print_device(const struct vucctl *ctl, struct json_object *list)
{
	struct app_reply reply = {NULL};
	size_t i, n;
	struct json_object *array = app_reply_array(&reply, list, "devices", &n);

	for (i = 0; i < n && reply.lacks == NULL; i++) {
		struct json_object *device = json_object_array_get_idx(array, i);

		if (strcmp(app_reply_text(&reply, device, "name"), ctl->args[0]) != 0)
			continue;
		if (ctl->json)
			return vucctl_print_result(device);
		print_added(&reply, device);
		return EXIT_SUCCESS;
	}
	if (reply.lacks != NULL)
		return vucctl_fail_answer(ctl, "devices.list", reply.lacks);
	return vucctl_fail(
		"%s: %s was added, but has been removed again", ctl->management, ctl->args[0]);
}

static int
add_run(struct vucctl *ctl)
{
	struct json_object *result;
	int ret = vucctl_ask(ctl, "devices.add", &ctl->params, &result);

	json_object_put(result);
	if (ret != 0)
		return ret;
	ret = vucctl_ask(ctl, "devices.list", NULL, &result);
	if (ret == 0)
		ret = print_device(ctl, result);
	json_object_put(result);
	return ret;
}

const struct vucctl_command vucctl_add = {
	.name = "add",
	.summary = "add a device to the daemon",
	.doc = "Adds a device to the daemon, which offers the device on SOCKET to VMMs. The server may be "
	       "started later. Options have the defaults of the configuration.",
	.arguments = "NAME SOCKET",
	.daemon = true,
	.timeout_ms = VUCCTL_DAEMON_LONG_TIMEOUT_MS,
	.options = add_options,
	.check = add_check,
	.run = add_run,
};

/* ---- detach, remove ---- */

static int
detach_run(struct vucctl *ctl)
{
	return vucctl_ask_done(ctl, "vmms.detach", "device", "detached");
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

static const struct vucctl_option remove_options[] = {
	{"force", 'f', NULL, "Detach the VMM that uses the device first", VUCCTL_SET,
		.parameter = "force"},
	{0},
};

static int
remove_run(struct vucctl *ctl)
{
	return vucctl_ask_done(ctl, "devices.remove", "name", "removed");
}

const struct vucctl_command vucctl_remove = {
	.name = "remove",
	.summary = "remove a device from the daemon",
	.doc = "Removes a device from the daemon, which closes its connection to the server.",
	.arguments = "DEVICE",
	.daemon = true,
	.timeout_ms = VUCCTL_DAEMON_LONG_TIMEOUT_MS,
	.options = remove_options,
	.run = remove_run,
};
