/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "error.h"
#include "post.h"
#include "record.h"
#include "vmm.h"

/* Whether the connection has ended, and the VMM has none but that. */
bool
vmm_device_is_lost(const struct vuc_device *dev)
{
	return !vuc_device_connected(dev) && !vuc_device_is_away(dev);
}

struct call {
	struct vuc_device *dev;
	control_device_fn fn;
	void *arg;
	struct vuc_error *err;
	bool lost; /* the connection has ended */
};

/* The reason is there only until the next call on the device. */
static int
call_run(void *arg)
{
	struct call *c = arg;
	int rc = c->fn(c->dev, c->arg);
	const char *reason = rc < 0 ? vuc_device_reason(c->dev) : "";

	if (rc < 0)
		vuc_error_set(c->err, rc, "%s", *reason != '\0' ? reason : strerror(-rc));
	c->lost = vmm_device_is_lost(c->dev);
	return rc;
}

/* The connection that took its place, or will, is of no use to this VMM. */
int
vmm_error_lost(struct vuc_error *err, int rc)
{
	const struct vuc_error why = *err;

	return vuc_error_set(err, rc,
		"the connection to the server has ended (%.120s): detach, and attach again",
		why.text);
}

int
vmm_call(struct control_vmm *v, control_device_fn fn, void *arg, struct vuc_error *err)
{
	struct call c = {.dev = v->link->dev, .fn = fn, .arg = arg, .err = err};
	int rc = vuc_poller_call(v->device->poller, call_run, &c);

	return rc < 0 && c.lost ? vmm_error_lost(err, rc) : rc;
}

/* What takes its time at the server: it is started on the poller's thread, and waited for here. */
struct operation {
	struct vuc_device *dev;
	control_start_fn start;
	void *arg;
	struct vuc_post post;
	pthread_mutex_t lock;
	pthread_cond_t over;
	unsigned int left; /* guarded by lock: the start, until it has returned, and the end */
	int status;
	struct vuc_error why;
	bool lost; /* the connection has ended */
};

/* The caller's memory is gone with the last of both, in whatever order they come. */
static void
operation_release(struct operation *op)
{
	pthread_mutex_lock(&op->lock);
	if (--op->left == 0)
		pthread_cond_signal(&op->over);
	pthread_mutex_unlock(&op->lock);
}

/* A vuc_done_fn. */
static void
operation_ended(void *arg, int status, const struct vuc_error *err)
{
	struct operation *op = arg;

	op->status = status;
	if (status < 0)
		op->why = *err;
	op->lost = vmm_device_is_lost(op->dev);
	operation_release(op);
}

/* The reason is there only until the next call on the device. */
static void
start_operation(void *arg)
{
	struct operation *op = arg;
	int rc = op->start(op->dev, op->arg, operation_ended, op);
	const char *reason = rc < 0 ? vuc_device_reason(op->dev) : "";
	struct vuc_error why = {0};

	if (rc < 0)
		vuc_error_set(&why, rc, "%s", *reason != '\0' ? reason : strerror(-rc));
	if (rc != 0)
		operation_ended(op, rc < 0 ? rc : 0, &why);
	operation_release(op);
}

/* With the lock held: wait until a time; 0: without limit. Returns whether that time has passed. */
static bool
operation_wait_until(struct operation *op, uint64_t end_ms)
{
	const struct timespec end = {
		.tv_sec = (time_t)(end_ms / 1000),
		.tv_nsec = (long)(end_ms % 1000) * 1000000,
	};

	if (end_ms != 0)
		return pthread_cond_timedwait(&op->over, &op->lock, &end) == ETIMEDOUT;
	pthread_cond_wait(&op->over, &op->lock);
	return false;
}

static uint64_t
vmm_wait(struct control_vmm *v)
{
	return v->while_waiting != NULL ? v->while_waiting(v) : 0;
}

static void
wait_for_operation(struct control_vmm *v, struct operation *op)
{
	uint64_t next = vmm_wait(v);

	pthread_mutex_lock(&op->lock);
	while (op->left > 0) {
		if (!operation_wait_until(op, next))
			continue;
		pthread_mutex_unlock(&op->lock);
		next = vmm_wait(v);
		pthread_mutex_lock(&op->lock);
	}
	pthread_mutex_unlock(&op->lock);
	pthread_cond_destroy(&op->over);
	pthread_mutex_destroy(&op->lock);
}

int
vmm_operate(struct control_vmm *v, control_start_fn start, void *arg, struct vuc_error *err)
{
	struct operation op = {.dev = v->link->dev, .start = start, .arg = arg, .left = 2};
	pthread_condattr_t attr;

	op.post = (struct vuc_post){.fn = start_operation, .arg = &op};
	pthread_mutex_init(&op.lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&op.over, &attr);
	pthread_condattr_destroy(&attr);
	vuc_poller_post(v->device->poller, &op.post);
	wait_for_operation(v, &op);
	if (op.status == 0)
		return 0;
	vuc_error_set(err, op.status, "%s", op.why.text);
	return op.lost ? vmm_error_lost(err, op.status) : op.status;
}
