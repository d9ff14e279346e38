/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_SCALE_DEVICES_H
#define BENCH_SCALE_DEVICES_H

/* Many devices in one poll group, and those who serve them. */

#include <vuc/device.h>
#include <vuc/poller.h>
#include <vuc/vmm.h>

#include "daemon.h"
#include "server.h"
#include "ticks.h"
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
	/* By a poller there is a queue, and in a daemon another device. */
	struct vuc_queue *queue;
	struct vuc_vmm_device *vmm;
	uint8_t data[BENCH_ACCESS_MAX];
};

/* Each returns 0, or a negative errno with a line in err. */
struct bench_scale_ops {
	/* Open nr devices; on failure there is none. */
	int (*open)(struct bench_scale_devices *all, unsigned int nr, struct vuc_error *err);
	void (*close)(struct bench_scale_devices *all);
	/* Access the first device nr times, and time each. */
	int (*one_busy)(struct bench_scale_devices *all, unsigned int nr, uint64_t *ticks,
		struct vuc_error *err);
	/* Access all devices, each as soon as it has answered, and time samples of
	 * BENCH_SCALE_TOGETHER accesses. */
	int (*all_busy)(struct bench_scale_devices *all, unsigned int samples, uint64_t *ticks,
		struct vuc_error *err);
	/* System calls so far. */
	uint64_t (*syscalls)(struct bench_scale_devices *all);
};

/* In the thread that measures, in a poller, or in a daemon's poller. By a poller each device has a
 * queue, and all queues are this thread's. */
extern const struct bench_scale_ops bench_scale_inline;
extern const struct bench_scale_ops bench_scale_poller;
extern const struct bench_scale_ops bench_scale_shm;

struct bench_scale_devices {
	const struct bench_scale_ops *ops;
	const struct bench_clock *clock;
	const struct bench_access *access;
	const char *transport; /* NULL: vuc's choice */

	/* By socket the first device is served by a process that polls, all others by one that
	 * sleeps; else each is a reference device of its own in this process. */
	const char *busy_path;
	struct bench_refdev_proc idle;
	struct bench_server *servers;
	unsigned int nr_servers;

	unsigned int cpu; /* of the poller */
	struct vuc_poller *poller;
	struct bench_daemon *daemon;
	uint32_t depth; /* of each queue to it */
	uint64_t syscalls;
	struct vuc_queue_request requests[BENCH_SCALE_TOGETHER];
	struct vuc_poll_group *group;
	char transport_text[16]; /* in use, once they were open */
	unsigned int nr;         /* open devices */
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

/* The path of device i's socket, for which buf has room; NULL: it has none. */
const char *bench_scale_device_path(
	const struct bench_scale_devices *all, unsigned int i, char buf[BENCH_REFDEV_PATH_MAX]);

/* How to open device i in this process. */
struct vuc_device_opts bench_scale_device_opts(
	const struct bench_scale_devices *all, unsigned int i, char path[BENCH_REFDEV_PATH_MAX]);

/* Queues: so deep that nearly BENCH_SCALE_TOGETHER are outstanding, however many devices share
 * them; how to open one; and the accesses of struct bench_scale_ops. */
void bench_scale_share_depth(struct bench_scale_devices *all, unsigned int nr);
void bench_scale_queue_opts(const struct bench_scale_devices *all, struct vuc_queue_opts *opts);
int bench_scale_queues_one_busy(
	struct bench_scale_devices *all, unsigned int nr, uint64_t *ticks, struct vuc_error *err);
int bench_scale_queues_all_busy(struct bench_scale_devices *all, unsigned int samples,
	uint64_t *ticks, struct vuc_error *err);

/* Of accesses to all devices: a sample more is there. */
void bench_scale_begin(struct bench_scale_devices *all, unsigned int samples, uint64_t *ticks);
void bench_scale_count(struct bench_scale_devices *all);

#endif /* BENCH_SCALE_DEVICES_H */
