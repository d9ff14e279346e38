/* SPDX-License-Identifier: BSD-3-Clause */

/* Many devices, driven by the thread that measures. */

#include <stdio.h>
#include <string.h>

#include "error.h"
#include "scale_devices.h"

static int
open_group(struct bench_scale_devices *all, struct vuc_error *err)
{
	struct vuc_poll_group_opts opts;
	int ret;

	vuc_poll_group_opts_init(&opts, sizeof(opts));
	opts.log = bench_log;
	opts.transport = all->transport;
	ret = vuc_poll_group_create(&opts, &all->group, err);
	if (ret == 0)
		snprintf(all->transport_text, sizeof(all->transport_text), "%s",
			vuc_poll_group_transport(all->group));
	return ret;
}

static int
open_device(struct bench_scale_devices *all, unsigned int i, struct vuc_error *err)
{
	struct bench_scale_device *d = &all->devices[i];
	char path[BENCH_REFDEV_PATH_MAX];
	const struct vuc_device_opts opts = bench_scale_device_opts(all, i, path);

	*d = (struct bench_scale_device){.all = all};
	return vuc_device_open(&opts, &d->dev, err);
}

static void
inline_close(struct bench_scale_devices *all)
{
	while (all->nr > 0)
		vuc_device_close(all->devices[--all->nr].dev);
	vuc_poll_group_destroy(all->group);
	all->group = NULL;
}

static int
inline_open(struct bench_scale_devices *all, unsigned int nr, struct vuc_error *err)
{
	struct vuc_error why = {0};
	int ret = open_group(all, &why);

	for (all->nr = 0; ret == 0 && all->nr < nr;) {
		ret = open_device(all, all->nr, &why);
		if (ret == 0)
			all->nr++;
	}
	if (ret == 0)
		return 0;
	inline_close(all);
	return bench_fail(err, ret, "%s", why.text[0] != '\0' ? why.text : strerror(-ret));
}

static int
access_failed(const struct vuc_device *dev, int ret, struct vuc_error *err)
{
	const char *reason = vuc_device_reason(dev);

	return bench_fail(err, ret, "vuc: %s", reason[0] != '\0' ? reason : strerror(-ret));
}

static int
inline_one_busy(
	struct bench_scale_devices *all, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	const struct bench_access *a = all->access;
	struct bench_scale_device *d = &all->devices[0];

	for (unsigned int i = 0; i < nr; i++) {
		uint64_t start = bench_clock_ticks(all->clock);
		int ret = vuc_device_read(d->dev, a->region, a->offset, d->data, a->size);

		ticks[i] = bench_clock_ticks(all->clock) - start;
		if (ret != 0)
			return access_failed(d->dev, ret, err);
	}
	return 0;
}

static void
read_submit(struct bench_scale_device *d)
{
	struct bench_scale_devices *all = d->all;
	int ret = vuc_device_submit(d->dev, &d->request);

	if (ret == 0)
		all->submitted++;
	else
		all->error = ret;
}

static void
read_done(struct vuc_request *request, int status)
{
	struct bench_scale_device *d = request->arg;
	struct bench_scale_devices *all = d->all;

	bench_scale_count(all);
	if (status != 0)
		all->error = status;
	if (all->error == 0 && all->submitted < all->total)
		read_submit(d);
}

static void
make_request(struct bench_scale_device *d, const struct bench_access *a)
{
	d->request = (struct vuc_request){
		.op = VUC_OP_READ,
		.region = a->region,
		.offset = a->offset,
		.data = d->data,
		.count = a->size,
		.done = read_done,
		.arg = d,
	};
}

static int
inline_all_busy(struct bench_scale_devices *all, unsigned int samples, uint64_t *ticks,
	struct vuc_error *err)
{
	for (unsigned int i = 0; i < all->nr; i++)
		make_request(&all->devices[i], all->access);
	bench_scale_begin(all, samples, ticks);
	for (unsigned int i = 0; i < all->nr && all->error == 0; i++)
		read_submit(&all->devices[i]);
	while (all->completed < all->submitted) {
		int n = vuc_poll_group_poll(all->group);

		if (n < 0)
			return bench_fail(err, n, "vuc: polling: %s", strerror(-n));
	}
	if (all->error != 0)
		return bench_fail(err, all->error, "vuc: read: %s", strerror(-all->error));
	return 0;
}

static uint64_t
inline_syscalls(struct bench_scale_devices *all)
{
	return vuc_poll_group_syscalls(all->group);
}

const struct bench_scale_ops bench_scale_inline = {
	.open = inline_open,
	.close = inline_close,
	.one_busy = inline_one_busy,
	.all_busy = inline_all_busy,
	.syscalls = inline_syscalls,
};
