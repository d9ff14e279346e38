/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_MESSAGE_H
#define VUC_DEVICE_MESSAGE_H

/* The operation that is one message: ask the server, and take its reply. */

#include "internal.h"

struct message_operation;

/*
 * Takes the reply, unless the operation has ended before; also one with an error, which is the
 * operation's already. Returns 0, or what is wrong with the reply, said in err.
 */
typedef int (*message_take_fn)(
	struct message_operation *m, const struct vuc_session_reply *reply, struct vuc_error *err);

/* What the structs of those begin with who have to remember more until the reply comes. */
struct message_operation {
	struct operation op;
	struct operation_message message;
	struct vuc_session_request req; /* with copies */
	message_take_fn take;           /* NULL: the status is all */
	bool sent;
	int fds[VUC_MAX_MSG_FDS];
};

/*
 * Make an operation of size bytes, which begin with a struct message_operation; the rest is zeroed.
 * What req has is copied, its descriptors are duplicated; its timeout_ms is the operation's, 0 that
 * of the device. Returns NULL when that fails, when the command has broken a connection to this
 * server before, or when there is none: *rc and err say so.
 */
struct message_operation *message_operation_create(struct vuc_device *dev, size_t size,
	const struct vuc_session_request *req, message_take_fn take, int *rc,
	struct vuc_error *err);

/* Whether the server can be asked this, of which it may have died before; says why not. */
int device_check_command(const struct vuc_device *dev, uint16_t cmd, struct vuc_error *err);

#endif /* VUC_DEVICE_MESSAGE_H */
