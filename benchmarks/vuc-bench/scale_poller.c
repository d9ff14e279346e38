/* SPDX-License-Identifier: BSD-3-Clause */

/* Many devices in a poller, each with a queue of the thread that measures. */

#include <stdio.h>
#include <string.h>

#include "error.h"
#include "scale_devices.h"

static int
open_poller(struct bench_scale_devices *all, struct vuc_error *err)
{
	struct vuc_poller_opts opts;
	int ret;

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.name = "bench";
	opts.cpu = (int)all->cpu;
	opts.transport = all->transport;
	ret = vuc_poller_create(&opts, &all->poller, err);
	if (ret == 0)
		snprintf(all->transport_text, sizeof(all->transport_text), "%s",
			vuc_poll_group_transport(vuc_poller_poll_group(all->poller)));
	return ret;
}

static int
open_device(struct bench_scale_devices *all, unsigned int i, struct vuc_error *err)
{
	struct bench_scale_device *d = &all->devices[i];
	char path[BENCH_REFDEV_PATH_MAX];
	const struct vuc_device_opts opts = bench_scale_device_opts(all, i, path);
	struct vuc_queue_opts queue_opts;
	int ret;

	*d = (struct bench_scale_device){.all = all};
	ret = vuc_poller_open_device(all->poller, &opts, &d->dev, err);
	if (ret != 0)
		return ret;
	bench_scale_queue_opts(all, &queue_opts);
	ret = vuc_poller_open_queue(all->poller, d->dev, &queue_opts, &d->queue, err);
	if (ret != 0)
		vuc_poller_close_device(all->poller, d->dev);
	return ret;
}

static void
poller_close(struct bench_scale_devices *all)
{
	while (all->nr > 0) {
		struct bench_scale_device *d = &all->devices[--all->nr];

		vuc_poller_close_queue(all->poller, d->queue);
		vuc_poller_close_device(all->poller, d->dev);
	}
	vuc_poller_destroy(all->poller);
	all->poller = NULL;
}

static int
poller_open(struct bench_scale_devices *all, unsigned int nr, struct vuc_error *err)
{
	struct vuc_error why = {0};
	int ret;

	bench_scale_share_depth(all, nr);
	ret = open_poller(all, &why);
	for (all->nr = 0; ret == 0 && all->nr < nr;) {
		ret = open_device(all, all->nr, &why);
		if (ret == 0)
			all->nr++;
	}
	if (ret == 0)
		return 0;
	poller_close(all);
	return bench_fail(err, ret, "%s", why.text[0] != '\0' ? why.text : strerror(-ret));
}

/* On the poller's thread, whose the group is. */
static int
read_syscalls(void *arg)
{
	struct bench_scale_devices *all = arg;

	all->syscalls = vuc_poll_group_syscalls(vuc_poller_poll_group(all->poller));
	return 0;
}

/* Without a socket there are none, and asking would only be in the way. */
static uint64_t
poller_syscalls(struct bench_scale_devices *all)
{
	if (all->busy_path == NULL)
		return 0;
	vuc_poller_call(all->poller, read_syscalls, all);
	return all->syscalls;
}

const struct bench_scale_ops bench_scale_poller = {
	.open = poller_open,
	.close = poller_close,
	.one_busy = bench_scale_queues_one_busy,
	.all_busy = bench_scale_queues_all_busy,
	.syscalls = poller_syscalls,
};
