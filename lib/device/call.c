/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sched.h>

#include "error.h"
#include "internal.h"

/* Looks at the sockets without a completion after which a waiting thread lets others have its CPU
 * in between: a server that shares the core would otherwise wait for the scheduler. */
#define SPIN_LOOKS 20000u

/* Looks of one poll, until then: what else a poll does is of no use as often. */
#define POLL_LOOKS 16u

void
device_poll_until(struct vuc_device *dev, const bool *done)
{
	unsigned int empty = 0;

	while (!*done) {
		unsigned int looks = empty < SPIN_LOOKS ? POLL_LOOKS : 1;

		if (group_poll(dev->group, looks) > 0) {
			empty = 0;
		} else if ((empty += looks) > SPIN_LOOKS) {
			sched_yield();
			vuc_poll_group_look_at_clock(dev->group);
		}
	}
}

int
operation_may_wait(struct vuc_device *dev)
{
	if (!dev->group->polling)
		return 0;
	return vuc_error_set(
		&dev->reason, -EDEADLK, "a synchronous call from a completion callback");
}

void
operation_wake(void *arg, int status, const struct vuc_error *err)
{
	struct operation_waiter *w = arg;

	w->status = status;
	w->done = true;
	if (status != 0)
		w->dev->reason = *err;
}

int
operation_wait(struct operation_waiter *w, int started)
{
	if (started != 0)
		return started;
	device_poll_until(w->dev, &w->done);
	return w->status;
}
