/* SPDX-License-Identifier: BSD-3-Clause */

/* Resetting a device: nothing passes a reset, neither before it nor behind it. */

#include <errno.h>

#include "access_check.h"
#include "error.h"
#include "message.h"
#include "source.h"
#include "vfio_user.h"

/* Some servers have the flag but no reset. */
static int
reset_take(
	struct message_operation *m, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	struct vuc_device *dev = m->op.dev;

	(void)err;
	if (!reply->refused || (reply->status != -EOPNOTSUPP && reply->status != -ENOSYS))
		return 0;
	m->op.status = -EOPNOTSUPP;
	dev->info.flags &= ~(uint32_t)VFIO_DEVICE_FLAGS_RESET;
	device_warn(dev, DEVICE_FAULT_RESET,
		"flags have VFIO_DEVICE_FLAGS_RESET, but %s: the device is treated as one "
		"without reset",
		reply->reason);
	return 0;
}

VUC_EXPORT int
vuc_device_reset_start(struct vuc_device *dev, vuc_done_fn done, void *arg)
{
	const struct vuc_request whole = {.op = VUC_OP_RESET};
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_RESET, .timeout_ms = dev->long_timeout_ms};
	int rc = device_check_request(dev, &whole, &dev->reason);
	struct message_operation *m;

	if (rc != 0)
		return rc;
	m = message_operation_create(dev, sizeof(*m), &req, reset_take, &rc, &dev->reason);
	return m != NULL ? operation_start(&m->op, done, arg, &dev->reason) : rc;
}

static void
reset_complete(void *arg, int status, const struct vuc_error *err)
{
	struct vuc_request *req = arg;

	if (status != 0)
		req->priv.dev->reason = *err;
	req->done(req, status);
}

int
device_submit_reset(struct vuc_device *dev, struct vuc_request *req)
{
	req->priv.dev = dev;
	return vuc_device_reset_start(dev, reset_complete, req);
}

VUC_EXPORT int
vuc_device_reset(struct vuc_device *dev)
{
	struct operation_waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	return rc != 0 ? rc : operation_wait(&w, vuc_device_reset_start(dev, operation_wake, &w));
}
