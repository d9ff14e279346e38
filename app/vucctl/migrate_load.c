/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vuc/migration.h>

#include "command.h"
#include "device_command.h"
#include "format.h"
#include "interrupt.h"
#include "json_build.h"
#include "message.h"
#include "number.h"
#include "progress.h"

#define COMMAND "migrate load"

struct load {
	struct vucctl_target target;
	const char *path;
	uint32_t chunk_size; /* 0: as large as it may be */
	bool run;
	bool json;
	int fd; /* of the file */
	uint64_t bytes;
	uint64_t ns;
};

static void
print_help(void)
{
	printf("Usage: vucctl migrate load [OPTION...] SOCKET FILE\n"
	       "\n"
	       "Loads the state in FILE, '-' for standard input, into the device behind SOCKET.\n"
	       "Its own state is lost.\n"
	       "\n"
	       "Options:\n" VUCCTL_TARGET_HELP_MIGRATE
	       "  -r, --run             let the device run afterwards, the default\n"
	       "  -n, --no-run          leave it stopped\n"
	       "  -c, --chunk N         at most N bytes in a message; as many as the server takes by\n"
	       "                        default\n"
	       "  -j, --json            print one JSON object\n"
	       "  -h, --help            print this help and exit\n");
}

static int
take_chunk(struct load *load, const char *value)
{
	uint64_t chunk_size;

	if (vuc_number_parse(value, 0, 1, UINT32_MAX, &chunk_size) != 0)
		return vucctl_fail_usage(
			COMMAND, "chunk '%s' is not a number of bytes, at least 1", value);
	load->chunk_size = (uint32_t)chunk_size;
	return 0;
}

static int
take_option(void *arg, int opt, const char *value)
{
	struct load *load = arg;

	switch (opt) {
	case 'c':
		return take_chunk(load, value);
	case 'r':
	case 'n':
		load->run = opt == 'r';
		return 0;
	default:
		load->json = true;
		return 0;
	}
}

static int
open_file(struct load *load)
{
	if (strcmp(load->path, "-") == 0)
		load->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	else
		load->fd = open(load->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (load->fd < 0)
		return vucctl_fail("cannot read %s: %s", load->path, strerror(errno));
	return 0;
}

/* The file is opened first: a wrong name is no reason to disturb a server. */
static int
take_arguments(void *arg, int argc, char *const argv[])
{
	struct load *load = arg;
	int ret = vucctl_arguments_check(COMMAND, "file", argc, argv);

	if (ret != 0)
		return ret;
	load->path = argv[0];
	return open_file(load);
}

/* Bytes in the file; 0 for what has no size. */
static uint64_t
file_size(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < 0)
		return 0;
	return (uint64_t)st.st_size;
}

static void
print_text(const struct load *load)
{
	printf("loaded %s from %s in %.1f ms; the device %s\n",
		vucctl_size_format(load->bytes).text, load->path, (double)load->ns / 1e6,
		load->run ? "runs" : "is stopped");
}

static int
print_json(const struct load *load)
{
	struct app_json json;
	int ret;

	app_json_init(&json);
	app_json_text(&json, json.root, "socket", load->target.path);
	app_json_text(&json, json.root, "file", load->path);
	app_json_number(&json, json.root, "bytes", load->bytes);
	app_json_number(&json, json.root, "time_ns", load->ns);
	app_json_bool(&json, json.root, "running", load->run);
	ret = app_json_print(stdout, &json);
	app_json_finish(&json);
	return ret != 0 ? vucctl_fail("%s", strerror(-ret)) : 0;
}

static int
migrate_load_command_run(void *arg, struct vuc_device *dev)
{
	struct load *load = arg;
	struct vuc_migration_load_opts opts;
	struct vucctl_progress progress;
	int ret;

	vucctl_interrupt_install();
	ret = vucctl_interrupt_cut(load->fd);
	if (ret != 0)
		return vucctl_fail("cannot prepare for signals: %s", strerror(-ret));
	vucctl_progress_start(&progress, file_size(load->fd), load->target.trace);
	vuc_migration_load_opts_init(&opts, sizeof(opts));
	opts.run = load->run;
	opts.chunk_size = load->chunk_size;
	opts.progress = vucctl_progress_migration;
	opts.arg = &progress;
	ret = vuc_migration_load(dev, load->fd, &opts, &load->bytes);
	load->ns = vucctl_progress_end(&progress);
	vucctl_interrupt_spare();
	if (ret != 0)
		return vucctl_target_fail(&load->target, dev, ret, "cannot load the state%s",
			vucctl_interrupted() ? " after a signal" : "");
	if (load->json)
		return print_json(load);
	print_text(load);
	return EXIT_SUCCESS;
}

int
vucctl_migrate_load_command(int argc, char *argv[])
{
	static const struct option options[] = {
		VUCCTL_TARGET_LONG_OPTIONS,
		{"run", no_argument, NULL, 'r'},
		{"no-run", no_argument, NULL, 'n'},
		{"chunk", required_argument, NULL, 'c'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static const struct vucctl_device_command command = {
		.name = COMMAND,
		.short_options = ":" VUCCTL_TARGET_SHORT_OPTIONS "rnc:jh",
		.options = options,
		.print_help = print_help,
		.take_option = take_option,
		.take_arguments = take_arguments,
		.run = migrate_load_command_run,
	};
	struct load load = {.run = true, .fd = -1};
	int ret;

	vucctl_target_init(&load.target);
	ret = vucctl_device_command_run(&command, &load.target, &load, argc, argv);
	if (load.fd >= 0)
		close(load.fd);
	return ret;
}
