/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench guest: what an access takes as a guest sees it. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "cpu.h"
#include "daemon.h"
#include "error.h"
#include "guest_proc.h"
#include "interrupt.h"
#include "progress.h"
#include "server.h"

#define DEFAULT_ROUNDS 10
#define DEFAULT_OPS    1000
#define MAX_OPS        65536
#define DEVICE         "device"

struct guest {
	uint32_t ops; /* of each kind in a round */

	char *program;
	char transport[BENCH_DAEMON_NAME_MAX];
	bool shares_cpu; /* the server shares the poller's, as there is none for it alone */
	struct bench_server server;
	struct bench_daemon daemon;
	const struct bench *bench;
	struct bench_result *result;
};

static int
parse_ops(void *state, const char *text, struct vuc_error *err)
{
	return bench_parse_count("ops", text, MAX_OPS, &((struct guest *)state)->ops, err);
}

static const struct bench_option guest_options[] = {
	{"ops", "N", "accesses of each kind in a round (1000)", parse_ops},
	{0},
};

static void
guest_init(void *state)
{
	struct guest *g = state;

	g->ops = DEFAULT_OPS;
	g->daemon.fd = -1;
}

static int
guest_check(const struct bench *bench, void *state, struct vuc_error *err)
{
	(void)bench;
	(void)state;
	(void)err;
	return 0;
}

static unsigned int
poller_cpu(const struct guest *g)
{
	return g->bench->env.cpus.cpu[g->shares_cpu ? 1 : 2];
}

static void
guest_describe(struct guest *g, struct bench_result *result)
{
	const struct bench *bench = g->bench;
	unsigned int server_cpu = bench->env.cpus.cpu[1];

	snprintf(result->headline, sizeof(result->headline),
		"accesses of a guest to a device of a daemon, its poller on CPU %u; %" PRIu32
		" rounds of %" PRIu32 " of each kind",
		poller_cpu(g), bench->options.rounds, g->ops);
	result->unit = "access";
	result->units = "accesses";
	result->per_group = BENCH_GUEST_ACCESSES;
	snprintf(result->server, sizeof(result->server), "vuc-refdev, %s on CPU %u",
		g->shares_cpu ? "sleeping" : "polling", server_cpu);
	snprintf(result->floor, sizeof(result->floor),
		"an access that the VMM answers by itself: an exit from the guest, and back");
	snprintf(result->timed, sizeof(result->timed),
		"by the guest's time stamp counter; a sample is the median of a round");
	if (g->shares_cpu)
		snprintf(result->note, sizeof(result->note),
			"server and poller share a CPU and sleep: with two CPUs a read has "
			"wake-ups in it");
	bench_result_add_text(result, "path", "shm");
	bench_result_add_number(result, "ops", g->ops);
	bench_result_add_number(result, "rounds", bench->options.rounds);
}

static int
set_up_series(struct guest *g, uint64_t tsc_khz, struct vuc_error *err)
{
	static const struct {
		const char *name;
		const char *subject;
	} kinds[BENCH_GUEST_ACCESSES] = {
		[BENCH_GUEST_EXIT] = {"exit", NULL},
		[BENCH_GUEST_READ] = {"read", "a read by the queue"},
		[BENCH_GUEST_POST] = {"posted", "a posted write by the queue"},
		[BENCH_GUEST_MAPPED] = {"mapped", "a read of mapped memory"},
	};
	const struct bench_series_shape shape = {
		/* KVM gives a guest the host's counter unless told otherwise. */
		.ns_per_tick = tsc_khz != 0 ? 1e6 / (double)tsc_khz : g->bench->clock.ns_per_tick,
		.per_sample = 1,
		.rounds = g->bench->options.rounds,
		.samples_per_round = 1,
	};

	bench_result_add_number(g->result, "tsc_khz", tsc_khz);
	g->result->nr_series = BENCH_GUEST_ACCESSES;
	for (unsigned int i = 0; i < BENCH_GUEST_ACCESSES; i++) {
		struct bench_series *series = &g->result->series[i];

		if (bench_series_init(series, kinds[i].name, &shape) != 0)
			return bench_fail(err, -ENOMEM, "no memory for the samples");
		series->subject = kinds[i].subject;
		series->transport = i == BENCH_GUEST_EXIT ? "kvm"
			: i == BENCH_GUEST_MAPPED         ? "memory"
							  : g->transport;
		series->ticks = true;
	}
	return 0;
}

static int
run_round(struct guest *g, struct vuc_error *err)
{
	const struct bench_guest_opts opts = {
		.program = g->program,
		.socket = g->daemon.socket,
		.device = DEVICE,
		.accesses = g->ops,
	};
	struct bench_guest_report report;
	int ret = bench_guest_run(&opts, &report, err);

	if (ret == 0 && g->result->nr_series == 0)
		ret = set_up_series(g, report.tsc_khz, err);
	for (unsigned int i = 0; i < BENCH_GUEST_ACCESSES && ret == 0; i++) {
		bench_samples_add(&g->result->series[i].samples, &report.median[i], 1);
		bench_series_end_round(&g->result->series[i]);
	}
	return ret == 0 && bench_interrupted() ? bench_fail(err, -EINTR, "interrupted") : ret;
}

static int
run_rounds(struct guest *g, struct vuc_error *err)
{
	struct bench_progress progress;
	uint32_t rounds = g->bench->options.rounds;
	int ret = 0;

	bench_progress_begin(&progress, g->result->measurement, rounds);
	for (uint32_t i = 0; i < rounds && ret == 0; i++) {
		ret = run_round(g, err);
		bench_progress_step(&progress, i + 1);
	}
	bench_progress_end(&progress);
	if (ret == 0 && bench_result_finish(g->result) != 0)
		ret = bench_fail(err, -ENOMEM, "out of memory");
	return ret;
}

static int
offer_device(struct guest *g, struct vuc_error *err)
{
	struct vuc_poller_opts opts;
	int ret;

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.cpu = (int)poller_cpu(g);
	opts.idle = g->shares_cpu ? VUC_IDLE_SLEEP : VUC_IDLE_SPIN;
	ret = bench_daemon_begin(&g->daemon, &opts, g->transport, err);
	return ret != 0 ? ret : bench_daemon_add(&g->daemon, DEVICE, g->server.path, err);
}

static int
guest_start(struct guest *g, struct vuc_error *err)
{
	struct bench_refdev_opts own = {.block = g->shares_cpu, .sockets = 1};
	int ret;

	own.cpu = g->bench->env.cpus.cpu[1];
	ret = bench_server_start(&g->server, BENCH_SERVER_OWN, NULL, &own, err);
	if (ret == 0)
		ret = bench_cpu_pin(g->bench->env.cpus.cpu[0], err);
	if (ret == 0)
		ret = bench_daemon_start(&g->daemon, err);
	return ret != 0 ? ret : offer_device(g, err);
}

static int
guest_measure(struct guest *g, struct bench *bench, struct vuc_error *err)
{
	int latency = bench_cpu_hold_latency();
	int ret = guest_start(g, err);

	bench_env_set_latency(&bench->env, latency);
	if (ret == 0) {
		guest_describe(g, g->result);
		ret = run_rounds(g, err);
	}
	bench_daemon_stop(&g->daemon);
	bench_server_stop(&g->server);
	if (latency >= 0)
		close(latency);
	return ret;
}

static int
settle_cpus(struct guest *g, struct bench *bench, struct vuc_error *err)
{
	struct bench_cpus *cpus = &bench->env.cpus;
	unsigned int there;

	*cpus = bench->options.cpus;
	there = cpus->nr != 0 ? cpus->nr : bench_cpus_count();
	g->shares_cpu = there < 3;
	return bench_cpus_settle(
		cpus, g->shares_cpu ? 2 : 3, "the poller needs one of its own", err);
}

static int
guest_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct guest *g = state;
	int ret = bench_guest_find(&g->program, err);

	g->bench = bench;
	g->result = result;
	if (ret == 0)
		ret = settle_cpus(g, bench, err);
	if (ret == 0)
		ret = guest_measure(g, bench, err);
	free(g->program);
	g->program = NULL;
	return ret;
}

const struct bench_ops bench_guest = {
	.name = "guest",
	.summary = "What an access takes as a guest under KVM sees it",
	.options = guest_options,
	.rounds = DEFAULT_ROUNDS,
	.state_size = sizeof(struct guest),
	.init = guest_init,
	.check = guest_check,
	.run = guest_run,
};
