/* SPDX-License-Identifier: BSD-3-Clause */

/* Who is about to close a device waits for its server only as long as that does something. */

#include <errno.h>

#include "clock.h"
#include "internal.h"

static bool
is_awaited(const struct vuc_device *dev)
{
	return vuc_view_is_owed(vuc_session_view(dev->session)) ||
		vuc_session_has_segment(dev->session) || dev->first != NULL ||
		!TAILQ_EMPTY(&dev->operations);
}

/* A server that asks for memory does something, too. */
static uint32_t
device_moves(const struct vuc_device *dev)
{
	uint32_t moves = vuc_session_moves(dev->session);

	return dev->twin.session != NULL ? moves + vuc_session_moves(dev->twin.session) : moves;
}

VUC_PRIVATE void
vuc_device_hurry(struct vuc_device *dev, uint32_t patience_ms, uint32_t limit_ms, const char *why)
{
	dev->hurry.patience_ms = patience_ms;
	dev->hurry.stuck_ms = 0;
	dev->hurry.limit_ms = limit_ms;
	dev->hurry.end_ms = 0;
	dev->hurry.why = why;
}

void
device_tick_hurry(struct vuc_device *dev, uint64_t now_ms)
{
	uint32_t moves;

	if (dev->hurry.patience_ms == 0)
		return;
	if (!is_awaited(dev)) {
		dev->hurry.stuck_ms = dev->hurry.end_ms = 0;
		return;
	}
	moves = device_moves(dev);
	if (dev->hurry.end_ms == 0)
		dev->hurry.end_ms = now_ms + dev->hurry.limit_ms;
	if (dev->hurry.stuck_ms == 0 || dev->hurry.moves != moves)
		dev->hurry.stuck_ms = now_ms + dev->hurry.patience_ms;
	dev->hurry.moves = moves;
	if (now_ms < dev->hurry.end_ms && now_ms < dev->hurry.stuck_ms)
		return;
	dev->hurry.patience_ms = 0;
	vuc_session_end(dev->session, -ECANCELED, "%s", dev->hurry.why);
	device_mark_dirty(dev);
}

uint64_t
device_hurry_due(const struct vuc_device *dev)
{
	if (dev->hurry.patience_ms == 0 || !is_awaited(dev))
		return UINT64_MAX;
	return dev->hurry.end_ms < dev->hurry.stuck_ms ? dev->hurry.end_ms : dev->hurry.stuck_ms;
}
