/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_SCALE_DEVICES_H
#define BENCH_SCALE_DEVICES_H

/* Many devices in one poll group, and those who serve them. */

#include <vuc/device.h>

#include "clock.h"
#include "server.h"
#include "way.h"

#define BENCH_MAX_DEVICES BENCH_REFDEV_MAX_SOCKETS

/* Accesses of a sample when all devices are busy: of the most devices one each. */
#define BENCH_SCALE_TOGETHER BENCH_MAX_DEVICES

struct bench_scale_devices;

/* A device and the request that it is busy with. */
struct bench_scale_device {
	struct bench_scale_devices *all;
	struct vuc_device *dev;
	struct vuc_request request;
	uint8_t data[BENCH_ACCESS_MAX];
};

struct bench_scale_devices {
	const struct bench_clock *clock;
	const struct bench_access *access;
	const char *transport; /* NULL: vuc's choice */

	/* By socket the first device is served by a process that polls, all others by one that
	 * sleeps; else each is a reference device of its own in this process. */
	const char *busy_path;
	struct bench_refdev_proc idle;
	struct bench_server *servers;
	unsigned int nr_servers;

	struct vuc_poll_group *group;
	unsigned int nr; /* open devices */
	struct bench_scale_device devices[BENCH_MAX_DEVICES];

	/* Of accesses to all devices. */
	unsigned int submitted;
	unsigned int completed;
	unsigned int total;
	int error;
	uint64_t last;   /* sample's end */
	uint64_t *ticks; /* of each sample */
};

/*
 * Make the servers of at most max devices. busy_path is that of a socket, or NULL for loopback; cpu
 * is where the others' server sleeps. Returns 0 or a negative errno; either way the devices may be
 * given to bench_scale_devices_fini().
 */
int bench_scale_devices_init(struct bench_scale_devices *all, const char *busy_path,
	unsigned int max, unsigned int cpu, struct vuc_error *err);
void bench_scale_devices_fini(struct bench_scale_devices *all);

/* Make a poll group with nr devices. Returns 0 or a negative errno; on failure there is none. */
int bench_scale_devices_open(
	struct bench_scale_devices *all, unsigned int nr, struct vuc_error *err);
void bench_scale_devices_close(struct bench_scale_devices *all);

/* Access the first device nr times, and time each. */
int bench_scale_one_busy(
	struct bench_scale_devices *all, unsigned int nr, uint64_t *ticks, struct vuc_error *err);

/* Access all devices, each as soon as it has answered, and time samples of BENCH_SCALE_TOGETHER
 * accesses. */
int bench_scale_all_busy(struct bench_scale_devices *all, unsigned int samples, uint64_t *ticks,
	struct vuc_error *err);

#endif /* BENCH_SCALE_DEVICES_H */
