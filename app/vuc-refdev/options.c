/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "server.h"

#define MAX_FD 1048575

/* ---- Options that are more than a number or a flag ---- */

typedef void option_fn(
	struct refdev_options *options, int key, char *text, const struct argp_state *state);

static void
option_path(struct refdev_options *options, int key, char *text, const struct argp_state *state)
{
	(void)key;
	(void)state;
	options->paths[options->nr_paths++] = text;
}

static void
option_mode(struct refdev_options *options, int key, char *text, const struct argp_state *state)
{
	(void)key;
	options->poll = strcmp(text, "poll") == 0;
	if (!options->poll && strcmp(text, "block") != 0)
		app_args_error(state, "--mode: '%s' is neither block nor poll", text);
}

/* nvme:FILE[,size=BYTES]. What follows the last comma is a part of the name unless it is a size. */
static void
option_device(struct refdev_options *options, int key, char *text, const struct argp_state *state)
{
	char *size = strrchr(text, ',');

	if (strncmp(text, "nvme:", 5) != 0)
		app_args_error(state, "--device: expected nvme:FILE[,size=BYTES], not '%s'", text);
	if (size != NULL && strncmp(size, ",size=", 6) == 0) {
		*size = '\0';
		options->device.nvme_size =
			app_args_number(state, key, size + 6, 512, (uint64_t)INT64_MAX & ~511ull);
	}
	if (text[5] == '\0')
		app_args_error(state, "--device: nvme: requires a file");
	options->device.nvme_file = text + 5;
}

static void
option_pretend(struct refdev_options *options, int key, char *text, const struct argp_state *state)
{
	(void)key;
	if (strcmp(text, "reset") == 0)
		options->device.pretend_reset = true;
	else if (strcmp(text, "unmap-all") == 0)
		options->device.pretend_unmap_all = true;
	else
		app_args_error(state, "--pretend: '%s' is neither reset nor unmap-all", text);
}

static void
option_fault(struct refdev_options *options, int key, char *text, const struct argp_state *state)
{
	struct vuc_error err = {.text = "out of memory"};

	(void)key;
	if (refdev_faults_add(&options->faults, text, &err) != 0)
		app_args_error(state, "--fault: %s", err.text);
}

/* ---- The table ---- */

struct refdev_option {
	const char *name; /* NULL: doc is the heading of what follows */
	const char *arg;
	const char *doc;
	option_fn *set;
	size_t at; /* the field of struct refdev_options that it sets to true, or to its argument */
	size_t size;
	uint64_t min;
	uint64_t max;    /* 0: the argument is not a number */
	uint32_t clears; /* REFDEV_F_* */
};

#define SETS(field)                                   \
	.at = offsetof(struct refdev_options, field), \
	.size = sizeof(((struct refdev_options *)NULL)->field)

/* clang-format off */
static const struct refdev_option options_table[] = {
	{.doc = "Sockets and process:"},
	{"socket-path", "PATH", "Another PATH; each is a separate device", option_path},
	{"fd", "N", "Serve file descriptor N, a listening or connected socket",
		SETS(fd), .max = MAX_FD},
	{"mode", "block|poll", "Sleep while idle (default), or poll without sleeping", option_mode},
	{"cpu", "N", "Run on CPU N only", SETS(cpu), .max = REFDEV_MAX_CPU},
	{"once", NULL, "Exit when the first client of each device has disconnected", SETS(once)},
	{"ready-fd", "N", "Write a newline to descriptor N and close it when all sockets listen",
		SETS(ready_fd), .max = MAX_FD},
	{"verbose", NULL, "Print a line for each message to stderr", SETS(verbose)},
	{.doc = "What the device offers:"},
	{"device", "nvme:FILE[,size=BYTES]",
		"Serve an NVMe controller with the blocks of FILE instead of the reference device",
		option_device},
	{"max-data-xfer-size", "N", "Maximum bytes of data in a message (default 1048576)",
		SETS(device.max_data_xfer_size), .min = 1, .max = REFDEV_MAX_DATA_XFER_SIZE},
	{"max-msg-fds", "N", "Maximum file descriptors in a message (default 8)",
		SETS(device.max_msg_fds), .max = REFDEV_MAX_MSG_FDS},
	{"max-dma-maps", "N", "Maximum number of DMA mappings (default 65535)",
		SETS(device.max_dma_maps), .min = 1, .max = UINT32_MAX},
	{"pgsizes", "N", "Bitmap of page sizes for DMA mappings (default 4096)",
		SETS(device.pgsizes), .min = 4096, .max = UINT64_MAX},
	{"minor", "N", "Highest minor version of the protocol (default 2)",
		SETS(device.minor), .max = UINT16_MAX},
	{"no-twin-socket", NULL, "Send the device's commands over the client's socket",
		.clears = REFDEV_F_TWIN_SOCKET},
	{"no-write-multi", NULL, "Do not support REGION_WRITE_MULTI",
		.clears = REFDEV_F_WRITE_MULTI},
	{"no-migration", NULL, "Do not support migration", .clears = REFDEV_F_MIGRATION},
	{"no-dirty-log", NULL, "Do not support logging of dirty pages",
		.clears = REFDEV_F_DIRTY_LOG},
	{"no-io-fds", NULL, "Do not support DEVICE_GET_REGION_IO_FDS", .clears = REFDEV_F_IO_FDS},
	{"bar-file", "FOLDER", "Keep the memory of mappable regions in files in FOLDER",
		SETS(device.bar_folder)},
	{.doc = "Faults:"},
	{"pretend", "COMMAND", "Reply to reset or unmap-all with success, but do nothing",
		option_pretend},
	{"fault", "SPEC", "Inject a fault: KIND[=VALUE][@COMMAND][#N]", option_fault},
};
/* clang-format on */

#define NR_OPTIONS (sizeof(options_table) / sizeof(options_table[0]))
#define FIRST_KEY  256

static const char doc[] =
	"Serve a reference vfio-user device at each UNIX socket PATH.\v"
	"Kinds of faults: delay=MS, drop, duplicate, truncate=BYTES, split, wrong-id, wrong-size=SIZE, "
	"length=BYTES, wrong-count, wrong-type, wrong-cmd, wrong-version[=major|minor], "
	"bad-json=TEXT, extra-fds=COUNT, argsz=SIZE, cap-loop, fd-index=N, error=ERRNO, close, "
	"reorder=MS, never, close-on-accept.\n"
	"COMMAND is a command such as region_read; #N selects only the Nth reply.";

static void
options_check(const struct refdev_options *options, const struct argp_state *state)
{
	if (options->fd >= 0 && options->nr_paths > 0)
		app_args_error(state, "--fd and a socket path are mutually exclusive: %s",
			options->paths[0]);
	if (options->fd < 0 && options->nr_paths == 0)
		app_args_error(state, "no socket path");
	if ((options->device.pgsizes & 4095) != 0)
		app_args_error(state, "--pgsizes: %llu includes a page size below 4096",
			(unsigned long long)options->device.pgsizes);
	if (options->device.nvme_file != NULL && options->nr_paths > 1)
		app_args_error(state, "--device: %u socket paths, expected one", options->nr_paths);
	for (unsigned int i = 0; i < options->nr_paths; i++)
		for (unsigned int k = 0; k < i; k++)
			if (strcmp(options->paths[i], options->paths[k]) == 0)
				app_args_error(state, "socket path '%s' is given twice",
					options->paths[i]);
}

static void
option_set(struct refdev_options *options, int key, char *text, const struct argp_state *state)
{
	const struct refdev_option *row = &options_table[key - FIRST_KEY];
	uint64_t value = 1;

	if (row->set != NULL)
		row->set(options, key, text, state);
	else if (row->max > 0)
		value = app_args_number(state, key, text, row->min, row->max);
	else if (row->arg != NULL)
		value = (uintptr_t)text;
	memcpy((uint8_t *)options + row->at, &value, row->size);
	options->device.features &= ~row->clears;
}

static error_t
options_parse(int key, char *text, struct argp_state *state)
{
	struct refdev_options *options = state->input;

	if (key == ARGP_KEY_ARG)
		option_path(options, key, text, state);
	else if (key == ARGP_KEY_SUCCESS)
		options_check(options, state);
	else if (key >= FIRST_KEY && key < FIRST_KEY + (int)NR_OPTIONS)
		option_set(options, key, text, state);
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

void
refdev_options_parse(struct refdev_options *options, int argc, char *argv[])
{
	struct argp_option rows[NR_OPTIONS + 1] = {0};
	const struct argp argp = {
		.options = rows,
		.parser = options_parse,
		.args_doc = "PATH...\n--fd=N",
		.doc = doc,
		.children = app_args_children,
	};
	int group = 0;

	for (size_t i = 0; i < NR_OPTIONS; i++) {
		const struct refdev_option *row = &options_table[i];

		rows[i] = (struct argp_option){.name = row->name, .arg = row->arg, .doc = row->doc};
		if (row->name != NULL)
			rows[i].key = FIRST_KEY + (int)i;
		else
			rows[i].group = ++group;
	}
	*options = (struct refdev_options){.fd = -1, .ready_fd = -1, .cpu = -1};
	refdev_config_init(&options->device);
	options->paths = calloc((size_t)argc, sizeof(options->paths[0]));
	if (options->paths == NULL)
		exit(EXIT_FAILURE);
	app_args_parse(&argp, argc, argv, options);
}

void
refdev_options_free(struct refdev_options *options)
{
	free(options->paths);
	refdev_faults_free(&options->faults);
}
