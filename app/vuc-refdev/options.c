/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"
#include "options.h"
#include "report.h"

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
	OPT_VERBOSE,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{"socket-path", required_argument, NULL, OPT_SOCKET_PATH},
	{"fd", required_argument, NULL, OPT_FD},
	{"mode", required_argument, NULL, OPT_MODE},
	{"cpu", required_argument, NULL, OPT_CPU},
	{"once", no_argument, NULL, OPT_ONCE},
	{"ready-fd", required_argument, NULL, OPT_READY_FD},
	{"max-data-xfer-size", required_argument, NULL, OPT_MAX_DATA_XFER_SIZE},
	{"max-msg-fds", required_argument, NULL, OPT_MAX_MSG_FDS},
	{"max-dma-maps", required_argument, NULL, OPT_MAX_DMA_MAPS},
	{"pgsizes", required_argument, NULL, OPT_PGSIZES},
	{"minor", required_argument, NULL, OPT_MINOR},
	{"no-twin-socket", no_argument, NULL, OPT_NO_TWIN_SOCKET},
	{"no-write-multi", no_argument, NULL, OPT_NO_WRITE_MULTI},
	{"no-migration", no_argument, NULL, OPT_NO_MIGRATION},
	{"no-dirty-log", no_argument, NULL, OPT_NO_DIRTY_LOG},
	{"no-io-fds", no_argument, NULL, OPT_NO_IO_FDS},
	{"pretend", required_argument, NULL, OPT_PRETEND},
	{"fault", required_argument, NULL, OPT_FAULT},
	{"verbose", no_argument, NULL, OPT_VERBOSE},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

static const char help[] =
	"Usage: vuc-refdev [OPTION]... PATH...\n"
	"Serve a reference vfio-user device at each UNIX socket PATH.\n"
	"\n"
	"  --socket-path=PATH       another PATH; each is a device of its own\n"
	"  --fd=N                   serve descriptor N, a listening or connected socket, instead\n"
	"  --mode=block|poll        sleep while there is nothing to do (default), or never\n"
	"  --cpu=N                  run on CPU N only\n"
	"  --once                   exit after the first client of each device has left\n"
	"  --ready-fd=N             write a newline to descriptor N and close it when all sockets\n"
	"                           listen\n"
	"  --max-data-xfer-size=N   announce and keep this limit, in bytes (default 1048576)\n"
	"  --max-msg-fds=N          descriptors that a message may carry (default 8)\n"
	"  --max-dma-maps=N         DMA mappings at a time (default 65535)\n"
	"  --pgsizes=N              page sizes for DMA mappings, or'ed together (default 4096)\n"
	"  --minor=N                highest minor version of the protocol (default 2)\n"
	"  --no-twin-socket         send the device's commands over the client's socket\n"
	"  --no-write-multi         do not support REGION_WRITE_MULTI\n"
	"  --no-migration           do not support migration\n"
	"  --no-dirty-log           do not log what the device writes\n"
	"  --no-io-fds              do not support DEVICE_GET_REGION_IO_FDS\n"
	"  --pretend=COMMAND        answer reset or unmap-all and do nothing\n"
	"  --fault=SPEC             misbehave: KIND[=VALUE][@COMMAND][#N]\n"
	"  --verbose                one line a message on stderr\n"
	"  --help                   print this and exit\n"
	"  --version                print the version and exit\n"
	"\n"
	"Faults: delay=MS, drop, duplicate, truncate=BYTES, split, wrong-id, wrong-size=SIZE,\n"
	"length=BYTES, wrong-count, wrong-type, wrong-cmd, wrong-version[=major|minor],\n"
	"bad-json=TEXT, extra-fds=COUNT, argsz=SIZE, cap-loop, fd-index=N, error=ERRNO, close,\n"
	"reorder=MS, never, close-on-accept.\n"
	"COMMAND is one like region_read; #N means the Nth reply only.\n";

/* Returns whether text is a number within the bounds; says what is wrong otherwise. */
static bool
read_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	int rc = vuc_number_parse(text, 0, min, max, value);

	if (rc == -EINVAL)
		refdev_report("--%s: '%s' is not a number", option, text);
	else if (rc != 0)
		refdev_report("--%s: %s is not within %llu ... %llu", option, text,
			(unsigned long long)min, (unsigned long long)max);
	return rc == 0;
}

static bool
read_int(const char *option, const char *text, int max, int *value)
{
	uint64_t number;

	if (!read_number(option, text, 0, (uint64_t)max, &number))
		return false;
	*value = (int)number;
	return true;
}

static bool
read_pgsizes(const char *text, uint64_t *value)
{
	if (!read_number("pgsizes", text, 4096, UINT64_MAX, value))
		return false;
	if ((*value & 4095) == 0)
		return true;
	refdev_report("--pgsizes: %s has a page size below 4096", text);
	return false;
}

static bool
read_mode(const char *text, bool *poll)
{
	*poll = strcmp(text, "poll") == 0;
	if (*poll || strcmp(text, "block") == 0)
		return true;
	refdev_report("--mode: block or poll, not '%s'", text);
	return false;
}

static bool
read_pretend(const char *text, struct refdev_config *device)
{
	bool reset = strcmp(text, "reset") == 0;
	bool unmap_all = strcmp(text, "unmap-all") == 0;

	device->pretend_reset |= reset;
	device->pretend_unmap_all |= unmap_all;
	if (!reset && !unmap_all)
		refdev_report("--pretend: reset or unmap-all, not '%s'", text);
	return reset || unmap_all;
}

static bool
read_fault(const char *spec, struct refdev_faults *faults)
{
	char why[256];
	int rc = refdev_faults_add(faults, spec, why, sizeof(why));

	if (rc == -EINVAL)
		refdev_report("--fault: %s", why);
	else if (rc != 0)
		refdev_report("--fault: %s", strerror(-rc));
	return rc == 0;
}

/* The options that concern what the device announces. */
static bool
set_device_option(struct refdev_config *device, int key, const char *text)
{
	uint64_t value;

	switch (key) {
	case OPT_MAX_DATA_XFER_SIZE:
		if (!read_number("max-data-xfer-size", text, 1, REFDEV_MAX_DATA_XFER_SIZE, &value))
			return false;
		device->max_data_xfer_size = (uint32_t)value;
		return true;
	case OPT_MAX_MSG_FDS:
		if (!read_number("max-msg-fds", text, 0, REFDEV_MAX_MSG_FDS, &value))
			return false;
		device->max_msg_fds = (uint16_t)value;
		return true;
	case OPT_MAX_DMA_MAPS:
		if (!read_number("max-dma-maps", text, 1, UINT32_MAX, &value))
			return false;
		device->max_dma_maps = (uint32_t)value;
		return true;
	case OPT_PGSIZES:
		return read_pgsizes(text, &device->pgsizes);
	default:
		if (!read_number("minor", text, 0, UINT16_MAX, &value))
			return false;
		device->minor = (uint16_t)value;
		return true;
	}
}

/* The options that take something away from the device; false for others. */
static bool
switch_off(struct refdev_config *device, int key)
{
	switch (key) {
	case OPT_NO_TWIN_SOCKET:
		device->twin_socket = false;
		return true;
	case OPT_NO_WRITE_MULTI:
		device->write_multi = false;
		return true;
	case OPT_NO_MIGRATION:
		device->migration = false;
		return true;
	case OPT_NO_DIRTY_LOG:
		device->dirty_log = false;
		return true;
	case OPT_NO_IO_FDS:
		device->io_fds = false;
		return true;
	default:
		return false;
	}
}

static bool
set_option(struct refdev_options *options, int key, const char *text)
{
	switch (key) {
	case OPT_SOCKET_PATH:
		options->paths[options->nr_paths++] = text;
		return true;
	case OPT_FD:
		return read_int("fd", text, MAX_FD, &options->fd);
	case OPT_READY_FD:
		return read_int("ready-fd", text, MAX_FD, &options->ready_fd);
	case OPT_CPU:
		return read_int("cpu", text, MAX_CPU, &options->cpu);
	case OPT_MODE:
		return read_mode(text, &options->poll);
	case OPT_ONCE:
		options->once = true;
		return true;
	case OPT_VERBOSE:
		options->verbose = true;
		return true;
	case OPT_PRETEND:
		return read_pretend(text, &options->device);
	case OPT_FAULT:
		return read_fault(text, &options->faults);
	default:
		return switch_off(&options->device, key) ||
			set_device_option(&options->device, key, text);
	}
}

/* Options that belong together, once all are known. */
static bool
check_options(const struct refdev_options *options)
{
	if (options->fd >= 0 && options->nr_paths > 0)
		refdev_report("--fd can't go with a socket path: %s", options->paths[0]);
	else if (options->fd < 0 && options->nr_paths == 0)
		refdev_report("no socket path, try --help");
	else
		return true;
	return false;
}

enum refdev_options_result
refdev_options_parse(struct refdev_options *options, int argc, char *argv[])
{
	int key;

	*options = (struct refdev_options){.fd = -1, .ready_fd = -1, .cpu = -1};
	refdev_config_init(&options->device);
	options->paths = calloc((size_t)argc, sizeof(options->paths[0]));
	if (options->paths == NULL) {
		refdev_report("out of memory");
		return REFDEV_OPTIONS_WRONG;
	}
	opterr = 0;
	while ((key = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		if (key == '?' || key == ':') {
			refdev_report("%s '%s'%s, try --help",
				key == ':' ? "option" : "unknown option", argv[optind - 1],
				key == ':' ? " requires an argument" : "");
			return REFDEV_OPTIONS_WRONG;
		}
		if (key == OPT_HELP || key == OPT_VERSION) {
			fputs(key == OPT_HELP ? help : "vuc-refdev " VUC_VERSION "\n", stdout);
			return REFDEV_OPTIONS_DONE;
		}
		if (!set_option(options, key, optarg))
			return REFDEV_OPTIONS_WRONG;
	}
	while (optind < argc)
		options->paths[options->nr_paths++] = argv[optind++];
	return check_options(options) ? REFDEV_OPTIONS_RUN : REFDEV_OPTIONS_WRONG;
}

void
refdev_options_free(struct refdev_options *options)
{
	free(options->paths);
	refdev_faults_free(&options->faults);
}
