/* SPDX-License-Identifier: BSD-3-Clause */

/* Captures of a device's messages. */

#include "capture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/export.h>

#include "control.h"
#include "error.h"

#define CAPTURE_RING (8u << 20) /* bytes */
#define SNAPLEN_MIN  16u

struct vuc_control_capture {
	struct poller_capture poller;
	struct vuc_control *control;
	TAILQ_ENTRY(vuc_control_capture) entry;
	char device[VUC_CONTROL_NAME_SIZE];
	char who[64];
};

/* With the lock held: whose a capture of a device is. One that was removed has none. */
static const char *
capture_owner(const struct vuc_control *c, const struct control_device *d)
{
	const struct vuc_control_capture *other;

	TAILQ_FOREACH (other, &c->captures, entry) {
		if (strcmp(other->device, d->name) == 0)
			return other->who;
	}
	return "";
}

/* With the lock held. */
static int
capture_begin(struct vuc_control_capture *capture, struct vuc_capture_ring *ring, uint32_t snaplen,
	struct vuc_error *err)
{
	struct vuc_control *c = capture->control;
	struct control_device *d = control_find(c, capture->device);
	int rc;

	if (d == NULL)
		return vuc_error_set(err, -ENOENT, "there is no device %.64s", capture->device);
	rc = vuc_poller_capture_begin(&capture->poller, d->poller, d->account, ring, snaplen);
	if (rc != 0)
		return vuc_error_set(err, rc, "device %s is being captured already (%s)", d->name,
			capture_owner(c, d));
	TAILQ_INSERT_HEAD(&c->captures, capture, entry);
	return 0;
}

static int
capture_start(struct vuc_control_capture *capture, uint32_t snaplen, struct vuc_error *err)
{
	struct vuc_control *c = capture->control;
	struct vuc_capture_ring *ring;
	int rc = vuc_capture_ring_create(CAPTURE_RING, &ring);

	if (rc != 0)
		return vuc_error_set(err, rc, "memory for a capture: %s", strerror(-rc));
	pthread_mutex_lock(&c->lock);
	rc = capture_begin(capture, ring, snaplen, err);
	pthread_mutex_unlock(&c->lock);
	if (rc != 0)
		vuc_capture_ring_free(ring);
	else
		vuc_poller_capture_apply(&capture->poller);
	return rc;
}

VUC_EXPORT int
vuc_control_capture_start(struct vuc_control *c, const char *name, uint32_t snaplen,
	const char *who, struct vuc_control_capture **capture, int *fd, struct vuc_error *err)
{
	struct vuc_control_capture *new;
	int rc;

	*capture = NULL;
	*fd = -1;
	if (snaplen < SNAPLEN_MIN || snaplen > VUC_CAPTURE_SNAPLEN_MAX)
		return vuc_error_set(err, -EINVAL, "snaplen %u, expected %u to %u", snaplen,
			SNAPLEN_MIN, VUC_CAPTURE_SNAPLEN_MAX);
	if (strlen(name) >= sizeof(new->device))
		return vuc_error_set(err, -ENOENT, "there is no device %.64s", name);
	new = calloc(1, sizeof(*new));
	if (new == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a capture");
	new->control = c;
	snprintf(new->device, sizeof(new->device), "%s", name);
	snprintf(new->who, sizeof(new->who), "%s", who);
	rc = capture_start(new, snaplen, err);
	if (rc != 0) {
		free(new);
		return rc;
	}
	*capture = new;
	*fd = vuc_capture_ring_fd(new->poller.ring);
	return 0;
}

VUC_EXPORT void
vuc_control_capture_stop(struct vuc_control_capture *capture)
{
	if (capture == NULL)
		return;
	vuc_poller_capture_end(&capture->poller);
	pthread_mutex_lock(&capture->control->lock);
	TAILQ_REMOVE(&capture->control->captures, capture, entry);
	pthread_mutex_unlock(&capture->control->lock);
	vuc_capture_ring_free(capture->poller.ring);
	free(capture);
}
