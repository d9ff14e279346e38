/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench idle: what a poller takes while there is nothing to do, and what waking it takes. */

#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "eal.h"
#include "error.h"
#include "interrupt.h"
#include "queue_way.h"
#include "shm.h"
#include "target.h"
#include "turns.h"

#define DEFAULT_ROUNDS   2
#define DEFAULT_SECONDS  4
#define MAX_SECONDS      3600
#define DEFAULT_ACCESSES 10
#define MAX_ACCESSES     1000

/* Long enough for a poller to have gone to sleep. */
#define GAP_NS UINT64_C(50000000)

#define NR_POLICIES 3

static const char *const policies[NR_POLICIES] = {
	[VUC_IDLE_SPIN] = "spin",
	[VUC_IDLE_YIELD] = "yield",
	[VUC_IDLE_SLEEP] = "sleep",
};

struct idle {
	struct bench_target target;
	double seconds;    /* of each policy, over all rounds */
	uint32_t accesses; /* of each policy in a round */
	struct bench_access access;
	struct bench_poller_subject poller; /* one of both; its idle policy changes with the turn */
	struct bench_shm_subject shm;
	char subjects[NR_POLICIES][48]; /* of sentences */
	const struct bench *bench;
	struct bench_result *result;
};

static int
parse_seconds(void *state, const char *text, struct vuc_error *err)
{
	double *seconds = &((struct idle *)state)->seconds;
	char *end;

	*seconds = strtod(text, &end);
	if (text[0] < '0' || text[0] > '9' || strpbrk(text, "xX") != NULL || *end != '\0' ||
		!(*seconds >= 0.01 && *seconds <= MAX_SECONDS))
		return bench_fail(err, -EINVAL, "--seconds: '%s' is not a number from 0.01 to %d",
			text, MAX_SECONDS);
	return 0;
}

static int
parse_accesses(void *state, const char *text, struct vuc_error *err)
{
	return bench_parse_count(
		"accesses", text, MAX_ACCESSES, &((struct idle *)state)->accesses, err);
}

static const struct bench_option idle_options[] = {
	{"socket", "PATH", "a server that listens there (a vuc-refdev is started, which sleeps)",
		bench_target_parse_socket},
	{"transport", "NAME", "uring or posix (what vuc chooses)", bench_target_parse_transport},
	{"path", "NAME", "poller: in this process; shm: in another one, by shared memory (poller)",
		bench_target_parse_path},
	{"seconds", "S", "how long each policy is idle, over all rounds (4)", parse_seconds},
	{"accesses", "N", "accesses of each policy in a round, each after idling (10)",
		parse_accesses},
	{0},
};

static void
idle_init(void *state)
{
	struct idle *d = state;

	d->seconds = DEFAULT_SECONDS;
	d->accesses = DEFAULT_ACCESSES;
	d->target.block = true;
	d->target.path = BENCH_PATH_POLLER;
	/* Of any server; it changes nothing. */
	d->access = bench_settle_access;
}

static int
idle_check(const struct bench *bench, void *state, struct vuc_error *err)
{
	struct idle *d = state;
	int ret = bench_target_check(&d->target, err);

	(void)bench;
	if (d->target.path == BENCH_PATH_INLINE)
		return bench_fail(err, -EINVAL,
			"--path inline: what idles is a poller; inline nothing runs between two "
			"accesses");
	if (ret == 0 && d->target.kind == BENCH_SERVER_LOOPBACK)
		return bench_fail(err, -EINVAL, "--transport: 'loopback' is not uring or posix");
	return ret;
}

static bool
is_shm(const struct idle *d)
{
	return d->target.path == BENCH_PATH_SHM;
}

static void
idle_describe(struct idle *d, struct bench_result *result)
{
	const struct bench *bench = d->bench;
	uint32_t rounds = bench->options.rounds;

	snprintf(result->headline, sizeof(result->headline),
		"a poller on CPU %u with one device, idle for %.3g s under each policy; %" PRIu32
		" rounds of %" PRIu32 " accesses",
		bench_target_poller_cpu(&d->target, bench), d->seconds, rounds, d->accesses);
	result->unit = "access";
	result->units = "accesses";
	result->per_group = NR_POLICIES;
	bench_target_describe(&d->target, bench, result);
	snprintf(result->floor, sizeof(result->floor), "a poller that spins");
	snprintf(result->timed, sizeof(result->timed),
		"the first access after %u ms without any, by a thread that sleeps for its answer",
		(unsigned int)(GAP_NS / 1000000));
	if (is_shm(d))
		snprintf(result->note, sizeof(result->note),
			"the CPU time is that of all threads of the process that has the poller");
	bench_result_add_number(result, "milliseconds", (uint64_t)(d->seconds * 1e3));
	bench_result_add_number(result, "accesses", d->accesses);
	bench_result_add_number(result, "rounds", rounds);
}

static int
set_up_series(struct idle *d, struct bench_result *result, struct vuc_error *err)
{
	const struct bench_series_shape shape = {
		.ns_per_tick = d->bench->clock.ns_per_tick,
		.per_sample = 1,
		.rounds = d->bench->options.rounds,
		.samples_per_round = d->accesses,
	};

	result->nr_series = NR_POLICIES;
	for (unsigned int i = 0; i < NR_POLICIES; i++) {
		struct bench_series *series = &result->series[i];
		int ret = bench_series_init(series, policies[i], &shape);

		if (ret != 0)
			return bench_fail(err, ret, "no memory for the samples");
		snprintf(d->subjects[i], sizeof(d->subjects[i]), "%s: the first access",
			policies[i]);
		series->subject = d->subjects[i];
		series->transport = is_shm(d) ? d->shm.transport : d->poller.transport;
	}
	return 0;
}

static int
sleep_for(uint64_t ns, struct vuc_error *err)
{
	struct timespec left = {
		.tv_sec = (time_t)(ns / 1000000000),
		.tv_nsec = (long)(ns % 1000000000),
	};

	while (nanosleep(&left, &left) != 0) {
		if (errno != EINTR || bench_interrupted())
			break;
	}
	return bench_interrupted() ? bench_fail(err, -EINTR, "interrupted") : 0;
}

static struct bench_queue_way *
queue_of(struct idle *d)
{
	return is_shm(d) ? &d->shm.queue : &d->poller.queue;
}

static void
set_policy(struct idle *d, enum vuc_idle idle)
{
	if (is_shm(d))
		d->shm.poller_opts.idle = idle;
	else
		d->poller.poller_opts.idle = idle;
}

/* On the poller's thread. */
static int
get_own_clock(void *arg)
{
	return -pthread_getcpuclockid(pthread_self(), arg);
}

/* A thread of another process cannot be asked: then it is all of the daemon. */
static int
get_cpu_clock(struct idle *d, clockid_t *clock)
{
	if (is_shm(d))
		return -clock_getcpuclockid(d->target.daemon.pid, clock);
	return vuc_poller_call(d->poller.poller, get_own_clock, clock);
}

static uint64_t
now_of(clockid_t clock)
{
	struct timespec now = {0};

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The poller's clock is read from here, so that nothing disturbs it. */
static int
run_idle(struct idle *d, struct bench_series *series, struct vuc_error *err)
{
	uint64_t ns = (uint64_t)(d->seconds * 1e9 / d->bench->options.rounds);
	uint64_t begin, cpu_begin;
	clockid_t clock;
	int ret = get_cpu_clock(d, &clock);

	if (ret != 0)
		return bench_fail(err, ret, "the poller's CPU clock: %s", strerror(-ret));
	ret = sleep_for(GAP_NS, err);
	if (ret != 0)
		return ret;
	begin = vuc_clock_ns();
	cpu_begin = now_of(clock);
	ret = sleep_for(ns, err);
	series->idle_cpu_ns += now_of(clock) - cpu_begin;
	series->idle_ns += vuc_clock_ns() - begin;
	return ret;
}

static int
run_accesses(struct idle *d, struct bench_series *series, struct vuc_error *err)
{
	struct bench_way *way = &queue_of(d)->way;
	int ret = 0;

	for (uint32_t i = 0; i < d->accesses && ret == 0; i++) {
		uint64_t syscalls = way->syscalls;
		uint64_t ticks;

		ret = sleep_for(GAP_NS, err);
		if (ret == 0)
			ret = way->ops->burst(way, 1, &ticks, err);
		if (ret != 0)
			break;
		series->syscalls += way->syscalls - syscalls;
		bench_samples_add(&series->samples, &ticks, 1);
	}
	return ret;
}

static int
run_turn(void *arg, unsigned int i, struct vuc_error *err)
{
	struct idle *d = arg;
	struct bench_way *way = &queue_of(d)->way;
	struct bench_series *series = &d->result->series[i];
	uint64_t ticks;
	int ret;

	set_policy(d, (enum vuc_idle)i);
	ret = way->ops->open(way, err);
	if (ret != 0)
		return ret;
	/* The server may be on this thread's CPU, which is not to be kept from it. */
	vuc_queue_set_spin(queue_of(d)->queue, 0);
	ret = way->ops->burst(way, 1, &ticks, err);
	if (ret == 0)
		ret = run_idle(d, series, err);
	if (ret == 0)
		ret = run_accesses(d, series, err);
	if (ret == 0)
		bench_series_end_round(series);
	way->ops->close(way);
	return ret;
}

static void
set_up_way(struct idle *d)
{
	struct bench_target *t = &d->target;
	unsigned int cpu = bench_target_poller_cpu(t, d->bench);

	if (is_shm(d)) {
		bench_shm_subject_init(
			&d->shm, &d->bench->clock, &d->access, &t->daemon, t->transport, cpu);
		d->shm.path = t->server.path;
		/* The few system calls of an access are most of its time. */
		d->shm.trace = false;
		return;
	}
	bench_poller_subject_init(&d->poller, &d->bench->clock, &d->access, t->transport, cpu);
	d->poller.device_opts.path = t->server.path;
}

static int
idle_measure(struct idle *d, struct vuc_error *err)
{
	const struct bench_turns turns = {
		.name = d->result->measurement,
		.rounds = d->bench->options.rounds,
		.nr_ways = NR_POLICIES,
		.turn = run_turn,
		.arg = d,
	};
	int ret;

	set_up_way(d);
	idle_describe(d, d->result);
	ret = set_up_series(d, d->result, err);
	if (ret == 0)
		ret = bench_turns_run(&turns, err);
	if (ret == 0 && bench_result_finish(d->result) != 0)
		ret = bench_fail(err, -ENOMEM, "out of memory");
	return ret;
}

static int
idle_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct idle *d = state;
	int ret = bench_target_start(&d->target, bench, err);

	if (ret != 0)
		return ret;
	d->bench = bench;
	d->result = result;
	ret = bench_eal_init(err);
	if (ret == 0) {
		ret = idle_measure(d, err);
		bench_eal_fini();
	}
	bench_target_stop(&d->target);
	return ret;
}

const struct bench_ops bench_idle = {
	.name = "idle",
	.summary = "What an idle poller takes under each policy, and the first access after it",
	.options = idle_options,
	.rounds = DEFAULT_ROUNDS,
	.state_size = sizeof(struct idle),
	.init = idle_init,
	.check = idle_check,
	.run = idle_run,
};
