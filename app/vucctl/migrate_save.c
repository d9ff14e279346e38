/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vuc/migration.h>

#include "command.h"
#include "device_command.h"
#include "format.h"
#include "interrupt.h"
#include "json_build.h"
#include "message.h"
#include "number.h"
#include "outfile.h"
#include "progress.h"

#define COMMAND "migrate save"

/* Rounds after which a device that never comes to an end is stopped. */
#define PRE_COPY_ROUNDS 16

struct save {
	struct vucctl_target target;
	const char *path;
	uint32_t chunk_size; /* 0: as large as it may be */
	bool precopy;
	bool run;
	bool json;
	struct vucctl_outfile file;
	struct vuc_migration_saved saved;
	uint64_t ns;
};

static void
print_help(void)
{
	printf("Usage: vucctl migrate save [OPTION...] SOCKET FILE\n"
	       "\n"
	       "Stops the device behind SOCKET and saves its state to FILE, '-' for standard\n"
	       "output.\n"
	       "\n"
	       "Options:\n" VUCCTL_TARGET_HELP_MIGRATE
	       "  -p, --precopy         copy what can be copied while the device runs\n"
	       "  -r, --run             let the device run afterwards\n"
	       "  -n, --no-run          leave it stopped, the default\n"
	       "  -c, --chunk N         at most N bytes in a message; as many as the server takes by\n"
	       "                        default\n"
	       "  -j, --json            print one JSON object\n"
	       "  -h, --help            print this help and exit\n");
}

static int
take_chunk(struct save *save, const char *value)
{
	uint64_t chunk_size;

	if (vuc_number_parse(value, 0, 1, UINT32_MAX, &chunk_size) != 0)
		return vucctl_fail_usage(
			COMMAND, "chunk '%s' is not a number of bytes, at least 1", value);
	save->chunk_size = (uint32_t)chunk_size;
	return 0;
}

static int
take_option(void *arg, int opt, const char *value)
{
	struct save *save = arg;

	switch (opt) {
	case 'c':
		return take_chunk(save, value);
	case 'p':
		save->precopy = true;
		return 0;
	case 'r':
	case 'n':
		save->run = opt == 'r';
		return 0;
	default:
		save->json = true;
		return 0;
	}
}

static int
take_arguments(void *arg, int argc, char *const argv[])
{
	struct save *save = arg;
	int ret = vucctl_arguments_check(COMMAND, "file", argc, argv);

	if (ret != 0)
		return ret;
	save->path = argv[0];
	if (strcmp(save->path, "-") != 0)
		return 0;
	if (save->json)
		return vucctl_fail_usage(COMMAND, "--json and the file '-' exclude each other");
	if (isatty(STDOUT_FILENO))
		return vucctl_fail_usage(COMMAND, "a terminal takes no device state");
	return 0;
}

static void
print_text(const struct save *save)
{
	const struct vuc_migration_saved *saved = &save->saved;

	printf("saved %s to %s in %.1f ms",
		vucctl_size_format(saved->pre_copy_bytes + saved->stop_copy_bytes).text, save->path,
		(double)save->ns / 1e6);
	if (saved->pre_copy_rounds > 0)
		printf(", %s of it in %" PRIu32 " round%s of pre-copy",
			vucctl_size_format(saved->pre_copy_bytes).text, saved->pre_copy_rounds,
			saved->pre_copy_rounds == 1 ? "" : "s");
	printf("; the device %s\n", save->run ? "runs" : "is stopped");
}

static int
print_json(const struct save *save)
{
	const struct vuc_migration_saved *saved = &save->saved;
	struct app_json json;
	int ret;

	app_json_init(&json);
	app_json_text(&json, json.root, "socket", save->target.path);
	app_json_text(&json, json.root, "file", save->path);
	app_json_number(&json, json.root, "bytes", saved->pre_copy_bytes + saved->stop_copy_bytes);
	app_json_number(&json, json.root, "pre_copy_rounds", saved->pre_copy_rounds);
	app_json_number(&json, json.root, "pre_copy_bytes", saved->pre_copy_bytes);
	app_json_number(&json, json.root, "stop_copy_bytes", saved->stop_copy_bytes);
	app_json_number(&json, json.root, "time_ns", save->ns);
	app_json_bool(&json, json.root, "running", save->run);
	ret = app_json_print(stdout, &json);
	app_json_finish(&json);
	return ret != 0 ? vucctl_fail("%s", strerror(-ret)) : 0;
}

static int
save_report(const struct save *save)
{
	if (save->json)
		return print_json(save);
	if (strcmp(save->path, "-") != 0)
		print_text(save);
	return 0;
}

static int
save_state(struct save *save, struct vuc_device *dev)
{
	struct vuc_migration_save_opts opts;
	struct vucctl_progress progress;
	int ret = vucctl_interrupt_cut(save->file.fd);

	if (ret != 0)
		return vucctl_fail("cannot prepare for signals: %s", strerror(-ret));
	vucctl_progress_start(&progress, 0, save->target.trace);
	vuc_migration_save_opts_init(&opts, sizeof(opts));
	opts.pre_copy_rounds = save->precopy ? PRE_COPY_ROUNDS : 0;
	opts.chunk_size = save->chunk_size;
	opts.progress = vucctl_progress_migration;
	opts.arg = &progress;
	ret = vuc_migration_save(dev, save->file.fd, &opts, &save->saved);
	save->ns = vucctl_progress_end(&progress);
	vucctl_interrupt_spare();
	if (ret != 0)
		return vucctl_target_fail(&save->target, dev, ret, "cannot save the state%s",
			vucctl_interrupted() ? " after a signal" : "");
	return 0;
}

/* A signal may have taken the file away when all of the state had just been written. */
static int
file_commit(struct save *save)
{
	if (vucctl_interrupted())
		return vucctl_fail("%s: the state is not saved after a signal", save->target.path);
	return vucctl_outfile_commit(&save->file);
}

/* A device whose state did not get into the file goes on. */
static int
save_finish(struct save *save, struct vuc_device *dev)
{
	int ret = file_commit(save);
	bool run = save->run || ret != 0;
	int rc = run ? vuc_migration_set_state(dev, VUC_MIGRATION_RUNNING) : 0;

	if (ret == 0 && rc != 0)
		return vucctl_target_fail(&save->target, dev, rc,
			"the state is saved, but the device cannot be run again");
	return ret == 0 ? save_report(save) : ret;
}

static int
migrate_save_command_run(void *arg, struct vuc_device *dev)
{
	struct save *save = arg;
	int ret = vucctl_outfile_open(&save->file, save->path);

	if (ret != 0)
		return ret;
	vucctl_interrupt_install();
	ret = save_state(save, dev);
	if (ret == 0)
		ret = save_finish(save, dev);
	vucctl_outfile_abort(&save->file);
	return ret;
}

int
vucctl_migrate_save_command(int argc, char *argv[])
{
	static const struct option options[] = {
		VUCCTL_TARGET_LONG_OPTIONS,
		{"precopy", no_argument, NULL, 'p'},
		{"run", no_argument, NULL, 'r'},
		{"no-run", no_argument, NULL, 'n'},
		{"chunk", required_argument, NULL, 'c'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static const struct vucctl_device_command command = {
		.name = COMMAND,
		.short_options = ":" VUCCTL_TARGET_SHORT_OPTIONS "prnc:jh",
		.options = options,
		.print_help = print_help,
		.take_option = take_option,
		.take_arguments = take_arguments,
		.run = migrate_save_command_run,
	};
	struct save save = {.file.fd = -1};

	vucctl_target_init(&save.target);
	return vucctl_device_command_run(&command, &save.target, &save, argc, argv);
}
