/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_WATCH_H
#define VUC_POLLER_WATCH_H

/* What the control plane wants to know of a poller, beside what everybody does. */

#include <stdbool.h>
#include <stdint.h>

#include <vuc/poller.h>
#include <vuc/stats.h>

struct poller_account;

/* A connection has ended; or its server is silent since then (CLOCK_MONOTONIC), or with 0 is not
 * any more. */
typedef void (*poller_watch_fn)(void *arg, bool connected, uint64_t silent_ms);

/*
 * On the poller's thread: call fn there when the connection of a device has ended, and when its
 * server stops answering or answers again; now, when it has ended already. NULL: call nobody. To be
 * called again when the device was restored, for the next loss to be seen. fn does not block, and
 * calls nothing of the device or the poller. It is not called any more once the device is being
 * closed. Returns 0; -EINVAL for a device of others.
 */
int vuc_poller_watch_device(
	struct vuc_poller *p, struct vuc_device *dev, poller_watch_fn fn, void *arg);

/*
 * A device that is connected to again and again: its name in logs and telemetry, counters that go
 * on, and what is known of its server. NULL: no memory. It is closed after its connections.
 */
struct poller_account *vuc_poller_open_account(struct vuc_poller *p, const char *name);
void vuc_poller_close_account(struct vuc_poller *p, struct poller_account *account);

/*
 * On the poller's thread: begin to open a connection of it, or of a device that has no other one
 * with account NULL. done is called there, behind this; until then, *dev can only be closed.
 * Whatever becomes of it, it is to be closed. Returns 0; or a negative errno, and there is nothing
 * to close.
 */
int vuc_poller_open_start(struct vuc_poller *p, struct poller_account *account,
	const struct vuc_device_opts *opts, struct vuc_device **dev, vuc_done_fn done, void *arg,
	struct vuc_error *err);

/*
 * On the poller's thread: begin to close a device; it cannot be used any more. What it has under
 * way is cancelled, and ends before this returns; or with drain, requests are sent and awaited for
 * at most the timeout. done is called when it is closed. Returns 0; -EINVAL for a device of others;
 * -EBUSY while it has queues.
 */
int vuc_poller_close_start(
	struct vuc_poller *p, struct vuc_device *dev, bool drain, vuc_done_fn done, void *arg);

/* What was counted so far; queues and latency as well. */
void vuc_poller_account_stats(
	struct vuc_poller *p, struct poller_account *account, struct vuc_device_stats *stats);

void vuc_poller_account_latency(struct vuc_poller *p, const struct poller_account *account,
	struct vuc_latency_histogram *latency);

/* The NUMA node of the poller's CPU, or -1. */
int vuc_poller_node(const struct vuc_poller *p);

#endif /* VUC_POLLER_WATCH_H */
