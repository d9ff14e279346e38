/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "daemon_command.h"
#include "device_list.h"
#include "format.h"
#include "message.h"
#include "number.h"

#define COMMAND "add"

struct addition {
	const char *name;
	char socket[PATH_MAX];
	struct app_json params;
};

static void
print_help(void)
{
	printf("Usage: vucctl add [OPTION...] NAME SOCKET\n"
	       "\n"
	       "Has the daemon offer the device behind SOCKET to VMMs. Its server may come later.\n"
	       "What is not given is as in a configuration.\n"
	       "\n"
	       "Options:\n" VUCCTL_DAEMON_LONG_HELP
	       "  -p, --poller NAME      poller that drives it\n"
	       "  -d, --dma POLICY       'shared' or 'message'\n"
	       "      --posted-writes WORD\n"
	       "                         'on' or 'off'\n"
	       "      --reset WORD       'on', 'trust' or 'never'\n"
	       "      --io-fds WORD      'on' or 'off'\n"
	       "      --max-dma-maps N   DMA mappings at a time\n"
	       "      --server-timeout MS\n"
	       "                         how long the server may take\n"
	       "      --server-long-timeout MS\n"
	       "                         and for what may take long\n"
	       "      --retry-min MS     first wait before a server that is away is tried again\n"
	       "      --retry-max MS     the longest\n"
	       "  -u, --users LIST       names or numbers of users who may have it, with commas\n"
	       "  -g, --groups LIST      groups whose members may have it\n"
	       "  -j, --json             print one JSON object\n"
	       "  -h, --help             print this help and exit\n");
}

/* ---- options ---- */

enum {
	OPT_POSTED_WRITES = 256,
	OPT_RESET,
	OPT_IO_FDS,
	OPT_MAX_DMA_MAPS,
	OPT_SERVER_TIMEOUT,
	OPT_SERVER_LONG_TIMEOUT,
	OPT_RETRY_MIN,
	OPT_RETRY_MAX,
};

/* A parameter that is given once more takes the place of the one before. */
static int
set_text(struct addition *addition, const char *key, const char *value)
{
	app_json_text(&addition->params, addition->params.root, key, value);
	return 0;
}

static int
take_dma(struct addition *addition, const char *value)
{
	if (strcmp(value, "shared") != 0 && strcmp(value, "message") != 0)
		return vucctl_fail_usage(
			COMMAND, "dma '%s' is neither 'shared' nor 'message'", value);
	return set_text(addition, "dma", value);
}

static int
take_posted_writes(struct addition *addition, const char *value)
{
	if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0 && strcmp(value, "auto") != 0)
		return vucctl_fail_usage(
			COMMAND, "posted writes '%s' are none of 'on', 'off' and 'auto'", value);
	return set_text(addition, "posted_writes", value);
}

static int
take_reset(struct addition *addition, const char *value)
{
	if (strcmp(value, "on") != 0 && strcmp(value, "trust") != 0 && strcmp(value, "never") != 0)
		return vucctl_fail_usage(
			COMMAND, "reset '%s' is none of 'on', 'trust' and 'never'", value);
	return set_text(addition, "reset", value);
}

static int
take_io_fds(struct addition *addition, const char *value)
{
	bool on = strcmp(value, "on") == 0;

	if (!on && strcmp(value, "off") != 0)
		return vucctl_fail_usage(
			COMMAND, "ioeventfds '%s' are neither 'on' nor 'off'", value);
	app_json_bool(&addition->params, addition->params.root, "io_fds", on);
	return 0;
}

static int
take_max_dma_maps(struct addition *addition, const char *value)
{
	uint64_t max;

	if (vuc_number_parse(value, 0, 1, UINT32_MAX, &max) != 0)
		return vucctl_fail_usage(
			COMMAND, "DMA mappings '%s' are not a number, 1 to 4294967295", value);
	app_json_number(&addition->params, addition->params.root, "max_dma_maps", max);
	return 0;
}

static int
take_ms(struct addition *addition, const char *key, const char *what, const char *value)
{
	uint64_t ms;

	if (vuc_number_parse(value, 0, 1, UINT32_MAX, &ms) != 0)
		return vucctl_fail_usage(COMMAND,
			"%s '%s' is not a number of milliseconds, 1 to 4294967295", what, value);
	app_json_number(&addition->params, addition->params.root, key, ms);
	return 0;
}

/* Words with commas between; no word at all for an empty text. */
static int
take_list(struct addition *addition, const char *key, const char *value)
{
	struct app_json *params = &addition->params;
	struct json_object *array = app_json_array(params, params->root, key);
	char *copy = strdup(value);
	char *word, *rest = NULL;

	if (copy == NULL)
		return vucctl_fail("%s", strerror(ENOMEM));
	for (word = strtok_r(copy, ", ", &rest); word != NULL; word = strtok_r(NULL, ", ", &rest))
		app_json_text(params, array, NULL, word);
	free(copy);
	return 0;
}

static int
take_option(void *arg, int opt, const char *value)
{
	struct addition *addition = arg;

	switch (opt) {
	case 'p':
		return set_text(addition, "poller", value);
	case 'd':
		return take_dma(addition, value);
	case 'u':
		return take_list(addition, "users", value);
	case 'g':
		return take_list(addition, "groups", value);
	case OPT_POSTED_WRITES:
		return take_posted_writes(addition, value);
	case OPT_RESET:
		return take_reset(addition, value);
	case OPT_IO_FDS:
		return take_io_fds(addition, value);
	case OPT_MAX_DMA_MAPS:
		return take_max_dma_maps(addition, value);
	case OPT_SERVER_TIMEOUT:
		return take_ms(addition, "timeout_ms", "server timeout", value);
	case OPT_SERVER_LONG_TIMEOUT:
		return take_ms(addition, "long_timeout_ms", "long server timeout", value);
	case OPT_RETRY_MIN:
		return take_ms(addition, "retry_min_ms", "first retry", value);
	default:
		return take_ms(addition, "retry_max_ms", "longest retry", value);
	}
}

/* The daemon has another working directory. */
static int
make_absolute(struct addition *addition, const char *path)
{
	size_t size = sizeof(addition->socket);
	char directory[PATH_MAX];
	int len;

	if (path[0] == '/')
		len = snprintf(addition->socket, size, "%s", path);
	else if (getcwd(directory, sizeof(directory)) != NULL)
		len = snprintf(addition->socket, size, "%s/%s", directory, path);
	else
		return vucctl_fail("%s: %s", path, strerror(errno));
	if (len < 0 || (size_t)len >= size)
		return vucctl_fail("%s: %s", path, strerror(ENAMETOOLONG));
	return 0;
}

static int
take_arguments(void *arg, int argc, char *const argv[])
{
	struct addition *addition = arg;
	int ret = vucctl_arguments_check(COMMAND, "name socket", argc, argv);

	if (ret == 0)
		ret = make_absolute(addition, argv[1]);
	if (ret != 0)
		return ret;
	addition->name = argv[0];
	set_text(addition, "name", addition->name);
	return set_text(addition, "socket", addition->socket);
}

/* ---- what has become of it ---- */

static void
print_text(const struct vucctl_device_row *row)
{
	fputs("added ", stdout);
	vucctl_foreign_print(stdout, row->name);
	printf(", %s ", row->reason != NULL ? "which is" : "now");
	vucctl_foreign_print(stdout, row->state);
	fputs(row->reason != NULL ? ": " : "", stdout);
	vucctl_foreign_print(stdout, row->reason != NULL ? row->reason : "");
	putchar('\n');
}

static int
print_json(struct json_object *device)
{
	struct app_json json;

	app_json_init_copy(&json, device);
	return vucctl_daemon_print(&json);
}

/* The device may have been removed since. */
static int
print_device(const struct vucctl_daemon *daemon, const struct app_json *list, const char *name)
{
	struct vucctl_reply reply = {NULL};
	struct vucctl_device_row row;
	size_t i, n;
	struct json_object *array = vucctl_reply_array(&reply, list->root, "devices", &n);

	for (i = 0; i < n && reply.lacks == NULL; i++) {
		vucctl_device_list_read(&reply, array, i, &row);
		if (reply.lacks != NULL || strcmp(row.name, name) != 0)
			continue;
		if (daemon->json)
			return print_json(json_object_array_get_idx(array, i));
		print_text(&row);
		return EXIT_SUCCESS;
	}
	if (reply.lacks != NULL)
		return vucctl_daemon_fail_answer(daemon, "devices.list", reply.lacks);
	return vucctl_fail("%s: %s was added, but is gone already", daemon->path, name);
}

static int
add_command_run(void *arg, struct vucctl_daemon *daemon)
{
	struct addition *addition = arg;
	struct app_json list;
	int ret = vucctl_daemon_do(daemon, "devices.add", &addition->params);

	if (ret != 0)
		return ret;
	ret = vucctl_device_list_get(daemon, &list);
	if (ret == 0)
		ret = print_device(daemon, &list, addition->name);
	app_json_finish(&list);
	return ret;
}

int
vucctl_add_command(int argc, char *argv[])
{
	static const struct option options[] = {
		VUCCTL_DAEMON_LONG_OPTIONS,
		{"poller", required_argument, NULL, 'p'},
		{"dma", required_argument, NULL, 'd'},
		{"posted-writes", required_argument, NULL, OPT_POSTED_WRITES},
		{"reset", required_argument, NULL, OPT_RESET},
		{"io-fds", required_argument, NULL, OPT_IO_FDS},
		{"max-dma-maps", required_argument, NULL, OPT_MAX_DMA_MAPS},
		{"server-timeout", required_argument, NULL, OPT_SERVER_TIMEOUT},
		{"server-long-timeout", required_argument, NULL, OPT_SERVER_LONG_TIMEOUT},
		{"retry-min", required_argument, NULL, OPT_RETRY_MIN},
		{"retry-max", required_argument, NULL, OPT_RETRY_MAX},
		{"users", required_argument, NULL, 'u'},
		{"groups", required_argument, NULL, 'g'},
		{NULL, 0, NULL, 0},
	};
	static const struct vucctl_daemon_command command = {
		.name = COMMAND,
		.timeout_ms = VUCCTL_DAEMON_LONG_TIMEOUT_MS,
		.short_options = ":" VUCCTL_DAEMON_SHORT_OPTIONS "p:d:u:g:",
		.options = options,
		.print_help = print_help,
		.take_option = take_option,
		.take_arguments = take_arguments,
		.run = add_command_run,
	};
	struct addition addition = {.name = NULL};
	int ret;

	app_json_init(&addition.params);
	ret = vucctl_daemon_command_run(&command, &addition, argc, argv);
	app_json_finish(&addition.params);
	return ret;
}
