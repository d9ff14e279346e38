/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue_way.h"

#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "layout.h"

static struct bench_queue_way *
queue_of(struct bench_way *way)
{
	return (struct bench_queue_way *)way;
}

static int
access_failed(const struct bench_access *a, int ret, struct vuc_error *err)
{
	return bench_fail(err, ret,
		"queue: %s of %" PRIu32 " bytes at region %" PRIu32 ", offset 0x%" PRIx64 ": %s",
		a->op == BENCH_READ ? "read" : "write", a->size, a->region, a->offset,
		strerror(-ret));
}

static int
access_one(struct bench_queue_way *q)
{
	const struct bench_access *a = q->access;

	if (a->op == BENCH_READ)
		return vuc_queue_read(q->queue, a->region, a->offset, q->data, a->size);
	return vuc_queue_write(q->queue, a->region, a->offset, q->data, a->size);
}

static int
one_by_one(struct bench_queue_way *q, unsigned int nr, uint64_t *ticks)
{
	int ret = 0;

	for (unsigned int i = 0; i < nr && ret == 0; i++) {
		uint64_t start = bench_clock_ticks(q->clock);

		ret = access_one(q);
		ticks[i] = bench_clock_ticks(q->clock) - start;
	}
	return ret;
}

/* Take what has been answered, at least one. Returns how many, or a negative errno. */
static int
take_results(struct bench_queue_way *q)
{
	struct vuc_queue_result results[BENCH_MAX_DEPTH];
	unsigned int n = vuc_queue_poll(q->queue, results, q->access->together);

	if (n == 0) {
		int ret = vuc_queue_wait(q->queue, -1);

		if (ret != 0)
			return ret;
		n = vuc_queue_poll(q->queue, results, q->access->together);
	}
	for (unsigned int i = 0; i < n; i++) {
		if (results[i].status != 0)
			return results[i].status;
	}
	return (int)n;
}

/* When a quarter has been answered, as many new requests follow in one burst. A sample ends with
 * the last answer of as many requests as are outstanding at a time. */
static int
keep_outstanding(struct bench_queue_way *q, unsigned int nr, uint64_t *ticks)
{
	const unsigned int depth = q->access->together;
	const unsigned int burst = (depth + 3) / 4;
	const unsigned int total = nr * depth;
	unsigned int submitted = 0, answered = 0, samples = 0;
	uint64_t start = bench_clock_ticks(q->clock);

	while (answered < total) {
		unsigned int room = depth - (submitted - answered);
		int n;

		if (room > total - submitted)
			room = total - submitted;
		else if (room < burst)
			room = 0;
		n = room > 0 ? vuc_queue_submit(q->queue, q->requests, room) : 0;
		if (n < 0)
			return n;
		submitted += (unsigned int)n;
		n = take_results(q);
		if (n < 0)
			return n;
		answered += (unsigned int)n;
		if (answered / depth > samples) {
			uint64_t now = bench_clock_ticks(q->clock);

			ticks[samples++] = now - start;
			start = now;
		}
	}
	return 0;
}

/* Nobody answers; only room has to be waited for. */
static int
write_post(struct bench_queue_way *q)
{
	unsigned int left = q->access->together;

	while (left > 0) {
		int n = vuc_queue_submit(q->queue, q->requests, left);

		if (n < 0)
			return n;
		if (n == 0)
			queue_pause();
		left -= (unsigned int)n;
	}
	return 0;
}

static int
post_bursts(struct bench_queue_way *q, unsigned int nr, uint64_t *ticks)
{
	int ret = 0;

	for (unsigned int i = 0; i < nr && ret == 0; i++) {
		uint64_t start = bench_clock_ticks(q->clock);

		ret = write_post(q);
		ticks[i] = bench_clock_ticks(q->clock) - start;
	}
	return ret;
}

int
bench_queue_way_burst(
	struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	struct bench_queue_way *q = queue_of(way);
	int ret;

	if (q->access->op == BENCH_POSTED)
		ret = post_bursts(q, nr, ticks);
	else if (q->access->together > 1)
		ret = keep_outstanding(q, nr, ticks);
	else
		ret = one_by_one(q, nr, ticks);
	return ret != 0 ? access_failed(q->access, ret, err) : 0;
}

int
bench_queue_way_settle(struct bench_way *way, struct vuc_error *err)
{
	const struct bench_access *a = &bench_settle_access;
	uint8_t data[BENCH_ACCESS_MAX];
	int ret = vuc_queue_read(queue_of(way)->queue, a->region, a->offset, data, a->size);

	return ret != 0 ? access_failed(a, ret, err) : 0;
}

void
bench_queue_way_opts(const struct bench_queue_way *q, struct vuc_queue_opts *opts)
{
	vuc_queue_opts_init(opts, sizeof(*opts));
	for (opts->depth = 1; opts->depth < q->access->together;)
		opts->depth *= 2;
	opts->max_data = BENCH_QUEUE_DATA;
}

void
bench_queue_way_opened(struct bench_queue_way *q)
{
	if (q->spins != 0)
		vuc_queue_set_spin(q->queue, q->spins);
}

void
bench_queue_way_init(struct bench_queue_way *q, const struct bench_way_ops *ops,
	const struct bench_clock *clock, const struct bench_access *access)
{
	static const enum vuc_queue_op op_of[] = {
		[BENCH_READ] = VUC_QUEUE_READ,
		[BENCH_WRITE] = VUC_QUEUE_WRITE,
		[BENCH_POSTED] = VUC_QUEUE_WRITE_POSTED,
	};

	*q = (struct bench_queue_way){.way.ops = ops, .clock = clock, .access = access};
	for (unsigned int i = 0; i < BENCH_MAX_DEPTH; i++) {
		q->requests[i] = (struct vuc_queue_request){
			.op = op_of[access->op],
			.region = access->region,
			.offset = access->offset,
			.count = access->size,
			.data = q->data,
		};
	}
}
