/* SPDX-License-Identifier: BSD-3-Clause */

/* Accesses to many devices that are all busy. */

#include <errno.h>
#include <string.h>

#include "sync.h"
#include "subject.h"

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
			return bench_fail(err, n, "vuc: polling: %s", strerror(-n));
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
bench_busy_run(
	struct bench_subject *s, unsigned int samples, uint64_t *ticks, struct vuc_error *err)
{
	struct busy b = {
		.subject = s,
		.total = samples * BENCH_BUSY_TOGETHER,
		.ticks = ticks,
	};

	return s->path == BENCH_PATH_INLINE ? inline_run(&b, err) : queues_run(&b, err);
}
