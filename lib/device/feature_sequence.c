/* SPDX-License-Identifier: BSD-3-Clause */
#include "feature_sequence.h"

#include <errno.h>
#include <stdlib.h>

#include "command.h"
#include "error.h"
#include "message.h"
#include "vfio_user.h"

static void
sequence_take(struct feature_sequence *s, const struct vuc_session_reply *reply)
{
	struct vuc_error err = {0};
	int rc;

	if (reply->status != 0)
		vuc_error_set(&err, reply->status, "%s", reply->reason);
	rc = s->ops->take(s, reply, &err);
	if (rc != 0)
		operation_fail(&s->op, rc, "%s", err.text);
}

/* A server that has died of this command before is taken for one that does not know it. */
static int
sequence_send(struct feature_sequence *s, const struct vuc_session_request *req)
{
	struct vuc_session_reply none = {.refused = true};
	struct vuc_error err;
	int rc;

	none.status = device_check_command(s->op.dev, req->cmd, &err);
	if (none.status != 0) {
		none.reason = err.text;
		sequence_take(s, &none);
		return -EALREADY;
	}
	rc = operation_send(&s->op, &s->message, req);
	s->asked = rc == 0;
	return rc;
}

static int
sequence_run(struct operation *op)
{
	struct feature_sequence *s = (struct feature_sequence *)op;
	int rc = s->asked ? -EAGAIN : -EALREADY;

	while (rc == -EALREADY) {
		struct vuc_session_request req = {
			.cmd = VFIO_USER_DEVICE_FEATURE, .body = s->request};

		if (op->status == 0)
			s->ops->ask(s, &req);
		if (req.len == 0)
			return 0;
		rc = sequence_send(s, &req);
	}
	return rc != 0 ? rc : -EAGAIN;
}

static void
sequence_replied(struct operation_message *message, const struct vuc_session_reply *reply)
{
	struct feature_sequence *s = (struct feature_sequence *)message->op;

	s->asked = false;
	sequence_take(s, reply);
}

static void
sequence_free(struct operation *op)
{
	struct feature_sequence *s = (struct feature_sequence *)op;

	if (s->ops->free != NULL)
		s->ops->free(s);
	free(s);
}

static const struct operation_ops sequence_ops = {
	.run = sequence_run,
	.free = sequence_free,
};

void *
feature_sequence_create(struct vuc_device *dev, size_t size, const struct feature_sequence_ops *ops,
	uint32_t timeout_ms, int *rc, struct vuc_error *err)
{
	struct feature_sequence *s;

	*rc = device_check_connected(dev, err);
	if (*rc != 0)
		return NULL;
	s = calloc(1, size);
	if (s == NULL) {
		*rc = vuc_error_set(err, -ENOMEM, "no memory for %s",
			vuc_wire_command_name(VFIO_USER_DEVICE_FEATURE));
		return NULL;
	}
	operation_init(&s->op, &sequence_ops, dev, timeout_ms);
	s->op.name = vuc_wire_command_name(VFIO_USER_DEVICE_FEATURE);
	s->message.replied = sequence_replied;
	s->ops = ops;
	return s;
}

bool
feature_is_missing(const struct vuc_session_reply *reply)
{
	const int rc = reply->status;

	return reply->refused &&
		(rc == -EINVAL || rc == -ENOTTY || rc == -EOPNOTSUPP || rc == -ENOSYS);
}
