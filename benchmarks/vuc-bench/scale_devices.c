/* SPDX-License-Identifier: BSD-3-Clause */
#include "scale_devices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

static int
start_loopback(struct bench_scale_devices *all, unsigned int max, struct vuc_error *err)
{
	int ret = 0;

	all->servers = calloc(max, sizeof(*all->servers));
	if (all->servers == NULL)
		return bench_fail(err, -ENOMEM, "no memory for %u devices", max);
	while (ret == 0 && all->nr_servers < max) {
		ret = bench_server_start(
			&all->servers[all->nr_servers], BENCH_SERVER_LOOPBACK, NULL, NULL, err);
		if (ret == 0)
			all->nr_servers++;
	}
	return ret;
}

int
bench_scale_devices_init(struct bench_scale_devices *all, const char *busy_path, unsigned int max,
	unsigned int cpu, struct vuc_error *err)
{
	const struct bench_refdev_opts opts = {.cpu = cpu, .block = true, .sockets = max - 1};

	all->busy_path = busy_path;
	if (busy_path == NULL)
		return start_loopback(all, max, err);
	return max > 1 ? bench_refdev_start(&all->idle, &opts, err) : 0;
}

void
bench_scale_devices_fini(struct bench_scale_devices *all)
{
	bench_refdev_stop(&all->idle);
	for (unsigned int i = 0; i < all->nr_servers; i++)
		bench_server_stop(&all->servers[i]);
	free(all->servers);
	all->servers = NULL;
	all->nr_servers = 0;
}

static int
open_group(struct bench_scale_devices *all, struct vuc_error *err)
{
	struct vuc_poll_group_opts opts;

	vuc_poll_group_opts_init(&opts);
	opts.log = bench_log;
	opts.transport = all->transport;
	return vuc_poll_group_create(&opts, &all->group, err);
}

static int
open_device(struct bench_scale_devices *all, unsigned int i, struct vuc_error *err)
{
	struct bench_scale_device *d = &all->devices[i];
	char path[BENCH_REFDEV_PATH_MAX];
	struct vuc_device_opts opts;

	vuc_device_opts_init(&opts);
	opts.group = all->group;
	opts.timeout_ms = BENCH_TIMEOUT_MS;
	if (all->busy_path == NULL)
		opts.loopback = &all->servers[i].loopback;
	else
		opts.path = i == 0 ? all->busy_path : bench_refdev_socket(&all->idle, i - 1, path);
	*d = (struct bench_scale_device){.all = all};
	return vuc_device_open(&opts, &d->dev, err);
}

int
bench_scale_devices_open(struct bench_scale_devices *all, unsigned int nr, struct vuc_error *err)
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
	bench_scale_devices_close(all);
	return bench_fail(err, ret, "%s", why.text[0] != '\0' ? why.text : strerror(-ret));
}

void
bench_scale_devices_close(struct bench_scale_devices *all)
{
	while (all->nr > 0)
		vuc_device_close(all->devices[--all->nr].dev);
	vuc_poll_group_destroy(all->group);
	all->group = NULL;
}

static int
access_failed(const struct vuc_device *dev, int ret, struct vuc_error *err)
{
	const char *reason = vuc_device_reason(dev);

	return bench_fail(err, ret, "vuc: %s", reason[0] != '\0' ? reason : strerror(-ret));
}

int
bench_scale_one_busy(
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
submit(struct bench_scale_device *d)
{
	struct bench_scale_devices *all = d->all;
	int ret = vuc_device_submit(d->dev, &d->request);

	if (ret == 0)
		all->submitted++;
	else
		all->error = ret;
}

static void
done(struct vuc_request *request, int status)
{
	struct bench_scale_device *d = request->arg;
	struct bench_scale_devices *all = d->all;

	all->completed++;
	if (status != 0)
		all->error = status;
	if (all->completed % BENCH_SCALE_TOGETHER == 0) {
		uint64_t now = bench_clock_ticks(all->clock);

		all->ticks[all->completed / BENCH_SCALE_TOGETHER - 1] = now - all->last;
		all->last = now;
	}
	if (all->error == 0 && all->submitted < all->total)
		submit(d);
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
		.done = done,
		.arg = d,
	};
}

int
bench_scale_all_busy(struct bench_scale_devices *all, unsigned int samples, uint64_t *ticks,
	struct vuc_error *err)
{
	all->submitted = 0;
	all->completed = 0;
	all->total = samples * BENCH_SCALE_TOGETHER;
	all->error = 0;
	all->ticks = ticks;
	for (unsigned int i = 0; i < all->nr; i++)
		make_request(&all->devices[i], all->access);
	all->last = bench_clock_ticks(all->clock);
	for (unsigned int i = 0; i < all->nr && all->error == 0; i++)
		submit(&all->devices[i]);
	while (all->completed < all->submitted) {
		int n = vuc_poll_group_poll(all->group);

		if (n < 0)
			return bench_fail(err, n, "vuc: polling: %s", strerror(-n));
	}
	if (all->error != 0)
		return bench_fail(err, all->error, "vuc: read: %s", strerror(-all->error));
	return 0;
}
