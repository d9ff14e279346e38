/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench scale: what an access costs when many devices share a core. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "refdev.h"
#include "subject.h"
#include "sync.h"

#define MAX_OPS (1u << 20)

/* ---- devices that are all busy ---- */

/* A run: how many accesses have begun and ended. */
struct busy {
	struct bench_subject *subject;
	unsigned int submitted;
	unsigned int completed;
	unsigned int total;
	int error;
	uint64_t last; /* sample's end */
	uint64_t *ticks;
};

unsigned int
bench_busy_depth(unsigned int nr_devices)
{
	unsigned int depth = BENCH_BUSY_TOGETHER;

	while (depth > BENCH_BUSY_TOGETHER / nr_devices)
		depth /= 2;
	return depth;
}

static void
busy_count(struct busy *b)
{
	uint64_t now;

	if (++b->completed % BENCH_BUSY_TOGETHER != 0)
		return;
	now = bench_clock_ticks(b->subject->queue.clock);
	b->ticks[b->completed / BENCH_BUSY_TOGETHER - 1] = now - b->last;
	b->last = now;
}

static void
request_submit(struct busy *b, struct bench_device *d)
{
	int ret = vuc_device_submit(d->dev, &d->request);

	if (ret == 0)
		b->submitted++;
	else
		b->error = ret;
}

static void
request_done(struct vuc_request *request, int status)
{
	struct busy *b = request->arg;

	busy_count(b);
	if (status != 0)
		b->error = status;
	if (b->error == 0 && b->submitted < b->total)
		request_submit(b,
			(struct bench_device *)((char *)request -
				offsetof(struct bench_device, request)));
}

static int
inline_run(struct busy *b, struct vuc_error *err)
{
	struct bench_subject *s = b->subject;
	const struct bench_access *a = s->queue.access;

	for (unsigned int i = 0; i < s->nr; i++) {
		s->devices[i].request = (struct vuc_request){
			.op = VUC_OP_READ,
			.region = a->region,
			.offset = a->offset,
			.data = s->devices[i].data,
			.count = a->size,
			.done = request_done,
			.arg = b,
		};
	}
	b->last = bench_clock_ticks(s->queue.clock);
	for (unsigned int i = 0; i < s->nr && b->error == 0; i++)
		request_submit(b, &s->devices[i]);
	while (b->completed < b->submitted) {
		int n = vuc_poll_group_poll(s->group);

		if (n < 0)
			return bench_fail(err, n, "vuc: cannot poll: %s", strerror(-n));
	}
	return b->error != 0 ? bench_fail(err, b->error, "vuc: read: %s", strerror(-b->error)) : 0;
}

static void
queue_submit(struct busy *b, struct bench_device *d, unsigned int nr)
{
	int n;

	if (nr > b->total - b->submitted)
		nr = b->total - b->submitted;
	if (nr == 0 || b->error != 0)
		return;
	n = vuc_queue_submit(d->queue, b->subject->queue.requests, nr);
	if (n > 0)
		b->submitted += (unsigned int)n;
	else if (n < 0)
		b->error = n;
}

static unsigned int
queue_take(struct busy *b, struct bench_device *d)
{
	struct vuc_queue_result results[BENCH_BUSY_TOGETHER];
	unsigned int n = vuc_queue_poll(d->queue, results, b->subject->depth);

	for (unsigned int i = 0; i < n; i++) {
		busy_count(b);
		if (results[i].status != 0)
			b->error = results[i].status;
	}
	queue_submit(b, d, n);
	return n;
}

static int
queues_run(struct busy *b, struct vuc_error *err)
{
	struct bench_subject *s = b->subject;
	const struct bench_clock *clock = s->queue.clock;
	uint64_t timeout = bench_clock_from_ms(clock, BENCH_TIMEOUT_MS);

	b->last = bench_clock_ticks(clock);
	for (unsigned int i = 0; i < s->nr; i++)
		queue_submit(b, &s->devices[i], s->depth);
	while (b->completed < b->submitted && b->error == 0) {
		unsigned int n = 0;

		for (unsigned int i = 0; i < s->nr; i++)
			n += queue_take(b, &s->devices[i]);
		if (n > 0)
			continue;
		queue_pause();
		if (bench_clock_ticks(clock) - b->last > timeout)
			b->error = -ETIMEDOUT;
	}
	return b->error != 0 ? bench_fail(err, b->error, "queue: read: %s", strerror(-b->error))
			     : 0;
}

int
bench_busy_run(struct bench_subject *s, struct bench_series *series, unsigned int samples,
	uint64_t *ticks, struct vuc_error *err)
{
	uint64_t syscalls = bench_subject_syscalls(s);
	struct busy b = {
		.subject = s,
		.total = samples * BENCH_BUSY_TOGETHER,
		.ticks = ticks,
	};
	int ret = s->path == BENCH_PATH_INLINE ? inline_run(&b, err) : queues_run(&b, err);

	if (ret != 0 || series == NULL)
		return ret;
	series->syscalls += bench_subject_syscalls(s) - syscalls;
	bench_series_add(series, ticks, samples);
	return 0;
}

/* ---- the measurement ---- */

enum act {
	ACT_ONE_BUSY,
	ACT_ALL_BUSY,
	NR_ACTS
};

struct scale {
	char names[BENCH_MAX_COUNTS][8];
	char subjects[BENCH_MAX_COUNTS * NR_ACTS][48];
	struct bench_subject subject;
	struct bench_refdev idle; /* serves all but the first device by a socket */
	struct refdev *refdevs[BENCH_MAX_DEVICES];
	struct vuc_loopback_server loopbacks[BENCH_MAX_DEVICES];
	uint64_t ticks[MAX_OPS / BENCH_BUSY_TOGETHER + 1]; /* of a turn, all busy */
};

static const struct bench_option scale_options[] = {
	BENCH_OPTION_TRANSPORT(bench_transport_names,
		"loopback, uring or posix; with the last two, only one device is busy (loopback)"),
	BENCH_OPTION_PATH(
		"inline: the measuring thread polls; poller: through queues to a poller; shm: "
		"through shared memory to a poller of another process (inline)"),
	{"devices", "N,N",
		"numbers of devices that are compared with the first one (1,4,16,64,256)",
		BENCH_COUNTS, BENCH_FIELD(devices), 1, BENCH_MAX_DEVICES},
	BENCH_OPTION_NUMBER("ops", "accesses per series and round (2048)", ops, 1, MAX_OPS),
	{0},
};

static int
scale_check(struct bench *b, struct vuc_error *err)
{
	return bench_rounds_check(&b->options, BENCH_BUSY_TOGETHER, err);
}

/* By a socket the server's core, not ours, would be what is measured with all busy. */
static unsigned int
count_acts(const struct bench *b)
{
	return bench_is_loopback(b) ? NR_ACTS : ACT_ONE_BUSY + 1;
}

static unsigned int
most_devices(const struct bench *b)
{
	return b->options.counts[b->options.nr_counts - 1];
}

static void
scale_describe(struct bench *b)
{
	const struct bench_options *o = &b->options;
	struct bench_result *result = b->result;
	bool has_poller = o->path != BENCH_PATH_INLINE;

	bench_say(result->headline,
		"reads of 4 bytes with %s devices in one %s; %" PRIu32 " rounds of %" PRIu32,
		o->devices, has_poller ? "poller" : "poll group", o->rounds, o->ops);
	if (bench_is_loopback(b)) {
		bench_say(result->server, "reference devices inside this process, each its own");
		bench_say(result->timed, "all busy: %d accesses, %s, divided by %d",
			BENCH_BUSY_TOGETHER,
			has_poller ? "as many outstanding at all devices together"
				   : "one outstanding at each device",
			BENCH_BUSY_TOGETHER);
	} else {
		bench_say(result->note,
			"the devices that are not busy are served by a process that sleeps");
	}
	bench_say(result->floor, "the same with %u device%s", o->counts[0],
		o->counts[0] == 1 ? "" : "s");
}

static void
scale_add_series(struct bench *b)
{
	const struct bench_options *o = &b->options;
	struct scale *s = b->state;

	b->result->per_group = o->nr_counts;
	for (unsigned int i = 0; i < count_acts(b) * o->nr_counts; i++) {
		unsigned int count = i % o->nr_counts;
		bool all = i / o->nr_counts == ACT_ALL_BUSY;
		unsigned int per_sample = all ? BENCH_BUSY_TOGETHER : 1;
		struct bench_series *series =
			bench_series_append(b, s->names[count], o->ops / per_sample, per_sample);

		snprintf(s->names[count], sizeof(s->names[count]), "%u", o->counts[count]);
		snprintf(s->subjects[i], sizeof(s->subjects[i]), "%s with %u devices",
			all ? "a core" : "an access", o->counts[count]);
		series->subject = s->subjects[i];
		series->topic = all ? "all busy" : "one busy";
		series->by_rate = all;
		series->transport = s->subject.transport;
	}
}

static int
scale_turn(struct bench *b, unsigned int i, struct vuc_error *err)
{
	struct scale *s = b->state;
	const struct bench_options *o = &b->options;
	struct bench_series *one = &b->result->series[i];
	struct bench_series *all = &b->result->series[o->nr_counts + i];
	struct bench_way *way = &s->subject.queue.way;
	bool has_all = count_acts(b) > ACT_ALL_BUSY;
	int ret;

	s->subject.nr = o->counts[i];
	s->subject.depth = bench_busy_depth(o->counts[i]);
	ret = bench_subject_open(&s->subject, err);
	if (ret != 0)
		return ret;
	ret = bench_samples_run(b, way, NULL, o->ops, BENCH_MAX_ROW, false, err);
	if (ret == 0)
		ret = bench_samples_run(b, way, one, o->ops, BENCH_MAX_ROW, false, err);
	if (ret == 0 && has_all)
		ret = bench_busy_run(&s->subject, NULL, 1, s->ticks, err);
	if (ret == 0 && has_all)
		ret = bench_busy_run(&s->subject, all, o->ops / BENCH_BUSY_TOGETHER, s->ticks, err);
	bench_subject_close(&s->subject);
	bench_series_end_round(one);
	if (has_all)
		bench_series_end_round(all);
	return ret;
}

static int
start_servers(struct bench *b, struct vuc_error *err)
{
	struct scale *s = b->state;
	unsigned int most = most_devices(b);
	const struct bench_refdev_opts idle = {
		.cpu = b->env.cpus.cpu[0], .block = true, .sockets = most - 1};

	if (!bench_is_loopback(b))
		return most > 1 ? bench_refdev_start(&s->idle, &idle, err) : 0;
	/* The daemon has its own. */
	for (unsigned int i = 0; i < most && b->options.path != BENCH_PATH_SHM; i++) {
		s->refdevs[i] = bench_loopback_start(&s->loopbacks[i], err);
		if (s->refdevs[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

static int
scale_run(struct bench *b, struct vuc_error *err)
{
	struct scale *s = b->state;
	int ret;

	bench_subject_init(&s->subject, b, (enum bench_path)b->options.path, &bench_scratch_access);
	s->subject.others = &s->idle;
	if (s->subject.loopback != NULL)
		s->subject.loopback = s->loopbacks;
	scale_describe(b);
	scale_add_series(b);
	ret = start_servers(b, err);
	if (ret == 0)
		ret = bench_turns_run(b, b->ops->name, b->options.nr_counts, scale_turn, err);
	bench_child_stop(&s->idle.child);
	for (unsigned int i = 0; i < most_devices(b); i++)
		refdev_destroy(s->refdevs[i]);
	return ret;
}

const struct bench_ops bench_scale = {
	.name = "scale",
	.summary = "Cost of an access when many devices share a core",
	.unit = "access",
	.units = "accesses",
	.options = scale_options,
	.defaults = {.rounds = 50,
		.transport = "loopback",
		.devices = "1,4,16,64,256",
		.counts = {1, 4, 16, 64, 256},
		.nr_counts = 5,
		.ops = 2048},
	.setup = BENCH_TARGET,
	.state_size = sizeof(struct scale),
	.check = scale_check,
	.run = scale_run,
};
