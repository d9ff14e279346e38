/* SPDX-License-Identifier: BSD-3-Clause */

/* Accesses to many devices, each by a queue. */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "layout.h"
#include "queue_way.h"
#include "scale_devices.h"

void
bench_scale_share_depth(struct bench_scale_devices *all, unsigned int nr)
{
	for (all->depth = BENCH_SCALE_TOGETHER; all->depth > BENCH_SCALE_TOGETHER / nr;)
		all->depth /= 2;
}

void
bench_scale_queue_opts(const struct bench_scale_devices *all, struct vuc_queue_opts *opts)
{
	vuc_queue_opts_init(opts, sizeof(*opts));
	opts->depth = all->depth;
	opts->max_data = BENCH_QUEUE_DATA;
}

static int
access_failed(int ret, struct vuc_error *err)
{
	return bench_fail(err, ret, "queue: read: %s", strerror(-ret));
}

int
bench_scale_queues_one_busy(
	struct bench_scale_devices *all, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	const struct bench_access *a = all->access;
	struct bench_scale_device *d = &all->devices[0];

	for (unsigned int i = 0; i < nr; i++) {
		uint64_t start = bench_clock_ticks(all->clock);
		int ret = vuc_queue_read(d->queue, a->region, a->offset, d->data, a->size);

		ticks[i] = bench_clock_ticks(all->clock) - start;
		if (ret != 0)
			return access_failed(ret, err);
	}
	return 0;
}

static void
read_submit(struct bench_scale_device *d, unsigned int nr)
{
	struct bench_scale_devices *all = d->all;
	int n;

	if (nr > all->total - all->submitted)
		nr = all->total - all->submitted;
	if (nr == 0 || all->error != 0)
		return;
	n = vuc_queue_submit(d->queue, all->requests, nr);
	if (n > 0)
		all->submitted += (unsigned int)n;
	else if (n < 0)
		all->error = n;
}

static unsigned int
take_answers(struct bench_scale_device *d)
{
	struct vuc_queue_result results[BENCH_SCALE_TOGETHER];
	unsigned int n = vuc_queue_poll(d->queue, results, d->all->depth);

	for (unsigned int i = 0; i < n; i++) {
		bench_scale_count(d->all);
		if (results[i].status != 0)
			d->all->error = results[i].status;
	}
	read_submit(d, n);
	return n;
}

/* All alike; what is read is of no interest. */
static void
make_requests(struct bench_scale_devices *all)
{
	const struct bench_access *a = all->access;

	for (unsigned int i = 0; i < BENCH_SCALE_TOGETHER; i++) {
		all->requests[i] = (struct vuc_queue_request){
			.op = VUC_QUEUE_READ,
			.region = a->region,
			.offset = a->offset,
			.count = a->size,
			.data = all->devices[0].data,
		};
	}
}

int
bench_scale_queues_all_busy(struct bench_scale_devices *all, unsigned int samples, uint64_t *ticks,
	struct vuc_error *err)
{
	uint64_t timeout = bench_clock_from_ms(all->clock, BENCH_TIMEOUT_MS);

	make_requests(all);
	bench_scale_begin(all, samples, ticks);
	for (unsigned int i = 0; i < all->nr; i++)
		read_submit(&all->devices[i], all->depth);
	while (all->completed < all->submitted && all->error == 0) {
		unsigned int n = 0;

		for (unsigned int i = 0; i < all->nr; i++)
			n += take_answers(&all->devices[i]);
		if (n > 0)
			continue;
		queue_pause();
		if (bench_clock_ticks(all->clock) - all->last > timeout)
			all->error = -ETIMEDOUT;
	}
	return all->error != 0 ? access_failed(all->error, err) : 0;
}
