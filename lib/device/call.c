/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "internal.h"
#include "message.h"

/* Looks at the sockets without a completion after which a waiting thread lets others have its CPU
 * in between: a server that shares the core would otherwise wait for the scheduler. */
#define SPIN_LOOKS 20000u

/* Looks of one poll, until then: what else a poll does is of no use as often. */
#define POLL_LOOKS 16u

void
device_poll_until(struct vuc_device *dev, const bool *done)
{
	unsigned int empty = 0;

	while (!*done) {
		unsigned int looks = empty < SPIN_LOOKS ? POLL_LOOKS : 1;

		if (group_poll(dev->group, looks) > 0) {
			empty = 0;
		} else if ((empty += looks) > SPIN_LOOKS) {
			sched_yield();
			vuc_poll_group_look_at_clock(dev->group);
		}
	}
}

int
operation_may_wait(struct vuc_device *dev)
{
	if (!dev->group->polling)
		return 0;
	return vuc_error_set(
		&dev->reason, -EDEADLK, "a synchronous call from a completion callback");
}

void
operation_wake(void *arg, int status, const struct vuc_error *err)
{
	struct operation_waiter *w = arg;

	w->status = status;
	w->done = true;
	if (status != 0)
		w->dev->reason = *err;
}

int
operation_wait(struct operation_waiter *w, int started)
{
	if (started != 0)
		return started;
	device_poll_until(w->dev, &w->done);
	return w->status;
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

/* A message whose sender waits for it. */
struct call {
	struct message_operation m;
	struct device_reply *reply;
};

static int
call_take(struct message_operation *m, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	struct device_reply *r = ((struct call *)m)->reply;

	(void)err;
	r->refused = reply->refused;
	if (reply->status != 0)
		return 0;
	r->len = reply->len < r->size ? reply->len : r->size;
	if (r->len > 0)
		memcpy(r->body, reply->body, r->len);
	for (; r->nr_fds < reply->nr_fds && r->nr_fds < VUC_MAX_MSG_FDS; r->nr_fds++) {
		r->fds[r->nr_fds] = reply->fds[r->nr_fds];
		reply->fds[r->nr_fds] = -1;
	}
	return 0;
}

int
device_ask(
	struct vuc_device *dev, const struct vuc_session_request *req, struct device_reply *reply)
{
	struct operation_waiter w = {.dev = dev};
	struct message_operation *m;
	int rc = operation_may_wait(dev);

	if (rc != 0)
		return rc;
	m = message_operation_create(dev, sizeof(struct call), req, call_take, &rc, &dev->reason);
	if (m != NULL) {
		((struct call *)m)->reply = reply;
		rc = operation_start(&m->op, operation_wake, &w, &dev->reason);
	}
	reply->status = operation_wait(&w, rc);
	return reply->status;
}
