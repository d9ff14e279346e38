/* SPDX-License-Identifier: BSD-3-Clause */
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "error.h"
#include "fds.h"
#include "recorded.h"
#include "vfio_user.h"

static int
message_run(struct operation *op)
{
	struct message_operation *m = (struct message_operation *)op;
	int rc = m->sent ? 0 : operation_send(op, &m->message, &m->req);

	m->sent = m->sent || rc == 0;
	return rc;
}

static void
message_replied(struct operation_message *message, const struct vuc_session_reply *reply)
{
	struct message_operation *m = (struct message_operation *)message->op;
	struct vuc_error err = {0};
	int rc;

	if (reply->status != 0)
		operation_fail(&m->op, reply->status, "%s", reply->reason);
	rc = m->take != NULL ? m->take(m, reply, &err) : 0;
	if (rc != 0)
		operation_fail(&m->op, rc, "%s", err.text);
}

static void
message_free(struct operation *op)
{
	struct message_operation *m = (struct message_operation *)op;

	vuc_fds_close(m->fds, m->req.nr_fds);
	free(m);
}

static const struct operation_ops message_ops = {
	.run = message_run,
	.free = message_free,
};

static const struct operation_ops vital_message_ops = {
	.vital = true,
	.run = message_run,
	.free = message_free,
};

/* What a reset undoes. Mappings and interrupts stay. */
static int
message_record_reset(struct operation *op)
{
	if (op->status != 0)
		return op->status;
	record_forget_registers(op->dev->record);
	op->dev->record->resets = op->dev->restoring > RESTORE_RESET;
	return op->status;
}

static const struct operation_ops reset_ops = {
	.barrier = true,
	.vital = true,
	.run = message_run,
	.record = message_record_reset,
	.free = message_free,
};

static const struct operation_ops *
ops_of(uint16_t cmd)
{
	if (cmd == VFIO_USER_DEVICE_RESET)
		return &reset_ops;
	return vuc_wire_command(cmd)->answer_is_vital ? &vital_message_ops : &message_ops;
}

static int
message_copy(struct message_operation *m, const struct vuc_session_request *req, uint8_t *bytes,
	struct vuc_error *err)
{
	m->req = *req;
	m->req.nr_fds = 0;
	m->req.fds = m->fds;
	if (req->len > 0)
		m->req.body = memcpy(bytes, req->body, req->len);
	if (req->data_len > 0)
		m->req.data = memcpy(bytes + req->len, req->data, req->data_len);
	for (; m->req.nr_fds < req->nr_fds; m->req.nr_fds++) {
		int fd = fcntl(req->fds[m->req.nr_fds], F_DUPFD_CLOEXEC, 0);

		if (fd < 0)
			return vuc_error_set(err, -errno, "descriptor %d: %s",
				req->fds[m->req.nr_fds], strerror(errno));
		m->fds[m->req.nr_fds] = fd;
	}
	return 0;
}

int
device_check_command(const struct vuc_device *dev, uint16_t cmd, struct vuc_error *err)
{
	bool is_recorded = cmd == VFIO_USER_DEVICE_SET_IRQS || cmd == VFIO_USER_DEVICE_RESET;
	int rc = 0;

	if (!is_recorded || !vuc_device_is_away(dev))
		rc = device_check_connected(dev, err);
	if (rc != 0 || (dev->faults->broke_on & UINT32_C(1) << cmd) == 0)
		return rc;
	return vuc_error_set(err, -EOPNOTSUPP,
		"%s is not sent: it has closed a connection to this server before",
		vuc_wire_command_name(cmd));
}

struct message_operation *
message_operation_create(struct vuc_device *dev, size_t size, const struct vuc_session_request *req,
	message_take_fn take, int *rc, struct vuc_error *err)
{
	struct message_operation *m;

	*rc = device_check_command(dev, req->cmd, err);
	if (*rc != 0)
		return NULL;
	m = calloc(1, size + req->len + req->data_len);
	if (m == NULL) {
		*rc = vuc_error_set(
			err, -ENOMEM, "no memory for %s", vuc_wire_command_name(req->cmd));
		return NULL;
	}
	operation_init(&m->op, ops_of(req->cmd), dev,
		req->timeout_ms != 0 ? req->timeout_ms : dev->timeout_ms);
	m->op.name = vuc_wire_command_name(req->cmd);
	m->message.replied = message_replied;
	m->take = take;
	*rc = message_copy(m, req, (uint8_t *)m + size, err);
	if (*rc == 0)
		return m;
	operation_free(&m->op);
	return NULL;
}
