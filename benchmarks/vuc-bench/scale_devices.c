/* SPDX-License-Identifier: BSD-3-Clause */
#include "scale_devices.h"

#include <errno.h>
#include <stdlib.h>

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

const char *
bench_scale_device_path(
	const struct bench_scale_devices *all, unsigned int i, char buf[BENCH_REFDEV_PATH_MAX])
{
	if (all->busy_path == NULL || i == 0)
		return all->busy_path;
	return bench_refdev_socket(&all->idle, i - 1, buf);
}

struct vuc_device_opts
bench_scale_device_opts(
	const struct bench_scale_devices *all, unsigned int i, char path[BENCH_REFDEV_PATH_MAX])
{
	struct vuc_device_opts opts;

	vuc_device_opts_init(&opts, sizeof(opts));
	opts.group = all->group;
	opts.timeout_ms = BENCH_TIMEOUT_MS;
	if (all->busy_path == NULL)
		opts.loopback = &all->servers[i].loopback;
	else
		opts.path = bench_scale_device_path(all, i, path);
	return opts;
}

void
bench_scale_begin(struct bench_scale_devices *all, unsigned int samples, uint64_t *ticks)
{
	all->submitted = 0;
	all->completed = 0;
	all->total = samples * BENCH_SCALE_TOGETHER;
	all->error = 0;
	all->ticks = ticks;
	all->last = bench_clock_ticks(all->clock);
}

void
bench_scale_count(struct bench_scale_devices *all)
{
	uint64_t now;

	if (++all->completed % BENCH_SCALE_TOGETHER != 0)
		return;
	now = bench_clock_ticks(all->clock);
	all->ticks[all->completed / BENCH_SCALE_TOGETHER - 1] = now - all->last;
	all->last = now;
}
