/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_QUEUE_WAY_H
#define BENCH_QUEUE_WAY_H

/* Accesses by a queue: the side of the thread that submits. Who serves it makes the difference. */

#include <vuc/device.h>
#include <vuc/poller.h>
#include <vuc/queue.h>

#include "ticks.h"
#include "way.h"

#define BENCH_MAX_DEPTH 256

/* Bytes of a request, the least that a queue can have: every access is shorter. */
#define BENCH_QUEUE_DATA 64

/* An implementation's own struct begins with it; its open() sets the queue, close() takes it. */
struct bench_queue_way {
	struct bench_way way;
	const struct bench_clock *clock;
	const struct bench_access *access; /* together: as many are outstanding at a time */
	struct vuc_queue *queue;
	uint32_t spins; /* looks before it sleeps, if they are not to be the queue's own; else 0 */
	uint8_t data[BENCH_ACCESS_MAX];
	struct vuc_queue_request requests[BENCH_MAX_DEPTH]; /* all alike */
};

/* The access must live as long as the way, which ops->burst() and settle() are these two of. */
void bench_queue_way_init(struct bench_queue_way *queue, const struct bench_way_ops *ops,
	const struct bench_clock *clock, const struct bench_access *access);

/* How its open() opens the queue, for as many requests as are outstanding, and what it calls when
 * the queue is open. */
void bench_queue_way_opts(const struct bench_queue_way *queue, struct vuc_queue_opts *opts);
void bench_queue_way_opened(struct bench_queue_way *queue);

int bench_queue_way_burst(
	struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err);
int bench_queue_way_settle(struct bench_way *way, struct vuc_error *err);

/* Through a poller to a device: both are there while the way is open only. */
struct bench_poller_subject {
	struct bench_queue_way queue;
	struct vuc_poller_opts poller_opts; /* CPU and idle policy are the caller's to change */
	struct vuc_device_opts device_opts; /* path or loopback is for the caller to set */
	struct vuc_poller *poller;
	struct vuc_device *dev;
	char transport[16]; /* in use, once it was open */
	bool counts;        /* its system calls are counted: there are some */
};

/*
 * bench_eal_init() comes before the way is opened.
 *
 * @param transport  by name; NULL: vuc's choice
 * @param cpu        of the poller
 */
void bench_poller_subject_init(struct bench_poller_subject *subject,
	const struct bench_clock *clock, const struct bench_access *access, const char *transport,
	unsigned int cpu);

#endif /* BENCH_QUEUE_WAY_H */
