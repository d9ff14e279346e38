/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "print.h"

#define MAX_MS 3600000 /* of a time in the daemon's configuration */

enum {
	OPT_POSTED_WRITES = 256,
	OPT_RESET,
	OPT_IO_FDS,
	OPT_MAX_DMA_MAPS,
	OPT_SERVER_TIMEOUT,
	OPT_SERVER_LONG_TIMEOUT,
	OPT_RETRY_MIN,
	OPT_RETRY_MAX,
	OPT_OUTAGE,
	OPT_HOLD,
	OPT_AFTER_HOLD,
	OPT_FENCE,
	OPT_RELEASE,
	OPT_MAP,
	OPT_KEEP_BAR0,
	OPT_RECOVER,
	OPT_EXPORT,
	OPT_EXPORT_MODE,
	OPT_EXPORT_GROUP,
	OPT_REPLY,
};

static const struct argp_option options[] = {
	{"poller", 'p', "NAME", 0, "Poller that drives the device"},
	{"dma", 'd', "POLICY", 0, "DMA by 'shared' memory or by 'message'"},
	{"posted-writes", OPT_POSTED_WRITES, "WORD", 0,
		"Post writes to memory BARs: 'on', 'off' or 'auto'"},
	{"reset", OPT_RESET, "WORD", 0, "Reset for the next VMM: 'on', 'trust' or 'never'"},
	{"io-fds", OPT_IO_FDS, "WORD", 0, "Ask the server for ioeventfds: 'on' or 'off'"},
	{"max-dma-maps", OPT_MAX_DMA_MAPS, "N", 0, "Maximum number of DMA mappings"},
	{"server-timeout", OPT_SERVER_TIMEOUT, "MS", 0,
		"Timeout for connecting and for each reply of the server"},
	{"server-long-timeout", OPT_SERVER_LONG_TIMEOUT, "MS", 0,
		"Timeout for slow commands such as a reset"},
	{"retry-min", OPT_RETRY_MIN, "MS", 0,
		"Delay before the first attempt to reconnect to a server"},
	{"retry-max", OPT_RETRY_MAX, "MS", 0, "Maximum delay between attempts to reconnect"},
	{"outage", OPT_OUTAGE, "WORD", 0, "When the server is lost: 'fail' or 'hold'"},
	{"hold", OPT_HOLD, "MS", 0, "Time in which reads wait for a lost server"},
	{"after-hold", OPT_AFTER_HOLD, "WORD", 0,
		"Reads after that: 'hold', 'last', 'ones', 'error' or 'auto'"},
	{"fence", OPT_FENCE, "WORD", 0,
		"Wait for the end of the previous server process: 'on' or 'off'"},
	{"release", OPT_RELEASE, "MS", 0,
		"Time that a VMM has to release the device before it is taken away"},
	{"map", OPT_MAP, "WORD", 0, "Regions that VMMs can map: 'direct' or 'none'"},
	{"keep-bar0", OPT_KEEP_BAR0, "WORD", 0,
		"Keep the file of BAR0 when SPDK's target is restarted: 'on' or 'off'"},
	{"recover", OPT_RECOVER, "WORD", 0,
		"Have an NVMe controller report a failure after a restart of its server: "
		"'nvme' or 'none'"},
	{"export", OPT_EXPORT, "SOCKET", 0, "Socket for VMMs that are vfio-user clients"},
	{"export-mode", OPT_EXPORT_MODE, "MODE", 0, "Permissions of that socket, in octal"},
	{"export-group", OPT_EXPORT_GROUP, "GROUP", 0, "Group of that socket"},
	{"reply", OPT_REPLY, "MS", 0, "Time in which each request of such a VMM is answered"},
	{"users", 'u', "LIST", 0, "Names or numbers of users who can attach, separated by commas"},
	{"groups", 'g', "LIST", 0, "Groups whose members can attach"},
	{0},
};

static const char *const policies[] = {"shared", "message", NULL};
static const char *const posted_words[] = {"on", "off", "auto", NULL};
static const char *const resets[] = {"on", "trust", "never", NULL};
static const char *const outages[] = {"fail", "hold", NULL};
static const char *const after_holds[] = {"hold", "last", "ones", "error", "auto", NULL};
static const char *const maps[] = {"direct", "none", NULL};
static const char *const recovers[] = {"nvme", "none", NULL};
static const char *const switches[] = {"off", "on", NULL};

/* What an option becomes of the parameters of the call. */
static const struct parameter {
	int option;
	enum {
		TEXT,
		SWITCH,
		NUMBER,
		LIST,
		PATH,
	} kind;
	const char *key;
	const char *what; /* in errors */
	const char *const *words;
	uint32_t max; /* of a number, whose least is 1 */
} parameters[] = {
	{'p', TEXT, "poller"},
	{'d', TEXT, "dma", "dma", policies},
	{OPT_POSTED_WRITES, TEXT, "posted_writes", "posted writes", posted_words},
	{OPT_RESET, TEXT, "reset", "reset", resets},
	{OPT_IO_FDS, SWITCH, "io_fds", "ioeventfds", switches},
	{OPT_MAX_DMA_MAPS, NUMBER, "max_dma_maps", "--max-dma-maps", .max = 65535},
	{OPT_SERVER_TIMEOUT, NUMBER, "timeout_ms", "--server-timeout", .max = MAX_MS},
	{OPT_SERVER_LONG_TIMEOUT, NUMBER, "long_timeout_ms", "--server-long-timeout",
		.max = MAX_MS},
	{OPT_RETRY_MIN, NUMBER, "retry_min_ms", "--retry-min", .max = MAX_MS},
	{OPT_RETRY_MAX, NUMBER, "retry_max_ms", "--retry-max", .max = MAX_MS},
	{OPT_OUTAGE, TEXT, "outage", "outage", outages},
	{OPT_HOLD, NUMBER, "hold_ms", "--hold", .max = MAX_MS},
	{OPT_AFTER_HOLD, TEXT, "after_hold", "after-hold", after_holds},
	{OPT_FENCE, SWITCH, "fence", "fence", switches},
	{OPT_RELEASE, NUMBER, "release_ms", "--release", .max = MAX_MS},
	{OPT_MAP, TEXT, "map", "map", maps},
	{OPT_KEEP_BAR0, SWITCH, "keep_bar0", "keep-bar0", switches},
	{OPT_RECOVER, TEXT, "recover", "recover", recovers},
	{OPT_EXPORT, PATH, "export"},
	{OPT_EXPORT_MODE, TEXT, "export_mode"},
	{OPT_EXPORT_GROUP, TEXT, "export_group"},
	{OPT_REPLY, NUMBER, "reply_ms", "--reply", .max = MAX_MS},
	{'u', LIST, "users"},
	{'g', LIST, "groups"},
};

/* Words with commas between; no word at all for an empty text. */
static void
take_list(struct app_json *params, const char *key, const char *value)
{
	struct json_object *array = app_json_array(params, params->root, key);
	char *copy = strdup(value);
	char *word, *rest = NULL;

	params->failed |= copy == NULL;
	for (word = copy != NULL ? strtok_r(copy, ", ", &rest) : NULL; word != NULL;
		word = strtok_r(NULL, ", ", &rest))
		app_json_text(params, array, NULL, word);
	free(copy);
}

/* The daemon has another working directory: the path is made absolute. */
static int
add_take_path(struct app_json *params, const char *key, const char *path)
{
	char absolute[2 * PATH_MAX] = "";

	if (path[0] != '/') {
		if (getcwd(absolute, PATH_MAX) == NULL)
			return vucctl_fail("%s: %s", path, strerror(errno));
		strcat(absolute, "/");
	}
	if (strlen(absolute) + strlen(path) >= PATH_MAX)
		return vucctl_fail("%s: %s", path, strerror(ENAMETOOLONG));
	strcat(absolute, path);
	app_json_text(params, params->root, key, absolute);
	return 0;
}

/* A parameter that is given once more takes the place of the one before. */
static void
add_take(struct vucctl *ctl, int key, const char *value)
{
	struct app_json *params = ctl->own;
	const struct parameter *p = parameters;
	unsigned int word = 0;

	if (params->root == NULL)
		app_json_init(params);
	while (p->option != key)
		p++;
	if (p->words != NULL)
		word = vucctl_take_word(ctl, p->what, value, p->words);
	switch (p->kind) {
	case TEXT:
		app_json_text(params, params->root, p->key, value);
		break;
	case SWITCH:
		app_json_bool(params, params->root, p->key, word);
		break;
	case NUMBER:
		app_json_number(params, params->root, p->key,
			vucctl_take_number(ctl, p->what, value, 1, p->max));
		break;
	case LIST:
		take_list(params, p->key, value);
		break;
	case PATH:
		params->failed |= add_take_path(params, p->key, value) != 0;
		break;
	}
}

static int
add_check(struct vucctl *ctl)
{
	struct app_json *params = ctl->own;

	if (params->root == NULL)
		app_json_init(params);
	app_json_text(params, params->root, "name", ctl->args[0]);
	return add_take_path(params, "socket", ctl->args[1]);
}

static void
print_text(struct app_reply *reply, struct json_object *device)
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
		print_text(&reply, device);
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
	int ret = vucctl_ask(ctl, "devices.add", ctl->own, &result);

	json_object_put(result);
	if (ret != 0)
		return ret;
	ret = vucctl_ask(ctl, "devices.list", NULL, &result);
	if (ret == 0)
		ret = print_device(ctl, result);
	json_object_put(result);
	return ret;
}

static void
add_end(struct vucctl *ctl)
{
	app_json_finish(ctl->own);
}

const struct vucctl_command vucctl_add = {
	.name = "add",
	.summary = "add a device to the daemon",
	.doc = "Adds a device to the daemon, which offers the device on SOCKET to VMMs. The server may be "
	       "started later. Options have the defaults of the configuration.",
	.arguments = "NAME SOCKET",
	.daemon = true,
	.timeout_ms = VUCCTL_DAEMON_LONG_TIMEOUT_MS,
	.options = options,
	.size = sizeof(struct app_json),
	.take = add_take,
	.check = add_check,
	.run = add_run,
	.end = add_end,
};
