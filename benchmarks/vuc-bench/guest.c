/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench guest: what an access takes as a guest sees it, by vuc-vmm. */

#include <errno.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <json-c/json.h>

#include "daemon.h"
#include "memfd.h"
#include "process.h"
#include "rounds.h"

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
	{"read", "read", "a read by the queue", NULL},
	{"post", "posted", "a posted write by the queue", NULL},
	{"mapped", "mapped", "a read of mapped memory", "memory"},
};

#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct guest {
	struct bench *bench;
	struct bench_result *result;
	char *program;
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
	BENCH_OPTION_OPS(MAX_OPS, "accesses of each kind in a round (1000)"),
	{0},
};

/* Returns -ENODEV when it cannot run at all. */
static int
program_find(char **program, struct vuc_error *err)
{
	int ret;

	if (access(KVM, R_OK | W_OK) != 0)
		return bench_fail(err, -ENODEV, KVM ": %s", strerror(errno));
	ret = bench_program_find(NAME, "VUC_VMM", "../../app/vuc-vmm/vuc-vmm", program, err);
	return ret == -ENOENT ? -ENODEV : ret;
}

/* It prints to files, which take all of it while nobody reads. */
static int
program_spawn(const struct guest *g, const int files[2], pid_t *pid)
{
	char name[] = NAME, json[] = "--json", timeout[] = "--timeout=20", rounds[32];
	char socket[] = "--socket", device[] = "--device", device_name[] = DEVICE;
	char *const args[] = {name, json, timeout, rounds, socket,
		(char *)(uintptr_t)g->daemon.socket, device, device_name, NULL};
	posix_spawn_file_actions_t actions;
	int ret = posix_spawn_file_actions_init(&actions);

	if (ret != 0)
		return -ret;
	snprintf(rounds, sizeof(rounds), "--rounds=%u", g->bench->options.ops);
	ret = posix_spawn_file_actions_adddup2(&actions, files[0], STDOUT_FILENO);
	if (ret == 0)
		ret = posix_spawn_file_actions_adddup2(&actions, files[1], STDERR_FILENO);
	if (ret == 0)
		ret = posix_spawn(pid, g->program, &actions, NULL, args, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -ret;
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
			ret = bench_fail(err, -EPROTO, NAME ": no times of '%s' in its report",
				kinds[i].reported);
	}
	json_object_put(root);
	return ret;
}

static int
program_run(const struct guest *g, const int files[2], struct report *report, struct vuc_error *err)
{
	static char text[MAX_REPORT + 1];
	pid_t pid = 0;
	int status, ret = program_spawn(g, files, &pid);

	if (ret != 0)
		return bench_fail(err, ret, "%s: %s", g->program, strerror(-ret));
	status = bench_process_wait(pid);
	memset(text, 0, sizeof(text));
	if (pread(files[status != 0 ? 1 : 0], text, MAX_REPORT, 0) < 0)
		text[0] = '\0';
	return status != 0 ? exit_explain(text, status, err) : report_parse(text, report, err);
}

static void
guest_describe(struct guest *g)
{
	const struct bench_options *o = &g->bench->options;
	const struct bench_cpus *cpus = &g->bench->env.cpus;
	struct bench_result *result = g->result;

	snprintf(result->headline, sizeof(result->headline),
		"accesses of a guest to a device of a daemon, its poller on CPU %u; %" PRIu32
		" rounds of %" PRIu32 " of each kind",
		cpus->cpu[cpus->nr - 1], o->rounds, o->ops);
	result->unit = "access";
	result->units = "accesses";
	result->per_group = NR_KINDS;
	snprintf(result->server, sizeof(result->server), "vuc-refdev, %s on CPU %u",
		g->shares_cpu ? "sleeping" : "polling", cpus->cpu[1]);
	snprintf(result->floor, sizeof(result->floor),
		"an access that the VMM answers by itself: an exit from the guest, and back");
	snprintf(result->timed, sizeof(result->timed),
		"by the guest's time stamp counter; a sample is the median of a round");
	if (g->shares_cpu)
		snprintf(result->note, sizeof(result->note),
			"server and poller share a CPU and sleep: with two CPUs a read has "
			"wake-ups in it");
	bench_result_add_text(result, "path", "shm");
	bench_result_add_number(result, "ops", o->ops);
	bench_result_add_number(result, "rounds", o->rounds);
}

static int
add_series(struct guest *g, uint64_t tsc_khz, struct vuc_error *err)
{
	const struct bench_shape shape = {
		/* KVM gives a guest the host's counter unless told otherwise. */
		.ns_per_tick = tsc_khz != 0 ? 1e6 / (double)tsc_khz : g->bench->clock.ns_per_tick,
		.per_sample = 1,
		.rounds = g->bench->options.rounds,
		.samples_per_round = 1,
	};

	bench_result_add_number(g->result, "tsc_khz", tsc_khz);
	for (unsigned int i = 0; i < NR_KINDS; i++) {
		struct bench_series *series =
			bench_result_add_series(g->result, kinds[i].name, &shape, err);

		if (series == NULL)
			return -ENOMEM;
		series->subject = kinds[i].subject;
		series->transport = kinds[i].transport != NULL ? kinds[i].transport : g->transport;
		series->guest_ticks = true;
	}
	return 0;
}

static int
run_turn(void *arg, unsigned int way, struct vuc_error *err)
{
	struct guest *g = arg;
	const int files[2] = {
		vuc_memfd_create("vuc-vmm-out", 0, 0), vuc_memfd_create("vuc-vmm-err", 0, 0)};
	struct report report;
	int ret;

	(void)way;
	if (files[0] >= 0 && files[1] >= 0)
		ret = program_run(g, files, &report, err);
	else
		ret = bench_fail(err, -ENOMEM, "no memory for the output of " NAME);
	for (unsigned int i = 0; i < 2; i++) {
		if (files[i] >= 0)
			close(files[i]);
	}
	if (ret == 0 && g->result->nr_series == 0)
		ret = add_series(g, report.tsc_khz, err);
	for (unsigned int i = 0; i < NR_KINDS && ret == 0; i++) {
		bench_series_add(&g->result->series[i], &report.median[i], 1);
		bench_series_end_round(&g->result->series[i]);
	}
	return ret == 0 ? bench_interrupt_check(err) : ret;
}

static int
offer_device(struct guest *g, struct vuc_error *err)
{
	const struct bench_cpus *cpus = &g->bench->env.cpus;
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
guest_measure(struct guest *g, struct vuc_error *err)
{
	const struct bench_turns turns = {
		.name = g->result->measurement,
		.rounds = g->bench->options.rounds,
		.nr_ways = 1,
		.turn = run_turn,
		.arg = g,
	};
	int ret = offer_device(g, err);

	if (ret == 0) {
		guest_describe(g);
		ret = bench_turns_run(&turns, err);
	}
	bench_daemon_stop(&g->daemon);
	bench_refdev_stop(&g->server);
	return ret == 0 ? bench_result_finish(g->result, err) : ret;
}

static int
guest_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct guest *g = state;
	int ret = program_find(&g->program, err);

	if (ret != 0)
		return ret;
	g->bench = bench;
	g->result = result;
	g->shares_cpu = bench_cpus_available(&bench->options.cpus) < 3;
	ret = bench_take_cpus(
		bench, g->shares_cpu ? 2 : 3, true, "the poller needs one of its own", err);
	if (ret == 0) {
		ret = guest_measure(g, err);
		bench_release_cpus(bench);
	}
	free(g->program);
	return ret;
}

const struct bench_ops bench_guest = {
	.name = "guest",
	.summary = "What an access takes as a guest under KVM sees it",
	.options = guest_options,
	.defaults = {.rounds = 10, .ops = 1000},
	.state_size = sizeof(struct guest),
	.run = guest_run,
};
