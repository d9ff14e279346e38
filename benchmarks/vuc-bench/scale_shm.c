/* SPDX-License-Identifier: BSD-3-Clause */

/* Many devices in a daemon, each with a queue of the thread that measures. */

#include <stdio.h>
#include <string.h>

#include "error.h"
#include "scale_devices.h"
#include "shm.h"

static int
open_device(struct bench_scale_devices *all, unsigned int i, struct vuc_error *err)
{
	struct bench_scale_device *d = &all->devices[i];
	char name[BENCH_DAEMON_NAME_MAX], buf[BENCH_REFDEV_PATH_MAX];
	struct vuc_queue_opts queue_opts;
	int ret;

	*d = (struct bench_scale_device){.all = all};
	snprintf(name, sizeof(name), "dev%u", i);
	ret = bench_daemon_add(all->daemon, name, bench_scale_device_path(all, i, buf), err);
	if (ret == 0)
		ret = bench_shm_attach(all->daemon, name, &d->vmm, err);
	if (ret != 0)
		return ret;
	bench_scale_queue_opts(all, &queue_opts);
	ret = vuc_vmm_open_queue(d->vmm, &queue_opts, &d->queue, err);
	if (ret != 0)
		vuc_vmm_detach(d->vmm);
	return ret;
}

static void
shm_close(struct bench_scale_devices *all)
{
	struct vuc_error ignored;

	while (all->nr > 0) {
		struct bench_scale_device *d = &all->devices[--all->nr];

		vuc_vmm_close_queue(d->vmm, d->queue);
		vuc_vmm_detach(d->vmm);
	}
	bench_daemon_end(all->daemon, &ignored);
}

static int
shm_open(struct bench_scale_devices *all, unsigned int nr, struct vuc_error *err)
{
	struct vuc_poller_opts opts;
	struct vuc_error why = {0};
	int ret;

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.cpu = (int)all->cpu;
	opts.transport = all->transport;
	ret = bench_daemon_begin(all->daemon, &opts, all->transport_text, err);
	if (ret != 0)
		return ret;
	bench_scale_share_depth(all, nr);
	for (all->nr = 0; ret == 0 && all->nr < nr;) {
		ret = open_device(all, all->nr, &why);
		if (ret == 0)
			all->nr++;
	}
	if (ret == 0)
		return 0;
	shm_close(all);
	return bench_fail(err, ret, "%s", why.text[0] != '\0' ? why.text : strerror(-ret));
}

/* Without a socket there are none, and asking would only be in the way. */
static uint64_t
shm_syscalls(struct bench_scale_devices *all)
{
	struct vuc_error ignored;
	uint64_t syscalls = 0;

	if (all->busy_path != NULL)
		bench_daemon_syscalls(all->daemon, &syscalls, &ignored);
	return syscalls;
}

const struct bench_scale_ops bench_scale_shm = {
	.open = shm_open,
	.close = shm_close,
	.one_busy = bench_scale_queues_one_busy,
	.all_busy = bench_scale_queues_all_busy,
	.syscalls = shm_syscalls,
};
