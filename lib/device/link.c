/* SPDX-License-Identifier: BSD-3-Clause */

/* Where a device's session and its connection meet. */

#include <errno.h>

#include "internal.h"

void
device_mark_dirty(struct vuc_device *dev)
{
	if (dev->dirty)
		return;
	dev->dirty = true;
	TAILQ_INSERT_TAIL(&dev->group->dirty, dev, dirty_link);
}

static bool
has_ended(const struct vuc_device *dev)
{
	return vuc_session_state(dev->session) == VUC_SESSION_LOST;
}

/* What the transport should look for. */
static void
set_expectations(struct vuc_device *dev)
{
	dev->conn->owed = vuc_session_outstanding(dev->session) > 0;
	dev->conn->watch_fds = vuc_session_watches_fds(dev->session);
}

/* After anything that may have changed what there is to send and to wait for. */
static void
follow_up(struct vuc_device *dev)
{
	set_expectations(dev);
	if (dev->first != NULL || has_ended(dev) ||
		(!dev->sending && vuc_session_has_segment(dev->session)))
		device_mark_dirty(dev);
}

static void
on_sent(struct vuc_conn *conn)
{
	struct vuc_device *dev = conn->owner;

	dev->sending = false;
	vuc_session_sent(dev->session);
	follow_up(dev);
}

static void
on_received(struct vuc_conn *conn, const uint8_t *bytes, size_t len, const int *fds,
	unsigned int nr_fds)
{
	struct vuc_device *dev = conn->owner;

	vuc_session_received(dev->session, bytes, len, fds, nr_fds);
	follow_up(dev);
}

static void
on_lost(struct vuc_conn *conn, int error)
{
	struct vuc_device *dev = conn->owner;

	/* A peer that closes with bytes of ours unread resets the connection: a close all the same.
	 */
	vuc_session_lost(dev->session, error == -ECONNRESET ? 0 : error);
	follow_up(dev);
}

const struct vuc_conn_events device_conn_events = {
	.sent = on_sent,
	.received = on_received,
	.lost = on_lost,
};

/* Returns whether the next segment can follow at once. */
static bool
send_segment(struct vuc_device *dev, const struct vuc_session_segment *next)
{
	const struct vuc_segment segment = {
		.bytes = next->bytes,
		.len = next->len,
		.fds = next->fds,
		.nr_fds = next->nr_fds,
	};
	int rc = dev->conn->ops->send(dev->conn, &segment);

	if (rc == 1) {
		vuc_session_sent(dev->session);
		return true;
	}
	if (rc == 0)
		dev->sending = true;
	else if (rc == -EAGAIN)
		device_mark_dirty(dev);
	else
		vuc_session_lost(dev->session, rc);
	return false;
}

void
device_disconnect(struct vuc_device *dev)
{
	if (dev->conn != NULL)
		dev->conn->ops->close(dev->conn);
	dev->conn = NULL;
}

static void
send_segments(struct vuc_device *dev)
{
	struct vuc_session_segment next;

	while (!dev->sending && vuc_session_next_segment(dev->session, &next)) {
		if (!send_segment(dev, &next))
			break;
	}
}

void
device_flush(struct vuc_device *dev)
{
	if (dev->first != NULL)
		device_pump(dev);
	if (dev->conn == NULL)
		return;
	send_segments(dev);
	if (has_ended(dev)) {
		device_disconnect(dev);
		device_pump(dev);
		return;
	}
	set_expectations(dev);
	if (dev->first != NULL && !dev->sending)
		device_mark_dirty(dev);
}
