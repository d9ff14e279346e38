/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench guest: what an access takes as a guest sees it, by vuc-vmm. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <json-c/json.h>

#include "bench.h"
#include "memfd.h"

#define MAX_OPS    65536
#define DEVICE     "device"
#define KVM        "/dev/kvm"
#define NAME       "vuc-vmm"
#define NOT_TESTED 77 /* exit status */
#define MAX_REPORT 65536

/* What is timed, as vuc-vmm and we call it. */
static const struct {
	const char *reported;
	const char *name;
	const char *subject;
	const char *transport; /* NULL: the device's */
} kinds[] = {
	{"exit", "exit", NULL, "kvm"},
	{"read", "read", "a read through the queue", NULL},
	{"post", "posted", "a posted write through the queue", NULL},
	{"mapped", "mapped", "a read of mapped memory", "memory"},
};

#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct guest {
	char program[PATH_MAX];
	char transport[BENCH_DAEMON_NAME_MAX];
	bool shares_cpu; /* the server shares the poller's, as there is none for it alone */
	struct bench_refdev server;
	struct bench_daemon daemon;
};

/* Of a run of vuc-vmm. */
struct report {
	uint64_t median[NR_KINDS]; /* ticks of the guest's time stamp counter */
	uint64_t tsc_khz;          /* 0: not known */
};

static const struct bench_option guest_options[] = {
	BENCH_OPTION_NUMBER("ops", "accesses of each kind per round (1000)", ops, 1, MAX_OPS),
	{0},
};

/* Returns -ENODEV when it cannot run at all. */
static int
program_find(char program[PATH_MAX], struct vuc_error *err)
{
	int ret;

	if (access(KVM, R_OK | W_OK) != 0)
		return bench_fail(err, -ENODEV, KVM ": %s", strerror(errno));
	ret = bench_program_find(NAME, "VUC_VMM", program, err);
	return ret == -ENOENT ? -ENODEV : ret;
}

/* It prints to files, which take all of it while nobody reads. */
static pid_t
program_spawn(const struct bench *b, const int files[2], struct vuc_error *err)
{
	const struct guest *g = b->state;
	char name[] = NAME, json[] = "--json", timeout[] = "--timeout=20", rounds[32];
	char socket[] = "--socket", device[] = "--device", device_name[] = DEVICE;
	char *const args[] = {name, json, timeout, rounds, socket,
		(char *)(uintptr_t)g->daemon.socket, device, device_name, NULL};

	snprintf(rounds, sizeof(rounds), "--rounds=%u", b->options.ops);
	return bench_process_spawn(
		g->program, args, (const int[3]){STDIN_FILENO, files[0], files[1]}, err);
}

/* It has said why in one line. */
static int
exit_explain(char *text, int status, struct vuc_error *err)
{
	int ret = WIFEXITED(status) && WEXITSTATUS(status) == NOT_TESTED ? -ENODEV : -EIO;

	text[strcspn(text, "\n")] = '\0';
	if (text[0] != '\0')
		return bench_fail(err, ret, "%s", text);
	return bench_process_explain(status, ret, NAME, "", err);
}

static int
report_parse(const char *text, struct report *report, struct vuc_error *err)
{
	struct json_object *root = json_tokener_parse(text);
	struct json_object *series = NULL, *kind, *value;
	int ret = 0;

	*report = (struct report){0};
	if (json_object_object_get_ex(root, "tsc_khz", &value))
		report->tsc_khz = json_object_get_uint64(value);
	json_object_object_get_ex(root, "series", &series);
	for (unsigned int i = 0; i < NR_KINDS; i++) {
		if (json_object_object_get_ex(series, kinds[i].reported, &kind) &&
			json_object_object_get_ex(kind, "median_ticks", &value))
			report->median[i] = json_object_get_uint64(value);
		if (report->median[i] == 0)
			ret = bench_fail(err, -EPROTO, NAME ": the report has no times of '%s'",
				kinds[i].reported);
	}
	json_object_put(root);
	return ret;
}

static int
program_run(const struct bench *b, const int files[2], struct report *report, struct vuc_error *err)
{
	static char text[MAX_REPORT + 1];
	pid_t pid = program_spawn(b, files, err);
	int status;

	if (pid < 0)
		return pid;
	status = bench_process_wait(pid);
	memset(text, 0, sizeof(text));
	if (pread(files[status != 0 ? 1 : 0], text, MAX_REPORT, 0) < 0)
		text[0] = '\0';
	return status != 0 ? exit_explain(text, status, err) : report_parse(text, report, err);
}

static void
guest_describe(struct bench *b)
{
	const struct guest *g = b->state;
	const struct bench_cpus *cpus = &b->env.cpus;
	struct bench_result *result = b->result;

	bench_say(result->headline,
		"accesses of a guest to a device of a daemon, its poller on CPU %u; %" PRIu32
		" rounds of %" PRIu32 " of each kind",
		cpus->cpu[cpus->nr - 1], b->options.rounds, b->options.ops);
	bench_say(result->server, "vuc-refdev, %s on CPU %u",
		g->shares_cpu ? "sleeping" : "polling", cpus->cpu[1]);
	bench_say(result->floor,
		"an access that the VMM answers by itself: an exit from the guest, and back");
	bench_say(result->timed,
		"by the guest's time stamp counter; a sample is the median of a round");
	if (g->shares_cpu)
		bench_say(result->note,
			"server and poller share a CPU and sleep: with two CPUs a read has "
			"wake-ups in it");
	app_json_text(&result->options, result->options.root, "path", "shm");
	result->per_group = NR_KINDS;
}

static void
guest_add_series(struct bench *b, uint64_t tsc_khz)
{
	struct guest *g = b->state;

	app_json_number(&b->result->options, b->result->options.root, "tsc_khz", tsc_khz);
	for (unsigned int i = 0; i < NR_KINDS; i++) {
		struct bench_series *series = bench_series_append(b, kinds[i].name, 1, 1);

		/* KVM gives a guest the host's counter unless told otherwise. */
		if (tsc_khz != 0)
			series->ns_per_tick = 1e6 / (double)tsc_khz;
		series->subject = kinds[i].subject;
		series->transport = kinds[i].transport != NULL ? kinds[i].transport : g->transport;
		series->guest_ticks = true;
	}
}

static int
guest_turn(struct bench *b, unsigned int way, struct vuc_error *err)
{
	const int files[2] = {
		vuc_memfd_create("vuc-vmm-out", 0, 0), vuc_memfd_create("vuc-vmm-err", 0, 0)};
	struct report report;
	int ret;

	(void)way;
	if (files[0] >= 0 && files[1] >= 0)
		ret = program_run(b, files, &report, err);
	else
		ret = bench_fail(err, -ENOMEM, "no memory for the output of " NAME);
	for (unsigned int i = 0; i < 2; i++) {
		if (files[i] >= 0)
			close(files[i]);
	}
	if (ret == 0 && b->result->nr_series == 0)
		guest_add_series(b, report.tsc_khz);
	for (unsigned int i = 0; i < NR_KINDS && ret == 0; i++) {
		bench_series_add(&b->result->series[i], &report.median[i], 1);
		bench_series_end_round(&b->result->series[i]);
	}
	return ret == 0 ? bench_interrupt_check(err) : ret;
}

static int
guest_offer_device(struct bench *b, struct vuc_error *err)
{
	struct guest *g = b->state;
	const struct bench_cpus *cpus = &b->env.cpus;
	const struct bench_refdev_opts server = {
		.cpu = cpus->cpu[1], .block = g->shares_cpu, .sockets = 1};
	struct vuc_poller_opts opts;
	int ret = bench_refdev_start(&g->server, &server, err);

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.cpu = (int)cpus->cpu[cpus->nr - 1];
	opts.idle = g->shares_cpu ? VUC_IDLE_SLEEP : VUC_IDLE_SPIN;
	if (ret == 0)
		ret = bench_daemon_start(&g->daemon, err);
	if (ret == 0)
		ret = bench_daemon_begin(&g->daemon, &opts, g->transport, err);
	return ret == 0 ? bench_daemon_add(&g->daemon, DEVICE, g->server.socket, err) : ret;
}

static int
guest_run(struct bench *b, struct vuc_error *err)
{
	struct guest *g = b->state;
	int ret = program_find(g->program, err);

	if (ret != 0)
		return ret;
	g->shares_cpu = bench_cpus_available(&b->options.cpus) < 3;
	ret = bench_take_cpus(
		b, g->shares_cpu ? 2 : 3, true, "the poller needs one of its own", err);
	if (ret == 0)
		ret = guest_offer_device(b, err);
	if (ret == 0) {
		guest_describe(b);
		ret = bench_turns_run(b, b->ops->name, 1, guest_turn, err);
	}
	bench_daemon_stop(&g->daemon);
	bench_child_stop(&g->server.child);
	return ret;
}

const struct bench_ops bench_guest = {
	.name = "guest",
	.summary = "Duration of an access as seen by a guest under KVM",
	.unit = "access",
	.units = "accesses",
	.options = guest_options,
	.defaults = {.rounds = 10, .ops = 1000},
	.setup = BENCH_NOTHING,
	.state_size = sizeof(struct guest),
	.run = guest_run,
};
