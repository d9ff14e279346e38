/* SPDX-License-Identifier: BSD-3-Clause */

/* migrate save and migrate load: the state of a device to a file, and back. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vuc/migration.h>

#include "clock.h"
#include "command.h"
#include "outfile.h"

/* Rounds after which a device that never comes to an end is stopped. */
#define PRE_COPY_ROUNDS 16

/* The progress of a migration: a line on stderr, where that is a terminal. */
struct progress {
	FILE *out;      /* NULL: not to be shown */
	uint64_t total; /* bytes; 0: not known */
	uint64_t start_ns;
	uint64_t shown_ns; /* 0: not yet */
};

struct migration {
	uint32_t chunk_size; /* 0: as large as it may be */
	bool precopy;
	bool run;
	bool no_run; /* of load, which runs it by default */
	int fd;      /* of the file to load */
	struct app_outfile file;
	uint64_t bytes; /* loaded */
	struct vuc_migration_saved saved;
	uint64_t ns;
};

/* ---- progress ---- */

#define BAR_WIDTH   30
#define INTERVAL_NS UINT64_C(100000000)

static void
progress_start(struct progress *progress, uint64_t total, bool lines)
{
	*progress = (struct progress){
		.out = !lines && isatty(STDERR_FILENO) ? stderr : NULL,
		.total = total,
		.start_ns = vuc_clock_ns(),
	};
}

static uint64_t
progress_rate(uint64_t bytes, uint64_t ns)
{
	double per_second = ns > 0 ? (double)bytes * 1e9 / (double)ns : 0;

	return per_second < 1e18 ? (uint64_t)per_second : 0;
}

static void
print_bar(FILE *out, uint64_t bytes, uint64_t total)
{
	double part = bytes < total ? (double)bytes / (double)total : 1;
	int i;

	putc('[', out);
	for (i = 0; i < BAR_WIDTH; i++)
		putc(i < (int)(part * BAR_WIDTH) ? '#' : ' ', out);
	fprintf(out, "] %3d%%  ", (int)(part * 100));
}

static void
progress_print(
	FILE *out, const struct vuc_migration_progress *migration, uint64_t total, uint64_t ns)
{
	if (total > 0)
		print_bar(out, migration->bytes, total);
	fputs(vuc_migration_state_name(migration->state), out);
	if (migration->round > 0)
		fprintf(out, " round %" PRIu32, migration->round);
	fprintf(out, "  %s  %s/s", vucctl_size_format(migration->bytes).text,
		vucctl_size_format(progress_rate(migration->bytes, ns)).text);
}

static int
progress_migration(void *arg, const struct vuc_migration_progress *migration)
{
	struct progress *progress = arg;
	uint64_t now = vuc_clock_ns();

	if (vucctl_interrupted())
		return -EINTR;
	if (progress->out == NULL || now - progress->shown_ns < INTERVAL_NS)
		return 0;
	fputs("\r\033[K", progress->out);
	progress_print(progress->out, migration, progress->total, now - progress->start_ns);
	fflush(progress->out);
	progress->shown_ns = now;
	return 0;
}

static uint64_t
progress_end(struct progress *progress)
{
	if (progress->shown_ns != 0)
		fputs("\r\033[K", progress->out);
	return vuc_clock_ns() - progress->start_ns;
}

/* ---- command lines ---- */

#define OPTION_CHUNK                                                                        \
	{                                                                                   \
		"chunk", 'c', "N",                                                          \
			"Maximum bytes of data per message; the server's limit by default", \
			VUCCTL_NUMBER, VUCCTL_MEMBER(struct migration, chunk_size),         \
			.min = 1, .max = UINT32_MAX                                         \
	}

static const struct vucctl_option save_options[] = {
	{"precopy", 'p', NULL, "Copy state before the device is stopped", VUCCTL_SET,
		VUCCTL_MEMBER(struct migration, precopy)},
	{"run", 'r', NULL, "Run the device afterwards", VUCCTL_SET,
		VUCCTL_MEMBER(struct migration, run)},
	{"no-run", 'n', NULL, "Leave the device stopped (default)", VUCCTL_CLEAR,
		VUCCTL_MEMBER(struct migration, run)},
	OPTION_CHUNK,
	VUCCTL_OPTION_JSON,
	{0},
};

static const struct vucctl_option load_options[] = {
	{"run", 'r', NULL, "Run the device afterwards (default)", VUCCTL_CLEAR,
		VUCCTL_MEMBER(struct migration, no_run)},
	{"no-run", 'n', NULL, "Leave the device stopped", VUCCTL_SET,
		VUCCTL_MEMBER(struct migration, no_run)},
	OPTION_CHUNK,
	VUCCTL_OPTION_JSON,
	{0},
};

static int
save_check(struct vucctl *ctl)
{
	if (ctl->json && strcmp(ctl->args[1], "-") == 0)
		app_args_error(ctl->state, "--json and '-' for the file are mutually exclusive");
	return 0;
}

/* The file is opened first: a wrong name is no reason to disturb a server. */
static int
load_check(struct vucctl *ctl)
{
	struct migration *m = ctl->own;
	const char *path = ctl->args[1];

	m->run = !m->no_run;
	if (strcmp(path, "-") == 0)
		m->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	else
		m->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return m->fd >= 0 ? 0 : vucctl_fail("cannot read %s: %s", path, strerror(errno));
}

/* ---- reports ---- */

static void
json_begin(const struct vucctl *ctl, struct app_json *json, uint64_t bytes)
{
	app_json_init(json);
	app_json_text(json, json->root, "socket", ctl->args[0]);
	app_json_text(json, json->root, "file", ctl->args[1]);
	app_json_number(json, json->root, "bytes", bytes);
}

static int
json_end(const struct vucctl *ctl, struct app_json *json)
{
	const struct migration *m = ctl->own;

	app_json_number(json, json->root, "time_ns", m->ns);
	app_json_bool(json, json->root, "running", m->run);
	return vucctl_print_json(json);
}

static int
load_report(const struct vucctl *ctl)
{
	const struct migration *m = ctl->own;
	struct app_json json;

	if (!ctl->json) {
		printf("loaded %s from %s in %.1f ms; the device %s\n",
			vucctl_size_format(m->bytes).text, ctl->args[1], (double)m->ns / 1e6,
			m->run ? "runs" : "is stopped");
		return EXIT_SUCCESS;
	}
	json_begin(ctl, &json, m->bytes);
	return json_end(ctl, &json);
}

static void
print_saved(const struct vucctl *ctl)
{
	const struct migration *m = ctl->own;
	const struct vuc_migration_saved *saved = &m->saved;

	printf("saved %s to %s in %.1f ms",
		vucctl_size_format(saved->pre_copy_bytes + saved->stop_copy_bytes).text,
		ctl->args[1], (double)m->ns / 1e6);
	if (saved->pre_copy_rounds > 0)
		printf(", %s of it in %" PRIu32 " round%s of pre-copy",
			vucctl_size_format(saved->pre_copy_bytes).text, saved->pre_copy_rounds,
			saved->pre_copy_rounds == 1 ? "" : "s");
	printf("; the device %s\n", m->run ? "runs" : "is stopped");
}

static int
save_report(const struct vucctl *ctl)
{
	const struct migration *m = ctl->own;
	const struct vuc_migration_saved *saved = &m->saved;
	struct app_json json;

	if (!ctl->json) {
		if (strcmp(ctl->args[1], "-") != 0)
			print_saved(ctl);
		return EXIT_SUCCESS;
	}
	json_begin(ctl, &json, saved->pre_copy_bytes + saved->stop_copy_bytes);
	app_json_number(&json, json.root, "pre_copy_rounds", saved->pre_copy_rounds);
	app_json_number(&json, json.root, "pre_copy_bytes", saved->pre_copy_bytes);
	app_json_number(&json, json.root, "stop_copy_bytes", saved->stop_copy_bytes);
	return json_end(ctl, &json);
}

/* ---- load ---- */

/* Bytes in the file; 0 for what has no size. */
static uint64_t
file_size(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < 0)
		return 0;
	return (uint64_t)st.st_size;
}

static int
load_run(struct vucctl *ctl)
{
	struct migration *m = ctl->own;
	struct vuc_migration_load_opts opts;
	struct progress progress;
	int ret;

	vucctl_interrupt_install(0);
	ret = vucctl_interrupt_cut(m->fd);
	if (ret != 0)
		return vucctl_fail("cannot prepare for signals: %s", strerror(-ret));
	progress_start(&progress, file_size(m->fd), ctl->trace);
	vuc_migration_load_opts_init(&opts, sizeof(opts));
	opts.run = m->run;
	opts.chunk_size = m->chunk_size;
	opts.progress = progress_migration;
	opts.arg = &progress;
	ret = vuc_migration_load(ctl->dev, m->fd, &opts, &m->bytes);
	m->ns = progress_end(&progress);
	vucctl_interrupt_spare();
	if (ret != 0)
		return vucctl_fail_device(ctl, ret, "cannot load the state%s",
			vucctl_interrupted() ? " after a signal" : "");
	return load_report(ctl);
}

static void
load_end(struct vucctl *ctl)
{
	struct migration *m = ctl->own;

	if (m->fd >= 0)
		close(m->fd);
}

/* ---- save ---- */

static int
state_save(struct vucctl *ctl)
{
	struct migration *m = ctl->own;
	struct vuc_migration_save_opts opts;
	struct progress progress;
	int ret = vucctl_interrupt_cut(m->file.fd);

	if (ret != 0)
		return vucctl_fail("cannot prepare for signals: %s", strerror(-ret));
	progress_start(&progress, 0, ctl->trace);
	vuc_migration_save_opts_init(&opts, sizeof(opts));
	opts.pre_copy_rounds = m->precopy ? PRE_COPY_ROUNDS : 0;
	opts.chunk_size = m->chunk_size;
	opts.progress = progress_migration;
	opts.arg = &progress;
	ret = vuc_migration_save(ctl->dev, m->file.fd, &opts, &m->saved);
	m->ns = progress_end(&progress);
	vucctl_interrupt_spare();
	if (ret != 0)
		return vucctl_fail_device(ctl, ret, "cannot save the state%s",
			vucctl_interrupted() ? " after a signal" : "");
	return 0;
}

/* A signal may have taken the file away when all of the state had just been written. */
static int
file_commit(struct vucctl *ctl)
{
	struct migration *m = ctl->own;
	int ret;

	if (vucctl_interrupted())
		return vucctl_fail(
			"%s: saving the state was interrupted by a signal", ctl->args[0]);
	ret = app_outfile_commit(&m->file);
	if (ret != 0)
		return vucctl_fail("cannot write %s: %s", ctl->args[1], strerror(-ret));
	return 0;
}

/* A device whose state did not get into the file goes on. */
static int
save_finish(struct vucctl *ctl)
{
	struct migration *m = ctl->own;
	int ret = file_commit(ctl);
	bool run = m->run || ret != 0;
	int rc = run ? vuc_migration_set_state(ctl->dev, VUC_MIGRATION_RUNNING) : 0;

	if (ret == 0 && rc != 0)
		return vucctl_fail_device(
			ctl, rc, "the state is saved, but the device cannot be run again");
	return ret == 0 ? save_report(ctl) : ret;
}

static int
save_run(struct vucctl *ctl)
{
	struct migration *m = ctl->own;
	int ret = app_outfile_open(&m->file, ctl->args[1], 0600);

	if (ret != 0)
		return vucctl_fail("cannot write %s: %s", ctl->args[1], strerror(-ret));
	vucctl_interrupt_install(0);
	ret = state_save(ctl);
	if (ret == 0)
		ret = save_finish(ctl);
	app_outfile_abort(&m->file);
	return ret;
}

const struct vucctl_command vucctl_migrate_save = {
	.name = "migrate save",
	.summary = "save the state of a device to a file",
	.doc = "Stops the device on SOCKET and saves its state to FILE; '-' is standard output.",
	.arguments = "SOCKET FILE",
	.options = save_options,
	.size = sizeof(struct migration),
	.check = save_check,
	.run = save_run,
};

const struct vucctl_command vucctl_migrate_load = {
	.name = "migrate load",
	.summary = "load the state of a device from a file",
	.doc = "Loads the state in FILE into the device on SOCKET and replaces the device's own state; "
	       "'-' is standard input.",
	.arguments = "SOCKET FILE",
	.options = load_options,
	.size = sizeof(struct migration),
	.check = load_check,
	.run = load_run,
	.end = load_end,
};
