/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Closing a device: what was posted goes out, whoever still waits is told, and the connection ends.
 * The poll group takes the steps, and frees the memory at the end of a poll.
 */

#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "internal.h"
#include "operation.h"
#include "record.h"

static const char closed[] = "the device was closed";

static void
finish_closing(struct vuc_device *dev)
{
	dev->closed = true;
	vuc_session_end(dev->session, -ECANCELED, "%s", closed);
	device_pump(dev);
	device_disconnect(dev);
	dev->step = device_destroy;
	group_retire(dev);
	dev->group->completed++;
	if (dev->closing.done != NULL)
		dev->closing.done(dev->closing.arg, 0, &(struct vuc_error){.text = ""});
}

/* Taken when something has come or gone, and when it is due. Requests wait for room in the session
 * only while it is ready. */
static void
closing_step(struct vuc_device *dev)
{
	enum vuc_session_state state = vuc_session_state(dev->session);

	if (vuc_clock_coarse_ms() < dev->closing.deadline_ms) {
		if (state == VUC_SESSION_READY && dev->first == NULL)
			vuc_session_drain(dev->session);
		state = vuc_session_state(dev->session);
		if (state == VUC_SESSION_READY || state == VUC_SESSION_DRAINING)
			return;
	}
	finish_closing(dev);
}

static uint64_t
closing_due(const struct vuc_device *dev)
{
	enum vuc_session_state state = vuc_session_state(dev->session);

	if (state == VUC_SESSION_DRAINING || (state == VUC_SESSION_READY && dev->first != NULL))
		return dev->closing.deadline_ms;
	return 0;
}

/* A callback that is told of the end may close the device again. */
static bool
is_closing(const struct vuc_device *dev)
{
	return dev->closed || dev->step == closing_step;
}

/* Everybody is told now, and nobody called back any more. What was posted is left. */
static void
closing_cancel_requests(struct vuc_device *dev)
{
	device_pump(dev);
	vuc_session_drain(dev->session);
	vuc_session_cancel(dev->session, NULL, -ECANCELED, closed);
	device_cancel_requests(dev, -ECANCELED, closed);
}

static void
begin_closing(struct vuc_device *dev, vuc_done_fn done, void *arg)
{
	dev->closing.deadline_ms = vuc_clock_coarse_ms() + dev->timeout_ms;
	dev->closing.done = done;
	dev->closing.arg = arg;
	dev->step = closing_step;
	dev->step_due = closing_due;
	dev->operating = true;
	device_mark_dirty(dev);
	device_cancel_opening(dev);
	vuc_device_record_stop(dev);
	device_cancel_operations(dev, -ECANCELED, closed);
}

VUC_PRIVATE void
vuc_device_drain_start(struct vuc_device *dev, vuc_done_fn done, void *arg)
{
	struct vuc_poll_group *group = dev->group;
	bool outermost = group_begin_callbacks(group);

	begin_closing(dev, done, arg);
	group_end_callbacks(group, outermost);
}

VUC_EXPORT int
vuc_device_close_start(struct vuc_device *dev, vuc_done_fn done, void *arg)
{
	struct vuc_poll_group *group = dev->group;
	bool outermost;

	if (is_closing(dev))
		return -EALREADY;
	outermost = group_begin_callbacks(group);
	dev->closed = true;
	begin_closing(dev, done, arg);
	closing_cancel_requests(dev);
	group_end_callbacks(group, outermost);
	return 0;
}

static void
closing_wake(void *arg, int status, const struct vuc_error *err)
{
	(void)status;
	(void)err;
	*(bool *)arg = true;
}

VUC_EXPORT void
vuc_device_close(struct vuc_device *dev)
{
	bool done = false;

	if (dev == NULL || is_closing(dev))
		return;
	if (dev->group->polling) {
		vuc_device_close_start(dev, NULL, NULL);
		/* Nobody polls it any more. */
		dev->group->doomed = dev->group->doomed || dev->own_group;
		return;
	}
	vuc_device_drain_start(dev, closing_wake, &done);
	device_poll_until(dev, &done);
}
