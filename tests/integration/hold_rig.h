/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_HOLD_RIG_H
#define VUC_TESTS_HOLD_RIG_H

/* A rig with one device that has a record and a hold, and a queue to it. */

#include <stdatomic.h>

#include <vuc/stats.h>

#include "hold.h"
#include "rig.h"

#define HOLD_DEPTH   64
#define HOLD_SCRATCH 0x5a5a1234u /* in REFDEV_REG_SCRATCH, which was read once */

/* Instead of rig_start(). */
void hold_start(struct rig_opts *opts, struct poller_hold_opts hold);

struct vuc_device_stats hold_stats(void);

/* On the poller's thread: another hold, or with NULL none. */
int hold_set(void *opts);

/* Kill the server, and wait until the poller has noticed. */
void hold_lose_server(void);

/* An access of 4 bytes. */
void hold_submit(
	struct vuc_queue *q, enum vuc_queue_op op, uint32_t region, uint64_t offset, void *data);

/* Wait until so many reads were held in all. */
void hold_await(uint64_t nr);

/* Wait for one result: of which data, and its status. */
void *hold_await_result(struct vuc_queue *q, int *status);

/* What is awaited on another thread than that where it ends. */
struct hold_event {
	_Atomic bool done;
	int status;
	struct vuc_device *fresh; /* that a device is restored with */
};

/* A vuc_done_fn, and its status. */
void hold_event_done(void *arg, int status, const struct vuc_error *err);
int hold_event_await(struct hold_event *e);

#endif /* VUC_TESTS_HOLD_RIG_H */
