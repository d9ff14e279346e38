/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "error.h"
#include "internal.h"

/* Polls without a completion after which a waiting thread lets others have its CPU in between: a
 * server that shares the core would otherwise wait for the scheduler. */
#define SPIN_POLLS 20000u

void
device_poll_once(struct vuc_device *dev, unsigned int *empty)
{
	if (vuc_poll_group_poll(dev->group) > 0)
		*empty = 0;
	else if (++*empty > SPIN_POLLS)
		sched_yield();
}

void
device_close_fds(struct device_reply *reply)
{
	for (unsigned int i = 0; i < reply->nr_fds; i++) {
		if (reply->fds[i] >= 0)
			close(reply->fds[i]);
	}
	reply->nr_fds = 0;
}

static void
call_done(void *arg, const struct vuc_session_reply *reply)
{
	struct device_reply *r = arg;

	r->done = true;
	r->status = reply->status;
	r->refused = reply->refused;
	if (reply->status != 0) {
		vuc_error_set(r->err, reply->status, "%s", reply->reason);
		return;
	}
	r->len = reply->len < r->size ? reply->len : r->size;
	if (r->len > 0)
		memcpy(r->body, reply->body, r->len);
	for (; r->nr_fds < reply->nr_fds && r->nr_fds < VUC_MAX_MSG_FDS; r->nr_fds++) {
		r->fds[r->nr_fds] = reply->fds[r->nr_fds];
		reply->fds[r->nr_fds] = -1;
	}
}

static int
refuse(struct vuc_device *dev, struct device_reply *reply, int rc)
{
	const char *reason = vuc_session_reason(dev->session);

	return vuc_error_set(
		reply->err, rc, "cannot ask the server: %s", *reason ? reason : strerror(-rc));
}

int
device_call(struct vuc_device *dev, struct vuc_session_request *req, struct device_reply *reply)
{
	unsigned int empty = 0;
	int rc;

	req->done = call_done;
	req->arg = reply;
	while ((rc = vuc_session_request(dev->session, req)) == -EAGAIN)
		device_poll_once(dev, &empty);
	if (rc != 0)
		return refuse(dev, reply, rc);
	device_mark_dirty(dev);
	while (!reply->done)
		device_poll_once(dev, &empty);
	return reply->status;
}

bool
device_lacks_command(const struct device_reply *reply)
{
	return reply->refused &&
		(reply->status == -EINVAL || reply->status == -ENOSYS ||
			reply->status == -EOPNOTSUPP);
}

int
device_ask(struct vuc_device *dev, struct vuc_session_request *req, struct device_reply *reply)
{
	reply->err = &dev->reason;
	if (dev->group->polling)
		return vuc_error_set(
			&dev->reason, -EDEADLK, "a synchronous call from a completion callback");
	if (!vuc_device_connected(dev))
		return vuc_error_set(&dev->reason, vuc_session_error(dev->session), "%s",
			vuc_session_reason(dev->session));
	if ((dev->faults->broke_on & UINT32_C(1) << req->cmd) != 0)
		return vuc_error_set(&dev->reason, -EOPNOTSUPP,
			"%s is not sent: it has broken a connection to this server",
			vuc_wire_command_name(req->cmd));
	return device_call(dev, req, reply);
}
