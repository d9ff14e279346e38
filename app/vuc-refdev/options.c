/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "options.h"

#define MAX_CPU 4095
#define MAX_FD  1048575

enum option_key {
	OPT_SOCKET_PATH = 256,
	OPT_FD,
	OPT_MODE,
	OPT_CPU,
	OPT_ONCE,
	OPT_READY_FD,
	OPT_MAX_DATA_XFER_SIZE,
	OPT_MAX_MSG_FDS,
	OPT_MAX_DMA_MAPS,
	OPT_PGSIZES,
	OPT_MINOR,
	OPT_PRETEND,
	OPT_FAULT,
	OPT_NO_TWIN_SOCKET,
	OPT_NO_WRITE_MULTI,
	OPT_NO_MIGRATION,
	OPT_NO_DIRTY_LOG,
	OPT_NO_IO_FDS,
	OPT_BAR_FILE,
	OPT_DEVICE,
	OPT_VERBOSE,
};

/* clang-format off */
static const struct argp_option arguments[] = {
	{NULL, 0, NULL, 0, "Sockets and process:", 1},
	{"socket-path", OPT_SOCKET_PATH, "PATH", 0, "Another PATH; each is a separate device", 0},
	{"fd", OPT_FD, "N", 0, "Serve file descriptor N, a listening or connected socket", 0},
	{"mode", OPT_MODE, "block|poll", 0, "Sleep while idle (default), or poll without sleeping", 0},
	{"cpu", OPT_CPU, "N", 0, "Run on CPU N only", 0},
	{"once", OPT_ONCE, NULL, 0, "Exit when the first client of each device has disconnected", 0},
	{"ready-fd", OPT_READY_FD, "N", 0,
		"Write a newline to descriptor N and close it when all sockets listen", 0},
	{"verbose", OPT_VERBOSE, NULL, 0, "Print a line for each message to stderr", 0},
	{NULL, 0, NULL, 0, "What the device offers:", 2},
	{"device", OPT_DEVICE, "nvme:FILE[,size=BYTES]", 0,
		"Serve an NVMe controller with the blocks of FILE instead of the reference device", 0},
	{"max-data-xfer-size", OPT_MAX_DATA_XFER_SIZE, "N", 0,
		"Maximum bytes of data in a message (default 1048576)", 0},
	{"max-msg-fds", OPT_MAX_MSG_FDS, "N", 0, "Maximum file descriptors in a message (default 8)", 0},
	{"max-dma-maps", OPT_MAX_DMA_MAPS, "N", 0, "Maximum number of DMA mappings (default 65535)", 0},
	{"pgsizes", OPT_PGSIZES, "N", 0,
		"Bitmap of page sizes for DMA mappings (default 4096)", 0},
	{"minor", OPT_MINOR, "N", 0, "Highest minor version of the protocol (default 2)", 0},
	{"no-twin-socket", OPT_NO_TWIN_SOCKET, NULL, 0,
		"Send the device's commands over the client's socket", 0},
	{"no-write-multi", OPT_NO_WRITE_MULTI, NULL, 0, "Do not support REGION_WRITE_MULTI", 0},
	{"no-migration", OPT_NO_MIGRATION, NULL, 0, "Do not support migration", 0},
	{"no-dirty-log", OPT_NO_DIRTY_LOG, NULL, 0, "Do not support logging of dirty pages", 0},
	{"no-io-fds", OPT_NO_IO_FDS, NULL, 0, "Do not support DEVICE_GET_REGION_IO_FDS", 0},
	{"bar-file", OPT_BAR_FILE, "FOLDER", 0,
		"Keep the memory of mappable regions in files in FOLDER", 0},
	{NULL, 0, NULL, 0, "Faults:", 3},
	{"pretend", OPT_PRETEND, "COMMAND", 0, "Reply to reset or unmap-all with success, but do nothing", 0},
	{"fault", OPT_FAULT, "SPEC", 0, "Inject a fault: KIND[=VALUE][@COMMAND][#N]", 0},
	{0},
};
/* clang-format on */

static const char doc[] =
	"Serve a reference vfio-user device at each UNIX socket PATH.\v"
	"Kinds of faults: delay=MS, drop, duplicate, truncate=BYTES, split, wrong-id, wrong-size=SIZE, "
	"length=BYTES, wrong-count, wrong-type, wrong-cmd, wrong-version[=major|minor], "
	"bad-json=TEXT, extra-fds=COUNT, argsz=SIZE, cap-loop, fd-index=N, error=ERRNO, close, "
	"reorder=MS, never, close-on-accept.\n"
	"COMMAND is a command such as region_read; #N selects only the Nth reply.";

static void
set_pretend(struct refdev_config *device, const char *text, const struct argp_state *state)
{
	if (strcmp(text, "reset") == 0)
		device->pretend_reset = true;
	else if (strcmp(text, "unmap-all") == 0)
		device->pretend_unmap_all = true;
	else
		app_args_error(state, "--pretend: '%s' is neither reset nor unmap-all", text);
}

/* nvme:FILE[,size=BYTES]. What is behind the last comma is part of the name unless it is a size. */
static void
set_device_kind(struct refdev_config *device, char *text, const struct argp_state *state)
{
	char *size = strrchr(text, ',');

	if (strncmp(text, "nvme:", 5) != 0)
		app_args_error(state, "--device: nvme:FILE[,size=BYTES], not '%s'", text);
	if (size != NULL && strncmp(size, ",size=", 6) == 0) {
		*size = '\0';
		device->nvme_size = app_args_number(
			state, OPT_DEVICE, size + 6, 512, (uint64_t)INT64_MAX & ~511ull);
	}
	device->nvme_file = text + 5;
	if (device->nvme_file[0] == '\0')
		app_args_error(state, "--device: nvme: has no file");
}

/* What the device offers; returns 0 or ARGP_ERR_UNKNOWN. */
static error_t
set_device_option(struct refdev_config *device, int key, char *text, const struct argp_state *state)
{
	switch (key) {
	case OPT_MAX_DATA_XFER_SIZE:
		device->max_data_xfer_size =
			(uint32_t)app_args_number(state, key, text, 1, REFDEV_MAX_DATA_XFER_SIZE);
		return 0;
	case OPT_MAX_MSG_FDS:
		device->max_msg_fds =
			(uint16_t)app_args_number(state, key, text, 0, REFDEV_MAX_MSG_FDS);
		return 0;
	case OPT_MAX_DMA_MAPS:
		device->max_dma_maps = (uint32_t)app_args_number(state, key, text, 1, UINT32_MAX);
		return 0;
	case OPT_PGSIZES:
		device->pgsizes = app_args_number(state, key, text, 4096, UINT64_MAX);
		if ((device->pgsizes & 4095) != 0)
			app_args_error(state, "--pgsizes: %s has a page size below 4096", text);
		return 0;
	case OPT_MINOR:
		device->minor = (uint16_t)app_args_number(state, key, text, 0, UINT16_MAX);
		return 0;
	case OPT_NO_TWIN_SOCKET:
		device->features &= ~REFDEV_F_TWIN_SOCKET;
		return 0;
	case OPT_NO_WRITE_MULTI:
		device->features &= ~REFDEV_F_WRITE_MULTI;
		return 0;
	case OPT_NO_MIGRATION:
		device->features &= ~REFDEV_F_MIGRATION;
		return 0;
	case OPT_NO_DIRTY_LOG:
		device->features &= ~REFDEV_F_DIRTY_LOG;
		return 0;
	case OPT_NO_IO_FDS:
		device->features &= ~REFDEV_F_IO_FDS;
		return 0;
	case OPT_DEVICE:
		set_device_kind(device, text, state);
		return 0;
	case OPT_BAR_FILE:
		device->bar_folder = text;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Once all are known. */
static void
check_options(const struct refdev_options *options, const struct argp_state *state)
{
	unsigned int i, k;

	if (options->fd >= 0 && options->nr_paths > 0)
		app_args_error(state, "--fd and a socket path are mutually exclusive: %s",
			options->paths[0]);
	else if (options->fd < 0 && options->nr_paths == 0)
		app_args_error(state, "no socket path");
	if (options->device.nvme_file != NULL && options->nr_paths > 1)
		app_args_error(state, "--device: one socket path, not %u", options->nr_paths);
	for (i = 0; i < options->nr_paths; i++) {
		for (k = 0; k < i; k++) {
			if (strcmp(options->paths[i], options->paths[k]) == 0)
				app_args_error(state, "socket path '%s' is given twice",
					options->paths[i]);
		}
	}
}

static error_t
set_option(int key, char *text, struct argp_state *state)
{
	struct refdev_options *options = state->input;
	struct vuc_error err = {.text = "out of memory"};

	switch (key) {
	case ARGP_KEY_ARG:
	case OPT_SOCKET_PATH:
		options->paths[options->nr_paths++] = text;
		return 0;
	case OPT_FD:
		options->fd = (int)app_args_number(state, key, text, 0, MAX_FD);
		return 0;
	case OPT_READY_FD:
		options->ready_fd = (int)app_args_number(state, key, text, 0, MAX_FD);
		return 0;
	case OPT_CPU:
		options->cpu = (int)app_args_number(state, key, text, 0, MAX_CPU);
		return 0;
	case OPT_MODE:
		options->poll = strcmp(text, "poll") == 0;
		if (!options->poll && strcmp(text, "block") != 0)
			app_args_error(state, "--mode: '%s' is neither block nor poll", text);
		return 0;
	case OPT_ONCE:
		options->once = true;
		return 0;
	case OPT_VERBOSE:
		options->verbose = true;
		return 0;
	case OPT_PRETEND:
		set_pretend(&options->device, text, state);
		return 0;
	case OPT_FAULT:
		if (refdev_faults_add(&options->faults, text, &err) != 0)
			app_args_error(state, "--fault: %s", err.text);
		return 0;
	case ARGP_KEY_SUCCESS:
		check_options(options, state);
		return 0;
	default:
		return set_device_option(&options->device, key, text, state);
	}
}

void
refdev_options_parse(struct refdev_options *options, int argc, char *argv[])
{
	static const struct argp argp = {
		.options = arguments,
		.parser = set_option,
		.args_doc = "PATH...\n--fd=N",
		.doc = doc,
		.children = app_args_children,
	};

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
