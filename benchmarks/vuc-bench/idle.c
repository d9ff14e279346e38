/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench idle: what a poller takes while there is nothing to do, and what waking it takes. */

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "subject.h"

#define MAX_SECONDS  3600
#define MAX_ACCESSES 1000

/* Long enough for a poller to have gone to sleep. */
#define GAP_MS 50u

#define NR_POLICIES 3

static const char *const policies[NR_POLICIES] = {
	[VUC_IDLE_SPIN] = "spin",
	[VUC_IDLE_YIELD] = "yield",
	[VUC_IDLE_SLEEP] = "sleep",
};

struct idle {
	struct bench_subject subject; /* its idle policy changes with the turn */
};

static const struct bench_option idle_options[] = {
	BENCH_OPTION_SOCKET,
	BENCH_OPTION_TRANSPORT(bench_socket_transport_names, "uring or posix (vuc's choice)"),
	BENCH_OPTION_PATH(
		"poller: in this process; shm: in another one, by shared memory (poller)"),
	{"seconds", "S", "total idle time per policy (4)", BENCH_SECONDS, BENCH_FIELD(seconds), 0,
		MAX_SECONDS},
	BENCH_OPTION_NUMBER("accesses",
		"accesses per policy and round, each after an idle period (10)", ops, 1,
		MAX_ACCESSES),
	{0},
};

static int
idle_check(struct bench *b, struct vuc_error *err)
{
	if (b->options.path == BENCH_PATH_INLINE)
		return bench_fail(
			err, -EINVAL, "--path inline has no poller; use --path poller or shm");
	return 0;
}

static void
idle_describe(struct bench *b)
{
	const struct bench_options *o = &b->options;
	struct bench_result *result = b->result;

	bench_say(result->headline,
		"a poller on CPU %u with one device, idle for %.3g s under each policy; %" PRIu32
		" rounds of %" PRIu32 " accesses",
		b->target.poller_cpu, o->seconds, o->rounds, o->ops);
	bench_say(result->floor, "a poller that spins");
	bench_say(result->timed,
		"the first access after %u ms without any, by a thread that sleeps for its answer",
		GAP_MS);
	if (o->path == BENCH_PATH_SHM)
		bench_say(result->note,
			"the CPU time is that of all threads of the process that has the poller");
}

/* Signals that end the sleep end the measurement. */
static int
sleep_for(unsigned int ms, struct vuc_error *err)
{
	vuc_clock_sleep_ms(ms);
	return bench_interrupt_check(err);
}

/* On the poller's thread. */
static int
get_own_clock(void *arg)
{
	return -pthread_getcpuclockid(pthread_self(), arg);
}

/* A thread of another process cannot be asked: then it is the clock of all of the daemon. */
static int
get_cpu_clock(struct idle *d, clockid_t *clock)
{
	if (d->subject.path == BENCH_PATH_SHM)
		return -clock_getcpuclockid(d->subject.daemon->child.pid, clock);
	return vuc_poller_call(d->subject.poller, get_own_clock, clock);
}

static uint64_t
clock_now(clockid_t clock)
{
	struct timespec now = {0};

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The poller's clock is read from here, so that nothing disturbs it. */
static int
idle_time_run(struct bench *b, struct bench_series *series, struct vuc_error *err)
{
	const struct bench_options *o = &b->options;
	uint64_t begin, cpu_begin;
	clockid_t clock;
	int ret = get_cpu_clock(b->state, &clock);

	if (ret != 0)
		return bench_fail(
			err, ret, "cannot read the CPU time of the poller: %s", strerror(-ret));
	ret = sleep_for(GAP_MS, err);
	if (ret != 0)
		return ret;
	begin = vuc_clock_ns();
	cpu_begin = clock_now(clock);
	ret = sleep_for((unsigned int)ceil(o->seconds * 1e3 / o->rounds), err);
	series->idle_cpu_ns += clock_now(clock) - cpu_begin;
	series->idle_ns += vuc_clock_ns() - begin;
	return ret;
}

static int
accesses_run(struct bench *b, struct bench_series *series, struct vuc_error *err)
{
	struct bench_way *way = &((struct idle *)b->state)->subject.queue.way;
	int ret = 0;

	for (uint32_t i = 0; i < b->options.ops && ret == 0; i++) {
		ret = sleep_for(GAP_MS, err);
		if (ret == 0)
			ret = bench_samples_run(b, way, series, 1, 1, false, err);
	}
	return ret;
}

static int
idle_turn(struct bench *b, unsigned int i, struct vuc_error *err)
{
	struct bench_subject *s = &((struct idle *)b->state)->subject;
	struct bench_series *series = &b->result->series[i];
	uint64_t ticks;
	int ret;

	s->poller_opts.idle = (enum vuc_idle)i;
	ret = bench_subject_open(s, err);
	if (ret != 0)
		return ret;
	/* The server may be on this thread's CPU, which is not to be kept from it. */
	vuc_queue_set_spin(s->queue.queue, 0);
	ret = s->queue.way.ops->burst(&s->queue.way, 1, &ticks, err);
	if (ret == 0)
		ret = idle_time_run(b, series, err);
	if (ret == 0)
		ret = accesses_run(b, series, err);
	if (ret == 0)
		bench_series_end_round(series);
	bench_subject_close(s);
	return ret;
}

static int
idle_run(struct bench *b, struct vuc_error *err)
{
	static const char *const subjects[NR_POLICIES] = {
		"spin: the first access", "yield: the first access", "sleep: the first access"};
	struct idle *d = b->state;
	struct bench_series *series;

	/* An access of any server; it changes nothing. Its few system calls are most of its time,
	 * so that this thread's are not traced. */
	bench_subject_init(&d->subject, b, (enum bench_path)b->options.path, &bench_settle_access);
	idle_describe(b);
	series = bench_group_append(
		b, NULL, policies, NR_POLICIES, d->subject.transport, b->options.ops, 1);
	for (unsigned int i = 0; i < NR_POLICIES; i++)
		series[i].subject = subjects[i];
	return bench_turns_run(b, b->ops->name, NR_POLICIES, idle_turn, err);
}

const struct bench_ops bench_idle = {
	.name = "idle",
	.summary = "CPU time of an idle poller, and the first access afterwards",
	.unit = "access",
	.units = "accesses",
	.options = idle_options,
	.defaults = {.rounds = 2, .path = BENCH_PATH_POLLER, .seconds = 4, .ops = 10},
	.setup = BENCH_TARGET_SLEEPS,
	.state_size = sizeof(struct idle),
	.check = idle_check,
	.run = idle_run,
};
