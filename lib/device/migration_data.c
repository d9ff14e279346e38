/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/migration.h>

#include "error.h"
#include "message.h"
#include "migdata.h"
#include "vfio_user.h"

/* A message must fit into a segment, which has room for a bit more than this. */
#define WRITE_MAX (32u * 1024)

#define FIXED_LEN sizeof(struct vfio_user_mig_data)

uint32_t
migration_read_max(const struct vuc_device *dev)
{
	return vuc_session_max_data(dev->session);
}

uint32_t
migration_write_max(const struct vuc_device *dev)
{
	uint32_t max = vuc_session_max_data(dev->session);

	return max < WRITE_MAX ? max : WRITE_MAX;
}

/* A run of migration data, one message after the other. */
struct data_operation {
	struct operation op;
	struct operation_message message;
	uint16_t cmd;
	uint32_t max;        /* bytes of one message */
	uint8_t *to;         /* of a read */
	const uint8_t *from; /* of a write */
	uint8_t *copy;       /* where from is; or NULL */
	size_t size;
	size_t moved;
	size_t *count;  /* where the caller wants that; or NULL */
	uint32_t piece; /* under way; 0: none */
	bool at_end;    /* the server has no more */
};

static int
data_send_piece(struct data_operation *d)
{
	size_t left = d->size - d->moved;
	uint32_t piece = left < d->max ? (uint32_t)left : d->max;
	uint8_t body[FIXED_LEN];
	struct vuc_session_request req = {.cmd = d->cmd, .body = body, .len = sizeof(body)};
	int rc = vuc_wire_mig_data_encode(body, piece);

	if (rc < 0)
		return rc;
	if (d->cmd == VFIO_USER_MIG_DATA_READ) {
		req.reply_max = (uint32_t)FIXED_LEN + piece;
	} else {
		req.data = d->from + d->moved;
		req.data_len = piece;
	}
	rc = operation_send(&d->op, &d->message, &req);
	if (rc == 0)
		d->piece = piece;
	return rc;
}

static int
data_run(struct operation *op)
{
	struct data_operation *d = (struct data_operation *)op;
	int rc;

	if (op->status != 0 || d->at_end || d->moved == d->size)
		return 0;
	if (d->piece > 0)
		return -EAGAIN;
	rc = data_send_piece(d);
	return rc != 0 ? rc : -EAGAIN;
}

static void
data_replied(struct operation_message *message, const struct vuc_session_reply *reply)
{
	struct data_operation *d = (struct data_operation *)message->op;
	struct vuc_error err = {0};
	uint32_t count = d->piece;
	const uint8_t *bytes;
	int rc = 0;

	if (reply->status != 0) {
		operation_fail(&d->op, reply->status, "%s", reply->reason);
		return;
	}
	if (d->cmd == VFIO_USER_MIG_DATA_READ)
		rc = vuc_wire_mig_data_decode(
			reply->body, reply->len, d->piece, &bytes, &count, &err);
	if (rc != 0) {
		operation_fail(&d->op, rc, "%s", err.text);
		return;
	}
	if (d->cmd == VFIO_USER_MIG_DATA_READ && count > 0)
		memcpy(d->to + d->moved, bytes, count);
	d->at_end = count < d->piece;
	d->moved += count;
	d->piece = 0;
}

static void
data_end(struct operation *op)
{
	struct data_operation *d = (struct data_operation *)op;

	if (d->count != NULL)
		*d->count = d->moved;
}

static void
data_free(struct operation *op)
{
	free(((struct data_operation *)op)->copy);
	free(op);
}

static const struct operation_ops data_ops = {
	.name = "migration data",
	.run = data_run,
	.end = data_end,
	.free = data_free,
};

static struct data_operation *
data_create(struct vuc_device *dev, uint16_t cmd, uint32_t max, size_t size, int *rc)
{
	struct data_operation *d;

	*rc = device_check_command(dev, cmd, &dev->reason);
	if (*rc != 0)
		return NULL;
	d = calloc(1, sizeof(*d));
	if (d == NULL) {
		*rc = vuc_error_set(&dev->reason, -ENOMEM, "no memory for migration data");
		return NULL;
	}
	operation_init(&d->op, &data_ops, dev, dev->timeout_ms);
	d->message.replied = data_replied;
	d->cmd = cmd;
	d->max = max;
	d->size = size;
	return d;
}

VUC_EXPORT int
vuc_migration_read_start(
	struct vuc_device *dev, void *data, size_t size, size_t *count, vuc_done_fn done, void *arg)
{
	struct data_operation *d;
	int rc;

	if ((data == NULL && size > 0) || count == NULL)
		return vuc_error_set(
			&dev->reason, -EINVAL, "data or count is NULL");
	*count = 0;
	d = data_create(dev, VFIO_USER_MIG_DATA_READ, migration_read_max(dev), size, &rc);
	if (d == NULL)
		return rc;
	d->to = data;
	d->count = count;
	return operation_start(&d->op, done, arg, &dev->reason);
}

VUC_EXPORT int
vuc_migration_read(struct vuc_device *dev, void *data, size_t size, size_t *count)
{
	struct operation_waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	if (count != NULL)
		*count = 0;
	if (rc != 0)
		return rc;
	return operation_wait(
		&w, vuc_migration_read_start(dev, data, size, count, operation_wake, &w));
}

VUC_EXPORT int
vuc_migration_write_start(
	struct vuc_device *dev, const void *data, size_t size, vuc_done_fn done, void *arg)
{
	struct data_operation *d;
	int rc;

	d = data_create(dev, VFIO_USER_MIG_DATA_WRITE, migration_write_max(dev), size, &rc);
	if (d == NULL)
		return rc;
	d->copy = malloc(size > 0 ? size : 1);
	if (d->copy == NULL) {
		operation_free(&d->op);
		return vuc_error_set(&dev->reason, -ENOMEM, "no memory for migration data");
	}
	if (size > 0)
		memcpy(d->copy, data, size);
	d->from = d->copy;
	return operation_start(&d->op, done, arg, &dev->reason);
}

/* Whoever waits keeps the data. */
VUC_EXPORT int
vuc_migration_write(struct vuc_device *dev, const void *data, size_t size)
{
	struct operation_waiter w = {.dev = dev};
	struct data_operation *d;
	int rc = operation_may_wait(dev);

	if (rc != 0)
		return rc;
	d = data_create(dev, VFIO_USER_MIG_DATA_WRITE, migration_write_max(dev), size, &rc);
	if (d == NULL)
		return rc;
	d->from = data;
	return operation_wait(&w, operation_start(&d->op, operation_wake, &w, &dev->reason));
}
