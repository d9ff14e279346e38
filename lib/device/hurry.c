/* SPDX-License-Identifier: BSD-3-Clause */

/* A device that is about to be closed waits for its server only while the server makes progress. */

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

/* What was awaited before the hurry began counts, too: a server that hangs then has had its time.
 */
static void
device_note_moves(struct vuc_device *dev, uint64_t now_ms)
{
	uint32_t moves = device_moves(dev);

	if (!is_awaited(dev)) {
		dev->hurry.moved_ms = dev->hurry.end_ms = 0;
		return;
	}
	if (dev->hurry.moved_ms == 0 || dev->hurry.moves != moves)
		dev->hurry.moved_ms = now_ms;
	dev->hurry.moves = moves;
	if (dev->hurry.patience_ms != 0 && dev->hurry.end_ms == 0)
		dev->hurry.end_ms = now_ms + dev->hurry.limit_ms;
}

uint64_t
device_hurry_due(const struct vuc_device *dev)
{
	uint64_t stuck_ms = dev->hurry.moved_ms + dev->hurry.patience_ms;

	if (dev->hurry.patience_ms == 0 || !is_awaited(dev))
		return UINT64_MAX;
	return dev->hurry.end_ms < stuck_ms ? dev->hurry.end_ms : stuck_ms;
}

void
device_tick_hurry(struct vuc_device *dev, uint64_t now_ms)
{
	device_note_moves(dev, now_ms);
	if (now_ms < device_hurry_due(dev))
		return;
	dev->hurry.patience_ms = 0;
	vuc_session_end(dev->session, -ECANCELED, "%s", dev->hurry.why);
	device_mark_dirty(dev);
}

/* Whoever asks again shortens what was asked before, and never makes it last longer. */
VUC_PRIVATE void
vuc_device_hurry(struct vuc_device *dev, uint32_t patience_ms, uint32_t limit_ms, const char *why)
{
	struct vuc_poll_group *group = dev->group;

	if (patience_ms == 0)
		dev->hurry.end_ms = 0;
	if (dev->hurry.patience_ms == 0 || patience_ms < dev->hurry.patience_ms) {
		dev->hurry.patience_ms = patience_ms;
		dev->hurry.limit_ms = limit_ms;
		dev->hurry.why = why;
	}
	/* The next poll has a look. */
	group->hurried = true;
	group->ticked_ms = 0;
	group->polls = TICK_INTERVAL - 1;
}
